/* SPDX-License-Identifier: MIT */
#include "mux/ask/server_words.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rows.h"
#include "base/text.h"
#include "mux/ask/question.h"
#include "mux/core/say.h"

#define LOG_COLUMNS 300 /* a longer line is broken */
#define WHOM_SIZE   320
#define LINES_SIZE  (64 * 1024)

/* As lines, the first of which says who speaks. */
static void show(const struct pool_entry *e, const char *whom, struct smx_view text)
{
	struct smx_view rest, row;
	struct smx_buf rows;
	char *line;

	smx_buf_init(&rows, LINES_SIZE);
	if (question_put_said(whom, text, &rows) == 0) {
		rest = smx_buf_as_view(&rows);
		while (smx_rows_next(&rest, &row)) {
			if ((line = smx_strndup((const char *)row.p, row.len)) != NULL)
				pool_tell(e, line);
			smx_free(line);
		}
	}
	smx_buf_release(&rows);
}

/* As many as there is room for. */
static void keep(struct server_said *said, struct smx_view row, int is_first)
{
	size_t n = is_first ? 0 : strlen(said->last), n_rows = strlen(said->rows);

	(void)snprintf(said->last + n, sizeof(said->last) - n, "%s%.*s", is_first ? "" : " / ",
		(int)row.len, (const char *)row.p);
	if (n_rows + row.len + 2 <= sizeof(said->rows))
		(void)snprintf(said->rows + n_rows, sizeof(said->rows) - n_rows, "%.*s\n",
			(int)row.len, (const char *)row.p);
}

/* Whole lines, so that what a program looks for is found. */
static void note(
	const struct mux_ids *ids, const char *whom, struct smx_view text, struct server_said *said)
{
	struct smx_view rest, row;
	struct smx_buf rows;
	size_t n = 0;

	smx_buf_init(&rows, LINES_SIZE);
	if (smx_rows_put(&rows, text, LOG_COLUMNS) == 0) {
		rest = smx_buf_as_view(&rows);
		while (smx_rows_next(&rest, &row) && n < SERVER_WORDS_LINES) {
			if (!row.len)
				continue;
			keep(said, row, n++ == 0);
			say_info(ids, "%s says: %.*s", whom, (int)row.len, (const char *)row.p);
		}
	}
	smx_buf_release(&rows);
}

void server_words(struct pool_entry *e, const struct mux_ids *ids, struct smx_view text,
	struct smx_view more, struct server_said *said)
{
	const struct smx_hop *hop = &e->hops[e->n_hops - 1];
	char clean[WHOM_SIZE], whom[WHOM_SIZE];
	struct smx_buf both;

	(void)snprintf(whom, sizeof(whom), "%.150s@%.150s", hop->user, hop->host);
	smx_sanitize(whom, strlen(whom), clean, sizeof(clean));
	smx_buf_init(&both, LINES_SIZE);
	if (smx_buf_put(&both, text.p, text.len) == 0 && smx_buf_put_str(&both, "\n") == 0 &&
		smx_buf_put(&both, more.p, more.len) == 0) {
		note(ids, clean, smx_buf_as_view(&both), said);
		show(e, clean, smx_buf_as_view(&both));
	}
	smx_buf_release(&both);
}
