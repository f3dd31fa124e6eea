/* SPDX-License-Identifier: MIT */
/*
 * What a server says during a login and asks nothing about: a banner (A12), a round of
 * keyboard-interactive without prompts (A13), as those who have to open a page or to match a number
 * get them. It is shown where a question would be, to all who wait for the login there, and stands
 * in the log. Each line is marked as the server's, cleaned (A7), and there is at most a screen of
 * them (A14).
 */
#ifndef SMX_MUX_ASK_SERVER_WORDS_H
#define SMX_MUX_ASK_SERVER_WORDS_H

#include "config/routes.h"
#include "mux/pool/pool.h"

struct mux_ids;

#define SERVER_WORDS_LINES 20 /* in the log */
#define SERVER_WORDS_LAST  200 /* of the last line, for status */

/* text, more: a name and what belongs to it, or one of them empty. last: of SERVER_WORDS_LAST
 * bytes; gets the last line that says something, or stays. */
void server_words(struct pool_entry *e, const struct mux_ids *ids, struct smx_view text,
	struct smx_view more, char *last);

#endif
