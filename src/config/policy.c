/* SPDX-License-Identifier: MIT */
#include "config/policy.h"

#include <string.h>

#include "base/mem.h"

static int is_name_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

int smx_policy_env_ok(const struct smx_route *route, struct smx_view name)
{
	static const char *const always[] = { "LANG", "TERM", "COLORTERM", "NO_COLOR", "TZ",
		"GIT_PROTOCOL" };

	if (name.len == 0 || name.len > SMX_ROUTE_NAME_MAX)
		return 0;
	for (size_t i = 0; i < name.len; i++) {
		if (!is_name_char(name.p[i]))
			return 0;
	}
	for (size_t i = 0; i < SMX_ARRAY_LEN(always); i++) {
		if (smx_view_eq(name, always[i]))
			return 1;
	}
	if (name.len > 3 && memcmp(name.p, "LC_", 3) == 0)
		return 1;
	for (size_t i = 0; i < route->n_send_env; i++) {
		if (smx_view_eq(name, route->send_env[i]))
			return 1;
	}
	return 0;
}

static int is_loopback(struct smx_view host)
{
	static const char localhost[] = "localhost";

	if (smx_view_eq(host, "127.0.0.1") || smx_view_eq(host, "::1"))
		return 1;
	if (host.len != sizeof(localhost) - 1)
		return 0;
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = host.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + ('a' - 'A'));
		if (c != (uint8_t)localhost[i])
			return 0;
	}
	return 1;
}

enum smx_policy smx_policy_forward(
	const struct smx_route *route, struct smx_view host, uint32_t port)
{
	if (!is_loopback(host))
		return SMX_POLICY_DENY_TARGET;
	if (port == 0 || port > 65535)
		return SMX_POLICY_DENY_PORT;
	if (!route->allow_remote_loopback_any_port)
		return SMX_POLICY_DENY_ROUTE;
	return SMX_POLICY_ALLOW;
}

enum smx_policy smx_policy_streamlocal(const struct smx_route *route, struct smx_view path)
{
	if (path.len == 0 || path.len > SMX_STREAMLOCAL_PATH_MAX || path.p[0] != '/' ||
		memchr(path.p, '\0', path.len))
		return SMX_POLICY_DENY_PATH;
	if (!route->allow_remote_loopback_any_port)
		return SMX_POLICY_DENY_ROUTE;
	return SMX_POLICY_ALLOW;
}

const char *smx_policy_text(enum smx_policy p)
{
	switch (p) {
	case SMX_POLICY_ALLOW:
		return "allowed";
	case SMX_POLICY_DENY_TARGET:
		return "only 127.0.0.1, ::1 and localhost of the remote can be forwarded to";
	case SMX_POLICY_DENY_ROUTE:
		return "the route does not set allow_remote_loopback_any_port";
	case SMX_POLICY_DENY_PORT:
		return "the port is not one of 1 to 65535";
	case SMX_POLICY_DENY_PATH:
		return "the socket's path is not absolute, or too long";
	}
	return "denied";
}
