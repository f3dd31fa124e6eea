/* SPDX-License-Identifier: MIT */
/* What a command line of OpenSSH's ssh asks for, where ssh itself does not tell in time (W3). */
#ifndef SMX_CONFIG_SSH_ARGS_H
#define SMX_CONFIG_SSH_ARGS_H

#include <stdint.h>

#include "base/wire.h"

/*
 * The target of -W, HOST:PORT or [HOST]:PORT. args: words, each with its NUL, the program's name
 * first. *ret_host_view points into args. SMX_ENOTFOUND: there is none, or one that only ssh can
 * read (a port with a name).
 */
int smx_ssh_args_stdio_forward(
	struct smx_view args, struct smx_view *ret_host_view, uint32_t *ret_port);

#endif
