/* SPDX-License-Identifier: MIT */
#include "crypto/key.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/evp_priv.h"
#include "crypto/hash.h"
#include "crypto/key_priv.h"

#define CERT_SUFFIX "-cert-v01@openssh.com"
#define SK_SUFFIX   "@openssh.com"
#define ED25519_LEN 32
/* Longer exponents than anybody uses only make verifying slow. */
#define RSA_E_BYTES_MAX 8

static const struct smx_key_type_info types[] = {
	{ SMX_KEY_ED25519, "ssh-ed25519", NULL, NULL },
	{ SMX_KEY_ECDSA_256, "ecdsa-sha2-nistp256", "nistp256", "SHA256" },
	{ SMX_KEY_ECDSA_384, "ecdsa-sha2-nistp384", "nistp384", "SHA384" },
	{ SMX_KEY_ECDSA_521, "ecdsa-sha2-nistp521", "nistp521", "SHA512" },
	{ SMX_KEY_RSA, "ssh-rsa", NULL, NULL },
	{ SMX_KEY_SK_ED25519, "sk-ssh-ed25519@openssh.com", NULL, NULL },
	{ SMX_KEY_SK_ECDSA, "sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", "SHA256" },
};

const struct smx_key_type_info *smx_key_type_info(enum smx_key_type type)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(types); i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

const struct smx_key_type_info *smx_key_type_find(struct smx_view name)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(types); i++)
		if (smx_view_eq(name, types[i].name))
			return &types[i];
	return NULL;
}

int smx_is_cert_name_of(struct smx_view cert, const char *plain)
{
	size_t stem = strlen(plain), suffix = strlen(CERT_SUFFIX);

	if (stem > strlen(SK_SUFFIX) && strcmp(plain + stem - strlen(SK_SUFFIX), SK_SUFFIX) == 0)
		stem -= strlen(SK_SUFFIX);
	return cert.len == stem + suffix && memcmp(cert.p, plain, stem) == 0 &&
	       memcmp(cert.p + stem, CERT_SUFFIX, suffix) == 0;
}

const struct smx_key_type_info *smx_key_type_find_cert(struct smx_view name)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(types); i++)
		if (smx_is_cert_name_of(name, types[i].name))
			return &types[i];
	return NULL;
}

const char *smx_key_type_name(enum smx_key_type type)
{
	const struct smx_key_type_info *info = smx_key_type_info(type);

	return info ? info->name : "unknown";
}

int smx_key_wrap(struct smx_key **ret, enum smx_key_type type, EVP_PKEY *pkey, int is_private)
{
	struct smx_key *k = smx_calloc(1, sizeof(*k));

	if (!k) {
		EVP_PKEY_free(pkey);
		return SMX_ENOMEM;
	}
	k->type = type;
	k->pkey = pkey;
	k->is_private = is_private;
	*ret = k;
	return 0;
}

void smx_key_free(struct smx_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey); /* wipes the private part */
	smx_free(k->application);
	smx_free(k);
}

enum smx_key_type smx_key_get_type(const struct smx_key *k)
{
	return k->type;
}

int smx_key_is_private(const struct smx_key *k)
{
	return k->is_private;
}

int smx_key_classify(const EVP_PKEY *pkey, enum smx_key_type *ret_type)
{
	static const struct {
		const char *group;
		enum smx_key_type type;
	} groups[] = {
		{ "prime256v1", SMX_KEY_ECDSA_256 },
		{ "P-256", SMX_KEY_ECDSA_256 },
		{ "secp384r1", SMX_KEY_ECDSA_384 },
		{ "P-384", SMX_KEY_ECDSA_384 },
		{ "secp521r1", SMX_KEY_ECDSA_521 },
		{ "P-521", SMX_KEY_ECDSA_521 },
	};
	char name[64];

	if (EVP_PKEY_is_a(pkey, "ED25519")) {
		*ret_type = SMX_KEY_ED25519;
		return 0;
	}
	if (EVP_PKEY_is_a(pkey, "RSA")) {
		int bits = EVP_PKEY_get_bits(pkey);

		if (bits < SMX_RSA_MIN_BITS || bits > SMX_RSA_MAX_BITS)
			return bits < SMX_RSA_MIN_BITS ? SMX_EWEAK : SMX_EFORMAT;
		*ret_type = SMX_KEY_RSA;
		return 0;
	}
	if (!EVP_PKEY_is_a(pkey, "EC") ||
		EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL) != 1)
		return SMX_EUNSUPPORTED;
	for (size_t i = 0; i < SMX_ARRAY_LEN(groups); i++) {
		if (strcmp(name, groups[i].group) == 0) {
			*ret_type = groups[i].type;
			return 0;
		}
	}
	return SMX_EUNSUPPORTED;
}

int smx_key_generate_ed25519(struct smx_key **ret)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	if (!pkey)
		return SMX_ECRYPTO;
	return smx_key_wrap(ret, SMX_KEY_ED25519, pkey, 1);
}

/* Blobs to keys. Each reads what follows the type name. */

static int read_ed25519(struct smx_rd *rd, EVP_PKEY **ret)
{
	struct smx_view v;
	int r;

	if ((r = smx_rd_string_max(rd, SMX_KEY_BLOB_MAX, &v)) != 0)
		return r;
	if (v.len != ED25519_LEN)
		return SMX_EFORMAT;
	*ret = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, v.p, v.len);
	return *ret ? 0 : SMX_ECRYPTO;
}

static int read_ecdsa(struct smx_rd *rd, const char *curve, EVP_PKEY **ret)
{
	struct smx_view name, point;
	int r;

	if ((r = smx_rd_string_max(rd, SMX_KEY_BLOB_MAX, &name)) != 0 ||
		(r = smx_rd_string_max(rd, SMX_KEY_BLOB_MAX, &point)) != 0)
		return r;
	if (!smx_view_eq(name, curve))
		return SMX_EFORMAT;
	return smx_evp_ec_public(ret, smx_evp_curve(name, NULL), point);
}

static int rsa_from_numbers(struct smx_view e, struct smx_view n, EVP_PKEY **ret)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn_e = BN_bin2bn(e.p, (int)e.len, NULL), *bn_n = BN_bin2bn(n.p, (int)n.len, NULL);
	int r = SMX_ECRYPTO;

	if (!bld || !bn_e || !bn_n)
		goto out;
	r = SMX_EWEAK;
	if (BN_num_bits(bn_n) < SMX_RSA_MIN_BITS)
		goto out;
	r = SMX_EFORMAT;
	if (BN_num_bits(bn_n) > SMX_RSA_MAX_BITS || !BN_is_odd(bn_n) || !BN_is_odd(bn_e) ||
		BN_is_one(bn_e))
		goto out;
	r = SMX_ECRYPTO;
	if (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
		OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1)
		r = smx_evp_from_bld(ret, "RSA", EVP_PKEY_PUBLIC_KEY, bld);
out:
	BN_free(bn_e);
	BN_free(bn_n);
	OSSL_PARAM_BLD_free(bld);
	return r;
}

static int read_rsa(struct smx_rd *rd, EVP_PKEY **ret)
{
	struct smx_view e, n;
	int r;

	if ((r = smx_rd_mpint(rd, &e)) != 0 || (r = smx_rd_mpint(rd, &n)) != 0)
		return r;
	if (e.len == 0 || e.len > RSA_E_BYTES_MAX || n.len > SMX_RSA_MAX_BITS / 8)
		return SMX_EFORMAT;
	return rsa_from_numbers(e, n, ret);
}

static int read_public(struct smx_rd *rd, enum smx_key_type type, EVP_PKEY **ret)
{
	switch (type) {
	case SMX_KEY_ED25519:
	case SMX_KEY_SK_ED25519:
		return read_ed25519(rd, ret);
	case SMX_KEY_RSA:
		return read_rsa(rd, ret);
	case SMX_KEY_ECDSA_256:
	case SMX_KEY_ECDSA_384:
	case SMX_KEY_ECDSA_521:
	case SMX_KEY_SK_ECDSA:
		return read_ecdsa(rd, smx_key_type_info(type)->curve, ret);
	}
	return SMX_EUNSUPPORTED;
}

int smx_key_from_blob(struct smx_key **ret, struct smx_view blob)
{
	const struct smx_key_type_info *info;
	struct smx_rd rd = smx_rd_view(blob);
	struct smx_view name, application = { NULL, 0 };
	EVP_PKEY *pkey = NULL;
	struct smx_key *k;
	int r;

	if (blob.len > SMX_KEY_BLOB_MAX)
		return SMX_ETOOBIG;
	if ((r = smx_rd_string(&rd, &name)) != 0)
		return r;
	info = smx_key_type_find(name);
	if (!info)
		return SMX_EUNSUPPORTED;
	if ((r = read_public(&rd, info->type, &pkey)) != 0)
		return r;
	if (info->type == SMX_KEY_SK_ED25519 || info->type == SMX_KEY_SK_ECDSA)
		r = smx_rd_string_max(&rd, SMX_SK_APPLICATION_MAX, &application);
	if (r != 0 || (r = smx_rd_end(&rd)) != 0) {
		EVP_PKEY_free(pkey);
		return r;
	}
	if ((r = smx_key_wrap(&k, info->type, pkey, 0)) != 0)
		return r;
	if (application.p) {
		k->application = smx_strndup((const char *)application.p, application.len);
		k->application_len = application.len;
		if (!k->application) {
			smx_key_free(k);
			return SMX_ENOMEM;
		}
	}
	*ret = k;
	return 0;
}

/* Keys to blobs. */

static int put_rsa_number(const EVP_PKEY *pkey, const char *param, struct smx_buf *b)
{
	uint8_t bytes[SMX_RSA_MAX_BITS / 8];
	BIGNUM *bn = NULL;
	int r = SMX_ECRYPTO, len;

	if (EVP_PKEY_get_bn_param(pkey, param, &bn) == 1 &&
		(len = BN_num_bytes(bn)) <= (int)sizeof(bytes) && BN_bn2bin(bn, bytes) == len)
		r = smx_put_mpint(b, bytes, (size_t)len);
	BN_free(bn);
	return r;
}

static int put_public(const struct smx_key *k, struct smx_buf *b)
{
	const struct smx_key_type_info *info = smx_key_type_info(k->type);
	unsigned char *point = NULL;
	size_t len;
	int r;

	if (k->type == SMX_KEY_RSA) {
		if ((r = put_rsa_number(k->pkey, OSSL_PKEY_PARAM_RSA_E, b)) != 0)
			return r;
		return put_rsa_number(k->pkey, OSSL_PKEY_PARAM_RSA_N, b);
	}
	if (info->curve && (r = smx_put_cstr(b, info->curve)) != 0)
		return r;
	if (!info->curve) {
		uint8_t raw[ED25519_LEN];

		len = sizeof(raw);
		if (EVP_PKEY_get_raw_public_key(k->pkey, raw, &len) != 1)
			return SMX_ECRYPTO;
		return smx_put_string(b, raw, len);
	}
	len = EVP_PKEY_get1_encoded_public_key(k->pkey, &point);
	r = len ? smx_put_string(b, point, len) : SMX_ECRYPTO;
	OPENSSL_free(point);
	return r;
}

int smx_key_to_blob(const struct smx_key *k, struct smx_buf *ret_blob)
{
	size_t mark = smx_buf_len(ret_blob);
	int r;

	if ((r = smx_put_cstr(ret_blob, smx_key_type_name(k->type))) != 0 ||
		(r = put_public(k, ret_blob)) != 0 ||
		(k->application &&
			(r = smx_put_string(ret_blob, k->application, k->application_len)) != 0))
		smx_buf_truncate(ret_blob, mark);
	return r;
}

/* Blobs as such. */

int smx_blob_type(struct smx_view blob, struct smx_view *ret_type)
{
	struct smx_rd rd = smx_rd_view(blob);

	return smx_rd_string(&rd, ret_type);
}

int smx_blob_fingerprint(struct smx_view blob, char out[SMX_FINGERPRINT_SIZE])
{
	uint8_t digest[SMX_HASH_MAX];
	struct smx_buf text;
	int r;

	smx_buf_init(&text, SMX_FINGERPRINT_SIZE - 1);
	if ((r = smx_hash(SMX_HASH_SHA256, blob.p, blob.len, digest)) == 0 &&
		(r = smx_buf_put_str(&text, "SHA256:")) == 0 &&
		(r = smx_base64_encode(&text, digest, 32, 0)) == 0) {
		memcpy(out, smx_buf_view(&text), smx_buf_len(&text));
		out[smx_buf_len(&text)] = '\0';
	}
	smx_buf_release(&text);
	return r;
}

#define LEAST_LOCKED 32 /* bytes of one piece: an Ed25519 key */

int smx_keys_lock(size_t bytes)
{
	return CRYPTO_secure_malloc_init(bytes, LEAST_LOCKED) == 1 ? 0 : SMX_ESYS;
}
