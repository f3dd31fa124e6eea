/* SPDX-License-Identifier: MIT */
/*
 * The connection protocol to the byte (RFC 4254): which message is taken in which state of a
 * channel, and what we send (L9, L10; DESIGN section 6).
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

static void what_is_taken_in_which_state(void **state)
{
	static const struct {
		uint8_t type;
		const char *tail;
		size_t len;
		enum smx_conn_event_type event;
		int r[N_STATES + 1];
	} cases[] = {
		/* OPEN OPENING ASKED GOT_EOF SENT_CLOSE NOBODY */
		{ 91, "\0\0\0\5\0\0\0\1\0\0\0\1", 12, SMX_CONN_OPEN_CONFIRM,
			{ SMX_EUNEXPECTED, 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, SMX_EUNEXPECTED,
				SMX_EPROTOCOL } },
		{ 92, "\0\0\0\1\0\0\0\0\0\0\0\0", 12, SMX_CONN_OPEN_FAIL,
			{ SMX_EUNEXPECTED, 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, SMX_EUNEXPECTED,
				SMX_EPROTOCOL } },
		{ 93, "\0\0\0\1", 4, SMX_CONN_WINDOW,
			{ 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, 0, 0, SMX_EPROTOCOL } },
		{ 94, "\0\0\0\1x", 5, SMX_CONN_DATA,
			{ 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, SMX_EUNEXPECTED, 0,
				SMX_EPROTOCOL } },
		{ 95, "\0\0\0\1\0\0\0\1x", 9, SMX_CONN_DATA,
			{ 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, SMX_EUNEXPECTED, 0,
				SMX_EPROTOCOL } },
		{ 96, "", 0, SMX_CONN_EOF,
			{ 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, SMX_EUNEXPECTED, 0,
				SMX_EPROTOCOL } },
		{ 97, "", 0, SMX_CONN_CLOSE,
			{ 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, 0, 0, SMX_EPROTOCOL } },
		{ 98, "\0\0\0\1x\0", 6, SMX_CONN_REQUEST,
			{ 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, 0, 0, SMX_EPROTOCOL } },
		{ 99, "", 0, SMX_CONN_REPLY,
			{ 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, 0, 0, SMX_EPROTOCOL } },
		{ 100, "", 0, SMX_CONN_REPLY,
			{ 0, SMX_EUNEXPECTED, SMX_EUNEXPECTED, 0, 0, SMX_EPROTOCOL } },
	};
	uint8_t msg[32];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		for (uint32_t s = 0; s <= N_STATES; s++) {
			struct smx_conn_event ev;
			void *fixture;
			struct fixture *f;
			uint32_t before;

			(void)setup(&fixture);
			f = fixture;
			before = f->c.n_chans;
			msg[0] = cases[i].type;
			smx_set_u32(msg + 1, s);
			memcpy(msg + 5, cases[i].tail, cases[i].len);
			assert_int_equal(smx_conn_handle(&f->c,
						 (struct smx_view){ msg, 5 + cases[i].len }, &ev),
				cases[i].r[s]);
			if (cases[i].r[s] == 0) {
				assert_int_equal(ev.type, cases[i].event);
				assert_int_equal(ev.chan->id, s);
				assert_int_equal(smx_conn_done(&f->c, &ev), 0);
				/* A refused open and a CLOSE free it, answered once. */
				assert_int_equal(f->c.n_chans,
					before - (cases[i].type == 92 || cases[i].type == 97));
				if (cases[i].type == 97 && s != SENT_CLOSE)
					SENT(f, "\x61\0\0\0\x20");
				else
					SENT(f, "");
			}
			assert_int_equal(teardown(&fixture), 0);
		}
	}
}

static void opens(void **state)
{
	static const struct {
		const char *msg;
		size_t len;
		int r;
	} cases[] = {
#define CASE(text, r) { text, sizeof(text) - 1, r }
		CASE("\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0\1", 0),
		CASE("\x5a\0\0\0\1s\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xfftail", 0),
		CASE("\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0\0", SMX_EPROTOCOL),
		CASE("\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0", SMX_ETRUNCATED),
		CASE("\x5a\0\0\0\x41s\0\0\0\1\0\0\0\0\0\0\0\1", SMX_ETOOBIG),
		CASE("\x5a\xff\xff\xff\xffs\0\0\0\1", SMX_ETOOBIG),
		CASE("\x5a", SMX_ETRUNCATED),
		CASE("\x53", SMX_EUNEXPECTED),
		CASE("\x59", SMX_EUNEXPECTED),
		CASE("\x65", SMX_EUNEXPECTED),
	};
	static uint8_t big[9000] = "\x5a\0\0\0\1s\0\0\0\1\0\0\0\0\0\0\0\1";
	struct fixture *f = *state;
	struct smx_conn_event ev;

	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(
			smx_conn_handle(&f->c, smx_view_of(cases[i].msg, cases[i].len), &ev),
			cases[i].r);
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
	assert_int_equal(
		smx_conn_handle(&f->c, (struct smx_view){ big, sizeof(big) }, &ev), SMX_ETOOBIG);
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
	SENT(f, "\x5a\0\0\0\7session\0\0\0\5\0\0\0\x09\0\0\x80\0tail");
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

static void global_requests(void **state)
{
	struct fixture *f = *state;
	struct smx_conn_event ev;

	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\1more"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_NONE);
	SENT(f, "\x52");
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x\0"), &ev), 0);
	SENT(f, "");
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x50\0\0\0\1x"), &ev), SMX_ETRUNCATED);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x51"), &ev), SMX_EUNEXPECTED);
	assert_int_equal(smx_conn_keepalive(&f->c), 0);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x51port"), &ev), 0);
	assert_int_equal(ev.type, SMX_CONN_GLOBAL_REPLY);
	assert_true(ev.success);
	assert_int_equal(smx_conn_handle(&f->c, VIEW("\x52"), &ev), SMX_EUNEXPECTED);
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
	for (long n = 0; n < 2; n++) {
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
		cmocka_unit_test(what_is_taken_in_which_state),
		cmocka_unit_test_setup_teardown(opens, setup, teardown),
		cmocka_unit_test_setup_teardown(what_we_send, setup, teardown),
		cmocka_unit_test_setup_teardown(global_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
