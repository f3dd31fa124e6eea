/* SPDX-License-Identifier: MIT */
/*
 * The control sockets (W2, B6): one per route, at which OpenSSH's clients find the pooled
 * connection as if an `ssh -M` were its master. The name of a socket is the whole request,
 *
 *	ROUTE=USER@HOST:PORT
 *
 * which is `%n=%r@%h:%p` in a ControlPath: who asks for another user, host or port finds no socket
 * and goes directly (W1). Where that would be too long, it is a hash of them
 * (config/socket_name.h).
 */
#ifndef SMX_MUX_DOORS_MASTER_H
#define SMX_MUX_DOORS_MASTER_H

#include "config/routes.h"
#include "mux/core/mux.h"

/* Each costs a descriptor. Routes beyond have none. */
#define MASTER_SOCKETS_MAX 1024

/* Makes the sockets. Without them everything else works: what is wrong is logged. */
void master_open(struct mux *m);
/* There is another table of routes (B10): sockets of routes that are gone go, new ones come. */
void master_sync(struct mux *m);
/* Removes the sockets, and ends who is there and has no channel. */
void master_close(struct mux *m);
void master_tick(struct mux *m);
/* Where the socket of a route is: 0 and a text of at most size bytes, or SMX_ENOTFOUND. */
int master_path(const struct mux *m, const struct smx_route *route, char *out, size_t size);

#endif
