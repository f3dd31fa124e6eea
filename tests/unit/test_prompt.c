/* SPDX-License-Identifier: MIT */
/* What becomes of a login whose window was closed (A5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mux/ask/prompt.h"

static void A5_the_first_is_an_empty_answer_and_the_second_the_end(void **state)
{
	(void)state;
	assert_int_equal(prompt_after_close(1), PROMPT_SENDS_EMPTY);
	for (unsigned n = 2; n < 5; n++)
		assert_int_equal(prompt_after_close(n), PROMPT_ENDS_LOGIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A5_the_first_is_an_empty_answer_and_the_second_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
