/* SPDX-License-Identifier: MIT */
/* TCP clients of this machine: taking them in, and whose they are (U9). */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <iphlpapi.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/tcp.h"
#include "os/win/win.h"

#define TABLE_MAX  (16u << 20)
#define TABLE_TRYS 8 /* while it grows under us */

static int set_flags(SOCKET s)
{
	u_long on = 1;

	return ioctlsocket(s, (long)FIONBIO, &on) == 0 &&
			       SetHandleInformation((HANDLE)s, HANDLE_FLAG_INHERIT, 0)
		       ? 0
		       : SMX_ESYS;
}

int smx_os_tcp_listen(uint16_t port, int backlog, int64_t *ret_socket)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	WSADATA wsa;
	SOCKET s;
	int e;

	/* Stays, as the event loop's own does. */
	if (WSAStartup(MAKEWORD(2, 2), &wsa) != 0)
		return SMX_ESYS;
	s = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
		WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	if (s == INVALID_SOCKET)
		return SMX_ESYS;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (set_flags(s) != 0 || smx_os_socket_exclusive((int64_t)s) != 0 ||
		bind(s, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
		goto fail;
	smx_os_socket_stays_here((int64_t)s);
	if (listen(s, backlog) != 0)
		goto fail;
	*ret_socket = (int64_t)s;
	return 0;
fail:
	e = WSAGetLastError();
	(void)closesocket(s);
	return e == WSAEADDRINUSE ? SMX_EEXISTS : e == WSAEACCES ? SMX_EDENIED : SMX_ESYS;
}

int smx_os_tcp_accept(int64_t listener, int64_t *ret_socket)
{
	SOCKET s;
	int e;

	do {
		s = accept((SOCKET)listener, NULL, NULL);
		e = s == INVALID_SOCKET ? WSAGetLastError() : 0;
	} while (e == WSAECONNRESET || e == WSAEINTR); /* gone before we came: the next one */
	if (e == WSAEWOULDBLOCK)
		return SMX_EAGAIN;
	if (e != 0)
		return e == WSAEMFILE || e == WSAENOBUFS ? SMX_ELIMIT : SMX_ESYS;
	if (set_flags(s) != 0) {
		(void)closesocket(s);
		return SMX_ESYS;
	}
	*ret_socket = (int64_t)s;
	return 0;
}

void smx_os_tcp_close(int64_t socket)
{
	if (socket >= 0)
		(void)closesocket((SOCKET)socket);
}

/* ---- whose they are ----------------------------------------------------------------------------
 */

struct smx_os_tcp_peers {
	MIB_TCPTABLE_OWNER_PID *table; /* kept for its memory */
	ULONG size;
};

/* The connections of this moment, with the process of each. */
static int read_table(struct smx_os_tcp_peers *p)
{
	ULONG size;
	DWORD e;

	for (int i = 0; i < TABLE_TRYS; i++) {
		size = p->size;
		e = GetExtendedTcpTable(
			p->table, &size, FALSE, AF_INET, TCP_TABLE_OWNER_PID_CONNECTIONS, 0);
		if (e == NO_ERROR && p->table)
			return 0;
		if (e != NO_ERROR && e != ERROR_INSUFFICIENT_BUFFER)
			return SMX_ESYS;
		smx_free(p->table);
		/* Some more than is needed now: it grows with each client. */
		size = size < TABLE_MAX ? size + size / 4 + 4096 : 0;
		if (size == 0 || (p->table = smx_malloc(size)) == NULL) {
			p->table = NULL;
			p->size = 0;
			return SMX_ESYS;
		}
		p->size = size;
	}
	return SMX_ESYS;
}

int smx_os_tcp_peers_new(int64_t listener, struct smx_os_tcp_peers **ret)
{
	struct smx_os_tcp_peers *p = smx_calloc(1, sizeof(*p));

	(void)listener;
	if (!p)
		return SMX_ENOMEM;
	if (read_table(p) != 0) {
		smx_os_tcp_peers_free(p);
		return SMX_EUNSUPPORTED;
	}
	*ret = p;
	return 0;
}

int smx_os_tcp_peer_check(struct smx_os_tcp_peers *p, int64_t socket, int64_t *ret_uid)
{
	struct sockaddr_in own = { .sin_family = 0 }, peer = { .sin_family = 0 };
	int own_len = sizeof(own), peer_len = sizeof(peer), r;

	if (getsockname((SOCKET)socket, (struct sockaddr *)&own, &own_len) != 0)
		return SMX_ESYS;
	if (getpeername((SOCKET)socket, (struct sockaddr *)&peer, &peer_len) != 0)
		return WSAGetLastError() == WSAENOTCONN ? SMX_EEOF : SMX_ESYS;
	if (own.sin_family != AF_INET || peer.sin_family != AF_INET)
		return SMX_ESYS;
	if ((r = read_table(p)) != 0)
		return r;
	for (DWORD i = 0; i < p->table->dwNumEntries; i++) {
		const MIB_TCPROW_OWNER_PID *row = &p->table->table[i];

		if (row->dwLocalAddr != peer.sin_addr.s_addr ||
			(u_short)row->dwLocalPort != peer.sin_port ||
			row->dwRemoteAddr != own.sin_addr.s_addr ||
			(u_short)row->dwRemotePort != own.sin_port)
			continue;
		if (row->dwOwningPid == 0)
			break;
		*ret_uid = -1;
		return smx_win_process_check(row->dwOwningPid);
	}
	/* Closed, or of a subsystem whose sockets are in no table of this one. */
	return SMX_ENOTFOUND;
}

void smx_os_tcp_peers_free(struct smx_os_tcp_peers *p)
{
	if (p)
		smx_free(p->table);
	smx_free(p);
}
