/* SPDX-License-Identifier: MIT */
/* The process itself. */
#include <winsock2.h>

#include "os/win/win.h"

#include <io.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

int64_t smx_os_pid(void)
{
	return (int64_t)GetCurrentProcessId();
}

uint64_t smx_os_monotonic_ms(void)
{
	return GetTickCount64();
}

void smx_os_sleep_ms(unsigned ms)
{
	Sleep(ms);
}

int smx_os_is_terminal(int fd)
{
	intptr_t h = _get_osfhandle(fd);
	DWORD mode;

	/* isatty() says yes to every character device, NUL included. */
	return h != -1 && h != -2 && GetConsoleMode((HANDLE)h, &mode) != 0;
}

void smx_os_ignore_sigpipe(void)
{
	/* Writing to a closed pipe or socket is an error code here, always. */
}

int smx_os_raise_file_limit(uint64_t *ret_limit)
{
	int limit = _getmaxstdio();

	/* Sockets and pipes are handles, of which there is no such limit; files of the C library
	 * are few. */
	if (limit < 0)
		return SMX_ESYS;
	*ret_limit = UINT64_MAX;
	return 0;
}

int smx_os_disable_core_dumps(void)
{
	/* No window that waits for a click in a daemon without a desktop, and no report with our
	 * memory in it. */
	(void)SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
	return 0;
}

void smx_os_tcp_ack_now(int64_t socket)
{
	(void)socket; /* There is no such request here. */
}

void smx_os_socket_stays_here(int64_t socket)
{
	(void)socket; /* The congestion control is the system's alone. */
}

int smx_os_socket_exclusive(int64_t socket)
{
	/* SO_REUSEADDR of another program would let it take our clients otherwise. */
	const BOOL yes = TRUE;

	return setsockopt((SOCKET)socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&yes,
		       sizeof(yes)) == 0
		       ? 0
		       : SMX_ESYS;
}

int smx_os_reload_signal(void)
{
	return 0;
}
