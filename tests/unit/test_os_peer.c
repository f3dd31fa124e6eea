/* SPDX-License-Identifier: MIT */
/* Whose a TCP connection is (U9), and accepting (U10). As root, also of another user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/tcp.h"

#define NOBODY 65534

static int64_t listener;
static struct smx_os_tcp_peers *peers; /* NULL where the system does not tell */
static struct sockaddr_in address;

static int setup(void **state)
{
	socklen_t n = sizeof(address);
	int r;

	(void)state;
	assert_int_equal(smx_os_tcp_listen(0, 16, &listener), 0);
	assert_int_equal(getsockname((int)listener, (struct sockaddr *)&address, &n), 0);
	r = smx_os_tcp_peers_new(listener, &peers);
#ifdef __linux__
	assert_int_equal(r, 0);
#endif
	assert_true(r == 0 || r == SMX_EUNSUPPORTED);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	smx_os_tcp_peers_free(peers);
	smx_os_tcp_close(listener);
	assert_int_equal(smx_mem_alive(), 0);
	return 0;
}

static int connect_to(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int64_t take(void)
{
	struct pollfd p = { .fd = (int)listener, .events = POLLIN };
	int64_t s;

	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(smx_os_tcp_accept(listener, &s), 0);
	return s;
}

static void L1_it_listens_on_the_loopback_only(void **state)
{
	int64_t other;

	(void)state;
	assert_int_equal(address.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	assert_int_equal(smx_os_tcp_listen(ntohs(address.sin_port), 16, &other), SMX_EEXISTS);
}

static void accepted_sockets_are_not_inherited_and_dont_block(void **state)
{
	int fd = connect_to();
	int64_t s = take(), none;

	(void)state;
	assert_int_equal(fcntl((int)s, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl((int)s, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl((int)listener, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(smx_os_tcp_accept(listener, &none), SMX_EAGAIN);
	smx_os_tcp_close(s);
	close(fd);
}

static void U9_our_own_is_known(void **state)
{
	int64_t s, uid = -2;
	int fd;

	(void)state;
	if (!peers)
		skip();
	for (int i = 0; i < 100; i++) {
		fd = connect_to();
		s = take();
		assert_int_equal(smx_os_tcp_peer_check(peers, s, &uid), 0);
		assert_int_equal(uid, geteuid());
		smx_os_tcp_close(s);
		close(fd);
	}
}

/* A program that asks for IPv6 and gets us by a mapped address. */
static void U9_our_own_by_a_mapped_address(void **state)
{
	struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = address.sin_port };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	int64_t s, uid;

	(void)state;
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(mapped.sin6_addr.s6_addr + 12, &address.sin_addr, 4);
	if (!peers || fd < 0 || connect(fd, (struct sockaddr *)&mapped, sizeof(mapped)) != 0) {
		if (fd >= 0)
			close(fd);
		skip();
	}
	s = take();
	assert_int_equal(smx_os_tcp_peer_check(peers, s, &uid), 0);
	smx_os_tcp_close(s);
	close(fd);
}

/* The kernel says "root" of a socket that its process has closed; we must not. */
static void U9_who_has_gone_is_nobody(void **state)
{
	int64_t s, uid = -2;
	int fd = connect_to();

	(void)state;
	if (!peers) {
		close(fd);
		skip();
	}
	assert_int_equal(write(fd, "SSH-2.0-x\r\n", 11), 11);
	close(fd);
	s = take();
	assert_int_equal(smx_os_tcp_peer_check(peers, s, &uid), SMX_EEOF);
	assert_int_equal(uid, -2);
	smx_os_tcp_close(s);
	/* And one that was reset. */
	fd = connect_to();
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
				 sizeof(struct linger)),
		0);
	close(fd);
	s = take();
	assert_int_equal(smx_os_tcp_peer_check(peers, s, &uid), SMX_EEOF);
	smx_os_tcp_close(s);
}

/* Runs f as that user in a process that lives until its pipe is closed. */
static pid_t as_user(uid_t uid, void (*f)(int fd), int *ret_fd)
{
	int pipes[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pipes[1]);
		if (setgid(uid) != 0 || setuid(uid) != 0)
			_exit(2);
		f(pipes[0]);
		(void)!read(pipes[0], &c, 1);
		_exit(0);
	}
	close(pipes[0]);
	*ret_fd = pipes[1];
	return pid;
}

static void just_connect(int fd)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	(void)fd;
	if (connect(s, (struct sockaddr *)&address, sizeof(address)) != 0)
		_exit(3);
}

static void U9_another_user_is_told_apart(void **state)
{
	int64_t s, uid = -2;
	int fd, status;
	pid_t pid;

	(void)state;
	if (!peers || geteuid() != 0)
		skip();
	pid = as_user(NOBODY, just_connect, &fd);
	s = take();
	assert_int_equal(smx_os_tcp_peer_check(peers, s, &uid), SMX_EDENIED);
	assert_int_equal(uid, NOBODY);
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(smx_os_tcp_peer_check(peers, s, &uid), SMX_EEOF);
	smx_os_tcp_close(s);
}

/* In a daemon of another user: root is the system's own account, and may (S2, S5). */
static void judge_root(int fd)
{
	struct smx_os_tcp_peers *theirs;
	struct pollfd p = { .events = POLLIN };
	struct sockaddr_in own;
	socklen_t n = sizeof(own);
	int64_t l, s, uid;
	pid_t pid;

	(void)fd;
	if (smx_os_tcp_listen(0, 4, &l) != 0 || smx_os_tcp_peers_new(l, &theirs) != 0)
		_exit(4);
	p.fd = (int)l;
	if (getsockname(p.fd, (struct sockaddr *)&own, &n) != 0 ||
		write(fd, &own, sizeof(own)) != (ssize_t)sizeof(own))
		_exit(5);
	if (poll(&p, 1, 5000) != 1 || smx_os_tcp_accept(l, &s) != 0 ||
		smx_os_tcp_peer_check(theirs, s, &uid) != 0 || uid != 0)
		_exit(6);
	/* Its own user's: a child's. */
	pid = fork();
	if (pid == 0) {
		int c = socket(AF_INET, SOCK_STREAM, 0);

		(void)!connect(c, (struct sockaddr *)&own, sizeof(own));
		(void)poll(NULL, 0, 2000);
		_exit(0);
	}
	if (poll(&p, 1, 5000) != 1 || smx_os_tcp_accept(l, &s) != 0 ||
		smx_os_tcp_peer_check(theirs, s, &uid) != 0 || uid != NOBODY)
		_exit(7);
	_exit(0);
}

static void U9_root_may_at_another_users(void **state)
{
	struct sockaddr_in theirs;
	int fds[2], c, status;
	pid_t pid;

	(void)state;
	if (!peers || geteuid() != 0)
		skip();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid = fork();
	if (pid == 0) {
		if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
			_exit(2);
		judge_root(fds[1]);
	}
	assert_int_equal(read(fds[0], &theirs, sizeof(theirs)), sizeof(theirs));
	c = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(c, (struct sockaddr *)&theirs, sizeof(theirs)), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(c);
	close(fds[0]);
	close(fds[1]);
}

/* U10: without descriptors the client stays in the queue, and comes when there are some again. */
static void U10_no_descriptor_is_no_end(void **state)
{
	struct rlimit before, few;
	int fd = connect_to(), spare;
	int64_t s = -1;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	spare = dup(fd);
	few = before;
	few.rlim_cur = (rlim_t)spare;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(smx_os_tcp_accept(listener, &s), SMX_ELIMIT);
	assert_int_equal(s, -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(smx_os_tcp_accept(listener, &s), 0);
	smx_os_tcp_close(s);
	close(spare);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L1_it_listens_on_the_loopback_only),
		cmocka_unit_test(accepted_sockets_are_not_inherited_and_dont_block),
		cmocka_unit_test(U9_our_own_is_known),
		cmocka_unit_test(U9_our_own_by_a_mapped_address),
		cmocka_unit_test(U9_who_has_gone_is_nobody),
		cmocka_unit_test(U9_another_user_is_told_apart),
		cmocka_unit_test(U9_root_may_at_another_users),
		cmocka_unit_test(U10_no_descriptor_is_no_end),
	};

	return cmocka_run_group_tests_name("os_peer", tests, setup, teardown);
}
