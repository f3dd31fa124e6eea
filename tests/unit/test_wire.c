/* SPDX-License-Identifier: MIT */
/* The wire types of RFC 4251 section 5, with its own examples (S7: no length is believed). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"

#define RD(text) smx_rd_from(text, sizeof(text) - 1)

static void assert_view(struct smx_view v, const char *want, size_t len)
{
	assert_int_equal(v.len, len);
	if (len)
		assert_memory_equal(v.p, want, len);
}

static void integers(void **state)
{
	struct smx_rd rd = RD("\x00\x01\x07\x29\xb7\xf4\xaa\x01\x02\x03\x04\x05\x06\x07\x08");
	uint8_t u8;
	uint32_t u32;
	uint64_t u64;
	int flag;

	(void)state;
	assert_int_equal(smx_rd_u8(&rd, &u8), 0);
	assert_int_equal(u8, 0);
	assert_int_equal(smx_rd_bool(&rd, &flag), 0);
	assert_int_equal(flag, 1);
	assert_int_equal(smx_rd_bool(&rd, &flag), 0);
	assert_int_equal(flag, 1); /* 7 is true, too */
	assert_int_equal(smx_rd_u32(&rd, &u32), 0);
	assert_int_equal(u32, 0x29b7f4aa); /* RFC 4251's example */
	assert_int_equal(smx_rd_end(&rd), SMX_ETRAILING);
	assert_int_equal(smx_rd_u64(&rd, &u64), 0);
	assert_true(u64 == UINT64_C(0x0102030405060708));
	assert_int_equal(smx_rd_end(&rd), 0);
	assert_int_equal(smx_rd_u8(&rd, &u8), SMX_ETRUNCATED);
}

static void S7_short_reads_move_nothing(void **state)
{
	static const char three[] = "\x00\x00\x00";
	struct smx_rd rd = RD(three);
	struct smx_view v = { NULL, 77 };
	uint32_t u32 = 77;
	uint64_t u64 = 77;
	char text[8] = "as is";

	(void)state;
	assert_int_equal(smx_rd_u32(&rd, &u32), SMX_ETRUNCATED);
	assert_int_equal(smx_rd_u64(&rd, &u64), SMX_ETRUNCATED);
	assert_int_equal(smx_rd_string(&rd, &v), SMX_ETRUNCATED);
	assert_int_equal(smx_rd_mpint(&rd, &v), SMX_ETRUNCATED);
	assert_int_equal(smx_rd_cstr(&rd, text, sizeof(text)), SMX_ETRUNCATED);
	assert_int_equal(smx_rd_bytes(&rd, 4, &v), SMX_ETRUNCATED);
	assert_int_equal(smx_rd_bytes(&rd, SIZE_MAX, &v), SMX_ETRUNCATED);
	assert_int_equal(rd.left, 3);
	assert_ptr_equal(rd.p, three);
	assert_true(u32 == 77 && u64 == 77 && v.len == 77);
	assert_string_equal(text, "as is");
}

static void S7_string_lengths_are_not_believed(void **state)
{
	struct smx_view v = { NULL, 77 };
	struct smx_rd rd;

	(void)state;
	rd = RD("\x00\x00\x00\x07testing");
	assert_int_equal(smx_rd_string(&rd, &v), 0);
	assert_view(v, "testing", 7);
	assert_int_equal(smx_rd_end(&rd), 0);
	rd = RD("\x00\x00\x00\x00");
	assert_int_equal(smx_rd_string(&rd, &v), 0);
	assert_int_equal(v.len, 0);
	rd = RD("\x00\x00\x00\x08testing");
	assert_int_equal(smx_rd_string(&rd, &v), SMX_ETRUNCATED);
	assert_int_equal(rd.left, 11);
	rd = RD("\xff\xff\xff\xfftesting");
	assert_int_equal(smx_rd_string(&rd, &v), SMX_ETRUNCATED);
	rd = RD("\x00\x00\x00\x07testing");
	assert_int_equal(smx_rd_string_max(&rd, 6, &v), SMX_ETOOBIG);
	assert_int_equal(rd.left, 11);
	assert_int_equal(smx_rd_string_max(&rd, 7, &v), 0);
}

static void cstrings(void **state)
{
	char out[8];
	struct smx_rd rd = RD("\x00\x00\x00\x07testing");

	(void)state;
	assert_int_equal(smx_rd_cstr(&rd, out, 7), SMX_ETOOBIG); /* no room for the NUL */
	assert_int_equal(smx_rd_cstr(&rd, out, 8), 0);
	assert_string_equal(out, "testing");
	rd = RD("\x00\x00\x00\x03"
		"a\0b");
	assert_int_equal(smx_rd_cstr(&rd, out, sizeof(out)), SMX_EFORMAT);
	assert_int_equal(rd.left, 7);
}

/* RFC 4251 section 5: the values that are not negative, as they are written and read. */
static void mpints(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *wire;
		size_t wire_len;
	} cases[] = {
		{ "", 0, "\x00\x00\x00\x00", 4 },
		{ "\x00\x00", 2, "\x00\x00\x00\x00", 4 },
		{ "\x09\xa3\x78\xf9\xb2\xe3\x32\xa7", 8,
			"\x00\x00\x00\x08\x09\xa3\x78\xf9\xb2\xe3\x32\xa7", 12 },
		{ "\x80", 1, "\x00\x00\x00\x02\x00\x80", 6 },
		{ "\x00\x00\x80", 3, "\x00\x00\x00\x02\x00\x80", 6 },
		{ "\x00\x7f", 2, "\x00\x00\x00\x01\x7f", 5 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		const char *bytes = cases[i].bytes;
		size_t len = cases[i].len;
		struct smx_view v;
		struct smx_buf b;
		struct smx_rd rd;

		smx_buf_init(&b, 100);
		assert_int_equal(smx_put_mpint(&b, (const uint8_t *)bytes, len), 0);
		assert_int_equal(smx_buf_len(&b), cases[i].wire_len);
		assert_memory_equal(smx_buf_view(&b), cases[i].wire, cases[i].wire_len);
		rd = smx_rd_from(cases[i].wire, cases[i].wire_len);
		assert_int_equal(smx_rd_mpint(&rd, &v), 0);
		while (len && *bytes == 0) {
			bytes++;
			len--;
		}
		assert_view(v, bytes, len);
		smx_buf_release(&b);
	}
}

static void bad_mpints(void **state)
{
	struct smx_view v = { NULL, 77 };
	struct smx_rd rd;

	(void)state;
	rd = RD("\x00\x00\x00\x02\xed\xcc"); /* -1234 */
	assert_int_equal(smx_rd_mpint(&rd, &v), SMX_EFORMAT);
	rd = RD("\x00\x00\x00\x01\x00"); /* zero has no bytes */
	assert_int_equal(smx_rd_mpint(&rd, &v), SMX_EFORMAT);
	rd = RD("\x00\x00\x00\x02\x00\x7f"); /* a zero too many */
	assert_int_equal(smx_rd_mpint(&rd, &v), SMX_EFORMAT);
	rd = RD("\x00\x00\x00\x03\x00\x00\x80");
	assert_int_equal(smx_rd_mpint(&rd, &v), SMX_EFORMAT);
	assert_int_equal(rd.left, 7);
	assert_int_equal(v.len, 77);
}

static void writing_and_nesting(void **state)
{
	static const char want[] = "\x05\x01\x00\x00\x00\x2a\x00\x00\x00\x01\x00\x00\x00\x02"
				   "\x00\x00\x00\x0b\x00\x00\x00\x02hi\x00\x00\x00\x01!";
	struct smx_buf b;
	size_t mark;

	(void)state;
	smx_buf_init(&b, sizeof(want) - 1 + 3);
	assert_int_equal(smx_buf_put(&b, "xyz", 3), 0);
	smx_buf_consume(&b, 3); /* marks count from the content's begin, wherever that is */
	assert_int_equal(smx_put_u8(&b, 5), 0);
	assert_int_equal(smx_put_bool(&b, 99), 0);
	assert_int_equal(smx_put_u32(&b, 42), 0);
	assert_int_equal(smx_put_u64(&b, UINT64_C(0x100000002)), 0);
	assert_int_equal(smx_put_string_begin(&b, &mark), 0);
	assert_int_equal(smx_put_cstr(&b, "hi"), 0);
	assert_int_equal(smx_put_view(&b, smx_view_of("!", 1)), 0);
	smx_put_string_end(&b, mark);
	assert_int_equal(smx_buf_len(&b), sizeof(want) - 1);
	assert_memory_equal(smx_buf_view(&b), want, sizeof(want) - 1);
	/* Full: nothing more goes in, not even in part. */
	assert_int_equal(smx_put_string(&b, "abc", 3), SMX_ELIMIT);
	assert_int_equal(smx_put_mpint(&b, (const uint8_t *)"abc", 3), SMX_ELIMIT);
	assert_int_equal(smx_put_u64(&b, 1), SMX_ELIMIT);
	assert_int_equal(smx_buf_len(&b), sizeof(want) - 1);
	smx_buf_release(&b);
}

static void views_and_namelists(void **state)
{
	struct smx_view list = smx_view_of("zlib,none", 9), name;

	(void)state;
	assert_int_equal(smx_namelist_next(&list, &name), 1);
	assert_true(smx_view_eq(name, "zlib"));
	assert_false(smx_view_eq(name, "zlib,none"));
	assert_false(smx_view_eq(name, "zli"));
	assert_int_equal(smx_namelist_next(&list, &name), 1);
	assert_true(smx_view_eq(name, "none"));
	assert_int_equal(smx_namelist_next(&list, &name), 0);
	assert_true(smx_view_eq_view(smx_view_of("ab", 2), smx_view_of("abc", 2)));
	assert_false(smx_view_eq_view(smx_view_of("ab", 2), smx_view_of("abc", 3)));
	assert_true(smx_view_eq((struct smx_view){ NULL, 0 }, ""));
	assert_true(smx_namelist_has(smx_view_of("aes,bes,ces", 11), "bes"));
	assert_false(smx_namelist_has(smx_view_of("aes,bes,ces", 11), "be"));
	assert_false(smx_namelist_has(smx_view_of("aes,bes,ces", 11), "bes,ces"));
	assert_false(smx_namelist_has(smx_view_of("", 0), "bes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),
		cmocka_unit_test(S7_short_reads_move_nothing),
		cmocka_unit_test(S7_string_lengths_are_not_believed),
		cmocka_unit_test(cstrings),
		cmocka_unit_test(mpints),
		cmocka_unit_test(bad_mpints),
		cmocka_unit_test(writing_and_nesting),
		cmocka_unit_test(views_and_namelists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
