/* SPDX-License-Identifier: MIT */
/*
 * Remote forwards (B4): what a pooled connection's server was asked to listen at (RFC 4254 section
 * 7), and for whom. The connection is shared, so each forward has one owner, and a channel that the
 * server opens goes to whoever asked for exactly the address and port that it names, or is refused.
 *
 * A forward stays with the connection on which it was asked for: it keeps that from being idle, and
 * ends with it. Like plain ssh, its owner ends then.
 *
 * Whether the owner may ask for it, and may have the channel, is the owner's to check.
 */
#ifndef SMX_MUX_FORWARD_REMOTE_FORWARD_H
#define SMX_MUX_FORWARD_REMOTE_FORWARD_H

#include "mux/pool/pool.h"

struct remote_forward;

struct remote_forward_ops {
	/*
	 * It stands, at this port (that which was asked for, or chosen for 0). port UINT32_MAX: it
	 * does not, and is freed after this; why: for people.
	 */
	void (*answered)(struct remote_forward *f, uint32_t port, const char *why);
	/*
	 * The server opens a channel for it, on up: to be answered by smx_conn_open_confirm or
	 * smx_conn_open_fail, at once or later. Its kind and data are those of an OPEN event.
	 */
	void (*opened)(
		struct remote_forward *f, struct upstream *up, const struct smx_conn_event *ev);
	/* The connection is gone, and the forward with it: it is freed after this. */
	void (*lost)(struct remote_forward *f, const char *why);
};

enum remote_forward_state {
	REMOTE_FORWARD_WAITING, /* for a connection */
	REMOTE_FORWARD_ASKED, /* the server, which has not answered */
	REMOTE_FORWARD_STANDS,
	REMOTE_FORWARD_LEAVING, /* the server was asked to end it */
};

/* Embedded in what owns it, which may be freed when free_owner is called and not before. */
struct remote_forward {
	struct smx_list node; /* upstream->forwards, or in no list */
	struct mux *mux;
	struct upstream *up; /* NULL while it waits */
	const struct remote_forward_ops *ops; /* NULL: nobody wants it any more */
	struct open_req req;
	enum remote_forward_state state;
	int is_path;
	char *address; /* as it was asked for; or the path */
	uint32_t port; /* as it was asked for, later as it is */
	uint64_t number; /* of the global request that awaits its answer */
	/* It is over: frees what it is embedded in. Called once, after start or cancel. */
	void (*free_owner)(struct remote_forward *f);
};

/* What it listens at. address: no NUL in it. SMX_ENOMEM: nothing to be released. */
int remote_forward_init(struct remote_forward *f, struct mux *m, int is_path,
	struct smx_view address, uint32_t port);
/*
 * Asks for it on the route's connection, and for a login if there is none; f->ops and f->free_owner
 * are set. May be answered before it returns. asker: where the owner can be asked, or NULL.
 */
void remote_forward_start(struct remote_forward *f, struct smx_routes *routes,
	const struct smx_route *route, struct asker *asker);
/* The owner wants it no more, whatever its state, and hears only of free_owner. */
void remote_forward_cancel(struct remote_forward *f);
/* "localhost:8080", for people. */
void remote_forward_name(const struct remote_forward *f, char *out, size_t size);

/* --- for the connection --- */

/* An answer to a global request: 1 if it was to one of these. */
int remote_forward_reply(struct upstream *up, const struct smx_conn_event *ev);
/* The server opens a channel: 1 if it is of their kinds, and dealt with. */
int remote_forward_open(struct upstream *up, const struct smx_conn_event *ev);
/* The connection is gone. */
void remote_forward_upstream_gone(struct upstream *up, const char *why);
/* Whether the server listens for somebody. */
int remote_forward_is_used(const struct upstream *up);

#endif
