/* SPDX-License-Identifier: MIT */
/*
 * The one judge of Windows permissions (S3). A pure function over a security descriptor, so that
 * every case can be put to it in SDDL: no file system is asked.
 */
#ifndef SMX_OS_WIN_DACL_H
#define SMX_OS_WIN_DACL_H

#include "os/win/win.h"

/* What is judged decides which rights are dangerous in foreign hands. */
enum smx_win_kind {
	SMX_WIN_FILE, /* nobody else may change it */
	SMX_WIN_DIR, /* nor what is in it: FILE_DELETE_CHILD counts */
	SMX_WIN_HOST_KEY, /* nor read it */
	SMX_WIN_TOKEN, /* the name of our pipe: as a key */
};

/*
 * 0, or SMX_EUNSAFE with a line added to err that names the path, the account and the right.
 *
 * The owner must be the user, SYSTEM or Administrators. Of the DACL:
 *   - none at all (NULL), which lets everybody do everything: refused; an empty one lets nobody in
 *     and passes;
 *   - an entry that allows one of the dangerous rights to anybody but those three (and OWNER
 *     RIGHTS, which is one of them): refused, whether a deny entry stands before it or not;
 *   - one that only children inherit counts for them when they are judged, not here;
 *   - object entries (their SID stands at an offset that depends on what is in them), and all
 *     kinds that we do not know: refused if they allow a dangerous right;
 *   - what can't be read, or does not fit into its own length: refused.
 */
int smx_win_dacl_check(PSECURITY_DESCRIPTOR sd, PSID user, enum smx_win_kind kind, const char *path,
	struct smx_buf *err);

/* The same for what an open handle of a file or directory shows. */
int smx_win_dacl_check_handle(
	HANDLE h, enum smx_win_kind kind, const char *path, struct smx_buf *err);

/* 1 if what a handle of a pipe's end shows belongs to one of those three: whoever made a pipe reads
 * all that goes through it. 0 also where that can't be told. */
int smx_win_pipe_is_trusted(HANDLE h);

/* Our user's SID, from the token of the process; free with smx_free. SMX_ESYS: fail closed. */
int smx_win_user_sid(PSID *ret);
/* The same as text, "S-1-5-21-...". */
int smx_win_user_sid_text(char **ret);

/*
 * A security descriptor for something that we make: protected (nothing is inherited), owned by us,
 * full rights for us, SYSTEM and Administrators; everybody may read it besides if is_readable.
 * Free with LocalFree. SMX_ESYS.
 */
int smx_win_private_sd(int is_readable, PSECURITY_DESCRIPTOR *ret);
/* For a directory: the same for all that is made in it, by whatever program. */
int smx_win_private_sd_of_dir(PSECURITY_DESCRIPTOR *ret);
/* For a named pipe: us and nobody else, not even SYSTEM (S6). */
int smx_win_private_sd_of_pipe(PSECURITY_DESCRIPTOR *ret);

#endif
