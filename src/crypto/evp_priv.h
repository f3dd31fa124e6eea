/* SPDX-License-Identifier: MIT */
/* Making libcrypto keys from numbers, and its contexts; private to src/crypto. */
#ifndef SMX_CRYPTO_EVP_PRIV_H
#define SMX_CRYPTO_EVP_PRIV_H

#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/wire.h"

/* Longest uncompressed point: nistp521's. */
#define SMX_EC_POINT_MAX 133

/* libcrypto's name of "nistp256" …, or NULL; *ret_point_len of its uncompressed points. */
const char *smx_evp_curve(struct smx_view ssh_name, size_t *ret_point_len);
/*
 * The public key of an uncompressed point; SMX_EFORMAT if it is no point of the curve or
 * is not uncompressed, SMX_ECRYPTO.
 */
int smx_evp_ec_public(EVP_PKEY **ret, const char *curve, struct smx_view point);
/* A key of the type ("EC", "RSA"), selection as in EVP_PKEY_fromdata; consumes nothing. */
int smx_evp_from_bld(EVP_PKEY **ret, const char *type, int selection, OSSL_PARAM_BLD *bld);

/* A new context of the named libcrypto cipher with its key (and iv) set; NULL on failure. */
EVP_CIPHER_CTX *smx_cipher_ctx_new(
	const char *evp_name, int encrypt, const uint8_t *key, const uint8_t *iv);
/* The same for a MAC; digest only for HMAC, key NULL to set it later. */
EVP_MAC_CTX *smx_mac_ctx_new(
	const char *evp_name, const char *digest, const uint8_t *key, size_t key_len);

/* EVP_CipherUpdate of n bytes; to may be from. 0 or SMX_ECRYPTO. */
int smx_cipher_update(EVP_CIPHER_CTX *ctx, uint8_t *to, const uint8_t *from, size_t n);

#endif
