/* SPDX-License-Identifier: MIT */
/*
 * bcrypt_pbkdf: PBKDF2's shape around bcrypt's slow Blowfish key schedule, as OpenSSH's
 * key format uses it. libcrypto has none, and its own Blowfish can't run bcrypt's salted
 * schedule, so the block cipher is here too (Schneier 1993; tables from pi itself).
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/blowfish_pi.h"
#include "crypto/hash.h"
#include "crypto/keyfile.h"

#define BF_ROUNDS    16
#define DIGEST_LEN   64 /* SHA-512 */
#define BLOCK_WORDS  8
#define BLOCK_LEN    (BLOCK_WORDS * 4)
#define COST_LOG2    6
#define SALT_LEN_MAX 64
/* No more output than the key and IV of any cipher need. */
#define OUT_LEN_MAX 1024

struct blowfish {
	uint32_t p[BF_ROUNDS + 2];
	uint32_t s[4][256];
};

static inline uint32_t mix(const struct blowfish *bf, uint32_t x)
{
	return ((bf->s[0][x >> 24] + bf->s[1][x >> 16 & 255]) ^ bf->s[2][x >> 8 & 255]) +
	       bf->s[3][x & 255];
}

static inline void encrypt(const struct blowfish *bf, uint32_t *ret_left, uint32_t *ret_right)
{
	uint32_t left = *ret_left ^ bf->p[0], right = *ret_right;

	/* Two rounds a turn, so that the halves need not be swapped. */
	for (int i = 1; i <= BF_ROUNDS; i += 2) {
		right ^= mix(bf, left) ^ bf->p[i];
		left ^= mix(bf, right) ^ bf->p[i + 1];
	}
	*ret_left = right ^ bf->p[BF_ROUNDS + 1];
	*ret_right = left;
}

/* The digest as 16 big-endian words that begin again at its end. */
struct word_stream {
	const uint8_t *digest;
	size_t at;
};

static inline uint32_t next_word(struct word_stream *w)
{
	uint32_t v = smx_get_u32(w->digest + w->at);

	w->at = (w->at + 4) % DIGEST_LEN;
	return v;
}

/* Mixes the key into the P-array and replaces the whole state; salt NULL: zeros. */
static void expand(struct blowfish *bf, const uint8_t *salt, const uint8_t *key)
{
	static const uint8_t zeros[DIGEST_LEN];
	struct word_stream key_words = { key, 0 }, salt_words = { salt ? salt : zeros, 0 };
	uint32_t left = 0, right = 0;
	size_t i, box;

	for (i = 0; i < BF_ROUNDS + 2; i++)
		bf->p[i] ^= next_word(&key_words);
	for (i = 0; i < BF_ROUNDS + 2; i += 2) {
		left ^= next_word(&salt_words);
		right ^= next_word(&salt_words);
		encrypt(bf, &left, &right);
		bf->p[i] = left;
		bf->p[i + 1] = right;
	}
	for (box = 0; box < 4; box++) {
		for (i = 0; i < 256; i += 2) {
			left ^= next_word(&salt_words);
			right ^= next_word(&salt_words);
			encrypt(bf, &left, &right);
			bf->s[box][i] = left;
			bf->s[box][i + 1] = right;
		}
	}
}

/* bcrypt with hashed password and salt, and a text of its own; words come out little-endian. */
static void bcrypt_hash(struct blowfish *bf, const uint8_t pass[DIGEST_LEN],
	const uint8_t salt[DIGEST_LEN], uint8_t out[BLOCK_LEN])
{
	static const uint8_t text[BLOCK_LEN + 1] = "OxychromaticBlowfishSwatDynamite";
	uint32_t words[BLOCK_WORDS];
	size_t i;
	int n;

	memcpy(bf->p, blowfish_pi_p, sizeof(bf->p));
	memcpy(bf->s, blowfish_pi_s, sizeof(bf->s));
	expand(bf, salt, pass);
	for (n = 0; n < 1 << COST_LOG2; n++) {
		expand(bf, NULL, salt);
		expand(bf, NULL, pass);
	}
	for (i = 0; i < BLOCK_WORDS; i++)
		words[i] = smx_get_u32(text + 4 * i);
	for (n = 0; n < 64; n++)
		for (i = 0; i < BLOCK_WORDS; i += 2)
			encrypt(bf, &words[i], &words[i + 1]);
	for (i = 0; i < BLOCK_LEN; i++)
		out[i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
	smx_wipe(words, sizeof(words));
}

struct pbkdf_state {
	struct blowfish bf;
	uint8_t pass[SMX_HASH_MAX], salt[SMX_HASH_MAX];
	uint8_t one[BLOCK_LEN], sum[BLOCK_LEN];
	uint8_t counted_salt[SALT_LEN_MAX + 4];
};

/* Block `number` (from 1) of the output, to st->sum. */
static int make_block(struct pbkdf_state *st, const uint8_t *salt, size_t salt_len, uint32_t rounds,
	uint32_t number)
{
	int r;

	memcpy(st->counted_salt, salt, salt_len);
	smx_set_u32(st->counted_salt + salt_len, number);
	if ((r = smx_hash(SMX_HASH_SHA512, st->counted_salt, salt_len + 4, st->salt)) != 0)
		return r;
	bcrypt_hash(&st->bf, st->pass, st->salt, st->one);
	memcpy(st->sum, st->one, BLOCK_LEN);
	while (--rounds > 0) {
		if ((r = smx_hash(SMX_HASH_SHA512, st->one, BLOCK_LEN, st->salt)) != 0)
			return r;
		bcrypt_hash(&st->bf, st->pass, st->salt, st->one);
		for (size_t i = 0; i < BLOCK_LEN; i++)
			st->sum[i] ^= st->one[i];
	}
	return 0;
}

int smx_bcrypt_pbkdf(const char *pass, size_t pass_len, const uint8_t *salt, size_t salt_len,
	uint32_t rounds, uint8_t *out, size_t out_len)
{
	size_t n_blocks = (out_len + BLOCK_LEN - 1) / BLOCK_LEN, number, i;
	struct pbkdf_state *st;
	int r;

	if (pass_len == 0 || salt_len == 0 || salt_len > SALT_LEN_MAX || rounds == 0 ||
		rounds > SMX_KEYFILE_ROUNDS_MAX || out_len == 0 || out_len > OUT_LEN_MAX)
		return SMX_EINVAL;
	st = smx_calloc(1, sizeof(*st));
	if (!st)
		return SMX_ENOMEM;
	if ((r = smx_hash(SMX_HASH_SHA512, pass, pass_len, st->pass)) != 0)
		goto out;
	for (number = 0; number < n_blocks; number++) {
		r = make_block(st, salt, salt_len, rounds, (uint32_t)number + 1);
		if (r != 0)
			goto out;
		/* Unlike PBKDF2's, the blocks are interleaved: all work is needed for any byte. */
		for (i = 0; i < BLOCK_LEN && i * n_blocks + number < out_len; i++)
			out[i * n_blocks + number] = st->sum[i];
	}
out:
	if (r != 0)
		smx_wipe(out, out_len);
	smx_wipe_free(st, sizeof(*st));
	return r;
}
