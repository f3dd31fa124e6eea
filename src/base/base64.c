/* SPDX-License-Identifier: MIT */
#include "base/base64.h"

#include "base/err.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int smx_base64_encode(struct smx_buf *out, const void *p, size_t n, int with_padding)
{
	const uint8_t *s = p;
	uint8_t *to, *begin;
	size_t full = n / 3, left = n % 3, len;
	int r;

	if (full > SIZE_MAX / 4 - 1)
		return SMX_ELIMIT;
	len = full * 4 + (left == 0 ? 0 : with_padding ? 4 : left + 1);
	if ((r = smx_buf_reserve(out, len, &begin)) != 0)
		return r;
	to = begin;
	for (; full > 0; full--, s += 3) {
		uint32_t v = (uint32_t)s[0] << 16 | (uint32_t)s[1] << 8 | s[2];

		*to++ = (uint8_t)alphabet[v >> 18];
		*to++ = (uint8_t)alphabet[v >> 12 & 63];
		*to++ = (uint8_t)alphabet[v >> 6 & 63];
		*to++ = (uint8_t)alphabet[v & 63];
	}
	if (left > 0) {
		uint32_t v = (uint32_t)s[0] << 16 | (left == 2 ? (uint32_t)s[1] << 8 : 0);

		*to++ = (uint8_t)alphabet[v >> 18];
		*to++ = (uint8_t)alphabet[v >> 12 & 63];
		if (left == 2)
			*to++ = (uint8_t)alphabet[v >> 6 & 63];
		if (with_padding && left == 1)
			*to++ = '=';
		if (with_padding)
			*to++ = '=';
	}
	smx_buf_commit(out, len);
	return 0;
}

/* The value of a digit, or 64 for any other byte. */
static uint32_t digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0') + 52;
	if (c == '+')
		return 62;
	if (c == '/')
		return 63;
	return 64;
}

/* One group of four; n_out is how many bytes it stands for. */
static int decode_group(const uint8_t *s, size_t n_out, uint8_t *to)
{
	uint32_t a = digit(s[0]), b = digit(s[1]);
	uint32_t c = n_out > 1 ? digit(s[2]) : 0, d = n_out > 2 ? digit(s[3]) : 0;
	uint32_t v = a << 18 | b << 12 | c << 6 | d;

	if ((a | b | c | d) & 64)
		return SMX_EFORMAT;
	/* Bits that no byte takes must be zero, else two texts would mean the same bytes. */
	if ((n_out == 1 && (v & 0xffff)) || (n_out == 2 && (v & 0xff)))
		return SMX_EFORMAT;
	to[0] = (uint8_t)(v >> 16);
	if (n_out > 1)
		to[1] = (uint8_t)(v >> 8);
	if (n_out > 2)
		to[2] = (uint8_t)v;
	return 0;
}

int smx_base64_decode(struct smx_buf *out, struct smx_view text)
{
	size_t groups = text.len / 4, last_len = 3, len, i;
	uint8_t *to;
	int r;

	if (text.len % 4 != 0)
		return SMX_EFORMAT;
	if (groups == 0)
		return 0;
	if (text.p[text.len - 1] == '=')
		last_len = text.p[text.len - 2] == '=' ? 1 : 2;
	len = (groups - 1) * 3 + last_len;
	if ((r = smx_buf_reserve(out, len, &to)) != 0)
		return r;
	for (i = 0; i < groups; i++) {
		size_t n_out = i + 1 == groups ? last_len : 3;

		if ((r = decode_group(text.p + i * 4, n_out, to + i * 3)) != 0)
			return r;
	}
	smx_buf_commit(out, len);
	return 0;
}
