/* SPDX-License-Identifier: MIT */
/* Forwards to one place, of those who are no SSH clients (W2): the checks, and the open. */
#ifndef SMX_MUX_FORWARD_FORWARD_H
#define SMX_MUX_FORWARD_FORWARD_H

#include "config/routes.h"
#include "control/mux4.h"
#include "mux/core/mux.h"

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
/*
 * Whether the remote may listen there for a client (P8, B4), as it is asked for or by the routes of
 * now. route NULL: it is gone. 0: text says why not.
 */
int forward_may_listen(const struct mux *m, const struct smx_route *route, int is_path,
	struct smx_view address, uint32_t port, char *text, size_t size);

/*
 * What a client of a control socket has asked for with one forward, and where its route led then:
 * who asks in just the same words has the same forward, as with a real master.
 */
struct forward_words {
	char route[SMX_ROUTE_NAME_MAX + 1];
	char *way; /* USER@HOST:PORT that the route led to */
	uint32_t kind; /* enum smx_mux4_forward */
	char *listen_host, *host;
	uint32_t listen_port, port;
};

/* SMX_ENOMEM: to be released all the same. */
int forward_words_set(
	struct forward_words *w, const struct smx_route *route, const struct smx_mux4_request *req);
void forward_words_release(struct forward_words *w);
int forward_words_are(const struct forward_words *w, const struct smx_route *route,
	const struct smx_mux4_request *req);
/* The route it belongs to, of now; NULL: that leads elsewhere, or is gone. */
const struct smx_route *forward_words_route(const struct forward_words *w, const struct mux *m);

#endif
