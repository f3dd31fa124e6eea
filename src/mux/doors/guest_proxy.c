/* SPDX-License-Identifier: MIT */
#include "mux/doors/guest_proxy.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/doors/door.h"
#include "mux/doors/guest.h"
#include "mux/doors/request.h"
#include "os/door.h"

struct guest_proxy {
	struct carrier carrier; /* of the client's link */
	struct guest *guest;
	struct smx_tx_block *first, *last; /* to be written, behind guest->out */
	size_t first_off, len;
};

static struct guest_proxy *of(struct carrier *c)
{
	return SMX_CONTAINER(c, struct guest_proxy, carrier);
}

/* --- writing --- */

/* 0: some of it was. */
static int write_block(struct guest_proxy *p)
{
	struct smx_tx_block *b = p->first;
	size_t n;
	int r = smx_os_door_send(p->guest->fd, b->data + p->first_off, b->len - p->first_off, &n);

	if (r != 0)
		return r;
	p->len -= n;
	p->first_off += n;
	if (p->first_off == b->len) {
		p->first = b->next;
		if (!p->first)
			p->last = NULL;
		p->first_off = 0;
		smx_pool_put(&p->guest->mux->core.pool, b);
	}
	return 0;
}

/* Those before the first packet: the answer to the request. */
static int write_answer(struct guest *g)
{
	size_t n;
	int r = smx_os_door_send(g->fd, smx_buf_view(&g->out), smx_buf_len(&g->out), &n);

	if (r == 0)
		smx_buf_consume(&g->out, n);
	return r;
}

static void flush(struct guest_proxy *p)
{
	struct guest *g = p->guest;
	struct link *client = p->carrier.inner;
	int r = 0;

	while (r == 0 && smx_buf_len(&g->out))
		r = write_answer(g);
	while (r == 0 && p->first)
		r = write_block(p);
	if (r == SMX_EAGAIN || r == 0)
		r = guest_poll(g, r == SMX_EAGAIN);
	if (!client)
		return;
	if (r != 0)
		link_fail(client, SMX_EEOF, NULL);
	/* It composes more when there is room again. */
	else if (p->len < LINK_TX_HIGH)
		link_touch(client);
}

/* --- as the client's carrier --- */

static void on_write(struct carrier *c, struct smx_tx_block *list)
{
	struct guest_proxy *p = of(c);

	for (struct smx_tx_block *b = list; b; b = b->next) {
		p->len += b->len;
		if (c->inner)
			c->inner->bytes_out += b->len;
	}
	smx_tx_append(&p->guest->mux->core.pool, &p->first, &p->last, list);
	flush(p);
}

static size_t on_backlog(struct carrier *c)
{
	return of(c)->len;
}

static void on_detach(struct carrier *c)
{
	struct guest_proxy *p = of(c);
	struct guest *g = p->guest;
	struct smx_tx_block *b;

	while ((b = p->first)) {
		p->first = b->next;
		smx_pool_put(&g->mux->core.pool, b);
	}
	smx_free(p);
	g->proxy = NULL;
	guest_end(g);
}

static const struct carrier_ops carrier_ops = {
	.write = on_write, .backlog = on_backlog, .detach = on_detach
};

/* --- reading --- */

void guest_proxy_take(struct guest *g)
{
	struct link *client = g->proxy->carrier.inner;

	if (client && smx_buf_len(&g->in))
		link_carrier_data(client, smx_buf_as_view(&g->in));
	smx_buf_release(&g->in);
}

static void read_some(struct guest_proxy *p)
{
	struct link *client = p->carrier.inner;
	size_t size, len = 0, n_fds;
	uint8_t *to;
	int r;

	if (!client || client->dead)
		return;
	if ((size = link_carrier_space(client, &to)) == 0) {
		link_fail(client, SMX_ENOMEM, NULL);
		return;
	}
	/* Descriptors have no business here: SMX_ELIMIT. */
	r = smx_os_door_receive(p->guest->fd, to, size, &len, NULL, 0, &n_fds);
	link_carrier_read(client, r == 0 ? len : 0);
	if (r != 0 && r != SMX_EAGAIN)
		link_fail(client, r == SMX_ELIMIT ? SMX_EPROTOCOL : SMX_EEOF, NULL);
}

void guest_proxy_event(struct guest *g, int events)
{
	struct guest_proxy *p = g->proxy;

	if (events & UV_READABLE)
		read_some(p);
	if (events & UV_WRITABLE)
		flush(p);
}

/* --- the beginning and the end --- */

int guest_proxy_end(struct guest *g)
{
	if (!g->proxy->carrier.inner)
		return 0;
	link_fail(g->proxy->carrier.inner, SMX_EEOF, NULL);
	return 1;
}

/* The socket's name is the whole request (W1): this account, whatever the route says later. */
static void ask_for(const struct guest *g, struct request *ret)
{
	const struct smx_hop *target = smx_route_target(g->route);

	(void)snprintf(ret->route, sizeof(ret->route), "%s", g->route->name);
	(void)snprintf(ret->user, sizeof(ret->user), "%s", target->user);
	(void)snprintf(ret->host, sizeof(ret->host), "%s", target->host);
	ret->port = target->port;
}

void guest_proxy_start(struct guest *g, const struct smx_mux4_request *req)
{
	struct request asked;
	struct door_way way = { .asked = &asked,
		.name = g->route->name,
		.is_trusted = 1,
		.is_bare = 1,
		.pid = g->pid };
	struct guest_proxy *p;

	if (g->passenger || g->stay || g->is_ending || !smx_list_empty(&g->holds)) {
		guest_refuse(g, req->id, "one session per connection to the control socket");
		return;
	}
	ask_for(g, &asked);
	if (!(p = smx_calloc(1, sizeof(*p)))) {
		guest_refuse(g, req->id, smx_strerror(SMX_ENOMEM));
		return;
	}
	p->guest = g;
	p->carrier.ops = &carrier_ops;
	if (door_attach(g->mux, &p->carrier, NULL, &way) != 0) {
		smx_free(p);
		guest_refuse(g, req->id, "there are too many clients");
		return;
	}
	g->proxy = p;
	guest_replied(g, smx_mux4_put_proxy(&g->out, req->id));
}
