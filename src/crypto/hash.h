/* SPDX-License-Identifier: MIT */
/* Hashes and the key derivation of RFC 4253 section 7.2. */
#ifndef SMX_CRYPTO_HASH_H
#define SMX_CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

#define SMX_HASH_MAX 64

enum smx_hash { SMX_HASH_SHA1, SMX_HASH_SHA256, SMX_HASH_SHA384, SMX_HASH_SHA512 };

size_t smx_hash_len(enum smx_hash h);
/* Digest of one piece of memory; out has room for SMX_HASH_MAX. 0 or SMX_ECRYPTO. */
int smx_hash(enum smx_hash h, const void *p, size_t n, uint8_t out[SMX_HASH_MAX]);
/* HMAC-SHA1 of known_hosts' hashed names (20 bytes out). */
int smx_hmac_sha1(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[20]);
/*
 * HASH(K || H || letter || session_id), extended to need_len bytes as in the RFC.
 * secret: K as it stands on the wire, length included. 0, SMX_ECRYPTO, SMX_ENOMEM.
 */
int smx_kdf(enum smx_hash h, struct smx_view secret, struct smx_view exchange_hash,
	struct smx_view session_id, char letter, uint8_t *out, size_t need_len);

#endif
