/* SPDX-License-Identifier: MIT */
#include "base/rows.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

/* In order. */
struct range {
	uint32_t first, last;
};

/* Of two columns: East Asian Width W and F, and what terminals make as wide as emoji. */
static const struct range wide[] = { { 0x1100, 0x115f }, { 0x231a, 0x23ff }, { 0x2600, 0x27bf },
	{ 0x2b00, 0x2bff }, { 0x2e80, 0xa4cf }, { 0xa960, 0xa97f }, { 0xac00, 0xd7ff },
	{ 0xf900, 0xfaff }, { 0xfe10, 0xfe6f }, { 0xff00, 0xffe6 }, { 0x10000, 0x10ffff } };

/* That look like a space. */
static const struct range blanks[] = { { ' ', ' ' }, { 0xa0, 0xa0 }, { 0x115f, 0x1160 },
	{ 0x1680, 0x1680 }, { 0x17b4, 0x17b5 }, { 0x180e, 0x180e }, { 0x2000, 0x200a },
	{ 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x2800, 0x2800 }, { 0x3000, 0x3000 },
	{ 0x3164, 0x3164 }, { 0xffa0, 0xffa0 } };

static int is_among(uint32_t c, const struct range *ranges, size_t n)
{
	for (size_t i = 0; i < n && c >= ranges[i].first; i++)
		if (c <= ranges[i].last)
			return 1;
	return 0;
}

/* Takes a character off. Its columns; *ret_len: its bytes. */
static size_t take(struct smx_view *text, uint32_t *ret, size_t *ret_len)
{
	if ((*ret_len = smx_utf8_decode(text->p, text->len, ret)) == 0) {
		*ret_len = 1;
		*ret = '?';
	}
	text->p += *ret_len;
	text->len -= *ret_len;
	return 1 + (size_t)is_among(*ret, wide, SMX_ARRAY_LEN(wide));
}

size_t smx_rows_width(struct smx_view text)
{
	size_t width = 0, len;
	uint32_t c;

	while (text.len)
		width += take(&text, &c, &len);
	return width;
}

int smx_rows_next(struct smx_view *rows, struct smx_view *ret)
{
	const uint8_t *end;
	size_t n;

	if (rows->len == 0)
		return 0;
	end = memchr(rows->p, '\n', rows->len);
	n = end ? (size_t)(end - rows->p) : rows->len;
	*ret = (struct smx_view){ rows->p, n };
	n += end != NULL;
	rows->p += n;
	rows->len -= n;
	return 1;
}

/* --- one line --- */

struct row {
	struct smx_buf *out;
	size_t columns, used;
};

static int end_row(struct row *row)
{
	row->used = 0;
	return smx_buf_put_str(row->out, "\n");
}

static int put(struct row *row, struct smx_view text, size_t width)
{
	row->used += width;
	return smx_buf_put(row->out, text.p, text.len);
}

static int is_url(struct smx_view word)
{
	const char *const starts[] = { "https://", "http://" };

	if (word.len > SMX_ROWS_URL_MAX)
		return 0;
	for (size_t i = 0; i < word.len; i++)
		if (word.p[i] <= 0x20 || word.p[i] >= 0x7f)
			return 0;
	for (size_t i = 0; i < SMX_ARRAY_LEN(starts); i++)
		if (word.len > strlen(starts[i]) &&
			memcmp(word.p, starts[i], strlen(starts[i])) == 0)
			return 1;
	return 0;
}

static int is_drawn(struct smx_view word)
{
	uint32_t first, c;
	size_t len;

	(void)take(&word, &first, &len);
	while (word.len) {
		(void)take(&word, &c, &len);
		if (c != first)
			return 0;
	}
	return 1;
}

/* A word that is longer than a row, which begins one. */
static int put_long(struct row *row, struct smx_view word)
{
	const int is_cut = is_drawn(word);
	size_t width, len;
	const uint8_t *p;
	uint32_t c;
	int r = 0;

	if (is_url(word)) {
		r = put(row, word, row->columns);
		return r;
	}
	while (word.len && r == 0) {
		p = word.p;
		width = take(&word, &c, &len);
		if (row->used + width > row->columns && (is_cut || (r = end_row(row)) != 0))
			return r;
		r = put(row, (struct smx_view){ p, len }, width);
	}
	return r;
}

static int put_word(struct row *row, size_t n_blanks, struct smx_view word)
{
	size_t width = smx_rows_width(word);
	int r = 0;

	if (row->used + n_blanks + width <= row->columns) {
		row->used += n_blanks;
		for (; n_blanks && r == 0; n_blanks--)
			r = smx_buf_put_str(row->out, " ");
		return r == 0 ? put(row, word, width) : r;
	}
	if (row->used && (r = end_row(row)) != 0)
		return r;
	return width <= row->columns ? put(row, word, width) : put_long(row, word);
}

/* Without its line break; nothing of a blank one. */
static int put_line(struct smx_buf *out, struct smx_view line, size_t columns)
{
	struct row row = { out, columns, 0 };
	size_t n_blanks = 0, len, before = smx_buf_len(out);
	int is_long = smx_rows_width(line) > columns; /* it is no picture */
	struct smx_view word = { line.p, 0 };
	uint32_t c;
	int r = 0;

	while (line.len && r == 0) {
		(void)take(&line, &c, &len);
		if (!is_among(c, blanks, SMX_ARRAY_LEN(blanks))) {
			word.len += len;
			continue;
		}
		if (word.len) {
			r = put_word(&row, n_blanks, word);
			n_blanks = 0;
		}
		if (n_blanks < columns / 2 && (row.used || !is_long))
			n_blanks++;
		word = (struct smx_view){ line.p, 0 };
	}
	if (r == 0 && word.len)
		r = put_word(&row, n_blanks, word);
	return r == 0 && smx_buf_len(out) > before ? end_row(&row) : r;
}

int smx_rows_put(struct smx_buf *out, struct smx_view text, size_t columns)
{
	char *clean = smx_malloc(text.len + 1); /* it is never longer */
	int is_first = 1, was_empty = 0, r = 0;
	struct smx_view rest, line;
	size_t before, n;

	if (!clean)
		return SMX_ENOMEM;
	if (columns < SMX_ROWS_COLUMNS_MIN)
		columns = SMX_ROWS_COLUMNS_MIN;
	smx_sanitize_lines((const char *)text.p, text.len, clean, text.len + 1);
	rest = smx_view_of(clean, strlen(clean));
	while (r == 0 && smx_rows_next(&rest, &line)) {
		before = smx_buf_len(out);
		if (was_empty && (r = smx_buf_put_str(out, "\n")) != 0)
			break;
		n = smx_buf_len(out);
		if ((r = put_line(out, line, columns)) != 0)
			break;
		if (smx_buf_len(out) == n) {
			smx_buf_truncate(out, before);
			was_empty = !is_first;
		} else {
			is_first = was_empty = 0;
		}
	}
	smx_free(clean);
	return r;
}
