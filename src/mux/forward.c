/* SPDX-License-Identifier: MIT */
#include "mux/forward.h"

#include <stdio.h>

#include "config/policy.h"
#include "control/mux4.h"

int forward_is_allowed(const struct mux *m, const struct smx_route *route,
	const struct forward_target *to, char *text, size_t size)
{
	enum smx_chan_kind kind =
		to->port == SMX_MUX4_PORT_IS_PATH ? SMX_CHAN_KIND_STREAMLOCAL : SMX_CHAN_KIND_TCPIP;

	if (!m->is_locked)
		return smx_policy_check_forward(route, kind, to->host, to->port, text, size) == 0;
	(void)snprintf(text, size, "%s", MUX_LOCKED_TEXT);
	return 0;
}

static int put_path(const struct forward_target *to, struct smx_buf *out)
{
	int r;

	if ((r = smx_put_view(out, to->host)) != 0 || (r = smx_put_cstr(out, "")) != 0)
		return r;
	return smx_put_u32(out, 0);
}

static int put_port(const struct forward_target *to, const char *from_address, uint16_t from_port,
	struct smx_buf *out)
{
	int r;

	if ((r = smx_put_view(out, to->host)) != 0 || (r = smx_put_u32(out, to->port)) != 0 ||
		(r = smx_put_cstr(out, from_address)) != 0)
		return r;
	return smx_put_u32(out, from_port);
}

const char *forward_put_open(const struct forward_target *to, const char *from_address,
	uint16_t from_port, struct smx_buf *out)
{
	if (to->port == SMX_MUX4_PORT_IS_PATH)
		return put_path(to, out) == 0 ? "direct-streamlocal@openssh.com" : NULL;
	return put_port(to, from_address, from_port, out) == 0 ? "direct-tcpip" : NULL;
}
