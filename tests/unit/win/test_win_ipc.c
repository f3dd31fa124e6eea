/* SPDX-License-Identifier: MIT */
/* The daemon's pipe: its name, who may be at either end, many clients, rude clients (S6). */
#include "win_box.h"

#include <io.h>

#include "os/file.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/process.h"
#include "os/win/dacl.h"

#define CLIENTS 24
#define WAIT_MS 20000

static char *path; /* of a pipe of this test's own */
static struct smx_os_ipc_server *server;
static HANDLE woken;

static void wake(void *arg)
{
	(void)SetEvent(arg);
}

static int setup(void **state)
{
	if (box_setup(state) != 0)
		return -1;
	/* No SSH directory has this name, so no daemon has this pipe. */
	return smx_os_control_path(box, &path, &box_err);
}

static int teardown(void **state)
{
	smx_os_ipc_server_free(server);
	server = NULL;
	smx_free(path);
	if (woken)
		(void)CloseHandle(woken);
	woken = NULL;
	return box_teardown(state);
}

static void serve(void)
{
	woken = CreateEventW(NULL, FALSE, FALSE, NULL);
	assert_non_null(woken);
	assert_int_equal(smx_os_ipc_listen(path, &server, &box_err), 0);
	assert_int_equal(smx_os_ipc_server_fd(server), -1);
	assert_int_equal(smx_os_ipc_server_start(server, wake, woken), 0);
}

/* The next client that has come. */
static int take(void)
{
	uint64_t end = smx_os_monotonic_ms() + WAIT_MS;
	int fd, r;

	while ((r = smx_os_ipc_server_accept(server, &fd)) == SMX_EAGAIN &&
		smx_os_monotonic_ms() < end)
		(void)WaitForSingleObject(woken, 100);
	assert_int_equal(r, 0);
	return fd;
}

static int come(void)
{
	int fd = -1;

	if (smx_os_ipc_connect(path, WAIT_MS, &fd, &box_err) != 0)
		fail_msg("%s", said());
	return fd;
}

static void S6_the_name_holds_a_secret(void **state)
{
	char *again, *other;

	(void)state;
	assert_memory_equal(path, "\\\\.\\pipe\\ssh-mux-", 17);
	assert_int_equal(strlen(path), 17 + 16 + 1 + 32);
	assert_int_equal(strspn(path + 17, "0123456789abcdef"), 16);
	assert_int_equal(strspn(path + 17 + 17, "0123456789abcdef"), 32);
	assert_int_equal(smx_os_control_path(box, &again, &box_err), 0);
	assert_string_equal(again, path);
	assert_int_equal(smx_os_control_path("C:\\elsewhere", &other, &box_err), 0);
	assert_int_not_equal(strncmp(other, path, 17 + 16), 0);
	/* The same token: it is the user's, the hash tells the daemons apart. */
	assert_string_equal(other + 17 + 16, path + 17 + 16);
	smx_free(again);
	smx_free(other);
}

static void S6_the_token_is_private(void **state)
{
	char *dir, *file = NULL;
	WIN32_FIND_DATAW found;
	wchar_t *wide, *pattern;
	struct smx_buf text;
	size_t count = 0;
	HANDLE h;

	(void)state;
	assert_int_equal(smx_os_runtime_dir(&dir, &box_err), 0);
	assert_int_equal(smx_os_path_join(dir, "*token*", &file), 0);
	assert_int_equal(smx_win_wide_path(file, &pattern), 0);
	smx_free(file);
	h = FindFirstFileW(pattern, &found);
	smx_free(pattern);
	assert_true(h != INVALID_HANDLE_VALUE);
	do {
		char *name;

		assert_int_equal(smx_win_utf8(found.cFileName, &name), 0);
		assert_int_equal(smx_os_path_join(dir, name, &file), 0);
		smx_free(name);
		count++;
	} while (FindNextFileW(h, &found));
	(void)FindClose(h);
	assert_int_equal(count, 1);
	assert_int_equal(smx_win_wide_path(file, &wide), 0);
	h = CreateFileW(wide, READ_CONTROL, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
	assert_true(h != INVALID_HANDLE_VALUE);
	assert_int_equal(smx_win_dacl_check_handle(h, SMX_WIN_TOKEN, file, &box_err), 0);
	(void)CloseHandle(h);
	smx_buf_init(&text, 256);
	assert_int_equal(smx_os_file_read(file, 256, SMX_OS_FILE_HOST_KEY, &text, &box_err), 0);
	assert_int_equal(smx_buf_len(&text), 33);
	assert_memory_equal(smx_buf_view(&text), path + 17 + 17, 32);
	smx_buf_release(&text);
	smx_free(wide);
	smx_free(file);
	smx_free(dir);
}

static void S6_of_two_servers_one_is_told(void **state)
{
	struct smx_os_ipc_server *second = NULL;
	int fd;

	(void)state;
	serve();
	assert_int_equal(smx_os_ipc_listen(path, &second, &box_err), SMX_EEXISTS);
	expect_said("running already");
	assert_null(second);
	/* The first does not notice. */
	fd = come();
	smx_os_ipc_close(take());
	smx_os_ipc_close(fd); /* not before: one that has gone already is none */
	smx_os_ipc_server_free(server);
	server = NULL;
	assert_int_equal(smx_os_ipc_listen(path, &server, &box_err), 0);
}

static DWORD WINAPI listen_once(void *arg)
{
	struct smx_os_ipc_server **ret = arg;

	return (DWORD)-smx_os_ipc_listen(path, ret, NULL);
}

static void S6_of_many_starters_one_wins(void **state)
{
	struct smx_os_ipc_server *servers[8] = { NULL };
	HANDLE threads[8];
	int won = 0;
	DWORD code;

	(void)state;
	for (size_t i = 0; i < 8; i++)
		threads[i] = CreateThread(NULL, 0, listen_once, &servers[i], 0, NULL);
	for (size_t i = 0; i < 8; i++) {
		(void)WaitForSingleObject(threads[i], INFINITE);
		assert_true(GetExitCodeThread(threads[i], &code));
		assert_true(servers[i] ? code == 0 : code == (DWORD)-SMX_EEXISTS);
		won += servers[i] != NULL;
		(void)CloseHandle(threads[i]);
	}
	for (size_t i = 0; i < 8; i++)
		smx_os_ipc_server_free(servers[i]);
	assert_int_equal(won, 1);
}

static void S6_both_ends_know_each_other(void **state)
{
	int64_t pid = -7;
	int ours, theirs;

	(void)state;
	serve();
	ours = come();
	theirs = take();
	assert_int_equal(smx_os_ipc_peer_check(_get_osfhandle(theirs), &pid), 0);
	assert_int_equal(pid, smx_os_pid());
	pid = -7;
	assert_int_equal(smx_os_ipc_peer_check(_get_osfhandle(ours), &pid), 0);
	assert_int_equal(pid, smx_os_pid());
	smx_os_ipc_close(ours);
	smx_os_ipc_close(theirs);
	/* What is no pipe has no other end. */
	assert_true(smx_os_ipc_peer_check((intptr_t)woken, &pid) < 0);
}

static void nobody_there(void **state)
{
	int fd = -7;

	(void)state;
	assert_int_equal(smx_os_ipc_connect(path, 1000, &fd, &box_err), SMX_ENOTFOUND);
	expect_said("no daemon is running");
	assert_int_equal(fd, -7);
	smx_os_ipc_close(-1);
}

static DWORD WINAPI one_client(void *arg)
{
	char mine[32], got[32];
	size_t n, have = 0, len;
	int fd, r;

	(void)snprintf(mine, sizeof(mine), "client %d", (int)(intptr_t)arg);
	len = strlen(mine);
	if (smx_os_ipc_connect(path, WAIT_MS, &fd, NULL) != 0)
		return 1;
	r = smx_os_ipc_write(fd, mine, len, WAIT_MS);
	while (r == 0 && have < len) {
		r = smx_os_ipc_read(fd, got + have, sizeof(got) - have, WAIT_MS, &n);
		have += r == 0 ? n : 0;
	}
	smx_os_ipc_close(fd);
	return r != 0 || have != len || memcmp(got, mine, len) != 0 ? 2 : 0;
}

static void S6_many_clients_at_once(void **state)
{
	HANDLE threads[CLIENTS];
	char text[32];
	DWORD code;
	size_t n;
	int fd;

	(void)state;
	serve();
	for (int i = 0; i < CLIENTS; i++) {
		threads[i] = CreateThread(NULL, 0, one_client, (void *)(intptr_t)i, 0, NULL);
		assert_non_null(threads[i]);
	}
	for (int i = 0; i < CLIENTS; i++) {
		fd = take();
		assert_int_equal(smx_os_ipc_read(fd, text, sizeof(text), WAIT_MS, &n), 0);
		assert_int_equal(smx_os_ipc_write(fd, text, n, WAIT_MS), 0);
		/* It leaves when it has all of it. */
		assert_int_equal(smx_os_ipc_read(fd, text, sizeof(text), WAIT_MS, &n), SMX_EEOF);
		smx_os_ipc_close(fd);
	}
	for (int i = 0; i < CLIENTS; i++) {
		(void)WaitForSingleObject(threads[i], INFINITE);
		assert_true(GetExitCodeThread(threads[i], &code));
		assert_int_equal(code, 0);
		(void)CloseHandle(threads[i]);
	}
	assert_int_equal(smx_os_ipc_server_accept(server, &fd), SMX_EAGAIN);
}

static void clients_that_leave_at_once(void **state)
{
	char text[8];
	size_t n;
	int ours, theirs;

	(void)state;
	serve();
	for (int i = 0; i < 40; i++)
		smx_os_ipc_close(come());
	ours = come();
	assert_int_equal(smx_os_ipc_write(ours, "late", 4, WAIT_MS), 0);
	/* Of those that left some may have been seen as clients, whose end of file it is. */
	for (;;) {
		int r;

		theirs = take();
		r = smx_os_ipc_read(theirs, text, sizeof(text), WAIT_MS, &n);
		if (r == 0)
			break;
		assert_int_equal(r, SMX_EEOF);
		smx_os_ipc_close(theirs);
	}
	assert_int_equal(n, 4);
	smx_os_ipc_close(ours);
	smx_os_ipc_close(theirs);
}

static void reading_has_a_time_limit(void **state)
{
	uint64_t start;
	char text[8];
	size_t n = 77;
	int ours, theirs;

	(void)state;
	serve();
	ours = come();
	theirs = take();
	start = smx_os_monotonic_ms();
	assert_int_equal(smx_os_ipc_read(ours, text, sizeof(text), 300, &n), SMX_ETIMEOUT);
	assert_true(smx_os_monotonic_ms() - start >= 250);
	assert_int_equal(n, 77);
	/* And what comes later is not lost to the read that was given up. */
	assert_int_equal(smx_os_ipc_write(theirs, "x", 1, WAIT_MS), 0);
	assert_int_equal(smx_os_ipc_read(ours, text, sizeof(text), WAIT_MS, &n), 0);
	assert_true(n == 1 && text[0] == 'x');
	smx_os_ipc_close(theirs);
	assert_int_equal(smx_os_ipc_read(ours, text, sizeof(text), WAIT_MS, &n), SMX_EEOF);
	smx_os_ipc_close(ours);
}

static void writing_to_one_who_left_or_reads_nothing(void **state)
{
	static char block[1u << 20];
	int ours, theirs;

	(void)state;
	serve();
	ours = come();
	theirs = take();
	smx_os_ipc_close(theirs);
	assert_int_equal(smx_os_ipc_write(ours, block, sizeof(block), WAIT_MS), SMX_EEOF);
	smx_os_ipc_close(ours);
	ours = come();
	theirs = take();
	assert_int_equal(smx_os_ipc_write(ours, block, sizeof(block), 300), SMX_ETIMEOUT);
	smx_os_ipc_close(ours);
	smx_os_ipc_close(theirs);
}

/* Ended while clients wait that nobody has taken, and while its thread waits for more. */
static void an_end_at_any_moment(void **state)
{
	char text[8];
	size_t n;
	int fds[4];

	(void)state;
	for (int round = 0; round < 10; round++) {
		serve();
		for (int i = 0; i < round % 5; i++)
			fds[i] = come();
		smx_os_ipc_server_free(server);
		server = NULL;
		for (int i = 0; i < round % 5; i++) {
			assert_int_equal(
				smx_os_ipc_read(fds[i], text, sizeof(text), WAIT_MS, &n), SMX_EEOF);
			smx_os_ipc_close(fds[i]);
		}
		(void)CloseHandle(woken);
		woken = NULL;
	}
}

static void failing_allocations(void **state)
{
	long before = smx_mem_alive(), n;
	int r;

	(void)state;
	for (n = 0;; n++) {
		smx_mem_fail_after(n);
		r = smx_os_ipc_listen(path, &server, NULL);
		smx_mem_fail_after(-1);
		if (r == 0)
			break;
		assert_int_equal(r, SMX_ENOMEM);
		assert_null(server);
		assert_int_equal(smx_mem_alive(), before);
	}
	assert_true(n > 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(S6_the_name_holds_a_secret),
		TEST(S6_the_token_is_private),
		TEST(S6_of_two_servers_one_is_told),
		TEST(S6_of_many_starters_one_wins),
		TEST(S6_both_ends_know_each_other),
		TEST(nobody_there),
		TEST(S6_many_clients_at_once),
		TEST(clients_that_leave_at_once),
		TEST(reading_has_a_time_limit),
		TEST(writing_to_one_who_left_or_reads_nothing),
		TEST(an_end_at_any_moment),
		TEST(failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
