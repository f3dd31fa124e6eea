/* SPDX-License-Identifier: MIT */
/*
 * The process at the other end of a control socket (W2): where its person sits, and what he has
 * said about being asked. A part of what differs from system to system, under the rules of os/README.md.
 *
 * All of it is read from what the system tells about processes of our own user. A process id is
 * used only as long as the process with it is the one that it was, which its start tells.
 */
#ifndef SMX_OS_CALLER_H
#define SMX_OS_CALLER_H

#include <stdint.h>

#include "base/buf.h"

#define SMX_OS_CALLER_BYTES_MAX (256 * 1024) /* of arguments, or of an environment */

struct smx_os_caller;

/*
 * Call it while the connection is open: later the process may be another one. SMX_ENOTFOUND: there
 * is none, or another user's. SMX_EUNSUPPORTED: the system does not tell. SMX_ENOMEM.
 */
int smx_os_caller_new(int64_t pid, struct smx_os_caller **ret);
void smx_os_caller_free(struct smx_os_caller *c); /* NULL works */
/* What tells the process from others, for the helper (os/helper.h). */
void smx_os_caller_id(const struct smx_os_caller *c, int64_t *ret_pid, uint64_t *ret_start);
/* The process of which that was told, if it is still there. SMX_ENOTFOUND, SMX_ENOMEM. */
int smx_os_caller_known(int64_t pid, uint64_t start, struct smx_os_caller **ret);

enum smx_os_caller_tty {
	SMX_OS_CALLER_NO_TTY, /* it has no controlling terminal, or is gone */
	SMX_OS_CALLER_BACKGROUND, /* it has, and is stopped or in the background there */
	SMX_OS_CALLER_FOREGROUND,
};
enum smx_os_caller_tty smx_os_caller_tty(const struct smx_os_caller *c);
/* Which terminal that is, to compare; 0: none. */
uint64_t smx_os_caller_tty_id(const struct smx_os_caller *c);
/*
 * Opens that terminal, for an open file of our own that waits when it is read. fds: descriptors of
 * the caller's, -1 among them, one of which may be that terminal: then the name does not matter.
 * SMX_ENOTFOUND: it can't be opened.
 */
int smx_os_caller_open_tty(
	const struct smx_os_caller *c, const int *fds, size_t n_fds, int *ret_fd);

/* Its arguments, or its environment: strings, each with its NUL. SMX_ENOTFOUND: they are not to be
 * had. SMX_ELIMIT: they are longer than out's cap. */
int smx_os_caller_args(const struct smx_os_caller *c, struct smx_buf *out);
int smx_os_caller_env(const struct smx_os_caller *c, struct smx_buf *out);

/*
 * The ssh that it runs, and where it runs. SMX_ENOTFOUND: it runs another program, or it is not to
 * be known; SMX_ENOMEM.
 */
int smx_os_caller_program(const struct smx_os_caller *c, char **ret_path, char **ret_dir);

/*
 * What the key of a terminal would have done to the job in its foreground, if the caller belongs to
 * it, and else to the caller. Nothing if it is gone.
 */
enum smx_os_key { SMX_OS_KEY_INTERRUPT, SMX_OS_KEY_QUIT, SMX_OS_KEY_SUSPEND };
void smx_os_caller_press(const struct smx_os_caller *c, enum smx_os_key key);

/*
 * For the process that asks at such a terminal, which is not its own: as smx_os_ask_new, with the
 * terminal of this descriptor; the question is over when `life` can be read or is at its end. Both
 * are taken over. SMX_ENOTFOUND: it is no terminal. The modes are put back unless somebody else has
 * changed them meanwhile: then they are his.
 */
struct smx_os_ask;
int smx_os_ask_new_at(int tty, int life, struct smx_os_ask **ret);
/* Signals that would end or stop such a process before it has put the terminal back are ignored. */
void smx_os_ignore_terminal(void);
/* Whether it was a key of the terminal's that cancelled the question, and which. */
int smx_os_ask_was_key(const struct smx_os_ask *a, enum smx_os_key *ret);

/* The modes of a terminal, to be put back should the process that changed them be killed. */
struct smx_os_modes;
int smx_os_modes_keep(int fd, struct smx_os_modes **ret);
/* Does not wait. Frees; NULL works. */
void smx_os_modes_put_back(int fd, struct smx_os_modes *modes);
void smx_os_modes_free(struct smx_os_modes *modes); /* NULL works */
/* Writes a line to a terminal without waiting: what it does not take is lost. */
void smx_os_tty_tell(int fd, const char *text);

#endif
