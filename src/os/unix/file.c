/* SPDX-License-Identifier: MIT */
/* Reading and replacing sensitive files (S1, S2, C8). */
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/common.h"
#include "os/unix/unix.h"

#define READ_CHUNK (64u << 10)

const char *smx_unix_place_path(const struct smx_unix_place *pl, char out[SMX_UNIX_PLACE_PATH_MAX])
{
	(void)snprintf(out, SMX_UNIX_PLACE_PATH_MAX, "%s/%s", pl->dir_path, pl->name);
	return out;
}

int smx_unix_check_file(
	const struct stat *st, enum smx_os_file_kind kind, const char *path, struct smx_buf *err)
{
	int is_secret = kind == SMX_OS_FILE_HOST_KEY || kind == SMX_OS_FILE_USER_KEY;

	if (S_ISLNK(st->st_mode)) {
		smx_unix_say(err, "%s is a symbolic link; put the file itself there", path);
		return SMX_EUNSAFE;
	}
	if (!S_ISREG(st->st_mode)) {
		smx_unix_say(err, "%s is not a regular file", path);
		return SMX_EUNSAFE;
	}
	if (st->st_uid != geteuid() && st->st_uid != 0) {
		smx_unix_say(err, "%s belongs to user %lu; run: chown %lu %s", path,
			(unsigned long)st->st_uid, (unsigned long)geteuid(), path);
		return SMX_EUNSAFE;
	}
	if (!is_secret && (st->st_mode & 022) != 0) {
		smx_unix_say(err, "%s is writable by others; run: chmod go-w %s", path, path);
		return SMX_EUNSAFE;
	}
	if (is_secret && (st->st_mode & 077) != 0) {
		smx_unix_say(err, "%s is a private key that others can get at; run: chmod 600 %s",
			path, path);
		return SMX_EUNSAFE;
	}
	return 0;
}

int smx_unix_is_named(int dir, const char *name, int at_flags, int fd)
{
	struct stat by_name, by_fd;

	return fstatat(dir, name, &by_name, at_flags) == 0 && fstat(fd, &by_fd) == 0 &&
	       by_name.st_ino == by_fd.st_ino && by_name.st_dev == by_fd.st_dev;
}

/*
 * A confined daemon may read what its places held when it started (H3); what the routes have named
 * since, or was put in the place of a directory, the helper opens. It is to be what we see there.
 */
static int open_by_helper(int dir, const char *name, int extra_flags, const char *path)
{
	int fd = smx_unix_helper_open(path);

	if (fd < 0 || smx_unix_is_named(
			      dir, name, extra_flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0, fd))
		return fd;
	close(fd);
	return -1;
}

/* Opens without waiting for a FIFO's writer or a terminal; dir may be AT_FDCWD. */
static int open_checked(int dir, const char *name, int extra_flags, enum smx_os_file_kind kind,
	const char *path, int *ret_fd, struct stat *ret_st, struct smx_buf *err)
{
	int r, fd, open_error = 0;
	struct stat st;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | extra_flags);
	if (fd < 0)
		open_error = errno;
	if (open_error == EACCES && smx_os_helper_is_there())
		fd = open_by_helper(dir, name, extra_flags, path);
	if (fd < 0) {
		/* A symlink, a socket, another's: say what it is rather than what open made of it.
		 */
		if (fstatat(dir, name, &st, extra_flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) ==
				0 &&
			(r = smx_unix_check_file(&st, kind, path, err)) != 0)
			return r;
		return smx_unix_fail(err, "cannot open", path, open_error);
	}
	if (fstat(fd, &st) != 0)
		r = smx_unix_fail(err, "cannot examine", path, errno);
	else
		r = smx_unix_check_file(&st, kind, path, err);
	if (r != 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	*ret_st = st;
	return 0;
}

int smx_unix_open_file(const struct smx_unix_place *pl, enum smx_os_file_kind kind, int *ret_fd,
	struct stat *ret_st, struct smx_buf *err)
{
	char path[SMX_UNIX_PLACE_PATH_MAX];

	return open_checked(pl->dir, pl->name, O_NOFOLLOW, kind, smx_unix_place_path(pl, path),
		ret_fd, ret_st, err);
}

static int too_big(size_t max_len, const char *path, struct smx_buf *err)
{
	smx_unix_say(err, "%s is larger than %zu bytes", path, max_len);
	return SMX_ELIMIT;
}

int smx_unix_read_fd(
	int fd, size_t max_len, const char *path, struct smx_buf *out, struct smx_buf *err)
{
	size_t before = smx_buf_len(out), got = 0, want, room;
	uint8_t *to, probe;
	ssize_t n;
	int r;

	for (;;) {
		room = out->max - smx_buf_len(out);
		want = max_len - got < room ? max_len - got : room;
		if (want > READ_CHUNK)
			want = READ_CHUNK;
		to = &probe;
		if (want > 0 && (r = smx_buf_reserve(out, want, &to)) != 0) {
			smx_unix_say(err, "cannot read %s: %s", path, smx_strerror(r));
			goto fail;
		}
		n = read(fd, to, want > 0 ? want : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = smx_unix_fail(err, "cannot read", path, errno);
			goto fail;
		}
		if (n == 0)
			return 0;
		if (want == 0) {
			r = too_big(max_len, path, err);
			goto fail;
		}
		smx_buf_commit(out, (size_t)n);
		got += (size_t)n;
	}
fail:
	smx_buf_truncate(out, before);
	return r;
}

int smx_os_file_read(const char *path, size_t max_len, enum smx_os_file_kind kind,
	struct smx_buf *out, struct smx_buf *err)
{
	struct smx_unix_place pl;
	struct stat st;
	int r, fd;

	if (kind == SMX_OS_FILE_USER_KEY || kind == SMX_OS_FILE_USER_CONFIG) {
		r = open_checked(AT_FDCWD, path, 0, kind, path, &fd, &st, err);
	} else {
		if ((r = smx_unix_walk(path, &pl, err)) != 0)
			return r;
		r = smx_unix_open_file(&pl, kind, &fd, &st, err);
		smx_unix_place_release(&pl);
	}
	if (r != 0)
		return r;
	if (st.st_size > 0 && (uintmax_t)st.st_size > max_len)
		r = too_big(max_len, path, err);
	else
		r = smx_unix_read_fd(fd, max_len, path, out, err);
	close(fd);
	return r;
}

/* What is about to be replaced must be a file of ours; nothing there is fine. */
static int check_target(const struct smx_unix_place *pl, const char *path, struct smx_buf *err)
{
	struct stat st;

	if (fstatat(pl->dir, pl->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : smx_unix_fail(err, "cannot examine", path, errno);
	if (S_ISLNK(st.st_mode)) {
		smx_unix_say(err, "%s is a symbolic link, which is not written through; remove it",
			path);
		return SMX_EUNSAFE;
	}
	if (!S_ISREG(st.st_mode)) {
		smx_unix_say(err, "%s is not a regular file; remove it", path);
		return SMX_EUNSAFE;
	}
	if (st.st_uid != geteuid()) {
		smx_unix_say(err, "%s belongs to user %lu, not to you; remove it", path,
			(unsigned long)st.st_uid);
		return SMX_EUNSAFE;
	}
	return 0;
}

static int write_file(const char *path, const void *data, size_t len, unsigned mode, int exclusive,
	struct smx_buf *err)
{
	struct smx_unix_temp t = SMX_UNIX_TEMP_NONE;
	struct smx_unix_place pl;
	int r;

	if ((r = smx_unix_walk(path, &pl, err)) != 0)
		return r;
	if ((!exclusive && (r = check_target(&pl, path, err)) != 0) ||
		(r = smx_unix_temp_make(
			 &pl, data, len, mode & 0777, SMX_UNIX_GROUP_ANY, &t, err)) != 0)
		goto out;
	r = smx_unix_temp_publish(&pl, &t, exclusive, err);
	if (r == SMX_EEXISTS)
		smx_unix_say(err, "%s exists already", path);
out:
	smx_unix_temp_drop(&pl, &t);
	smx_unix_place_release(&pl);
	return r;
}

int smx_os_file_write_atomic(
	const char *path, const void *data, size_t len, unsigned mode, struct smx_buf *err)
{
	return write_file(path, data, len, mode, 0, err);
}

int smx_os_file_create(
	const char *path, const void *data, size_t len, unsigned mode, struct smx_buf *err)
{
	return write_file(path, data, len, mode, 1, err);
}

int smx_os_file_remove(const char *path, struct smx_buf *err)
{
	struct smx_unix_place pl;
	int r;

	if ((r = smx_unix_walk(path, &pl, err)) != 0)
		return r;
	if (unlinkat(pl.dir, pl.name, 0) != 0)
		r = smx_unix_fail(err, "cannot remove", path, errno);
	smx_unix_place_release(&pl);
	return r;
}

int smx_os_file_is_regular(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? SMX_ENOTFOUND : SMX_ESYS;
	return S_ISREG(st.st_mode);
}

int smx_os_file_stamp(const char *path, struct smx_os_stamp *ret)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		int is_missing = errno == ENOENT || errno == ENOTDIR;

		/* A link to nothing is there: it is not for us to go on as if it were not (L5). */
		return is_missing && lstat(path, &st) != 0 ? SMX_ENOTFOUND : SMX_ESYS;
	}
#ifdef __APPLE__
	ret->mtime_ns =
		(int64_t)st.st_mtimespec.tv_sec * 1000000000 + (int64_t)st.st_mtimespec.tv_nsec;
	ret->changed_ns =
		(int64_t)st.st_ctimespec.tv_sec * 1000000000 + (int64_t)st.st_ctimespec.tv_nsec;
#else
	ret->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + (int64_t)st.st_mtim.tv_nsec;
	ret->changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + (int64_t)st.st_ctim.tv_nsec;
#endif
	ret->size = (uint64_t)st.st_size;
	ret->inode = (uint64_t)st.st_ino;
	ret->device = (uint64_t)st.st_dev;
	return 0;
}

/* ---- listing --------------------------------------------------------------------------------- */

/* Owns fd. */
static int list_fd(int fd, const char *dir, char **names, size_t *ret_count, struct smx_buf *err)
{
	size_t count = 0;
	struct dirent *e;
	DIR *d = fdopendir(fd);
	int r = 0;

	if (!d) {
		r = smx_unix_fail(err, "cannot list", dir, errno);
		close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (!smx_os_is_public_key_name(e->d_name))
			continue;
		if (count == SMX_OS_LIST_MAX) {
			smx_unix_say(
				err, "%s has more than %d id_*.pub files", dir, SMX_OS_LIST_MAX);
			r = SMX_ELIMIT;
		} else if ((names[count] = smx_strdup(e->d_name)) == NULL) {
			r = SMX_ENOMEM;
		} else {
			count++;
		}
	}
	if (r == 0 && errno != 0)
		r = smx_unix_fail(err, "cannot list", dir, errno);
	closedir(d);
	*ret_count = count;
	return r;
}

int smx_os_list_public_keys(
	const char *dir, char ***ret_names, size_t *ret_count, struct smx_buf *err)
{
	size_t count = 0;
	struct stat st;
	char **names;
	int r, fd, list = -1;

	if ((r = smx_unix_walk_dir(dir, &fd, &st, err)) != 0)
		return r;
	r = smx_unix_reopen_dir(fd, dir, &list, err);
	close(fd);
	if (r != 0)
		return r;
	names = smx_calloc(SMX_OS_LIST_MAX, sizeof(*names));
	if (!names) {
		close(list);
		return SMX_ENOMEM;
	}
	if ((r = list_fd(list, dir, names, &count, err)) != 0) {
		smx_os_names_free(names, count);
		return r;
	}
	qsort(names, count, sizeof(*names), smx_os_compare_names);
	*ret_names = names;
	*ret_count = count;
	return 0;
}
