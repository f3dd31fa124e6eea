/* SPDX-License-Identifier: MIT */
/*
 * The forwards of a guest (W2). The client asks for them before its session. One that is refused
 * makes it go on by itself, with all of them: so those that it was given already are closed.
 */
#include "mux/guest.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"
#include "mux/forward.h"
#include "mux/listener.h"
#include "mux/say.h"
#include "mux/upstream.h"
#include "os/door.h"
#include "os/os.h"

#define TEXT_SIZE 600
#define PORT_MAX  65535

struct hold {
	struct smx_list node; /* guest->holds */
	struct listener *listener;
};

static void release(struct hold *h, int keep)
{
	smx_list_del(&h->node);
	listener_release(h->listener, keep);
	smx_free(h);
}

void guest_drop_forwards(struct guest *g, int keep)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &g->holds)
		release(SMX_CONTAINER(it, struct hold, node), keep);
}

/* The listener is held already. */
static int add_hold(struct guest *g, struct listener *l)
{
	struct hold *h = smx_calloc(1, sizeof(*h));

	if (!h)
		return SMX_ENOMEM;
	h->listener = l;
	smx_list_init(&h->node);
	smx_list_add_tail(&g->holds, &h->node);
	return 0;
}

static int is_port(uint32_t port)
{
	return port <= PORT_MAX || port == SMX_MUX4_PORT_IS_PATH;
}

/* What no master takes. NULL: nothing. */
static const char *fault(const struct smx_mux4_request *req)
{
	if (req->forward != SMX_MUX4_LOCAL && req->forward != SMX_MUX4_REMOTE &&
		req->forward != SMX_MUX4_DYNAMIC)
		return "this kind of forward is not known";
	if (!is_port(req->listen_port) || !is_port(req->port))
		return "a forward's port is not one of 1 to 65535";
	if (req->forward == SMX_MUX4_REMOTE)
		return NULL;
	if (req->listen_port == 0)
		return "a local forward needs a port to listen at";
	if (req->forward == SMX_MUX4_DYNAMIC && req->listen_port == SMX_MUX4_PORT_IS_PATH)
		return "a dynamic forward listens at a port";
	if (req->forward == SMX_MUX4_LOCAL && (req->port == 0 || req->host.len == 0))
		return "a local forward needs a place to lead to";
	return NULL;
}

/* 0: text says why not. */
static int is_allowed(
	const struct guest *g, const struct smx_mux4_request *req, char *text, size_t size)
{
	struct forward_target to = { req->host, req->port };

	if (req->forward == SMX_MUX4_LOCAL)
		return forward_is_allowed(g->mux, g->route, &to, text, size);
	if (g->mux->is_locked)
		(void)snprintf(text, size, "%s", MUX_LOCKED_TEXT);
	else if (req->forward == SMX_MUX4_REMOTE)
		(void)snprintf(text, size, "remote forwards are not served; ssh connects directly");
	else if (!smx_policy_any_forward(g->route))
		(void)snprintf(text, size, "the route allows no forwards: %s",
			smx_policy_text(SMX_POLICY_DENY_ROUTE));
	else
		return 1;
	return 0;
}

static void refuse(struct guest *g, const struct smx_mux4_request *req, const char *why)
{
	char text[TEXT_SIZE + 20];

	(void)snprintf(text, sizeof(text), "ssh-mux: %s", why);
	guest_refuse(g, req->id, text);
}

void guest_open_forward(struct guest *g, const struct smx_mux4_request *req)
{
	const char *why = fault(req);
	char text[TEXT_SIZE];
	struct listener *l;

	if (why || !is_allowed(g, req, text, sizeof(text))) {
		refuse(g, req, why ? why : text);
		return;
	}
	/* As with a real master: who asks for the same has it. */
	if ((l = listener_find(g->mux, g->route, req)))
		listener_hold(l);
	else if (!(l = listener_new(g->mux, g->route, req, text, sizeof(text)))) {
		refuse(g, req, text);
		return;
	}
	if (add_hold(g, l) != 0) {
		listener_release(l, 0);
		guest_refuse(g, req->id, smx_strerror(SMX_ENOMEM));
		return;
	}
	guest_replied(g, smx_mux4_put_ok(&g->out, req->id));
}

void guest_close_forward(struct guest *g, const struct smx_mux4_request *req)
{
	struct listener *l = listener_find(g->mux, g->route, req);

	if (!l) {
		guest_replied(g, smx_mux4_put_failure(&g->out, req->id, "port not forwarded"));
		return;
	}
	listener_close(l);
	guest_replied(g, smx_mux4_put_ok(&g->out, req->id));
}

/* --- ssh -N --- */

struct stay {
	struct guest *guest; /* NULL: it has left */
	struct open_req req;
	uint32_t id;
	int is_done;
};

static void stay_free(struct stay *s)
{
	open_req_release(&s->req);
	smx_free(s);
}

int guest_wants_forwards_only(const struct guest *g, const struct smx_mux4_request *req)
{
	return !smx_list_empty(&g->holds) && req->command.len == 0 && !req->is_subsystem &&
	       !req->wants_tty && smx_os_stdio_has_nothing(g->fds[0]);
}

static void on_opened(
	struct open_req *req, struct upstream *up, struct smx_chan *chan, struct smx_view specific)
{
	struct stay *s = SMX_CONTAINER(req, struct stay, req);
	struct guest *g = s->guest;

	(void)up;
	(void)chan;
	(void)specific;
	s->is_done = 1;
	guest_replied(g, smx_mux4_put_opened(&g->out, s->id, (uint32_t)g->id));
	guest_resume(g);
}

static void on_failed(struct open_req *req, uint32_t code, const char *text)
{
	struct stay *s = SMX_CONTAINER(req, struct stay, req);
	struct guest *g = s->guest;
	uint32_t id = s->id;

	(void)code;
	g->stay = NULL;
	stay_free(s);
	guest_refuse(g, id, text);
	guest_resume(g);
}

static void on_released(struct open_req *req)
{
	stay_free(SMX_CONTAINER(req, struct stay, req));
}

void guest_stay(struct guest *g, const struct smx_mux4_request *req)
{
	struct smx_view none = { NULL, 0 };
	struct stay *s;

	/* Clients up to 9.3 stay in the foreground then, and none says whether it should. */
	if (!smx_os_is_terminal(g->fds[0])) {
		guest_refuse(g, req->id, "ssh-mux does not serve ssh -fN; ssh connects directly");
		return;
	}
	if (!(s = smx_calloc(1, sizeof(*s)))) {
		guest_refuse(g, req->id, smx_strerror(SMX_ENOMEM));
		return;
	}
	/* Of nothing: it has no text that could fail to be copied. */
	(void)open_req_init(&s->req, 0, none, none, 0);
	s->guest = g;
	s->id = req->id;
	s->req.is_login = 1;
	s->req.opened = on_opened;
	s->req.failed = on_failed;
	s->req.released = on_released;
	g->stay = s;
	g->is_opening = 1;
	pool_open(g->mux, g->routes, g->route, g->route->n_hops, &s->req);
}

void guest_leave(struct guest *g)
{
	struct stay *s = g->stay;

	if (!s)
		return;
	g->stay = NULL;
	s->guest = NULL;
	if (s->is_done)
		stay_free(s);
	else
		pool_cancel(&s->req); /* frees */
}
