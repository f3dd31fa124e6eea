/* SPDX-License-Identifier: MIT */
#ifndef SMX_OS_WIN_SPAWN_H
#define SMX_OS_WIN_SPAWN_H

#include "os/win/win.h"

/*
 * One command line that the C library of the program splits into exactly these arguments again.
 * smx_malloc'ed UTF-16. SMX_EINVAL (not UTF-8), SMX_ENOMEM.
 */
int smx_win_command_line(const char *const *args, wchar_t **ret);

/* Standard handles of a new process; NULL: the null device. They need not be inheritable. */
struct smx_win_streams {
	HANDLE in, out, err;
};

/*
 * Starts `program` (absolute path) with those three handles and no other one of ours, by a handle
 * list. flags: of CreateProcessW, besides those this needs; one that is detached starts in the
 * system's directory, any other in ours. SMX_ENOTFOUND, SMX_EDENIED, SMX_ESYS,
 * SMX_ENOMEM.
 */
int smx_win_start(const char *program, const char *const *args, DWORD flags,
	const struct smx_win_streams *streams, PROCESS_INFORMATION *ret, struct smx_buf *err);

/* A pipe for the output of a process: our end is overlapped, theirs is plain. SMX_ESYS. */
int smx_win_output_pipe(HANDLE *ret_ours, HANDLE *ret_theirs);

#endif
