/* SPDX-License-Identifier: MIT */
/* Starting a daemon, for who does it otherwise than smx_cli_daemon_start. */
#ifndef SMX_CLI_RUN_DAEMON_H
#define SMX_CLI_RUN_DAEMON_H

#include <stdint.h>

#include "cli/cli.h"

/* Waits until `deadline` (smx_os_monotonic_ms) for whoever is to answer at path. As
 * smx_cli_client_try. */
int smx_cli_daemon_await(
	struct smx_cli_client *c, const char *path, uint64_t deadline, int *ret_is_absent);
/*
 * Says that the daemon did not start, with the last error in its log behind `from`. log_fd: of
 * smx_os_log_open, or -1. Returns the exit code.
 */
int smx_cli_daemon_failed(int log_fd, uint64_t from, const char *log_path);

#endif
