/* SPDX-License-Identifier: MIT */
/* Random numbers that are the same in each run, so that an input does the same each time. */
#ifndef SMX_FUZZ_RANDOM_H
#define SMX_FUZZ_RANDOM_H

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/rand.h>

#include "fuzz_ssh.h"

static uint64_t fuzz_random_state;

static inline int fuzz_random_bytes(unsigned char *p, int n)
{
	for (int i = 0; i < n; i++) {
		fuzz_random_state ^= fuzz_random_state << 13;
		fuzz_random_state ^= fuzz_random_state >> 7;
		fuzz_random_state ^= fuzz_random_state << 17;
		p[i] = (unsigned char)(fuzz_random_state >> 32);
	}
	return 1;
}

static inline int fuzz_random_status(void)
{
	return 1;
}

/* At the beginning of each input. */
static inline void fuzz_random_begin(void)
{
	static const RAND_METHOD same = {
		.bytes = fuzz_random_bytes,
		.pseudorand = fuzz_random_bytes,
		.status = fuzz_random_status,
	};

	fuzz_check(RAND_set_rand_method(&same) == 1);
	fuzz_random_state = 88172645463325252ull;
}

#endif
