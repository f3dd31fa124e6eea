/* SPDX-License-Identifier: MIT */
/* The console as a terminal: what `connect` and the questions read and write. */
#ifndef SMX_OS_WIN_CONSOLE_H
#define SMX_OS_WIN_CONSOLE_H

#include "os/win/win.h"

/*
 * Waits until a key with a character was typed, and takes characters as UTF-8. A cancel event that
 * is set ends the wait. SMX_ECANCELLED, SMX_EEOF, SMX_ESYS.
 */
struct smx_win_keys {
	HANDLE in, cancel;
	wchar_t high; /* the first half of a pair whose second has not come yet */
};
int smx_win_keys_read(struct smx_win_keys *k, char *p, size_t size, size_t *ret_len);
/* UTF-8 to a console, whatever its code page. */
int smx_win_console_write(HANDLE out, const char *text, size_t len);

#endif
