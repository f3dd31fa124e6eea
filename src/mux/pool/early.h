/* SPDX-License-Identifier: MIT */
/*
 * What goes to a server before it has answered what it depends on (B13), and what becomes of that
 * if the server does not go along:
 *
 * - The key exchange that it chose the last time begins with our KEXINIT (RFC 4253 section 7), which
 *   spares a round trip.
 * - The channel that somebody waits for is asked for behind the request that was all that the last
 *   login took, or behind the answer to the empty round with which OpenSSH's server tells that PAM was
 *   content, which spares another. Of OpenSSH's server only, which passes what it has not read yet
 *   on to the process that serves the connection, and answers UNIMPLEMENTED where it refuses the
 *   login. Until the login is over the channel is nobody's.
 */
#ifndef SMX_MUX_POOL_EARLY_H
#define SMX_MUX_POOL_EARLY_H

#include "mux/pool/upstream.h"

/* The guess for the next transport to up's server, if one can be made, into config; it lives until
 * the loop runs again. */
void early_guess(const struct upstream *up, struct smx_transport_config *config);
/* The first key exchange is over. */
void early_note_algs(struct upstream *up);
/* The request is out that will probably succeed: asks for the channel that is waited for longest. */
void early_open(struct upstream *up);
/* The login goes on by other means: the server has not taken the open. */
void early_refused(struct upstream *up);
/* The channel asked for, if it is the one that req wants: the caller's to wait for; or NULL. */
struct smx_chan *early_take(struct upstream *up, const struct open_req *req);
/* Nobody wants it any more: closed when the server has answered. */
void early_leave(struct upstream *up);
/* Of a connection that has ended before its login: whether it may have been because of all this. */
int early_is_to_blame(const struct upstream *up, int r);
/* Then: the next login of this way does without. */
void early_avoid(struct upstream *up);

#endif
