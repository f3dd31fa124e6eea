/* SPDX-License-Identifier: MIT */
#include "crypto/kex.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex_priv.h"
#include "crypto/sntrup761.h"

#if SMX_HAVE_MLKEM
#define MLKEM_NAMES "mlkem768x25519-sha256,"
#else
#define MLKEM_NAMES ""
#endif
#define SNTRUP_NAMES "sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,"
#define OTHER_NAMES                                                    \
	"curve25519-sha256,curve25519-sha256@libssh.org,"              \
	"ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,"    \
	"diffie-hellman-group16-sha512,diffie-hellman-group18-sha512," \
	"diffie-hellman-group14-sha256,diffie-hellman-group-exchange-sha256"

static const struct kex_entry {
	struct smx_kex_alg alg;
	const struct smx_kex_ops *ops;
	const char *curve;
	int group_bits;
} kexes[] = {
#if SMX_HAVE_MLKEM
	{ { "mlkem768x25519-sha256", SMX_KEX_HYBRID, SMX_HASH_SHA256, 0 }, &smx_kex_mlkem, NULL,
		0 },
#endif
	{ { "sntrup761x25519-sha512", SMX_KEX_HYBRID, SMX_HASH_SHA512, 1 }, &smx_kex_sntrup, NULL,
		0 },
	{ { "sntrup761x25519-sha512@openssh.com", SMX_KEX_HYBRID, SMX_HASH_SHA512, 1 },
		&smx_kex_sntrup, NULL, 0 },
	{ { "curve25519-sha256", SMX_KEX_ECDH, SMX_HASH_SHA256, 0 }, &smx_kex_x25519, NULL, 0 },
	{ { "curve25519-sha256@libssh.org", SMX_KEX_ECDH, SMX_HASH_SHA256, 0 }, &smx_kex_x25519,
		NULL, 0 },
	{ { "ecdh-sha2-nistp256", SMX_KEX_ECDH, SMX_HASH_SHA256, 0 }, &smx_kex_nist, "P-256", 0 },
	{ { "ecdh-sha2-nistp384", SMX_KEX_ECDH, SMX_HASH_SHA384, 0 }, &smx_kex_nist, "P-384", 0 },
	{ { "ecdh-sha2-nistp521", SMX_KEX_ECDH, SMX_HASH_SHA512, 0 }, &smx_kex_nist, "P-521", 0 },
	{ { "diffie-hellman-group16-sha512", SMX_KEX_DH, SMX_HASH_SHA512, 1 }, &smx_kex_dh, NULL,
		4096 },
	{ { "diffie-hellman-group18-sha512", SMX_KEX_DH, SMX_HASH_SHA512, 1 }, &smx_kex_dh, NULL,
		8192 },
	{ { "diffie-hellman-group14-sha256", SMX_KEX_DH, SMX_HASH_SHA256, 1 }, &smx_kex_dh, NULL,
		2048 },
	{ { "diffie-hellman-group-exchange-sha256", SMX_KEX_GEX, SMX_HASH_SHA256, 1 }, &smx_kex_dh,
		NULL, 0 },
};

const struct smx_kex_alg *smx_kex_find(struct smx_view name)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(kexes); i++)
		if (smx_view_eq(name, kexes[i].alg.name))
			return &kexes[i].alg;
	return NULL;
}

const char *smx_kex_names(void)
{
	return MLKEM_NAMES SNTRUP_NAMES OTHER_NAMES;
}

const char *smx_kex_server_names(void)
{
	return MLKEM_NAMES OTHER_NAMES;
}

int smx_kex_new(struct smx_kex **ret, const struct smx_kex_alg *alg)
{
	const struct kex_entry *entry = NULL;
	struct smx_kex *k;
	int r;

	for (size_t i = 0; i < SMX_ARRAY_LEN(kexes); i++)
		if (&kexes[i].alg == alg)
			entry = &kexes[i];
	if (!entry)
		return SMX_EINVAL;
	k = smx_calloc(1, sizeof(*k));
	if (!k)
		return SMX_ENOMEM;
	k->alg = alg;
	k->ops = entry->ops;
	k->curve = entry->curve;
	if (entry->group_bits && (r = smx_kex_dh_set_bits(k, entry->group_bits)) != 0) {
		smx_kex_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void smx_kex_free(struct smx_kex *k)
{
	if (!k)
		return;
	/* libcrypto wipes private keys. */
	EVP_PKEY_free(k->ec_key);
	EVP_PKEY_free(k->kem_key);
	smx_sntrup761_free(k->sntrup_key);
	BN_free(k->p);
	BN_free(k->g);
	BN_clear_free(k->x);
	smx_wipe_free(k, sizeof(*k));
}

int smx_kex_start(struct smx_kex *k, struct smx_buf *ret_public)
{
	int r;

	if (k->started)
		return SMX_ESTATE;
	r = k->ops->start(k, ret_public);
	if (r == SMX_ESTATE)
		return r; /* no group yet: later, perhaps */
	k->started = 1;
	k->finished = r != 0;
	return r;
}

int smx_kex_finish(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_secret)
{
	if (!k->started || k->finished)
		return SMX_ESTATE;
	/* An ephemeral key answers once, whatever comes of it. */
	k->finished = 1;
	return k->ops->finish(k, peer_public, ret_secret);
}

int smx_kex_respond(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_public,
	struct smx_buf *ret_secret)
{
	size_t mark = smx_buf_len(ret_public);
	int r;

	if (k->started)
		return SMX_ESTATE;
	if (k->ops->respond) {
		k->started = k->finished = 1;
		r = k->ops->respond(k, peer_public, ret_public, ret_secret);
	} else {
		r = smx_kex_start(k, ret_public);
		if (r == 0)
			r = smx_kex_finish(k, peer_public, ret_secret);
	}
	if (r != 0)
		smx_buf_truncate(ret_public, mark);
	return r;
}
