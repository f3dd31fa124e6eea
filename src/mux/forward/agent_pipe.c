/* SPDX-License-Identifier: MIT */
#include "mux/forward/agent_pipe.h"

#include "base/err.h"
#include "ssh/agent.h"

#define FRAME_MAX (4 + SMX_AGENT_MSG_MAX)
#define WINDOW    (32u * 1024)
#define OPEN_KIND "auth-agent@openssh.com"

static void sent(struct link *l, int r)
{
	if (r != 0)
		link_fail(l, r, NULL);
	link_touch(l);
}

static int can_send(const struct agent_pipe *p)
{
	return p->ep.chan && !p->ep.link->dead && p->ep.chan->state == SMX_CHAN_OPEN &&
	       !p->ep.chan->close_sent;
}

static void release(struct agent_pipe *p)
{
	smx_list_del(&p->source.node);
	smx_buf_release(&p->in);
	smx_buf_release(&p->out);
	p->ops->released(p);
}

/* Nothing is to come of it any more. */
static void end(struct agent_pipe *p)
{
	if (!p->is_closed)
		p->ops->ended(p);
}

/* The channel is gone. */
static void lose(struct agent_pipe *p)
{
	p->ep.chan = NULL;
	smx_list_del(&p->source.node);
	if (p->is_closed)
		release(p);
	else
		p->ops->ended(p);
}

/* --- what comes --- */

/* As much as may come now, so that what is kept never exceeds a message. */
static void grant(struct agent_pipe *p)
{
	size_t room = FRAME_MAX - smx_buf_len(&p->in), n;
	struct smx_chan *chan = p->ep.chan;

	if (p->is_closed || p->is_held || !can_send(p) || chan->eof_received)
		return;
	room = room < WINDOW ? room : WINDOW;
	if (chan->recv_window >= room)
		return;
	n = room - chan->recv_window;
	if (n >= WINDOW / 2 || chan->recv_window == 0)
		sent(p->ep.link, smx_conn_grant(&p->ep.link->conn, chan, (uint32_t)n));
}

static void take(struct agent_pipe *p)
{
	struct smx_view message;
	size_t used;
	int r = SMX_EAGAIN;

	if (p->is_taking)
		return;
	p->is_taking = 1;
	while (!p->is_closed && !p->is_held && smx_buf_len(&p->out) == 0 &&
		(r = smx_agent_frame(smx_buf_as_view(&p->in), &message, &used)) == 0) {
		p->is_held = 1;
		p->ops->message(p, message);
	}
	p->is_taking = 0;
	if (p->is_closed || p->is_held || smx_buf_len(&p->out))
		return;
	if ((r != 0 && r != SMX_EAGAIN) || p->has_eof)
		end(p);
	else
		grant(p);
}

struct smx_view agent_pipe_message(const struct agent_pipe *p)
{
	struct smx_view message = { NULL, 0 };
	size_t used;

	if (!p->is_held || smx_agent_frame(smx_buf_as_view(&p->in), &message, &used) != 0)
		return (struct smx_view){ NULL, 0 };
	return message;
}

void agent_pipe_next(struct agent_pipe *p)
{
	struct smx_view message;
	size_t used;

	if (!p->is_held)
		return;
	p->is_held = 0;
	if (smx_agent_frame(smx_buf_as_view(&p->in), &message, &used) == 0)
		smx_buf_consume(&p->in, used);
	take(p);
}

static void on_data(struct agent_pipe *p, const struct smx_conn_event *ev)
{
	if (p->is_closed || ev->code != 0)
		return;
	if (smx_buf_put(&p->in, ev->data.p, ev->data.len) != 0)
		end(p);
	else
		take(p);
}

static void on_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	struct agent_pipe *p = SMX_CONTAINER(ep, struct agent_pipe, ep);
	struct smx_conn *conn = &ep->link->conn;

	switch (ev->type) {
	case SMX_CONN_OPEN_CONFIRM:
		if (p->is_closed)
			sent(ep->link, smx_conn_send_close(conn, ep->chan));
		else
			p->ops->opened(p);
		break;
	case SMX_CONN_OPEN_FAIL:
	case SMX_CONN_CLOSE:
		ep->chan->user = NULL;
		lose(p);
		break;
	case SMX_CONN_DATA:
		on_data(p, ev);
		break;
	case SMX_CONN_WINDOW:
		agent_pipe_flush(p);
		break;
	case SMX_CONN_EOF:
		p->has_eof = 1;
		take(p);
		break;
	case SMX_CONN_REQUEST:
		if (ev->want_reply)
			sent(ep->link, smx_conn_send_reply(conn, ep->chan, 0));
		break;
	default:
		break;
	}
}

static void on_link_dead(struct endpoint *ep, int r, const char *why)
{
	(void)r;
	(void)why;
	lose(SMX_CONTAINER(ep, struct agent_pipe, ep));
}

static const struct endpoint_ops pipe_ops = { on_event, on_link_dead };

/* --- what goes --- */

static int on_drain(struct source *s)
{
	struct agent_pipe *p = SMX_CONTAINER(s, struct agent_pipe, source);
	size_t n = smx_buf_len(&p->out), quantum = link_quantum(p->ep.link);
	struct smx_chan *chan = p->ep.chan;
	int r;

	if (!can_send(p))
		return 0;
	n = n < chan->send_packet ? n : chan->send_packet;
	n = n < chan->send_window ? n : chan->send_window;
	n = n < quantum ? n : quantum;
	if (n == 0)
		return 0; /* until the peer grants more */
	r = smx_conn_send_data(
		&p->ep.link->conn, chan, 0, (struct smx_view){ smx_buf_view(&p->out), n });
	if (r != 0) {
		link_fail(p->ep.link, r, NULL);
		return 0;
	}
	smx_buf_consume(&p->out, n);
	if (smx_buf_len(&p->out))
		return 1;
	take(p);
	return 0;
}

void agent_pipe_flush(struct agent_pipe *p)
{
	if (!p->is_closed && smx_buf_len(&p->out) && can_send(p))
		link_enqueue(p->ep.link, &p->source);
}

/* --- its life --- */

int agent_pipe_init(struct agent_pipe *p, const struct agent_pipe_ops *ops, struct link *l,
	struct smx_chan *chan)
{
	static const char kind[] = OPEN_KIND;
	struct smx_view none = { NULL, 0 };
	int r;

	if (!chan && (r = smx_conn_open(&l->conn, smx_view_of(kind, sizeof(kind) - 1), none, WINDOW,
			      &chan)) != 0)
		return r;
	*p = (struct agent_pipe){ .ops = ops, .ep = { &pipe_ops, l, chan, 0 } };
	/* Beyond a message: what a peer may send above its window (ssh/conn.h). */
	smx_buf_init(&p->in, FRAME_MAX + WINDOW);
	smx_buf_init(&p->out, (size_t)2 * FRAME_MAX);
	p->source.drain = on_drain;
	p->source.is_interactive = 1;
	smx_list_init(&p->source.node);
	chan->user = &p->ep;
	link_touch(l);
	return 0;
}

void agent_pipe_accept(struct agent_pipe *p)
{
	struct smx_view none = { NULL, 0 };

	if (p->ep.chan && !p->ep.link->dead)
		sent(p->ep.link,
			smx_conn_open_confirm(&p->ep.link->conn, p->ep.chan, WINDOW, none));
}

void agent_pipe_refuse(struct agent_pipe *p, enum smx_open_failure reason, const char *text)
{
	struct smx_chan *chan = p->ep.chan;

	p->is_closed = 1;
	p->ep.chan = NULL;
	if (chan) {
		chan->user = NULL;
		if (!p->ep.link->dead)
			sent(p->ep.link, smx_conn_open_fail(&p->ep.link->conn, chan, reason, text));
	}
	release(p);
}

void agent_pipe_close(struct agent_pipe *p)
{
	struct smx_chan *chan = p->ep.chan;

	if (p->is_closed)
		return;
	if (chan && chan->state == SMX_CHAN_ASKED) {
		agent_pipe_refuse(p, SMX_OPEN_CONNECT_FAILED, "the agent is gone");
		return;
	}
	p->is_closed = 1;
	smx_list_del(&p->source.node);
	if (can_send(p))
		sent(p->ep.link, smx_conn_send_close(&p->ep.link->conn, chan));
	/* Else when its open, or our CLOSE, is answered. */
	if (!chan)
		release(p);
}
