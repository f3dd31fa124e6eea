/* SPDX-License-Identifier: MIT */
/*
 * One question asked by a pinentry (A6): the dialogue, sans I/O. Whoever has started the program
 * writes smx_pinentry's `out` to it, and feeds what it says.
 */
#ifndef SMX_PINENTRY_DIALOGUE_H
#define SMX_PINENTRY_DIALOGUE_H

#include "pinentry/assuan.h"

#define SMX_PINENTRY_ANSWER_MAX 1023
#define SMX_PINENTRY_STEPS_MAX  12

/* Any of the strings but the description may be NULL: not said. */
struct smx_pinentry_question {
	const char *title;
	const char *description; /* lines of text; with `prompt`, cut if it is too long */
	const char *error; /* what was wrong with the answer before */
	const char *prompt; /* before the field to type into; NULL: yes or no is asked */
	const char *ttyname, *ttytype; /* the terminal to use, for a pinentry that uses one */
	const char *lc_ctype; /* what the texts' bytes mean there */
};

struct smx_pinentry {
	struct smx_buf out; /* to be written; the user consumes it */
	struct smx_buf answer; /* secret */
	struct smx_buf in, commands; /* an unfinished line; what is still to be said */
	struct {
		size_t len;
		int is_needed; /* the question is not put unless this is taken */
	} steps[SMX_PINENTRY_STEPS_MAX];
	size_t n_steps, at;
	int is_greeted, is_confirm;
};

/* SMX_ETOOBIG: a question of yes or no must be read whole, and is too long. SMX_ENOMEM. */
int smx_pinentry_init(struct smx_pinentry *p, const struct smx_pinentry_question *q);
void smx_pinentry_release(struct smx_pinentry *p);

/*
 * SMX_EAGAIN: it goes on. 0: the answer ("yes" or "no" where that was asked) is in
 * smx_pinentry_answer. SMX_ECANCELLED: the person would not. SMX_ENOTFOUND: it can't ask here.
 * SMX_EUNSUPPORTED: our own says so of the way that it was told to ask by; another may do.
 * Else it broke the protocol.
 */
int smx_pinentry_feed(struct smx_pinentry *p, struct smx_view bytes);
/* It has ended: what that means, of the codes above. */
int smx_pinentry_end(const struct smx_pinentry *p);
/* NULL: no memory. Lives as long as p. */
const char *smx_pinentry_answer(struct smx_pinentry *p);

#endif
