/* SPDX-License-Identifier: MIT */
/*
 * W1: a route's path with another user or port at its end. All else is the route's own memory,
 * whose table the variant holds: what a later key of the file adds is there without a line here.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/routes_int.h"

#define NAME_SIZE (SMX_USER_MAX + SMX_ROUTE_NAME_MAX + 16)

/* "root@web", "root@web:2222": what `ssh-mux connect` takes for it. */
static char *name_of(const struct smx_route *of, const char *user, uint16_t port)
{
	char name[NAME_SIZE], digits[8] = "";

	if (port != smx_route_target(of)->port)
		(void)snprintf(digits, sizeof(digits), ":%u", port);
	(void)snprintf(name, sizeof(name), "%s@%s%s", user, of->name, digits);
	return smx_strdup(name);
}

void smx_routes_variant_release(struct smx_routes *variant)
{
	struct smx_route *route = &variant->routes[0];

	smx_free(route->name);
	if (route->hops)
		smx_free(route->hops[route->n_hops - 1].user);
	smx_free(route->hops);
	smx_free(variant->routes);
	smx_routes_unref(variant->parent);
	smx_free(variant);
}

int smx_routes_variant(struct smx_routes *table, const struct smx_route *of, const char *user,
	uint16_t port, struct smx_routes **ret)
{
	const struct smx_hop *own = smx_route_target(of);
	struct smx_routes *variant = smx_calloc(1, sizeof(*variant));
	struct smx_route *route = smx_calloc(1, sizeof(*route));
	struct smx_hop *hops = smx_calloc(of->n_hops, sizeof(*hops)), *target;

	if (!variant || !route || !hops) {
		smx_free(variant);
		smx_free(route);
		smx_free(hops);
		return SMX_ENOMEM;
	}
	memcpy(hops, of->hops, of->n_hops * sizeof(*hops));
	target = &hops[of->n_hops - 1];
	target->user = smx_strdup(user ? user : own->user);
	target->port = port ? port : own->port;
	*route = *of;
	route->hops = hops;
	route->base = of->name;
	route->name = name_of(of, user ? user : own->user, target->port);
	variant->refs = 1;
	variant->routes = route;
	variant->n_routes = 1;
	variant->parent = smx_routes_ref(table);
	if (!route->name || !target->user) {
		smx_routes_variant_release(variant);
		return SMX_ENOMEM;
	}
	*ret = variant;
	return 0;
}
