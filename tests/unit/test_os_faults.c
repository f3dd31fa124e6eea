/* SPDX-License-Identifier: MIT */
/*
 * Every system call of a write fails once, or is the last one before the process is killed (C8):
 * the file is the old one or the new one, and what a killed writer leaves is removed by the next.
 *
 * The calls are replaced for this whole program by functions of the same name, which count those of
 * the process under test while it is armed.
 */
#include "os_box.h"
#include "os/file.h"
#include "os/path.h"

#ifdef __linux__

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define OLD "old content\n"
#define NEW "new content, which is longer than the old one\n"

/* What the n-th call does instead of its work. */
static struct {
	int left; /* calls until then; -1: not armed */
	int error; /* errno of the failure; 0: SIGKILL */
	int is_write_short; /* every write takes a byte only */
	int has_no_noreplace, has_no_links; /* as file systems without them */
	int are_syncs_only; /* no other call counts */
	int n_plants; /* names of temporary files that somebody guesses, and takes before us */
	enum { PLANT_FILE, PLANT_HARD_LINK, PLANT_LINK, PLANT_N } plant;
	/* What happened. */
	int was_hit, was_renamed;
	ino_t planted;
} fault = { .left = -1 };

static void arm(int n, int error)
{
	memset(&fault, 0, sizeof(fault));
	fault.left = n;
	fault.error = error;
}

static void disarm(void)
{
	fault.left = -1;
	fault.is_write_short = 0;
}

static int is_due(void)
{
	if (fault.are_syncs_only > 0 || fault.left < 0 || fault.left-- > 0)
		return 0;
	fault.was_hit = 1;
	if (fault.error == 0)
		(void)kill(getpid(), SIGKILL);
	errno = fault.error;
	return 1;
}

/* Takes a name: by a file that stays open elsewhere, or by a link to the victim. */
static void plant(int dir, const char *name)
{
	struct stat st;
	int fd;

	fault.n_plants--;
	if (fault.plant == PLANT_FILE) {
		fd = (int)syscall(SYS_openat, dir, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
		assert_true(fd >= 0 && fstat(fd, &st) == 0);
		fault.planted = st.st_ino;
		(void)syscall(SYS_close, fd);
	} else if (fault.plant == PLANT_HARD_LINK) {
		assert_int_equal(syscall(SYS_linkat, AT_FDCWD, at("victim"), dir, name, 0), 0);
	} else {
		assert_int_equal(symlinkat(at("victim"), dir, name), 0);
	}
}

int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if ((flags & O_CREAT) && fault.n_plants > 0 && strncmp(path, ".ssh-mux-", 9) == 0)
		plant(dir, path);
	return is_due() ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (is_due())
		return -1;
	return syscall(SYS_write, fd, p, fault.is_write_short && n > 1 ? 1 : n);
}

int fchmod(int fd, mode_t mode)
{
	return is_due() ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

/* Not the disk is under test, and it may be busy. */
int fsync(int fd)
{
	int due;

	(void)fd;
	fault.are_syncs_only = -fault.are_syncs_only;
	due = is_due();
	fault.are_syncs_only = -fault.are_syncs_only;
	return due ? -1 : 0;
}

int flock(int fd, int how)
{
	return is_due() ? -1 : (int)syscall(SYS_flock, fd, how);
}

/* Closed in any case, as Linux does it. */
int close(int fd)
{
	int due = is_due(), e = errno;
	int r = (int)syscall(SYS_close, fd);

	if (due)
		errno = e;
	return due ? -1 : r;
}

static int renamed(long r)
{
	fault.was_renamed |= r == 0;
	return (int)r;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return is_due() ? -1 : renamed(syscall(SYS_renameat2, from_dir, from, to_dir, to, 0));
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	if (fault.has_no_noreplace && flags != 0) {
		errno = EINVAL;
		return -1;
	}
	return is_due() ? -1 : renamed(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags));
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	if (fault.has_no_links) {
		errno = EPERM;
		return -1;
	}
	return is_due() ? -1 : renamed(syscall(SYS_linkat, from_dir, from, to_dir, to, flags));
}

/* A removal never fails here; being killed before it is another thing. */
int unlinkat(int dir, const char *path, int flags)
{
	if (fault.error == 0)
		(void)is_due();
	return (int)syscall(SYS_unlinkat, dir, path, flags);
}

/* ---- the writers --------------------------------------------------------------------------------
 */

static int write_it(void)
{
	return smx_os_file_write_atomic(at("f"), NEW, strlen(NEW), 0600, &box.err);
}

static int create_it(void)
{
	return smx_os_file_create(at("f"), NEW, strlen(NEW), 0600, &box.err);
}

static int append_it(void)
{
	return smx_os_file_append_line(at("f"), "a line", &box.err);
}

static int replace_all(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	(void)arg;
	(void)old;
	(void)is_missing;
	(void)err;
	return smx_buf_put_str(out, NEW);
}

static int edit_it(void)
{
	return smx_os_file_edit(at("f"), 4096, 0600, replace_all, NULL, NULL, &box.err);
}

static const struct {
	const char *what;
	int (*run)(void);
	int is_there; /* OLD, before */
	const char *result;
} writers[] = {
	{ "write over", write_it, 1, NEW },
	{ "write new", write_it, 0, NEW },
	{ "create", create_it, 0, NEW },
	{ "append", append_it, 1, OLD "a line\n" },
	{ "append to none", append_it, 0, "a line\n" },
	{ "edit", edit_it, 1, NEW },
	{ "edit none", edit_it, 0, NEW },
};

static void start_over(size_t i)
{
	(void)unlink(at("f"));
	smx_buf_reset(&box.err);
	if (writers[i].is_there)
		put_file(at("f"), OLD, 0600);
}

static void empty_box(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "find '%s' -mindepth 1 -delete", box.dir);
	assert_int_equal(system(command), 0);
}

static void expect_old_or(size_t i, int is_new)
{
	if (is_new)
		expect_content(at("f"), writers[i].result);
	else if (writers[i].is_there)
		expect_content(at("f"), OLD);
	else
		assert_int_equal(access(at("f"), F_OK), -1);
}

static void c8_each_call_fails_once(void **state)
{
	static const int errors[] = { ENOSPC, EIO, EDQUOT, EROFS };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(writers); i++) {
		for (size_t k = 0; k < SMX_ARRAY_LEN(errors); k++) {
			int r, n, failed = 0;

			for (n = 0;; n++) {
				start_over(i);
				arm(n, errors[k]);
				r = writers[i].run();
				disarm();
				if (!fault.was_hit)
					break;
				failed += r != 0;
				expect_old_or(i, r == 0 || fault.was_renamed);
				assert_int_equal(count_entries(box.dir),
					r == 0 || fault.was_renamed || writers[i].is_there);
				/* It is said in one line. */
				assert_int_equal(r == 0, smx_buf_len(&box.err) == 0);
				assert_null(strchr(err_text(), '\n'));
				assert_true(n < 200);
			}
			assert_int_equal(r, 0);
			expect_old_or(i, 1);
			/* The walk, the file, its bytes, its mode, its sync, the rename, the sync.
			 */
			assert_true(failed >= 7);
		}
	}
}

/* That of the file comes before the rename, that of the directory after it; neither may fail. */
/* O_EXCL: what has the name already is not written into, and does not become the file. */
static void c8_a_guessed_name_is_not_used(void **state)
{
	static const int counts[] = { 1, 3, 1000 };
	struct stat st;

	(void)state;
	for (size_t i = 0; i < (size_t)PLANT_N * SMX_ARRAY_LEN(counts); i++) {
		int r, count = counts[i % SMX_ARRAY_LEN(counts)];

		put_file(at("victim"), OLD, 0600);
		put_file(at("f"), OLD, 0600);
		smx_buf_reset(&box.err);
		arm(-1, 0);
		fault.plant = (int)(i / SMX_ARRAY_LEN(counts));
		fault.n_plants = count;
		r = write_it();
		assert_true(fault.n_plants < count);
		disarm();
		fault.n_plants = 0;
		/* The next name is free, or there are no more tries. */
		assert_int_equal(r == 0, count < 1000);
		expect_content(at("f"), r == 0 ? NEW : OLD);
		expect_content(at("victim"), OLD);
		assert_int_equal(lstat(at("f"), &st), 0);
		assert_true(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600);
		assert_true(st.st_nlink == 1 && st.st_ino != fault.planted);
		empty_box();
	}
}

static void c8_failed_syncs_are_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(writers); i++) {
		for (int n = 0; n < 3; n++) {
			int r;

			start_over(i);
			arm(n, EIO);
			fault.are_syncs_only = 1;
			r = writers[i].run();
			disarm();
			assert_int_equal(r, n < 2 ? SMX_ESYS : 0);
			assert_int_equal(fault.was_hit, n < 2);
			assert_int_equal(fault.was_renamed, n > 0);
			expect_old_or(i, n > 0);
		}
	}
}

static void c8_a_write_in_pieces_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(writers); i++) {
		int r;

		for (int n = 0;; n++) {
			start_over(i);
			arm(n, EINTR); /* what is interrupted goes on, or fails as a whole */
			fault.is_write_short = 1;
			r = writers[i].run();
			disarm();
			if (!fault.was_hit)
				break;
			expect_old_or(i, r == 0 || fault.was_renamed);
		}
		assert_int_equal(r, 0);
		expect_old_or(i, 1);
	}
}

static void c8_killed_at_each_call(void **state)
{
	int status;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(writers); i++) {
		int left_over = 0, n;

		for (n = 0;; n++) {
			struct stat st;
			pid_t child;

			start_over(i);
			child = fork();
			if (child == 0) {
				arm(n, 0);
				_exit(writers[i].run() == 0 ? 0 : 1);
			}
			assert_int_equal(waitpid(child, &status, 0), child);
			if (status == 0)
				break;
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
			if (stat(at("f"), &st) != 0)
				assert_false(writers[i].is_there);
			else
				expect_old_or(i, (size_t)st.st_size == strlen(writers[i].result));
			left_over += count_entries(box.dir) > (access(at("f"), F_OK) == 0);
			/* The next one of ours leaves nothing of it, whatever it writes. */
			assert_int_equal(
				smx_os_file_write_atomic(at("other"), "x", 1, 0600, NULL), 0);
			assert_int_equal(unlink(at("other")), 0);
			assert_int_equal(count_entries(box.dir), access(at("f"), F_OK) == 0);
			assert_true(n < 200);
		}
		expect_old_or(i, 1);
		assert_true(left_over >= 5);
	}
}

/* ---- file systems of less ability ---------------------------------------------------------------
 */

static void c8_create_where_there_are_no_links(void **state)
{
	(void)state;
	for (int has_links = 0; has_links < 2; has_links++) {
		start_over(2);
		arm(1000, EIO);
		fault.has_no_noreplace = 1;
		fault.has_no_links = !has_links;
		assert_int_equal(create_it(), 0);
		assert_int_equal(create_it(), SMX_EEXISTS);
		disarm();
		fault.has_no_noreplace = fault.has_no_links = 0;
		expect_content(at("f"), NEW);
		assert_int_equal(count_entries(box.dir), 1);
	}
}

/* A limit of the user's own: EFBIG, or SIGXFSZ where that is not ignored. */
static void c8_file_size_limit_keeps_the_old_content(void **state)
{
	static char big[64 << 10];
	int status, is_ignored;
	pid_t child;

	(void)state;
	memset(big, 'x', sizeof(big));
	for (is_ignored = 0; is_ignored < 2; is_ignored++) {
		put_file(at("f"), OLD, 0600);
		child = fork();
		if (child == 0) {
			struct rlimit limit = { 4096, 4096 };
			int r;

			(void)signal(SIGXFSZ, is_ignored ? SIG_IGN : SIG_DFL);
			if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
				_exit(2);
			r = smx_os_file_write_atomic(at("f"), big, sizeof(big), 0600, NULL);
			_exit(r == SMX_ESYS ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (is_ignored)
			assert_int_equal(status, 0);
		else
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
		expect_content(at("f"), OLD);
		assert_int_equal(write_text(at("f"), OLD, 0600), 0);
		assert_int_equal(count_entries(box.dir), 1);
	}
}

/* ---- what is swept, and what is not -------------------------------------------------------------
 */

#define HEX31  "0123456789abcdef0123456789abcde"
#define LEFT   ".ssh-mux-" HEX31 "f.tmp"
#define LEFT_2 ".ssh-mux-" HEX31 "0.tmp"

static int (*const sweepers[])(void) = { write_it, create_it, append_it, edit_it };

static void c8_leftovers_are_removed_by_any_writer(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(sweepers); i++) {
		(void)unlink(at("f"));
		put_file(at(LEFT), "half", 0600);
		put_file(at(LEFT_2), "", 0400);
		assert_int_equal(sweepers[i](), 0);
		assert_int_equal(count_entries(box.dir), 1);
	}
}

static void c8_a_living_writers_file_stays(void **state)
{
	int ready[2], status;
	pid_t child;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		int fd = open(at(LEFT), O_WRONLY | O_CREAT | O_EXCL, 0600);

		if (fd < 0 || flock(fd, LOCK_EX) != 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		(void)sleep(60);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(write_it(), 0);
	assert_int_equal(access(at(LEFT), F_OK), 0);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(write_it(), 0);
	assert_int_equal(access(at(LEFT), F_OK), -1);
	close(ready[0]);
	close(ready[1]);
}

static void s1_nothing_else_is_swept(void **state)
{
	static const char *const names[] = { ".ssh-mux-.tmp", ".ssh-mux-" HEX31 ".tmp",
		".ssh-mux-" HEX31 "F.tmp", ".ssh-mux-" HEX31 "g.tmp", "ssh-mux-" HEX31 "0.tmp",
		".ssh-mux-" HEX31 "00.tmp", ".ssh-mux-" HEX31 "0.tmp~", ".ssh-mux-" HEX31 "0.bak" };
	size_t count;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		put_file(at(names[i]), "x", 0600);
	/* Our name, but no file that a writer of ours could have left. */
	put_file(at("victim"), "victim", 0600);
	assert_int_equal(symlink("victim", at(".ssh-mux-" HEX31 "1.tmp")), 0);
	assert_int_equal(link(at("victim"), at(".ssh-mux-" HEX31 "2.tmp")), 0);
	make_dir(at(".ssh-mux-" HEX31 "3.tmp"), 0700);
	assert_int_equal(mkfifo(at(".ssh-mux-" HEX31 "4.tmp"), 0600), 0);
	if (geteuid() == 0) {
		put_file(at(".ssh-mux-" HEX31 "5.tmp"), "x", 0600);
		assert_int_equal(
			lchown(at(".ssh-mux-" HEX31 "5.tmp"), FOREIGN_UID, FOREIGN_UID), 0);
	}
	count = count_entries(box.dir);
	alarm(20);
	assert_int_equal(write_it(), 0);
	alarm(0);
	assert_int_equal(count_entries(box.dir), count + 1);
	expect_content(at("victim"), "victim");
}

/* Writers that sweep each other's directory all the time: every one of them succeeds. */
static void c8_writers_do_not_sweep_each_other(void **state)
{
	int status;

	(void)state;
	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			char name[16];

			(void)snprintf(name, sizeof(name), "f%d", i % 4);
			for (int k = 0; k < 100; k++)
				if (smx_os_file_write_atomic(
					    at(name), NEW, strlen(NEW), 0600, NULL) != 0)
					_exit(1);
			_exit(0);
		}
	}
	for (int i = 0; i < 8; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count_entries(box.dir), 4);
}

/* ---- where things are ---------------------------------------------------------------------------
 */

/*
 * A directory that can't be examined for now is not unsafe: neither our keys nor our sockets go
 * elsewhere. What its owner or mode forbids is as it was.
 */
static void s4_s5_a_failing_call_leads_nowhere_else(void **state)
{
	static const int errors[] = { EMFILE, EIO, ENOMEM, EACCES };

	(void)state;
	assert_int_equal(setenv("SSH_MUX_SSH_DIR", box.dir, 1), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", box.dir, 1), 0);
	for (size_t i = 0; i < 2 * SMX_ARRAY_LEN(errors); i++) {
		int is_ssh_dir = i % 2, is_verdict = errors[i / 2] == EACCES, n, r, failed = 0;
		char *own = NULL, *path;

		assert_int_equal(is_ssh_dir ? smx_os_ssh_dir(&own, NULL, NULL)
					    : smx_os_runtime_dir(&own, NULL),
			0);
		for (n = 0;; n++) {
			path = NULL;
			smx_buf_reset(&box.err);
			smx_buf_reset(&box.out);
			arm(n, errors[i / 2]);
			r = is_ssh_dir ? smx_os_ssh_dir(&path, &box.out, &box.err)
				       : smx_os_runtime_dir(&path, &box.err);
			disarm();
			failed += r != 0;
			if (r == 0 && !is_verdict)
				assert_string_equal(path, own);
			if (r == 0 && is_ssh_dir)
				assert_int_equal(
					strcmp(path, own) == 0, smx_buf_len(&box.out) == 0);
			assert_int_equal(r == 0, path != NULL);
			assert_int_equal(r == 0, smx_buf_len(&box.err) == 0);
			smx_free(path);
			if (!fault.was_hit)
				break;
			assert_true(n < 100);
		}
		assert_int_equal(r, 0);
		assert_true(is_verdict || failed >= 2);
		smx_free(own);
	}
	(void)unsetenv("SSH_MUX_SSH_DIR");
	(void)unsetenv("XDG_RUNTIME_DIR");
	(void)rmdir(at("ssh-mux"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(s4_s5_a_failing_call_leads_nowhere_else),
		TEST(c8_each_call_fails_once),
		TEST(c8_a_guessed_name_is_not_used),
		TEST(c8_failed_syncs_are_failures),
		TEST(c8_a_write_in_pieces_is_whole),
		TEST(c8_killed_at_each_call),
		TEST(c8_create_where_there_are_no_links),
		TEST(c8_file_size_limit_keeps_the_old_content),
		TEST(c8_leftovers_are_removed_by_any_writer),
		TEST(c8_a_living_writers_file_stays),
		TEST(s1_nothing_else_is_swept),
		TEST(c8_writers_do_not_sweep_each_other),
	};

	return cmocka_run_group_tests_name("os_faults", tests, NULL, NULL);
}

#else

int main(void)
{
	return 0;
}

#endif
