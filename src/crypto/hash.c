/* SPDX-License-Identifier: MIT */
#include "crypto/hash.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "base/mem.h"

static const EVP_MD *md_of(enum smx_hash h)
{
	switch (h) {
	case SMX_HASH_SHA1:
		return EVP_sha1();
	case SMX_HASH_SHA256:
		return EVP_sha256();
	case SMX_HASH_SHA384:
		return EVP_sha384();
	case SMX_HASH_SHA512:
		return EVP_sha512();
	}
	return NULL;
}

size_t smx_hash_len(enum smx_hash h)
{
	switch (h) {
	case SMX_HASH_SHA1:
		return 20;
	case SMX_HASH_SHA256:
		return 32;
	case SMX_HASH_SHA384:
		return 48;
	case SMX_HASH_SHA512:
		return 64;
	}
	return 0;
}

int smx_hash(enum smx_hash h, const void *p, size_t n, uint8_t out[SMX_HASH_MAX])
{
	return EVP_Digest(n ? p : "", n, out, NULL, md_of(h), NULL) == 1 ? 0 : SMX_ECRYPTO;
}

int smx_hmac_sha1(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[20])
{
	/* libcrypto takes a NULL key for "none given", even with length 0. */
	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA1", NULL, key_len ? key : "", key_len, n ? p : "", n,
		    out, 20, NULL))
		return SMX_ECRYPTO;
	return 0;
}

int smx_kdf(enum smx_hash h, struct smx_view secret, struct smx_view exchange_hash,
	struct smx_view session_id, char letter, uint8_t *out, size_t need_len)
{
	uint8_t block[SMX_HASH_MAX];
	size_t hash_len = smx_hash_len(h), done = 0;
	EVP_MD_CTX *start, *ctx;
	int r = SMX_ENOMEM;

	/* Every block's hash begins with K || H: that prefix is hashed once. */
	start = EVP_MD_CTX_new();
	ctx = EVP_MD_CTX_new();
	if (!start || !ctx)
		goto out;
	r = SMX_ECRYPTO;
	if (EVP_DigestInit_ex(start, md_of(h), NULL) != 1 ||
		EVP_DigestUpdate(start, secret.p, secret.len) != 1 ||
		EVP_DigestUpdate(start, exchange_hash.p, exchange_hash.len) != 1)
		goto out;
	while (done < need_len) {
		size_t k = need_len - done < hash_len ? need_len - done : hash_len;

		if (EVP_MD_CTX_copy_ex(ctx, start) != 1)
			goto out;
		if (done == 0 && (EVP_DigestUpdate(ctx, &letter, 1) != 1 ||
					 EVP_DigestUpdate(ctx, session_id.p, session_id.len) != 1))
			goto out;
		/* K2 = HASH(K || H || K1), K3 = HASH(K || H || K1 || K2) … (RFC 4253, 7.2) */
		if (done != 0 && EVP_DigestUpdate(ctx, out, done) != 1)
			goto out;
		if (EVP_DigestFinal_ex(ctx, block, NULL) != 1)
			goto out;
		memcpy(out + done, block, k);
		done += k;
	}
	r = 0;
out:
	smx_wipe(block, sizeof(block));
	if (r != 0)
		smx_wipe(out, done);
	EVP_MD_CTX_free(start);
	EVP_MD_CTX_free(ctx);
	return r;
}
