/* SPDX-License-Identifier: MIT */
/* What the parts of hosts_conf share. Private to src/sshconf/hosts_*.c. */
#ifndef SMX_SSHCONF_HOSTS_CONF_INT_H
#define SMX_SSHCONF_HOSTS_CONF_INT_H

#include "sshconf/hosts_conf.h"

#define HOSTS_MARK    "# Made by ssh-mux setup-config"
#define HOSTS_CONTROL " --via control"

#define HOSTS_LEFT "is left to ssh."

enum hosts_quoting {
	QUOTE_PERCENT = 1, /* tokens are expanded */
	QUOTE_GLOB = 2, /* patterns are matched */
};

/* Appends an argument of ssh_config in double quotes. */
int hosts_put_quoted(struct smx_buf *out, const char *s, int quoting);
/* Appends a line of a block, "    OPTION "PATH"", tokens in the path taken literally. */
int hosts_put_path(struct smx_buf *out, const char *option, const char *path);

/* Appends the comment that says so of a route. */
int hosts_put_left(struct smx_buf *out, const char *route);

/* hosts_control.c: the file for the control sockets. */
int hosts_control_write(
	const struct smx_routes *routes, const struct smx_hosts_conf *o, struct smx_buf *out);

#endif
