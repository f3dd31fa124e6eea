/* SPDX-License-Identifier: MIT */
#include "os/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif
#if defined(__FreeBSD__) || defined(__NetBSD__)
#include <sys/filio.h>
#endif

#include "base/err.h"

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

int smx_os_tcp_acks(int64_t socket, struct smx_os_tcp_acks *ret)
{
#if defined(__linux__)
	struct tcp_info info = { 0 };
	socklen_t n = sizeof(info);
	int queued;

	if (getsockopt((int)socket, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 ||
		ioctl((int)socket, SIOCOUTQ, &queued) != 0)
		return SMX_ESYS;
	*ret = (struct smx_os_tcp_acks){ info.tcpi_last_ack_recv, (uint64_t)queued };
	return 0;
#elif defined(TCP_CONNECTION_INFO)
	struct tcp_connection_info info = { 0 };
	socklen_t n = sizeof(info);

	if (getsockopt((int)socket, IPPROTO_TCP, TCP_CONNECTION_INFO, &info, &n) != 0)
		return SMX_ESYS;
	*ret = (struct smx_os_tcp_acks){ -1, info.tcpi_snd_sbbytes };
	return 0;
#elif defined(FIONWRITE)
	int queued;

	if (ioctl((int)socket, FIONWRITE, &queued) != 0)
		return SMX_ESYS;
	*ret = (struct smx_os_tcp_acks){ -1, (uint64_t)queued };
	return 0;
#else
	(void)socket;
	(void)ret;
	return SMX_EUNSUPPORTED;
#endif
}

int smx_os_tcp_unsent(int64_t socket, size_t *ret_len)
{
#ifdef SIOCOUTQNSD
	int n;

	if (ioctl((int)socket, SIOCOUTQNSD, &n) != 0)
		return SMX_ESYS;
	*ret_len = (size_t)n;
	return 0;
#else
	(void)socket;
	(void)ret_len;
	return SMX_EUNSUPPORTED;
#endif
}
