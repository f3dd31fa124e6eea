/* SPDX-License-Identifier: MIT */
/* What the kinds of key agreement share; private to kex*.c. */
#ifndef SMX_CRYPTO_KEX_PRIV_H
#define SMX_CRYPTO_KEX_PRIV_H

#include <openssl/bn.h>
#include <openssl/evp.h>

#include "crypto/kex.h"

#define SMX_X25519_LEN 32

struct smx_kex_ops {
	int (*start)(struct smx_kex *k, struct smx_buf *ret_public);
	int (*finish)(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_secret);
	/* NULL: start, then finish. */
	int (*respond)(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_public,
		struct smx_buf *ret_secret);
	const struct smx_kem *kem; /* HYBRID: what is next to X25519 */
};

struct smx_kex {
	const struct smx_kex_alg *alg;
	const struct smx_kex_ops *ops;
	const char *curve; /* ECDH over a NIST curve: libcrypto's name */
	int group_bits; /* DH */
	int started, finished;
	EVP_PKEY *ec_key; /* X25519 or EC, ours */
	EVP_PKEY *kem_key; /* ML-KEM, ours (client only) */
	struct smx_sntrup761 *sntrup_key; /* the same of sntrup761 */
	BIGNUM *p, *g, *x; /* DH: the group and our exponent */
};

extern const struct smx_kex_ops smx_kex_x25519, smx_kex_nist, smx_kex_dh, smx_kex_sntrup;
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
#define SMX_HAVE_MLKEM 1
extern const struct smx_kex_ops smx_kex_mlkem;
#else
#define SMX_HAVE_MLKEM 0
#endif

/* A new X25519 key and its public value. 0 or SMX_ECRYPTO. */
int smx_x25519_generate(EVP_PKEY **ret, uint8_t ret_public[SMX_X25519_LEN]);
/* SMX_EPROTOCOL if peer_public is of small order. */
int smx_x25519_derive(
	EVP_PKEY *ours, const uint8_t peer_public[SMX_X25519_LEN], uint8_t out[SMX_X25519_LEN]);
/* Sets the RFC 3526 group of so many bits; SMX_EINVAL if there is none. */
int smx_kex_dh_set_bits(struct smx_kex *k, int bits);

#endif
