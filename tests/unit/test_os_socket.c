/* SPDX-License-Identifier: MIT */
/* What is set on sockets that stay on the machine, and what the system tells of others (U4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "os/tcp.h"

#ifdef TCP_CONGESTION
static void assert_plain(int fd)
{
	char name[32] = "";
	socklen_t n = sizeof(name) - 1;

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &n), 0);
	assert_string_equal(name, "reno");
}
#endif

/* What a listener is told, the connections it accepts know. */
static void accepted_sockets_are_not_paced(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t n = sizeof(addr);
	int fd;

	(void)state;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	smx_os_socket_stays_here(listener);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &n), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
#ifdef TCP_CONGESTION
	assert_plain(listener);
	assert_plain(fd);
#endif
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	close(client);
	close(listener);
}

/* B8: what waits in the socket to be sent. */
static void assert_unsent(int fd, int is_some)
{
	size_t n = 1;
	int r = smx_os_tcp_unsent(fd, &n);

#ifdef __linux__
	assert_int_equal(r, 0);
#endif
	if (r == 0)
		assert_int_equal(n > 0, is_some);
	else
		assert_int_equal(r, SMX_EUNSUPPORTED);
}

/* U4: what the other end's system has acknowledged. */
static void U4_what_is_acknowledged_is_told(void **state)
{
	static char full[65536];
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	struct smx_os_tcp_acks acks = { -2, 1 };
	socklen_t n = sizeof(addr);
	int fd, r, fds[2];

	(void)state;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &n), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	r = smx_os_tcp_acks(client, &acks);
	if (r == SMX_EUNSUPPORTED)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(acks.unacked, 0);
	assert_int_equal(write(client, "x", 1), 1);
	usleep(20 * 1000);
	assert_int_equal(smx_os_tcp_acks(client, &acks), 0);
	assert_int_equal(acks.unacked, 0);
	assert_unsent(client, 0);
#ifdef __linux__
	assert_in_range(acks.age_ms, 0, 1000);
	usleep(150 * 1000);
	assert_int_equal(smx_os_tcp_acks(client, &acks), 0);
	assert_in_range(acks.age_ms, 100, 2000);
#endif
	/* More than the other end takes. */
	while (send(client, full, sizeof(full), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(smx_os_tcp_acks(client, &acks), 0);
	assert_true(acks.unacked > 0);
	assert_unsent(client, 1);
	close(fd);
	close(client);
	close(listener);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(smx_os_tcp_acks(fds[0], &acks), SMX_ESYS);
	assert_int_equal(smx_os_tcp_acks(-1, &acks), SMX_ESYS);
	close(fds[0]);
	close(fds[1]);
}

static void what_is_no_tcp_socket_is_left_alone(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	smx_os_socket_stays_here(fds[0]);
	smx_os_socket_stays_here(-1);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted_sockets_are_not_paced),
		cmocka_unit_test(U4_what_is_acknowledged_is_told),
		cmocka_unit_test(what_is_no_tcp_socket_is_left_alone),
	};

	return cmocka_run_group_tests_name("os_socket", tests, NULL, NULL);
}
