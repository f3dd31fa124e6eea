/* SPDX-License-Identifier: MIT */
/*
 * What a local client may ask for on a route (L7, L8, R4, R5, B3, B4). Pure functions
 * over what came off the wire; default deny.
 */
#ifndef SMX_CONFIG_POLICY_H
#define SMX_CONFIG_POLICY_H

#include <stdint.h>

#include "base/wire.h"
#include "config/routes.h"
#include "ssh/request.h"

enum smx_policy {
	SMX_POLICY_ALLOW,
	SMX_POLICY_DENY_TARGET, /* nothing of the route allows that target */
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
 * What a channel of a client may be opened to, at whatever door (W4).
 *
 * SMX_CHAN_KIND_TCPIP, a direct-tcpip target (RFC 4254 section 7.2). With the loopback flag: host
 * is "127.0.0.1", "::1" or "localhost" (in any case), byte by byte. Every other way to write a
 * loopback address is denied, never normalised ("localhost.", "127.1", "0.0.0.0",
 * "::ffff:127.0.0.1", "0x7f000001", "[::1]"): it is the remote's resolver that would decide what
 * such a name means, and it need not decide as we do. Else by a rule of forwards or jump_through
 * (config/forward.h).
 *
 * SMX_CHAN_KIND_STREAMLOCAL, a direct-streamlocal@openssh.com target (B3): host is the path. Who
 * may reach any loopback port of the remote may also reach its sockets, which file permissions of
 * the remote guard as well; who may not, may not reach them either, for they are a way to the same
 * services (a database that listens on a port and a socket). So the same flag decides, or a path in
 * forwards. The path must be absolute (a relative one depends on the remote's working directory),
 * without NUL, and fit a socket address.
 */
enum smx_policy smx_policy_forward(const struct smx_route *route, enum smx_chan_kind kind,
	struct smx_view host, uint32_t port);
/* The same. 0, or SMX_EDENIED and in text what was denied, why, and what would allow it. */
int smx_policy_check_forward(const struct smx_route *route, enum smx_chan_kind kind,
	struct smx_view host, uint32_t port, char *text, size_t size);

/* Whether some forward of the route is allowed: `ssh -D` is served then. */
int smx_policy_any_forward(const struct smx_route *route);
/*
 * What the remote may listen at for a client (B4): a rule of remote_forwards. is_path:
 * streamlocal-forward@openssh.com, address is the path. 0, or SMX_EDENIED and text as above.
 */
int smx_policy_check_listen(const struct smx_route *route, int is_path, struct smx_view address,
	uint32_t port, char *text, size_t size);

/* Static text for the refused open: says which flag would allow it. */
const char *smx_policy_text(enum smx_policy p);

#endif
