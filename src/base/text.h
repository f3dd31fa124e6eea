/* SPDX-License-Identifier: MIT */
/* Text from strangers, made fit for a terminal, a log line or a message. */
#ifndef SMX_BASE_TEXT_H
#define SMX_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Copies n bytes of text to out, NUL-terminated, cut to what fits: escape sequences (CSI, OSC, DCS,
 * PM, APC, SOS; 7-bit and C1, also coded as UTF-8) are left out whole, other control characters and
 * bytes that are not UTF-8 become '?', line ends and tabs become spaces (A7).
 */
void smx_sanitize(const char *text, size_t n, char *out, size_t size);
/* The same, but line ends stay: "\n", "\r" and "\r\n" are each a "\n" (A14). */
void smx_sanitize_lines(const char *text, size_t n, char *out, size_t size);

/* The first character of n >= 1 bytes. Returns its length, 0 if it is not UTF-8 (RFC 3629). */
size_t smx_utf8_decode(const uint8_t *p, size_t n, uint32_t *ret);

/* "1 key", "2 keys". */
#define SMX_PLURAL(n) ((n) == 1 ? "" : "s")

#endif
