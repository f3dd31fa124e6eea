/* SPDX-License-Identifier: MIT */
/* Other programs on Windows: found, given their arguments whole, run to their end or ended (C3). */
#include "win_box.h"

#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <shellapi.h>

#include "os/file.h"
#include "os/ipc.h"
#include "os/process.h"
#include "os/win/spawn.h"

#define LONG_MS 60000
#define FLOOD   (1u << 20)

static struct smx_buf outs, errs;
static char *self;

/* ---- what this program is as a child ------------------------------------------------------------
 */

static void say_wide(const wchar_t *text)
{
	char *utf8;
	HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
	DWORD n;

	if (smx_win_utf8(text, &utf8) != 0)
		exit(90);
	(void)WriteFile(out, utf8, (DWORD)strlen(utf8) + 1, &n, NULL);
	smx_free(utf8);
}

static int child_args(void)
{
	int count;
	wchar_t **args = CommandLineToArgvW(GetCommandLineW(), &count);

	for (int i = 2; args && i < count; i++)
		say_wide(args[i]);
	return 0;
}

/* By the C library, which has rules of its own for what follows the program's name. */
static int child_c_args(int argc, char **argv)
{
	HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
	DWORD n;

	for (int i = 2; i < argc; i++)
		(void)WriteFile(out, argv[i], (DWORD)strlen(argv[i]) + 1, &n, NULL);
	return 0;
}

static int child_flood(int is_endless)
{
	static char block[65536];
	DWORD n;

	memset(block, 'o', sizeof(block));
	for (unsigned done = 0; is_endless || done < FLOOD; done += sizeof(block)) {
		if (!WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), block, sizeof(block), &n, NULL))
			return 91;
		if (!is_endless &&
			!WriteFile(GetStdHandle(STD_ERROR_HANDLE), block, sizeof(block), &n, NULL))
			return 92;
	}
	return 7;
}

/* Prints its child's process id, and waits for what never comes. */
static int child_parent(const char *program)
{
	PROCESS_INFORMATION pi;
	STARTUPINFOW si = { .cb = sizeof(si) };
	wchar_t line[1024], *wide;
	char text[32];
	DWORD n;

	if (smx_win_wide(program, &wide) != 0)
		return 93;
	(void)swprintf(line, 1024, L"\"%ls\" child-sleep", wide);
	if (!CreateProcessW(wide, line, NULL, NULL, FALSE, 0, NULL, NULL, &si, &pi))
		return 94;
	(void)snprintf(text, sizeof(text), "%lu", (unsigned long)pi.dwProcessId);
	(void)WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), text, (DWORD)strlen(text), &n, NULL);
	Sleep(INFINITE);
	return 0;
}

static int child(int argc, char **argv)
{
	wchar_t dir[MAX_PATH];
	DWORD n, flags;
	char c;

	if (strcmp(argv[1], "child-args") == 0)
		return child_args();
	if (strcmp(argv[1], "child-c-args") == 0)
		return child_c_args(argc, argv);
	if (strcmp(argv[1], "child-flood") == 0)
		return child_flood(0);
	if (strcmp(argv[1], "child-endless") == 0)
		return child_flood(1);
	if (strcmp(argv[1], "child-parent") == 0)
		return child_parent(self);
	if (strcmp(argv[1], "child-sleep") == 0)
		Sleep(INFINITE);
	if (strcmp(argv[1], "child-dir") == 0 && GetCurrentDirectoryW(MAX_PATH, dir) > 0) {
		say_wide(dir);
		return 0;
	}
	if (strcmp(argv[1], "child-exit") == 0)
		return atoi(argv[2]);
	if (strcmp(argv[1], "child-input") == 0)
		return ReadFile(GetStdHandle(STD_INPUT_HANDLE), &c, 1, &n, NULL) && n > 0;
	if (strcmp(argv[1], "child-handle") == 0)
		return GetHandleInformation(
			       (HANDLE)(uintptr_t)strtoull(argv[2], NULL, 10), &flags) != 0;
	return 99;
}

/* ---- tests --------------------------------------------------------------------------------------
 */

static int setup(void **state)
{
	smx_buf_init(&outs, 2 * FLOOD);
	smx_buf_init(&errs, FLOOD / 4);
	return box_setup(state);
}

static int teardown(void **state)
{
	smx_buf_release(&outs);
	smx_buf_release(&errs);
	return box_teardown(state);
}

static int run(const char *what, const char *const *more, unsigned ms, int *ret_exit)
{
	const char *argv[64] = { self, what };

	for (int i = 0; more && more[i]; i++)
		argv[2 + i] = more[i];
	smx_buf_reset(&outs);
	smx_buf_reset(&errs);
	return smx_os_run(argv, ms, &outs, &errs, ret_exit);
}

static void expect_args(const char *what, const char *const *args)
{
	const char *at;
	size_t left;
	int code = -1, r = run(what, args, LONG_MS, &code);

	if (r != 0 || code != 0)
		fail_msg("%s: %d, exit %d", what, r, code);
	at = (const char *)smx_buf_view(&outs);
	left = smx_buf_len(&outs);
	for (; *args; args++) {
		size_t n = strlen(*args) + 1;

		if (left < n || memcmp(at, *args, n) != 0)
			fail_msg("%s: \"%s\" arrived as \"%.*s\"", what, *args, (int)left, at);
		at += n;
		left -= n;
	}
	assert_int_equal(left, 0);
}

/* What a command line makes of it is what was given, by either of the two ways to read one. */
static void arguments_arrive_whole(void **state)
{
	static const char *const args[] = { "plain", "", "a b", " ", "\t", "\"", "\"\"", "a\"b",
		"\\", "\\\\", "a\\", "a b\\", "a b\\\\", "\\\"", "a\\\"b", "a\\\\\"b c",
		"\\\\server\\x", "C:\\Program Files\\", "%PATH%", "&", "|", "^", "a&b|c>d<e", "!x!",
		"'", "-o", "/c", "*", "a;b,c=d", "\n", "a\nb", NULL };
	static const char *const wide[] = { "gr\xc3\xbc\xc3\x9f"
					    "e",
		"\xf0\x9f\x94\x91 x", "\xe6\x97\xa5\\", "", NULL };
	/* The C library takes these for patterns. */
	static const char *const plain[] = { "plain", "", "a b", "\"", "a\"b", "a b\\", "\\\"",
		"a\\\\\"b c", "C:\\Program Files\\", "%PATH%", "a&b|c>d<e", NULL };

	(void)state;
	expect_args("child-args", args);
	expect_args("child-args", wide);
	expect_args("child-c-args", plain);
}

/* For cmd.exe, which runs batch files: nothing outside of quotes that it would act on. */
static void arguments_that_cmd_would_take_apart_are_quoted(void **state)
{
	static const char *const args[] = { "C:\\R&D\\x.cmd", "a;b", "c=d", "(e)", "plain", NULL };
	wchar_t *line;

	(void)state;
	assert_int_equal(smx_win_command_line(args, &line), 0);
	assert_int_equal(wcscmp(line, L"\"C:\\R&D\\x.cmd\" \"a;b\" \"c=d\" \"(e)\" plain"), 0);
	smx_free(line);
}

static void expect_dir(DWORD flags, const wchar_t *want)
{
	const char *const argv[] = { self, "child-dir", NULL };
	struct smx_win_streams to = { NULL, NULL, NULL };
	PROCESS_INFORMATION pi;
	char text[4 * MAX_PATH], *utf8;
	HANDLE ours;
	size_t n = 0;
	int fd;

	assert_int_equal(smx_win_output_pipe(&ours, &to.out), 0);
	assert_int_equal(smx_win_start(self, argv, flags, &to, &pi, NULL), 0);
	(void)CloseHandle(to.out);
	fd = _open_osfhandle((intptr_t)ours, _O_RDONLY | _O_BINARY);
	assert_int_equal(smx_os_ipc_read(fd, text, sizeof(text), LONG_MS, &n), 0);
	assert_true(n > 0 && text[n - 1] == '\0');
	assert_int_equal(smx_win_utf8(want, &utf8), 0);
	assert_int_equal(_stricmp(text, utf8), 0);
	smx_free(utf8);
	smx_os_ipc_close(fd);
	(void)WaitForSingleObject(pi.hProcess, LONG_MS);
	(void)CloseHandle(pi.hThread);
	(void)CloseHandle(pi.hProcess);
}

/* D1: a daemon keeps no directory of the user's. */
static void D1_a_daemon_is_in_the_systems_directory(void **state)
{
	wchar_t here[MAX_PATH], system[MAX_PATH];

	(void)state;
	assert_true(GetCurrentDirectoryW(MAX_PATH, here) > 0);
	assert_true(GetSystemDirectoryW(system, MAX_PATH) > 0);
	expect_dir(0, here);
	expect_dir(DETACHED_PROCESS, system);
}

static void a_line_too_long_is_refused(void **state)
{
	char *big = calloc(1, 40000);
	const char *const more[] = { big, NULL };
	int code = -1;

	(void)state;
	memset(big, 'x', 32000);
	assert_int_equal(run("child-args", more, LONG_MS, &code), 0);
	assert_int_equal(smx_buf_len(&outs), 32001);
	memset(big, 'x', 39999);
	code = -1;
	assert_true(run("child-args", more, LONG_MS, &code) < 0);
	assert_int_equal(code, -1);
	free(big);
}

static void exit_codes(void **state)
{
	static const char *const codes[] = { "0", "1", "3", "255", "259" };
	int code;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(codes); i++) {
		const char *const more[] = { codes[i], NULL };

		code = -1;
		assert_int_equal(run("child-exit", more, LONG_MS, &code), 0);
		assert_int_equal(code, atoi(codes[i]));
	}
}

static void all_of_much_output(void **state)
{
	int code = -1;

	(void)state;
	assert_int_equal(run("child-flood", NULL, LONG_MS, &code), 0);
	assert_int_equal(code, 7);
	assert_int_equal(smx_buf_len(&outs), FLOOD);
	/* More than it takes is read and dropped. */
	assert_int_equal(smx_buf_len(&errs), FLOOD / 4);
}

static void no_input_and_no_handle_of_ours(void **state)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa), .bInheritHandle = TRUE };
	HANDLE hers[64];
	char text[32];
	const char *const more[] = { text, NULL };
	int code = -1;

	(void)state;
	/* A number that the child has not come to by itself. */
	for (size_t i = 0; i < SMX_ARRAY_LEN(hers); i++)
		hers[i] = CreateEventW(&sa, TRUE, FALSE, NULL);
	(void)snprintf(text, sizeof(text), "%llu",
		(unsigned long long)(uintptr_t)hers[SMX_ARRAY_LEN(hers) - 1]);
	assert_int_equal(run("child-handle", more, LONG_MS, &code), 0);
	assert_int_equal(code, 0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(hers); i++)
		(void)CloseHandle(hers[i]);
	code = -1;
	assert_int_equal(run("child-input", NULL, LONG_MS, &code), 0);
	assert_int_equal(code, 0);
}

static int is_gone(DWORD pid)
{
	HANDLE h = OpenProcess(SYNCHRONIZE, FALSE, pid);
	int gone;

	if (!h)
		return 1;
	gone = WaitForSingleObject(h, 20000) == WAIT_OBJECT_0;
	(void)CloseHandle(h);
	return gone;
}

static void the_time_limit_ends_the_whole_tree(void **state)
{
	uint64_t start = smx_os_monotonic_ms();
	int code = -1;

	(void)state;
	assert_int_equal(run("child-parent", NULL, 3000, &code), SMX_ETIMEOUT);
	assert_true(smx_os_monotonic_ms() - start >= 2900);
	assert_int_equal(code, -1);
	assert_true(smx_buf_len(&outs) > 0);
	assert_true(is_gone((DWORD)atol(smx_buf_cstr(&outs))));
}

static void the_time_limit_holds_for_one_that_writes_without_end(void **state)
{
	uint64_t start = smx_os_monotonic_ms();
	int code = -1;

	(void)state;
	assert_int_equal(run("child-endless", NULL, 4000, &code), SMX_ETIMEOUT);
	assert_true(smx_os_monotonic_ms() - start < 20000);
	assert_int_equal(smx_buf_len(&outs), 2 * FLOOD);
}

static DWORD WINAPI stop_soon(void *arg)
{
	Sleep(300);
	atomic_store((atomic_int *)arg, 1);
	return 0;
}

static void another_thread_takes_it_back(void **state)
{
	const char *const argv[] = { self, "child-sleep", NULL };
	uint64_t start = smx_os_monotonic_ms();
	atomic_int stop = 0;
	HANDLE thread = CreateThread(NULL, 0, stop_soon, &stop, 0, NULL);
	int code = -1;

	(void)state;
	assert_int_equal(
		smx_os_run_until(argv, LONG_MS, &stop, &outs, &errs, &code), SMX_ECANCELLED);
	assert_true(smx_os_monotonic_ms() - start < LONG_MS / 2);
	(void)WaitForSingleObject(thread, INFINITE);
	(void)CloseHandle(thread);
	assert_int_equal(
		smx_os_run_until(argv, LONG_MS, &stop, &outs, &errs, &code), SMX_ECANCELLED);
}

static void what_is_not_there(void **state)
{
	const char *const missing[] = { in_box("no.exe"), NULL };
	const char *const relative[] = { "cmd.exe", NULL };
	const char *const text[] = { in_box("text.exe"), NULL };
	int code = -1;

	(void)state;
	assert_int_equal(smx_os_run(missing, LONG_MS, &outs, &errs, &code), SMX_ENOTFOUND);
	assert_int_equal(smx_os_run(relative, LONG_MS, &outs, &errs, &code), SMX_ENOTFOUND);
	put_raw(in_box("text.exe"), "no program", 10);
	assert_true(smx_os_run(text, LONG_MS, &outs, &errs, &code) < 0);
	assert_int_equal(code, -1);
}

static void set_path(const char *value)
{
	wchar_t *wide;

	assert_int_equal(smx_win_wide(value, &wide), 0);
	assert_true(SetEnvironmentVariableW(L"PATH", wide));
	smx_free(wide);
}

static void expect_found(const char *name, const char *want)
{
	char *path;

	assert_int_equal(smx_os_find_program(name, &path), 0);
	assert_string_equal(path, want);
	smx_free(path);
}

/* C3: in the absolute directories of PATH, never where we happen to be. */
static void C3_find_program(void **state)
{
	static const char *const bad[] = { "", ".\\probe", "d\\probe", "d/probe", "C:probe",
		"..\\probe.exe", "probe.txt", "other", "probe " };
	wchar_t here[MAX_PATH], *wide;
	char list[4096], *path = NULL;

	(void)state;
	assert_int_equal(smx_os_dir_ensure(in_box("a b"), NULL), 0);
	assert_int_equal(smx_os_dir_ensure(in_box("probe.exe.d"), NULL), 0);
	assert_int_equal(smx_os_dir_ensure(in_box("d"), NULL), 0);
	assert_int_equal(smx_os_dir_ensure(in_box("d\\dir.exe"), NULL), 0);
	put_raw(in_box("probe.exe"), "", 0);
	put_raw(in_box("d\\probe.exe"), "", 0);
	put_raw(in_box("a b\\second.exe"), "", 0);
	assert_true(GetCurrentDirectoryW(MAX_PATH, here) > 0);
	assert_int_equal(smx_win_wide(box, &wide), 0);
	assert_true(SetCurrentDirectoryW(wide));
	smx_free(wide);
	/* The box is where we are: none of these is it. */
	set_path(".;;d;\\;.\\d;..;C:");
	assert_int_equal(smx_os_find_program("probe", &path), SMX_ENOTFOUND);
	assert_int_equal(smx_os_find_program("probe.exe", &path), SMX_ENOTFOUND);
	set_path("");
	assert_int_equal(smx_os_find_program("probe", &path), SMX_ENOTFOUND);
	(void)snprintf(
		list, sizeof(list), ".;\"%s\";\"\";\";%s\\;%s", in_box("a b"), in_box("d"), box);
	set_path(list);
	assert_true(SetCurrentDirectoryW(here));
	expect_found("second", in_box("a b\\second.exe"));
	expect_found("second.EXE", in_box("a b\\second.EXE"));
	expect_found("probe", in_box("d\\probe.exe"));
	expect_found(in_box("probe.exe"), in_box("probe.exe"));
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++)
		if (smx_os_find_program(bad[i], &path) != SMX_ENOTFOUND)
			fail_msg("%s found", bad[i]);
	assert_int_equal(smx_os_find_program("dir", &path), SMX_ENOTFOUND);
	assert_int_equal(smx_os_find_program(in_box("d"), &path), SMX_ENOTFOUND);
	assert_int_equal(smx_os_find_program(in_box("no.exe"), &path), SMX_ENOTFOUND);
	assert_null(path);
}

static void failing_allocations(void **state)
{
	const char *const argv[] = { self, "child-exit", "0", NULL };
	long before, n;
	int r, code;

	(void)state;
	smx_buf_release(&outs);
	before = smx_mem_alive();
	for (n = 0;; n++) {
		code = -1;
		smx_mem_fail_after(n);
		r = smx_os_run(argv, LONG_MS, &outs, &errs, &code);
		smx_mem_fail_after(-1);
		assert_int_equal(smx_mem_alive(), before);
		if (r == 0)
			break;
		assert_int_equal(code, -1);
	}
	assert_int_equal(code, 0);
	assert_true(n > 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(arguments_arrive_whole),
		TEST(arguments_that_cmd_would_take_apart_are_quoted),
		TEST(D1_a_daemon_is_in_the_systems_directory),
		TEST(a_line_too_long_is_refused),
		TEST(exit_codes),
		TEST(all_of_much_output),
		TEST(no_input_and_no_handle_of_ours),
		TEST(the_time_limit_ends_the_whole_tree),
		TEST(the_time_limit_holds_for_one_that_writes_without_end),
		TEST(another_thread_takes_it_back),
		TEST(what_is_not_there),
		TEST(failing_allocations),
		TEST(C3_find_program),
	};

	if (smx_os_self_path(&self) != 0)
		return 98;
	if (argc > 1 && strncmp(argv[1], "child-", 6) == 0)
		return child(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
