/* SPDX-License-Identifier: MIT */
/*
 * A channel that the remote has opened for a remote listener (remote_listener.h), while it lasts:
 * first the place that its client has named is connected to, then the two are a passenger.
 */
#ifndef SMX_MUX_FORWARD_ARRIVED_H
#define SMX_MUX_FORWARD_ARRIVED_H

#include "mux/doors/passenger.h"
#include "mux/net/dial.h"

#define ARRIVED_MAX 1024

struct remote_listener;

struct arrived {
	struct smx_list node; /* remote_listener->arrived */
	struct smx_list all_node; /* mux->arrived */
	struct remote_listener *listener;
	struct passenger_owner owner;
	struct passenger *passenger; /* once it is connected */
	struct endpoint ep; /* the channel, until then */
	const char *kind;
	struct dial *dial;
};

/*
 * Takes the channel of an OPEN event over, which is answered when it is known how that went.
 * SMX_ENOMEM, SMX_ELIMIT: nothing was taken.
 */
int arrived_new(struct remote_listener *l, const struct smx_route *route, struct link *remote,
	const struct smx_conn_event *ev);
/* Those that are not connected yet are refused. */
void arrived_close(struct mux *m);

#endif
