/* SPDX-License-Identifier: MIT */
/* ssh-mux unlock (P8). */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	static const struct option options[] = { SMX_CLI_COMMON_OPTIONS };
	int r;

	if (smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_unlock, &r) == -2)
		return r;
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_unlock)) != 0)
		return r;
	return smx_cli_client_simple(SMX_CONTROL_UNLOCK);
}

const struct smx_command smx_cmd_unlock = {
	.name = "unlock",
	.summary = "accept new sessions again",
	.usage = "usage: ssh-mux unlock\n"
		 "\n"
		 "Accept new sessions again after `ssh-mux lock`.\n"
		 "\n"
		 "  -h, --help     show this text\n"
		 "  -V, --version  show the version\n",
	.run = run,
};
