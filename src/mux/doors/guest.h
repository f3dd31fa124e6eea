/* SPDX-License-Identifier: MIT */
/*
 * A guest: a connection to a control socket, from an OpenSSH client that takes us for the master of
 * a shared connection (W2; control/mux4.h). It is answered here; a session or a stdio forward
 * becomes its passenger. What can't be served is refused, with words, and ssh goes on by itself.
 */
#ifndef SMX_MUX_DOORS_GUEST_H
#define SMX_MUX_DOORS_GUEST_H

#include "config/routes.h"
#include "control/mux4.h"
#include "mux/core/mux.h"
#include "mux/doors/passenger.h"
#include "mux/pool/pool.h"

#define GUESTS_MAX     1024
#define GUEST_GRACE_MS (30 * 1000) /* without a session or forward (S7) */
#define GUEST_FDS_MAX  3

struct guest {
	struct smx_list node; /* mux->guests */
	struct mux *mux;
	struct smx_routes *routes; /* holds route */
	const struct smx_route *route;
	struct share share; /* of window memory (U8) */
	uint64_t id, born_ms, idle_since_ms;
	int64_t pid;
	uv_poll_t poll;
	int events; /* that are polled for */
	int fd;
	struct smx_buf in, out;
	int fds[GUEST_FDS_MAX]; /* that came and were not asked for yet */
	size_t n_fds;
	struct passenger_owner owner;
	struct passenger *passenger;
	uint32_t request; /* of the passenger's opening */
	struct smx_list holds; /* on listeners (guest_forward.c) */
	struct stay *stay; /* of `ssh -N`, which wants forwards alone */
	struct background *background; /* of `ssh -f` (guest_background.c), or NULL */
	struct guest_proxy *proxy; /* it is a client's carrier from now on (guest_proxy.h) */
	/* is_staying: its forwards last as long as it does, for it goes on to a session. */
	unsigned has_hello : 1, is_opening : 1, is_taking : 1, is_ending : 1, is_closed : 1,
		is_staying : 1, is_dismissed : 1;
};

/* Takes fd over, in any case. route: of mux->routes. is_background: it runs as `ssh -f`. */
void guest_new(struct mux *m, int fd, const struct smx_route *route, int is_background);
/* Ends it at once. */
void guest_end(struct guest *g);
/* Once a second. */
void guest_tick(struct guest *g);

/* --- for guest_forward.c --- */

/* A reply was put into g->out, or (r) could not be. */
void guest_replied(struct guest *g, int r);
/* ssh goes on by itself, and so must find its ports free: the forwards it has here go as well. */
void guest_refuse(struct guest *g, uint32_t id, const char *text);
/* The answer to a request that took its time was sent: those that wait behind it have their turn.
 */
void guest_resume(struct guest *g);

/* Polls for what there is to be read, and (is_writing) for room to write. */
int guest_poll(struct guest *g, int is_writing);

/* There is nothing more for it: it ends when it has its replies. */
void guest_finish(struct guest *g);

/* The client is told that its session has ended well, and goes; the session stays. */
void guest_dismiss(struct guest *g, uint32_t session);

/* --- guest_background.c: `ssh -f` --- */

/* It is to go to the background once its session has begun. */
void guest_expect_background(struct guest *g);
void guest_began(struct guest *g, uint32_t session);
void guest_forget_background(struct guest *g);

/* --- guest_info.c: `ssh -O conninfo`, `ssh -O channels` --- */

void guest_inform(struct guest *g, const struct smx_mux4_request *req);

/* --- guest_forward.c: its forwards --- */

void guest_open_forward(struct guest *g, const struct smx_mux4_request *req);
void guest_close_forward(struct guest *g, const struct smx_mux4_request *req);
/* keep: they stay when it is gone. */
void guest_drop_forwards(struct guest *g, int keep);
/*
 * Whether a request for a session, with its descriptors, is that of `ssh -N` with forwards. The
 * protocol has no word for it: a real master would start a shell.
 */
int guest_wants_forwards_only(const struct guest *g, const struct smx_mux4_request *req);
/* Logs in, and leaves it there until it goes. `ssh -fN` is refused. */
void guest_stay(struct guest *g, const struct smx_mux4_request *req);
void guest_leave(struct guest *g);

#endif
