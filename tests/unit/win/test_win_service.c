/* SPDX-License-Identifier: MIT */
/* C6, S8, L1 [W]: the program file that runs, the script's place, whose process it is, the port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <winsock2.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/service.h"
#include "os/tcp.h"
#include "os/win/spawn.h"

static char *dir; /* of this program */

static int setup(void **state)
{
	char *self;

	(void)state;
	if (smx_os_self_path(&self) != 0 || smx_os_path_dir(self, &dir) != 0)
		return -1;
	smx_free(self);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	smx_free(dir);
	return 0;
}

static char *in_dir(const char *name)
{
	char *path;

	assert_int_equal(smx_os_path_join(dir, name, &path), 0);
	return path;
}

#define WAITS_EVENT L"Local\\ssh-mux-test-waits"

/* The program that waits: this very one, told to. It runs by now: before, it has no name yet. */
static PROCESS_INFORMATION start(const char *program)
{
	const char *const args[] = { program, "--wait", "a b", NULL };
	const struct smx_win_streams nowhere = { NULL, NULL, NULL };
	HANDLE waits = CreateEventW(NULL, TRUE, FALSE, WAITS_EVENT);
	PROCESS_INFORMATION pi;

	assert_non_null(waits);
	assert_int_equal(smx_win_start(program, args, CREATE_NO_WINDOW, &nowhere, &pi, NULL), 0);
	assert_int_equal(WaitForSingleObject(waits, 60000), WAIT_OBJECT_0);
	(void)CloseHandle(waits);
	return pi;
}

static void end(PROCESS_INFORMATION *pi)
{
	assert_true(TerminateProcess(pi->hProcess, 0));
	assert_int_equal(WaitForSingleObject(pi->hProcess, 20000), WAIT_OBJECT_0);
	(void)CloseHandle(pi->hThread);
	(void)CloseHandle(pi->hProcess);
}

static int is_there(const char *path)
{
	struct smx_os_stamp stamp;

	return smx_os_file_stamp(path, &stamp) == 0;
}

/* C6: it is replaced while it runs, and the old file goes when it has ended. */
static void C6_a_running_program_is_replaced(void **state)
{
	char *path = in_dir("c6-program.exe"), *old = in_dir("c6-program.exe.old"), *self;
	struct smx_buf bytes, now;
	PROCESS_INFORMATION pi;

	(void)state;
	smx_buf_init(&bytes, 64u << 20);
	smx_buf_init(&now, 64u << 20);
	assert_int_equal(smx_os_self_path(&self), 0);
	assert_int_equal(smx_os_self_read(&bytes, NULL), 0);
	assert_int_equal(
		smx_os_program_write(path, smx_buf_view(&bytes), smx_buf_len(&bytes), NULL), 0);
	pi = start(path);
	assert_int_equal(smx_os_program_write(path, "new", 3, NULL), 0);
	assert_int_equal(smx_os_file_read(path, 64, SMX_OS_FILE_PLAIN, &now, NULL), 0);
	assert_int_equal(smx_buf_len(&now), 3);
	assert_true(is_there(old));
	assert_int_equal(WaitForSingleObject(pi.hProcess, 0), WAIT_TIMEOUT);
	/* Once more while it runs: the name .old is taken. */
	assert_int_equal(smx_os_program_write(path, "newer", 5, NULL), 0);
	assert_true(is_there(old));
	end(&pi);
	assert_int_equal(smx_os_program_write(path, "newest", 6, NULL), 0);
	assert_false(is_there(old));
	assert_int_equal(smx_os_program_remove(path, NULL), 0);
	assert_false(is_there(path));
	assert_int_equal(smx_os_program_remove(path, NULL), SMX_ENOTFOUND);
	smx_buf_release(&bytes);
	smx_buf_release(&now);
	smx_free(self);
	smx_free(old);
	smx_free(path);
}

/* C6: the daemon is the service's by its program and its arguments. */
static void C6_the_services_process_is_known(void **state)
{
	char *self;
	PROCESS_INFORMATION pi;
	struct smx_os_service *s;
	int64_t pid = -2;

	(void)state;
	assert_int_equal(smx_os_self_path(&self), 0);
	assert_int_equal(smx_os_service_new(&s, NULL), 0);
	pi = start(self);
	const char *const same[] = { self, "--wait", "a b", NULL };
	const char *const fewer[] = { self, "--wait", NULL };
	const char *const other[] = { self, "--wait", "a c", NULL };
	const char *const program[] = { "C:\\x.exe", "--wait", "a b", NULL };
	const struct {
		const char *const *args;
		int is_it;
	} cases[] = { { same, 1 }, { fewer, 0 }, { other, 0 }, { program, 0 } };

	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_os_service_run run = { cases[i].args, (int64_t)pi.dwProcessId };

		assert_int_equal(smx_os_service_pid(s, &run, &pid, NULL), 0);
		assert_int_equal(pid, cases[i].is_it ? (int64_t)pi.dwProcessId : 0);
	}
	end(&pi);
	smx_os_service_free(s);
	smx_free(self);
}

/* C6, S8: the Startup folder is the system's, whatever APPDATA says; one of no daemon ends. */
static void S8_startup_folder_is_not_the_environments(void **state)
{
	struct smx_os_service *s;
	struct smx_buf err;
	char *self;

	(void)state;
	smx_buf_init(&err, 4096);
	assert_int_equal(smx_os_self_path(&self), 0);
	assert_true(SetEnvironmentVariableW(L"APPDATA", L"C:\\poison"));
	assert_int_equal(smx_os_service_new(&s, NULL), 0);
	assert_int_equal(smx_os_service_kind(s), SMX_OS_SERVICE_STARTUP);
	assert_null(strstr(smx_os_service_path(s), "poison"));
	assert_non_null(strstr(smx_os_service_path(s), "\\ssh-mux.vbs"));
	/* One that ends before it is ready is told of at once. */
	const char *const args[] = { self, "--end", NULL };
	struct smx_os_service_run run = { args, 0 };

	assert_int_equal(smx_os_service_start(s, &run, &err), SMX_ESYS);
	assert_non_null(strstr(smx_buf_cstr(&err), "exit code 7"));
	/* One that says so is ready. */
	const char *const ready[] = { self, "--ready", NULL };

	run.args = ready;
	assert_int_equal(smx_os_service_start(s, &run, NULL), 0);
	smx_os_service_free(s);
	smx_buf_release(&err);
	smx_free(self);
}

/* L1 [W]: asked for before the bind. That nobody gets in beside it: verify.ps1, for real. */
static void L1_port_is_exclusive(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	SOCKET s, thief;
	BOOL is_on = FALSE, yes = TRUE;
	int size = sizeof(is_on), n = sizeof(addr);
	WSADATA data;

	(void)state;
	assert_int_equal(WSAStartup(MAKEWORD(2, 2), &data), 0);
	s = socket(AF_INET, SOCK_STREAM, 0);
	thief = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(smx_os_socket_exclusive((int64_t)s), 0);
	assert_int_equal(getsockopt(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (char *)&is_on, &size), 0);
	assert_true(is_on);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(s, 1), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&addr, &n), 0);
	assert_int_equal(
		setsockopt(thief, SOL_SOCKET, SO_REUSEADDR, (const char *)&yes, sizeof(yes)), 0);
	assert_int_not_equal(bind(thief, (struct sockaddr *)&addr, sizeof(addr)), 0);
	(void)closesocket(thief);
	(void)closesocket(s);
	(void)WSACleanup();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(C6_a_running_program_is_replaced),
		cmocka_unit_test(C6_the_services_process_is_known),
		cmocka_unit_test(S8_startup_folder_is_not_the_environments),
		cmocka_unit_test(L1_port_is_exclusive),
	};

	if (argc > 1 && strcmp(argv[1], "--wait") == 0) {
		HANDLE waits = OpenEventW(EVENT_MODIFY_STATE, FALSE, WAITS_EVENT);

		if (waits)
			(void)SetEvent(waits);
		Sleep(120000);
	}
	if (argc > 1 && strcmp(argv[1], "--ready") == 0) {
		smx_os_service_tell_ready();
		Sleep(1000);
	}
	if (argc > 1)
		return strcmp(argv[1], "--end") == 0 ? 7 : 0;
	return cmocka_run_group_tests(tests, setup, teardown);
}
