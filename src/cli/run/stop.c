/* SPDX-License-Identifier: MIT */
/* ssh-mux stop. */
#include "cli/cli.h"

static int stop(void)
{
	struct smx_control_answer answer;
	struct smx_cli_client c;
	struct smx_view line;
	int64_t id;
	int r;

	if ((r = smx_cli_client_open(&c)) != 0)
		return r;
	/* It hangs up once its endpoint is free: `stop` followed by `serve` works. */
	if ((r = smx_cli_client_send(&c, SMX_CONTROL_STOP, &id)) == 0 &&
		(r = smx_cli_client_answer(&c, id, &line, &answer)) == 0)
		r = smx_cli_client_wait_end(&c);
	smx_cli_client_close(&c);
	return r;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { SMX_CLI_COMMON_OPTIONS };
	int r;

	if (smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_stop, &r) == -2)
		return r;
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_stop)) != 0)
		return r;
	return stop();
}

const struct smx_command smx_cmd_stop = {
	.name = "stop",
	.summary = "close all connections and end the daemon",
	.usage = "usage: ssh-mux stop\n"
		 "\n"
		 "Close all connections, end the daemon, and wait until it has ended.\n"
		 "\n"
		 "  -h, --help     show this text\n"
		 "  -V, --version  show the version\n",
	.run = run,
};
