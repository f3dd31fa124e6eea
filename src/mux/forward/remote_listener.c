/* SPDX-License-Identifier: MIT */
#include "mux/forward/remote_listener.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/core/say.h"
#include "mux/forward/arrived.h"
#include "mux/pool/upstream.h"

#define TEXT_SIZE 900

static struct remote_listener *at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct remote_listener, node);
}

static struct remote_listener *of(struct remote_forward *f)
{
	return SMX_CONTAINER(f, struct remote_listener, forward);
}

static struct mux_ids ids_of(const struct remote_listener *l)
{
	return (struct mux_ids){ .client = l->id, .route = l->words.route };
}

/* --- lifetime --- */

static void free_if_unused(struct remote_listener *l)
{
	if (l->has_forward || !smx_list_empty(&l->holds) || !smx_list_empty(&l->arrived))
		return;
	share_release(&l->share);
	forward_words_release(&l->words);
	smx_free(l);
}

static void free_forward(struct remote_forward *f)
{
	struct remote_listener *l = of(f);

	l->has_forward = 0;
	free_if_unused(l);
}

/* Nobody finds it any more. */
static void forget(struct remote_listener *l)
{
	l->is_given_up = 1;
	l->is_kept = 0;
	smx_list_del(&l->node);
	l->mux->n_remote_listeners--;
}

static struct remote_hold *first_hold(struct remote_listener *l)
{
	if (smx_list_empty(&l->holds))
		return NULL;
	return SMX_CONTAINER(l->holds.next, struct remote_hold, node);
}

static struct remote_hold *first_waiting(struct remote_listener *l)
{
	for (struct smx_list *it = l->holds.next; it != &l->holds; it = it->next)
		if (SMX_CONTAINER(it, struct remote_hold, node)->is_waiting)
			return SMX_CONTAINER(it, struct remote_hold, node);
	return NULL;
}

static void let_go(struct remote_hold *h)
{
	smx_list_del(&h->node);
	h->listener = NULL;
}

/* Those who wait have their answer. Any of them may go by that, and others with him. */
static void answer_all(struct remote_listener *l, uint32_t port, const char *why)
{
	struct remote_hold *h;

	while ((h = first_waiting(l))) {
		h->is_waiting = 0;
		if (port == UINT32_MAX)
			let_go(h);
		h->ops->answered(h, port, why);
	}
}

/* l may be gone after this. */
static void give_up(struct remote_listener *l)
{
	struct mux_ids ids = ids_of(l);

	if (l->is_given_up)
		return;
	forget(l);
	l->forward.req.asker = NULL; /* who is answered is asked no more */
	answer_all(l, UINT32_MAX, "it was given up meanwhile");
	say_info(&ids, "remote forward closed");
	remote_forward_cancel(&l->forward);
}

void remote_listener_close(struct remote_listener *l)
{
	give_up(l);
}

void remote_listener_left(struct remote_listener *l)
{
	free_if_unused(l);
}

void remote_listener_hold(struct remote_listener *l, struct remote_hold *h)
{
	h->listener = l;
	h->is_waiting = 1;
	smx_list_init(&h->node);
	smx_list_add_tail(&l->holds, &h->node);
	if (l->stands)
		answer_all(l, l->forward.port, NULL);
}

void remote_listener_release(struct remote_hold *h, int keep)
{
	struct remote_listener *l = h->listener;

	/* Who is asked for the login goes with the first that wanted it. */
	if (h->asker && l->has_forward && l->forward.req.asker == h->asker)
		l->forward.req.asker = NULL;
	let_go(h);
	if (!l->is_given_up && l->stands && keep)
		l->is_kept = 1;
	if (!smx_list_empty(&l->holds) || l->is_kept)
		return;
	if (l->is_given_up)
		free_if_unused(l);
	else
		give_up(l);
}

/* --- of the forward --- */

static void on_answered(struct remote_forward *f, uint32_t port, const char *why)
{
	struct remote_listener *l = of(f);
	struct mux_ids ids = ids_of(l);
	char name[TEXT_SIZE], text[TEXT_SIZE + 400];

	f->req.asker = NULL;
	if (port != UINT32_MAX) {
		l->stands = 1;
		answer_all(l, port, NULL);
		return;
	}
	remote_forward_name(f, name, sizeof(name));
	(void)snprintf(text, sizeof(text), "remote forward of %.300s failed: %.400s", name, why);
	say_warn(&ids, "%s", text);
	forget(l);
	answer_all(l, UINT32_MAX, text);
}

static void on_opened(
	struct remote_forward *f, struct upstream *up, const struct smx_conn_event *ev)
{
	struct remote_listener *l = of(f);
	const struct smx_route *route = forward_words_route(&l->words, l->mux);
	enum smx_open_failure reason = SMX_OPEN_ADMINISTRATIVELY_PROHIBITED;
	struct mux_ids ids = ids_of(l);
	char text[TEXT_SIZE];
	int r;

	/* By the routes of now (B10). */
	if (forward_may_listen(l->mux, route, f->is_path,
		    smx_view_of(f->address, strlen(f->address)), f->port, text, sizeof(text))) {
		if ((r = arrived_new(l, route, up->link, ev)) == 0)
			return;
		reason = SMX_OPEN_RESOURCE_SHORTAGE;
		(void)snprintf(text, sizeof(text), "%s", smx_strerror(r));
	}
	say_warn(&ids, "a channel of the remote was refused: %s", text);
	if ((r = smx_conn_open_fail(&up->link->conn, ev->chan, reason, text)) != 0)
		link_fail(up->link, r, NULL);
}

static void on_lost(struct remote_forward *f, const char *why)
{
	struct remote_listener *l = of(f);
	struct mux_ids ids = ids_of(l);
	char name[TEXT_SIZE], text[TEXT_SIZE];
	struct remote_hold *h;

	remote_forward_name(f, name, sizeof(name));
	(void)snprintf(text, sizeof(text), "the connection that forwarded %.200s is lost: %.200s",
		name, why);
	say_info(&ids, "%s", text);
	forget(l);
	while ((h = first_hold(l))) {
		let_go(h);
		h->ops->lost(h, text);
	}
}

static const struct remote_forward_ops ops = { on_answered, on_opened, on_lost };

/* --- the beginning --- */

/* What the server is asked for: as ssh puts it where its master would. */
static struct smx_view address_of(const struct smx_mux4_request *req)
{
	static const char local[] = "localhost";

	if (req->listen_port == SMX_MUX4_PORT_IS_PATH)
		return req->listen_host;
	if (req->listen_host.len == 0)
		return smx_view_of(local, sizeof(local) - 1);
	if (smx_view_eq(req->listen_host, "*"))
		return (struct smx_view){ req->listen_host.p, 0 };
	return req->listen_host;
}

static int init(struct remote_listener *l, const struct smx_route *route,
	const struct smx_mux4_request *req)
{
	int is_path = req->listen_port == SMX_MUX4_PORT_IS_PATH, r;

	if ((r = forward_words_set(&l->words, route, req)) != 0)
		return r;
	r = remote_forward_init(&l->forward, l->mux, is_path, address_of(req), req->listen_port);
	if (r != 0)
		return r;
	l->forward.ops = &ops;
	l->forward.free_owner = free_forward;
	l->has_forward = 1;
	return 0;
}

int remote_listener_is_allowed(const struct mux *m, const struct smx_route *route,
	const struct smx_mux4_request *req, char *text, size_t size)
{
	return forward_may_listen(m, route, req->listen_port == SMX_MUX4_PORT_IS_PATH,
		address_of(req), req->listen_port, text, size);
}

int remote_listener_new(struct mux *m, const struct smx_route *route,
	const struct smx_mux4_request *req, struct remote_hold *h, char *text, size_t size)
{
	struct remote_listener *l;
	int r;

	if (m->n_remote_listeners >= REMOTE_LISTENERS_MAX) {
		(void)snprintf(text, size, "there are too many forwards");
		return SMX_ELIMIT;
	}
	if (!(l = smx_calloc(1, sizeof(*l)))) {
		(void)snprintf(text, size, "%s", smx_strerror(SMX_ENOMEM));
		return SMX_ENOMEM;
	}
	l->mux = m;
	l->id = ++m->core.next_id;
	l->born_ms = mux_now(m);
	smx_list_init(&l->node);
	smx_list_init(&l->holds);
	smx_list_init(&l->arrived);
	share_init(&l->share, &m->core.windows);
	if ((r = init(l, route, req)) != 0) {
		(void)snprintf(text, size, "%s", smx_strerror(r));
		free_if_unused(l);
		return r;
	}
	smx_list_add_tail(&m->remote_listeners, &l->node);
	m->n_remote_listeners++;
	remote_listener_hold(l, h);
	remote_forward_start(&l->forward, m->routes, route, h->asker); /* l may be gone after it */
	return 0;
}

static int has_chosen(const struct remote_listener *l, const struct smx_route *route,
	const struct smx_mux4_request *req)
{
	struct smx_mux4_request asked = *req;

	asked.listen_port = 0;
	return l->stands && l->words.listen_port == 0 && l->forward.port == req->listen_port &&
	       forward_words_are(&l->words, route, &asked);
}

struct remote_listener *remote_listener_find(
	struct mux *m, const struct smx_route *route, const struct smx_mux4_request *req)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->remote_listeners)
		if (forward_words_are(&at(it)->words, route, req) || has_chosen(at(it), route, req))
			return at(it);
	return NULL;
}

/* --- all of them --- */

void remote_listeners_sync(struct mux *m)
{
	struct smx_list *head = &m->remote_listeners, *it = head->next;

	while (it != head) {
		struct remote_listener *l = at(it);

		it = it->next;
		if (forward_words_route(&l->words, m))
			continue;
		remote_listener_close(l);
		it = head->next; /* others may have gone with it */
	}
}

void remote_listeners_close(struct mux *m)
{
	while (!smx_list_empty(&m->remote_listeners))
		remote_listener_close(at(m->remote_listeners.next));
	arrived_close(m);
}
