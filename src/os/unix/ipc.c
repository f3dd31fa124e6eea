/* SPDX-License-Identifier: MIT */
/*
 * The control endpoint: a Unix socket in a directory of our own (S5).
 *
 * Who holds the lock file is the daemon; the kernel lets go of it when the process dies, however
 * that happens. So whoever has the lock may take a leftover socket away.
 */
#include "os/ipc.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define BACKLOG     128
#define SEND_BUFFER (512 * 1024) /* Linux gives at most twice its net.core.wmem_max */
#define LOCK_TRYS   16
#define TURN_MS     10
#define LOCK_SUFFIX ".lock"
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: SO_NOSIGPIPE, set on the socket */
#endif

struct smx_os_ipc_server {
	struct smx_unix_place pl;
	int fd, lock_fd;
	dev_t device;
	ino_t inode;
};

static int make_address(const char *path, struct sockaddr_un *ret, struct smx_buf *err)
{
	size_t n = strlen(path);

	if (n >= sizeof(ret->sun_path)) {
		smx_unix_say(err, "%s is longer than a socket's path can be", path);
		return SMX_EINVAL;
	}
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, path, n + 1);
	return 0;
}

static int set_flags(int fd)
{
#ifdef SO_NOSIGPIPE
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)) != 0)
		return SMX_ESYS;
#endif
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		return SMX_ESYS;
	return 0;
}

/*
 * Best effort: of bulk more than a frame goes at a time. What a system gives of itself is 208 KiB on
 * Linux, of which it wants three quarters gone before more is taken, and 8 KiB on macOS.
 */
static void widen(int fd)
{
	int len = SEND_BUFFER;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &len, sizeof(len));
}

int smx_unix_accept_local(int listener, int *ret_fd)
{
	int r = smx_unix_accept(listener, ret_fd);

	if (r == 0)
		widen(*ret_fd);
	return r;
}

static int new_socket(int *ret_fd, struct smx_buf *err)
{
#ifdef SOCK_CLOEXEC
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
#else
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
#endif

	if (fd >= 0 && set_flags(fd) == 0) {
		widen(fd);
		*ret_fd = fd;
		return 0;
	}
	smx_unix_say(err, "cannot make a socket: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return SMX_ESYS;
}

/* ---- server ------------------------------------------------------------------------------------
 */

static int already_running(const char *path, int lock_fd, struct smx_buf *err)
{
	char pid[24] = "";
	ssize_t n = lock_fd >= 0 ? pread(lock_fd, pid, sizeof(pid) - 1, 0) : 0;

	pid[n > 0 ? n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	smx_unix_say(err, "a daemon%s%s is running already at %s; run: ssh-mux stop",
		pid[0] ? " with process id " : "", pid, path);
	return SMX_EEXISTS;
}

/*
 * Locks the file. Who holds the lock without an endpoint is ending, or just starting: what it is
 * shows soon. 0 or an errno.
 */
static int lock(const struct smx_os_ipc_server *s, int fd)
{
	uint64_t end = smx_os_monotonic_ms() + SMX_OS_ENDING_MS;
	struct stat st;

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return errno;
		if (fstatat(s->pl.dir, s->pl.name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
			smx_os_monotonic_ms() >= end)
			return EWOULDBLOCK;
		smx_os_sleep_ms(TURN_MS);
	}
	return 0;
}

static int take_lock(struct smx_os_ipc_server *s, const char *path, struct smx_buf *err)
{
	char name[sizeof(s->pl.name) + sizeof(LOCK_SUFFIX)], pid[24];
	int fd, e;

	(void)snprintf(name, sizeof(name), "%s%s", s->pl.name, LOCK_SUFFIX);
	for (int i = 0; i < LOCK_TRYS; i++) {
		fd = openat(s->pl.dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0) {
			(void)smx_unix_fail(err, "cannot open the lock file of", path, errno);
			return SMX_ESYS;
		}
		if ((e = lock(s, fd)) != 0) {
			int r = e == EWOULDBLOCK ? already_running(path, fd, err)
						 : smx_unix_fail(err,
							   "cannot lock the lock file of", path, e);

			close(fd);
			return r;
		}
		/* A cleaner of /tmp may have removed the name between open and lock. */
		if (smx_unix_is_named(s->pl.dir, name, AT_SYMLINK_NOFOLLOW, fd)) {
			int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

			if (ftruncate(fd, 0) == 0)
				(void)!pwrite(fd, pid, (size_t)n, 0); /* for people only */
			s->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
	smx_unix_say(err, "the lock file of %s keeps disappearing", path);
	return SMX_ESYS;
}

/* We have the lock: what is at the path is nobody's, unless somebody's lock file was deleted. */
static int clear_stale(struct smx_os_ipc_server *s, const struct sockaddr_un *address,
	const char *path, struct smx_buf *err)
{
	struct stat st;
	int fd, r, e = 0;

	if (fstatat(s->pl.dir, s->pl.name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : smx_unix_fail(err, "cannot examine", path, errno);
	if (!S_ISSOCK(st.st_mode)) {
		smx_unix_say(err, "%s is not a socket; remove it", path);
		return SMX_EUNSAFE;
	}
	if ((r = new_socket(&fd, err)) != 0)
		return r;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		e = errno;
	close(fd);
	if (e != ECONNREFUSED && e != ENOENT)
		return already_running(path, -1, err);
	if (unlinkat(s->pl.dir, s->pl.name, 0) != 0 && errno != ENOENT) {
		(void)smx_unix_fail(err, "cannot remove the old socket", path, errno);
		return SMX_ESYS;
	}
	return 0;
}

static int bind_and_listen(struct smx_os_ipc_server *s, const struct sockaddr_un *address,
	const char *path, struct smx_buf *err)
{
	struct stat st;
	int r;

	if ((r = new_socket(&s->fd, err)) != 0)
		return r;
	/* The directory lets nobody in, so the moment before chmod is nobody's chance. */
	if (bind(s->fd, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
		fchmodat(s->pl.dir, s->pl.name, 0600, 0) != 0 ||
		fstatat(s->pl.dir, s->pl.name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		listen(s->fd, BACKLOG) != 0) {
		(void)smx_unix_fail(err, "cannot listen at", path, errno);
		return SMX_ESYS;
	}
	s->device = st.st_dev;
	s->inode = st.st_ino;
	return 0;
}

/* The walk's checks let a directory pass that others can look into; ours may not be one (S5). */
static int check_own_dir(const struct smx_unix_place *pl, struct smx_buf *err)
{
	struct stat st;

	if (fstat(pl->dir, &st) != 0)
		return smx_unix_fail(err, "cannot examine", pl->dir_path, errno);
	if (st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return 0;
	smx_unix_say(err, "%s is not a directory of yours alone; run: chmod 700 %s", pl->dir_path,
		pl->dir_path);
	return SMX_EUNSAFE;
}

int smx_os_ipc_listen(const char *path, struct smx_os_ipc_server **ret, struct smx_buf *err)
{
	struct smx_os_ipc_server *s;
	struct sockaddr_un address;
	int r;

	if ((r = make_address(path, &address, err)) != 0)
		return r;
	if ((s = smx_calloc(1, sizeof(*s))) == NULL)
		return SMX_ENOMEM;
	s->fd = s->lock_fd = s->pl.dir = -1;
	if ((r = smx_unix_walk(path, &s->pl, err)) != 0 || (r = check_own_dir(&s->pl, err)) != 0 ||
		(r = take_lock(s, path, err)) != 0 ||
		(r = clear_stale(s, &address, path, err)) != 0 ||
		(r = bind_and_listen(s, &address, path, err)) != 0) {
		smx_os_ipc_server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int smx_os_ipc_server_fd(const struct smx_os_ipc_server *s)
{
	return s->fd;
}

/* Here an event loop listens by itself. */
int smx_os_ipc_server_start(struct smx_os_ipc_server *s, void (*wake)(void *arg), void *arg)
{
	(void)s;
	(void)wake;
	(void)arg;
	return SMX_EUNSUPPORTED;
}

int smx_os_ipc_server_accept(struct smx_os_ipc_server *s, int *ret_fd)
{
	return smx_unix_accept_local(s->fd, ret_fd);
}

void smx_os_ipc_server_close(struct smx_os_ipc_server *s)
{
	struct stat st;

	if (s->inode != 0 && fstatat(s->pl.dir, s->pl.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_ino == s->inode && st.st_dev == s->device)
		(void)unlinkat(s->pl.dir, s->pl.name, 0);
	s->inode = 0;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void smx_os_ipc_server_free(struct smx_os_ipc_server *s)
{
	if (!s)
		return;
	smx_os_ipc_server_close(s);
	/* The lock file stays: to remove it would let two starters lock two different ones. */
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	smx_unix_place_release(&s->pl);
	smx_free(s);
}

int smx_os_ipc_peer_check(intptr_t handle, int64_t *ret_pid)
{
	int fd = (int)handle;
	int64_t pid = -1;
	uid_t uid;
#ifdef SO_PEERCRED
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0 || n != sizeof(cred))
		return SMX_ESYS;
	uid = cred.uid;
	pid = cred.pid;
#else
	gid_t gid;

	if (getpeereid(fd, &uid, &gid) != 0)
		return SMX_ESYS;
#endif
	if (uid != geteuid() && uid != 0)
		return SMX_EDENIED;
	if (ret_pid)
		*ret_pid = pid > 0 ? pid : -1;
	return 0;
}

/* ---- client ------------------------------------------------------------------------------------
 */

/* Milliseconds left of a wait, 0 when it is over. */
static int time_left(uint64_t start, int timeout_ms)
{
	uint64_t gone = smx_os_monotonic_ms() - start;

	return gone >= (uint64_t)timeout_ms ? 0 : timeout_ms - (int)gone;
}

static int wait_for(int fd, short events, uint64_t start, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	do {
		n = poll(&p, 1, time_left(start, timeout_ms));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return SMX_ESYS;
	return n == 0 ? SMX_ETIMEOUT : 0;
}

/* 0, or an errno. */
static int connect_within(int fd, const struct sockaddr_un *address, int timeout_ms)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000000 };
	uint64_t start = smx_os_monotonic_ms();

	for (;;) {
		if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
			errno == EISCONN)
			return 0;
		/* EAGAIN: the server's queue is full. There is nothing to poll for. */
		if (errno != EAGAIN && errno != EINTR && errno != EINPROGRESS && errno != EALREADY)
			return errno;
		if (time_left(start, timeout_ms) == 0)
			return ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
}

static int connect_failed(const char *path, int e, struct smx_buf *err)
{
	switch (e) {
	case ENOENT:
	case ECONNREFUSED:
		smx_unix_say(err, "no daemon is running (nobody answers at %s)", path);
		return SMX_ENOTFOUND;
	case ETIMEDOUT:
		smx_unix_say(err, "the daemon at %s does not answer", path);
		return SMX_ETIMEOUT;
	case EACCES:
	case EPERM:
		smx_unix_say(err, "%s belongs to another user", path);
		return SMX_EDENIED;
	default:
		return smx_unix_fail(err, "cannot connect to", path, e);
	}
}

int smx_os_ipc_connect(const char *path, int timeout_ms, int *ret_fd, struct smx_buf *err)
{
	struct sockaddr_un address;
	int fd, r, e;

	if ((r = make_address(path, &address, err)) != 0 || (r = new_socket(&fd, err)) != 0)
		return r;
	if ((e = connect_within(fd, &address, timeout_ms)) != 0) {
		r = connect_failed(path, e, err);
	} else if ((r = smx_os_ipc_peer_check(fd, NULL)) != 0) {
		smx_unix_say(err, "the program listening at %s is another user's", path);
	}
	if (r != 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int smx_os_ipc_read(int fd, void *p, size_t size, int timeout_ms, size_t *ret_len)
{
	uint64_t start = smx_os_monotonic_ms();
	ssize_t n;
	int r;

	for (;;) {
		n = read(fd, p, size);
		if (n > 0) {
			*ret_len = (size_t)n;
			return 0;
		}
		if (n == 0 || errno == ECONNRESET)
			return SMX_EEOF;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return SMX_ESYS;
		if ((r = wait_for(fd, POLLIN, start, timeout_ms)) != 0)
			return r;
	}
}

int smx_os_ipc_write(int fd, const void *p, size_t len, int timeout_ms)
{
	uint64_t start = smx_os_monotonic_ms();
	const uint8_t *at = p;
	ssize_t n;
	int r;

	while (len > 0) {
		n = send(fd, at, len, MSG_NOSIGNAL);
		if (n >= 0) {
			at += n;
			len -= (size_t)n;
			start = smx_os_monotonic_ms();
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return SMX_EEOF;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return SMX_ESYS;
		if ((r = wait_for(fd, POLLOUT, start, timeout_ms)) != 0)
			return r;
	}
	return 0;
}

void smx_os_ipc_close(int fd)
{
	if (fd >= 0)
		close(fd);
}
