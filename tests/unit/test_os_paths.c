/* SPDX-License-Identifier: MIT */
/* Where things are: D3, S4, S5, S8. */
#include "os_box.h"
#include "os/path.h"
#include "os/process.h"

#include <pwd.h>

static char *join(const char *a, const char *b)
{
	static char slots[2][512];
	static unsigned next;
	char *text = slots[next++ % 2];

	(void)snprintf(text, sizeof(slots[0]), "%s%s", a, b);
	return text;
}

static int env_teardown(void **state)
{
	(void)unsetenv("SSH_MUX_SSH_DIR");
	(void)unsetenv("XDG_RUNTIME_DIR");
	return teardown(state);
}

/* S8: a poisoned HOME changes nothing. */
static void s8_home_is_the_user_databases(void **state)
{
	const char *real = getenv("HOME");
	char *saved = real ? strdup(real) : NULL, *home, *dir;

	(void)state;
	assert_int_equal(setenv("HOME", "/poison", 1), 0);
	assert_int_equal(smx_os_home(&home, NULL), 0);
	assert_string_equal(home, getpwuid(geteuid())->pw_dir);
	assert_int_equal(smx_os_ssh_dir(&dir, NULL, NULL), 0);
	assert_string_equal(dir, join(home, "/.ssh"));
	smx_free(home);
	smx_free(dir);
	if (saved)
		(void)setenv("HOME", saved, 1);
	free(saved);
}

static void expect_ssh_dir(const char *value, const char *expected, const char *why)
{
	struct smx_buf warning;
	char *dir = NULL, *home;

	smx_buf_init(&warning, 16384);
	assert_int_equal(setenv("SSH_MUX_SSH_DIR", value, 1), 0);
	assert_int_equal(smx_os_ssh_dir(&dir, &warning, NULL), 0);
	if (why) {
		const char *text = smx_buf_cstr(&warning);

		assert_int_equal(smx_os_home(&home, NULL), 0);
		assert_string_equal(dir, join(home, "/.ssh"));
		smx_free(home);
		if (!strstr(text, "SSH_MUX_SSH_DIR") || !strstr(text, why) || strchr(text, '\n'))
			print_message("%s\n", text);
		assert_non_null(strstr(text, "SSH_MUX_SSH_DIR"));
		assert_non_null(strstr(text, why));
		assert_null(strchr(text, '\n'));
	} else {
		assert_string_equal(dir, expected);
		assert_int_equal(smx_buf_len(&warning), 0);
	}
	smx_free(dir);
	smx_buf_release(&warning);
}

static void d3_override_is_taken(void **state)
{
	(void)state;
	expect_ssh_dir(box.dir, box.dir, NULL);
	expect_ssh_dir(join(box.dir, "/"), box.dir, NULL);
	expect_ssh_dir(join("//tmp/.//", box.dir + strlen("/tmp/")), box.dir, NULL);
}

/* S4: ignored with a warning that says why. */
static void s4_override_that_fails_is_ignored(void **state)
{
	(void)state;
	expect_ssh_dir("", NULL, "empty");
	expect_ssh_dir("relative/dir", NULL, "absolute");
	expect_ssh_dir(join(box.dir, "/../x"), NULL, "..");
	expect_ssh_dir(at("missing"), NULL, "missing");
	put_file(at("file"), "", 0600);
	expect_ssh_dir(at("file"), NULL, "not a directory");
	make_dir(at("open"), 0777);
	expect_ssh_dir(at("open"), NULL, "chmod go-w");
	make_dir(at("open/inner"), 0700);
	expect_ssh_dir(at("open/inner"), NULL, "chmod go-w");
	make_dir(at("real"), 0700);
	assert_int_equal(symlink("real", at("link")), 0);
	expect_ssh_dir(at("link"), NULL, "symbolic link");
	need_root();
	make_dir(at("theirs"), 0700);
	assert_int_equal(chown(at("theirs"), FOREIGN_UID, FOREIGN_UID), 0);
	expect_ssh_dir(at("theirs"), NULL, "12345");
}

static void expect_runtime(const char *xdg, const char *expected)
{
	char *dir;
	struct stat st;

	if (xdg)
		assert_int_equal(setenv("XDG_RUNTIME_DIR", xdg, 1), 0);
	else
		(void)unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(smx_os_runtime_dir(&dir, NULL), 0);
	assert_string_equal(dir, expected);
	assert_int_equal(lstat(dir, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0700);
	smx_free(dir);
}

static const char *fallback(void)
{
	static char text[64];

	(void)snprintf(text, sizeof(text), "/tmp/ssh-mux-%lu", (unsigned long)geteuid());
	return text;
}

/* S5: the runtime directory if it is what it should be, else the fallback. */
static void s5_runtime_dir(void **state)
{
	char xdg[256];

	(void)state;
	if (geteuid() == 0)
		become_user(); /* leaves root's own fallback alone */
	make_dir(at("xdg"), 0700);
	(void)snprintf(xdg, sizeof(xdg), "%s", at("xdg"));
	expect_runtime(xdg, join(xdg, "/ssh-mux"));
	expect_runtime(join(xdg, "//"), join(xdg, "/ssh-mux"));
	expect_runtime(NULL, fallback());
	expect_runtime("", fallback());
	expect_runtime("relative", fallback());
	expect_runtime(at("missing"), fallback());
	assert_int_equal(chmod(xdg, 0750), 0);
	expect_runtime(xdg, fallback());
	assert_int_equal(chmod(xdg, 0700), 0);
	assert_int_equal(symlink("xdg", at("link")), 0);
	expect_runtime(at("link"), fallback());
	if (getuid() == 0) {
		assert_int_equal(rmdir(fallback()), 0);
		become_root();
	}
}

static void expect_unsafe(const char *why)
{
	char *dir = NULL;

	smx_buf_reset(&box.err);
	assert_int_equal(smx_os_runtime_dir(&dir, &box.err), SMX_EUNSAFE);
	assert_null(dir);
	if (!strstr(err_text(), why))
		print_message("%s\n", err_text());
	assert_non_null(strstr(err_text(), why));
}

/* S5: what stands at our place and is not ours is refused on each use, never repaired. */
static void s5_runtime_dir_is_validated(void **state)
{
	char ours[256], *dir = NULL;

	(void)state;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", box.dir, 1), 0);
	(void)snprintf(ours, sizeof(ours), "%s", at("ssh-mux"));
	make_dir(at("elsewhere"), 0700);
	assert_int_equal(symlink("elsewhere", ours), 0);
	expect_unsafe("symbolic link");
	assert_int_equal(unlink(ours), 0);
	put_file(ours, "", 0600);
	expect_unsafe("not a directory");
	assert_int_equal(unlink(ours), 0);
	assert_int_equal(smx_os_runtime_dir(&dir, NULL), 0);
	smx_free(dir);
	dir = NULL;
	assert_int_equal(chmod(ours, 0755), 0);
	expect_unsafe("chmod 700");
	assert_int_equal(chmod(ours, 0770), 0);
	expect_unsafe("chmod go-w");
	assert_int_equal(chmod(ours, 0700), 0);
	need_root();
	assert_int_equal(chown(ours, FOREIGN_UID, FOREIGN_UID), 0);
	expect_unsafe("12345");
	/* Root's would do as an ancestor, but a user's sockets are the user's alone. */
	become_user();
	expect_unsafe("12345");
	become_root();
	assert_int_equal(chown(ours, 0, 0), 0);
	become_user();
	expect_unsafe("belongs to user 0");
	become_root();
}

/* The same for the fallback, which anybody may have made before us. */
static void s5_fallback_taken_by_somebody_else(void **state)
{
	(void)state;
	need_root();
	(void)unsetenv("XDG_RUNTIME_DIR");
	become_user();
	if (mkdir(fallback(), 0700) != 0 && errno == EEXIST) {
		become_root();
		skip();
	}
	become_root();
	assert_int_equal(seteuid(USER_UID), 0);
	assert_int_equal(chmod(fallback(), 0711), 0);
	expect_unsafe("chmod 700");
	assert_int_equal(rmdir(fallback()), 0);
	assert_int_equal(symlink(box.dir, fallback()), 0);
	expect_unsafe("symbolic link");
	assert_int_equal(unlink(fallback()), 0);
	become_root();
	assert_int_equal(mkdir("/tmp/ssh-mux-23456", 0700), 0);
	assert_int_equal(seteuid(USER_UID), 0);
	expect_unsafe("belongs to user 0");
	become_root();
	assert_int_equal(rmdir("/tmp/ssh-mux-23456"), 0);
}

static void control_path_tells_ssh_dirs_apart(void **state)
{
	char *a, *b, *again;

	(void)state;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", box.dir, 1), 0);
	assert_int_equal(smx_os_control_path("/home/u/.ssh", &a, NULL), 0);
	assert_int_equal(smx_os_control_path("/home/u/other", &b, NULL), 0);
	assert_int_equal(smx_os_control_path("/home/u/.ssh", &again, NULL), 0);
	assert_string_not_equal(a, b);
	assert_string_equal(a, again);
	/* printf %s /home/u/.ssh | sha256sum */
	assert_string_equal(a, at("ssh-mux/control-09518b3fcb20034d.sock"));
	smx_free(a);
	smx_free(b);
	smx_free(again);
}

static void control_path_always_fits_a_socket(void **state)
{
	char deep[512], *path;

	(void)state;
	if (geteuid() == 0)
		become_user();
	(void)snprintf(deep, sizeof(deep), "%s/%0*d", box.dir, 100, 0);
	make_dir(deep, 0700);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", deep, 1), 0);
	assert_int_equal(smx_os_control_path("/home/u/.ssh", &path, NULL), 0);
	assert_true(strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path));
	assert_memory_equal(path, fallback(), strlen(fallback()));
	smx_free(path);
	if (getuid() == 0) {
		assert_int_equal(rmdir(fallback()), 0);
		become_root();
	}
}

static void path_absolute(void **state)
{
	char old[4096], *p;

	(void)state;
	assert_non_null(getcwd(old, sizeof(old)));
	make_dir(at("a"), 0700);
	make_dir(at("a/b"), 0700);
	assert_int_equal(chdir(at("a/b")), 0);
	static const char *const cases[][2] = {
		{ "f", "/a/b/f" },
		{ "./f", "/a/b/f" },
		{ "../f", "/a/f" },
		{ ".././../f", "/f" },
		{ "..", "/a" },
		{ ".", "/a/b" },
		{ "x//y/", "/a/b/x/y" },
		{ "..x", "/a/b/..x" },
		{ "x/../y", "/a/b/x/../y" },
	};
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(smx_os_path_absolute(cases[i][0], &p), 0);
		assert_string_equal(p, join(box.dir, cases[i][1]));
		smx_free(p);
	}
	assert_int_equal(smx_os_path_absolute("../../../../../../../../f", &p), 0);
	assert_string_equal(p, "/f");
	smx_free(p);
	assert_int_equal(smx_os_path_absolute("//x/.", &p), 0);
	assert_string_equal(p, "/x");
	smx_free(p);
	assert_int_equal(smx_os_path_absolute("", &p), SMX_EINVAL);
	assert_int_equal(chdir(old), 0);
}

static void path_join(void **state)
{
	static char big[SMX_OS_PATH_MAX];
	char *p = NULL;

	(void)state;
	assert_int_equal(smx_os_path_join("/a/", "b", &p), 0);
	assert_string_equal(p, "/a/b");
	smx_free(p);
	assert_int_equal(smx_os_path_join("/", "b", &p), 0);
	assert_string_equal(p, "/b");
	smx_free(p);
	memset(big, 'x', sizeof(big) - 1);
	assert_int_equal(smx_os_path_join("/a", big, &p), SMX_ELIMIT);
	assert_int_equal(smx_os_path_join(big, "b", &p), SMX_ELIMIT);
}

static void failing_allocations(void **state)
{
	long before, n;
	char *p = NULL;
	int r;

	(void)state;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", box.dir, 1), 0);
	assert_int_equal(setenv("SSH_MUX_SSH_DIR", "/missing", 1), 0);
	before = smx_mem_alive();
	for (n = 0, r = -1; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_os_ssh_dir(&p, NULL, NULL);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || (r == SMX_ENOMEM && smx_mem_alive() == before));
	}
	assert_true(n > 3);
	smx_free(p);
	for (n = 0, r = -1; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_os_control_path("/x", &p, NULL);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || (r == SMX_ENOMEM && smx_mem_alive() == before));
	}
	assert_true(n > 2);
	smx_free(p);
}

static void process_basics(void **state)
{
	uint64_t a, b, limit = 0;
	int fds[2];

	(void)state;
	assert_int_equal(smx_os_pid(), getpid());
	a = smx_os_monotonic_ms();
	usleep(20000);
	b = smx_os_monotonic_ms();
	assert_true(b - a >= 19 && b - a < 5000);
	assert_int_equal(smx_os_raise_file_limit(&limit), 0);
	assert_true(limit >= 256);
	assert_int_equal(pipe(fds), 0);
	assert_false(smx_os_is_terminal(fds[0]));
	assert_false(smx_os_is_terminal(-1));
	close(fds[0]);
	smx_os_ignore_sigpipe();
	assert_int_equal(write(fds[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(fds[1]);
	assert_int_equal(smx_os_disable_core_dumps(), 0);
}

static void path_dir_of_absolute_paths(void **state)
{
	static const struct {
		const char *path, *dir;
	} cases[] = { { "/a/b", "/a" }, { "/a/b/c.toml", "/a/b" }, { "/a", "/" }, { "/", NULL },
		{ "/a/", NULL }, { "a/b", NULL }, { "", NULL } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *dir = NULL;
		int r = smx_os_path_dir(cases[i].path, &dir);

		assert_int_equal(r, cases[i].dir ? 0 : SMX_EINVAL);
		if (cases[i].dir)
			assert_string_equal(dir, cases[i].dir);
		else
			assert_null(dir);
		smx_free(dir);
	}
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, env_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(s8_home_is_the_user_databases),
		TEST(path_dir_of_absolute_paths),
		TEST(d3_override_is_taken),
		TEST(s4_override_that_fails_is_ignored),
		TEST(s5_runtime_dir),
		TEST(s5_runtime_dir_is_validated),
		TEST(s5_fallback_taken_by_somebody_else),
		TEST(control_path_tells_ssh_dirs_apart),
		TEST(control_path_always_fits_a_socket),
		TEST(path_absolute),
		TEST(path_join),
		TEST(failing_allocations),
		TEST(process_basics),
	};

	(void)unsetenv("SSH_MUX_SSH_DIR");
	(void)unsetenv("XDG_RUNTIME_DIR");
	/* Of a run that failed in the middle of s5_fallback_taken_by_somebody_else. */
	if (geteuid() == 0)
		(void)rmdir("/tmp/ssh-mux-23456");
	return cmocka_run_group_tests_name("os_paths", tests, NULL, NULL);
}
