/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return SMX_EXIT_SOFTWARE;
}

const struct smx_command smx_cmd_setup_config = {
	.name = "setup-config",
	.summary = "tell ssh about the routes",
	.usage = "usage: ssh-mux setup-config\n",
	.run = run,
};
