/* SPDX-License-Identifier: MIT */
/* "type base64 comment": .pub files, and the middle of authorized_keys and known_hosts. */
#include "base/base64.h"
#include "base/err.h"
#include "crypto/keyfile.h"

/* Long enough for any blob we take. */
#define BASE64_MAX ((SMX_KEY_BLOB_MAX + 2) / 3 * 4)

static int is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct smx_view *v)
{
	while (v->len && is_blank(v->p[0])) {
		v->p++;
		v->len--;
	}
}

/* What stands before the next blank. */
static struct smx_view next_word(struct smx_view *v)
{
	struct smx_view word;

	skip_blanks(v);
	word = (struct smx_view){ v->p, 0 };
	while (v->len && !is_blank(v->p[0])) {
		v->p++;
		v->len--;
		word.len++;
	}
	return word;
}

int smx_pubkey_line_parse(
	struct smx_view line, struct smx_buf *ret_blob, struct smx_view *ret_rest_view)
{
	struct smx_view type = next_word(&line), text = next_word(&line), inner;
	size_t mark = smx_buf_len(ret_blob);
	int r;

	if (type.len == 0 || text.len == 0)
		return SMX_EFORMAT;
	if (text.len > BASE64_MAX)
		return SMX_ETOOBIG;
	if ((r = smx_base64_decode(ret_blob, text)) != 0)
		return r;
	r = smx_blob_type(
		(struct smx_view){ smx_buf_view(ret_blob) + mark, smx_buf_len(ret_blob) - mark },
		&inner);
	if (r != 0 || !smx_view_eq_view(inner, type)) {
		smx_buf_truncate(ret_blob, mark);
		return SMX_EFORMAT;
	}
	skip_blanks(&line);
	while (line.len && is_blank(line.p[line.len - 1]))
		line.len--;
	*ret_rest_view = line;
	return 0;
}

int smx_pubkey_line_write(struct smx_view blob, struct smx_buf *ret_line)
{
	size_t mark = smx_buf_len(ret_line);
	struct smx_view type;
	int r;

	if ((r = smx_blob_type(blob, &type)) != 0)
		return r;
	/* A name chosen by a peer must not end the word or the line it is written to. */
	for (size_t i = 0; i < type.len; i++)
		if (type.p[i] <= ' ' || type.p[i] >= 0x7f)
			return SMX_EFORMAT;
	if (type.len == 0)
		return SMX_EFORMAT;
	if ((r = smx_buf_put(ret_line, type.p, type.len)) != 0 ||
		(r = smx_buf_put(ret_line, " ", 1)) != 0 ||
		(r = smx_base64_encode(ret_line, blob.p, blob.len, 1)) != 0)
		smx_buf_truncate(ret_line, mark);
	return r;
}
