/* SPDX-License-Identifier: MIT */
/*
 * The escape character of a session at a terminal, as in ssh: at the beginning of a line, `~.` ends
 * the session and `~~` is one `~`. Nothing else is special: the two characters pass. Sans I/O.
 */
#ifndef SMX_CLI_SESSION_ESCAPE_H
#define SMX_CLI_SESSION_ESCAPE_H

#include <stddef.h>

enum smx_escape_state {
	SMX_ESCAPE_LINE_START, /* the initial state */
	SMX_ESCAPE_SEEN, /* `~` at the beginning of a line, held back */
	SMX_ESCAPE_IN_LINE,
};

/*
 * Takes n typed bytes and gives those that are to be sent: at most n + 1. 1: the session is to end,
 * after these bytes; what stands behind is dropped.
 */
int smx_escape_take(
	enum smx_escape_state *state, const char *in, size_t n, char *ret_out, size_t *ret_len);

#endif
