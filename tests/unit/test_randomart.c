/* SPDX-License-Identifier: MIT */
/* K2: the picture of a key is the one that ssh-keygen -lv draws (tests/data/keys/NAME.art). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "crypto/randomart.h"
#include "util_data.h"

static void read_blob(const char *name, struct smx_buf *ret_blob)
{
	char path[64];
	struct smx_view file, line, rest;

	(void)snprintf(path, sizeof(path), "keys/%s.pub", name);
	file = line = test_read_file(path);
	while (line.len && line.p[line.len - 1] == '\n')
		line.len--;
	assert_int_equal(smx_pubkey_line_parse(line, ret_blob, &rest), 0);
	test_free_view(file);
}

static void test_K2_picture(void **state)
{
	static const char *const names[] = { "ed25519", "ecdsa_256", "ecdsa_384", "ecdsa_521",
		"rsa_2048" };
	struct smx_buf blob, art;
	struct smx_view want;
	char path[64];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		smx_buf_init(&art, 4096);
		read_blob(names[i], &blob);
		assert_int_equal(smx_blob_randomart(smx_buf_as_view(&blob), &art), 0);
		(void)snprintf(path, sizeof(path), "keys/%s.art", names[i]);
		want = test_read_file(path);
		assert_int_equal(smx_buf_len(&art), want.len);
		assert_memory_equal(smx_buf_view(&art), want.p, want.len);
		test_free_view(want);
		smx_buf_release(&blob);
		smx_buf_release(&art);
	}
}

static void test_not_a_key(void **state)
{
	struct smx_buf art;

	(void)state;
	smx_buf_init(&art, 4096);
	assert_int_not_equal(smx_blob_randomart(test_str("nonsense"), &art), 0);
	assert_int_equal(smx_buf_len(&art), 0);
	smx_buf_release(&art);
}

static void test_no_memory(void **state)
{
	struct smx_buf blob, art;
	long alive;
	int r = SMX_ENOMEM;

	(void)state;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	read_blob("rsa_2048", &blob);
	alive = smx_mem_alive();
	for (long n = 0; r != 0; n++) {
		smx_buf_init(&art, 4096);
		smx_mem_fail_after(n);
		r = smx_blob_randomart(smx_buf_as_view(&blob), &art);
		smx_mem_fail_after(-1);
		smx_buf_release(&art);
		assert_int_equal(smx_mem_alive(), alive);
	}
	smx_buf_release(&blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_K2_picture),
		cmocka_unit_test(test_not_a_key),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
