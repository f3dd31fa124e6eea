/* SPDX-License-Identifier: MIT */
/*
 * Private to src/os/win. Text is UTF-8 everywhere outside this folder, and UTF-16 at the system's
 * edge: only the functions ending in W are called, so no code page ever decides what a name is.
 */
#ifndef SMX_OS_WIN_WIN_H
#define SMX_OS_WIN_WIN_H

#include <stddef.h>
#include <stdint.h>
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

#include "base/attr.h"
#include "base/buf.h"

/* Adds text to err, if there is one. A full or failing err loses text and nothing else. */
void smx_win_say(struct smx_buf *err, const char *fmt, ...) SMX_PRINTF(2, 3);
/*
 * "<what> <path>: <the system's text for `code`>"; returns SMX_ENOTFOUND where nothing is of that
 * name, SMX_EDENIED where we may not, SMX_ENOMEM, else SMX_ESYS.
 */
int smx_win_fail(struct smx_buf *err, const char *what, const char *path, DWORD code);

/* UTF-8 to UTF-16 and back; smx_malloc'ed, NUL-terminated. SMX_EINVAL (not well-formed: a name that
 * we could not give back as it was), SMX_ENOMEM. */
int smx_win_wide(const char *text, wchar_t **ret);
int smx_win_utf8(const wchar_t *text, char **ret);
/*
 * As smx_win_wide for an absolute path, in the form that has no length limit and that nothing
 * rewrites behind our back: \\?\C:\... or \\?\UNC\server\share\... SMX_EINVAL.
 */
int smx_win_wide_path(const char *path, wchar_t **ret);

/* A variable of the environment, smx_malloc'ed UTF-8. SMX_ENOTFOUND, SMX_ENOMEM. */
int smx_win_getenv(const char *name, char **ret);
/* A folder that the system knows (S8), normalised UTF-8. SMX_ENOTFOUND, SMX_ENOMEM. */
int smx_win_known_folder(const GUID *id, char **ret_path);

/* ipc.c: 0 if the process runs as our user or as SYSTEM; SMX_EDENIED, also if it can't be asked. */
int smx_win_process_check(DWORD pid);

#endif
