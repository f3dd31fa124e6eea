/* SPDX-License-Identifier: MIT */
/*
 * Finite-field Diffie-Hellman: RFC 4253 section 8 with the groups of RFC 3526 (RFC 8268),
 * and whatever group a server sends (RFC 4419). One piece of modular arithmetic serves
 * all of them; the exponentiation by our secret is libcrypto's constant-time one.
 */
#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex_priv.h"

#define DH_BYTES_MAX (SMX_GEX_MAX_BITS / 8)

static const struct dh_group {
	int bits;
	BIGNUM *(*prime)(BIGNUM *);
} groups[] = {
	{ 2048, BN_get_rfc3526_prime_2048 },
	{ 3072, BN_get_rfc3526_prime_3072 },
	{ 4096, BN_get_rfc3526_prime_4096 },
	{ 6144, BN_get_rfc3526_prime_6144 },
	{ 8192, BN_get_rfc3526_prime_8192 },
};

/* At least twice the strength of a group of that size; more would only be slower. */
static int exponent_bits(int group_bits)
{
	return group_bits <= 2048 ? 256 : group_bits <= 4096 ? 384 : 512;
}

static int set_group(struct smx_kex *k, BIGNUM *p, BIGNUM *g)
{
	if (!p || !g) {
		BN_free(p);
		BN_free(g);
		return SMX_ENOMEM;
	}
	k->p = p;
	k->g = g;
	k->group_bits = BN_num_bits(p);
	return 0;
}

int smx_kex_dh_set_bits(struct smx_kex *k, int bits)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(groups); i++) {
		BIGNUM *g;

		if (groups[i].bits != bits)
			continue;
		g = BN_new();
		if (g && BN_set_word(g, 2) != 1) {
			BN_free(g);
			g = NULL;
		}
		return set_group(k, groups[i].prime(NULL), g);
	}
	return SMX_EINVAL;
}

/* Contents of an mpint, positive and in its shortest form; NULL otherwise (or no memory). */
static BIGNUM *number_of(struct smx_view v)
{
	if (v.len == 0 || v.len > DH_BYTES_MAX + 1 || (v.p[0] & 0x80))
		return NULL;
	if (v.p[0] == 0 && (v.len == 1 || !(v.p[1] & 0x80)))
		return NULL;
	return BN_bin2bn(v.p, (int)v.len, NULL);
}

/* low <= n <= p - 2 */
static int in_range(const BIGNUM *n, BN_ULONG low, const BIGNUM *p)
{
	BIGNUM *max = BN_dup(p), *min = BN_new();
	int ok = max && min && BN_sub_word(max, 2) == 1 && BN_set_word(min, low) == 1 &&
		 BN_cmp(n, min) >= 0 && BN_cmp(n, max) <= 0;

	BN_free(max);
	BN_free(min);
	return ok;
}

/* base^x mod p, from 2 to p - 2: anything else comes of a bad group or value. */
static int power(const struct smx_kex *k, const BIGNUM *base, BIGNUM **ret)
{
	BN_CTX *ctx = BN_CTX_secure_new();
	BIGNUM *y = BN_secure_new();
	int r = SMX_ECRYPTO;

	if (ctx && y && BN_mod_exp_mont_consttime(y, base, k->x, k->p, ctx, NULL) == 1)
		r = in_range(y, 2, k->p) ? 0 : SMX_EPROTOCOL;
	BN_CTX_free(ctx);
	if (r == 0)
		*ret = y;
	else
		BN_clear_free(y);
	return r;
}

/* n as an mpint; without its 4 length bytes if contents_only. */
static int put_number(struct smx_buf *b, const BIGNUM *n, int contents_only)
{
	uint8_t bytes[1 + DH_BYTES_MAX];
	int len = BN_num_bytes(n), r;

	if (len > DH_BYTES_MAX)
		return SMX_ECRYPTO;
	bytes[0] = 0;
	BN_bn2bin(n, bytes + 1);
	if (!contents_only)
		r = smx_put_mpint(b, bytes + 1, (size_t)len);
	else if (bytes[1] & 0x80)
		r = smx_buf_put(b, bytes, (size_t)len + 1);
	else
		r = smx_buf_put(b, bytes + 1, (size_t)len);
	smx_wipe(bytes, sizeof(bytes));
	return r;
}

static int dh_start(struct smx_kex *k, struct smx_buf *ret_public)
{
	BIGNUM *y;
	int r;

	if (!k->p)
		return SMX_ESTATE; /* GEX: no group yet */
	BN_clear_free(k->x);
	k->x = BN_secure_new();
	if (!k->x || BN_priv_rand(k->x, exponent_bits(k->group_bits), BN_RAND_TOP_ONE,
			     BN_RAND_BOTTOM_ANY) != 1)
		return SMX_ECRYPTO;
	BN_set_flags(k->x, BN_FLG_CONSTTIME);
	if ((r = power(k, k->g, &y)) != 0)
		return r;
	r = put_number(ret_public, y, 1);
	BN_clear_free(y);
	return r;
}

static int dh_finish(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_secret)
{
	BIGNUM *theirs = number_of(peer_public), *shared;
	int r;

	if (!theirs || !in_range(theirs, 2, k->p)) {
		BN_free(theirs);
		return SMX_EPROTOCOL;
	}
	r = power(k, theirs, &shared);
	if (r == 0) {
		r = put_number(ret_secret, shared, 0);
		BN_clear_free(shared);
	}
	BN_free(theirs);
	return r;
}

int smx_kex_gex_set_group(struct smx_kex *k, struct smx_view p, struct smx_view g)
{
	BIGNUM *bn_p, *bn_g;

	if (k->alg->kind != SMX_KEX_GEX || k->p)
		return SMX_ESTATE;
	bn_p = number_of(p);
	bn_g = number_of(g);
	if (!bn_p || !bn_g || !BN_is_odd(bn_p) || BN_num_bits(bn_p) < SMX_GEX_MIN_BITS ||
		BN_num_bits(bn_p) > SMX_GEX_MAX_BITS || !in_range(bn_g, 2, bn_p)) {
		BN_free(bn_p);
		BN_free(bn_g);
		return SMX_EPROTOCOL;
	}
	return set_group(k, bn_p, bn_g);
}

int smx_kex_gex_choose(
	struct smx_kex *k, uint32_t min, uint32_t n, uint32_t max, struct smx_buf *ret_group)
{
	size_t mark = smx_buf_len(ret_group);
	int best = 0, r;

	if (k->alg->kind != SMX_KEX_GEX || k->p)
		return SMX_ESTATE;
	if (min > n || n > max)
		return SMX_EPROTOCOL;
	/* The smallest that is no weaker than asked for, else the strongest allowed. */
	for (size_t i = 0; i < SMX_ARRAY_LEN(groups); i++) {
		uint32_t bits = (uint32_t)groups[i].bits;

		if (bits < min || bits > max)
			continue;
		best = groups[i].bits;
		if (bits >= n)
			break;
	}
	if (best == 0)
		return SMX_EPROTOCOL;
	if ((r = smx_kex_dh_set_bits(k, best)) != 0)
		return r;
	if ((r = put_number(ret_group, k->p, 0)) != 0 || (r = put_number(ret_group, k->g, 0)) != 0)
		smx_buf_truncate(ret_group, mark);
	return r;
}

const struct smx_kex_ops smx_kex_dh = { .start = dh_start, .finish = dh_finish };
