/* SPDX-License-Identifier: MIT */
/* What doctor asks of the system (B10), and that asking changes nothing. */
#include "os_box.h"
#include "os/ipc.h"
#include "os/look.h"
#include "os/path.h"
#include "os/process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>

/* A listener on a port of the kernel's choice. */
static int listen_on(const char *address, uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static void B10_tcp_connect_tells_why_not(void **state)
{
	uint16_t port;
	int fd, listener = listen_on("127.0.0.1", &port);
	char c;
	size_t n;

	(void)state;
	assert_int_equal(smx_os_tcp_connect("127.0.0.1", port, 10000, &fd, NULL), 0);
	assert_int_equal(smx_os_ipc_read(fd, &c, 1, 10, &n), SMX_ETIMEOUT);
	smx_os_ipc_close(fd);
	assert_int_equal(smx_os_tcp_connect("localhost", port, 10000, &fd, NULL), 0);
	smx_os_ipc_close(fd);
	close(listener);
	fd = -7;
	assert_int_equal(smx_os_tcp_connect("127.0.0.1", port, 10000, &fd, &box.err), SMX_EREFUSED);
	assert_string_equal(smx_buf_cstr(&box.err), "connection refused");
	smx_buf_reset(&box.err);
	assert_int_equal(
		smx_os_tcp_connect("no such host", port, 10000, &fd, &box.err), SMX_ENOTFOUND);
	assert_true(smx_buf_len(&box.err) > 0);
	assert_int_equal(fd, -7);
}

/* A queue that is full: the kernel drops what comes then, and nobody answers. */
static void B10_tcp_connect_gives_up_in_time(void **state)
{
	uint16_t port;
	int listener = listen_on("127.0.0.1", &port), fds[16], r = 0, n = 0;
	uint64_t start;

	(void)state;
	assert_int_equal(listen(listener, 0), 0);
	while (n < 16 && r == 0) {
		start = smx_os_monotonic_ms();
		r = smx_os_tcp_connect("127.0.0.1", port, 300, &fds[n], NULL);
		n += r == 0;
	}
	assert_int_equal(r, SMX_ETIMEOUT);
	assert_in_range(smx_os_monotonic_ms() - start, 290, 20000);
	while (n > 0)
		smx_os_ipc_close(fds[--n]);
	close(listener);
}

#ifdef __linux__
static void B10_listener_is_known(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "0.0.0.0" };
	struct smx_os_listener who;
	uint16_t port;
	int fd;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		fd = listen_on(addresses[i], &port);
		assert_int_equal(smx_os_tcp_listener(port, &who), 0);
		assert_int_equal(who.pid, getpid());
		assert_int_equal(who.is_mine, 1);
		assert_string_equal(who.user, getpwuid(geteuid())->pw_name);
		assert_int_equal(strncmp(who.program, "unit_test_os_lo", 15), 0);
		close(fd);
		assert_int_equal(smx_os_tcp_listener(port, &who), SMX_ENOTFOUND);
	}
	/* Another address of this machine is another port. */
	fd = listen_on("127.0.0.2", &port);
	assert_int_equal(smx_os_tcp_listener(port, &who), SMX_ENOTFOUND);
	close(fd);
}
#endif

/* B10, S5: the same paths as the daemon's, and no directory made. */
static void B10_control_look_makes_nothing(void **state)
{
	char run[128], *path = NULL, *same = NULL;
	struct stat st;

	(void)state;
	(void)snprintf(run, sizeof(run), "%s/run", box.dir);
	assert_int_equal(mkdir(run, 0700), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", run, 1), 0);
	assert_int_equal(
		smx_os_control_look(box.dir, SMX_OS_WHERE_HERE, &path, &box.err), SMX_ENOTFOUND);
	assert_int_equal(smx_buf_len(&box.err), 0);
	assert_null(path);
	assert_int_equal(stat(at("run/ssh-mux"), &st), -1);

	assert_int_equal(smx_os_control_path(box.dir, &path, NULL), 0);
	assert_int_equal(smx_os_control_look(box.dir, SMX_OS_WHERE_HERE, &same, NULL), 0);
	assert_string_equal(path, same);
	smx_free(same);
	smx_free(path);

	assert_int_equal(chmod(at("run/ssh-mux"), 0755), 0);
	assert_int_equal(
		smx_os_control_look(box.dir, SMX_OS_WHERE_HERE, &path, &box.err), SMX_EUNSAFE);
	assert_non_null(strstr(smx_buf_cstr(&box.err), "chmod 700"));
	(void)unsetenv("XDG_RUNTIME_DIR");
}

static void B10_disk_and_settings(void **state)
{
	uint64_t bytes = 0;
	char *dir;

	(void)state;
	assert_int_equal(smx_os_disk_free(box.dir, &bytes), 0);
	assert_true(bytes > 0);
	assert_int_equal(smx_os_disk_free(at("missing"), &bytes), SMX_ENOTFOUND);
#ifndef __APPLE__
	assert_int_equal(setenv("XDG_CONFIG_HOME", "relative", 1), 0);
	assert_int_equal(smx_os_settings_dir(&dir, NULL), 0);
	assert_string_equal(strrchr(dir, '/'), "/.config");
	smx_free(dir);
	assert_int_equal(setenv("XDG_CONFIG_HOME", box.dir, 1), 0);
	assert_int_equal(smx_os_settings_dir(&dir, NULL), 0);
	assert_string_equal(dir, box.dir);
	smx_free(dir);
	(void)unsetenv("XDG_CONFIG_HOME");
#endif
}

/* S7: memory that runs out at any point is an error, and nothing is left behind. */
static void B10_look_without_memory(void **state)
{
	uint16_t port;
	int fd, r = SMX_ENOMEM, listener = listen_on("127.0.0.1", &port);
	long before;
	char *path;

	(void)state;
	for (long n = 0; r != 0; n++) {
		before = smx_mem_alive();
		smx_mem_fail_after(n);
		r = smx_os_tcp_connect("127.0.0.1", port, 10000, &fd, NULL);
		smx_mem_fail_after(-1);
		if (r == 0)
			smx_os_ipc_close(fd);
		else
			assert_int_equal(r, SMX_ENOMEM);
		/* The thread that looked the name up may leave last. */
		for (int i = 0; i < 2000 && smx_mem_alive() != before; i++)
			smx_os_sleep_ms(10);
		assert_int_equal(smx_mem_alive(), before);
	}
	close(listener);
	for (r = SMX_ENOMEM, before = 0; r == SMX_ENOMEM; before++) {
		smx_mem_fail_after(before);
		r = smx_os_control_look(box.dir, SMX_OS_WHERE_TMP, &path, NULL);
		smx_mem_fail_after(-1);
	}
	if (r == 0)
		smx_free(path);
	else
		assert_int_equal(r, SMX_ENOTFOUND);
}

#define LOOK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOK_TEST(B10_tcp_connect_tells_why_not),
		LOOK_TEST(B10_tcp_connect_gives_up_in_time),
#ifdef __linux__
		LOOK_TEST(B10_listener_is_known),
#endif
		LOOK_TEST(B10_control_look_makes_nothing),
		LOOK_TEST(B10_disk_and_settings),
		LOOK_TEST(B10_look_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
