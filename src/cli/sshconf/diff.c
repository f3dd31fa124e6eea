/* SPDX-License-Identifier: MIT */
/*
 * The shortest script of removed and added lines between what the two texts begin and end with
 * alike. Where that is more than LINES_MAX lines it is shown as wholly replaced, which is as good
 * for reading.
 */
#include "cli/sshconf/diff.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/color.h"

#define LINES_MAX 2000 /* the table has 8 MB then */
#define CONTEXT   3
#define LINE_SIZE 4096 /* what is shown of a line */

struct lines {
	struct smx_view *v;
	size_t n;
};

/* One step of the script: ' ' both, '-' before, '+' after. */
struct script {
	char *ops;
	size_t n;
};

static int split(struct smx_view text, struct lines *ret)
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < text.len; i++)
		count += text.p[i] == '\n';
	if ((ret->v = smx_calloc(count + 1, sizeof(*ret->v))) == NULL)
		return SMX_ENOMEM;
	while (at < text.len) {
		const uint8_t *end = memchr(text.p + at, '\n', text.len - at);
		size_t len = end ? (size_t)(end - text.p) + 1 - at : text.len - at;

		ret->v[ret->n++] = (struct smx_view){ text.p + at, len };
		at += len;
	}
	return 0;
}

/* ---- the script --------------------------------------------------------------------------------
 */

static void put_ops(struct script *s, char op, size_t n)
{
	memset(s->ops + s->n, op, n);
	s->n += n;
}

/* The script of a from line x to n and b from line x to m, by way of a table:
 * common[i][j] lines are common to what follows line i of a and line j of b. */
static int put_shortest(const struct lines *a, const struct lines *b, size_t x, size_t n, size_t m,
	struct script *s)
{
	size_t rows = n - x + 1, columns = m - x + 1;
	uint16_t *common = smx_calloc(rows * columns, sizeof(*common));

	if (!common)
		return SMX_ENOMEM;
	for (size_t i = rows - 1; i-- > 0;) {
		for (size_t j = columns - 1; j-- > 0;) {
			uint16_t *at = common + i * columns + j;
			uint16_t down = at[columns], right = at[1];

			*at = down > right ? down : right;
			if (smx_view_eq_view(a->v[x + i], b->v[x + j]))
				*at = (uint16_t)(at[columns + 1] + 1);
		}
	}
	for (size_t i = 0, j = 0; i < rows - 1 || j < columns - 1;) {
		const uint16_t *at = common + i * columns + j;
		int both = i < rows - 1 && j < columns - 1;

		if (both && smx_view_eq_view(a->v[x + i], b->v[x + j])) {
			put_ops(s, ' ', 1);
			i++;
			j++;
		} else if (j == columns - 1 || (both && at[columns] >= at[1])) {
			put_ops(s, '-', 1);
			i++;
		} else {
			put_ops(s, '+', 1);
			j++;
		}
	}
	smx_free(common);
	return 0;
}

static int compare(const struct lines *a, const struct lines *b, struct script *ret)
{
	size_t x = 0, n = a->n, m = b->n;
	int r = 0;

	if ((ret->ops = smx_malloc(n + m + 1)) == NULL)
		return SMX_ENOMEM;
	while (x < n && x < m && smx_view_eq_view(a->v[x], b->v[x]))
		x++;
	while (n > x && m > x && smx_view_eq_view(a->v[n - 1], b->v[m - 1])) {
		n--;
		m--;
	}
	put_ops(ret, ' ', x);
	if (n - x <= LINES_MAX && m - x <= LINES_MAX) {
		r = put_shortest(a, b, x, n, m, ret);
	} else {
		put_ops(ret, '-', n - x);
		put_ops(ret, '+', m - x);
	}
	put_ops(ret, ' ', a->n - n);
	return r;
}

/* ---- as text -----------------------------------------------------------------------------------
 */

static int put_line(const struct smx_diff *d, char op, struct smx_view line, struct smx_buf *out)
{
	int coloured = d->colour && op != ' ';
	const char *begin = smx_cli_color(coloured, op == '-' ? SMX_STYLE_BAD : SMX_STYLE_GOOD);
	const char *end = smx_cli_color(coloured, SMX_STYLE_NONE);
	int ends = line.len > 0 && line.p[line.len - 1] == '\n', r;
	char shown[LINE_SIZE];

	line.len -= (size_t)ends;
	if (d->sanitize) {
		/* A line end of CR LF is nothing to look at. */
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		smx_sanitize((const char *)line.p, line.len, shown, sizeof(shown));
		line = smx_view_of(shown, strlen(shown));
	}
	(void)((r = smx_buf_printf(out, "%s%c", begin, op)) != 0 ||
		(r = smx_buf_put(out, line.p, line.len)) != 0 ||
		(r = smx_buf_printf(out, "%s\n", end)) != 0 || ends ||
		(r = smx_buf_put_str(out, "\\ No newline at end of file\n")) != 0);
	return r;
}

static int put_range(struct smx_buf *out, char sign, size_t first, size_t count)
{
	/* Of an empty range the line before it is named, as diff does. */
	if (count == 1)
		return smx_buf_printf(out, "%c%zu", sign, first + 1);
	return smx_buf_printf(out, "%c%zu,%zu", sign, count ? first + 1 : first, count);
}

struct place {
	size_t op, a, b; /* index into the script, lines of either text before it */
};

static void advance(const struct script *s, struct place *p)
{
	p->a += s->ops[p->op] != '+';
	p->b += s->ops[p->op] != '-';
	p->op++;
}

static int put_hunk(const struct smx_diff *d, const struct script *s, const struct lines *a,
	const struct lines *b, struct place from, struct place to, struct smx_buf *out)
{
	int r;

	(void)((r = smx_buf_printf(out, "%s@@ ", smx_cli_color(d->colour, SMX_STYLE_NOTE))) != 0 ||
		(r = put_range(out, '-', from.a, to.a - from.a)) != 0 ||
		(r = smx_buf_put(out, " ", 1)) != 0 ||
		(r = put_range(out, '+', from.b, to.b - from.b)) != 0 ||
		(r = smx_buf_printf(out, " @@%s\n", smx_cli_color(d->colour, SMX_STYLE_NONE))) !=
			0);
	while (r == 0 && from.op < to.op) {
		char op = s->ops[from.op];

		r = put_line(d, op, op == '+' ? b->v[from.b] : a->v[from.a], out);
		advance(s, &from);
	}
	return r;
}

static int put_hunks(const struct smx_diff *d, const struct script *s, const struct lines *a,
	const struct lines *b, struct smx_buf *out)
{
	struct place at = { 0, 0, 0 }, from, to;
	size_t same;
	int r = 0;

	while (r == 0) {
		for (same = 0; at.op < s->n && s->ops[at.op] == ' '; same++)
			advance(s, &at);
		if (at.op == s->n)
			break;
		same = same < CONTEXT ? same : CONTEXT;
		from = (struct place){ at.op - same, at.a - same, at.b - same };
		/* On to where more than twice the context is the same. */
		for (to = at, same = 0; at.op < s->n && same <= 2 * CONTEXT;) {
			same = s->ops[at.op] == ' ' ? same + 1 : 0;
			advance(s, &at);
			if (same <= CONTEXT)
				to = at;
		}
		at = to;
		r = put_hunk(d, s, a, b, from, to, out);
	}
	return r;
}

static int put_head(const struct smx_diff *d, struct smx_buf *out)
{
	const char *bold = smx_cli_color(d->colour, SMX_STYLE_BOLD);
	const char *end = smx_cli_color(d->colour, SMX_STYLE_NONE);

	return smx_buf_printf(out, "%s--- %s%s\n%s+++ %s%s\n", bold,
		d->is_new ? "/dev/null" : d->path, end, bold, d->path, end);
}

int smx_cli_diff(const struct smx_diff *d, struct smx_buf *out)
{
	struct lines a = { NULL, 0 }, b = { NULL, 0 };
	struct script s = { NULL, 0 };
	int r;

	if (smx_view_eq_view(d->before, d->after) && !d->is_new)
		return 0;
	if ((r = split(d->before, &a)) == 0 && (r = split(d->after, &b)) == 0 &&
		(r = compare(&a, &b, &s)) == 0 && (r = put_head(d, out)) == 0)
		r = put_hunks(d, &s, &a, &b, out);
	smx_free(a.v);
	smx_free(b.v);
	smx_free(s.ops);
	return r;
}
