/* SPDX-License-Identifier: MIT */
/*
 * For valgrind: all that is random, and with it whatever comes of it, counts as undefined memory,
 * and memcheck reports each branch and each address that depends on such. Defined again is what
 * anybody may know: public keys, ciphertexts, and whether a candidate for g had an inverse.
 */
#include <stdio.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/sntrup761.h"
#include "crypto/sntrup761_priv.h"

int __real_sntrup_invert_3(int8_t ret[SNTRUP_ROOM], const int8_t small[SNTRUP_ROOM]);
int __wrap_sntrup_invert_3(int8_t ret[SNTRUP_ROOM], const int8_t small[SNTRUP_ROOM]);

/* With the linker's --wrap. */
int __wrap_sntrup_invert_3(int8_t ret[SNTRUP_ROOM], const int8_t small[SNTRUP_ROOM])
{
	int r = __real_sntrup_invert_3(ret, small);

	VALGRIND_MAKE_MEM_DEFINED(&r, sizeof(r));
	return r;
}

int smx_random(void *p, size_t n)
{
	static uint32_t state = 761;
	uint8_t *bytes = p;

	for (size_t i = 0; i < n; i++) {
		state = state * 1103515245U + 12345U;
		bytes[i] = (uint8_t)(state >> 16);
	}
	VALGRIND_MAKE_MEM_UNDEFINED(p, n);
	return 0;
}

/* Not one, but each byte of it depends on each of the input. libcrypto's is not examined here. */
int smx_hash(enum smx_hash h, const void *p, size_t n, uint8_t out[SMX_HASH_MAX])
{
	const uint8_t *bytes = p;
	uint8_t sum = (uint8_t)h;

	for (size_t i = 0; i < n + SMX_HASH_MAX; i++) {
		sum = (uint8_t)(sum * 5 + (i < n ? bytes[i] : 1));
		out[i % SMX_HASH_MAX] = sum;
	}
	return 0;
}

int main(void)
{
	uint8_t public[SMX_SNTRUP761_PUBLIC_LEN], cipher[SMX_SNTRUP761_CIPHER_LEN];
	uint8_t ours[SMX_SNTRUP761_SECRET_LEN], theirs[SMX_SNTRUP761_SECRET_LEN];
	struct smx_sntrup761 *key;

	if (smx_sntrup761_keypair(&key, public) != 0)
		return 2;
	VALGRIND_MAKE_MEM_DEFINED(public, sizeof(public));
	if (smx_sntrup761_encapsulate(public, cipher, theirs) != 0)
		return 2;
	VALGRIND_MAKE_MEM_DEFINED(cipher, sizeof(cipher));
	/* A good ciphertext and a bad one. */
	for (int is_bad = 0; is_bad < 2; is_bad++) {
		cipher[0] ^= (uint8_t)is_bad;
		if (smx_sntrup761_decapsulate(key, cipher, ours) != 0)
			return 2;
		VALGRIND_MAKE_MEM_DEFINED(ours, sizeof(ours));
		VALGRIND_MAKE_MEM_DEFINED(theirs, sizeof(theirs));
		if ((memcmp(ours, theirs, sizeof(ours)) != 0) != is_bad)
			return 3;
	}
	smx_sntrup761_free(key);
	puts("done");
	return 0;
}
