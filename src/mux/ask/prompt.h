/* SPDX-License-Identifier: MIT */
/*
 * Questions for a person: one-time passwords and passwords of a login (A2, A3), and whatever else
 * wants one. They are asked where somebody who waits for the login is (A6, B5): at an attached
 * client of his (`ssh-mux proxy`), else at the terminal of a foreground `serve`, else, on a
 * desktop, in the window of a pinentry: each is a place (asker.h). Everyone who waits for a login
 * waits for the same question; if the client that shows it goes away, it is asked again at another
 * one.
 */
#ifndef SMX_MUX_ASK_PROMPT_H
#define SMX_MUX_ASK_PROMPT_H

#include "config/routes.h"
#include "mux/core/mux.h"

#define PROMPT_ANSWER_SIZE 1024
#define PROMPT_TIMEOUT_MS  (120 * 1000)

struct asker;
struct pool_entry;
struct prompt;
struct question;

/* Called once, from the loop, unless cancelled: r 0 and n answers, valid during the call. */
typedef void prompt_cb(void *arg, int r, const struct smx_view *answers, size_t n);

/* Whether there is anybody to ask, of those who wait for a connection of e. */
int prompt_is_possible(const struct pool_entry *e);
/* Asks it; q is taken over in any case. NULL: no memory (q NULL, too), or nobody to ask. */
struct prompt *prompt_start(struct pool_entry *e, struct question *q, prompt_cb *cb, void *arg);
/*
 * A question of yes or no about something that a session of one client does, who may be asked at
 * `at` (or NULL), and nobody who waits for a login. The answer is "yes", or it is no. A client at
 * a terminal is not asked, whose keys go to the session; its SSH_ASKPASS is. As prompt_start.
 */
struct prompt *prompt_start_permission(
	struct pool_entry *e, struct asker *at, struct question *q, prompt_cb *cb, void *arg);
void prompt_cancel(struct prompt *p); /* NULL works */
/* Whether it has been shown for PROMPT_TIMEOUT_MS: the login's time goes on. */
int prompt_is_overdue(const struct prompt *p);
/* Within the callback: the person closed a window of our own, rather than a terminal's question. */
int prompt_is_closed(const struct prompt *p);

/*
 * A5: what becomes of a login of which a window with a question of the server's was closed, for the
 * n_closed'th time. (Where it was our own question, about a host key or for a passphrase, the login
 * is over at once: there is nobody who could be told that there is no answer.)
 */
enum prompt_after_close { PROMPT_SENDS_EMPTY, PROMPT_ENDS_LOGIN };
enum prompt_after_close prompt_after_close(unsigned n_closed);

/*
 * For the places (asker.h): an answer came, or SMX_ECANCELLED: the person will give none; the
 * place can't ask, or is gone.
 */
void prompt_answered(struct prompt *p, int r, struct smx_view answer);
void prompt_closed(struct prompt *p); /* a window of our own, by the person (A5) */
void prompt_displaced(struct prompt *p);
/* Borrowed from its entry: for the log; what makes a window of our own. */
const char *prompt_route(const struct prompt *p);
enum smx_prompter prompt_prompter(const struct prompt *p);
/* Somebody who could be asked became free. */
void prompt_place_all(struct mux *m);
/*
 * Somebody waits now, who can be asked there: a question may have waited for him, or he is told
 * that it is asked elsewhere (A17). Nothing if he is gone again.
 */
void prompt_welcome(struct mux *m, const struct asker *a);

#endif
