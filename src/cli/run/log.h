/* SPDX-License-Identifier: MIT */
/* The log of `serve` and of the daemon (D4). */
#ifndef SMX_CLI_RUN_LOG_H
#define SMX_CLI_RUN_LOG_H

#include "mux/core/daemon.h"

#include "base/attr.h"

#define SMX_LOG_FILE "ssh-mux.log" /* in the SSH directory (D4) */

/*
 * What is logged goes to the log file as well as to stderr, and so does the report of a crash. The
 * level is that of --log-level if it was given, else of $SSH_MUX_LOG. A file that can't be used is
 * a warning. is_detached: stderr is the log file's.
 */
void smx_cli_log_start(struct smx_serve_options *o, int is_detached);
void smx_cli_log_stop(void);
/* Sets the level as said above. NULL, or the variable's value if it is none. */
const char *smx_cli_log_level(struct smx_serve_options *o);
/* To the log file only: why nothing could be started, which has been said on stderr. */
void smx_cli_log_failure(const char *ssh_dir, const char *fmt, ...) SMX_PRINTF(2, 3);

#endif
