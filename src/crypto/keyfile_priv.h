/* SPDX-License-Identifier: MIT */
/* Between the files of keyfile; private to them. */
#ifndef SMX_CRYPTO_KEYFILE_PRIV_H
#define SMX_CRYPTO_KEYFILE_PRIV_H

#include "crypto/keyfile.h"

#define SMX_OPENSSH_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define SMX_OPENSSH_END   "-----END OPENSSH PRIVATE KEY-----"

/* The parts of an OpenSSH-format file; views into its decoded bytes. */
struct smx_openssh_envelope {
	struct smx_view cipher, kdf, kdf_options, public_blob, sealed, tag;
};

/* Decodes the armour (appended to ret_bytes, a secret buffer) and parses the outer layer. */
int smx_openssh_open(
	struct smx_view text, struct smx_buf *ret_bytes, struct smx_openssh_envelope *ret);
/* Appends the private section in clear to ret_clear, a secret buffer. */
int smx_openssh_decrypt(
	const struct smx_openssh_envelope *e, const char *passphrase, struct smx_buf *ret_clear);
/* The key of a clear private section. */
int smx_openssh_read_private(
	struct smx_view clear, struct smx_key **ret, struct smx_view *ret_comment);

#endif
