/* SPDX-License-Identifier: MIT */
/*
 * The name of a route's control socket (W2) in the directory of os/door.h, and how a ControlPath of
 * ssh comes to it. The name is the whole request: ssh finds the socket for the user, host and port
 * that the route leads to, and none for others (W1). ssh ends with an error where a path is longer
 * than a socket's can be, so a form is only used where any user name of usual length fits.
 */
#ifndef SMX_CONFIG_SOCKET_NAME_H
#define SMX_CONFIG_SOCKET_NAME_H

#include <stddef.h>

#include "config/routes.h"

/* A buffer that holds any name. */
#define SMX_SOCKET_NAME_SIZE (SMX_ROUTE_NAME_MAX + SMX_USER_MAX + SMX_HOST_MAX + 16)

enum smx_socket_form {
	SMX_SOCKET_WHOLE, /* ROUTE=USER@HOST:PORT */
	SMX_SOCKET_HASHED, /* ROUTE=%C: what ssh makes of its own host's name and those three */
	SMX_SOCKET_SHORT, /* the same with a digest of the route's name */
	SMX_SOCKET_NONE, /* ssh can't be sent there */
};

/*
 * room: the bytes that a name in the directory may have. A route behind a jump host has no hashed
 * form, since OpenSSH 9.6 hashes the jump host as it is written as well.
 */
enum smx_socket_form smx_socket_form(const struct smx_route *route, size_t room);

/*
 * The name, in at most SMX_SOCKET_NAME_SIZE bytes. local_host: as gethostname has it. One whose
 * form is SMX_SOCKET_NONE has its whole name, which may still fit. 0, SMX_ECRYPTO.
 */
int smx_socket_name(const struct smx_route *route, size_t room, const char *local_host, char *out);
/* The last part of the ControlPath, with the tokens of ssh; "" where it has none. As above. */
int smx_socket_pattern(const struct smx_route *route, size_t room, char *out);

#endif
