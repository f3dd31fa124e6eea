/* SPDX-License-Identifier: MIT */
/*
 * The KEM of sntrup761: encodings, hashes, and what is done with them.
 *
 *	key	f short, g small with an inverse; h = g/(3f) in R/q is public
 *	cipher	c = h r, rounded to multiples of 3, for a short r; and a hash of r that confirms it
 *	secret	a hash of r and the ciphertext
 *
 * The owner of f has r from 3 f c = g r + 3 f (what was rounded off), divided by g modulo 3. It does
 * all of the sender's work again then, and if that gives another ciphertext, the secret is a hash of
 * rho, random bytes of the key, instead: who sends broken ciphertexts learns nothing of f.
 */
#include "crypto/sntrup761.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/sntrup761_priv.h"

#define P           SNTRUP_P
#define ROOM        SNTRUP_ROOM
#define SMALL_LEN   SNTRUP_SMALL_LEN
#define ROUNDED_LEN 1007 /* multiples of 3 */
#define HASH_LEN    SNTRUP_HASH_LEN
#define HASHED_MAX  (HASH_LEN + SMX_SNTRUP761_PUBLIC_LEN)

/* First bytes of what is hashed. */
#define H_SESSION_BAD 0
#define H_SESSION     1
#define H_CONFIRM     2
#define H_SMALL       3
#define H_PUBLIC      4

/* ---- Encodings ------------------------------------------------------------------------------- */

static void put_small(uint8_t ret[SMALL_LEN], const int8_t small[ROOM])
{
	/* Behind the last coefficient there is 0 - 1 + 1. */
	memset(ret, 0, SMALL_LEN);
	for (size_t i = 0; i < P; i++)
		ret[i / 4] |= (uint8_t)((small[i] + 1) << (i % 4 * 2));
}

/*
 * Numbers below a limit m, as one with mixed radix (section 3.4 of the specification): pairs become
 * numbers below m*m, their low bytes go out until what is left is below 2^14, and so on with half
 * as many. How many bytes go out when depends on m only.
 */
#define LEFT_LIMIT 16384

/* The limit of what is left when a number below m has given off n bytes. */
static uint32_t limit_less_byte(uint32_t m)
{
	return (m + 255) >> 8;
}

/* numbers: P of them; they are overwritten. */
static void encode(uint8_t *ret, uint16_t numbers[P], uint16_t m)
{
	uint16_t limits[P];
	uint32_t number, limit;
	size_t n = P;

	for (size_t i = 0; i < P; i++)
		limits[i] = m;
	while (n > 1) {
		for (size_t i = 0; i + 1 < n; i += 2) {
			number = numbers[i] + (uint32_t)limits[i] * numbers[i + 1];
			limit = (uint32_t)limits[i] * limits[i + 1];
			for (; limit >= LEFT_LIMIT; limit = limit_less_byte(limit)) {
				*ret++ = (uint8_t)number;
				number >>= 8;
			}
			numbers[i / 2] = (uint16_t)number;
			limits[i / 2] = (uint16_t)limit;
		}
		if (n % 2) {
			numbers[n / 2] = numbers[n - 1];
			limits[n / 2] = limits[n - 1];
		}
		n = (n + 1) / 2;
	}
	number = numbers[0];
	for (limit = limits[0]; limit > 1; limit = limit_less_byte(limit)) {
		*ret++ = (uint8_t)number;
		number >>= 8;
	}
}

/* A number on its way: its limit, and the low bytes that are known, of `shift` bits. */
struct part {
	uint32_t low;
	uint16_t limit;
	uint8_t shift;
};

/* Takes from *in what a number below `limit` gives off until it is below `enough`. */
static struct part take_low(const uint8_t **in, uint32_t limit, uint32_t enough)
{
	struct part part = { 0 };
	const uint8_t *p = *in;

	for (; limit >= enough; limit = limit_less_byte(limit)) {
		part.low |= (uint32_t)*p++ << part.shift;
		part.shift += 8;
	}
	part.limit = (uint16_t)limit;
	*in = p;
	return part;
}

/* The inverse of encode. Public bytes, any of them: numbers come out modulo m. */
static void decode(uint16_t ret[P], const uint8_t *in, uint16_t m)
{
	/* Level after level, each half as long as the one before it, down to one number. */
	struct part parts[2 * P + 16], *level = parts, *next;
	size_t n[16], depth = 0;

	for (size_t i = 0; i < P; i++)
		level[i] = (struct part){ 0, m, 0 };
	for (n[0] = P; n[depth] > 1; depth++, level = next) {
		next = level + n[depth];
		n[depth + 1] = (n[depth] + 1) / 2;
		for (size_t i = 0; i + 1 < n[depth]; i += 2)
			next[i / 2] = take_low(
				&in, (uint32_t)level[i].limit * level[i + 1].limit, LEFT_LIMIT);
		if (n[depth] % 2)
			next[n[depth] / 2] = (struct part){ 0, level[n[depth] - 1].limit, 0 };
	}
	m = level->limit;
	level->low |= take_low(&in, m, 2).low % m << level->shift;
	/* And back; `low` is a whole number where the level below has been put to it. */
	for (; depth > 0; depth--, level = next) {
		next = level - n[depth - 1];
		for (size_t i = 0; i < n[depth - 1]; i++) {
			uint32_t number = level[i / 2].low;

			if (i % 2)
				number /= next[i - 1].limit;
			number %= next[i].limit;
			next[i].low = (next[i].low | number << next[i].shift);
		}
	}
	for (size_t i = 0; i < P; i++)
		ret[i] = (uint16_t)level[i].low;
}

static void put_public(uint8_t ret[SMX_SNTRUP761_PUBLIC_LEN], const int16_t h[ROOM])
{
	uint16_t numbers[P];

	for (size_t i = 0; i < P; i++)
		numbers[i] = (uint16_t)(h[i] + SNTRUP_HALF_Q);
	encode(ret, numbers, SNTRUP_Q);
}

static void get_public(int16_t ret[ROOM], const uint8_t public[SMX_SNTRUP761_PUBLIC_LEN])
{
	uint16_t numbers[P];

	decode(numbers, public, SNTRUP_Q);
	memset(ret, 0, ROOM * sizeof(*ret));
	for (size_t i = 0; i < P; i++)
		ret[i] = (int16_t)(numbers[i] - SNTRUP_HALF_Q);
}

/* c: multiples of 3 */
static void put_rounded(uint8_t ret[ROUNDED_LEN], const int16_t c[ROOM])
{
	uint16_t numbers[P];

	/* Divided by 3: 10923 / 2^15 is a little more than 1/3. */
	for (size_t i = 0; i < P; i++)
		numbers[i] = (uint16_t)(((c[i] + SNTRUP_HALF_Q) * 10923) >> 15);
	encode(ret, numbers, (SNTRUP_Q + 2) / 3);
	smx_wipe(numbers, sizeof(numbers));
}

static void get_rounded(int16_t ret[ROOM], const uint8_t rounded[ROUNDED_LEN])
{
	uint16_t numbers[P];

	decode(numbers, rounded, (SNTRUP_Q + 2) / 3);
	memset(ret, 0, ROOM * sizeof(*ret));
	for (size_t i = 0; i < P; i++)
		ret[i] = (int16_t)(numbers[i] * 3 - SNTRUP_HALF_Q);
}

/* ---- Hashes ---------------------------------------------------------------------------------- */

/* The first half of SHA-512 over kind, a and b; b may be NULL. */
static int hash(uint8_t ret[HASH_LEN], uint8_t kind, const uint8_t *a, size_t a_len,
	const uint8_t *b, size_t b_len)
{
	uint8_t in[1 + HASHED_MAX], digest[SMX_HASH_MAX];
	int r;

	in[0] = kind;
	memcpy(in + 1, a, a_len);
	if (b)
		memcpy(in + 1 + a_len, b, b_len);
	r = smx_hash(SMX_HASH_SHA512, in, 1 + a_len + b_len, digest);
	if (r == 0)
		memcpy(ret, digest, HASH_LEN);
	smx_wipe(in, sizeof(in));
	smx_wipe(digest, sizeof(digest));
	return r;
}

/* That of `kind` over the hash of a small polynomial and something. */
static int hash_small(uint8_t ret[HASH_LEN], uint8_t kind, const uint8_t small[SMALL_LEN],
	const uint8_t *b, size_t b_len)
{
	uint8_t inner[HASH_LEN];
	int r = hash(inner, H_SMALL, small, SMALL_LEN, NULL, 0);

	if (r == 0)
		r = hash(ret, kind, inner, HASH_LEN, b, b_len);
	smx_wipe(inner, sizeof(inner));
	return r;
}

/* ---- The KEM --------------------------------------------------------------------------------- */

static int new_key(struct smx_sntrup761 *key, uint8_t ret_public[SMX_SNTRUP761_PUBLIC_LEN])
{
	int8_t g[ROOM];
	int r;

	do {
		r = sntrup_random_small(g);
	} while (r == 0 && (r = sntrup_invert_3(key->g_inverse, g)) == SMX_EINVAL);
	if (r == 0 && (r = sntrup_random_short(key->f)) == 0 &&
		(r = smx_random(key->rho, sizeof(key->rho))) == 0) {
		sntrup_invert_3q(key->h, key->f);
		sntrup_multiply_q(key->h, key->h, g);
		put_public(ret_public, key->h);
		r = hash(key->public_hash, H_PUBLIC, ret_public, SMX_SNTRUP761_PUBLIC_LEN, NULL, 0);
	}
	smx_wipe(g, sizeof(g));
	return r;
}

int smx_sntrup761_keypair(struct smx_sntrup761 **ret, uint8_t ret_public[SMX_SNTRUP761_PUBLIC_LEN])
{
	struct smx_sntrup761 *key = smx_calloc(1, sizeof(*key));
	int r;

	if (!key)
		return SMX_ENOMEM;
	if ((r = new_key(key, ret_public)) != 0) {
		smx_sntrup761_free(key);
		return r;
	}
	*ret = key;
	return 0;
}

void smx_sntrup761_free(struct smx_sntrup761 *key)
{
	smx_wipe_free(key, sizeof(*key));
}

/* The ciphertext of r, which goes to the key h, and the encoding of r. */
static int encrypt(uint8_t ret_cipher[SMX_SNTRUP761_CIPHER_LEN], uint8_t ret_small[SMALL_LEN],
	const int8_t short_r[ROOM], const int16_t h[ROOM], const uint8_t public_hash[HASH_LEN])
{
	int16_t c[ROOM];
	int r;

	put_small(ret_small, short_r);
	sntrup_multiply_q(c, h, short_r);
	for (size_t i = 0; i < P; i++)
		c[i] = (int16_t)(c[i] - sntrup_mod_3(c[i]));
	put_rounded(ret_cipher, c);
	r = hash_small(ret_cipher + ROUNDED_LEN, H_CONFIRM, ret_small, public_hash, HASH_LEN);
	smx_wipe(c, sizeof(c));
	return r;
}

int smx_sntrup761_encapsulate(const uint8_t peer_public[SMX_SNTRUP761_PUBLIC_LEN],
	uint8_t ret_cipher[SMX_SNTRUP761_CIPHER_LEN], uint8_t ret_secret[SMX_SNTRUP761_SECRET_LEN])
{
	int16_t h[ROOM];
	int8_t short_r[ROOM];
	uint8_t public_hash[HASH_LEN], small[SMALL_LEN];
	int r;

	get_public(h, peer_public);
	(void)((r = hash(public_hash, H_PUBLIC, peer_public, SMX_SNTRUP761_PUBLIC_LEN, NULL, 0)) !=
			0 ||
		(r = sntrup_random_short(short_r)) != 0 ||
		(r = encrypt(ret_cipher, small, short_r, h, public_hash)) != 0 ||
		(r = hash_small(
			 ret_secret, H_SESSION, small, ret_cipher, SMX_SNTRUP761_CIPHER_LEN)) != 0);
	smx_wipe(short_r, sizeof(short_r));
	smx_wipe(small, sizeof(small));
	return r;
}

/* What r has to be for c to be of it; if that isn't short, some short one. */
static void decrypt(const struct smx_sntrup761 *key, const int16_t c[ROOM], int8_t ret[ROOM])
{
	int16_t e[ROOM];
	int mask;

	sntrup_multiply_q(e, c, key->f);
	sntrup_triple_q(e);
	for (size_t i = 0; i < P; i++)
		e[i] = (int16_t)sntrup_mod_3(e[i]);
	sntrup_multiply_3(ret, e, key->g_inverse);
	mask = sntrup_is_short_mask(ret);
	for (size_t i = 0; i < P; i++)
		ret[i] = (int8_t)((ret[i] & mask) | ((i < SNTRUP_W) & ~mask));
	smx_wipe(e, sizeof(e));
}

int smx_sntrup761_decapsulate(const struct smx_sntrup761 *key,
	const uint8_t cipher[SMX_SNTRUP761_CIPHER_LEN],
	uint8_t ret_secret[SMX_SNTRUP761_SECRET_LEN])
{
	uint8_t again[SMX_SNTRUP761_CIPHER_LEN], small[SMALL_LEN];
	int8_t short_r[ROOM];
	int16_t c[ROOM];
	unsigned is_same;
	uint8_t mask;
	int r;

	get_rounded(c, cipher);
	decrypt(key, c, short_r);
	if ((r = encrypt(again, small, short_r, key->h, key->public_hash)) == 0) {
		is_same = (unsigned)smx_ct_equal(again, cipher, sizeof(again));
		mask = (uint8_t)sntrup_opaque(is_same - 1);
		for (size_t i = 0; i < SMALL_LEN; i++)
			small[i] ^= (small[i] ^ key->rho[i]) & mask;
		r = hash_small(ret_secret, (uint8_t)(H_SESSION_BAD + is_same), small, cipher,
			SMX_SNTRUP761_CIPHER_LEN);
	}
	smx_wipe(short_r, sizeof(short_r));
	smx_wipe(again, sizeof(again));
	smx_wipe(small, sizeof(small));
	return r;
}
