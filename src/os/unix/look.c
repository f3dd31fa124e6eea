/* SPDX-License-Identifier: MIT */
/* What `doctor` looks at: sockets, disks and places. Nothing here changes anything. */
#include "os/look.h"
#include "os/path.h"
#include "os/process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define NAME_MAX_LEN 256
#define ADDRESSES    8 /* of a name, that are tried */

/* ---- connecting --------------------------------------------------------------------------------
 */

struct address {
	struct sockaddr_storage to;
	socklen_t len;
};

/*
 * Looking up a name has no time limit of its own, so it is done by a thread that may be left
 * behind: who leaves last frees this.
 */
struct lookup {
	pthread_mutex_t mutex;
	int refs, is_done, error; /* of getaddrinfo */
	struct address found[ADDRESSES];
	size_t n;
	char host[NAME_MAX_LEN], port[8];
};

static void lookup_unref(struct lookup *l)
{
	int is_last;

	(void)pthread_mutex_lock(&l->mutex);
	is_last = --l->refs == 0;
	(void)pthread_mutex_unlock(&l->mutex);
	if (!is_last)
		return;
	(void)pthread_mutex_destroy(&l->mutex);
	smx_free(l);
}

static void *lookup_run(void *arg)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list;
	struct lookup *l = arg;
	int e = getaddrinfo(l->host, l->port, &hints, &list);

	(void)pthread_mutex_lock(&l->mutex);
	l->error = e;
	for (struct addrinfo *a = e == 0 ? list : NULL; a && l->n < ADDRESSES; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(l->found[0].to))
			continue;
		memcpy(&l->found[l->n].to, a->ai_addr, a->ai_addrlen);
		l->found[l->n++].len = a->ai_addrlen;
	}
	l->is_done = 1;
	(void)pthread_mutex_unlock(&l->mutex);
	if (e == 0)
		freeaddrinfo(list);
	lookup_unref(l);
	return NULL;
}

static int lookup_new(const char *host, uint16_t port, struct lookup **ret)
{
	struct lookup *l = smx_calloc(1, sizeof(*l));
	pthread_attr_t attr;
	pthread_t thread;
	int e;

	if (!l)
		return SMX_ENOMEM;
	if (strlen(host) >= sizeof(l->host)) {
		smx_free(l);
		return SMX_EINVAL;
	}
	memcpy(l->host, host, strlen(host) + 1);
	(void)snprintf(l->port, sizeof(l->port), "%u", port);
	(void)pthread_mutex_init(&l->mutex, NULL);
	l->refs = 2;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	e = pthread_create(&thread, &attr, lookup_run, l);
	(void)pthread_attr_destroy(&attr);
	if (e != 0) {
		l->refs = 1;
		lookup_unref(l);
		return SMX_ESYS;
	}
	*ret = l;
	return 0;
}

/* Waits for the thread; 0 or SMX_ETIMEOUT. */
static int lookup_wait(struct lookup *l, uint64_t deadline)
{
	int is_done;

	for (;;) {
		(void)pthread_mutex_lock(&l->mutex);
		is_done = l->is_done;
		(void)pthread_mutex_unlock(&l->mutex);
		if (is_done)
			return 0;
		if (smx_os_monotonic_ms() >= deadline)
			return SMX_ETIMEOUT;
		smx_os_sleep_ms(2);
	}
}

/* 0 or an errno. */
static int connect_by(int fd, const struct address *a, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int e = 0, n;

	if (connect(fd, (const struct sockaddr *)&a->to, a->len) == 0)
		return 0;
	if (errno != EINPROGRESS && errno != EINTR)
		return errno;
	do {
		uint64_t now = smx_os_monotonic_ms();

		n = poll(&p, 1, now >= deadline ? 0 : (int)(deadline - now));
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return ETIMEDOUT;
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0)
		return errno;
	return e;
}

static int tcp_socket(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);
#ifdef SO_NOSIGPIPE
	int on = 1;

	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
#endif
	if (fd >= 0 &&
		(fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int connect_failed(int e, struct smx_buf *err)
{
	switch (e) {
	case ECONNREFUSED:
		smx_unix_say(err, "connection refused");
		return SMX_EREFUSED;
	case ETIMEDOUT:
		smx_unix_say(err, "no answer");
		return SMX_ETIMEOUT;
	default:
		smx_unix_say(err, "%s", strerror(e));
		return SMX_ESYS;
	}
}

int smx_os_tcp_connect(
	const char *host, uint16_t port, int timeout_ms, int *ret_fd, struct smx_buf *err)
{
	uint64_t deadline = smx_os_monotonic_ms() + (uint64_t)timeout_ms;
	struct lookup *l;
	int fd, e = EHOSTUNREACH, r;

	if ((r = lookup_new(host, port, &l)) != 0)
		return r;
	if (lookup_wait(l, deadline) != 0) {
		smx_unix_say(err, "the name could not be looked up in time");
		r = SMX_ETIMEOUT;
	} else if (l->error != 0) {
		smx_unix_say(err, "%s", gai_strerror(l->error));
		r = SMX_ENOTFOUND;
	} else {
		for (size_t i = 0; i < l->n && e != 0; i++) {
			if ((fd = tcp_socket(l->found[i].to.ss_family)) < 0) {
				e = errno;
				continue;
			}
			if ((e = connect_by(fd, &l->found[i], deadline)) == 0)
				*ret_fd = fd;
			else
				close(fd);
		}
		r = e == 0 ? 0 : connect_failed(e, err);
	}
	lookup_unref(l);
	return r;
}

/* ---- who listens -------------------------------------------------------------------------------
 */

#ifdef __linux__

/* Finds the listening socket in a table of /proc/net. 1 if there is one. */
static int find_listener(const char *table, uint16_t port, int is_v6, unsigned long *ret_uid,
	unsigned long *ret_inode)
{
	/* 127.0.0.1 and 0.0.0.0 as the kernel prints them: the address's bytes as a number. */
	char line[512], address[64], loopback[16];
	unsigned local_port, state;
	int found = 0;
	FILE *f = fopen(table, "re");

	if (!f)
		return 0;
	(void)snprintf(loopback, sizeof(loopback), "%08X", (unsigned)htonl(INADDR_LOOPBACK));
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line,
			    " %*u: %63[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %lu "
			    "%*u %lu",
			    address, &local_port, &state, ret_uid, ret_inode) != 5 ||
			local_port != port || state != 0x0a)
			continue;
		/* All zeros of either family take connections to 127.0.0.1 too. */
		found = strspn(address, "0") == strlen(address) ||
			(!is_v6 && strcmp(address, loopback) == 0);
	}
	(void)fclose(f);
	return found;
}

static int has_socket(const char *pid, unsigned long inode)
{
	char path[300], want[64], target[64];
	struct dirent *e;
	ssize_t n;
	int found = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	(void)snprintf(want, sizeof(want), "socket:[%lu]", inode);
	if (!(d = opendir(path)))
		return 0;
	while (!found && (e = readdir(d)) != NULL) {
		n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		found = strcmp(target, want) == 0;
	}
	(void)closedir(d);
	return found;
}

static void find_process(unsigned long inode, struct smx_os_listener *l)
{
	char path[64];
	struct dirent *e;
	size_t n;
	FILE *f;
	DIR *d = opendir("/proc");

	while (d && (e = readdir(d)) != NULL) {
		if (strspn(e->d_name, "0123456789") != strlen(e->d_name) ||
			!has_socket(e->d_name, inode))
			continue;
		l->pid = (int64_t)strtoll(e->d_name, NULL, 10);
		(void)snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
		if ((f = fopen(path, "re")) != NULL) {
			n = fread(l->program, 1, sizeof(l->program) - 1, f);
			l->program[n] = '\0';
			l->program[strcspn(l->program, "\n")] = '\0';
			(void)fclose(f);
		}
		break;
	}
	if (d)
		(void)closedir(d);
}

int smx_os_tcp_listener(uint16_t port, struct smx_os_listener *ret)
{
	struct smx_os_listener l = { .pid = -1 };
	unsigned long uid = 0, inode = 0;
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (access("/proc/net/tcp", R_OK) != 0)
		return SMX_EUNSUPPORTED;
	if (!find_listener("/proc/net/tcp", port, 0, &uid, &inode) &&
		!find_listener("/proc/net/tcp6", port, 1, &uid, &inode))
		return SMX_ENOTFOUND;
	l.is_mine = uid == (unsigned long)geteuid();
	if (getpwuid_r((uid_t)uid, &pw, buf, sizeof(buf), &found) == 0 && found)
		(void)snprintf(l.user, sizeof(l.user), "%s", pw.pw_name);
	else
		(void)snprintf(l.user, sizeof(l.user), "%lu", uid);
	find_process(inode, &l);
	*ret = l;
	return 0;
}

#else

int smx_os_tcp_listener(uint16_t port, struct smx_os_listener *ret)
{
	(void)port;
	(void)ret;
	return SMX_EUNSUPPORTED;
}

#endif

/* ---- disks and places --------------------------------------------------------------------------
 */

int smx_os_disk_free(const char *path, uint64_t *ret_bytes)
{
	struct statvfs st;

	if (statvfs(path, &st) != 0)
		return errno == ENOENT ? SMX_ENOTFOUND : SMX_ESYS;
	*ret_bytes = (uint64_t)st.f_bavail * (st.f_frsize ? st.f_frsize : st.f_bsize);
	return 0;
}

int smx_os_settings_dir(char **ret_path, struct smx_buf *err)
{
#ifdef __APPLE__
	const char *below = "Library/Application Support";
#else
	const char *below = ".config", *xdg = getenv("XDG_CONFIG_HOME");

	if (xdg && smx_os_path_is_absolute(xdg))
		return smx_os_path_absolute(xdg, ret_path);
#endif
	char *home;
	int r;

	if ((r = smx_os_home(&home, err)) != 0)
		return r;
	r = smx_os_path_join(home, below, ret_path);
	smx_free(home);
	return r;
}
