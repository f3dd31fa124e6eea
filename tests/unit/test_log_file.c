/* SPDX-License-Identifier: MIT */
/* The log file: several processes at once, rotation, and what happens to files (D4). */
#include "os_box.h"
#include "os/log.h"
#include "os/process.h"

#include <sys/file.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <sys/uio.h>
#endif

#define WRITERS  6
#define LINE_MAX 256
#define HUGE     (1u << 30)

static struct smx_os_log *new_log(uint64_t max_bytes)
{
	struct smx_os_log *l = NULL;
	int r = smx_os_log_new(at("log"), max_bytes, 0, &l, &box.err);

	if (r != 0)
		print_message("%s\n", err_text());
	assert_int_equal(r, 0);
	return l;
}

static int put_line(struct smx_os_log *l, const char *line)
{
	smx_buf_reset(&box.err);
	return smx_os_log_write(l, line, strlen(line), &box.err);
}

/* ---- many writers ------------------------------------------------------------------------------
 */

/* Lines of changing length that tell a lost end or beginning. */
static void make_line(char out[LINE_MAX], int writer, int n)
{
	int fill = 10 + (writer * 31 + n * 7) % 90;

	(void)snprintf(out, LINE_MAX, "<w%d n%06d %.*s>\n", writer, n, fill,
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
}

/* A process that begins when `go` is closed, and writes its lines. */
static pid_t start_writer(int writer, int n_lines, uint64_t max_bytes, const int go[2])
{
	struct smx_os_log *l;
	char line[LINE_MAX], c;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	close(go[1]);
	if (smx_os_log_new(at("log"), max_bytes, 0, &l, NULL) != 0)
		_exit(2);
	(void)!read(go[0], &c, 1);
	for (int i = 0; i < n_lines; i++) {
		make_line(line, writer, i);
		if (smx_os_log_write(l, line, strlen(line), NULL) != 0)
			_exit(3);
	}
	_exit(0);
}

static void start_writers(pid_t pids[WRITERS], int n_lines, uint64_t max_bytes)
{
	int go[2];

	assert_int_equal(pipe(go), 0);
	for (int w = 0; w < WRITERS; w++)
		pids[w] = start_writer(w, n_lines, max_bytes, go);
	close(go[0]);
	close(go[1]);
}

static void await_writers(const pid_t pids[WRITERS])
{
	int status;

	for (int w = 0; w < WRITERS; w++) {
		assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
		assert_int_equal(status, 0);
	}
}

/* Checks that a file holds whole lines only, and each writer's in order without a gap: next[w] is
 * the number due, -1 whatever comes first. */
static void check_lines(const char *path, int next[WRITERS])
{
	char line[2 * LINE_MAX], expected[LINE_MAX];
	FILE *f = fopen(path, "r");
	int w, n;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "<w%d n%d ", &w, &n) != 2 || w < 0 || w >= WRITERS)
			fail_msg("%s: %s", path, line);
		make_line(expected, w, n);
		assert_string_equal(line, expected);
		if (next[w] >= 0 && next[w] != n)
			fail_msg("%s: writer %d: line %d is due, not %d", path, w, next[w], n);
		next[w] = n + 1;
	}
	fclose(f);
}

static long size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

/* D4: one rotation in the middle, so that everything is still there; often. */
static void D4_rotation_loses_no_line_of_many_writers(void **state)
{
	enum { ROUNDS = 25, LINES = 60 };
	int next[WRITERS];
	pid_t pids[WRITERS];

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		(void)unlink(at("log"));
		(void)unlink(at("log.old"));
		start_writers(pids, LINES, 16 * 1024);
		await_writers(pids);
		memset(next, 0, sizeof(next));
		assert_true(size_of(at("log.old")) > 14 * 1024);
		check_lines(at("log.old"), next);
		check_lines(at("log"), next);
		for (int w = 0; w < WRITERS; w++)
			assert_int_equal(next[w], LINES);
	}
}

/* D4: many rotations. What is left is the end of each writer's lines, without a gap. */
static void D4_many_rotations_by_many_writers(void **state)
{
	enum { LINES = 4000, MAX = 64 * 1024 };
	int next[WRITERS];
	pid_t pids[WRITERS];

	(void)state;
	start_writers(pids, LINES, MAX);
	await_writers(pids);
	memset(next, -1, sizeof(next));
	/* While somebody is about to rename it, the others may make it a little larger. */
	assert_in_range(size_of(at("log.old")), MAX - LINE_MAX, 2 * MAX);
	assert_in_range(size_of(at("log")), 1, 2 * MAX);
	check_lines(at("log.old"), next);
	check_lines(at("log"), next);
	for (int w = 0; w < WRITERS; w++)
		assert_true(next[w] == LINES || next[w] == -1);
	assert_int_equal(count_entries(box.dir), 2);
}

/* D4: a file that somebody takes away is made anew, and each line is in one of them. */
static void D4_renamed_by_somebody_else_while_many_write(void **state)
{
	enum { LINES = 3000, NAMES = 40 };
	char name[32];
	int next[WRITERS] = { 0 };
	pid_t pids[WRITERS];

	(void)state;
	start_writers(pids, LINES, HUGE);
	for (int i = 0; i < NAMES; i++) {
		smx_os_sleep_ms(2);
		(void)snprintf(name, sizeof(name), "log.%d", i);
		(void)rename(at("log"), at(name));
	}
	await_writers(pids);
	for (int i = 0; i < NAMES; i++) {
		(void)snprintf(name, sizeof(name), "log.%d", i);
		check_lines(at(name), next);
	}
	check_lines(at("log"), next);
	for (int w = 0; w < WRITERS; w++)
		assert_int_equal(next[w], LINES);
}

/* ---- one writer --------------------------------------------------------------------------------
 */

static void D4_rotation_at_the_limit(void **state)
{
	struct smx_os_log *l;
	struct stat st;

	(void)state;
	assert_int_equal(SMX_OS_LOG_MAX, 5 * 1024 * 1024);
	put_file(at("log.old"), "ancient\n", 0644);
	put_file(at("log"), "12345678\n", 0640);
	l = new_log(16);
	assert_int_equal(put_line(l, "123456\n"), 0); /* 16 bytes: it fits */
	expect_content(at("log"), "12345678\n123456\n");
	expect_content(at("log.old"), "ancient\n");
	assert_int_equal(put_line(l, "x\n"), 0);
	expect_content(at("log"), "x\n");
	expect_content(at("log.old"), "12345678\n123456\n");
	/* A line that is longer than all that: in a file of its own. */
	assert_int_equal(put_line(l, "12345678901234567890\n"), 0);
	expect_content(at("log"), "12345678901234567890\n");
	expect_content(at("log.old"), "x\n");
	assert_int_equal(stat(at("log"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	smx_os_log_free(l);
}

static void D4_file_that_was_removed_is_made_anew(void **state)
{
	struct smx_os_log *l = new_log(HUGE);

	(void)state;
	assert_int_equal(put_line(l, "one\n"), 0);
	assert_int_equal(unlink(at("log")), 0);
	assert_int_equal(put_line(l, "two\n"), 0);
	expect_content(at("log"), "two\n");
	assert_int_equal(rename(at("log"), at("log.1")), 0);
	assert_int_equal(put_line(l, "three\n"), 0);
	expect_content(at("log"), "three\n");
	expect_content(at("log.1"), "two\n");
	smx_os_log_free(l);
}

/* D4: where .old can't be, the log goes on, and says so. */
static void D4_rename_that_fails(void **state)
{
	struct smx_os_log *l;

	(void)state;
	make_dir(at("log.old"), 0700);
	l = new_log(8);
	assert_int_equal(put_line(l, "1234567\n"), 0);
	assert_int_equal(put_line(l, "x\n"), 1);
	assert_non_null(strstr(err_text(), "cannot rename"));
	assert_int_equal(rmdir(at("log.old")), 0);
	assert_int_equal(put_line(l, "yy\n"), 0); /* at the next size that is tried */
	expect_content(at("log"), "yy\n");
	expect_content(at("log.old"), "1234567\nx\n");
	smx_os_log_free(l);
}

/* S1, D4: what somebody puts in its place is refused, also later, and nothing is written there. */
static void S1_D4_unsafe_files_are_refused(void **state)
{
	struct smx_os_log *l = NULL;
	uint64_t size;
	int fd;

	(void)state;
	put_file(at("victim"), "safe", 0600);
	assert_int_equal(link(at("victim"), at("log")), 0);
	assert_int_equal(smx_os_log_open(at("log"), &fd, &size, &box.err), SMX_EUNSAFE);
	assert_non_null(strstr(err_text(), "hard link"));
	assert_int_equal(smx_os_log_new(at("log"), HUGE, 0, &l, NULL), SMX_EUNSAFE);
	assert_int_equal(unlink(at("log")), 0);
	assert_int_equal(mkfifo(at("log"), 0600), 0);
	assert_int_equal(smx_os_log_new(at("log"), HUGE, 0, &l, NULL), SMX_EUNSAFE);
	assert_int_equal(unlink(at("log")), 0);
	assert_null(l);

	l = new_log(HUGE);
	assert_int_equal(put_line(l, "one\n"), 0);
	assert_int_equal(rename(at("log"), at("log.1")), 0);
	assert_int_equal(symlink("victim", at("log")), 0);
	assert_int_equal(put_line(l, "two\n"), SMX_EUNSAFE);
	assert_non_null(strstr(err_text(), "symbolic link"));
	assert_true(put_line(l, "three\n") < 0); /* no look before a second is over */
	expect_content(at("victim"), "safe");
	expect_content(at("log.1"), "one\n");
	assert_int_equal(unlink(at("log")), 0);
	for (int i = 0; i < 2000 && put_line(l, "four\n") != 0; i++)
		smx_os_sleep_ms(10);
	expect_content(at("log"), "four\n");
	smx_os_log_free(l);

	/* What lies where the old one goes is replaced, never written through. */
	assert_int_equal(symlink("victim", at("log.old")), 0);
	l = new_log(8);
	assert_int_equal(put_line(l, "five\n"), 0);
	expect_content(at("log"), "five\n");
	expect_content(at("log.old"), "four\n");
	expect_content(at("victim"), "safe");
	smx_os_log_free(l);
}

/* In a child: the limit of a file's size stays. A full disk is the same to a writer. */
static void write_on_a_full_disk(const char *path)
{
	struct rlimit rl = { 10, RLIM_INFINITY };
	struct smx_os_log *l;
	struct smx_buf err;

	smx_buf_init(&err, 4096);
	if (smx_os_log_new(path, HUGE, 0, &l, NULL) != 0 || setrlimit(RLIMIT_FSIZE, &rl) != 0)
		_exit(2);
	if (smx_os_log_write(l, "12345\n", 6, NULL) != 0)
		_exit(3);
	if (smx_os_log_write(l, "67890\n", 6, NULL) != SMX_ESYS) /* its first four bytes fit */
		_exit(4);
	if (smx_os_log_write(l, "abcde\n", 6, &err) != SMX_ESYS ||
		!strstr(smx_buf_cstr(&err), "cannot write to"))
		_exit(5);
	rl.rlim_cur = RLIM_INFINITY;
	if (setrlimit(RLIMIT_FSIZE, &rl) != 0 || smx_os_log_write(l, "again\n", 6, NULL) != 0)
		_exit(6);
	_exit(0);
}

static void D4_full_disk_is_an_error_and_no_end(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		write_on_a_full_disk(at("log"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	expect_content(at("log"), "12345\n6789\nagain\n");
}

#ifdef __linux__

/* What the writer's writev and flock do first: others may be faster than it. */
static void (*before_write)(void), (*before_lock)(void);

static void call_once(void (**hook)(void))
{
	void (*f)(void) = *hook;

	*hook = NULL;
	if (f)
		f();
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	call_once(&before_write);
	return syscall(SYS_writev, fd, iov, n);
}

int flock(int fd, int how)
{
	call_once(&before_lock);
	return (int)syscall(SYS_flock, fd, how);
}

static void rotate_twice(void)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rename(at("log"), at("log.old")), 0);
		put_file(at("log"), i ? "new\n" : "newer\n", 0600);
	}
}

static void rotate_once(void)
{
	assert_int_equal(rename(at("log"), at("log.old")), 0);
}

/* D4: between the look at the file and the write there is time for anything. */
static void D4_line_whose_file_went_away_is_written_again(void **state)
{
	struct smx_os_log *l = new_log(HUGE);

	(void)state;
	assert_int_equal(put_line(l, "one\n"), 0);
	before_write = rotate_once;
	assert_int_equal(put_line(l, "two\n"), 0);
	expect_content(at("log.old"), "one\ntwo\n");
	assert_int_equal(put_line(l, "three\n"), 0);
	expect_content(at("log"), "three\n");
	before_write = rotate_twice;
	assert_int_equal(put_line(l, "four\n"), 0);
	expect_content(at("log.old"), "newer\n");
	expect_content(at("log"), "new\nfour\n");
	smx_os_log_free(l);
}

static void rotate_as_another(void)
{
	rotate_once();
	put_file(at("log"), "begun\n", 0600);
}

/* D4: two find it full; the second must not rename what the first has begun. */
static void D4_full_file_is_renamed_once(void **state)
{
	struct smx_os_log *l = new_log(16);

	(void)state;
	assert_int_equal(put_line(l, "12345678\n"), 0);
	before_lock = rotate_as_another;
	assert_int_equal(put_line(l, "123456789\n"), 0);
	assert_null(before_lock);
	expect_content(at("log.old"), "12345678\n");
	expect_content(at("log"), "begun\n123456789\n");
	smx_os_log_free(l);
}

static void empty_it(void)
{
	assert_int_equal(truncate(at("log"), 0), 0);
}

/* D4: nor one that has room again, for what it would replace is the older part of the log. */
static void D4_file_that_was_emptied_meanwhile_is_not_renamed(void **state)
{
	struct smx_os_log *l = new_log(16);

	(void)state;
	put_file(at("log.old"), "old\n", 0600);
	assert_int_equal(put_line(l, "12345678\n"), 0);
	before_lock = empty_it;
	assert_int_equal(put_line(l, "123456789\n"), 0);
	assert_null(before_lock);
	expect_content(at("log.old"), "old\n");
	expect_content(at("log"), "123456789\n");
	smx_os_log_free(l);
}

#endif

/* D4: a process that was stopped while it had the lock holds nobody up. */
static void D4_lock_of_a_stopped_process(void **state)
{
	struct smx_os_log *l = new_log(64);
	int fd = open(at("log"), O_RDWR);
	uint64_t begin;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	begin = smx_os_monotonic_ms();
	for (int i = 0; i < 200; i++)
		assert_int_equal(put_line(l, "1234567\n"), 0);
	assert_true(smx_os_monotonic_ms() - begin < 5000); /* 200 waits would take more */
	assert_int_equal(size_of(at("log")), 1600);
	assert_int_equal(size_of(at("log.old")), -1);
	close(fd);
	for (int i = 0; i < 2000 && size_of(at("log.old")) < 0; i++) {
		assert_int_equal(put_line(l, "1234567\n"), 0);
		smx_os_sleep_ms(1);
	}
	assert_true(size_of(at("log.old")) >= 1600);
	smx_os_log_free(l);
}

/* In a child: 1 and 2 go to the file, as a daemon's do. */
static void write_as_a_daemon(int takes_stderr)
{
	struct smx_os_log *l;
	int fd = open(takes_stderr ? "/dev/null" : at("log"), O_RDWR | O_APPEND | O_CREAT, 0600);

	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || close(fd) != 0)
		_exit(2);
	if (smx_os_log_new(at("log"), 8, takes_stderr, &l, NULL) != 0)
		_exit(3);
	if (!smx_os_log_has_stderr(l) || smx_os_log_write(l, "one\n", 4, NULL) != 0 ||
		write(2, "raw\n", 4) != 4)
		_exit(4);
	if (smx_os_log_write(l, "two\n", 4, NULL) != 0 || write(2, "new\n", 4) != 4)
		_exit(5);
	_exit(0);
}

/* D4: what goes to stderr follows the log to its new file. */
static void D4_stderr_follows(void **state)
{
	int status;

	(void)state;
	for (int takes_stderr = 0; takes_stderr < 2; takes_stderr++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			write_as_a_daemon(takes_stderr);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		expect_content(at("log.old"), "one\nraw\n");
		expect_content(at("log"), "two\nnew\n");
		assert_int_equal(unlink(at("log")), 0);
	}
}

/* D4: without memory there is no log, and nothing is lost of it. */
static void D4_no_memory(void **state)
{
	struct smx_os_log *l = NULL;
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_os_log_new(at("log"), HUGE, 0, &l, NULL);
		smx_mem_fail_after(-1);
		assert_true(n < 50);
	}
	assert_int_equal(put_line(l, "x\n"), 0);
	smx_os_log_free(l);
	smx_os_log_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(D4_rotation_loses_no_line_of_many_writers),
		TEST(D4_many_rotations_by_many_writers),
		TEST(D4_renamed_by_somebody_else_while_many_write),
		TEST(D4_rotation_at_the_limit),
		TEST(D4_file_that_was_removed_is_made_anew),
		TEST(D4_rename_that_fails),
		TEST(S1_D4_unsafe_files_are_refused),
		TEST(D4_full_disk_is_an_error_and_no_end),
		TEST(D4_lock_of_a_stopped_process),
#ifdef __linux__
		TEST(D4_line_whose_file_went_away_is_written_again),
		TEST(D4_full_file_is_renamed_once),
		TEST(D4_file_that_was_emptied_meanwhile_is_not_renamed),
#endif
		TEST(D4_stderr_follows),
		TEST(D4_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
