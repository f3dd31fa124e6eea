/* SPDX-License-Identifier: MIT */
/*
 * The log file (D4), written by several processes at once: starters of a daemon that race, `serve`
 * beside a daemon, an old daemon that is about to end.
 *
 * A line is one write(2) to a descriptor with O_APPEND, so lines neither mix nor overwrite each
 * other. Before it there is a look whether the file still has its name; after it, whether it has
 * any: a file that two rotations in between took away took the line with it, so it is written once
 * more. Whoever finds the file full takes a lock on it (flock), looks once more, and renames it. So
 * only full files are renamed, no line is lost, and each writer's stay in order over the two files.
 * Writers take no lock: who was stopped or delayed in the middle holds up nothing but a rotation.
 */
#include "os/file.h"
#include "os/log.h"
#include "os/path.h"
#include "os/process.h"

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
#define LOG_FLAGS      (O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define OLD_SUFFIX     ".old"
#define WAITS_MAX      20 /* of a millisecond, for another one's rotation */
#define REST_MIN_MS    20 /* after waits in vain: without any */
#define REST_MAX_MS    1000
#define TRIES_MAX      64
#define REOPEN_REST_MS 1000

struct smx_os_log {
	struct smx_unix_place pl; /* .dir is -1 with fd */
	char *path;
	uint64_t max_bytes;
	int fd; /* -1: could not be opened again */
	int has_stderr; /* it is this file */
	int is_torn; /* a write ended in the middle of a line */
	uint64_t no_open_until_ms, no_wait_until_ms, rest_ms;
	unsigned n_waits;
	uint64_t rotate_at; /* the size to try at */
	int rotate_error; /* errno */
	int is_rotate_told;
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

	if (smx_os_helper_is_there())
		fd = smx_unix_helper_log_open();
	else
		fd = openat(pl->dir, pl->name, LOG_FLAGS, 0600);
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
	struct stat st;
	ssize_t n;
	int r;

	if (room < 2)
		return 0;
	if ((r = smx_buf_reserve(out, room, &to)) != 0)
		return r;
	room--; /* for the NUL of smx_buf_cstr */
	if (fstat(fd, &st) == 0 && st.st_size > 0 && (uint64_t)st.st_size > from &&
		(uint64_t)st.st_size - from > room)
		from = (uint64_t)st.st_size - room;
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
	l->is_torn = l->is_rotate_told = 0;
	l->n_waits = 0;
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

/* 0 or an errno. */
static int become_old(const struct smx_unix_place *pl)
{
	char old[sizeof(pl->name) + sizeof(OLD_SUFFIX)];

	(void)snprintf(old, sizeof(old), "%s" OLD_SUFFIX, pl->name);
	if (smx_os_helper_is_there())
		return smx_unix_helper_log_rename() == 0 ? 0 : errno;
	return renameat(pl->dir, pl->name, pl->dir, old) == 0 ? 0 : errno;
}

int smx_unix_log_open(const char *path, int *ret_fd)
{
	uint64_t size;
	int r = smx_os_log_open(path, ret_fd, &size, NULL);

	return r == 0 ? 0 : r == SMX_ENOMEM ? ENOMEM : r == SMX_EUNSAFE ? EPERM : EACCES;
}

int smx_unix_log_rename(const char *path)
{
	struct smx_unix_place pl;
	int e;

	if (smx_unix_walk(path, &pl, NULL) != 0)
		return EACCES;
	e = become_old(&pl);
	smx_unix_place_release(&pl);
	return e;
}

/* 1: look again whether it is full; 0: it stays as it is, for now. */
static int rotate(struct smx_os_log *l, size_t len)
{
	struct stat st;

	l->rotate_error = 0;
	/* Where there are no locks at all one has to do without. */
	if (flock(l->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
		uint64_t now = smx_os_monotonic_ms();

		/* Another one is at it: that takes no time, unless it was stopped. */
		if (now < l->no_wait_until_ms)
			return 0;
		if (++l->n_waits < WAITS_MAX) {
			smx_os_sleep_ms(1);
			return 1;
		}
		l->n_waits = 0;
		l->rest_ms = l->rest_ms ? l->rest_ms * 2 : REST_MIN_MS;
		if (l->rest_ms > REST_MAX_MS)
			l->rest_ms = REST_MAX_MS;
		l->no_wait_until_ms = now + l->rest_ms;
		return 0;
	}
	l->n_waits = l->rest_ms = 0;
	if (is_current(l, &st) && is_full(l, &st, len)) {
		l->rotate_error = become_old(&l->pl);
		if (l->rotate_error)
			l->rotate_at = (uint64_t)st.st_size + l->max_bytes / 8;
	}
	(void)flock(l->fd, LOCK_UN); /* stderr may be the same open file: close would not do it */
	return l->rotate_error == 0;
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

/* Makes sure that what is open is the file of that name, and has room. */
static int prepare(struct smx_os_log *l, size_t len, struct smx_buf *err)
{
	int may_rotate = 1, r;
	struct stat st;

	for (int tries = 0; tries < TRIES_MAX; tries++) {
		if (l->fd >= 0 && is_current(l, &st)) {
			if (!may_rotate || !is_full(l, &st, len))
				return 0;
			may_rotate = rotate(l, len);
		} else if ((r = reopen(l, err)) != 0) {
			return r;
		}
	}
	return 0; /* somebody renames it all the time */
}

int smx_os_log_write(struct smx_os_log *l, const char *line, size_t len, struct smx_buf *err)
{
	struct stat st;
	int r;

	for (int tries = 0; tries < TRIES_MAX; tries++) {
		if ((r = prepare(l, len, err)) != 0 || (r = append(l, line, len, err)) != 0)
			return r;
		if (fstat(l->fd, &st) != 0 || st.st_nlink > 0)
			break;
	}
	if (l->rotate_error && !l->is_rotate_told) {
		l->is_rotate_told = 1;
		(void)smx_unix_fail(err, "cannot rename", l->path, l->rotate_error);
		return 1;
	}
	return 0;
}
