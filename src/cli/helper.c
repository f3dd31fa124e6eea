/* SPDX-License-Identifier: MIT */
/* ssh-mux helper: what the confined daemon starts to start programs for it (H3). */
#include "base/err.h"
#include "cli/cli.h"
#include "mux/helper.h"

static int run(int argc, char **argv)
{
	int r;

	r = argc > 2 ? SMX_EUNSUPPORTED : helper_serve(argc == 2 ? argv[1] : NULL);
	if (r == SMX_EUNSUPPORTED)
		return smx_cli_fail(SMX_EXIT_USAGE, "it is not for people",
			"helper: the daemon runs this by itself");
	return r == 0 ? SMX_EXIT_OK : smx_cli_exit_code(r);
}

const struct smx_command smx_cmd_helper = {
	.name = "helper",
	.summary = "start programs for the daemon",
	.usage =
		"usage: ssh-mux helper [ROUTES]\n"
		"\n"
		"Run by the daemon, which can't start programs once it is confined: the pinentry,\n"
		"the transports that ROUTES names, and what asks a client's questions.\n",
	.run = run,
	.hears_secrets = 1,
};
