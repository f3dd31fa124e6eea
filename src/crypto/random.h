/* SPDX-License-Identifier: MIT */
/* Randomness: the CSPRNG of libcrypto. */
#ifndef SMX_CRYPTO_RANDOM_H
#define SMX_CRYPTO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills p with n random bytes. 0 or SMX_ECRYPTO. */
int smx_random(void *p, size_t n);
/*
 * For a worker thread whose piece of work took randomness: gives back what libcrypto keeps for the
 * thread, which nothing else would before the process ends.
 */
void smx_random_thread_end(void);

#endif
