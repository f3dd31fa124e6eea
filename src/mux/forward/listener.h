/* SPDX-License-Identifier: MIT */
/*
 * Listeners: the sockets of `ssh -L` and `ssh -D` when a client of a control socket asks its master
 * for them (W2). Whoever comes to one becomes a channel of the route's pooled connection, under the
 * route's policy at that moment (B4).
 *
 * A listener is held by those who asked for it, and closed when nobody holds it any more and it is
 * not kept; connections that were made through it go on. `ssh -O forward` asks and leaves: what it
 * asked for is kept until `ssh -O cancel`, until the route leads elsewhere, or the daemon ends.
 */
#ifndef SMX_MUX_FORWARD_LISTENER_H
#define SMX_MUX_FORWARD_LISTENER_H

#include "mux/core/mux.h"
#include "mux/forward/forward.h"

#define LISTENERS_MAX 256

struct listener {
	struct smx_list node; /* mux->listeners; in no list once it is closed */
	struct mux *mux;
	uint64_t id, born_ms;
	struct forward_words words;
	struct smx_os_forward *os;
	struct listener_poll *polls[2]; /* SMX_OS_FORWARD_FDS */
	size_t n_polls;
	struct smx_list accepted;
	struct share share; /* of window memory (U8) */
	unsigned n_holders, n_accepted;
	int is_kept, is_paused;
};

/* The listener of a route that was asked for in just these words; NULL. */
struct listener *listener_find(
	struct mux *m, const struct smx_route *route, const struct smx_mux4_request *req);
/* A new one, held once. NULL: text says why. */
struct listener *listener_new(struct mux *m, const struct smx_route *route,
	const struct smx_mux4_request *req, char *text, size_t size);
void listener_hold(struct listener *l);
/* keep: it is to stay. */
void listener_release(struct listener *l, int keep);
/* Nobody can come any more. Its holders still have to release it. */
void listener_close(struct listener *l);
/* One of its connections has ended. */
void listener_left(struct listener *l);

/* There is another table of routes (B10). */
void listeners_sync(struct mux *m);
/* The daemon ends: all go, and who has no channel yet. */
void listeners_close(struct mux *m);
void listeners_tick(struct mux *m);

#endif
