/* SPDX-License-Identifier: MIT */
/* The keys of the routes file about forwards (B4). */
#include <string.h>

#include "base/mem.h"
#include "config/routes_int.h"

static struct smx_view string_of(const struct smx_toml *t)
{
	return smx_view_of(t->string, t->string_len);
}

static int add_rule(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, const struct smx_toml *one, enum smx_forward_side side,
	struct smx_forward_rules *to)
{
	char why[256];
	int r = smx_forward_rules_add(to, string_of(one), side, why, sizeof(why));

	if (r == SMX_ESYNTAX)
		return smx_routes_fail(p, draft, item, "\"%.80s\" %s", one->string, why);
	return r;
}

/* An array of at most SMX_FORWARD_RULES_MAX strings. or_what: what else it may be, for people. */
static int check_array(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, const char *or_what)
{
	if (item->type != SMX_TOML_ARRAY)
		return smx_routes_fail(p, draft, item, "must be %san array of strings, not %s",
			or_what, smx_toml_type_name(item->type));
	if (item->n_items > SMX_FORWARD_RULES_MAX)
		return smx_routes_fail(
			p, draft, item, "has more than %d items", SMX_FORWARD_RULES_MAX);
	for (size_t i = 0; i < item->n_items; i++) {
		if (item->items[i]->type != SMX_TOML_STRING)
			return smx_routes_fail(p, draft, item,
				"must be %san array of strings, not an array with %s in it",
				or_what, smx_toml_type_name(item->items[i]->type));
	}
	return 0;
}

int smx_routes_read_forwards(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, enum smx_forward_side side, struct smx_forward_rules *to)
{
	int r = check_array(p, draft, item, "");

	for (size_t i = 0; r == 0 && i < item->n_items; i++)
		r = add_rule(p, draft, item, item->items[i], side, to);
	return r;
}

int smx_routes_read_through(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, const struct smx_toml **to)
{
	int r = item->type == SMX_TOML_BOOLEAN ? 0 : check_array(p, draft, item, "true, false or ");

	if (r == 0)
		*to = item;
	return r;
}

static const struct route_draft *find_draft(const struct routes_parser *p, struct smx_view name)
{
	for (size_t i = 0; i < p->n_drafts; i++) {
		if (smx_view_eq(name, p->drafts[i].name))
			return &p->drafts[i];
	}
	return NULL;
}

/* A route's name stands for its host and port; what has a ':' is an item as of `forwards`. */
static int resolve_one(struct routes_parser *p, struct route_draft *d, const struct smx_toml *one)
{
	struct smx_view name = string_of(one);
	const struct route_draft *to;

	if (name.len && name.p[0] == '/')
		return smx_routes_fail(p, d, d->jump_through,
			"\"%.80s\" is a path; sockets are allowed by \"forwards\"", one->string);
	if (name.len && memchr(name.p, ':', name.len))
		return add_rule(p, d, d->jump_through, one, SMX_FORWARD_CONNECT, &d->through);
	if (!(to = find_draft(p, name)))
		return smx_routes_fail(p, d, d->jump_through,
			"there is no route \"%.80s\"; write the name of one, or \"host:port\"",
			one->string);
	/* One with an error of its own has no host. */
	return to->host ? smx_forward_rules_add_host(&d->through, to->host, (uint16_t)to->port) : 0;
}

static int resolve(struct routes_parser *p, struct route_draft *d)
{
	const struct smx_toml *item = d->jump_through;
	int r = 0;

	if (!item)
		return 0;
	if (item->type == SMX_TOML_BOOLEAN)
		return item->boolean ? smx_forward_rules_add_any(&d->through) : 0;
	for (size_t i = 0; r == 0 && i < item->n_items; i++)
		r = resolve_one(p, d, item->items[i]);
	return r;
}

int smx_routes_resolve_through(struct routes_parser *p)
{
	int r = 0;

	for (size_t i = 0; smx_routes_goes_on(p, r) && i < p->n_drafts; i++)
		r = resolve(p, &p->drafts[i]);
	return r;
}
