/* SPDX-License-Identifier: MIT */
/*
 * The end of a connection by --max-lifetime (P3), and what is said before it (U7): a quarter of an
 * hour and a minute before, in the log, in status, and to those at attached terminals.
 */
#ifndef SMX_MUX_POOL_ENDING_H
#define SMX_MUX_POOL_ENDING_H

#include "mux/pool/pool.h"

/* Once a second, for a connection that is logged in. */
void ending_tick(struct upstream *up);
/*
 * 1 and the text of the warning, if there is one now: its end is near, and channels are open on it,
 * or on what goes through it.
 */
int ending_warning(const struct upstream *up, char *out, size_t size);
/*
 * U7: whether the jump host before e is to be renewed with it, for it would end first: more than a
 * tenth of its lifetime is over.
 */
int ending_is_jump_old(const struct pool_entry *e);

#endif
