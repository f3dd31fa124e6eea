/* SPDX-License-Identifier: MIT */
#include "config/policy.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define CLEAN_SIZE 300

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

static enum smx_policy check_host(
	const struct smx_route *route, struct smx_view host, uint32_t port)
{
	int is_local = is_loopback(host);

	if (port > 0 && port <= 65535 &&
		((is_local && route->allow_remote_loopback_any_port) ||
			smx_forward_rules_connect(&route->forwards, host, port) ||
			smx_forward_rules_connect(&route->jump_through, host, port)))
		return SMX_POLICY_ALLOW;
	if (!is_local)
		return SMX_POLICY_DENY_TARGET;
	return port == 0 || port > 65535 ? SMX_POLICY_DENY_PORT : SMX_POLICY_DENY_ROUTE;
}

static enum smx_policy check_path(const struct smx_route *route, struct smx_view path)
{
	if (!smx_socket_path_ok(path))
		return SMX_POLICY_DENY_PATH;
	if (!route->allow_remote_loopback_any_port &&
		!smx_forward_rules_path(&route->forwards, path))
		return SMX_POLICY_DENY_ROUTE;
	return SMX_POLICY_ALLOW;
}

enum smx_policy smx_policy_forward(
	const struct smx_route *route, enum smx_chan_kind kind, struct smx_view host, uint32_t port)
{
	switch (kind) {
	case SMX_CHAN_KIND_TCPIP:
		return check_host(route, host, port);
	case SMX_CHAN_KIND_STREAMLOCAL:
		return check_path(route, host);
	default:
		return SMX_POLICY_DENY_TARGET;
	}
}

int smx_policy_any_forward(const struct smx_route *route)
{
	return route->allow_remote_loopback_any_port || route->forwards.n > 0;
}

const char *smx_policy_text(enum smx_policy p)
{
	switch (p) {
	case SMX_POLICY_ALLOW:
		return "allowed";
	case SMX_POLICY_DENY_TARGET:
		return "the route's \"forwards\" do not allow it";
	case SMX_POLICY_DENY_ROUTE:
		return "the route does not set allow_remote_loopback_any_port";
	case SMX_POLICY_DENY_PORT:
		return "the port is not one of 1 to 65535";
	case SMX_POLICY_DENY_PATH:
		return "the socket's path is not absolute, or too long";
	}
	return "denied";
}

int smx_policy_check_forward(const struct smx_route *route, enum smx_chan_kind kind,
	struct smx_view host, uint32_t port, char *text, size_t size)
{
	enum smx_policy p = smx_policy_forward(route, kind, host, port);
	char clean[CLEAN_SIZE], to[CLEAN_SIZE + 16], remedy[2 * CLEAN_SIZE + 100] = "";
	int is_path = kind == SMX_CHAN_KIND_STREAMLOCAL;

	if (p == SMX_POLICY_ALLOW)
		return 0;
	smx_sanitize((const char *)host.p, host.len, clean, sizeof(clean));
	if (is_path)
		(void)snprintf(to, sizeof(to), "%s", clean);
	else
		(void)snprintf(to, sizeof(to), strchr(clean, ':') ? "[%s]:%u" : "%s:%u", clean,
			(unsigned)port);
	if (p == SMX_POLICY_DENY_TARGET && smx_host_ok(host) && port > 0 && port <= 65535 &&
		route->line)
		(void)snprintf(remedy, sizeof(remedy), "; add forwards = [\"%s\"] to [routes.%s]",
			to, route->name);
	(void)snprintf(text, size, "forward to %s denied: %s%s", to, smx_policy_text(p), remedy);
	return SMX_EDENIED;
}

int smx_policy_check_listen(const struct smx_route *route, int is_path, struct smx_view address,
	uint32_t port, char *text, size_t size)
{
	const struct smx_forward_rules *rules = &route->remote_forwards;
	char clean[CLEAN_SIZE], at[CLEAN_SIZE + 16];

	if (is_path ? smx_forward_rules_path(rules, address)
		    : smx_forward_rules_listen(rules, address, port))
		return 0;
	smx_sanitize((const char *)address.p, address.len, clean, sizeof(clean));
	if (is_path)
		(void)snprintf(at, sizeof(at), "%s", clean);
	else
		(void)snprintf(at, sizeof(at), strchr(clean, ':') ? "[%s]:%u" : "%s:%u",
			*clean ? clean : "*", (unsigned)port);
	(void)snprintf(text, size,
		"remote forward of %s denied: the route's \"remote_forwards\" do not allow it", at);
	if (route->line && (is_path || port <= 65535))
		(void)snprintf(text, size,
			"remote forward of %s denied: the route's \"remote_forwards\" do not allow "
			"it; add remote_forwards = [\"%s\"] to [routes.%s]",
			at, at, route->name);
	return SMX_EDENIED;
}
