/* SPDX-License-Identifier: MIT */
/* A7: nothing of a stranger's text acts on a terminal, a log line or the reader's eye. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/text.h"

struct row {
	const char *in;
	size_t len;
	const char *out;
};

/* clang-format off */
#define ROW(in, out) { in, sizeof(in) - 1, out }
/* clang-format on */

static const struct row rows[] = {
	ROW("plain", "plain"),
	ROW("", ""),
	ROW("K\xc3\xb6ln \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x94\x91",
		"K\xc3\xb6ln \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x94\x91"),
	/* CSI, 7 bit, C1 and C1 as UTF-8 */
	ROW("a\x1b[31;1mb\x1b[0mc", "abc"),
	ROW("a\x9b"
	    "31mb",
		"ab"),
	ROW("a\xc2\x9b"
	    "2Jb",
		"ab"),
	ROW("a\x1b[", "a"),
	ROW("a\x1b[31", "a"),
	/* OSC with each end, and without one */
	ROW("a\x1b]0;title\x07"
	    "b",
		"ab"),
	ROW("a\x1b]52;c;cGFzc3dk\x1b\\b", "ab"),
	ROW("a\x9d"
	    "0;t\x9c"
	    "b",
		"ab"),
	ROW("a\xc2\x9d"
	    "0;t\xc2\x9c"
	    "b",
		"ab"),
	ROW("a\x1b]0;title never ends", "a"),
	/* DCS, SOS, PM, APC */
	ROW("a\x1bP1;2|x\x1b\\b", "ab"),
	ROW("a\x1bXsos\x1b\\b", "ab"),
	ROW("a\x1b^pm\x1b\\b", "ab"),
	ROW("a\x1b_apc\x1b\\b", "ab"),
	/* other controls */
	ROW("a\nb\r\tc", "a b  c"),
	ROW("a\x08\x08"
	    "b\x7f\x07",
		"a??b??"),
	ROW("a\x1b", "a?"),
	ROW("a\0b", "a?b"),
	ROW("a\x1b"
	    "c",
		"a?c"), /* RIS: its ESC is taken away */
	ROW("a\x1b(0b", "a?(0b"),
	/* not UTF-8: overlong, surrogate, too large, cut */
	ROW("\xc0\x9b[m", "?m"), /* the second byte is CSI by itself, and "[" ends it */
	ROW("\xe0\xa1\x81", "\xe0\xa1\x81"), /* the shortest form there is … */
	ROW("\xe0\x81\x81", "?"), /* … and "A" in a longer one: 0x81 by itself is left out */
	ROW("\xf0\x8f\xbf\xbf", "???"),
	ROW("\xed\xa0\x80", "??"), /* 0x80 to 0x9f by themselves are C1 controls: left out */
	ROW("\xf4\x90\x80\x80", "?"), /* 0x90 is DCS, which never ends here */
	ROW("\xe6\x97", "?"),
	ROW("\xff", "?"),
	/* what deceives the eye: bidi controls, zero width, line separators, tags */
	ROW("a\xe2\x80\xae"
	    "b",
		"a?b"),
	ROW("a\xe2\x81\xa6"
	    "b",
		"a?b"),
	ROW("a\xe2\x80\x8b"
	    "b",
		"a?b"),
	ROW("a\xe2\x80\xa8"
	    "b",
		"a?b"),
	ROW("a\xf3\xa0\x81\x81"
	    "b",
		"a?b"),
};

static void test_A7_table(void **state)
{
	char out[256];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		smx_sanitize(rows[i].in, rows[i].len, out, sizeof(out));
		assert_string_equal(out, rows[i].out);
	}
}

static void test_A7_cut_at_a_character(void **state)
{
	char out[6];

	(void)state;
	smx_sanitize("abc\xe6\x97\xa5", 6, out, sizeof(out));
	assert_string_equal(out, "abc");
	smx_sanitize("ab\xe6\x97\xa5", 5, out, sizeof(out));
	assert_string_equal(out, "ab\xe6\x97\xa5");
	smx_sanitize("abc", 3, out, 1);
	assert_string_equal(out, "");
}

/* Every single byte, alone and behind ESC: what comes out is printable. */
static void test_A7_every_byte(void **state)
{
	char in[3], out[16];

	(void)state;
	for (int c = 0; c < 256; c++) {
		for (int with_esc = 0; with_esc < 2; with_esc++) {
			in[0] = 0x1b;
			in[with_esc] = (char)c;
			in[with_esc + 1] = 'm';
			smx_sanitize(in, (size_t)with_esc + 2, out, sizeof(out));
			for (const char *s = out; *s; s++)
				assert_in_range((unsigned char)*s, 0x20, 0x7e);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_A7_table),
		cmocka_unit_test(test_A7_cut_at_a_character),
		cmocka_unit_test(test_A7_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
