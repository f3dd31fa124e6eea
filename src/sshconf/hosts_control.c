/* SPDX-License-Identifier: MIT */
/*
 * ssh-mux-hosts.conf for the control sockets (W3). A block changes nothing about where ssh goes,
 * and as whom: it names the socket of a shared connection, and where nobody listens there, ssh goes
 * on as ever.
 */
#include "sshconf/hosts_conf_int.h"

#include <string.h>

#include "base/err.h"
#include "config/socket_name.h"

static int put_top(const struct smx_hosts_conf *o, struct smx_buf *out)
{
	return smx_buf_printf(out,
		HOSTS_MARK HOSTS_CONTROL
		" from %s.\n"
		"# What is changed here is lost: change the routes, and run it again.\n"
		"# While the daemon runs, ssh finds the shared connection of a route at its "
		"control\n"
		"# socket. Otherwise, and for another user or port, it connects directly.\n",
		o->routes_path);
}

/*
 * ControlMaster: with "auto" of a later block ssh would listen at the socket itself where no daemon
 * does, and end with an error where the directory is missing.
 */
static int put_socket(
	const struct smx_hosts_conf *o, const struct smx_route *route, struct smx_buf *out)
{
	char pattern[SMX_SOCKET_NAME_SIZE];
	struct smx_buf dir;
	int r;

	if ((r = smx_socket_pattern(route, o->control_room, pattern)) != 0 || !*pattern)
		return r;
	if ((r = smx_buf_put_str(out, "    ControlMaster no\n    ControlPath ")) != 0)
		return r;
	smx_buf_init(&dir, SMX_HOSTS_CONF_MAX);
	if ((r = hosts_put_quoted(&dir, o->control_dir, QUOTE_PERCENT)) == 0) {
		smx_buf_truncate(&dir, smx_buf_len(&dir) - 1); /* the closing quote */
		(void)((r = smx_buf_put(out, smx_buf_view(&dir), smx_buf_len(&dir))) != 0 ||
			(r = smx_buf_printf(out, "/%s\"\n", pattern)) != 0);
	}
	smx_buf_release(&dir);
	return r;
}

static int is_plain(const char *s)
{
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_@")] ==
	       '\0';
}

static int put_value(struct smx_buf *out, const char *option, const char *value, int quoting)
{
	int r;

	if (is_plain(value))
		return smx_buf_printf(out, "    %s %s\n", option, value);
	(void)((r = smx_buf_printf(out, "    %s ", option)) != 0 ||
		(r = hosts_put_quoted(out, value, quoting)) != 0 ||
		(r = smx_buf_put(out, "\n", 1)) != 0);
	return r;
}

/*
 * Whether ssh goes to a jump host that is written USER@HOST:PORT. It would cut the text at a blank,
 * a comma or a '#', expand a '%', and has a shell run the user unquoted.
 */
static int can_jump(const struct smx_hop *hop)
{
	for (const char *s = hop->user; *s; s++)
		if ((unsigned char)*s < 0x80 && !is_plain((const char[]){ *s, '\0' }) &&
			*s != '+' && *s != ':')
			return 0;
	return strchr(hop->host, '%') == NULL;
}

static int put_jumps(const struct smx_route *route, struct smx_buf *out)
{
	int r;

	/* At the socket it is reached; otherwise ssh is to fail rather than to go elsewhere. */
	for (size_t i = 0; i + 1 < route->n_hops; i++)
		if (!can_jump(&route->hops[i]))
			return smx_buf_put_str(out, "    # ssh can't be told the jump host\n"
						    "    ProxyCommand false\n");
	r = smx_buf_put_str(out, "    ProxyJump ");
	for (size_t i = 0; r == 0 && i + 1 < route->n_hops; i++) {
		const struct smx_hop *hop = &route->hops[i];
		int is_v6 = strchr(hop->host, ':') != NULL;

		r = smx_buf_printf(out, "%s%s@%s%s%s:%u", i ? "," : "", hop->user, is_v6 ? "[" : "",
			hop->host, is_v6 ? "]" : "", hop->port);
	}
	if (r == 0 && route->n_hops == 1)
		r = smx_buf_put_str(out, "none\n    ProxyCommand none");
	return r != 0 ? r : smx_buf_put(out, "\n", 1);
}

/* A route that ssh knows nothing of by itself: where it leads, as far as ssh can go there. */
static int put_target(const struct smx_route *route, struct smx_buf *out)
{
	const struct smx_hop *hop = smx_route_target(route);
	int r;

	if ((r = put_value(out, "HostName", hop->host, QUOTE_PERCENT)) != 0 ||
		(r = smx_buf_printf(out, "    Port %u\n", hop->port)) != 0 ||
		(r = put_value(out, "User", hop->user, 0)) != 0 || (r = put_jumps(route, out)) != 0)
		return r;
	if (hop->host_key_alias)
		r = put_value(out, "HostKeyAlias", hop->host_key_alias, 0);
	for (size_t i = 0; r == 0 && i < hop->n_identity; i++)
		r = hosts_put_path(out, "IdentityFile", hop->identity[i]);
	if (r == 0 && hop->identities_only)
		r = smx_buf_put_str(out, "    IdentitiesOnly yes\n");
	if (r == 0 && hop->identity_agent)
		r = put_value(out, "IdentityAgent", hop->identity_agent, QUOTE_PERCENT);
	return r;
}

static int put_block(const struct smx_hosts_conf *o, const struct smx_route *route, int has_block,
	struct smx_buf *out)
{
	int r;

	if (has_block && smx_socket_form(route, o->control_room) == SMX_SOCKET_NONE)
		return 0;
	if ((r = smx_buf_printf(out, "\nHost %s\n", route->name)) == 0)
		r = put_socket(o, route, out);
	return r == 0 && !has_block ? put_target(route, out) : r;
}

int hosts_control_write(
	const struct smx_routes *routes, const struct smx_hosts_conf *o, struct smx_buf *out)
{
	int r = put_top(o, out);

	for (size_t i = 0; r == 0 && i < routes->n_routes; i++)
		r = o->is_left && o->is_left[i] ? hosts_put_left(out, routes->routes[i].name)
						: put_block(o, &routes->routes[i],
							  o->has_block && o->has_block[i], out);
	return r;
}
