/* SPDX-License-Identifier: MIT */
/* R3: TOML in C, with the place of everything. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/toml.h"

static struct smx_toml *parse(const char *text)
{
	struct smx_toml_error error = { 0 };
	struct smx_toml *t = NULL;
	int r = smx_toml_parse(text, strlen(text), &t, &error);

	if (r != 0)
		fail_msg("%d: %u:%u: %s", r, error.line, error.column, error.what);
	return t;
}

static void r3_values_and_places(void **state)
{
	struct smx_toml *root = parse("# head\n"
				      "flag = true\n"
				      "\n"
				      "[zebra]\n"
				      "  host = \"h\\u00e9\" # x\n"
				      "port = 0x16\n"
				      "list = [ 'a', 2,\n\tfalse ]\n"
				      "[apple.pie]\n"
				      "when = 2020-01-01\n"
				      "pi = 3.5\n"
				      "dot.ted = 'x'\n");
	const struct smx_toml *t, *u;

	(void)state;
	assert_int_equal(root->type, SMX_TOML_TABLE);
	assert_int_equal(root->n_items, 3);
	/* In the order of the text, not of the alphabet. */
	assert_string_equal(root->items[0]->key, "flag");
	assert_string_equal(root->items[1]->key, "zebra");
	assert_string_equal(root->items[2]->key, "apple");

	t = smx_toml_get(root, "flag");
	assert_int_equal(t->type, SMX_TOML_BOOLEAN);
	assert_int_equal(t->boolean, 1);
	assert_int_equal(t->key_line, 2);
	assert_int_equal(t->key_column, 1);
	assert_int_equal(t->line, 2);
	assert_int_equal(t->column, 8);

	t = smx_toml_get(root, "zebra");
	assert_int_equal(t->type, SMX_TOML_TABLE);
	assert_int_equal(t->key_line, 4);
	u = smx_toml_get(t, "host");
	assert_int_equal(u->type, SMX_TOML_STRING);
	assert_string_equal(u->string, "h\xc3\xa9");
	assert_int_equal(u->string_len, 3);
	assert_int_equal(u->key_line, 5);
	assert_int_equal(u->key_column, 3);
	assert_int_equal(u->column, 10);
	u = smx_toml_get(t, "port");
	assert_int_equal(u->type, SMX_TOML_INTEGER);
	assert_int_equal(u->integer, 22);
	u = smx_toml_get(t, "list");
	assert_int_equal(u->type, SMX_TOML_ARRAY);
	assert_int_equal(u->n_items, 3);
	assert_string_equal(u->items[0]->string, "a");
	assert_int_equal(u->items[1]->integer, 2);
	assert_int_equal(u->items[2]->type, SMX_TOML_BOOLEAN);
	assert_int_equal(u->items[2]->line, 8);
	assert_null(u->items[2]->key);

	t = smx_toml_get(smx_toml_get(root, "apple"), "pie");
	assert_int_equal(smx_toml_get(t, "when")->type, SMX_TOML_OTHER);
	assert_int_equal(smx_toml_get(t, "pi")->type, SMX_TOML_OTHER);
	assert_string_equal(smx_toml_get(smx_toml_get(t, "dot"), "ted")->string, "x");

	assert_null(smx_toml_get(root, "nothing"));
	assert_null(smx_toml_get(root, "fla"));
	assert_null(smx_toml_get(smx_toml_get(root, "flag"), "x"));
	smx_toml_free(root);
}

static void r3_empty_texts(void **state)
{
	static const char *const texts[] = { "", "\n", "# only this", "\xef\xbb\xbf", "\r\n" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(texts); i++) {
		struct smx_toml *t = parse(texts[i]);

		assert_int_equal(t->type, SMX_TOML_TABLE);
		assert_int_equal(t->n_items, 0);
		smx_toml_free(t);
	}
	smx_toml_free(NULL);
}

static void r3_nul_in_keys_and_strings_is_kept(void **state)
{
	struct smx_toml *root = parse("\"a\\u0000b\" = \"x\\u0000y\"\n");
	const struct smx_toml *t = root->items[0];

	(void)state;
	assert_int_equal(t->key_len, 3);
	assert_int_equal(t->string_len, 3);
	assert_memory_equal(t->string, "x\0y", 4);
	assert_null(smx_toml_get(root, "a")); /* not the same key */
	smx_toml_free(root);
}

static void r3_syntax_errors_have_a_place(void **state)
{
	static const struct {
		const char *text;
		unsigned line; /* of the error; 0: somewhere */
	} cases[] = {
		{ "a = \n", 1 },
		{ "a\n", 1 },
		{ "= 1\n", 1 },
		{ "\n\n[x\n", 3 },
		{ "[x]\n[x]\n", 2 },
		{ "a = 1\na = 2\n", 2 },
		{ "a = 'x\n", 1 },
		{ "a = \"x\\q\"\n", 1 },
		{ "a = \"\"\"x\n\n", 0 },
		{ "a = [1, 2\n", 0 },
		{ "a = {b = 1\n}\n", 1 },
		{ "a = 01\n", 1 },
		{ "a = 99999999999999999999\n", 1 },
		{ "a = \"\xff\"\n", 1 },
		{ "a = \"x\x01\"\n", 1 },
		{ "a = true b = 1\n", 1 },
		{ "\x1b[31m = 1\n", 1 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_toml_error error = { 0 };
		struct smx_toml *t = NULL;
		int r = smx_toml_parse(cases[i].text, strlen(cases[i].text), &t, &error);

		if (r != SMX_ESYNTAX || error.line == 0 || error.column == 0 ||
			(cases[i].line && error.line != cases[i].line) || !error.what[0])
			fail_msg("%s: %d %u:%u \"%s\"", cases[i].text, r, error.line, error.column,
				error.what);
		assert_null(t);
		for (const char *c = error.what; *c; c++)
			assert_true(*c >= 0x20 && *c < 0x7f);
	}
}

/* Builds head, then n times piece, then tail; the result of parsing it. */
static int parse_repeated(const char *head, const char *piece, size_t n, const char *tail)
{
	size_t len = strlen(head) + n * strlen(piece) + strlen(tail);
	char *text = smx_malloc(len + 1), *at = text;
	struct smx_toml_error error = { 0 };
	struct smx_toml *t = NULL;
	int r;

	assert_non_null(text);
	at += sprintf(at, "%s", head);
	for (size_t i = 0; i < n; i++)
		at += sprintf(at, "%s", piece);
	at += sprintf(at, "%s", tail);
	assert_int_equal((size_t)(at - text), len);
	r = smx_toml_parse(text, len, &t, &error);
	smx_toml_free(t);
	smx_free(text);
	return r;
}

/* Nothing nested can make toml++, or us, recurse without bound. */
/* Where white space may stand; toml++ took it for impossible there. */
static void r3_a_letter_beyond_ascii_is_no_space(void **state)
{
	static const char *const bad[] = { "\u00e9 = 1", "[\u00e9]", "[t]\nhost\u00e9 = 'x'",
		"[t]\nhost = \u0444", "\u3042 = 1" };
	struct smx_toml_error error = { 0 };
	struct smx_toml *t = NULL;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		assert_int_equal(smx_toml_parse(bad[i], strlen(bad[i]), &t, &error), SMX_ESYNTAX);
		assert_true(error.line > 0);
	}
	/* After a line that goes on it is a part of the string. */
	t = parse("a = \"\"\"\\\n \u00e9\"\"\"");
	assert_string_equal(smx_toml_get(t, "a")->string, "\u00e9");
	smx_toml_free(t);
}

static void r3_nesting_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(parse_repeated("a = ", "[", 10, "]]]]]]]]]]"), 0);
	assert_int_equal(parse_repeated("a = ", "[", 17, "]]]]]]]]]]]]]]]]]"), SMX_ESYNTAX);
	assert_int_equal(parse_repeated("a = ", "[", 500000, ""), SMX_ESYNTAX);
	assert_int_equal(parse_repeated("a = ", "{a=", 300000, ""), SMX_ESYNTAX);
	assert_int_equal(parse_repeated("a", ".a", 10, " = 1"), 0);
	assert_int_equal(parse_repeated("a", ".a", 20, " = 1"), SMX_ESYNTAX);
	assert_int_equal(parse_repeated("a", ".a", 500000, " = 1"), SMX_ESYNTAX);
	assert_int_equal(parse_repeated("[a", ".a", 500000, "]\n"), SMX_ESYNTAX);
	assert_int_equal(parse_repeated("[[a", ".a", 500000, "]]\n"), SMX_ESYNTAX);
	assert_int_equal(parse_repeated("a", ".\"a\"", 250000, " = 1"), SMX_ESYNTAX);
	assert_int_equal(
		parse_repeated("a = ", "[{a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = \n", 20000, ""),
		SMX_ESYNTAX);
	/* What looks like nesting inside strings and comments is none. */
	assert_int_equal(parse_repeated("a = '", "[{.", 1000, "'"), 0);
	assert_int_equal(parse_repeated("a = \"\\\"", "[{.", 1000, "\""), 0);
	assert_int_equal(parse_repeated("a = '''\n'' ", "[{.'", 1000, "''''\n"), 0);
	assert_int_equal(parse_repeated("a = \"\"\"\\\"\"\"\\", "\n[{.", 1000, "\"\"\"\"\"\n"), 0);
	assert_int_equal(parse_repeated("# ", "[{.", 1000, "\n"), 0);
	assert_int_equal(parse_repeated("", "a", 1, " = '' # [[[[[[[[[[[[[[[[[[[[[[\n"), 0);
	/* Many in a row are not deep. */
	assert_int_equal(parse_repeated("a = [", "[[{a.b.c = 1.5}]],\n", 5000, "]"), 0);
}

static void r3_length_is_bounded(void **state)
{
	static char text[SMX_TOML_TEXT_MAX + 1];
	struct smx_toml_error error = { 0 };
	struct smx_toml *t = NULL;

	(void)state;
	memset(text, '\n', sizeof(text));
	assert_int_equal(smx_toml_parse(text, sizeof(text), &t, &error), SMX_ESYNTAX);
	assert_int_equal(error.line, 0);
	assert_int_equal(smx_toml_parse(text, sizeof(text) - 1, &t, &error), 0);
	smx_toml_free(t);
}

static void r3_every_failing_allocation(void **state)
{
	static const char text[] = "a = 1\n[t]\nb = ['x', {c = 'y'}]\nd = true\n[t.u]\ne = 1.5\n";
	struct smx_toml_error error;
	struct smx_toml *t;
	long before = smx_mem_alive(), n = 0;
	int r;

	(void)state;
	do {
		smx_mem_fail_after(n++);
		r = smx_toml_parse(text, sizeof(text) - 1, &t, &error);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || r == SMX_ENOMEM);
		if (r == 0)
			smx_toml_free(t);
		assert_int_equal(smx_mem_alive(), before);
	} while (r != 0);
	assert_true(n > 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(r3_values_and_places),
		cmocka_unit_test(r3_empty_texts),
		cmocka_unit_test(r3_nul_in_keys_and_strings_is_kept),
		cmocka_unit_test(r3_syntax_errors_have_a_place),
		cmocka_unit_test(r3_a_letter_beyond_ascii_is_no_space),
		cmocka_unit_test(r3_nesting_is_bounded),
		cmocka_unit_test(r3_length_is_bounded),
		cmocka_unit_test(r3_every_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
