/* SPDX-License-Identifier: MIT */
/*
 * A process that asks one question for the daemon at a place of one of its clients: a SSH_ASKPASS,
 * `ssh-mux prompt --terminal` at a terminal, or `ssh -G`, which asks the client's configuration. It
 * says the answer on its standard output.
 */
#ifndef SMX_MUX_ASK_ASK_PROCESS_H
#define SMX_MUX_ASK_ASK_PROCESS_H

#include "base/wire.h"
#include "mux/core/mux.h"
#include "os/caller.h"
#include "os/helper.h"

#define ASK_PROCESS_ANSWER_MAX 4096
#define ASK_PROCESS_TERMINAL   3 /* the descriptor at which it finds the terminal */
#define ASK_PROCESS_TEXT_MAX   (64 * 1024)

/* How `ssh-mux prompt --terminal` ends; an SSH_ASKPASS ends with 0 or not. */
enum ask_process_exit {
	ASK_PROCESS_ANSWERED = 0,
	ASK_PROCESS_CANCELLED = 1,
	ASK_PROCESS_CANNOT_ASK = 2,
	ASK_PROCESS_KEY = 16, /* and enum smx_os_key: that key was pressed */
};

struct ask_process;

/*
 * Called once, from the loop, unless cancelled. code: its exit code, or -1: it was killed, or said
 * what can't be an answer. answer: valid during the call, and wiped then.
 */
typedef void ask_process_cb(void *arg, int code, struct smx_view answer);

struct ask_process_start {
	enum smx_helper_kind kind; /* PROMPT, ASKPASS or SSH_CONFIG */
	const struct smx_os_caller *caller; /* whose program it is: of the latter two; else NULL */
	enum smx_askpass_hint hint; /* ASKPASS */
	const char *file; /* found by the PATH of env if it has no "/" */
	const char *const *args; /* the first is its name; a NULL behind the last */
	char *const *env; /* NULL: ours */
	const char *dir; /* where it runs; NULL: where we do */
	size_t answer_max; /* bytes of an answer; 0: ASK_PROCESS_ANSWER_MAX */
	const char *text; /* told on its standard input, with its NUL; NULL: it has none */
	int tty; /* for a process with a text: the terminal; taken over, in any case. Else -1 */
};

/* SMX_ENOTFOUND (it can't be started), SMX_ENOMEM. */
int ask_process_new(struct mux *m, const struct ask_process_start *start, ask_process_cb *cb,
	void *arg, struct ask_process **ret);
/* The question is void: the process ends, having put the terminal back. NULL works. */
void ask_process_cancel(struct ask_process *p);

#endif
