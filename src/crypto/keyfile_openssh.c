/* SPDX-License-Identifier: MIT */
/* Reading OpenSSH's own key format (PROTOCOL.key). */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/cipher_priv.h"
#include "crypto/evp_priv.h"
#include "crypto/key_priv.h"
#include "crypto/keyfile_priv.h"

/* With its NUL. */
static const char magic[] = "openssh-key-v1";

#define DERIVED_MAX (SMX_CIPHER_KEY_MAX + SMX_CIPHER_IV_MAX)

static const struct file_cipher {
	const char *name, *evp_name;
	size_t key_len, iv_len, block_len, tag_len;
} file_ciphers[] = {
	{ "none", NULL, 0, 0, 8, 0 },
	{ "aes256-ctr", "AES-256-CTR", 32, 16, 16, 0 },
	{ "aes192-ctr", "AES-192-CTR", 24, 16, 16, 0 },
	{ "aes128-ctr", "AES-128-CTR", 16, 16, 16, 0 },
	{ "aes256-cbc", "AES-256-CBC", 32, 16, 16, 0 },
	{ "aes192-cbc", "AES-192-CBC", 24, 16, 16, 0 },
	{ "aes128-cbc", "AES-128-CBC", 16, 16, 16, 0 },
	{ "aes256-gcm@openssh.com", "AES-256-GCM", 32, SMX_GCM_IV_LEN, 16, SMX_AEAD_TAG_LEN },
	{ "aes128-gcm@openssh.com", "AES-128-GCM", 16, SMX_GCM_IV_LEN, 16, SMX_AEAD_TAG_LEN },
	{ "chacha20-poly1305@openssh.com", NULL, 64, 0, 8, SMX_AEAD_TAG_LEN },
};

static const struct file_cipher *file_cipher_find(struct smx_view name)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(file_ciphers); i++)
		if (smx_view_eq(name, file_ciphers[i].name))
			return &file_ciphers[i];
	return NULL;
}

/* The base64 between the two armour lines, without white space. */
static int read_armour(struct smx_view text, struct smx_buf *ret_base64)
{
	const size_t begin_len = strlen(SMX_OPENSSH_BEGIN), end_len = strlen(SMX_OPENSSH_END);
	uint8_t *to;
	size_t i = 0, n = 0;
	int r;

	while (i < text.len && strchr(" \t\r\n", text.p[i]) && text.p[i])
		i++;
	if (text.len - i < begin_len || memcmp(text.p + i, SMX_OPENSSH_BEGIN, begin_len) != 0)
		return SMX_EFORMAT;
	i += begin_len;
	if ((r = smx_buf_reserve(ret_base64, text.len - i, &to)) != 0)
		return r;
	for (; i < text.len && text.p[i] != '-'; i++)
		if (!text.p[i] || !strchr(" \t\r\n", text.p[i]))
			to[n++] = text.p[i];
	smx_buf_commit(ret_base64, n);
	if (text.len - i < end_len || memcmp(text.p + i, SMX_OPENSSH_END, end_len) != 0)
		return SMX_EFORMAT;
	return 0;
}

static int parse_envelope(struct smx_view bytes, struct smx_openssh_envelope *ret)
{
	struct smx_rd rd = smx_rd_view(bytes);
	const struct file_cipher *fc;
	struct smx_openssh_envelope e;
	struct smx_view head;
	uint32_t n_keys;
	int r;

	if ((r = smx_rd_bytes(&rd, sizeof(magic), &head)) != 0)
		return r;
	if (memcmp(head.p, magic, sizeof(magic)) != 0)
		return SMX_EFORMAT;
	if ((r = smx_rd_string(&rd, &e.cipher)) != 0 || (r = smx_rd_string(&rd, &e.kdf)) != 0 ||
		(r = smx_rd_string(&rd, &e.kdf_options)) != 0 ||
		(r = smx_rd_u32(&rd, &n_keys)) != 0 ||
		(r = smx_rd_string_max(&rd, SMX_KEY_BLOB_MAX, &e.public_blob)) != 0 ||
		(r = smx_rd_string(&rd, &e.sealed)) != 0)
		return r;
	fc = file_cipher_find(e.cipher);
	if (!fc || n_keys != 1)
		return SMX_EUNSUPPORTED;
	if (smx_view_eq(e.cipher, "none") != smx_view_eq(e.kdf, "none"))
		return SMX_EFORMAT;
	if (e.sealed.len == 0 || e.sealed.len % fc->block_len != 0)
		return SMX_EFORMAT;
	if ((r = smx_rd_bytes(&rd, fc->tag_len, &e.tag)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	*ret = e;
	return 0;
}

int smx_openssh_open(
	struct smx_view text, struct smx_buf *ret_bytes, struct smx_openssh_envelope *ret)
{
	struct smx_buf base64;
	int r;

	smx_buf_init_secret(&base64, SMX_KEYFILE_MAX);
	if ((r = read_armour(text, &base64)) == 0)
		r = smx_base64_decode(ret_bytes, smx_buf_as_view(&base64));
	smx_buf_release(&base64);
	if (r != 0)
		return r;
	return parse_envelope(smx_buf_as_view(ret_bytes), ret);
}

static int derive_key(const struct smx_openssh_envelope *e, const char *passphrase,
	size_t derived_len, uint8_t *derived)
{
	struct smx_rd rd = smx_rd_view(e->kdf_options);
	struct smx_view salt;
	uint32_t rounds;
	int r;

	if (!smx_view_eq(e->kdf, "bcrypt"))
		return SMX_EUNSUPPORTED;
	if ((r = smx_rd_string(&rd, &salt)) != 0 || (r = smx_rd_u32(&rd, &rounds)) != 0 ||
		(r = smx_rd_end(&rd)) != 0)
		return r;
	if (rounds > SMX_KEYFILE_ROUNDS_MAX)
		return SMX_ELIMIT;
	if (rounds == 0 || salt.len == 0)
		return SMX_EFORMAT;
	if (!passphrase || !*passphrase)
		return SMX_EPASSPHRASE;
	return smx_bcrypt_pbkdf(
		passphrase, strlen(passphrase), salt.p, salt.len, rounds, derived, derived_len);
}

/* The ciphers that libcrypto does in one go. */
static int decrypt_evp(const struct file_cipher *fc, const struct smx_openssh_envelope *e,
	const uint8_t *derived, uint8_t *to)
{
	EVP_CIPHER_CTX *ctx = smx_cipher_ctx_new(fc->evp_name, 0, derived, derived + fc->key_len);
	uint8_t tag[SMX_AEAD_TAG_LEN], rest[SMX_CIPHER_IV_MAX * 2];
	int n, r = SMX_ECRYPTO;

	if (!ctx || EVP_CIPHER_CTX_set_padding(ctx, 0) != 1 ||
		smx_cipher_update(ctx, to, e->sealed.p, e->sealed.len) != 0)
		goto out;
	if (fc->tag_len) {
		memcpy(tag, e->tag.p, sizeof(tag)); /* libcrypto takes no const here */
		if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) != 1)
			goto out;
	}
	/* Whole blocks: only a tag can fail now. */
	r = EVP_CipherFinal_ex(ctx, rest, &n) == 1 ? 0 : SMX_EMAC;
out:
	EVP_CIPHER_CTX_free(ctx);
	return r;
}

int smx_openssh_decrypt(
	const struct smx_openssh_envelope *e, const char *passphrase, struct smx_buf *ret_clear)
{
	const struct file_cipher *fc = file_cipher_find(e->cipher);
	uint8_t derived[DERIVED_MAX];
	uint8_t *to;
	int r;

	if (smx_view_eq(e->cipher, "none"))
		return smx_buf_put(ret_clear, e->sealed.p, e->sealed.len);
	if ((r = smx_buf_reserve(ret_clear, e->sealed.len, &to)) != 0)
		return r;
	if ((r = derive_key(e, passphrase, fc->key_len + fc->iv_len, derived)) != 0)
		return r;
	if (fc->evp_name)
		r = decrypt_evp(fc, e, derived, to);
	else
		r = smx_chacha_open_blob(derived, e->sealed.p, e->sealed.len, e->tag.p, to);
	smx_wipe(derived, sizeof(derived));
	/* Without a tag, the two check numbers of the private section tell. */
	if (r == 0 && memcmp(to, to + 4, 4) != 0)
		r = SMX_EMAC;
	if (r != 0)
		return r == SMX_EMAC ? SMX_EPASSPHRASE : r;
	smx_buf_commit(ret_clear, e->sealed.len);
	return 0;
}

/* Private sections. Each reads what follows the type name. */

static BIGNUM *secret_number(struct smx_view v)
{
	BIGNUM *bn = BN_secure_new();

	if (bn && !BN_bin2bn(v.p, (int)v.len, bn)) {
		BN_free(bn);
		bn = NULL;
	}
	return bn;
}

static int read_ed25519(struct smx_rd *rd, EVP_PKEY **ret)
{
	struct smx_view public, pair;
	int r;

	if ((r = smx_rd_string(rd, &public)) != 0 || (r = smx_rd_string(rd, &pair)) != 0)
		return r;
	/* libcrypto derives the public half itself; that it is the file's, the caller checks. */
	if (public.len != 32 || pair.len != 64 || memcmp(public.p, pair.p + 32, 32) != 0)
		return SMX_EFORMAT;
	*ret = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, pair.p, 32);
	return *ret ? 0 : SMX_ECRYPTO;
}

static int pair_matches(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	int ok = ctx && EVP_PKEY_pairwise_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static int read_ecdsa(struct smx_rd *rd, const char *wire_curve, EVP_PKEY **ret)
{
	const char *curve = smx_evp_curve(smx_view_of(wire_curve, strlen(wire_curve)), NULL);
	struct smx_view name, point, scalar;
	OSSL_PARAM_BLD *bld;
	EVP_PKEY *pkey = NULL;
	BIGNUM *bn;
	int r;

	if ((r = smx_rd_string(rd, &name)) != 0 || (r = smx_rd_string(rd, &point)) != 0 ||
		(r = smx_rd_mpint(rd, &scalar)) != 0)
		return r;
	if (!smx_view_eq(name, wire_curve) || point.len > SMX_EC_POINT_MAX || point.len < 1 ||
		point.p[0] != 4 || scalar.len > SMX_EC_POINT_MAX)
		return SMX_EFORMAT;
	bn = secret_number(scalar);
	bld = OSSL_PARAM_BLD_new();
	r = SMX_ECRYPTO;
	if (bn && bld &&
		OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(
			bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.len) == 1 &&
		OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, bn) == 1) {
		/* What is refused here is a number out of range, a point off the curve, or a
		 * point that is not the number's. */
		if (smx_evp_from_bld(&pkey, "EC", EVP_PKEY_KEYPAIR, bld) == 0 && pair_matches(pkey))
			r = 0;
		else
			r = SMX_EFORMAT;
	}
	BN_clear_free(bn);
	OSSL_PARAM_BLD_free(bld);
	if (r == 0)
		*ret = pkey;
	else
		EVP_PKEY_free(pkey);
	return r;
}

/* In the order of the file, then the two that it leaves to be computed. */
enum rsa_number { RSA_N, RSA_E, RSA_D, RSA_IQMP, RSA_P, RSA_Q, RSA_DMP1, RSA_DMQ1, RSA_NUMBERS };
#define RSA_IN_FILE RSA_DMP1

/* Whether a * b is 1 modulo m. */
static int are_inverse(const BIGNUM *a, const BIGNUM *b, const BIGNUM *m, BN_CTX *ctx)
{
	BIGNUM *t = BN_secure_new();
	int ok = t && BN_mod_mul(t, a, b, m, ctx) == 1 && BN_is_one(t);

	BN_clear_free(t);
	return ok;
}

/* d modulo prime - 1, which must undo e there. SMX_EFORMAT if it does not. */
static int rsa_exponent(
	const BIGNUM *d, const BIGNUM *e, const BIGNUM *prime, BIGNUM *ret, BN_CTX *ctx)
{
	BIGNUM *order = BN_secure_new();
	int r = SMX_ECRYPTO;

	if (order && BN_sub(order, prime, BN_value_one()) == 1 && BN_mod(ret, d, order, ctx) == 1)
		r = are_inverse(ret, e, order, ctx) ? 0 : SMX_EFORMAT;
	BN_clear_free(order);
	return r;
}

/*
 * Computes the two numbers that the file leaves away, and checks that the others belong
 * together: a damaged key would sign, but wrongly.
 */
static int rsa_complete(BIGNUM *num[RSA_NUMBERS])
{
	BN_CTX *ctx = BN_CTX_secure_new();
	BIGNUM *product = BN_secure_new();
	int r = SMX_ECRYPTO;

	num[RSA_DMP1] = BN_secure_new();
	num[RSA_DMQ1] = BN_secure_new();
	if (!ctx || !product || !num[RSA_DMP1] || !num[RSA_DMQ1] ||
		BN_mul(product, num[RSA_P], num[RSA_Q], ctx) != 1)
		goto out;
	BN_set_flags(num[RSA_D], BN_FLG_CONSTTIME);
	r = SMX_EFORMAT;
	if (BN_cmp(product, num[RSA_N]) != 0 || BN_is_one(num[RSA_P]) || BN_is_one(num[RSA_Q]) ||
		!are_inverse(num[RSA_IQMP], num[RSA_Q], num[RSA_P], ctx))
		goto out;
	(void)((r = rsa_exponent(num[RSA_D], num[RSA_E], num[RSA_P], num[RSA_DMP1], ctx)) != 0 ||
		(r = rsa_exponent(num[RSA_D], num[RSA_E], num[RSA_Q], num[RSA_DMQ1], ctx)) != 0);
out:
	BN_clear_free(product);
	BN_CTX_free(ctx);
	return r;
}

static int rsa_build(BIGNUM *num[RSA_NUMBERS], EVP_PKEY **ret)
{
	static const char *const params[RSA_NUMBERS] = {
		[RSA_N] = OSSL_PKEY_PARAM_RSA_N,
		[RSA_E] = OSSL_PKEY_PARAM_RSA_E,
		[RSA_D] = OSSL_PKEY_PARAM_RSA_D,
		[RSA_IQMP] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
		[RSA_P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
		[RSA_Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,
		[RSA_DMP1] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
		[RSA_DMQ1] = OSSL_PKEY_PARAM_RSA_EXPONENT2,
	};
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	int r = bld ? 0 : SMX_ECRYPTO;

	for (int i = 0; r == 0 && i < RSA_NUMBERS; i++)
		if (OSSL_PARAM_BLD_push_BN(bld, params[i], num[i]) != 1)
			r = SMX_ECRYPTO;
	if (r == 0 && smx_evp_from_bld(ret, "RSA", EVP_PKEY_KEYPAIR, bld) != 0)
		r = SMX_EFORMAT;
	OSSL_PARAM_BLD_free(bld);
	return r;
}

static int read_rsa(struct smx_rd *rd, EVP_PKEY **ret)
{
	BIGNUM *num[RSA_NUMBERS] = { NULL };
	struct smx_view v;
	int r = 0;

	for (int i = 0; r == 0 && i < RSA_IN_FILE; i++) {
		if ((r = smx_rd_mpint(rd, &v)) != 0)
			break;
		if (v.len == 0 || v.len > SMX_RSA_MAX_BITS / 8)
			r = SMX_EFORMAT;
		else if (!(num[i] = secret_number(v)))
			r = SMX_ECRYPTO;
	}
	if (r == 0 && BN_num_bits(num[RSA_N]) < SMX_RSA_MIN_BITS)
		r = SMX_EWEAK;
	if (r == 0 && (r = rsa_complete(num)) == 0)
		r = rsa_build(num, ret);
	for (int i = 0; i < RSA_NUMBERS; i++)
		BN_clear_free(num[i]);
	return r;
}

static int read_pair(struct smx_rd *rd, const struct smx_key_type_info *info, EVP_PKEY **ret)
{
	switch (info->type) {
	case SMX_KEY_ED25519:
		return read_ed25519(rd, ret);
	case SMX_KEY_RSA:
		return read_rsa(rd, ret);
	case SMX_KEY_ECDSA_256:
	case SMX_KEY_ECDSA_384:
	case SMX_KEY_ECDSA_521:
		return read_ecdsa(rd, info->curve, ret);
	case SMX_KEY_SK_ED25519:
	case SMX_KEY_SK_ECDSA:
		break; /* the file holds a handle for a device, no key */
	}
	return SMX_EUNSUPPORTED;
}

static int check_padding(struct smx_rd *rd)
{
	for (uint8_t want = 1; rd->left > 0; want++) {
		uint8_t v;

		(void)smx_rd_u8(rd, &v);
		if (v != want)
			return SMX_EFORMAT;
	}
	return 0;
}

int smx_openssh_read_private(
	struct smx_view clear, struct smx_key **ret, struct smx_view *ret_comment)
{
	const struct smx_key_type_info *info;
	struct smx_rd rd = smx_rd_view(clear);
	struct smx_view name, comment;
	uint32_t check1, check2;
	EVP_PKEY *pkey = NULL;
	int r;

	if ((r = smx_rd_u32(&rd, &check1)) != 0 || (r = smx_rd_u32(&rd, &check2)) != 0)
		return r;
	if (check1 != check2)
		return SMX_EFORMAT;
	if ((r = smx_rd_string(&rd, &name)) != 0)
		return r;
	info = smx_key_type_find(name);
	if (!info)
		return SMX_EUNSUPPORTED;
	if ((r = read_pair(&rd, info, &pkey)) != 0)
		return r;
	if ((r = smx_rd_string(&rd, &comment)) != 0 || (r = check_padding(&rd)) != 0) {
		EVP_PKEY_free(pkey);
		return r;
	}
	if ((r = smx_key_wrap(ret, info->type, pkey, 1)) != 0)
		return r;
	*ret_comment = comment;
	return 0;
}
