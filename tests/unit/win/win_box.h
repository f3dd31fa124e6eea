/* SPDX-License-Identifier: MIT */
/* A private directory for each test, and files in it made without the code under test. */
#ifndef SMX_TEST_WIN_BOX_H
#define SMX_TEST_WIN_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/win/win.h"

#include <aclapi.h>
#include <sddl.h>

static char box[512];
static struct smx_buf box_err;

static inline const char *in_box(const char *name)
{
	static char paths[8][2048];
	static unsigned at;
	char *p = paths[at++ % 8];

	(void)snprintf(p, sizeof(paths[0]), "%s\\%s", box, name);
	return p;
}

static inline const char *said(void)
{
	return smx_buf_len(&box_err) && smx_buf_cstr(&box_err) ? smx_buf_cstr(&box_err) : "";
}

/* What it lacks is told apart, so that the real system is asked for everything. */
static inline int is_wine(void)
{
	return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL;
}

/* The text of the failure, once: it must name `what` and be one line. */
static inline void expect_said(const char *what)
{
	if (!strstr(said(), what) || strchr(said(), '\n'))
		fail_msg("\"%s\" is not one line with \"%s\"", said(), what);
	smx_buf_reset(&box_err);
}

/* Names on the disk, from the system's own list; other: ones that are not `.` or `..`. */
static inline int count_files(void)
{
	WIN32_FIND_DATAW found;
	wchar_t *wide;
	HANDLE h;
	int n = 0;

	assert_int_equal(smx_win_wide_path(in_box("*"), &wide), 0);
	h = FindFirstFileW(wide, &found);
	smx_free(wide);
	assert_true(h != INVALID_HANDLE_VALUE);
	do {
		n += wcscmp(found.cFileName, L".") != 0 && wcscmp(found.cFileName, L"..") != 0;
	} while (FindNextFileW(h, &found));
	(void)FindClose(h);
	return n;
}

static inline void put_raw(const char *path, const void *data, size_t len)
{
	wchar_t *wide;
	HANDLE h;
	DWORD n;

	assert_int_equal(smx_win_wide_path(path, &wide), 0);
	h = CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
	smx_free(wide);
	assert_true(h != INVALID_HANDLE_VALUE);
	assert_true(WriteFile(h, data, (DWORD)len, &n, NULL) && n == len);
	(void)CloseHandle(h);
}

/* The permissions of what is there already, in SDDL. */
static inline void set_dacl(const char *path, const char *sddl)
{
	PSECURITY_DESCRIPTOR sd;
	wchar_t *wide, *text;

	assert_int_equal(smx_win_wide_path(path, &wide), 0);
	assert_int_equal(smx_win_wide(sddl, &text), 0);
	assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorW(
		text, SDDL_REVISION_1, &sd, NULL));
	assert_true(SetFileSecurityW(
		wide, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, sd));
	(void)LocalFree(sd);
	smx_free(wide);
	smx_free(text);
}

#define OURS         "(A;;FA;;;OW)(A;;FA;;;SY)(A;;FA;;;BA)"
#define ALL_MAY_READ "D:P" OURS "(A;;FR;;;WD)"
#define ALL_MAY_ALL  "D:P" OURS "(A;;FA;;;WD)"

static inline void expect_raw(const char *path, const char *text)
{
	char got[65536] = "";
	wchar_t *wide;
	HANDLE h;
	DWORD n;

	assert_int_equal(smx_win_wide_path(path, &wide), 0);
	h = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
		0, NULL);
	smx_free(wide);
	assert_true(h != INVALID_HANDLE_VALUE);
	assert_true(ReadFile(h, got, sizeof(got) - 1, &n, NULL));
	(void)CloseHandle(h);
	assert_string_equal(got, text);
}

static inline void remove_tree(const wchar_t *dir)
{
	WIN32_FIND_DATAW found;
	size_t size = wcslen(dir) + 300;
	wchar_t *path = calloc(size, sizeof(*path));
	HANDLE h;

	(void)swprintf(path, size, L"%ls\\*", dir);
	if ((h = FindFirstFileW(path, &found)) != INVALID_HANDLE_VALUE) {
		do {
			if (wcscmp(found.cFileName, L".") == 0 ||
				wcscmp(found.cFileName, L"..") == 0)
				continue;
			(void)swprintf(path, size, L"%ls\\%ls", dir, found.cFileName);
			if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
				remove_tree(path);
			else
				(void)DeleteFileW(path);
		} while (FindNextFileW(h, &found));
		(void)FindClose(h);
	}
	(void)RemoveDirectoryW(dir);
	free(path);
}

static inline int box_setup(void **state)
{
	static unsigned count;
	wchar_t temp[MAX_PATH + 1];
	char *text;

	(void)state;
	smx_buf_init(&box_err, 1u << 16);
	if (GetTempPathW(MAX_PATH, temp) == 0 || smx_win_utf8(temp, &text) != 0)
		return -1;
	(void)snprintf(box, sizeof(box), "%ssmx-test-%lu-%u", text,
		(unsigned long)GetCurrentProcessId(), count++);
	smx_free(text);
	return smx_os_dir_ensure(box, NULL);
}

static inline int box_teardown(void **state)
{
	wchar_t *wide;

	(void)state;
	if (smx_win_wide_path(box, &wide) == 0) {
		remove_tree(wide);
		smx_free(wide);
	}
	smx_buf_release(&box_err);
	return 0;
}

#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

#endif
