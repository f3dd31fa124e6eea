/* SPDX-License-Identifier: MIT */
#include "mux/forward/remote_forward.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "mux/core/say.h"
#include "mux/pool/upstream.h"
#include "ssh/request.h"

#define CLEAN_SIZE   300
#define UNASKED_SAID 20 /* of a connection: a server that goes on so must not fill the log */

static const char unasked_text[] = "nobody here has asked for such channels";

static struct remote_forward *at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct remote_forward, node);
}

static struct smx_view address_of(const struct remote_forward *f)
{
	return smx_view_of(f->address, strlen(f->address));
}

void remote_forward_name(const struct remote_forward *f, char *out, size_t size)
{
	char clean[CLEAN_SIZE];

	smx_sanitize(f->address, strlen(f->address), clean, sizeof(clean));
	if (f->is_path)
		(void)snprintf(out, size, "%s", clean);
	else
		(void)snprintf(out, size, strchr(clean, ':') ? "[%s]:%u" : "%s:%u",
			*clean ? clean : "*", (unsigned)f->port);
}

/* It is in no list of anybody's any more. */
static void let_go(struct remote_forward *f)
{
	smx_list_del(&f->node);
	open_req_release(&f->req);
	smx_free(f->address);
	f->address = NULL;
	f->free_owner(f);
}

static void fails(struct remote_forward *f, const char *why)
{
	const struct remote_forward_ops *ops = f->ops;

	smx_list_del(&f->node);
	f->ops = NULL;
	if (ops)
		ops->answered(f, UINT32_MAX, why);
	let_go(f);
}

/* --- asking the server --- */

static int ask(struct remote_forward *f, const char *kind, const char *kind_of_path)
{
	struct link *l = f->up->link;
	struct smx_buf b;
	int r;

	smx_buf_init(&b, 2 * SMX_REQUEST_HOST_MAX);
	r = smx_put_view(&b, address_of(f));
	if (r == 0 && !f->is_path)
		r = smx_put_u32(&b, f->port);
	if (r == 0)
		r = smx_conn_global_request(&l->conn, f->is_path ? kind_of_path : kind,
			smx_buf_as_view(&b), &f->number);
	smx_buf_release(&b);
	link_touch(l);
	return r;
}

static void cancel_at_server(struct remote_forward *f)
{
	f->ops = NULL;
	f->state = REMOTE_FORWARD_LEAVING;
	/* Else it would stand for ever, for nobody. */
	if (ask(f, "cancel-tcpip-forward", "cancel-streamlocal-forward@openssh.com") != 0)
		link_fail(f->up->link, SMX_ENOMEM, NULL);
}

/* The forward of a connection that has this address and port, or NULL. */
static struct remote_forward *find(
	struct upstream *up, int is_path, struct smx_view address, uint32_t port)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &up->forwards) {
		struct remote_forward *f = at(it);

		if (f->state != REMOTE_FORWARD_LEAVING && f->is_path == is_path &&
			(is_path || f->port == port) && smx_view_eq(address, f->address))
			return f;
	}
	return NULL;
}

static void on_connection(
	struct open_req *req, struct upstream *up, struct smx_chan *chan, struct smx_view specific)
{
	struct remote_forward *f = SMX_CONTAINER(req, struct remote_forward, req);

	(void)chan; /* of a login there is none */
	(void)specific;
	/* As the server would say, though not every one does. */
	if ((f->is_path || f->port) && find(up, f->is_path, address_of(f), f->port)) {
		fails(f, "it is in use on this connection");
		return;
	}
	f->up = up;
	f->state = REMOTE_FORWARD_ASKED;
	smx_list_add_tail(&up->forwards, &f->node);
	if (ask(f, "tcpip-forward", "streamlocal-forward@openssh.com") != 0)
		fails(f, smx_strerror(SMX_ENOMEM));
}

static void on_no_connection(struct open_req *req, uint32_t code, const char *text)
{
	(void)code;
	fails(SMX_CONTAINER(req, struct remote_forward, req), text);
}

static void on_released(struct open_req *req)
{
	let_go(SMX_CONTAINER(req, struct remote_forward, req));
}

int remote_forward_init(struct remote_forward *f, struct mux *m, int is_path,
	struct smx_view address, uint32_t port)
{
	struct smx_view none = { NULL, 0 };
	int r;

	f->mux = m;
	f->up = NULL;
	f->state = REMOTE_FORWARD_WAITING;
	f->is_path = is_path;
	f->port = is_path ? 0 : port;
	smx_list_init(&f->node);
	if (!(f->address = smx_malloc(address.len + 1)))
		return SMX_ENOMEM;
	if (address.len)
		memcpy(f->address, address.p, address.len);
	f->address[address.len] = '\0';
	if ((r = open_req_init(&f->req, 0, none, none, 0)) != 0)
		smx_free(f->address);
	return r;
}

void remote_forward_start(struct remote_forward *f, struct smx_routes *routes,
	const struct smx_route *route, struct asker *asker)
{
	f->req.is_login = 1;
	f->req.asker = asker;
	f->req.opened = on_connection;
	f->req.failed = on_no_connection;
	f->req.released = on_released;
	pool_open(f->mux, routes, route, route->n_hops, &f->req);
}

void remote_forward_cancel(struct remote_forward *f)
{
	f->ops = NULL;
	switch (f->state) {
	case REMOTE_FORWARD_WAITING:
		pool_cancel(&f->req);
		break;
	case REMOTE_FORWARD_STANDS:
		cancel_at_server(f);
		break;
	default:
		break; /* when the server has answered */
	}
}

/* --- from the server --- */

/* The port that the server chose for 0. 0: it did not say. */
static uint32_t chosen_port(const struct smx_conn_event *ev)
{
	struct smx_rd rd = smx_rd_view(ev->data);
	uint32_t port;

	return smx_rd_u32(&rd, &port) == 0 && port <= 65535 ? port : 0;
}

static void on_success(struct remote_forward *f, const struct smx_conn_event *ev)
{
	struct mux_ids ids = ids_of_upstream(f->up);
	char name[CLEAN_SIZE + 16];

	if (!f->is_path && f->port == 0 && (f->port = chosen_port(ev)) == 0) {
		fails(f, "the server did not say at which port it listens");
		return;
	}
	f->state = REMOTE_FORWARD_STANDS;
	upstream_note_given(f->up, 0);
	if (!f->ops) {
		cancel_at_server(f);
		return;
	}
	remote_forward_name(f, name, sizeof(name));
	say_info(&ids, "the server listens at %s", name);
	f->ops->answered(f, f->port, NULL);
}

int remote_forward_reply(struct upstream *up, const struct smx_conn_event *ev)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &up->forwards) {
		struct remote_forward *f = at(it);

		if (f->state == REMOTE_FORWARD_STANDS || f->number != ev->number)
			continue;
		if (f->state == REMOTE_FORWARD_LEAVING)
			let_go(f);
		else if (ev->success)
			on_success(f, ev);
		else
			fails(f, "the server refused it");
		return 1;
	}
	return 0;
}

static void refuse(
	struct upstream *up, const struct smx_conn_event *ev, const char *what, const char *why)
{
	struct mux_ids ids = ids_of_upstream(up);
	int r;

	if (up->n_unasked++ < UNASKED_SAID)
		say_warn(&ids, "the server opened a channel (%s), refused: %s", what, why);
	r = smx_conn_open_fail(
		&up->link->conn, ev->chan, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED, why);
	if (r != 0)
		link_fail(up->link, r, NULL);
}

int remote_forward_open(struct upstream *up, const struct smx_conn_event *ev)
{
	struct smx_fields fields = { .why = NULL };
	enum smx_forwarded_kind kind;
	struct remote_forward *f;
	char clean[CLEAN_SIZE], what[CLEAN_SIZE + 80];
	int r = smx_forwarded_read(ev->kind, ev->data, &kind, &fields);

	if (kind == SMX_FORWARDED_OTHER)
		return 0;
	if (r != 0) {
		refuse(up, ev, "forwarded", fields.why);
		return 1;
	}
	f = find(up, kind == SMX_FORWARDED_STREAMLOCAL, fields.s[0], fields.n[0]);
	if (f && f->state == REMOTE_FORWARD_STANDS && f->ops) {
		f->ops->opened(f, up, ev);
		return 1;
	}
	smx_sanitize((const char *)fields.s[0].p, fields.s[0].len, clean, sizeof(clean));
	(void)snprintf(
		what, sizeof(what), "forwarded from %s port %u", clean, (unsigned)fields.n[0]);
	refuse(up, ev, what, unasked_text);
	return 1;
}

void remote_forward_upstream_gone(struct upstream *up, const char *why)
{
	while (!smx_list_empty(&up->forwards)) {
		struct remote_forward *f = at(up->forwards.next);
		const struct remote_forward_ops *ops = f->ops;

		smx_list_del(&f->node);
		f->ops = NULL;
		if (ops && f->state == REMOTE_FORWARD_ASKED)
			ops->answered(f, UINT32_MAX, why);
		else if (ops)
			ops->lost(f, why);
		let_go(f);
	}
}

int remote_forward_is_used(const struct upstream *up)
{
	for (struct smx_list *it = up->forwards.next; it != &up->forwards; it = it->next)
		if (at(it)->ops)
			return 1;
	return 0;
}
