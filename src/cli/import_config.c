/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return SMX_EXIT_SOFTWARE;
}

const struct smx_command smx_cmd_import_config = {
	.name = "import-config",
	.summary = "routes from an existing ssh config",
	.usage = "usage: ssh-mux import-config\n",
	.run = run,
};
