/* SPDX-License-Identifier: MIT */
/* U9: log lines that anybody can cause are counted, not repeated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mux/core/tally.h"

#define START_MS 5000

static void U9_a_few_lines_a_minute_and_a_count(void **state)
{
	struct tally t = { 0 };
	unsigned lines = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		lines += (unsigned)tally_take(&t, START_MS + i);
	assert_int_equal(lines, TALLY_LINES);
	assert_int_equal(tally_end(&t, START_MS + TALLY_WINDOW_MS - 1), 0);
	assert_int_equal(tally_end(&t, START_MS + TALLY_WINDOW_MS), 1000 - TALLY_LINES);
	/* Said once. */
	assert_int_equal(tally_end(&t, START_MS + 2 * TALLY_WINDOW_MS), 0);
}

/* What is rare is never counted away. */
static void U9_each_window_begins_with_an_event(void **state)
{
	struct tally t = { 0 };
	uint64_t now = START_MS;

	(void)state;
	for (int i = 0; i < 50; i++, now += TALLY_WINDOW_MS / 4) {
		assert_int_equal(tally_take(&t, now), 1);
		assert_int_equal(tally_end(&t, now), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(U9_a_few_lines_a_minute_and_a_count),
		cmocka_unit_test(U9_each_window_begins_with_an_event),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
