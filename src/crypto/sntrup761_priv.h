/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of sntrup761; private to sntrup761*.c.
 *
 * R is Z[x]/(x^p - x - 1). A "small" polynomial has coefficients -1, 0 and 1; a "short" one is small
 * with exactly w that are not 0. One over q has coefficients from -(q-1)/2 to (q-1)/2. Arrays begin
 * with the coefficient of x^0 and have SNTRUP_ROOM of them, those from p on 0: loops over a round
 * number are what compilers turn into vector instructions.
 */
#ifndef SMX_CRYPTO_SNTRUP761_PRIV_H
#define SMX_CRYPTO_SNTRUP761_PRIV_H

#include <stdint.h>

#define SNTRUP_P      761
#define SNTRUP_Q      4591
#define SNTRUP_W      286
#define SNTRUP_HALF_Q 2295 /* (q-1)/2; a multiple of 3 */
#define SNTRUP_ROOM   768

#define SNTRUP_SMALL_LEN 191 /* a small one in bytes, two bits for each coefficient */
#define SNTRUP_HASH_LEN  32

struct smx_sntrup761 {
	int8_t f[SNTRUP_ROOM], g_inverse[SNTRUP_ROOM]; /* short; 1/g in R/3 */
	int16_t h[SNTRUP_ROOM]; /* the public key */
	uint8_t rho[SNTRUP_SMALL_LEN], public_hash[SNTRUP_HASH_LEN];
};

/* x itself, of which the compiler knows nothing: where it sees that a mask is all or nothing, it may
 * make a branch of it (clang 19 does). */
static inline uint64_t sntrup_opaque(uint64_t x)
{
	__asm__("" : "+r"(x));
	return x;
}

/* x - 3 * (the integer nearest to x/3); |x| <= 10000. */
static inline int32_t sntrup_mod_3(int32_t x)
{
	return x - 3 * ((x * 10923 + 16384) >> 15);
}

/* a * b in R/q. ret may be a. */
void sntrup_multiply_q(
	int16_t ret[SNTRUP_ROOM], const int16_t a[SNTRUP_ROOM], const int8_t small[SNTRUP_ROOM]);
/* a * b in R/3, small; a is small, too. */
void sntrup_multiply_3(
	int8_t ret[SNTRUP_ROOM], const int16_t a[SNTRUP_ROOM], const int8_t small[SNTRUP_ROOM]);
/* a *= 3 in R/q */
void sntrup_triple_q(int16_t a[SNTRUP_ROOM]);
/* 1/(3 * small) in R/q, which is a field; small isn't 0. */
void sntrup_invert_3q(int16_t ret[SNTRUP_ROOM], const int8_t small[SNTRUP_ROOM]);
/* 1/small in R/3. Returns 0, or SMX_EINVAL if it has no inverse. */
int sntrup_invert_3(int8_t ret[SNTRUP_ROOM], const int8_t small[SNTRUP_ROOM]);

/* A random small polynomial, each with the same probability. 0 or SMX_ECRYPTO. */
int sntrup_random_small(int8_t ret[SNTRUP_ROOM]);
/* A random short one. 0 or SMX_ECRYPTO. */
int sntrup_random_short(int8_t ret[SNTRUP_ROOM]);
/* All bits 1 if it has w coefficients that are not 0, else 0. */
int sntrup_is_short_mask(const int8_t small[SNTRUP_ROOM]);

#endif
