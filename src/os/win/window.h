/* SPDX-License-Identifier: MIT */
#ifndef SMX_OS_WIN_WINDOW_H
#define SMX_OS_WIN_WINDOW_H

#include <stdatomic.h>
#include <stddef.h>

#include "os/window.h"

#include "os/win/win.h"

/* As smx_os_window_ask with SMX_OS_WINDOW_SCRIPT. */
int smx_win_ask_by_script(const struct smx_os_window_question *q, const atomic_int *stop,
	char *ret_answer, size_t size);

#endif
