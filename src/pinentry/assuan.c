/* SPDX-License-Identifier: MIT */
#include "pinentry/assuan.h"

#include <string.h>

#include "base/err.h"

/* --- writing --- */

static int must_escape(struct smx_view v, size_t i)
{
	uint8_t c = v.p[i];

	/* A backslash at the end of a line is reserved; a first space would be taken for the gap
	 * behind the command. */
	return c < 0x20 || c == 0x7f || c == '%' || c == '\\' || (c == ' ' && i == 0);
}

static size_t escaped_len(struct smx_view v, size_t i)
{
	return must_escape(v, i) ? 3 : 1;
}

/* Bytes of v that fit into `room` bytes escaped, cut at a character. */
static size_t fitting(struct smx_view v, size_t room)
{
	size_t used = 0, i = 0;

	while (i < v.len && used + escaped_len(v, i) <= room)
		used += escaped_len(v, i++);
	while (i > 0 && i < v.len && (v.p[i] & 0xc0) == 0x80)
		i--;
	return i;
}

static int put_escaped(struct smx_buf *out, struct smx_view v)
{
	int r = 0;

	for (size_t i = 0; i < v.len && r == 0; i++)
		r = must_escape(v, i) ? smx_buf_printf(out, "%%%02X", v.p[i])
				      : smx_buf_put(out, v.p + i, 1);
	return r;
}

static int put(struct smx_buf *out, const char *command, struct smx_view v, int may_cut)
{
	size_t before = smx_buf_len(out), head = strlen(command) + 2, n;
	int r;

	if (head > SMX_ASSUAN_LINE_MAX)
		return SMX_ETOOBIG;
	n = fitting(v, SMX_ASSUAN_LINE_MAX - head);
	if (n < v.len && !may_cut)
		return SMX_ETOOBIG;
	v.len = n;
	if ((r = smx_buf_put_str(out, command)) != 0 ||
		(v.len && (r = smx_buf_put(out, " ", 1)) != 0) || (r = put_escaped(out, v)) != 0 ||
		(r = smx_buf_put(out, "\n", 1)) != 0)
		smx_buf_truncate(out, before);
	return r;
}

int smx_assuan_put(struct smx_buf *out, const char *command, struct smx_view argument)
{
	return put(out, command, argument, 0);
}

int smx_assuan_put_cut(struct smx_buf *out, const char *command, struct smx_view argument)
{
	return put(out, command, argument, 1);
}

/* --- reading --- */

static const struct {
	const char *word;
	enum smx_assuan_type type;
} words[] = {
	{ "OK", SMX_ASSUAN_OK },
	{ "ERR", SMX_ASSUAN_ERR },
	{ "D", SMX_ASSUAN_DATA },
	{ "S", SMX_ASSUAN_STATUS },
	{ "INQUIRE", SMX_ASSUAN_INQUIRE },
};

/* "83886179 Operation cancelled": digits, then a space or the end. */
static int parse_code(struct smx_view v, uint32_t *ret)
{
	uint64_t code = 0;
	size_t i = 0;

	for (; i < v.len && v.p[i] >= '0' && v.p[i] <= '9'; i++) {
		code = code * 10 + (v.p[i] - '0');
		if (code > UINT32_MAX)
			return SMX_EFORMAT;
	}
	if (i == 0 || (i < v.len && v.p[i] != ' '))
		return SMX_EFORMAT;
	*ret = (uint32_t)code;
	return 0;
}

static int parse(struct smx_view line, struct smx_assuan_line *ret)
{
	struct smx_assuan_line found = { SMX_ASSUAN_COMMENT, 0, { NULL, 0 } };
	size_t n;
	int r;

	if (line.len == 0 || line.p[0] == '#') {
		*ret = found;
		return 0;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		n = strlen(words[i].word);
		if (line.len < n || memcmp(line.p, words[i].word, n) != 0 ||
			(line.len > n && line.p[n] != ' '))
			continue;
		found.type = words[i].type;
		if (line.len > n)
			found.rest = (struct smx_view){ line.p + n + 1, line.len - n - 1 };
		if (found.type == SMX_ASSUAN_ERR && (r = parse_code(found.rest, &found.code)) != 0)
			return r;
		*ret = found;
		return 0;
	}
	return SMX_EFORMAT;
}

int smx_assuan_next(struct smx_view bytes, struct smx_assuan_line *ret, size_t *ret_used)
{
	size_t max = bytes.len < SMX_ASSUAN_LINE_MAX ? bytes.len : SMX_ASSUAN_LINE_MAX;
	const uint8_t *end = max ? memchr(bytes.p, '\n', max) : NULL;
	struct smx_view line = { bytes.p, 0 };
	int r;

	if (!end)
		return bytes.len < SMX_ASSUAN_LINE_MAX ? SMX_EAGAIN : SMX_ETOOBIG;
	line.len = (size_t)(end - bytes.p);
	if (line.len && line.p[line.len - 1] == '\r')
		line.len--;
	if ((r = parse(line, ret)) != 0)
		return r;
	*ret_used = (size_t)(end - bytes.p) + 1;
	return 0;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int smx_assuan_decode(struct smx_view v, struct smx_buf *ret)
{
	size_t before = smx_buf_len(ret);
	uint8_t byte;
	int r = 0;

	for (size_t i = 0; i < v.len && r == 0; i++) {
		byte = v.p[i];
		if (byte == '%') {
			if (v.len - i < 3 || hex(v.p[i + 1]) < 0 || hex(v.p[i + 2]) < 0) {
				r = SMX_EFORMAT;
				break;
			}
			byte = (uint8_t)(hex(v.p[i + 1]) << 4 | hex(v.p[i + 2]));
			i += 2;
		}
		r = smx_buf_put(ret, &byte, 1);
	}
	if (r != 0)
		smx_buf_truncate(ret, before);
	return r;
}
