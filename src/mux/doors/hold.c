/* SPDX-License-Identifier: MIT */
#include "mux/doors/hold.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "mux/core/say.h"
#include "mux/doors/attach.h"
#include "mux/pool/pool.h"

#define TEXT_SIZE 512

struct hold {
	struct smx_list node; /* mux->holds while the client hears nothing */
	struct client *client; /* NULL: it is gone, and `released` is awaited */
	struct open_req req;
	int is_waiting; /* in the pool */
	int is_there; /* the login */
};

static void end_hush(struct hold *h)
{
	if (smx_list_empty(&h->node))
		return;
	smx_list_del(&h->node);
	if (h->client && h->client->attach)
		attach_hush(h->client->attach, 0);
}

static void release(struct hold *h)
{
	smx_list_del(&h->node);
	open_req_release(&h->req);
	smx_free(h);
}

static void let_in(struct hold *h)
{
	struct client *c = h->client;

	c->hold = NULL;
	release(h);
	door_let_in(c);
}

static void on_opened(
	struct open_req *req, struct upstream *up, struct smx_chan *chan, struct smx_view specific)
{
	struct hold *h = SMX_CONTAINER(req, struct hold, req);

	(void)up;
	(void)chan;
	(void)specific;
	h->is_waiting = 0;
	h->is_there = 1;
	end_hush(h);
	h->client->held_until_ms = mux_now(h->client->mux);
	if (h->client->auth.is_proved)
		let_in(h);
}

static void on_failed(struct open_req *req, uint32_t code, const char *text)
{
	struct hold *h = SMX_CONTAINER(req, struct hold, req);
	struct client *c = h->client;
	struct mux_ids ids = ids_of_client(c);
	char clean[TEXT_SIZE];

	(void)code;
	h->is_waiting = 0;
	end_hush(h);
	smx_sanitize(text, strlen(text), clean, sizeof(clean));
	/* As where a channel is refused for it (L3): its login is what the channel waits for. */
	say_warn(&ids, "channel open rejected for route \"%s\": remote session failed: %s",
		client_route(c), clean);
	link_disconnect(c->link, SMX_DISCONNECT_SERVICE_NOT_AVAILABLE, SMX_EDISCONNECTED, clean);
	link_touch(c->link);
}

static void on_released(struct open_req *req)
{
	release(SMX_CONTAINER(req, struct hold, req));
}

struct hold *hold_new(struct client *c)
{
	struct hold *h = smx_calloc(1, sizeof(*h));
	struct smx_view none = { NULL, 0 };

	if (!h)
		return NULL;
	smx_list_init(&h->node);
	h->client = c;
	/* Of nothing: it has no text that could fail to be copied. */
	(void)open_req_init(&h->req, 0, none, none, 0);
	h->req.is_login = 1;
	h->req.asker = attach_asker(c->attach);
	h->req.opened = on_opened;
	h->req.failed = on_failed;
	h->req.released = on_released;
	return h;
}

void hold_start(struct hold *h)
{
	struct client *c = h->client;
	struct mux *m = c->mux;
	struct destination d;
	struct refusal why;

	if (request_resolve(m, c->asked, &d, &why) != 0) {
		link_disconnect(
			c->link, SMX_DISCONNECT_SERVICE_NOT_AVAILABLE, SMX_EDISCONNECTED, why.text);
		return;
	}
	smx_list_add_tail(&m->holds, &h->node);
	attach_hush(c->attach, 1);
	h->is_waiting = 1;
	pool_open(m, d.routes, d.route, d.route->n_hops, &h->req);
	destination_release(&d);
}

void hold_proved(struct hold *h)
{
	if (h->is_there)
		let_in(h);
}

void hold_free(struct hold *h)
{
	if (!h)
		return;
	h->client->hold = NULL;
	h->client = NULL;
	smx_list_del(&h->node);
	smx_list_init(&h->node);
	h->req.asker = NULL;
	if (h->is_waiting)
		pool_cancel(&h->req); /* frees */
	else
		release(h);
}

int hold_tick(struct hold *h)
{
	static const uint8_t ignore[5] = { SMX_MSG_IGNORE }; /* RFC 4253 section 11.2 */
	struct smx_view part = { ignore, sizeof(ignore) };
	struct client *c = h->client;
	int r;

	/* Its ServerAliveInterval counts already, and it asks nothing yet. */
	if (h->is_waiting && c->auth.is_proved) {
		if ((r = smx_transport_send(c->link->t, &part, 1)) != 0)
			link_fail(c->link, r, NULL);
		link_touch(c->link);
	}
	return h->is_waiting;
}

void hold_look(struct mux *m)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->holds) {
		struct hold *h = SMX_CONTAINER(it, struct hold, node);

		if (!smx_list_empty(&m->prompts) || !h->req.entry || pool_has_life(h->req.entry))
			end_hush(h);
	}
}
