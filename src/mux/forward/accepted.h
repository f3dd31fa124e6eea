/* SPDX-License-Identifier: MIT */
/*
 * A connection that was accepted at a listener (listener.h). One that came for SOCKS is asked where
 * it wants to go; then it is a passenger's.
 */
#ifndef SMX_MUX_FORWARD_ACCEPTED_H
#define SMX_MUX_FORWARD_ACCEPTED_H

#include "mux/core/mux.h"
#include "mux/doors/passenger.h"

#define ACCEPTED_MAX      1024
#define ACCEPTED_GRACE_MS (30 * 1000) /* to say where it wants to go (S7) */

struct listener;
struct smx_socks;

struct accepted_from {
	char address[64];
	uint16_t port;
};

struct accepted {
	struct smx_list node; /* listener->accepted */
	struct smx_list all_node; /* mux->accepted */
	struct listener *listener;
	struct passenger_owner owner;
	struct passenger *passenger;
	struct accepted_from from;
	uint64_t born_ms;
	/* while it is asked */
	struct smx_os_stdio *in, *out;
	struct smx_socks *socks;
	uv_poll_t *poll; /* or NULL */
};

/* Takes fd over, in any case. */
void accepted_new(struct listener *l, int fd, const struct accepted_from *from);
/* Those that have no channel yet are closed. */
void accepted_close(struct mux *m);
void accepted_tick(struct mux *m);

#endif
