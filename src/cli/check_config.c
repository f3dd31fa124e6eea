/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return SMX_EXIT_SOFTWARE;
}

const struct smx_command smx_cmd_check_config = {
	.name = "check-config",
	.summary = "check the routes file and the authorised keys",
	.usage = "usage: ssh-mux check-config\n",
	.run = run,
};
