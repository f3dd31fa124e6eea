/* SPDX-License-Identifier: MIT */
/*
 * A question asked in a window of its own, by a pinentry that the daemon starts (A6): for a daemon
 * on a desktop when no client is attached. It gets no terminal, not even that of the daemon's.
 */
#ifndef SMX_MUX_ASK_PINENTRY_H
#define SMX_MUX_ASK_PINENTRY_H

#include "mux/core/mux.h"
#include "pinentry/dialogue.h"

struct pinentry;

/*
 * Called once, from the loop, unless cancelled. 0 and the answer, valid during the call;
 * SMX_ECANCELLED; SMX_ENOTFOUND: it can't ask; other codes: it misbehaved.
 */
typedef void pinentry_cb(void *arg, int r, const char *answer);

/* What asks. */
struct pinentry_choice {
	char *program; /* an absolute path */
	const char *args[2]; /* static; NULL where there is none */
	int is_window; /* of our own (A4), with the rules of A5 */
};

/*
 * The routes file's `pinentry`; else, on a system with windows of our own, `ssh-mux prompt`, which
 * makes the one that `prompter` says; else, where the environment speaks of a display, "pinentry"
 * in one of the system's directories, never by PATH. SMX_ENOTFOUND: none; SMX_ENOMEM, SMX_ESYS.
 */
int pinentry_find(const struct mux *m, enum smx_prompter prompter, struct pinentry_choice *ret);
/* Whether a program is one of those that are looked for where the routes name none. */
int pinentry_is_usual(const char *path);
void pinentry_choice_release(struct pinentry_choice *c);
/*
 * Asks; a question without q->prompt is one of yes or no ("yes" and "no" are its answers).
 * SMX_ETOOBIG (smx_pinentry_init), SMX_ENOTFOUND (the program can't be started), SMX_ENOMEM.
 */
int pinentry_ask(struct mux *m, const struct pinentry_choice *choice,
	const struct smx_pinentry_question *q, pinentry_cb *cb, void *arg, struct pinentry **ret);
/* The question is void: its window goes away. NULL works. */
void pinentry_cancel(struct pinentry *p);

#endif
