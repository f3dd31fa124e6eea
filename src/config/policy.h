/* SPDX-License-Identifier: MIT */
/*
 * What a local client may ask for on a route (L7, L8, R4, R5, B3, DESIGN §6). Pure functions
 * over what came off the wire; default deny.
 */
#ifndef SMX_CONFIG_POLICY_H
#define SMX_CONFIG_POLICY_H

#include <stdint.h>

#include "base/wire.h"
#include "config/routes.h"

/* sun_path of the systems at hand has 104 to 108 bytes; one is the NUL. */
#define SMX_STREAMLOCAL_PATH_MAX 107

enum smx_policy {
	SMX_POLICY_ALLOW,
	SMX_POLICY_DENY_TARGET, /* no flag of the route allows that target */
	SMX_POLICY_DENY_ROUTE, /* a loopback target, but the route lacks the flag */
	SMX_POLICY_DENY_PORT, /* 0, or above 65535 */
	SMX_POLICY_DENY_PATH, /* not an absolute path of a socket */
};

/*
 * L8: whether an environment variable goes on. LANG, LC_*, TERM, COLORTERM, NO_COLOR, TZ,
 * GIT_PROTOCOL and the route's send_env, by exact name.
 */
int smx_policy_env_ok(const struct smx_route *route, struct smx_view name);

/*
 * A direct-tcpip target (RFC 4254 section 7.2). Allowed exactly when the route has the
 * loopback flag and host is "127.0.0.1", "::1" or "localhost" (in any case), byte by byte.
 *
 * Every other way to write a loopback address is denied, never normalised ("localhost.",
 * "127.1", "0.0.0.0", "::ffff:127.0.0.1", "0x7f000001", "[::1]"): it is the remote's resolver that
 * would decide what such a name means, and it need not decide as we do.
 */
enum smx_policy smx_policy_forward(
	const struct smx_route *route, struct smx_view host, uint32_t port);

/*
 * A direct-streamlocal@openssh.com target (B3). Who may reach any loopback port of
 * the remote may also reach its sockets, which file permissions of the remote guard as well; who
 * may not, may not reach them either, for they are a way to the same services (a database that
 * listens on a port and a socket). So the same flag decides. The path must be absolute (a relative
 * one depends on the remote's working directory), without NUL, and fit a socket address.
 */
enum smx_policy smx_policy_streamlocal(const struct smx_route *route, struct smx_view path);

/* Static text for the refused open: says which flag would allow it. */
const char *smx_policy_text(enum smx_policy p);

#endif
