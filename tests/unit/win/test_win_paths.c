/* SPDX-License-Identifier: MIT */
/* Where things are on Windows: by the system, whatever the environment says (D3, S4, S8). */
#include "win_box.h"
#include "os/file.h"
#include "os/look.h"
#include "os/path.h"
#include "os/process.h"

static char *result;

static void set(const char *name, const char *value)
{
	wchar_t *key, *wide = NULL;

	assert_int_equal(smx_win_wide(name, &key), 0);
	if (value)
		assert_int_equal(smx_win_wide(value, &wide), 0);
	assert_true(SetEnvironmentVariableW(key, wide));
	smx_free(key);
	smx_free(wide);
}

static int teardown(void **state)
{
	set("SSH_MUX_SSH_DIR", NULL);
	return box_teardown(state);
}

static void expect(int r, const char *want)
{
	assert_int_equal(r, 0);
	assert_string_equal(result, want);
	smx_free(result);
}

static void absolute_or_not(void **state)
{
	static const char *const yes[] = { "C:\\", "c:/x", "Z:\\a\\b", "\\\\server\\share\\x",
		"//server/share" };
	static const char *const no[] = { "", "x", "\\", "\\x", "/x", "C:", "C:x", "1:\\x",
		"\xc3\xa9:\\x", "\\\\", ".\\x", "..", "~\\x" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(yes); i++)
		assert_true(smx_os_path_is_absolute(yes[i]));
	for (size_t i = 0; i < SMX_ARRAY_LEN(no); i++)
		assert_false(smx_os_path_is_absolute(no[i]));
}

static void normalised(void **state)
{
	static const char *const cases[][2] = { { "C:\\x", "C:\\x" }, { "c:/x/y/", "C:\\x\\y" },
		{ "C:\\\\x\\/.\\y\\.", "C:\\x\\y" }, { "z:/", "Z:\\" }, { "C:\\.", "C:\\" },
		{ "C:\\a\\..\\b", "C:\\a\\..\\b" },
		{ "//server/share//x/", "\\\\server\\share\\x" },
		{ "\\\\.\\pipe\\x", "\\\\.\\pipe\\x" }, { "\\\\?\\C:\\x", "\\\\?\\C:\\x" } };
	char *path, here[MAX_PATH * 3];
	wchar_t wide[MAX_PATH];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++)
		expect(smx_os_path_absolute(cases[i][0], &result), cases[i][1]);
	assert_int_equal(smx_os_path_absolute("", &result), SMX_EINVAL);
	/* Relative ones start where we are. */
	assert_true(GetCurrentDirectoryW(MAX_PATH, wide) > 0);
	assert_int_equal(smx_win_utf8(wide, &path), 0);
	(void)snprintf(
		here, sizeof(here), "%s%sx\\y", path, path[strlen(path) - 1] == '\\' ? "" : "\\");
	smx_free(path);
	expect(smx_os_path_absolute("x/y", &result), here);
	expect(smx_os_path_absolute(".\\x\\\\y\\", &result), here);
}

static void joined_and_cut(void **state)
{
	static const char *const dirs[][2] = { { "C:\\x\\y", "C:\\x" }, { "C:\\x", "C:\\" },
		{ "c:/x/y/", "C:\\x" }, { "\\\\s\\h\\x", "\\\\s\\h" } };
	static const char *const none[] = { "C:\\", "x", "C:x", "", "\\x" };
	char big[SMX_OS_PATH_MAX + 8];

	(void)state;
	expect(smx_os_path_join("C:\\x", "y", &result), "C:\\x\\y");
	expect(smx_os_path_join("C:\\", "y", &result), "C:\\y");
	expect(smx_os_path_join("C:/x/", "y", &result), "C:/x\\y");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(smx_os_path_join("C:\\", big, &result), SMX_ELIMIT);
	assert_int_equal(smx_os_path_join(big, "x", &result), SMX_ELIMIT);
	memcpy(big, "C:\\", 3);
	assert_int_equal(smx_os_path_absolute(big, &result), SMX_ELIMIT);
	for (size_t i = 0; i < SMX_ARRAY_LEN(dirs); i++)
		expect(smx_os_path_dir(dirs[i][0], &result), dirs[i][1]);
	for (size_t i = 0; i < SMX_ARRAY_LEN(none); i++)
		assert_int_equal(smx_os_path_dir(none[i], &result), SMX_EINVAL);
}

/* S4: an override that can't be trusted is the end; it is never quietly ignored here. */
static void S4_ssh_dir_fails_closed(void **state)
{
	struct smx_buf warning;

	(void)state;
	smx_buf_init(&warning, 4096);
	result = NULL;
	set("SSH_MUX_SSH_DIR", box);
	expect(smx_os_ssh_dir(&result, &warning, &box_err), box);
	set("SSH_MUX_SSH_DIR", in_box("\\./"));
	expect(smx_os_ssh_dir(&result, &warning, &box_err), box);
	result = NULL;
	set("SSH_MUX_SSH_DIR", "relative\\dir");
	assert_int_equal(smx_os_ssh_dir(&result, &warning, &box_err), SMX_EINVAL);
	expect_said("relative\\dir");
	set("SSH_MUX_SSH_DIR", "\\rooted");
	assert_int_equal(smx_os_ssh_dir(&result, &warning, &box_err), SMX_EINVAL);
	expect_said("not an absolute path");
	set("SSH_MUX_SSH_DIR", in_box("missing"));
	assert_int_equal(smx_os_ssh_dir(&result, &warning, &box_err), SMX_ENOTFOUND);
	expect_said("by hand");
	put_raw(in_box("file"), "", 0);
	set("SSH_MUX_SSH_DIR", in_box("file"));
	assert_int_equal(smx_os_ssh_dir(&result, &warning, &box_err), SMX_EUNSAFE);
	expect_said("not a directory");
	set("SSH_MUX_SSH_DIR", in_box("d\\.."));
	assert_int_equal(smx_os_dir_ensure(in_box("d"), NULL), 0);
	assert_int_equal(smx_os_ssh_dir(&result, &warning, &box_err), SMX_EINVAL);
	expect_said("..");
	assert_int_equal(smx_os_dir_ensure(in_box("open"), NULL), 0);
	set_dacl(in_box("open"), ALL_MAY_ALL);
	set("SSH_MUX_SSH_DIR", in_box("open"));
	assert_int_equal(smx_os_ssh_dir(&result, &warning, &box_err), SMX_EUNSAFE);
	expect_said(in_box("open"));
	assert_null(result);
	assert_int_equal(smx_buf_len(&warning), 0);
	smx_buf_release(&warning);
}

static void all_of_them(char **ret)
{
	char *at;

	*ret = calloc(1, 8 * SMX_OS_PATH_MAX);
	at = *ret;
	assert_int_equal(smx_os_home(&result, &box_err), 0);
	at += sprintf(at, "%s\n", result);
	smx_free(result);
	assert_int_equal(smx_os_ssh_dir(&result, NULL, &box_err), 0);
	at += sprintf(at, "%s\n", result);
	smx_free(result);
	assert_int_equal(smx_os_settings_dir(&result, &box_err), 0);
	at += sprintf(at, "%s\n", result);
	smx_free(result);
	assert_int_equal(smx_os_runtime_dir(&result, &box_err), 0);
	at += sprintf(at, "%s\n", result);
	smx_free(result);
	assert_int_equal(smx_os_control_path("C:\\x", &result, &box_err), 0);
	(void)sprintf(at, "%s\n", result);
	smx_free(result);
}

/* S8: home, settings, token and pipe are where the system has them. */
static void S8_the_environment_has_no_say(void **state)
{
	static const char *const names[] = { "USERPROFILE", "APPDATA", "LOCALAPPDATA", "HOME",
		"HOMEDRIVE", "HOMEPATH", "TEMP", "TMP", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME",
		"ALLUSERSPROFILE", "PROGRAMDATA", "USERNAME", "PUBLIC" };
	char *before, *after, old[SMX_ARRAY_LEN(names)][512];

	(void)state;
	all_of_them(&before);
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		old[i][0] = '\0';
		if (smx_win_getenv(names[i], &result) == 0) {
			(void)snprintf(old[i], sizeof(old[i]), "%s", result);
			smx_free(result);
		}
		set(names[i], box);
	}
	all_of_them(&after);
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		set(names[i], NULL);
	assert_string_equal(after, before);
	free(after);
	all_of_them(&after);
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		set(names[i], old[i][0] ? old[i] : NULL);
	assert_string_equal(after, before);
	assert_null(strstr(before, box));
	free(before);
	free(after);
	set("ProgramData", "Z:\\evil");
	assert_null(strstr(smx_os_system_known_hosts(), "evil"));
	assert_non_null(strstr(smx_os_system_known_hosts(), ":/ProgramData/ssh/ssh_known_hosts"));
	assert_non_null(strstr(smx_os_system_ssh_config(), ":/ProgramData/ssh/ssh_config"));
}

static void failing_allocations(void **state)
{
	long before = smx_mem_alive(), n;
	int r;

	(void)state;
	set("SSH_MUX_SSH_DIR", box);
	for (n = 0;; n++) {
		smx_mem_fail_after(n);
		r = smx_os_ssh_dir(&result, NULL, NULL);
		smx_mem_fail_after(-1);
		if (r == 0)
			break;
		assert_int_equal(r, SMX_ENOMEM);
		assert_int_equal(smx_mem_alive(), before);
	}
	smx_free(result);
	assert_int_equal(smx_mem_alive(), before);
	assert_true(n > 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absolute_or_not),
		cmocka_unit_test(normalised),
		cmocka_unit_test(joined_and_cut),
		TEST(S4_ssh_dir_fails_closed),
		TEST(S8_the_environment_has_no_say),
		TEST(failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
