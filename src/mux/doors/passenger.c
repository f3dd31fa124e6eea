/* SPDX-License-Identifier: MIT */
#include "mux/doors/passenger_int.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "mux/ask/caller_ask.h"
#include "mux/core/pacing.h"
#include "mux/core/say.h"
#include "mux/pool/upstream.h"

/* What may be queued for streams that take nothing more. */
#define QUEUE_SLACK (1024u * 1024)
/* A stream that takes byte after byte must not make us send a message for each. */
#define GRANT_LEAST (WINDOW_LEAST / 4)
#define READ_MAX    (64 * 1024) /* what a pipe holds, unless told otherwise */
#define BREAK_MS    1000 /* of "~B", as ssh */
/* Of ssh itself, where there is no session. */
#define DENIED_STATUS 255

static struct mux_ids ids_of(const struct passenger *p)
{
	return (struct mux_ids){ p->conn, p->id, p->owner ? p->owner->id : 0, p->route };
}

void passenger_sent(struct link *l, int r)
{
	if (r != 0)
		link_fail(l, r, NULL);
	link_touch(l);
}

/* B4: what it has lent is over. */
static void lend_no_more(struct passenger *p)
{
	agent_lend_no_more(&p->lender);
	caller_ask_free(p->consent);
	p->consent = NULL;
}

static void close_streams(struct passenger *p)
{
	input_free(p->in);
	output_free(p->out);
	output_free(p->err);
	p->in = NULL;
	p->out = p->err = NULL;
}

static void passenger_free(struct passenger *p)
{
	struct mux_ids ids = ids_of(p);

	if (p->is_open)
		say_debug(&ids, "channel closed: %llu bytes sent, %llu received",
			(unsigned long long)p->bytes_out, (unsigned long long)p->bytes_in);
	close_streams(p);
	smx_list_del(&p->source.node);
	smx_list_del(&p->grants.node);
	window_release(&p->window);
	open_req_release(&p->req);
	passenger_wish_release(&p->wish);
	caller_ask_free(p->ask);
	smx_free(p);
}

/* The channel is gone, and what came of it was written, or there is nobody any more. */
static void free_if_over(struct passenger *p)
{
	struct passenger_owner *o = p->owner;

	if (!p->is_open || p->ep.chan)
		return;
	if (o && (output_queued(p->out) || (p->err && output_queued(p->err))))
		return;
	p->owner = NULL;
	passenger_free(p);
	if (o)
		o->ops->over(o);
}

int passenger_has_channel(const struct passenger *p)
{
	return p->ep.chan && !p->ep.link->dead && !p->ep.chan->close_sent;
}

void passenger_close_channel(struct passenger *p)
{
	if (passenger_has_channel(p))
		passenger_sent(p->ep.link, smx_conn_send_close(&p->ep.link->conn, p->ep.chan));
}

void passenger_tell(struct passenger *p, const char *text)
{
	if (p->err)
		output_write(p->err, smx_view_of(text, strlen(text)));
}

/*
 * Of a connection: both directions have ended, or nobody is there any more. Each end of a channel
 * may close it then, and need not wait for the other.
 */
static void close_if_done(struct passenger *p)
{
	const struct smx_chan *chan = p->ep.chan;

	if (!p->is_connection || !p->owner || !passenger_has_channel(p) || !chan->eof_sent)
		return;
	if (output_is_broken(p->out) || (chan->eof_received && output_queued(p->out) == 0))
		passenger_close_channel(p);
}

/* --- windows --- */

static size_t queued(const struct passenger *p)
{
	return output_queued(p->out) + (p->err ? output_queued(p->err) : 0);
}

static size_t share_of_path(const struct passenger *p)
{
	return bulk_down_share(&p->down, p->ep.link, queued(p));
}

static size_t most_of_path(const struct passenger *p)
{
	return bulk_down_most(&p->down, p->ep.link, queued(p));
}

/* What the server may have on its way to us: the window, and far less while something waits here
 * (flow.c has the same for two connections). */
static size_t room(const struct passenger *p)
{
	size_t waiting = queued(p), limit = p->window.size, share = share_of_path(p), taken;

	taken = p->ep.chan->recv_window + waiting;
	if (share && share < limit)
		limit = share;
	if (waiting && limit > QUEUE_SLACK && waiting > most_of_path(p) / 2)
		limit = QUEUE_SLACK;
	return limit > taken ? limit - taken : 0;
}

static size_t grant_due(const struct passenger *p)
{
	const struct smx_chan *chan = p->ep.chan;
	size_t n, size = p->window.size, share = share_of_path(p);

	if (!passenger_has_channel(p) || chan->eof_received || chan->close_received)
		return 0;
	n = room(p);
	if (share)
		return n >= bulk_step(share < size ? share : size) ? n : 0;
	if (n >= size / 4)
		return n;
	return n >= GRANT_LEAST && chan->recv_window <= size / 2 ? n : 0;
}

/* The server may be able to send more: it is told when the link can write. */
static void grant(struct passenger *p)
{
	if (!p->ep.chan || !smx_list_empty(&p->grants.node))
		return;
	if (grant_due(p))
		link_owe(p->ep.link, &p->grants);
	else if (passenger_has_channel(p) && bulk_is_early(&p->down, p->ep.link, queued(p)))
		pacing_hold_grant(p->ep.link, &p->grants);
}

static int on_grant(struct source *s)
{
	struct passenger *p = SMX_CONTAINER(s, struct passenger, grants);
	size_t n = grant_due(p), size = p->window.size, most;

	if (n == 0) {
		grant(p); /* in a moment */
		return 0;
	}
	most = most_of_path(p);
	p->window.max = most > WINDOW_MAX ? (uint32_t)most : WINDOW_MAX;
	if (p->granted >= size && queued(p) < size / 8 && window_grow(&p->window)) {
		p->granted = 0;
		n = room(p);
	}
	p->granted += n;
	passenger_sent(p->ep.link, smx_conn_grant(&p->ep.link->conn, p->ep.chan, (uint32_t)n));
	p->window.taken = p->ep.chan->recv_window + queued(p);
	window_granted(&p->window, (uint32_t)n);
	grant(p); /* the rest in a moment, also if nothing comes meanwhile */
	return 0;
}

/* --- from the channel to the streams --- */

/* Nobody reads the output any more: the server is told, as ssh does, and what comes is dropped. */
static void note_broken(struct passenger *p)
{
	struct smx_view none = { NULL, 0 };

	if (p->has_eow || !output_is_broken(p->out))
		return;
	p->has_eow = 1;
	if (output_loss(p->out))
		passenger_tell(p,
			"ssh-mux: output was lost: the standard output can't be written; is its "
			"disk full?\r\n");
	if (passenger_has_channel(p) && p->ep.is_session)
		passenger_sent(p->ep.link, smx_conn_send_request(&p->ep.link->conn, p->ep.chan,
						   "eow@openssh.com", 0, none));
}

static void on_data(struct passenger *p, const struct smx_conn_event *ev)
{
	struct output *o = ev->code == 0 ? p->out : p->err;

	p->bytes_in += ev->data.len;
	bulk_note(&p->down, p->ep.link, LINK_DOWN, ev->data.len);
	/* What is of no known kind goes nowhere, as with ssh. */
	if (o && (ev->code == 0 || ev->code == SMX_EXTENDED_DATA_STDERR))
		output_write(o, ev->data);
	note_broken(p);
	grant(p);
	close_if_done(p);
}

/* Some of what was queued has been written. */
static void on_moved(void *arg)
{
	struct passenger *p = arg;

	note_broken(p);
	grant(p);
	close_if_done(p);
	free_if_over(p);
}

/* --- from the stream to the channel --- */

static void send_from(struct passenger *p, const uint8_t *bytes, size_t n)
{
	if (n == 0 || !passenger_has_channel(p))
		return;
	p->bytes_out += n;
	bulk_note(&p->up, p->ep.link, LINK_UP, n);
	passenger_sent(p->ep.link, smx_conn_send_data(&p->ep.link->conn, p->ep.chan, 0,
					   (struct smx_view){ bytes, n }));
}

static void send_break(struct passenger *p)
{
	uint8_t ms[4];

	smx_set_u32(ms, BREAK_MS);
	passenger_sent(p->ep.link, smx_conn_send_request(&p->ep.link->conn, p->ep.chan, "break", 0,
					   (struct smx_view){ ms, sizeof(ms) }));
}

static void tell_escapes(struct passenger *p)
{
	char text[PASSENGER_TEXT_SIZE], c = (char)p->escape;

	(void)snprintf(text, sizeof(text),
		"%c?\r\n"
		"Escape sequences of ssh-mux's control socket:\r\n"
		" %c.   - end this session\r\n"
		" %cB   - send a BREAK to the remote system\r\n"
		" %c?   - this message\r\n"
		" %c%c   - send the escape character by typing it twice\r\n"
		"(They are only known right after a newline.)\r\n",
		c, c, c, c, c, c);
	passenger_tell(p, text);
}

static void tell_no_escape(struct passenger *p, uint8_t key)
{
	char text[PASSENGER_TEXT_SIZE];

	(void)snprintf(text, sizeof(text),
		key < ' ' ? "%c^%c escape not available to multiplexed sessions\r\n"
			  : "%c%c escape not available to multiplexed sessions\r\n",
		(char)p->escape, key < ' ' ? key + '@' : key);
	passenger_tell(p, text);
}

/* Typed bytes, in a terminal with an escape character. Returns 0 if that ended the session. */
static int send_typed(struct passenger *p, const uint8_t *bytes, size_t n)
{
	uint8_t out[SMX_CHANNEL_PACKET + 1], key = 0;
	size_t used, len;

	while (n) {
		enum smx_mux4_escape e = smx_mux4_escape_take(
			&p->escape_state, (uint8_t)p->escape, bytes, n, &used, out, &len, &key);

		send_from(p, out, len);
		bytes += used;
		n -= used;
		switch (e) {
		case SMX_MUX4_ESCAPE_END:
			return 0;
		case SMX_MUX4_ESCAPE_BREAK:
			send_break(p);
			break;
		case SMX_MUX4_ESCAPE_HELP:
			tell_escapes(p);
			break;
		case SMX_MUX4_ESCAPE_OTHER:
			tell_no_escape(p, key);
			break;
		default:
			break;
		}
	}
	return 1;
}

/* The stream is at its end. */
static void end_input(struct passenger *p)
{
	input_free(p->in);
	p->in = NULL;
	if (passenger_has_channel(p))
		passenger_sent(p->ep.link, smx_conn_send_eof(&p->ep.link->conn, p->ep.chan));
	close_if_done(p);
}

/* How much may be read and sent at once; 0: the window is closed, or nothing more is to be sent. */
static size_t send_limit(const struct passenger *p)
{
	const struct smx_chan *chan = p->ep.chan;
	size_t n, quantum;

	if (!p->in || !passenger_has_channel(p) || chan->close_received || chan->eof_sent ||
		chan->send_packet == 0)
		return 0;
	quantum = link_quantum(p->ep.link);
	/* Every read wakes the writer. Where the path is fast, all that a pipe holds is taken at
	 * once. */
	n = quantum < LINK_QUANTUM ? quantum : READ_MAX;
	n = chan->send_window < n ? chan->send_window : n;
	if (p->escape == SMX_MUX4_NO_ESCAPE)
		return n;
	/* Of what is typed one byte more may go out than was read: one was held back. */
	n = chan->send_packet < n ? chan->send_packet : n;
	n = quantum < n ? quantum : n;
	return n ? n - 1 : 0;
}

/* What was read, in as many messages as the server takes. */
static void send_read(struct passenger *p, const uint8_t *bytes, size_t len)
{
	size_t n;

	for (; len && passenger_has_channel(p); bytes += n, len -= n) {
		n = len < p->ep.chan->send_packet ? len : p->ep.chan->send_packet;
		send_from(p, bytes, n);
	}
}

static int on_drain(struct source *s)
{
	static uint8_t bytes[READ_MAX]; /* one loop, one thread */
	struct passenger *p = SMX_CONTAINER(s, struct passenger, source);
	size_t n = send_limit(p), len;
	int r;

	if (n == 0)
		return 0; /* until the server grants more */
	r = input_read(p->in, bytes, n, &len);
	if (r == SMX_EAGAIN)
		return 0;
	if (r != 0) {
		end_input(p);
		return 0;
	}
	if (p->escape == SMX_MUX4_NO_ESCAPE) {
		send_read(p, bytes, len);
	} else if (!send_typed(p, bytes, len)) {
		input_free(p->in);
		p->in = NULL;
		passenger_close_channel(p);
	}
	return 1;
}

/* There may be something to read, and the window may be open. */
static void resume(struct passenger *p)
{
	if (!p->in || !passenger_has_channel(p) || !p->is_open)
		return;
	p->source.is_interactive = p->is_tty || bulk_is_light(&p->up, p->ep.link, 0);
	link_enqueue(p->ep.link, &p->source);
}

static void on_readable(void *arg)
{
	resume(arg);
}

/*
 * The status, which comes before the last data if that has to wait for a window. It is no success
 * before all is there: the connection may be lost. Returns whether the passenger still is.
 */
static int pass_status(struct passenger *p)
{
	if (!p->has_status || !p->owner)
		return 1;
	p->has_status = 0;
	return p->owner->ops->exited(p->owner, (uint32_t)p->id, p->status);
}

static void on_request(struct passenger *p, const struct smx_conn_event *ev)
{
	struct smx_fields fields = { .why = NULL };
	struct mux_ids ids = ids_of(p);
	enum smx_request_kind kind;
	enum smx_verdict verdict = smx_request_of_server(ev->kind, ev->data, &kind, &fields);
	int is_ok = 0;

	if (verdict == SMX_VERDICT_END) {
		say_warn(&ids,
			"a channel was closed: the server sent a request that makes no "
			"sense: %s",
			fields.why);
		passenger_close_channel(p);
		return;
	}
	if (verdict == SMX_VERDICT_PASS && kind == SMX_REQUEST_EXIT_STATUS && p->ep.is_session) {
		is_ok = 1;
		p->has_status = 1;
		p->status = fields.n[0];
		if (p->has_all)
			(void)pass_status(p); /* with a channel it stays */
	} else if (verdict == SMX_VERDICT_PASS && kind == SMX_REQUEST_EOW) {
		/* It reads no more: nor need we (`ssh host head < big`). */
		input_free(p->in);
		p->in = NULL;
	}
	if (ev->want_reply && passenger_has_channel(p))
		passenger_sent(
			p->ep.link, smx_conn_send_reply(&p->ep.link->conn, p->ep.chan, is_ok));
}

/* --- events of the channel --- */

static void lose_channel(struct passenger *p)
{
	lend_no_more(p);
	p->ep.chan = NULL;
	smx_list_del(&p->source.node);
	smx_list_del(&p->grants.node);
	input_free(p->in);
	p->in = NULL;
}

static void passenger_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	struct passenger *p = SMX_CONTAINER(ep, struct passenger, ep);
	struct mux *m = p->mux;
	char text[PASSENGER_TEXT_SIZE];

	/* The streams are closed: the remote's CLOSE is all that is awaited. */
	if (!p->owner && ev->type != SMX_CONN_CLOSE)
		return;
	switch (ev->type) {
	case SMX_CONN_DATA:
		on_data(p, ev);
		break;
	case SMX_CONN_WINDOW:
		resume(p);
		break;
	case SMX_CONN_REQUEST:
		on_request(p, ev);
		break;
	case SMX_CONN_REPLY:
		passenger_answered(p, ev->success);
		break;
	case SMX_CONN_EOF:
		p->has_all = 1;
		(void)pass_status(p);
		/* The standard streams of a program end with its session. */
		if (p->is_connection)
			output_end(p->out);
		close_if_done(p);
		break;
	case SMX_CONN_CLOSE:
		if (ev->broken && p->owner) {
			(void)snprintf(text, sizeof(text),
				"ssh-mux: channel closed: the server broke the protocol: %s\r\n",
				smx_strerror(ev->broken));
			passenger_tell(p, text);
		}
		ep->chan->user = NULL;
		lose_channel(p);
		if (ev->broken || pass_status(p))
			free_if_over(p);
		pool_kick(m);
		break;
	default:
		break;
	}
}

static void passenger_link_dead(struct endpoint *ep, int r, const char *why)
{
	struct passenger *p = SMX_CONTAINER(ep, struct passenger, ep);
	char text[PASSENGER_TEXT_SIZE];

	(void)r;
	if (p->owner) {
		(void)snprintf(text, sizeof(text), "ssh-mux: connection to %.100s lost: %.240s\r\n",
			smx_route_target(p->owner->route)->host, why);
		passenger_tell(p, text);
	}
	lose_channel(p);
	free_if_over(p);
}

static const struct endpoint_ops passenger_ops = { passenger_event, passenger_link_dead };

/* --- the beginning --- */

/* There is nobody any more; the channel is to be closed. */
static void detach(struct passenger *p)
{
	lend_no_more(p);
	caller_ask_leave(p->ask);
	p->owner = NULL;
	close_streams(p);
	smx_list_del(&p->source.node);
	smx_list_del(&p->grants.node);
	window_release(&p->window);
}

/* Its person is not asked any more. Returns whether he was. */
static int end_asking(struct passenger *p)
{
	int was_asked = p->ask && caller_ask_was_asked(p->ask);

	p->req.asker = NULL;
	caller_ask_free(p->ask);
	p->ask = NULL;
	return was_asked;
}

/* It ends as ssh would that had asked: if it went on by itself, it would ask once more. */
static void end_denied(struct passenger *p, const char *text)
{
	struct passenger_owner *o = p->owner;
	char clean[PASSENGER_TEXT_SIZE - 20], line[PASSENGER_TEXT_SIZE];

	p->is_open = 1;
	if (!o->ops->opened(o, (uint32_t)p->id))
		return; /* gone */
	smx_sanitize(text, strlen(text), clean, sizeof(clean));
	(void)snprintf(line, sizeof(line), "ssh-mux: %s\r\n", clean);
	passenger_tell(p, line);
	if (o->ops->exited(o, (uint32_t)p->id, DENIED_STATUS))
		free_if_over(p);
}

/* It will not be served: nothing of it has been shown, and ssh goes on by itself. */
static void refuse(struct passenger *p, const char *text)
{
	struct passenger_owner *o = p->owner;

	if (end_asking(p) && p->req.is_session) {
		end_denied(p, text);
		return;
	}
	detach(p);
	o->ops->refused(o, text);
	if (p->ep.chan)
		passenger_close_channel(p); /* freed when the remote's CLOSE has come */
	else
		passenger_free(p);
}

static void on_opened(
	struct open_req *req, struct upstream *up, struct smx_chan *chan, struct smx_view specific)
{
	struct passenger *p = SMX_CONTAINER(req, struct passenger, req);
	struct mux_ids ids;
	int r = 0;

	(void)specific;
	(void)end_asking(p);
	p->is_open = 1;
	p->conn = up->link->id;
	p->ep = (struct endpoint){ &passenger_ops, up->link, chan, p->req.is_session };
	chan->user = &p->ep;
	open_req_release(&p->req);
	ids = ids_of(p);
	say_debug(&ids, "channel opened: %s", p->kind);
	if (p->ep.is_session)
		r = passenger_ask(p);
	passenger_wish_release(&p->wish);
	if (r != 0) {
		say_warn(&ids, "a session can't be begun: %s", smx_strerror(r));
		refuse(p, smx_strerror(r));
		link_touch(up->link);
		return;
	}
	link_touch(up->link);
	(void)p->owner->ops->opened(p->owner, (uint32_t)p->id);
	if (p->owner)
		resume(p);
}

static void on_failed(struct open_req *req, uint32_t code, const char *text)
{
	struct passenger *p = SMX_CONTAINER(req, struct passenger, req);

	(void)code;
	refuse(p, text);
}

static void on_released(struct open_req *req)
{
	passenger_free(SMX_CONTAINER(req, struct passenger, req));
}

static int take_streams(struct passenger *p, const struct passenger_streams *s)
{
	p->in = input_new(p->mux, s->in, on_readable, p);
	p->out = output_new(p->mux, s->out, on_moved, p);
	if (s->err)
		p->err = output_new(p->mux, s->err, on_moved, p);
	return p->in && p->out && (p->err || !s->err) ? 0 : SMX_ENOMEM;
}

static const char *kind_name(struct smx_view kind)
{
	static const char *const names[] = { "session", "direct-tcpip",
		"direct-streamlocal@openssh.com", "forwarded-tcpip" };

	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		if (smx_view_eq(kind, names[i]))
			return names[i];
	return "forwarded-streamlocal@openssh.com";
}

/* One that knows of no channel yet. */
static struct passenger *new_passenger(
	struct passenger_owner *o, const struct passenger_streams *streams, struct smx_view kind)
{
	struct passenger *p = smx_calloc(1, sizeof(*p));

	if (!p) {
		smx_os_stdio_free(streams->in);
		smx_os_stdio_free(streams->out);
		smx_os_stdio_free(streams->err);
		return NULL;
	}
	p->mux = o->mux;
	p->owner = o;
	p->is_connection = o->is_connection != 0;
	p->id = ++o->mux->core.next_id;
	p->born_ms = mux_now(o->mux);
	p->kind = kind_name(kind);
	p->escape = SMX_MUX4_NO_ESCAPE;
	p->source.drain = on_drain;
	p->source.is_paced = 1;
	p->grants.drain = on_grant;
	smx_list_init(&p->source.node);
	smx_list_init(&p->grants.node);
	smx_list_init(&p->req.node); /* released as well if it comes to nothing before */
	(void)snprintf(p->route, sizeof(p->route), "%s", o->route->name);
	smx_buf_init(&p->wish.term, SMX_MUX4_MESSAGE_MAX);
	smx_buf_init(&p->wish.modes, 4096);
	smx_buf_init(&p->wish.command, SMX_MUX4_MESSAGE_MAX);
	smx_buf_init(&p->wish.env, 2 * SMX_MUX4_MESSAGE_MAX);
	window_init(&p->window, o->share);
	smx_list_init(&p->req.node);
	if (take_streams(p, streams) == 0)
		return p;
	passenger_free(p);
	return NULL;
}

struct passenger *passenger_new(struct passenger_owner *o, const struct passenger_streams *streams,
	struct smx_view kind, struct smx_view specific, const struct smx_mux4_request *req)
{
	struct passenger *p = new_passenger(o, streams, kind);
	int r = 0;

	if (!p)
		return NULL;
	if (req)
		r = passenger_wish(p, req);
	if (r == 0)
		r = open_req_init(&p->req, req != NULL, kind, specific, p->window.first);
	if (r != 0) {
		passenger_free(p);
		return NULL;
	}
	p->req.opened = on_opened;
	p->req.failed = on_failed;
	p->req.released = on_released;
	return p;
}

struct passenger *passenger_accept(struct passenger_owner *o,
	const struct passenger_streams *streams, struct link *l, struct smx_chan *chan,
	struct smx_view kind)
{
	struct passenger *p = new_passenger(o, streams, kind);
	struct smx_view none = { NULL, 0 };
	struct mux_ids ids;

	if (!p)
		return NULL;
	p->is_open = 1;
	p->conn = l->id;
	p->ep = (struct endpoint){ &passenger_ops, l, chan, 0 };
	chan->user = &p->ep;
	ids = ids_of(p);
	say_debug(&ids, "channel opened by the remote: %s", p->kind);
	passenger_sent(l, smx_conn_open_confirm(&l->conn, chan, p->window.first, none));
	resume(p);
	return p;
}

void passenger_start(struct passenger *p)
{
	const struct smx_route *route = p->owner->route;
	const struct caller_wait wait = { p->mux, p->owner, p, &p->req, p->dismissal, p->id };

	p->ask = p->is_connection ? NULL : caller_ask_new(&wait);
	p->req.asker = p->ask ? caller_ask_asker(p->ask) : NULL;
	pool_open(p->mux, p->owner->routes, route, route->n_hops, &p->req);
}

void passenger_leave(struct passenger *p)
{
	detach(p);
	if (!p->is_open) {
		pool_cancel(&p->req); /* frees, now or when the pending answer has come */
		return;
	}
	passenger_close_channel(p);
	free_if_over(p);
}

void passenger_lose(struct passenger *p, const char *text)
{
	if (!passenger_has_channel(p))
		return; /* it ends as it is */
	passenger_tell(p, text);
	passenger_close_channel(p);
}

int passenger_is_open(const struct passenger *p)
{
	return p->is_open;
}

void passenger_describe(const struct passenger *p, struct passenger_info *ret)
{
	const struct smx_chan *chan = p->ep.chan;

	*ret = (struct passenger_info){
		.id = p->id,
		.connection = chan ? p->conn : 0,
		.age_ms = mux_now(p->mux) - p->born_ms,
		.bytes_in = p->bytes_in,
		.bytes_out = p->bytes_out,
		.kind = p->kind,
		.state = !p->is_open                                         ? "opening"
			 : !chan || chan->close_sent || chan->close_received ? "closing"
									     : "open",
	};
}
