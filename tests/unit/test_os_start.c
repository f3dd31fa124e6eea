/* SPDX-License-Identifier: MIT */
/* Where the agent is on Unix (A1), and what people are advised to run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/agent.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/start.h"

static void expect_agent(const char *name, int want, const char *want_path)
{
	char *path = NULL;

	assert_int_equal(smx_os_agent_path(name, &path), want);
	if (want == 0)
		assert_string_equal(path, want_path);
	else
		assert_null(path);
	smx_free(path);
}

/* A1: the environment's, unless one is named. */
static void A1_agent_paths(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("SSH_AUTH_SOCK"), 0);
	expect_agent(NULL, SMX_ENOTFOUND, NULL);
	assert_int_equal(setenv("SSH_AUTH_SOCK", "", 1), 0);
	expect_agent("SSH_AUTH_SOCK", SMX_ENOTFOUND, NULL);
	assert_int_equal(setenv("SSH_AUTH_SOCK", "/a/b", 1), 0);
	expect_agent(NULL, 0, "/a/b");
	expect_agent("SSH_AUTH_SOCK", 0, "/a/b");
	expect_agent("/c", 0, "/c");
	expect_agent("pageant", 0, "pageant");
	smx_mem_fail_after(0);
	expect_agent(NULL, SMX_ENOMEM, NULL);
	smx_mem_fail_after(-1);
}

/* A1: a socket that somebody listens at; a full queue is worth another try, a stale one is not. */
static void A1_agent_open(void **state)
{
	char dir[] = "/tmp/smx-start-XXXXXX", path[64];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int s, fds[16], r = 0;
	size_t n = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a", dir);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(smx_os_agent_is_place(path), 1);
	assert_int_equal(smx_os_agent_is_place("agent"), 0);
	assert_int_equal(smx_os_agent_is_place("~/agent"), 0);
	assert_int_equal(smx_os_agent_is_place("\\\\.\\pipe\\agent"), 0);
	assert_int_equal(smx_os_agent_is_place(""), 0);
	assert_int_equal(smx_os_agent_is_there(path), 0);
	assert_int_equal(smx_os_agent_open(path, &fds[0]), SMX_ENOTFOUND);
	assert_true((s = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(smx_os_agent_is_there(path), 1);
	assert_int_equal(smx_os_agent_open(path, &fds[0]), SMX_ENOTFOUND);
	assert_int_equal(listen(s, 0), 0);
	while (n < 16 && (r = smx_os_agent_open(path, &fds[n])) == 0)
		n++;
	assert_true(n >= 1);
#ifdef __linux__
	assert_int_equal(r, SMX_EAGAIN);
#endif
	while (n > 0)
		smx_os_ipc_close(fds[--n]);
	assert_int_equal(close(s), 0);
	assert_int_equal(smx_os_agent_open(path, &fds[0]), SMX_ENOTFOUND);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* A1: a path that no socket can have is not cut, which would be somebody else's. */
static void A1_agent_path_too_long(void **state)
{
	char path[512];
	int fd = -1;

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(smx_os_agent_open(path, &fd), SMX_EINVAL);
	assert_int_equal(fd, -1);
}

/* D1: commands that can be typed as they are. */
static void D1_advice(void **state)
{
	static const struct {
		enum smx_os_advice what;
		const char *text;
	} cases[] = {
		{ SMX_OS_ADVICE_MAKE_DIR, "run: mkdir -m 700 '/a b'" },
		{ SMX_OS_ADVICE_COPY, "run: (umask 077; cp '/a b' '/c'\\''d')" },
		{ SMX_OS_ADVICE_MOVE, "run: mv '/a b' '/c'\\''d'" },
		{ SMX_OS_ADVICE_APPEND, "run: cat '/a b' >> '/c'\\''d'" },
		{ SMX_OS_ADVICE_APPEND_LINE, "run: (echo; cat '/a b') >> '/c'\\''d'" },
		{ SMX_OS_ADVICE_APPEND_AGENT, "run: ssh-add -L | head -n 1 >> '/c'\\''d'" },
		{ SMX_OS_ADVICE_APPEND_AGENT_LINE,
			"run: (echo; ssh-add -L | head -n 1) >> '/c'\\''d'" },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		smx_os_advice(cases[i].what, "/a b", "/c'd", text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
	smx_os_quote("/plain-1.x", text, sizeof(text));
	assert_string_equal(text, "/plain-1.x");
	smx_os_quote("", text, sizeof(text));
	assert_string_equal(text, "''");
	memset(text, '\'', 100);
	text[100] = '\0';
	{
		char cut[32];

		smx_os_quote(text, cut, sizeof(cut));
		assert_true(strlen(cut) < sizeof(cut) && cut[strlen(cut) - 1] == '\'');
	}
}

static void names_of_paths(void **state)
{
	(void)state;
	assert_string_equal(smx_os_path_name("/a/b"), "b");
	assert_string_equal(smx_os_path_name("b"), "b");
	assert_string_equal(smx_os_path_name("/a/"), "");
	assert_string_equal(smx_os_path_name("/a\\b"), "a\\b");
	assert_string_equal(smx_os_path_below_home("~/x"), "x");
	assert_null(smx_os_path_below_home("~"));
	assert_null(smx_os_path_below_home("/~/x"));
	assert_true(smx_os_path_same("/a", "/a"));
	assert_false(smx_os_path_same("/a", "/A"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A1_agent_paths),
		cmocka_unit_test(A1_agent_open),
		cmocka_unit_test(A1_agent_path_too_long),
		cmocka_unit_test(D1_advice),
		cmocka_unit_test(names_of_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
