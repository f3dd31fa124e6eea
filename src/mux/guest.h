/* SPDX-License-Identifier: MIT */
/*
 * A guest: a connection to a control socket, from an OpenSSH client that takes us for the master of
 * a shared connection (W2; control/mux4.h). It is answered here; a session or a stdio forward
 * becomes its passenger. What can't be served is refused, with words, and ssh goes on by itself.
 */
#ifndef SMX_MUX_GUEST_H
#define SMX_MUX_GUEST_H

#include "config/routes.h"
#include "control/mux4.h"
#include "mux/mux.h"

#define GUESTS_MAX     1024
#define GUEST_GRACE_MS (30 * 1000) /* without a session or forward (S7) */
#define GUEST_FDS_MAX  3

struct passenger;

struct guest {
	struct smx_list node; /* mux->guests */
	struct mux *mux;
	struct smx_routes *routes; /* holds route */
	const struct smx_route *route;
	struct share share; /* of window memory (U8) */
	uint64_t id, born_ms, idle_since_ms;
	int64_t pid;
	uv_poll_t poll;
	int fd;
	struct smx_buf in, out;
	int fds[GUEST_FDS_MAX]; /* that came and were not asked for yet */
	size_t n_fds;
	struct passenger *passenger;
	uint32_t request; /* of the passenger's opening */
	unsigned has_hello : 1, is_opening : 1, is_taking : 1, is_ending : 1, is_closed : 1;
};

/* Takes fd over, in any case. route: of mux->routes. */
void guest_new(struct mux *m, int fd, const struct smx_route *route);
/* Ends it at once. */
void guest_end(struct guest *g);
/* Once a second. */
void guest_tick(struct guest *g);

/* --- of its passenger --- */

void guest_opened(struct guest *g, uint32_t session);
/* text: for people. The passenger is gone. */
void guest_refused(struct guest *g, const char *text);
void guest_exited(struct guest *g, uint32_t session, uint32_t status);
void guest_tty_failed(struct guest *g, uint32_t session);
/* Everything was written. The passenger has let go of it. */
void guest_over(struct guest *g);

#endif
