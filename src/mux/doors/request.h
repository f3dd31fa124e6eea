/* SPDX-License-Identifier: MIT */
/*
 * What somebody asked for at one of the doors (W1, docs/DESIGN.md, section 4), and where that leads
 * by the routes of now: to the route itself, or to a variant of it, which takes the same jump hosts
 * to the same host and logs in there as another user or at another port. What can't be served is
 * refused; nobody is ever taken to another account than the one asked for.
 */
#ifndef SMX_MUX_DOORS_REQUEST_H
#define SMX_MUX_DOORS_REQUEST_H

#include "config/routes.h"
#include "control/protocol.h"
#include "mux/core/mux.h"

/* Entries of the pool that only a variant leads to: of all routes, and of one. */
#define VARIANTS_MAX      256
#define VARIANTS_OF_ROUTE 16

#define REQUEST_NAME_SIZE (SMX_USER_MAX + SMX_ROUTE_NAME_MAX + 16) /* of a variant's name */

struct request {
	char route[SMX_USER_MAX + 1]; /* unchecked, as all of it */
	char user[SMX_USER_MAX + 1]; /* "": the route's own */
	char host[SMX_HOST_MAX + 1]; /* "": not told */
	uint16_t port; /* 0: the route's own */
};

struct destination {
	struct smx_routes *routes; /* a reference */
	const struct smx_route *route;
};

/* Why not, and what to do about it, each of one line; fit for a terminal. */
struct refusal {
	char text[700];
	char remedy[600]; /* or "" */
};

/* What the user name at the local server's port asks for: ROUTE or USER+ROUTE (L3). In direct mode
 * (R6) any name is the one route. */
void request_of_user(const struct smx_routes *routes, const char *name, struct request *ret);
/* The words of `proxy`. */
void request_of_proxy(const struct smx_control_request *words, struct request *ret);
/*
 * 0: ret is the caller's to release. Else *ret_why says why not: SMX_ENOTFOUND (the route),
 * SMX_EINVAL (user or host), SMX_ELIMIT (too many variants), SMX_ENOMEM.
 */
int request_resolve(
	struct mux *m, const struct request *req, struct destination *ret, struct refusal *ret_why);
void destination_release(struct destination *d);

#endif
