/* SPDX-License-Identifier: MIT */
/* Lines and fields of the files in this folder, and warnings about them. Private to src/trust. */
#ifndef SMX_TRUST_TEXT_H
#define SMX_TRUST_TEXT_H

#include "base/buf.h"
#include "base/wire.h"

/* Drops a UTF-8 byte order mark. */
struct smx_view smx_text_skip_bom(struct smx_view text);
/*
 * Takes the next line off *text, without its end (LF or CR LF) and without the blanks
 * around it. 1, or 0 when the text is used up.
 */
int smx_text_line(struct smx_view *text, struct smx_view *ret_line);
/* Takes the bytes up to the next blank off *rest, and the blanks behind them. */
struct smx_view smx_text_field(struct smx_view *rest);

/* Where a warning is about. */
struct smx_text_at {
	const char *source_name;
	unsigned line;
	struct smx_buf *warnings; /* or NULL */
};

/*
 * "name:12: what\n", or "name:12: what "about"\n" with the first bytes of about if it isn't
 * empty. What isn't printable ASCII is replaced; a warning that does not fit is dropped as a whole.
 */
void smx_text_warn(const struct smx_text_at *at, const char *what, struct smx_view about);

#endif
