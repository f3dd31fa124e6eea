/* SPDX-License-Identifier: MIT */
#include "mux/doors/request.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "mux/pool/pool.h"

#define SHOWN_SIZE 160 /* of a name, in a message */

/* --- what was asked for --- */

void request_of_user(const struct smx_routes *routes, const char *name, struct request *ret)
{
	/* The last one: no route's name has any (R3), a user's may. */
	const char *plus = routes->match_any ? NULL : strrchr(name, '+');

	*ret = (struct request){ .port = 0 };
	if (plus && plus > name && plus[1]) {
		(void)snprintf(ret->user, sizeof(ret->user), "%.*s", (int)(plus - name), name);
		name = plus + 1;
	}
	(void)snprintf(ret->route, sizeof(ret->route), "%s", name);
}

void request_of_proxy(const struct smx_control_request *words, struct request *ret)
{
	*ret = (struct request){ .port = (uint16_t)words->port };
	_Static_assert(sizeof(ret->user) >= sizeof(words->user), "a user fits");
	_Static_assert(sizeof(ret->host) >= sizeof(words->host), "a host fits");
	(void)snprintf(ret->route, sizeof(ret->route), "%s", words->route);
	(void)snprintf(ret->user, sizeof(ret->user), "%s", words->user);
	(void)snprintf(ret->host, sizeof(ret->host), "%s", words->host);
}

/* --- refusals --- */

static void show(const char *name, char out[SHOWN_SIZE])
{
	smx_sanitize(name, strlen(name), out, SHOWN_SIZE);
}

/* A name of one: what a person who reads the message can try at once. */
static const char *example(const struct smx_routes *routes)
{
	return routes->n_routes == 1 ? routes->routes[0].name : "ROUTE";
}

/* Most of the time somebody wrote `ssh git@web`, and of that only "git" comes to us. */
static int refuse_route(
	const struct smx_routes *routes, const struct request *req, struct refusal *why)
{
	char name[SHOWN_SIZE];

	show(req->route, name);
	(void)snprintf(
		why->text, sizeof(why->text), "unknown route: there is no route \"%s\"", name);
	(void)snprintf(why->remedy, sizeof(why->remedy), "see: ssh-mux status");
	if (!*req->user && smx_user_ok(smx_view_of(req->route, strlen(req->route))))
		(void)snprintf(why->remedy, sizeof(why->remedy),
			"to log in to a route as user \"%s\", make the user name %s+ROUTE, as in: "
			"ssh %s+%s@...; for the routes see: ssh-mux status",
			name, name, name, example(routes));
	return SMX_ENOTFOUND;
}

static int refuse_user(const struct request *req, const char *fault, struct refusal *why)
{
	char name[SHOWN_SIZE];

	show(req->user, name);
	(void)snprintf(why->text, sizeof(why->text), "the user name \"%s\" %s", name, fault);
	return SMX_EINVAL;
}

static int refuse_host(
	const struct smx_route *route, const struct request *req, struct refusal *why)
{
	char name[SHOWN_SIZE];

	show(req->host, name);
	(void)snprintf(why->text, sizeof(why->text),
		"route \"%s\" leads to host %s, and ssh was asked for host \"%s\"", route->name,
		smx_route_target(route)->host, name);
	(void)snprintf(why->remedy, sizeof(why->remedy),
		"make a route for that host, or go there without ssh-mux: ssh -o "
		"ProxyCommand=none");
	return SMX_EINVAL;
}

static int refuse_memory(struct refusal *why)
{
	(void)snprintf(why->text, sizeof(why->text), "%s", smx_strerror(SMX_ENOMEM));
	return SMX_ENOMEM;
}

/* --- where it leads --- */

static int lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static int same_host(const char *a, const char *b)
{
	for (; *a && lower(*a) == lower(*b); a++)
		b++;
	return *a == *b;
}

/* ssh says the alias itself where its configuration names no host. */
static int is_its_host(const struct smx_route *route, const char *host)
{
	return !*host || same_host(host, smx_route_target(route)->host) ||
	       same_host(host, route->name);
}

/* Whoever may log in could ask for thousands of users, and each would be a connection. */
static int check_number(struct mux *m, const struct smx_route *variant, struct refusal *why)
{
	size_t n_all, n_of_route;

	if (pool_has_entry(m, variant->hops, variant->n_hops))
		return 0;
	pool_count_variants(m, variant->base, &n_all, &n_of_route);
	if (n_all < VARIANTS_MAX && n_of_route < VARIANTS_OF_ROUTE)
		return 0;
	(void)snprintf(why->text, sizeof(why->text),
		"too many users at once on %s%.128s: %zu connections besides the routes' own",
		n_of_route < VARIANTS_OF_ROUTE ? "all routes" : "route ",
		n_of_route < VARIANTS_OF_ROUTE ? "" : variant->base,
		n_of_route < VARIANTS_OF_ROUTE ? n_all : n_of_route);
	(void)snprintf(why->remedy, sizeof(why->remedy),
		"they end when they are idle; for one that lasts, make it a route of its own");
	return SMX_ELIMIT;
}

int request_resolve(
	struct mux *m, const struct request *req, struct destination *ret, struct refusal *why)
{
	const struct smx_route *route = smx_routes_find(m->routes, req->route);
	const struct smx_hop *target;
	const char *fault, *user;
	struct smx_routes *variant;
	uint16_t port;
	int r;

	*why = (struct refusal){ "", "" };
	if (!route)
		return refuse_route(m->routes, req, why);
	target = smx_route_target(route);
	user = *req->user && strcmp(req->user, target->user) != 0 ? req->user : NULL;
	port = req->port != target->port ? req->port : 0;
	if (user && (fault = smx_user_fault(smx_view_of(user, strlen(user)))) != NULL)
		return refuse_user(req, fault, why);
	if (!is_its_host(route, req->host))
		return refuse_host(route, req, why);
	if (!user && !port) {
		*ret = (struct destination){ smx_routes_ref(m->routes), route };
		return 0;
	}
	if (smx_routes_variant(m->routes, route, user, port, &variant) != 0)
		return refuse_memory(why);
	if ((r = check_number(m, &variant->routes[0], why)) != 0)
		smx_routes_unref(variant);
	else
		*ret = (struct destination){ variant, &variant->routes[0] };
	return r;
}

void destination_release(struct destination *d)
{
	smx_routes_unref(d->routes);
	*d = (struct destination){ NULL, NULL };
}
