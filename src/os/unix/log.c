/* SPDX-License-Identifier: MIT */
/*
 * The log file (D4), written by several processes at once: starters of a daemon that race, `serve`
 * beside a daemon, an old daemon that is about to end.
 *
 * A line is one write(2) to a descriptor with O_APPEND, so lines neither mix nor overwrite each
 * other. It is done under a shared lock (flock) on the file, after a look whether the file still
 * has its name. Whoever finds it full takes the lock alone, looks once more, and renames it. So
 * nobody writes to a file that was renamed before: no line goes to a file that the next rotation
 * removes, and each writer's lines stay in order over the two files. No lock is waited for long:
 * somebody who holds one may be stopped, and a line in the older file is better than none.
 */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define FIRST_FD       3 /* 0, 1 and 2 may be closed, and are not for us */
#define OLD_SUFFIX     ".old"
#define LOCK_WAIT_MS   20
#define LOCK_REST_MS   1000 /* after a wait in vain */
#define REOPEN_TRIES   8
#define REOPEN_REST_MS 1000

struct smx_os_log {
	struct smx_unix_place pl; /* .dir is -1 with fd */
	char *path;
	uint64_t max_bytes;
	int fd; /* -1: could not be opened again */
	int has_stderr; /* it is this file */
	int is_torn; /* a write ended in the middle of a line */
	uint64_t no_lock_until_ms, no_open_until_ms;
	uint64_t rotate_at; /* the size to try at */
	int rotate_error; /* errno */
};

static int check_log(const struct stat *st, const char *path, struct smx_buf *err)
{
	int r = smx_unix_check_file(st, SMX_OS_FILE_PLAIN, path, err);

	if (r == 0 && st->st_nlink > 1) {
		smx_unix_say(err,
			"%s has another name too (a hard link), which may be any file's; move it "
			"away",
			path);
		r = SMX_EUNSAFE;
	}
	return r;
}

static int open_log(const struct smx_unix_place *pl, const char *path, int *ret_fd,
	struct stat *ret_st, struct smx_buf *err)
{
	int fd, r;

	fd = openat(pl->dir, pl->name,
		O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (fd < 0) {
		int open_error = errno;

		if (fstatat(pl->dir, pl->name, ret_st, AT_SYMLINK_NOFOLLOW) == 0 &&
			!S_ISREG(ret_st->st_mode))
			return smx_unix_check_file(ret_st, SMX_OS_FILE_PLAIN, path, err);
		return smx_unix_fail(err, "cannot open", path, open_error);
	}
	if (fstat(fd, ret_st) != 0)
		r = smx_unix_fail(err, "cannot examine", path, errno);
	else
		r = check_log(ret_st, path, err);
	if (r == 0 && (ret_st->st_mode & 077) != 0 && fchmod(fd, 0600) != 0)
		r = smx_unix_fail(err, "cannot change the mode of", path, errno);
	if (r == 0 && fd < FIRST_FD) {
		int moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);

		(void)close(fd);
		if (moved < 0)
			return smx_unix_fail(err, "cannot open", path, errno);
		fd = moved;
	}
	if (r != 0) {
		(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int make_its_dir(const char *path, struct smx_buf *err)
{
	char dir[SMX_OS_PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path || (size_t)(slash - path) >= sizeof(dir))
		return SMX_EINVAL;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	return smx_os_dir_ensure(dir, err);
}

int smx_os_log_open(const char *path, int *ret_fd, uint64_t *ret_size, struct smx_buf *err)
{
	struct smx_unix_place pl;
	struct stat st;
	int r;

	if ((r = make_its_dir(path, err)) != 0 || (r = smx_unix_walk(path, &pl, err)) != 0)
		return r;
	r = open_log(&pl, path, ret_fd, &st, err);
	smx_unix_place_release(&pl);
	if (r == 0)
		*ret_size = (uint64_t)st.st_size;
	return r;
}

int smx_os_log_read(int fd, uint64_t from, struct smx_buf *out)
{
	uint8_t *to;
	size_t room = out->max - smx_buf_len(out);
	ssize_t n;
	int r;

	if ((r = smx_buf_reserve(out, room, &to)) != 0)
		return r;
	do {
		n = pread(fd, to, room, (off_t)from);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return SMX_ESYS;
	smx_buf_commit(out, (size_t)n);
	return 0;
}

/* ---- for a writer ------------------------------------------------------------------------------
 */

static int is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* What goes to the file `from` by stdout or stderr goes to the log as it is now. */
static void follow(struct smx_os_log *l, const struct stat *from)
{
	struct stat st;

	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fstat(fd, &st) != 0 || !is_same(&st, from))
			continue;
		(void)dup2(l->fd, fd);
		if (fd == STDERR_FILENO)
			l->has_stderr = 1;
	}
	smx_unix_crash_log(l->has_stderr ? -1 : l->fd);
}

static int reopen(struct smx_os_log *l, struct smx_buf *err)
{
	struct stat before, st;
	int had = l->fd, fd, r;

	if (smx_os_monotonic_ms() < l->no_open_until_ms) {
		smx_unix_say(err, "cannot open %s", l->path);
		return SMX_ESYS;
	}
	smx_unix_place_release(&l->pl);
	if ((r = smx_unix_walk(l->path, &l->pl, err)) == 0 &&
		(r = open_log(&l->pl, l->path, &fd, &st, err)) != 0)
		smx_unix_place_release(&l->pl);
	if (r != 0) {
		l->pl.dir = -1;
		l->no_open_until_ms = smx_os_monotonic_ms() + REOPEN_REST_MS;
		return r;
	}
	l->fd = fd;
	l->is_torn = 0;
	l->rotate_at = l->max_bytes;
	if (had < 0 || fstat(had, &before) != 0)
		before = st;
	follow(l, &before);
	if (had >= 0)
		(void)close(had);
	return 0;
}

int smx_os_log_new(const char *path, uint64_t max_bytes, int takes_stderr, struct smx_os_log **ret,
	struct smx_buf *err)
{
	struct sigaction ignored = { .sa_handler = SIG_IGN };
	struct smx_os_log *l = smx_calloc(1, sizeof(*l));
	struct stat st;
	int r;

	if (!l)
		return SMX_ENOMEM;
	l->pl.dir = l->fd = -1;
	l->max_bytes = max_bytes;
	if ((r = make_its_dir(path, err)) != 0)
		goto fail;
	if (!(l->path = smx_strdup(path))) {
		r = SMX_ENOMEM;
		goto fail;
	}
	if ((r = reopen(l, err)) != 0)
		goto fail;
	if (takes_stderr && fstat(STDERR_FILENO, &st) == 0)
		follow(l, &st);
	/* A file size limit is an error of a write, and no reason to end. */
	(void)sigaction(SIGXFSZ, &ignored, NULL);
	*ret = l;
	return 0;
fail:
	smx_free(l->path);
	smx_free(l);
	return r;
}

int smx_os_log_has_stderr(const struct smx_os_log *l)
{
	return l->has_stderr;
}

void smx_os_log_free(struct smx_os_log *l)
{
	if (!l)
		return;
	smx_unix_crash_log(-1);
	smx_unix_place_release(&l->pl);
	if (l->fd >= 0)
		(void)close(l->fd);
	smx_free(l->path);
	smx_free(l);
}

/* Whether it could be had in time; where there are no locks at all there is nothing to wait for. */
static int lock(struct smx_os_log *l, int how)
{
	uint64_t now = smx_os_monotonic_ms(), end = now + LOCK_WAIT_MS;

	for (;;) {
		if (flock(l->fd, how | LOCK_NB) == 0)
			return 1;
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return 1;
		if (now < l->no_lock_until_ms)
			return 0;
		now = smx_os_monotonic_ms();
		if (now >= end) {
			l->no_lock_until_ms = now + LOCK_REST_MS;
			return 0;
		}
		smx_os_sleep_ms(1);
	}
}

static void unlock(struct smx_os_log *l)
{
	(void)flock(l->fd, LOCK_UN); /* stderr may be the same open file: close would not do it */
}

/* Whether the file that is open has the name. *ret_st: of what is open. */
static int is_current(const struct smx_os_log *l, struct stat *ret_st)
{
	struct stat named;

	return fstat(l->fd, ret_st) == 0 &&
	       fstatat(l->pl.dir, l->pl.name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       is_same(ret_st, &named);
}

static int is_full(const struct smx_os_log *l, const struct stat *st, size_t len)
{
	return st->st_size > 0 && (uint64_t)st->st_size + len > l->rotate_at;
}

/* With the lock of a writer, which is given up. 0: the name may be another file's now. */
static int rotate(struct smx_os_log *l, size_t len)
{
	char old[sizeof(l->pl.name) + sizeof(OLD_SUFFIX)];
	struct stat st;

	unlock(l);
	l->rotate_error = 0;
	if (!lock(l, LOCK_EX))
		return SMX_EAGAIN;
	if (!is_current(l, &st) || !is_full(l, &st, len)) {
		unlock(l);
		return 0;
	}
	(void)snprintf(old, sizeof(old), "%s" OLD_SUFFIX, l->pl.name);
	if (renameat(l->pl.dir, l->pl.name, l->pl.dir, old) != 0) {
		l->rotate_error = errno;
		l->rotate_at = (uint64_t)st.st_size + l->max_bytes / 8;
	}
	unlock(l);
	return l->rotate_error ? SMX_ESYS : 0;
}

static int append(struct smx_os_log *l, const char *line, size_t len, struct smx_buf *err)
{
	union {
		const char *in;
		void *out;
	} p = { line };
	char newline = '\n';
	struct iovec iov[2] = { { &newline, 1 }, { p.out, len } };
	size_t total = len + (l->is_torn ? 1 : 0);
	ssize_t n;

	do {
		n = writev(l->fd, l->is_torn ? iov : iov + 1, l->is_torn ? 2 : 1);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)total) {
		l->is_torn = 0;
		return 0;
	}
	if (n > 0)
		l->is_torn = (size_t)n < total; /* the next line begins with a line end */
	return smx_unix_fail(err, "cannot write to", l->path, n < 0 ? errno : ENOSPC);
}

int smx_os_log_write(struct smx_os_log *l, const char *line, size_t len, struct smx_buf *err)
{
	int r, is_locked, may_rotate = 1;
	struct stat st;

	for (int tries = 0;; tries++) {
		if (l->fd < 0 && (r = reopen(l, err)) != 0)
			return r;
		is_locked = lock(l, LOCK_SH);
		if (is_current(l, &st)) {
			if (!may_rotate || tries >= REOPEN_TRIES || !is_full(l, &st, len))
				break;
			may_rotate = rotate(l, len) == 0;
			continue;
		}
		if (is_locked)
			unlock(l);
		if (tries >= REOPEN_TRIES)
			break; /* somebody renames it all the time */
		if ((r = reopen(l, err)) != 0)
			return r;
	}
	r = append(l, line, len, err);
	if (is_locked)
		unlock(l);
	if (r == 0 && !may_rotate && l->rotate_error) {
		(void)smx_unix_fail(err, "cannot rename", l->path, l->rotate_error);
		return 1;
	}
	return r;
}
