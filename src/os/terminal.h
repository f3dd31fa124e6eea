/* SPDX-License-Identifier: MIT */
/*
 * The terminal as a session's (D2), and standard streams of any kind.
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_TERMINAL_H
#define SMX_OS_TERMINAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct smx_os_terminal_size {
	uint32_t columns, rows, width, height; /* the latter two in pixels, 0: not known */
};
/* SMX_ENOTFOUND: fd is no terminal. */
int smx_os_terminal_size(int fd, struct smx_os_terminal_size *ret);
/* Appends its modes as RFC 4254 section 8 codes them, the end mark included. SMX_ENOTFOUND. */
int smx_os_terminal_modes(int fd, struct smx_buf *out);
/*
 * Every key comes as it is typed, and is not shown. Put back by _restore, and by any signal that
 * ends the process but SIGKILL; one terminal at a time. SMX_ENOTFOUND, SMX_ESYS.
 */
int smx_os_terminal_raw(int fd);
void smx_os_terminal_restore(void); /* no-op if it is as it was */
/*
 * The same for a view that fills the terminal: besides, `out` shows an empty screen without a
 * cursor, on which long lines are cut, until _restore brings the one before it back. It takes the
 * sequences of a VT100 and of xterm. After a stop and continue it is empty again: draw it anew.
 */
int smx_os_terminal_full(int in, int out);
/* Whether what the user's environment says of it makes UTF-8 the encoding of the terminal. */
int smx_os_terminal_is_utf8(void);

/*
 * Standard streams of any kind (files, pipes, terminals), for worker threads. The descriptors are
 * left as they are found: other programs may hold them too.
 */
struct smx_os_input;
/* Borrows fd. SMX_ENOMEM, SMX_ESYS. */
int smx_os_input_new(int fd, struct smx_os_input **ret);
/* Waits for some bytes. SMX_EEOF, SMX_ECANCELLED, SMX_ESYS. */
int smx_os_input_read(struct smx_os_input *in, void *p, size_t size, size_t *ret_len);
/* From any thread; a read to come is cancelled too. */
void smx_os_input_cancel(struct smx_os_input *in);
void smx_os_input_free(struct smx_os_input *in); /* NULL works */
/* Writes everything. SMX_EEOF (nobody reads it any more), SMX_ESYS. */
int smx_os_output_write(int fd, const void *p, size_t len);
/*
 * For a pipe through which bulk streams: from now on it holds 256 KiB, if it held less. Best effort:
 * where the system can do that, and within what it allows the user (pipe(7)).
 */
void smx_os_pipe_widen(int fd);

#endif
