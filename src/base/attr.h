/* SPDX-License-Identifier: MIT */
#ifndef SMX_BASE_ATTR_H
#define SMX_BASE_ATTR_H

/* Arguments `first`... are for the printf format `fmt`, numbered from 1; checked by the compiler.
 * What mingw-w64 calls "printf" by itself is an older set of conversions than the C library has. */
#if defined(__MINGW32__) && defined(__GNUC__) && !defined(__clang__)
#define SMX_PRINTF(fmt, first) __attribute__((format(gnu_printf, fmt, first)))
#else
#define SMX_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#endif

#endif
