/* SPDX-License-Identifier: MIT */
/* sntrup761: its arithmetic, the KEM, and what becomes of damaged ciphertexts (B9, A16). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/sntrup761.h"
#include "crypto/sntrup761_priv.h"
#include "util_data.h"

#define P SNTRUP_P

static int is_one_q(const int16_t a[SNTRUP_ROOM])
{
	for (size_t i = 0; i < SNTRUP_ROOM; i++)
		if (a[i] != (i == 0))
			return 0;
	return 1;
}

static void products_are_those_of_long_multiplication(void **state)
{
	int8_t small[SNTRUP_ROOM];
	int16_t a[SNTRUP_ROOM] = { 0 }, got[SNTRUP_ROOM];
	long sums[2 * P] = { 0 };

	(void)state;
	assert_int_equal(sntrup_random_small(small), 0);
	for (size_t i = 0; i < P; i++)
		a[i] = (int16_t)(i % 3 == 0 ? SNTRUP_HALF_Q : -SNTRUP_HALF_Q + (int)i);
	for (size_t i = 0; i < P; i++)
		for (size_t j = 0; j < P; j++)
			sums[i + j] += (long)a[i] * small[j];
	for (size_t i = 2 * P - 1; i >= P; i--) {
		sums[i - P] += sums[i];
		sums[i - P + 1] += sums[i];
	}
	sntrup_multiply_q(got, a, small);
	for (size_t i = 0; i < P; i++) {
		assert_in_range(got[i] + SNTRUP_HALF_Q, 0, SNTRUP_Q - 1);
		assert_int_equal((sums[i] - got[i]) % SNTRUP_Q, 0);
	}
	for (size_t i = P; i < SNTRUP_ROOM; i++)
		assert_int_equal(got[i], 0);
}

/* The largest sums there can be. */
static void the_largest_sums_are_reduced(void **state)
{
	int8_t small[SNTRUP_ROOM] = { 0 };
	int16_t a[SNTRUP_ROOM] = { 0 }, got[SNTRUP_ROOM];

	(void)state;
	for (int sign = -1; sign < 2; sign += 2) {
		for (size_t i = 0; i < P; i++) {
			a[i] = (int16_t)(sign * SNTRUP_HALF_Q);
			small[i] = 1;
		}
		sntrup_multiply_q(got, a, small);
		for (size_t i = 0; i < P; i++) {
			/* i + 1 products below x^p, and what x^p = x + 1 folds back. */
			long n = (long)i + 1 + (P - 1 - (long)i) + (i ? P - (long)i : 0);

			assert_in_range(got[i] + SNTRUP_HALF_Q, 0, SNTRUP_Q - 1);
			assert_int_equal((sign * n * SNTRUP_HALF_Q - got[i]) % SNTRUP_Q, 0);
		}
	}
}

static void inverses_are_inverse(void **state)
{
	int8_t small[SNTRUP_ROOM], inverse_3[SNTRUP_ROOM], product_3[SNTRUP_ROOM];
	int16_t inverse[SNTRUP_ROOM], wide[SNTRUP_ROOM] = { 0 };
	int n = 0;

	(void)state;
	while (n < 4) {
		assert_int_equal(sntrup_random_small(small), 0);
		sntrup_invert_3q(inverse, small);
		sntrup_multiply_q(inverse, inverse, small);
		sntrup_triple_q(inverse);
		assert_true(is_one_q(inverse));
		if (sntrup_invert_3(inverse_3, small) != 0)
			continue; /* one in some hundreds has none */
		for (size_t i = 0; i < P; i++)
			wide[i] = inverse_3[i];
		sntrup_multiply_3(product_3, wide, small);
		for (size_t i = 0; i < SNTRUP_ROOM; i++)
			assert_int_equal(product_3[i], i == 0);
		n++;
	}
	memset(small, 0, sizeof(small));
	assert_int_equal(sntrup_invert_3(inverse_3, small), SMX_EINVAL);
}

static void short_ones_have_their_weight(void **state)
{
	int8_t a[SNTRUP_ROOM], b[SNTRUP_ROOM];
	int n[3] = { 0 };

	(void)state;
	assert_int_equal(sntrup_random_short(a), 0);
	assert_int_equal(sntrup_random_short(b), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	for (size_t i = 0; i < P; i++) {
		assert_in_range(a[i] + 1, 0, 2);
		n[a[i] + 1]++;
	}
	assert_int_equal(n[0] + n[2], SNTRUP_W);
	/* Both signs, and everywhere: the odds against it are beyond 2^100. */
	assert_true(n[0] > 30 && n[2] > 30);
	for (size_t i = 0, weight = 0; i <= P; i++) {
		if (i % 190 == 0 && i) {
			assert_true(weight > 5 && weight < 185);
			weight = 0;
		}
		weight += a[i] != 0;
	}
	assert_int_equal(sntrup_is_short_mask(a), -1);
	a[0] ^= 1;
	assert_int_equal(sntrup_is_short_mask(a), 0);
	memset(a, 0, sizeof(a));
	assert_int_equal(sntrup_is_short_mask(a), 0);
	/* And small ones: a third of each kind. */
	assert_int_equal(sntrup_random_small(a), 0);
	memset(n, 0, sizeof(n));
	for (size_t i = 0; i < P; i++)
		n[a[i] + 1]++;
	for (size_t i = 0; i < 3; i++)
		assert_in_range(n[i], 130, 380);
}

struct ends {
	struct smx_sntrup761 *key;
	uint8_t public[SMX_SNTRUP761_PUBLIC_LEN], cipher[SMX_SNTRUP761_CIPHER_LEN];
	uint8_t theirs[SMX_SNTRUP761_SECRET_LEN], ours[SMX_SNTRUP761_SECRET_LEN];
};

static void begin(struct ends *e)
{
	assert_int_equal(smx_sntrup761_keypair(&e->key, e->public), 0);
	assert_int_equal(smx_sntrup761_encapsulate(e->public, e->cipher, e->theirs), 0);
}

static void B9_sntrup761_both_ends_agree(void **state)
{
	struct ends e, last = { 0 };

	(void)state;
	for (int i = 0; i < 6; i++) {
		begin(&e);
		assert_int_equal(smx_sntrup761_decapsulate(e.key, e.cipher, e.ours), 0);
		assert_memory_equal(e.ours, e.theirs, sizeof(e.ours));
		assert_memory_not_equal(e.ours, last.ours, sizeof(e.ours));
		assert_memory_not_equal(e.public, last.public, sizeof(e.public));
		last = e;
		smx_sntrup761_free(e.key);
	}
	smx_sntrup761_free(NULL);
}

static void hash_of(uint8_t kind, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
	uint8_t ret[SMX_HASH_MAX])
{
	uint8_t in[1 + SNTRUP_HASH_LEN + SMX_SNTRUP761_CIPHER_LEN];

	in[0] = kind;
	memcpy(in + 1, a, a_len);
	if (b_len)
		memcpy(in + 1 + a_len, b, b_len);
	assert_int_equal(smx_hash(SMX_HASH_SHA512, in, 1 + a_len + b_len, ret), 0);
}

/* The specification's: a hash of rho and the ciphertext, so the same one each time. */
static void check_rejection(struct ends *e)
{
	uint8_t inner[SMX_HASH_MAX], want[SMX_HASH_MAX];

	hash_of(3, e->key->rho, sizeof(e->key->rho), NULL, 0, inner);
	hash_of(0, inner, SNTRUP_HASH_LEN, e->cipher, sizeof(e->cipher), want);
	memset(e->ours, 0, sizeof(e->ours));
	assert_int_equal(smx_sntrup761_decapsulate(e->key, e->cipher, e->ours), 0);
	assert_memory_not_equal(e->ours, e->theirs, sizeof(e->ours));
	assert_memory_equal(e->ours, want, sizeof(e->ours));
}

static void A16_a_damaged_ciphertext_gives_another_secret(void **state)
{
	/* In each of its parts: the rounded polynomial, and the hash that confirms it. */
	static const size_t places[] = { 0, 1, 500, 1006, 1007, 1020, 1038 };
	struct ends e;

	(void)state;
	begin(&e);
	for (size_t i = 0; i < SMX_ARRAY_LEN(places); i++) {
		e.cipher[places[i]] ^= (uint8_t)(1 << i);
		check_rejection(&e);
		e.cipher[places[i]] ^= (uint8_t)(1 << i);
	}
	assert_int_equal(smx_sntrup761_decapsulate(e.key, e.cipher, e.ours), 0);
	assert_memory_equal(e.ours, e.theirs, sizeof(e.ours));
	/* Numbers out of range, all 0, and a good one for somebody else. */
	memset(e.cipher, 0xff, sizeof(e.cipher));
	check_rejection(&e);
	memset(e.cipher, 0, sizeof(e.cipher));
	check_rejection(&e);
	e.public[0] ^= 1;
	assert_int_equal(smx_sntrup761_encapsulate(e.public, e.cipher, e.theirs), 0);
	check_rejection(&e);
	smx_sntrup761_free(e.key);
}

static void any_bytes_are_a_public_key(void **state)
{
	struct ends e;

	(void)state;
	for (int fill = 0; fill < 256; fill += 51) {
		memset(e.public, fill, sizeof(e.public));
		assert_int_equal(smx_sntrup761_encapsulate(e.public, e.cipher, e.theirs), 0);
	}
}

static void unpack(int8_t ret[SNTRUP_ROOM], const uint8_t packed[SNTRUP_SMALL_LEN])
{
	memset(ret, 0, SNTRUP_ROOM);
	for (size_t i = 0; i < P; i++)
		ret[i] = (int8_t)((packed[i / 4] >> (i % 4 * 2) & 3) - 1);
}

/*
 * A key of ours, and what the sshd of OpenSSH 9.2 answered to its public half in a login that
 * succeeded: both ends had this secret. Polynomials are two bits for each coefficient, plus 1.
 */
struct known {
	uint8_t f[SNTRUP_SMALL_LEN], g_inverse[SNTRUP_SMALL_LEN], rho[SNTRUP_SMALL_LEN];
	uint8_t public[SMX_SNTRUP761_PUBLIC_LEN], cipher[SMX_SNTRUP761_CIPHER_LEN];
	uint8_t secret[SMX_SNTRUP761_SECRET_LEN];
};

static void B9_sntrup761_agrees_with_openssh(void **state)
{
	struct smx_view file = test_read_file("sntrup761/openssh_9.2");
	struct known known;
	struct smx_sntrup761 *key = smx_calloc(1, sizeof(*key));
	uint8_t digest[SMX_HASH_MAX], cipher[SMX_SNTRUP761_CIPHER_LEN],
		public[1 + SMX_SNTRUP761_PUBLIC_LEN] = { 4 };
	uint8_t ours[SMX_SNTRUP761_SECRET_LEN], theirs[SMX_SNTRUP761_SECRET_LEN];
	int8_t g[SNTRUP_ROOM];

	(void)state;
	assert_int_equal(file.len, sizeof(known));
	memcpy(&known, file.p, sizeof(known));
	test_free_view(file);
	unpack(key->f, known.f);
	unpack(key->g_inverse, known.g_inverse);
	memcpy(key->rho, known.rho, sizeof(known.rho));
	memcpy(public + 1, known.public, sizeof(known.public));
	assert_int_equal(smx_hash(SMX_HASH_SHA512, public, sizeof(public), digest), 0);
	memcpy(key->public_hash, digest, SNTRUP_HASH_LEN);
	assert_int_equal(sntrup_invert_3(g, key->g_inverse), 0);
	sntrup_invert_3q(key->h, key->f);
	sntrup_multiply_q(key->h, key->h, g);
	assert_int_equal(smx_sntrup761_decapsulate(key, known.cipher, ours), 0);
	assert_memory_equal(ours, known.secret, sizeof(ours));
	/* That key is the one which these bytes are. */
	assert_int_equal(smx_sntrup761_encapsulate(known.public, cipher, theirs), 0);
	assert_int_equal(smx_sntrup761_decapsulate(key, cipher, ours), 0);
	assert_memory_equal(ours, theirs, sizeof(ours));
	smx_sntrup761_free(key);
}

static void no_memory_leaks_nothing(void **state)
{
	long before = smx_mem_alive();
	struct ends e = { 0 };
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_sntrup761_keypair(&e.key, e.public);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || (r == SMX_ENOMEM && n < 4 && !e.key));
		assert_true(n > 0 || r != 0);
	}
	smx_sntrup761_free(e.key);
	assert_int_equal(smx_mem_alive(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_are_those_of_long_multiplication),
		cmocka_unit_test(the_largest_sums_are_reduced),
		cmocka_unit_test(inverses_are_inverse),
		cmocka_unit_test(short_ones_have_their_weight),
		cmocka_unit_test(B9_sntrup761_both_ends_agree),
		cmocka_unit_test(B9_sntrup761_agrees_with_openssh),
		cmocka_unit_test(A16_a_damaged_ciphertext_gives_another_secret),
		cmocka_unit_test(any_bytes_are_a_public_key),
		cmocka_unit_test(no_memory_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
