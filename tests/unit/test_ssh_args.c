/* SPDX-License-Identifier: MIT */
/* W3, W7: what ssh's command line asks for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sshconf/ssh_args.h"

static struct smx_ssh_args read_words(const char *words, char *text)
{
	size_t len = strlen(words) + 1;
	struct smx_ssh_args got;

	memcpy(text, words, len);
	for (size_t i = 0; i < len; i++)
		if (text[i] == '|')
			text[i] = '\0';
	smx_ssh_args_read(smx_view_of(text, len), &got);
	return got;
}

/* words: separated by '|'; want: "HOST PORT", or NULL. */
static void check(const char *words, const char *want)
{
	char text[512], shown[512];
	struct smx_ssh_args got = read_words(words, text);

	if (!want) {
		assert_int_equal(got.stdio_port, 0);
		assert_null(got.stdio_host_view.p);
		return;
	}
	(void)snprintf(shown, sizeof(shown), "%.*s %u", (int)got.stdio_host_view.len,
		(const char *)got.stdio_host_view.p, (unsigned)got.stdio_port);
	assert_string_equal(shown, want);
}

static void w7_background_and_forwards(void **state)
{
	static const struct {
		const char *words;
		int is_background, has_forwards;
	} cases[] = {
		{ "ssh|-f|-N|-L|1:a:2|gate", 1, 1 },
		{ "ssh|-fNL1:a:2|gate", 1, 1 },
		{ "ssh|gate|-fD|1080", 1, 1 },
		{ "ssh|-nfR1:a:2|gate|sleep 9", 1, 1 },
		{ "ssh|-f|gate|sleep 9", 1, 0 },
		{ "ssh|-L|1:a:2|gate|-f", 1, 1 },
		{ "ssh|-L|1:a:2|gate|tail|-f", 0, 1 },
		{ "ssh|-F|f|-l|fR|gate", 0, 0 },
		{ "ssh|-o|-f|-i|-L|gate", 0, 0 },
		{ "ssh|gate|x|-f|-L", 0, 0 },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smx_ssh_args got = read_words(cases[i].words, text);

		assert_int_equal(got.is_background, cases[i].is_background);
		assert_int_equal(got.has_forwards, cases[i].has_forwards);
	}
}

static void w3_where_the_target_is(void **state)
{
	(void)state;
	check("ssh|-W|db:22|gate", "db 22");
	check("ssh|gate|-W|db:22", "db 22");
	check("ssh|-Wdb:22|gate", "db 22");
	check("ssh|-qW|db:22|gate", "db 22");
	check("ssh|-l|me|-p|22|-vvv|-W|[db.internal]:2222|gate", "db.internal 2222");
	check("ssh|-W|[2001:db8::1]:22|gate", "2001:db8::1 22");
	check("ssh|-o|ProxyCommand=x|-oUser=y|-F|c|-W|a:65535|gate", "a 65535");
}

static void w3_what_is_none(void **state)
{
	struct smx_ssh_args got;

	(void)state;
	check("ssh|gate|cat|-W|db:22", NULL); /* words of the command */
	check("ssh|-o|-W|db:22", NULL);
	check("ssh|-i|-Wdb:22|gate", NULL);
	check("ssh|--|gate|-W|db:22", NULL);
	check("ssh|gate|x|-W", NULL);
	check("ssh|gate|-W", NULL);
	check("ssh|-W|db|gate", NULL);
	check("ssh|-W|db:|gate", NULL);
	check("ssh|-W|:22|gate", NULL);
	check("ssh|-W|db:ssh|gate", NULL);
	check("ssh|-W|db:0|gate", NULL);
	check("ssh|-W|db:65536|gate", NULL);
	check("ssh|-W|db:99999999999999999999|gate", NULL);
	check("ssh|-W|[db:22|gate", NULL);
	check("ssh|-W|[]:22|gate", NULL);
	check("ssh", NULL);
	check("", NULL);
	smx_ssh_args_read(smx_view_of("ssh", 3), &got);
	assert_int_equal(got.stdio_port, 0);
	smx_ssh_args_read(smx_view_of("", 0), &got);
	assert_int_equal(got.stdio_port, 0);
}

/* As in ssh's configuration: the first value that is found. */
static void w7_the_first_batch_mode_counts(void **state)
{
	static const struct {
		const char *words;
		int is_batch;
	} cases[] = {
		{ "ssh|-oBatchMode=yes|gate", 1 },
		{ "ssh|-oBatchMode=yes|-oBatchMode=no|gate", 1 },
		{ "ssh|-o|BatchMode no|-oBatchMode=yes|gate", 0 },
		{ "ssh|gate|x|-oBatchMode=yes", 0 },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(read_words(cases[i].words, text).is_batch, cases[i].is_batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(w3_where_the_target_is),
		cmocka_unit_test(w3_what_is_none),
		cmocka_unit_test(w7_background_and_forwards),
		cmocka_unit_test(w7_the_first_batch_mode_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
