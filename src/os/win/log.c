/* SPDX-License-Identifier: MIT */
/*
 * The log file (D4), written by several processes at once. A handle that may append and nothing
 * else puts each line, whole, at the end. A line is written under a shared lock on a byte far
 * behind the end, after a look whether the file still has its name; who finds it full takes the
 * lock alone, looks once more, and renames it.
 */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/log.h"
#include "os/path.h"
#include "os/process.h"
#include "os/win/crash.h"
#include "os/win/dacl.h"
#include "os/win/walk.h"

#define OLD_SUFFIX     L".old"
#define LOCK_WAIT_MS   20
#define REOPEN_TRIES   8
#define REOPEN_REST_MS 1000
#define LOCK_AT_HIGH   0x7fffffffu

struct smx_os_log {
	char *path;
	wchar_t *wide;
	uint64_t max_bytes, rotate_at, no_open_until_ms;
	HANDLE h; /* INVALID_HANDLE_VALUE: could not be opened again */
	int has_stderr;
	DWORD rotate_error;
};

static HANDLE open_shared(const wchar_t *wide, DWORD access, DWORD how, SECURITY_ATTRIBUTES *sa)
{
	return CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, sa,
		how, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
}

static int check_log(HANDLE h, const char *path, struct smx_buf *err)
{
	BY_HANDLE_FILE_INFORMATION info;
	int r;

	if ((r = smx_win_refuse_reparse(h, path, 0, err)) != 0 ||
		(r = smx_win_dacl_check_handle(h, SMX_WIN_FILE, path, err)) != 0)
		return r;
	if (!GetFileInformationByHandle(h, &info))
		return smx_win_fail(err, "cannot examine", path, GetLastError());
	if (info.nNumberOfLinks > 1) {
		smx_win_say(err,
			"%s has another name too (a hard link), which may be any file's; move it "
			"away",
			path);
		return SMX_EUNSAFE;
	}
	return 0;
}

static int open_log(const char *path, DWORD access, HANDLE *ret, struct smx_buf *err)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	struct smx_win_place pl;
	char *dir;
	HANDLE h;
	int r;

	if ((r = smx_os_path_dir(path, &dir)) != 0)
		return r;
	r = smx_os_dir_ensure(dir, err);
	smx_free(dir);
	if (r != 0 || (r = smx_win_walk(path, 0, &pl, err)) != 0)
		return r;
	if ((r = smx_win_private_sd(0, &sa.lpSecurityDescriptor)) == 0) {
		h = open_shared(pl.wide, access | READ_CONTROL, OPEN_ALWAYS, &sa);
		if (h == INVALID_HANDLE_VALUE)
			r = smx_win_fail(err, "cannot open", path, GetLastError());
		else if ((r = check_log(h, path, err)) != 0)
			(void)CloseHandle(h);
		else
			*ret = h;
		(void)LocalFree(sa.lpSecurityDescriptor);
	}
	smx_win_place_release(&pl);
	return r;
}

int smx_os_log_open(const char *path, int *ret_fd, uint64_t *ret_size, struct smx_buf *err)
{
	LARGE_INTEGER size;
	HANDLE h;
	int fd, r;

	r = open_log(path, FILE_APPEND_DATA | FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
		&h, err);
	if (r != 0)
		return r;
	if (!GetFileSizeEx(h, &size) ||
		(fd = _open_osfhandle((intptr_t)h, _O_APPEND | _O_BINARY | _O_NOINHERIT)) < 0) {
		(void)CloseHandle(h);
		return SMX_ESYS;
	}
	*ret_fd = fd;
	*ret_size = (uint64_t)size.QuadPart;
	return 0;
}

int smx_os_log_read(int fd, uint64_t from, struct smx_buf *out)
{
	OVERLAPPED at = { .Offset = (DWORD)from, .OffsetHigh = (DWORD)(from >> 32) };
	size_t room = out->max - smx_buf_len(out);
	uint8_t *to;
	DWORD n = 0;
	int r;

	if ((r = smx_buf_reserve(out, room, &to)) != 0)
		return r;
	if (!ReadFile((HANDLE)_get_osfhandle(fd), to, (DWORD)room, &n, &at) &&
		GetLastError() != ERROR_HANDLE_EOF)
		return SMX_ESYS;
	smx_buf_commit(out, n);
	return 0;
}

/* ---- for a writer ------------------------------------------------------------------------------
 */

static int is_same(HANDLE a, HANDLE b)
{
	BY_HANDLE_FILE_INFORMATION x, y;

	return GetFileInformationByHandle(a, &x) && GetFileInformationByHandle(b, &y) &&
	       x.dwVolumeSerialNumber == y.dwVolumeSerialNumber &&
	       x.nFileIndexHigh == y.nFileIndexHigh && x.nFileIndexLow == y.nFileIndexLow;
}

/* stdout and stderr go where the log goes from now on. */
static void redirect(struct smx_os_log *l, int fd)
{
	HANDLE self = GetCurrentProcess(), copy;
	int temp;

	if (!DuplicateHandle(self, l->h, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS))
		return;
	if ((temp = _open_osfhandle((intptr_t)copy, _O_APPEND | _O_BINARY)) < 0) {
		(void)CloseHandle(copy);
		return;
	}
	(void)fflush(fd == 2 ? stderr : stdout);
	if (_dup2(temp, fd) == 0) {
		(void)SetStdHandle(
			fd == 2 ? STD_ERROR_HANDLE : STD_OUTPUT_HANDLE, (HANDLE)_get_osfhandle(fd));
		if (fd == 2)
			l->has_stderr = 1;
	}
	(void)_close(temp);
}

static int goes_to(int fd, HANDLE h)
{
	intptr_t to = _get_osfhandle(fd);

	return to != -1 && to != -2 && is_same((HANDLE)to, h);
}

static int reopen(struct smx_os_log *l, int takes_stderr, struct smx_buf *err)
{
	const DWORD access = FILE_APPEND_DATA | FILE_READ_ATTRIBUTES | DELETE | SYNCHRONIZE;
	HANDLE h, had = l->h;
	int r;

	if (smx_os_monotonic_ms() < l->no_open_until_ms) {
		smx_win_say(err, "cannot open %s", l->path);
		return SMX_ESYS;
	}
	/* Locks want more than the right to append. */
	if ((r = open_log(l->path, access | FILE_READ_DATA, &h, err)) != 0) {
		l->no_open_until_ms = smx_os_monotonic_ms() + REOPEN_REST_MS;
		return r;
	}
	l->h = h;
	l->rotate_at = l->max_bytes;
	for (int fd = 1; fd <= 2; fd++)
		/* stdout may be the pipe that somebody waits at (smx_os_daemon_report). */
		if ((takes_stderr && fd == 2) ||
			(had != INVALID_HANDLE_VALUE && goes_to(fd, had)) || goes_to(fd, h))
			redirect(l, fd);
	smx_win_crash_log(l->has_stderr ? NULL : l->h);
	if (had != INVALID_HANDLE_VALUE)
		(void)CloseHandle(had);
	return 0;
}

int smx_os_log_new(const char *path, uint64_t max_bytes, int takes_stderr, struct smx_os_log **ret,
	struct smx_buf *err)
{
	struct smx_os_log *l = smx_calloc(1, sizeof(*l));
	int r = SMX_ENOMEM;

	if (!l)
		return SMX_ENOMEM;
	l->h = INVALID_HANDLE_VALUE;
	l->max_bytes = max_bytes;
	if (!(l->path = smx_strdup(path)) || (r = smx_win_wide_path(path, &l->wide)) != 0 ||
		(r = reopen(l, takes_stderr, err)) != 0) {
		smx_os_log_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

int smx_os_log_has_stderr(const struct smx_os_log *l)
{
	return l->has_stderr;
}

void smx_os_log_free(struct smx_os_log *l)
{
	if (!l)
		return;
	smx_win_crash_log(NULL);
	if (l->h != INVALID_HANDLE_VALUE)
		(void)CloseHandle(l->h);
	smx_free(l->wide);
	smx_free(l->path);
	smx_free(l);
}

static int lock(struct smx_os_log *l, DWORD how)
{
	uint64_t end = smx_os_monotonic_ms() + LOCK_WAIT_MS;

	for (;;) {
		OVERLAPPED at = { .OffsetHigh = LOCK_AT_HIGH };

		if (LockFileEx(l->h, how | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at))
			return 1;
		if (GetLastError() != ERROR_LOCK_VIOLATION && GetLastError() != ERROR_IO_PENDING)
			return 0;
		if (smx_os_monotonic_ms() >= end)
			return 0;
		Sleep(1);
	}
}

static void unlock(struct smx_os_log *l)
{
	OVERLAPPED at = { .OffsetHigh = LOCK_AT_HIGH };

	(void)UnlockFileEx(l->h, 0, 1, 0, &at);
}

static int is_current(const struct smx_os_log *l)
{
	HANDLE named = open_shared(l->wide, FILE_READ_ATTRIBUTES, OPEN_EXISTING, NULL);
	int same;

	if (named == INVALID_HANDLE_VALUE)
		return 0;
	same = is_same(named, l->h);
	(void)CloseHandle(named);
	return same;
}

static int is_full(const struct smx_os_log *l, size_t len)
{
	LARGE_INTEGER size;

	return GetFileSizeEx(l->h, &size) && size.QuadPart > 0 &&
	       (uint64_t)size.QuadPart + len > l->rotate_at;
}

/* With the lock of a writer, which is given up. 0: the name may be another file's now. */
static int rotate(struct smx_os_log *l, size_t len)
{
	size_t n = wcslen(l->wide) + wcslen(OLD_SUFFIX) + 1;
	wchar_t *old;

	unlock(l);
	l->rotate_error = ERROR_SUCCESS;
	if (!lock(l, LOCKFILE_EXCLUSIVE_LOCK))
		return SMX_EAGAIN;
	if (is_current(l) && is_full(l, len)) {
		if ((old = smx_calloc(n, sizeof(*old))) == NULL) {
			unlock(l);
			return SMX_ENOMEM;
		}
		(void)swprintf(old, n, L"%ls%ls", l->wide, OLD_SUFFIX);
		if (!MoveFileExW(l->wide, old, MOVEFILE_REPLACE_EXISTING)) {
			l->rotate_error = GetLastError();
			l->rotate_at += l->max_bytes / 8;
		}
		smx_free(old);
	}
	unlock(l);
	return l->rotate_error ? SMX_ESYS : 0;
}

int smx_os_log_write(struct smx_os_log *l, const char *line, size_t len, struct smx_buf *err)
{
	int r, is_locked, may_rotate = 1;
	DWORD n = 0;

	for (int tries = 0;; tries++) {
		if (l->h == INVALID_HANDLE_VALUE && (r = reopen(l, 0, err)) != 0)
			return r;
		is_locked = lock(l, 0);
		if (is_current(l)) {
			if (!may_rotate || tries >= REOPEN_TRIES || !is_full(l, len))
				break;
			may_rotate = rotate(l, len) == 0;
			continue;
		}
		if (is_locked)
			unlock(l);
		if (tries >= REOPEN_TRIES)
			break;
		if ((r = reopen(l, 0, err)) != 0)
			return r;
	}
	r = 0;
	if (!WriteFile(l->h, line, (DWORD)len, &n, NULL) || n != len)
		r = smx_win_fail(err, "cannot write to", l->path,
			n != len && GetLastError() == ERROR_SUCCESS ? ERROR_DISK_FULL
								    : GetLastError());
	if (is_locked)
		unlock(l);
	if (r == 0 && !may_rotate && l->rotate_error) {
		(void)smx_win_fail(err, "cannot rename", l->path, l->rotate_error);
		return 1;
	}
	return r == SMX_EDENIED ? SMX_ESYS : r;
}
