/* SPDX-License-Identifier: MIT */
/*
 * A program as the carrier of a link (R7): what ssh calls a ProxyCommand, for hosts that no TCP
 * connection reaches (AWS SSM, cloudflared, IAP, a proxy). One process per connection, without a
 * shell, in a session of its own, so that it has no terminal to ask at. It ends with its link.
 */
#ifndef SMX_MUX_NET_PROGRAM_H
#define SMX_MUX_NET_PROGRAM_H

#include "mux/core/link.h"
#include "mux/core/mux.h"

#define PROGRAM_SAID_MAX 256 /* of the last line that it wrote to stderr */

struct program;

/*
 * Starts the transport of hop. said: called with each line that it writes to stderr, cleaned of
 * what a terminal would obey (A7), as long as it has a link. On an error *why is what to tell a
 * person. SMX_ENOTFOUND, SMX_EDENIED: there is no such program, or it may not be run. SMX_ENOMEM.
 */
int program_new(struct mux *m, const struct smx_hop *hop, void (*said)(void *arg, const char *line),
	void *arg, struct program **ret, char *why, size_t why_size);
struct carrier *program_carrier(struct program *p);

#endif
