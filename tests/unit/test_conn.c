/* SPDX-License-Identifier: MIT */
/*
 * The connection protocol to the byte (RFC 4254): which message is taken in which state of a
 * channel, what one costs that has no business there (U2), and what we send (L9, L10, N4, N6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../clear_transport.h"
#include "base/mem.h"
#include "ssh/conn.h"

#define VIEW(text) smx_view_of(text, sizeof(text) - 1)

/* Channels of every state, by their number. */
enum {
	OPEN,
	OPENING,
	ASKED,
	GOT_EOF,
	SENT_CLOSE,
	GOT_CLOSE, /* not answered yet */
	N_STATES,
	NOBODY = N_STATES,
};

struct fixture {
	struct smx_pool pool;
	struct smx_transport *t;
	struct smx_conn c;
};

static const struct smx_view none = { NULL, 0 };

static int setup(void **state)
{
	static const char open[] = "\x5a\0\0\0\7session\0\0\0\x20\0\0\3\xe8\0\0\0\x64";
	static struct fixture f;
	struct smx_conn_event ev;
	struct smx_chan *chan;

	smx_pool_init(&f.pool, 1);
	f.t = clear_transport(&f.pool, SMX_CLIENT, SMX_PHASE_CONNECTION, NULL);
	assert_non_null(f.t);
	smx_conn_init(&f.c, f.t);
	for (uint32_t i = 0; i < N_STATES; i++) {
		if (i == OPENING) {
			assert_int_equal(smx_conn_open(&f.c, VIEW("x"), none, 500, &chan), 0);
			assert_int_equal(chan->id, i);
			continue;
		}
		assert_int_equal(smx_conn_handle(&f.c, VIEW(open), &ev), 0);
		assert_int_equal(ev.chan->id, i);
		if (i == ASKED)
			continue;
		assert_int_equal(smx_conn_open_confirm(&f.c, ev.chan, 500, none), 0);
		ev.chan->n_replies_due = 1;
		if (i == GOT_EOF)
			ev.chan->eof_received = 1;
		if (i == SENT_CLOSE)
			assert_int_equal(smx_conn_send_close(&f.c, ev.chan), 0);
		if (i == GOT_CLOSE)
			ev.chan->close_received = 1;
	}
	smx_transport_tx_free(f.t, smx_transport_tx_take(f.t));
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	smx_conn_release(&f->c);
	smx_transport_free(f->t);
	smx_pool_release(&f->pool);
	return smx_mem_alive() == 0 ? 0 : -1;
}

static void assert_sent(struct fixture *f, const char *want, size_t len)
{
	struct smx_tx_block *b = smx_transport_tx_take(f->t);
	struct smx_view payload;
	size_t off = 0;

	if (len == 0) {
		assert_null(b);
		return;
	}
	assert_true(clear_next(b, &off, &payload));
	assert_int_equal(payload.len, len);
	assert_memory_equal(payload.p, want, len);
	assert_false(clear_next(b, &off, &payload));
	smx_transport_tx_free(f->t, b);
}

#define SENT(f, text) assert_sent(f, text, sizeof(text) - 1)

/* What a message comes to. */
enum outcome {
	TAKEN,
	IGNORED, /* nothing happened, nothing is sent */
	ENDS_IT, /* the channel: to the layer above as if the peer had closed it; our CLOSE is sent
		  */
	FAILS, /* the opening */
};

static void try_message(
	struct smx_view msg, uint32_t id, enum smx_conn_event_type event, enum outcome outcome)
{
	int frees = outcome == ENDS_IT || outcome == FAILS ||
		    (outcome == TAKEN && (event == SMX_CONN_OPEN_FAIL || event == SMX_CONN_CLOSE));
	struct smx_conn_event ev;
	uint32_t before, window;
	void *fixture;
	struct fixture *f;

	(void)setup(&fixture);
	f = fixture;
	before = f->c.n_chans;
	window = id < N_STATES ? f->c.chans[id]->recv_window : 0;
	assert_int_equal(smx_conn_handle(&f->c, msg, &ev), 0);
	assert_int_equal(ev.is_slip, outcome == IGNORED);
	assert_int_equal(ev.broken != 0, outcome == ENDS_IT || outcome == FAILS);
	if (outcome == IGNORED) {
		assert_int_equal(ev.type, SMX_CONN_NONE);
		assert_int_equal(f->c.n_chans, before);
		if (id < N_STATES)
			assert_int_equal(f->c.chans[id]->recv_window, window);
		SENT(f, "");
		(void)teardown(&fixture);
		return;
	}
	assert_int_equal(ev.chan->id, id);
	assert_int_equal(ev.type, outcome == ENDS_IT ? SMX_CONN_CLOSE
				  : outcome == FAILS ? SMX_CONN_OPEN_FAIL
						     : event);
	assert_int_equal(smx_conn_done(&f->c, &ev), 0);
	assert_int_equal(f->c.n_chans, before - (uint32_t)frees);
	/* A CLOSE is sent once, whoever was first. */
	if (ev.type == SMX_CONN_CLOSE && id != SENT_CLOSE)
		SENT(f, "\x61\0\0\0\x20");
	else
		SENT(f, "");
	/* The number is nobody's now, and stays so when the place is taken again. */
	if (frees) {
		struct smx_chan *next;

		assert_int_equal(smx_conn_handle(&f->c, msg, &ev), 0);
		assert_true(ev.is_slip);
		assert_int_equal(smx_conn_open(&f->c, VIEW("x"), none, 5, &next), 0);
		assert_int_equal(next->id, SMX_CHANNELS_MAX + id);
		assert_int_equal(smx_conn_handle(&f->c, msg, &ev), 0);
		assert_true(ev.is_slip);
		smx_transport_tx_free(f->t, smx_transport_tx_take(f->t));
	}
	assert_int_equal(teardown(&fixture), 0);
}

static void U2_what_is_taken_in_which_state(void **state)
{
	static const struct {
		uint8_t type;
		const char *tail;
		size_t len;
		enum smx_conn_event_type event;
		enum outcome out[N_STATES + 1];
	} cases[] = {
#define ROW(type, tail, event, ...)                  \
	{                                            \
		type, tail, sizeof(tail) - 1, event, \
		{                                    \
			__VA_ARGS__                  \
		}                                    \
	}
		/* OPEN OPENING ASKED GOT_EOF SENT_CLOSE GOT_CLOSE NOBODY */
		ROW(91, "\0\0\0\5\0\0\0\1\0\0\0\1", SMX_CONN_OPEN_CONFIRM, IGNORED, TAKEN, IGNORED,
			IGNORED, IGNORED, IGNORED, IGNORED),
		ROW(92, "\0\0\0\1\0\0\0\0\0\0\0\0", SMX_CONN_OPEN_FAIL, ENDS_IT, TAKEN, IGNORED,
			ENDS_IT, ENDS_IT, IGNORED, IGNORED),
		ROW(93, "\0\0\0\1", SMX_CONN_WINDOW, TAKEN, IGNORED, IGNORED, TAKEN, TAKEN, IGNORED,
			IGNORED),
		ROW(94, "\0\0\0\1x", SMX_CONN_DATA, TAKEN, IGNORED, IGNORED, IGNORED, TAKEN,
			IGNORED, IGNORED),
		ROW(95, "\0\0\0\1\0\0\0\1x", SMX_CONN_DATA, TAKEN, IGNORED, IGNORED, IGNORED, TAKEN,
			IGNORED, IGNORED),
		ROW(95, "\0\0\0\0\0\0\0\1x", SMX_CONN_DATA, IGNORED, IGNORED, IGNORED, IGNORED,
			IGNORED, IGNORED, IGNORED),
		ROW(96, "", SMX_CONN_EOF, TAKEN, IGNORED, IGNORED, IGNORED, TAKEN, IGNORED,
			IGNORED),
		ROW(97, "", SMX_CONN_CLOSE, TAKEN, FAILS, IGNORED, TAKEN, TAKEN, IGNORED, IGNORED),
		ROW(98, "\0\0\0\1x\0", SMX_CONN_REQUEST, TAKEN, IGNORED, IGNORED, TAKEN, TAKEN,
			IGNORED, IGNORED),
		ROW(99, "", SMX_CONN_REPLY, TAKEN, IGNORED, IGNORED, TAKEN, TAKEN, IGNORED,
			IGNORED),
		ROW(100, "", SMX_CONN_REPLY, TAKEN, IGNORED, IGNORED, TAKEN, TAKEN, IGNORED,
			IGNORED),
		/* With a tail that nobody asked for. */
		ROW(93, "\0\0\0\1z", SMX_CONN_WINDOW, TAKEN, IGNORED, IGNORED, TAKEN, TAKEN,
			IGNORED, IGNORED),
		ROW(96, "z", SMX_CONN_EOF, TAKEN, IGNORED, IGNORED, IGNORED, TAKEN, IGNORED,
			IGNORED),
		ROW(97, "z", SMX_CONN_CLOSE, TAKEN, FAILS, IGNORED, TAKEN, TAKEN, IGNORED, IGNORED),
		ROW(100, "z", SMX_CONN_REPLY, TAKEN, IGNORED, IGNORED, TAKEN, TAKEN, IGNORED,
			IGNORED),
		/* Cut short. */
		ROW(92, "\0\0", SMX_CONN_OPEN_FAIL, ENDS_IT, TAKEN, IGNORED, ENDS_IT, ENDS_IT,
			IGNORED, IGNORED),
		ROW(91, "\0\0\0", SMX_CONN_OPEN_CONFIRM, IGNORED, FAILS, IGNORED, IGNORED, IGNORED,
			IGNORED, IGNORED),
		ROW(93, "\0\0\0", SMX_CONN_WINDOW, ENDS_IT, IGNORED, IGNORED, ENDS_IT, ENDS_IT,
			IGNORED, IGNORED),
		ROW(94, "\0\0\0\2x", SMX_CONN_DATA, ENDS_IT, IGNORED, IGNORED, ENDS_IT, ENDS_IT,
			IGNORED, IGNORED),
		ROW(95, "\0\0\0", SMX_CONN_DATA, ENDS_IT, IGNORED, IGNORED, ENDS_IT, ENDS_IT,
			IGNORED, IGNORED),
		ROW(98, "\0\0\0\1x", SMX_CONN_REQUEST, ENDS_IT, IGNORED, IGNORED, ENDS_IT, ENDS_IT,
			IGNORED, IGNORED),
	};
	uint8_t msg[32];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		for (uint32_t s = 0; s <= N_STATES; s++) {
			msg[0] = cases[i].type;
			smx_set_u32(msg + 1, s);
			memcpy(msg + 5, cases[i].tail, cases[i].len);
			try_message((struct smx_view){ msg, 5 + cases[i].len }, s, cases[i].event,
				cases[i].out[s]);
		}
	}
}

/* An answer more than there were requests. */
static void U2_answers_to_nothing(void **state)
{
	struct fixture *f = *state;
	struct smx_conn_event ev;
	uint8_t msg[5] = { 0 };

	smx_set_u32(msg + 1, OPEN);
	for (uint8_t type = SMX_MSG_CHANNEL_SUCCESS; type <= SMX_MSG_CHANNEL_FAILURE; type++) {
		msg[0] = type;
		f->c.chans[OPEN]->n_replies_due = 1;
		assert_int_equal(smx_conn_handle(&f->c, (struct smx_view){ msg, 5 }, &ev), 0);
		assert_int_equal(ev.type, SMX_CONN_REPLY);
		assert_int_equal(smx_conn_done(&f->c, &ev), 0);
		assert_int_equal(smx_conn_handle(&f->c, (struct smx_view){ msg, 5 }, &ev), 0);
		assert_int_equal(ev.type, SMX_CONN_NONE);
		assert_true(ev.is_slip && !ev.broken);
		assert_int_equal(f->c.chans[OPEN]->n_replies_due, 0);
	}
	SENT(f, "");
	assert_int_equal(f->c.n_chans, N_STATES);
}

/* A number says which channel, and which of those that had its place. */
static void U2_numbers_of_nobody(void **state)
{
	static const uint32_t ids[] = { N_STATES, 7, 8, 1023, 1024, 1024 + OPEN, 0x7fffffff,
		0xffffffff };
	struct fixture *f = *state;
	struct smx_conn_event ev;
	uint8_t msg[17] = { 0 };

	for (size_t i = 0; i < SMX_ARRAY_LEN(ids); i++) {
		for (uint8_t type = 91; type <= 100; type++) {
			msg[0] = type;
			smx_set_u32(msg + 1, ids[i]);
			assert_int_equal(
				smx_conn_handle(&f->c, (struct smx_view){ msg, 17 }, &ev), 0);
			assert_true(ev.is_slip && !ev.chan);
		}
	}
	SENT(f, "");
	assert_int_equal(f->c.n_chans, N_STATES);
	/* Only what names no channel can't be anybody's. */
	for (uint8_t type = 91; type <= 100; type++)
		for (size_t n = 1; n < 5; n++) {
			msg[0] = type;
			assert_int_equal(smx_conn_handle(&f->c, (struct smx_view){ msg, n }, &ev),
				SMX_ETRUNCATED);
		}
}

/* Numbers wrap, and a place is used four million times before one comes again. */
static void U2_a_number_comes_back_after_all_others_of_its_place(void **state)
{
	struct fixture *f = *state;
	struct smx_chan *chan;

	f->c.ids[N_STATES] = 0xffffffff - 1023 + N_STATES;
	assert_int_equal(smx_conn_open(&f->c, VIEW("x"), none, 5, &chan), 0);
	assert_int_equal(chan->id, 0xffffffff - 1023 + N_STATES);
	chan->state = SMX_CHAN_OPEN;
	assert_int_equal(smx_conn_finish(&f->c, chan), 0);
	assert_int_equal(smx_conn_open(&f->c, VIEW("x"), none, 5, &chan), 0);
	assert_int_equal(chan->id, N_STATES);
	smx_transport_tx_free(f->t, smx_transport_tx_take(f->t));
}

/* A confirmation that can't be used: nobody's channel, and the peer's is closed where it can be. */
static void U2_a_useless_confirmation(void **state)
{
	struct fixture *f = *state;
	struct smx_conn_event ev;

	assert_int_equal(
		smx_conn_handle(&f->c, VIEW("\x5b\0\0\0\1\0\0\0\5\0\0\0\1\0\0\0\0"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_OPEN_FAIL);
	assert_int_equal(ev.broken, SMX_EPROTOCOL);
	assert_int_equal(ev.data.len, 0);
	assert_int_equal(smx_conn_done(&f->c, &ev), 0);
	SENT(f, "\x61\0\0\0\5");
	assert_int_equal(f->c.n_chans, N_STATES - 1);
}

static int send_data(struct fixture *f, uint32_t n, struct smx_conn_event *ev)
{
	static uint8_t msg[2000] = "\x5e\0\0\0\0";

	smx_set_u32(msg + 5, n);
	return smx_conn_handle(&f->c, (struct smx_view){ msg, 9 + n }, ev);
}

/* The window is 500: 50 more come to no harm, as at OpenSSH, and the 51st ends the channel. */
static void U2_data_beyond_the_window(void **state)
{
	struct fixture *f = *state;
	struct smx_chan *chan = f->c.chans[OPEN];
	struct smx_conn_event ev;

	for (int round = 0; round < 3; round++) {
		assert_int_equal(send_data(f, 490, &ev), 0);
		assert_int_equal(chan->recv_excess, 0);
		assert_int_equal(send_data(f, 30, &ev), 0);
		assert_int_equal(ev.type, SMX_CONN_DATA);
		assert_int_equal(chan->recv_window, 0);
		assert_int_equal(chan->recv_excess, 20);
		/* Nothing does not make up for it. */
		assert_int_equal(send_data(f, 0, &ev), 0);
		assert_int_equal(chan->recv_excess, 20);
		assert_int_equal(send_data(f, 30, &ev), 0);
		assert_int_equal(ev.type, SMX_CONN_DATA);
		assert_int_equal(smx_conn_grant(&f->c, chan, 500), 0);
	}
	assert_int_equal(send_data(f, 551, &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_CLOSE);
	assert_int_equal(ev.broken, SMX_EPROTOCOL);
	assert_int_equal(smx_conn_done(&f->c, &ev), 0);
	smx_transport_tx_free(f->t, smx_transport_tx_take(f->t));
	assert_int_equal(f->c.n_chans, N_STATES - 1);
	/* A window that was nothing has no tenth. */
	chan = f->c.chans[GOT_EOF];
	chan->eof_received = 0;
	chan->recv_window = chan->recv_peak = 0;
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x5e\0\0\0\3\0\0\0\1x"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_CLOSE);
	smx_transport_tx_free(f->t, smx_transport_tx_take(f->t));
}

/* What is behind the data would end the next connection that it is passed on to. */
static void U2_the_tail_of_data_goes_no_further(void **state)
{
	struct fixture *f = *state;
	struct smx_conn_event ev;

	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x5e\0\0\0\0\0\0\0\1xtail"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_DATA);
	assert_int_equal(ev.payload.len, 10);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x5f\0\0\0\0\0\0\0\1\0\0\0\1xtail"), &ev), 0);
	assert_int_equal(ev.payload.len, 14);
}

static void U2_a_window_stays_below_2_to_the_32(void **state)
{
	struct fixture *f = *state;
	struct smx_conn_event ev;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			smx_conn_handle(&f->c, VIEW("\x5d\0\0\0\0\xff\xff\xff\xf0"), &ev), 0);
		assert_int_equal(ev.type, SMX_CONN_WINDOW);
		assert_int_equal(f->c.chans[OPEN]->send_window, UINT32_MAX);
	}
}

static void opens(void **state)
{
	/* r 1: refused, for what is in it; 2: ignored, for there is no number to answer. */
	static const struct {
		const char *msg;
		size_t len;
		int r;
	} cases[] = {
#define CASE(text, r) { text, sizeof(text) - 1, r }
		CASE("\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0\1", 0),
		CASE("\x5a\0\0\0\1s\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xfftail", 0),
		CASE("\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0\0", 1),
		CASE("\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0", 1),
		CASE("\x5a\0\0\0\1s\0\0\0\1", 1),
		CASE("\x5a\0\0\0\1s\0\0\0", 2),
		CASE("\x5a\0\0\0\x41s\0\0\0\1\0\0\0\0\0\0\0\1", 2),
		CASE("\x5a\xff\xff\xff\xffs\0\0\0\1", 2),
		CASE("\x5a", 2),
		CASE("\x53", SMX_EUNEXPECTED),
		CASE("\x59", SMX_EUNEXPECTED),
		CASE("\x65", SMX_EUNEXPECTED),
	};
#define MALFORMED "\x5c\0\0\0\1\0\0\0\2\0\0\0\x1fmalformed request for a channel\0\0\0\0"
	static const char long_kind[] =
		"\x5a\0\0\0\x41kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
		"\0\0\0\1\0\0\0\1\0\0\0\1";
	static uint8_t big[9000] = "\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0\1";
	struct fixture *f = *state;
	struct smx_conn_event ev;

	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(
			smx_conn_handle(&f->c, smx_view_of(cases[i].msg, cases[i].len), &ev),
			cases[i].r > 0 ? 0 : cases[i].r);
		if (cases[i].r > 0) {
			assert_int_equal(ev.type, SMX_CONN_NONE);
			assert_int_equal(ev.is_slip, cases[i].r == 2);
		}
		if (cases[i].r == 1)
			SENT(f, MALFORMED);
		else if (cases[i].r != 0)
			SENT(f, "");
		if (cases[i].r != 0)
			continue;
		assert_int_equal(ev.type, SMX_CONN_OPEN);
		assert_true(smx_view_eq(ev.kind, "s"));
		assert_true(ev.chan->send_packet <= SMX_CHANNEL_PACKET);
		/* Any tail is kept as it is, for kinds we don't know. */
		assert_int_equal(ev.data.len, i == 1 ? 4 : 0);
		assert_int_equal(smx_conn_open_fail(&f->c, ev.chan, 3, "no"), 0);
		SENT(f, "\x5c\0\0\0\1\0\0\0\3\0\0\0\2no\0\0\0\0");
	}
	assert_int_equal(smx_conn_handle(&f->c, (struct smx_view){ big, sizeof(big) }, &ev), 0);
	SENT(f, MALFORMED);
	assert_int_equal(smx_conn_handle(&f->c, VIEW(long_kind), &ev), 0);
	SENT(f, MALFORMED);
	assert_int_equal(f->c.n_chans, N_STATES);
}

static void what_we_send(void **state)
{
	static char long_text[3000];
	struct fixture *f = *state;
	struct smx_chan *chan = f->c.chans[OPEN], *fresh;
	struct smx_conn_event ev;
	struct smx_tx_block *b;
	struct smx_view payload;
	size_t off = 0;

	assert_int_equal(smx_conn_send_data(&f->c, chan, 0, VIEW("abc")), 0);
	SENT(f, "\x5e\0\0\0\x20\0\0\0\3abc");
	assert_int_equal(smx_conn_send_data(&f->c, chan, 1, VIEW("e")), 0);
	SENT(f, "\x5f\0\0\0\x20\0\0\0\1\0\0\0\1e");
	assert_int_equal(chan->send_window, 1000 - 4);
	assert_int_equal(smx_conn_send_request(&f->c, chan, "env", 0, VIEW("tail")), 0);
	SENT(f, "\x62\0\0\0\x20\0\0\0\3env\0tail");
	assert_int_equal(smx_conn_send_request(&f->c, chan, "x", 1, none), 0);
	SENT(f, "\x62\0\0\0\x20\0\0\0\1x\1");
	assert_int_equal(smx_conn_send_reply(&f->c, chan, 1), 0);
	SENT(f, "\x63\0\0\0\x20");
	assert_int_equal(smx_conn_send_reply(&f->c, chan, 0), 0);
	SENT(f, "\x64\0\0\0\x20");
	assert_int_equal(smx_conn_grant(&f->c, chan, 258), 0);
	SENT(f, "\x5d\0\0\0\x20\0\0\1\2");
	assert_int_equal(smx_conn_grant(&f->c, chan, 0), 0);
	SENT(f, "");
	assert_int_equal(smx_conn_send_eof(&f->c, chan), 0);
	SENT(f, "\x60\0\0\0\x20");
	assert_int_equal(smx_conn_send_eof(&f->c, chan), 0);
	SENT(f, "");
	assert_int_equal(smx_conn_keepalive(&f->c), 0);
	SENT(f, "\x50\0\0\0\x15keepalive@openssh.com\1");
	assert_int_equal(smx_conn_open(&f->c, VIEW("session"), VIEW("tail"), 9, &fresh), 0);
	SENT(f, "\x5a\0\0\0\7session\0\0\0\6\0\0\0\x09\0\0\x80\0tail");
	assert_int_equal(smx_conn_open_confirm(&f->c, f->c.chans[ASKED], 7, VIEW("tail")), 0);
	SENT(f, "\x5b\0\0\0\x20\0\0\0\2\0\0\0\7\0\0\x80\0tail");
	/* Nothing more is granted once the peer has said EOF. */
	assert_int_equal(smx_conn_grant(&f->c, f->c.chans[GOT_EOF], 1), 0);
	SENT(f, "");
	/* A text of any length does not keep a refusal from going out. */
	memset(long_text, 'x', sizeof(long_text) - 1);
	assert_int_equal(
		smx_conn_handle(&f->c, VIEW("\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0\1"), &ev), 0);
	assert_int_equal(smx_conn_open_fail(&f->c, ev.chan, 1, long_text), 0);
	b = smx_transport_tx_take(f->t);
	assert_true(clear_next(b, &off, &payload));
	assert_int_equal(payload.len, 13 + 1024 + 4);
	smx_transport_tx_free(f->t, b);
}

static void b4_global_requests_are_answered_in_their_order(void **state)
{
	const struct smx_view answers[] = { VIEW("\x52"), VIEW("\x51"), VIEW("\x51\0\0\x1f\x90") };
	struct fixture *f = *state;
	struct smx_conn_event ev;
	struct smx_tx_block *b;
	struct smx_view payload;
	size_t off = 0;

	f->c.takes_globals = 1;
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\1more"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_GLOBAL_REQUEST);
	assert_int_equal(ev.number, 0);
	assert_int_equal(ev.want_reply, 1);
	assert_true(smx_view_eq(ev.kind, "x") && smx_view_eq(ev.data, "more"));
	/* One that wants no answer has no place among those that do. */
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\0"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_GLOBAL_REQUEST);
	assert_int_equal(ev.want_reply, 0);
	for (uint64_t n = 1; n < 4; n++) {
		assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\1"), &ev), 0);
		assert_int_equal(ev.number, n);
	}
	assert_int_equal(smx_conn_answer_global(&f->c, 2, 1, 1, 0x1f90), 0);
	assert_int_equal(smx_conn_answer_global(&f->c, 1, 1, 0, 7), 0);
	SENT(f, "");
	assert_int_equal(smx_conn_answer_global(&f->c, 0, 0, 1, 7), 0);
	b = smx_transport_tx_take(f->t);
	for (size_t i = 0; i < SMX_ARRAY_LEN(answers); i++) {
		assert_true(clear_next(b, &off, &payload));
		assert_true(smx_view_eq_view(payload, answers[i]));
	}
	assert_false(clear_next(b, &off, &payload));
	smx_transport_tx_free(f->t, b);
	assert_int_equal(smx_conn_answer_global(&f->c, 3, 1, 0, 0), 0);
	SENT(f, "\x51");
	/* So many may wait, and no more. */
	for (uint64_t n = 0; n < SMX_GLOBALS_MAX; n++)
		assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\1"), &ev), 0);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\1"), &ev), SMX_ELIMIT);
	SENT(f, "");
	smx_transport_tx_free(f->t, smx_transport_tx_take(f->t));
}

static void b4_replies_find_their_requests(void **state)
{
	struct fixture *f = *state;
	struct smx_conn_event ev;
	uint64_t a, b;

	assert_int_equal(smx_conn_global_request(&f->c, "a", VIEW("xy"), &a), 0);
	SENT(f, "\x50\0\0\0\1a\1xy");
	assert_int_equal(smx_conn_keepalive(&f->c), 0);
	assert_int_equal(smx_conn_global_request(&f->c, "b", VIEW(""), &b), 0);
	smx_transport_tx_free(f->t, smx_transport_tx_take(f->t));
	assert_int_equal(b, a + 2);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x51\0\0\x1f\x90"), &ev), 0);
	assert_true(ev.success && ev.number == a && ev.data.len == 4);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x52"), &ev), 0);
	assert_true(!ev.success && ev.number == a + 1);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x51"), &ev), 0);
	assert_true(ev.success && ev.number == b && ev.data.len == 0);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x51"), &ev), 0);
	assert_true(ev.is_slip);
}

static void global_requests(void **state)
{
	struct fixture *f = *state;
	struct smx_conn_event ev;

	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\1more"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_NONE);
	SENT(f, "\x52");
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\0"), &ev), 0);
	SENT(f, "");
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x"), &ev), 0);
	assert_true(ev.is_slip);
	SENT(f, "");
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x51"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_NONE);
	assert_true(ev.is_slip);
	assert_int_equal(smx_conn_keepalive(&f->c), 0);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x51port"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_GLOBAL_REPLY);
	assert_true(ev.success);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x52"), &ev), 0);
	assert_true(ev.is_slip);
	assert_int_equal(f->c.n_globals_due, 0);
	smx_transport_tx_free(f->t, smx_transport_tx_take(f->t));
}

static void no_memory(void **state)
{
	struct fixture *f = *state;
	struct smx_conn_event ev;
	struct smx_chan *chan;
	long alive = smx_mem_alive();

	/* The table has room for 8, so the ninth makes it grow. */
	for (int i = N_STATES; i < 8; i++)
		assert_int_equal(smx_conn_open(&f->c, VIEW("x"), none, 5, &chan), 0);
	for (long n = 0; n < 3; n++) {
		smx_mem_fail_after(n);
		assert_int_equal(smx_conn_open(&f->c, VIEW("x"), none, 5, &chan), SMX_ENOMEM);
		assert_int_equal(
			smx_conn_handle(&f->c, VIEW("\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0\1"), &ev),
			SMX_ENOMEM);
		smx_mem_fail_after(-1);
		assert_int_equal(f->c.n_chans, 8);
	}
	smx_transport_tx_free(f->t, smx_transport_tx_take(f->t));
	assert_true(smx_mem_alive() >= alive);
	assert_int_equal(smx_conn_open(&f->c, VIEW("x"), none, 5, &chan), 0);
	assert_int_equal(chan->id, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(U2_what_is_taken_in_which_state),
		cmocka_unit_test_setup_teardown(U2_answers_to_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(U2_numbers_of_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(
			U2_a_number_comes_back_after_all_others_of_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(U2_a_useless_confirmation, setup, teardown),
		cmocka_unit_test_setup_teardown(U2_data_beyond_the_window, setup, teardown),
		cmocka_unit_test_setup_teardown(
			U2_the_tail_of_data_goes_no_further, setup, teardown),
		cmocka_unit_test_setup_teardown(
			U2_a_window_stays_below_2_to_the_32, setup, teardown),
		cmocka_unit_test_setup_teardown(opens, setup, teardown),
		cmocka_unit_test_setup_teardown(what_we_send, setup, teardown),
		cmocka_unit_test_setup_teardown(global_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(
			b4_global_requests_are_answered_in_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(b4_replies_find_their_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
