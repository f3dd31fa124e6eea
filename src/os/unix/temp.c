/* SPDX-License-Identifier: MIT */
/*
 * New content of a file, written beside it under a random name and renamed into its place (C8); and
 * what becomes of those names when their writer is killed before the rename.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/err.h"
#include "crypto/random.h"
#include "os/unix/unix.h"

#define TEMP_PREFIX       ".ssh-mux-"
#define TEMP_SUFFIX       ".tmp"
#define TEMP_RANDOM_BYTES 16
#define TEMP_NAME_LEN     (sizeof(TEMP_PREFIX) - 1 + 2 * TEMP_RANDOM_BYTES + sizeof(TEMP_SUFFIX) - 1)
#define TEMP_NAME_TRYS    8

#define SWEEP_ENTRIES_MAX 4096 /* names looked at; a directory with more is left as it is */
#define SWEEP_FILES_MAX   64 /* opened */

/* ---- what killed writers left ------------------------------------------------------------------
 */

static int is_temp_name(const char *name)
{
	const char *hex = name + sizeof(TEMP_PREFIX) - 1;

	return strlen(name) == TEMP_NAME_LEN &&
	       strncmp(name, TEMP_PREFIX, sizeof(TEMP_PREFIX) - 1) == 0 &&
	       strspn(hex, "0123456789abcdef") == (size_t)2 * TEMP_RANDOM_BYTES &&
	       strcmp(hex + (size_t)2 * TEMP_RANDOM_BYTES, TEMP_SUFFIX) == 0;
}

static int is_ours_alone(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1;
}

/*
 * Removes a leftover. Its writer has the lock from before the first byte until the rename, and
 * looks after taking it whether the name is still there (temp_lock); so whoever gets the lock finds
 * either a dead writer's file, or one whose writer will make another.
 */
static void sweep_one(int dir, const char *name)
{
	const int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(dir, name, O_RDWR | flags);
	struct stat by_fd, by_name;

	/* Some network file systems want the former for a lock; a file may be for reading only. */
	if (fd < 0 && errno == EACCES)
		fd = openat(dir, name, O_RDONLY | flags);
	if (fd < 0)
		return;
	if (fstat(fd, &by_fd) == 0 && is_ours_alone(&by_fd) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
		fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 && is_ours_alone(&by_name) &&
		by_name.st_ino == by_fd.st_ino && by_name.st_dev == by_fd.st_dev)
		(void)unlinkat(dir, name, 0);
	close(fd);
}

/* Best effort: a directory that can't be read is not what is asked about. */
static void sweep(int dir_fd)
{
	int left = SWEEP_ENTRIES_MAX, files = SWEEP_FILES_MAX, fd;
	struct dirent *e;
	DIR *d;

	/* A description of its own: dir_fd keeps its position. */
	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while (left-- > 0 && files > 0 && (e = readdir(d)) != NULL) {
		if (is_temp_name(e->d_name)) {
			sweep_one(dir_fd, e->d_name);
			files--;
		}
	}
	closedir(d);
}

/* ---- making one --------------------------------------------------------------------------------
 */

static int write_all(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return ENOSPC;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int temp_name(char *out, size_t out_size)
{
	uint8_t random[TEMP_RANDOM_BYTES];
	size_t at;
	int r;

	if ((r = smx_random(random, sizeof(random))) != 0)
		return r;
	at = (size_t)snprintf(out, out_size, TEMP_PREFIX);
	for (size_t k = 0; k < sizeof(random); k++)
		at += (size_t)snprintf(out + at, out_size - at, "%02x", random[k]);
	(void)snprintf(out + at, out_size - at, TEMP_SUFFIX);
	return 0;
}

/* 1 if it is ours to write: where there are no locks nobody sweeps either. */
static int temp_lock(int fd)
{
	struct stat st;

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno == EWOULDBLOCK)
			return 0; /* a sweeper saw it first */
		break;
	}
	return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

static int temp_open(int dir, struct smx_unix_temp *t)
{
	int r;

	for (int i = 0; i < TEMP_NAME_TRYS; i++) {
		if ((r = temp_name(t->name, sizeof(t->name))) != 0) {
			t->name[0] = '\0';
			return r;
		}
		t->fd = openat(
			dir, t->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (t->fd >= 0 && temp_lock(t->fd))
			return 0;
		if (t->fd < 0 && errno != EEXIST)
			break;
		if (t->fd >= 0) {
			(void)unlinkat(dir, t->name, 0);
			close(t->fd);
			t->fd = -1;
			errno = EAGAIN;
		}
	}
	t->name[0] = '\0';
	return SMX_ESYS;
}

/* The group that the old file had; what its members could do is for no other group's. */
static mode_t take_group(int fd, gid_t group, mode_t mode)
{
	struct stat st;

	if (group == SMX_UNIX_GROUP_ANY || (fstat(fd, &st) == 0 && st.st_gid == group) ||
		fchown(fd, (uid_t)-1, group) == 0)
		return mode;
	return mode & ~(mode_t)070;
}

/* 0 or an errno. */
static int temp_fill(int fd, const void *data, size_t len, mode_t mode, gid_t group)
{
	int e, copy;

	if ((e = write_all(fd, data, len)) != 0)
		return e;
	mode = take_group(fd, group, mode);
	if (fchmod(fd, mode) != 0 || smx_unix_sync(fd) != 0)
		return errno;
	/* Some file systems report a full disk at a close; the lock needs fd a little longer. */
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 || close(copy) != 0 ? errno : 0;
}

int smx_unix_temp_make(const struct smx_unix_place *pl, const void *data, size_t len, mode_t mode,
	gid_t group, struct smx_unix_temp *ret, struct smx_buf *err)
{
	const char *dir = pl->dir_path[0] ? pl->dir_path : "/";
	struct smx_unix_temp t = SMX_UNIX_TEMP_NONE;
	char path[SMX_UNIX_PLACE_PATH_MAX];
	int r, e;

	if ((r = smx_unix_reopen_dir(pl->dir, dir, &t.dir_fd, err)) != 0)
		return r;
	sweep(t.dir_fd);
	if ((r = temp_open(pl->dir, &t)) != 0) {
		smx_unix_say(err, "cannot make a file in %s: %s", dir,
			r == SMX_ESYS ? strerror(errno) : smx_strerror(r));
		goto fail;
	}
	if ((e = temp_fill(t.fd, data, len, mode, group)) != 0) {
		(void)smx_unix_fail(err, "cannot write", smx_unix_place_path(pl, path), e);
		r = SMX_ESYS;
		goto fail;
	}
	*ret = t;
	return 0;
fail:
	smx_unix_temp_drop(pl, &t);
	return r;
}

/* ---- into its place ----------------------------------------------------------------------------
 */

/* A rename that replaces nothing. */
static int rename_exclusive(int dir, const char *from, const char *to)
{
	struct stat st;

#if defined(RENAME_NOREPLACE)
	if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
#elif defined(RENAME_EXCL)
	if (renameatx_np(dir, from, dir, to, RENAME_EXCL) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOTSUP)
		return -1;
#endif
	if (linkat(dir, from, dir, to, 0) == 0) {
		(void)unlinkat(dir, from, 0);
		return 0;
	}
	if (errno == EEXIST)
		return -1;
	/* No links either (some network and FAT file systems): the least bad, not without a gap. */
	if (fstatat(dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return errno == ENOENT ? renameat(dir, from, dir, to) : -1;
}

int smx_unix_temp_publish(const struct smx_unix_place *pl, struct smx_unix_temp *t, int exclusive,
	struct smx_buf *err)
{
	char path[SMX_UNIX_PLACE_PATH_MAX];
	int failed;

	if (exclusive)
		failed = rename_exclusive(pl->dir, t->name, pl->name);
	else
		failed = renameat(pl->dir, t->name, pl->dir, pl->name);
	if (failed && exclusive && errno == EEXIST)
		return SMX_EEXISTS;
	if (failed) {
		(void)smx_unix_fail(err, "cannot write", smx_unix_place_path(pl, path), errno);
		return SMX_ESYS;
	}
	t->name[0] = '\0';
	close(t->fd); /* before anybody could take us for one who still writes to it */
	t->fd = -1;
	return smx_unix_sync_dir(t->dir_fd, smx_unix_place_path(pl, path), err);
}

void smx_unix_temp_drop(const struct smx_unix_place *pl, struct smx_unix_temp *t)
{
	if (t->name[0])
		(void)unlinkat(pl->dir, t->name, 0);
	t->name[0] = '\0';
	if (t->fd >= 0)
		close(t->fd); /* and with it the lock */
	if (t->dir_fd >= 0)
		close(t->dir_fd);
	t->fd = t->dir_fd = -1;
}
