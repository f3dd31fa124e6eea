/* SPDX-License-Identifier: MIT */
/* Files that nobody else may have touched (S1, S3, C8). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/random.h"
#include "os/common.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/win/dacl.h"
#include "os/win/walk.h"

#define READ_CHUNK     16384
#define TEMP_TRYS      16
#define LOCK_WAIT_MS   10000
#define ROUNDS_MAX     500
#define ROUND_PAUSE_MS 20
#define LOCK_NAME      "ssh-mux.lock"
#define UNIX_EPOCH     116444736000000000u /* in the system's units of 100 ns */

/* ---- reading ----------------------------------------------------------------------------------
 */

static int too_big(size_t max_len, const char *path, struct smx_buf *err)
{
	smx_win_say(err, "%s is larger than %zu bytes, which can't be right", path, max_len);
	return SMX_ELIMIT;
}

static int read_handle(
	HANDLE h, size_t max_len, const char *path, struct smx_buf *out, struct smx_buf *err)
{
	size_t before = smx_buf_len(out);
	uint8_t piece[READ_CHUNK];
	LARGE_INTEGER size;
	DWORD n = 0;
	int r = 0;

	if (!GetFileSizeEx(h, &size))
		return smx_win_fail(err, "cannot examine", path, GetLastError());
	if (size.QuadPart < 0 || (uint64_t)size.QuadPart > max_len)
		return too_big(max_len, path, err);
	do {
		if (!ReadFile(h, piece, sizeof(piece), &n, NULL))
			r = smx_win_fail(err, "cannot read", path, GetLastError());
		else if (smx_buf_len(out) - before + n > max_len)
			r = too_big(max_len, path, err);
		else
			r = smx_buf_put(out, piece, n);
	} while (r == 0 && n > 0);
	smx_wipe(piece, sizeof(piece)); /* it may be a key */
	if (r != 0)
		smx_buf_truncate(out, before);
	return r;
}

static enum smx_win_kind dacl_kind(enum smx_os_file_kind kind)
{
	return kind == SMX_OS_FILE_PLAIN || kind == SMX_OS_FILE_USER_CONFIG ? SMX_WIN_FILE
									    : SMX_WIN_HOST_KEY;
}

/* Opened wherever it lies, as ssh does it. */
static int is_users(enum smx_os_file_kind kind)
{
	return kind == SMX_OS_FILE_USER_KEY || kind == SMX_OS_FILE_USER_CONFIG;
}

static int open_checked(const wchar_t *wide, DWORD access, DWORD share, enum smx_os_file_kind kind,
	const char *path, HANDLE *ret, struct smx_buf *err)
{
	/* So that a directory can be told as one; and a path that turns out to be a pipe's can't
	 * let its server act as us. */
	DWORD flags = FILE_FLAG_BACKUP_SEMANTICS | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
	HANDLE h;
	int r;

	if (!is_users(kind))
		flags |= FILE_FLAG_OPEN_REPARSE_POINT;
	h = CreateFileW(wide, access | READ_CONTROL | FILE_READ_ATTRIBUTES, share, NULL,
		OPEN_EXISTING, flags, NULL);
	if (h == INVALID_HANDLE_VALUE)
		return smx_win_fail(err, "cannot open", path, GetLastError());
	if ((r = smx_win_refuse_reparse(h, path, 0, err)) != 0 ||
		(r = smx_win_dacl_check_handle(h, dacl_kind(kind), path, err)) != 0) {
		(void)CloseHandle(h);
		return r;
	}
	*ret = h;
	return 0;
}

int smx_os_file_read(const char *path, size_t max_len, enum smx_os_file_kind kind,
	struct smx_buf *out, struct smx_buf *err)
{
	const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	struct smx_win_place pl = { .count = 0 };
	wchar_t *wide = NULL;
	HANDLE h;
	int r;

	if (is_users(kind)) {
		if ((r = smx_win_wide_path(path, &wide)) != 0) {
			if (r == SMX_EINVAL)
				smx_win_say(err, "%s is not an absolute path", path);
			return r;
		}
	} else if ((r = smx_win_walk(path, 0, &pl, err)) != 0) {
		return r;
	}
	r = open_checked(wide ? wide : pl.wide, GENERIC_READ, share, kind, path, &h, err);
	if (r == 0) {
		r = read_handle(h, max_len, path, out, err);
		(void)CloseHandle(h);
	}
	smx_win_place_release(&pl);
	smx_free(wide);
	return r;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* A file beside the target, under a name that nobody can guess. */
struct temp {
	wchar_t *wide; /* NULL: none */
};

static void temp_drop(struct temp *t)
{
	if (t->wide)
		(void)DeleteFileW(t->wide);
	smx_free(t->wide);
	t->wide = NULL;
}

static int temp_name(const struct smx_win_place *pl, wchar_t **ret)
{
	static const wchar_t pattern[] = L".ssh-mux-%016llx.tmp";
	uint64_t random;
	wchar_t *wide;
	size_t n;
	int r;

	if ((r = smx_random(&random, sizeof(random))) != 0)
		return r;
	n = pl->name_at + 64;
	if ((wide = smx_calloc(n, sizeof(*wide))) == NULL)
		return SMX_ENOMEM;
	memcpy(wide, pl->wide, pl->name_at * sizeof(*wide));
	(void)swprintf(wide + pl->name_at, n - pl->name_at, pattern, (unsigned long long)random);
	*ret = wide;
	return 0;
}

static int write_all(HANDLE h, const uint8_t *p, size_t len, const char *path, struct smx_buf *err)
{
	DWORD n;

	for (; len > 0; p += n, len -= n)
		if (!WriteFile(h, p, len < (1u << 30) ? (DWORD)len : 1u << 30, &n, NULL))
			return smx_win_fail(err, "cannot write next to", path, GetLastError());
	if (!FlushFileBuffers(h))
		return smx_win_fail(err, "cannot write next to", path, GetLastError());
	return 0;
}

static int temp_make(const struct smx_win_place *pl, const char *path, const void *data, size_t len,
	PSECURITY_DESCRIPTOR sd, struct temp *ret, struct smx_buf *err)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa), .lpSecurityDescriptor = sd };
	struct temp t = { NULL };
	HANDLE h = INVALID_HANDLE_VALUE;
	DWORD e = 0;
	int r;

	for (int i = 0; i < TEMP_TRYS && h == INVALID_HANDLE_VALUE; i++) {
		smx_free(t.wide);
		t.wide = NULL;
		if ((r = temp_name(pl, &t.wide)) != 0)
			return r;
		h = CreateFileW(t.wide, GENERIC_WRITE | READ_CONTROL | FILE_READ_ATTRIBUTES, 0, &sa,
			CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
		if (h == INVALID_HANDLE_VALUE && (e = GetLastError()) != ERROR_FILE_EXISTS)
			break;
	}
	if (h == INVALID_HANDLE_VALUE) {
		smx_free(t.wide);
		return smx_win_fail(err, "cannot write next to", path, e);
	}
	r = write_all(h, data, len, path, err);
	if (!CloseHandle(h) && r == 0)
		r = smx_win_fail(err, "cannot write next to", path, GetLastError());
	if (r != 0)
		temp_drop(&t);
	else
		*ret = t;
	return r;
}

/*
 * The rename of Unix, which replaces a file that others have open: Windows 10 1709 and later, NTFS.
 * Structure and flags are spelled out for headers that are older.
 */
struct rename_ex {
	DWORD flags;
	HANDLE root;
	DWORD name_bytes;
	wchar_t name[1];
};
#define RENAME_INFO_EX ((FILE_INFO_BY_HANDLE_CLASS)22)
#define RENAME_REPLACE 1u
#define RENAME_POSIX   2u

static int posix_rename(const wchar_t *from, const wchar_t *to)
{
	size_t bytes = wcslen(to) * sizeof(*to), size = sizeof(struct rename_ex) + bytes;
	struct rename_ex *info;
	HANDLE h;
	int ok = 0;

	if ((info = smx_calloc(1, size)) == NULL)
		return 0;
	info->flags = RENAME_REPLACE | RENAME_POSIX;
	info->name_bytes = (DWORD)bytes;
	memcpy(info->name, to, bytes);
	h = CreateFileW(from, DELETE | SYNCHRONIZE, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
		OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_WRITE_THROUGH, NULL);
	if (h != INVALID_HANDLE_VALUE) {
		ok = SetFileInformationByHandle(h, RENAME_INFO_EX, info, (DWORD)size) != 0;
		(void)CloseHandle(h);
	}
	smx_free(info);
	return ok;
}

/* over: our own handle of what is replaced, or NULL; closed where it is in the way. */
static int temp_publish(const struct smx_win_place *pl, const char *path, struct temp *t,
	int exclusive, HANDLE *over, struct smx_buf *err)
{
	DWORD flags = MOVEFILE_WRITE_THROUGH | (exclusive ? 0 : MOVEFILE_REPLACE_EXISTING), e;

	if (exclusive || !posix_rename(t->wide, pl->wide)) {
		if (over && *over != INVALID_HANDLE_VALUE) {
			(void)CloseHandle(*over);
			*over = INVALID_HANDLE_VALUE;
		}
		/* Others look at files for moments (search, virus scanners) without sharing
		 * deletion. */
		for (int i = 0; !MoveFileExW(t->wide, pl->wide, flags); i++) {
			e = GetLastError();
			if (exclusive && (e == ERROR_ALREADY_EXISTS || e == ERROR_FILE_EXISTS))
				return SMX_EEXISTS;
			if ((e != ERROR_SHARING_VIOLATION && e != ERROR_ACCESS_DENIED) || i == 50)
				return smx_win_fail(err, "cannot replace", path, e);
			Sleep(ROUND_PAUSE_MS);
		}
	}
	smx_free(t->wide);
	t->wide = NULL;
	return 0;
}

/* What is at the name may be replaced only if it is a plain file that is ours alone to change. */
static int check_target(const struct smx_win_place *pl, const char *path, struct smx_buf *err)
{
	const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	HANDLE h;
	int r;

	r = open_checked(pl->wide, 0, share, SMX_OS_FILE_PLAIN, path, &h, NULL);
	if (r == SMX_ENOTFOUND)
		return 0;
	if (r != 0)
		return open_checked(pl->wide, 0, share, SMX_OS_FILE_PLAIN, path, &h, err);
	(void)CloseHandle(h);
	return 0;
}

static int write_file(const char *path, const void *data, size_t len, unsigned mode, int exclusive,
	struct smx_buf *err)
{
	PSECURITY_DESCRIPTOR sd = NULL;
	struct smx_win_place pl;
	struct temp t = { NULL };
	int r;

	if ((r = smx_win_walk(path, 0, &pl, err)) != 0)
		return r;
	if ((r = smx_win_dacl_check_handle(pl.held[pl.count - 1], SMX_WIN_DIR, pl.dir, err)) == 0 &&
		(r = check_target(&pl, path, err)) == 0 &&
		(r = smx_win_private_sd((mode & 0004) != 0, &sd)) == 0 &&
		(r = temp_make(&pl, path, data, len, sd, &t, err)) == 0)
		r = temp_publish(&pl, path, &t, exclusive, NULL, err);
	temp_drop(&t);
	(void)LocalFree(sd);
	smx_win_place_release(&pl);
	return r;
}

int smx_os_file_write_atomic(
	const char *path, const void *data, size_t len, unsigned mode, struct smx_buf *err)
{
	return write_file(path, data, len, mode, 0, err);
}

int smx_os_file_create(
	const char *path, const void *data, size_t len, unsigned mode, struct smx_buf *err)
{
	return write_file(path, data, len, mode, 1, err);
}

int smx_os_file_remove(const char *path, struct smx_buf *err)
{
	struct smx_win_place pl;
	int r;

	if ((r = smx_win_walk(path, 0, &pl, err)) != 0)
		return r;
	if (!DeleteFileW(pl.wide))
		r = smx_win_fail(err, "cannot remove", path, GetLastError());
	smx_win_place_release(&pl);
	return r;
}

/* ---- editing what others write too -------------------------------------------------------------
 */

/* Excludes our own writers of this directory; other programs are excluded by how we open. */
static int lock_dir(const struct smx_win_place *pl, HANDLE *ret, struct smx_buf *err)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	uint64_t start = smx_os_monotonic_ms();
	char *path;
	wchar_t *wide = NULL;
	HANDLE h;
	DWORD e;
	int r;

	if ((r = smx_os_path_join(pl->dir, LOCK_NAME, &path)) != 0)
		return r;
	if ((r = smx_win_wide_path(path, &wide)) == 0 &&
		(r = smx_win_private_sd(0, &sa.lpSecurityDescriptor)) == 0) {
		/* Opened by one at a time, and gone with the last handle however that ends. */
		while ((h = CreateFileW(wide, GENERIC_WRITE, 0, &sa, OPEN_ALWAYS,
				FILE_FLAG_DELETE_ON_CLOSE | FILE_FLAG_OPEN_REPARSE_POINT, NULL)) ==
			INVALID_HANDLE_VALUE) {
			e = GetLastError();
			if (e != ERROR_SHARING_VIOLATION && e != ERROR_ACCESS_DENIED) {
				r = smx_win_fail(err, "cannot make", path, e);
				break;
			}
			if (smx_os_monotonic_ms() - start > LOCK_WAIT_MS) {
				smx_win_say(err, "%s has been held by another program for too long",
					path);
				r = SMX_ETIMEOUT;
				break;
			}
			Sleep(ROUND_PAUSE_MS);
		}
		if (r == 0)
			*ret = h;
		(void)LocalFree(sa.lpSecurityDescriptor);
	}
	smx_free(wide);
	smx_free(path);
	return r;
}

struct edit {
	const char *path;
	size_t max_len;
	unsigned mode_if_new;
	smx_os_edit_fn *fn;
	void *arg;
	int is_changed;
	struct smx_win_place pl;
	struct smx_buf *err;
};

/* The permissions of an open file, for the one that takes its place. */
static int copy_sd(HANDLE h, PSECURITY_DESCRIPTOR *ret)
{
	const SECURITY_INFORMATION what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
	DWORD n = 0;

	(void)GetKernelObjectSecurity(h, what, NULL, 0, &n);
	if (n == 0 || n > (1u << 20))
		return SMX_ESYS;
	/* As smx_win_private_sd gives it out: LocalFree. */
	if ((*ret = LocalAlloc(LMEM_FIXED, n)) == NULL)
		return SMX_ENOMEM;
	if (!GetKernelObjectSecurity(h, what, *ret, n, &n)) {
		(void)LocalFree(*ret);
		*ret = NULL;
		return SMX_ESYS;
	}
	return 0;
}

/* One try: 0, 1 (somebody writes it just now: again), or an error. */
static int edit_once(struct edit *e)
{
	struct smx_buf old, new;
	PSECURITY_DESCRIPTOR sd = NULL;
	HANDLE h = INVALID_HANDLE_VALUE;
	struct temp t = { NULL };
	int r, is_missing;

	smx_buf_init(&old, e->max_len + READ_CHUNK);
	smx_buf_init(&new, e->max_len);
	/* Shared with readers only: whoever has it open for writing, or wants to, is told apart. */
	h = CreateFileW(e->pl.wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING,
		FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS, NULL);
	is_missing = h == INVALID_HANDLE_VALUE && GetLastError() == ERROR_FILE_NOT_FOUND;
	if (h == INVALID_HANDLE_VALUE && !is_missing) {
		r = GetLastError() == ERROR_SHARING_VIOLATION
			    ? 1
			    : smx_win_fail(e->err, "cannot open", e->path, GetLastError());
		goto out;
	}
	if (is_missing)
		r = smx_win_private_sd((e->mode_if_new & 0004) != 0, &sd);
	else if ((r = smx_win_refuse_reparse(h, e->path, 0, e->err)) == 0 &&
		 (r = smx_win_dacl_check_handle(h, SMX_WIN_FILE, e->path, e->err)) == 0 &&
		 (r = read_handle(h, e->max_len, e->path, &old, e->err)) == 0)
		r = copy_sd(h, &sd);
	if (r != 0 || (r = e->fn(e->arg, smx_buf_as_view(&old), is_missing, &new, e->err)) != 0) {
		if (r == 1)
			r = 0; /* it is right as it is */
		goto out;
	}
	if (!is_missing && smx_buf_len(&new) == smx_buf_len(&old) &&
		memcmp(smx_buf_view(&new), smx_buf_view(&old), smx_buf_len(&old)) == 0)
		goto out;
	if ((r = temp_make(
		     &e->pl, e->path, smx_buf_view(&new), smx_buf_len(&new), sd, &t, e->err)) != 0)
		goto out;
	if (is_missing) {
		r = temp_publish(&e->pl, e->path, &t, 1, NULL, e->err);
		if (r == SMX_EEXISTS)
			r = 1;
	} else {
		BY_HANDLE_FILE_INFORMATION was, is;

		/* Opened anew so that it may be replaced under us; a writer that slipped in between
		 * is seen by the size or the time it left, one that comes now is kept out. */
		(void)GetFileInformationByHandle(h, &was);
		(void)CloseHandle(h);
		h = CreateFileW(e->pl.wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
			OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS,
			NULL);
		if (h == INVALID_HANDLE_VALUE || !GetFileInformationByHandle(h, &is) ||
			was.nFileIndexLow != is.nFileIndexLow ||
			was.nFileIndexHigh != is.nFileIndexHigh ||
			was.nFileSizeLow != is.nFileSizeLow ||
			was.nFileSizeHigh != is.nFileSizeHigh ||
			CompareFileTime(&was.ftLastWriteTime, &is.ftLastWriteTime) != 0) {
			r = 1;
			goto out;
		}
		r = temp_publish(&e->pl, e->path, &t, 0, &h, e->err);
	}
	if (r == 0)
		e->is_changed = 1;
out:
	if (h != INVALID_HANDLE_VALUE)
		(void)CloseHandle(h);
	temp_drop(&t);
	(void)LocalFree(sd);
	smx_buf_release(&old);
	smx_buf_release(&new);
	return r;
}

int smx_os_file_edit(const char *path, size_t max_len, unsigned mode_if_new, smx_os_edit_fn *edit,
	void *arg, int *ret_changed, struct smx_buf *err)
{
	struct edit e = { path, max_len, mode_if_new, edit, arg, 0, { .count = 0 }, err };
	HANDLE lock = INVALID_HANDLE_VALUE;
	int r;

	if ((r = smx_win_walk(path, 0, &e.pl, err)) != 0)
		return r;
	if ((r = smx_win_dacl_check_handle(
		     e.pl.held[e.pl.count - 1], SMX_WIN_DIR, e.pl.dir, err)) == 0 &&
		(r = lock_dir(&e.pl, &lock, err)) == 0) {
		for (int i = 0; (r = edit_once(&e)) == 1; i++) {
			if (i == ROUNDS_MAX) {
				smx_win_say(err,
					"%s is being written by another program all the time",
					path);
				r = SMX_ETIMEOUT;
				break;
			}
			Sleep(ROUND_PAUSE_MS);
		}
		(void)CloseHandle(lock);
	}
	smx_win_place_release(&e.pl);
	if (r == 0 && ret_changed)
		*ret_changed = e.is_changed;
	return r;
}

static int add_line(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	int r = smx_buf_put(out, old.p, old.len);

	(void)is_missing;
	(void)err;
	if (r == 0 && old.len > 0 && old.p[old.len - 1] != '\n')
		r = smx_buf_put(out, "\n", 1);
	if (r == 0)
		r = smx_buf_put_str(out, arg);
	return r == 0 ? smx_buf_put(out, "\n", 1) : r;
}

int smx_os_file_append_line(const char *path, const char *line, struct smx_buf *err)
{
	char *copy;
	int r;

	if (strpbrk(line, "\r\n")) {
		smx_win_say(err, "a line for %s has a line break in it", path);
		return SMX_EINVAL;
	}
	if ((copy = smx_strdup(line)) == NULL)
		return SMX_ENOMEM;
	r = smx_os_file_edit(path, SMX_OS_APPEND_FILE_MAX, 0600, add_line, copy, NULL, err);
	smx_free(copy);
	return r;
}

/* ---- versions and lists ------------------------------------------------------------------------
 */

/* Since 1970: what the system counts from 1601 on would not fit. */
static int64_t unix_ns(const FILETIME *t)
{
	uint64_t at = (uint64_t)t->dwHighDateTime << 32 | t->dwLowDateTime;

	return at < UNIX_EPOCH ? 0 : (int64_t)(at - UNIX_EPOCH) * 100;
}

int smx_os_file_is_no_verdict(int r)
{
	DWORD e = GetLastError();

	return r == SMX_ENOMEM ||
	       (r == SMX_ESYS && (e == ERROR_TOO_MANY_OPEN_FILES || e == ERROR_NOT_ENOUGH_MEMORY ||
					 e == ERROR_OUTOFMEMORY || e == ERROR_IO_DEVICE ||
					 e == ERROR_NO_SYSTEM_RESOURCES));
}

int smx_os_file_is_regular(const char *path)
{
	BY_HANDLE_FILE_INFORMATION info;
	wchar_t *wide;
	HANDLE h;
	int r;

	if ((r = smx_win_wide_path(path, &wide)) != 0)
		return r == SMX_EINVAL ? SMX_ESYS : r;
	h = CreateFileW(wide, FILE_READ_ATTRIBUTES,
		FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
		FILE_FLAG_BACKUP_SEMANTICS, NULL);
	if (h == INVALID_HANDLE_VALUE)
		r = smx_win_fail(NULL, "", path, GetLastError()) == SMX_ENOTFOUND ? SMX_ENOTFOUND
										  : SMX_ESYS;
	else if (GetFileType(h) != FILE_TYPE_DISK)
		r = 0; /* NUL, CON, a pipe */
	else if (!GetFileInformationByHandle(h, &info))
		r = SMX_ESYS;
	else
		r = !(info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY);
	if (h != INVALID_HANDLE_VALUE)
		(void)CloseHandle(h);
	smx_free(wide);
	return r;
}

int smx_os_file_stamp(const char *path, struct smx_os_stamp *ret)
{
	BY_HANDLE_FILE_INFORMATION info;
	wchar_t *wide;
	HANDLE h;
	int r;

	if ((r = smx_win_wide_path(path, &wide)) != 0)
		return r == SMX_EINVAL ? SMX_ESYS : r;
	h = CreateFileW(wide, FILE_READ_ATTRIBUTES,
		FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
		FILE_FLAG_BACKUP_SEMANTICS, NULL);
	if (h == INVALID_HANDLE_VALUE) {
		r = smx_win_fail(NULL, "", path, GetLastError()) == SMX_ENOTFOUND ? SMX_ENOTFOUND
										  : SMX_ESYS;
	} else if (!GetFileInformationByHandle(h, &info)) {
		r = SMX_ESYS;
	} else {
		*ret = (struct smx_os_stamp){
			.mtime_ns = unix_ns(&info.ftLastWriteTime),
			.size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow,
			.inode = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow,
			.device = info.dwVolumeSerialNumber,
		};
	}
	if (h != INVALID_HANDLE_VALUE)
		(void)CloseHandle(h);
	smx_free(wide);
	return r;
}

static int list_names(const wchar_t *pattern, const char *dir, char **names, size_t *ret_count,
	struct smx_buf *err)
{
	WIN32_FIND_DATAW found;
	size_t count = 0;
	char *name;
	HANDLE h = FindFirstFileW(pattern, &found);
	int r = 0;

	if (h == INVALID_HANDLE_VALUE)
		return GetLastError() == ERROR_FILE_NOT_FOUND
			       ? 0
			       : smx_win_fail(err, "cannot list", dir, GetLastError());
	do {
		/* A name that is no text is none of ours. */
		if ((r = smx_win_utf8(found.cFileName, &name)) != 0) {
			r = r == SMX_EINVAL ? 0 : r;
			continue;
		}
		if (!smx_os_is_public_key_name(name)) {
			smx_free(name);
		} else if (count == SMX_OS_LIST_MAX) {
			smx_free(name);
			smx_win_say(
				err, "%s has more than %d id_*.pub files", dir, SMX_OS_LIST_MAX);
			r = SMX_ELIMIT;
		} else {
			names[count++] = name;
		}
	} while (r == 0 && FindNextFileW(h, &found));
	if (r == 0 && GetLastError() != ERROR_NO_MORE_FILES)
		r = smx_win_fail(err, "cannot list", dir, GetLastError());
	(void)FindClose(h);
	*ret_count = count;
	return r;
}

int smx_os_list_public_keys(
	const char *dir, char ***ret_names, size_t *ret_count, struct smx_buf *err)
{
	struct smx_win_place pl;
	size_t count = 0;
	char **names, *pattern = NULL;
	wchar_t *wide = NULL;
	int r;

	if ((r = smx_win_walk(dir, 1, &pl, err)) != 0)
		return r;
	if ((names = smx_calloc(SMX_OS_LIST_MAX, sizeof(*names))) == NULL) {
		r = SMX_ENOMEM;
	} else if ((r = smx_os_path_join(dir, "id_*.pub", &pattern)) == 0 &&
		   (r = smx_win_wide_path(pattern, &wide)) == 0 &&
		   (r = list_names(wide, dir, names, &count, err)) == 0) {
		qsort(names, count, sizeof(*names), smx_os_compare_names);
		*ret_names = names;
		*ret_count = count;
		names = NULL;
	}
	smx_os_names_free(names, count);
	smx_free(pattern);
	smx_free(wide);
	smx_win_place_release(&pl);
	return r;
}
