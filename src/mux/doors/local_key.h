/* SPDX-License-Identifier: MIT */
/*
 * The keys of the hop to the local server, which are made here: its host key (L4), for the daemon
 * and for what tells ssh about it, and the key that ssh logs in with (W5).
 */
#ifndef SMX_MUX_DOORS_LOCAL_KEY_H
#define SMX_MUX_DOORS_LOCAL_KEY_H

#include "base/buf.h"
#include "crypto/key.h"

#define HOST_KEY_FILE     "ssh-mux-host-key"
#define HOST_KEY_PUB_FILE "ssh-mux-host-key.pub"

#define CLIENT_KEY_FILE     "ssh-mux-local-key"
#define CLIENT_KEY_PUB_FILE "ssh-mux-local-key.pub"
#define CLIENT_KEY_COMMENT  "ssh-mux local key" /* in its public half, by which it is ours */

enum local_key { LOCAL_KEY_HOST, LOCAL_KEY_CLIENT };

/*
 * Reads it, or makes it (*ret_made, may be NULL); sees to it that the public half beside it is its
 * own. Of two that make it at once both get the same. A line is added to err on failure.
 */
int local_key_load(const char *ssh_dir, enum local_key which, struct smx_key **ret, int *ret_made,
	struct smx_buf *err);
/* As that, but nothing is made or written: SMX_ENOTFOUND. */
int local_key_peek(
	const char *ssh_dir, enum local_key which, struct smx_key **ret, struct smx_buf *err);

#endif
