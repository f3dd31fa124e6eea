/* SPDX-License-Identifier: MIT */
#include "os/os.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void smx_os_socket_stays_here(int64_t socket)
{
#ifdef TCP_CONGESTION
	/* In every Linux kernel, and allowed to everybody. */
	static const char plain[] = "reno";

	(void)setsockopt((int)socket, IPPROTO_TCP, TCP_CONGESTION, plain, sizeof(plain) - 1);
#else
	(void)socket;
#endif
}

int smx_os_socket_exclusive(int64_t socket)
{
	(void)socket; /* SO_REUSEADDR lets nobody in beside who listens */
	return 0;
}
