/* SPDX-License-Identifier: MIT */
/*
 * One session of an SSH client of our own (D2): the transport runs over an uplink to the daemon,
 * the session's streams are the standard ones, and its exit code is what the exit-status or
 * exit-signal message of its channel says, which no byte of the streams can be mistaken for.
 */
#ifndef SMX_CLI_SESSION_SESSION_H
#define SMX_CLI_SESSION_SESSION_H

#include "base/wire.h"

#define SMX_SESSION_FAILED 255 /* our own failure, as ssh has it */

struct smx_session_options {
	const char *name; /* for messages: what the user called it */
	const char *user; /* to give at the local server; means nothing there */
	const char *command; /* NULL: a shell */
	int wants_pty;
	struct smx_view host_key; /* of the local server: the blob it must have */
};

/*
 * Runs it. fd: upgraded by "connect", taken over; early: the bytes behind the answer. Returns the
 * exit code for the process; has said why where that is SMX_SESSION_FAILED.
 */
int smx_session_run(int fd, struct smx_view early, const struct smx_session_options *opts);

#endif
