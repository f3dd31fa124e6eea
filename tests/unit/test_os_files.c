/* SPDX-License-Identifier: MIT */
/* Attacks on sensitive files that are read, and what comes of them (S1, S2). */
#include "os_box.h"

#include <time.h>

#include "os/file.h"

/* ---- reading ------------------------------------------------------------------------------------
 */

static void reads_what_is_ours(void **state)
{
	(void)state;
	put_file(at("f"), "text\n", 0644);
	expect_read(0, at("f"), SMX_OS_FILE_PLAIN, "text\n");
	put_file(at("empty"), "", 0600);
	expect_read(0, at("empty"), SMX_OS_FILE_HOST_KEY, "");
	(void)snprintf(box.path, sizeof(box.path), "/%s/./f", box.dir);
	expect_read(0, box.path, SMX_OS_FILE_PLAIN, "text\n");
}

static void missing_is_not_found(void **state)
{
	(void)state;
	expect_read(SMX_ENOTFOUND, at("f"), SMX_OS_FILE_PLAIN, NULL);
	assert_non_null(strstr(err_text(), at("f")));
	expect_read(SMX_ENOTFOUND, at("d/f"), SMX_OS_FILE_PLAIN, NULL);
	expect_read(SMX_ENOTFOUND, at("f"), SMX_OS_FILE_USER_KEY, NULL);
}

static void odd_paths_are_refused(void **state)
{
	static const char *const paths[] = { "", "f", "./f", "/", "//", "/tmp/../etc/passwd",
		"/tmp/.." };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(paths); i++) {
		smx_buf_reset(&box.err);
		assert_int_equal(
			smx_os_file_read(paths[i], 10, SMX_OS_FILE_PLAIN, &box.out, &box.err),
			SMX_EINVAL);
		assert_true(smx_buf_len(&box.err) > 0);
	}
}

static void s2_final_mode(void **state)
{
	static const struct {
		mode_t mode;
		int plain, host_key, user_key;
	} cases[] = {
		{ 0600, 0, 0, 0 },
		{ 0400, 0, 0, 0 },
		{ 0644, 0, SMX_EUNSAFE, SMX_EUNSAFE },
		{ 0640, 0, SMX_EUNSAFE, SMX_EUNSAFE },
		{ 0601, 0, SMX_EUNSAFE, SMX_EUNSAFE },
		{ 0620, SMX_EUNSAFE, SMX_EUNSAFE, SMX_EUNSAFE },
		{ 0602, SMX_EUNSAFE, SMX_EUNSAFE, SMX_EUNSAFE },
		{ 0666, SMX_EUNSAFE, SMX_EUNSAFE, SMX_EUNSAFE },
	};
	char remedy[320];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		put_file(at("f"), "x", 0600);
		assert_int_equal(chmod(at("f"), cases[i].mode), 0);
		expect_read(cases[i].plain, at("f"), SMX_OS_FILE_PLAIN, "x");
		if (cases[i].plain) {
			(void)snprintf(remedy, sizeof(remedy), "chmod go-w %s", at("f"));
			assert_non_null(strstr(err_text(), remedy));
		}
		expect_read(cases[i].host_key, at("f"), SMX_OS_FILE_HOST_KEY, "x");
		if (cases[i].host_key) {
			(void)snprintf(remedy, sizeof(remedy), "chmod 600 %s", at("f"));
			assert_non_null(strstr(err_text(), remedy));
		}
		expect_read(cases[i].user_key, at("f"), SMX_OS_FILE_USER_KEY, "x");
		assert_int_equal(unlink(at("f")), 0);
	}
}

static void s1_final_symlink(void **state)
{
	(void)state;
	put_file(at("real"), "x", 0600);
	assert_int_equal(symlink("real", at("link")), 0);
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	expect_read(SMX_EUNSAFE, at("link"), SMX_OS_FILE_PLAIN, NULL);
	assert_non_null(strstr(err_text(), at("link")));
	expect_read(SMX_EUNSAFE, at("link"), SMX_OS_FILE_HOST_KEY, NULL);
	expect_read(SMX_EUNSAFE, at("dangling"), SMX_OS_FILE_PLAIN, NULL);
	/* The user's own choice of a key is opened as ssh opens it. */
	expect_read(0, at("link"), SMX_OS_FILE_USER_KEY, "x");
}

static void not_regular_never_blocks(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	(void)state;
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	make_dir(at("dir"), 0700);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/sock", box.dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
	alarm(10);
	expect_read(SMX_EUNSAFE, at("fifo"), SMX_OS_FILE_PLAIN, NULL);
	expect_read(SMX_EUNSAFE, at("fifo"), SMX_OS_FILE_USER_KEY, NULL);
	expect_read(SMX_EUNSAFE, at("dir"), SMX_OS_FILE_PLAIN, NULL);
	expect_read(SMX_EUNSAFE, at("sock"), SMX_OS_FILE_PLAIN, NULL);
	expect_read(SMX_EUNSAFE, "/dev/null", SMX_OS_FILE_PLAIN, NULL);
	alarm(0);
	expect_read(SMX_EUNSAFE, at("fifo/f"), SMX_OS_FILE_PLAIN, NULL); /* no directory */
}

/* C2: what ssh could be told to read without waiting for ever. */
static void regular_or_not(void **state)
{
	(void)state;
	put_file(at("f"), "x", 0000);
	assert_int_equal(symlink("f", at("link")), 0);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_int_equal(symlink("fifo", at("to-fifo")), 0);
	assert_int_equal(symlink("nothing", at("dangling")), 0);
	assert_int_equal(smx_os_file_is_regular(at("f")), 1);
	assert_int_equal(smx_os_file_is_regular(at("link")), 1);
	assert_int_equal(smx_os_file_is_regular(at("fifo")), 0);
	assert_int_equal(smx_os_file_is_regular(at("to-fifo")), 0);
	assert_int_equal(smx_os_file_is_regular(box.dir), 0);
	assert_int_equal(smx_os_file_is_regular("/dev/null"), 0);
	assert_int_equal(smx_os_file_is_regular(at("nothing")), SMX_ENOTFOUND);
	assert_int_equal(smx_os_file_is_regular(at("dangling")), SMX_ENOTFOUND);
}

static void size_is_capped(void **state)
{
	char text[101];

	(void)state;
	memset(text, 'a', 100);
	text[100] = '\0';
	put_file(at("f"), text, 0600);
	assert_int_equal(
		smx_os_file_read(at("f"), 99, SMX_OS_FILE_PLAIN, &box.out, &box.err), SMX_ELIMIT);
	assert_int_equal(smx_buf_len(&box.out), 0);
	assert_int_equal(smx_os_file_read(at("f"), 100, SMX_OS_FILE_PLAIN, &box.out, NULL), 0);
	assert_int_equal(smx_buf_len(&box.out), 100);
	/* A sparse terabyte is refused before a byte of it is read. */
	assert_int_equal(truncate(at("f"), (off_t)1 << 40), 0);
	smx_buf_reset(&box.out);
	assert_int_equal(
		smx_os_file_read(at("f"), 4096, SMX_OS_FILE_PLAIN, &box.out, NULL), SMX_ELIMIT);
	/* A file whose size the system does not tell is capped all the same. */
	smx_buf_reset(&box.out);
	assert_int_equal(smx_os_file_read("/proc/self/maps", 64, SMX_OS_FILE_PLAIN, &box.out, NULL),
		access("/proc/self/maps", R_OK) == 0 ? SMX_ELIMIT : SMX_ENOTFOUND);
	assert_int_equal(smx_buf_len(&box.out), 0);
}

static void appends_to_the_buffer_or_leaves_it(void **state)
{
	struct smx_buf small;

	(void)state;
	put_file(at("f"), "0123456789", 0600);
	smx_buf_init(&small, 12);
	assert_int_equal(smx_buf_put_str(&small, "ab"), 0);
	assert_int_equal(smx_os_file_read(at("f"), 4096, SMX_OS_FILE_PLAIN, &small, NULL), 0);
	assert_int_equal(smx_buf_len(&small), 12);
	smx_buf_truncate(&small, 3);
	assert_int_equal(
		smx_os_file_read(at("f"), 4096, SMX_OS_FILE_PLAIN, &small, NULL), SMX_ELIMIT);
	assert_int_equal(smx_buf_len(&small), 3);
	assert_memory_equal(smx_buf_view(&small), "ab0", 3);
	smx_buf_release(&small);
}

static void hard_link_reads_but_is_not_written_through(void **state)
{
	(void)state;
	put_file(at("victim"), "old", 0600);
	assert_int_equal(link(at("victim"), at("f")), 0);
	expect_read(0, at("f"), SMX_OS_FILE_PLAIN, "old"); /* owner and mode are what count */
	assert_int_equal(write_text(at("f"), "new", 0600), 0);
	expect_content(at("victim"), "old");
	expect_content(at("f"), "new");
}

/* ---- ancestors ----------------------------------------------------------------------------------
 */

static void s2_ancestor_writable_by_others(void **state)
{
	static const mode_t modes[] = { 0770, 0720, 0702, 0777 };
	char remedy[320];

	(void)state;
	make_dir(at("a"), 0700);
	make_dir(at("a/b"), 0700);
	make_dir(at("a/b/c"), 0755);
	put_file(at("a/b/c/f"), "x", 0600);
	expect_read(0, at("a/b/c/f"), SMX_OS_FILE_PLAIN, "x");
	for (size_t i = 0; i < SMX_ARRAY_LEN(modes); i++) {
		static const char *const dirs[] = { "a", "a/b", "a/b/c" };

		for (size_t k = 0; k < SMX_ARRAY_LEN(dirs); k++) {
			assert_int_equal(chmod(at(dirs[k]), modes[i]), 0);
			expect_read(SMX_EUNSAFE, at("a/b/c/f"), SMX_OS_FILE_PLAIN, NULL);
			(void)snprintf(remedy, sizeof(remedy), "chmod go-w %s", at(dirs[k]));
			assert_non_null(strstr(err_text(), remedy));
			assert_int_equal(write_text(at("a/b/c/f"), "y", 0600), SMX_EUNSAFE);
			assert_int_equal(write_text(at("a/b/c/g"), "y", 0600), SMX_EUNSAFE);
			assert_int_equal(
				smx_os_file_append_line(at("a/b/c/f"), "l", NULL), SMX_EUNSAFE);
			assert_int_equal(smx_os_dir_check(at("a/b/c"), NULL), SMX_EUNSAFE);
			assert_int_equal(chmod(at(dirs[k]), 0700), 0);
		}
	}
	assert_int_equal(count_entries(at("a/b/c")), 1);
}

/* The one exception: root's sticky directories. A user's own is none. */
static void s1_sticky_directory(void **state)
{
	int as_root = geteuid() == 0;

	(void)state;
	make_dir(at("s"), 01777);
	make_dir(at("s/d"), 0700);
	put_file(at("s/d/f"), "x", 0600);
	expect_read(as_root ? 0 : SMX_EUNSAFE, at("s/d/f"), SMX_OS_FILE_PLAIN, "x");
	need_root();
	assert_int_equal(chown(at("s"), USER_UID, USER_UID), 0);
	assert_int_equal(chown(at("s/d"), USER_UID, USER_UID), 0);
	assert_int_equal(chown(at("s/d/f"), USER_UID, USER_UID), 0);
	become_user();
	expect_read(SMX_EUNSAFE, at("s/d/f"), SMX_OS_FILE_PLAIN, NULL);
	become_root();
	assert_int_equal(chown(at("s"), 0, 0), 0);
	become_user();
	expect_read(0, at("s/d/f"), SMX_OS_FILE_PLAIN, "x");
	become_root();
}

/* As an ordinary user, whose own links could be pointed elsewhere by whoever has the account's
 * write access to one directory: at each level of the path. */
static void s1_symlink_at_each_ancestor(void **state)
{
	static const char *const levels[] = { "a", "a/b", "a/b/c" };

	(void)state;
	if (geteuid() == 0)
		become_user();
	make_dir(at("a"), 0700);
	make_dir(at("a/b"), 0700);
	make_dir(at("a/b/c"), 0700);
	put_file(at("a/b/c/f"), "x", 0600);
	for (size_t i = 0; i < SMX_ARRAY_LEN(levels); i++) {
		char real[300], link[256];

		(void)snprintf(link, sizeof(link), "%s", at(levels[i]));
		(void)snprintf(real, sizeof(real), "%s.real", link);
		assert_int_equal(rename(link, real), 0);
		assert_int_equal(symlink(real, link), 0);
		expect_read(SMX_EUNSAFE, at("a/b/c/f"), SMX_OS_FILE_PLAIN, NULL);
		assert_non_null(strstr(err_text(), link));
		assert_int_equal(write_text(at("a/b/c/f"), "y", 0600), SMX_EUNSAFE);
		assert_int_equal(smx_os_file_append_line(at("a/b/c/f"), "l", NULL), SMX_EUNSAFE);
		assert_int_equal(smx_os_dir_check(at("a/b/c"), NULL), SMX_EUNSAFE);
		assert_int_equal(smx_os_file_remove(at("a/b/c/f"), NULL), SMX_EUNSAFE);
		assert_int_equal(unlink(link), 0);
		assert_int_equal(rename(real, link), 0);
	}
	expect_read(0, at("a/b/c/f"), SMX_OS_FILE_PLAIN, "x");
	if (getuid() == 0)
		become_root();
}

/* What macOS does with /tmp and /var; as a user and as root. */
static void s1_symlink_of_roots(void **state)
{
	(void)state;
	need_root();
	make_dir(at("sys"), 0755);
	make_dir(at("sys/real"), 0755);
	make_dir(at("sys/real/d"), 0700);
	put_file(at("sys/real/d/f"), "x", 0600);
	assert_int_equal(symlink("real/../real/./", at("sys/relative")), 0);
	assert_int_equal(symlink(at("sys/real"), at("sys/absolute")), 0);
	assert_int_equal(symlink("relative/d", at("sys/twice")), 0);
	assert_int_equal(symlink("loop", at("sys/loop")), 0);
	expect_read(0, at("sys/relative/d/f"), SMX_OS_FILE_PLAIN, "x");
	expect_read(0, at("sys/absolute/d/f"), SMX_OS_FILE_PLAIN, "x");
	expect_read(0, at("sys/twice/f"), SMX_OS_FILE_PLAIN, "x");
	expect_read(SMX_EUNSAFE, at("sys/loop/f"), SMX_OS_FILE_PLAIN, NULL);
	/* The last component is never one, whoever owns it. */
	assert_int_equal(smx_os_dir_check(at("sys/absolute"), NULL), SMX_EUNSAFE);
	assert_int_equal(smx_os_dir_check(at("sys/real"), NULL), 0);
	/* Somebody else's link among root's is none of root's. */
	assert_int_equal(lchown(at("sys/absolute"), FOREIGN_UID, FOREIGN_UID), 0);
	expect_read(SMX_EUNSAFE, at("sys/absolute/d/f"), SMX_OS_FILE_PLAIN, NULL);
	/* Root's link where others can write (sticky or not) could be made by a trick of theirs. */
	assert_int_equal(chmod(at("sys"), 01777), 0);
	expect_read(SMX_EUNSAFE, at("sys/relative/d/f"), SMX_OS_FILE_PLAIN, NULL);
	assert_int_equal(chmod(at("sys"), 0755), 0);
	/* As a user: root's link in root's directory passes, in the user's own it does not. */
	assert_int_equal(chmod(box.dir, 0755), 0);
	assert_int_equal(chmod(at("sys/real/d/f"), 0644), 0);
	assert_int_equal(chmod(at("sys/real/d"), 0755), 0);
	assert_int_equal(seteuid(USER_UID), 0);
	expect_read(0, at("sys/relative/d/f"), SMX_OS_FILE_PLAIN, "x");
	become_root();
	assert_int_equal(chown(at("sys"), USER_UID, USER_UID), 0);
	assert_int_equal(seteuid(USER_UID), 0);
	expect_read(SMX_EUNSAFE, at("sys/relative/d/f"), SMX_OS_FILE_PLAIN, NULL);
	become_root();
}

static void s2_foreign_owner(void **state)
{
	(void)state;
	need_root();
	make_dir(at("d"), 0700);
	put_file(at("d/f"), "x", 0600);
	assert_int_equal(chown(at("d/f"), FOREIGN_UID, FOREIGN_UID), 0);
	expect_read(SMX_EUNSAFE, at("d/f"), SMX_OS_FILE_PLAIN, NULL);
	assert_non_null(strstr(err_text(), "12345"));
	expect_read(SMX_EUNSAFE, at("d/f"), SMX_OS_FILE_USER_KEY, NULL);
	assert_int_equal(write_text(at("d/f"), "y", 0600), SMX_EUNSAFE);
	assert_int_equal(smx_os_file_append_line(at("d/f"), "l", NULL), SMX_EUNSAFE);
	expect_content(at("d/f"), "x");
	assert_int_equal(chown(at("d/f"), 0, 0), 0);
	assert_int_equal(chown(at("d"), FOREIGN_UID, FOREIGN_UID), 0);
	expect_read(SMX_EUNSAFE, at("d/f"), SMX_OS_FILE_PLAIN, NULL);
	assert_int_equal(write_text(at("d/f"), "y", 0600), SMX_EUNSAFE);
	assert_int_equal(chown(at("d"), 0, 0), 0);
	/* Root's files are fine for a user to read, but not his to replace. */
	assert_int_equal(chmod(at("d"), 0755), 0);
	assert_int_equal(chmod(at("d/f"), 0644), 0);
	become_user();
	expect_read(0, at("d/f"), SMX_OS_FILE_PLAIN, "x");
	become_root();
	assert_int_equal(chown(at("d"), USER_UID, USER_UID), 0);
	become_user();
	assert_int_equal(write_text(at("d/f"), "y", 0600), SMX_EUNSAFE);
	assert_int_equal(smx_os_file_append_line(at("d/f"), "l", NULL), SMX_EUNSAFE);
	become_root();
	expect_content(at("d/f"), "x");
	assert_int_equal(count_entries(at("d")), 1);
}

/* Directories that may be passed through but not listed (/home is often 0711). */
static void ancestors_need_not_be_readable(void **state)
{
	(void)state;
	need_root();
	make_dir(at("home"), 0711);
	make_dir(at("home/u"), 0700);
	assert_int_equal(chown(at("home/u"), USER_UID, USER_UID), 0);
	assert_int_equal(chmod(box.dir, 0711), 0);
	assert_int_equal(seteuid(USER_UID), 0);
	assert_int_equal(write_text(at("home/u/f"), "x", 0600), 0);
	expect_read(0, at("home/u/f"), SMX_OS_FILE_PLAIN, "x");
	assert_int_equal(smx_os_file_append_line(at("home/u/f"), "y", NULL), 0);
	become_root();
	expect_content(at("home/u/f"), "x\ny\n");
}

/* A process swaps the directory for a link to another's while we read: never the other's text. */
static void s1_swapped_while_we_look(void **state)
{
	time_t end = time(NULL) + 30;
	int read_ours = 0;
	pid_t child;

	(void)state;
	need_root();
	make_dir(at("d"), 0700);
	put_file(at("d/f"), "ours", 0600);
	make_dir(at("evil"), 0700);
	put_file(at("evil/f"), "evil", 0600);
	assert_int_equal(chown(at("d"), USER_UID, USER_UID), 0);
	assert_int_equal(chown(at("d/f"), USER_UID, USER_UID), 0);
	assert_int_equal(chown(at("evil"), USER_UID, USER_UID), 0);
	assert_int_equal(chown(at("evil/f"), USER_UID, USER_UID), 0);
	become_user();
	child = fork();
	if (child == 0) {
		for (;;) {
			(void)rename(at("d"), at("aside"));
			if (symlink("evil", at("d")) == 0)
				(void)unlink(at("d"));
			(void)rename(at("aside"), at("d"));
		}
	}
	/* On a busy machine the other one may rest for long where nothing is there. */
	for (int i = 0; i < 5000 || (!read_ours && time(NULL) < end); i++) {
		int r;

		smx_buf_reset(&box.out);
		r = smx_os_file_read(at("d/f"), 100, SMX_OS_FILE_PLAIN, &box.out, NULL);
		assert_true(r == 0 || r == SMX_EUNSAFE || r == SMX_ENOTFOUND || r == SMX_ESYS);
		if (r == 0) {
			assert_memory_equal(smx_buf_view(&box.out), "ours", 4);
			read_ours++;
		}
	}
	become_root();
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(read_ours > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_what_is_ours),
		TEST(missing_is_not_found),
		TEST(odd_paths_are_refused),
		TEST(s2_final_mode),
		TEST(s1_final_symlink),
		TEST(not_regular_never_blocks),
		TEST(regular_or_not),
		TEST(size_is_capped),
		TEST(appends_to_the_buffer_or_leaves_it),
		TEST(hard_link_reads_but_is_not_written_through),
		TEST(s2_ancestor_writable_by_others),
		TEST(s1_sticky_directory),
		TEST(s1_symlink_at_each_ancestor),
		TEST(s1_symlink_of_roots),
		TEST(s2_foreign_owner),
		TEST(ancestors_need_not_be_readable),
		TEST(s1_swapped_while_we_look),
	};

	return cmocka_run_group_tests_name("os_files", tests, NULL, NULL);
}
