/* SPDX-License-Identifier: MIT */
/*
 * TCP sockets of this machine (L1, U4, U9).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_TCP_H
#define SMX_OS_TCP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Best effort, for a TCP listener (and all it accepts) whose connections don't leave the machine:
 * the least costly congestion control. Where BBR is the system's choice its pacing would arm a
 * timer for every segment, which was a fifth of the daemon's CPU time in a bulk transfer.
 */
void smx_os_socket_stays_here(int64_t socket);
/*
 * Before the bind: nobody else can bind to the same address, whatever he asks for (L1). Where that
 * is so anyway, nothing is done. SMX_ESYS.
 */
int smx_os_socket_exclusive(int64_t socket);

/*
 * A socket that listens on 127.0.0.1 (nothing else can be asked for), non-blocking, not inherited
 * by children, with what the two calls above do. SMX_EEXISTS (the port is taken), SMX_EDENIED (it
 * needs privileges), SMX_ESYS.
 */
int smx_os_tcp_listen(uint16_t port, int backlog, int64_t *ret_socket);
/*
 * Takes the next client of such a socket in; its socket is as that, and the caller's.
 * SMX_EAGAIN: there is none. SMX_ELIMIT: the system has no descriptor or no memory for it at the
 * moment; it waits in the queue. SMX_ESYS: anything else.
 */
int smx_os_tcp_accept(int64_t listener, int64_t *ret_socket);
void smx_os_tcp_close(int64_t socket);

/*
 * Whose the other ends are. SMX_EUNSUPPORTED: the system does not tell, or not at a price that a
 * flood of clients leaves bearable; SMX_ENOMEM.
 */
struct smx_os_tcp_peers;
int smx_os_tcp_peers_new(int64_t listener, struct smx_os_tcp_peers **ret);
/*
 * Does not block. 0: our user or root (the system's own account) opened the socket at the other
 * end. SMX_EDENIED: another user did. SMX_EEOF: it is closed already. SMX_ENOTFOUND: it is open,
 * but no process of this system's list has it. SMX_ESYS: the system could not tell this time.
 * ret_uid is set by the first two, to -1 where users have no numbers.
 */
int smx_os_tcp_peer_check(struct smx_os_tcp_peers *p, int64_t socket, int64_t *ret_uid);
void smx_os_tcp_peers_free(struct smx_os_tcp_peers *p); /* NULL works */

/*
 * What a TCP socket has received so far is acknowledged now, where the system can be told so: a
 * peer that has not turned Nagle's algorithm off yet waits for it with its next small packet.
 */
void smx_os_tcp_ack_now(int64_t socket);
/*
 * What the system knows of a connected TCP socket's other end (U4): a peer that never answers our
 * probes is alive as long as its system acknowledges them.
 */
struct smx_os_tcp_acks {
	int64_t age_ms; /* since its last acknowledgement came; -1: the system does not tell */
	uint64_t unacked; /* bytes given to the socket and not acknowledged yet */
};
/* SMX_EUNSUPPORTED: the system tells nothing; SMX_ESYS: no such socket. */
int smx_os_tcp_acks(int64_t socket, struct smx_os_tcp_acks *ret);
/*
 * Bytes given to the socket that have not been sent yet: the system's congestion control, or the
 * peer's window, holds them (B8). Cheap. SMX_EUNSUPPORTED: the system does not tell; SMX_ESYS: no
 * such socket.
 */
int smx_os_tcp_unsent(int64_t socket, size_t *ret_len);

#endif
