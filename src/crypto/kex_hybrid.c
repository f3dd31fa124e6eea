/* SPDX-License-Identifier: MIT */
/*
 * A KEM that is thought to hold against quantum computers next to X25519, so that the secret holds
 * as long as either of them does:
 *
 *	mlkem768x25519-sha256	ML-KEM-768 (FIPS 203), draft-ietf-sshm-mlkem-hybrid-kex
 *	sntrup761x25519-sha512	Streamlined NTRU Prime, RFC 9941
 *
 *	client -> server	the KEM's public key (1184 or 1158) || X25519 public (32)
 *	server -> client	ciphertext (1088 or 1039) || X25519 public (32)
 *	K = HASH(KEM's secret (32) || X25519 secret), a string, not an mpint
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex_priv.h"
#include "crypto/sntrup761.h"

#define KEM_PUBLIC_MAX 1184
#define KEM_CIPHER_MAX 1088
#define KEM_SECRET_LEN 32
#define BOTH_LEN       (KEM_SECRET_LEN + SMX_X25519_LEN)

struct smx_kem {
	size_t public_len, cipher_len;
	/* Makes k's key. 0, SMX_ECRYPTO, SMX_ENOMEM. */
	int (*generate)(struct smx_kex *k, uint8_t *ret_public);
	/* A wrong ciphertext gives a wrong secret, not an error. 0, SMX_ECRYPTO. */
	int (*decapsulate)(
		struct smx_kex *k, const uint8_t *cipher, uint8_t ret_secret[KEM_SECRET_LEN]);
	/* A fresh secret to the client's key. 0, SMX_ECRYPTO, SMX_EPROTOCOL for a bad key. */
	int (*encapsulate)(
		const uint8_t *client_key, uint8_t *ret_cipher, uint8_t ret_secret[KEM_SECRET_LEN]);
};

static int put_secret(struct smx_kex *k, const uint8_t both[BOTH_LEN], struct smx_buf *ret_secret)
{
	uint8_t digest[SMX_HASH_MAX];
	int r;

	r = smx_hash(k->alg->hash, both, BOTH_LEN, digest);
	if (r == 0)
		r = smx_put_string(ret_secret, digest, smx_hash_len(k->alg->hash));
	smx_wipe(digest, sizeof(digest));
	return r;
}

static int hybrid_start(struct smx_kex *k, struct smx_buf *ret_public)
{
	const struct smx_kem *kem = k->ops->kem;
	uint8_t public[KEM_PUBLIC_MAX + SMX_X25519_LEN];
	int r;

	if ((r = kem->generate(k, public)) != 0 ||
		(r = smx_x25519_generate(&k->ec_key, public + kem->public_len)) != 0)
		return r;
	return smx_buf_put(ret_public, public, kem->public_len + SMX_X25519_LEN);
}

static int hybrid_finish(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_secret)
{
	const struct smx_kem *kem = k->ops->kem;
	uint8_t both[BOTH_LEN];
	int r;

	if (peer_public.len != kem->cipher_len + SMX_X25519_LEN)
		return SMX_EPROTOCOL;
	(void)((r = kem->decapsulate(k, peer_public.p, both)) != 0 ||
		(r = smx_x25519_derive(
			 k->ec_key, peer_public.p + kem->cipher_len, both + KEM_SECRET_LEN)) != 0 ||
		(r = put_secret(k, both, ret_secret)) != 0);
	smx_wipe(both, sizeof(both));
	return r;
}

static int hybrid_respond(struct smx_kex *k, struct smx_view peer_public,
	struct smx_buf *ret_public, struct smx_buf *ret_secret)
{
	const struct smx_kem *kem = k->ops->kem;
	uint8_t reply[KEM_CIPHER_MAX + SMX_X25519_LEN], both[BOTH_LEN];
	int r;

	if (peer_public.len != kem->public_len + SMX_X25519_LEN)
		return SMX_EPROTOCOL;
	(void)((r = smx_x25519_generate(&k->ec_key, reply + kem->cipher_len)) != 0 ||
		(r = kem->encapsulate(peer_public.p, reply, both)) != 0 ||
		(r = smx_x25519_derive(
			 k->ec_key, peer_public.p + kem->public_len, both + KEM_SECRET_LEN)) != 0 ||
		(r = smx_buf_put(ret_public, reply, kem->cipher_len + SMX_X25519_LEN)) != 0 ||
		(r = put_secret(k, both, ret_secret)) != 0);
	smx_wipe(both, sizeof(both));
	return r;
}

/* ---- ML-KEM, libcrypto's --------------------------------------------------------------------- */

#if SMX_HAVE_MLKEM

#define MLKEM_NAME       "ML-KEM-768"
#define MLKEM_PUBLIC_LEN 1184
#define MLKEM_CIPHER_LEN 1088

static int mlkem_generate(struct smx_kex *k, uint8_t *ret_public)
{
	size_t len = MLKEM_PUBLIC_LEN;

	k->kem_key = EVP_PKEY_Q_keygen(NULL, NULL, MLKEM_NAME);
	if (!k->kem_key || EVP_PKEY_get_raw_public_key(k->kem_key, ret_public, &len) != 1 ||
		len != MLKEM_PUBLIC_LEN)
		return SMX_ECRYPTO;
	return 0;
}

static int mlkem_decapsulate(
	struct smx_kex *k, const uint8_t *cipher, uint8_t ret_secret[KEM_SECRET_LEN])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->kem_key, NULL);
	size_t len = KEM_SECRET_LEN;
	int r = SMX_ECRYPTO;

	/* A wrong ciphertext: FIPS 203 section 6.3. */
	if (ctx && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
		EVP_PKEY_decapsulate(ctx, ret_secret, &len, cipher, MLKEM_CIPHER_LEN) == 1 &&
		len == KEM_SECRET_LEN)
		r = 0;
	EVP_PKEY_CTX_free(ctx);
	return r;
}

static int mlkem_encapsulate(
	const uint8_t *client_key, uint8_t *ret_cipher, uint8_t ret_secret[KEM_SECRET_LEN])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(
		NULL, MLKEM_NAME, NULL, client_key, MLKEM_PUBLIC_LEN);
	size_t cipher_len = MLKEM_CIPHER_LEN, secret_len = KEM_SECRET_LEN;
	EVP_PKEY_CTX *ctx;
	int r = SMX_ECRYPTO;

	/* The right length is given: it is refused for numbers out of range (section 7.2). */
	if (!pkey)
		return SMX_EPROTOCOL;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (ctx && EVP_PKEY_encapsulate_init(ctx, NULL) == 1 &&
		EVP_PKEY_encapsulate(ctx, ret_cipher, &cipher_len, ret_secret, &secret_len) == 1 &&
		cipher_len == MLKEM_CIPHER_LEN && secret_len == KEM_SECRET_LEN)
		r = 0;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return r;
}

static const struct smx_kem mlkem = {
	.public_len = MLKEM_PUBLIC_LEN,
	.cipher_len = MLKEM_CIPHER_LEN,
	.generate = mlkem_generate,
	.decapsulate = mlkem_decapsulate,
	.encapsulate = mlkem_encapsulate,
};

const struct smx_kex_ops smx_kex_mlkem = {
	.start = hybrid_start,
	.finish = hybrid_finish,
	.respond = hybrid_respond,
	.kem = &mlkem,
};

#endif

/* ---- sntrup761, our own ---------------------------------------------------------------------- */

static int sntrup_generate(struct smx_kex *k, uint8_t *ret_public)
{
	return smx_sntrup761_keypair(&k->sntrup_key, ret_public);
}

static int sntrup_decapsulate(
	struct smx_kex *k, const uint8_t *cipher, uint8_t ret_secret[KEM_SECRET_LEN])
{
	return smx_sntrup761_decapsulate(k->sntrup_key, cipher, ret_secret);
}

static const struct smx_kem sntrup = {
	.public_len = SMX_SNTRUP761_PUBLIC_LEN,
	.cipher_len = SMX_SNTRUP761_CIPHER_LEN,
	.generate = sntrup_generate,
	.decapsulate = sntrup_decapsulate,
	.encapsulate = smx_sntrup761_encapsulate,
};

const struct smx_kex_ops smx_kex_sntrup = {
	.start = hybrid_start,
	.finish = hybrid_finish,
	.respond = hybrid_respond,
	.kem = &sntrup,
};
