/* SPDX-License-Identifier: MIT */
/* U10: a daemon that had no memory for a client has some for the next one, at both entrances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "mux/core/daemon.h"
#include "os/path.h"
#include "os/tcp.h"
#include "os_box.h"

static atomic_int is_ready;

static void on_ready(void)
{
	atomic_store(&is_ready, 1);
}

static void *serve(void *arg)
{
	return (void *)(intptr_t)smx_daemon_run(arg);
}

static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	int64_t s;

	assert_int_equal(smx_os_tcp_listen(0, 1, &s), 0);
	assert_int_equal(getsockname((int)s, (struct sockaddr *)&a, &n), 0);
	smx_os_tcp_close(s);
	return ntohs(a.sin_port);
}

static int connect_tcp(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int connect_control(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* What it says first, "" if it hangs up without a word. */
static void expect_first(int fd, const char *want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got[16] = "";
	ssize_t n;

	assert_int_equal(poll(&p, 1, 5000), 1);
	n = read(fd, got, strlen(want) ? strlen(want) : 1);
	got[n > 0 ? n : 0] = '\0';
	assert_string_equal(got, want);
	close(fd);
}

static void U10_without_memory_both_entrances_stay(void **state)
{
	struct smx_serve_options opts = {
		.idle_timeout_s = 60, .log_level = SMX_LOG_ERROR, .ready = on_ready
	};
	char *path, *routes;
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", box.dir, 1), 0);
	put_file(at("routes.toml"), "# none\n", 0600);
	routes = strdup(at("routes.toml"));
	opts.ssh_dir = box.dir;
	opts.routes_path = routes;
	opts.port = free_port();
	assert_int_equal(pthread_create(&thread, NULL, serve, &opts), 0);
	for (int i = 0; i < 1000 && !atomic_load(&is_ready); i++)
		usleep(10000);
	assert_true(atomic_load(&is_ready));
	assert_int_equal(smx_os_control_path(opts.ssh_dir, &path, NULL), 0);
	for (long n = 0; n < 4; n++) {
		smx_mem_fail_after(n / 2);
		if (n % 2)
			expect_first(connect_tcp(opts.port), "");
		else
			expect_first(connect_control(path), "");
		smx_mem_fail_after(-1);
		expect_first(connect_tcp(opts.port), "SSH-2.0-");
		expect_first(connect_control(path), "{");
	}
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	smx_free(path);
	free(routes);
	assert_int_equal(smx_mem_alive(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(U10_without_memory_both_entrances_stay),
	};

	return cmocka_run_group_tests_name("os_entrances", tests, NULL, NULL);
}
