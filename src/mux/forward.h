/* SPDX-License-Identifier: MIT */
/* Forwards to one place, of those who are no SSH clients (W2): the checks, and the open. */
#ifndef SMX_MUX_FORWARD_H
#define SMX_MUX_FORWARD_H

#include "config/routes.h"
#include "mux/mux.h"

/* A host and a port, or a path if port is SMX_MUX4_PORT_IS_PATH. */
struct forward_target {
	struct smx_view host;
	uint32_t port;
};

/* The checks of every entrance (P8, L7, B3, B4). 0: text says why not. */
int forward_is_allowed(const struct mux *m, const struct smx_route *route,
	const struct forward_target *to, char *text, size_t size);
/*
 * The open of a channel there (RFC 4254 section 7.2; PROTOCOL section 2.4): its kind is returned,
 * and what is specific to it added to out. from: who has come to us. NULL: no memory.
 */
const char *forward_put_open(const struct forward_target *to, const char *from_address,
	uint16_t from_port, struct smx_buf *out);

#endif
