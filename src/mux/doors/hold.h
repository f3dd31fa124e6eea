/* SPDX-License-Identifier: MIT */
/*
 * A client of `ssh-mux proxy` is held until its login to the remote is there (W7), so that what ssh
 * does by the state of its connection means what it means without us: `-f` goes to the background
 * after the login, and a login that fails is a failure of ssh, with words and 255. It hears nothing
 * at all, not even our identification, until the remote has given a sign of life, so that
 * ConnectTimeout runs as long as there is none; unless somebody is being asked something, which
 * may take its time (L11).
 *
 * At the port and behind `connect` nobody is held.
 */
#ifndef SMX_MUX_DOORS_HOLD_H
#define SMX_MUX_DOORS_HOLD_H

#include "mux/doors/door.h"
#include "mux/doors/request.h"

/* NULL: no memory. Else client->hold. */
struct hold *hold_new(struct client *c);
/* Asks the pool for the login. May be answered at once. */
void hold_start(struct hold *h);
/* The client has sent its key and the signature: it is let in, now or later. */
void hold_proved(struct hold *h);
/* The client is gone, or needs no hold any more. NULL works. */
void hold_free(struct hold *h);
/* Once a second. 1: the login is still awaited, so no grace time runs. */
int hold_tick(struct hold *h);
/* At the end of every callback: some may have got their sign of life. */
void hold_look(struct mux *m);

#endif
