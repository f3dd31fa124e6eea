/* SPDX-License-Identifier: MIT */
/* The console of `ssh-mux connect` and `top` (D2). */
#include <io.h>
#include <string.h>

#include "base/err.h"
#include "base/wire.h"
#include "os/terminal.h"
#include "os/win/console.h"

#ifndef ENABLE_VIRTUAL_TERMINAL_INPUT
#define ENABLE_VIRTUAL_TERMINAL_INPUT 0x0200
#endif
#ifndef DISABLE_NEWLINE_AUTO_RETURN
#define DISABLE_NEWLINE_AUTO_RETURN 0x0008
#endif

static HANDLE handle_of(int fd)
{
	intptr_t h = _get_osfhandle(fd);

	return h == -1 || h == -2 ? INVALID_HANDLE_VALUE : (HANDLE)h;
}

int smx_os_terminal_size(int fd, struct smx_os_terminal_size *ret)
{
	CONSOLE_SCREEN_BUFFER_INFO info;
	HANDLE h = handle_of(fd), out = INVALID_HANDLE_VALUE;
	DWORD mode;
	BOOL ok;

	if (!GetConsoleMode(h, &mode))
		return SMX_ENOTFOUND;
	/* The size is the output's, whichever end was asked about. */
	ok = GetConsoleScreenBufferInfo(h, &info);
	if (!ok) {
		out = CreateFileW(L"CONOUT$", GENERIC_READ | GENERIC_WRITE,
			FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
		ok = out != INVALID_HANDLE_VALUE && GetConsoleScreenBufferInfo(out, &info);
		if (out != INVALID_HANDLE_VALUE)
			(void)CloseHandle(out);
	}
	if (!ok)
		return SMX_ENOTFOUND;
	*ret = (struct smx_os_terminal_size){
		.columns = (uint32_t)(info.srWindow.Right - info.srWindow.Left + 1),
		.rows = (uint32_t)(info.srWindow.Bottom - info.srWindow.Top + 1),
	};
	return 0;
}

/*
 * RFC 4254 section 8. A console has no such modes: these are what its keys mean and what a program
 * on a fresh Unix terminal finds.
 */
int smx_os_terminal_modes(int fd, struct smx_buf *out)
{
	static const struct {
		uint8_t opcode;
		uint32_t value;
	} modes[] = {
		{ 1, 3 },
		{ 2, 28 },
		{ 3, 127 },
		{ 4, 21 },
		{ 5, 4 },
		{ 8, 17 },
		{ 9, 19 },
		{ 10, 26 },
		{ 12, 18 },
		{ 13, 23 },
		{ 14, 22 },
		{ 18, 15 },
		{ 36, 1 } /* ICRNL */,
		{ 38, 1 } /* IXON */,
		{ 42, 1 } /* IUTF8, RFC 8160 */,
		{ 50, 1 } /* ISIG */,
		{ 51, 1 } /* ICANON */,
		{ 53, 1 } /* ECHO */,
		{ 54, 1 } /* ECHOE */,
		{ 55, 1 } /* ECHOK */,
		{ 59, 1 } /* IEXTEN */,
		{ 60, 1 } /* ECHOCTL */,
		{ 61, 1 } /* ECHOKE */,
		{ 70, 1 } /* OPOST */,
		{ 72, 1 } /* ONLCR */,
		{ 91, 1 } /* CS8 */,
		{ 128, 38400 },
		{ 129, 38400 },
	};
	uint8_t one[5];
	DWORD mode;
	int r = 0;

	if (!GetConsoleMode(handle_of(fd), &mode))
		return SMX_ENOTFOUND;
	for (size_t i = 0; r == 0 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		one[0] = modes[i].opcode;
		for (int b = 0; b < 4; b++)
			one[1 + b] = (uint8_t)(modes[i].value >> (24 - 8 * b));
		r = smx_buf_put(out, one, sizeof(one));
	}
	return r == 0 ? smx_buf_put(out, "", 1) : r;
}

/* ---- raw mode ----------------------------------------------------------------------------------
 */

static struct {
	HANDLE in, out;
	DWORD in_mode, out_mode;
	UINT code_page;
	int is_raw, is_full;
} state;

static BOOL WINAPI on_close(DWORD event)
{
	/* Ctrl-C comes as a character in raw mode; these end the process. */
	if (event == CTRL_CLOSE_EVENT || event == CTRL_BREAK_EVENT || event == CTRL_LOGOFF_EVENT ||
		event == CTRL_SHUTDOWN_EVENT)
		smx_os_terminal_restore();
	return FALSE;
}

static int make_raw(HANDLE in, HANDLE out)
{
	const DWORD off = ENABLE_ECHO_INPUT | ENABLE_LINE_INPUT | ENABLE_PROCESSED_INPUT |
			  ENABLE_MOUSE_INPUT | ENABLE_QUICK_EDIT_MODE;
	DWORD mode;

	if (!GetConsoleMode(in, &state.in_mode))
		return SMX_ENOTFOUND;
	mode = (state.in_mode & ~off) | ENABLE_EXTENDED_FLAGS | ENABLE_WINDOW_INPUT;
	/* Keys as the sequences that a terminal sends; systems before that have characters only. */
	if (!SetConsoleMode(in, mode | ENABLE_VIRTUAL_TERMINAL_INPUT) && !SetConsoleMode(in, mode))
		return SMX_ESYS;
	state.in = in;
	state.out = INVALID_HANDLE_VALUE;
	state.code_page = GetConsoleOutputCP();
	if (GetConsoleMode(out, &state.out_mode)) {
		state.out = out;
		mode = state.out_mode | ENABLE_PROCESSED_OUTPUT |
		       ENABLE_VIRTUAL_TERMINAL_PROCESSING;
		if (!SetConsoleMode(out, mode | DISABLE_NEWLINE_AUTO_RETURN))
			(void)SetConsoleMode(out, mode);
		(void)SetConsoleOutputCP(CP_UTF8);
	}
	state.is_raw = 1;
	(void)SetConsoleCtrlHandler(on_close, TRUE);
	return 0;
}

int smx_os_terminal_raw(int fd)
{
	return make_raw(handle_of(fd), handle_of(1));
}

int smx_os_terminal_full(int in, int out)
{
	/* The other screen, without a cursor and without wrapping. */
	static const char begin[] = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
	DWORD mode;
	int r;

	if (!GetConsoleMode(handle_of(out), &mode))
		return SMX_ENOTFOUND;
	if ((r = make_raw(handle_of(in), handle_of(out))) != 0)
		return r;
	state.is_full = 1;
	(void)smx_win_console_write(state.out, begin, sizeof(begin) - 1);
	return 0;
}

void smx_os_terminal_restore(void)
{
	static const char end[] = "\x1b[?7h\x1b[?25h\x1b[?1049l";

	if (!state.is_raw)
		return;
	if (state.is_full)
		(void)smx_win_console_write(state.out, end, sizeof(end) - 1);
	(void)SetConsoleMode(state.in, state.in_mode | ENABLE_EXTENDED_FLAGS);
	if (state.out != INVALID_HANDLE_VALUE) {
		(void)SetConsoleMode(state.out, state.out_mode);
		(void)SetConsoleOutputCP(state.code_page);
	}
	state.is_raw = state.is_full = 0;
	(void)SetConsoleCtrlHandler(on_close, FALSE);
}

int smx_os_terminal_is_utf8(void)
{
	return 1; /* what we write is turned into UTF-16 for the console */
}
