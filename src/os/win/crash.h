/* SPDX-License-Identifier: MIT */
#ifndef SMX_OS_WIN_CRASH_H
#define SMX_OS_WIN_CRASH_H

#include "os/win/win.h"

/* Where a crash is reported besides stderr; NULL: nowhere. Borrowed. */
void smx_win_crash_log(HANDLE h);

#endif
