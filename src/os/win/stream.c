/* SPDX-License-Identifier: MIT */
/* Standard streams, read and written by worker threads; and the console among them. */
#include <io.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/terminal.h"
#include "os/win/console.h"

#define RECORDS      32
#define CANCEL_PAUSE 5

/* ---- the console -------------------------------------------------------------------------------
 */

/*
 * A console handle is signalled by key releases, the mouse and the focus as well, and a read then
 * blocks beyond the reach of a cancel. So what has no character is taken out first. 1: a character
 * waits.
 */
static int has_character(HANDLE in)
{
	INPUT_RECORD records[RECORDS];
	DWORD n, useless;

	for (;;) {
		if (!PeekConsoleInputW(in, records, RECORDS, &n) || n == 0)
			return 0;
		for (useless = 0; useless < n; useless++) {
			const KEY_EVENT_RECORD *key = &records[useless].Event.KeyEvent;

			/* A character typed by its number on the keypad comes with a release. */
			if (records[useless].EventType == KEY_EVENT &&
				key->uChar.UnicodeChar != 0 &&
				(key->bKeyDown || key->wVirtualKeyCode == VK_MENU))
				break;
		}
		if (useless < n && useless == 0)
			return 1;
		if (!ReadConsoleInputW(in, records, useless, &n) || n == 0)
			return 0;
	}
}

static size_t encode(struct smx_win_keys *k, const wchar_t *units, DWORD n, char *out, size_t size)
{
	wchar_t text[RECORDS + 1];
	DWORD count = 0;
	int len;

	if (k->high)
		text[count++] = k->high;
	k->high = 0;
	memcpy(text + count, units, n * sizeof(*units));
	count += n;
	if (count > 0 && IS_HIGH_SURROGATE(text[count - 1]))
		k->high = text[--count];
	if (count == 0)
		return 0;
	len = WideCharToMultiByte(CP_UTF8, 0, text, (int)count, out, (int)size, NULL, NULL);
	smx_wipe(text, sizeof(text));
	return len > 0 ? (size_t)len : 0;
}

int smx_win_keys_read(struct smx_win_keys *k, char *p, size_t size, size_t *ret_len)
{
	HANDLE wait[2] = { k->cancel, k->in };
	wchar_t units[RECORDS];
	/* Three bytes of UTF-8 for each unit, and for the one kept from before. */
	DWORD room = size / 3 > RECORDS ? RECORDS : (DWORD)(size / 3), n;

	if (room < 2)
		return SMX_EINVAL;
	for (;;) {
		DWORD which = WaitForMultipleObjects(2, wait, FALSE, INFINITE);

		if (which == WAIT_OBJECT_0)
			return SMX_ECANCELLED;
		if (which != WAIT_OBJECT_0 + 1)
			return SMX_ESYS;
		if (!has_character(k->in))
			continue;
		if (!ReadConsoleW(k->in, units, room - 1, &n, NULL))
			return GetLastError() == ERROR_OPERATION_ABORTED ? SMX_ECANCELLED
									 : SMX_EEOF;
		if (n == 0)
			return SMX_EEOF;
		*ret_len = encode(k, units, n, p, size);
		smx_wipe(units, sizeof(units)); /* it may be a password */
		if (*ret_len > 0)
			return 0;
	}
}

int smx_win_console_write(HANDLE out, const char *text, size_t len)
{
	wchar_t *wide;
	DWORD done, n;
	int count;

	if (len == 0)
		return 0;
	if (len > 1u << 20)
		return SMX_EINVAL;
	if ((wide = smx_malloc(len * sizeof(*wide))) == NULL)
		return SMX_ENOMEM;
	count = MultiByteToWideChar(CP_UTF8, 0, text, (int)len, wide, (int)len);
	for (n = 0; n < (DWORD)count; n += done)
		if (!WriteConsoleW(out, wide + n, (DWORD)count - n, &done, NULL) || done == 0)
			break;
	smx_wipe(wide, len * sizeof(*wide));
	smx_free(wide);
	return n == (DWORD)count ? 0 : SMX_EEOF;
}

/* ---- input -------------------------------------------------------------------------------------
 */

struct smx_os_input {
	HANDLE h, cancel;
	int is_console;
	struct smx_win_keys keys;
	CRITICAL_SECTION mutex;
	HANDLE reader; /* the thread that is in a read, or NULL */
};

int smx_os_input_new(int fd, struct smx_os_input **ret)
{
	struct smx_os_input *in = smx_calloc(1, sizeof(*in));
	intptr_t h = _get_osfhandle(fd);
	DWORD mode;

	if (!in)
		return SMX_ENOMEM;
	if ((in->cancel = CreateEventW(NULL, TRUE, FALSE, NULL)) == NULL) {
		smx_free(in);
		return SMX_ESYS;
	}
	in->h = h == -1 || h == -2 ? INVALID_HANDLE_VALUE : (HANDLE)h;
	in->is_console = GetConsoleMode(in->h, &mode) != 0;
	in->keys = (struct smx_win_keys){ .in = in->h, .cancel = in->cancel };
	InitializeCriticalSection(&in->mutex);
	*ret = in;
	return 0;
}

static int begin_read(struct smx_os_input *in)
{
	HANDLE self = GetCurrentProcess(), thread = NULL;
	int is_cancelled;

	(void)DuplicateHandle(
		self, GetCurrentThread(), self, &thread, 0, FALSE, DUPLICATE_SAME_ACCESS);
	EnterCriticalSection(&in->mutex);
	is_cancelled = WaitForSingleObject(in->cancel, 0) == WAIT_OBJECT_0;
	in->reader = is_cancelled ? NULL : thread;
	LeaveCriticalSection(&in->mutex);
	if (is_cancelled && thread)
		(void)CloseHandle(thread);
	return is_cancelled ? SMX_ECANCELLED : 0;
}

static void end_read(struct smx_os_input *in)
{
	HANDLE thread;

	EnterCriticalSection(&in->mutex);
	thread = in->reader;
	in->reader = NULL;
	LeaveCriticalSection(&in->mutex);
	if (thread)
		(void)CloseHandle(thread);
}

int smx_os_input_read(struct smx_os_input *in, void *p, size_t size, size_t *ret_len)
{
	DWORD n = 0, e = ERROR_SUCCESS;
	int r;

	if (in->h == INVALID_HANDLE_VALUE)
		return SMX_EEOF;
	if (in->is_console)
		return smx_win_keys_read(&in->keys, p, size, ret_len);
	if ((r = begin_read(in)) != 0)
		return r;
	if (!ReadFile(in->h, p, size < (1u << 20) ? (DWORD)size : 1u << 20, &n, NULL))
		e = GetLastError();
	end_read(in);
	if (e == ERROR_OPERATION_ABORTED)
		return SMX_ECANCELLED;
	if (n > 0) {
		*ret_len = n;
		return 0;
	}
	return e == ERROR_SUCCESS || e == ERROR_BROKEN_PIPE || e == ERROR_HANDLE_EOF ||
			       e == ERROR_PIPE_NOT_CONNECTED
		       ? SMX_EEOF
		       : SMX_ESYS;
}

void smx_os_input_cancel(struct smx_os_input *in)
{
	int is_reading = 1;

	(void)SetEvent(in->cancel);
	/* A read that was about to begin is not there to be cancelled yet: again, until it is. */
	while (is_reading) {
		EnterCriticalSection(&in->mutex);
		is_reading = in->reader != NULL;
		if (is_reading)
			(void)CancelSynchronousIo(in->reader);
		LeaveCriticalSection(&in->mutex);
		if (is_reading)
			Sleep(CANCEL_PAUSE);
	}
}

void smx_os_input_free(struct smx_os_input *in)
{
	if (!in)
		return;
	(void)CloseHandle(in->cancel);
	DeleteCriticalSection(&in->mutex);
	smx_free(in);
}

/* ---- output ------------------------------------------------------------------------------------
 */

int smx_os_output_write(int fd, const void *p, size_t len)
{
	intptr_t h = _get_osfhandle(fd);
	const uint8_t *at = p;
	DWORD n, mode, e;

	if (h == -1 || h == -2)
		return SMX_EEOF;
	/* Bytes as they are: with its output code page at UTF-8 a console takes them too, also a
	 * character that is cut in two. */
	if (GetConsoleMode((HANDLE)h, &mode) && GetConsoleOutputCP() != CP_UTF8)
		(void)SetConsoleOutputCP(CP_UTF8);
	for (; len > 0; at += n, len -= n) {
		if (WriteFile((HANDLE)h, at, len < 32768 ? (DWORD)len : 32768, &n, NULL))
			continue;
		e = GetLastError();
		return e == ERROR_BROKEN_PIPE || e == ERROR_NO_DATA || e == ERROR_PIPE_NOT_CONNECTED
			       ? SMX_EEOF
			       : SMX_ESYS;
	}
	return 0;
}

/* Its size is fixed by who made it. */
void smx_os_pipe_widen(int fd)
{
	(void)fd;
}
