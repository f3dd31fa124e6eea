/* SPDX-License-Identifier: MIT */
/* What `connect` and `login` take: a route, user@route[:port] or user@host[:port]. */
#ifndef SMX_CLI_SESSION_TARGET_H
#define SMX_CLI_SESSION_TARGET_H

#include <stdint.h>

#include "config/names.h"

/* A route, or a user at a host. */
struct smx_cli_target {
	const char *route; /* NULL: the rest counts */
	char user[SMX_USER_MAX + 1], host[SMX_HOST_MAX + 1];
	uint64_t port; /* 0: not told */
};

/*
 * text as it stands on the command line of `command`; borrowed. 0 or the exit code, after saying
 * why.
 */
int smx_cli_target_take(struct smx_cli_target *t, const char *command, const char *text);

#endif
