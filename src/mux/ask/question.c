/* SPDX-License-Identifier: MIT */
#include "mux/ask/question.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rows.h"
#include "base/text.h"

#define MARK_COLUMNS   (sizeof(QUESTION_MARK) - 1)
#define MARKED_COLUMNS (QUESTION_COLUMNS - MARK_COLUMNS)
#define PROMPT_LEAST   24 /* columns that a prompt needs behind "(whom) " */
#define LABEL_MAX      60 /* columns; longer ones are no label of a field */
#define PLAIN_COLUMNS  200 /* of rows in an SSH_ASKPASS */
#define WHOM_MAX       600
#define ANSWER_LABEL   "Answer: "

static struct smx_view view(const char *s)
{
	return smx_view_of(s, s ? strlen(s) : 0);
}

/* --- made --- */

void question_free(struct question *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->n; i++)
		smx_free(q->parts[i].words);
	smx_free(q->whom);
	smx_free(q->lines);
	smx_free(q->said);
	smx_free(q->note);
	smx_free(q->plain);
	smx_free(q);
}

static char *clean_lines(struct smx_view text)
{
	char *clean = smx_malloc(text.len + 1);

	if (clean)
		smx_sanitize_lines((const char *)text.p, text.len, clean, text.len + 1);
	return clean;
}

static struct question *question_new(enum question_kind kind, const char *whom)
{
	struct question *q = smx_calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->kind = kind;
	if (!(q->whom = smx_malloc(WHOM_MAX))) {
		smx_free(q);
		return NULL;
	}
	smx_sanitize(whom, strlen(whom), q->whom, WHOM_MAX);
	return q;
}

static int add_part(struct question *q, char *words, int echo)
{
	q->parts[q->n].words = words;
	q->parts[q->n].echo = echo;
	q->n += words != NULL;
	return words ? 0 : SMX_ENOMEM;
}

/* One of our own. words, plain: NULL: no memory; else taken over. */
static struct question *of_ours(
	enum question_kind kind, const char *whom, char *words, char *plain, int echo)
{
	struct question *q = words && plain ? question_new(kind, whom) : NULL;

	if (!q) {
		smx_free(words);
		smx_free(plain);
		return NULL;
	}
	q->plain = plain;
	(void)add_part(q, words, echo);
	return q;
}

struct question *question_of_server(const char *whom, const struct smx_auth_info_request *request)
{
	struct question *q = question_new(QUESTION_OF_SERVER, whom);
	struct smx_buf lines;
	int r;

	if (!q)
		return NULL;
	smx_buf_init(&lines, QUESTION_TEXT_MAX);
	if ((r = smx_buf_put(&lines, request->name.p, request->name.len)) == 0 &&
		(r = smx_buf_put_str(&lines, "\n")) == 0)
		r = smx_buf_put(&lines, request->instruction.p, request->instruction.len);
	if (r == 0 && !(q->lines = clean_lines(smx_buf_as_view(&lines))))
		r = SMX_ENOMEM;
	smx_buf_release(&lines);
	for (size_t i = 0; i < request->n_prompts && r == 0; i++)
		r = add_part(q, clean_lines(request->prompts[i].text), request->prompts[i].echo);
	if (r == 0)
		return q;
	question_free(q);
	return NULL;
}

static char *join(const char *before, const char *text, const char *after)
{
	size_t n = strlen(text), size = strlen(before) + n + strlen(after) + 1;
	char *clean = smx_malloc(n + 1), *s = smx_malloc(size);

	if (clean && s) {
		smx_sanitize(text, n, clean, n + 1);
		(void)snprintf(s, size, "%s%s%s", before, clean, after);
	} else {
		smx_free(s);
		s = NULL;
	}
	smx_free(clean);
	return s;
}

struct question *question_of_password(const char *whom)
{
	static const char end[] = "'s password: ";

	return of_ours(QUESTION_PASSWORD, whom, join("", whom, end), join("", whom, end), 0);
}

struct question *question_of_passphrase(const char *whom, const char *path)
{
	static const char begin[] = "Enter passphrase for key '", end[] = "': ";

	return of_ours(
		QUESTION_PASSPHRASE, whom, join(begin, path, end), join(begin, path, end), 0);
}

struct question *question_of_host_key(const char *whom, const char *text, const char *plain)
{
	return of_ours(QUESTION_HOST_KEY, whom, smx_strdup(text), smx_strdup(plain), 1);
}

struct question *question_of_permission(const char *whom, const char *text)
{
	return of_ours(QUESTION_PERMISSION, whom, smx_strdup(text), smx_strdup(text), 1);
}

int question_set_note(struct question *q, const char *note)
{
	char *copy = smx_strdup(note);

	if (!copy)
		return SMX_ENOMEM;
	smx_free(q->note);
	q->note = copy;
	return 0;
}

int question_set_said(struct question *q, const char *said)
{
	char *clean = *said ? clean_lines(view(said)) : NULL;

	if (*said && !clean)
		return SMX_ENOMEM;
	smx_free(q->said);
	q->said = clean;
	return 0;
}

int question_is_confirm(const struct question *q)
{
	return q->kind == QUESTION_HOST_KEY || q->kind == QUESTION_PERMISSION;
}

int question_is_permission(const struct question *q)
{
	return q->kind == QUESTION_PERMISSION;
}

/* --- rows --- */

/* Rows of a screen that a row takes: a web address may take more than one. */
static size_t height(struct smx_view row)
{
	size_t width = smx_rows_width(row);

	return width == 0 ? 1
			  : (width + sizeof(QUESTION_MARK) - 1 + QUESTION_COLUMNS) /
				    (QUESTION_COLUMNS + 1);
}

/* Rows of a screen, and bytes with marks and line ends. */
struct extent {
	size_t rows, bytes;
};

/* With an empty line, two of head and note, and long names in them. */
static const struct extent terminal_max = { 17, SIZE_MAX };
/* A line of Assuan has a thousand bytes, and % takes three. */
static const struct extent window_max = { 16, 620 };
static const struct extent plain_max = { 20, SIZE_MAX };
static const struct extent said_max = { 20, SIZE_MAX };

static struct extent extent_of(struct smx_view row)
{
	return (struct extent){ height(row), row.len + sizeof(QUESTION_MARK) + 2 };
}

static int fits(struct extent e, struct extent max)
{
	return e.rows <= max.rows && e.bytes <= max.bytes;
}

/* Of all of them; *ret_n: how many there are. */
static struct extent extent_of_all(struct smx_view rows, size_t *ret_n)
{
	struct extent all = { 0, 0 }, one;
	struct smx_view row;

	for (*ret_n = 0; smx_rows_next(&rows, &row); ++*ret_n) {
		one = extent_of(row);
		all.rows += one.rows;
		all.bytes += one.bytes;
	}
	return all;
}

/* How many of the first ones fit into half of max, and of the last ones into the other half. */
static void choose_rows(struct smx_view rows, struct extent left, size_t n, struct extent max,
	size_t *ret_first, size_t *ret_last)
{
	const struct extent half = { max.rows / 2, max.bytes / 2 };
	const struct extent rest = { max.rows - half.rows - 1, max.bytes - half.bytes };
	struct extent used = { 0, 0 }, one;
	struct smx_view row;
	int is_first = 1;

	*ret_first = 0;
	while (!fits(left, rest) && smx_rows_next(&rows, &row)) {
		one = extent_of(row);
		used.rows += one.rows;
		used.bytes += one.bytes;
		left.rows -= one.rows;
		left.bytes -= one.bytes;
		is_first = is_first && fits(used, half);
		*ret_first += (size_t)is_first;
		n--;
	}
	*ret_last = n;
}

static int put_row(struct smx_buf *out, const char *mark, struct smx_view row)
{
	int r = smx_buf_put_str(out, mark);

	if (r == 0 && (r = smx_buf_put(out, row.p, row.len)) == 0)
		r = smx_buf_put_str(out, "\n");
	return r;
}

/*
 * Those that fit. Where there are more, the middle is left out: what is
 * asked stands at the end, and what it is about at the beginning.
 */
static int put_rows(struct smx_buf *out, const char *mark, struct smx_view rows, struct extent max)
{
	size_t n, n_first, n_last = 0;
	struct extent all = extent_of_all(rows, &n);
	struct smx_view row;
	char more[80];
	int r = 0;

	n_first = n;
	if (!fits(all, max))
		choose_rows(rows, all, n, max, &n_first, &n_last);
	for (size_t i = 0; r == 0 && smx_rows_next(&rows, &row); i++) {
		if (i < n_first || i >= n - n_last) {
			r = put_row(out, mark, row);
		} else if (i == n_first) {
			(void)snprintf(
				more, sizeof(more), "(%zu more lines)", n - n_first - n_last);
			r = put_row(out, mark, view(more));
		}
	}
	return r;
}

static struct smx_view last_row(const struct smx_buf *rows)
{
	struct smx_view rest = smx_buf_as_view(rows), row = { NULL, 0 };

	while (smx_rows_next(&rest, &row))
		;
	return row;
}

/*
 * What a server says with one prompt: rows to be marked, and in *ret_last the last one, which is
 * asked in `room` columns. It stays empty if they are too few.
 */
static int split_words(const struct question *q, size_t at, size_t columns, size_t room,
	struct smx_buf *rows, struct smx_buf *ret_last)
{
	struct smx_view last, words = view(q->parts[at].words);
	int is_apart = words.len && words.p[words.len - 1] == ' ', r;
	const char *text;
	size_t before;

	if (at == 0 && (r = smx_rows_put(rows, view(q->lines), columns)) != 0)
		return r;
	before = smx_buf_len(rows);
	if ((r = smx_rows_put(rows, words, columns)) != 0 || room < PROMPT_LEAST)
		return r;
	if (smx_buf_len(rows) == before)
		return smx_buf_put_str(ret_last, "? ");
	last = last_row(rows);
	if (smx_rows_width(last) > MARKED_COLUMNS)
		return 0; /* a web address */
	if ((r = smx_buf_put(ret_last, last.p, last.len)) != 0)
		return r;
	smx_buf_truncate(rows, smx_buf_len(rows) - last.len - 1);
	if (!(text = smx_buf_cstr(ret_last)))
		return SMX_ENOMEM;
	smx_buf_consume(ret_last, strspn(text, " "));
	if (smx_rows_width(smx_buf_as_view(ret_last)) + (size_t)is_apart > room) {
		if ((r = smx_rows_put(rows, smx_buf_as_view(ret_last), room - 1)) != 0)
			return r;
		smx_buf_reset(ret_last);
		last = last_row(rows);
		if (smx_rows_width(last) > room)
			return 0; /* a shorter one */
		if ((r = smx_buf_put(ret_last, last.p, last.len)) != 0)
			return r;
		smx_buf_truncate(rows, smx_buf_len(rows) - last.len - 1);
	}
	return is_apart ? smx_buf_put_str(ret_last, " ") : 0;
}

/* --- rendered --- */

static int put_head(const struct question *q, size_t at, const char *prefix, struct smx_buf *out)
{
	int r = smx_buf_printf(out, "%s%s", prefix, q->whom);

	if (r == 0 && q->n > 1)
		r = smx_buf_printf(out, ", question %zu of %zu", at + 1, q->n);
	return r == 0 ? smx_buf_put_str(out, "\n") : r;
}

int question_put_note(const struct question *q, size_t at, struct smx_buf *out)
{
	int r;

	if (at > 0 || !q->note)
		return 0;
	if ((r = smx_buf_put_str(out, q->note)) == 0 && q->try > 1)
		r = smx_buf_printf(out, " (try %u of %u)", q->try, q->tries);
	return r;
}

/* "(whom) " and the prompt of a server, or the label that stands for it. */
static int put_prompt(const struct question *q, struct smx_buf *last, struct smx_buf *out)
{
	const char *text = smx_buf_len(last) ? smx_buf_cstr(last) : ANSWER_LABEL;

	return text ? smx_buf_printf(out, "(%s) %s", q->whom, text) : SMX_ENOMEM;
}

static size_t room_for_prompt(const struct question *q, size_t columns)
{
	size_t taken = smx_rows_width(view(q->whom)) + 3;

	return taken < columns ? columns - taken : 0;
}

int question_put_terminal(const struct question *q, size_t at, size_t columns, struct smx_buf *out)
{
	struct smx_buf rows, last, note;
	int r;

	smx_buf_init(&rows, QUESTION_TEXT_MAX);
	smx_buf_init(&last, QUESTION_TEXT_MAX);
	smx_buf_init(&note, QUESTION_TEXT_MAX);
	if ((r = question_put_note(q, at, &note)) == 0 && smx_buf_len(&note))
		r = smx_buf_cstr(&note) ? smx_buf_printf(out, "ssh-mux: %s\n", smx_buf_cstr(&note))
					: SMX_ENOMEM;
	if (r == 0 && !question_is_confirm(q))
		r = put_head(q, at, "ssh-mux: login to ", out);
	if (r != 0)
		goto out;
	if (q->kind != QUESTION_OF_SERVER) {
		r = smx_buf_put_str(out, q->parts[at].words);
	} else if ((r = split_words(q, at, columns - MARK_COLUMNS, room_for_prompt(q, columns),
			    &rows, &last)) == 0 &&
		   (r = put_rows(out, QUESTION_MARK, smx_buf_as_view(&rows), terminal_max)) == 0) {
		r = put_prompt(q, &last, out);
	}
out:
	smx_buf_release(&rows);
	smx_buf_release(&last);
	smx_buf_release(&note);
	return r;
}

int question_put_askpass(const struct question *q, size_t at, struct smx_buf *out)
{
	struct smx_view words = view(q->parts[at].words);
	struct smx_buf rows;
	int r;

	if (q->kind != QUESTION_OF_SERVER)
		return smx_buf_put_str(out, q->plain);
	smx_buf_init(&rows, QUESTION_TEXT_MAX);
	if ((r = smx_buf_printf(out, "(%s) ", q->whom)) == 0 &&
		(r = smx_rows_put(&rows, words, PLAIN_COLUMNS)) == 0 &&
		(r = put_rows(out, "", smx_buf_as_view(&rows), plain_max)) == 0 &&
		smx_buf_len(&rows)) {
		smx_buf_truncate(out, smx_buf_len(out) - 1);
		if (words.p[words.len - 1] == ' ')
			r = smx_buf_put_str(out, " ");
	}
	smx_buf_release(&rows);
	return r;
}

int question_put_before(const struct question *q, size_t at, struct smx_buf *out)
{
	int r = 0;

	if (at > 0)
		return 0;
	if (q->note)
		r = smx_buf_put_str(out, "Permission denied, please try again.\n");
	return r == 0 && q->lines ? question_put_said(q->whom, view(q->lines), out) : r;
}

/* Without "(yes/no/…)? " at its end: the buttons of the window say what can be answered. */
static int put_confirm(struct smx_buf *desc, const char *text)
{
	static const char end[] = ")? ";
	size_t n = strlen(text), n_end = sizeof(end) - 1;
	const char *hint = strrchr(text, '(');

	if (!hint || hint == text || n < n_end || strcmp(text + n - n_end, end) != 0)
		return smx_buf_put_str(desc, text);
	return smx_buf_printf(desc, "%.*s?", (int)(hint - 1 - text), text);
}

/* Whether the prompt, in one row, can stand before the field; else it is described. */
static int is_label(const struct question *q, size_t at)
{
	struct smx_buf rows;
	int r = 0;

	smx_buf_init(&rows, QUESTION_TEXT_MAX);
	if (smx_rows_put(&rows, view(q->parts[at].words), SMX_AUTH_TEXT_MAX) == 0)
		r = smx_rows_width(last_row(&rows)) <= room_for_prompt(q, LABEL_MAX);
	smx_buf_release(&rows);
	return r;
}

/* What it is about: all parts of a round show that, and the first one what was said before. */
static int put_about(const struct question *q, size_t at, struct smx_buf *rows)
{
	return smx_rows_put(rows, view(at > 0 ? q->lines : q->said), QUESTION_BOX - MARK_COLUMNS);
}

/* The description without the target, which has come, and the prompt before the field. */
static int put_window_of_server(
	const struct question *q, size_t at, struct smx_buf *desc, struct smx_buf *label)
{
	size_t room = is_label(q, at) ? LABEL_MAX : 0;
	struct smx_buf rows, last;
	int r;

	smx_buf_init(&rows, QUESTION_TEXT_MAX);
	smx_buf_init(&last, QUESTION_TEXT_MAX);
	if ((r = put_about(q, at, &rows)) == 0 &&
		(r = split_words(q, at, QUESTION_BOX - MARK_COLUMNS, room, &rows, &last)) == 0 &&
		(r = put_rows(desc, QUESTION_MARK, smx_buf_as_view(&rows), window_max)) == 0)
		r = smx_buf_len(&last) ? put_prompt(q, &last, label)
				       : smx_buf_put_str(label, ANSWER_LABEL);
	smx_buf_release(&rows);
	smx_buf_release(&last);
	return r;
}

/* Of a password, which is our own question to the server. */
static int put_said_before(const struct question *q, struct smx_buf *desc)
{
	struct smx_buf rows;
	int r;

	smx_buf_init(&rows, QUESTION_TEXT_MAX);
	if ((r = put_about(q, 0, &rows)) == 0)
		r = put_rows(desc, QUESTION_MARK, smx_buf_as_view(&rows), window_max);
	smx_buf_release(&rows);
	return r;
}

int question_put_window(const struct question *q, size_t at, int is_own, struct smx_buf *ret_desc,
	struct smx_buf *ret_label)
{
	const char *words = q->parts[at].words;
	int r = 0;

	if (is_own || !question_is_confirm(q))
		r = put_head(q, at, is_own ? "" : "ssh-mux: login to ", ret_desc);
	if (r != 0)
		return r;
	if (question_is_confirm(q))
		return is_own ? put_confirm(ret_desc, words) : smx_buf_put_str(ret_desc, words);
	if (q->kind == QUESTION_OF_SERVER)
		return put_window_of_server(q, at, ret_desc, ret_label);
	if ((r = put_said_before(q, ret_desc)) != 0)
		return r;
	if (smx_rows_width(view(words)) <= LABEL_MAX)
		return smx_buf_put_str(ret_label, words);
	r = smx_buf_printf(ret_desc, "%s\n", words);
	return r == 0 ? smx_buf_put_str(ret_label, ANSWER_LABEL) : r;
}

/* --- said --- */

int question_put_said(const char *whom, struct smx_view text, struct smx_buf *out)
{
	char clean[WHOM_MAX];
	struct smx_buf rows;
	int r;

	smx_buf_init(&rows, 2 * SMX_AUTH_MSG_MAX);
	smx_sanitize(whom, strlen(whom), clean, sizeof(clean));
	r = smx_rows_put(&rows, text, MARKED_COLUMNS);
	if (r == 0 && smx_buf_len(&rows) && (r = smx_buf_printf(out, "%s says:\n", clean)) == 0)
		r = put_rows(out, QUESTION_MARK, smx_buf_as_view(&rows), said_max);
	smx_buf_release(&rows);
	return r;
}
