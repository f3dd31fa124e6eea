/* SPDX-License-Identifier: MIT */
/*
 * To a file through directories that stay what they were found to be (S1). Each ancestor is opened
 * as itself, not as what a reparse point in its place leads to, and kept open without sharing its
 * deletion: while we hold it nobody can rename it or put another thing in its place.
 */
#include "os/file.h"
#include "os/path.h"
#include "os/win/walk.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/win/dacl.h"

void smx_win_place_release(struct smx_win_place *pl)
{
	for (size_t i = 0; i < pl->count; i++)
		(void)CloseHandle(pl->held[i]);
	smx_free(pl->wide);
	smx_free(pl->dir);
	pl->count = 0;
	pl->wide = NULL;
	pl->dir = NULL;
}

int smx_win_refuse_reparse(HANDLE h, const char *path, int want_dir, struct smx_buf *err)
{
	FILE_ATTRIBUTE_TAG_INFO tag;
	FILE_BASIC_INFO basic;
	DWORD attributes;

	if (GetFileInformationByHandleEx(h, FileAttributeTagInfo, &tag, sizeof(tag)))
		attributes = tag.FileAttributes;
	else if (GetFileInformationByHandleEx(h, FileBasicInfo, &basic, sizeof(basic)))
		attributes = basic.FileAttributes; /* a file system without reparse points */
	else
		return smx_win_fail(err, "cannot examine", path, GetLastError());
	if (attributes & FILE_ATTRIBUTE_REPARSE_POINT) {
		smx_win_say(err,
			"%s is a link or a junction; use the path of the real place, or remove it",
			path);
		return SMX_EUNSAFE;
	}
	if (want_dir && !(attributes & FILE_ATTRIBUTE_DIRECTORY)) {
		smx_win_say(err, "%s is not a directory", path);
		return SMX_EUNSAFE;
	}
	if (!want_dir && (attributes & FILE_ATTRIBUTE_DIRECTORY)) {
		smx_win_say(err, "%s is a directory, not a file", path);
		return SMX_EUNSAFE;
	}
	if (!want_dir && GetFileType(h) != FILE_TYPE_DISK) {
		smx_win_say(err, "%s is not a regular file", path);
		return SMX_EUNSAFE;
	}
	return 0;
}

/* Opens the directory that `wide` names up to `end`, and keeps it. */
static int hold(struct smx_win_place *pl, size_t end, const char *shown, struct smx_buf *err)
{
	const DWORD flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
	wchar_t kept = pl->wide[end];
	HANDLE h;
	DWORD e;

	pl->wide[end] = L'\0';
	h = CreateFileW(pl->wide, FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES | READ_CONTROL,
		FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, flags, NULL);
	if (h == INVALID_HANDLE_VALUE && GetLastError() == ERROR_ACCESS_DENIED)
		/* One that we may pass but not list, such as somebody's C:\Users: only those who
		 * may change it can swap what is in it, and who that is we can't tell. */
		h = CreateFileW(pl->wide, FILE_READ_ATTRIBUTES,
			FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
			flags, NULL);
	e = GetLastError();
	pl->wide[end] = kept;
	if (h == INVALID_HANDLE_VALUE)
		return smx_win_fail(err, "cannot open", shown, e);
	pl->held[pl->count++] = h;
	return smx_win_refuse_reparse(h, shown, 1, err);
}

/* Where the first component begins: behind the drive, or the share of a network path. */
static size_t root_end(const wchar_t *wide)
{
	static const wchar_t unc[] = L"\\\\?\\UNC\\";
	const size_t n = sizeof(unc) / sizeof(unc[0]) - 1;
	size_t at;

	if (wcsncmp(wide, unc, n) != 0)
		return 4 + 3; /* \\?\C:\ */
	at = n + wcscspn(wide + n, L"\\");
	if (wide[at])
		at++;
	at += wcscspn(wide + at, L"\\");
	return wide[at] ? at + 1 : at;
}

/* NUL, COM1 and so on, with any extension: in the short form these are devices in every directory.
 */
static int is_device(const wchar_t *part, size_t len)
{
	static const wchar_t *const names[] = { L"CON", L"PRN", L"AUX", L"NUL", L"CONIN$",
		L"CONOUT$" };
	size_t n = 0;

	while (n < len && part[n] != L'.')
		n++;
	while (n > 0 && part[n - 1] == L' ')
		n--;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (wcslen(names[i]) == n && _wcsnicmp(part, names[i], n) == 0)
			return 1;
	/* 1 to 9, and the digits that are small and raised. */
	return n == 4 && (_wcsnicmp(part, L"COM", 3) == 0 || _wcsnicmp(part, L"LPT", 3) == 0) &&
	       ((part[3] >= L'1' && part[3] <= L'9') || part[3] == 0xb9 || part[3] == 0xb2 ||
		       part[3] == 0xb3);
}

static int check_component(const wchar_t *part, size_t len, const char *path, struct smx_buf *err)
{
	/* In the long form nothing is rewritten, so these would be names of their own. */
	if ((len == 2 && part[0] == L'.' && part[1] == L'.') || (len == 1 && part[0] == L'.')) {
		smx_win_say(err, "%s has \"..\" in it; write the path out", path);
		return SMX_EINVAL;
	}
	for (size_t i = 0; i < len; i++)
		if (part[i] < 0x20 || wcschr(L"<>:\"|?*", part[i])) {
			/* ':' would be another stream of the file. */
			smx_win_say(err, "%s has a character that no file name has", path);
			return SMX_EINVAL;
		}
	/* We would make and find such a file, and no other program would: to them it is another. */
	if (len > 0 && (part[len - 1] == L'.' || part[len - 1] == L' ')) {
		smx_win_say(err, "%s has a name that ends with a dot or a blank; rename it", path);
		return SMX_EINVAL;
	}
	if (is_device(part, len)) {
		smx_win_say(err, "%s has a name that means a device; take another", path);
		return SMX_EINVAL;
	}
	return 0;
}

/* Holds every directory on the way; *ret_at: where the last component begins. */
static int descend(
	struct smx_win_place *pl, const char *path, int whole, size_t *ret_at, struct smx_buf *err)
{
	size_t at = root_end(pl->wide), end, next;
	int r;

	if ((r = hold(pl, at, path, err)) != 0)
		return r;
	for (; pl->wide[at]; at = next) {
		end = at + wcscspn(pl->wide + at, L"\\");
		next = pl->wide[end] ? end + 1 : end;
		if ((r = check_component(pl->wide + at, end - at, path, err)) != 0)
			return r;
		if (pl->wide[next] == L'\0' && !whole)
			break;
		if (pl->count == SMX_WIN_DEPTH_MAX) {
			smx_win_say(err, "%s is too deep", path);
			return SMX_ELIMIT;
		}
		if ((r = hold(pl, end, path, err)) != 0)
			return r;
	}
	if (!whole && pl->wide[at] == L'\0') {
		smx_win_say(err, "%s is a directory, not a file", path);
		return SMX_EINVAL;
	}
	*ret_at = at;
	return 0;
}

int smx_win_walk(const char *path, int whole, struct smx_win_place *ret, struct smx_buf *err)
{
	struct smx_win_place pl = { .count = 0 };
	char *full = NULL;
	int r = SMX_EINVAL;

	/* Slashes of both kinds, and any number of them: one form from here on. */
	if (strlen(path) >= SMX_OS_PATH_MAX || !smx_os_path_is_absolute(path) ||
		(r = smx_os_path_absolute(path, &full)) == SMX_EINVAL ||
		(r == 0 && (r = smx_win_wide_path(full, &pl.wide)) == SMX_EINVAL))
		smx_win_say(err, "%s is not an absolute path", path);
	if (r == 0 && (r = descend(&pl, path, whole, &pl.name_at, err)) == 0) {
		if (whole) {
			pl.dir = full;
			full = NULL;
		} else {
			r = smx_os_path_dir(full, &pl.dir);
		}
	}
	smx_free(full);
	if (r != 0)
		smx_win_place_release(&pl);
	else
		*ret = pl;
	return r;
}

int smx_os_dir_check(const char *path, struct smx_buf *err)
{
	struct smx_win_place pl;
	int r;

	if ((r = smx_win_walk(path, 1, &pl, err)) != 0)
		return r;
	r = smx_win_dacl_check_handle(pl.held[pl.count - 1], SMX_WIN_DIR, path, err);
	smx_win_place_release(&pl);
	return r;
}

int smx_os_dir_ensure(const char *path, struct smx_buf *err)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	struct smx_win_place pl;
	int r;

	if ((r = smx_win_walk(path, 0, &pl, err)) != 0)
		return r;
	if ((r = smx_win_private_sd_of_dir(&sa.lpSecurityDescriptor)) != 0) {
		smx_win_say(err, "the system does not tell who you are");
	} else {
		if (!CreateDirectoryW(pl.wide, &sa) && GetLastError() != ERROR_ALREADY_EXISTS)
			r = smx_win_fail(err, "cannot make", path, GetLastError());
		(void)LocalFree(sa.lpSecurityDescriptor);
	}
	smx_win_place_release(&pl);
	return r != 0 ? r : smx_os_dir_check(path, err);
}
