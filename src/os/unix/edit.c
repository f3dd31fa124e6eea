/* SPDX-License-Identifier: MIT */
/*
 * Changing a file that other programs write as well (K4, C2, C8).
 *
 * ssh opens known_hosts with O_APPEND and takes no lock, an editor may write a file in place; so a
 * rename can't be made safe by asking them to wait. What can be known is when it is over: after the
 * rename nobody can open the old file by name any more, and Linux grants a read lease on it exactly
 * when nobody has it open for writing. What was appended to the old file by then goes to the end of
 * the new one; if it was rewritten, that is what the edit should have started from, and the next
 * round does.
 */
#include "os/file.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define LOCK_WAIT_MS    10000
#define ROUNDS_MAX      100
#define WRITER_WAIT_MS  2000 /* who keeps the old file open longer may lose what it writes */
#define GRACE_MS        100 /* where there are no leases */
#define POLL_MS         2
#define KEPT_RANDOM_LEN 9 /* a dash, and of the temporary name what tells one from the next */

struct edit_job {
	const char *path;
	struct smx_unix_place pl;
	size_t max_len;
	unsigned mode_if_new;
	smx_os_edit_fn *edit;
	void *arg;
	struct smx_buf *err;

	int is_changed;
	int n_replaced; /* files, by renames of ours */
	/* Of the last of them: what it replaced, what took its place, what the former became. */
	struct smx_buf before, ours, late;
	int has_late; /* `late` is not `before`, and has to be brought in */
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
				"long; try again",
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

/* 1 if fd holds `text` and nothing else. */
static int has_content(int fd, struct smx_view text)
{
	uint8_t chunk[16384];
	size_t at = 0;
	ssize_t n;

	while ((n = pread(fd, chunk, sizeof(chunk), (off_t)at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (size_t)n > text.len - at ||
			memcmp(chunk, text.p + at, (size_t)n) != 0)
			return 0;
		at += (size_t)n;
	}
	return at == text.len;
}

static int starts_with(struct smx_view v, struct smx_view prefix)
{
	return v.len >= prefix.len &&
	       smx_view_eq_view((struct smx_view){ v.p, prefix.len }, prefix);
}

/* Waits until the replaced file is final, then takes it as what to start from, if it changed. */
static int rescue(struct edit_job *j, int old_fd)
{
	uint64_t start = smx_os_monotonic_ms();
	struct smx_view before = smx_buf_as_view(&j->before);
	int writer, r;

	while ((writer = has_writer(old_fd)) != 0) {
		if (smx_os_monotonic_ms() - start > (writer > 0 ? WRITER_WAIT_MS : GRACE_MS))
			break;
		sleep_ms(POLL_MS);
	}
	j->has_late = 0;
	if (has_content(old_fd, before))
		return 0;
	smx_buf_reset(&j->late);
	if (lseek(old_fd, 0, SEEK_SET) < 0)
		return smx_unix_fail(j->err, "cannot read", j->path, errno);
	if ((r = smx_unix_read_fd(old_fd, j->max_len, j->path, &j->late, j->err)) != 0)
		return r;
	/* Somebody still in the middle of rewriting it: half of that is worse than none. */
	j->has_late = writer <= 0 || starts_with(smx_buf_as_view(&j->late), before);
	return 0;
}

/* 1 if the file of that name is still the one that fd is open on, with the content `seen`. */
static int is_unchanged(const struct edit_job *j, int fd, struct smx_view seen)
{
	return smx_unix_is_named(j->pl.dir, j->pl.name, AT_SYMLINK_NOFOLLOW, fd) &&
	       has_content(fd, seen);
}

static int too_long(const struct edit_job *j, int r)
{
	smx_unix_say(j->err, "cannot change %s: %s", j->path, smx_strerror(r));
	return r;
}

/* A text that has no place in the file any more is kept beside it, and said. */
static int keep_late(const struct edit_job *j)
{
	struct smx_view late = smx_buf_as_view(&j->late);
	struct smx_unix_temp t = SMX_UNIX_TEMP_NONE;
	struct smx_unix_place beside = j->pl; /* its descriptor is only borrowed */
	char path[SMX_UNIX_PLACE_PATH_MAX];
	int r;

	r = smx_unix_temp_make(&j->pl, late.p, late.len, 0600, SMX_UNIX_GROUP_ANY, &t, j->err);
	if (r != 0)
		return r;
	(void)snprintf(beside.name, sizeof(beside.name), "%.200s.other%.*s", j->pl.name,
		KEPT_RANDOM_LEN, strrchr(t.name, '-'));
	r = smx_unix_temp_publish(&beside, &t, 1, j->err);
	smx_unix_temp_drop(&j->pl, &t);
	if (r != 0)
		return r;
	smx_unix_say(j->err,
		"%s was rewritten by two other programs at the same time; what one of them wrote "
		"is in %s: join them and try again",
		j->path, smx_unix_place_path(&beside, path));
	return SMX_ETIMEOUT;
}

/* What was appended to the replaced file goes to the end of what is there now. */
static int join_late(const struct edit_job *j, struct smx_view now, struct smx_buf *out)
{
	size_t known = smx_buf_len(&j->before);
	struct smx_view late = smx_buf_as_view(&j->late);
	int r;

	if ((r = smx_buf_put(out, now.p, now.len)) != 0 ||
		(now.len > 0 && now.p[now.len - 1] != '\n' &&
			(r = smx_buf_put(out, "\n", 1)) != 0) ||
		(r = smx_buf_put(out, late.p + known, late.len - known)) != 0)
		return too_long(j, r);
	return 0;
}

/*
 * What is to be there instead of `now`. 0, 1 (nothing else), SMX_E*.
 *
 * A rewritten old file can be edited in our result's place only if nobody has touched that since,
 * and if it was the first one that we replaced: a later one has our edit in it already, and not
 * what the first one became.
 */
static int new_content(
	const struct edit_job *j, struct smx_view now, int is_missing, struct smx_buf *out)
{
	struct smx_view from = now, before = smx_buf_as_view(&j->before);
	int r;

	if (j->has_late) {
		from = smx_buf_as_view(&j->late);
		if (before.len > 0 && starts_with(from, before))
			return join_late(j, now, out);
		if (j->n_replaced > 1 ||
			(!is_missing && !smx_view_eq_view(now, smx_buf_as_view(&j->ours))))
			return keep_late(j);
		is_missing = 0;
	}
	r = j->edit(j->arg, from, is_missing, out, j->err);
	if (r <= 0)
		return r;
	if (!j->has_late)
		return 1;
	smx_buf_reset(out);
	return (r = smx_buf_put(out, from.p, from.len)) != 0 ? too_long(j, r) : 0;
}

/* There is no file of that name. 0: done, 1: another round. */
static int make_new(struct edit_job *j)
{
	struct smx_unix_temp t = SMX_UNIX_TEMP_NONE;
	struct smx_buf out;
	int r;

	smx_buf_init(&out, j->max_len);
	r = new_content(j, (struct smx_view){ NULL, 0 }, 1, &out);
	if (r != 0) {
		r = r > 0 ? 0 : r;
		goto out;
	}
	r = smx_unix_temp_make(&j->pl, smx_buf_view(&out), smx_buf_len(&out), j->mode_if_new & 0777,
		SMX_UNIX_GROUP_ANY, &t, j->err);
	if (r != 0)
		goto out;
	r = smx_unix_temp_publish(&j->pl, &t, 1, j->err);
	if (r == SMX_EEXISTS)
		r = 1; /* somebody was faster: the next round finds it */
	else if (r == 0)
		j->is_changed = 1;
out:
	smx_unix_temp_drop(&j->pl, &t);
	smx_buf_release(&out);
	return r;
}

static int open_ours(const struct edit_job *j, int *ret_fd, struct stat *ret_st)
{
	struct stat st;
	int fd, r;

	if ((r = smx_unix_open_file(&j->pl, SMX_OS_FILE_PLAIN, &fd, &st, j->err)) != 0)
		return r;
	if (st.st_uid != geteuid()) {
		/* Its replacement would be ours: that is not for us to decide. */
		smx_unix_say(j->err, "%s belongs to user %lu, not to you; run: chown %lu %s",
			j->path, (unsigned long)st.st_uid, (unsigned long)geteuid(), j->path);
		close(fd);
		return SMX_EUNSAFE;
	}
	*ret_fd = fd;
	*ret_st = st;
	return 0;
}

static void swap(struct smx_buf *a, struct smx_buf *b)
{
	struct smx_buf t = *a;

	*a = *b;
	*b = t;
}

/* One attempt. 0: done, 1: another round. */
static int edit_round(struct edit_job *j)
{
	struct smx_unix_temp t = SMX_UNIX_TEMP_NONE;
	struct smx_buf now, out;
	struct stat st;
	size_t said;
	int fd, r;

	if (fstatat(j->pl.dir, j->pl.name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
		return make_new(j);
	said = j->err ? smx_buf_len(j->err) : 0;
	if ((r = open_ours(j, &fd, &st)) != 0) {
		if (r != SMX_ENOTFOUND)
			return r;
		if (j->err)
			smx_buf_truncate(j->err, said); /* it went between the two: no failure */
		return 1;
	}
	smx_buf_init(&now, j->max_len);
	smx_buf_init(&out, j->max_len);
	if ((r = smx_unix_read_fd(fd, j->max_len, j->path, &now, j->err)) != 0)
		goto out;
	if ((r = new_content(j, smx_buf_as_view(&now), 0, &out)) != 0) {
		r = r > 0 ? 0 : r;
		goto out;
	}
	if (smx_view_eq_view(smx_buf_as_view(&now), smx_buf_as_view(&out)))
		goto out;
	r = smx_unix_temp_make(&j->pl, smx_buf_view(&out), smx_buf_len(&out), st.st_mode & 0777,
		st.st_gid, &t, j->err);
	if (r != 0)
		goto out;
	if (!is_unchanged(j, fd, smx_buf_as_view(&now))) {
		r = 1;
		goto out;
	}
	if ((r = smx_unix_temp_publish(&j->pl, &t, 0, j->err)) != 0)
		goto out;
	j->is_changed = 1;
	j->n_replaced++;
	swap(&j->before, &now);
	swap(&j->ours, &out);
	if ((r = rescue(j, fd)) == 0)
		r = j->has_late;
out:
	smx_unix_temp_drop(&j->pl, &t);
	smx_buf_release(&out);
	smx_buf_release(&now);
	close(fd);
	return r;
}

static int run_rounds(struct edit_job *j)
{
	int r;

	for (int i = 0; i < ROUNDS_MAX; i++)
		if ((r = edit_round(j)) <= 0)
			return r;
	smx_unix_say(j->err, "%s keeps being changed by other programs; try again", j->path);
	return SMX_ETIMEOUT;
}

int smx_os_file_edit(const char *path, size_t max_len, unsigned mode_if_new, smx_os_edit_fn *edit,
	void *arg, int *ret_changed, struct smx_buf *err)
{
	struct edit_job j = {
		.path = path,
		.max_len = max_len,
		.mode_if_new = mode_if_new,
		.edit = edit,
		.arg = arg,
		.err = err,
	};
	int lock_fd = -1, r;

	if ((r = smx_unix_walk(path, &j.pl, err)) != 0)
		return r;
	smx_buf_init(&j.before, max_len);
	smx_buf_init(&j.ours, max_len);
	smx_buf_init(&j.late, max_len);
	if ((r = smx_unix_reopen_dir(j.pl.dir, path, &lock_fd, err)) != 0 ||
		(r = lock_dir(lock_fd, path, err)) != 0)
		goto out;
	r = run_rounds(&j);
	if (r == 0 && ret_changed)
		*ret_changed = j.is_changed;
out:
	if (lock_fd >= 0)
		close(lock_fd); /* and with it the lock */
	smx_buf_release(&j.before);
	smx_buf_release(&j.ours);
	smx_buf_release(&j.late);
	smx_unix_place_release(&j.pl);
	return r;
}

/* ---- one line more ----------------------------------------------------------------------------
 */

static int add_line(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	const char *const *line = arg;
	int r;

	(void)is_missing;
	if ((r = smx_buf_put(out, old.p, old.len)) != 0 ||
		(old.len > 0 && old.p[old.len - 1] != '\n' &&
			(r = smx_buf_put(out, "\n", 1)) != 0) ||
		(r = smx_buf_put_str(out, *line)) != 0 || (r = smx_buf_put(out, "\n", 1)) != 0)
		smx_unix_say(err, "cannot add a line: %s", smx_strerror(r));
	return r;
}

int smx_os_file_append_line(const char *path, const char *line, struct smx_buf *err)
{
	if (line[0] == '\0' || strpbrk(line, "\r\n")) {
		smx_unix_say(err, "not one line of text");
		return SMX_EINVAL;
	}
	return smx_os_file_edit(path, SMX_OS_APPEND_FILE_MAX, 0600, add_line, &line, NULL, err);
}
