/* SPDX-License-Identifier: MIT */
#include "util_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define FILE_MAX 65536

struct smx_view test_read_file(const char *name)
{
	char path[512];
	uint8_t *p = smx_malloc(FILE_MAX);
	size_t n;
	FILE *f;

	assert_non_null(p);
	(void)snprintf(path, sizeof(path), "%s/%s", SMX_TEST_DATA, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot open %s", path);
	n = fread(p, 1, FILE_MAX, f);
	(void)fclose(f);
	return (struct smx_view){ p, n };
}

void test_free_view(struct smx_view v)
{
	smx_free((void *)(uintptr_t)v.p);
}

uint32_t test_rand(uint32_t *seed)
{
	/* xorshift32; the seed is never 0 */
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

void test_fill(uint32_t *seed, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(test_rand(seed) >> 11);
}
