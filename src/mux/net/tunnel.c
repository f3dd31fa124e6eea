/* SPDX-License-Identifier: MIT */
#include "mux/net/tunnel.h"

#include "base/err.h"
#include "base/mem.h"

static void drop_blocks(struct tunnel *t)
{
	struct smx_tx_block *b;

	while ((b = t->first)) {
		t->first = b->next;
		smx_pool_put(t->pool, b);
	}
	t->last = NULL;
	t->len = t->first_off = 0;
}

static void tunnel_free(struct tunnel *t)
{
	drop_blocks(t);
	smx_list_del(&t->source.node);
	smx_free(t);
}

static size_t tunnel_backlog(struct carrier *c)
{
	const struct tunnel *t = SMX_CONTAINER(c, struct tunnel, carrier);

	return t->len;
}

static int tunnel_unsent(struct carrier *c, size_t *ret_len)
{
	struct tunnel *t = SMX_CONTAINER(c, struct tunnel, carrier);
	/* Without it the link may be gone. */
	int r = t->ep.chan ? link_unsent(t->ep.link, ret_len) : SMX_ESYS;

	if (r == 0)
		*ret_len += t->len;
	return r;
}

static int tunnel_drain(struct source *s)
{
	struct tunnel *t = SMX_CONTAINER(s, struct tunnel, source);
	struct smx_chan *chan = t->ep.chan;
	struct smx_tx_block *b;
	size_t n, sent = 0;
	int r;

	while (chan && !chan->close_sent && (b = t->first) && sent < link_quantum(t->ep.link)) {
		n = b->len - t->first_off;
		if (n > chan->send_packet)
			n = chan->send_packet;
		if (n > chan->send_window)
			n = chan->send_window;
		if (n == 0)
			return 0; /* until the outer side grants more */
		r = smx_conn_send_data(
			&t->ep.link->conn, chan, 0, (struct smx_view){ b->data + t->first_off, n });
		if (r != 0) {
			link_fail(t->ep.link, r, NULL);
			return 0;
		}
		sent += n;
		t->len -= n;
		t->first_off += n;
		if (t->first_off == b->len) {
			t->first = b->next;
			if (!t->first)
				t->last = NULL;
			t->first_off = 0;
			smx_pool_put(t->pool, b);
		}
	}
	/* The inner link composes more when there is room again. */
	if (t->carrier.inner && t->len < LINK_TX_HIGH)
		link_touch(t->carrier.inner);
	return t->first != NULL && chan && chan->send_window > 0;
}

static void tunnel_write(struct carrier *c, struct smx_tx_block *list)
{
	struct tunnel *t = SMX_CONTAINER(c, struct tunnel, carrier);

	for (struct smx_tx_block *b = list; b; b = b->next) {
		t->len += b->len;
		if (t->carrier.inner)
			t->carrier.inner->bytes_out += b->len;
	}
	smx_tx_append(t->pool, &t->first, &t->last, list);
	if (!t->ep.chan || t->ep.link->dead) {
		drop_blocks(t);
		return;
	}
	link_enqueue(t->ep.link, &t->source);
}

static void close_channel(struct tunnel *t)
{
	int r;

	if (!t->ep.chan || t->ep.link->dead)
		return;
	if ((r = smx_conn_send_close(&t->ep.link->conn, t->ep.chan)) != 0)
		link_fail(t->ep.link, r, NULL);
	link_touch(t->ep.link);
}

static void tunnel_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	struct tunnel *t = SMX_CONTAINER(ep, struct tunnel, ep);
	struct link *outer = ep->link;
	int r = 0;

	switch (ev->type) {
	case SMX_CONN_DATA:
		if (t->carrier.inner && ev->code == 0)
			link_carrier_data(t->carrier.inner, ev->data);
		if (ep->chan->recv_window < TUNNEL_WINDOW / 4 * 3)
			r = smx_conn_grant(
				&outer->conn, ep->chan, TUNNEL_WINDOW - ep->chan->recv_window);
		break;
	case SMX_CONN_WINDOW:
		if (t->first)
			link_enqueue(outer, &t->source);
		break;
	case SMX_CONN_REQUEST:
		if (ev->want_reply)
			r = smx_conn_send_reply(&outer->conn, ep->chan, 0);
		break;
	case SMX_CONN_EOF:
		if (t->carrier.inner)
			link_fail(t->carrier.inner, SMX_EEOF,
				"the jump host closed the connection to the target");
		break;
	case SMX_CONN_CLOSE:
		if (t->carrier.inner)
			link_fail(t->carrier.inner, SMX_EEOF,
				"the jump host closed the connection to the target");
		ep->chan->user = NULL;
		ep->chan = NULL;
		smx_list_del(&t->source.node);
		if (!t->carrier.inner)
			tunnel_free(t);
		break;
	default:
		break;
	}
	if (r != 0)
		link_fail(outer, r, NULL);
}

static void tunnel_link_dead(struct endpoint *ep, int r, const char *why)
{
	struct tunnel *t = SMX_CONTAINER(ep, struct tunnel, ep);

	smx_list_del(&t->source.node);
	if (!t->carrier.inner) {
		tunnel_free(t);
		return;
	}
	t->carrier.inner->is_carrier_lost = !t->carrier.inner->dead;
	link_fail(t->carrier.inner, r, why);
}

static const struct endpoint_ops tunnel_ops = { tunnel_event, tunnel_link_dead };

static void tunnel_detach(struct carrier *c)
{
	struct tunnel *t = SMX_CONTAINER(c, struct tunnel, carrier);

	if (!t->ep.chan || t->ep.link->dead) {
		/* A dying outer link frees nothing of ours any more: its endpoints are told once.
		 */
		if (!t->ep.chan)
			tunnel_free(t);
		return;
	}
	if (link_has_room(t->ep.link))
		(void)tunnel_drain(&t->source); /* a last DISCONNECT */
	smx_list_del(&t->source.node);
	drop_blocks(t);
	close_channel(t);
}

static const struct carrier_ops carrier_ops = { .write = tunnel_write,
	.backlog = tunnel_backlog,
	.detach = tunnel_detach,
	.unsent = tunnel_unsent };

struct tunnel *tunnel_of_carrier(struct carrier *c)
{
	return c && c->ops == &carrier_ops ? SMX_CONTAINER(c, struct tunnel, carrier) : NULL;
}

struct tunnel *tunnel_new(struct link *outer, struct smx_chan *chan)
{
	struct tunnel *t = smx_calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->ep = (struct endpoint){ &tunnel_ops, outer, chan, 0 };
	t->pool = &outer->core->pool;
	t->carrier.ops = &carrier_ops;
	t->source.drain = tunnel_drain;
	smx_list_init(&t->source.node);
	chan->user = &t->ep;
	return t;
}

const struct link *tunnel_inner(struct endpoint *ep)
{
	return ep->ops == &tunnel_ops ? SMX_CONTAINER(ep, struct tunnel, ep)->carrier.inner : NULL;
}
