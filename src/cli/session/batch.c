/* SPDX-License-Identifier: MIT */
/*
 * W7: whether the ssh that runs this program as its ProxyCommand has BatchMode. ssh does not tell,
 * but it replaces its shell by us, so it is our parent, and its command line can be read where the
 * system lets the same user do so. BatchMode in a configuration file is not seen there.
 */
#include "cli/cli.h"

#include <string.h>

#include "os/process.h"
#include "sshconf/ssh_args.h"

#define ARGS_MAX (256 * 1024)

static int is_ssh(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strcmp(slash ? slash + 1 : program, "ssh") == 0;
}

int smx_cli_args_have_batch(struct smx_view args)
{
	struct smx_ssh_args got;

	smx_ssh_args_read(args, &got);
	return got.is_batch && is_ssh((const char *)args.p);
}

int smx_cli_is_batch(void)
{
	struct smx_buf args;
	int is_batch = 0;

	smx_buf_init(&args, ARGS_MAX);
	if (smx_os_parent_args(&args) == 0)
		is_batch = smx_cli_args_have_batch(smx_buf_as_view(&args));
	smx_buf_release(&args);
	return is_batch;
}
