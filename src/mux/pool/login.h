/* SPDX-License-Identifier: MIT */
/*
 * Logging in to a remote: which method, which key, whose signature (A1). The messages are
 * ssh/auth_client's; this chooses, and asks the agent.
 *
 * Keys are tried in an order that spares the server's MaxAuthTries: those named by the
 * route and held by the agent, those of readable key files, then what else the agent has, and last
 * encrypted key files, whose passphrase is asked for. Each is offered first and signed with only if
 * the server would take it; but for the first, where that bothers nobody (B13).
 */
#ifndef SMX_MUX_POOL_LOGIN_H
#define SMX_MUX_POOL_LOGIN_H

#include "mux/core/link.h"
#include "mux/pool/attempts.h"
#include "mux/pool/prepare.h"
#include "ssh/auth_client.h"

struct login;
struct pool_entry;

/*
 * Called once: r 0, the user is logged in; else why not. Not called after login_free.
 */
typedef void login_cb(void *arg, int r, const char *why);
/* A message is out that will probably be the last (B13): the request that was all that the last
 * login took, or what follows answers that were right. */
typedef void login_sure_cb(void *arg);

/* Borrows l, prepared and hop, which outlive it. NULL: no memory. */
struct login *login_new(struct pool_entry *e, struct link *l, const struct smx_hop *hop,
	const struct prepared *prepared, login_cb *cb, login_sure_cb *sure, void *arg);
/* The key exchange is done. */
void login_begin(struct login *lg);
/* A message before SMX_PHASE_CONNECTION. */
int login_handle(struct login *lg, struct smx_view payload);
/* Whether it took, or is taking, a person (B2; the time limit stands still while one is asked). */
int login_wants_person(const struct login *lg);
/* What the server said last without asking anything (A12), in a line, or "". Cleaned. */
const char *login_said(const struct login *lg);
/* The server has a request and has not answered it: whatever it waits for takes its time. */
int login_is_with_server(const struct login *lg);
int login_is_asking(const struct login *lg);
/* What there is to remember of it should it have failed; all but kind NONE and the cause (U5). */
void login_note_failure(const struct login *lg, struct attempt_failure *f);
/* The server was sent more than one message and has answered none (B13). */
int login_is_unheard(const struct login *lg);
/* The message of login_sure_cb is out, and not answered. */
int login_is_sure(const struct login *lg);
/*
 * The server was asked for questions before it had answered what came before, and had not begun with
 * them, as far as one can tell: nobody has heard of it.
 */
int login_has_gone_ahead(const struct login *lg);
/* It may be tried again at once, unasked: no person has answered or been reached. */
int login_may_go_again(const struct login *lg);
/* What the server took so far, in words: for the log. */
const char *login_methods(const struct login *lg);
void login_free(struct login *lg); /* NULL works */

#endif
