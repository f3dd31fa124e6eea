/* SPDX-License-Identifier: MIT */
/* TCP clients of this machine: taking them in, and whose they are (U9). */
#include "os/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#endif

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

static int set_flags(int fd)
{
#ifdef SO_NOSIGPIPE
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)) != 0)
		return SMX_ESYS;
#endif
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0
		       ? 0
		       : SMX_ESYS;
}

int smx_os_tcp_listen(uint16_t port, int backlog, int64_t *ret_socket)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1, e;

	if (fd < 0)
		return SMX_ESYS;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* Connections of a daemon that has just ended are no reason to wait. */
	if (set_flags(fd) != 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		smx_os_socket_exclusive(fd) != 0 ||
		bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
		goto fail;
	smx_os_socket_stays_here(fd);
	if (smx_unix_listen(fd, backlog) != 0)
		goto fail;
	*ret_socket = fd;
	return 0;
fail:
	e = errno;
	(void)close(fd);
	return e == EADDRINUSE ? SMX_EEXISTS : e == EACCES ? SMX_EDENIED : SMX_ESYS;
}

int smx_unix_accept(int listener, int *ret_fd)
{
	int fd;

	do {
#ifdef __linux__
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
		fd = accept(listener, NULL, NULL);
#endif
		/* Gone before we came: the next one. */
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return SMX_EAGAIN;
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS
			       ? SMX_ELIMIT
			       : SMX_ESYS;
	}
#ifndef __linux__
	if (set_flags(fd) != 0) {
		(void)close(fd);
		return SMX_ESYS;
	}
#endif
	*ret_fd = fd;
	return 0;
}

int smx_os_tcp_accept(int64_t listener, int64_t *ret_socket)
{
	int fd, r;

	if ((r = smx_unix_accept((int)listener, &fd)) == 0)
		*ret_socket = fd;
	return r;
}

void smx_os_tcp_close(int64_t socket)
{
	if (socket >= 0)
		(void)close((int)socket);
}

/* ---- whose they are ----------------------------------------------------------------------------
 */

#ifdef __linux__

/*
 * The kernel tells the owner of a socket by its exact pair of addresses, without a walk over any
 * table and at once: the answer lies in our socket when the question's system call returns.
 */
struct smx_os_tcp_peers {
	int fd; /* netlink, -1: to be made */
	uint32_t seq;
	struct sockaddr_in own; /* of the listener, and so of all it accepts */
};

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

union answer {
	struct nlmsghdr head;
	char bytes[8192];
};

static int open_netlink(struct smx_os_tcp_peers *p)
{
	p->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	return p->fd >= 0 ? 0 : SMX_ESYS;
}

/* What came for this question: 0, SMX_ENOTFOUND (there is no such socket), SMX_ESYS. */
static int read_answer(const struct smx_os_tcp_peers *p, struct inet_diag_msg *ret)
{
	union answer a;
	const struct nlmsgerr *e;
	ssize_t n;

	for (;;) {
		if ((n = recv(p->fd, &a, sizeof(a), MSG_DONTWAIT)) < 0) {
			if (errno == EINTR)
				continue;
			return SMX_ESYS;
		}
		if (!NLMSG_OK(&a.head, (size_t)n) || a.head.nlmsg_seq != p->seq)
			continue; /* to a question that went wrong */
		if (a.head.nlmsg_type == NLMSG_ERROR) {
			if (a.head.nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
				return SMX_ESYS;
			e = NLMSG_DATA(&a.head);
			return e->error == -ENOENT ? SMX_ENOTFOUND : SMX_ESYS;
		}
		if (a.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
			a.head.nlmsg_len < NLMSG_LENGTH(sizeof(*ret)))
			return SMX_ESYS;
		memcpy(ret, NLMSG_DATA(&a.head), sizeof(*ret));
		return 0;
	}
}

/* The socket whose own address is `own` and whose peer is `other`. */
static int ask(struct smx_os_tcp_peers *p, const struct sockaddr_in *own,
	const struct sockaddr_in *other, struct inet_diag_msg *ret)
{
	struct question q = {
		.head = { .nlmsg_len = sizeof(q),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST },
		.req = { .sdiag_family = AF_INET,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0u,
			.id = { .idiag_sport = own->sin_port,
				.idiag_dport = other->sin_port,
				.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int r;

	q.req.id.idiag_src[0] = own->sin_addr.s_addr;
	q.req.id.idiag_dst[0] = other->sin_addr.s_addr;
	/* One that failed once is not trusted again: a new one, which may work. */
	for (int i = 0; i < 2; i++) {
		if (p->fd < 0 && open_netlink(p) != 0)
			return SMX_ESYS;
		q.head.nlmsg_seq = ++p->seq;
		r = SMX_ESYS;
		if (sendto(p->fd, &q, sizeof(q), 0, (const struct sockaddr *)&kernel,
			    sizeof(kernel)) == (ssize_t)sizeof(q))
			r = read_answer(p, ret);
		if (r != SMX_ESYS)
			return r;
		(void)close(p->fd);
		p->fd = -1;
	}
	return SMX_ESYS;
}

int smx_os_tcp_peers_new(int64_t listener, struct smx_os_tcp_peers **ret)
{
	struct smx_os_tcp_peers *p = smx_calloc(1, sizeof(*p));
	struct sockaddr_in nobody = { .sin_family = AF_INET };
	struct inet_diag_msg found;
	socklen_t n = sizeof(p->own);

	if (!p)
		return SMX_ENOMEM;
	p->fd = -1;
	/* "No such socket" is also what a kernel without this says, so it is asked for one that
	 * there is: our own. */
	if (getsockname((int)listener, (struct sockaddr *)&p->own, &n) != 0 ||
		p->own.sin_family != AF_INET || ask(p, &p->own, &nobody, &found) != 0 ||
		found.idiag_uid != geteuid() || found.idiag_inode == 0) {
		smx_os_tcp_peers_free(p);
		return SMX_EUNSUPPORTED;
	}
	*ret = p;
	return 0;
}

int smx_os_tcp_peer_check(struct smx_os_tcp_peers *p, int64_t socket, int64_t *ret_uid)
{
	struct sockaddr_in peer;
	struct inet_diag_msg found;
	socklen_t n = sizeof(peer);
	int r;

	if (getpeername((int)socket, (struct sockaddr *)&peer, &n) != 0)
		return errno == ENOTCONN ? SMX_EEOF : SMX_ESYS;
	if ((r = ask(p, &peer, &p->own, &found)) != 0)
		return r == SMX_ENOTFOUND ? SMX_EEOF : r;
	/* Closed by its process: the kernel says root then, which is nobody's word. */
	if (found.idiag_inode == 0)
		return SMX_EEOF;
	*ret_uid = found.idiag_uid;
	return found.idiag_uid == 0 || found.idiag_uid == geteuid() ? 0 : SMX_EDENIED;
}

void smx_os_tcp_peers_free(struct smx_os_tcp_peers *p)
{
	if (p && p->fd >= 0)
		(void)close(p->fd);
	smx_free(p);
}

#else

/* The tables that such systems have hold every socket; reading one at each accept would cost more
 * than the limits before authentication do. */
int smx_os_tcp_peers_new(int64_t listener, struct smx_os_tcp_peers **ret)
{
	(void)listener;
	(void)ret;
	return SMX_EUNSUPPORTED;
}

int smx_os_tcp_peer_check(struct smx_os_tcp_peers *p, int64_t socket, int64_t *ret_uid)
{
	(void)p;
	(void)socket;
	(void)ret_uid;
	return SMX_EUNSUPPORTED;
}

void smx_os_tcp_peers_free(struct smx_os_tcp_peers *p)
{
	(void)p;
}

#endif
