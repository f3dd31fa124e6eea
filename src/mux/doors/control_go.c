/* SPDX-License-Identifier: MIT */
/* The requests that lead somewhere: `proxy`, `connect`, `login` (W1). */
#include "mux/doors/control_int.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "mux/doors/attach.h"
#include "mux/doors/door.h"
#include "mux/doors/login_call.h"
#include "mux/doors/request.h"
#include "mux/pool/holdback.h"
#include "os/agent.h"

static enum attempt_place place_of(const struct smx_control_request *req)
{
	switch (req->asks) {
	case SMX_CONTROL_ASKS_TERMINAL:
		return ATTEMPT_TERMINAL;
	case SMX_CONTROL_ASKS_ASKPASS:
		return ATTEMPT_ASKPASS;
	case SMX_CONTROL_ASKS_PINENTRY:
		return ATTEMPT_PINENTRY;
	default:
		return ATTEMPT_NOWHERE;
	}
}

/* U5: a person who is there and says where to is not kept waiting for what failed before. */
static void let_try(struct control_client *c, const struct smx_control_request *req,
	const struct smx_route *route)
{
	if (place_of(req) == ATTEMPT_TERMINAL)
		holdback_reset(c->mux, route->hops, route->n_hops);
}

static int attach(
	struct control_client *c, const struct smx_control_request *req, const struct door_way *way)
{
	int r;

	if (c->mux->core.is_stopping)
		return smx_control_error_build(
			&c->out, req->id, "busy", "the daemon is stopping", NULL);
	if (req->agent[0] && !smx_os_agent_is_place(req->agent))
		return SMX_EFORMAT;
	if (!(c->attach = attach_new(c->mux, c, way, req->agent, place_of(req))))
		return smx_control_error_build(&c->out, req->id, "busy", "too many clients", NULL);
	/* The answer goes out before the first frame: attach_new has not written anything yet. */
	if ((r = smx_control_upgrade_build(&c->out, req->id, way->name)) != 0)
		return r;
	(void)uv_timer_stop(&c->timer);
	/* From here on the door counts it. */
	if (c->mux->control)
		c->mux->control->n_clients -= c->is_counted;
	c->is_counted = 0;
	attach_begin(c->attach);
	return 0;
}

/* U7: the frames are for questions, and the result. */
static int log_in(struct control_client *c, const struct smx_control_request *req,
	struct smx_routes *routes, const struct smx_route *route)
{
	struct login_call_options o = { req->id, routes, route, req->renew };
	struct login_call *call;
	int r;

	if (c->mux->core.is_stopping || c->mux->is_locked)
		return smx_control_error_build(&c->out, req->id,
			c->mux->core.is_stopping ? "busy" : "locked",
			c->mux->core.is_stopping ? "the daemon is stopping" : MUX_LOCKED_TEXT,
			NULL);
	call = login_call_new(c->mux, c, req->agent, place_of(req), &c->attach);
	if (!call)
		return smx_control_error_build(
			&c->out, req->id, "busy", smx_strerror(SMX_ENOMEM), NULL);
	if ((r = smx_control_upgrade_build(&c->out, req->id, route->name)) != 0)
		return r;
	(void)uv_timer_stop(&c->timer);
	login_call_start(call, &o);
	return 0;
}

/* W1: to a route, or a variant of it; for `proxy`, `connect` and `login`. */
static int go_to_route(struct control_client *c, const struct smx_control_request *req,
	const struct request *asked)
{
	struct door_way way = { .asked = asked,
		.is_trusted = req->cmd != SMX_CONTROL_PROXY,
		.is_batch = req->is_batch };
	struct destination d;
	struct refusal why;
	int r;

	if (request_resolve(c->mux, asked, &d, &why) != 0)
		return smx_control_error_build(&c->out, req->id, "failed", why.text, why.remedy);
	if (req->cmd != SMX_CONTROL_PROXY)
		let_try(c, req, d.route);
	way.name = d.route->name;
	r = req->cmd == SMX_CONTROL_LOGIN ? log_in(c, req, d.routes, d.route)
					  : attach(c, req, &way);
	destination_release(&d);
	return r;
}

static int refuse_rivals(struct control_client *c, const struct smx_control_request *req,
	const struct smx_route *one, const struct smx_route *other)
{
	char text[2 * SMX_CONTROL_ROUTE_MAX + 128], hint[SMX_CONTROL_ROUTE_MAX + 64];
	const struct smx_hop *target = smx_route_target(one);

	(void)snprintf(text, sizeof(text),
		"routes \"%s\" and \"%s\" lead to %s@%s port %u with different keys", one->name,
		other->name, target->user, target->host, target->port);
	(void)snprintf(hint, sizeof(hint), "name the one you mean: ssh-mux connect %s", one->name);
	return smx_control_error_build(&c->out, req->id, "failed", text, hint);
}

/* Directly, with the default keys. */
static int go_directly(
	struct control_client *c, const struct smx_control_request *req, struct smx_routes *one_off)
{
	const struct smx_route *route = &one_off->routes[0];
	const struct smx_hop *target = smx_route_target(route);
	char name[2 * SMX_CONTROL_ROUTE_MAX + 16];

	let_try(c, req, route);
	(void)snprintf(name, sizeof(name), "%s@%s:%u", target->user, target->host, target->port);
	if (req->cmd == SMX_CONTROL_LOGIN)
		return log_in(c, req, one_off, route);
	return attach(
		c, req, &(struct door_way){ .name = name, .routes = one_off, .is_trusted = 1 });
}

/* USER@HOST[:PORT]: of a route's name, of a route's target, or of neither. */
static int connect_to_target(struct control_client *c, const struct smx_control_request *req)
{
	struct request asked = { .port = (uint16_t)req->port };
	const struct smx_route *known, *rival;
	struct smx_routes *one_off;
	struct smx_buf err;
	int r;

	if (!c->mux->routes->match_any && smx_routes_find(c->mux->routes, req->host)) {
		(void)snprintf(asked.route, sizeof(asked.route), "%s", req->host);
		(void)snprintf(asked.user, sizeof(asked.user), "%s", req->user);
		return go_to_route(c, req, &asked);
	}
	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX);
	if ((r = smx_routes_direct(req->host, req->port ? req->port : SMX_DEFAULT_SSH_PORT,
		     req->user, 0, &one_off, &err)) != 0) {
		r = smx_control_error_build(&c->out, req->id, "failed", smx_errtext(r, &err), NULL);
		smx_buf_release(&err);
		return r;
	}
	smx_buf_release(&err);
	known = smx_routes_find_target(
		c->mux->routes, smx_route_target(&one_off->routes[0]), &rival);
	if (rival) {
		r = refuse_rivals(c, req, known, rival);
	} else if (known) {
		asked.port = 0;
		(void)snprintf(asked.route, sizeof(asked.route), "%s", known->name);
		r = go_to_route(c, req, &asked);
	} else {
		r = go_directly(c, req, one_off);
	}
	smx_routes_unref(one_off);
	return r;
}

int control_proxy(struct control_client *c, const struct smx_control_request *req)
{
	struct request asked;

	/* W7: here, for ssh has no channel yet by which it could be told. */
	if (c->mux->is_locked)
		return smx_control_error_build(&c->out, req->id, "locked", MUX_LOCKED_TEXT, NULL);
	request_of_proxy(req, &asked);
	return go_to_route(c, req, &asked);
}

int control_connect(struct control_client *c, const struct smx_control_request *req)
{
	struct request asked = { .port = 0 };

	if (!req->route[0])
		return connect_to_target(c, req);
	(void)snprintf(asked.route, sizeof(asked.route), "%s", req->route);
	return go_to_route(c, req, &asked);
}
