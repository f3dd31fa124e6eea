/* SPDX-License-Identifier: MIT */
/*
 * A preloaded library that makes one system call of the daemon or of its helper fail, once.
 *
 * The file that CHAOS_CALL names is mapped and holds `struct control` (tests/chaos/failing_call.py has the
 * same layout): which process's calls of which kind, which of them from now on, and how it fails.
 * It counts all calls of every kind, so that a test knows how many there are to try. What failed,
 * and who called, is left in `said`.
 *
 * Not counted is what can't fail in that way: calls on descriptors that are neither files, pipes
 * nor sockets (libuv wakes itself by an eventfd), on the packets between daemon and helper, whose
 * socket fails when one of them ends, libuv's own of epoll_ctl, pipe and on pipes, after which it
 * aborts, as it may, and the pipes by which the sanitizers look at memory.
 *
 * It may stand before AddressSanitizer's own wrappers (verify_asan_link_order=0): what it passes on
 * goes there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define N_ROLES 2

enum kind {
	OPEN,
	READ,
	WRITE,
	SYNC,
	RENAME,
	CONNECT,
	ACCEPT,
	SOCKET,
	BIND,
	PIPE,
	MKDIR,
	UNLINK,
	CHMOD,
	LOCK,
	EPOLL,
	FORK,
	N_KINDS,
};

/* How: an error for good, another one, or what the caller has to live with. */
enum how {
	HARD,
	HARD_TOO,
	INTERRUPTED,
	AGAIN,
	SHORT,
};

struct control {
	_Atomic uint32_t role, kind, how, until, hits;
	_Atomic uint32_t counts[N_ROLES][N_KINDS];
	char said[256];
};

static struct control *control;
static uint32_t own_role;
static pid_t own_pid;

/* What the caller of the real function gets instead. */
static const int hard[N_KINDS][2] = {
	[OPEN] = { EMFILE, EIO },
	[READ] = { EIO, EIO },
	[WRITE] = { ENOSPC, EIO },
	[SYNC] = { EIO, ENOSPC },
	[RENAME] = { ENOSPC, EIO },
	[CONNECT] = { ECONNREFUSED, ENETUNREACH },
	[ACCEPT] = { EMFILE, ECONNABORTED },
	[SOCKET] = { EMFILE, ENOBUFS },
	[BIND] = { EADDRINUSE, ENOMEM },
	[PIPE] = { EMFILE, ENFILE },
	[MKDIR] = { ENOSPC, EIO },
	[UNLINK] = { EIO, EROFS },
	[CHMOD] = { EIO, EROFS },
	[LOCK] = { ENOLCK, EIO },
	[EPOLL] = { ENOMEM, ENOSPC },
	[FORK] = { EAGAIN, ENOMEM },
};

static uint32_t role_of_this(uint32_t none)
{
	char line[512];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	const char *word;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return none;
	line[n] = '\0';
	word = line + strlen(line) + 1;
	if (word >= line + n)
		return none;
	return strcmp(word, "serve") == 0 ? 0 : strcmp(word, "helper") == 0 ? 1 : none;
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("CHAOS_CALL");
	uint32_t role = path ? role_of_this(N_ROLES) : N_ROLES;
	void *p;
	int fd;

	if (role == N_ROLES || (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		return;
	p = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return;
	own_role = role;
	own_pid = getpid();
	control = p;
}

static int is_called_by(const void *caller, const char *library)
{
	Dl_info info;

	return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, library);
}

/* For the report of a failure: the function, the place in the program, and what it was about. */
static void say(const char *name, const char *about, int how, const void *caller)
{
	static const char *const hows[] = { "fails", "fails too", "is interrupted", "has to wait",
		"is short" };
	const char *file = "?";
	uintptr_t base = 0;
	Dl_info info;

	if (dladdr(caller, &info) && info.dli_fname) {
		file = info.dli_fname;
		base = (uintptr_t)info.dli_fbase;
	}
	(void)snprintf(control->said, sizeof(control->said), "%s(%.100s) %s, called by %.80s+0x%zx",
		name, about, hows[how], file, (size_t)((uintptr_t)caller - base - 1));
}

struct call {
	const char *name, *path; /* NULL: fd */
	const void *caller;
	enum kind kind;
	int fd;
};

static int socket_type(int fd)
{
	socklen_t len = sizeof(int);
	int type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 ? type : 0;
}

/* The type of the file, 0 of what can't fail. */
static mode_t type_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || (S_ISSOCK(st.st_mode) && socket_type(fd) != SOCK_STREAM))
		return 0;
	return st.st_mode & S_IFMT;
}

static const char *type_name(mode_t type)
{
	switch (type) {
	case S_IFSOCK:
		return "a socket";
	case S_IFREG:
		return "a file";
	case S_IFIFO:
		return "a pipe";
	case S_IFDIR:
		return "a directory";
	default:
		return "a descriptor";
	}
}

/* Of those the system tells truly whether the other end has gone. */
static int is_local(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

static int error_of(const struct call *c, uint32_t how, mode_t type)
{
	int is_io = c->kind == READ || c->kind == WRITE;

	if (how == INTERRUPTED || how == SHORT)
		return EINTR;
	if (how == AGAIN)
		return is_io && type != S_IFREG && (fcntl(c->fd, F_GETFL) & O_NONBLOCK) ? EAGAIN
											: EINTR;
	if (is_io && type == S_IFSOCK && is_local(c->fd))
		return how == HARD ? ENOBUFS : ENOMEM;
	if (is_io && type == S_IFSOCK)
		return c->kind == READ ? how == HARD ? ECONNRESET : ETIMEDOUT
		       : how == HARD   ? EPIPE
				       : ECONNRESET;
	if (is_io && type == S_IFIFO)
		return c->kind == READ ? EIO : EPIPE;
	return hard[c->kind][how];
}

/* 0: the call is made. -1: it fails with errno. 1: it is made with half of its bytes. */
static int is_due(const struct call *c)
{
	mode_t type = S_IFREG;
	int saved = errno, due = 0;
	uint32_t left, how;

	if (!control || getpid() != own_pid)
		return 0;
	if (c->kind == READ || c->kind == WRITE)
		type = type_of(c->fd);
	if (type == 0 || type == S_IFCHR)
		goto out;
	if ((c->kind == EPOLL || c->kind == PIPE || type == S_IFIFO) &&
		is_called_by(c->caller, "libuv"))
		goto out;
	/* A pipe fails when its reader has gone, and no data is lost then. */
	if (type == S_IFIFO && atomic_load(&control->how) <= HARD_TOO)
		goto out;
	if (c->kind == PIPE && is_called_by(c->caller, "san.so"))
		goto out;
	atomic_fetch_add(&control->counts[own_role][c->kind], 1);
	if (atomic_load(&control->role) != own_role || atomic_load(&control->kind) != c->kind)
		goto out;
	left = atomic_load(&control->until);
	while (left && !atomic_compare_exchange_weak(&control->until, &left, left - 1))
		;
	if (left != 1)
		goto out;
	how = atomic_load(&control->how);
	say(c->name, c->path ? c->path : type_name(type), (int)how, c->caller);
	atomic_fetch_add(&control->hits, 1);
	if (how == SHORT && (c->kind == READ || c->kind == WRITE)) {
		due = 1;
		goto out;
	}
	errno = error_of(c, how, type);
	return -1;
out:
	errno = saved;
	return due;
}

/* Half of what was asked for, and at least a byte: 0 would be an end. */
static size_t half(size_t n)
{
	return n > 1 ? n / 2 : n;
}

#define REAL(ret, name, ...)             \
	static ret (*real)(__VA_ARGS__); \
	if (!real)                       \
	real = (ret(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)
#define CALL(kind, name, fd, path) \
	is_due(&(struct call){ #name, path, __builtin_return_address(0), kind, fd })

/* ---- names of files ------------------------------------------------------------------------ */

#define OPEN_LIKE(name)                                                           \
	int name(const char *path, int flags, ...)                                \
	{                                                                         \
		mode_t mode = 0;                                                  \
		va_list ap;                                                       \
		REAL(int, name, const char *, int, ...);                          \
		va_start(ap, flags);                                              \
		if (flags & (O_CREAT | O_TMPFILE))                                \
			mode = va_arg(ap, mode_t);                                \
		va_end(ap);                                                       \
		return CALL(OPEN, name, -1, path) ? -1 : real(path, flags, mode); \
	}
OPEN_LIKE(open)
OPEN_LIKE(open64)

#define OPENAT_LIKE(name)                                                              \
	int name(int dir, const char *path, int flags, ...)                            \
	{                                                                              \
		mode_t mode = 0;                                                       \
		va_list ap;                                                            \
		REAL(int, name, int, const char *, int, ...);                          \
		va_start(ap, flags);                                                   \
		if (flags & (O_CREAT | O_TMPFILE))                                     \
			mode = va_arg(ap, mode_t);                                     \
		va_end(ap);                                                            \
		return CALL(OPEN, name, -1, path) ? -1 : real(dir, path, flags, mode); \
	}
OPENAT_LIKE(openat)
OPENAT_LIKE(openat64)

int rename(const char *from, const char *to)
{
	REAL(int, rename, const char *, const char *);
	return CALL(RENAME, rename, -1, to) ? -1 : real(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	REAL(int, renameat, int, const char *, int, const char *);
	return CALL(RENAME, renameat, -1, to) ? -1 : real(from_dir, from, to_dir, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	REAL(int, renameat2, int, const char *, int, const char *, unsigned);
	return CALL(RENAME, renameat2, -1, to) ? -1 : real(from_dir, from, to_dir, to, flags);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	REAL(int, linkat, int, const char *, int, const char *, int);
	return CALL(RENAME, linkat, -1, to) ? -1 : real(from_dir, from, to_dir, to, flags);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	REAL(int, mkdirat, int, const char *, mode_t);
	return CALL(MKDIR, mkdirat, -1, path) ? -1 : real(dir, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
	REAL(int, mkdir, const char *, mode_t);
	return CALL(MKDIR, mkdir, -1, path) ? -1 : real(path, mode);
}

int unlink(const char *path)
{
	REAL(int, unlink, const char *);
	return CALL(UNLINK, unlink, -1, path) ? -1 : real(path);
}

int unlinkat(int dir, const char *path, int flags)
{
	REAL(int, unlinkat, int, const char *, int);
	return CALL(UNLINK, unlinkat, -1, path) ? -1 : real(dir, path, flags);
}

int chmod(const char *path, mode_t mode)
{
	REAL(int, chmod, const char *, mode_t);
	return CALL(CHMOD, chmod, -1, path) ? -1 : real(path, mode);
}

int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	REAL(int, fchmodat, int, const char *, mode_t, int);
	return CALL(CHMOD, fchmodat, -1, path) ? -1 : real(dir, path, mode, flags);
}

/* ---- descriptors --------------------------------------------------------------------------- */

int fchmod(int fd, mode_t mode)
{
	REAL(int, fchmod, int, mode_t);
	return CALL(CHMOD, fchmod, fd, NULL) ? -1 : real(fd, mode);
}

int fsync(int fd)
{
	REAL(int, fsync, int);
	return CALL(SYNC, fsync, fd, NULL) ? -1 : real(fd);
}

int flock(int fd, int how)
{
	REAL(int, flock, int, int);
	return CALL(LOCK, flock, fd, NULL) ? -1 : real(fd, how);
}

ssize_t read(int fd, void *p, size_t n)
{
	int due;
	REAL(ssize_t, read, int, void *, size_t);
	due = CALL(READ, read, fd, NULL);
	return due < 0 ? -1 : real(fd, p, due ? half(n) : n);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	int due;
	REAL(ssize_t, pread, int, void *, size_t, off_t);
	due = CALL(READ, pread, fd, NULL);
	return due < 0 ? -1 : real(fd, p, due ? half(n) : n, at);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
	int due;
	REAL(ssize_t, recv, int, void *, size_t, int);
	due = CALL(READ, recv, fd, NULL);
	return due < 0 ? -1 : real(fd, p, due ? half(n) : n, flags);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	REAL(ssize_t, recvmsg, int, struct msghdr *, int);
	return CALL(READ, recvmsg, fd, NULL) < 0 ? -1 : real(fd, msg, flags);
}

ssize_t write(int fd, const void *p, size_t n)
{
	int due;
	REAL(ssize_t, write, int, const void *, size_t);
	due = CALL(WRITE, write, fd, NULL);
	return due < 0 ? -1 : real(fd, p, due ? half(n) : n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	int due;
	REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
	due = CALL(WRITE, pwrite, fd, NULL);
	return due < 0 ? -1 : real(fd, p, due ? half(n) : n, at);
}

/* The first half of the first piece. */
ssize_t writev(int fd, const struct iovec *iov, int n)
{
	struct iovec first;
	int due;
	REAL(ssize_t, writev, int, const struct iovec *, int);
	due = CALL(WRITE, writev, fd, NULL);
	if (due > 0 && n > 0 && iov[0].iov_len > 0) {
		first = (struct iovec){ iov[0].iov_base, half(iov[0].iov_len) };
		return real(fd, &first, 1);
	}
	return due < 0 ? -1 : real(fd, iov, n);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	int due;
	REAL(ssize_t, send, int, const void *, size_t, int);
	due = CALL(WRITE, send, fd, NULL);
	return due < 0 ? -1 : real(fd, p, due ? half(n) : n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
	return CALL(WRITE, sendmsg, fd, NULL) < 0 ? -1 : real(fd, msg, flags);
}

/* ---- new ones ------------------------------------------------------------------------------ */

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	REAL(int, connect, int, const struct sockaddr *, socklen_t);
	return CALL(CONNECT, connect, fd, NULL) ? -1 : real(fd, to, len);
}

int accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	REAL(int, accept4, int, struct sockaddr *, socklen_t *, int);
	return CALL(ACCEPT, accept4, fd, NULL) ? -1 : real(fd, from, len, flags);
}

int socket(int family, int type, int protocol)
{
	REAL(int, socket, int, int, int);
	return CALL(SOCKET, socket, -1, family == AF_UNIX ? "AF_UNIX" : "another family")
		       ? -1
		       : real(family, type, protocol);
}

int socketpair(int family, int type, int protocol, int fds[2])
{
	REAL(int, socketpair, int, int, int, int *);
	return CALL(SOCKET, socketpair, -1, "") ? -1 : real(family, type, protocol, fds);
}

int bind(int fd, const struct sockaddr *at, socklen_t len)
{
	REAL(int, bind, int, const struct sockaddr *, socklen_t);
	return CALL(BIND, bind, fd, NULL) ? -1 : real(fd, at, len);
}

int listen(int fd, int n)
{
	REAL(int, listen, int, int);
	return CALL(BIND, listen, fd, NULL) ? -1 : real(fd, n);
}

int pipe2(int fds[2], int flags)
{
	REAL(int, pipe2, int *, int);
	return CALL(PIPE, pipe2, -1, "") ? -1 : real(fds, flags);
}

int pipe(int fds[2])
{
	REAL(int, pipe, int *);
	return CALL(PIPE, pipe, -1, "") ? -1 : real(fds);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	REAL(int, epoll_ctl, int, int, int, struct epoll_event *);
	/* A removal can't fail. */
	if (op != EPOLL_CTL_DEL && CALL(EPOLL, epoll_ctl, fd, NULL))
		return -1;
	return real(epoll, op, fd, event);
}

int epoll_create1(int flags)
{
	REAL(int, epoll_create1, int);
	return CALL(EPOLL, epoll_create1, -1, "") ? -1 : real(flags);
}

pid_t fork(void)
{
	REAL(pid_t, fork, void);
	return CALL(FORK, fork, -1, "") ? -1 : real();
}
