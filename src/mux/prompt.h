/* SPDX-License-Identifier: MIT */
/*
 * Questions for a person: one-time passwords and passwords of a login (A2, A3), and whatever else
 * wants one. They are asked where somebody who waits for the login is (A6, B5): at an attached
 * client of his (`ssh-mux proxy`), else at the terminal of a foreground `serve`, else, on a
 * desktop, in the window of a pinentry. Everyone who waits for a login waits for the same question;
 * if the client that shows it goes away, it is asked again at another one.
 */
#ifndef SMX_MUX_PROMPT_H
#define SMX_MUX_PROMPT_H

#include "mux/mux.h"
#include "ssh/auth_msg.h"

#define PROMPT_ANSWER_SIZE 1024
#define PROMPT_TIMEOUT_MS  (120 * 1000)

/* Whose words they are, and so what OpenSSH would ask (A14). */
enum prompt_kind { PROMPT_OF_SERVER, PROMPT_PASSWORD, PROMPT_PASSPHRASE };

struct asker;
struct pool_entry;
struct prompt;

/* Called once, from the loop, unless cancelled: r 0 and n answers, valid during the call. */
typedef void prompt_cb(void *arg, int r, const struct smx_view *answers, size_t n);

/* Whether there is anybody to ask, of those who wait for a connection of e. */
int prompt_is_possible(const struct pool_entry *e);
/*
 * Asks all prompts of one request. for_whom: "user@host". Everything is copied and made fit for a
 * terminal (A7). note: what was wrong with the answer before, or NULL. NULL: no memory, or nobody
 * to ask.
 */
struct prompt *prompt_start(struct pool_entry *e, const char *for_whom, enum prompt_kind kind,
	const struct smx_auth_info_request *request, const char *note, prompt_cb *cb, void *arg);
/*
 * One question of our own, whose answer may be seen: text is shown as it is (the caller has made
 * the strangers' parts of it fit for a terminal), plain to those who look for OpenSSH's words
 * (A14). NULL as above.
 */
struct prompt *prompt_start_text(
	struct pool_entry *e, const char *text, const char *plain, prompt_cb *cb, void *arg);
/*
 * A question of yes or no about something that a session of one client does, who may be asked at
 * `at` (or NULL), and nobody who waits for a login. The answer is "yes", or it is no. A client at
 * a terminal is not asked, whose keys go to the session; its SSH_ASKPASS is. text ends with
 * "(yes/no)? ". NULL as above.
 */
struct prompt *prompt_start_permission(
	struct pool_entry *e, struct asker *at, const char *text, prompt_cb *cb, void *arg);
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
void prompt_displaced(struct prompt *p);
/* Somebody who could be asked became free. */
void prompt_place_all(struct mux *m);
/*
 * Somebody waits now, who can be asked there: a question may have waited for him, or he is told
 * that it is asked elsewhere (A17). Nothing if he is gone again.
 */
void prompt_welcome(struct mux *m, const struct asker *a);

#endif
