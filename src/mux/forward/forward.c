/* SPDX-License-Identifier: MIT */
#include "mux/forward/forward.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"

#define WAY_SIZE (SMX_USER_MAX + SMX_HOST_MAX + 16)

int forward_is_allowed(const struct mux *m, const struct smx_route *route,
	const struct forward_target *to, char *text, size_t size)
{
	enum smx_chan_kind kind =
		to->port == SMX_MUX4_PORT_IS_PATH ? SMX_CHAN_KIND_STREAMLOCAL : SMX_CHAN_KIND_TCPIP;

	if (!m->is_locked)
		return smx_policy_check_forward(route, kind, to->host, to->port, text, size) == 0;
	(void)snprintf(text, size, "%s", MUX_LOCKED_TEXT);
	return 0;
}

static int put_path(const struct forward_target *to, struct smx_buf *out)
{
	int r;

	if ((r = smx_put_view(out, to->host)) != 0 || (r = smx_put_cstr(out, "")) != 0)
		return r;
	return smx_put_u32(out, 0);
}

static int put_port(const struct forward_target *to, const char *from_address, uint16_t from_port,
	struct smx_buf *out)
{
	int r;

	if ((r = smx_put_view(out, to->host)) != 0 || (r = smx_put_u32(out, to->port)) != 0 ||
		(r = smx_put_cstr(out, from_address)) != 0)
		return r;
	return smx_put_u32(out, from_port);
}

const char *forward_put_open(const struct forward_target *to, const char *from_address,
	uint16_t from_port, struct smx_buf *out)
{
	if (to->port == SMX_MUX4_PORT_IS_PATH)
		return put_path(to, out) == 0 ? "direct-streamlocal@openssh.com" : NULL;
	return put_port(to, from_address, from_port, out) == 0 ? "direct-tcpip" : NULL;
}

int forward_may_listen(const struct mux *m, const struct smx_route *route, int is_path,
	struct smx_view address, uint32_t port, char *text, size_t size)
{
	if (m->is_locked)
		(void)snprintf(text, size, "%s", MUX_LOCKED_TEXT);
	else if (!route)
		(void)snprintf(text, size, "the route is unknown");
	else
		return smx_policy_check_listen(route, is_path, address, port, text, size) == 0;
	return 0;
}

/* --- the words of a forward --- */

static void way_of(const struct smx_route *route, char out[WAY_SIZE])
{
	const struct smx_hop *hop = smx_route_target(route);

	(void)snprintf(out, WAY_SIZE, "%s@%s:%u", hop->user, hop->host, hop->port);
}

int forward_words_set(
	struct forward_words *w, const struct smx_route *route, const struct smx_mux4_request *req)
{
	char way[WAY_SIZE];

	way_of(route, way);
	(void)snprintf(w->route, sizeof(w->route), "%s", route->name);
	w->kind = req->forward;
	w->listen_port = req->listen_port;
	w->port = req->port;
	w->way = smx_strdup(way);
	w->listen_host = smx_strndup((const char *)req->listen_host.p, req->listen_host.len);
	w->host = smx_strndup((const char *)req->host.p, req->host.len);
	return w->way && w->listen_host && w->host ? 0 : SMX_ENOMEM;
}

void forward_words_release(struct forward_words *w)
{
	smx_free(w->way);
	smx_free(w->listen_host);
	smx_free(w->host);
	w->way = w->listen_host = w->host = NULL;
}

int forward_words_are(const struct forward_words *w, const struct smx_route *route,
	const struct smx_mux4_request *req)
{
	return strcmp(w->route, route->name) == 0 && w->kind == req->forward &&
	       w->listen_port == req->listen_port && w->port == req->port &&
	       smx_view_eq(req->listen_host, w->listen_host) && smx_view_eq(req->host, w->host);
}

const struct smx_route *forward_words_route(const struct forward_words *w, const struct mux *m)
{
	const struct smx_route *route = smx_routes_find(m->routes, w->route);
	char way[WAY_SIZE];

	if (!route)
		return NULL;
	way_of(route, way);
	return strcmp(way, w->way) == 0 ? route : NULL;
}
