/* SPDX-License-Identifier: MIT */
/* Sockets where forwards listen (W2): addresses of this machine, or a path. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/door.h"
#include "os/unix/unix.h"

#define BACKLOG 128

struct smx_os_forward {
	int fds[SMX_OS_FORWARD_FDS];
	size_t n_fds;
	char *path; /* of a socket in the file system, or NULL */
	dev_t device;
	ino_t inode;
};

static int prepare(int fd)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

static int error_of(int e)
{
	switch (e) {
	case EADDRINUSE:
		return SMX_EEXISTS;
	case EACCES:
	case EPERM:
		return SMX_EDENIED;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
		return SMX_ELIMIT;
	case ENOMEM:
		return SMX_ENOMEM;
	default:
		return SMX_ESYS;
	}
}

/* --- addresses --- */

static int is_loopback(const struct sockaddr *a)
{
	static const struct in6_addr one = IN6ADDR_LOOPBACK_INIT;

	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)a;

		return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
	}
	if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)a;

		return memcmp(&v6->sin6_addr, &one, sizeof(one)) == 0;
	}
	return 0;
}

/* 0, and a list to free; or an error of getaddrinfo. No name is looked up. */
static int addresses(const struct smx_os_forward_place *at, struct addrinfo **ret)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	const char *host = at->host;
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", at->port);
	if (strcmp(host, "*") == 0)
		hints.ai_flags |= AI_PASSIVE;
	if (*host == '\0' || strcmp(host, "*") == 0 || strcasecmp(host, "localhost") == 0)
		host = NULL;
	return getaddrinfo(host, port, &hints, ret);
}

int smx_os_forward_is_local(const struct smx_os_forward_place *at)
{
	struct addrinfo *list, *a;
	int is_local = 1;

	if (at->path)
		return 1;
	if (addresses(at, &list) != 0)
		return 0;
	for (a = list; a; a = a->ai_next)
		is_local = is_local && is_loopback(a->ai_addr);
	freeaddrinfo(list);
	return is_local;
}

/* 0 or an errno. */
static int listen_at(struct smx_os_forward *f, const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM, 0), on = 1, e;

	if (fd < 0)
		return errno;
	if (prepare(fd) && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(a->ai_family != AF_INET6 ||
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
		bind(fd, a->ai_addr, a->ai_addrlen) == 0 && smx_unix_listen(fd, BACKLOG) == 0) {
		f->fds[f->n_fds++] = fd;
		return 0;
	}
	e = errno;
	(void)close(fd);
	return e;
}

static int listen_tcp(
	struct smx_os_forward *f, const struct smx_os_forward_place *at, struct smx_buf *err)
{
	struct addrinfo *list, *a;
	int e = 0, first = 0;

	if (at->port == 0 || addresses(at, &list) != 0) {
		smx_unix_say(err, "\"%.100s\" port %u is not a numeric address to listen at",
			at->host, at->port);
		return SMX_EINVAL;
	}
	for (a = list; a && f->n_fds < SMX_OS_FORWARD_FDS; a = a->ai_next)
		if ((e = listen_at(f, a)) != 0 && (first == 0 || e == EADDRINUSE))
			first = e;
	freeaddrinfo(list);
	if (f->n_fds)
		return 0;
	smx_unix_say(err, "cannot listen at %s port %u: %s", *at->host ? at->host : "localhost",
		at->port, strerror(first));
	return error_of(first);
}

/* --- a path --- */

/* Whether a socket of ours is there that nobody listens at any more. */
static int is_dead(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, e = 0;

	if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return 0;
	if ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) < 0)
		return 0;
	if (!prepare(fd) || connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		e = errno;
	(void)close(fd);
	return e == ECONNREFUSED;
}

/* 0 or an errno. */
static int bind_path(int fd, const struct sockaddr_un *address)
{
	/* Nobody can come in between: it is not there with another mode for a moment. */
	mode_t before = umask(0177);
	int e = bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;

	(void)umask(before);
	return e;
}

static int listen_path(struct smx_os_forward *f, const char *path, struct smx_buf *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, e;

	if (*path != '/' || strlen(path) >= sizeof(address.sun_path)) {
		smx_unix_say(err, "%.200s is not the absolute path of a socket, or too long", path);
		return SMX_EINVAL;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (!(f->path = smx_strdup(path)))
		return SMX_ENOMEM;
	if ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) < 0)
		return smx_unix_fail(err, "cannot make", path, errno);
	f->fds[f->n_fds++] = fd;
	e = prepare(fd) ? bind_path(fd, &address) : errno;
	if (e == EADDRINUSE && is_dead(&address) && smx_unix_unlink_socket(path) == 0)
		e = bind_path(fd, &address);
	if (e == 0 && lstat(path, &st) == 0) {
		f->device = st.st_dev;
		f->inode = st.st_ino;
	}
	if (e == 0 && smx_unix_listen(fd, BACKLOG) == 0)
		return 0;
	e = e ? e : errno;
	(void)smx_unix_fail(err, "cannot listen at", path, e);
	return error_of(e);
}

int smx_os_forward_listen(
	const struct smx_os_forward_place *at, struct smx_os_forward **ret, struct smx_buf *err)
{
	struct smx_os_forward *f = smx_calloc(1, sizeof(*f));
	int r;

	if (!f)
		return SMX_ENOMEM;
	r = at->path ? listen_path(f, at->path, err) : listen_tcp(f, at, err);
	if (r != 0) {
		smx_os_forward_close(f);
		return r;
	}
	*ret = f;
	return 0;
}

size_t smx_os_forward_fds(const struct smx_os_forward *f, int ret_fds[SMX_OS_FORWARD_FDS])
{
	memcpy(ret_fds, f->fds, f->n_fds * sizeof(f->fds[0]));
	return f->n_fds;
}

int smx_os_forward_accept(
	int listener, int *ret_fd, char *ret_address, size_t size, uint16_t *ret_port)
{
	struct sockaddr_storage from = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(from);
	int fd, on = 1, r;

	if ((r = smx_unix_accept(listener, &fd)) != 0)
		return r;
	(void)snprintf(ret_address, size, "127.0.0.1");
	*ret_port = 0;
	if (getpeername(fd, (struct sockaddr *)&from, &len) == 0 &&
		(from.ss_family == AF_INET || from.ss_family == AF_INET6)) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)getnameinfo((struct sockaddr *)&from, len, ret_address, (socklen_t)size, NULL,
			0, NI_NUMERICHOST);
		*ret_port = ntohs(from.ss_family == AF_INET
					  ? ((struct sockaddr_in *)&from)->sin_port
					  : ((struct sockaddr_in6 *)&from)->sin6_port);
	}
	*ret_fd = fd;
	return 0;
}

void smx_os_forward_close(struct smx_os_forward *f)
{
	struct stat st;

	if (!f)
		return;
	if (f->inode && lstat(f->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == f->inode &&
		st.st_dev == f->device)
		(void)smx_unix_unlink_socket(f->path);
	while (f->n_fds)
		(void)close(f->fds[--f->n_fds]);
	smx_free(f->path);
	smx_free(f);
}
