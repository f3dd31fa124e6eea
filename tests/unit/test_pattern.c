/* SPDX-License-Identifier: MIT */
/* K1: wildcards and negation of known_hosts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "trust/pattern.h"

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

static void k1_pattern_table(void **state)
{
	static const struct {
		const char *text, *pattern;
		int ignore_case, want;
	} cases[] = {
		{ "", "", 0, 1 }, { "", "*", 0, 1 }, { "", "***", 0, 1 }, { "", "?", 0, 0 },
		{ "a", "", 0, 0 }, { "a", "a", 0, 1 }, { "a", "A", 0, 0 }, { "a", "A", 1, 1 },
		{ "A", "a", 1, 1 }, { "[", "{", 1, 0 }, /* 0x20 apart, and no letters */
		{ "@", "`", 1, 0 }, { "abc", "a?c", 0, 1 }, { "abc", "a?", 0, 0 },
		{ "abc", "?*?", 0, 1 }, { "a", "?*?", 0, 0 },
		{ "host.example.com", "*.example.com", 0, 1 },
		{ "example.com", "*.example.com", 0, 0 },
		{ "a.example.com.evil", "*.example.com", 0, 0 }, { "abab", "*ab", 0, 1 },
		{ "ababa", "*ab", 0, 0 }, { "aXbXc", "a*b*c", 0, 1 }, { "aXbXd", "a*b*c", 0, 0 },
		{ "[host]:22", "[host]:22", 0, 1 }, /* brackets are no character class */
		{ "h", "[host]", 0, 0 }, { "[a.b]:2222", "[*.b]:2222", 0, 1 },
		{ "a*b", "a\\*b", 0, 0 }, /* nothing escapes */
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		int got = smx_pattern_match(
			view(cases[i].text), view(cases[i].pattern), cases[i].ignore_case);

		if (got != cases[i].want)
			fail_msg("\"%s\" against \"%s\": %d", cases[i].text, cases[i].pattern, got);
	}
}

static void k1_list_negation_table(void **state)
{
	static const struct {
		const char *text, *list;
		int want;
	} cases[] = {
		{ "a", "", 0 },
		{ "a", ",", 0 },
		{ "", ",", 0 },
		{ "", "!", 0 },
		{ "a", "!", 0 },
		{ "a", "a", 1 },
		{ "a", "b,a", 1 },
		{ "a", "b,,a,", 1 },
		{ "a", "!a", -1 },
		{ "a", "*,!a", -1 },
		{ "a", "!a,*", -1 },
		{ "b", "*,!a", 1 },
		{ "b", "!a", 0 }, /* not being excluded is no match */
		{ "A", "!a,*", -1 },
		{ "x.example", "*.example,!?.example", -1 },
		{ "xy.example", "*.example,!?.example", 1 },
		{ "!a", "!!a", -1 }, /* one '!' negates, the rest is the pattern */
		{ "a,b", "a,b", 0 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		int got = smx_pattern_list_match(view(cases[i].text), view(cases[i].list), 1);

		if (got != cases[i].want)
			fail_msg("\"%s\" against \"%s\": %d", cases[i].text, cases[i].list, got);
	}
}

/* The definition, in exponential time. */
static int naive(const char *text, const char *pattern)
{
	if (!*pattern)
		return !*text;
	if (*pattern == '*')
		return naive(text, pattern + 1) || (*text && naive(text + 1, pattern));
	return *text && (*pattern == '?' || *pattern == *text) && naive(text + 1, pattern + 1);
}

/* The number'th string over the letters, shortest first. */
static void spell(unsigned number, const char *letters, char *out)
{
	unsigned base = (unsigned)strlen(letters);

	while (number > 0) {
		number--;
		*out++ = letters[number % base];
		number /= base;
	}
	*out = '\0';
}

static void k1_equals_the_definition(void **state)
{
	char text[16], pattern[16];

	(void)state;
	for (unsigned p = 0; p < 5461; p++) { /* up to 6 of 4 letters */
		spell(p, "ab*?", pattern);
		for (unsigned t = 0; t < 127; t++) { /* up to 6 of 2 */
			spell(t, "ab", text);
			if (smx_pattern_match(view(text), view(pattern), 0) != naive(text, pattern))
				fail_msg("\"%s\" against \"%s\"", text, pattern);
		}
	}
}

/* "*a*a*a…b": what makes a recursive matcher run for years. */
static void k1_hostile_pattern_takes_bounded_time(void **state)
{
	enum { TEXT = 1024, STARS = 8192 };
	static char text[TEXT], pattern[2 * STARS + 1];
	clock_t start = clock();

	(void)state;
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < STARS; i++)
		memcpy(pattern + 2 * i, i < 500 ? "*a" : "**", 2);
	pattern[2 * STARS] = 'b';
	assert_int_equal(smx_pattern_match(smx_view_of(text, sizeof(text)),
				 smx_view_of(pattern, sizeof(pattern)), 1),
		0);
	assert_true((clock() - start) / CLOCKS_PER_SEC < 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(k1_pattern_table),
		cmocka_unit_test(k1_list_negation_table),
		cmocka_unit_test(k1_equals_the_definition),
		cmocka_unit_test(k1_hostile_pattern_takes_bounded_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
