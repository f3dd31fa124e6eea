/* SPDX-License-Identifier: MIT */
/*
 * The control sockets of ssh (W2), and the standard streams that come through them: a part of what
 * differs from system to system, under the rules of os/README.md.
 *
 * A directory with one socket per route, at which OpenSSH's clients find us as the master of a
 * shared connection (ControlPath). OpenSSH on Windows shares none: there all of this is
 * SMX_EUNSUPPORTED.
 */
#ifndef SMX_OS_DOOR_H
#define SMX_OS_DOOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct smx_os_doors;
struct smx_os_door;

/* Whether clients of this system come to such sockets at all. */
int smx_os_has_doors(void);

/*
 * Where the directory of a daemon that serves ssh_dir is in this environment, whether there is one
 * or not; the caller's. Errors as smx_os_runtime_dir, SMX_EUNSUPPORTED.
 */
int smx_os_doors_where(const char *ssh_dir, char **ret_path, struct smx_buf *err);
/* Bytes that the name of a socket in a directory may have. */
size_t smx_os_doors_room(const char *path);

/*
 * Makes the directory, for our own user only, and removes the sockets of a daemon that is gone:
 * the caller holds the lock of smx_os_ipc_listen. Errors as smx_os_runtime_dir.
 */
int smx_os_doors_open(const char *ssh_dir, struct smx_os_doors **ret, struct smx_buf *err);
/* Where the directory is; the sockets' names follow a "/". */
const char *smx_os_doors_path(const struct smx_os_doors *d);
void smx_os_doors_free(struct smx_os_doors *d); /* NULL works; after its sockets */

/*
 * Listens at a name in the directory, mode 0600; it appears there when clients can come. d must
 * outlive it. SMX_EEXISTS (another program listens there), SMX_ELIMIT (the path is longer than a
 * socket's can be), SMX_EINVAL (a name that is none), SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_door_listen(
	struct smx_os_doors *d, const char *name, struct smx_os_door **ret, struct smx_buf *err);
/* For an event loop to poll; the door's. */
int smx_os_door_fd(const struct smx_os_door *door);
/* As smx_os_ipc_server_accept; the other end is not checked yet (smx_os_ipc_peer_check). */
int smx_os_door_accept(struct smx_os_door *door, int *ret_fd);
/* Removes the socket, if it is still this one, and frees. NULL works. */
void smx_os_door_close(struct smx_os_door *door);

/*
 * Reads what there is of an accepted connection, and the descriptors that came with it, at most
 * max_fds, which are the caller's to close. SMX_EAGAIN, SMX_EEOF, SMX_ELIMIT (more descriptors; all
 * are closed), SMX_ESYS.
 */
int smx_os_door_receive(int fd, void *p, size_t size, size_t *ret_len, int *ret_fds, size_t max_fds,
	size_t *ret_n_fds);
/* SMX_EAGAIN, SMX_EEOF, SMX_ESYS. */
int smx_os_door_send(int fd, const void *p, size_t len, size_t *ret_len);
/* The other side reads what was sent, and then the end. Does not close. */
void smx_os_door_hang_up(int fd);

/*
 * A standard stream of another process, as it came over a socket. The process and others go on
 * using it, so it is left as it is, O_NONBLOCK above all: pipes and terminals are opened once more,
 * sockets are told with each call.
 */
struct smx_os_stdio;

/*
 * Takes fd over, in any case. SMX_EUNSUPPORTED: it can't be used without changing it for everybody
 * (a device, the master of a terminal, a pipe on a system that can't open one again). SMX_ENOMEM.
 */
int smx_os_stdio_new(int fd, int is_output, struct smx_os_stdio **ret);
/*
 * A descriptor to be polled, until it is writable (*ret_is_writable) or else readable; it may be
 * another one, that tells of the stream. -1: there is nothing to poll, it is a file; calls may
 * block on the disk: for worker threads.
 */
int smx_os_stdio_poll_fd(const struct smx_os_stdio *s, int *ret_is_writable);
/* It is /dev/null: there is nothing to poll either, and no call ever blocks. */
int smx_os_stdio_is_null(const struct smx_os_stdio *s);
/* For smx_os_terminal_size and _modes; -1: it is no terminal. */
int smx_os_stdio_terminal(const struct smx_os_stdio *s);
/* SMX_EAGAIN, SMX_EEOF (its end, or it can't be read), SMX_ESYS. */
int smx_os_stdio_read(struct smx_os_stdio *s, void *p, size_t size, size_t *ret_len);
/* Some or all. SMX_EAGAIN, SMX_EEOF (nobody reads it any more, or it can't be written), SMX_ESYS.
 */
int smx_os_stdio_write(struct smx_os_stdio *s, const void *p, size_t len, size_t *ret_len);
/* Of an output that is a socket: nothing more will be written, which its other end is told. */
void smx_os_stdio_end(struct smx_os_stdio *s);
void smx_os_stdio_free(struct smx_os_stdio *s); /* NULL works */
/*
 * The same of a connection that is our own (smx_os_forward_accept): both directions of it. Takes fd
 * over, in any case. SMX_ENOMEM, SMX_ELIMIT (no descriptors), SMX_ESYS.
 */
int smx_os_stdio_of_socket(int fd, struct smx_os_stdio **ret_in, struct smx_os_stdio **ret_out);
/* Another descriptor of a socket, which stays its owner's. SMX_ELIMIT, SMX_ESYS. */
int smx_os_socket_twin(int64_t socket, int *ret_fd);
/*
 * Of a descriptor that came, before anything else is made of it: whether no program has put words
 * for a shell there. It is a terminal, or /dev/null.
 */
int smx_os_stdio_has_nothing(int fd);
/* By which a client says that its terminal has another size; 0: none here. */
int smx_os_size_signal(void);

/* --- where forwards listen (`ssh -L`, `ssh -D`) --- */

#define SMX_OS_FORWARD_FDS 2 /* "localhost" is an address of each family */

struct smx_os_forward_place {
	const char *path; /* of a socket, absolute; or NULL */
	const char *host; /* a numeric address; "" and "localhost": loopback; "*": all there are */
	uint16_t port; /* not 0 */
};

struct smx_os_forward;

/* Whether only this machine can reach it. */
int smx_os_forward_is_local(const struct smx_os_forward_place *at);
/*
 * Listens there; of several addresses one is enough, as with ssh. A path gets mode 0600, and a
 * socket that a dead program of ours left there is replaced. err: what is wrong, for people.
 * SMX_EINVAL (a name, or a path that is none), SMX_EEXISTS (taken), SMX_EDENIED, SMX_ELIMIT,
 * SMX_ESYS, SMX_ENOMEM, SMX_EUNSUPPORTED.
 */
int smx_os_forward_listen(
	const struct smx_os_forward_place *at, struct smx_os_forward **ret, struct smx_buf *err);
/* For an event loop to poll; f's. */
size_t smx_os_forward_fds(const struct smx_os_forward *f, int ret_fds[SMX_OS_FORWARD_FDS]);
/*
 * Who has come at one of them. ret_address: of size bytes, "127.0.0.1" if he has none, port 0.
 * SMX_EAGAIN, SMX_ELIMIT (the system has no descriptors or memory left), SMX_ESYS.
 */
int smx_os_forward_accept(
	int listener, int *ret_fd, char *ret_address, size_t size, uint16_t *ret_port);
/* Removes the socket, if it is still this one, and frees. NULL works. */
void smx_os_forward_close(struct smx_os_forward *f);

#endif
