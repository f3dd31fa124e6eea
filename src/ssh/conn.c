/* SPDX-License-Identifier: MIT */
#include "ssh/conn.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define FIRST_SLOTS       8
#define OPEN_KIND_MAX     64
#define OPEN_SPECIFIC_MAX 8192
/* A channel's number is a slot of the table and how often the slot was used before, so that a late
 * message finds the channel it is about or none: a number comes back after 2^22 others (U2). */
#define SLOT_BITS 10
#define SLOT_MASK (SMX_CHANNELS_MAX - 1)
/* Like OpenSSH: a tenth of the window may come beyond it. */
#define WINDOW_GRACE 10
/* A text that comes from another peer must not be what the answer fails on. */
#define OPEN_FAIL_TEXT_MAX 1024

_Static_assert(1 << SLOT_BITS == SMX_CHANNELS_MAX, "a number has room for every slot");

void smx_conn_init(struct smx_conn *c, struct smx_transport *t)
{
	*c = (struct smx_conn){ .t = t };
}

void smx_conn_release(struct smx_conn *c)
{
	for (uint32_t i = 0; i < c->n_slots; i++)
		smx_free(c->chans[i]);
	smx_free(c->chans);
	smx_free(c->ids);
	smx_free(c->answers);
	*c = (struct smx_conn){ 0 };
}

/* --- the channel table --- */

static int grow_table(struct smx_conn *c)
{
	uint32_t n = c->n_slots ? c->n_slots * 2 : FIRST_SLOTS;
	struct smx_chan **p;
	uint32_t *ids;

	if (n > SMX_CHANNELS_MAX)
		return SMX_ELIMIT;
	if (!(ids = smx_realloc(c->ids, n * sizeof(*ids))))
		return SMX_ENOMEM;
	c->ids = ids;
	if (!(p = smx_realloc(c->chans, n * sizeof(struct smx_chan *))))
		return SMX_ENOMEM;
	memset(p + c->n_slots, 0, (n - c->n_slots) * sizeof(struct smx_chan *));
	for (uint32_t i = c->n_slots; i < n; i++)
		ids[i] = i;
	c->chans = p;
	c->n_slots = n;
	return 0;
}

static int add_chan(struct smx_conn *c, struct smx_chan **ret)
{
	struct smx_chan *chan;
	uint32_t slot = c->first_free;
	int r;

	while (slot < c->n_slots && c->chans[slot])
		slot++;
	if (slot == c->n_slots && (r = grow_table(c)) != 0)
		return r;
	if (!(chan = smx_calloc(1, sizeof(*chan))))
		return SMX_ENOMEM;
	chan->id = c->ids[slot];
	c->chans[slot] = chan;
	c->first_free = slot + 1;
	c->n_chans++;
	*ret = chan;
	return 0;
}

static void remove_chan(struct smx_conn *c, struct smx_chan *chan)
{
	uint32_t slot = chan->id & SLOT_MASK;

	c->chans[slot] = NULL;
	c->ids[slot] += SMX_CHANNELS_MAX;
	c->n_chans--;
	if (slot < c->first_free)
		c->first_free = slot;
	smx_free(chan);
}

static struct smx_chan *find_chan(struct smx_conn *c, uint32_t id)
{
	uint32_t slot = id & SLOT_MASK;

	return slot < c->n_slots && c->chans[slot] && c->chans[slot]->id == id ? c->chans[slot]
									       : NULL;
}

/* Messages of nothing but a channel number. */
static int send_bare(struct smx_conn *c, const struct smx_chan *chan, uint8_t type)
{
	uint8_t msg[5] = { type };
	struct smx_view part = { msg, sizeof(msg) };

	smx_set_u32(msg + 1, chan->peer_id);
	return smx_transport_send(c->t, &part, 1);
}

/* --- receiving ---
 *
 * U2: many channels share the connection, so what a peer does wrong costs as little as can be. A
 * message that is late, superfluous or about nothing is ignored; one that can't be made sense of is
 * the end of the channel it names. Only one that names none ends the connection.
 */

static int ignore(struct smx_conn_event *ret)
{
	ret->type = SMX_CONN_NONE;
	ret->chan = NULL;
	ret->is_slip = 1;
	return 0;
}

/* What a global request of the peer is answered with, and whether that is known already. */
struct smx_global_answer {
	uint8_t is_known, success, has_port;
	uint32_t port;
};

static int send_answer(struct smx_conn *c, const struct smx_global_answer *a)
{
	uint8_t msg[5] = { a->success ? SMX_MSG_REQUEST_SUCCESS : SMX_MSG_REQUEST_FAILURE };
	struct smx_view part = { msg, a->success && a->has_port ? 5 : 1 };

	smx_set_u32(msg + 1, a->port);
	return smx_transport_send(c->t, &part, 1);
}

static int on_global_request(struct smx_conn *c, struct smx_rd rd, struct smx_conn_event *ret)
{
	static const struct smx_global_answer failure = { .is_known = 1 };

	if (smx_rd_string(&rd, &ret->kind) != 0 || smx_rd_bool(&rd, &ret->want_reply) != 0)
		return ignore(ret);
	if (!c->takes_globals)
		return ret->want_reply ? send_answer(c, &failure) : 0;
	if (ret->want_reply) {
		if (c->n_asked - c->n_told == SMX_GLOBALS_MAX)
			return SMX_ELIMIT;
		if (!c->answers && !(c->answers = smx_calloc(SMX_GLOBALS_MAX, sizeof(*c->answers))))
			return SMX_ENOMEM;
		ret->number = c->n_asked++;
		c->answers[ret->number % SMX_GLOBALS_MAX].is_known = 0;
	}
	ret->type = SMX_CONN_GLOBAL_REQUEST;
	ret->data = (struct smx_view){ rd.p, rd.left };
	return 0;
}

static int on_global_reply(
	struct smx_conn *c, int success, struct smx_rd rd, struct smx_conn_event *ret)
{
	if (c->n_globals_due == 0)
		return ignore(ret);
	c->n_globals_due--;
	ret->number = c->n_globals_answered++;
	ret->type = SMX_CONN_GLOBAL_REPLY;
	ret->success = success;
	ret->data = (struct smx_view){ rd.p, rd.left };
	return 0;
}

static int on_open(struct smx_conn *c, struct smx_rd rd, struct smx_conn_event *ret)
{
	struct smx_chan *chan, refused = { .id = UINT32_MAX };
	uint32_t window, packet;
	struct smx_view kind;
	int r;

	/* Without the peer's number there is no way to answer. */
	if (smx_rd_string(&rd, &kind) != 0 || smx_rd_u32(&rd, &refused.peer_id) != 0)
		return ignore(ret);
	/* With a packet size of 0 nothing could ever be sent. */
	if (smx_rd_u32(&rd, &window) != 0 || smx_rd_u32(&rd, &packet) != 0 || packet == 0 ||
		kind.len > OPEN_KIND_MAX || rd.left > OPEN_SPECIFIC_MAX)
		return smx_conn_open_fail(
			c, &refused, SMX_OPEN_CONNECT_FAILED, "malformed request for a channel");
	r = add_chan(c, &chan);
	if (r == SMX_ELIMIT)
		return smx_conn_open_fail(c, &refused, SMX_OPEN_RESOURCE_SHORTAGE,
			"too many channels on this connection");
	if (r != 0)
		return r;
	chan->state = SMX_CHAN_ASKED;
	chan->peer_id = refused.peer_id;
	chan->send_window = window;
	chan->send_packet = packet < SMX_CHANNEL_PACKET ? packet : SMX_CHANNEL_PACKET;
	ret->type = SMX_CONN_OPEN;
	ret->chan = chan;
	ret->kind = kind;
	ret->data = (struct smx_view){ rd.p, rd.left };
	return 0;
}

/* The opening came to nothing, though the peer did not say so in its words. */
static int open_broken(int r, struct smx_conn_event *ret)
{
	ret->type = SMX_CONN_OPEN_FAIL;
	ret->broken = r;
	ret->code = SMX_OPEN_CONNECT_FAILED;
	return 0;
}

static int on_open_confirm(
	struct smx_conn *c, struct smx_chan *chan, struct smx_rd rd, struct smx_conn_event *ret)
{
	uint32_t window, packet;
	int r;

	if ((r = smx_rd_u32(&rd, &chan->peer_id)) != 0)
		return open_broken(r, ret);
	if ((r = smx_rd_u32(&rd, &window)) != 0 || (r = smx_rd_u32(&rd, &packet)) != 0 ||
		packet == 0) {
		(void)open_broken(r ? r : SMX_EPROTOCOL, ret);
		return send_bare(c, chan, SMX_MSG_CHANNEL_CLOSE);
	}
	chan->send_window = window;
	chan->send_packet = packet < SMX_CHANNEL_PACKET ? packet : SMX_CHANNEL_PACKET;
	chan->state = SMX_CHAN_OPEN;
	ret->type = SMX_CONN_OPEN_CONFIRM;
	ret->data = (struct smx_view){ rd.p, rd.left };
	return 0;
}

static int on_open_fail(struct smx_rd rd, struct smx_conn_event *ret)
{
	ret->type = SMX_CONN_OPEN_FAIL;
	ret->code = SMX_OPEN_CONNECT_FAILED;
	/* Whatever its words are, it says no. Some old servers leave the language tag away. */
	if (smx_rd_u32(&rd, &ret->code) != 0 || smx_rd_string(&rd, &ret->data) != 0)
		ret->data = (struct smx_view){ NULL, 0 };
	return 0;
}

/* Before the answer to our open a channel is nothing yet. */
static int on_message_while_opening(struct smx_conn *c, struct smx_chan *chan, uint8_t type,
	struct smx_rd rd, struct smx_conn_event *ret)
{
	switch (type) {
	case SMX_MSG_CHANNEL_OPEN_CONFIRMATION:
		return on_open_confirm(c, chan, rd, ret);
	case SMX_MSG_CHANNEL_OPEN_FAILURE:
		return on_open_fail(rd, ret);
	case SMX_MSG_CHANNEL_CLOSE:
		return open_broken(SMX_EUNEXPECTED, ret);
	default:
		return ignore(ret);
	}
}

static int on_data(
	struct smx_chan *chan, struct smx_rd rd, int is_extended, struct smx_conn_event *ret)
{
	uint32_t n;
	int r;

	if ((is_extended && (r = smx_rd_u32(&rd, &ret->code)) != 0) ||
		(r = smx_rd_string(&rd, &ret->data)) != 0)
		return r;
	/* 0 means plain data in our events; nobody assigned it. */
	if (chan->eof_received || (is_extended && ret->code == 0))
		return ignore(ret);
	n = (uint32_t)ret->data.len;
	if (n > chan->recv_window) {
		chan->recv_excess += n - chan->recv_window;
		chan->recv_window = 0;
		if (chan->recv_excess > chan->recv_peak / WINDOW_GRACE)
			return SMX_EPROTOCOL;
	} else if (n > 0) {
		chan->recv_window -= n;
		chan->recv_excess = 0;
	}
	ret->payload.len -= rd.left; /* what is behind the data goes no further */
	ret->type = SMX_CONN_DATA;
	return 0;
}

static int on_window(struct smx_chan *chan, struct smx_rd rd, struct smx_conn_event *ret)
{
	uint32_t n;
	int r;

	if ((r = smx_rd_u32(&rd, &n)) != 0)
		return r;
	/* RFC 4254 section 5.2: never above 2^32 - 1. What would be above is not used. */
	if (n > UINT32_MAX - chan->send_window)
		n = UINT32_MAX - chan->send_window;
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

static int on_reply(struct smx_chan *chan, int success, struct smx_conn_event *ret)
{
	if (chan->n_replies_due == 0)
		return ignore(ret);
	chan->n_replies_due--;
	ret->type = SMX_CONN_REPLY;
	ret->success = success;
	return 0;
}

/* On an open channel that its peer has not closed. An error is the end of this channel. */
static int on_message_while_open(
	struct smx_chan *chan, uint8_t type, struct smx_rd rd, struct smx_conn_event *ret)
{
	switch (type) {
	case SMX_MSG_CHANNEL_OPEN_CONFIRMATION:
		return ignore(ret);
	case SMX_MSG_CHANNEL_OPEN_FAILURE:
		return SMX_EUNEXPECTED; /* it is open, and it is not: nothing will come of it */
	case SMX_MSG_CHANNEL_WINDOW_ADJUST:
		return on_window(chan, rd, ret);
	case SMX_MSG_CHANNEL_DATA:
	case SMX_MSG_CHANNEL_EXTENDED_DATA:
		return on_data(chan, rd, type == SMX_MSG_CHANNEL_EXTENDED_DATA, ret);
	case SMX_MSG_CHANNEL_EOF:
		if (chan->eof_received)
			return ignore(ret);
		chan->eof_received = 1;
		ret->type = SMX_CONN_EOF;
		return 0;
	case SMX_MSG_CHANNEL_CLOSE:
		chan->close_received = 1;
		ret->type = SMX_CONN_CLOSE;
		return 0;
	case SMX_MSG_CHANNEL_REQUEST:
		return on_request(rd, ret);
	default:
		return on_reply(chan, type == SMX_MSG_CHANNEL_SUCCESS, ret);
	}
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
	chan = find_chan(c, id);
	/* Gone, or never there; asked for by the peer, who can't know our number yet; closed by it.
	 */
	if (!chan || chan->state == SMX_CHAN_ASKED || chan->close_received)
		return ignore(ret);
	ret->chan = chan;
	if (chan->state == SMX_CHAN_OPENING)
		return on_message_while_opening(c, chan, type, rd, ret);
	if ((r = on_message_while_open(chan, type, rd, ret)) == 0)
		return 0;
	/* As if the peer had closed it; the number is not used again, so what still comes is lost.
	 */
	chan->close_received = 1;
	*ret = (struct smx_conn_event){ .type = SMX_CONN_CLOSE, .chan = chan, .broken = r };
	return smx_conn_send_close(c, chan);
}

int smx_conn_handle(struct smx_conn *c, struct smx_view payload, struct smx_conn_event *ret)
{
	struct smx_rd rd = smx_rd_from(payload.p + 1, payload.len - 1);
	uint8_t type = payload.p[0];

	*ret = (struct smx_conn_event){ .type = SMX_CONN_NONE, .payload = payload };
	switch (type) {
	case SMX_MSG_GLOBAL_REQUEST:
		return on_global_request(c, rd, ret);
	case SMX_MSG_REQUEST_SUCCESS:
	case SMX_MSG_REQUEST_FAILURE:
		return on_global_reply(c, type == SMX_MSG_REQUEST_SUCCESS, rd, ret);
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
	chan->recv_window = chan->recv_peak = recv_window;
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

void smx_conn_forget(struct smx_conn *c, struct smx_chan *chan)
{
	assert(chan->state == SMX_CHAN_OPENING);
	remove_chan(c, chan);
}

int smx_conn_open_confirm(
	struct smx_conn *c, struct smx_chan *chan, uint32_t recv_window, struct smx_view specific)
{
	uint8_t msg[17] = { SMX_MSG_CHANNEL_OPEN_CONFIRMATION };
	struct smx_view parts[2] = { { msg, sizeof(msg) }, specific };

	assert(chan->state == SMX_CHAN_ASKED);
	chan->state = SMX_CHAN_OPEN;
	chan->recv_window = chan->recv_peak = recv_window;
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
	if (chan->recv_peak < chan->recv_window)
		chan->recv_peak = chan->recv_window;
	smx_set_u32(msg + 1, chan->peer_id);
	smx_set_u32(msg + 5, n);
	return smx_transport_send(c->t, &part, 1);
}

int smx_conn_global_request(
	struct smx_conn *c, const char *kind, struct smx_view specific, uint64_t *ret_number)
{
	uint8_t head[5] = { SMX_MSG_GLOBAL_REQUEST }, want_reply = 1;
	struct smx_view parts[4] = { { head, sizeof(head) }, smx_view_of(kind, strlen(kind)),
		{ &want_reply, 1 }, specific };

	smx_set_u32(head + 1, (uint32_t)parts[1].len);
	*ret_number = c->n_globals_answered + c->n_globals_due;
	c->n_globals_due++;
	return smx_transport_send(c->t, parts, 4);
}

int smx_conn_keepalive(struct smx_conn *c)
{
	struct smx_view none = { NULL, 0 };
	uint64_t number;

	return smx_conn_global_request(c, "keepalive@openssh.com", none, &number);
}

int smx_conn_answer_global(
	struct smx_conn *c, uint64_t number, int success, int has_port, uint32_t port)
{
	struct smx_global_answer *first;
	int r = 0;

	assert(number >= c->n_told && number < c->n_asked);
	c->answers[number % SMX_GLOBALS_MAX] =
		(struct smx_global_answer){ 1, success != 0, has_port != 0, port };
	while (r == 0 && c->n_told < c->n_asked) {
		first = &c->answers[c->n_told % SMX_GLOBALS_MAX];
		if (!first->is_known)
			break;
		c->n_told++;
		r = send_answer(c, first);
	}
	return r;
}
