/* SPDX-License-Identifier: MIT */
// fuzzes: src/config/routes_parse.c src/config/routes_keys.c src/config/routes_chain.c
// fuzzes: src/config/routes_forward.c src/config/names.c
/* The routes file (R1–R6, B1): whatever comes out obeys every rule; else there is one line that
 * says why. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"
#include "config/routes.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

static void check_route(const struct smx_routes *routes, const struct smx_route *route)
{
	CHECK(smx_route_name_ok(view(route->name)));
	CHECK(smx_routes_find(routes, route->name) == route);
	CHECK(route->n_hops >= 1 && route->n_hops <= SMX_HOPS_MAX);
	CHECK(strcmp(smx_route_target(route)->name, route->name) == 0);
	for (size_t i = 0; i < route->n_hops; i++) {
		const struct smx_hop *hop = &route->hops[i];

		CHECK(smx_host_ok(view(hop->host)) && smx_user_ok(view(hop->user)));
		CHECK(hop->port > 0 && hop->n_identity <= SMX_IDENTITIES_MAX);
		CHECK(!hop->host_key_alias || smx_host_ok(view(hop->host_key_alias)));
		CHECK(hop->name || i == 0); /* [jump] can only be the first */
	}
	CHECK(route->n_send_env <= 2 * SMX_SEND_ENV_MAX);
	for (size_t i = 0; i < route->n_send_env; i++) {
		CHECK(!smx_send_env_fault(view(route->send_env[i])));
		CHECK(smx_policy_env_ok(route, view(route->send_env[i])));
	}
	CHECK(!smx_policy_env_ok(route, view("LD_PRELOAD")));
	CHECK(smx_hops_equal(route->hops, route->n_hops, route->hops, route->n_hops));
}

/* All errors instead of the first: the same verdict, and whole lines of plain text. */
static void check_all(struct smx_view text, int want)
{
	struct smx_routes *routes;
	struct smx_buf errors;
	size_t lines = 0, len;
	int r;

	smx_buf_init(&errors, SMX_ROUTES_ERRORS_MAX * SMX_ROUTES_ERROR_MAX);
	r = smx_routes_check(text, "fuzz", &routes, &errors);
	CHECK(r == want);
	len = smx_buf_len(&errors);
	CHECK((r == 0) == (len == 0));
	for (size_t i = 0; i < len; i++) {
		uint8_t c = smx_buf_view(&errors)[i];

		CHECK((c >= ' ' && c != 0x7f) || c == '\n');
		lines += c == '\n';
	}
	CHECK(len == 0 || smx_buf_view(&errors)[len - 1] == '\n');
	CHECK(lines <= SMX_ROUTES_ERRORS_MAX);
	if (r == 0)
		smx_routes_unref(routes);
	smx_buf_release(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view text = { data, size };
	struct smx_routes *routes;
	struct smx_buf error;
	long before = smx_mem_alive();
	int r;

	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	r = smx_routes_parse(text, "fuzz", &routes, &error);
	if (r == 0) {
		CHECK(smx_buf_len(&error) == 0 && !routes->match_any && routes->refs == 1);
		for (size_t i = 0; i < routes->n_routes; i++)
			check_route(routes, &routes->routes[i]);
		smx_routes_unref(routes);
	} else {
		CHECK(r == SMX_ESYNTAX && smx_buf_len(&error) > 0);
		for (size_t i = 0; i < smx_buf_len(&error); i++)
			CHECK(smx_buf_view(&error)[i] >= ' ' && smx_buf_view(&error)[i] != 0x7f);
	}
	smx_buf_release(&error);
	check_all(text, r);
	CHECK(smx_mem_alive() == before);
	return 0;
}
