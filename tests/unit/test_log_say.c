/* SPDX-License-Identifier: MIT */
/* Lines about connections, channels and clients (D4): their numbers, in one form. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "mux/core/say.h"

static char seen[SMX_LOG_LINE_SIZE + 1];

static void capture(void *arg, enum smx_log_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	memcpy(seen, line, len);
	seen[len] = '\0';
}

static const char *text(void)
{
	return seen + SMX_LOG_STAMP_SIZE;
}

static void D4_numbers_that_are_known(void **state)
{
	struct mux_ids all = { 3, 12, 7, "web" }, none = { .conn = 0 }, some = { .client = 7 };

	(void)state;
	smx_log_set_sink(capture, NULL);
	say_info(&all, "channel opened: %s", "session");
	assert_string_equal(
		text(), "info conn=3 chan=12 client=7 route=\"web\" channel opened: session\n");
	say_warn(&none, "words");
	assert_string_equal(text(), "warn words\n");
	say_warn(&some, "100%%");
	assert_string_equal(text(), "warn client=7 100%\n");
	seen[0] = '\0';
	say_debug(&some, "words");
	assert_string_equal(seen, "");
	smx_log_set_sink(NULL, NULL);
}

/* D4, A7: a route is what a client says it is, before anybody has looked whether there is one. */
static void D4_route_that_a_client_made_up(void **state)
{
	struct mux_ids ids = { .route = "a\" conn=1 \\\n\x1b[2Jb" };
	char huge[5000];

	(void)state;
	smx_log_set_sink(capture, NULL);
	say_info(&ids, "x");
	assert_string_equal(text(), "info route=\"a? conn=1 ? b\" x\n");
	memset(huge, 'r', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	ids.route = huge;
	say_info(&ids, "the end");
	assert_true(strlen(text()) < 200);
	assert_non_null(strstr(text(), "rrr\" the end\n"));
	smx_log_set_sink(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D4_numbers_that_are_known),
		cmocka_unit_test(D4_route_that_a_client_made_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
