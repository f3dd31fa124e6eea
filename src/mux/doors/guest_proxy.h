/* SPDX-License-Identifier: MIT */
/*
 * The proxy mode of a guest (W2, `ssh -O proxy`): behind the answer to its request it speaks SSH's
 * connection protocol over the control socket, in packets without padding and cipher
 * (PROTOCOL.mux). It becomes a client like those of the local server (door.h): the same policy, the
 * same checks of whatever it sends (U1), channels of its own on the pooled connection. The guest is
 * the client's carrier then, and no more.
 *
 * A real master passes packets through with other channel numbers; here each message is read.
 */
#ifndef SMX_MUX_DOORS_GUEST_PROXY_H
#define SMX_MUX_DOORS_GUEST_PROXY_H

#include "control/mux4.h"

struct guest;
struct guest_proxy;

/* Answers the request; g->proxy is set, unless it is refused. */
void guest_proxy_start(struct guest *g, const struct smx_mux4_request *req);
/* What came behind the request goes to the client. */
void guest_proxy_take(struct guest *g);
/* Its socket can be read or written. */
void guest_proxy_event(struct guest *g, int events);
/* The guest is to end. 0: nothing keeps it; 1: it ends when its client has. */
int guest_proxy_end(struct guest *g);

#endif
