/* SPDX-License-Identifier: MIT */
/*
 * The control sockets of ssh (W2). A socket is bound under a name of its own and renamed when it
 * listens: between bind(2) and listen(2) a client would be refused, complain, and take the socket
 * for a dead master's.
 */
#include "os/door.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/path.h"
#include "os/unix/unix.h"

#define BACKLOG    128
#define DIR_DIGITS 8 /* of the control endpoint's: paths of sockets are short */
#define NEW_NAME   ".new"
/*
 * A killed daemon leaves its sockets, and ssh, which finds one that nobody listens at, complains
 * each time before it connects by itself (W3). So clients come by a link that goes through the
 * daemon's directory in /proc: it leads nowhere as soon as the daemon is dead, which ssh takes for
 * no socket, without a word.
 */
#define DIR_LETTER 'd'
#ifdef __linux__
#define GATE_LETTER 'c'
#else
#define GATE_LETTER DIR_LETTER
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: smx_os_ignore_sigpipe does */
#endif
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif
#define RECEIVE_MAX 16 /* descriptors in one message, to be sure to see them all */

struct smx_os_doors {
	char *path; /* by which clients come */
	char *real; /* where it is; the same where there are no gates */
	char *gate; /* what the link at path says; NULL: there is none */
	int dir; /* for the *at calls */
};

struct smx_os_door {
	struct smx_os_doors *doors;
	char *name;
	int fd;
	dev_t device;
	ino_t inode;
};

/* --- the directory --- */

/* Beside the control endpoint, and named after it: it is of the same SSH directory. */
static int where(const char *ssh_dir, char letter, char **ret_path, struct smx_buf *err)
{
	static const char prefix[] = "control-";
	char *control = NULL, *dir = NULL, name[1 + DIR_DIGITS + 1];
	const char *digits;
	int r;

	if ((r = smx_os_control_path(ssh_dir, &control, err)) != 0)
		return r;
	digits = smx_os_path_name(control) + sizeof(prefix) - 1;
	(void)snprintf(name, sizeof(name), "%c%.*s", letter, DIR_DIGITS, digits);
	if ((r = smx_os_path_dir(control, &dir)) == 0)
		r = smx_os_path_join(dir, name, ret_path);
	smx_free(dir);
	smx_free(control);
	return r;
}

int smx_os_doors_where(const char *ssh_dir, char **ret_path, struct smx_buf *err)
{
	return where(ssh_dir, GATE_LETTER, ret_path, err);
}

int smx_os_has_doors(void)
{
	return 1;
}

size_t smx_os_doors_room(const char *path)
{
	size_t size = sizeof(((struct sockaddr_un *)0)->sun_path) - 1, n = strlen(path) + 1;

	return n < size ? size - n : 0;
}

static int make_address(const struct smx_os_doors *d, const char *name, struct sockaddr_un *ret,
	struct smx_buf *err)
{
	size_t size = sizeof(ret->sun_path);
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(ret->sun_path, size, "%s/%s", d->real, name);
	if (n > 0 && (size_t)n < size)
		return 0;
	smx_unix_say(err, "%s/%s is longer than the %zu bytes of a socket's path", d->real, name,
		size - 1);
	return SMX_ELIMIT;
}

static int new_socket(int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0)
		return errno;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
		int e = errno;

		(void)close(fd);
		return e;
	}
	*ret_fd = fd;
	return 0;
}

/* Whether somebody listens at a socket; not known counts. */
static int is_alive(const struct sockaddr_un *address)
{
	int fd, e;

	if (new_socket(&fd) != 0)
		return 1;
	e = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
	(void)close(fd);
	return e != ECONNREFUSED && e != ENOENT;
}

static int is_socket(const struct smx_os_doors *d, const char *name, struct stat *ret)
{
	return fstatat(d->dir, name, ret, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(ret->st_mode);
}

static int clear_dead(struct smx_os_doors *d, struct smx_buf *err)
{
	struct sockaddr_un address;
	const struct dirent *entry;
	struct stat st;
	DIR *list;
	int fd, r;

	if ((r = smx_unix_reopen_dir(d->dir, d->real, &fd, err)) != 0)
		return r;
	if (!(list = fdopendir(fd))) {
		(void)close(fd);
		return smx_unix_fail(err, "cannot read", d->real, errno);
	}
	while ((entry = readdir(list)))
		if (is_socket(d, entry->d_name, &st) &&
			make_address(d, entry->d_name, &address, NULL) == 0 && !is_alive(&address))
			(void)unlinkat(d->dir, entry->d_name, 0);
	(void)closedir(list);
	return 0;
}

/* The runtime directory, which both are in, is its user's alone. */
static int make_gate(struct smx_os_doors *d, struct smx_buf *err)
{
	size_t size = strlen(d->real) + 64;
	size_t fresh_size = strlen(d->path) + sizeof(NEW_NAME);
	char *fresh = smx_malloc(fresh_size);
	int r = SMX_ENOMEM;

	if (!fresh || !(d->gate = smx_malloc(size)))
		goto out;
	(void)snprintf(fresh, fresh_size, "%s" NEW_NAME, d->path);
	(void)snprintf(d->gate, size, "/proc/%ld/../..%s", (long)getpid(), d->real);
	if (access(d->gate, F_OK) != 0) /* no /proc here */
		(void)snprintf(d->gate, size, "%s", d->real);
	(void)unlink(fresh);
	r = symlink(d->gate, fresh) == 0 && rename(fresh, d->path) == 0
		    ? 0
		    : smx_unix_fail(err, "cannot make", d->path, errno);
out:
	smx_free(fresh);
	return r;
}

/* Unless it is another daemon's by now. */
static void remove_gate(const struct smx_os_doors *d)
{
	size_t len = strlen(d->gate);
	char *now = smx_malloc(len + 1);

	if (now && readlink(d->path, now, len + 1) == (ssize_t)len &&
		memcmp(now, d->gate, len) == 0)
		(void)unlink(d->path);
	smx_free(now);
}

int smx_os_doors_open(const char *ssh_dir, struct smx_os_doors **ret, struct smx_buf *err)
{
	struct smx_os_doors *d = smx_calloc(1, sizeof(*d));
	struct stat st;
	int r;

	if (!d)
		return SMX_ENOMEM;
	d->dir = -1;
	if ((r = where(ssh_dir, GATE_LETTER, &d->path, err)) != 0 ||
		(r = where(ssh_dir, DIR_LETTER, &d->real, err)) != 0 ||
		(r = smx_unix_make_dir(d->real, &d->dir, &st, err)) != 0)
		goto fail;
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
		smx_unix_say(err, "%s is not a directory of yours alone; run: chmod 700 %s",
			d->real, d->real);
		r = SMX_EUNSAFE;
		goto fail;
	}
	if ((r = clear_dead(d, err)) != 0 ||
		(GATE_LETTER != DIR_LETTER && (r = make_gate(d, err)) != 0))
		goto fail;
	*ret = d;
	return 0;
fail:
	smx_os_doors_free(d);
	return r;
}

const char *smx_os_doors_path(const struct smx_os_doors *d)
{
	return d->path;
}

void smx_os_doors_free(struct smx_os_doors *d)
{
	if (!d)
		return;
	if (d->dir >= 0)
		(void)close(d->dir);
	if (d->gate)
		remove_gate(d);
	smx_free(d->gate);
	smx_free(d->real);
	smx_free(d->path);
	smx_free(d);
}

/* --- a socket --- */

/* 0 or an errno. */
static int listen_as(struct smx_os_door *door, const struct sockaddr_un *hidden)
{
	int dir = door->doors->dir, e;
	struct stat st;

	if ((e = new_socket(&door->fd)) != 0)
		return e;
	(void)unlinkat(dir, NEW_NAME, 0);
	/* The directory lets nobody in, so the moment before chmod is nobody's chance. */
	if (bind(door->fd, (const struct sockaddr *)hidden, sizeof(*hidden)) != 0 ||
		fchmodat(dir, NEW_NAME, 0600, 0) != 0 ||
		fstatat(dir, NEW_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		smx_unix_listen(door->fd, BACKLOG) != 0 ||
		renameat(dir, NEW_NAME, dir, door->name) != 0)
		return errno;
	door->device = st.st_dev;
	door->inode = st.st_ino;
	return 0;
}

int smx_os_door_listen(
	struct smx_os_doors *d, const char *name, struct smx_os_door **ret, struct smx_buf *err)
{
	struct sockaddr_un address, hidden;
	struct smx_os_door *door;
	struct stat st;
	int r, e;

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/')) {
		smx_unix_say(err, "\"%s\" can't be the name of a socket", name);
		return SMX_EINVAL;
	}
	if ((r = make_address(d, name, &address, err)) != 0 ||
		(r = make_address(d, NEW_NAME, &hidden, err)) != 0)
		return r;
	if (fstatat(d->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		(!S_ISSOCK(st.st_mode) || is_alive(&address))) {
		smx_unix_say(err, "%s is another program's", address.sun_path);
		return SMX_EEXISTS;
	}
	if (!(door = smx_calloc(1, sizeof(*door))))
		return SMX_ENOMEM;
	door->fd = -1;
	door->doors = d;
	if (!(door->name = smx_strdup(name))) {
		smx_os_door_close(door);
		return SMX_ENOMEM;
	}
	if ((e = listen_as(door, &hidden)) != 0) {
		(void)smx_unix_fail(err, "cannot listen at", address.sun_path, e);
		smx_os_door_close(door);
		return SMX_ESYS;
	}
	*ret = door;
	return 0;
}

int smx_os_door_fd(const struct smx_os_door *door)
{
	return door->fd;
}

int smx_os_door_accept(struct smx_os_door *door, int *ret_fd)
{
	return smx_unix_accept_local(door->fd, ret_fd);
}

void smx_os_door_close(struct smx_os_door *door)
{
	struct stat st;

	if (!door)
		return;
	if (door->inode && is_socket(door->doors, door->name, &st) && st.st_ino == door->inode &&
		st.st_dev == door->device)
		(void)unlinkat(door->doors->dir, door->name, 0);
	if (door->fd >= 0)
		(void)close(door->fd);
	smx_free(door->name);
	smx_free(door);
}

/* --- a connection --- */

/* The descriptors of one message, which are more than max if SMX_ELIMIT. */
static int take_descriptors(struct msghdr *msg, int *ret_fds, size_t max, size_t *ret_n)
{
	size_t n = 0, all = 0;
	int fd;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(fd) <= c->cmsg_len - CMSG_LEN(0);
			at += sizeof(fd)) {
			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (!MSG_CMSG_CLOEXEC)
				(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
			if (all++ < max)
				ret_fds[n++] = fd;
			else
				(void)close(fd);
		}
	}
	if (all <= max && !(msg->msg_flags & MSG_CTRUNC)) {
		*ret_n = n;
		return 0;
	}
	while (n)
		(void)close(ret_fds[--n]);
	return SMX_ELIMIT;
}

int smx_unix_receive(int fd, void *p, size_t size, size_t *ret_len, int *ret_fds, size_t max_fds,
	size_t *ret_n_fds)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(RECEIVE_MAX * sizeof(int))];
	} control;
	struct iovec iov = { p, size };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n;
	int r;

	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return SMX_EAGAIN;
		return errno == ECONNRESET ? SMX_EEOF : SMX_ESYS;
	}
	if ((r = take_descriptors(&msg, ret_fds, max_fds, ret_n_fds)) != 0)
		return r;
	if (n == 0 && *ret_n_fds == 0)
		return SMX_EEOF;
	*ret_len = (size_t)n;
	return 0;
}

int smx_os_door_receive(int fd, void *p, size_t size, size_t *ret_len, int *ret_fds, size_t max_fds,
	size_t *ret_n_fds)
{
	return smx_unix_receive(fd, p, size, ret_len, ret_fds, max_fds, ret_n_fds);
}

int smx_os_door_send(int fd, const void *p, size_t len, size_t *ret_len)
{
	ssize_t n;

	do {
		n = send(fd, p, len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0) {
		*ret_len = (size_t)n;
		return 0;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return SMX_EAGAIN;
	return errno == EPIPE || errno == ECONNRESET ? SMX_EEOF : SMX_ESYS;
}

void smx_os_door_hang_up(int fd)
{
	(void)shutdown(fd, SHUT_RDWR);
}
