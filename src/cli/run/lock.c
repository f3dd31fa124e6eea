/* SPDX-License-Identifier: MIT */
/* ssh-mux lock (P8). */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	static const struct option options[] = { SMX_CLI_COMMON_OPTIONS };
	int r;

	if (smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_lock, &r) == -2)
		return r;
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_lock)) != 0)
		return r;
	return smx_cli_client_simple(SMX_CONTROL_LOCK);
}

const struct smx_command smx_cmd_lock = {
	.name = "lock",
	.summary = "refuse new sessions, keep the open ones",
	.usage = "usage: ssh-mux lock\n"
		 "\n"
		 "Refuse new sessions and forwards, and those that still wait for a login, until\n"
		 "`ssh-mux unlock`; open ones go on.\n"
		 "\n"
		 "  -h, --help     show this text\n"
		 "  -V, --version  show the version\n",
	.run = run,
};
