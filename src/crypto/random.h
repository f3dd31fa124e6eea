/* SPDX-License-Identifier: MIT */
/* Randomness: the CSPRNG of libcrypto. */
#ifndef SMX_CRYPTO_RANDOM_H
#define SMX_CRYPTO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills p with n random bytes. 0 or SMX_ECRYPTO. */
int smx_random(void *p, size_t n);

#endif
