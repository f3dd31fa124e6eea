/* SPDX-License-Identifier: MIT */
/*
 * A daemon started by one of our own commands (D1).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_SPAWN_H
#define SMX_OS_SPAWN_H

#include "base/buf.h"

/*
 * Runs this very program again, by the path the system has for it (never argv[0]), as `args`
 * (args[0] is the program's name, NULL at the end): detached from the terminal, in a session of its
 * own, in the root directory, with nothing of ours but the environment. It reads nothing, its
 * errors go to log_fd (-1: nowhere), and its output to *ret_fd, a non-blocking descriptor for
 * smx_os_ipc_read, which is at its end when the program has called smx_os_daemon_report or is gone.
 * SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_spawn_daemon(const char *const *args, int log_fd, int *ret_fd, struct smx_buf *err);
/* Within it: tells who has started it one byte; what is printed goes to the log from then on. */
void smx_os_daemon_report(char what);

#endif
