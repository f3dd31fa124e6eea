/* SPDX-License-Identifier: MIT */
/* A time as text, for logs; also where nothing but arithmetic is allowed (a signal handler). */
#ifndef SMX_BASE_STAMP_H
#define SMX_BASE_STAMP_H

#include <stdint.h>

#define SMX_LOG_STAMP_SIZE 25 /* "2026-11-23T15:38:33.123Z" */

/* UTC, NUL-terminated; of 1970 to 9999. Async-signal-safe. */
void smx_log_stamp(int64_t unix_s, unsigned ms, char out[SMX_LOG_STAMP_SIZE]);

#endif
