/* SPDX-License-Identifier: MIT */
#include "crypto/random.h"

#include <openssl/rand.h>

#include "base/err.h"

#define CHUNK_LEN 4096

int smx_random(void *p, size_t n)
{
	uint8_t *to = p;

	/* RAND_bytes takes an int; pieces keep any n right. */
	while (n > 0) {
		size_t k = n < CHUNK_LEN ? n : CHUNK_LEN;

		if (RAND_bytes(to, (int)k) != 1)
			return SMX_ECRYPTO;
		to += k;
		n -= k;
	}
	return 0;
}
