/* SPDX-License-Identifier: MIT */
/*
 * Adding a line to a file that others append to (K4, C8).
 *
 * ssh opens known_hosts with O_APPEND and takes no lock, so a rename can't be made safe by asking
 * it to wait. What can be known is when it is over: after the rename nobody can open the old file
 * by name any more, and Linux grants a read lease on it exactly when nobody has it open for
 * writing. What the old file has grown by then is what would have been lost.
 */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define LOCK_WAIT_MS   10000
#define ROUNDS_MAX     100
#define WRITER_WAIT_MS 2000 /* a writer that keeps the old file open longer may lose its line */
#define GRACE_MS       100 /* where there are no leases */
#define POLL_MS        2

struct append {
	const char *path;
	struct smx_unix_place pl;
	struct smx_buf todo; /* the lines still to be added, each with its newline */
	struct smx_buf *err;
};

static void sleep_ms(long ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

static int lock_dir(int fd, const char *path, struct smx_buf *err)
{
	uint64_t start = smx_os_monotonic_ms();

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return smx_unix_fail(err, "cannot lock the directory of", path, errno);
		if (smx_os_monotonic_ms() - start > LOCK_WAIT_MS) {
			smx_unix_say(err,
				"the directory of %s has been locked by another program for too "
				"long",
				path);
			return SMX_ETIMEOUT;
		}
		sleep_ms(POLL_MS);
	}
	return 0;
}

/* 1: somebody may still write to the file; 0: nobody; -1: this system or file system can't tell. */
static int has_writer(int fd)
{
#if defined(F_SETLEASE) && defined(F_SETSIG)
	struct stat st;

	/* With another name left it can be opened anew, and a lease would prove nothing. */
	if (fstat(fd, &st) != 0 || st.st_nlink != 0)
		return -1;
	/* A broken lease is told by a signal: by one that is ignored unless asked for. */
	if (fcntl(fd, F_SETSIG, SIGURG) != 0)
		return -1;
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
		(void)fcntl(fd, F_SETLEASE, F_UNLCK);
		return 0;
	}
	return errno == EAGAIN || errno == EBUSY ? 1 : -1;
#else
	(void)fd;
	return -1;
#endif
}

/* Waits until the replaced file is final, then takes what it has beyond known_len as what to do. */
static int rescue(struct append *a, int old_fd, size_t known_len)
{
	uint64_t start = smx_os_monotonic_ms();
	struct stat st;
	int writer;

	while ((writer = has_writer(old_fd)) != 0) {
		if (smx_os_monotonic_ms() - start > (writer > 0 ? WRITER_WAIT_MS : GRACE_MS))
			break;
		sleep_ms(POLL_MS);
	}
	smx_buf_reset(&a->todo);
	if (fstat(old_fd, &st) == 0 && (uintmax_t)st.st_size <= known_len)
		return 0;
	if (lseek(old_fd, (off_t)known_len, SEEK_SET) < 0)
		return smx_unix_fail(a->err, "cannot read", a->path, errno);
	return smx_unix_read_fd(old_fd, SMX_OS_APPEND_FILE_MAX, a->path, &a->todo, a->err);
}

/* 1 if fd holds `seen` and nothing else. */
static int has_content(int fd, const uint8_t *seen, size_t len)
{
	uint8_t chunk[16384];
	size_t at = 0;
	ssize_t n;

	while ((n = pread(fd, chunk, sizeof(chunk), (off_t)at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (size_t)n > len - at || memcmp(chunk, seen + at, (size_t)n) != 0)
			return 0;
		at += (size_t)n;
	}
	return at == len;
}

/* 1 if the file of that name is still the one that fd is open on, with the content `seen`. */
static int is_unchanged(const struct append *a, int fd, const uint8_t *seen, size_t len)
{
	struct stat by_name, by_fd;

	return fstatat(a->pl.dir, a->pl.name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(fd, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino &&
	       by_name.st_dev == by_fd.st_dev && has_content(fd, seen, len);
}

static int append_new_file(struct append *a)
{
	struct smx_unix_temp t;
	int r;

	r = smx_unix_temp_make(
		&a->pl, smx_buf_view(&a->todo), smx_buf_len(&a->todo), 0600, &t, a->err);
	if (r != 0)
		return r;
	r = smx_unix_temp_publish(&a->pl, &t, 1, a->err);
	smx_unix_temp_drop(&a->pl, &t);
	if (r == 0)
		smx_buf_reset(&a->todo);
	return r == SMX_EEXISTS ? 0 : r; /* somebody was faster: the next round finds it */
}

static int build_content(struct append *a, int fd, struct smx_buf *content, size_t *ret_old_len)
{
	size_t n;
	int r;

	if ((r = smx_unix_read_fd(fd, SMX_OS_APPEND_FILE_MAX, a->path, content, a->err)) != 0)
		return r;
	n = smx_buf_len(content);
	if ((n > 0 && smx_buf_view(content)[n - 1] != '\n' &&
		    (r = smx_buf_put(content, "\n", 1)) != 0) ||
		(r = smx_buf_put(content, smx_buf_view(&a->todo), smx_buf_len(&a->todo))) != 0) {
		smx_unix_say(a->err, "cannot add to %s: %s", a->path, smx_strerror(r));
		return r;
	}
	*ret_old_len = n;
	return 0;
}

/* One attempt; what is left in a->todo afterwards wants another one. */
static int append_round(struct append *a)
{
	struct smx_unix_temp t = { "" };
	struct smx_buf content;
	struct stat st;
	size_t old_len;
	int fd = -1, r;

	smx_buf_init(&content, SMX_OS_APPEND_FILE_MAX);
	if (fstatat(a->pl.dir, a->pl.name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
		return append_new_file(a);
	if ((r = smx_unix_open_file(&a->pl, SMX_OS_FILE_PLAIN, &fd, &st, a->err)) != 0)
		return r;
	if (st.st_uid != geteuid()) {
		/* Its replacement would be ours: that is not for us to decide. */
		smx_unix_say(a->err, "%s belongs to user %lu, not to you; run: chown %lu %s",
			a->path, (unsigned long)st.st_uid, (unsigned long)geteuid(), a->path);
		r = SMX_EUNSAFE;
		goto out;
	}
	if ((r = build_content(a, fd, &content, &old_len)) != 0 ||
		(r = smx_unix_temp_make(&a->pl, smx_buf_view(&content), smx_buf_len(&content),
			 st.st_mode & 0777, &t, a->err)) != 0)
		goto out;
	if (!is_unchanged(a, fd, smx_buf_view(&content), old_len))
		goto out;
	if ((r = smx_unix_temp_publish(&a->pl, &t, 0, a->err)) == 0)
		r = rescue(a, fd, old_len);
out:
	smx_unix_temp_drop(&a->pl, &t);
	smx_buf_release(&content);
	close(fd);
	return r;
}

int smx_os_file_append_line(const char *path, const char *line, struct smx_buf *err)
{
	struct append a = { .path = path, .err = err };
	int lock_fd = -1, r, rounds = 0;

	if (line[0] == '\0' || strpbrk(line, "\r\n")) {
		smx_unix_say(err, "not one line of text");
		return SMX_EINVAL;
	}
	if ((r = smx_unix_walk(path, &a.pl, err)) != 0)
		return r;
	smx_buf_init(&a.todo, SMX_OS_APPEND_FILE_MAX);
	if ((r = smx_buf_put_str(&a.todo, line)) != 0 || (r = smx_buf_put(&a.todo, "\n", 1)) != 0 ||
		(r = smx_unix_reopen_dir(a.pl.dir, path, &lock_fd, err)) != 0 ||
		(r = lock_dir(lock_fd, path, err)) != 0)
		goto out;
	while (r == 0 && smx_buf_len(&a.todo) > 0) {
		if (++rounds > ROUNDS_MAX) {
			smx_unix_say(err, "%s keeps being changed by other programs", path);
			r = SMX_ETIMEOUT;
			break;
		}
		r = append_round(&a);
	}
	if (r == 0)
		r = smx_unix_sync_dir(&a.pl, err);
out:
	if (lock_fd >= 0)
		close(lock_fd); /* and with it the lock */
	smx_buf_release(&a.todo);
	smx_unix_place_release(&a.pl);
	return r;
}
