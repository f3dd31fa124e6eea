/* SPDX-License-Identifier: MIT */
/* curve25519-sha256 (RFC 8731) and ecdh-sha2-nistp* (RFC 5656 section 4). */
#include <string.h>

#include <openssl/ec.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/evp_priv.h"
#include "crypto/kex_priv.h"

/* Longest shared x coordinate: nistp521's. */
#define SHARED_MAX 66

/* The shared secret of our key and the peer's; *len is the room at out, then its length. */
static int derive(EVP_PKEY *ours, EVP_PKEY *theirs, uint8_t *out, size_t *len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, ours, NULL);
	int r = SMX_ECRYPTO;

	if (ctx && EVP_PKEY_derive_init(ctx) == 1) {
		/* Both also check the peer's value: that is what can fail here. */
		r = EVP_PKEY_derive_set_peer(ctx, theirs) == 1 &&
				    EVP_PKEY_derive(ctx, out, len) == 1
			    ? 0
			    : SMX_EPROTOCOL;
	}
	EVP_PKEY_CTX_free(ctx);
	return r;
}

int smx_x25519_generate(EVP_PKEY **ret, uint8_t ret_public[SMX_X25519_LEN])
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	size_t len = SMX_X25519_LEN;

	if (!pkey || EVP_PKEY_get_raw_public_key(pkey, ret_public, &len) != 1) {
		EVP_PKEY_free(pkey);
		return SMX_ECRYPTO;
	}
	*ret = pkey;
	return 0;
}

int smx_x25519_derive(
	EVP_PKEY *ours, const uint8_t peer_public[SMX_X25519_LEN], uint8_t out[SMX_X25519_LEN])
{
	static const uint8_t zeros[SMX_X25519_LEN];
	size_t len = SMX_X25519_LEN;
	EVP_PKEY *theirs;
	int r;

	theirs = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer_public, SMX_X25519_LEN);
	if (!theirs)
		return SMX_ECRYPTO;
	r = derive(ours, theirs, out, &len);
	EVP_PKEY_free(theirs);
	/* RFC 8731 section 3: a value of small order makes it all zero. libcrypto looks, too. */
	if (r == 0 && (len != SMX_X25519_LEN || smx_ct_equal(out, zeros, sizeof(zeros))))
		r = SMX_EPROTOCOL;
	return r;
}

static int x25519_start(struct smx_kex *k, struct smx_buf *ret_public)
{
	uint8_t public[SMX_X25519_LEN];
	int r;

	if ((r = smx_x25519_generate(&k->ec_key, public)) != 0)
		return r;
	return smx_buf_put(ret_public, public, sizeof(public));
}

static int x25519_finish(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_secret)
{
	uint8_t shared[SMX_X25519_LEN];
	int r;

	if (peer_public.len != SMX_X25519_LEN)
		return SMX_EPROTOCOL;
	r = smx_x25519_derive(k->ec_key, peer_public.p, shared);
	if (r == 0)
		r = smx_put_mpint(ret_secret, shared, sizeof(shared));
	smx_wipe(shared, sizeof(shared));
	return r;
}

static int nist_start(struct smx_kex *k, struct smx_buf *ret_public)
{
	unsigned char *point = NULL;
	size_t len;
	int r;

	k->ec_key = EVP_EC_gen(k->curve);
	if (!k->ec_key)
		return SMX_ECRYPTO;
	len = EVP_PKEY_get1_encoded_public_key(k->ec_key, &point);
	r = len ? smx_buf_put(ret_public, point, len) : SMX_ECRYPTO;
	OPENSSL_free(point);
	return r;
}

static int nist_finish(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_secret)
{
	uint8_t shared[SHARED_MAX];
	size_t len = sizeof(shared);
	EVP_PKEY *theirs;
	int r;

	r = smx_evp_ec_public(&theirs, k->curve, peer_public);
	if (r != 0)
		return r == SMX_EFORMAT ? SMX_EPROTOCOL : r;
	r = derive(k->ec_key, theirs, shared, &len);
	if (r == 0)
		r = smx_put_mpint(ret_secret, shared, len);
	smx_wipe(shared, sizeof(shared));
	EVP_PKEY_free(theirs);
	return r;
}

const struct smx_kex_ops smx_kex_x25519 = { .start = x25519_start, .finish = x25519_finish };
const struct smx_kex_ops smx_kex_nist = { .start = nist_start, .finish = nist_finish };
