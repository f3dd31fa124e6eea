/* SPDX-License-Identifier: MIT */
/* Aligned columns, fitted to a width if there is one. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"

#define CELL_MAX 4096
#define GAP      2 /* unless the table says so */

void smx_cli_table_init(struct smx_cli_table *t, size_t columns, unsigned right_mask)
{
	*t = (struct smx_cli_table){ .columns = columns, .right_mask = right_mask };
}

void smx_cli_table_release(struct smx_cli_table *t)
{
	for (size_t i = 0; i < t->cell_count; i++)
		smx_free(t->cells[i].text);
	smx_free(t->cells);
	smx_cli_table_init(t, t->columns, t->right_mask);
}

static int grow(struct smx_cli_table *t)
{
	size_t want = t->cell_cap ? t->cell_cap * 2 : 64;
	struct smx_cli_cell *p = smx_realloc(t->cells, want * sizeof(*p));

	if (!p)
		return SMX_ENOMEM;
	t->cells = p;
	t->cell_cap = want;
	return 0;
}

static void add_cell(struct smx_cli_table *t, enum smx_cli_style style, const char *fmt, va_list ap)
	SMX_PRINTF(3, 0);

static void add_cell(struct smx_cli_table *t, enum smx_cli_style style, const char *fmt, va_list ap)
{
	char text[CELL_MAX], *copy;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	if (t->failed || (t->cell_count == t->cell_cap && grow(t) != 0) ||
		(copy = smx_strdup(text)) == NULL) {
		t->failed = 1;
		return;
	}
	t->cells[t->cell_count++] = (struct smx_cli_cell){ copy, style };
}

void smx_cli_table_cell(struct smx_cli_table *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_cell(t, SMX_STYLE_NONE, fmt, ap);
	va_end(ap);
}

void smx_cli_table_styled(struct smx_cli_table *t, enum smx_cli_style style, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_cell(t, style, fmt, ap);
	va_end(ap);
}

/* ---- widths ------------------------------------------------------------------------------------
 */

/* What each column gets; the gone ones are not shown at all. */
struct layout {
	size_t widths[SMX_CLI_TABLE_COLUMNS_MAX];
	unsigned gone;
};

static size_t gap_of(const struct smx_cli_table *t)
{
	return t->gap > 0 ? t->gap : GAP;
}

static size_t total(const struct smx_cli_table *t, const struct layout *l)
{
	size_t sum = 0;

	for (size_t c = 0; c < t->columns; c++)
		if (!(l->gone >> c & 1))
			sum += (sum > 0 ? gap_of(t) : 0) + l->widths[c];
	return sum;
}

/* The widest column that may become narrower still, or t->columns. */
static size_t widest(const struct smx_cli_table *t, const struct layout *l)
{
	size_t best = t->columns;

	for (size_t c = 0; c < t->columns; c++)
		if ((t->shrink_mask & ~l->gone) >> c & 1 && l->widths[c] > t->min_width[c] &&
			(best == t->columns || l->widths[c] > l->widths[best]))
			best = c;
	return best;
}

/* Narrower columns first, then fewer; what is too wide even so is cut at the edge. */
static void fit(const struct smx_cli_table *t, size_t room, struct layout *l)
{
	struct layout natural = *l;
	size_t c, n_gone = 0;

	if (t->width == 0)
		return;
	for (;;) {
		while (total(t, l) > room && (c = widest(t, l)) < t->columns)
			l->widths[c]--;
		if (total(t, l) <= room || n_gone == t->drop_count)
			return;
		natural.gone |= 1u << t->drops[n_gone++];
		*l = natural;
	}
}

static void measure(const struct smx_cli_table *t, struct layout *l)
{
	*l = (struct layout){ .gone = t->hidden_mask };
	for (size_t c = 0; c < t->columns; c++)
		l->widths[c] = t->shrink_mask >> c & 1 ? 0 : t->min_width[c];
	for (size_t i = 0; i < t->cell_count; i++) {
		size_t w = smx_cli_text_width(t->cells[i].text);

		if (w > l->widths[i % t->columns])
			l->widths[i % t->columns] = w;
	}
}

/* ---- rows --------------------------------------------------------------------------------------
 */

int smx_cli_text_put(struct smx_buf *out, const char *s, size_t columns, int is_ascii)
{
	size_t n = 0, keep = columns > 0 ? columns - 1 : 0;
	const char *end = s;

	if (smx_cli_text_width(s) <= columns)
		return smx_buf_put_str(out, s);
	if (columns == 0)
		return 0;
	while (n < keep) {
		n++;
		do {
			end++;
		} while (((unsigned char)*end & 0xc0) == 0x80);
	}
	if (end > s) {
		int r = smx_buf_put(out, s, (size_t)(end - s));

		if (r != 0)
			return r;
	}
	return smx_buf_put_str(out, is_ascii ? "~" : "\xe2\x80\xa6");
}

static int put_blanks(struct smx_buf *out, size_t n)
{
	int r = 0;

	for (; n > 0 && r == 0; n--)
		r = smx_buf_put(out, " ", 1);
	return r;
}

static int put_cell(const struct smx_cli_table *t, const struct smx_cli_cell *cell, size_t width,
	struct smx_buf *out)
{
	int styled = t->color && cell->style != SMX_STYLE_NONE, r;

	if ((r = smx_buf_put_str(out, smx_cli_color(styled, cell->style))) != 0 ||
		(r = smx_cli_text_put(out, cell->text, width, t->is_ascii)) != 0)
		return r;
	return smx_buf_put_str(out, smx_cli_color(styled, SMX_STYLE_NONE));
}

static int put_row(const struct smx_cli_table *t, const struct smx_cli_cell *row,
	const struct layout *l, const char *indent, struct smx_buf *out)
{
	size_t pending = 0; /* blanks that are written once something follows them */
	size_t at = smx_cli_text_width(indent), end = t->width > 0 ? t->width : SIZE_MAX;
	int r = smx_buf_put_str(out, indent);

	for (size_t c = 0; c < t->columns && r == 0; c++) {
		size_t w = smx_cli_text_width(row[c].text), pad;
		int right = (t->right_mask >> c & 1) != 0;

		if (l->gone >> c & 1)
			continue;
		w = w < l->widths[c] ? w : l->widths[c];
		pad = l->widths[c] - w;
		pending += right ? pad : 0;
		if (w > 0 && at + pending < end) {
			at += pending;
			w = w < end - at ? w : end - at;
			if ((r = put_blanks(out, pending)) != 0 ||
				(r = put_cell(t, &row[c], w, out)) != 0)
				break;
			at += w;
			pending = 0;
		} else {
			pending += w;
		}
		pending += (right ? 0 : pad) + gap_of(t);
	}
	return r != 0 ? r : smx_buf_put(out, "\n", 1);
}

int smx_cli_table_print(const struct smx_cli_table *t, const char *indent, struct smx_buf *out)
{
	size_t margin = smx_cli_text_width(indent);
	struct layout l;
	int r = 0;

	if (t->failed)
		return SMX_ENOMEM;
	if (t->columns == 0 || t->columns > SMX_CLI_TABLE_COLUMNS_MAX)
		return SMX_EINVAL;
	measure(t, &l);
	fit(t, t->width > margin ? t->width - margin : 1, &l);
	for (size_t i = 0; i + t->columns <= t->cell_count && r == 0; i += t->columns)
		r = put_row(t, t->cells + i, &l, indent, out);
	return r;
}
