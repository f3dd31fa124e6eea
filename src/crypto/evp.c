/* SPDX-License-Identifier: MIT */
#include "crypto/evp_priv.h"

#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "base/err.h"
#include "base/mem.h"

static const struct {
	const char *ssh_name, *evp_name;
	size_t point_len;
} curves[] = {
	{ "nistp256", "P-256", 65 },
	{ "nistp384", "P-384", 97 },
	{ "nistp521", "P-521", 133 },
};

const char *smx_evp_curve(struct smx_view ssh_name, size_t *ret_point_len)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(curves); i++) {
		if (!smx_view_eq(ssh_name, curves[i].ssh_name))
			continue;
		if (ret_point_len)
			*ret_point_len = curves[i].point_len;
		return curves[i].evp_name;
	}
	return NULL;
}

static size_t point_len_of(const char *curve)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(curves); i++)
		if (smx_view_eq(smx_view_of(curve, 5), curves[i].evp_name))
			return curves[i].point_len;
	return 0;
}

int smx_evp_from_bld(EVP_PKEY **ret, const char *type, int selection, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;
	int ok;

	ok = params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
	     EVP_PKEY_fromdata(ctx, &pkey, selection, params) == 1;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	if (!ok)
		return SMX_ECRYPTO;
	*ret = pkey;
	return 0;
}

int smx_evp_ec_public(EVP_PKEY **ret, const char *curve, struct smx_view point)
{
	OSSL_PARAM_BLD *bld;
	int r = SMX_ECRYPTO;

	/* RFC 5656 section 3.1 lets points be compressed, but nobody sends them so. */
	if (point.len != point_len_of(curve) || point.p[0] != 4)
		return SMX_EFORMAT;
	bld = OSSL_PARAM_BLD_new();
	if (bld &&
		OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(
			bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.len) == 1) {
		/* The right length is checked: what is refused now is off the curve. */
		r = smx_evp_from_bld(ret, "EC", EVP_PKEY_PUBLIC_KEY, bld);
		if (r != 0)
			r = SMX_EFORMAT;
	}
	OSSL_PARAM_BLD_free(bld);
	return r;
}

EVP_CIPHER_CTX *smx_cipher_ctx_new(
	const char *evp_name, int encrypt, const uint8_t *key, const uint8_t *iv)
{
	EVP_CIPHER *evp = EVP_CIPHER_fetch(NULL, evp_name, NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (!evp || !ctx || EVP_CipherInit_ex2(ctx, evp, key, iv, encrypt, NULL) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_CIPHER_free(evp); /* the context holds its own reference */
	return ctx;
}

EVP_MAC_CTX *smx_mac_ctx_new(
	const char *evp_name, const char *digest, const uint8_t *key, size_t key_len)
{
	EVP_MAC *evp = EVP_MAC_fetch(NULL, evp_name, NULL);
	EVP_MAC_CTX *ctx = evp ? EVP_MAC_CTX_new(evp) : NULL;
	char name[16];
	OSSL_PARAM params[2] = { OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end() };

	if (digest) {
		/* The parameter's type has no const. */
		memcpy(name, digest, strlen(digest) + 1);
		params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0);
	}
	if (ctx && key && EVP_MAC_init(ctx, key, key_len, params) != 1) {
		EVP_MAC_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_MAC_free(evp);
	return ctx;
}

int smx_cipher_update(EVP_CIPHER_CTX *ctx, uint8_t *to, const uint8_t *from, size_t n)
{
	int done;

	if (n == 0)
		return 0;
	if (n > INT_MAX || EVP_CipherUpdate(ctx, to, &done, from, (int)n) != 1)
		return SMX_ECRYPTO;
	return 0;
}
