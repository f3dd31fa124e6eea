/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return SMX_EXIT_SOFTWARE;
}

const struct smx_command smx_cmd_doctor = {
	.name = "doctor",
	.summary = "find what is wrong, and say what to do",
	.usage = "usage: ssh-mux doctor\n",
	.run = run,
};
