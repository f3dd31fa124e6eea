/* SPDX-License-Identifier: MIT */
/*
 * While an agent takes its time to sign (A15), it waits for a person: for a touch of a security
 * key, or for a yes to a question of its own. Those who wait for the login are told, at their
 * terminals, and those who come meanwhile. A client that has an SSH_ASKPASS in the place of a
 * terminal shows the touch by that (SSH_ASKPASS_PROMPT=none), one for each wait; an agent that asks
 * has a window of its own.
 */
#ifndef SMX_MUX_ASK_AGENT_WAIT_H
#define SMX_MUX_ASK_AGENT_WAIT_H

#include "mux/core/mux.h"
#include "mux/pool/pool.h"

#define AGENT_WAIT_TOUCH_MS 500 /* a security key that wants no touch has signed by then */
#define AGENT_WAIT_MS       1500 /* any other, if it asks nobody */

struct agent_wait;
struct asker;

/* It has been asked to sign with this key. NULL: no memory; nobody is told. */
struct agent_wait *agent_wait_start(struct pool_entry *e, struct smx_view key_blob);
/* It has signed, or will not. NULL works. */
void agent_wait_end(struct agent_wait *w);
/* Somebody waits now, who can be told at a; nothing if he is gone again. */
void agent_wait_welcome(struct mux *m, const struct asker *a);

#endif
