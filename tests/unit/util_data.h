/* SPDX-License-Identifier: MIT */
/* Test data, and numbers that look random but are the same in every run. */
#ifndef SMX_TESTS_UTIL_DATA_H
#define SMX_TESTS_UTIL_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

/* The file NAME of tests/data, in memory of its own (free with smx_free); fails the test if absent.
 */
struct smx_view test_read_file(const char *name);
void test_free_view(struct smx_view v);

uint32_t test_rand(uint32_t *seed);
void test_fill(uint32_t *seed, uint8_t *p, size_t n);

static inline struct smx_view test_view(const struct smx_buf *b)
{
	return (struct smx_view){ smx_buf_view(b), smx_buf_len(b) };
}

static inline struct smx_view test_str(const char *s)
{
	struct smx_view v = { (const uint8_t *)s, 0 };

	while (s[v.len])
		v.len++;
	return v;
}

#endif
