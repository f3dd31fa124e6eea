/* SPDX-License-Identifier: MIT */
/*
 * Remote listeners: what clients of a control socket have asked a route's server to listen at
 * (`ssh -R` with a master, W2), under the route's remote_forwards (B4). Whoever comes there is
 * connected by the daemon to the place that the client has named (arrived.h), as by a real master.
 *
 * As with listener.h: held by those who asked for it, given up when nobody holds it any more and it
 * is not kept (`ssh -O forward`); connections that were made through it go on. It ends with the
 * connection on which it stands (remote_forward.h), and then its holders are told.
 */
#ifndef SMX_MUX_FORWARD_REMOTE_LISTENER_H
#define SMX_MUX_FORWARD_REMOTE_LISTENER_H

#include "mux/forward/forward.h"
#include "mux/forward/remote_forward.h"

#define REMOTE_LISTENERS_MAX 256

struct remote_hold;

struct remote_hold_ops {
	/*
	 * The server listens, at this port (0: it was no port). UINT32_MAX: it does not, or was
	 * given up meanwhile, and is held no more; why: for people.
	 */
	void (*answered)(struct remote_hold *h, uint32_t port, const char *why);
	/* Its connection is gone, and it is held no more. */
	void (*lost)(struct remote_hold *h, const char *why);
};

/* Embedded in what holds one. */
struct remote_hold {
	struct smx_list node; /* remote_listener->holds */
	const struct remote_hold_ops *ops;
	struct remote_listener *listener; /* NULL: it holds none (any more) */
	/* Where its person is asked if there must be a login, or NULL: there until the answer, or
	 * until it is released. */
	struct asker *asker;
	int is_waiting; /* for the server's answer */
};

struct remote_listener {
	struct smx_list node; /* mux->remote_listeners; in no list once it is given up */
	struct mux *mux;
	uint64_t id, born_ms;
	struct forward_words words;
	struct remote_forward forward;
	struct smx_list holds;
	struct smx_list arrived;
	size_t n_arrived;
	struct share share; /* of window memory (U8) */
	unsigned has_forward : 1; /* which is not over */
	unsigned is_given_up : 1, is_kept : 1, stands : 1;
};

/* The one of a route that was asked for in just these words, or with port 0 and now has the port
 * that they name; NULL. */
struct remote_listener *remote_listener_find(
	struct mux *m, const struct smx_route *route, const struct smx_mux4_request *req);
/* Whether a route may have it, new or not (P8, B4). 0: text says why not. */
int remote_listener_is_allowed(const struct mux *m, const struct smx_route *route,
	const struct smx_mux4_request *req, char *text, size_t size);
/*
 * Asks for a new one, which h holds, with its ops set: it is answered, maybe before this returns.
 * SMX_ELIMIT, SMX_ENOMEM: it is not, and text says why.
 */
int remote_listener_new(struct mux *m, const struct smx_route *route,
	const struct smx_mux4_request *req, struct remote_hold *h, char *text, size_t size);
/* Another one who wants it: answered as well, maybe now. */
void remote_listener_hold(struct remote_listener *l, struct remote_hold *h);
/* keep: it is to stay, if it stands. */
void remote_listener_release(struct remote_hold *h, int keep);
/* Nobody can come any more. Its holders still have to release it. */
void remote_listener_close(struct remote_listener *l);
/* One of its connections has ended. */
void remote_listener_left(struct remote_listener *l);

/* There is another table of routes (B10). */
void remote_listeners_sync(struct mux *m);
/* The daemon ends: all go, and who is not connected yet. */
void remote_listeners_close(struct mux *m);

#endif
