/* SPDX-License-Identifier: MIT */
/*
 * Asking at the terminal (A6).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_ASK_H
#define SMX_OS_ASK_H

#include <stddef.h>

/*
 * One question at the controlling terminal, which a worker thread can wait for and another
 * thread take back. The terminal is put back as it was in every case.
 */
struct smx_os_ask;

/* SMX_ENOTFOUND (there is no terminal), SMX_ESYS, SMX_ENOMEM. */
int smx_os_ask_new(struct smx_os_ask **ret);
/*
 * Writes text as it is (the caller has made it fit for a terminal) and reads a line, without echo
 * unless asked for. Blocks. The answer has no line end and is NUL-terminated.
 * SMX_ECANCELLED: Ctrl-C, Ctrl-D on an empty line, or smx_os_ask_cancel. SMX_ELIMIT: too long.
 */
int smx_os_ask_run(struct smx_os_ask *a, const char *text, int echo, char *ret_answer, size_t size);
/* From any thread, at any time before the free; a run to come is cancelled too. */
void smx_os_ask_cancel(struct smx_os_ask *a);
void smx_os_ask_free(struct smx_os_ask *a); /* NULL works */

/*
 * A question asked by a program of the user's, in a process of its own, so that the program goes on
 * meanwhile: at the controlling terminal, or by the SSH_ASKPASS of its environment (an editor's
 * input box). As ssh does, SSH_ASKPASS_REQUIRE decides: "force" and "prefer" take SSH_ASKPASS
 * first, "never" the terminal only; else the terminal if there is one. Before all that,
 * SSH_MUX_PINENTRY names a pinentry to use (an absolute path), which gets the terminal if there is
 * one.
 */
struct smx_os_asker;

/* Where the process would ask: nothing is shown. */
enum smx_os_asks {
	SMX_OS_ASKS_NOWHERE,
	SMX_OS_ASKS_PROGRAM, /* SSH_ASKPASS */
	SMX_OS_ASKS_PINENTRY,
	SMX_OS_ASKS_TERMINAL,
};
enum smx_os_asks smx_os_asker_place(void);
/*
 * is_confirm: yes or no is asked; an SSH_ASKPASS is told so by SSH_ASKPASS_PROMPT=confirm.
 * SMX_ENOTFOUND: there is no way to ask. SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_asker_start(const char *text, int echo, int is_confirm, struct smx_os_asker **ret);
/* A descriptor to read to its end, non-blocking; the caller takes it over. What it gives goes,
 * whole, to smx_os_asker_result. */
int smx_os_asker_take_fd(struct smx_os_asker *a);
/*
 * 0 and the answer (NUL-terminated), SMX_ECANCELLED, SMX_ENOTFOUND (it could not be asked after
 * all), SMX_ELIMIT. Ends the asker either way.
 */
int smx_os_asker_result(
	struct smx_os_asker *a, const char *bytes, size_t len, char *ret_answer, size_t size);
/* Takes the question back; the terminal is as it was. */
void smx_os_asker_cancel(struct smx_os_asker *a);

#endif
