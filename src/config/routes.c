/* SPDX-License-Identifier: MIT */
/* The table of routes itself; what is in the file is read by routes_parse.c. */
#include "config/routes.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/routes_int.h"

void smx_strings_release(struct smx_strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		smx_free(s->v[i]);
	smx_free(s->v);
	*s = (struct smx_strings){ NULL, 0 };
}

int smx_strings_push(struct smx_strings *s, const char *str)
{
	char **more = smx_realloc(s->v, (s->n + 1) * sizeof(*more));

	if (!more)
		return SMX_ENOMEM;
	s->v = more;
	if (!(s->v[s->n] = smx_strdup(str)))
		return SMX_ENOMEM;
	s->n++;
	return 0;
}

int smx_strings_add(struct smx_strings *s, const char *str)
{
	char **v;

	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->v[i], str) == 0)
			return 0;
	}
	v = smx_realloc(s->v, (s->n + 1) * sizeof(char *));
	if (!v)
		return SMX_ENOMEM;
	s->v = v;
	s->v[s->n] = smx_strdup(str);
	if (!s->v[s->n])
		return SMX_ENOMEM;
	s->n++;
	return 0;
}

char *smx_host_dup(const char *s)
{
	char *copy = smx_strdup(s);

	for (char *p = copy; p && *p && *p != '%'; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + ('a' - 'A'));
	}
	return copy;
}

void smx_hop_release(struct smx_hop *hop)
{
	struct smx_strings identity = { hop->identity, hop->n_identity };
	struct smx_strings transport = { hop->transport, hop->n_transport };
	struct smx_strings certificate = { hop->certificate, hop->n_certificate };
	struct smx_strings known_hosts = { hop->known_hosts, hop->n_known_hosts };

	smx_free(hop->name);
	smx_free(hop->host);
	smx_free(hop->user);
	smx_free(hop->host_key_alias);
	smx_free(hop->identity_agent);
	smx_free(hop->algorithms);
	smx_strings_release(&identity);
	smx_strings_release(&transport);
	smx_strings_release(&certificate);
	smx_strings_release(&known_hosts);
	*hop = (struct smx_hop){ 0 };
}

static void release_route(struct smx_route *route)
{
	struct smx_strings send_env = { route->send_env, route->n_send_env };
	struct smx_strings agent_keys = { route->agent.keys, route->agent.n_keys };

	for (size_t i = 0; i < route->n_hops; i++)
		smx_hop_release(&route->hops[i]);
	smx_free(route->hops);
	smx_strings_release(&send_env);
	smx_forward_rules_release(&route->forwards);
	smx_forward_rules_release(&route->remote_forwards);
	smx_forward_rules_release(&route->jump_through);
	smx_strings_release(&agent_keys);
	smx_free(route->name);
}

struct smx_routes *smx_routes_ref(struct smx_routes *routes)
{
	routes->refs++;
	return routes;
}

void smx_routes_unref(struct smx_routes *routes)
{
	if (!routes || --routes->refs > 0)
		return;
	if (routes->parent) {
		smx_routes_variant_release(routes);
		return;
	}
	for (size_t i = 0; i < routes->n_routes; i++)
		release_route(&routes->routes[i]);
	smx_free(routes->routes);
	smx_free(routes->pinentry);
	smx_free(routes);
}

const struct smx_route *smx_routes_find(const struct smx_routes *routes, const char *name)
{
	if (routes->match_any)
		return &routes->routes[0];
	for (size_t i = 0; i < routes->n_routes; i++) {
		if (strcmp(routes->routes[i].name, name) == 0)
			return &routes->routes[i];
	}
	return NULL;
}

const struct smx_route *smx_routes_find_target(const struct smx_routes *routes,
	const struct smx_hop *target, const struct smx_route **ret_rival)
{
	const struct smx_route *found = NULL, *rival = NULL;

	for (size_t i = 0; i < routes->n_routes; i++) {
		const struct smx_route *route = &routes->routes[i];
		const struct smx_hop *hop = smx_route_target(route);

		if (hop->port != target->port || strcmp(hop->host, target->host) != 0 ||
			strcmp(hop->user, target->user) != 0)
			continue;
		if (!found)
			found = route;
		else if (!rival && !smx_hops_equal(smx_route_target(found), 1, hop, 1))
			rival = route;
	}
	*ret_rival = rival;
	return found;
}

static int put_error(struct smx_buf *error, const char *what, const char *fault)
{
	int r = smx_buf_printf(error, "%s %s", what, fault);

	return r == SMX_ENOMEM ? r : SMX_EINVAL;
}

int smx_routes_direct(const char *host, uint32_t port, const char *user, int allow_loopback,
	struct smx_routes **ret, struct smx_buf *ret_error)
{
	struct smx_routes *routes;
	struct smx_route *route;
	const char *fault;

	if ((fault = smx_host_fault(smx_view_of(host, strlen(host)))) != NULL)
		return put_error(ret_error, "the remote host", fault);
	if (port == 0 || port > 65535)
		return put_error(ret_error, "the remote port", "must be from 1 to 65535");
	if ((fault = smx_user_fault(smx_view_of(user, strlen(user)))) != NULL)
		return put_error(ret_error, "the remote user", fault);

	routes = smx_calloc(1, sizeof(*routes));
	if (!routes)
		return SMX_ENOMEM;
	routes->refs = 1;
	routes->match_any = 1;
	routes->routes = smx_calloc(1, sizeof(*routes->routes));
	if (!routes->routes)
		goto no_memory;
	routes->n_routes = 1;
	route = &routes->routes[0];
	route->allow_remote_loopback_any_port = allow_loopback != 0;
	route->name = smx_strdup("*");
	route->hops = smx_calloc(1, sizeof(*route->hops));
	if (!route->name || !route->hops)
		goto no_memory;
	route->n_hops = 1;
	route->hops[0].host = smx_host_dup(host);
	route->hops[0].port = (uint16_t)port;
	route->hops[0].dead_after_s = SMX_DEAD_AFTER_S;
	route->hops[0].pace = 1;
	route->hops[0].spare = 1;
	route->hops[0].update_host_keys = 1;
	route->hops[0].user = smx_strdup(user);
	if (!route->hops[0].host || !route->hops[0].user)
		goto no_memory;
	*ret = routes;
	return 0;
no_memory:
	smx_routes_unref(routes);
	return SMX_ENOMEM;
}

static int same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static int same_texts(char *const *a, size_t n_a, char *const *b, size_t n_b)
{
	if (n_a != n_b)
		return 0;
	for (size_t i = 0; i < n_a; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return 0;
	}
	return 1;
}

/* Where one arrives, and why that is trusted. */
static int same_place(const struct smx_hop *a, const struct smx_hop *b)
{
	return a->port == b->port && same_text(a->host, b->host) && same_text(a->user, b->user) &&
	       same_text(a->host_key_alias, b->host_key_alias) &&
	       same_text(a->algorithms, b->algorithms) &&
	       same_texts(a->known_hosts, a->n_known_hosts, b->known_hosts, b->n_known_hosts) &&
	       same_texts(a->transport, a->n_transport, b->transport, b->n_transport) &&
	       (!a->n_transport || same_text(a->name, b->name));
}

/* As whom: a server may know several accounts of one user name by their keys, and the first key
 * that it takes decides, so the order counts. */
static int same_identity(const struct smx_hop *a, const struct smx_hop *b)
{
	return !a->identities_only == !b->identities_only &&
	       same_text(a->identity_agent, b->identity_agent) &&
	       same_texts(a->identity, a->n_identity, b->identity, b->n_identity) &&
	       same_texts(a->certificate, a->n_certificate, b->certificate, b->n_certificate);
}

int smx_hops_same_place(const struct smx_hop *a, size_t n_a, const struct smx_hop *b, size_t n_b)
{
	if (n_a != n_b)
		return 0;
	for (size_t i = 0; i < n_a; i++) {
		if (!same_place(&a[i], &b[i]))
			return 0;
	}
	return 1;
}

int smx_hops_equal(const struct smx_hop *a, size_t n_a, const struct smx_hop *b, size_t n_b)
{
	if (!smx_hops_same_place(a, n_a, b, n_b))
		return 0;
	for (size_t i = 0; i < n_a; i++) {
		if (!same_identity(&a[i], &b[i]))
			return 0;
	}
	return 1;
}

/* No text is not an empty one. */
static int put_text(struct smx_buf *out, const char *text)
{
	int r = smx_put_bool(out, text != NULL);

	return r == 0 && text ? smx_put_cstr(out, text) : r;
}

static int put_texts(struct smx_buf *out, char *const *texts, size_t n)
{
	int r = smx_put_u32(out, (uint32_t)n);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = smx_put_cstr(out, texts[i]);
	return r;
}

/* The fields of same_place and same_identity. */
static int put_hop(struct smx_buf *out, const struct smx_hop *hop)
{
	int r;

	(void)((r = smx_put_u32(out, hop->port)) != 0 || (r = put_text(out, hop->host)) != 0 ||
		(r = put_text(out, hop->user)) != 0 ||
		(r = put_text(out, hop->host_key_alias)) != 0 ||
		(r = put_text(out, hop->algorithms)) != 0 ||
		(r = put_texts(out, hop->known_hosts, hop->n_known_hosts)) != 0 ||
		(r = put_texts(out, hop->transport, hop->n_transport)) != 0 ||
		(r = put_text(out, hop->n_transport ? hop->name : NULL)) != 0 ||
		(r = smx_put_bool(out, hop->identities_only)) != 0 ||
		(r = put_text(out, hop->identity_agent)) != 0 ||
		(r = put_texts(out, hop->identity, hop->n_identity)) != 0 ||
		(r = put_texts(out, hop->certificate, hop->n_certificate)) != 0);
	return r;
}

int smx_hops_write(const struct smx_hop *hops, size_t n_hops, struct smx_buf *out)
{
	int r = smx_put_u32(out, (uint32_t)n_hops);

	for (size_t i = 0; r == 0 && i < n_hops; i++)
		r = put_hop(out, &hops[i]);
	return r;
}

const struct smx_route *smx_routes_twin(
	const struct smx_routes *routes, const struct smx_route *route)
{
	const struct smx_hop *hops = route->hops;
	const struct smx_route *twin = NULL;
	size_t n = route->n_hops;

	for (const struct smx_route *other = routes->routes; other < route; other++) {
		if (smx_hops_equal(other->hops, other->n_hops, hops, n))
			return NULL;
		if (!twin && smx_hops_same_place(other->hops, other->n_hops, hops, n))
			twin = other;
	}
	return twin;
}

static int has_identity(const struct smx_hop *hop)
{
	return hop->n_identity || hop->n_certificate || hop->identities_only ||
	       hop->identity_agent || hop->host_key_alias || hop->n_known_hosts || hop->algorithms;
}

static int put_identity(const struct smx_hop *hop, struct smx_buf *out)
{
	int r = hop->n_identity ? 0 : smx_buf_put_str(out, "default keys");

	for (size_t i = 0; r == 0 && i < hop->n_identity; i++)
		r = smx_buf_printf(out, "%s%s", i ? ", " : "", hop->identity[i]);
	for (size_t i = 0; r == 0 && i < hop->n_certificate; i++)
		r = smx_buf_printf(out, "%s%s", i ? ", " : ", certificates ", hop->certificate[i]);
	if (r == 0 && hop->identities_only)
		r = smx_buf_put_str(out, ", only these");
	if (r == 0 && hop->identity_agent)
		r = smx_buf_printf(out, ", agent %s", hop->identity_agent);
	if (r == 0 && hop->host_key_alias)
		r = smx_buf_printf(out, ", host key of %s", hop->host_key_alias);
	for (size_t i = 0; r == 0 && i < hop->n_known_hosts; i++)
		r = smx_buf_printf(out, "%s%s", i ? ", " : ", host keys in ", hop->known_hosts[i]);
	if (r == 0 && hop->algorithms)
		r = smx_buf_printf(out, ", algorithms %s", hop->algorithms);
	return r;
}

int smx_hops_identity(const struct smx_hop *hops, size_t n_hops, struct smx_buf *out)
{
	int is_named = 0, r;

	for (size_t i = 0; i < n_hops; i++)
		is_named |= has_identity(&hops[i]);
	if (!is_named)
		return 0;
	r = put_identity(&hops[n_hops - 1], out);
	for (size_t i = 0; r == 0 && i + 1 < n_hops; i++) {
		if ((r = smx_buf_put_str(out, i ? "; " : " via ")) == 0)
			r = put_identity(&hops[i], out);
	}
	return r;
}

void smx_hop_known_name(const struct smx_hop *hop, const char **ret_host, uint16_t *ret_port)
{
	*ret_host = hop->host_key_alias ? hop->host_key_alias : hop->host;
	*ret_port = hop->host_key_alias ? SMX_DEFAULT_SSH_PORT : hop->port;
}

const char *smx_agent_variable(const char *named)
{
	static const char usual[] = "SSH_AUTH_SOCK";

	if (!named || strcmp(named, usual) == 0)
		return usual;
	return named[0] == '$' ? named + 1 : NULL;
}
