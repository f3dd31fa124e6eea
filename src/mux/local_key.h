/* SPDX-License-Identifier: MIT */
/* The host key of the local server (L4), for the daemon and for what tells ssh about it. */
#ifndef SMX_MUX_LOCAL_KEY_H
#define SMX_MUX_LOCAL_KEY_H

#include "base/buf.h"
#include "crypto/key.h"

#define HOST_KEY_FILE     "ssh-mux-host-key"
#define HOST_KEY_PUB_FILE "ssh-mux-host-key.pub"

/*
 * Reads it, or makes it (*ret_made, may be NULL); sees to it that the public half beside it is its
 * own. Of two that make it at once both get the same. A line is added to err on failure.
 */
int local_key_load(const char *ssh_dir, struct smx_key **ret, int *ret_made, struct smx_buf *err);
/* As that, but nothing is made or written: SMX_ENOTFOUND. */
int local_key_peek(const char *ssh_dir, struct smx_key **ret, struct smx_buf *err);

#endif
