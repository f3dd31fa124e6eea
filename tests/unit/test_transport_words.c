/* SPDX-License-Identifier: MIT */
/* The words of a transport (R7). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/transport.h"

static char name[] = "web", host[] = "h.example", user[] = "me";
static const struct smx_hop hop = { .name = name, .host = host, .port = 2022, .user = user };

static void r7_tokens(void **state)
{
	static const struct {
		const char *word, *want;
	} cases[] = { { "%h:%p", "h.example:2022" }, { "%r@%n", "me@web" }, { "100%%", "100%" },
		{ "%%h", "%h" }, { "", "" }, { "a b;$(c) '\"", "a b;$(c) '\"" },
		{ "%h%h", "h.exampleh.example" } };
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 64);
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		smx_buf_reset(&b);
		assert_int_equal(smx_transport_expand(&hop, cases[i].word, &b), 0);
		assert_string_equal(smx_buf_cstr(&b), cases[i].want);
	}
	smx_buf_release(&b);
	smx_buf_init(&b, 8);
	assert_int_equal(smx_transport_expand(&hop, "%h", &b), SMX_ELIMIT);
	smx_buf_release(&b);
}

static void r7_without_a_name_it_is_the_host(void **state)
{
	struct smx_hop jump = hop;
	struct smx_buf b;

	(void)state;
	jump.name = NULL;
	smx_buf_init(&b, 64);
	assert_int_equal(smx_transport_expand(&jump, "%n", &b), 0);
	assert_string_equal(smx_buf_cstr(&b), "h.example");
	smx_buf_release(&b);
}

static const char *fault(const char *word, int is_first)
{
	return smx_transport_fault(smx_view_of(word, strlen(word)), is_first);
}

static void r7_faults(void **state)
{
	char longest[SMX_CONFIG_PATH_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[SMX_CONFIG_PATH_MAX + 1] = '\0';
	assert_non_null(fault(longest, 0));
	longest[SMX_CONFIG_PATH_MAX] = '\0';
	assert_null(fault(longest, 0));
	assert_null(fault("", 0));
	assert_null(fault("-x", 0));
	assert_null(fault("50%", 1)); /* of a program's name nothing is expanded */
	assert_non_null(fault("", 1));
	assert_non_null(fault("a\nb", 0));
	assert_non_null(fault("%", 0));
	assert_non_null(fault("%%%", 0));
	assert_non_null(fault("-%d", 0));
	assert_non_null(fault("%H", 0));
	assert_null(fault("%%%%", 0));
	assert_null(fault("%h%p%r%n%%d", 0));
}

/* The helper's look at what it is to start: any user and port, no other host, and nothing besides.
 */
static void h3_what_a_word_may_have_become(void **state)
{
	static const struct {
		const char *word, *text;
		int may;
	} cases[] = {
		{ "%h", "h.example", 1 },
		{ "%h", "other.example", 0 },
		{ "%n", "web", 1 },
		{ "%n", "h.example", 0 },
		{ "%h:%p", "h.example:22", 1 },
		{ "%h:%p", "h.example:2200", 1 },
		{ "%h:%p", "h.example:", 0 },
		{ "%h:%p", "h.example:22x", 0 },
		{ "%h:%p", "h.example:123456", 0 },
		{ "--user=%r", "--user=me", 1 },
		{ "--user=%r", "--user=root", 1 },
		{ "--user=%r", "--user=-oProxyCommand", 0 },
		{ "--user=%r", "--user=", 0 },
		{ "--user=%r", "--user=a\nb", 0 },
		{ "%r%r@%h", "ab@h.example", 1 },
		{ "100%%", "100%", 1 },
		{ "100%%", "100%%", 0 },
		{ "-c", "-c", 1 },
		{ "-c", "-cx", 0 },
		{ "-cx", "-c", 0 },
		{ "", "", 1 },
		{ "", "x", 0 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++)
		if (smx_transport_may_be(&hop, cases[i].word, cases[i].text) != cases[i].may)
			fail_msg("%s, %s", cases[i].word, cases[i].text);
}

/* Bounded, however many ways there are to cut it. */
static void h3_a_long_word_ends_soon(void **state)
{
	char word[2 * 400 + 1] = "", text[1001];

	(void)state;
	for (size_t i = 0; i < 400; i++)
		memcpy(word + 2 * i, "%r", 3);
	memset(text, 'a', sizeof(text) - 2);
	text[sizeof(text) - 2] = ' ';
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(smx_transport_may_be(&hop, word, text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(r7_tokens),
		cmocka_unit_test(r7_without_a_name_it_is_the_host),
		cmocka_unit_test(r7_faults),
		cmocka_unit_test(h3_what_a_word_may_have_become),
		cmocka_unit_test(h3_a_long_word_ends_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
