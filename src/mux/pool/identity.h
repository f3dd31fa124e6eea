/* SPDX-License-Identifier: MIT */
/*
 * The key and certificate files of a login (A1, A8, A9), read on a worker thread. A name of a file
 * means, as in ssh_config(5), a private key, or the public key of one that an agent holds; a
 * certificate is beside its key (KEY-cert.pub) or named by itself.
 */
#ifndef SMX_MUX_POOL_IDENTITY_H
#define SMX_MUX_POOL_IDENTITY_H

#include "mux/pool/prepare.h"

#define IDENTITY_CERT_SUFFIX "-cert.pub"

/*
 * Adds the key that path names to res->keys (room for it is the caller's care), and the certificate
 * beside it. What can't be used is noted; of a missing file only if is_explicit. SMX_ENOMEM.
 */
int identity_read(struct prepared *res, const char *path, int is_explicit);
/* Adds a certificate. is_named: what is wrong with it, its absence too, is noted. SMX_ENOMEM. */
int identity_read_cert(struct prepared *res, const char *path, int is_named);
/*
 * A8: the public key that path stands for: its own, or, where there is no such file, the one of
 * path.pub. SMX_ENOTFOUND: neither; else SMX_EFORMAT (it is something else) or why it can't be
 * read.
 */
int identity_read_public(const char *path, struct smx_buf *ret_blob);

/* Adds a text to the notes of a login. */
void prepared_note(struct prepared *res, struct smx_buf *text);

#endif
