/* SPDX-License-Identifier: MIT */
/*
 * K6: a server's rotation of its host keys, as OpenSSH's UpdateHostKeys has it. After the login the
 * server says which keys it has; new ones are proved by it and written to known_hosts beside the
 * old, those that it has no more are removed there. What may be changed, trust/rotation.h says;
 * files are read and written on a worker thread. Nothing of it is for clients, and nothing waits
 * for it: a connection is as good without.
 */
#ifndef SMX_MUX_POOL_ROTATE_H
#define SMX_MUX_POOL_ROTATE_H

#include "mux/pool/upstream.h"

struct rotate;

/* The server's list, what is behind the kind of its request. Only the first of a connection counts.
 */
void rotate_listed(struct upstream *up, struct smx_view data);
/* An answer to a global request of ours: 1 if it was to the one for proofs. */
int rotate_reply(struct upstream *up, const struct smx_conn_event *ev);
/* The upstream goes. What is proved is still written. NULL works. */
void rotate_cancel(struct rotate *ro);

#endif
