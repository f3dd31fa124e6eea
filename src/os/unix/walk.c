/* SPDX-License-Identifier: MIT */
/*
 * The walk (S1, S2): from the root, one component at a time, each opened relative to the
 * descriptor of the one before, so that what was checked is what is used.
 */
#include "os/unix/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "os/file.h"
#include "os/path.h"

#define LINKS_MAX 16

/* Ancestors may be searchable without being readable: ask for no more than we need. */
#if defined(O_PATH)
#define DIR_ACCESS O_PATH
#elif defined(O_SEARCH)
#define DIR_ACCESS O_SEARCH
#else
#define DIR_ACCESS O_RDONLY
#endif
#define DIR_FLAGS (DIR_ACCESS | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct walker {
	int fd;
	struct stat st;
	char done[SMX_OS_PATH_MAX]; /* path of fd, "" for the root */
	char todo[SMX_OS_PATH_MAX]; /* what is left to walk */
	int links;
	struct smx_buf *err;
};

void smx_unix_say(struct smx_buf *err, const char *fmt, ...)
{
	char text[SMX_OS_PATH_MAX + 512];
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)smx_buf_put_str(err, text);
}

int smx_unix_fail(struct smx_buf *err, const char *what, const char *path, int error_number)
{
	smx_unix_say(err, "%s %s: %s", what, path, strerror(error_number));
	errno = error_number;
	return error_number == ENOENT ? SMX_ENOTFOUND : SMX_ESYS;
}

int smx_os_file_is_no_verdict(int r)
{
	return r == SMX_ENOMEM ||
	       (r == SMX_ESYS && (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
					 errno == EIO || errno == EINTR));
}

static int check_dir(const struct stat *st, const char *path, struct smx_buf *err)
{
	if (!S_ISDIR(st->st_mode)) {
		smx_unix_say(err, "%s is not a directory", path);
		return SMX_EUNSAFE;
	}
	if (st->st_uid != geteuid() && st->st_uid != 0) {
		smx_unix_say(err,
			"directory %s belongs to user %lu, who could change what is in it; use one "
			"of "
			"your own",
			path, (unsigned long)st->st_uid);
		return SMX_EUNSAFE;
	}
	if ((st->st_mode & 022) == 0 || (st->st_uid == 0 && (st->st_mode & S_ISVTX)))
		return 0;
	smx_unix_say(err, "directory %s is writable by others; run: chmod go-w %s", path, path);
	return SMX_EUNSAFE;
}

static const char *done_path(const struct walker *w)
{
	return w->done[0] ? w->done : "/";
}

/* Takes over the descriptor of the next directory, if it passes. */
static int step_into(struct walker *w, int fd)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) != 0)
		r = smx_unix_fail(w->err, "cannot examine", done_path(w), errno);
	else
		r = check_dir(&st, done_path(w), w->err);
	if (r != 0) {
		close(fd);
		return r;
	}
	if (w->fd >= 0)
		close(w->fd);
	w->fd = fd;
	w->st = st;
	return 0;
}

static int restart(struct walker *w)
{
	int fd = open("/", DIR_FLAGS);

	w->done[0] = '\0';
	if (fd < 0)
		return smx_unix_fail(w->err, "cannot open", "/", errno);
	return step_into(w, fd);
}

/* Cuts the next component off w->todo; 0 when there is none. */
static int next_component(struct walker *w, char *out, size_t out_size)
{
	size_t skip = strspn(w->todo, "/"), n = strcspn(w->todo + skip, "/");

	if (n >= out_size)
		return SMX_EINVAL;
	memcpy(out, w->todo + skip, n);
	out[n] = '\0';
	skip += n + strspn(w->todo + skip + n, "/");
	memmove(w->todo, w->todo + skip, strlen(w->todo + skip) + 1);
	return n > 0;
}

static int done_push(struct walker *w, const char *name)
{
	size_t have = strlen(w->done);

	if (have + 1 + strlen(name) >= sizeof(w->done)) {
		smx_unix_say(w->err, "the path below %s is too long", w->done);
		return SMX_EINVAL;
	}
	w->done[have] = '/';
	memcpy(w->done + have + 1, name, strlen(name) + 1);
	return 0;
}

static void done_pop(struct walker *w)
{
	char *slash = strrchr(w->done, '/');

	if (slash)
		*slash = '\0';
}

/*
 * w->done names a symlink in the directory w->fd. Root's links in a directory only root can write
 * are the system's own layout (macOS /tmp, /var); its target goes in front of what is to do.
 */
static int follow_link(struct walker *w, const char *name, const struct stat *link_st)
{
	size_t left = strlen(w->todo);
	char target[SMX_OS_PATH_MAX];
	ssize_t n;

	if (link_st->st_uid != 0 || w->st.st_uid != 0 || (w->st.st_mode & 022) != 0) {
		smx_unix_say(w->err,
			"%s is a symbolic link, which could be pointed elsewhere; use the path it "
			"stands for",
			w->done);
		return SMX_EUNSAFE;
	}
	if (++w->links > LINKS_MAX) {
		smx_unix_say(w->err, "too many symbolic links at %s", w->done);
		return SMX_EUNSAFE;
	}
	n = readlinkat(w->fd, name, target, sizeof(target) - 1);
	if (n < 0)
		return smx_unix_fail(w->err, "cannot read the link", w->done, errno);
	target[n] = '\0';
	if ((size_t)n + 1 + left >= sizeof(w->todo)) {
		smx_unix_say(w->err, "the target of %s is too long", w->done);
		return SMX_EINVAL;
	}
	memmove(w->todo + n + 1, w->todo, left + 1);
	w->todo[n] = '/';
	memcpy(w->todo, target, (size_t)n);
	done_pop(w);
	return target[0] == '/' ? restart(w) : 0;
}

static int walk_component(struct walker *w, const char *name)
{
	struct stat st;
	int fd, r, open_error;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) /* only out of a link of root's; w->done has no links in it */
		done_pop(w);
	else if ((r = done_push(w, name)) != 0)
		return r;
	fd = openat(w->fd, name, DIR_FLAGS);
	if (fd >= 0)
		return step_into(w, fd);
	/* What a symlink gives here (ELOOP, ENOTDIR, EMLINK) differs by system. */
	open_error = errno;
	if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISLNK(st.st_mode))
			return follow_link(w, name, &st);
		if (!S_ISDIR(st.st_mode))
			return check_dir(&st, w->done, w->err);
	}
	return smx_unix_fail(w->err, "cannot open", w->done, open_error);
}

static int check_spelling(const char *path, struct smx_buf *err)
{
	size_t n;

	if (path[0] != '/') {
		smx_unix_say(err, "%s is not an absolute path", path[0] ? path : "an empty name");
		return SMX_EINVAL;
	}
	if (strlen(path) >= SMX_OS_PATH_MAX) {
		smx_unix_say(err, "the path %.64s... is too long", path);
		return SMX_EINVAL;
	}
	for (const char *s = path; *s; s += n) {
		s += strspn(s, "/");
		n = strcspn(s, "/");
		if (n == 2 && memcmp(s, "..", 2) == 0) {
			smx_unix_say(err, "the path %s has \"..\" in it; write it without", path);
			return SMX_EINVAL;
		}
	}
	return 0;
}

int smx_unix_walk(const char *path, struct smx_unix_place *ret, struct smx_buf *err)
{
	struct walker w = { .fd = -1, .err = err };
	char name[sizeof(ret->name)];
	int r;

	if ((r = check_spelling(path, err)) != 0)
		return r;
	memcpy(w.todo, path, strlen(path) + 1);
	if ((r = restart(&w)) != 0)
		goto out;
	for (;;) {
		r = next_component(&w, name, sizeof(name));
		if (r <= 0) {
			smx_unix_say(err, "%s is not the path of a file", path);
			r = SMX_EINVAL;
			goto out;
		}
		if (w.todo[0] == '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			break;
		if ((r = walk_component(&w, name)) != 0)
			goto out;
	}
	ret->dir = w.fd;
	memcpy(ret->dir_path, w.done, strlen(w.done) + 1);
	memcpy(ret->name, name, strlen(name) + 1);
	w.fd = -1;
	r = 0;
out:
	if (w.fd >= 0)
		close(w.fd);
	return r;
}

void smx_unix_place_release(struct smx_unix_place *pl)
{
	if (pl->dir >= 0)
		close(pl->dir);
	pl->dir = -1;
}

/* The last step into a directory: no symlink at all. */
static int enter(const struct smx_unix_place *pl, const char *path, int *ret_fd,
	struct stat *ret_st, struct smx_buf *err)
{
	struct stat st;
	int r, fd = openat(pl->dir, pl->name, DIR_FLAGS);

	if (fd < 0) {
		int open_error = errno;

		if (fstatat(pl->dir, pl->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			if (S_ISLNK(st.st_mode)) {
				smx_unix_say(err,
					"%s is a symbolic link; use the directory it stands for",
					path);
				return SMX_EUNSAFE;
			}
			if (!S_ISDIR(st.st_mode))
				return check_dir(&st, path, err);
		}
		return smx_unix_fail(err, "cannot open", path, open_error);
	}
	if (fstat(fd, &st) != 0)
		r = smx_unix_fail(err, "cannot examine", path, errno);
	else
		r = check_dir(&st, path, err);
	if (r != 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	*ret_st = st;
	return 0;
}

int smx_unix_walk_dir(const char *path, int *ret_fd, struct stat *ret_st, struct smx_buf *err)
{
	struct smx_unix_place pl;
	int r;

	if ((r = smx_unix_walk(path, &pl, err)) != 0)
		return r;
	r = enter(&pl, path, ret_fd, ret_st, err);
	smx_unix_place_release(&pl);
	return r;
}

int smx_unix_reopen_dir(int dir, const char *path, int *ret_fd, struct smx_buf *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return smx_unix_fail(err, "cannot open", path, errno);
	*ret_fd = fd;
	return 0;
}

int smx_unix_sync(int fd)
{
	int r;

	do
		r = fsync(fd);
	while (r != 0 && errno == EINTR);
	return r;
}

int smx_unix_sync_dir(int fd, const char *path, struct smx_buf *err)
{
	/* File systems that can't sync a directory say EINVAL: there is nothing to wait for. */
	if (smx_unix_sync(fd) == 0 || errno == EINVAL || errno == ENOTSUP)
		return 0;
	(void)smx_unix_fail(err, "cannot make durable", path, errno);
	return SMX_ESYS;
}

static int make_dir(const struct smx_unix_place *pl, const char *path, struct smx_buf *err)
{
	int fd, r;

	if (mkdirat(pl->dir, pl->name, 0700) != 0)
		return errno == EEXIST
			       ? 0
			       : smx_unix_fail(err, "cannot make the directory", path, errno);
	/* A parent that we may write but not read can't be synced. */
	if (smx_unix_reopen_dir(pl->dir, path, &fd, NULL) != 0)
		return 0;
	r = smx_unix_sync_dir(fd, path, err);
	close(fd);
	return r;
}

int smx_unix_make_dir(const char *path, int *ret_fd, struct stat *ret_st, struct smx_buf *err)
{
	struct smx_unix_place pl;
	int r;

	if ((r = smx_unix_walk(path, &pl, err)) != 0)
		return r;
	if ((r = make_dir(&pl, path, err)) == 0)
		r = enter(&pl, path, ret_fd, ret_st, err);
	smx_unix_place_release(&pl);
	return r;
}

int smx_os_dir_check(const char *path, struct smx_buf *err)
{
	struct stat st;
	int fd, r;

	if ((r = smx_unix_walk_dir(path, &fd, &st, err)) != 0)
		return r;
	close(fd);
	return 0;
}

int smx_os_dir_ensure(const char *path, struct smx_buf *err)
{
	struct stat st;
	int fd, r;

	if ((r = smx_unix_make_dir(path, &fd, &st, err)) != 0)
		return r;
	close(fd);
	return 0;
}
