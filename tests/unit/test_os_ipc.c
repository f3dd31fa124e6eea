/* SPDX-License-Identifier: MIT */
/* The control endpoint on Unix (S5, S7). */
#include "os_box.h"
#include "os/ipc.h"

#include <poll.h>
#include <sys/file.h>

#define WAIT_MS 2000

static const char *sock(void)
{
	return at("c.sock");
}

static struct smx_os_ipc_server *start(void)
{
	struct smx_os_ipc_server *s = NULL;
	int r;

	smx_buf_reset(&box.err);
	r = smx_os_ipc_listen(sock(), &s, &box.err);
	if (r != 0)
		print_message("%s\n", err_text());
	assert_int_equal(r, 0);
	return s;
}

static void expect_listen(int expected, const char *why)
{
	struct smx_os_ipc_server *s = NULL;

	smx_buf_reset(&box.err);
	assert_int_equal(smx_os_ipc_listen(sock(), &s, &box.err), expected);
	assert_null(s);
	if (!strstr(err_text(), why))
		print_message("%s\n", err_text());
	assert_non_null(strstr(err_text(), why));
}

static int accept_one(const struct smx_os_ipc_server *s)
{
	struct pollfd p = { .fd = smx_os_ipc_server_fd(s), .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	return accept(p.fd, NULL, NULL);
}

static void s5_talks(void **state)
{
	struct smx_os_ipc_server *s = start();
	char text[64];
	struct stat st;
	size_t n = 0;
	int64_t pid;
	int client, server;

	(void)state;
	assert_int_equal(lstat(sock(), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fcntl(smx_os_ipc_server_fd(s), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(smx_os_ipc_server_fd(s), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(smx_os_ipc_connect(sock(), WAIT_MS, &client, &box.err), 0);
	assert_int_equal(fcntl(client, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	server = accept_one(s);
	assert_true(server >= 0);
	assert_int_equal(smx_os_ipc_peer_check(server, &pid), 0);
#ifdef __linux__
	assert_int_equal(pid, getpid());
#endif
	assert_int_equal(smx_os_ipc_write(client, "hello", 5, WAIT_MS), 0);
	assert_int_equal(smx_os_ipc_read(server, text, sizeof(text), WAIT_MS, &n), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(smx_os_ipc_read(client, text, sizeof(text), 20, &n), SMX_ETIMEOUT);
	smx_os_ipc_close(server);
	assert_int_equal(smx_os_ipc_read(client, text, sizeof(text), WAIT_MS, &n), SMX_EEOF);
	assert_int_equal(smx_os_ipc_write(client, "x", 1, WAIT_MS), SMX_EEOF); /* and no signal */
	smx_os_ipc_close(client);
	smx_os_ipc_server_free(s);
	assert_int_equal(access(sock(), F_OK), -1);
}

/* A peer that does not read can't hold the writer for ever. */
static void s7_write_times_out(void **state)
{
	struct smx_os_ipc_server *s = start();
	static char big[8 << 20];
	int client;

	(void)state;
	assert_int_equal(smx_os_ipc_connect(sock(), WAIT_MS, &client, &box.err), 0);
	assert_int_equal(smx_os_ipc_write(client, big, sizeof(big), 50), SMX_ETIMEOUT);
	smx_os_ipc_close(client);
	smx_os_ipc_server_free(s);
}

static int send_buffer(int fd)
{
	int n = -1;
	socklen_t len = sizeof(n);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, &len), 0);
	return n;
}

/* More than the system gives of itself, at both ends: bulk goes in pieces of this. */
static void b7_sends_much_at_a_time(void **state)
{
	struct smx_os_ipc_server *s = start();
	int client, server = -1, usual[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, usual), 0);
	assert_int_equal(smx_os_ipc_connect(sock(), WAIT_MS, &client, &box.err), 0);
	assert_int_equal(smx_os_ipc_server_accept(s, &server), 0);
	assert_true(send_buffer(client) > send_buffer(usual[0]));
	assert_true(send_buffer(server) > send_buffer(usual[0]));
	close(usual[0]);
	close(usual[1]);
	close(client);
	close(server);
	smx_os_ipc_server_free(s);
}

static void nobody_there(void **state)
{
	int fd = -7;

	(void)state;
	assert_int_equal(smx_os_ipc_connect(sock(), WAIT_MS, &fd, &box.err), SMX_ENOTFOUND);
	assert_int_equal(fd, -7);
	assert_non_null(strstr(err_text(), "no daemon is running"));
}

static void second_server_is_refused(void **state)
{
	struct smx_os_ipc_server *s = start();
	char pid[32];
	int client;

	(void)state;
	(void)snprintf(pid, sizeof(pid), "process id %ld", (long)getpid());
	expect_listen(SMX_EEXISTS, pid);
	expect_listen(SMX_EEXISTS, "ssh-mux stop");
	/* The refused one harmed nothing. */
	assert_int_equal(smx_os_ipc_connect(sock(), WAIT_MS, &client, &box.err), 0);
	smx_os_ipc_close(client);
	smx_os_ipc_server_free(s);
	s = start();
	smx_os_ipc_server_free(s);
}

/* A socket left by kill -9 is replaced. */
static void stale_socket_is_replaced(void **state)
{
	int status, client;
	pid_t child = fork();
	struct smx_os_ipc_server *s;

	(void)state;
	if (child == 0) {
		struct smx_os_ipc_server *dead;

		if (smx_os_ipc_listen(sock(), &dead, NULL) != 0)
			_exit(1);
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(access(sock(), F_OK), 0);
	assert_int_equal(smx_os_ipc_connect(sock(), WAIT_MS, &client, NULL), SMX_ENOTFOUND);
	s = start();
	assert_int_equal(smx_os_ipc_connect(sock(), WAIT_MS, &client, NULL), 0);
	smx_os_ipc_close(client);
	smx_os_ipc_server_free(s);
}

/* A cleaner of /tmp deleted the lock file: the live socket tells. */
static void live_socket_without_lock_file_is_kept(void **state)
{
	struct smx_os_ipc_server *s = start();
	int client;

	(void)state;
	assert_int_equal(unlink(at("c.sock.lock")), 0);
	expect_listen(SMX_EEXISTS, "is running already");
	assert_int_equal(smx_os_ipc_connect(sock(), WAIT_MS, &client, NULL), 0);
	smx_os_ipc_close(client);
	smx_os_ipc_server_free(s);
}

/* The old daemon, ending late, must not take the new one's endpoint away. */
static void end_removes_only_its_own(void **state)
{
	struct smx_os_ipc_server *s = start();

	(void)state;
	assert_int_equal(unlink(sock()), 0);
	put_file(sock(), "not mine", 0600);
	smx_os_ipc_server_free(s);
	expect_content(sock(), "not mine");
}

static void odd_places_are_refused(void **state)
{
	struct smx_os_ipc_server *s = NULL;
	static char longer[200];

	(void)state;
	put_file(sock(), "", 0600);
	expect_listen(SMX_EUNSAFE, "not a socket");
	assert_int_equal(unlink(sock()), 0);
	assert_int_equal(symlink("elsewhere", sock()), 0);
	expect_listen(SMX_EUNSAFE, "not a socket");
	assert_int_equal(unlink(sock()), 0);
	assert_int_equal(chmod(box.dir, 0755), 0);
	expect_listen(SMX_EUNSAFE, "chmod 700");
	assert_int_equal(chmod(box.dir, 0700), 0);
	assert_int_equal(unlink(at("c.sock.lock")), 0);
	put_file(at("victim"), "keep", 0600);
	assert_int_equal(symlink("victim", at("c.sock.lock")), 0);
	expect_listen(SMX_ESYS, "lock file");
	expect_content(at("victim"), "keep");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	assert_int_equal(smx_os_ipc_listen(longer, &s, &box.err), SMX_EINVAL);
}

/* Many starters at once, over a stale socket: one daemon. */
static void one_of_many_starters_wins(void **state)
{
	int go[2], end[2], result[2], winners = 0, status;
	char c;

	(void)state;
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(end), 0);
	assert_int_equal(pipe(result), 0);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 20; i++) {
			if (fork() == 0) {
				struct smx_os_ipc_server *s;
				int r;

				(void)!read(go[0], &c, 1);
				r = smx_os_ipc_listen(sock(), &s, NULL);
				c = r == 0 ? 'w' : r == SMX_EEXISTS ? 'l' : '?';
				(void)!write(result[1], &c, 1);
				/* Everybody waits for everybody: then die and leave it stale. */
				(void)!read(end[0], &c, 1);
				_exit(0);
			}
		}
		assert_int_equal(write(go[1], "xxxxxxxxxxxxxxxxxxxx", 20), 20);
		winners = 0;
		for (int i = 0; i < 20; i++) {
			assert_int_equal(read(result[0], &c, 1), 1);
			assert_true(c == 'w' || c == 'l');
			winners += c == 'w';
		}
		assert_int_equal(winners, 1);
		assert_int_equal(write(end[1], "xxxxxxxxxxxxxxxxxxxx", 20), 20);
		for (int i = 0; i < 20; i++)
			assert_true(wait(&status) > 0);
	}
	close(go[0]);
	close(go[1]);
	close(end[0]);
	close(end[1]);
	close(result[0]);
	close(result[1]);
}

/* S5: both sides look at who the other is. */
static void s5_foreign_peers(void **state)
{
	struct smx_os_ipc_server *s;
	int status, fd, ready[2];
	pid_t child;
	char c;

	(void)state;
	need_root();
	/* A foreign server: root's client would trust root and itself only. */
	make_dir(at("theirs"), 0777);
	assert_int_equal(chmod(box.dir, 0755), 0);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		struct sockaddr_un sun = { .sun_family = AF_UNIX };

		alarm(10);
		if (setuid(FOREIGN_UID) != 0)
			_exit(1);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/theirs/s", box.dir);
		if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 || listen(fd, 5) != 0 ||
			write(ready[1], "x", 1) != 1)
			_exit(2);
		(void)!read(fd, &c, 1);
		pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(smx_os_ipc_connect(at("theirs/s"), WAIT_MS, &fd, &box.err), SMX_EDENIED);
	assert_non_null(strstr(err_text(), "another user"));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	/* A foreign client, let through by somebody's chmod. */
	assert_int_equal(chmod(box.dir, 0700), 0);
	s = start();
	assert_int_equal(chmod(box.dir, 0755), 0);
	assert_int_equal(chmod(sock(), 0666), 0);
	child = fork();
	if (child == 0) {
		struct sockaddr_un sun = { .sun_family = AF_UNIX };

		if (setuid(FOREIGN_UID) != 0)
			_exit(1);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", sock());
		_exit(connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ? 0 : 2);
	}
	fd = accept_one(s);
	assert_true(fd >= 0);
	assert_int_equal(smx_os_ipc_peer_check(fd, NULL), SMX_EDENIED);
	close(fd);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(chmod(sock(), 0600), 0);
	/* With the mode that we gave it, the system says no. */
	child = fork();
	if (child == 0) {
		int r;

		if (setuid(FOREIGN_UID) != 0)
			_exit(1);
		r = smx_os_ipc_connect(sock(), WAIT_MS, &fd, NULL);
		_exit(r == SMX_EDENIED ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	smx_os_ipc_server_free(s);
	close(ready[0]);
	close(ready[1]);
}

static void failing_allocations(void **state)
{
	struct smx_os_ipc_server *s = NULL;

	(void)state;
	smx_mem_fail_after(0);
	assert_int_equal(smx_os_ipc_listen(sock(), &s, NULL), SMX_ENOMEM);
	smx_mem_fail_after(-1);
	assert_null(s);
	smx_os_ipc_server_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(s5_talks),
		TEST(s7_write_times_out),
		TEST(b7_sends_much_at_a_time),
		TEST(nobody_there),
		TEST(second_server_is_refused),
		TEST(stale_socket_is_replaced),
		TEST(live_socket_without_lock_file_is_kept),
		TEST(end_removes_only_its_own),
		TEST(odd_places_are_refused),
		TEST(one_of_many_starters_wins),
		TEST(s5_foreign_peers),
		TEST(failing_allocations),
	};

	return cmocka_run_group_tests_name("os_ipc", tests, NULL, NULL);
}
