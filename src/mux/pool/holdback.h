/* SPDX-License-Identifier: MIT */
/*
 * Between the pool and the memory of failed logins (attempts.h): which of those who wait may cause
 * a login now, and what the others are told (U5, U6).
 */
#ifndef SMX_MUX_POOL_HOLDBACK_H
#define SMX_MUX_POOL_HOLDBACK_H

#include "mux/pool/attempts.h"
#include "mux/pool/pool.h"

/*
 * Called before a login for those who wait at e is begun. 1: none is to be, now; they have been
 * answered, or wait for the moment that it takes to know more.
 */
int holdback_check(struct pool_entry *e);
/* A login of e failed, or its connection ended before the first channel. */
void holdback_failed(struct pool_entry *e, const struct upstream *up, const char *cause);
/* The logins of e are good. */
void holdback_succeeded(struct pool_entry *e);
/* A person at a terminal wants a login, over all of these hops: now. */
void holdback_reset(struct mux *m, const struct smx_hop *hops, size_t n_hops);
/* Once a second. The network is looked at only while a login failed for its sake. */
void holdback_tick(struct mux *m);
/* The machine slept: the network may be another one. */
void holdback_resumed(struct mux *m);
/* Where the best placed of those who wait at e, or for what goes through it, could be asked. */
enum attempt_place holdback_place(const struct pool_entry *e);

/* For status: which login failed, when it is tried again, and why it failed. */
void holdback_text(const struct attempt *a, uint64_t now_ms, char *out, size_t size);
/* What a person calls the end of e: NAME or USER@HOST:PORT, for `ssh-mux connect`. */
struct holdback_name {
	char text[400];
};
struct holdback_name holdback_name(const struct pool_entry *e);

#endif
