/* SPDX-License-Identifier: MIT */
/*
 * The Assuan protocol as its client speaks it to a pinentry: lines of at most 1000 bytes, in which
 * what is not plain text is percent-escaped. Sans I/O.
 */
#ifndef SMX_PINENTRY_ASSUAN_H
#define SMX_PINENTRY_ASSUAN_H

#include "base/buf.h"
#include "base/wire.h"

#define SMX_ASSUAN_LINE_MAX 1000 /* with its newline */

/*
 * Appends "COMMAND argument\n" (no argument: len 0). Of the argument, '%', '\\', every control
 * character and a space at its beginning are escaped, so that nothing in it can end the line or
 * begin another command (A6). SMX_ETOOBIG if it does not fit a line, and the buffer's errors.
 */
int smx_assuan_put(struct smx_buf *out, const char *command, struct smx_view argument);
/* The same for text that is to be read: what does not fit is cut off, at a character of UTF-8. */
int smx_assuan_put_cut(struct smx_buf *out, const char *command, struct smx_view argument);

enum smx_assuan_type {
	SMX_ASSUAN_OK,
	SMX_ASSUAN_ERR, /* code */
	SMX_ASSUAN_DATA, /* rest, to be decoded */
	SMX_ASSUAN_STATUS,
	SMX_ASSUAN_COMMENT,
	SMX_ASSUAN_INQUIRE, /* the server asks back */
};

struct smx_assuan_line {
	enum smx_assuan_type type;
	uint32_t code;
	struct smx_view rest; /* into the bytes */
};

/*
 * The first line of the bytes received so far. *ret_used: bytes it took. SMX_EAGAIN: more are
 * needed. SMX_ETOOBIG (no end within SMX_ASSUAN_LINE_MAX), SMX_EFORMAT: the dialogue is over.
 */
int smx_assuan_next(struct smx_view bytes, struct smx_assuan_line *ret, size_t *ret_used);
/* Appends the bytes that a DATA line means. SMX_EFORMAT, and the buffer's errors. */
int smx_assuan_decode(struct smx_view escaped, struct smx_buf *ret);

#endif
