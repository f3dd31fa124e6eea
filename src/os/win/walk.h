/* SPDX-License-Identifier: MIT */
#ifndef SMX_OS_WIN_WALK_H
#define SMX_OS_WIN_WALK_H

#include "os/win/win.h"

#define SMX_WIN_DEPTH_MAX 64 /* directories on the way */

/* A place whose directories were checked, and are held so that they stay. */
struct smx_win_place {
	HANDLE held[SMX_WIN_DEPTH_MAX + 1]; /* from the root on */
	size_t count;
	wchar_t *wide; /* the whole path, \\?\ form */
	size_t name_at; /* where its last component begins */
	char *dir; /* the directory, normalised */
};

/*
 * whole: the last component is a directory too, and held last. Else it is not looked at.
 * SMX_EINVAL (no absolute path, "..", a name that no file has), SMX_EUNSAFE (a reparse point on the
 * way), SMX_ENOTFOUND, SMX_EDENIED, SMX_ELIMIT, SMX_ESYS, SMX_ENOMEM.
 */
int smx_win_walk(const char *path, int whole, struct smx_win_place *ret, struct smx_buf *err);
void smx_win_place_release(struct smx_win_place *pl);
/* 0 if the open thing is a directory, or (want_dir 0) a plain file of a disk, and no link. */
int smx_win_refuse_reparse(HANDLE h, const char *path, int want_dir, struct smx_buf *err);

#endif
