/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return SMX_EXIT_SOFTWARE;
}

const struct smx_command smx_cmd_install = {
	.name = "install",
	.summary = "import, set up and start at login, in one go",
	.usage = "usage: ssh-mux install\n",
	.run = run,
};
