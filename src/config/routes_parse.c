/* SPDX-License-Identifier: MIT */
/* From the text of the routes file to the table: errors, sections, and putting it together. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/routes_int.h"

/* A key or route name for a message: printable ASCII, shortened. */
static void printable(const char *s, size_t n, char out[65])
{
	if (n > 64)
		n = 64;
	for (size_t i = 0; i < n; i++)
		out[i] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
	out[n] = '\0';
}

static void section_of(const struct routes_parser *p, const struct route_draft *draft, char out[80])
{
	char name[65];

	if (draft == &p->top || !draft) {
		out[0] = '\0';
	} else if (draft == &p->jump) {
		snprintf(out, 80, "[jump]");
	} else {
		printable(draft->name, strlen(draft->name), name);
		snprintf(out, 80, "[routes.%s]", name);
	}
}

int smx_routes_fail(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *at, const char *fmt, ...)
{
	char section[80], key[65] = "", text[400], what[400];
	int is_section = !draft || at == draft->node;
	va_list ap;
	int r;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	/* Values may be quoted in it; one line it must be, and fit for a terminal. */
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < 0x20)
			*c = '?';
	}
	smx_sanitize(text, strlen(text), what, sizeof(what));
	section_of(p, draft, section);
	if (!is_section && at->key)
		printable(at->key, at->key_len, key);
	p->n_errors++;
	r = smx_buf_printf(p->error, "%s:%u:%u: %s%s%s%s%s%s%s%s", p->file_name,
		at->key ? at->key_line : at->line, at->key ? at->key_column : at->column, section,
		*section && *key ? " " : "", *key ? "key \"" : "", key, *key ? "\"" : "",
		*section || *key ? ": " : "", what, p->wants_all ? "\n" : "");
	return r == SMX_ENOMEM ? r : SMX_ESYNTAX;
}

static void release_draft(struct route_draft *d)
{
	smx_free(d->host);
	smx_free(d->user);
	smx_free(d->host_key_alias);
	smx_free(d->identity_agent);
	smx_free(d->algorithms);
	smx_free(d->pinentry);
	smx_strings_release(&d->identity);
	smx_strings_release(&d->certificate);
	smx_strings_release(&d->transport);
	smx_strings_release(&d->known_hosts);
	smx_strings_release(&d->send_env);
	smx_forward_rules_release(&d->forwards);
	smx_forward_rules_release(&d->remote_forwards);
	smx_forward_rules_release(&d->through);
	smx_strings_release(&d->agent_keys);
}

static void release_parser(struct routes_parser *p)
{
	release_draft(&p->top);
	release_draft(&p->jump);
	for (size_t i = 0; i < p->n_drafts; i++)
		release_draft(&p->drafts[i]);
	smx_free(p->drafts);
}

/* --- reading ---------------------------------------------------------------------- */

/* A section that is dialled: [jump] or a route. */
static int read_hop_section(struct routes_parser *p, struct route_draft *d, unsigned section)
{
	int r;

	d->port = SMX_DEFAULT_SSH_PORT;
	r = smx_routes_read_keys(p, d, section);
	if (smx_routes_goes_on(p, r) && !(d->present & KEY_HOST))
		r = smx_routes_fail(p, d, d->node,
			"key \"host\" is missing; write "
			"host = \"name or address\"");
	if (smx_routes_goes_on(p, r) && !(d->present & KEY_USER))
		r = smx_routes_fail(
			p, d, d->node, "key \"user\" is missing; write user = \"login name\"");
	return r;
}

static int read_route(struct routes_parser *p, const struct smx_toml *item)
{
	struct route_draft *d = &p->drafts[p->n_drafts];
	const char *fault = smx_route_name_fault(smx_view_of(item->key, item->key_len));

	/* Errors about the name have no draft to name. */
	if (fault) {
		char name[65];

		printable(item->key, item->key_len, name);
		return smx_routes_fail(p, NULL, item, "[routes] name \"%s\" %s", name, fault);
	}
	memcpy(d->name, item->key, item->key_len);
	d->node = item;
	p->n_drafts++;
	if (item->type != SMX_TOML_TABLE)
		return smx_routes_fail(
			p, d, item, "must be a table, not %s", smx_toml_type_name(item->type));
	return read_hop_section(p, d, SECTION_ROUTE);
}

static int read_all(struct routes_parser *p, const struct smx_toml *root)
{
	const struct smx_toml *routes, *jump;
	int r;

	p->top.node = root;
	r = smx_routes_read_keys(p, &p->top, SECTION_TOP);
	jump = smx_toml_get(root, "jump");
	if (smx_routes_goes_on(p, r) && jump && jump->type == SMX_TOML_TABLE) {
		p->jump.node = jump;
		p->has_jump = 1;
		r = read_hop_section(p, &p->jump, SECTION_JUMP);
	}
	routes = smx_toml_get(root, "routes");
	if (!smx_routes_goes_on(p, r) || !routes || routes->type != SMX_TOML_TABLE)
		return r;
	if (routes->n_items > SMX_ROUTES_MAX)
		return smx_routes_fail(
			p, &p->top, routes, "has more than %d routes", SMX_ROUTES_MAX);
	p->drafts = smx_calloc(routes->n_items, sizeof(*p->drafts));
	if (!p->drafts)
		return SMX_ENOMEM;
	for (size_t i = 0; smx_routes_goes_on(p, r) && i < routes->n_items; i++)
		r = read_route(p, routes->items[i]);
	if (smx_routes_goes_on(p, r))
		r = smx_routes_resolve(p);
	return smx_routes_goes_on(p, r) ? smx_routes_resolve_through(p) : r;
}

/* --- putting together ------------------------------------------------------------- */

static int copy_text(const char *from, char **to)
{
	if (!from)
		return 0;
	*to = smx_strdup(from);
	return *to ? 0 : SMX_ENOMEM;
}

static int copy_strings(const struct smx_strings *from, char ***to, size_t *to_n)
{
	struct smx_strings s = { *to, *to_n };
	int r = 0;

	for (size_t i = 0; r == 0 && i < from->n; i++)
		r = smx_strings_add(&s, from->v[i]);
	*to = s.v;
	*to_n = s.n;
	return r;
}

static int make_hop(const struct routes_parser *p, const struct route_draft *d, struct smx_hop *hop)
{
	const struct route_draft *top = &p->top;
	const struct route_draft *of;
	int r;

	hop->port = (uint16_t)d->port;
	of = d->present & KEY_IDENTITIES_ONLY ? d : top;
	hop->identities_only = of->identities_only;
	of = d->present & KEY_UNATTENDED ? d : top;
	hop->unattended = of->unattended;
	of = d->present & KEY_DEAD_AFTER ? d : top;
	hop->dead_after_s = of->present & KEY_DEAD_AFTER ? of->dead_after : SMX_DEAD_AFTER_S;
	of = d->present & KEY_PACE ? d : top;
	hop->pace = of->present & KEY_PACE ? of->pace : 1;
	of = d->present & KEY_SPARE ? d : top;
	hop->spare = of->present & KEY_SPARE ? of->spare : 1;
	of = d->present & KEY_PROMPTER ? d : top;
	hop->prompter = of->prompter;
	/* K6: as OpenSSH, not into files that somebody has chosen, unless told to. */
	of = d->present & KEY_UPDATE_HOST_KEYS ? d : top;
	hop->update_host_keys = of->present & KEY_UPDATE_HOST_KEYS
					? of->update_host_keys
					: !((d->present | top->present) & KEY_KNOWN_HOSTS);
	if ((d->name[0] && (r = copy_text(d->name, &hop->name)) != 0) ||
		(r = copy_text(d->host, &hop->host)) != 0 ||
		(r = copy_text(d->user, &hop->user)) != 0 ||
		(r = copy_text(d->host_key_alias, &hop->host_key_alias)) != 0)
		return r;
	of = d->present & KEY_IDENTITY_AGENT ? d : top;
	if ((r = copy_text(of->identity_agent, &hop->identity_agent)) != 0)
		return r;
	of = d->present & KEY_ALGORITHMS ? d : top;
	if (of->algorithms && of->algorithms[0] &&
		(r = copy_text(of->algorithms, &hop->algorithms)) != 0)
		return r;
	of = d->present & KEY_KNOWN_HOSTS ? d : top;
	if ((r = copy_strings(&of->known_hosts, &hop->known_hosts, &hop->n_known_hosts)) != 0)
		return r;
	for (size_t i = 0; i < d->transport.n; i++) {
		struct smx_strings s = { hop->transport, hop->n_transport };

		r = smx_strings_push(&s, d->transport.v[i]);
		hop->transport = s.v;
		hop->n_transport = s.n;
		if (r != 0)
			return r;
	}
	of = d->present & KEY_CERTIFICATE ? d : top;
	if ((r = copy_strings(&of->certificate, &hop->certificate, &hop->n_certificate)) != 0)
		return r;
	of = d->present & KEY_IDENTITY ? d : top;
	return copy_strings(&of->identity, &hop->identity, &hop->n_identity);
}

/* Out of the draft, which is done with. */
static struct smx_forward_rules take_rules(struct smx_forward_rules *rules)
{
	struct smx_forward_rules taken = *rules;

	*rules = (struct smx_forward_rules){ NULL, 0 };
	return taken;
}

static int make_route(const struct routes_parser *p, struct route_draft *d, struct smx_route *route)
{
	int r;

	route->line = d->node->key_line;
	route->column = d->node->key_column;
	/* R5: OR. */
	route->allow_remote_loopback_any_port = d->allow_loopback || p->top.allow_loopback;
	route->forwards = take_rules(&d->forwards);
	route->remote_forwards = take_rules(&d->remote_forwards);
	route->jump_through = take_rules(&d->through);
	if ((r = copy_text(d->name, &route->name)) != 0 ||
		(r = copy_strings(&p->top.send_env, &route->send_env, &route->n_send_env)) != 0 ||
		(r = copy_strings(&d->send_env, &route->send_env, &route->n_send_env)) != 0 ||
		(r = copy_strings(&d->agent_keys, &route->agent.keys, &route->agent.n_keys)) != 0)
		return r;
	route->agent.is_allowed = d->agent_is_allowed;
	route->agent.must_confirm = d->agent_must_confirm;
	route->hops = smx_calloc(d->n_hops, sizeof(*route->hops));
	if (!route->hops)
		return SMX_ENOMEM;
	for (size_t i = 0; i < d->n_hops; i++) {
		const struct route_draft *from =
			d->hops[i] == ROUTE_HOP_JUMP ? &p->jump : &p->drafts[d->hops[i]];

		route->n_hops++;
		if ((r = make_hop(p, from, &route->hops[i])) != 0)
			return r;
	}
	return 0;
}

static int make_table(const struct routes_parser *p, struct smx_routes **ret)
{
	struct smx_routes *routes = smx_calloc(1, sizeof(*routes));
	int r = 0;

	if (!routes)
		return SMX_ENOMEM;
	routes->refs = 1;
	routes->routes = smx_calloc(p->n_drafts, sizeof(*routes->routes));
	if (!routes->routes)
		r = SMX_ENOMEM;
	else
		r = copy_text(p->top.pinentry, &routes->pinentry);
	routes->allow_other_users = p->top.allow_other_users;
	for (size_t i = 0; r == 0 && i < p->n_drafts; i++) {
		routes->n_routes++;
		r = make_route(p, &p->drafts[i], &routes->routes[i]);
	}
	if (r != 0) {
		smx_routes_unref(routes);
		return r;
	}
	*ret = routes;
	return 0;
}

static int parse(struct routes_parser *p, struct smx_view text, struct smx_routes **ret)
{
	const char *end = p->wants_all ? "\n" : "";
	struct smx_toml_error error;
	struct smx_toml *root;
	int r;

	r = smx_toml_parse((const char *)text.p, text.len, &root, &error);
	if (r == SMX_ESYNTAX) {
		if (error.line > 0)
			r = smx_buf_printf(p->error, "%s:%u:%u: %s%s", p->file_name, error.line,
				error.column, error.what, end);
		else
			r = smx_buf_printf(p->error, "%s: %s%s", p->file_name, error.what, end);
		return r == SMX_ENOMEM ? r : SMX_ESYNTAX;
	}
	if (r != 0)
		return r;
	r = read_all(p, root);
	if (smx_routes_goes_on(p, r) && p->n_errors)
		r = SMX_ESYNTAX; /* those that were gone on after */
	if (r == 0)
		r = make_table(p, ret);
	release_parser(p);
	smx_toml_free(root);
	return r;
}

int smx_routes_parse(struct smx_view text, const char *file_name, struct smx_routes **ret,
	struct smx_buf *ret_error)
{
	struct routes_parser p = { .file_name = file_name, .error = ret_error };

	return parse(&p, text, ret);
}

int smx_routes_check(struct smx_view text, const char *file_name, struct smx_routes **ret,
	struct smx_buf *ret_errors)
{
	struct routes_parser p = { .file_name = file_name, .error = ret_errors, .wants_all = 1 };

	return parse(&p, text, ret);
}
