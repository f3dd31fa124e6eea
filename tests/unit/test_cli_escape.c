/* SPDX-License-Identifier: MIT */
/* The escape character of `connect` (D2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/session/escape.h"

/* Takes the place of the daemon in the command line's library; never called here. */
int smx_daemon_run(const struct smx_serve_options *opts)
{
	(void)opts;
	return 0;
}

static void D2_escapes_in_any_pieces(void **state)
{
	static const struct {
		const char *in, *out;
		int is_over;
	} cases[] = {
		{ "", "", 0 },
		{ "ls\r", "ls\r", 0 },
		{ "~.", "", 1 },
		{ "~.rest", "", 1 },
		{ "~~.", "~.", 0 },
		{ "~~~.", "~~.", 0 },
		{ "a~.", "a~.", 0 },
		{ "a\r~.", "a\r", 1 },
		{ "a\n~.", "a\n", 1 },
		{ "~a", "~a", 0 },
		{ "~\r~.", "~\r", 1 },
		{ "~", "", 0 }, /* held back until it is known */
		{ "\r~~\r~.", "\r~\r", 1 },
		{ "\r ~.", "\r ~.", 0 },
		{ "\xc3\xa4\r~?", "\xc3\xa4\r~?", 0 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].in);

		for (size_t piece = 1; piece <= len + 1; piece++) {
			enum smx_escape_state s = SMX_ESCAPE_LINE_START;
			char out[64];
			size_t n = 0, got;
			int is_over = 0;

			for (size_t at = 0; at < len && !is_over; at += piece) {
				size_t part = len - at < piece ? len - at : piece;

				is_over =
					smx_escape_take(&s, cases[i].in + at, part, out + n, &got);
				assert_true(got <= part + 1);
				n += got;
			}
			assert_int_equal(is_over, cases[i].is_over);
			assert_int_equal(n, strlen(cases[i].out));
			assert_memory_equal(out, cases[i].out, n);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D2_escapes_in_any_pieces),
	};

	return cmocka_run_group_tests_name("cli_escape", tests, NULL, NULL);
}
