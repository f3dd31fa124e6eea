/* SPDX-License-Identifier: MIT */
/*
 * The hash has three layers (RFC 4418 section 5), and runs once for each 4 bytes of tag, with
 * other keys:
 *
 *	L1 (NH)    1024 bytes of the message -> 8 bytes
 *	L2 (POLY)  all of those -> 8 bytes; a message of one block goes without
 *	L3         8 bytes -> 4 bytes
 *
 * No branch and no address depends on a secret, but for one in poly() that says so.
 */
#include "crypto/umac.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/evp_priv.h"

#define AES_LEN     16
#define HASH_LEN    4 /* bytes of the tag by one hash */
#define HASHES_MAX  (SMX_UMAC_TAG_MAX / HASH_LEN)
#define BLOCK_LEN   1024 /* bytes of the message that L1 takes at once */
#define BLOCKS_MAX  (SMX_UMAC_MESSAGE_MAX / BLOCK_LEN)
#define NH_LEN      32 /* what NH takes is padded to a multiple of this */
#define BLOCK_WORDS (BLOCK_LEN / 4)
#define L1_SHIFT    4 /* words between the keys of two hashes */
#define L1_WORDS    (BLOCK_WORDS + L1_SHIFT * (HASHES_MAX - 1))
#define L2_KEY_LEN  24 /* 8 for the polynomial over 64 bits; the other's we need not */
#define L3_KEYS     8 /* for 2 bytes of what L2 gives each, whose first half is 0 with us */
#define L3_USED     4

/* Primes just below 2^64 and 2^36, and what is missing. */
#define PRIME_64_GAP 59
#define PRIME_64     (UINT64_MAX - PRIME_64_GAP + 1)
#define PRIME_36     (((uint64_t)1 << 36) - 5)
/* L2 takes words from here on in two steps, since they could be PRIME_64 and more. */
#define POLY_WIDE ((uint64_t)0xffffffff << 32)
/* Bits of an L2 key; each half has 25, so that sums of products fit in 64. */
#define POLY_KEY_MASK UINT64_C(0x01ffffff01ffffff)

/* Indices of the key derivation (section 3.2.1). */
enum { KDF_PAD, KDF_L1, KDF_L2, KDF_L3, KDF_L3_MASK };

struct smx_umac {
	size_t tag_len, n_hashes;
	EVP_CIPHER_CTX *pad_ctx; /* AES under the key of the pads */
	uint32_t l1_key[L1_WORDS];
	uint64_t l2_key[HASHES_MAX];
	uint64_t l3_key[HASHES_MAX][L3_USED];
	uint32_t l3_mask[HASHES_MAX];
	/* Of the message that is being read. */
	uint64_t l1[HASHES_MAX]; /* L1 of its first block */
	uint64_t l2[HASHES_MAX];
	size_t n_blocks, block_len;
	uint8_t block[BLOCK_LEN]; /* begun, block_len < BLOCK_LEN */
};

static uint64_t get_u64(const uint8_t *p)
{
	return (uint64_t)smx_get_u32(p) << 32 | smx_get_u32(p + 4);
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void begin_message(struct smx_umac *u)
{
	u->n_blocks = u->block_len = 0;
	for (size_t i = 0; i < u->n_hashes; i++)
		u->l2[i] = 1;
}

/* AES of (index, 1), (index, 2), ...; out has room for whole AES blocks. */
static int kdf(EVP_CIPHER_CTX *ctx, uint64_t index, uint8_t *out, size_t n)
{
	for (size_t at = 0; at < n; at += AES_LEN) {
		smx_set_u64(out + at, index);
		smx_set_u64(out + at + 8, at / AES_LEN + 1);
	}
	return smx_cipher_update(ctx, out, out, (n + AES_LEN - 1) / AES_LEN * AES_LEN);
}

static int derive(struct smx_umac *u, EVP_CIPHER_CTX *ctx)
{
	uint8_t out[L1_WORDS * 4]; /* the longest, and whole AES blocks */
	int r;

	if ((r = kdf(ctx, KDF_PAD, out, AES_LEN)) != 0)
		goto out;
	if (!(u->pad_ctx = smx_cipher_ctx_new("AES-128-ECB", 1, out, NULL))) {
		r = SMX_ECRYPTO;
		goto out;
	}
	if ((r = kdf(ctx, KDF_L1, out, sizeof(out))) != 0)
		goto out;
	for (size_t i = 0; i < L1_WORDS; i++)
		u->l1_key[i] = smx_get_u32(out + 4 * i);
	if ((r = kdf(ctx, KDF_L2, out, u->n_hashes * L2_KEY_LEN)) != 0)
		goto out;
	for (size_t i = 0; i < u->n_hashes; i++)
		u->l2_key[i] = get_u64(out + L2_KEY_LEN * i) & POLY_KEY_MASK;
	if ((r = kdf(ctx, KDF_L3, out, u->n_hashes * L3_KEYS * 8)) != 0)
		goto out;
	for (size_t i = 0; i < u->n_hashes; i++)
		for (size_t j = 0; j < L3_USED; j++)
			u->l3_key[i][j] =
				get_u64(out + 8 * (L3_KEYS * i + L3_KEYS - L3_USED + j)) % PRIME_36;
	if ((r = kdf(ctx, KDF_L3_MASK, out, u->n_hashes * HASH_LEN)) != 0)
		goto out;
	for (size_t i = 0; i < u->n_hashes; i++)
		u->l3_mask[i] = smx_get_u32(out + HASH_LEN * i);
out:
	smx_wipe(out, sizeof(out));
	return r;
}

int smx_umac_new(struct smx_umac **ret, const uint8_t *key, size_t tag_len)
{
	EVP_CIPHER_CTX *ctx;
	struct smx_umac *u;
	int r = SMX_ECRYPTO;

	if (tag_len == 0 || tag_len > SMX_UMAC_TAG_MAX || tag_len % HASH_LEN)
		return SMX_EINVAL;
	u = smx_calloc(1, sizeof(*u));
	if (!u)
		return SMX_ENOMEM;
	u->tag_len = tag_len;
	u->n_hashes = tag_len / HASH_LEN;
	begin_message(u);
	if ((ctx = smx_cipher_ctx_new("AES-128-ECB", 1, key, NULL)) != NULL)
		r = derive(u, ctx);
	EVP_CIPHER_CTX_free(ctx);
	if (r != 0) {
		smx_umac_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

void smx_umac_free(struct smx_umac *u)
{
	if (!u)
		return;
	EVP_CIPHER_CTX_free(u->pad_ctx);
	smx_wipe_free(u, sizeof(*u));
}

/* NH (section 5.2.2) of n bytes, a multiple of NH_LEN; additions wrap at 2^32 and 2^64. */
static uint64_t nh(const uint32_t *key, const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (; n; n -= NH_LEN, p += NH_LEN, key += NH_LEN / 4)
		for (size_t i = 0; i < 4; i++) {
			uint32_t a = get_le32(p + 4 * i) + key[i];
			uint32_t b = get_le32(p + 16 + 4 * i) + key[4 + i];

			sum += (uint64_t)a * b;
		}
	return sum;
}

/* a + b modulo PRIME_64, below 2^64 and perhaps not below PRIME_64; a + b < 2^65 - PRIME_64_GAP. */
static uint64_t add_64(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum + (PRIME_64_GAP & -(uint64_t)(sum < a));
}

/* key * y + m modulo PRIME_64; m is at most PRIME_64 - 1. */
static uint64_t poly_step(uint64_t key, uint64_t y, uint64_t m)
{
	uint64_t key_hi = key >> 32, key_lo = (uint32_t)key, y_hi = y >> 32, y_lo = (uint32_t)y;
	uint64_t mid = key_hi * y_lo + key_lo * y_hi; /* < 2^58 */
	uint64_t high =
		key_hi * y_hi + (mid >> 32); /* of 2^64, which is PRIME_64_GAP modulo PRIME_64 */

	y = add_64(high * PRIME_64_GAP + key_lo * y_lo, mid << 32);
	y = add_64(y, m);
	return y - (PRIME_64 & -(uint64_t)(y >= PRIME_64));
}

/*
 * POLY (section 5.3.2), one word further. An outsider can't bring about words that take the branch:
 * they come with a chance of 2^-32, as NH's key has it.
 */
static uint64_t poly(uint64_t key, uint64_t y, uint64_t m)
{
	if (m >= POLY_WIDE) {
		y = poly_step(key, y, PRIME_64 - 1);
		m -= PRIME_64_GAP;
	}
	return poly_step(key, y, m);
}

/* A block of len bytes, of which padded_len can be read: zeros behind them. */
static void take_block(struct smx_umac *u, const uint8_t *p, size_t len, size_t padded_len)
{
	for (size_t i = 0; i < u->n_hashes; i++) {
		uint64_t l1 = nh(u->l1_key + L1_SHIFT * i, p, padded_len) + len * 8;

		if (u->n_blocks == 0)
			u->l1[i] = l1;
		u->l2[i] = poly(u->l2_key[i], u->l2[i], l1);
	}
	u->n_blocks++;
}

/* L3 (section 5.4): 2 bytes of v with each key. */
static uint32_t l3(const uint64_t key[L3_USED], uint32_t mask, uint64_t v)
{
	uint64_t sum = 0; /* < 2^54: a % once is enough */

	for (size_t i = 0; i < L3_USED; i++)
		sum += (v >> (48 - 16 * i) & 0xffff) * key[i];
	return (uint32_t)(sum % PRIME_36) ^ mask;
}

void smx_umac_update(struct smx_umac *u, const uint8_t *p, size_t n)
{
	while (n) {
		size_t k = BLOCK_LEN - u->block_len;

		k = n < k ? n : k;
		if (k == BLOCK_LEN) {
			take_block(u, p, BLOCK_LEN, BLOCK_LEN);
		} else {
			memcpy(u->block + u->block_len, p, k);
			u->block_len += k;
			if (u->block_len == BLOCK_LEN) {
				take_block(u, u->block, BLOCK_LEN, BLOCK_LEN);
				u->block_len = 0;
			}
		}
		p += k;
		n -= k;
	}
}

/* What is left of the message; the empty one is a block of zeros too. */
static void end_message(struct smx_umac *u)
{
	size_t padded_len = (u->block_len + NH_LEN - 1) / NH_LEN * NH_LEN;

	if (u->block_len == 0 && u->n_blocks)
		return;
	if (padded_len == 0)
		padded_len = NH_LEN;
	memset(u->block + u->block_len, 0, padded_len - u->block_len);
	take_block(u, u->block, u->block_len, padded_len);
}

/*
 * The pad (section 3.3.1). One AES block has pads for several short tags, so the nonce's lowest bits
 * choose which, and are not encrypted.
 */
static int make_pad(struct smx_umac *u, const uint8_t *nonce, uint8_t pad[SMX_UMAC_TAG_MAX])
{
	uint8_t block[AES_LEN] = { 0 };
	size_t which = 0;
	int r;

	memcpy(block, nonce, SMX_UMAC_NONCE_LEN);
	if (u->tag_len <= AES_LEN / 2) {
		which = block[SMX_UMAC_NONCE_LEN - 1] % (AES_LEN / u->tag_len);
		block[SMX_UMAC_NONCE_LEN - 1] ^= (uint8_t)which;
	}
	if ((r = smx_cipher_update(u->pad_ctx, block, block, sizeof(block))) == 0)
		memcpy(pad, block + which * u->tag_len, u->tag_len);
	smx_wipe(block, sizeof(block));
	return r;
}

int smx_umac_final(struct smx_umac *u, const uint8_t *nonce, uint8_t *tag)
{
	uint8_t pad[SMX_UMAC_TAG_MAX] = { 0 };
	int r;

	end_message(u);
	r = u->n_blocks > BLOCKS_MAX ? SMX_ETOOBIG : make_pad(u, nonce, pad);
	for (size_t i = 0; r == 0 && i < u->n_hashes; i++) {
		uint64_t v = u->n_blocks == 1 ? u->l1[i] : u->l2[i];
		uint32_t hash = l3(u->l3_key[i], u->l3_mask[i], v);

		smx_set_u32(tag + HASH_LEN * i, hash ^ smx_get_u32(pad + HASH_LEN * i));
	}
	begin_message(u);
	smx_wipe(pad, sizeof(pad));
	return r;
}
