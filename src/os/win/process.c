/* SPDX-License-Identifier: MIT */
/* The process itself. */
#include <winsock2.h>

#include "os/process.h"
#include "os/tcp.h"
#include "os/win/win.h"

#include <io.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

int64_t smx_os_pid(void)
{
	return (int64_t)GetCurrentProcessId();
}

int smx_os_parent_args(struct smx_buf *out)
{
	(void)out;
	return SMX_EUNSUPPORTED;
}

_Noreturn void smx_os_exit_now(int code)
{
	/* Not ExitProcess: it runs DLLs' code, which may want a lock that a thread had. */
	(void)TerminateProcess(GetCurrentProcess(), (UINT)code);
	abort();
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

void smx_os_thread_background(void)
{
	(void)SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_LOWEST);
}

void smx_os_ignore_hangup(void)
{
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

void smx_os_release_memory(void)
{
	(void)_heapmin();
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

/* mstcpip.h has it only where the oldest Windows to run on is new enough for it. */
#define TCP_INFO_CONTROL _WSAIORW(IOC_VENDOR, 39) /* SIO_TCP_INFO */

struct tcp_info_0 { /* TCP_INFO_v0 */
	int state;
	ULONG mss;
	ULONG64 connection_time_ms;
	BOOLEAN has_timestamps;
	ULONG rtt_us, min_rtt_us, bytes_in_flight, cwnd, snd_wnd, rcv_wnd, rcv_buf;
	ULONG64 bytes_out, bytes_in;
	ULONG bytes_reordered, bytes_retrans, fast_retrans, dup_acks_in, timeout_episodes;
	UCHAR syn_retrans;
};

int smx_os_tcp_acks(int64_t socket, struct smx_os_tcp_acks *ret)
{
	struct tcp_info_0 info = { 0 };
	DWORD version = 0, n = 0;

	if (WSAIoctl((SOCKET)socket, TCP_INFO_CONTROL, &version, sizeof(version), &info,
		    sizeof(info), &n, NULL, NULL) != 0)
		return WSAGetLastError() == WSAENOTSOCK ? SMX_ESYS : SMX_EUNSUPPORTED;
	*ret = (struct smx_os_tcp_acks){ -1, info.bytes_in_flight };
	return 0;
}

int smx_os_tcp_unsent(int64_t socket, size_t *ret_len)
{
	(void)socket;
	(void)ret_len;
	return SMX_EUNSUPPORTED;
}

int smx_os_reload_signal(void)
{
	return 0;
}

/* libcrypto locks nothing here. */
uint64_t smx_os_lock_limit(void)
{
	return 0;
}
