/* SPDX-License-Identifier: MIT */
/*
 * Standard streams of other processes (W2). O_NONBLOCK belongs to the open file, which the process
 * at the other end and its shell share with us: who sets it breaks them. So what could block is
 * opened once more, for an open file of our own.
 */
#include "os/door.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#include <sys/sysmacros.h>
#else
#include <sys/event.h>
#include <sys/time.h>
#endif

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum kind {
	KIND_OWN, /* an open file of our own, non-blocking */
	KIND_OWN_SOCKET, /* the same */
	KIND_SOCKET,
	KIND_FILE,
	KIND_NULL, /* /dev/null, as half of all calls have it: no thread and no call for it */
	KIND_BROKEN, /* not open for this direction, or nobody is at the other end */
};

struct smx_os_stdio {
	enum kind kind;
	int fd;
	int poll_fd; /* -1: fd itself, if anything */
	int is_output, is_terminal;
};

/* --- opening once more --- */

static int reopen_as(const char *path, int is_output)
{
	return open(path, (is_output ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

#ifdef __linux__

/* The magic link leads to the very file, whatever its name is now. */
static int reopen(int fd, int is_output)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return reopen_as(path, is_output);
}

static int reopen_for_both(int fd)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

#define PTMX      makedev(5, 2)
#define DEV_TTY   makedev(5, 0)
#define PTS_MAJOR 136

/* /dev/tty is another terminal for us: asks for the one that is meant. */
static int reopen_dev_tty(int fd, int is_output)
{
	struct stat st;
	unsigned dev = 0;
	char path[40];
	int own;

	if (ioctl(fd, TIOCGDEV, &dev) != 0 || major(dev) != PTS_MAJOR) {
		errno = ENOTTY;
		return -1;
	}
	(void)snprintf(path, sizeof(path), "/dev/pts/%u", minor(dev));
	own = reopen_as(path, is_output);
	if (own >= 0 && (fstat(own, &st) != 0 || st.st_rdev != dev)) {
		(void)close(own);
		errno = ENOTTY;
		return -1;
	}
	return own;
}

static int reopen_terminal(int fd, const struct stat *st, int is_output)
{
	if (st->st_rdev == PTMX) {
		errno = ENOTTY; /* opened again it would be another terminal */
		return -1;
	}
	return st->st_rdev == DEV_TTY ? reopen_dev_tty(fd, is_output) : reopen(fd, is_output);
}

/* A watch of the stream that does not change it: an event loop's would (uv_poll_init). */
static int new_watch(int fd, int is_output, int *ret_fd)
{
	struct epoll_event ev = { .events = is_output ? EPOLLOUT : EPOLLIN };
	int watch = epoll_create1(EPOLL_CLOEXEC);

	if (watch < 0)
		return SMX_ESYS;
	if (epoll_ctl(watch, EPOLL_CTL_ADD, fd, &ev) != 0) {
		(void)close(watch);
		return SMX_ESYS;
	}
	*ret_fd = watch;
	return 0;
}

/* Of a device that is no terminal: whether a read of it could wait for something. */
static int can_wait(int fd)
{
	int watch;

	if (new_watch(fd, 0, &watch) != 0)
		return 0;
	(void)close(watch);
	return 1;
}

#else

/* /dev/fd is no more than dup(2) here. */
static int reopen_for_both(int fd)
{
	char path[256];

	return ttyname_r(fd, path, sizeof(path)) == 0 ? open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
						      : -1;
}

static int reopen(int fd, int is_output)
{
	(void)fd;
	(void)is_output;
	errno = ENOTSUP;
	return -1;
}

static int reopen_terminal(int fd, const struct stat *st, int is_output)
{
	struct stat own_st;
	char path[256];
	int own;

	if (ttyname_r(fd, path, sizeof(path)) != 0)
		return -1;
	own = reopen_as(path, is_output);
	if (own >= 0 && (fstat(own, &own_st) != 0 || own_st.st_rdev != st->st_rdev)) {
		(void)close(own);
		errno = ENOTTY;
		return -1;
	}
	return own;
}

static int new_watch(int fd, int is_output, int *ret_fd)
{
	struct kevent ev;
	int watch = kqueue();

	if (watch < 0)
		return SMX_ESYS;
	EV_SET(&ev, (uintptr_t)fd, is_output ? EVFILT_WRITE : EVFILT_READ, EV_ADD, 0, 0, 0);
	if (fcntl(watch, F_SETFD, FD_CLOEXEC) != 0 || kevent(watch, &ev, 1, NULL, 0, NULL) != 0) {
		(void)close(watch);
		return SMX_ESYS;
	}
	*ret_fd = watch;
	return 0;
}

static int can_wait(int fd)
{
	struct stat a, b;

	return fstat(fd, &a) != 0 || stat("/dev/null", &b) != 0 || a.st_rdev != b.st_rdev;
}

#endif

static int is_open_for(int fd, int is_output)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return 0;
	flags &= O_ACCMODE;
	return flags == O_RDWR || flags == (is_output ? O_WRONLY : O_RDONLY);
}

/* An open file of our own takes the place of the one that came. */
static int take_own(struct smx_os_stdio *s, int own)
{
	if (own >= 0) {
		(void)close(s->fd);
		s->fd = own;
		s->kind = KIND_OWN;
		return 0;
	}
	/* Nobody reads the pipe; the terminal was hung up. */
	if (errno == ENXIO || (errno == EIO && s->is_terminal)) {
		s->kind = KIND_BROKEN;
		return 0;
	}
	return SMX_EUNSUPPORTED;
}

static int is_null(const struct stat *st)
{
	struct stat nothing;

	return S_ISCHR(st->st_mode) && stat("/dev/null", &nothing) == 0 &&
	       st->st_rdev == nothing.st_rdev;
}

int smx_unix_reopen_here(int fd, int how)
{
	struct stat st;

	if (how == SMX_HELPER_READ_WRITE)
		return reopen_for_both(fd);
	if (fstat(fd, &st) != 0)
		return -1;
	return S_ISCHR(st.st_mode) ? reopen_terminal(fd, &st, how == SMX_HELPER_WRITE)
				   : reopen(fd, how == SMX_HELPER_WRITE);
}

static int set_kind(struct smx_os_stdio *s)
{
	int how = s->is_output ? SMX_HELPER_WRITE : SMX_HELPER_READ;
	struct stat st;

	if (fstat(s->fd, &st) != 0 || !is_open_for(s->fd, s->is_output)) {
		s->kind = KIND_BROKEN;
		return 0;
	}
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode)) {
		s->kind = KIND_FILE;
		return 0;
	}
	if (S_ISSOCK(st.st_mode)) {
		s->kind = KIND_SOCKET;
		return new_watch(s->fd, s->is_output, &s->poll_fd) == 0 ? 0 : SMX_EUNSUPPORTED;
	}
	if (S_ISFIFO(st.st_mode))
		return take_own(s, smx_unix_reopen(s->fd, how));
	if (!S_ISCHR(st.st_mode))
		return SMX_EUNSUPPORTED;
	if (is_null(&st)) {
		s->kind = KIND_NULL;
		return 0;
	}
	if (isatty(s->fd)) {
		s->is_terminal = 1;
		return take_own(s, smx_unix_reopen(s->fd, how));
	}
	s->kind = KIND_FILE;
	return can_wait(s->fd) ? SMX_EUNSUPPORTED : 0;
}

int smx_os_stdio_new(int fd, int is_output, struct smx_os_stdio **ret)
{
	struct smx_os_stdio *s = smx_calloc(1, sizeof(*s));
	int r;

	if (!s) {
		(void)close(fd);
		return SMX_ENOMEM;
	}
	*s = (struct smx_os_stdio){ .fd = fd, .poll_fd = -1, .is_output = is_output };
	if ((r = set_kind(s)) != 0) {
		smx_os_stdio_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static int is_own(const struct smx_os_stdio *s)
{
	return s->kind == KIND_OWN || s->kind == KIND_OWN_SOCKET;
}

static int is_socket(const struct smx_os_stdio *s)
{
	return s->kind == KIND_SOCKET || s->kind == KIND_OWN_SOCKET;
}

/* One direction of a connection; closes fd on failure. */
static int new_of_socket(int fd, int is_output, struct smx_os_stdio **ret)
{
	struct smx_os_stdio *s = smx_calloc(1, sizeof(*s));

	if (!s) {
		(void)close(fd);
		return SMX_ENOMEM;
	}
	*s = (struct smx_os_stdio){
		.kind = KIND_OWN_SOCKET, .fd = fd, .poll_fd = -1, .is_output = is_output
	};
	*ret = s;
	return 0;
}

int smx_os_socket_twin(int64_t socket, int *ret_fd)
{
	int twin = fcntl((int)socket, F_DUPFD_CLOEXEC, 0);

	if (twin < 0)
		return errno == EMFILE ? SMX_ELIMIT : SMX_ESYS;
	*ret_fd = twin;
	return 0;
}

int smx_os_stdio_of_socket(int fd, struct smx_os_stdio **ret_in, struct smx_os_stdio **ret_out)
{
	struct smx_os_stdio *in = NULL;
	int twin, r;

	if ((r = smx_os_socket_twin(fd, &twin)) != 0) {
		(void)close(fd);
		return r;
	}
	if ((r = new_of_socket(fd, 0, &in)) != 0) {
		(void)close(twin);
		return r;
	}
	if ((r = new_of_socket(twin, 1, ret_out)) != 0) {
		smx_os_stdio_free(in);
		return r;
	}
	*ret_in = in;
	return 0;
}

void smx_os_stdio_end(struct smx_os_stdio *s)
{
	if (s->is_output && is_socket(s))
		(void)shutdown(s->fd, SHUT_WR);
}

int smx_os_stdio_poll_fd(const struct smx_os_stdio *s, int *ret_is_writable)
{
	/* A watch is readable when what it watches for is there, whatever that is. */
	*ret_is_writable = s->is_output && is_own(s);
	if (is_own(s))
		return s->fd;
	return s->kind == KIND_SOCKET ? s->poll_fd : -1;
}

int smx_os_stdio_is_null(const struct smx_os_stdio *s)
{
	return s->kind == KIND_NULL;
}

int smx_os_stdio_terminal(const struct smx_os_stdio *s)
{
	return s->is_terminal && s->kind == KIND_OWN ? s->fd : -1;
}

static int error_of(int e)
{
	if (e == EAGAIN || e == EWOULDBLOCK)
		return SMX_EAGAIN;
	/* EIO: a terminal that was hung up. */
	return e == EPIPE || e == ECONNRESET || e == ETIMEDOUT || e == EIO || e == ENOTCONN
		       ? SMX_EEOF
		       : SMX_ESYS;
}

int smx_os_stdio_read(struct smx_os_stdio *s, void *p, size_t size, size_t *ret_len)
{
	ssize_t n;

	if (s->kind == KIND_BROKEN || s->kind == KIND_NULL)
		return SMX_EEOF;
	do {
		n = is_socket(s) ? recv(s->fd, p, size, MSG_DONTWAIT) : read(s->fd, p, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_of(errno);
	if (n == 0)
		return SMX_EEOF;
	*ret_len = (size_t)n;
	return 0;
}

int smx_os_stdio_write(struct smx_os_stdio *s, const void *p, size_t len, size_t *ret_len)
{
	ssize_t n;

	if (s->kind == KIND_BROKEN)
		return SMX_EEOF;
	if (s->kind == KIND_NULL) {
		*ret_len = len;
		return 0;
	}
	do {
		n = is_socket(s) ? send(s->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL)
				 : write(s->fd, p, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EIO && !s->is_terminal ? SMX_ESYS : error_of(errno);
	*ret_len = (size_t)n;
	return 0;
}

void smx_os_stdio_free(struct smx_os_stdio *s)
{
	if (!s)
		return;
	if (s->poll_fd >= 0)
		(void)close(s->poll_fd);
	(void)close(s->fd);
	smx_free(s);
}

int smx_os_stdio_has_nothing(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISCHR(st.st_mode))
		return 0;
	return isatty(fd) || is_null(&st);
}

int smx_os_size_signal(void)
{
	return SIGWINCH;
}
