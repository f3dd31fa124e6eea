/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return SMX_EXIT_SOFTWARE;
}

const struct smx_command smx_cmd_top = {
	.name = "top",
	.summary = "watch connections and channels live",
	.usage = "usage: ssh-mux top\n",
	.run = run,
};
