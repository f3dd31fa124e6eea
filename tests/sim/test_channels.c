/* SPDX-License-Identifier: MIT */
/*
 * Channels between two of ours (RFC 4254; L9, L10, N6 no window overflows, P6 a client that leaves
 * with an open pending): data both ways, windows, half close, every order of two CLOSEs, answers,
 * numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "util_pair.h"

static const struct smx_view nothing = { NULL, 0 };

/* Logged in, with n sessions open that the client asked for. */
static void start(struct pair *p, int n)
{
	assert_int_equal(pair_init(p, NULL, NULL), 0);
	pair_login(p);
	while (n--)
		(void)pair_open(&p->c);
	pair_run(p);
	assert_int_equal(p->c.r | p->s.r, 0);
	for (size_t i = 0; i < p->c.n_flows; i++)
		assert_true(p->c.flows[i].is_open && p->s.flows[i].is_open);
}

static void assert_same(const struct flow *from, const struct flow *to)
{
	assert_int_equal(from->sent, from->to_send);
	assert_int_equal(to->received, from->sent);
	assert_true(to->received_sum == from->sent_sum);
}

static void data_both_ways(void **state)
{
	static const size_t chunks[] = { 1, 100, SIZE_MAX, 0 };
	static const uint32_t windows[] = { 1, 1000, 65536, 2 << 20 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(chunks); i++) {
		struct pair p;

		assert_int_equal(pair_init(&p, NULL, NULL), 0);
		p.c.window = windows[i];
		p.s.window = windows[SMX_ARRAY_LEN(windows) - 1 - i];
		pair_login(&p);
		for (int k = 0; k < 4; k++)
			(void)pair_open(k % 2 ? &p.s : &p.c);
		pair_run(&p);
		p.chunk = chunks[i];
		for (size_t k = 0; k < 4; k++) {
			p.c.flows[k].to_send = windows[3 - i] == 1 ? 300 : 60000 + k;
			p.s.flows[k].to_send = windows[i] == 1 ? 300 : 90000 - k;
			p.s.flows[k].code = k == 3 ? SMX_EXTENDED_DATA_STDERR : 0;
			p.c.flows[k].eof_when_sent = 1;
		}
		pair_run(&p);
		assert_int_equal(p.c.r | p.s.r, 0);
		for (size_t k = 0; k < 4; k++) {
			/* Half closed: the other direction is not. */
			struct flow *s = flow_of(&p.s, p.s.conn.chans[p.c.flows[k].chan->peer_id]);

			assert_same(&p.c.flows[k], s);
			assert_same(s, &p.c.flows[k]);
			assert_int_equal(
				p.c.flows[k].ext_received, s->code ? p.c.flows[k].received : 0);
			assert_true(s->got_eof);
			assert_false(p.c.flows[k].got_eof);
		}
		pair_release(&p);
	}
}

/* Without grants exactly one window comes, and the sender stops. */
static void the_window_is_kept(void **state)
{
	struct pair p;

	(void)state;
	start(&p, 1);
	p.s.flows[0].no_grant = 1;
	p.c.flows[0].to_send = 1000000;
	pair_run(&p);
	assert_int_equal(p.s.flows[0].received, p.s.window);
	assert_int_equal(p.c.flows[0].chan->send_window, 0);
	assert_int_equal(smx_conn_grant(&p.s.conn, p.s.flows[0].chan, 17), 0);
	pair_run(&p);
	assert_int_equal(p.s.flows[0].received, p.s.window + 17);
	assert_int_equal(p.c.r | p.s.r, 0);
	pair_release(&p);
}

/* --- messages no sane peer sends --- */

static size_t channel_message(uint8_t *out, uint8_t type, uint32_t id)
{
	out[0] = type;
	smx_set_u32(out + 1, id);
	return 5;
}

static void inject_data(struct side *s, uint32_t id, uint32_t n)
{
	static uint8_t msg[40000];
	size_t at = channel_message(msg, SMX_MSG_CHANNEL_DATA, id);

	smx_set_u32(msg + at, n);
	assert_in_range(at + 4 + n, 0, sizeof(msg));
	side_inject(s, msg, at + 4 + n);
}

/* Flow 1 of both, after what befell flow 0. */
static void assert_sibling_lives(struct pair *p)
{
	struct flow *c = &p->c.flows[1];
	struct flow *s = flow_of(&p->s, p->s.conn.chans[c->chan->peer_id]);

	s->no_grant = 0;
	c->to_send += 5;
	p->c.window = p->s.window = 1000;
	if (!c->chan->send_window)
		assert_int_equal(smx_conn_grant(&p->s.conn, s->chan, 10), 0);
	pair_run(p);
	assert_int_equal(p->c.r | p->s.r, 0);
	assert_int_equal(s->received, c->to_send);
}

/* U2: a tenth more is no harm; the rest ends the channel, and the one beside it goes on. */
static void more_data_than_granted(void **state)
{
	static const uint32_t windows[] = { 0, 10, 32768 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(windows); i++) {
		struct pair p;

		assert_int_equal(pair_init(&p, NULL, NULL), 0);
		pair_login(&p);
		p.s.window = windows[i];
		(void)pair_open(&p.c);
		(void)pair_open(&p.c);
		pair_run(&p);
		p.s.flows[0].no_grant = 1;
		inject_data(&p.c, p.s.flows[0].chan->id, windows[i]);
		inject_data(&p.c, p.s.flows[0].chan->id, 0); /* nothing always fits */
		inject_data(&p.c, p.s.flows[0].chan->id, windows[i] / 10);
		pair_run(&p);
		assert_false(p.s.flows[0].got_close);
		inject_data(&p.c, p.s.flows[0].chan->id, 1);
		pair_run(&p);
		assert_true(p.s.flows[0].got_close && p.c.flows[0].got_close);
		assert_int_equal(p.s.flows[0].received, windows[i] + windows[i] / 10);
		assert_sibling_lives(&p);
		pair_release(&p);
	}
}

/* U2: what came is there, whatever the size; who passes it on cuts it to pieces. */
static void more_data_than_a_packet_may_hold(void **state)
{
	struct pair p;

	(void)state;
	start(&p, 2);
	inject_data(&p.c, p.s.flows[0].chan->id, SMX_CHANNEL_PACKET + 1);
	pair_run(&p);
	assert_int_equal(p.s.flows[0].received, SMX_CHANNEL_PACKET + 1);
	assert_sibling_lives(&p);
	pair_release(&p);
}

static void a_window_can_not_overflow(void **state)
{
	uint8_t msg[9];
	struct pair p;

	(void)state;
	start(&p, 1);
	(void)channel_message(msg, SMX_MSG_CHANNEL_WINDOW_ADJUST, p.s.flows[0].chan->id);
	smx_set_u32(msg + 5, UINT32_MAX - p.s.flows[0].chan->send_window);
	side_inject(&p.c, msg, sizeof(msg));
	pair_run(&p);
	assert_int_equal(p.s.r, 0);
	assert_int_equal(p.s.flows[0].chan->send_window, UINT32_MAX);
	smx_set_u32(msg + 5, 0);
	side_inject(&p.c, msg, sizeof(msg));
	pair_run(&p);
	assert_int_equal(p.s.r, 0);
	smx_set_u32(msg + 5, 1);
	side_inject(&p.c, msg, sizeof(msg));
	pair_run(&p);
	assert_int_equal(p.s.r, 0);
	assert_int_equal(p.s.flows[0].chan->send_window, UINT32_MAX);
	pair_release(&p);
}

static void nothing_after_eof_and_close(void **state)
{
	static const uint8_t after_eof[] = { SMX_MSG_CHANNEL_DATA, SMX_MSG_CHANNEL_EXTENDED_DATA,
		SMX_MSG_CHANNEL_EOF };
	uint8_t msg[32] = { 0 };
	struct pair p;
	size_t n;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(after_eof); i++) {
		start(&p, 2);
		assert_int_equal(smx_conn_send_eof(&p.c.conn, p.c.flows[0].chan), 0);
		assert_int_equal(smx_conn_send_eof(&p.c.conn, p.c.flows[0].chan), 0); /* once */
		pair_run(&p);
		assert_true(p.s.flows[0].got_eof);
		/* Requests go on: an exit status comes behind EOF. */
		assert_int_equal(smx_conn_send_request(&p.c.conn, p.c.flows[0].chan, "exit-status",
					 0, smx_view_of("\0\0\0\7", 4)),
			0);
		pair_run(&p);
		assert_string_equal(p.s.flows[0].request, "exit-status");
		assert_int_equal(p.s.r, 0);
		n = channel_message(msg, after_eof[i], p.s.flows[0].chan->id);
		if (after_eof[i] == SMX_MSG_CHANNEL_EXTENDED_DATA)
			smx_set_u32(msg + 5, 1);
		n += i == 0 ? 4 : i == 1 ? 8 : 0;
		side_inject(&p.c, msg, n);
		pair_run(&p);
		assert_int_equal(p.s.flows[0].received, 0);
		assert_sibling_lives(&p);
		pair_release(&p);
	}
	/* A channel that both have closed is nobody's, nor is it the one that has its place. */
	for (uint8_t type = SMX_MSG_CHANNEL_OPEN_CONFIRMATION; type <= SMX_MSG_CHANNEL_FAILURE;
		type++) {
		struct smx_chan before;

		start(&p, 2);
		assert_int_equal(smx_conn_send_close(&p.c.conn, p.c.flows[0].chan), 0);
		n = channel_message(msg, type, p.s.flows[0].chan->id);
		side_inject(&p.c, msg, sizeof(msg));
		pair_run(&p);
		assert_true(p.s.flows[0].got_close);
		(void)pair_open(&p.c);
		pair_run(&p);
		assert_ptr_equal(p.s.conn.chans[0], p.s.flows[2].chan);
		before = *p.s.flows[2].chan;
		side_inject(&p.c, msg, sizeof(msg));
		pair_run(&p);
		assert_memory_equal(&before, p.s.flows[2].chan, sizeof(before));
		assert_sibling_lives(&p);
		pair_release(&p);
	}
}

static void numbers_nobody_has(void **state)
{
	static const uint32_t ids[] = { 2, 3, 7, 8, 1023, 1024, 0x7fffffff, 0xffffffff };
	uint8_t msg[32] = { 0 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(ids); i++) {
		struct pair p;

		start(&p, 2);
		for (uint8_t type = SMX_MSG_CHANNEL_OPEN_CONFIRMATION;
			type <= SMX_MSG_CHANNEL_FAILURE; type++) {
			(void)channel_message(msg, type, ids[i]);
			side_inject(&p.c, msg, sizeof(msg));
		}
		pair_run(&p);
		assert_sibling_lives(&p);
		pair_release(&p);
	}
}

static void answers_to_nothing(void **state)
{
	static const uint8_t types[] = { SMX_MSG_CHANNEL_SUCCESS, SMX_MSG_CHANNEL_FAILURE,
		SMX_MSG_REQUEST_SUCCESS, SMX_MSG_REQUEST_FAILURE, SMX_MSG_CHANNEL_OPEN_CONFIRMATION,
		SMX_MSG_CHANNEL_OPEN_FAILURE };
	uint8_t msg[32];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(types); i++) {
		struct pair p;
		size_t n;

		start(&p, 2);
		memset(msg, 0, sizeof(msg));
		n = channel_message(msg, types[i], p.s.flows[0].chan->id);
		side_inject(&p.c, msg, i >= 4 ? 17 : i >= 2 ? 1 : n);
		pair_run(&p);
		/* Only a channel that is said to be refused ends. */
		assert_int_equal(p.s.flows[0].got_close, types[i] == SMX_MSG_CHANNEL_OPEN_FAILURE);
		assert_int_equal(p.s.n_pongs, 0);
		assert_sibling_lives(&p);
		pair_release(&p);
	}
}

/* --- closing --- */

/* Our CLOSE is out; what the peer sent before it saw it must still be taken. */
static void data_behind_our_close_is_taken(void **state)
{
	struct pair p;
	struct flow *c, *s;

	(void)state;
	start(&p, 2);
	c = &p.c.flows[0];
	s = &p.s.flows[0];
	assert_int_equal(smx_conn_send_close(&p.c.conn, c->chan), 0);
	/* The server writes its data, EOF and a request before the CLOSE arrives there. */
	inject_data(&p.s, c->chan->id, 20000);
	assert_int_equal(smx_conn_send_request(
				 &p.s.conn, s->chan, "exit-status", 0, smx_view_of("\0\0\0\7", 4)),
		0);
	assert_int_equal(smx_conn_send_request(&p.s.conn, s->chan, "x", 1, nothing), 0);
	assert_int_equal(smx_conn_send_eof(&p.s.conn, s->chan), 0);
	pair_run(&p);
	assert_int_equal(p.c.r | p.s.r, 0);
	assert_int_equal(c->received, 20000);
	assert_string_equal(c->request, "x");
	assert_true(c->got_eof && c->got_close && s->got_close);
	/* Both numbers are free again, the sibling is untouched. */
	assert_int_equal(p.c.conn.n_chans, 1);
	assert_int_equal(p.s.conn.n_chans, 1);
	assert_false(p.c.flows[1].got_close);
	pair_release(&p);
}

static void both_close_at_once(void **state)
{
	struct pair p;

	(void)state;
	start(&p, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(smx_conn_send_close(&p.c.conn, p.c.flows[i].chan), 0);
		assert_int_equal(smx_conn_send_close(&p.c.conn, p.c.flows[i].chan), 0);
		if (i != 1)
			assert_int_equal(smx_conn_send_close(&p.s.conn, p.s.flows[i].chan), 0);
	}
	pair_run(&p);
	assert_int_equal(p.c.r | p.s.r, 0);
	for (int i = 0; i < 3; i++)
		assert_true(p.c.flows[i].got_close && p.s.flows[i].got_close);
	assert_int_equal(p.c.conn.n_chans + p.s.conn.n_chans, 0);
	pair_release(&p);
}

/* After our CLOSE we send nothing more on the channel, whatever is asked of us. */
static void silent_after_our_close(void **state)
{
	struct pair p;
	struct flow *c;
	uint64_t before;

	(void)state;
	start(&p, 1);
	c = &p.c.flows[0];
	assert_int_equal(smx_conn_send_close(&p.c.conn, c->chan), 0);
	before = p.c.t->pk.tx_packets;
	assert_int_equal(smx_conn_send_reply(&p.c.conn, c->chan, 1), 0);
	assert_int_equal(smx_conn_send_eof(&p.c.conn, c->chan), 0);
	assert_int_equal(smx_conn_grant(&p.c.conn, c->chan, 5), 0);
	assert_int_equal(p.c.t->pk.tx_packets, before);
	pair_run(&p);
	assert_int_equal(p.c.r | p.s.r, 0);
	pair_release(&p);
}

static void close_while_opening_waits(void **state)
{
	struct pair p;
	struct flow *f;
	uint64_t before;

	(void)state;
	start(&p, 2);
	f = pair_open(&p.c);
	/* The peer's number is unknown: a CLOSE now would name channel 0, somebody else's. */
	before = p.c.t->pk.tx_packets;
	assert_int_equal(smx_conn_send_close(&p.c.conn, f->chan), SMX_ESTATE);
	assert_int_equal(smx_conn_send_eof(&p.c.conn, f->chan), SMX_ESTATE);
	assert_int_equal(smx_conn_send_reply(&p.c.conn, f->chan, 0), SMX_ESTATE);
	assert_int_equal(smx_conn_grant(&p.c.conn, f->chan, 1), SMX_ESTATE);
	assert_int_equal(p.c.t->pk.tx_packets, before);
	pair_run(&p);
	assert_true(f->is_open);
	assert_int_equal(smx_conn_send_close(&p.c.conn, f->chan), 0);
	pair_run(&p);
	assert_true(f->got_close);
	assert_int_equal(p.c.r | p.s.r, 0);
	assert_int_equal(p.c.conn.n_chans, 2);
	assert_int_equal(p.s.conn.n_chans, 2);
	pair_release(&p);
}

/* A server that talks on a channel before it has answered the open. */
static void nothing_before_the_answer(void **state)
{
	static const uint8_t types[] = { SMX_MSG_CHANNEL_WINDOW_ADJUST, SMX_MSG_CHANNEL_DATA,
		SMX_MSG_CHANNEL_EOF, SMX_MSG_CHANNEL_CLOSE, SMX_MSG_CHANNEL_REQUEST,
		SMX_MSG_CHANNEL_SUCCESS };
	uint8_t msg[32] = { 0 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(types); i++) {
		struct pair p;
		struct flow *f;

		start(&p, 2);
		f = pair_open(&p.c);
		(void)channel_message(msg, types[i], f->chan->id);
		side_inject(&p.s, msg, sizeof(msg));
		pair_run(&p);
		/* Said to be closed, it can't be opened any more; else the answer comes in its
		 * turn. */
		assert_int_equal(f->was_refused, types[i] == SMX_MSG_CHANNEL_CLOSE);
		assert_int_equal(f->is_open, types[i] != SMX_MSG_CHANNEL_CLOSE);
		assert_sibling_lives(&p);
		pair_release(&p);
	}
}

/* --- opening --- */

static void a_refused_open(void **state)
{
	struct pair p;
	struct flow *f;

	(void)state;
	start(&p, 1);
	p.s.refuse_opens = 1;
	f = pair_open(&p.c);
	pair_run(&p);
	assert_true(f->was_refused);
	assert_int_equal(f->fail_reason, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED);
	assert_string_equal(f->fail_text, "not here");
	assert_int_equal(p.c.conn.n_chans, 1);
	assert_int_equal(p.s.conn.n_chans, 1);
	/* Its place is the next one's, its number nobody's. */
	p.s.refuse_opens = 0;
	f = pair_open(&p.c);
	assert_int_equal(f->chan->id, SMX_CHANNELS_MAX + 1);
	pair_run(&p);
	assert_true(f->is_open);
	pair_release(&p);
}

static void too_many_channels(void **state)
{
	struct smx_chan *chan;
	struct pair p;
	int n;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	p.s.n_flows = 0;
	for (n = 0; n < SMX_CHANNELS_MAX + 10; n++) {
		if (smx_conn_open(&p.c.conn, smx_view_of("session", 7), nothing, 10, &chan) != 0)
			break;
	}
	assert_int_equal(n, SMX_CHANNELS_MAX);
	assert_int_equal(smx_conn_open(&p.c.conn, smx_view_of("session", 7), nothing, 10, &chan),
		SMX_ELIMIT);
	/* The peer refuses above its own cap, and the connection lives on. */
	p.s.refuse_opens = 1;
	pair_run(&p);
	assert_int_equal(p.c.r | p.s.r, 0);
	assert_int_equal(p.c.conn.n_chans, 0);
	assert_int_equal(p.s.conn.n_chans, 0);
	pair_release(&p);
}

static void opens_over_the_cap_are_refused(void **state)
{
	uint8_t msg[64] = { SMX_MSG_CHANNEL_OPEN, 0, 0, 0, 1, 's' };
	struct smx_conn_event ev;
	struct pair p;

	(void)state;
	start(&p, 0);
	smx_set_u32(msg + 14, 32768);
	for (int i = 0; i < SMX_CHANNELS_MAX; i++) {
		smx_set_u32(msg + 6, (uint32_t)i);
		assert_int_equal(smx_conn_handle(&p.s.conn, (struct smx_view){ msg, 18 }, &ev), 0);
		assert_int_equal(ev.type, SMX_CONN_OPEN);
		assert_int_equal(ev.chan->id, i);
	}
	assert_int_equal(smx_conn_handle(&p.s.conn, (struct smx_view){ msg, 18 }, &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_NONE);
	assert_int_equal(p.s.conn.n_chans, SMX_CHANNELS_MAX);
	/* Channel 0 still is who it was. */
	assert_int_equal(p.s.conn.chans[0]->peer_id, 0);
	pair_release(&p);
}

/* Places come back only after both CLOSEs, and a million openings need no more of them. */
static void places_are_reused_after_both_closes(void **state)
{
	struct pair p;

	(void)state;
	start(&p, 1);
	for (int i = 0; i < 500; i++) {
		struct flow *f;

		p.c.n_flows = p.s.n_flows = 1;
		memset(&p.c.flows[1], 0, sizeof(struct flow));
		memset(&p.s.flows[1], 0, sizeof(struct flow));
		f = pair_open(&p.c);
		assert_int_equal(f->chan->id, 1 + i * SMX_CHANNELS_MAX);
		pair_run(&p);
		f->to_send = 100;
		f->eof_when_sent = 1;
		pair_run(&p);
		assert_int_equal(p.s.flows[1].received, 100);
		assert_int_equal(smx_conn_send_close(i % 2 ? &p.c.conn : &p.s.conn,
					 i % 2 ? f->chan : p.s.flows[1].chan),
			0);
		pair_run(&p);
		assert_true(f->got_close && p.s.flows[1].got_close);
	}
	assert_int_equal(p.c.conn.n_slots, 8);
	assert_int_equal(p.c.conn.n_chans, 1);
	pair_release(&p);
}

/* --- requests --- */

static void answers_come_in_order_and_are_counted(void **state)
{
	struct pair p;
	struct flow *c;

	(void)state;
	start(&p, 1);
	c = &p.c.flows[0];
	for (int i = 0; i < SMX_REPLIES_MAX; i++)
		assert_int_equal(smx_conn_send_request(
					 &p.c.conn, c->chan, i % 2 ? "x" : "shell", 1, nothing),
			0);
	/* One more would be one too many answers to keep. */
	assert_int_equal(
		smx_conn_send_request(&p.c.conn, c->chan, "shell", 1, nothing), SMX_ELIMIT);
	assert_int_equal(smx_conn_send_request(&p.c.conn, c->chan, "shell", 0, nothing), 0);
	pair_run(&p);
	assert_int_equal(p.c.r | p.s.r, 0);
	assert_int_equal(c->n_success, SMX_REPLIES_MAX / 2);
	assert_int_equal(c->n_failure, SMX_REPLIES_MAX / 2);
	assert_int_equal(c->chan->n_replies_due, 0);
	assert_int_equal(smx_conn_send_request(&p.c.conn, c->chan, "shell", 1, nothing), 0);
	pair_run(&p);
	assert_int_equal(c->n_success, SMX_REPLIES_MAX / 2 + 1);
	pair_release(&p);
}

/* A client may send 60 KB of command line; who can't pass it on refuses, and nothing breaks. */
static void a_message_too_long_to_pass_on(void **state)
{
	static uint8_t big[SMX_PAYLOAD_MAX + 1];
	struct smx_view msg = { big, sizeof(big) };
	struct pair p;
	struct flow *c;

	(void)state;
	start(&p, 1);
	c = &p.c.flows[0];
	big[0] = SMX_MSG_CHANNEL_REQUEST;
	assert_int_equal(smx_conn_send_message(&p.c.conn, c->chan, msg, 0, 1), SMX_ETOOBIG);
	assert_int_equal(c->chan->n_replies_due, 0);
	assert_int_equal(smx_conn_send_request(&p.c.conn, c->chan, "exec", 1, msg), SMX_ETOOBIG);
	assert_int_equal(c->chan->n_replies_due, 0);
	assert_int_equal(smx_conn_send_request(&p.c.conn, c->chan, "shell", 1, nothing), 0);
	pair_run(&p);
	assert_int_equal(c->n_success, 1);
	assert_int_equal(p.c.r | p.s.r, 0);
	pair_release(&p);
}

/* The relay's path: a message as it came, with another number. */
static void messages_pass_unchanged(void **state)
{
	uint8_t req[] = "\x62\0\0\x30\x39\0\0\0\x05shell\1tail";
	uint8_t data[] = "\x5e\0\0\x30\x39\0\0\0\3abc";
	uint8_t eof[] = "\x60\0\0\x30\x39";
	struct pair p;
	struct flow *c;

	(void)state;
	start(&p, 3);
	c = &p.c.flows[2];
	assert_int_equal(smx_conn_send_message(&p.c.conn, c->chan,
				 (struct smx_view){ req, sizeof(req) - 1 }, 0, 1),
		0);
	assert_int_equal(smx_conn_send_message(&p.c.conn, c->chan,
				 (struct smx_view){ data, sizeof(data) - 1 }, 3, 0),
		0);
	pair_run(&p);
	assert_string_equal(p.s.flows[2].request, "shell");
	assert_int_equal(c->n_success, 1);
	assert_int_equal(p.s.flows[2].received, 3);
	assert_int_equal(c->chan->send_window, p.s.window); /* granted again */
	/* EOF is remembered, however it was sent. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(smx_conn_send_message(&p.c.conn, c->chan,
					 (struct smx_view){ eof, sizeof(eof) - 1 }, 0, 0),
			0);
	assert_int_equal(smx_conn_send_eof(&p.c.conn, c->chan), 0);
	pair_run(&p);
	assert_true(p.s.flows[2].got_eof);
	assert_int_equal(p.c.r | p.s.r, 0);
	pair_release(&p);
}

/* N4: global requests are answered here, never passed on. */
static void L6_L10_global_requests_are_answered(void **state)
{
	static const char *const kinds[] = { "keepalive@openssh.com",
		"no-more-sessions@openssh.com", "hostkeys-00@openssh.com", "tcpip-forward",
		"cancel-tcpip-forward", "streamlocal-forward@openssh.com", "" };
	struct pair p;

	(void)state;
	start(&p, 1);
	for (size_t i = 0; i < SMX_ARRAY_LEN(kinds); i++) {
		for (int want_reply = 0; want_reply < 2; want_reply++) {
			struct smx_buf b;
			unsigned before = p.c.n_pongs;

			smx_buf_init(&b, 200);
			assert_int_equal(smx_put_u8(&b, SMX_MSG_GLOBAL_REQUEST), 0);
			assert_int_equal(smx_put_cstr(&b, kinds[i]), 0);
			assert_int_equal(smx_put_bool(&b, want_reply), 0);
			assert_int_equal(smx_put_cstr(&b, "tail of whatever kind"), 0);
			p.c.conn.n_globals_due += (unsigned)want_reply;
			side_inject(&p.c, smx_buf_view(&b), smx_buf_len(&b));
			smx_buf_release(&b);
			pair_run(&p);
			assert_int_equal(p.c.n_pongs, before + (unsigned)want_reply);
			if (want_reply)
				assert_int_equal(p.c.last[0], SMX_MSG_REQUEST_FAILURE);
		}
	}
	/* Sessions still open after no-more-sessions: it concerned nobody else. */
	assert_true(pair_open(&p.c)->chan != NULL);
	pair_run(&p);
	assert_true(p.c.flows[1].is_open);
	for (int i = 0; i < 40; i++)
		assert_int_equal(smx_conn_keepalive(&p.c.conn), 0);
	pair_run(&p);
	assert_int_equal(p.c.conn.n_globals_due, 0);
	assert_int_equal(p.c.r | p.s.r, 0);
	pair_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_both_ways),
		cmocka_unit_test(the_window_is_kept),
		cmocka_unit_test(more_data_than_granted),
		cmocka_unit_test(more_data_than_a_packet_may_hold),
		cmocka_unit_test(a_window_can_not_overflow),
		cmocka_unit_test(nothing_after_eof_and_close),
		cmocka_unit_test(numbers_nobody_has),
		cmocka_unit_test(answers_to_nothing),
		cmocka_unit_test(data_behind_our_close_is_taken),
		cmocka_unit_test(both_close_at_once),
		cmocka_unit_test(silent_after_our_close),
		cmocka_unit_test(close_while_opening_waits),
		cmocka_unit_test(nothing_before_the_answer),
		cmocka_unit_test(a_refused_open),
		cmocka_unit_test(too_many_channels),
		cmocka_unit_test(opens_over_the_cap_are_refused),
		cmocka_unit_test(places_are_reused_after_both_closes),
		cmocka_unit_test(answers_come_in_order_and_are_counted),
		cmocka_unit_test(a_message_too_long_to_pass_on),
		cmocka_unit_test(messages_pass_unchanged),
		cmocka_unit_test(L6_L10_global_requests_are_answered),
	};

	return cmocka_run_group_tests(tests, NULL, pair_teardown);
}
