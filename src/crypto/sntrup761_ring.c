/* SPDX-License-Identifier: MIT */
/*
 * Polynomials of sntrup761. Everything here is done in the same steps whatever the values: masks
 * instead of branches, multiplications and shifts instead of divisions. Right shifts of negative
 * numbers are arithmetic ones with every compiler that we use.
 *
 * Inverses are Bernstein and Yang's ("Fast constant-time gcd computation and modular inversion",
 * 2019, section 6): 2p-1 division steps on the reversed polynomials,
 *
 *	if delta > 0 and g(0) != 0: swap f with g and v with r, delta = -delta
 *	delta += 1;  g = (f(0) g - g(0) f) / x;  r = f(0) r - g(0) v;  (v *= x before each step)
 *
 * after which delta is 0 if there is an inverse, and it is v / f(0), reversed. A factor that goes
 * into g and r alike cancels out.
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/random.h"
#include "crypto/sntrup761_priv.h"

#define P     SNTRUP_P
#define Q     SNTRUP_Q
#define ROOM  SNTRUP_ROOM
#define STEPS (2 * P - 1)

/* ---- Numbers modulo q ------------------------------------------------------------------------ */

#define Q_INVERSE 15631 /* q * this = 1 modulo 2^16 */
#define R_SQUARED (-433) /* 2^32 modulo q */

/* x modulo q, from -(q-1)/2 to (q-1)/2; |x| <= 4600000. */
static int32_t mod_q(int32_t x)
{
	/* 457 / 2^21 is about 1/q: at most one q remains. */
	x -= Q * ((x * 457 + (1 << 20)) >> 21);
	x -= Q & ((SNTRUP_HALF_Q - x) >> 31);
	x += Q & ((x + SNTRUP_HALF_Q) >> 31);
	return x;
}

/*
 * Montgomery's product: a * b / 2^16 modulo q, of which the absolute value is at most
 * |a * b| / 2^16 + q/2. In 16-bit halves, since vectors multiply these best.
 */
static inline int16_t product(int16_t a, int16_t b)
{
	int16_t high = (int16_t)(((int32_t)a * b) >> 16);
	int16_t low = (int16_t)((int32_t)a * b);
	int16_t k = (int16_t)((int32_t)low * Q_INVERSE);

	return (int16_t)(high - (int16_t)(((int32_t)k * Q) >> 16));
}

/* a * b modulo q */
static int16_t multiply(int16_t a, int16_t b)
{
	return (int16_t)mod_q(product(product(a, b), R_SQUARED));
}

/* 1/a modulo q: a^(q-2) (Fermat). */
static int16_t invert(int16_t a)
{
	int16_t result = 1;

	for (unsigned bit = 1U << 12; bit; bit >>= 1) {
		result = multiply(result, result);
		if ((Q - 2) & bit)
			result = multiply(result, a);
	}
	return result;
}

/* All bits 1 if x isn't 0, else 0. */
static int nonzero_mask(int x)
{
	return (int)sntrup_opaque((uint64_t)((x | -x) >> 31));
}

/* ---- Products -------------------------------------------------------------------------------- */

/* In Z[x]/(x^p - x - 1), not reduced by a number: x^p is x + 1. */
static void multiply_plain(int32_t ret[2 * ROOM], const int16_t a[ROOM], const int8_t small[ROOM])
{
	memset(ret, 0, 2 * ROOM * sizeof(*ret));
	for (size_t i = 0; i < P; i++) {
		int16_t factor = small[i];

		for (size_t j = 0; j < ROOM; j++)
			ret[i + j] += (int32_t)a[j] * factor;
	}
	for (size_t i = 2 * P - 2; i >= P; i--) {
		ret[i - P] += ret[i];
		ret[i - P + 1] += ret[i];
	}
}

void sntrup_multiply_q(int16_t ret[ROOM], const int16_t a[ROOM], const int8_t small[ROOM])
{
	int32_t sums[2 * ROOM];

	multiply_plain(sums, a, small);
	/* Sums of less than 2p terms, each at most (q-1)/2: below what mod_q takes. */
	for (size_t i = 0; i < P; i++)
		ret[i] = (int16_t)mod_q(sums[i]);
	memset(ret + P, 0, (ROOM - P) * sizeof(*ret));
	smx_wipe(sums, sizeof(sums));
}

void sntrup_multiply_3(int8_t ret[ROOM], const int16_t a[ROOM], const int8_t small[ROOM])
{
	int32_t sums[2 * ROOM];

	multiply_plain(sums, a, small);
	for (size_t i = 0; i < P; i++)
		ret[i] = (int8_t)sntrup_mod_3(sums[i]);
	memset(ret + P, 0, ROOM - P);
	smx_wipe(sums, sizeof(sums));
}

void sntrup_triple_q(int16_t a[ROOM])
{
	for (size_t i = 0; i < P; i++)
		a[i] = (int16_t)mod_q(3 * a[i]);
}

/* ---- The inverse in R/q ---------------------------------------------------------------------- */

/* What a division step shifts has room for one more. */
struct steps_q {
	int16_t f[ROOM + 8], g[ROOM + 8], v[ROOM + 8], r[ROOM + 8];
};

static void swap_q(int16_t a[ROOM], int16_t b[ROOM], int16_t mask)
{
	for (size_t i = 0; i < ROOM; i++) {
		int16_t x = (int16_t)((a[i] ^ b[i]) & mask);

		a[i] ^= x;
		b[i] ^= x;
	}
}

/*
 * to[i] = a * from[i] - b * other[i]. What goes in stays below 5524 if it was: 2 * (5523^2 / 2^16 +
 * q/2) is. a and b are below q/2 even.
 */
static void combine_q(int16_t *to, const int16_t *from, const int16_t *other, int16_t a, int16_t b)
{
	for (size_t i = 0; i < ROOM; i++)
		to[i] = (int16_t)(product(from[i], a) - product(other[i], b));
}

static int step_q(struct steps_q *s, int delta)
{
	int16_t f0, g0;
	int mask;

	memmove(s->v + 1, s->v, ROOM * sizeof(*s->v));
	s->v[0] = 0;
	mask = nonzero_mask(mod_q(s->g[0])) & (int)sntrup_opaque((uint64_t)(-delta >> 31));
	swap_q(s->f, s->g, (int16_t)mask);
	swap_q(s->v, s->r, (int16_t)mask);
	f0 = (int16_t)mod_q(s->f[0]);
	g0 = (int16_t)mod_q(s->g[0]);
	combine_q(s->g, s->g + 1, s->f + 1, f0, g0);
	combine_q(s->r, s->r, s->v, f0, g0);
	return ((delta ^ mask) - mask) + 1;
}

void sntrup_invert_3q(int16_t ret[ROOM], const int8_t small[ROOM])
{
	struct steps_q s = { .f = { [0] = 1, [P - 1] = -1, [P] = -1 }, .r = { [0] = 1 } };
	int16_t scale;
	int delta = 1;

	for (size_t i = 0; i < P; i++)
		s.g[P - 1 - i] = small[i];
	for (int i = 0; i < STEPS; i++)
		delta = step_q(&s, delta);
	/* Times 2^16, which the last product takes off again. */
	scale = multiply(invert(multiply(3, (int16_t)mod_q(s.f[0]))), (1 << 16) % Q);
	for (size_t i = 0; i < P; i++)
		ret[i] = (int16_t)mod_q(product(s.v[P - 1 - i], scale));
	memset(ret + P, 0, (ROOM - P) * sizeof(*ret));
	smx_wipe(&s, sizeof(s));
	smx_wipe(&scale, sizeof(scale));
}

/* ---- The inverse in R/3 ---------------------------------------------------------------------- */

#define WORDS (ROOM / 64)

/* Bit i of plus (minus) is set if coefficient i is 1 (-1). */
struct bits {
	uint64_t plus[WORDS], minus[WORDS];
};

static uint64_t all_if(uint64_t bit)
{
	return sntrup_opaque(0 - (bit & 1));
}

static void swap_3(struct bits *a, struct bits *b, uint64_t mask)
{
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t plus = (a->plus[i] ^ b->plus[i]) & mask;
		uint64_t minus = (a->minus[i] ^ b->minus[i]) & mask;

		a->plus[i] ^= plus;
		b->plus[i] ^= plus;
		a->minus[i] ^= minus;
		b->minus[i] ^= minus;
	}
}

/* a += b if all bits of add are set, a -= b if those of subtract are; neither: a stays. */
static void combine_3(struct bits *a, const struct bits *b, uint64_t add, uint64_t subtract)
{
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t ap = a->plus[i], am = a->minus[i];
		uint64_t bp = (b->plus[i] & add) | (b->minus[i] & subtract);
		uint64_t bm = (b->minus[i] & add) | (b->plus[i] & subtract);

		/* One of them is 0, or both are alike: 1 + 1 = -1. */
		a->plus[i] = (ap & ~(bp | bm)) | (bp & ~(ap | am)) | (am & bm);
		a->minus[i] = (am & ~(bp | bm)) | (bm & ~(ap | am)) | (ap & bp);
	}
}

/* Times x, and divided by x (bit 0 is 0). */
static void shift_up(uint64_t w[WORDS])
{
	for (size_t i = WORDS - 1; i > 0; i--)
		w[i] = (w[i] << 1) | (w[i - 1] >> 63);
	w[0] <<= 1;
}

static void shift_down(uint64_t w[WORDS])
{
	for (size_t i = 0; i < WORDS - 1; i++)
		w[i] = (w[i] >> 1) | (w[i + 1] << 63);
	w[WORDS - 1] >>= 1;
}

static void set_bits(struct bits *b, size_t i, int8_t value)
{
	b->plus[i / 64] |= (uint64_t)(value & ~(value >> 7) & 1) << (i % 64);
	b->minus[i / 64] |= (uint64_t)((value >> 7) & 1) << (i % 64);
}

static int get_bits(const struct bits *b, size_t i)
{
	return (int)(b->plus[i / 64] >> (i % 64) & 1) - (int)(b->minus[i / 64] >> (i % 64) & 1);
}

struct steps_3 {
	struct bits f, g, v, r;
};

static int step_3(struct steps_3 *s, int delta)
{
	uint64_t same, opposite, mask;

	shift_up(s->v.plus);
	shift_up(s->v.minus);
	mask = all_if(s->g.plus[0] | s->g.minus[0]) & all_if((uint32_t)-delta >> 31);
	swap_3(&s->f, &s->g, mask);
	swap_3(&s->v, &s->r, mask);
	/* f(0) is 1 or -1, so f(0) g - g(0) f is, but for the sign, g minus or plus f, or g. */
	same = all_if((s->f.plus[0] & s->g.plus[0]) | (s->f.minus[0] & s->g.minus[0]));
	opposite = all_if((s->f.plus[0] & s->g.minus[0]) | (s->f.minus[0] & s->g.plus[0]));
	combine_3(&s->g, &s->f, opposite, same);
	combine_3(&s->r, &s->v, opposite, same);
	shift_down(s->g.plus);
	shift_down(s->g.minus);
	return ((delta ^ (int)mask) - (int)mask) + 1;
}

int sntrup_invert_3(int8_t ret[ROOM], const int8_t small[ROOM])
{
	struct steps_3 s;
	int sign, delta = 1;

	memset(&s, 0, sizeof(s));
	set_bits(&s.f, 0, 1);
	set_bits(&s.f, P - 1, -1);
	set_bits(&s.f, P, -1);
	set_bits(&s.r, 0, 1);
	for (size_t i = 0; i < P; i++)
		set_bits(&s.g, P - 1 - i, small[i]);
	for (int i = 0; i < STEPS; i++)
		delta = step_3(&s, delta);
	sign = get_bits(&s.f, 0);
	for (size_t i = 0; i < P; i++)
		ret[i] = (int8_t)(get_bits(&s.v, P - 1 - i) * sign);
	memset(ret + P, 0, ROOM - P);
	smx_wipe(&s, sizeof(s));
	return SMX_EINVAL & nonzero_mask(delta);
}

/* ---- Random ones ----------------------------------------------------------------------------- */

int sntrup_random_small(int8_t ret[ROOM])
{
	uint32_t random[P];
	int r = smx_random(random, sizeof(random));

	/* 30 bits times 3, of which the top two are 0, 1 or 2. */
	for (size_t i = 0; i < P && r == 0; i++)
		ret[i] = (int8_t)((((random[i] >> 2) * 3) >> 30) - 1);
	memset(ret + P, 0, ROOM - P);
	smx_wipe(random, sizeof(random));
	return r;
}

static void order(uint32_t *a, uint32_t *b)
{
	uint32_t mask = (uint32_t)sntrup_opaque(0 - (((uint64_t)*b - *a) >> 63));
	uint32_t x = (*a ^ *b) & mask;

	*a ^= x;
	*b ^= x;
}

/* Batcher's merge exchange (Knuth, TAOCP 5.2.2, algorithm M): which pairs are compared doesn't
 * depend on what they are. */
static void sort(uint32_t list[P])
{
	for (size_t p = 512; p > 0; p /= 2) {
		size_t q = 512, r = 0, d = p;

		for (;;) {
			for (size_t i = 0; i + d < P; i++)
				if ((i & p) == r)
					order(&list[i], &list[i + d]);
			if (q == p)
				break;
			d = q - p;
			q /= 2;
			r = p;
		}
	}
}

int sntrup_random_short(int8_t ret[ROOM])
{
	uint32_t list[P];
	int r = smx_random(list, sizeof(list));

	if (r != 0)
		return r;
	/* The low two bits are the coefficient plus 1, the others order them at random. */
	for (size_t i = 0; i < P; i++)
		list[i] = i < SNTRUP_W ? list[i] & ~1U : (list[i] & ~3U) | 1;
	sort(list);
	for (size_t i = 0; i < P; i++)
		ret[i] = (int8_t)((list[i] & 3) - 1);
	memset(ret + P, 0, ROOM - P);
	smx_wipe(list, sizeof(list));
	return 0;
}

int sntrup_is_short_mask(const int8_t small[ROOM])
{
	int weight = 0;

	for (size_t i = 0; i < P; i++)
		weight += small[i] & 1;
	return ~nonzero_mask(weight - SNTRUP_W);
}
