/* SPDX-License-Identifier: MIT */
/* What a command line of OpenSSH's ssh asks for, where ssh itself does not tell in time: W3, W7 */
#ifndef SMX_SSHCONF_SSH_ARGS_H
#define SMX_SSHCONF_SSH_ARGS_H

#include <stdint.h>

#include "base/wire.h"

struct smx_ssh_args {
	/* The target of -W, HOST:PORT or [HOST]:PORT; a view into the arguments. Port 0: there is
	 * none, or one that only ssh can read (a port with a name). */
	struct smx_view stdio_host_view;
	uint32_t stdio_port;
	int is_background; /* -f */
	int has_forwards; /* -L, -R or -D */
	int has_batch; /* -o BatchMode: the first one counts */
	int is_batch;
};

/* args: words, each with its NUL, the program's name first. What is no such thing says nothing. */
void smx_ssh_args_read(struct smx_view args, struct smx_ssh_args *ret);

/* The word of an -o: 1 or 0, what its BatchMode says; -1: it is another option. */
int smx_ssh_args_batch_mode(const char *option);

#endif
