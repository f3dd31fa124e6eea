/* SPDX-License-Identifier: MIT */
/* ssh-mux helper: what the confined daemon starts to start programs for it (H3). */
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/run/log.h"
#include "mux/core/helper.h"
#include "os/path.h"

static int run(int argc, char **argv)
{
	char *log_path = NULL;
	int r = SMX_EUNSUPPORTED;

	if (argc == 2 || argc == 3) {
		r = smx_os_path_join(argv[1], SMX_LOG_FILE, &log_path);
		if (r == 0)
			r = helper_serve(argv[1], log_path, argc == 3 ? argv[2] : NULL);
		smx_free(log_path);
	}
	if (r == SMX_EUNSUPPORTED)
		return smx_cli_fail(SMX_EXIT_USAGE, "it is not for people",
			"helper: the daemon runs this by itself");
	return r == 0 ? SMX_EXIT_OK : smx_cli_exit_code(r);
}

const struct smx_command smx_cmd_helper = {
	.name = "helper",
	.summary = "start programs for the daemon",
	.usage =
		"usage: ssh-mux helper SSH_DIRECTORY [ROUTES]\n"
		"\n"
		"Run by the daemon, which can't start programs once it is confined: the pinentry,\n"
		"the transports that ROUTES names, and what asks a client's questions.\n",
	.run = run,
	.hears_secrets = 1,
};
