/* SPDX-License-Identifier: MIT */
/* Private to src/os/unix: the checked walk and what stands on it. */
#ifndef SMX_OS_UNIX_UNIX_H
#define SMX_OS_UNIX_UNIX_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/sanitize.h"
#include "os/ask.h"
#include "os/caller.h"
#include "os/file.h"
#include "os/helper.h"
#include "os/path.h"

/* A directory that passed the walk, and the last component of the path, which was not looked at. */
struct smx_unix_place {
	int dir; /* for the *at calls only: O_PATH where there is such a thing */
	char dir_path[SMX_OS_PATH_MAX]; /* physical: all symlinks resolved */
	char name[256];
};

#define SMX_UNIX_PLACE_PATH_MAX (SMX_OS_PATH_MAX + 256)
/* dir_path "/" name, for texts. */
const char *smx_unix_place_path(const struct smx_unix_place *pl, char out[SMX_UNIX_PLACE_PATH_MAX]);

/* Adds text to err, if there is one. A full or failing err loses text and nothing else. */
void smx_unix_say(struct smx_buf *err, const char *fmt, ...) SMX_PRINTF(2, 3);
/*
 * "<what> <path>: <text of errno>"; returns SMX_ENOTFOUND for ENOENT, else SMX_ESYS, with errno as
 * error_number says (smx_os_file_is_no_verdict).
 */
int smx_unix_fail(struct smx_buf *err, const char *what, const char *path, int error_number);

/* Walks to the directory that `path` is in (os/file.h, smx_os_file_read). The path "/" has no name and
 * is SMX_EINVAL. */
int smx_unix_walk(const char *path, struct smx_unix_place *ret, struct smx_buf *err);
void smx_unix_place_release(struct smx_unix_place *pl);
/* Walks to and into a directory, no symlink at the end. The descriptor may be O_PATH. */
int smx_unix_walk_dir(const char *path, int *ret_fd, struct stat *ret_st, struct smx_buf *err);
/* A descriptor that can be read, locked and synced, for a directory we have one of the walk for. */
int smx_unix_reopen_dir(int dir, const char *path, int *ret_fd, struct smx_buf *err);
/* fsync(2), whatever interrupts it. */
int smx_unix_sync(int fd);
/* Makes the names of a directory durable, where the file system can do that. */
int smx_unix_sync_dir(int fd, const char *path, struct smx_buf *err);
/* Makes the directory `path` (parent walked) with mode 0700 if it is missing, then walks into it.
 */
int smx_unix_make_dir(const char *path, int *ret_fd, struct stat *ret_st, struct smx_buf *err);

/* The next client of a listening socket, non-blocking and not inherited (os/tcp.h, smx_os_tcp_accept).
 */
int smx_unix_accept(int listener, int *ret_fd);
/* The same, of a socket that has a path. */
int smx_unix_accept_local(int listener, int *ret_fd);

/* 1 if the descriptor is what that name stands for; at_flags: of fstatat(2). */
int smx_unix_is_named(int dir, const char *name, int at_flags, int fd);
/* Judges what an open descriptor of a file shows. path: for the text. */
int smx_unix_check_file(
	const struct stat *st, enum smx_os_file_kind kind, const char *path, struct smx_buf *err);
/* Opens the file of a place for reading and checks it. */
int smx_unix_open_file(const struct smx_unix_place *pl, enum smx_os_file_kind kind, int *ret_fd,
	struct stat *ret_st, struct smx_buf *err);
/* Appends what fd holds from its offset on, at most max_len bytes; nothing on failure. */
int smx_unix_read_fd(
	int fd, size_t max_len, const char *path, struct smx_buf *out, struct smx_buf *err);

/*
 * A temporary file beside the one of a place. It is locked (flock) for as long as its writer lives
 * and has not published it, so one that can be locked is left over from a writer that was killed,
 * and the next one in the same directory removes it.
 */
struct smx_unix_temp {
	char name[64]; /* "" once there is none */
	int fd;
	int dir_fd; /* of its directory, to be read and synced */
};

/* clang-format off */
#define SMX_UNIX_TEMP_NONE { .fd = -1, .dir_fd = -1 }
/* clang-format on */

/* clang-format off */
#define SMX_UNIX_GROUP_ANY ((gid_t)-1)
/* clang-format on */

/* Written, given its mode and its group, and synced. If it can't have that group, the mode is
 * without the group's bits. */
int smx_unix_temp_make(const struct smx_unix_place *pl, const void *data, size_t len, mode_t mode,
	gid_t group, struct smx_unix_temp *ret, struct smx_buf *err);
/*
 * Gives it the place's name, and makes the names of the directory durable. exclusive: SMX_EEXISTS
 * (no text) if that name is taken.
 */
int smx_unix_temp_publish(const struct smx_unix_place *pl, struct smx_unix_temp *t, int exclusive,
	struct smx_buf *err);
/* Removes it, if it still has its own name. */
void smx_unix_temp_drop(const struct smx_unix_place *pl, struct smx_unix_temp *t);

/*
 * door.c: as smx_os_door_receive, of any socket.
 */
int smx_unix_receive(int fd, void *p, size_t size, size_t *ret_len, int *ret_fds, size_t max_fds,
	size_t *ret_n_fds);

/* ---- helper.c: what the confined daemon has done for it (os/helper.h) ---------------------------
 */
#define SMX_UNIX_HELPER_ASK  3 /* in the helper: requests and answers */
#define SMX_UNIX_HELPER_ENDS 4 /* and the ends of programs */

/* listen(2) and unlink(2), as they are where there is no helper. */
int smx_unix_listen(int fd, int backlog);
int smx_unix_unlink_socket(const char *path);
/* A pipe or a terminal once more, for an open file of our own; how: SMX_HELPER_READ …, the last for
 * terminals. -1: errno tells. */
int smx_unix_reopen(int fd, int how);
/* The same without a helper: stdio.c. */
int smx_unix_reopen_here(int fd, int how);
/* A file to be read that the confined daemon can't open; symlinks are followed. -1: errno tells. */
int smx_unix_helper_open(const char *path);
/* The log, opened and renamed; -1: errno tells. */
int smx_unix_helper_log_open(void);
int smx_unix_helper_log_rename(void);
/* log.c, in the helper. 0 or an errno. */
int smx_unix_log_open(const char *path, int *ret_fd);
int smx_unix_log_rename(const char *path);
/* CALLER_ENV and CALLER_TTY: a descriptor. SMX_ENOTFOUND. */
int smx_unix_helper_caller_fd(enum smx_helper_op op, pid_t pid, uint64_t start, int *ret_fd);
/* As smx_os_caller_program. */
int smx_unix_helper_caller_program(pid_t pid, uint64_t start, char **ret_path, char **ret_dir);
void smx_unix_helper_caller_press(pid_t pid, uint64_t start, enum smx_os_key key);

/* ---- caller.c, for the helper ------------------------------------------------------------------
 */
int smx_unix_caller_open_env(const struct smx_os_caller *c, int *ret_fd);

/* ---- spawn.c -----------------------------------------------------------------------------------
 */
/* What to execute to run this very program again. SMX_ESYS, SMX_ENOMEM. */
int smx_unix_own_path(char **ret_path);

/* ---- crash.c, for log.c ------------------------------------------------------------------------
 */
/* Where a crash is reported beside stderr; -1: nowhere. */
void smx_unix_crash_log(int fd);
/* As smx_os_crash_install, even where a sanitizer would report. */
void smx_unix_crash_install(const char *program);

/* ---- run.c: before a fork ----------------------------------------------------------------------
 */
/* How a child has ended can be waited for, whatever we were started with. */
void smx_unix_keep_children(void);

/* ---- run.c: between fork and exec --------------------------------------------------------------
 */
/* Closes every descriptor from this one on. */
void smx_unix_close_from(int first);
/* Every signal does what it does by default, and none is blocked. */
void smx_unix_reset_signals(void);

/* ---- ask.c, for asker.c ------------------------------------------------------------------------
 */
struct smx_os_ask;
/* In the process that asks: the question ends when the other process does. */
int ask_end_with_parent(struct smx_os_ask *a);
/* In the other: all is closed but the end whose closing ends the question, which is returned. */
int ask_keep_life_only(struct smx_os_ask *a);

/* ---- asker_pinentry.c, asker.c ------------------------------------------------------------------
 */
/* What a terminal's keys send; who asks lives on, and puts the terminal back. */
extern const int ask_ignored_signals[5];
/*
 * In the process that asks: starts the pinentry and waits for its answer, or until `life` is at its
 * end. As smx_os_asker_result; SMX_ENOTFOUND also if it can't be started, or can't show anything.
 */
int ask_by_pinentry(const char *program, const char *text, int is_confirm, int life,
	char *ret_answer, size_t size);

#endif
