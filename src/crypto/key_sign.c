/* SPDX-License-Identifier: MIT */
/* Signatures: their algorithm names, their blobs, making and verifying them. */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/key_priv.h"

#define ED25519_SIG_LEN 64
/* DER of two 521-bit numbers, and more. */
#define ECDSA_DER_MAX 160
#define ECDSA_NUM_MAX 66
/* PROTOCOL.u2f: the flag that says somebody touched the key. */
#define SK_USER_PRESENT 0x01

/* In our order of preference. */
static const struct sigalg {
	const char *name;
	enum smx_key_type type;
	const char *rsa_digest;
} sigalgs[] = {
	{ "ssh-ed25519", SMX_KEY_ED25519, NULL },
	{ "ecdsa-sha2-nistp256", SMX_KEY_ECDSA_256, NULL },
	{ "ecdsa-sha2-nistp384", SMX_KEY_ECDSA_384, NULL },
	{ "ecdsa-sha2-nistp521", SMX_KEY_ECDSA_521, NULL },
	{ "sk-ssh-ed25519@openssh.com", SMX_KEY_SK_ED25519, NULL },
	{ "sk-ecdsa-sha2-nistp256@openssh.com", SMX_KEY_SK_ECDSA, NULL },
	{ "rsa-sha2-512", SMX_KEY_RSA, "SHA512" },
	{ "rsa-sha2-256", SMX_KEY_RSA, "SHA256" },
};

#define NAMES_EC  "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,"
#define NAMES_SK  "sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,"
#define NAMES_RSA "rsa-sha2-512,rsa-sha2-256"
#define CERT      "-cert-v01@openssh.com"
#define NAMES_CERT                                                                 \
	"ssh-ed25519" CERT ",ecdsa-sha2-nistp256" CERT ",ecdsa-sha2-nistp384" CERT \
	",ecdsa-sha2-nistp521" CERT ",rsa-sha2-512" CERT ",rsa-sha2-256" CERT

const char *smx_sigalg_names(int with_sk)
{
	return with_sk ? NAMES_EC NAMES_SK NAMES_RSA : NAMES_EC NAMES_RSA;
}

const char *smx_cert_sigalg_names(void)
{
	return NAMES_CERT;
}

static const struct sigalg *sigalg_find(struct smx_view name)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(sigalgs); i++)
		if (smx_view_eq(name, sigalgs[i].name))
			return &sigalgs[i];
	return NULL;
}

const char *smx_sigalg_of_cert(struct smx_view alg)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(sigalgs); i++)
		if (smx_is_cert_name_of(alg, sigalgs[i].name))
			return sigalgs[i].name;
	return NULL;
}

int smx_sigalg_fits(struct smx_view alg, struct smx_view key_type)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(sigalgs); i++) {
		const char *type_name = smx_key_type_name(sigalgs[i].type);
		int plain_alg = smx_view_eq(alg, sigalgs[i].name);
		int cert_alg = smx_is_cert_name_of(alg, sigalgs[i].name);

		if (plain_alg && smx_view_eq(key_type, type_name))
			return 1;
		if ((plain_alg || cert_alg) && smx_is_cert_name_of(key_type, type_name))
			return 1;
	}
	return 0;
}

/* Making them. */

static int sign_digest(
	EVP_PKEY *pkey, const char *digest, struct smx_view data, uint8_t *sig, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int ok;

	ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, pkey, NULL) == 1 &&
	     EVP_DigestSign(ctx, sig, len, data.p, data.len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok ? 0 : SMX_ECRYPTO;
}

static int put_bn(struct smx_buf *b, const BIGNUM *bn)
{
	uint8_t bytes[ECDSA_NUM_MAX];
	int len = BN_num_bytes(bn);

	if (len > ECDSA_NUM_MAX || BN_bn2bin(bn, bytes) != len)
		return SMX_ECRYPTO;
	return smx_put_mpint(b, bytes, (size_t)len);
}

/* libcrypto's DER to the two mpints of RFC 5656 section 3.1.2. */
static int put_ecdsa(struct smx_buf *b, const uint8_t *der, size_t len)
{
	const unsigned char *p = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
	size_t mark;
	int r;

	if (!sig)
		return SMX_ECRYPTO;
	if ((r = smx_put_string_begin(b, &mark)) == 0 &&
		(r = put_bn(b, ECDSA_SIG_get0_r(sig))) == 0 &&
		(r = put_bn(b, ECDSA_SIG_get0_s(sig))) == 0)
		smx_put_string_end(b, mark);
	ECDSA_SIG_free(sig);
	return r;
}

int smx_key_sign(
	const struct smx_key *k, const char *alg, struct smx_view data, struct smx_buf *ret_sig)
{
	const struct sigalg *sa = sigalg_find(smx_view_of(alg, strlen(alg)));
	const struct smx_key_type_info *info = smx_key_type_info(k->type);
	uint8_t sig[SMX_RSA_MAX_BITS / 8];
	size_t len = sizeof(sig), mark = smx_buf_len(ret_sig);
	int r;

	if (!sa || sa->type != k->type || !k->is_private)
		return SMX_EINVAL;
	r = sign_digest(k->pkey, sa->rsa_digest ? sa->rsa_digest : info->digest, data, sig, &len);
	if (r == 0)
		r = smx_put_cstr(ret_sig, sa->name);
	if (r == 0)
		r = info->curve ? put_ecdsa(ret_sig, sig, len) : smx_put_string(ret_sig, sig, len);
	if (r != 0)
		smx_buf_truncate(ret_sig, mark);
	return r;
}

/* Verifying them. */

static int verify_digest(
	EVP_PKEY *pkey, const char *digest, const uint8_t *sig, size_t len, struct smx_view data)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = SMX_ECRYPTO;

	if (ctx && EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, pkey, NULL) == 1)
		r = EVP_DigestVerify(ctx, sig, len, data.p, data.len) == 1 ? 0 : SMX_ESIGNATURE;
	EVP_MD_CTX_free(ctx);
	return r;
}

static int verify_rsa(
	const struct smx_key *k, const char *digest, struct smx_view sig, struct smx_view data)
{
	uint8_t padded[SMX_RSA_MAX_BITS / 8] = { 0 };
	size_t len = (size_t)EVP_PKEY_get_size(k->pkey);

	/* Some signers leave leading zeros away, against RFC 8332 section 3. */
	if (sig.len == 0 || sig.len > len || len > sizeof(padded))
		return SMX_ESIGNATURE;
	memcpy(padded + (len - sig.len), sig.p, sig.len);
	return verify_digest(k->pkey, digest, padded, len, data);
}

static int verify_ecdsa(
	const struct smx_key *k, const char *digest, struct smx_view sig, struct smx_view data)
{
	struct smx_rd rd = smx_rd_view(sig);
	struct smx_view r_view, s_view;
	uint8_t der[ECDSA_DER_MAX];
	unsigned char *to = der;
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *bn_r = NULL, *bn_s = NULL;
	int r, len;

	if ((r = smx_rd_mpint(&rd, &r_view)) != 0 || (r = smx_rd_mpint(&rd, &s_view)) != 0 ||
		(r = smx_rd_end(&rd)) != 0)
		goto out;
	r = SMX_ESIGNATURE;
	if (r_view.len > ECDSA_NUM_MAX || s_view.len > ECDSA_NUM_MAX)
		goto out;
	r = SMX_ECRYPTO;
	bn_r = BN_bin2bn(r_view.p, (int)r_view.len, NULL);
	bn_s = BN_bin2bn(s_view.p, (int)s_view.len, NULL);
	if (!pair || !bn_r || !bn_s || ECDSA_SIG_set0(pair, bn_r, bn_s) != 1)
		goto out;
	bn_r = bn_s = NULL; /* the pair's now */
	len = i2d_ECDSA_SIG(pair, NULL);
	if (len <= 0 || len > ECDSA_DER_MAX || i2d_ECDSA_SIG(pair, &to) != len)
		goto out;
	r = verify_digest(k->pkey, digest, der, (size_t)len, data);
out:
	BN_free(bn_r);
	BN_free(bn_s);
	ECDSA_SIG_free(pair);
	return r;
}

/* What follows the name and the signature string in a blob of an sk key. */
struct sk_tail {
	uint8_t flags;
	uint32_t counter;
};

/* PROTOCOL.u2f: signed is SHA256(application) || flags || counter || SHA256(data). */
static int sk_signed_data(const struct smx_key *k, const struct sk_tail *tail, struct smx_view data,
	uint8_t out[32 + 1 + 4 + 32])
{
	uint8_t digest[SMX_HASH_MAX];
	int r;

	if ((r = smx_hash(SMX_HASH_SHA256, k->application, k->application_len, digest)) != 0)
		return r;
	memcpy(out, digest, 32);
	out[32] = tail->flags;
	smx_set_u32(out + 33, tail->counter);
	if ((r = smx_hash(SMX_HASH_SHA256, data.p, data.len, digest)) != 0)
		return r;
	memcpy(out + 37, digest, 32);
	return 0;
}

static int verify_plain(
	const struct smx_key *k, const struct sigalg *sa, struct smx_view raw, struct smx_view data)
{
	const struct smx_key_type_info *info = smx_key_type_info(k->type);

	if (sa->rsa_digest)
		return verify_rsa(k, sa->rsa_digest, raw, data);
	if (info->curve)
		return verify_ecdsa(k, info->digest, raw, data);
	if (raw.len != ED25519_SIG_LEN)
		return SMX_ESIGNATURE;
	return verify_digest(k->pkey, NULL, raw.p, raw.len, data);
}

int smx_key_verify(
	const struct smx_key *k, struct smx_view alg, struct smx_view sig, struct smx_view data)
{
	const struct sigalg *sa = sigalg_find(alg);
	struct smx_rd rd = smx_rd_view(sig);
	struct smx_view name, raw;
	struct sk_tail tail;
	uint8_t sk_data[32 + 1 + 4 + 32];
	int is_sk = k->type == SMX_KEY_SK_ED25519 || k->type == SMX_KEY_SK_ECDSA, r;

	if (!sa || sa->type != k->type)
		return SMX_ESIGNATURE;
	if ((r = smx_rd_string(&rd, &name)) != 0 ||
		(r = smx_rd_string_max(&rd, SMX_SIG_MAX, &raw)) != 0 ||
		(is_sk && ((r = smx_rd_u8(&rd, &tail.flags)) != 0 ||
				  (r = smx_rd_u32(&rd, &tail.counter)) != 0)) ||
		(r = smx_rd_end(&rd)) != 0)
		return r;
	if (!smx_view_eq_view(name, alg))
		return SMX_ESIGNATURE;
	if (is_sk) {
		if (!(tail.flags & SK_USER_PRESENT))
			return SMX_ESIGNATURE;
		if ((r = sk_signed_data(k, &tail, data, sk_data)) != 0)
			return r;
		data = (struct smx_view){ sk_data, sizeof(sk_data) };
	}
	return verify_plain(k, sa, raw, data);
}
