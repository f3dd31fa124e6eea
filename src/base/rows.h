/* SPDX-License-Identifier: MIT */
/* A stranger's text of several lines as rows of a screen (A14). */
#ifndef SMX_BASE_ROWS_H
#define SMX_BASE_ROWS_H

#include "base/buf.h"
#include "base/wire.h"

#define SMX_ROWS_COLUMNS_MIN 8
#define SMX_ROWS_URL_MAX     512 /* bytes */

/*
 * Appends the text to out, cleaned (A7), as rows that each end with "\n" and take `columns` columns
 * at most, so that no terminal of that width begins a row by itself. Line breaks are kept. Of
 * blanks, in whatever script, those at the end of a line, where a row is broken and at the
 * beginning of a line that has to be broken are left out; of empty lines, those at both ends and
 * all but one of several. Words that are longer than a row are broken, but:
 * - of a line that is drawn (one character again and again) what does not fit is left out;
 * - a web address stays whole, in a row by itself, for it is to be copied. It has no blanks, which
 *   all that we ask has.
 * Errors of smx_buf; SMX_ENOMEM.
 */
int smx_rows_put(struct smx_buf *out, struct smx_view text, size_t columns);

/* At least as many columns as a terminal takes for a text that is clean. */
size_t smx_rows_width(struct smx_view text);

/* Takes the first row off *rows, without its "\n". 0: there is none. */
int smx_rows_next(struct smx_view *rows, struct smx_view *ret);

#endif
