/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return SMX_EXIT_SOFTWARE;
}

const struct smx_command smx_cmd_uninstall = {
	.name = "uninstall",
	.summary = "stop, and remove what install made",
	.usage = "usage: ssh-mux uninstall\n",
	.run = run,
};
