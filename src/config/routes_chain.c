/* SPDX-License-Identifier: MIT */
/* From `jump` and `direct` to the hops of each route (R2, B1). */
#include <string.h>

#include "base/err.h"
#include "config/routes_int.h"

#define NOT_FOUND SIZE_MAX
/*
 * How deep routes are followed. More than there may be hops, so that it is the route with one hop
 * too many that is named in the error, not one it leads through.
 */
#define DEPTH_MAX 64

static size_t find_draft(const struct routes_parser *p, const struct smx_toml *name)
{
	for (size_t i = 0; i < p->n_drafts; i++) {
		if (strlen(p->drafts[i].name) == name->string_len &&
			memcmp(p->drafts[i].name, name->string, name->string_len) == 0)
			return i;
	}
	return NOT_FOUND;
}

static int resolve_one(struct routes_parser *p, struct route_draft *d, unsigned depth);

static int too_many(struct routes_parser *p, const struct route_draft *d)
{
	return smx_routes_fail(p, d, d->jump, "leads over more than %d hops", SMX_HOPS_MAX);
}

/* Adds one hop; a host that is passed twice on one way is a circle. */
static int add_hop(struct routes_parser *p, struct route_draft *d, size_t hop)
{
	for (size_t i = 0; i < d->n_hops; i++) {
		if (d->hops[i] == hop)
			return smx_routes_fail(p, d, d->jump,
				"goes round in a circle: \"%s\" is passed twice",
				hop == ROUTE_HOP_JUMP ? "[jump]" : p->drafts[hop].name);
	}
	if (d->n_hops == SMX_HOPS_MAX)
		return too_many(p, d);
	d->hops[d->n_hops++] = hop;
	return 0;
}

/* Adds the way to the route named: all of it for the first name, else its host alone. */
static int add_jump(struct routes_parser *p, struct route_draft *d, const struct smx_toml *name,
	int is_first, unsigned depth)
{
	size_t at = find_draft(p, name);
	struct route_draft *via;
	int r;

	if (at == NOT_FOUND) {
		if (smx_route_name_ok(smx_view_of(name->string, name->string_len)))
			return smx_routes_fail(
				p, d, d->jump, "there is no route \"%s\"", name->string);
		return smx_routes_fail(p, d, d->jump, "there is no such route");
	}
	via = &p->drafts[at];
	if (!is_first)
		return add_hop(p, d, at);
	if (via->state == DRAFT_VISITING)
		return smx_routes_fail(p, d, d->jump,
			"goes round in a circle: the way to \"%s\" leads through \"%s\"", via->name,
			d->name);
	if (depth >= DEPTH_MAX)
		return too_many(p, d);
	if ((r = resolve_one(p, via, depth + 1)) != 0)
		return r;
	for (size_t i = 0; i < via->n_hops; i++) {
		if ((r = add_hop(p, d, via->hops[i])) != 0)
			return r;
	}
	return 0;
}

static int is_none(const struct smx_toml *jump)
{
	return jump->type == SMX_TOML_STRING &&
	       smx_view_eq(smx_view_of(jump->string, jump->string_len), "none");
}

/* R7: a program leads from here to the first hop; to the others leads the hop before. */
static int check_transports(struct routes_parser *p, const struct route_draft *d)
{
	for (size_t i = 1; i < d->n_hops; i++) {
		if (d->hops[i] != ROUTE_HOP_JUMP && p->drafts[d->hops[i]].transport.n)
			return smx_routes_fail(p, d, d->jump,
				"leads to \"%s\" from another host, which excludes its "
				"\"transport\"",
				p->drafts[d->hops[i]].name);
	}
	return 0;
}

static int resolve_one(struct routes_parser *p, struct route_draft *d, unsigned depth)
{
	int r = 0;

	if (d->state == DRAFT_DONE)
		return 0;
	d->state = DRAFT_VISITING;
	if (d->direct && d->jump)
		r = smx_routes_fail(p, d, d->jump, "excludes \"direct = true\"; omit one of them");
	else if (d->transport.n && d->jump && !is_none(d->jump))
		r = smx_routes_fail(p, d, d->jump,
			"excludes \"transport\", which is the whole path; omit one of them");
	else if (!d->jump && !d->direct && !d->transport.n && p->has_jump)
		r = add_hop(p, d, ROUTE_HOP_JUMP);
	else if (d->jump && d->jump->type == SMX_TOML_ARRAY)
		for (size_t i = 0; r == 0 && i < d->jump->n_items; i++)
			r = add_jump(p, d, d->jump->items[i], i == 0, depth);
	else if (d->jump && !is_none(d->jump))
		r = add_jump(p, d, d->jump, 1, depth);
	if (r == 0)
		r = add_hop(p, d, (size_t)(d - p->drafts));
	if (r == 0)
		r = check_transports(p, d);
	d->state = DRAFT_DONE; /* also one in error: it is told of once */
	return r;
}

int smx_routes_resolve(struct routes_parser *p)
{
	int r = 0;

	for (size_t i = 0; smx_routes_goes_on(p, r) && i < p->n_drafts; i++)
		r = resolve_one(p, &p->drafts[i], 0);
	return r;
}
