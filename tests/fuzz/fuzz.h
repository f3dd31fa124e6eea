/* SPDX-License-Identifier: MIT */
/* What every fuzz target defines. */
#ifndef SMX_FUZZ_H
#define SMX_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
