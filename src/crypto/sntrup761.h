/* SPDX-License-Identifier: MIT */
/*
 * Streamlined NTRU Prime sntrup761, a key encapsulation mechanism (KEM) that is thought to hold
 * against quantum computers: "NTRU Prime: round 3" (https://ntruprime.cr.yp.to, 2020), parameters
 * p = 761, q = 4591, w = 286. libcrypto has none. What it is used for: RFC 9941 (kex_hybrid.c).
 *
 *	client: keypair -> public key -> ... ciphertext -> decapsulate -> secret
 *	server: public key -> encapsulate -> ciphertext and the same secret
 *
 * No branch, index or division depends on secrets, but for one: that a candidate for g has no
 * inverse, which tells nothing of the next one. All secrets on the stack are wiped.
 */
#ifndef SMX_CRYPTO_SNTRUP761_H
#define SMX_CRYPTO_SNTRUP761_H

#include <stdint.h>

#define SMX_SNTRUP761_PUBLIC_LEN 1158
#define SMX_SNTRUP761_CIPHER_LEN 1039
#define SMX_SNTRUP761_SECRET_LEN 32

struct smx_sntrup761; /* a private key */

/* *ret is the caller's to free. Some milliseconds. 0, SMX_ENOMEM, SMX_ECRYPTO. */
int smx_sntrup761_keypair(struct smx_sntrup761 **ret, uint8_t ret_public[SMX_SNTRUP761_PUBLIC_LEN]);
void smx_sntrup761_free(struct smx_sntrup761 *key); /* wipes; NULL works */

/* A wrong ciphertext gives a wrong secret, the same one each time, and no error. 0, SMX_ECRYPTO. */
int smx_sntrup761_decapsulate(const struct smx_sntrup761 *key,
	const uint8_t cipher[SMX_SNTRUP761_CIPHER_LEN],
	uint8_t ret_secret[SMX_SNTRUP761_SECRET_LEN]);
/* Any bytes are a public key. 0, SMX_ECRYPTO. */
int smx_sntrup761_encapsulate(const uint8_t peer_public[SMX_SNTRUP761_PUBLIC_LEN],
	uint8_t ret_cipher[SMX_SNTRUP761_CIPHER_LEN], uint8_t ret_secret[SMX_SNTRUP761_SECRET_LEN]);

#endif
