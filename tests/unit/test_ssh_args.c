/* SPDX-License-Identifier: MIT */
/* W3: which target ssh's command line names for -W. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "config/ssh_args.h"

/* words: separated by '|'; want: "HOST PORT", or NULL. */
static void check(const char *words, const char *want)
{
	struct smx_view host = { NULL, 0 };
	char text[512], got[512] = "";
	uint32_t port = 0;
	size_t len = strlen(words) + 1;
	int r;

	memcpy(text, words, len);
	for (size_t i = 0; i < len; i++)
		if (text[i] == '|')
			text[i] = '\0';
	r = smx_ssh_args_stdio_forward(smx_view_of(text, len), &host, &port);
	if (!want) {
		assert_int_equal(r, SMX_ENOTFOUND);
		assert_null(host.p);
		return;
	}
	assert_int_equal(r, 0);
	(void)snprintf(
		got, sizeof(got), "%.*s %u", (int)host.len, (const char *)host.p, (unsigned)port);
	assert_string_equal(got, want);
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
	assert_int_equal(
		smx_ssh_args_stdio_forward(smx_view_of("ssh", 3), NULL, NULL), SMX_ENOTFOUND);
	assert_int_equal(smx_ssh_args_stdio_forward(smx_view_of("", 0), NULL, NULL), SMX_ENOTFOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(w3_where_the_target_is),
		cmocka_unit_test(w3_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
