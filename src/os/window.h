/* SPDX-License-Identifier: MIT */
/*
 * A question in a window of its own (A4, A5).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_WINDOW_H
#define SMX_OS_WINDOW_H

#include <stdatomic.h>
#include <stddef.h>

enum smx_os_window_kind {
	SMX_OS_WINDOW_NATIVE, /* a dialogue box of this very process */
	SMX_OS_WINDOW_SCRIPT, /* a console that the system's own shell asks in (PowerShell) */
};

/* Strings of UTF-8, in which "\n" ends a line; "" for what there is not. */
struct smx_os_window_question {
	const char *title;
	const char *text; /* who asks, what for */
	const char *label; /* before the field to type into; NULL: yes or no is asked */
	const char *error; /* what was wrong with the answer before */
};

/* Whether this system has such windows at all. */
int smx_os_has_window(void);
/*
 * Shows it and waits for the answer, which is masked. The window is gone when this returns, in any
 * case; soon after another thread has made *stop other than 0 it returns SMX_ECANCELLED. For a
 * question of yes or no, 0 is yes and SMX_ECANCELLED everything else.
 * SMX_ECANCELLED: closed, or given up. SMX_ELIMIT: the answer does not fit. SMX_ENOTFOUND: there is
 * no desktop, or no shell. SMX_EUNSUPPORTED: not on this system. SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_window_ask(enum smx_os_window_kind kind, const struct smx_os_window_question *q,
	const atomic_int *stop, char *ret_answer, size_t size);

#endif
