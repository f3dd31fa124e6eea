/* SPDX-License-Identifier: MIT */
/*
 * A relay: a channel of a local client joined to a channel of a pooled connection. It has
 * two flows, and decides about every request that passes (L6, L8, L9).
 *
 * It begins as a question to the pool (its open_req); the client's channel is answered
 * when the upstream's is. If the client leaves meanwhile, the answer is awaited and
 * the channel closed then.
 */
#ifndef SMX_MUX_CORE_RELAY_H
#define SMX_MUX_CORE_RELAY_H

#include "mux/core/flow.h"
#include "mux/forward/agent_forward.h"
#include "mux/pool/pool.h"
#include "ssh/request.h"

#define RELAY_REPLIES_MAX 128

/* Whose answer a want-reply request of one side awaits. */
struct replies {
	uint8_t kind[RELAY_REPLIES_MAX]; /* the other side's, to a smx_request_kind; REPLY_REFUSED
					  */
	unsigned first, n;
};

struct relay {
	struct mux *mux;
	struct endpoint local, remote;
	struct flow up, down; /* to the remote; to the client */
	struct replies local_replies, remote_replies;
	struct open_req req;
	size_t req_cost; /* of its share, while it waits to be opened */
	struct smx_routes *routes; /* holds the route */
	const struct smx_route *route;
	struct smx_request_order order; /* of the client's requests */
	struct agent_lender lender; /* B4: once the client has asked for agent forwarding */
	int is_session, is_open;
	int is_from_remote; /* the remote asked for it, and the client is to answer */
	int is_ended; /* U1: one side sent what can't be passed on; requests are over */
	/* Of the remote: a session's exit status has come; all its data has. Often in this order. */
	int has_status, has_all;
	uint64_t id, born_ms; /* for status; ids are those of connections and clients, too */
	uint64_t conn, client; /* for the log: what it joins, though that may be gone */
	const char *kind; /* the type of its channels, or "other" */
};

/*
 * asker: where the client can be asked, or NULL. Takes the client's channel over, which awaits an
 * answer; kind and specific are those of its open. On failure (memory) nothing was taken.
 */
int relay_start(struct mux *m, struct link *local, struct asker *asker, struct smx_chan *chan,
	struct smx_routes *routes, const struct smx_route *route, struct smx_view kind,
	struct smx_view specific);

/*
 * The other way round: the remote has asked for chan, and the client, who has asked the remote for
 * such channels, is asked for one of this kind. kind and specific are those of the remote's open.
 * Takes chan over. On failure (memory, the client has too many channels) nothing was taken.
 */
int relay_accept(struct mux *m, struct link *local, struct link *remote, struct smx_chan *chan,
	struct smx_routes *routes, const struct smx_route *route, struct smx_view kind,
	struct smx_view specific);

/* The relay whose client's end this is, or NULL: for status. */
const struct relay *relay_of_local(struct endpoint *ep);

#endif
