/* SPDX-License-Identifier: MIT */
/* What doctor makes of editors' settings, and how it writes what it says (B10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/doctor/doctor.h"
#include "os/path.h"

#define KEY "remote.SSH.path"

/* B10: the value at the top level and nowhere else, whatever comments and commas are about. */
static void B10_setting_is_found(void **state)
{
	static const struct {
		const char *text, *value; /* NULL: it is not there */
	} cases[] = {
		{ "{\"" KEY "\": \"/usr/bin/ssh\"}", "/usr/bin/ssh" },
		{ "{\"" KEY "\":60}", "60" },
		{ "{\"" KEY "\":true,}", "true" },
		{ "{\"a\":\"b\",\"" KEY "\" : null}", "null" },
		{ "{ // \"" KEY "\": 1\n \"" KEY "\": 2 }", "2" },
		{ "{ /* \"" KEY "\": 1 */ \"" KEY "\" /* : */ : /**/ 2 }", "2" },
		{ "{ // \"" KEY "\": 1\n }", NULL },
		{ "{ /* \"" KEY "\": 1 }", NULL },
		{ "{\"[x]\": {\"" KEY "\": 1}}", NULL },
		{ "{\"list\": [\"" KEY "\", 1]}", NULL },
		{ "{\"x\": \"\\\"" KEY "\\\": 1\"}", NULL },
		{ "{\"x\": \"// no comment\", \"" KEY "\": 3}", "3" },
		{ "{\"" KEY "\": 1, \"" KEY "\": 2}", "2" }, /* the last one counts */
		{ "{\"" KEY "\": \"C:\\\\ssh.exe\"}", "C:\\ssh.exe" },
		{ "{\"" KEY "\": \"a\\\"b\"}", "a\"b" },
		{ "{\"" KEY "\": \"\"}", "" },
		{ "{\"" KEY "x\": 1}", NULL },
		{ "{\"" KEY "\"}", NULL },
		{ "{\"" KEY "\":", NULL },
		{ "\"" KEY "\": 1", NULL },
		{ "}}}{\"" KEY "\": 1}", "1" },
		{ "", NULL },
		{ "{\"", NULL },
		{ "/", NULL },
		{ "/*", NULL },
		{ "{\"" KEY "\": \"\\", "\\" },
	};
	char value[32];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);
		/* Without room behind it, so that reading too far is seen. */
		char *text = malloc(n ? n : 1);
		int found;

		assert_non_null(text);
		memcpy(text, cases[i].text, n);
		found = doctor_setting(smx_view_of(text, n), KEY, value, sizeof(value));
		if (found != (cases[i].value != NULL) ||
			(found && strcmp(value, cases[i].value) != 0))
			fail_msg("%s: %s", cases[i].text, found ? value : "(none)");
		free(text);
	}
}

/* B10: every prefix of a text and every broken byte of it is taken as it comes. */
static void B10_setting_survives_anything(void **state)
{
	static const char whole[] = "{/* c */\"" KEY "\": \"a\\u0041\\n\", // d\n\"b\": [1,{}]}";
	char value[8];

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++) {
		char *text = malloc(n ? n : 1);

		assert_non_null(text);
		memcpy(text, whole, n);
		(void)doctor_setting(smx_view_of(text, n), KEY, value, sizeof(value));
		for (size_t i = 0; i < n; i++)
			for (int bit = 0; bit < 8; bit++) {
				text[i] = (char)(text[i] ^ 1 << bit);
				if (doctor_setting(smx_view_of(text, n), KEY, value, sizeof(value)))
					assert_true(strlen(value) < sizeof(value));
				text[i] = (char)(text[i] ^ 1 << bit);
			}
		free(text);
	}
}

/* B10: what is to be typed means the path and nothing else to a shell. */
static void B10_paths_are_quoted_for_a_shell(void **state)
{
	/* As it is typed into a shell of Unix, and into those of Windows. */
	static const char *const cases[][3] = {
		{ "/a/b-c_1.pub", "/a/b-c_1.pub", "/a/b-c_1.pub" },
		{ "/a b", "'/a b'", "\"/a b\"" },
		{ "it's", "'it'\\''s'", "\"it's\"" },
		{ "", "''", "\"\"" },
		{ "$(x)", "'$(x)'", "\"$(x)\"" },
		{ "a;b", "'a;b'", "\"a;b\"" },
		{ "~", "'~'", "\"~\"" },
	};
	int which = smx_os_path_is_absolute("/a") ? 1 : 2;
	struct doctor *d = calloc(1, sizeof(*d));
	char path[2 * SMX_OS_PATH_MAX];

	(void)state;
	assert_non_null(d);
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++)
		assert_string_equal(doctor_quote(d, cases[i][0]), cases[i][which]);
	memset(path, '\'', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_true(strlen(doctor_quote(d, path)) < SMX_OS_PATH_MAX);
	free(d);
}

static void B10_long_lists_are_cut(void **state)
{
	struct doctor_names names = { 0 };
	char longest[300];

	(void)state;
	doctor_name_add(&names, "a");
	assert_string_equal(doctor_names_text(&names), "a");
	doctor_name_add(&names, "b");
	doctor_name_add(&names, "c");
	assert_string_equal(names.text, "a, b, c");
	doctor_name_add(&names, "d");
	doctor_name_add(&names, "e");
	assert_string_equal(doctor_names_text(&names), "a, b, c and 2 more");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	names = (struct doctor_names){ 0 };
	for (int i = 0; i < 5; i++)
		doctor_name_add(&names, longest);
	assert_non_null(strstr(doctor_names_text(&names), " and 2 more"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B10_setting_is_found),
		cmocka_unit_test(B10_setting_survives_anything),
		cmocka_unit_test(B10_paths_are_quoted_for_a_shell),
		cmocka_unit_test(B10_long_lists_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
