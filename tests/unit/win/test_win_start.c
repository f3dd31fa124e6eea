/* SPDX-License-Identifier: MIT */
/* What a program finds on Windows, where the agent is (A1), and what people are advised to run. */
#include "win_box.h"
#include "os/agent.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/start.h"

#define USUAL "\\\\.\\pipe\\openssh-ssh-agent"

static void set(const char *name, const wchar_t *value)
{
	wchar_t *key;

	assert_int_equal(smx_win_wide(name, &key), 0);
	assert_true(SetEnvironmentVariableW(key, value));
	smx_free(key);
}

static void expect_agent(const char *name, const char *want)
{
	char *path = NULL;

	assert_int_equal(smx_os_agent_path(name, &path), 0);
	assert_string_equal(path, want);
	smx_free(path);
}

/* A1: the environment's if it is a pipe of this machine, else that of the system. */
static void A1_agent_paths(void **state)
{
	char *path = NULL;

	(void)state;
	set("SSH_AUTH_SOCK", NULL);
	expect_agent(NULL, USUAL);
	expect_agent("SSH_AUTH_SOCK", USUAL);
	set("SSH_AUTH_SOCK", L"/tmp/ssh-x/agent.7");
	expect_agent(NULL, USUAL);
	set("SSH_AUTH_SOCK", L"\\\\server\\pipe\\agent");
	expect_agent(NULL, USUAL);
	set("SSH_AUTH_SOCK", L"//./pipe/m\u00fcller");
	expect_agent(NULL, "\\\\.\\pipe\\m\xc3\xbcller");
	expect_agent("SSH_AUTH_SOCK", "\\\\.\\pipe\\m\xc3\xbcller");
	/* What is named is that, whatever the environment has. */
	expect_agent("\\\\.\\PIPE\\x", "\\\\.\\PIPE\\x");
	expect_agent("C:\\x", "C:\\x");
	set("SSH_AUTH_SOCK", NULL);
	assert_int_equal(smx_os_agent_path("Pageant", &path), 0);
	assert_memory_equal(path, "\\\\.\\pipe\\pageant.", 17);
	assert_int_equal(strlen(strrchr(path, '.') + 1), 64);
	smx_free(path);
}

/* A1: nothing but pipes of this machine is opened. */
static void A1_agent_is_a_pipe_of_this_machine(void **state)
{
	static const char *const others[] = { "", "x", "C:\\x", "\\\\.\\pipe\\",
		"\\\\.\\C:", "\\\\.\\PhysicalDrive0", "\\\\localhost\\pipe\\x",
		"//127.0.0.1/pipe/x", "\\\\?\\pipe\\x", "/tmp/agent" };
	int fd = -1;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(others); i++) {
		assert_int_equal(smx_os_agent_open(others[i], &fd), SMX_EINVAL);
		assert_int_equal(smx_os_agent_is_there(others[i]), 0);
		assert_int_equal(smx_os_agent_is_place(others[i]), 0);
	}
	assert_int_equal(smx_os_agent_open("\\\\.\\pipe\\ssh-mux-nobody", &fd), SMX_ENOTFOUND);
	assert_int_equal(smx_os_agent_is_there("\\\\.\\pipe\\ssh-mux-nobody"), 0);
	assert_int_equal(smx_os_agent_is_place("\\\\.\\pipe\\ssh-mux-nobody"), 1);
	assert_int_equal(smx_os_agent_is_place("//./pipe/ssh-mux-nobody"), 1);
	assert_int_equal(fd, -1);
}

static HANDLE make_pipe(const wchar_t *name, const wchar_t *owner)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	wchar_t sddl[128];
	HANDLE h;

	(void)swprintf(sddl, 128, L"O:%lsG:SYD:P(A;;GA;;;WD)", owner);
	assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorW(
		sddl, SDDL_REVISION_1, &sa.lpSecurityDescriptor, NULL));
	h = CreateNamedPipeW(
		name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, 0, 1, 512, 512, 0, &sa);
	(void)LocalFree(sa.lpSecurityDescriptor);
	return h;
}

/* A1: by whose pipe it is; one whose end is taken is busy, and there all the same. */
static void A1_agent_owners(void **state)
{
	static const char name[] = "\\\\.\\pipe\\ssh-mux-test-start";
	static const struct {
		const wchar_t *owner;
		int want;
	} cases[] = { { L"SY", 0 }, { L"BA", 0 }, { L"BU", SMX_EUNSAFE }, { L"WD", SMX_EUNSAFE },
		{ L"S-1-5-21-1-2-3-1002", SMX_EUNSAFE } };
	int fd, other = -1;
	HANDLE h;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		h = make_pipe(L"\\\\.\\pipe\\ssh-mux-test-start", cases[i].owner);
		/* Windows gives a pipe no owner but one of ours; wine does. */
		if (h == INVALID_HANDLE_VALUE && GetLastError() == ERROR_INVALID_OWNER)
			continue;
		assert_true(h != INVALID_HANDLE_VALUE);
		assert_int_equal(smx_os_agent_is_there(name), 1);
		fd = -1;
		assert_int_equal(smx_os_agent_open(name, &fd), cases[i].want);
		if (fd >= 0) {
			assert_int_equal(smx_os_agent_open(name, &other), SMX_EAGAIN);
			assert_int_equal(smx_os_agent_is_there(name), 1);
			smx_os_ipc_close(fd);
		}
		(void)CloseHandle(h);
	}
}

static void expect_advice(
	enum smx_os_advice what, const char *a, const char *b, const char *begin, const char *part)
{
	char text[2048] = "";

	smx_os_advice(what, a, b, text, sizeof(text));
	assert_memory_equal(text, begin, strlen(begin));
	assert_non_null(strstr(text, part));
}

/* D1: advice is for the shells of this system. */
static void D1_advice(void **state)
{
	char text[64];

	(void)state;
	smx_os_quote("C:\\a-b\\c.toml", text, sizeof(text));
	assert_string_equal(text, "C:\\a-b\\c.toml");
	smx_os_quote("C:\\J & B\\x", text, sizeof(text));
	assert_string_equal(text, "\"C:\\J & B\\x\"");
	smx_os_quote("", text, sizeof(text));
	assert_string_equal(text, "\"\"");
	expect_advice(SMX_OS_ADVICE_MAKE_DIR, "C:\\a b", NULL,
		"run: mkdir \"C:\\a b\", then: icacls \"C:\\a b\" /inheritance:r /grant:r "
		"\"*S-1-5-",
		":(OI)(CI)F\"");
	expect_advice(SMX_OS_ADVICE_MOVE, "C:\\a", "C:\\b", "run: move C:\\a C:\\b", "");
	expect_advice(SMX_OS_ADVICE_COPY, "C:\\a", "C:\\b", "run: copy C:\\a C:\\b", "");
	expect_advice(SMX_OS_ADVICE_MAKE_PRIVATE, "C:\\a", NULL,
		"run: icacls C:\\a /inheritance:r /grant:r \"*S-1-5-", ":F\"");
	for (int i = SMX_OS_ADVICE_MAKE_DIR; i <= SMX_OS_ADVICE_END_PROCESS; i++) {
		char all[2048] = "";

		smx_os_advice((enum smx_os_advice)i, "C:\\a", "C:\\b", all, sizeof(all));
		assert_true(all[0] != '\0');
		assert_null(strstr(all, "chmod"));
		assert_null(strstr(all, ">>"));
		assert_null(strstr(all, "&&"));
	}
}

static void names_of_paths(void **state)
{
	(void)state;
	assert_string_equal(smx_os_path_name("C:\\a/b\\c"), "c");
	assert_string_equal(smx_os_path_name("C:x"), "x");
	assert_string_equal(smx_os_path_name("x"), "x");
	assert_string_equal(smx_os_path_name("C:\\"), "");
	assert_string_equal(smx_os_path_below_home("~\\x"), "x");
	assert_string_equal(smx_os_path_below_home("~/x"), "x");
	assert_null(smx_os_path_below_home("~x"));
	assert_null(smx_os_path_below_home("C:\\~\\x"));
	assert_true(smx_os_path_same("C:\\Users/J\xc3\x96RG", "c:/users\\J\xc3\xb6rg"));
	assert_false(smx_os_path_same("C:\\a", "C:\\a\\"));
	assert_false(smx_os_path_same("C:\\a", "\xff"));
}

static void variables(void **state)
{
	(void)state;
	assert_null(smx_os_getenv("SMX_TEST_START"));
	set("SMX_TEST_START", L"\u043a\u043b\u044e\u0447");
	assert_string_equal(smx_os_getenv("SMX_TEST_START"), "\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87");
}

static void failing_allocations(void **state)
{
	static const char *const names[] = { NULL, "pageant", "C:\\x" };
	int64_t before = (int64_t)smx_mem_alive();
	char **argv = NULL, *path;
	int r, n, argc = 0;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		for (n = 0, r = -1; r != 0; n++) {
			path = NULL;
			smx_mem_fail_after(n);
			r = smx_os_agent_path(names[i], &path);
			smx_mem_fail_after(-1);
			assert_true(r == 0 || r == SMX_ENOMEM);
			smx_free(path);
			assert_true((int64_t)smx_mem_alive() == before);
		}
	for (n = 0, r = -1; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_os_args(&argc, &argv);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || (r == SMX_ENOMEM && (int64_t)smx_mem_alive() == before));
	}
	assert_true(argc == 1 && argv[0] && !argv[1] && strstr(argv[0], "test_win_start"));
	smx_free(argv[0]);
	smx_free(argv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A1_agent_paths),
		cmocka_unit_test(A1_agent_is_a_pipe_of_this_machine),
		cmocka_unit_test(A1_agent_owners),
		cmocka_unit_test(D1_advice),
		cmocka_unit_test(names_of_paths),
		cmocka_unit_test(variables),
		cmocka_unit_test(failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
