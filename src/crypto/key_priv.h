/* SPDX-License-Identifier: MIT */
/* The inside of a key; private to key*.c. */
#ifndef SMX_CRYPTO_KEY_PRIV_H
#define SMX_CRYPTO_KEY_PRIV_H

#include <openssl/evp.h>

#include "crypto/key.h"

/* Longest application name of a security key; "ssh:" by default. */
#define SMX_SK_APPLICATION_MAX 1024

struct smx_key {
	enum smx_key_type type;
	EVP_PKEY *pkey;
	int is_private;
	char *application; /* sk keys only */
	size_t application_len;
};

struct smx_key_type_info {
	enum smx_key_type type;
	const char *name;
	const char *curve; /* of ECDSA, as on the wire: "nistp256" */
	const char *digest; /* of ECDSA signatures */
};

const struct smx_key_type_info *smx_key_type_info(enum smx_key_type type);
const struct smx_key_type_info *smx_key_type_find(struct smx_view name);
/* The plain type of a certificate's type name; NULL for others. */
const struct smx_key_type_info *smx_key_type_find_cert(struct smx_view name);
/*
 * Whether cert is the certificate name of plain: "ssh-rsa" → "ssh-rsa-cert-v01@openssh.com",
 * and of an sk name, whose suffix the certificate's takes the place of.
 */
int smx_is_cert_name_of(struct smx_view cert, const char *plain);

/* A key around pkey (taken over, also on failure). SMX_ENOMEM. */
int smx_key_wrap(struct smx_key **ret, enum smx_key_type type, EVP_PKEY *pkey, int is_private);
/*
 * The type of a libcrypto key, its limits checked: SMX_EUNSUPPORTED for other kinds and
 * curves, SMX_EFORMAT for an RSA key too short or too long.
 */
int smx_key_classify(const EVP_PKEY *pkey, enum smx_key_type *ret_type);

#endif
