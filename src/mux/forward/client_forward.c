/* SPDX-License-Identifier: MIT */
#include "mux/forward/client_forward.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/core/relay.h"
#include "mux/core/say.h"
#include "mux/doors/attach.h"
#include "mux/doors/door.h"
#include "mux/forward/forward.h"
#include "mux/forward/remote_forward.h"
#include "mux/pool/upstream.h"
#include "ssh/request.h"

#define TEXT_SIZE 900

struct client_forward {
	struct smx_list node; /* client->forwards, while the client is there and wants it */
	struct remote_forward f;
	struct client *client;
	uint64_t number; /* of the client's request */
	int wants_answer; /* which is due */
	int wants_port; /* and says the port */
};

static struct client_forward *of(struct remote_forward *f)
{
	return SMX_CONTAINER(f, struct client_forward, f);
}

static void answer(struct client *c, int wants_answer, uint64_t number, int success, int has_port,
	uint32_t port)
{
	int r;

	if (!wants_answer || c->link->dead)
		return;
	r = smx_conn_answer_global(&c->link->conn, number, success, has_port, port);
	if (r != 0)
		link_fail(c->link, r, NULL);
	link_touch(c->link);
}

/* --- of the forward --- */

static void on_answered(struct remote_forward *f, uint32_t port, const char *why)
{
	struct client_forward *cf = of(f);
	struct client *c = cf->client;
	struct mux_ids ids = ids_of_client(c);
	int success = port != UINT32_MAX;
	char name[TEXT_SIZE];

	if (!success) {
		remote_forward_name(f, name, sizeof(name));
		say_warn(&ids, "remote forward of %s failed: %s", name, why);
		smx_list_del(&cf->node);
	}
	answer(c, cf->wants_answer, cf->number, success, cf->wants_port, port);
	cf->wants_answer = 0;
}

static size_t count_asked(const struct smx_conn *conn)
{
	size_t n = 0;

	for (uint32_t i = 0; i < conn->n_slots; i++)
		n += conn->chans[i] && conn->chans[i]->state == SMX_CHAN_OPENING;
	return n;
}

static void on_opened(
	struct remote_forward *f, struct upstream *up, const struct smx_conn_event *ev)
{
	struct client *c = of(f)->client;
	struct mux_ids ids = ids_of_client(c);
	const struct smx_route *route = NULL;
	struct smx_routes *routes = client_find_route(c, &route);
	enum smx_open_failure reason = SMX_OPEN_ADMINISTRATIVELY_PROHIBITED;
	char text[TEXT_SIZE] = "";
	int r;

	/* By the routes of now (B10). */
	if (forward_may_listen(f->mux, route, f->is_path,
		    smx_view_of(f->address, strlen(f->address)), f->port, text, sizeof(text))) {
		reason = SMX_OPEN_RESOURCE_SHORTAGE;
		if (c->link->dead || count_asked(&c->link->conn) >= CLIENT_ASKED_MAX)
			(void)snprintf(text, sizeof(text), "the client does not answer");
		else if ((r = relay_accept(f->mux, c->link, up->link, ev->chan, routes, route,
				  ev->kind, ev->data)) != 0)
			(void)snprintf(text, sizeof(text), "%s", smx_strerror(r));
	}
	smx_routes_unref(routes);
	if (!*text)
		return;
	say_warn(&ids, "a channel of the remote was refused: %s", text);
	if ((r = smx_conn_open_fail(&up->link->conn, ev->chan, reason, text)) != 0)
		link_fail(up->link, r, NULL);
}

static void on_lost(struct remote_forward *f, const char *why)
{
	struct client_forward *cf = of(f);
	char name[TEXT_SIZE], text[TEXT_SIZE + 300];

	smx_list_del(&cf->node);
	remote_forward_name(f, name, sizeof(name));
	(void)snprintf(text, sizeof(text), "the connection that forwarded %.200s is lost: %.200s",
		name, why);
	link_disconnect(cf->client->link, SMX_DISCONNECT_CONNECTION_LOST, SMX_ECANCELLED, text);
}

static const struct remote_forward_ops ops = { on_answered, on_opened, on_lost };

static void free_one(struct remote_forward *f)
{
	struct client_forward *cf = of(f);

	smx_list_del(&cf->node);
	smx_free(cf);
}

/* --- of the client --- */

static size_t count(const struct smx_list *head)
{
	size_t n = 0;

	for (const struct smx_list *it = head->next; it != head; it = it->next)
		n++;
	return n;
}

/* 0, or text says why not. */
static int begin(struct client *c, const struct smx_conn_event *ev, int is_path,
	const struct smx_fields *fields, char *text)
{
	const struct smx_route *route = NULL;
	struct smx_routes *routes = client_find_route(c, &route);
	struct client_forward *cf = NULL;
	int r = SMX_EDENIED;

	if (count(&c->forwards) >= CLIENT_FORWARDS_MAX)
		(void)snprintf(text, TEXT_SIZE, "the client has %d remote forwards already",
			CLIENT_FORWARDS_MAX);
	else if (forward_may_listen(
			 c->mux, route, is_path, fields->s[0], fields->n[0], text, TEXT_SIZE))
		r = 0;
	if (r == 0 &&
		(!(cf = smx_calloc(1, sizeof(*cf))) || remote_forward_init(&cf->f, c->mux, is_path,
							       fields->s[0], fields->n[0]) != 0)) {
		smx_free(cf);
		(void)snprintf(text, TEXT_SIZE, "%s", smx_strerror(SMX_ENOMEM));
		r = SMX_ENOMEM;
	}
	if (r == 0) {
		cf->client = c;
		cf->number = ev->number;
		cf->wants_answer = ev->want_reply;
		cf->wants_port = !is_path && fields->n[0] == 0;
		cf->f.ops = &ops;
		cf->f.free_owner = free_one;
		smx_list_init(&cf->node);
		smx_list_add_tail(&c->forwards, &cf->node);
		remote_forward_start(
			&cf->f, routes, route, c->attach ? attach_asker(c->attach) : NULL);
	}
	smx_routes_unref(routes);
	return r;
}

static void leave(struct client_forward *cf)
{
	smx_list_del(&cf->node);
	answer(cf->client, cf->wants_answer, cf->number, 0, 0, 0);
	cf->wants_answer = 0;
	remote_forward_cancel(&cf->f);
}

/* Whether it had it. */
static int end(struct client *c, int is_path, const struct smx_fields *fields)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &c->forwards) {
		struct client_forward *cf = SMX_CONTAINER(it, struct client_forward, node);

		if (cf->f.is_path != is_path || (!is_path && cf->f.port != fields->n[0]) ||
			!smx_view_eq(fields->s[0], cf->f.address))
			continue;
		leave(cf);
		return 1;
	}
	return 0;
}

void client_forward_request(struct link *l, struct smx_conn_event *ev)
{
	struct client *c = l->owner;
	struct mux_ids ids = ids_of_client(c);
	struct smx_fields fields = { .why = NULL };
	enum smx_global_kind kind;
	char text[TEXT_SIZE] = "";
	int r = smx_global_read(ev->kind, ev->data, &kind, &fields), is_path, success = 0;

	if (r != 0) {
		say_warn(&ids, "a global request was refused: %s", fields.why);
		kind = SMX_GLOBAL_OTHER;
	}
	is_path = kind == SMX_GLOBAL_FORWARD_PATH || kind == SMX_GLOBAL_CANCEL_PATH;
	switch (kind) {
	case SMX_GLOBAL_FORWARD:
	case SMX_GLOBAL_FORWARD_PATH:
		if (begin(c, ev, is_path, &fields, text) == 0)
			return; /* when the server has answered */
		say_warn(&ids, "%s", text);
		break;
	case SMX_GLOBAL_CANCEL:
	case SMX_GLOBAL_CANCEL_PATH:
		success = end(c, is_path, &fields);
		break;
	case SMX_GLOBAL_OTHER:
		break; /* keepalives as well: any answer will do */
	}
	answer(c, ev->want_reply, ev->number, success, 0, 0);
}

void client_forward_leave(struct client *c)
{
	while (!smx_list_empty(&c->forwards)) {
		struct client_forward *cf =
			SMX_CONTAINER(c->forwards.next, struct client_forward, node);

		cf->wants_answer = 0;
		leave(cf);
	}
}
