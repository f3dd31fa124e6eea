/* SPDX-License-Identifier: MIT */
/*
 * Files (S1, S2, S3, C8): read after checks, replaced whole, shared with other writers.
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_FILE_H
#define SMX_OS_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"

enum smx_os_file_kind {
	/* Configuration, known_hosts, public keys: nobody but us (and root) may change it. */
	SMX_OS_FILE_PLAIN,
	/* Our own private key or a token: besides, nobody but us may read it. */
	SMX_OS_FILE_HOST_KEY,
	/*
	 * A private key that the user named. Judged as ssh does: opened wherever it lies, symlinks
	 * followed, but it must be a regular file of ours (or root's) that nobody else can read.
	 */
	SMX_OS_FILE_USER_KEY,
	/*
	 * A client configuration of the user's, only read. Judged as ssh judges one: symlinks
	 * followed, but it must be a regular file of ours (or root's) that nobody else can change.
	 */
	SMX_OS_FILE_USER_CONFIG,
};

/*
 * Reads a file of at most max_len bytes into *out (appended; give it a buffer of the right max, and
 * a secret one for keys).
 *
 * Except for SMX_OS_FILE_USER_* the path, which must be absolute and without "..", is walked from
 * the root by directory descriptors, so nothing can be swapped between the check and the use:
 *   - every directory on the way belongs to us or root and is writable by its owner only; one of
 *     root's that others can write passes if it is sticky (/tmp);
 *   - a symlink on the way passes only if root owns it, in a directory that only root can write;
 *   - the file itself is no symlink, a regular file, ours or root's, not writable by others
 *     (HOST_KEY: not readable either).
 * Never blocks on a FIFO or device. The content is that of one moment only if nobody writes in
 * place; all our own writers rename.
 *
 * SMX_ENOTFOUND (the file or a directory on the way), SMX_EUNSAFE (the checks above), SMX_ELIMIT
 * (too big), SMX_EINVAL (not an absolute path), SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_file_read(const char *path, size_t max_len, enum smx_os_file_kind kind,
	struct smx_buf *out, struct smx_buf *err);

/* The directory part of those checks for `path` itself, which may not be a symlink either. */
int smx_os_dir_check(const char *path, struct smx_buf *err);
/* As smx_os_dir_check, after making the last component with mode 0700 if it is missing. */
int smx_os_dir_ensure(const char *path, struct smx_buf *err);

/*
 * Replaces or makes a file so that a reader, a crash or a full disk sees the old content or the new
 * content and nothing else (C8): random temporary name in the same directory, O_EXCL, fsync,
 * rename, fsync of the directory. The directory is walked as above; an existing target that is a
 * symlink, not a regular file or not ours is refused. The temporary file is gone on every failure.
 * mode: permission bits of the result, whatever the umask.
 * Errors as smx_os_file_read.
 */
int smx_os_file_write_atomic(
	const char *path, const void *data, size_t len, unsigned mode, struct smx_buf *err);

/* As smx_os_file_write_atomic, but SMX_EEXISTS if there is something at `path` already. */
int smx_os_file_create(
	const char *path, const void *data, size_t len, unsigned mode, struct smx_buf *err);

#define SMX_OS_APPEND_FILE_MAX (16u << 20)

/*
 * Adds a line (given without its newline; SMX_EINVAL if it has one) at the end of a file that other
 * programs append to as well: known_hosts (K4, C8). Made with mode 0600 if missing; else mode kept.
 *
 * Our own writers exclude each other by a lock on the directory. The new content is written beside
 * the file and renamed over it only if the file is still what was read, else once more from the
 * start. A program that opened the old file before the rename and appends after it would lose its
 * line: so the old file is watched until nobody has it open for writing any more (a read lease on
 * Linux; a short wait elsewhere), and what came late is carried over.
 * SMX_ETIMEOUT: the lock was held, or the file changed, for too long. Else as smx_os_file_read.
 */
int smx_os_file_append_line(const char *path, const char *line, struct smx_buf *err);

/*
 * Makes the new content of a file from the old one. Appends all of it to `out`. Returns 0, 1 (leave
 * the file as it is), or a negative SMX_E* with a line added to err, which ends the edit. It may be
 * called several times; `old` is empty if is_missing.
 */
typedef int smx_os_edit_fn(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err);

/*
 * Changes a file that other programs write too (~/.ssh/config; C2, C8): read, edit, written beside
 * it, and renamed over it only if the file is still, byte for byte, what was read; else once more
 * from the start. Locked against our own writers and kept whole against crashes as
 * smx_os_file_append_line, of which this is the general form: what a program that had the old file
 * open wrote into it after the rename is edited anew and takes its place. The mode is kept;
 * mode_if_new counts where the file is missing. ret_changed (may be NULL): whether it was written,
 * which it is not if the edit gives the text that is there.
 * SMX_ELIMIT: longer than max_len, before or after. SMX_ETIMEOUT: it kept changing, or two programs
 * rewrote it at once, and what one of them wrote is in a file beside it, which err names. Else as
 * smx_os_file_read.
 */
int smx_os_file_edit(const char *path, size_t max_len, unsigned mode_if_new, smx_os_edit_fn *edit,
	void *arg, int *ret_changed, struct smx_buf *err);

/* Removes a file: the directory is walked as above. SMX_ENOTFOUND if there is none. */
int smx_os_file_remove(const char *path, struct smx_buf *err);

#define SMX_OS_GLOB_MAX 4096

/*
 * The paths that a pattern of the shell's stands for (*, ?, [..]; ~/ and ~name/ at its beginning
 * as ssh has them in Include: by $HOME), sorted; one without any of that stands for itself if it is
 * there. None is no error (count 0). Says nothing about what is at those paths. Free with
 * smx_os_names_free. SMX_ELIMIT: more than SMX_OS_GLOB_MAX. SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_glob(const char *pattern, char ***ret_paths, size_t *ret_count);

/* What tells one version of a file from the next. */
struct smx_os_stamp {
	int64_t mtime_ns;
	int64_t changed_ns; /* of content or permissions, as the system counts it; 0: it doesn't */
	uint64_t size, inode, device;
};

/* Of the file itself (a symlink's target); for re-reading on change, not a security check.
 * SMX_ENOTFOUND, SMX_ESYS (a symlink to nothing too, which is not the same as no file). */
int smx_os_file_stamp(const char *path, struct smx_os_stamp *ret);
int smx_os_stamp_equal(const struct smx_os_stamp *a, const struct smx_os_stamp *b);
/*
 * Whether r, which a function of this header has just returned, says nothing of the file: there was
 * no memory or no descriptor, or a disk failed. What would be ignored for what it is is not to be
 * ignored then.
 */
int smx_os_file_is_no_verdict(int r);
/*
 * 1 if there is a regular file, or a symlink to one; 0 if it is something else: a directory, or a
 * FIFO or device, which another program that is told to read it might wait for without end.
 * SMX_ENOTFOUND, SMX_ESYS (it can't be told), SMX_ENOMEM. Never waits.
 */
int smx_os_file_is_regular(const char *path);

#define SMX_OS_LIST_MAX 256

/*
 * Names (no directory part), sorted, of the id_*.pub in a directory that is walked as above (L5).
 * At most SMX_OS_LIST_MAX; free with smx_os_names_free. None is no error (count 0); a missing
 * directory is SMX_ENOTFOUND.
 */
int smx_os_list_public_keys(
	const char *dir, char ***ret_names, size_t *ret_count, struct smx_buf *err);
void smx_os_names_free(char **names, size_t count);

#endif
