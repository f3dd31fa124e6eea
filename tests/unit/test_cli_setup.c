/* SPDX-License-Identifier: MIT */
/* C1: the local server's key in its file; and the diff of a dry run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "cli/sshconf/diff.h"
#include "cli/sshconf/setup.h"
#include "trust_data.h"
#include "util_data.h"

/* ---- ssh-mux-known-hosts ----------------------------------------------------------------------
 */

struct known_case {
	const char *old, *want; /* want NULL: refused; equal to old: left as it is */
	int is_replaced;
};

#define A "ssh-mux $ed25519_a\n"

static const struct known_case known_cases[] = {
	{ "", A, 0 },
	{ A, A, 0 },
	{ "# mine\nother $ed25519_b\n" A, "# mine\nother $ed25519_b\n" A, 0 },
	{ "# mine\nother $ed25519_b\n", "# mine\nother $ed25519_b\n" A, 0 },
	{ "other $ed25519_b", "other $ed25519_b\n" A, 0 },
	{ "ssh-mux,other $ed25519_a\n", "ssh-mux,other $ed25519_a\n", 0 },
	/* A key of another type says nothing about this one. */
	{ "ssh-mux $rsa_a\n", "ssh-mux $rsa_a\n" A, 0 },
	/* The server has a new key. */
	{ "ssh-mux $ed25519_b\n", A, 1 },
	{ "x $ed25519_b\nssh-mux $ed25519_b old\n\n#end\n", "x $ed25519_b\n\n#end\n" A, 1 },
	{ "ssh-mux $ed25519_b", A, 1 },
	/* Not ours to take apart, or to overrule. */
	{ "ssh-mux,other $ed25519_b\n", NULL, 0 },
	{ "ssh-* $ed25519_b\n", NULL, 0 },
	{ "@revoked ssh-mux $ed25519_a\n", NULL, 0 },
	{ "@revoked * $ed25519_a\n" A, NULL, 0 },
};

static int edit(const char *old, struct smx_buf *out, struct smx_buf *err, int *ret_replaced)
{
	struct smx_buf blob, text;
	struct smx_setup_known known = { .path = "/d/ssh-mux-known-hosts", .alias = "ssh-mux" };
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&text, 65536);
	data_put_blob("ed25519_a", &blob);
	data_expand(old, &text);
	known.blob = smx_buf_as_view(&blob);
	r = smx_setup_known_edit(&known, smx_buf_as_view(&text), !*old, out, err);
	*ret_replaced = known.is_replaced;
	smx_buf_release(&blob);
	smx_buf_release(&text);
	return r;
}

static void C1_the_servers_key_is_there_once_and_nothing_else_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(known_cases); i++) {
		const struct known_case *c = &known_cases[i];
		struct smx_buf out, err, want;
		int r, replaced = 0;

		smx_buf_init(&out, 65536);
		smx_buf_init(&err, 4096);
		smx_buf_init(&want, 65536);
		r = edit(c->old, &out, &err, &replaced);
		if (!c->want) {
			assert_int_equal(r, SMX_ESYNTAX);
			assert_non_null(strstr(smx_buf_cstr(&err), "/d/ssh-mux-known-hosts:1 "));
		} else if (c->want == c->old || strcmp(c->want, c->old) == 0) {
			if (r != 1)
				fail_msg("case %zu: %d", i, r);
		} else {
			data_expand(c->want, &want);
			assert_int_equal(r, 0);
			assert_string_equal(smx_buf_cstr(&out), smx_buf_cstr(&want));
			assert_int_equal(replaced, c->is_replaced);
		}
		smx_buf_release(&out);
		smx_buf_release(&err);
		smx_buf_release(&want);
	}
}

/* ---- the diff ---------------------------------------------------------------------------------
 */

static int diff(const char *before, const char *after, struct smx_buf *out)
{
	struct smx_diff d = { .path = "/f", .before = test_str(before), .after = test_str(after) };

	return smx_cli_diff(&d, out);
}

static void C2_dry_run_shows_a_unified_diff(void **state)
{
	static const char *const cases[][3] = {
		{ "", "", "" },
		{ "a\n", "a\n", "" },
		{ "", "a\n", "--- /f\n+++ /f\n@@ -0,0 +1 @@\n+a\n" },
		{ "a\n", "", "--- /f\n+++ /f\n@@ -1 +0,0 @@\n-a\n" },
		{ "a", "a\n",
			"--- /f\n+++ /f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n" },
		{ "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "0\n1\n2\n3\n4\n5\n6\n7\n8\nx\n",
			"--- /f\n+++ /f\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n"
			"@@ -6,4 +7,4 @@\n 6\n 7\n 8\n-9\n+x\n" },
		{ "1\n2\n3\n4\n5\n6\n", "x\n2\n3\n4\n5\ny\n",
			"--- /f\n+++ /f\n@@ -1,6 +1,6 @@\n-1\n+x\n 2\n 3\n 4\n 5\n-6\n+y\n" },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_buf out;

		smx_buf_init(&out, 65536);
		assert_int_equal(diff(cases[i][0], cases[i][1], &out), 0);
		assert_string_equal(smx_buf_cstr(&out), cases[i][2]);
		smx_buf_release(&out);
	}
}

static const char *line_end(const char *s)
{
	return s + strcspn(s, "\n") + 1;
}

/* What patch(1) would make of it. */
static void patch(const char *before, const char *d, struct smx_buf *out)
{
	unsigned at = 1;

	d = line_end(line_end(d));
	while (*d) {
		char op = *d;

		if (op == '@') {
			unsigned first, count = 1;

			assert_true(sscanf(d, "@@ -%u,%u", &first, &count) >= 1);
			for (first += count == 0; at < first; at++) {
				const char *end = line_end(before);

				assert_int_equal(
					smx_buf_put(out, before, (size_t)(end - before)), 0);
				before = end;
			}
		}
		if (op == '+' || op == ' ')
			assert_int_equal(smx_buf_put(out, d + 1, (size_t)(line_end(d) - d) - 1), 0);
		if (op == '-' || op == ' ') {
			assert_memory_equal(before, d + 1, (size_t)(line_end(d) - d) - 1);
			before = line_end(before);
			at++;
		}
		d = line_end(d);
	}
	assert_int_equal(smx_buf_put_str(out, before), 0);
}

static void some_text(uint32_t *seed, unsigned lines, unsigned letters, struct smx_buf *out)
{
	while (lines-- > 0)
		assert_int_equal(smx_buf_printf(out, "%c\n", 'a' + test_rand(seed) % letters), 0);
}

static void C2_the_diff_leads_from_one_text_to_the_other(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (int i = 0; i < 400; i++) {
		/* The last have more lines than are compared. */
		unsigned size = i < 395 ? 1 + test_rand(&seed) % 40 : 3000;
		struct smx_buf a, b, d, made;

		smx_buf_init(&a, 65536);
		smx_buf_init(&b, 65536);
		smx_buf_init(&d, 1 << 20);
		smx_buf_init(&made, 65536);
		some_text(&seed, test_rand(&seed) % size, 2 + test_rand(&seed) % 4, &a);
		some_text(&seed, test_rand(&seed) % size, 2 + test_rand(&seed) % 20, &b);
		assert_int_equal(diff(smx_buf_cstr(&a), smx_buf_cstr(&b), &d), 0);
		if (smx_buf_len(&d))
			patch(smx_buf_cstr(&a), smx_buf_cstr(&d), &made);
		else
			assert_int_equal(smx_buf_put(&made, smx_buf_view(&a), smx_buf_len(&a)), 0);
		assert_string_equal(smx_buf_cstr(&made), smx_buf_cstr(&b));
		smx_buf_release(&a);
		smx_buf_release(&b);
		smx_buf_release(&d);
		smx_buf_release(&made);
	}
}

static void A7_the_diff_is_fit_for_a_terminal(void **state)
{
	struct smx_diff d = { .path = "/f",
		.after = test_str("x\033]0;boo\007y\r\n"),
		.is_new = 1,
		.colour = 1,
		.sanitize = 1 };
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 4096);
	assert_int_equal(smx_cli_diff(&d, &out), 0);
	assert_non_null(strstr(smx_buf_cstr(&out), "\033[32m+xy\033[0m\n"));
	assert_non_null(strstr(smx_buf_cstr(&out), "--- /dev/null"));
	smx_buf_release(&out);
}

static void failing_memory(void **state)
{
	long before = smx_mem_alive();
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r == SMX_ENOMEM; n++) {
		struct smx_buf out, blob;
		struct smx_setup_known known = { .path = "/d/f", .alias = "ssh-mux" };

		smx_buf_init(&out, 65536);
		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		data_put_blob("ed25519_a", &blob);
		known.blob = smx_buf_as_view(&blob);
		smx_mem_fail_after(n);
		(void)((r = diff("a\nb\nc\n", "b\nd\n", &out)) != 0 ||
			(r = smx_setup_known_edit(
				 &known, test_str("ssh-mux x\n"), 0, &out, NULL)) != 0);
		smx_mem_fail_after(-1);
		smx_buf_release(&out);
		smx_buf_release(&blob);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(n < 1000);
	}
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(C1_the_servers_key_is_there_once_and_nothing_else_changes),
		cmocka_unit_test(C2_dry_run_shows_a_unified_diff),
		cmocka_unit_test(C2_the_diff_leads_from_one_text_to_the_other),
		cmocka_unit_test(A7_the_diff_is_fit_for_a_terminal),
		cmocka_unit_test(failing_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
