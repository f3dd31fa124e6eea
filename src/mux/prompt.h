/* SPDX-License-Identifier: MIT */
/*
 * Questions for a person, asked one after the other: one-time passwords and passwords of
 * a login (A2, A3). They are asked at the terminal of a foreground `serve` (A6).
 */
#ifndef SMX_MUX_PROMPT_H
#define SMX_MUX_PROMPT_H

#include "mux/mux.h"
#include "ssh/auth_msg.h"

#define PROMPT_ANSWER_SIZE 1024
#define PROMPT_TIMEOUT_MS  (120 * 1000) /* then a login's own time limit runs again */

struct prompt;

/* Called once, from the loop, unless cancelled: r 0 and n answers, valid during the call. */
typedef void prompt_cb(void *arg, int r, const struct smx_view *answers, size_t n);

/* Whether there is anybody to ask. */
int prompt_is_possible(const struct mux *m);
/*
 * Asks all prompts of one request. for_whom: "user@host". Everything is copied and made fit for a
 * terminal (A7). NULL: no memory, or nobody to ask.
 */
struct prompt *prompt_start(struct mux *m, const char *for_whom,
	const struct smx_auth_info_request *request, prompt_cb *cb, void *arg);
void prompt_cancel(struct prompt *p); /* NULL works */
/* Whether it has been on the terminal for PROMPT_TIMEOUT_MS: the login's time goes on. */
int prompt_is_overdue(const struct prompt *p);

#endif
