/* SPDX-License-Identifier: MIT */
/*
 * The control endpoint's connections (S5, S6).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_IPC_H
#define SMX_OS_IPC_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct smx_os_ipc_server;

/*
 * Listens at a path of smx_os_control_path; the endpoint is for our own user only (mode 0600).
 * A lock file beside it is held while the server lives, so of two starters one gets SMX_EEXISTS,
 * and a socket left over by a dead daemon is replaced, a live one never.
 * SMX_EEXISTS (a daemon runs), SMX_EDENIED (the name is another program's), SMX_EUNSAFE, SMX_ESYS,
 * SMX_ENOMEM.
 */
int smx_os_ipc_listen(const char *path, struct smx_os_ipc_server **ret, struct smx_buf *err);
/* The listening descriptor, for an event loop to poll; non-blocking, not inherited by children, the
 * server's. -1 where there is none (Windows). */
int smx_os_ipc_server_fd(const struct smx_os_ipc_server *s);
/*
 * Without a listening descriptor clients are waited for by a thread, which calls wake(arg) when one
 * is there (uv_async_send). SMX_ESYS; SMX_EUNSUPPORTED where there is a descriptor.
 */
int smx_os_ipc_server_start(struct smx_os_ipc_server *s, void (*wake)(void *arg), void *arg);
/*
 * Takes the next client; *ret_fd is the caller's. SMX_EAGAIN: there is none. SMX_ELIMIT: the system
 * has no descriptor or memory for it at the moment; it waits in the queue. SMX_ESYS.
 */
int smx_os_ipc_server_accept(struct smx_os_ipc_server *s, int *ret_fd);
/*
 * No more clients: removes the endpoint, if it is still this server's. The lock stays until _free,
 * so that a daemon which is started meanwhile waits for the end of this one instead of running
 * beside it (smx_os_ipc_listen waits SMX_OS_ENDING_MS for such a one).
 */
void smx_os_ipc_server_close(struct smx_os_ipc_server *s);
#define SMX_OS_ENDING_MS 3000
/* As _close, and lets the lock go. NULL works. */
void smx_os_ipc_server_free(struct smx_os_ipc_server *s);

/* handle: the system's own, which is the descriptor but on Windows.
 * 0 if the other end of an accepted connection runs as our user or as root; SMX_EDENIED, SMX_ESYS.
 * ret_pid (may be NULL): its process id, or -1 where the system does not tell. */
int smx_os_ipc_peer_check(intptr_t handle, int64_t *ret_pid);

/*
 * Connects to a server, which must run as our user or as root (a client checks too: nobody may
 * pose as the daemon). The descriptor is non-blocking; use the calls below or an event loop.
 * SMX_ENOTFOUND (no daemon runs), SMX_EDENIED, SMX_EUNSAFE, SMX_ETIMEOUT, SMX_ESYS.
 */
int smx_os_ipc_connect(const char *path, int timeout_ms, int *ret_fd, struct smx_buf *err);
/* Reads what there is, at most size bytes. SMX_EEOF, SMX_ETIMEOUT, SMX_ESYS. */
int smx_os_ipc_read(int fd, void *p, size_t size, int timeout_ms, size_t *ret_len);
/* Writes everything. SMX_EEOF (the other side left), SMX_ETIMEOUT (no progress), SMX_ESYS. */
int smx_os_ipc_write(int fd, const void *p, size_t len, int timeout_ms);
void smx_os_ipc_close(int fd);

#endif
