/* SPDX-License-Identifier: MIT */
/*
 * `ssh-mux login` (U7): a client of the control endpoint that wants a login, and no channel. It
 * waits in the pool like those who want one, so it shares their login and is asked what that needs
 * (P7).
 */
#ifndef SMX_MUX_DOORS_LOGIN_CALL_H
#define SMX_MUX_DOORS_LOGIN_CALL_H

#include "mux/core/mux.h"
#include "mux/doors/control.h"
#include "mux/pool/attempts.h"

struct attach;

struct login_call_options {
	int64_t id; /* of the request */
	struct smx_routes *routes; /* a reference is taken */
	const struct smx_route *route;
	int renew; /* a fresh connection, though there is one */
};

/*
 * Two steps, for the answer that upgrades goes out between them. NULL: no memory; else *ret_attach
 * is the client's, which goes with the call.
 */
struct login_call *login_call_new(struct mux *m, struct control_client *host, const char *agent,
	enum attempt_place place, struct attach **ret_attach);
/* May answer at once. */
void login_call_start(struct login_call *call, const struct login_call_options *o);

#endif
