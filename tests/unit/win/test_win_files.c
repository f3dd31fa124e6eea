/* SPDX-License-Identifier: MIT */
/* Files on Windows: read, written whole, edited, listed, and names that are none (S1, S3, C8). */
#include "win_box.h"
#include "os/file.h"

#include <wchar.h>

#define MANY 4
#define EACH 8

static struct smx_buf text;

static int setup(void **state)
{
	smx_buf_init(&text, 1u << 20);
	return box_setup(state);
}

static int teardown(void **state)
{
	smx_buf_release(&text);
	return box_teardown(state);
}

static int read_plain(const char *path)
{
	smx_buf_reset(&text);
	return smx_os_file_read(path, 65536, SMX_OS_FILE_PLAIN, &text, &box_err);
}

static void expect_content(const char *path, const char *want)
{
	if (read_plain(path) != 0)
		fail_msg("%s: %s", path, said());
	assert_int_equal(smx_buf_len(&text), strlen(want));
	assert_memory_equal(smx_buf_view(&text), want, strlen(want));
}

static int write_text(const char *path, const char *data)
{
	return smx_os_file_write_atomic(path, data, strlen(data), 0600, &box_err);
}

/* C8: what was written is what is read, over an old file too, and nothing is left beside it. */
static void C8_written_whole(void **state)
{
	char big[70000];

	(void)state;
	assert_int_equal(write_text(in_box("a"), "one\r\n"), 0);
	expect_content(in_box("a"), "one\r\n");
	assert_int_equal(write_text(in_box("a"), ""), 0);
	expect_content(in_box("a"), "");
	memset(big, 'x', sizeof(big));
	assert_int_equal(
		smx_os_file_write_atomic(in_box("a"), big, sizeof(big), 0600, &box_err), 0);
	smx_buf_reset(&text);
	assert_int_equal(
		smx_os_file_read(in_box("a"), sizeof(big), SMX_OS_FILE_HOST_KEY, &text, &box_err),
		0);
	assert_int_equal(smx_buf_len(&text), sizeof(big));
	assert_int_equal(count_files(), 1);
	assert_string_equal(said(), "");
}

/* C8: a reader that has the old file open keeps it; the name is the new one's at once. */
static void C8_replaced_under_a_reader(void **state)
{
	char got[16] = "";
	wchar_t *wide;
	HANDLE h;
	DWORD n;

	(void)state;
	assert_int_equal(write_text(in_box("a"), "old"), 0);
	assert_int_equal(smx_win_wide_path(in_box("a"), &wide), 0);
	h = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
		NULL, OPEN_EXISTING, 0, NULL);
	smx_free(wide);
	assert_true(h != INVALID_HANDLE_VALUE);
	if (is_wine()) {
		/* It has no such rename: told, and nothing lost. */
		assert_true(write_text(in_box("a"), "new") < 0);
		expect_said(in_box("a"));
		expect_content(in_box("a"), "old");
		assert_int_equal(count_files(), 1);
	} else {
		assert_int_equal(write_text(in_box("a"), "new"), 0);
		expect_content(in_box("a"), "new");
	}
	assert_true(ReadFile(h, got, sizeof(got) - 1, &n, NULL));
	assert_string_equal(got, "old");
	(void)CloseHandle(h);
}

static void C8_create_never_replaces(void **state)
{
	(void)state;
	assert_int_equal(smx_os_file_create(in_box("k"), "1", 1, 0600, &box_err), 0);
	assert_int_equal(smx_os_file_create(in_box("k"), "2", 1, 0600, &box_err), SMX_EEXISTS);
	expect_content(in_box("k"), "1");
	assert_int_equal(count_files(), 1);
}

static void S1_what_is_missing_or_no_file(void **state)
{
	(void)state;
	assert_int_equal(read_plain(in_box("no")), SMX_ENOTFOUND);
	expect_said("no");
	assert_int_equal(read_plain(in_box("no\\such")), SMX_ENOTFOUND);
	expect_said("no\\such");
	assert_int_equal(write_text(in_box("no\\such"), "x"), SMX_ENOTFOUND);
	expect_said("no\\such");
	assert_int_equal(smx_os_file_remove(in_box("no"), &box_err), SMX_ENOTFOUND);
	expect_said("no");
	assert_int_equal(read_plain("relative"), SMX_EINVAL);
	expect_said("relative");
	assert_int_equal(smx_os_dir_ensure(in_box("dir"), &box_err), 0);
	assert_int_equal(read_plain(in_box("dir")), SMX_EUNSAFE);
	expect_said("is a directory");
	assert_int_equal(write_text(in_box("dir"), "x"), SMX_EUNSAFE);
	expect_said("is a directory");
	assert_int_equal(write_text(in_box("file"), "x"), 0);
	assert_int_equal(read_plain(in_box("file\\below")), SMX_EUNSAFE);
	expect_said("is not a directory");
	assert_int_equal(smx_os_dir_ensure(in_box("file"), &box_err), SMX_EUNSAFE);
	expect_said("is not a directory");
	assert_int_equal(count_files(), 2);
}

static void S1_too_big_is_said_and_nothing_taken(void **state)
{
	(void)state;
	put_raw(in_box("a"), "12345", 5);
	smx_buf_reset(&text);
	assert_int_equal(smx_buf_put(&text, "+", 1), 0);
	assert_int_equal(
		smx_os_file_read(in_box("a"), 4, SMX_OS_FILE_PLAIN, &text, &box_err), SMX_ELIMIT);
	expect_said("larger than 4 bytes");
	assert_int_equal(smx_buf_len(&text), 1);
	assert_int_equal(smx_os_file_read(in_box("a"), 5, SMX_OS_FILE_PLAIN, &text, &box_err), 0);
	assert_int_equal(smx_buf_len(&text), 6);
}

static int touch(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	(void)old;
	(void)is_missing;
	(void)err;
	++*(int *)arg;
	return smx_buf_put_str(out, "edited");
}

/* S1: streams, devices, ways up, and names that the short form of a path changes. */
static void S1_names_that_no_file_has(void **state)
{
	static const char *const names[] = { "con:stream", "a:b", "a::$DATA", "..\\x", "d\\..\\x",
		"x.", "x ", "d.\\x", "CON", "con", "nul.txt", "NUL .x", "aux.tar.gz", "Com1",
		"lpt9.log", "COM\xc2\xb9", "conin$", "d\\prn", "nul\\x", "a?b", "a*", "a<b", "a>b",
		"a|b", "a\"b", "a\x01", "a\tb" };
	int calls = 0;

	(void)state;
	assert_int_equal(smx_os_dir_ensure(in_box("d"), NULL), 0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		const char *path = in_box(names[i]);

		assert_int_equal(read_plain(path), SMX_EINVAL);
		expect_said(path);
		assert_int_equal(write_text(path, "x"), SMX_EINVAL);
		expect_said(path);
		assert_int_equal(smx_os_file_edit(path, 99, 0600, touch, &calls, NULL, &box_err),
			SMX_EINVAL);
		expect_said(path);
		assert_int_equal(smx_os_file_append_line(path, "x", &box_err), SMX_EINVAL);
		expect_said(path);
		assert_int_equal(smx_os_file_remove(path, &box_err), SMX_EINVAL);
		expect_said(path);
		assert_int_equal(smx_os_dir_ensure(path, &box_err), SMX_EINVAL);
		expect_said(path);
	}
	assert_int_equal(calls, 0);
	assert_int_equal(count_files(), 1);
}

static void S1_names_that_only_look_like_those(void **state)
{
	static const char *const names[] = { "console", "null", "com", "com10", "com1x", "lpt",
		"auxiliary.txt", ".config", "a.b", "a b", "..a", "x;y", "100%", "&", "'" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		assert_int_equal(write_text(in_box(names[i]), names[i]), 0);
		expect_content(in_box(names[i]), names[i]);
	}
	assert_int_equal(count_files(), SMX_ARRAY_LEN(names));
}

static void S1_paths_of_devices_are_none(void **state)
{
	static const char *const paths[] = { "\\\\.\\pipe\\ssh-mux-test", "\\\\.\\NUL",
		"\\\\?\\C:\\x", "//./C:/x", "//?/C:/x", "C:x", "\\x", "x", "", "C:" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(paths); i++) {
		assert_int_equal(read_plain(paths[i]), SMX_EINVAL);
		expect_said("not an absolute path");
		assert_int_equal(write_text(paths[i], "x"), SMX_EINVAL);
		expect_said("not an absolute path");
	}
	assert_int_equal(write_text("C:\\", "x"), SMX_EINVAL);
	expect_said("is a directory");
}

/* Slashes as people write them in a routes file; the lock lies in the file's own directory. */
static void either_slash_and_any_number(void **state)
{
	char path[1024], dir[1024];
	int calls = 0;

	(void)state;
	assert_int_equal(smx_os_dir_ensure(in_box("d"), NULL), 0);
	(void)snprintf(path, sizeof(path), "%s", in_box("d//.\\/f"));
	for (char *p = path; *p; p++)
		*p = *p == '\\' ? '/' : *p;
	assert_int_equal(write_text(path, "1"), 0);
	expect_content(in_box("d\\f"), "1");
	assert_int_equal(smx_os_file_edit(path, 99, 0600, touch, &calls, NULL, &box_err), 0);
	assert_int_equal(smx_os_file_append_line(path, "x", &box_err), 0);
	expect_content(path, "edited\nx\n");
	(void)snprintf(dir, sizeof(dir), "%s/", in_box("d"));
	assert_int_equal(smx_os_dir_check(dir, &box_err), 0);
	assert_int_equal(smx_os_dir_ensure(dir, &box_err), 0);
	assert_int_equal(smx_os_file_remove(path, &box_err), 0);
	assert_int_equal(count_files(), 1);
}

static void paths_longer_than_260(void **state)
{
	char path[1024], name[80];
	size_t count;
	char **names;

	(void)state;
	memset(name, 'n', 60);
	name[60] = '\0';
	(void)snprintf(path, sizeof(path), "%s", box);
	for (int i = 0; i < 6; i++) {
		(void)snprintf(path + strlen(path), 80, "\\%s", name);
		assert_int_equal(smx_os_dir_ensure(path, &box_err), 0);
	}
	assert_true(strlen(path) > 350);
	(void)strcat(path, "\\id_x.pub");
	assert_int_equal(write_text(path, "deep"), 0);
	expect_content(path, "deep");
	assert_int_equal(smx_os_file_append_line(path, "er", &box_err), 0);
	expect_content(path, "deep\ner\n");
	*strrchr(path, '\\') = '\0';
	assert_int_equal(smx_os_list_public_keys(path, &names, &count, &box_err), 0);
	assert_int_equal(count, 1);
	smx_os_names_free(names, count);
	memset(path, 'x', sizeof(path));
}

static void names_of_all_alphabets(void **state)
{
	static const char *const names[] = { "gr\xc3\xb6\xc3\x9f"
					     "e",
		"\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x94\x91 key",
		"\xd0\x9a\xd0\xbb\xd1\x8e\xd1\x87" };
	char name[64];
	char **found;
	size_t count;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		assert_int_equal(smx_os_dir_ensure(in_box(names[i]), &box_err), 0);
		(void)snprintf(name, sizeof(name), "%s\\id_%s.pub", names[i], names[i]);
		assert_int_equal(write_text(in_box(name), "key"), 0);
		expect_content(in_box(name), "key");
		assert_int_equal(
			smx_os_list_public_keys(in_box(names[i]), &found, &count, &box_err), 0);
		assert_int_equal(count, 1);
		(void)snprintf(name, sizeof(name), "id_%s.pub", names[i]);
		assert_string_equal(found[0], name);
		smx_os_names_free(found, count);
	}
	/* Not UTF-8: no name that we could ever give back. */
	assert_int_equal(write_text(in_box("a\xff"), "x"), SMX_EINVAL);
	expect_said("a");
}

/* S3: permissions of real files, as far as the file system has them. */
static void S3_who_else_may(void **state)
{
	static const struct {
		enum smx_os_file_kind kind;
		int if_readable, if_writable;
	} cases[] = { { SMX_OS_FILE_PLAIN, 0, SMX_EUNSAFE },
		{ SMX_OS_FILE_HOST_KEY, SMX_EUNSAFE, SMX_EUNSAFE },
		{ SMX_OS_FILE_USER_KEY, SMX_EUNSAFE, SMX_EUNSAFE },
		{ SMX_OS_FILE_USER_CONFIG, 0, SMX_EUNSAFE } };
	int calls = 0;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(write_text(in_box("f"), "x"), 0);
		assert_int_equal(
			smx_os_file_read(in_box("f"), 9, cases[i].kind, &text, &box_err), 0);
		set_dacl(in_box("f"), ALL_MAY_READ);
		assert_int_equal(smx_os_file_read(in_box("f"), 9, cases[i].kind, &text, NULL),
			cases[i].if_readable);
		set_dacl(in_box("f"), ALL_MAY_ALL);
		assert_int_equal(smx_os_file_read(in_box("f"), 9, cases[i].kind, &text, &box_err),
			cases[i].if_writable);
		expect_said(in_box("f"));
		assert_int_equal(smx_os_file_remove(in_box("f"), NULL), 0);
	}
	/* What others may change is not taken for ours when writing either. */
	put_raw(in_box("g"), "x", 1);
	set_dacl(in_box("g"), ALL_MAY_ALL);
	assert_int_equal(write_text(in_box("g"), "y"), SMX_EUNSAFE);
	expect_said(in_box("g"));
	assert_int_equal(smx_os_file_edit(in_box("g"), 99, 0600, touch, &calls, NULL, &box_err),
		SMX_EUNSAFE);
	expect_said(in_box("g"));
	assert_int_equal(calls, 0);
	expect_raw(in_box("g"), "x");
	assert_int_equal(smx_os_dir_ensure(in_box("open"), NULL), 0);
	set_dacl(in_box("open"), ALL_MAY_ALL);
	assert_int_equal(smx_os_dir_check(in_box("open"), &box_err), SMX_EUNSAFE);
	expect_said(in_box("open"));
	assert_int_equal(write_text(in_box("open\\f"), "y"), SMX_EUNSAFE);
	expect_said(in_box("open"));
}

static int refuse(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	(void)arg;
	(void)old;
	(void)is_missing;
	(void)smx_buf_put_str(out, "never");
	(void)smx_buf_put_str(err, "not so");
	return SMX_EPROTOCOL;
}

static int leave(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	(void)old;
	(void)err;
	*(int *)arg = is_missing;
	(void)smx_buf_put_str(out, "never");
	return 1;
}

static void C8_edits(void **state)
{
	int changed = -1, missing = -1, calls = 0;

	(void)state;
	assert_int_equal(
		smx_os_file_edit(in_box("c"), 99, 0600, leave, &missing, &changed, &box_err), 0);
	assert_true(missing == 1 && changed == 0);
	assert_int_equal(count_files(), 0);
	assert_int_equal(
		smx_os_file_edit(in_box("c"), 99, 0600, touch, &calls, &changed, &box_err), 0);
	assert_int_equal(changed, 1);
	expect_content(in_box("c"), "edited");
	assert_int_equal(
		smx_os_file_edit(in_box("c"), 99, 0600, touch, &calls, &changed, &box_err), 0);
	assert_int_equal(changed, 0);
	assert_int_equal(smx_os_file_edit(in_box("c"), 99, 0600, refuse, NULL, NULL, &box_err),
		SMX_EPROTOCOL);
	expect_said("not so");
	assert_true(smx_os_file_edit(in_box("c"), 5, 0600, touch, &calls, NULL, &box_err) ==
		    SMX_ELIMIT);
	smx_buf_reset(&box_err);
	expect_content(in_box("c"), "edited");
	assert_int_equal(count_files(), 1);
}

static DWORD WINAPI hold_and_write(void *arg)
{
	HANDLE h = arg;
	DWORD n;

	Sleep(300);
	(void)WriteFile(h, "theirs\n", 7, &n, NULL);
	(void)CloseHandle(h);
	return 0;
}

/* C8: another program writes it at the moment: its words stay. */
static void C8_a_writer_is_waited_for(void **state)
{
	HANDLE h, thread;
	wchar_t *wide;

	(void)state;
	assert_int_equal(write_text(in_box("known_hosts"), ""), 0);
	assert_int_equal(smx_win_wide_path(in_box("known_hosts"), &wide), 0);
	h = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
		NULL, OPEN_EXISTING, 0, NULL);
	smx_free(wide);
	assert_true(h != INVALID_HANDLE_VALUE);
	thread = CreateThread(NULL, 0, hold_and_write, h, 0, NULL);
	assert_non_null(thread);
	assert_int_equal(smx_os_file_append_line(in_box("known_hosts"), "ours", &box_err), 0);
	(void)WaitForSingleObject(thread, INFINITE);
	(void)CloseHandle(thread);
	expect_content(in_box("known_hosts"), "theirs\nours\n");
}

static DWORD WINAPI append_many(void *arg)
{
	char line[32];
	int r = 0;

	for (int i = 0; r == 0 && i < EACH; i++) {
		(void)snprintf(line, sizeof(line), "line %d of %d", i, (int)(intptr_t)arg);
		r = smx_os_file_append_line(in_box("many"), line, NULL);
	}
	return (DWORD)-r;
}

/* K4, C8: writers of our own at once lose nothing. */
static void K4_C8_many_append(void **state)
{
	HANDLE threads[MANY];
	char line[32];
	DWORD code;

	(void)state;
	for (int i = 0; i < MANY; i++)
		threads[i] = CreateThread(NULL, 0, append_many, (void *)(intptr_t)i, 0, NULL);
	for (int i = 0; i < MANY; i++) {
		(void)WaitForSingleObject(threads[i], INFINITE);
		assert_true(GetExitCodeThread(threads[i], &code) && code == 0);
		(void)CloseHandle(threads[i]);
	}
	assert_int_equal(read_plain(in_box("many")), 0);
	for (int i = 0; i < MANY * EACH; i++) {
		(void)snprintf(line, sizeof(line), "line %d of %d\n", i / MANY, i % MANY);
		assert_non_null(strstr(smx_buf_cstr(&text), line));
	}
	assert_int_equal(count_files(), 1);
	assert_int_equal(smx_os_file_append_line(in_box("many"), "a\nb", &box_err), SMX_EINVAL);
	expect_said("line break");
	put_raw(in_box("cut"), "no end", 6);
	assert_int_equal(smx_os_file_append_line(in_box("cut"), "x", &box_err), 0);
	expect_content(in_box("cut"), "no end\nx\n");
}

static void L5_list_of_public_keys(void **state)
{
	char name[32];
	char **names = NULL;
	size_t count = 7;

	(void)state;
	assert_int_equal(
		smx_os_list_public_keys(in_box("none"), &names, &count, &box_err), SMX_ENOTFOUND);
	expect_said("none");
	assert_int_equal(smx_os_list_public_keys(box, &names, &count, &box_err), 0);
	assert_int_equal(count, 0);
	smx_os_names_free(names, count);
	put_raw(in_box("id_b.pub"), "", 0);
	put_raw(in_box("id_a.pub"), "", 0);
	put_raw(in_box("id_.pub"), "", 0);
	put_raw(in_box("id_a"), "", 0);
	put_raw(in_box("xid_a.pub"), "", 0);
	put_raw(in_box("id_a.pubx"), "", 0);
	assert_int_equal(smx_os_list_public_keys(box, &names, &count, &box_err), 0);
	assert_int_equal(count, 2);
	assert_string_equal(names[0], "id_a.pub");
	assert_string_equal(names[1], "id_b.pub");
	smx_os_names_free(names, count);
	for (int i = 0; i < SMX_OS_LIST_MAX; i++) {
		(void)snprintf(name, sizeof(name), "id_%d.pub", i);
		put_raw(in_box(name), "", 0);
	}
	assert_int_equal(smx_os_list_public_keys(box, &names, &count, &box_err), SMX_ELIMIT);
	expect_said("more than");
}

static void expect_glob(const char *pattern, const char *const *want, size_t n)
{
	char **paths;
	size_t count;

	assert_int_equal(smx_os_glob(in_box(pattern), &paths, &count), 0);
	if (count != n)
		fail_msg("%s: %zu instead of %zu", pattern, count, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(paths[i], in_box(want[i]));
	smx_os_names_free(paths, count);
}

/* C5: what Include of ssh's configuration stands for. */
static void C5_glob(void **state)
{
	static const char *const two[] = { "d\\a.conf", "d\\b.conf" };
	static const char *const one[] = { "d\\b.conf" };
	static const char *const below[] = { "d\\a.conf", "d\\b.conf", "e\\c.conf" };

	(void)state;
	assert_int_equal(smx_os_dir_ensure(in_box("d"), NULL), 0);
	assert_int_equal(smx_os_dir_ensure(in_box("e"), NULL), 0);
	put_raw(in_box("d\\b.conf"), "", 0);
	put_raw(in_box("d\\a.conf"), "", 0);
	put_raw(in_box("d\\a.txt"), "", 0);
	put_raw(in_box("d\\.x.conf"), "", 0);
	put_raw(in_box("e\\c.conf"), "", 0);
	expect_glob("d\\*.conf", two, 2);
	expect_glob("d/?.conf", two, 2);
	expect_glob("*\\*.conf", below, 3);
	expect_glob("d\\b.conf", one, 1);
	expect_glob("d\\B*.CONF", one, 1);
	expect_glob("d\\[b-z].conf", one, 1);
	expect_glob("d\\[!a].conf", one, 1);
	expect_glob("d\\[ac.conf", NULL, 0);
	expect_glob("d\\no*", NULL, 0);
	expect_glob("no\\*", NULL, 0);
}

static void stamps_tell_versions_apart(void **state)
{
	struct smx_os_stamp a, b;

	(void)state;
	assert_int_equal(smx_os_file_stamp(in_box("s"), &a), SMX_ENOTFOUND);
	assert_int_equal(write_text(in_box("s"), "1"), 0);
	assert_int_equal(smx_os_file_stamp(in_box("s"), &a), 0);
	assert_int_equal(smx_os_file_stamp(in_box("s"), &b), 0);
	assert_true(smx_os_stamp_equal(&a, &b));
	assert_int_equal(write_text(in_box("s"), "22"), 0);
	assert_int_equal(smx_os_file_stamp(in_box("s"), &b), 0);
	assert_false(smx_os_stamp_equal(&a, &b));
	assert_true(a.mtime_ns > 1700000000ll * 1000000000);
	assert_int_equal(smx_os_file_is_regular(in_box("s")), 1);
	assert_int_equal(smx_os_file_is_regular(in_box("nothing")), SMX_ENOTFOUND);
	assert_int_equal(smx_os_file_is_regular(box), 0);
}

static int all_of_it(void)
{
	int calls = 0, r;

	smx_buf_reset(&text);
	if ((r = smx_os_file_write_atomic(in_box("m"), "x", 1, 0600, NULL)) != 0 ||
		(r = smx_os_file_append_line(in_box("m"), "y", NULL)) != 0 ||
		(r = smx_os_file_edit(in_box("m"), 99, 0600, touch, &calls, NULL, NULL)) != 0 ||
		(r = smx_os_file_read(in_box("m"), 99, SMX_OS_FILE_PLAIN, &text, NULL)) != 0)
		return r;
	return smx_os_file_remove(in_box("m"), NULL);
}

static void failing_allocations(void **state)
{
	long before, n;
	int r;

	(void)state;
	smx_buf_release(&text);
	before = smx_mem_alive();
	for (n = 0;; n++) {
		smx_mem_fail_after(n);
		r = all_of_it();
		smx_mem_fail_after(-1);
		smx_buf_release(&text);
		assert_int_equal(smx_mem_alive(), before);
		if (r == 0)
			break;
		if (r != SMX_ENOMEM)
			fail_msg("allocation %ld: %d", n, r);
		/* No temporary file and no lock stays behind. */
		assert_true(count_files() <= 1);
	}
	assert_true(n > 10);
	assert_int_equal(count_files(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(C8_written_whole),
		TEST(C8_replaced_under_a_reader),
		TEST(C8_create_never_replaces),
		TEST(S1_what_is_missing_or_no_file),
		TEST(S1_too_big_is_said_and_nothing_taken),
		TEST(S1_names_that_no_file_has),
		TEST(S1_names_that_only_look_like_those),
		TEST(S1_paths_of_devices_are_none),
		TEST(either_slash_and_any_number),
		TEST(paths_longer_than_260),
		TEST(names_of_all_alphabets),
		TEST(S3_who_else_may),
		TEST(C8_edits),
		TEST(C8_a_writer_is_waited_for),
		TEST(K4_C8_many_append),
		TEST(L5_list_of_public_keys),
		TEST(C5_glob),
		TEST(stamps_tell_versions_apart),
		TEST(failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
