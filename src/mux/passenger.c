/* SPDX-License-Identifier: MIT */
#include "mux/passenger.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/policy.h"
#include "mux/guest.h"
#include "mux/say.h"
#include "mux/upstream.h"

#define TEXT_SIZE 600
/* What may be queued for streams that take nothing more. */
#define QUEUE_SLACK (1024u * 1024)
/* A stream that takes byte after byte must not make us send a message for each. */
#define GRANT_LEAST (WINDOW_LEAST / 4)
#define BREAK_MS    1000 /* of "~B", as ssh */

/* What is to be requested once the channel of a session is open. */
struct wish {
	struct smx_buf term, modes, command, env; /* env: strings, name and value in turn */
	int wants_tty, is_subsystem;
};

struct passenger {
	struct mux *mux;
	struct guest *guest; /* NULL once it is gone */
	struct endpoint ep; /* the channel */
	struct open_req req;
	struct source source; /* from the stream, on the link's lists */
	struct source grants;
	struct input *in;
	struct output *out, *err;
	struct window window;
	struct bulk up, down;
	uint64_t granted; /* since the window grew */
	uint64_t bytes_in, bytes_out;
	uint64_t id, born_ms, conn;
	const char *kind;
	char route[SMX_ROUTE_NAME_MAX + 1];
	struct wish wish;
	struct smx_request_order order;
	enum smx_request_kind command; /* which one was sent */
	uint32_t escape;
	enum smx_mux4_escape_state escape_state;
	struct smx_os_terminal_size size;
	unsigned is_open : 1, is_tty : 1, awaits_tty : 1, awaits_command : 1, has_eow : 1,
		is_over : 1;
};

static struct mux_ids ids_of(const struct passenger *p)
{
	return (struct mux_ids){ p->conn, p->id, p->guest ? p->guest->id : 0, p->route };
}

static void failed(struct link *l, int r)
{
	if (r != 0)
		link_fail(l, r, NULL);
	link_touch(l);
}

static void close_streams(struct passenger *p)
{
	input_free(p->in);
	output_free(p->out);
	output_free(p->err);
	p->in = NULL;
	p->out = p->err = NULL;
}

static void release_wish(struct wish *w)
{
	smx_buf_release(&w->term);
	smx_buf_release(&w->modes);
	smx_buf_release(&w->command);
	smx_buf_release(&w->env);
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
	release_wish(&p->wish);
	smx_free(p);
}

/* The channel is gone, and what came of it was written, or there is nobody any more. */
static void free_if_over(struct passenger *p)
{
	struct guest *g = p->guest;

	if (!p->is_open || p->ep.chan)
		return;
	if (g && (output_queued(p->out) || (p->err && output_queued(p->err))))
		return;
	p->guest = NULL;
	passenger_free(p);
	if (g)
		guest_over(g);
}

static int has_channel(const struct passenger *p)
{
	return p->ep.chan && !p->ep.link->dead && !p->ep.chan->close_sent;
}

static void close_channel(struct passenger *p)
{
	if (has_channel(p))
		failed(p->ep.link, smx_conn_send_close(&p->ep.link->conn, p->ep.chan));
}

/* A line of our own, at the person's end. */
static void tell(struct passenger *p, const char *text)
{
	if (p->err)
		output_write(p->err, smx_view_of(text, strlen(text)));
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

/* What the server may have on its way to us: the window, and far less while something waits here
 * (flow.c has the same for two connections). */
static size_t room(const struct passenger *p)
{
	size_t waiting = queued(p), limit = p->window.size, share = share_of_path(p), taken;

	taken = p->ep.chan->recv_window + waiting;
	if (share && share < limit)
		limit = share;
	if (waiting && limit > QUEUE_SLACK && waiting > share / 2)
		limit = QUEUE_SLACK;
	return limit > taken ? limit - taken : 0;
}

static size_t grant_due(const struct passenger *p)
{
	const struct smx_chan *chan = p->ep.chan;
	size_t n, size = p->window.size, share = share_of_path(p);

	if (!has_channel(p) || chan->eof_received || chan->close_received)
		return 0;
	n = room(p);
	/* In small steps, or what is sent for a grant would be a queue on a thin path. */
	if (share)
		return n >= (share < size ? share : size) / 16 && n >= BULK_SHARE_LEAST / 4 ? n : 0;
	if (n >= size / 4)
		return n;
	return n >= GRANT_LEAST && chan->recv_window <= size / 2 ? n : 0;
}

/* The server may be able to send more: it is told when the link can write. */
static void grant(struct passenger *p)
{
	if (p->ep.chan && smx_list_empty(&p->grants.node) && grant_due(p))
		link_owe(p->ep.link, &p->grants);
}

static int on_grant(struct source *s)
{
	struct passenger *p = SMX_CONTAINER(s, struct passenger, grants);
	size_t n = grant_due(p), size = p->window.size, share;

	if (n == 0)
		return 0;
	share = share_of_path(p);
	p->window.max = share > WINDOW_MAX ? (uint32_t)share : WINDOW_MAX;
	if (p->granted >= size && queued(p) < size / 8 && window_grow(&p->window)) {
		p->granted = 0;
		n = room(p);
	}
	p->granted += n;
	failed(p->ep.link, smx_conn_grant(&p->ep.link->conn, p->ep.chan, (uint32_t)n));
	p->window.taken = p->ep.chan->recv_window + queued(p);
	window_granted(&p->window, (uint32_t)n);
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
	if (has_channel(p) && p->ep.is_session)
		failed(p->ep.link, smx_conn_send_request(&p->ep.link->conn, p->ep.chan,
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
}

/* Some of what was queued has been written. */
static void on_moved(void *arg)
{
	struct passenger *p = arg;

	note_broken(p);
	grant(p);
	free_if_over(p);
}

/* --- from the stream to the channel --- */

static void send_from(struct passenger *p, const uint8_t *bytes, size_t n)
{
	if (n == 0 || !has_channel(p))
		return;
	p->bytes_out += n;
	bulk_note(&p->up, p->ep.link, LINK_UP, n);
	failed(p->ep.link, smx_conn_send_data(&p->ep.link->conn, p->ep.chan, 0,
				   (struct smx_view){ bytes, n }));
}

static void send_break(struct passenger *p)
{
	uint8_t ms[4];

	smx_set_u32(ms, BREAK_MS);
	failed(p->ep.link, smx_conn_send_request(&p->ep.link->conn, p->ep.chan, "break", 0,
				   (struct smx_view){ ms, sizeof(ms) }));
}

static void tell_escapes(struct passenger *p)
{
	char text[TEXT_SIZE], c = (char)p->escape;

	(void)snprintf(text, sizeof(text),
		"%c?\r\n"
		"Escape sequences of ssh-mux's control socket:\r\n"
		" %c.   - end this session\r\n"
		" %cB   - send a BREAK to the remote system\r\n"
		" %c?   - this message\r\n"
		" %c%c   - send the escape character by typing it twice\r\n"
		"(They are only known right after a newline.)\r\n",
		c, c, c, c, c, c);
	tell(p, text);
}

static void tell_no_escape(struct passenger *p, uint8_t key)
{
	char text[TEXT_SIZE];

	(void)snprintf(text, sizeof(text),
		key < ' ' ? "%c^%c escape not available to multiplexed sessions\r\n"
			  : "%c%c escape not available to multiplexed sessions\r\n",
		(char)p->escape, key < ' ' ? key + '@' : key);
	tell(p, text);
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
	if (has_channel(p))
		failed(p->ep.link, smx_conn_send_eof(&p->ep.link->conn, p->ep.chan));
}

/* How much may be read and sent at once; 0: the window is closed, or nothing more is to be sent. */
static size_t send_limit(const struct passenger *p)
{
	const struct smx_chan *chan = p->ep.chan;
	size_t n = SMX_CHANNEL_PACKET, quantum;

	if (!p->in || !has_channel(p) || chan->close_received || chan->eof_sent)
		return 0;
	quantum = link_quantum(p->ep.link);
	n = chan->send_packet < n ? chan->send_packet : n;
	n = chan->send_window < n ? chan->send_window : n;
	n = quantum < n ? quantum : n;
	/* Of one that is held back there may be one byte more than was read. */
	return p->escape == SMX_MUX4_NO_ESCAPE || n == 0 ? n : n - 1;
}

static int on_drain(struct source *s)
{
	static uint8_t bytes[SMX_CHANNEL_PACKET]; /* one loop, one thread */
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
		send_from(p, bytes, len);
	} else if (!send_typed(p, bytes, len)) {
		input_free(p->in);
		p->in = NULL;
		close_channel(p);
	}
	return 1;
}

/* There may be something to read, and the window may be open. */
static void resume(struct passenger *p)
{
	if (!p->in || !has_channel(p) || !p->is_open)
		return;
	p->source.is_interactive = p->is_tty || bulk_is_light(&p->up, p->ep.link, 0);
	link_enqueue(p->ep.link, &p->source);
}

static void on_readable(void *arg)
{
	resume(arg);
}

/* --- requests --- */

static void put_size(uint8_t out[16], const struct smx_os_terminal_size *size)
{
	smx_set_u32(out, size->columns);
	smx_set_u32(out + 4, size->rows);
	smx_set_u32(out + 8, size->width);
	smx_set_u32(out + 12, size->height);
}

void passenger_resize(struct passenger *p)
{
	struct smx_os_terminal_size size;
	uint8_t numbers[16];
	int fd = p->in ? input_terminal(p->in) : -1;

	if (!p->is_tty || fd < 0 || !p->is_open || !has_channel(p) ||
		smx_os_terminal_size(fd, &size) != 0 || memcmp(&size, &p->size, sizeof(size)) == 0)
		return;
	p->size = size;
	put_size(numbers, &size);
	failed(p->ep.link, smx_conn_send_request(&p->ep.link->conn, p->ep.chan, "window-change", 0,
				   (struct smx_view){ numbers, sizeof(numbers) }));
}

/* U1: what we ask for is checked as if a client had sent it. 0: sent, or (env) left out. */
static int request(
	struct passenger *p, const char *name, int want_reply, const struct smx_buf *specific)
{
	struct link *l = p->ep.link;
	struct smx_view v = smx_buf_as_view(specific);
	struct smx_fields fields = { .why = NULL };
	enum smx_request_kind kind;
	int r;

	if (smx_request_of_client(&p->order, smx_view_of(name, strlen(name)), v, &kind, &fields) !=
		SMX_VERDICT_PASS)
		return SMX_EFORMAT;
	if (kind == SMX_REQUEST_ENV && !smx_policy_env_ok(p->guest->route, fields.s[0]))
		return 0; /* L8 */
	if (v.len + strlen(name) + 10 > smx_transport_payload_max(l->t) ||
		fields.longest > smx_transport_string_max(l->t))
		return SMX_ETOOBIG;
	r = smx_conn_send_request(&l->conn, p->ep.chan, name, want_reply, v);
	if (r == 0)
		smx_request_passed(&p->order, kind);
	if (r == 0 && smx_request_is_command(kind))
		p->command = kind;
	return r;
}

static int request_tty(struct passenger *p)
{
	struct smx_buf b;
	uint8_t numbers[16];
	int r;

	put_size(numbers, &p->size);
	smx_buf_init(&b, 8192);
	if ((r = smx_put_view(&b, smx_buf_as_view(&p->wish.term))) == 0 &&
		(r = smx_buf_put(&b, numbers, sizeof(numbers))) == 0 &&
		(r = smx_put_view(&b, smx_buf_as_view(&p->wish.modes))) == 0)
		r = request(p, "pty-req", 1, &b);
	smx_buf_release(&b);
	p->awaits_tty = r == 0;
	return r;
}

static int request_env(struct passenger *p)
{
	struct smx_rd rd = smx_rd_view(smx_buf_as_view(&p->wish.env));
	struct smx_view name, value;
	struct smx_buf b;
	int r = 0;

	smx_buf_init(&b, SMX_MUX4_MESSAGE_MAX);
	while (rd.left && r == 0) {
		smx_buf_reset(&b);
		if ((r = smx_rd_string(&rd, &name)) == 0 && (r = smx_rd_string(&rd, &value)) == 0 &&
			(r = smx_put_view(&b, name)) == 0 && (r = smx_put_view(&b, value)) == 0) {
			r = request(p, "env", 0, &b);
			/* One that can't be passed on is left out, as ssh's would be refused. */
			if (r == SMX_EFORMAT || r == SMX_ETOOBIG)
				r = 0;
		}
	}
	smx_buf_release(&b);
	return r;
}

static int request_command(struct passenger *p)
{
	struct smx_view command = smx_buf_as_view(&p->wish.command);
	struct smx_buf b;
	int r = 0;

	smx_buf_init(&b, SMX_MUX4_MESSAGE_MAX + 4);
	if (command.len || p->wish.is_subsystem)
		r = smx_put_view(&b, command);
	if (r == 0)
		r = request(p,
			p->wish.is_subsystem ? "subsystem"
			: command.len        ? "exec"
					     : "shell",
			1, &b);
	smx_buf_release(&b);
	p->awaits_command = r == 0;
	return r;
}

static int request_all(struct passenger *p)
{
	int r = p->wish.wants_tty ? request_tty(p) : 0;

	if (r == 0)
		r = request_env(p);
	if (r == 0)
		r = request_command(p);
	return r;
}

static const char *command_name(enum smx_request_kind kind)
{
	switch (kind) {
	case SMX_REQUEST_SUBSYSTEM:
		return "subsystem";
	case SMX_REQUEST_EXEC:
		return "exec";
	default:
		return "shell";
	}
}

/* To the terminal's request first, then to the command's. */
static void on_reply(struct passenger *p, int success)
{
	char text[TEXT_SIZE];

	if (p->awaits_tty) {
		p->awaits_tty = 0;
		if (success)
			return;
		tell(p, "PTY allocation request failed\r\n"); /* as a real master */
		if (p->guest)
			guest_tty_failed(p->guest, (uint32_t)p->id);
	} else if (p->awaits_command) {
		p->awaits_command = 0;
		if (success)
			return;
		/* As ssh without a master; with one it loses the line. */
		(void)snprintf(text, sizeof(text), "%s request failed on channel %u\r\n",
			command_name(p->command), (unsigned)p->ep.chan->id);
		tell(p, text);
		input_free(p->in);
		p->in = NULL;
		close_channel(p);
	}
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
		close_channel(p);
		return;
	}
	if (verdict == SMX_VERDICT_PASS && kind == SMX_REQUEST_EXIT_STATUS && p->ep.is_session) {
		is_ok = 1;
		if (p->guest)
			guest_exited(p->guest, (uint32_t)p->id, fields.n[0]);
	} else if (verdict == SMX_VERDICT_PASS && kind == SMX_REQUEST_EOW) {
		/* It reads no more: nor need we (`ssh host head < big`). */
		input_free(p->in);
		p->in = NULL;
	}
	if (ev->want_reply && has_channel(p))
		failed(p->ep.link, smx_conn_send_reply(&p->ep.link->conn, p->ep.chan, is_ok));
}

/* --- events of the channel --- */

static void lose_channel(struct passenger *p)
{
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
	char text[TEXT_SIZE];

	/* The streams are closed: the remote's CLOSE is all that is awaited. */
	if (!p->guest && ev->type != SMX_CONN_CLOSE)
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
		on_reply(p, ev->success);
		break;
	case SMX_CONN_CLOSE:
		if (ev->broken && p->guest) {
			(void)snprintf(text, sizeof(text),
				"ssh-mux: channel closed: the server broke the protocol: %s\r\n",
				smx_strerror(ev->broken));
			tell(p, text);
		}
		ep->chan->user = NULL;
		lose_channel(p);
		free_if_over(p);
		pool_kick(m);
		break;
	default:
		break; /* EOF: the streams end with the session */
	}
}

static void passenger_link_dead(struct endpoint *ep, int r, const char *why)
{
	struct passenger *p = SMX_CONTAINER(ep, struct passenger, ep);
	char text[TEXT_SIZE];

	(void)r;
	if (p->guest) {
		(void)snprintf(text, sizeof(text), "ssh-mux: connection to %.100s lost: %.240s\r\n",
			smx_route_target(p->guest->route)->host, why);
		tell(p, text);
	}
	lose_channel(p);
	free_if_over(p);
}

static const struct endpoint_ops passenger_ops = { passenger_event, passenger_link_dead };

/* --- the beginning --- */

/* There is nobody any more; the channel is to be closed. */
static void detach(struct passenger *p)
{
	p->guest = NULL;
	close_streams(p);
	smx_list_del(&p->source.node);
	smx_list_del(&p->grants.node);
	window_release(&p->window);
}

/* It will not be served: nothing of it has been shown, and ssh goes on by itself. */
static void refuse(struct passenger *p, const char *text)
{
	struct guest *g = p->guest;

	detach(p);
	guest_refused(g, text);
	if (p->ep.chan)
		close_channel(p); /* freed when the remote's CLOSE has come */
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
	p->is_open = 1;
	p->conn = up->link->id;
	p->ep = (struct endpoint){ &passenger_ops, up->link, chan, p->req.is_session };
	chan->user = &p->ep;
	open_req_release(&p->req);
	ids = ids_of(p);
	say_debug(&ids, "channel opened: %s", p->kind);
	if (p->ep.is_session)
		r = request_all(p);
	release_wish(&p->wish);
	if (r != 0) {
		say_warn(&ids, "a session can't be begun: %s", smx_strerror(r));
		refuse(p, smx_strerror(r));
		link_touch(up->link);
		return;
	}
	link_touch(up->link);
	guest_opened(p->guest, (uint32_t)p->id);
	if (p->guest)
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

static int put_env(struct smx_buf *out, const struct smx_mux4_request *req)
{
	int r = 0;

	for (size_t i = 0; i < req->n_env && r == 0; i++) {
		const struct smx_view *v = &req->env[i];
		const uint8_t *eq = memchr(v->p, '=', v->len);
		size_t n = (size_t)(eq - v->p);

		if ((r = smx_put_string(out, v->p, n)) == 0)
			r = smx_put_string(out, eq + 1, v->len - n - 1);
	}
	return r;
}

static int make_wish(struct passenger *p, const struct smx_mux4_request *req)
{
	struct wish *w = &p->wish;
	int fd = input_terminal(p->in), r;

	w->wants_tty = req->wants_tty;
	w->is_subsystem = req->is_subsystem;
	p->is_tty = req->wants_tty != 0;
	if (req->wants_tty && req->escape <= UINT8_MAX)
		p->escape = req->escape;
	if (fd >= 0)
		(void)smx_os_terminal_size(fd, &p->size);
	/* Now: the client is about to make its terminal raw. Without one there are none to tell. */
	if (fd < 0 || smx_os_terminal_modes(fd, &w->modes) != 0) {
		smx_buf_reset(&w->modes);
		if ((r = smx_put_u8(&w->modes, 0)) != 0)
			return r;
	}
	if ((r = smx_buf_put(&w->term, req->term.p, req->term.len)) != 0 ||
		(r = smx_buf_put(&w->command, req->command.p, req->command.len)) != 0)
		return r;
	return put_env(&w->env, req);
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
	if (smx_view_eq(kind, "session"))
		return "session";
	return smx_view_eq(kind, "direct-tcpip") ? "direct-tcpip"
						 : "direct-streamlocal@openssh.com";
}

struct passenger *passenger_new(struct guest *g, const struct passenger_streams *streams,
	struct smx_view kind, struct smx_view specific, const struct smx_mux4_request *req)
{
	struct passenger *p = smx_calloc(1, sizeof(*p));
	int r;

	if (!p) {
		smx_os_stdio_free(streams->in);
		smx_os_stdio_free(streams->out);
		smx_os_stdio_free(streams->err);
		return NULL;
	}
	p->mux = g->mux;
	p->guest = g;
	p->id = ++g->mux->next_id;
	p->born_ms = mux_now(g->mux);
	p->kind = kind_name(kind);
	p->escape = SMX_MUX4_NO_ESCAPE;
	p->source.drain = on_drain;
	p->source.is_paced = 1;
	p->grants.drain = on_grant;
	smx_list_init(&p->source.node);
	smx_list_init(&p->grants.node);
	(void)snprintf(p->route, sizeof(p->route), "%s", g->route->name);
	smx_buf_init(&p->wish.term, SMX_MUX4_MESSAGE_MAX);
	smx_buf_init(&p->wish.modes, 4096);
	smx_buf_init(&p->wish.command, SMX_MUX4_MESSAGE_MAX);
	smx_buf_init(&p->wish.env, 2 * SMX_MUX4_MESSAGE_MAX);
	window_init(&p->window, &g->share);
	r = take_streams(p, streams);
	if (r == 0 && req)
		r = make_wish(p, req);
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

void passenger_start(struct passenger *p)
{
	const struct smx_route *route = p->guest->route;

	pool_open(p->mux, p->guest->routes, route, route->n_hops, &p->req);
}

void passenger_leave(struct passenger *p)
{
	detach(p);
	if (!p->is_open) {
		pool_cancel(&p->req); /* frees, now or when the pending answer has come */
		return;
	}
	close_channel(p);
	free_if_over(p);
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
