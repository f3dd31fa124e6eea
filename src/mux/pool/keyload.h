/* SPDX-License-Identifier: MIT */
/* An encrypted key file opened with its passphrase (A1), on a worker thread: bcrypt takes its time.
 */
#ifndef SMX_MUX_POOL_KEYLOAD_H
#define SMX_MUX_POOL_KEYLOAD_H

#include "crypto/key.h"
#include "mux/core/mux.h"

struct keyload;

/*
 * Called once, from the loop, unless cancelled. 0 and the key (the callee's), whose public part is
 * the one that was named; SMX_EPASSPHRASE: a wrong one; else the errors of reading and parsing.
 */
typedef void keyload_cb(void *arg, int r, struct smx_key *key);

/* Everything is copied, the passphrase wiped when it is not needed any more. NULL: no memory. */
struct keyload *keyload_start(struct mux *m, const char *path, struct smx_view blob,
	struct smx_view passphrase, keyload_cb *cb, void *arg);
void keyload_cancel(struct keyload *k); /* NULL works */

#endif
