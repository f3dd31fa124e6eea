/* SPDX-License-Identifier: MIT */
#include "ssh/conn.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define FIRST_SLOTS       8
#define OPEN_KIND_MAX     64
#define OPEN_SPECIFIC_MAX 8192
/* A text that comes from another peer must not be what the answer fails on. */
#define OPEN_FAIL_TEXT_MAX 1024

void smx_conn_init(struct smx_conn *c, struct smx_transport *t)
{
	*c = (struct smx_conn){ .t = t };
}

void smx_conn_release(struct smx_conn *c)
{
	for (uint32_t i = 0; i < c->n_slots; i++)
		smx_free(c->chans[i]);
	smx_free(c->chans);
	*c = (struct smx_conn){ 0 };
}

/* --- the channel table --- */

static int grow_table(struct smx_conn *c)
{
	uint32_t n = c->n_slots ? c->n_slots * 2 : FIRST_SLOTS;
	struct smx_chan **p;

	if (n > SMX_CHANNELS_MAX)
		return SMX_ELIMIT;
	if (!(p = smx_realloc(c->chans, n * sizeof(struct smx_chan *))))
		return SMX_ENOMEM;
	memset(p + c->n_slots, 0, (n - c->n_slots) * sizeof(struct smx_chan *));
	c->chans = p;
	c->n_slots = n;
	return 0;
}

static int add_chan(struct smx_conn *c, struct smx_chan **ret)
{
	struct smx_chan *chan;
	uint32_t id = c->first_free;
	int r;

	while (id < c->n_slots && c->chans[id])
		id++;
	if (id == c->n_slots && (r = grow_table(c)) != 0)
		return r;
	if (!(chan = smx_calloc(1, sizeof(*chan))))
		return SMX_ENOMEM;
	chan->id = id;
	c->chans[id] = chan;
	c->first_free = id + 1;
	c->n_chans++;
	*ret = chan;
	return 0;
}

static void remove_chan(struct smx_conn *c, struct smx_chan *chan)
{
	c->chans[chan->id] = NULL;
	c->n_chans--;
	if (chan->id < c->first_free)
		c->first_free = chan->id;
	smx_free(chan);
}

static struct smx_chan *find_chan(struct smx_conn *c, uint32_t id)
{
	return id < c->n_slots ? c->chans[id] : NULL;
}

/* --- receiving --- */

static int answer_global(struct smx_conn *c, struct smx_rd rd)
{
	static const uint8_t failure = SMX_MSG_REQUEST_FAILURE;
	struct smx_view part = { &failure, 1 }, kind;
	int want_reply, r;

	if ((r = smx_rd_string(&rd, &kind)) != 0 || (r = smx_rd_bool(&rd, &want_reply)) != 0)
		return r;
	return want_reply ? smx_transport_send(c->t, &part, 1) : 0;
}

static int on_global_reply(struct smx_conn *c, int success, struct smx_conn_event *ret)
{
	if (c->n_globals_due == 0)
		return SMX_EUNEXPECTED;
	c->n_globals_due--;
	ret->type = SMX_CONN_GLOBAL_REPLY;
	ret->success = success;
	return 0;
}

static int on_open(struct smx_conn *c, struct smx_rd rd, struct smx_conn_event *ret)
{
	uint32_t peer_id, window, packet;
	struct smx_chan *chan;
	struct smx_view kind;
	int r;

	if ((r = smx_rd_string_max(&rd, OPEN_KIND_MAX, &kind)) != 0 ||
		(r = smx_rd_u32(&rd, &peer_id)) != 0 || (r = smx_rd_u32(&rd, &window)) != 0 ||
		(r = smx_rd_u32(&rd, &packet)) != 0)
		return r;
	if (rd.left > OPEN_SPECIFIC_MAX)
		return SMX_ETOOBIG;
	if (packet == 0)
		return SMX_EPROTOCOL; /* nothing could ever be sent */
	r = add_chan(c, &chan);
	if (r == SMX_ELIMIT) {
		struct smx_chan refused = { .peer_id = peer_id };

		return smx_conn_open_fail(c, &refused, SMX_OPEN_RESOURCE_SHORTAGE,
			"too many channels on this connection");
	}
	if (r != 0)
		return r;
	chan->state = SMX_CHAN_ASKED;
	chan->peer_id = peer_id;
	chan->send_window = window;
	chan->send_packet = packet < SMX_CHANNEL_PACKET ? packet : SMX_CHANNEL_PACKET;
	ret->type = SMX_CONN_OPEN;
	ret->chan = chan;
	ret->kind = kind;
	ret->data = (struct smx_view){ rd.p, rd.left };
	return 0;
}

static int on_open_confirm(struct smx_chan *chan, struct smx_rd rd, struct smx_conn_event *ret)
{
	uint32_t window, packet;
	int r;

	if (chan->state != SMX_CHAN_OPENING)
		return SMX_EUNEXPECTED;
	if ((r = smx_rd_u32(&rd, &chan->peer_id)) != 0 || (r = smx_rd_u32(&rd, &window)) != 0 ||
		(r = smx_rd_u32(&rd, &packet)) != 0)
		return r;
	if (packet == 0)
		return SMX_EPROTOCOL;
	chan->send_window = window;
	chan->send_packet = packet < SMX_CHANNEL_PACKET ? packet : SMX_CHANNEL_PACKET;
	chan->state = SMX_CHAN_OPEN;
	ret->type = SMX_CONN_OPEN_CONFIRM;
	ret->data = (struct smx_view){ rd.p, rd.left };
	return 0;
}

static int on_open_fail(struct smx_chan *chan, struct smx_rd rd, struct smx_conn_event *ret)
{
	struct smx_view lang;
	int r;

	if (chan->state != SMX_CHAN_OPENING)
		return SMX_EUNEXPECTED;
	if ((r = smx_rd_u32(&rd, &ret->code)) != 0 || (r = smx_rd_string(&rd, &ret->data)) != 0)
		return r;
	/* Some old servers leave the language tag away. */
	if (rd.left && ((r = smx_rd_string(&rd, &lang)) != 0 || (r = smx_rd_end(&rd)) != 0))
		return r;
	ret->type = SMX_CONN_OPEN_FAIL;
	return 0;
}

static int on_data(
	struct smx_chan *chan, struct smx_rd rd, int is_extended, struct smx_conn_event *ret)
{
	int r;

	if (is_extended && (r = smx_rd_u32(&rd, &ret->code)) != 0)
		return r;
	if (is_extended && ret->code == 0)
		return SMX_EPROTOCOL; /* 0 means plain data in our events; nobody assigned it */
	if ((r = smx_rd_string(&rd, &ret->data)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	if (chan->eof_received)
		return SMX_EUNEXPECTED;
	if (ret->data.len > SMX_CHANNEL_PACKET || ret->data.len > chan->recv_window)
		return SMX_EPROTOCOL;
	chan->recv_window -= (uint32_t)ret->data.len;
	ret->type = SMX_CONN_DATA;
	return 0;
}

static int on_window(struct smx_chan *chan, struct smx_rd rd, struct smx_conn_event *ret)
{
	uint32_t n;
	int r;

	if ((r = smx_rd_u32(&rd, &n)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	if (n > UINT32_MAX - chan->send_window)
		return SMX_EPROTOCOL; /* RFC 4254 section 5.2: never above 2^32 - 1 */
	chan->send_window += n;
	ret->type = SMX_CONN_WINDOW;
	return 0;
}

static int on_request(struct smx_rd rd, struct smx_conn_event *ret)
{
	int r;

	if ((r = smx_rd_string(&rd, &ret->kind)) != 0 ||
		(r = smx_rd_bool(&rd, &ret->want_reply)) != 0)
		return r;
	ret->data = (struct smx_view){ rd.p, rd.left };
	ret->type = SMX_CONN_REQUEST;
	return 0;
}

static int on_reply(
	struct smx_chan *chan, struct smx_rd rd, int success, struct smx_conn_event *ret)
{
	int r;

	if ((r = smx_rd_end(&rd)) != 0)
		return r;
	if (chan->n_replies_due == 0)
		return SMX_EUNEXPECTED;
	chan->n_replies_due--;
	ret->type = SMX_CONN_REPLY;
	ret->success = success;
	return 0;
}

/* Messages 91 to 100: all begin with the number of the channel they are about. */
static int on_channel_message(
	struct smx_conn *c, uint8_t type, struct smx_rd rd, struct smx_conn_event *ret)
{
	struct smx_chan *chan;
	uint32_t id;
	int r;

	if ((r = smx_rd_u32(&rd, &id)) != 0)
		return r;
	if (!(chan = find_chan(c, id)))
		return SMX_EPROTOCOL;
	ret->chan = chan;
	if (type == SMX_MSG_CHANNEL_OPEN_CONFIRMATION)
		return on_open_confirm(chan, rd, ret);
	if (type == SMX_MSG_CHANNEL_OPEN_FAILURE)
		return on_open_fail(chan, rd, ret);
	/* Nothing may come before the answer to the open, or after a CLOSE. */
	if (chan->state != SMX_CHAN_OPEN || chan->close_received)
		return SMX_EUNEXPECTED;
	switch (type) {
	case SMX_MSG_CHANNEL_WINDOW_ADJUST:
		return on_window(chan, rd, ret);
	case SMX_MSG_CHANNEL_DATA:
	case SMX_MSG_CHANNEL_EXTENDED_DATA:
		return on_data(chan, rd, type == SMX_MSG_CHANNEL_EXTENDED_DATA, ret);
	case SMX_MSG_CHANNEL_EOF:
		if (chan->eof_received)
			return SMX_EUNEXPECTED;
		chan->eof_received = 1;
		ret->type = SMX_CONN_EOF;
		return smx_rd_end(&rd);
	case SMX_MSG_CHANNEL_CLOSE:
		chan->close_received = 1;
		ret->type = SMX_CONN_CLOSE;
		return smx_rd_end(&rd);
	case SMX_MSG_CHANNEL_REQUEST:
		return on_request(rd, ret);
	default:
		return on_reply(chan, rd, type == SMX_MSG_CHANNEL_SUCCESS, ret);
	}
}

int smx_conn_handle(struct smx_conn *c, struct smx_view payload, struct smx_conn_event *ret)
{
	struct smx_rd rd = smx_rd_from(payload.p + 1, payload.len - 1);
	uint8_t type = payload.p[0];

	*ret = (struct smx_conn_event){ .type = SMX_CONN_NONE, .payload = payload };
	switch (type) {
	case SMX_MSG_GLOBAL_REQUEST:
		return answer_global(c, rd);
	case SMX_MSG_REQUEST_SUCCESS:
	case SMX_MSG_REQUEST_FAILURE:
		return on_global_reply(c, type == SMX_MSG_REQUEST_SUCCESS, ret);
	case SMX_MSG_CHANNEL_OPEN:
		return on_open(c, rd, ret);
	default:
		if (type > SMX_MSG_CHANNEL_OPEN && type <= SMX_MSG_CHANNEL_FAILURE)
			return on_channel_message(c, type, rd, ret);
		return SMX_EUNEXPECTED;
	}
}

int smx_conn_done(struct smx_conn *c, const struct smx_conn_event *ev)
{
	if (ev->type != SMX_CONN_OPEN_FAIL && ev->type != SMX_CONN_CLOSE)
		return 0;
	if (ev->type == SMX_CONN_CLOSE)
		return ev->keep ? 0 : smx_conn_finish(c, ev->chan);
	remove_chan(c, ev->chan);
	return 0;
}

int smx_conn_finish(struct smx_conn *c, struct smx_chan *chan)
{
	/* RFC 4254 section 5.3: a CLOSE is answered with one, unless ours was first. */
	int r = smx_conn_send_close(c, chan);

	remove_chan(c, chan);
	return r;
}

/* --- sending --- */

int smx_conn_open(struct smx_conn *c, struct smx_view kind, struct smx_view specific,
	uint32_t recv_window, struct smx_chan **ret)
{
	uint8_t head[5] = { SMX_MSG_CHANNEL_OPEN }, numbers[12];
	struct smx_view parts[4] = { { head, sizeof(head) }, kind, { numbers, sizeof(numbers) },
		specific };
	struct smx_chan *chan;
	int r;

	if ((r = add_chan(c, &chan)) != 0)
		return r;
	chan->state = SMX_CHAN_OPENING;
	chan->recv_window = recv_window;
	smx_set_u32(head + 1, (uint32_t)kind.len);
	smx_set_u32(numbers, chan->id);
	smx_set_u32(numbers + 4, recv_window);
	smx_set_u32(numbers + 8, SMX_CHANNEL_PACKET);
	if ((r = smx_transport_send(c->t, parts, 4)) != 0) {
		remove_chan(c, chan);
		return r;
	}
	*ret = chan;
	return 0;
}

int smx_conn_open_confirm(
	struct smx_conn *c, struct smx_chan *chan, uint32_t recv_window, struct smx_view specific)
{
	uint8_t msg[17] = { SMX_MSG_CHANNEL_OPEN_CONFIRMATION };
	struct smx_view parts[2] = { { msg, sizeof(msg) }, specific };

	assert(chan->state == SMX_CHAN_ASKED);
	chan->state = SMX_CHAN_OPEN;
	chan->recv_window = recv_window;
	smx_set_u32(msg + 1, chan->peer_id);
	smx_set_u32(msg + 5, chan->id);
	smx_set_u32(msg + 9, recv_window);
	smx_set_u32(msg + 13, SMX_CHANNEL_PACKET);
	return smx_transport_send(c->t, parts, 2);
}

int smx_conn_open_fail(
	struct smx_conn *c, struct smx_chan *chan, enum smx_open_failure reason, const char *text)
{
	uint8_t head[13] = { SMX_MSG_CHANNEL_OPEN_FAILURE };
	static const uint8_t no_lang[4];
	size_t len = strlen(text);
	struct smx_view parts[3] = { { head, sizeof(head) },
		smx_view_of(text, len < OPEN_FAIL_TEXT_MAX ? len : OPEN_FAIL_TEXT_MAX),
		{ no_lang, sizeof(no_lang) } };

	smx_set_u32(head + 1, chan->peer_id);
	smx_set_u32(head + 5, reason);
	smx_set_u32(head + 9, (uint32_t)parts[1].len);
	/* chan may be one that never made it into the table. */
	if (find_chan(c, chan->id) == chan)
		remove_chan(c, chan);
	return smx_transport_send(c->t, parts, 3);
}

int smx_conn_send_data(
	struct smx_conn *c, struct smx_chan *chan, uint32_t code, struct smx_view data)
{
	uint8_t head[13];
	struct smx_view parts[2] = { { head, code ? 13 : 9 }, data };

	assert(data.len <= chan->send_window && data.len <= chan->send_packet);
	assert(chan->state == SMX_CHAN_OPEN && !chan->eof_sent && !chan->close_sent);
	head[0] = code ? SMX_MSG_CHANNEL_EXTENDED_DATA : SMX_MSG_CHANNEL_DATA;
	smx_set_u32(head + 1, chan->peer_id);
	if (code)
		smx_set_u32(head + 5, code);
	smx_set_u32(head + parts[0].len - 4, (uint32_t)data.len);
	chan->send_window -= (uint32_t)data.len;
	return smx_transport_send(c->t, parts, 2);
}

int smx_conn_send_message(struct smx_conn *c, struct smx_chan *chan, struct smx_view payload,
	uint32_t data_len, int want_reply)
{
	uint8_t head[5];
	struct smx_view parts[2] = { { head, 5 }, { payload.p + 5, payload.len - 5 } };
	int r;

	assert(data_len <= chan->send_window && data_len <= chan->send_packet);
	assert(chan->state == SMX_CHAN_OPEN && !chan->close_sent && (!data_len || !chan->eof_sent));
	assert(payload.len >= 5 && payload.p[0] != SMX_MSG_CHANNEL_CLOSE);
	if (payload.p[0] == SMX_MSG_CHANNEL_EOF)
		return smx_conn_send_eof(c, chan);
	if (want_reply && chan->n_replies_due >= SMX_REPLIES_MAX)
		return SMX_ELIMIT;
	head[0] = payload.p[0];
	smx_set_u32(head + 1, chan->peer_id);
	if ((r = smx_transport_send(c->t, parts, 2)) != 0)
		return r;
	chan->send_window -= data_len;
	chan->n_replies_due += want_reply ? 1 : 0;
	return 0;
}

int smx_conn_send_request(struct smx_conn *c, struct smx_chan *chan, const char *kind,
	int want_reply, struct smx_view specific)
{
	uint8_t head[9] = { SMX_MSG_CHANNEL_REQUEST }, flag = want_reply ? 1 : 0;
	struct smx_view parts[4] = { { head, sizeof(head) }, smx_view_of(kind, strlen(kind)),
		{ &flag, 1 }, specific };
	int r;

	assert(chan->state == SMX_CHAN_OPEN && !chan->close_sent);
	if (flag && chan->n_replies_due >= SMX_REPLIES_MAX)
		return SMX_ELIMIT;
	smx_set_u32(head + 1, chan->peer_id);
	smx_set_u32(head + 5, (uint32_t)parts[1].len);
	if ((r = smx_transport_send(c->t, parts, 4)) != 0)
		return r;
	chan->n_replies_due += flag;
	return 0;
}

/* Messages of nothing but a channel number. */
static int send_bare(struct smx_conn *c, struct smx_chan *chan, uint8_t type)
{
	uint8_t msg[5] = { type };
	struct smx_view part = { msg, sizeof(msg) };

	smx_set_u32(msg + 1, chan->peer_id);
	return smx_transport_send(c->t, &part, 1);
}

int smx_conn_send_reply(struct smx_conn *c, struct smx_chan *chan, int success)
{
	if (chan->state != SMX_CHAN_OPEN)
		return SMX_ESTATE;
	if (chan->close_sent)
		return 0;
	return send_bare(c, chan, success ? SMX_MSG_CHANNEL_SUCCESS : SMX_MSG_CHANNEL_FAILURE);
}

int smx_conn_send_eof(struct smx_conn *c, struct smx_chan *chan)
{
	if (chan->state != SMX_CHAN_OPEN)
		return SMX_ESTATE;
	if (chan->eof_sent || chan->close_sent)
		return 0;
	chan->eof_sent = 1;
	return send_bare(c, chan, SMX_MSG_CHANNEL_EOF);
}

int smx_conn_send_close(struct smx_conn *c, struct smx_chan *chan)
{
	/* Before the answer to an open the peer's number is not known: it would hit another
	 * channel. */
	if (chan->state != SMX_CHAN_OPEN)
		return SMX_ESTATE;
	if (chan->close_sent)
		return 0;
	chan->close_sent = 1;
	return send_bare(c, chan, SMX_MSG_CHANNEL_CLOSE);
}

int smx_conn_grant(struct smx_conn *c, struct smx_chan *chan, uint32_t n)
{
	uint8_t msg[9] = { SMX_MSG_CHANNEL_WINDOW_ADJUST };
	struct smx_view part = { msg, sizeof(msg) };

	if (chan->state != SMX_CHAN_OPEN)
		return SMX_ESTATE;
	if (n == 0 || chan->close_sent || chan->close_received || chan->eof_received)
		return 0;
	assert(n <= UINT32_MAX - chan->recv_window);
	chan->recv_window += n;
	smx_set_u32(msg + 1, chan->peer_id);
	smx_set_u32(msg + 5, n);
	return smx_transport_send(c->t, &part, 1);
}

int smx_conn_keepalive(struct smx_conn *c)
{
	static const char kind[] = "keepalive@openssh.com";
	uint8_t head[5] = { SMX_MSG_GLOBAL_REQUEST }, want_reply = 1;
	struct smx_view parts[3] = { { head, sizeof(head) }, smx_view_of(kind, sizeof(kind) - 1),
		{ &want_reply, 1 } };

	smx_set_u32(head + 1, sizeof(kind) - 1);
	c->n_globals_due++;
	return smx_transport_send(c->t, parts, 3);
}
