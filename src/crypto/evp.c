/* SPDX-License-Identifier: MIT */
#include "crypto/evp_priv.h"

#include <openssl/core_names.h>

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
