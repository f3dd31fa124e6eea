/* SPDX-License-Identifier: MIT */
/*
 * mlkem768x25519-sha256 (draft-ietf-sshm-mlkem-hybrid-kex): ML-KEM-768 (FIPS 203) beside
 * X25519, so that the secret holds as long as either of them does.
 *
 *	client -> server	encapsulation key (1184) || X25519 public (32)
 *	server -> client	ciphertext (1088) || X25519 public (32)
 *	K = SHA256(ML-KEM secret || X25519 secret), a string, not an mpint
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex_priv.h"

#if SMX_HAVE_MLKEM

#define KEM_NAME       "ML-KEM-768"
#define KEM_PUBLIC_LEN 1184
#define KEM_CIPHER_LEN 1088
#define KEM_SECRET_LEN 32
#define BOTH_LEN       (KEM_SECRET_LEN + SMX_X25519_LEN)

static int put_secret(const uint8_t both[BOTH_LEN], struct smx_buf *ret_secret)
{
	uint8_t digest[SMX_HASH_MAX];
	int r;

	r = smx_hash(SMX_HASH_SHA256, both, BOTH_LEN, digest);
	if (r == 0)
		r = smx_put_string(ret_secret, digest, smx_hash_len(SMX_HASH_SHA256));
	smx_wipe(digest, sizeof(digest));
	return r;
}

static int hybrid_start(struct smx_kex *k, struct smx_buf *ret_public)
{
	uint8_t public[KEM_PUBLIC_LEN + SMX_X25519_LEN];
	size_t len = KEM_PUBLIC_LEN;
	int r;

	k->kem_key = EVP_PKEY_Q_keygen(NULL, NULL, KEM_NAME);
	if (!k->kem_key || EVP_PKEY_get_raw_public_key(k->kem_key, public, &len) != 1 ||
		len != KEM_PUBLIC_LEN)
		return SMX_ECRYPTO;
	if ((r = smx_x25519_generate(&k->ec_key, public + KEM_PUBLIC_LEN)) != 0)
		return r;
	return smx_buf_put(ret_public, public, sizeof(public));
}

static int hybrid_finish(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_secret)
{
	uint8_t both[BOTH_LEN];
	size_t len = KEM_SECRET_LEN;
	EVP_PKEY_CTX *ctx;
	int r = SMX_ECRYPTO;

	if (peer_public.len != KEM_CIPHER_LEN + SMX_X25519_LEN)
		return SMX_EPROTOCOL;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->kem_key, NULL);
	/* A wrong ciphertext gives a wrong secret, not an error (FIPS 203 section 6.3). */
	if (ctx && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
		EVP_PKEY_decapsulate(ctx, both, &len, peer_public.p, KEM_CIPHER_LEN) == 1 &&
		len == KEM_SECRET_LEN)
		r = smx_x25519_derive(
			k->ec_key, peer_public.p + KEM_CIPHER_LEN, both + KEM_SECRET_LEN);
	if (r == 0)
		r = put_secret(both, ret_secret);
	smx_wipe(both, sizeof(both));
	EVP_PKEY_CTX_free(ctx);
	return r;
}

/* Encapsulates a fresh secret to the client's key. */
static int encapsulate(const uint8_t *client_key, uint8_t *ret_cipher, uint8_t *ret_secret)
{
	EVP_PKEY *pkey =
		EVP_PKEY_new_raw_public_key_ex(NULL, KEM_NAME, NULL, client_key, KEM_PUBLIC_LEN);
	size_t cipher_len = KEM_CIPHER_LEN, secret_len = KEM_SECRET_LEN;
	EVP_PKEY_CTX *ctx;
	int r = SMX_ECRYPTO;

	/* The right length is given: it is refused for numbers out of range (section 7.2). */
	if (!pkey)
		return SMX_EPROTOCOL;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (ctx && EVP_PKEY_encapsulate_init(ctx, NULL) == 1 &&
		EVP_PKEY_encapsulate(ctx, ret_cipher, &cipher_len, ret_secret, &secret_len) == 1 &&
		cipher_len == KEM_CIPHER_LEN && secret_len == KEM_SECRET_LEN)
		r = 0;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return r;
}

static int hybrid_respond(struct smx_kex *k, struct smx_view peer_public,
	struct smx_buf *ret_public, struct smx_buf *ret_secret)
{
	uint8_t reply[KEM_CIPHER_LEN + SMX_X25519_LEN], both[BOTH_LEN];
	int r;

	if (peer_public.len != KEM_PUBLIC_LEN + SMX_X25519_LEN)
		return SMX_EPROTOCOL;
	(void)((r = smx_x25519_generate(&k->ec_key, reply + KEM_CIPHER_LEN)) != 0 ||
		(r = encapsulate(peer_public.p, reply, both)) != 0 ||
		(r = smx_x25519_derive(
			 k->ec_key, peer_public.p + KEM_PUBLIC_LEN, both + KEM_SECRET_LEN)) != 0 ||
		(r = smx_buf_put(ret_public, reply, sizeof(reply))) != 0 ||
		(r = put_secret(both, ret_secret)) != 0);
	smx_wipe(both, sizeof(both));
	return r;
}

const struct smx_kex_ops smx_kex_hybrid = {
	.start = hybrid_start,
	.finish = hybrid_finish,
	.respond = hybrid_respond,
};

#endif
