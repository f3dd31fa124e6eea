/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"

/* RFC 4648 section 10. */
static void published_vectors(void **state)
{
	static const char *const cases[][3] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	};
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 100);
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		const char *plain = cases[i][0], *padded = cases[i][1];

		for (int padding = 0; padding < 2; padding++) {
			assert_int_equal(smx_base64_encode(&b, plain, strlen(plain), padding), 0);
			assert_string_equal(smx_buf_cstr(&b), cases[i][2 - padding]);
			smx_buf_reset(&b);
		}
		assert_int_equal(smx_base64_decode(&b, smx_view_of(padded, strlen(padded))), 0);
		assert_string_equal(smx_buf_cstr(&b), plain);
		smx_buf_reset(&b);
	}
	smx_buf_release(&b);
}

static void only_canonical_text_is_taken(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zm8", "Zg===", "====", "=",
		"Z===", "Zm9v=", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", " Zm9", "Zm-_",
		"Zg==Zg==", "Z=g=", "Zm9v====", "=Zm9", "Zm9\x80", "Zm9\x01" };
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 100);
	assert_int_equal(smx_buf_put_str(&b, "kept"), 0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		assert_int_equal(
			smx_base64_decode(&b, smx_view_of(bad[i], strlen(bad[i]))), SMX_EFORMAT);
		assert_string_equal(smx_buf_cstr(&b), "kept");
	}
	assert_int_equal(smx_base64_decode(&b, smx_view_of("Zm\0v", 4)), SMX_EFORMAT);
	smx_buf_release(&b);
}

/* Every byte in every place, against libcrypto's encoder. */
static void agrees_with_libcrypto(void **state)
{
	uint8_t bytes[256 + 5];
	unsigned char want[4 * sizeof(bytes)];
	struct smx_buf b, back;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13);
	smx_buf_init(&b, 2000);
	smx_buf_init(&back, 2000);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		int len = EVP_EncodeBlock(want, bytes, (int)n);

		assert_int_equal(smx_base64_encode(&b, bytes, n, 1), 0);
		assert_int_equal(smx_buf_len(&b), len);
		assert_memory_equal(smx_buf_cstr(&b), want, (size_t)len);
		assert_int_equal(smx_base64_decode(&back,
					 (struct smx_view){ smx_buf_view(&b), smx_buf_len(&b) }),
			0);
		assert_int_equal(smx_buf_len(&back), n);
		assert_memory_equal(smx_buf_cstr(&back), bytes, n);
		smx_buf_reset(&b);
		smx_buf_reset(&back);
	}
	smx_buf_release(&b);
	smx_buf_release(&back);
}

static void limits_hold(void **state)
{
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 7);
	assert_int_equal(smx_base64_encode(&b, "foobar", 6, 1), SMX_ELIMIT);
	assert_int_equal(smx_base64_decode(&b, smx_view_of("Zm9vYmFyZm9v", 12)), SMX_ELIMIT);
	assert_int_equal(smx_buf_len(&b), 0);
	smx_mem_fail_after(0);
	assert_int_equal(smx_base64_encode(&b, "foo", 3, 1), SMX_ENOMEM);
	assert_int_equal(smx_base64_decode(&b, smx_view_of("Zm9v", 4)), SMX_ENOMEM);
	smx_mem_fail_after(-1);
	smx_buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(only_canonical_text_is_taken),
		cmocka_unit_test(agrees_with_libcrypto),
		cmocka_unit_test(limits_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
