/* SPDX-License-Identifier: MIT */
/*
 * A tunnel: the carrier of a link that runs inside a direct-tcpip channel of another
 * link, the jump host's (R1, P5, B1). Chains of any length are tunnels in tunnels.
 */
#ifndef SMX_MUX_NET_TUNNEL_H
#define SMX_MUX_NET_TUNNEL_H

#include "mux/core/link.h"

/* What the outer link may send into a tunnel. The inner one takes it at once, and its own windows
 * are what bounds it, so this is to bound nothing on any path (B7). */
#define TUNNEL_WINDOW (32u * 1024 * 1024)

struct tunnel {
	struct carrier carrier; /* of the inner link */
	struct endpoint ep; /* of the outer link, which may be freed once ep.chan is NULL */
	struct smx_pool *pool;
	struct source source;
	struct smx_tx_block *first, *last; /* sealed by the inner link, to be sent by the outer */
	size_t first_off, len;
};

/* Takes over an open channel of the outer link. NULL: no memory. */
struct tunnel *tunnel_new(struct link *outer, struct smx_chan *chan);
/* NULL: the carrier is none, or NULL. */
struct tunnel *tunnel_of_carrier(struct carrier *c);
/* The connection that runs through the channel of this endpoint, or NULL: for status. */
const struct link *tunnel_inner(struct endpoint *ep);

#endif
