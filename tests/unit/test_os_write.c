/* SPDX-License-Identifier: MIT */
/* Replacing, making and appending to sensitive files (C8, K4), and listing keys (L5). */
#include "os_box.h"
#include "os/file.h"

/* ---- writing ------------------------------------------------------------------------------------
 */

static void c8_write_replaces_or_makes(void **state)
{
	struct stat st;
	mode_t mask = umask(0077);

	(void)state;
	assert_int_equal(write_text(at("f"), "one", 0644), 0);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644); /* whatever the umask */
	assert_int_equal(write_text(at("f"), "two two", 0600), 0);
	expect_content(at("f"), "two two");
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(write_text(at("f"), "", 0600), 0);
	expect_content(at("f"), "");
	assert_int_equal(count_entries(box.dir), 1);
	(void)umask(mask);
}

static void c8_write_refuses_what_is_no_file(void **state)
{
	(void)state;
	put_file(at("real"), "old", 0600);
	assert_int_equal(symlink("real", at("link")), 0);
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	make_dir(at("dir"), 0700);
	assert_int_equal(write_text(at("link"), "new", 0600), SMX_EUNSAFE);
	assert_non_null(strstr(err_text(), at("link")));
	assert_int_equal(write_text(at("dangling"), "new", 0600), SMX_EUNSAFE);
	assert_int_equal(write_text(at("fifo"), "new", 0600), SMX_EUNSAFE);
	assert_int_equal(write_text(at("dir"), "new", 0600), SMX_EUNSAFE);
	assert_int_equal(write_text(at("nodir/f"), "new", 0600), SMX_ENOTFOUND);
	assert_int_equal(smx_os_file_append_line(at("link"), "l", NULL), SMX_EUNSAFE);
	assert_int_equal(smx_os_file_append_line(at("dangling"), "l", NULL), SMX_EUNSAFE);
	assert_int_equal(smx_os_file_append_line(at("fifo"), "l", NULL), SMX_EUNSAFE);
	assert_int_equal(access(at("nowhere"), F_OK), -1);
	expect_content(at("real"), "old");
	assert_int_equal(count_entries(box.dir), 5);
}

static void l4_create_never_replaces(void **state)
{
	(void)state;
	assert_int_equal(smx_os_file_create(at("f"), "one", 3, 0600, NULL), 0);
	assert_int_equal(smx_os_file_create(at("f"), "two", 3, 0600, &box.err), SMX_EEXISTS);
	assert_non_null(strstr(err_text(), at("f")));
	expect_content(at("f"), "one");
	assert_int_equal(symlink("nowhere", at("link")), 0);
	assert_int_equal(smx_os_file_create(at("link"), "two", 3, 0600, NULL), SMX_EEXISTS);
	assert_int_equal(access(at("nowhere"), F_OK), -1);
	assert_int_equal(count_entries(box.dir), 2);
}

static void remove_takes_the_name_only(void **state)
{
	(void)state;
	put_file(at("real"), "x", 0600);
	assert_int_equal(symlink("real", at("link")), 0);
	assert_int_equal(smx_os_file_remove(at("link"), NULL), 0);
	expect_content(at("real"), "x");
	assert_int_equal(smx_os_file_remove(at("link"), &box.err), SMX_ENOTFOUND);
}

static void c8_full_disk_keeps_the_old_content(void **state)
{
#ifdef __linux__
	static char big[256 << 10];
	char line[64 << 10];

	(void)state;
	need_root();
	make_dir(at("full"), 0700);
	if (mount("tmpfs", at("full"), "tmpfs", 0, "size=64k,mode=0700") != 0)
		skip();
	memset(big, 'x', sizeof(big));
	memset(line, 'y', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(write_text(at("full/f"), "old\n", 0600), 0);
	smx_buf_reset(&box.err);
	assert_int_equal(
		smx_os_file_write_atomic(at("full/f"), big, sizeof(big), 0600, &box.err), SMX_ESYS);
	assert_non_null(strstr(err_text(), "space"));
	assert_int_equal(smx_os_file_create(at("full/g"), big, sizeof(big), 0600, NULL), SMX_ESYS);
	assert_int_equal(smx_os_file_append_line(at("full/f"), line, &box.err), SMX_ESYS);
	assert_int_equal(smx_os_file_append_line(at("full/new"), line, &box.err), SMX_ESYS);
	expect_content(at("full/f"), "old\n");
	assert_int_equal(count_entries(at("full")), 1);
	assert_int_equal(umount2(at("full"), MNT_DETACH), 0);
#else
	(void)state;
	skip();
#endif
}

static void k4_read_only_file_system_is_an_error(void **state)
{
#ifdef __linux__
	(void)state;
	need_root();
	make_dir(at("ro"), 0700);
	if (mount("tmpfs", at("ro"), "tmpfs", 0, "size=64k,mode=0700") != 0)
		skip();
	put_file(at("ro/f"), "old\n", 0600);
	assert_int_equal(mount("tmpfs", at("ro"), "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(smx_os_file_append_line(at("ro/f"), "l", &box.err), SMX_ESYS);
	assert_non_null(strstr(err_text(), "ad-only"));
	expect_content(at("ro/f"), "old\n");
	assert_int_equal(umount2(at("ro"), MNT_DETACH), 0);
#else
	(void)state;
	skip();
#endif
}

/* ---- appending ----------------------------------------------------------------------------------
 */

static void k4_append(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(smx_os_file_append_line(at("f"), "one", &box.err), 0);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(smx_os_file_append_line(at("f"), "two", &box.err), 0);
	expect_content(at("f"), "one\ntwo\n");
	/* A last line without its newline gets one; the mode stays. */
	put_file(at("g"), "cut", 0644);
	assert_int_equal(smx_os_file_append_line(at("g"), "new", &box.err), 0);
	expect_content(at("g"), "cut\nnew\n");
	assert_int_equal(stat(at("g"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	put_file(at("h"), "", 0600);
	assert_int_equal(smx_os_file_append_line(at("h"), "new", &box.err), 0);
	expect_content(at("h"), "new\n");
	assert_int_equal(smx_os_file_append_line(at("h"), "", &box.err), SMX_EINVAL);
	assert_int_equal(smx_os_file_append_line(at("h"), "a\nb", &box.err), SMX_EINVAL);
	assert_int_equal(smx_os_file_append_line(at("h"), "a\r", &box.err), SMX_EINVAL);
	expect_content(at("h"), "new\n");
	assert_int_equal(count_entries(box.dir), 3);
}

#ifdef __linux__
#define HESITATION_US 300000 /* longer than the grace of systems without leases */
#else
#define HESITATION_US 0
#endif

/* C8: a program that opened the file before our rename and writes after it. */
static void c8_append_to_the_replaced_file_is_carried_over(void **state)
{
	struct stat opened, now;
	int ready[2], status, fd;
	pid_t child;
	char c;

	(void)state;
	put_file(at("f"), "old\n", 0600);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		alarm(10);
		fd = open(at("f"), O_RDWR | O_APPEND);
		if (fd < 0 || fstat(fd, &opened) != 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		do {
			usleep(1000);
		} while (stat(at("f"), &now) == 0 && now.st_ino == opened.st_ino);
		usleep(HESITATION_US);
		_exit(write(fd, "theirs\n", 7) == 7 ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(smx_os_file_append_line(at("f"), "ours", &box.err), 0);
	expect_content(at("f"), "old\nours\ntheirs\n");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(ready[1]);
}

/* As ssh does it: O_APPEND, one write, no lock. */
static void append_like_ssh(const char *path, const char *line, unsigned hesitate_us)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT, 0600);

	if (fd < 0)
		_exit(1);
	usleep(hesitate_us);
	if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		_exit(1);
	close(fd);
}

static void writer(int number)
{
	char line[64];

	for (int i = 0; i < 5; i++) {
		if (number % 10 == 0) {
			(void)snprintf(line, sizeof(line), "ours-%d-%d", number, i);
			if (smx_os_file_append_line(at("known_hosts"), line, NULL) != 0)
				_exit(1);
		} else {
			(void)snprintf(line, sizeof(line), "ssh-%d-%d\n", number, i);
			append_like_ssh(at("known_hosts"), line, (unsigned)(number * 37 % 3000));
		}
	}
	_exit(0);
}

/* C8: 100 programs at once, one in ten of them we, some slow between open and write. */
static void c8_concurrent_appends_lose_no_line(void **state)
{
	static char text[65536];
	char line[64];
	ssize_t n;
	int fd, status;

	(void)state;
	for (int i = 0; i < 100; i++)
		if (fork() == 0)
			writer(i);
	for (int i = 0; i < 100; i++) {
		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	fd = open(at("known_hosts"), O_RDONLY);
	assert_true(fd >= 0);
	text[0] = '\n';
	n = read(fd, text + 1, sizeof(text) - 2);
	assert_true(n > 0);
	close(fd);
	text[n + 1] = '\0';
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < 5; k++) {
			const char *found;

			(void)snprintf(
				line, sizeof(line), "\n%s-%d-%d\n", i % 10 ? "ssh" : "ours", i, k);
			found = strstr(text, line);
			if (!found)
				print_message("lost:%s", line);
			assert_non_null(found);
			assert_null(strstr(found + 1, line)); /* nor doubled */
		}
	}
	assert_int_equal(count_entries(box.dir), 1);
}

static void k4_locked_by_others_times_out_or_waits(void **state)
{
	int status, ready[2];
	pid_t child;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		/* Another of our processes in the middle of it, for a while. */
		char command[256];

		(void)snprintf(command, sizeof(command),
			"flock '%s' sh -c 'echo; sleep 0.5; echo theirs >> %s/f'", box.dir,
			box.dir);
		(void)dup2(ready[1], 1);
		_exit(system(command) == 0 ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(smx_os_file_append_line(at("f"), "ours", &box.err), 0);
	expect_content(at("f"), "theirs\nours\n");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(ready[1]);
}

/* ---- looking ------------------------------------------------------------------------------------
 */

static void stamp_tells_versions_apart(void **state)
{
	struct smx_os_stamp a, b;

	(void)state;
	assert_int_equal(smx_os_file_stamp(at("f"), &a), SMX_ENOTFOUND);
	put_file(at("f"), "one", 0600);
	assert_int_equal(smx_os_file_stamp(at("f"), &a), 0);
	assert_int_equal(smx_os_file_stamp(at("f"), &b), 0);
	assert_true(smx_os_stamp_equal(&a, &b));
	assert_int_equal(write_text(at("f"), "two", 0600), 0); /* same size */
	assert_int_equal(smx_os_file_stamp(at("f"), &b), 0);
	assert_false(smx_os_stamp_equal(&a, &b));
	/* B10: who may write it now is news too. */
	assert_int_equal(chmod(at("f"), 0620), 0);
	assert_int_equal(smx_os_file_stamp(at("f"), &a), 0);
	assert_false(smx_os_stamp_equal(&a, &b));
	/* L5: a link to nothing is not taken for a missing file. */
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	assert_int_equal(smx_os_file_stamp(at("dangling"), &a), SMX_ESYS);
	assert_int_equal(smx_os_file_stamp(at("f/f"), &a), SMX_ENOTFOUND);
}

static void l5_lists_public_keys(void **state)
{
	static const char *const names[] = { "id_rsa.pub", "id_ed25519.pub", "id_.pub", "id_x",
		"xid_rsa.pub", "id_rsa.pub.bak", "id_a\nb.pub", "known_hosts" };
	char **got = NULL;
	size_t count = 99;

	(void)state;
	assert_int_equal(smx_os_list_public_keys(box.dir, &got, &count, NULL), 0);
	assert_int_equal(count, 0);
	smx_os_names_free(got, count);
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		put_file(at(names[i]), "", 0644);
	assert_int_equal(smx_os_list_public_keys(box.dir, &got, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_string_equal(got[0], "id_ed25519.pub");
	assert_string_equal(got[1], "id_rsa.pub");
	smx_os_names_free(got, count);
	assert_int_equal(
		smx_os_list_public_keys(at("none"), &got, &count, &box.err), SMX_ENOTFOUND);
	assert_int_equal(chmod(box.dir, 0770), 0);
	assert_int_equal(smx_os_list_public_keys(box.dir, &got, &count, NULL), SMX_EUNSAFE);
	assert_int_equal(chmod(box.dir, 0700), 0);
	for (int i = 0; i < SMX_OS_LIST_MAX; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "id_%d.pub", i);
		put_file(at(name), "", 0644);
	}
	assert_int_equal(smx_os_list_public_keys(box.dir, &got, &count, NULL), SMX_ELIMIT);
}

static void dir_ensure_makes_one_level(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(smx_os_dir_ensure(at("d"), NULL), 0);
	assert_int_equal(smx_os_dir_ensure(at("d"), NULL), 0);
	assert_int_equal(stat(at("d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(smx_os_dir_ensure(at("x/y"), &box.err), SMX_ENOTFOUND);
	assert_int_equal(symlink("d", at("link")), 0);
	assert_int_equal(smx_os_dir_ensure(at("link"), &box.err), SMX_EUNSAFE);
	put_file(at("file"), "", 0600);
	assert_int_equal(smx_os_dir_ensure(at("file"), &box.err), SMX_EUNSAFE);
}

static void failing_allocations_change_nothing(void **state)
{
	long n, before = smx_mem_alive();
	char **names = NULL;
	size_t count = 0;
	int r;

	(void)state;
	put_file(at("id_a.pub"), "key\n", 0644);
	put_file(at("id_b.pub"), "key\n", 0644);
	for (n = 0, r = -1; r != 0; n++) {
		struct smx_buf out;

		smx_buf_init(&out, 4096);
		smx_mem_fail_after(n);
		r = smx_os_file_read(at("id_a.pub"), 4096, SMX_OS_FILE_PLAIN, &out, NULL);
		smx_mem_fail_after(-1);
		smx_buf_release(&out);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(r == 0 || r == SMX_ENOMEM);
	}
	assert_true(n > 1);
	for (n = 0, r = -1; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_os_list_public_keys(box.dir, &names, &count, NULL);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || (r == SMX_ENOMEM && smx_mem_alive() == before));
	}
	assert_true(n > 3);
	assert_int_equal(count, 2);
	smx_os_names_free(names, count);
	for (n = 0, r = -1; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_os_file_append_line(at("id_a.pub"), "line", NULL);
		smx_mem_fail_after(-1);
		assert_int_equal(smx_mem_alive(), before);
		assert_int_equal(count_entries(box.dir), 2);
		if (r != 0)
			expect_content(at("id_a.pub"), "key\n");
		assert_true(n < 100);
	}
	assert_true(n > 2);
	expect_content(at("id_a.pub"), "key\nline\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c8_write_replaces_or_makes),
		TEST(c8_write_refuses_what_is_no_file),
		TEST(l4_create_never_replaces),
		TEST(remove_takes_the_name_only),
		TEST(c8_full_disk_keeps_the_old_content),
		TEST(k4_read_only_file_system_is_an_error),
		TEST(k4_append),
		TEST(c8_append_to_the_replaced_file_is_carried_over),
		TEST(c8_concurrent_appends_lose_no_line),
		TEST(k4_locked_by_others_times_out_or_waits),
		TEST(stamp_tells_versions_apart),
		TEST(l5_lists_public_keys),
		TEST(dir_ensure_makes_one_level),
		TEST(failing_allocations_change_nothing),
	};

	return cmocka_run_group_tests_name("os_write", tests, NULL, NULL);
}
