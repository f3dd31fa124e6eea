/* SPDX-License-Identifier: MIT */
/* Making libcrypto keys from numbers; private to src/crypto. */
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

#endif
