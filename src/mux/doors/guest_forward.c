/* SPDX-License-Identifier: MIT */
/*
 * The forwards of a guest (W2). The client asks for them before its session. One that is refused
 * makes it go on by itself, with all of them: so those that it was given already are closed.
 */
#include "mux/doors/guest.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"
#include "mux/ask/caller_ask.h"
#include "mux/core/say.h"
#include "mux/forward/forward.h"
#include "mux/forward/listener.h"
#include "mux/forward/remote_listener.h"
#include "mux/pool/upstream.h"
#include "os/door.h"
#include "os/process.h"

#define TEXT_SIZE     600
#define PORT_MAX      65535
#define DENIED_STATUS 255 /* of ssh itself, where there is no session */

/* On one or the other. */
struct hold {
	struct smx_list node; /* guest->holds */
	struct guest *guest;
	struct listener *listener;
	struct remote_hold remote;
	uint32_t request; /* for it, while the server has not answered */
	int wants_port; /* the answer says which port it is */
	struct caller_ask *ask; /* its person, until the server has answered; or NULL */
};

static void end_asking(struct hold *h)
{
	h->remote.asker = NULL;
	caller_ask_free(h->ask);
	h->ask = NULL;
}

static void forget(struct hold *h)
{
	smx_list_del(&h->node);
	end_asking(h);
	smx_free(h);
}

static void release(struct hold *h, int keep)
{
	if (h->listener)
		listener_release(h->listener, keep);
	else if (h->remote.listener)
		remote_listener_release(&h->remote, keep);
	forget(h);
}

void guest_drop_forwards(struct guest *g, int keep)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &g->holds)
		release(SMX_CONTAINER(it, struct hold, node), keep);
}

static struct hold *add_hold(struct guest *g)
{
	struct hold *h = smx_calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->guest = g;
	smx_list_init(&h->node);
	smx_list_add_tail(&g->holds, &h->node);
	return h;
}

static int is_port(uint32_t port)
{
	return port <= PORT_MAX || port == SMX_MUX4_PORT_IS_PATH;
}

/* NULL: nothing. */
static const char *remote_fault(const struct smx_mux4_request *req)
{
	if (req->port == 0)
		return "a remote forward that leads anywhere (SOCKS) is not served; ssh connects "
		       "directly";
	if (req->host.len == 0)
		return "a remote forward needs a place to lead to";
	if (req->port == SMX_MUX4_PORT_IS_PATH && req->host.p[0] != '/')
		return "a remote forward leads to an absolute path; ssh connects directly";
	return NULL;
}

/* What no master takes, or we don't. NULL: nothing. */
static const char *fault(const struct smx_mux4_request *req)
{
	if (req->forward != SMX_MUX4_LOCAL && req->forward != SMX_MUX4_REMOTE &&
		req->forward != SMX_MUX4_DYNAMIC)
		return "this kind of forward is not known";
	if (!is_port(req->listen_port) || !is_port(req->port))
		return "a forward's port is not one of 1 to 65535";
	if (req->forward == SMX_MUX4_REMOTE)
		return remote_fault(req);
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

	if (req->forward == SMX_MUX4_REMOTE)
		return remote_listener_is_allowed(g->mux, g->route, req, text, size);
	if (req->forward == SMX_MUX4_LOCAL)
		return forward_is_allowed(g->mux, g->route, &to, text, size);
	if (g->mux->is_locked)
		(void)snprintf(text, size, "%s", MUX_LOCKED_TEXT);
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

/* --- remote ones --- */

static struct hold *of(struct remote_hold *h)
{
	return SMX_CONTAINER(h, struct hold, remote);
}

static void on_answered(struct remote_hold *rh, uint32_t port, const char *why)
{
	struct hold *h = of(rh);
	struct guest *g = h->guest;
	uint32_t id = h->request;
	char text[TEXT_SIZE + 20];

	end_asking(h);
	if (port == UINT32_MAX) {
		forget(h);
		(void)snprintf(text, sizeof(text), "ssh-mux: %s", why);
		guest_refuse(g, id, text);
	} else if (h->wants_port) {
		guest_replied(g, smx_mux4_put_remote_port(&g->out, id, port));
	} else {
		guest_replied(g, smx_mux4_put_ok(&g->out, id));
	}
	guest_resume(g);
}

/* Like plain ssh, whoever has asked for it ends: it would wait for connections that never come. */
static void on_lost(struct remote_hold *rh, const char *why)
{
	struct hold *h = of(rh);
	struct guest *g = h->guest;
	char text[TEXT_SIZE + 20];

	forget(h);
	if (!g->is_staying)
		return;
	(void)snprintf(text, sizeof(text), "ssh-mux: %s\r\n", why);
	if (g->passenger && passenger_is_open(g->passenger))
		passenger_lose(g->passenger, text);
	else
		guest_end(g);
}

static const struct remote_hold_ops remote_ops = { on_answered, on_lost };

static void open_remote(struct guest *g, const struct smx_mux4_request *req, struct hold *h)
{
	struct remote_listener *l = remote_listener_find(g->mux, g->route, req);
	const struct caller_wait wait = { .mux = g->mux, .owner = &g->owner };
	char text[TEXT_SIZE];

	h->remote.ops = &remote_ops;
	if (!l && (h->ask = caller_ask_new(&wait)))
		h->remote.asker = caller_ask_asker(h->ask);
	h->request = req->id;
	h->wants_port = req->listen_port == 0;
	g->is_opening = 1;
	if (l) {
		remote_listener_hold(l, &h->remote);
	} else if (remote_listener_new(g->mux, g->route, req, &h->remote, text, sizeof(text)) !=
		   0) {
		g->is_opening = 0;
		forget(h);
		refuse(g, req, text);
	}
}

/* --- local ones --- */

static void open_local(struct guest *g, const struct smx_mux4_request *req, struct hold *h)
{
	struct listener *l = listener_find(g->mux, g->route, req);
	char text[TEXT_SIZE];

	if (l) {
		listener_hold(l);
	} else if (!(l = listener_new(g->mux, g->route, req, text, sizeof(text)))) {
		forget(h);
		refuse(g, req, text);
		return;
	}
	h->listener = l;
	guest_replied(g, smx_mux4_put_ok(&g->out, req->id));
}

/* As with a real master, who asks for the same as another has it. */
void guest_open_forward(struct guest *g, const struct smx_mux4_request *req)
{
	const char *why = fault(req);
	char text[TEXT_SIZE];
	struct hold *h = NULL;

	if (!why && !is_allowed(g, req, text, sizeof(text)))
		why = text;
	if (!why && !(h = add_hold(g)))
		why = smx_strerror(SMX_ENOMEM);
	if (why)
		refuse(g, req, why);
	else if (req->forward == SMX_MUX4_REMOTE)
		open_remote(g, req, h);
	else
		open_local(g, req, h);
}

/* Whether there was one. */
static int close_forward(struct guest *g, const struct smx_mux4_request *req)
{
	struct remote_listener *remote;
	struct listener *local;

	if (req->forward == SMX_MUX4_REMOTE) {
		remote = remote_listener_find(g->mux, g->route, req);
		if (!remote || !remote->stands)
			return 0;
		remote_listener_close(remote);
		return 1;
	}
	if (!(local = listener_find(g->mux, g->route, req)))
		return 0;
	listener_close(local);
	return 1;
}

void guest_close_forward(struct guest *g, const struct smx_mux4_request *req)
{
	if (close_forward(g, req))
		guest_replied(g, smx_mux4_put_ok(&g->out, req->id));
	else
		guest_replied(g, smx_mux4_put_failure(&g->out, req->id, "port not forwarded"));
}

/* --- ssh -N --- */

struct stay {
	struct guest *guest; /* NULL: it has left */
	struct open_req req;
	uint32_t id;
	int is_done;
	struct caller_ask *ask; /* its person, or NULL */
	char dismissal[CALLER_DISMISSAL_SIZE];
};

static void stay_free(struct stay *s)
{
	open_req_release(&s->req);
	caller_ask_free(s->ask);
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
	s->req.asker = NULL;
	caller_ask_free(s->ask);
	s->ask = NULL;
	guest_replied(g, smx_mux4_put_opened(&g->out, s->id, (uint32_t)g->id));
	guest_resume(g);
}

/* As of a session: it was asked, and ssh is not to ask once more by itself. */
static void end_denied(struct guest *g, struct stay *s, const char *text)
{
	struct asker *asker = caller_ask_asker(s->ask);

	asker->ops->tell(asker, text);
	guest_replied(g, smx_mux4_put_opened(&g->out, s->id, (uint32_t)g->id));
	if (!g->is_closed)
		guest_replied(g, smx_mux4_put_exit(&g->out, (uint32_t)g->id, DENIED_STATUS));
	if (!g->is_closed)
		guest_finish(g);
}

static void on_failed(struct open_req *req, uint32_t code, const char *text)
{
	struct stay *s = SMX_CONTAINER(req, struct stay, req);
	struct guest *g = s->guest;
	uint32_t id = s->id;

	(void)code;
	g->stay = NULL;
	if (s->ask && caller_ask_was_asked(s->ask))
		end_denied(g, s, text);
	else
		guest_refuse(g, id, text);
	stay_free(s);
	guest_resume(g);
}

static void on_released(struct open_req *req)
{
	stay_free(SMX_CONTAINER(req, struct stay, req));
}

void guest_stay(struct guest *g, const struct smx_mux4_request *req)
{
	struct smx_view none = { NULL, 0 };
	struct caller_wait wait = { .mux = g->mux, .owner = &g->owner };
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
	wait.req = &s->req;
	wait.dismissal = s->dismissal;
	if ((s->ask = caller_ask_new(&wait)))
		s->req.asker = caller_ask_asker(s->ask);
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
	caller_ask_leave(s->ask);
	if (s->is_done)
		stay_free(s);
	else
		pool_cancel(&s->req); /* frees */
}
