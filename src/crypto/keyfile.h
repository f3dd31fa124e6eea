/* SPDX-License-Identifier: MIT */
/*
 * Key files: OpenSSH's own format (PROTOCOL.key; encrypted ones with bcrypt and
 * aes256-ctr, aes256-cbc, aes*-gcm@openssh.com or chacha20-poly1305), PEM and PKCS#8 (by
 * libcrypto). Text in, keys out; nothing here opens a file. Input is capped at SMX_KEYFILE_MAX
 * bytes.
 */
#ifndef SMX_CRYPTO_KEYFILE_H
#define SMX_CRYPTO_KEYFILE_H

#include <stddef.h>

#include "base/buf.h"
#include "crypto/key.h"

#define SMX_KEYFILE_MAX 65536
/* bcrypt rounds accepted; ssh-keygen's default is 16 to 24. More is an attack or a mistake. */
#define SMX_KEYFILE_ROUNDS_MAX 4096

/*
 * The private key in text. passphrase: NULL if none is known. SMX_EPASSPHRASE: it is
 * encrypted and the passphrase is missing or wrong (or, which looks the same, the file is
 * damaged). SMX_EUNSUPPORTED: a cipher or a key type we don't have, security keys among them.
 * SMX_ELIMIT: the file is too long or asks for too many rounds. SMX_EFORMAT and other parse
 * errors. Slow (bcrypt) with a passphrase: call it on a worker thread.
 * ret_comment may be NULL; else a smx_malloc'd string or NULL if the format has none.
 */
int smx_keyfile_parse(
	struct smx_view text, const char *passphrase, struct smx_key **ret, char **ret_comment);
/* Public blob of an OpenSSH-format private key without its passphrase; SMX_EUNSUPPORTED for PEM. */
int smx_keyfile_public_blob(struct smx_view text, struct smx_buf *ret_blob);
/* OpenSSH format, unencrypted, ed25519 only (the local host key). ret_text should be a secret
 * buffer. */
int smx_keyfile_write(const struct smx_key *k, const char *comment, struct smx_buf *ret_text);

/*
 * One line "type base64 [comment]" of a .pub file, and the like in authorized_keys and
 * known_hosts: the blob is appended; *ret_rest_view is the comment (maybe empty).
 * SMX_EFORMAT if it isn't one, or if the type does not match the blob's; SMX_ETOOBIG above
 * SMX_KEY_BLOB_MAX. Any type name will do, also of keys we can't use.
 */
int smx_pubkey_line_parse(
	struct smx_view line, struct smx_buf *ret_blob, struct smx_view *ret_rest_view);
/* "type base64" of a blob, appended. SMX_EFORMAT if its type name could not stand in a line. */
int smx_pubkey_line_write(struct smx_view blob, struct smx_buf *ret_line);

/*
 * bcrypt_pbkdf as OpenSSH's key format uses it (the one algorithm libcrypto lacks).
 * SMX_EINVAL for an empty passphrase or salt, a salt over 64 bytes, out_len over 1024, or
 * rounds outside 1 to SMX_KEYFILE_ROUNDS_MAX.
 */
int smx_bcrypt_pbkdf(const char *pass, size_t pass_len, const uint8_t *salt, size_t salt_len,
	uint32_t rounds, uint8_t *out, size_t out_len);

#endif
