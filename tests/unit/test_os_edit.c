/* SPDX-License-Identifier: MIT */
/* Changing a file that other programs write too (C2, C8): what becomes of everybody's text. */
#include "os_box.h"
#include "os/file.h"

#define MAX 4096

/* Puts "ours\n" in front of what is there, unless it is there; does `meddle` once before. */
struct edit {
	int calls, was_missing, result;
	void (*meddle)(void);
	int meddle_always;
};

static int put_ours(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	struct edit *e = arg;
	int r;

	(void)err;
	e->was_missing = is_missing;
	if (e->meddle && (e->calls == 0 || e->meddle_always))
		e->meddle();
	e->calls++;
	if (e->result != 0)
		return e->result;
	if (old.len >= 5 && memcmp(old.p, "ours\n", 5) == 0)
		return 1;
	if ((r = smx_buf_put_str(out, "ours\n")) != 0)
		return r;
	return smx_buf_put(out, old.p, old.len);
}

static int edit_file(const char *path, struct edit *e, int *ret_changed)
{
	smx_buf_reset(&box.err);
	return smx_os_file_edit(path, MAX, 0600, put_ours, e, ret_changed, &box.err);
}

static void expect_one_line_about(const char *path)
{
	assert_non_null(strstr(err_text(), path));
	assert_null(strchr(err_text(), '\n'));
}

static void c2_edit_makes_changes_and_leaves(void **state)
{
	struct edit e = { 0 };
	struct stat before, after;
	mode_t mask = umask(0);
	int changed = 7;

	(void)state;
	assert_int_equal(edit_file(at("f"), &e, &changed), 0);
	assert_int_equal(changed, 1);
	assert_int_equal(e.was_missing, 1);
	expect_content(at("f"), "ours\n");
	assert_int_equal(stat(at("f"), &before), 0);
	assert_int_equal(before.st_mode & 07777, 0600);
	/* Nothing to do: not even a new file with the same text. */
	assert_int_equal(edit_file(at("f"), &e, &changed), 0);
	assert_int_equal(changed, 0);
	assert_int_equal(e.was_missing, 0);
	assert_int_equal(stat(at("f"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	(void)umask(0077);
	put_file(at("g"), "theirs\n", 0644);
	assert_int_equal(edit_file(at("g"), &e, NULL), 0);
	expect_content(at("g"), "ours\ntheirs\n");
	assert_int_equal(stat(at("g"), &after), 0);
	assert_int_equal(after.st_mode & 07777, 0644);
	assert_int_equal(count_entries(box.dir), 2);
	(void)umask(mask);
}

/* The mode of the old file is about its group, so the new one has that too, or not those bits. */
static void c8_edit_keeps_the_group_or_shuts_it_out(void **state)
{
	struct edit e = { 0 };
	struct stat st;

	(void)state;
	need_root();
	put_file(at("f"), "theirs\n", 0640);
	assert_int_equal(chown(at("f"), 0, FOREIGN_UID), 0);
	assert_int_equal(edit_file(at("f"), &e, NULL), 0);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_gid, FOREIGN_UID);
	assert_int_equal(st.st_mode & 07777, 0640);
	put_file(at("f"), "theirs\n", 0654);
	assert_int_equal(chown(at("f"), USER_UID, FOREIGN_UID), 0);
	become_user();
	assert_int_equal(edit_file(at("f"), &e, NULL), 0);
	become_root();
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_not_equal(st.st_gid, FOREIGN_UID);
	assert_int_equal(st.st_mode & 07777, 0604);
}

static int copy(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	(void)arg;
	(void)err;
	(void)is_missing;
	return smx_buf_put(out, old.p, old.len);
}

static void c2_the_same_text_is_no_change(void **state)
{
	struct stat before, after;
	int changed = 7;

	(void)state;
	put_file(at("f"), "text\n", 0600);
	assert_int_equal(stat(at("f"), &before), 0);
	assert_int_equal(smx_os_file_edit(at("f"), MAX, 0600, copy, NULL, &changed, NULL), 0);
	assert_int_equal(changed, 0);
	assert_int_equal(stat(at("f"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void s1_edit_refuses_what_is_no_file_of_ours(void **state)
{
	static const char *const names[] = { "link", "dangling", "fifo", "dir", "theirs", "loose" };
	struct edit e = { 0 };
	int changed = 7;

	(void)state;
	put_file(at("real"), "old", 0600);
	assert_int_equal(symlink("real", at("link")), 0);
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	make_dir(at("dir"), 0700);
	put_file(at("loose"), "x", 0620);
	put_file(at("theirs"), "x", 0600);
	if (geteuid() != 0)
		assert_int_equal(chmod(at("theirs"), 0602), 0);
	else
		assert_int_equal(chown(at("theirs"), FOREIGN_UID, FOREIGN_UID), 0);
	alarm(20);
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		assert_int_equal(edit_file(at(names[i]), &e, &changed), SMX_EUNSAFE);
		expect_one_line_about(at(names[i]));
	}
	alarm(0);
	assert_int_equal(e.calls, 0);
	assert_int_equal(changed, 7);
	assert_int_equal(edit_file(at("none/f"), &e, NULL), SMX_ENOTFOUND);
	assert_int_equal(access(at("nowhere"), F_OK), -1);
	expect_content(at("real"), "old");
	assert_int_equal(count_entries(box.dir), 7);
}

/* Root's files may be read, as those of a system; but the one in its place would be the user's. */
static void c8_a_file_of_root_stays_roots(void **state)
{
	struct edit e = { 0 };
	struct stat st;

	(void)state;
	need_root();
	put_file(at("f"), "roots\n", 0644);
	become_user();
	assert_int_equal(edit_file(at("f"), &e, NULL), SMX_EUNSAFE);
	become_root();
	expect_one_line_about(at("f"));
	assert_int_equal(e.calls, 0);
	expect_content(at("f"), "roots\n");
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_uid, 0);
}

static void c8_a_failed_edit_changes_nothing(void **state)
{
	struct edit e = { .result = SMX_EFORMAT };
	char text[MAX + 2];
	int changed = 7;

	(void)state;
	put_file(at("f"), "old\n", 0600);
	assert_int_equal(edit_file(at("f"), &e, &changed), SMX_EFORMAT);
	assert_int_equal(edit_file(at("new"), &e, &changed), SMX_EFORMAT);
	/* Too long before the edit, and after it. */
	memset(text, 'x', MAX + 1);
	text[MAX + 1] = '\0';
	put_file(at("long"), text, 0600);
	e.result = 0;
	assert_int_equal(edit_file(at("long"), &e, &changed), SMX_ELIMIT);
	expect_one_line_about(at("long"));
	expect_content(at("long"), text);
	put_file(at("long"), text + 2, 0600);
	assert_int_equal(edit_file(at("long"), &e, &changed), SMX_ELIMIT);
	expect_content(at("long"), text + 2);
	assert_int_equal(changed, 7);
	expect_content(at("f"), "old\n");
	assert_int_equal(count_entries(box.dir), 2);
}

/* ---- others, between our look and our rename ----------------------------------------------------
 */

static void append_theirs(void)
{
	int fd = open(at("f"), O_WRONLY | O_APPEND | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "theirs\n", 7), 7);
	close(fd);
}

static void rename_theirs(void)
{
	put_file(at("f.new"), "theirs\n", 0640);
	assert_int_equal(rename(at("f.new"), at("f")), 0);
}

/* The same length and the same inode: only the bytes tell. */
static void overwrite_theirs(void)
{
	put_file(at("f"), "new\n", 0600);
}

static void remove_it(void)
{
	(void)unlink(at("f"));
}

static void link_it(void)
{
	remove_it();
	put_file(at("victim"), "victim\n", 0600);
	assert_int_equal(symlink("victim", at("f")), 0);
}

static void c8_edit_starts_again_from_what_others_wrote(void **state)
{
	static const struct {
		const char *old, *result;
		void (*meddle)(void);
	} cases[] = {
		{ "old\n", "ours\nold\ntheirs\n", append_theirs },
		{ "old\n", "ours\ntheirs\n", rename_theirs },
		{ "old\n", "ours\nnew\n", overwrite_theirs },
		{ "old\n", "ours\n", remove_it },
		{ NULL, "ours\ntheirs\n", append_theirs },
		{ NULL, "ours\ntheirs\n", rename_theirs },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct edit e = { .meddle = cases[i].meddle };
		int changed = 0;

		(void)unlink(at("f"));
		if (cases[i].old)
			put_file(at("f"), cases[i].old, 0600);
		assert_int_equal(edit_file(at("f"), &e, &changed), 0);
		assert_int_equal(smx_buf_len(&box.err), 0);
		assert_int_equal(e.calls, 2);
		assert_int_equal(changed, 1);
		expect_content(at("f"), cases[i].result);
		assert_int_equal(count_entries(box.dir), 1);
	}
}

static void s1_edit_swapped_for_a_link_is_not_written_through(void **state)
{
	struct edit e = { .meddle = link_it };

	(void)state;
	put_file(at("f"), "old\n", 0600);
	assert_int_equal(edit_file(at("f"), &e, NULL), SMX_EUNSAFE);
	expect_one_line_about(at("f"));
	expect_content(at("victim"), "victim\n");
	assert_int_equal(count_entries(box.dir), 2);
}

static void c8_edit_gives_up_on_a_file_that_keeps_changing(void **state)
{
	struct edit e = { .meddle = append_theirs, .meddle_always = 1 };
	struct stat st;
	int changed = 7;

	(void)state;
	assert_int_equal(smx_os_file_edit(at("f"), 65536, 0600, put_ours, &e, &changed, &box.err),
		SMX_ETIMEOUT);
	expect_one_line_about(at("f"));
	assert_int_equal(changed, 7);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_size, 7 * e.calls);
	assert_int_equal(count_entries(box.dir), 1);
}

/* ---- others, who had it open before our rename and write after it -------------------------------
 */

#ifdef __linux__
#define HESITATION_US 300000 /* longer than the grace of systems without leases */
#else
#define HESITATION_US 0
#endif

enum late { REWRITE, REWRITE_AND_NEW, APPEND_AND_NEW, HALF_FOR_LONG };

static void write_late(enum late how, int fd)
{
	static const char text[] = "rewritten\nby them\n";

	if (how == APPEND_AND_NEW) {
		if (lseek(fd, 0, SEEK_END) < 0 || write(fd, "late\n", 5) != 5)
			_exit(2);
		return;
	}
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, 5, 0) != 5)
		_exit(2);
	if (how == HALF_FOR_LONG)
		(void)sleep(20); /* killed before */
	usleep(HESITATION_US);
	if (pwrite(fd, text + 5, sizeof(text) - 6, 5) != (ssize_t)sizeof(text) - 6)
		_exit(2);
}

/* A program with the file open, which writes once it has been replaced. */
static pid_t late_writer(enum late how)
{
	struct stat opened, now;
	int ready[2], fd;
	pid_t child;
	char c;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		alarm(30);
		fd = open(at("f"), O_RDWR);
		if (fd < 0 || fstat(fd, &opened) != 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		do {
			usleep(1000);
		} while (stat(at("f"), &now) == 0 && now.st_ino == opened.st_ino);
		if (how == REWRITE_AND_NEW || how == APPEND_AND_NEW)
			append_theirs();
		write_late(how, fd);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return child;
}

static int edit_with_late_writer(enum late how)
{
	struct edit e = { 0 };
	int status, r;
	pid_t child;

	put_file(at("f"), "old\n", 0600);
	child = late_writer(how);
	r = edit_file(at("f"), &e, NULL);
	if (how == HALF_FOR_LONG)
		(void)kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, how == HALF_FOR_LONG ? SIGKILL : 0);
	assert_int_equal(count_entries(box.dir), how == REWRITE_AND_NEW ? 2 : 1);
	return r;
}

static void c8_edit_is_made_anew_on_a_late_rewrite(void **state)
{
	(void)state;
	assert_int_equal(edit_with_late_writer(REWRITE), 0);
	expect_content(at("f"), "ours\nrewritten\nby them\n");
}

static void c8_late_lines_join_those_of_others(void **state)
{
	(void)state;
	assert_int_equal(edit_with_late_writer(APPEND_AND_NEW), 0);
	expect_content(at("f"), "ours\nold\ntheirs\nlate\n");
}

static void c8_two_texts_that_do_not_join_are_kept_and_said(void **state)
{
	const char *kept;

	(void)state;
	assert_int_equal(edit_with_late_writer(REWRITE_AND_NEW), SMX_ETIMEOUT);
	expect_one_line_about(at("f"));
	expect_content(at("f"), "ours\nold\ntheirs\n");
	/* And neither is lost. */
	kept = strstr(err_text(), at("f.other-"));
	assert_non_null(kept);
	(void)snprintf(box.path, sizeof(box.path), "%.*s", (int)strcspn(kept, ":"), kept);
	expect_content(box.path, "rewritten\nby them\n");
}

static void c8_half_of_a_late_rewrite_is_not_taken(void **state)
{
	(void)state;
	assert_int_equal(edit_with_late_writer(HALF_FOR_LONG), 0);
	expect_content(at("f"), "ours\nold\n");
}

static void wait_for_another(const char *path, ino_t not_this)
{
	struct stat st;

	do {
		usleep(1000);
	} while (stat(path, &st) == 0 && st.st_ino == not_this);
}

/*
 * One is late to the first file, another to ours that took its place: what the former appended
 * makes us replace our own, and there the latter is.
 */
static void two_late_writers(int is_rewrite)
{
	struct stat st;
	int first, second;

	alarm(30);
	first = open(at("f"), O_WRONLY | O_APPEND);
	if (first < 0 || fstat(first, &st) != 0 || creat(at("ready"), 0600) < 0)
		_exit(1);
	wait_for_another(at("f"), st.st_ino);
	second = open(at("f"), O_WRONLY | O_APPEND);
	if (second < 0 || fstat(second, &st) != 0 || write(first, "late\n", 5) != 5)
		_exit(2);
	close(first);
	wait_for_another(at("f"), st.st_ino);
	if (is_rewrite && ftruncate(second, 0) != 0)
		_exit(3);
	_exit(write(second, "later\n", 6) == 6 ? 0 : 4);
}

static int edit_with_two_late_writers(int is_rewrite)
{
	struct edit e = { 0 };
	int status, r;
	pid_t child;

	put_file(at("f"), "old\n", 0600);
	child = fork();
	if (child == 0)
		two_late_writers(is_rewrite);
	while (access(at("ready"), F_OK) != 0)
		usleep(1000);
	assert_int_equal(unlink(at("ready")), 0);
	r = edit_file(at("f"), &e, NULL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	return r;
}

static void c8_late_lines_to_our_own_file_are_kept_too(void **state)
{
	(void)state;
	assert_int_equal(edit_with_two_late_writers(0), 0);
	expect_content(at("f"), "ours\nold\nlate\nlater\n");
	assert_int_equal(count_entries(box.dir), 1);
	assert_int_equal(edit_with_two_late_writers(1), SMX_ETIMEOUT);
	expect_content(at("f"), "ours\nold\nlate\n");
	assert_int_equal(count_entries(box.dir), 2);
}

/* ---- many of us ---------------------------------------------------------------------------------
 */

static int add_one(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	char text[32] = "0";

	(void)arg;
	(void)err;
	if (!is_missing)
		(void)snprintf(text, sizeof(text), "%.*s", (int)old.len, (const char *)old.p);
	return smx_buf_printf(out, "%d", atoi(text) + 1);
}

static void c8_concurrent_edits_lose_none(void **state)
{
	int status;

	(void)state;
	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			for (int k = 0; k < 10; k++)
				if (smx_os_file_edit(
					    at("f"), MAX, 0600, add_one, NULL, NULL, NULL) != 0)
					_exit(1);
			_exit(0);
		}
	}
	for (int i = 0; i < 8; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	expect_content(at("f"), "80");
	assert_int_equal(count_entries(box.dir), 1);
}

static void c8_edit_without_memory_changes_nothing(void **state)
{
	long n, before = smx_mem_alive();
	struct edit e = { 0 };
	int r;

	(void)state;
	put_file(at("f"), "old\n", 0600);
	for (n = 0, r = -1; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_os_file_edit(at("f"), MAX, 0600, put_ours, &e, NULL, NULL);
		smx_mem_fail_after(-1);
		assert_int_equal(smx_mem_alive(), before);
		assert_int_equal(count_entries(box.dir), 1);
		if (r != 0)
			expect_content(at("f"), "old\n");
		assert_true(r == 0 || r == SMX_ENOMEM);
	}
	assert_true(n > 1);
	expect_content(at("f"), "ours\nold\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(c2_edit_makes_changes_and_leaves),
		TEST(c8_edit_keeps_the_group_or_shuts_it_out),
		TEST(c2_the_same_text_is_no_change),
		TEST(s1_edit_refuses_what_is_no_file_of_ours),
		TEST(c8_a_file_of_root_stays_roots),
		TEST(c8_a_failed_edit_changes_nothing),
		TEST(c8_edit_starts_again_from_what_others_wrote),
		TEST(s1_edit_swapped_for_a_link_is_not_written_through),
		TEST(c8_edit_gives_up_on_a_file_that_keeps_changing),
		TEST(c8_edit_is_made_anew_on_a_late_rewrite),
		TEST(c8_late_lines_join_those_of_others),
		TEST(c8_two_texts_that_do_not_join_are_kept_and_said),
		TEST(c8_half_of_a_late_rewrite_is_not_taken),
		TEST(c8_late_lines_to_our_own_file_are_kept_too),
		TEST(c8_concurrent_edits_lose_none),
		TEST(c8_edit_without_memory_changes_nothing),
	};

	return cmocka_run_group_tests_name("os_edit", tests, NULL, NULL);
}
