/* SPDX-License-Identifier: MIT */
/* W7: BatchMode on the command line of the ssh that runs `proxy`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/cli.h"

/* Takes the place of the daemon in the command line's library; never called here. */
int smx_daemon_run(const struct smx_serve_options *opts)
{
	(void)opts;
	return 0;
}

/* clang-format off */
#define ARGS(text) { (const uint8_t *)text, sizeof(text) }
/* clang-format on */

static void W7_batch_mode_is_read_as_ssh_reads_it(void **state)
{
	static const struct {
		struct smx_view args;
		int is_batch;
	} cases[] = {
		{ ARGS("ssh\0web\0true"), 0 },
		{ ARGS("ssh\0-o\0BatchMode=yes\0web"), 1 },
		{ ARGS("/usr/bin/ssh\0-oBatchMode=yes\0web"), 1 },
		{ ARGS("ssh\0-o\0batchmode yes\0web"), 1 },
		{ ARGS("ssh\0-oBatchmode = true\0web"), 1 },
		{ ARGS("ssh\0-xoBatchMode=yes\0web"), 1 },
		{ ARGS("ssh\0-oBatchMode=\"yes\"\0web"), 1 },
		{ ARGS("ssh\0-p\0"
		       "22\0-oBatchMode=yes\0web"),
			1 },
		{ ARGS("ssh\0web\0-oBatchMode=yes\0true"), 1 },
		/* The first one counts. */
		{ ARGS("ssh\0-oBatchMode=no\0-oBatchMode=yes\0web"), 0 },
		/* Words of other options, and of the command. */
		{ ARGS("ssh\0-l\0-oBatchMode=yes\0web"), 0 },
		{ ARGS("ssh\0web\0ssh\0-oBatchMode=yes\0other"), 0 },
		{ ARGS("ssh\0web\0--\0-oBatchMode=yes"), 0 },
		{ ARGS("ssh\0-oBatchModeX=yes\0web"), 0 },
		{ ARGS("ssh\0web\0-o"), 0 },
		{ ARGS("ssh\0-"), 0 },
		{ ARGS("sh\0-oBatchMode=yes\0web"), 0 },
		{ { (const uint8_t *)"ssh", 3 }, 0 }, /* without an end */
		{ { NULL, 0 }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++)
		if (smx_cli_args_have_batch(cases[i].args) != cases[i].is_batch)
			fail_msg("case %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(W7_batch_mode_is_read_as_ssh_reads_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
