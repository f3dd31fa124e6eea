/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

size_t smx_utf8_decode(const uint8_t *p, size_t n, uint32_t *ret)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len;
	uint32_t c;

	if (p[0] < 0x80) {
		*ret = p[0];
		return 1;
	}
	len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
		return 0;
	c = p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

/* Characters that change what is seen around them: bidi controls, separators, invisible ones. */
static int is_deceptive(uint32_t c)
{
	return c == 0x00ad || c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

/* Skips what follows an introducer `c` (the C1 form, 0x80 … 0x9f). Returns the bytes to skip. */
static size_t sequence_len(uint32_t c, const uint8_t *p, size_t n)
{
	size_t i = 0;

	if (c == 0x9b) { /* CSI: parameters and intermediates, then one final byte */
		while (i < n && p[i] >= 0x20 && p[i] <= 0x3f)
			i++;
		return i < n && p[i] >= 0x40 && p[i] <= 0x7e ? i + 1 : i;
	}
	if (c != 0x90 && c != 0x98 && c != 0x9d && c != 0x9e && c != 0x9f)
		return 0;
	/* A string (DCS, SOS, OSC, PM, APC): up to ST or BEL; without an end, all the rest. */
	for (; i < n; i++) {
		if (p[i] == 0x07 || p[i] == 0x9c)
			return i + 1;
		if (p[i] == 0x1b && i + 1 < n && p[i + 1] == '\\')
			return i + 2;
		if (p[i] == 0xc2 && i + 1 < n && p[i + 1] == 0x9c)
			return i + 2;
	}
	return n;
}

static void sanitize(const char *text, size_t n, char line_end, char *out, size_t size)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t len, used = 0;
	uint32_t c;

	while (n && size > used + 1) {
		len = smx_utf8_decode(p, n, &c);
		if (len == 0) {
			len = 1;
			c = p[0] >= 0x80 && p[0] <= 0x9f ? p[0] : '?';
		}
		if (c == 0x1b && n > 1 && p[1] >= 0x40 && p[1] <= 0x5f) {
			c = (uint32_t)p[1] + 0x40; /* ESC [ is CSI, and so on */
			len = 2;
		}
		if (c >= 0x80 && c <= 0x9f) {
			len += sequence_len(c, p + len, n - len);
		} else if (c == '\n' || c == '\r') {
			len += line_end == '\n' && c == '\r' && n > 1 && p[1] == '\n';
			out[used++] = line_end;
		} else if (c == '\t') {
			out[used++] = ' ';
		} else if (c < 0x20 || c == 0x7f || is_deceptive(c) || (c == '?' && len == 1)) {
			out[used++] = '?';
		} else if (used + len < size) {
			memcpy(out + used, p, len);
			used += len;
		} else {
			break;
		}
		p += len;
		n -= len;
	}
	if (size)
		out[used] = '\0';
}

void smx_sanitize(const char *text, size_t n, char *out, size_t size)
{
	sanitize(text, n, ' ', out, size);
}

void smx_sanitize_lines(const char *text, size_t n, char *out, size_t size)
{
	sanitize(text, n, '\n', out, size);
}
