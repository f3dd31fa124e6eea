/* SPDX-License-Identifier: MIT */
/* Bounded buffers (S7: no unbounded allocation from any peer). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

static void assert_content(const struct smx_buf *b, const char *want)
{
	assert_int_equal(smx_buf_len(b), strlen(want));
	if (*want)
		assert_memory_equal(smx_buf_view(b), want, strlen(want));
}

static void put_and_consume(void **state)
{
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 100);
	assert_content(&b, "");
	assert_int_equal(smx_buf_put(&b, NULL, 0), 0);
	assert_int_equal(smx_buf_put_str(&b, "hello "), 0);
	assert_int_equal(smx_buf_printf(&b, "%d%s", 42, "!"), 0);
	assert_content(&b, "hello 42!");
	smx_buf_consume(&b, 6);
	assert_content(&b, "42!");
	assert_string_equal(smx_buf_cstr(&b), "42!");
	assert_content(&b, "42!"); /* the NUL is behind the content, not in it */
	smx_buf_truncate(&b, 1);
	assert_content(&b, "4");
	smx_buf_consume(&b, 1);
	assert_int_equal(b.off, 0); /* emptied: the front is free again */
	smx_buf_release(&b);
	assert_int_equal(smx_buf_put_str(&b, "again"), 0);
	assert_content(&b, "again");
	smx_buf_release(&b);
}

static void S7_never_grows_past_max(void **state)
{
	struct smx_buf b;
	uint8_t *p;

	(void)state;
	smx_buf_init(&b, 10);
	assert_int_equal(smx_buf_put(&b, "0123456789", 10), 0);
	assert_int_equal(smx_buf_put(&b, "x", 1), SMX_ELIMIT);
	assert_int_equal(smx_buf_reserve(&b, SIZE_MAX, &p), SMX_ELIMIT);
	assert_int_equal(smx_buf_reserve(&b, SIZE_MAX - 5, &p), SMX_ELIMIT);
	assert_int_equal(smx_buf_printf(&b, "%s", "x"), SMX_ELIMIT);
	assert_null(smx_buf_cstr(&b));
	assert_content(&b, "0123456789");
	assert_true(b.cap <= 10);
	/* Consumed room is usable again, without more memory. */
	smx_buf_consume(&b, 4);
	assert_int_equal(smx_buf_put(&b, "abcd", 4), 0);
	assert_content(&b, "456789abcd");
	assert_true(b.cap <= 10);
	assert_int_equal(smx_buf_put(&b, "x", 1), SMX_ELIMIT);
	smx_buf_release(&b);
}

/* Found by fuzz_keyfile: there is no address without memory, not even for no byte. */
static void S7_room_for_nothing(void **state)
{
	struct smx_buf b;
	uint8_t *p = (uint8_t *)&b;

	(void)state;
	smx_buf_init(&b, 10);
	assert_int_equal(smx_buf_reserve(&b, 0, &p), 0);
	assert_null(p);
	smx_buf_commit(&b, 0);
	assert_content(&b, "");
	smx_buf_release(&b);
}

static void random_walk_keeps_the_bytes(void **state)
{
	struct smx_buf b;
	uint8_t model[600];
	size_t n = 0;
	uint32_t seed = 1;

	(void)state;
	smx_buf_init(&b, 500);
	for (int i = 0; i < 20000; i++) {
		uint8_t piece[64];
		size_t k;

		seed = seed * 1103515245 + 12345;
		k = seed >> 16 & 63;
		if (seed >> 24 & 1) {
			memset(piece, i & 255, sizeof(piece));
			if (n + k <= 500) {
				assert_int_equal(smx_buf_put(&b, piece, k), 0);
				memcpy(model + n, piece, k);
				n += k;
			} else {
				assert_int_equal(smx_buf_put(&b, piece, k), SMX_ELIMIT);
			}
		} else {
			k = k < n ? k : n;
			smx_buf_consume(&b, k);
			memmove(model, model + k, n - k);
			n -= k;
		}
		assert_int_equal(smx_buf_len(&b), n);
		if (n)
			assert_memory_equal(smx_buf_view(&b), model, n);
		assert_true(b.off <= b.len && b.len <= b.cap && b.cap <= b.max);
	}
	smx_buf_release(&b);
}

static int all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return 0;
	return 1;
}

static void secrets_are_wiped(void **state)
{
	struct smx_buf b;

	(void)state;
	smx_buf_init_secret(&b, 1000);
	assert_int_equal(smx_buf_put_str(&b, "a secret of some length"), 0);
	smx_buf_consume(&b, 9);
	assert_true(all_zero(b.data, 9));
	smx_buf_truncate(&b, 2);
	assert_content(&b, "of");
	assert_true(all_zero(b.data + 11, 12));
	smx_buf_reset(&b);
	assert_true(all_zero(b.data, b.cap < 23 ? b.cap : 23));
	/* Growing keeps the content; moving it to the front leaves nothing behind. */
	assert_int_equal(smx_buf_put_str(&b, "0123456789"), 0);
	smx_buf_consume(&b, 5);
	for (int i = 0; i < 90; i++)
		assert_int_equal(smx_buf_put_str(&b, "abcdefghij"), 0);
	assert_int_equal(smx_buf_len(&b), 905);
	assert_memory_equal(smx_buf_view(&b), "56789abcdefghijabc", 18);
	smx_buf_release(&b);
}

static void no_memory_changes_nothing(void **state)
{
	long before = smx_mem_alive();
	struct smx_buf b;
	int r;

	(void)state;
	for (int secret = 0; secret < 2; secret++) {
		if (secret)
			smx_buf_init_secret(&b, 10000);
		else
			smx_buf_init(&b, 10000);
		assert_int_equal(smx_buf_put_str(&b, "kept"), 0);
		smx_mem_fail_after(0);
		for (size_t n = 1; n < 5000; n += 700) {
			uint8_t piece[5000] = { 0 };

			r = smx_buf_put(&b, piece, n);
			if (n <= 60)
				assert_int_equal(r, 0);
			else
				assert_int_equal(r, SMX_ENOMEM);
			if (r == 0)
				smx_buf_truncate(&b, 4);
			assert_content(&b, "kept");
		}
		smx_mem_fail_after(-1);
		smx_buf_release(&b);
	}
	assert_int_equal(smx_mem_alive(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_and_consume),
		cmocka_unit_test(S7_never_grows_past_max),
		cmocka_unit_test(S7_room_for_nothing),
		cmocka_unit_test(random_walk_keeps_the_bytes),
		cmocka_unit_test(secrets_are_wiped),
		cmocka_unit_test(no_memory_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
