/* SPDX-License-Identifier: MIT */
/*
 * The shortest script of removed and added lines, after E. W. Myers, "An O(ND) Difference Algorithm
 * and Its Variations" (1986): furthest points on diagonals, one round for each further edit. Texts
 * that are further apart than EDITS_MAX are shown as wholly replaced, which is as good for reading.
 */
#include "cli/diff.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/color.h"

#define EDITS_MAX 1024
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

/* The furthest x on diagonal k after d edits; x of round d - 1 are in `last`, centred. */
static long step(const long *last, long k, long d)
{
	if (k == -d || (k != d && last[k - 1] < last[k + 1]))
		return last[k + 1];
	return last[k - 1] + 1;
}

/* Writes the script of the middle backwards from its end; rounds[d] is centred as above. */
static void walk_back(long *const *rounds, long d, long x, long y, char *end)
{
	for (; d > 0; d--) {
		const long *last = rounds[d - 1] + d; /* room on both sides of d - 1 */
		long k = x - y;
		int down = k == -d || (k != d && last[k - 1] < last[k + 1]);
		long from_x = down ? last[k + 1] : last[k - 1];
		long from_y = from_x - (down ? k + 1 : k - 1);

		while (x > from_x && y > from_y) {
			*--end = ' ';
			x--;
			y--;
		}
		*--end = down ? '+' : '-';
		x = from_x;
		y = from_y;
	}
	while (x-- > 0)
		*--end = ' ';
}

/*
 * Rounds of the algorithm; *ret_d is the number of edits, or -1 if there are more than EDITS_MAX.
 * Points beyond an end are kept as they come: no way leads back from there.
 */
static int find_edits(const struct lines *a, const struct lines *b, long **rounds, long *ret_d)
{
	long n = (long)a->n, m = (long)b->n;

	for (long d = 0; d <= EDITS_MAX; d++) {
		/* Diagonals -d - 1 to d + 1: the neighbours that the next round looks at. */
		long *now, *last = d ? rounds[d - 1] + d : NULL;

		if ((rounds[d] = smx_calloc(2 * (size_t)d + 3, sizeof(long))) == NULL)
			return SMX_ENOMEM;
		now = rounds[d] + d + 1;
		for (long k = -d; k <= d; k += 2) {
			long x = d ? step(last, k, d) : 0, y = x - k;

			while (x < n && y < m && smx_view_eq_view(a->v[x], b->v[y])) {
				x++;
				y++;
			}
			now[k] = x;
			if (x == n && y == m) {
				*ret_d = d;
				return 0;
			}
		}
	}
	*ret_d = -1;
	return 0;
}

static int replace_all(size_t n, size_t m, struct script *ret)
{
	ret->n = n + m;
	if ((ret->ops = smx_malloc(ret->n + 1)) == NULL)
		return SMX_ENOMEM;
	memset(ret->ops, '-', n);
	memset(ret->ops + n, '+', m);
	return 0;
}

static int compare(const struct lines *a, const struct lines *b, struct script *ret)
{
	long **rounds = smx_calloc(EDITS_MAX + 1, sizeof(*rounds));
	long d = -1;
	int r;

	if (!rounds)
		return SMX_ENOMEM;
	if ((r = find_edits(a, b, rounds, &d)) != 0)
		goto out;
	if (d >= 0) {
		/* n - removed == m - added, and removed + added == d */
		ret->n = (a->n + b->n + (size_t)d) / 2;
		if ((ret->ops = smx_malloc(ret->n + 1)) == NULL)
			r = SMX_ENOMEM;
		else
			walk_back(rounds, d, (long)a->n, (long)b->n, ret->ops + ret->n);
	} else {
		r = replace_all(a->n, b->n, ret);
	}
out:
	for (long i = 0; i <= EDITS_MAX; i++)
		smx_free(rounds[i]);
	smx_free(rounds);
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
