/* SPDX-License-Identifier: MIT */
/* Other programs (C3, C5): found, run to their end, ended; and patterns of Include. */
#include "os_box.h"
#include "os/file.h"
#include "os/process.h"

#include <pthread.h>

#define LONG_MS 30000

static struct smx_buf outs, errs;

static int run_setup(void **state)
{
	int r = setup(state);

	smx_buf_init(&outs, 4096);
	smx_buf_init(&errs, 4096);
	return r;
}

static int run_teardown(void **state)
{
	smx_buf_release(&outs);
	smx_buf_release(&errs);
	return teardown(state);
}

static int shell(const char *script, unsigned timeout_ms, int *ret_exit)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };

	smx_buf_reset(&outs);
	smx_buf_reset(&errs);
	return smx_os_run(argv, timeout_ms, &outs, &errs, ret_exit);
}

static void expect_out(const char *text)
{
	assert_string_equal(smx_buf_cstr(&outs), text);
}

static int is_gone(pid_t pid)
{
	/* Somebody has to reap it; where nobody does, it is a zombie for ever. */
	char path[64], text[512] = "";
	int fd;

	if (kill(pid, 0) != 0)
		return errno == ESRCH;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((fd = open(path, O_RDONLY)) < 0)
		return errno == ENOENT;
	(void)!read(fd, text, sizeof(text) - 1);
	close(fd);
	return strstr(text, ") Z ") != NULL;
}

static void wait_gone(pid_t pid)
{
	for (int i = 0; i < 2000 && !is_gone(pid); i++)
		smx_os_sleep_ms(10);
	assert_true(is_gone(pid));
}

/* C3: output and errors apart, exit code or signal, no input. */
static void c3_run_to_the_end(void **state)
{
	int code = -1;

	(void)state;
	assert_int_equal(shell("echo a; echo b >&2; cat; exit 7", LONG_MS, &code), 0);
	assert_int_equal(code, 7);
	expect_out("a\n");
	assert_string_equal(smx_buf_cstr(&errs), "b\n");
	assert_int_equal(shell("kill -KILL $$", LONG_MS, &code), 0);
	assert_int_equal(code, 128 + SIGKILL);
	/* Closed output is not the end. */
	assert_int_equal(shell("exec >&- 2>&-; sleep 0.2; exit 3", LONG_MS, &code), 0);
	assert_int_equal(code, 3);
	/* Nobody wants to know. */
	{
		const char *const argv[] = { "/bin/sh", "-c", "echo x; echo y >&2", NULL };

		assert_int_equal(smx_os_run(argv, LONG_MS, NULL, NULL, &code), 0);
		assert_int_equal(code, 0);
	}
}

/* C3: what is too much is dropped, and the program does not block on it. */
static void c3_run_bounded_output(void **state)
{
	int code = -1;

	(void)state;
	assert_int_equal(
		shell("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890;"
		      "i=$((i+1)); done; echo end >&2",
			LONG_MS, &code),
		0);
	assert_int_equal(code, 0);
	/* Room for a NUL is left: what is cut off is a string nevertheless. */
	assert_int_equal(smx_buf_len(&outs), 4095);
	assert_non_null(smx_buf_cstr(&outs));
	assert_string_equal(smx_buf_cstr(&errs), "end\n");
}

/* C3: who started us may have left SIGCHLD ignored, as some daemons and editors do. */
static void c3_run_children_ignored(void **state)
{
	int code = -1;

	(void)state;
	assert_true(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	assert_int_equal(shell("echo a; exit 3", LONG_MS, &code), 0);
	assert_int_equal(code, 3);
	expect_out("a\n");
}

/* C3: after its time the program is killed, and what it has started with it. */
static void c3_run_time_limit(void **state)
{
	uint64_t start = smx_os_monotonic_ms();
	int code = -1;
	pid_t pid;

	(void)state;
	assert_int_equal(shell("sleep 1000 & echo $!; wait", 1000, &code), SMX_ETIMEOUT);
	assert_true(smx_os_monotonic_ms() - start >= 1000);
	assert_int_equal(code, -1);
	pid = (pid_t)strtol(smx_buf_cstr(&outs), NULL, 10);
	assert_true(pid > 1);
	wait_gone(pid);
	/* One that ignores everything that can be ignored. */
	assert_int_equal(
		shell("trap '' TERM INT HUP; exec >&- 2>&-; while :; do sleep 1; done", 500, &code),
		SMX_ETIMEOUT);
}

struct stopper {
	atomic_int stop;
};

static void *stop_soon(void *arg)
{
	struct stopper *s = arg;

	smx_os_sleep_ms(300);
	atomic_store(&s->stop, 1);
	return NULL;
}

/* C3: a run is taken back from another thread. */
static void c3_run_stopped(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c", "echo $$; exec sleep 1000", NULL };
	struct stopper s;
	pthread_t thread;
	int code = -1;
	pid_t pid;

	(void)state;
	atomic_init(&s.stop, 0);
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, &s), 0);
	assert_int_equal(
		smx_os_run_until(argv, 60000, &s.stop, &outs, &errs, &code), SMX_ECANCELLED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if ((pid = (pid_t)strtol(smx_buf_cstr(&outs), NULL, 10)) > 1)
		wait_gone(pid);
	/* And one that has not begun does not begin. */
	smx_buf_reset(&outs);
	assert_int_equal(
		smx_os_run_until(argv, 60000, &s.stop, &outs, &errs, &code), SMX_ECANCELLED);
	assert_int_equal(smx_buf_len(&outs), 0);
}

/* C3: what the program leaves behind does not keep us waiting. */
static void c3_run_leftovers(void **state)
{
	uint64_t start = smx_os_monotonic_ms();
	int code = -1;
	pid_t pid;

	(void)state;
	assert_int_equal(shell("sleep 100 & echo $!", 60000, &code), 0);
	assert_int_equal(code, 0);
	assert_true(smx_os_monotonic_ms() - start < 50000);
	pid = (pid_t)strtol(smx_buf_cstr(&outs), NULL, 10);
	assert_true(pid > 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
}

/* C3: nothing of our descriptors is the program's, and it has a group of its own. */
static void c3_run_alone(void **state)
{
	char script[128];
	int fd = open("/dev/null", O_RDONLY), high = fcntl(fd, F_DUPFD, 200), code = -1;

	(void)state;
	assert_true(fd >= 0 && high >= 200);
	(void)snprintf(script, sizeof(script),
		"for n in %d %d 3; do [ -e /dev/fd/$n ] && echo $n; done; :", fd, high);
	assert_int_equal(shell(script, LONG_MS, &code), 0);
	close(fd);
	close(high);
	expect_out("");
	/* A signal to the group of the shell reaches the shell, and not us. */
	assert_int_equal(shell("kill -TERM 0; sleep 100", LONG_MS, &code), 0);
	assert_int_equal(code, 128 + SIGTERM);
	/* Signals that we ignore are not ignored there. */
	(void)signal(SIGUSR1, SIG_IGN);
	assert_int_equal(shell("kill -USR1 $$; echo still here", LONG_MS, &code), 0);
	(void)signal(SIGUSR1, SIG_DFL);
	assert_int_equal(code, 128 + SIGUSR1);
	expect_out("");
}

/* C3: what can't be run is said, by every road there is to it. */
static void c3_run_nothing(void **state)
{
	const char *missing[] = { at("missing"), NULL }, *relative[] = { "sh", NULL };
	const char *plain[] = { at("plain"), NULL };
	int code = -1;

	(void)state;
	put_file(plain[0], "#!/bin/sh\n", 0600);
	assert_int_equal(smx_os_run(missing, 1000, &outs, &errs, &code), SMX_ENOTFOUND);
	assert_int_equal(smx_os_run(relative, 1000, &outs, &errs, &code), SMX_ENOTFOUND);
	assert_int_equal(smx_os_run(plain, 1000, &outs, &errs, &code), SMX_ESYS);
	assert_int_equal(code, -1);
}

static void *run_many(void *arg)
{
	const char *const argv[] = { "/bin/sh", "-c", "echo one; echo two >&2; exit 5", NULL };
	struct smx_buf out, err;
	int code, *good = arg;

	for (int i = 0; i < 10; i++) {
		smx_buf_init(&out, 64);
		smx_buf_init(&err, 64);
		code = -1;
		*good += smx_os_run(argv, LONG_MS, &out, &err, &code) == 0 && code == 5 &&
			 smx_buf_len(&out) == 4 && smx_buf_len(&err) == 4;
		smx_buf_release(&out);
		smx_buf_release(&err);
	}
	return NULL;
}

/* C3: several at once, each with its own output and end. */
static void c3_run_in_threads(void **state)
{
	pthread_t threads[8];
	int good[8] = { 0 };

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_many, &good[i]), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(good[i], 10);
	}
}

/* C3: the first program of that name in the absolute directories of PATH. */
static void c3_find_program(void **state)
{
	char *saved = smx_strdup(getenv("PATH") ? getenv("PATH") : ""), path[512], *found = NULL;

	(void)state;
	make_dir(at("a"), 0700);
	make_dir(at("b"), 0700);
	make_dir(at("a/tool"), 0700); /* a directory is no program */
	put_file(at("b/tool"), "#!/bin/sh\n", 0600); /* nor is this one yet */
	(void)snprintf(path, sizeof(path), ".:b::%s:%s:/bin", at("a"), at("b"));
	assert_int_equal(setenv("PATH", path, 1), 0);
	assert_int_equal(chdir(box.dir), 0);
	assert_int_equal(smx_os_find_program("tool", &found), SMX_ENOTFOUND);
	assert_int_equal(chmod(at("b/tool"), 0700), 0);
	assert_int_equal(smx_os_find_program("tool", &found), 0);
	assert_string_equal(found, at("b/tool"));
	smx_free(found);
	assert_int_equal(smx_os_find_program(at("b/tool"), &found), 0);
	smx_free(found);
	assert_int_equal(smx_os_find_program("b/tool", &found), SMX_ENOTFOUND);
	assert_int_equal(smx_os_find_program(at("a/tool"), &found), SMX_ENOTFOUND);
	assert_int_equal(smx_os_find_program("", &found), SMX_ENOTFOUND);
	assert_int_equal(setenv("PATH", "b:.", 1), 0);
	assert_int_equal(smx_os_find_program("tool", &found), SMX_ENOTFOUND);
	assert_int_equal(unsetenv("PATH"), 0);
	assert_int_equal(smx_os_find_program("tool", &found), SMX_ENOTFOUND);
	assert_int_equal(setenv("PATH", saved, 1), 0);
	smx_free(saved);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(smx_os_self_path(&found), 0);
	assert_non_null(strstr(found, "/unit_test_run"));
	assert_int_equal(access(found, X_OK), 0);
	smx_free(found);
}

static void expect_glob(const char *pattern, const char *expected)
{
	char got[1024] = "", **paths = NULL;
	size_t n = 99, at_byte = 0;

	assert_int_equal(smx_os_glob(pattern, &paths, &n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(strncmp(paths[i], box.dir, strlen(box.dir)), 0);
		at_byte += (size_t)snprintf(got + at_byte, sizeof(got) - at_byte, "%s%s",
			i ? " " : "", paths[i] + strlen(box.dir) + 1);
	}
	smx_os_names_free(paths, n);
	assert_string_equal(got, expected);
}

/* C3: Include's patterns as ssh expands them. */
static void c3_glob(void **state)
{
	char *saved = getenv("HOME") ? smx_strdup(getenv("HOME")) : NULL;

	(void)state;
	make_dir(at("d"), 0700);
	put_file(at("d/b.conf"), "", 0600);
	put_file(at("d/a.conf"), "", 0600);
	put_file(at("d/.c.conf"), "", 0600);
	put_file(at("d/[x].conf"), "", 0600);
	expect_glob(at("d/*.conf"), "d/[x].conf d/a.conf d/b.conf");
	expect_glob(at("d/?.conf"), "d/a.conf d/b.conf");
	expect_glob(at("d/[a].conf"), "d/a.conf");
	expect_glob(at("d/\\[x\\].conf"), "d/[x].conf");
	expect_glob(at("d/a.conf"), "d/a.conf");
	expect_glob(at("d/missing"), "");
	expect_glob(at("*/b.conf"), "d/b.conf");
	assert_int_equal(setenv("HOME", box.dir, 1), 0);
	expect_glob("~/d/b*", "d/b.conf");
	if (saved)
		assert_int_equal(setenv("HOME", saved, 1), 0);
	else
		assert_int_equal(unsetenv("HOME"), 0);
	smx_free(saved);
}

/* C3: a client configuration is judged as ssh judges one. */
static void c3_user_config(void **state)
{
	(void)state;
	put_file(at("config"), "Host a\n", 0644);
	assert_int_equal(symlink(at("config"), at("link")), 0);
	expect_read(0, at("config"), SMX_OS_FILE_USER_CONFIG, "Host a\n");
	expect_read(0, at("link"), SMX_OS_FILE_USER_CONFIG, "Host a\n");
	expect_read(SMX_EUNSAFE, at("link"), SMX_OS_FILE_PLAIN, NULL);
	assert_int_equal(chmod(at("config"), 0664), 0);
	expect_read(SMX_EUNSAFE, at("link"), SMX_OS_FILE_USER_CONFIG, NULL);
	expect_read(SMX_EUNSAFE, box.dir, SMX_OS_FILE_USER_CONFIG, NULL);
	expect_read(SMX_ENOTFOUND, at("missing"), SMX_OS_FILE_USER_CONFIG, NULL);
}

/* C3: memory that runs out is said, and none of it is lost. */
static void c3_run_memory(void **state)
{
	long before = smx_mem_alive();
	char **paths = NULL, *found = NULL;
	size_t n = 0;
	int r, code;

	(void)state;
	put_file(at("x1"), "", 0600);
	put_file(at("x2"), "", 0600);
	r = SMX_ENOMEM;
	for (long k = 0; r != 0; k++) {
		smx_mem_fail_after(k);
		r = smx_os_glob(at("x*"), &paths, &n);
		smx_mem_fail_after(-1);
		assert_true(k < 20 && (r == 0 || r == SMX_ENOMEM));
		if (r == 0)
			smx_os_names_free(paths, n);
		assert_int_equal(smx_mem_alive(), before);
	}
	r = SMX_ENOMEM;
	for (long k = 0; r != 0; k++) {
		smx_mem_fail_after(k);
		r = smx_os_find_program("sh", &found);
		smx_mem_fail_after(-1);
		assert_true(k < 100 && (r == 0 || r == SMX_ENOMEM));
		if (r == 0)
			smx_free(found);
		assert_int_equal(smx_mem_alive(), before);
	}
	smx_mem_fail_after(0);
	r = shell("echo x", LONG_MS, &code);
	smx_mem_fail_after(-1);
	assert_int_equal(r, SMX_ENOMEM);
}

#define RUN_TEST(f) cmocka_unit_test_setup_teardown(f, run_setup, run_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUN_TEST(c3_run_to_the_end),
		RUN_TEST(c3_run_bounded_output),
		RUN_TEST(c3_run_children_ignored),
		RUN_TEST(c3_run_time_limit),
		RUN_TEST(c3_run_stopped),
		RUN_TEST(c3_run_leftovers),
		RUN_TEST(c3_run_alone),
		RUN_TEST(c3_run_nothing),
		RUN_TEST(c3_run_in_threads),
		RUN_TEST(c3_find_program),
		RUN_TEST(c3_glob),
		RUN_TEST(c3_user_config),
		RUN_TEST(c3_run_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
