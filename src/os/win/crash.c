/* SPDX-License-Identifier: MIT */
/*
 * The last words of a process that crashes (D4). The filter runs in the thread that crashed, whose
 * heap may be broken: it allocates nothing, formats by itself, and writes with WriteFile.
 */
#include "os/log.h"
#include "os/win/crash.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/stamp.h"

#define FRAMES_MAX 62 /* of RtlCaptureStackBackTrace in older systems */
#define TIME_1601  11644473600ll /* seconds from its epoch to ours */

static const char *program_name = "ssh-mux";
static volatile HANDLE log_handle;
static LONG is_crashing;

struct words {
	char text[512];
	size_t len;
};

static void put(struct words *w, const char *s)
{
	while (*s && w->len < sizeof(w->text))
		w->text[w->len++] = *s++;
}

static void put_hex(struct words *w, uint64_t n)
{
	char digits[19], *p = digits + sizeof(digits) - 1;

	*p = '\0';
	do {
		*--p = "0123456789abcdef"[n & 15];
		n >>= 4;
	} while (n);
	*--p = 'x';
	*--p = '0';
	put(w, p);
}

static void begin(struct words *w)
{
	char stamp[SMX_LOG_STAMP_SIZE];
	uint64_t ticks;
	FILETIME now;

	GetSystemTimeAsFileTime(&now);
	ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
	smx_log_stamp(
		(int64_t)(ticks / 10000000) - TIME_1601, (unsigned)(ticks / 10000 % 1000), stamp);
	w->len = 0;
	put(w, stamp);
	put(w, " error ");
}

static void say(const struct words *w)
{
	HANDLE to = log_handle, out = GetStdHandle(STD_ERROR_HANDLE);
	DWORD n;

	if (to)
		(void)WriteFile(to, w->text, (DWORD)w->len, &n, NULL);
	if (out && out != INVALID_HANDLE_VALUE)
		(void)WriteFile(out, w->text, (DWORD)w->len, &n, NULL);
}

static void say_trace(void)
{
	void *frames[FRAMES_MAX];
	struct words w;
	USHORT n = CaptureStackBackTrace(0, FRAMES_MAX, frames, NULL);

	for (USHORT i = 0; i < n; i++) {
		w.len = 0;
		put(&w, "  ");
		put_hex(&w, (uintptr_t)frames[i]);
		put(&w, "\n");
		say(&w);
	}
}

static void report(const char *what, uint64_t code, const void *address)
{
	struct words w;

	if (InterlockedExchange(&is_crashing, 1) != 0)
		return;
	begin(&w);
	put(&w, program_name);
	put(&w, " crashed: ");
	put(&w, what);
	if (code) {
		put(&w, " ");
		put_hex(&w, code);
	}
	if (address) {
		put(&w, " at address ");
		put_hex(&w, (uintptr_t)address);
	}
	put(&w, ", program loaded at ");
	put_hex(&w, (uintptr_t)GetModuleHandleW(NULL));
	put(&w, "; called from:\n");
	say(&w);
	say_trace();
}

static LONG WINAPI on_exception(EXCEPTION_POINTERS *info)
{
	report("exception", info->ExceptionRecord->ExceptionCode,
		info->ExceptionRecord->ExceptionAddress);
	return EXCEPTION_CONTINUE_SEARCH;
}

static void on_abort(int number)
{
	(void)number;
	report("aborted", 0, NULL);
}

void smx_win_crash_log(HANDLE h)
{
	log_handle = h;
}

void smx_os_crash_install(const char *program)
{
	program_name = program;
	(void)SetUnhandledExceptionFilter(on_exception);
	(void)signal(SIGABRT, on_abort);
}
