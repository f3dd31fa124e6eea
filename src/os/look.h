/* SPDX-License-Identifier: MIT */
/*
 * Looking, for `doctor`: nothing is made or changed.
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_LOOK_H
#define SMX_OS_LOOK_H

#include <stdint.h>

#include "base/buf.h"

/*
 * Connects by TCP; the limit counts for the name's resolution as well. The descriptor is for
 * smx_os_ipc_read, _write and _close. SMX_ENOTFOUND (no such host), SMX_EREFUSED (nobody listens
 * there), SMX_ETIMEOUT, SMX_ESYS, SMX_ENOMEM; err gets the reason alone ("connection refused").
 */
int smx_os_tcp_connect(
	const char *host, uint16_t port, int timeout_ms, int *ret_fd, struct smx_buf *err);

/* Who listens on 127.0.0.1. What the system does not tell stays unknown. */
struct smx_os_listener {
	int64_t pid; /* -1: not known, as it is of other users' */
	char program[64]; /* "" not known; as the process has it, not sanitised */
	char user[64]; /* "" not known */
	int is_mine; /* 1, 0, or -1: not known */
};
/* SMX_ENOTFOUND: nobody; SMX_EUNSUPPORTED: the system has no list of them. */
int smx_os_tcp_listener(uint16_t port, struct smx_os_listener *ret);

/* Where else the endpoint of smx_os_control_path could be. */
enum smx_os_where {
	SMX_OS_WHERE_HERE, /* what smx_os_control_path says in this environment */
	SMX_OS_WHERE_TMP, /* for a daemon without XDG_RUNTIME_DIR */
	SMX_OS_WHERE_LOGIN, /* for one of a login session */
	SMX_OS_WHERE_COUNT
};
/* SMX_ENOTFOUND: there is no such directory (err has no text); else as smx_os_control_path. */
int smx_os_control_look(
	const char *ssh_dir, enum smx_os_where where, char **ret_path, struct smx_buf *err);

/* Bytes that we could still write to the file system of a path. SMX_ENOTFOUND, SMX_ESYS. */
int smx_os_disk_free(const char *path, uint64_t *ret_bytes);
/*
 * Below which directory desktop programs keep a user's settings: $XDG_CONFIG_HOME if absolute, or
 * ~/.config; on macOS ~/Library/Application Support. Errors as smx_os_home.
 */
int smx_os_settings_dir(char **ret_path, struct smx_buf *err);

#endif
