/* SPDX-License-Identifier: MIT */
/*
 * Paths: the home, the SSH directory, the directory of our sockets (S1, S4, S5, S8).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_PATH_H
#define SMX_OS_PATH_H

#include "base/buf.h"

/* Longest path we take. */
#define SMX_OS_PATH_MAX 4096

/*
 * The home directory as the system knows it (user database, Known Folder API), never $HOME (S8).
 * SMX_ENOTFOUND, SMX_ENOMEM.
 */
int smx_os_home(char **ret_path, struct smx_buf *err);

/*
 * The SSH directory (D3, S4): $SSH_MUX_SSH_DIR if that is set, absolute, exists and passes
 * smx_os_dir_check; else ~/.ssh below smx_os_home. An override that fails the check is ignored and
 * a line saying so is added to `warning` (may be NULL), which the caller shows. One that can't be
 * checked for want of descriptors or memory, or because a disk fails, is an error: who set it does
 * not want his keys looked for elsewhere. ~/.ssh need not
 * exist and is not checked here: every file read or written in it checks the whole chain.
 * The path is normalised: absolute, no "//", no "." and no trailing slash.
 */
int smx_os_ssh_dir(char **ret_path, struct smx_buf *warning, struct smx_buf *err);

/* dir + "/" + name. SMX_ENOMEM, SMX_ELIMIT (longer than SMX_OS_PATH_MAX). */
int smx_os_path_join(const char *dir, const char *name, char **ret_path);
/* What follows "~/" at the beginning of a path ("~\\" counts on Windows); else NULL. */
const char *smx_os_path_below_home(const char *path);
/* The name at the end of a path: what follows the last separator. */
const char *smx_os_path_name(const char *path);
/* Whether the system takes both for the same path, as they are written: 1 or 0. */
int smx_os_path_same(const char *a, const char *b);
/* The directory part of an absolute path; of what lies in a root, that root. SMX_EINVAL (a root, or
 * not absolute), SMX_ENOMEM. */
int smx_os_path_dir(const char *path, char **ret_dir);
/* 1 if the path starts at a root. */
int smx_os_path_is_absolute(const char *path);
/*
 * A path as a person typed it, made absolute and normalised: relative ones start at the working
 * directory, and ".." at their beginning goes up from there (the system's spelling of it has no
 * symlinks, so that is exact). ".." further on stays, for the walk below to refuse.
 * SMX_EINVAL (empty), SMX_ELIMIT, SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_path_absolute(const char *path, char **ret_path);

/*
 * The directory of our sockets (S5): $XDG_RUNTIME_DIR/ssh-mux if XDG_RUNTIME_DIR is absolute, ours
 * and mode 0700, else /tmp/ssh-mux-{uid}. Made with mode 0700 if missing; in either case checked on
 * each call: a directory and no symlink, owned by us, no access for anybody else. The latter is no
 * substitute for the former where that can't be checked for want of descriptors or memory, or
 * because a disk fails: the daemon and its clients would not meet.
 * SMX_EUNSAFE, SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_runtime_dir(char **ret_path, struct smx_buf *err);

/*
 * Path of the control endpoint of the daemon that serves `ssh_dir`:
 * <runtime dir>/control-<16 hex digits of SHA-256(ssh_dir)>.sock, so that daemons of different SSH
 * directories don't meet. Where that would be longer than a socket address can be, the runtime
 * directory below /tmp is used; server and clients come to the same answer.
 * Errors as smx_os_runtime_dir, SMX_ECRYPTO.
 */
int smx_os_control_path(const char *ssh_dir, char **ret_path, struct smx_buf *err);

#endif
