/* SPDX-License-Identifier: MIT */
/*
 * What a server says during a login and asks nothing about: a banner (A12), a round of
 * keyboard-interactive without prompts (A13), as those who have to open a page or to match a number
 * get them. It is shown where a question would be, to all who wait for the login there, and stands
 * in the log; a window shows it with the next question. Each line is marked as the server's,
 * cleaned (A7), and there is at most a screen of them (A14).
 */
#ifndef SMX_MUX_ASK_SERVER_WORDS_H
#define SMX_MUX_ASK_SERVER_WORDS_H

#include "config/routes.h"
#include "mux/pool/pool.h"

struct mux_ids;

#define SERVER_WORDS_LINES 20 /* in the log */
#define SERVER_WORDS_LAST  800 /* bytes, for status */
#define SERVER_WORDS_ROWS  2048 /* bytes, for a window */

/* Clean, and strings; all 0: it has said nothing. */
struct server_said {
	char last[SERVER_WORDS_LAST]; /* its lines, with " / " between them */
	char rows[SERVER_WORDS_ROWS]; /* all since its last question, each with its "\n" */
};

/* text, more: a name and what belongs to it, or one of them empty. What says nothing leaves *said
 * as it is. */
void server_words(struct pool_entry *e, const struct mux_ids *ids, struct smx_view text,
	struct smx_view more, struct server_said *said);

#endif
