/* SPDX-License-Identifier: MIT */
/* What a client of a control socket has said about being asked (W7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mux/ask/caller_ask.h"
#include "mux/ask/caller_config.h"

#define BATCH(...) is_batch((const char *const[]){ "ssh", __VA_ARGS__, NULL })

static int is_batch(const char *const *args)
{
	char all[512];
	size_t n = 0;

	for (; *args; args++) {
		memcpy(all + n, *args, strlen(*args) + 1);
		n += strlen(*args) + 1;
	}
	return caller_args_are_batch(all, n);
}

static void W7_batch_mode_in_arguments(void **state)
{
	(void)state;
	assert_true(BATCH("-o", "BatchMode=yes", "web"));
	assert_true(BATCH("-oBatchMode=yes", "web"));
	assert_true(BATCH("web", "-o", "batchmode yes"));
	assert_true(BATCH("-o", " BatchMode \t= \"true\"", "web"));
	assert_true(BATCH("-v", "-o", "Port=1", "-oBATCHMODE=Yes", "web", "true"));
	assert_false(BATCH("web"));
	assert_false(BATCH("-o", "BatchMode=no", "web"));
	assert_false(BATCH("-o", "BatchModes=yes", "web"));
	assert_false(BATCH("-o", "BatchMode", "web"));
	assert_false(BATCH("-o"));
	assert_false(BATCH("web", "echo", "BatchMode=yes"));
	/* ssh takes the first. */
	assert_false(BATCH("-oBatchMode=no", "-oBatchMode=yes", "web"));
	assert_false(caller_args_are_batch("", 0));
}

static struct caller_settings parsed(const char *text)
{
	struct caller_settings s = { 1, 1 };

	caller_settings_parse((struct smx_view){ (const uint8_t *)text, strlen(text) }, &s);
	return s;
}

static void W7_settings_of_ssh_G(void **state)
{
	char text[400];

	(void)state;
	assert_false(parsed("").is_batch);
	assert_int_equal(parsed("").connect_timeout_ms, 0);
	assert_true(parsed("user me\nbatchmode yes\nport 22\n").is_batch);
	assert_false(parsed("user me\nbatchmode no\nport 22\n").is_batch);
	assert_true(parsed("batchmode yes").is_batch);
	assert_int_equal(parsed("connecttimeout 7\n").connect_timeout_ms, 7000);
	assert_int_equal(parsed("connecttimeout none\n").connect_timeout_ms, 0);
	assert_false(parsed("x batchmode yes\n").is_batch);
	memset(text, 'x', sizeof(text));
	memcpy(text + 300, "\nbatchmode yes\n", sizeof("\nbatchmode yes\n"));
	assert_true(parsed(text).is_batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(W7_batch_mode_in_arguments),
		cmocka_unit_test(W7_settings_of_ssh_G),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
