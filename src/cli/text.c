/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define CELL_MAX 4096
#define GAP      2

const char *smx_cli_text_age(uint64_t s, char out[SMX_CLI_TEXT_MAX])
{
	if (s < 60)
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%us", (unsigned)s);
	else if (s < 3600)
		(void)snprintf(
			out, SMX_CLI_TEXT_MAX, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%uh%02um", (unsigned)(s / 3600),
			(unsigned)(s / 60 % 60));
	else
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%" PRIu64 "d%02uh", s / 86400,
			(unsigned)(s / 3600 % 24));
	return out;
}

const char *smx_cli_text_bytes(uint64_t n, char out[SMX_CLI_TEXT_MAX])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned shift = 10;

	if (n < 1024) {
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%" PRIu64 " B", n);
		return out;
	}
	while (shift < 10 * SMX_ARRAY_LEN(units) && n >> shift >= 1024)
		shift += 10;
	/* Cut, not rounded: never "1024.0 MiB". */
	(void)snprintf(out, SMX_CLI_TEXT_MAX, "%u.%u %s", (unsigned)(n >> shift),
		(unsigned)((n & (((uint64_t)1 << shift) - 1)) * 10 >> shift),
		units[shift / 10 - 1]);
	return out;
}

size_t smx_cli_text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* ---- tables ------------------------------------------------------------------------------------
 */

void smx_cli_table_init(struct smx_cli_table *t, size_t columns, unsigned right_mask)
{
	*t = (struct smx_cli_table){ .columns = columns, .right_mask = right_mask };
}

void smx_cli_table_release(struct smx_cli_table *t)
{
	for (size_t i = 0; i < t->cell_count; i++)
		smx_free(t->cells[i]);
	smx_free(t->cells);
	smx_cli_table_init(t, t->columns, t->right_mask);
}

static int grow(struct smx_cli_table *t)
{
	size_t want = t->cell_cap ? t->cell_cap * 2 : 64;
	char **p = smx_realloc(t->cells, want * sizeof(*p));

	if (!p)
		return SMX_ENOMEM;
	t->cells = p;
	t->cell_cap = want;
	return 0;
}

void smx_cli_table_cell(struct smx_cli_table *t, const char *fmt, ...)
{
	char text[CELL_MAX];
	va_list ap;
	char *copy;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (t->failed || (t->cell_count == t->cell_cap && grow(t) != 0) ||
		(copy = smx_strdup(text)) == NULL) {
		t->failed = 1;
		return;
	}
	t->cells[t->cell_count++] = copy;
}

static int put_blanks(struct smx_buf *out, size_t n)
{
	int r = 0;

	for (; n > 0 && r == 0; n--)
		r = smx_buf_put(out, " ", 1);
	return r;
}

static int put_row(const struct smx_cli_table *t, char *const *row, const size_t *widths,
	const char *indent, struct smx_buf *out)
{
	size_t pending = 0; /* blanks that are written once something follows them */
	int r = smx_buf_put_str(out, indent);

	for (size_t c = 0; c < t->columns && r == 0; c++) {
		size_t pad = widths[c] - smx_cli_text_width(row[c]);
		int right = (t->right_mask >> c & 1) != 0;

		pending += right ? pad : 0;
		if (row[c][0]) {
			if ((r = put_blanks(out, pending)) != 0 ||
				(r = smx_buf_put_str(out, row[c])) != 0)
				break;
			pending = 0;
		}
		pending += (right ? 0 : pad) + GAP;
	}
	return r != 0 ? r : smx_buf_put(out, "\n", 1);
}

int smx_cli_table_print(const struct smx_cli_table *t, const char *indent, struct smx_buf *out)
{
	size_t widths[SMX_CLI_TABLE_COLUMNS_MAX] = { 0 };
	int r = 0;

	if (t->failed)
		return SMX_ENOMEM;
	if (t->columns == 0 || t->columns > SMX_CLI_TABLE_COLUMNS_MAX)
		return SMX_EINVAL;
	for (size_t i = 0; i < t->cell_count; i++) {
		size_t w = smx_cli_text_width(t->cells[i]);

		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (size_t i = 0; i + t->columns <= t->cell_count && r == 0; i += t->columns)
		r = put_row(t, t->cells + i, widths, indent, out);
	return r;
}
