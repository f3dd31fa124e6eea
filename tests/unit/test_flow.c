/* SPDX-License-Identifier: MIT */
/* One direction of a relayed channel (L9, N10): order, windows, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../clear_transport.h"
#include "base/mem.h"
#include "mux/core/flow.h"

#define STDERR SMX_EXTENDED_DATA_STDERR

struct fixture {
	struct core core;
	struct link links[2];
	struct endpoint in, out;
	struct flow flow;
	uint8_t text[1 << 20]; /* what came out, as "o" and "e" streams in their order */
	size_t n_text;
	unsigned n_data, n_eof, n_close, n_requests;
	size_t largest;
	char order[64]; /* d, r, e, c: kinds of messages that came out, runs once */
};

static void make_link(struct fixture *f, struct link *l)
{
	l->core = &f->core;
	smx_list_init(&l->node);
	smx_list_init(&l->dirty_node);
	smx_list_init(&l->dying_node);
	smx_list_init(&l->owed);
	smx_list_init(&l->ready_interactive);
	smx_list_init(&l->ready_bulk);
	l->t = clear_transport(&f->core.pool, SMX_CLIENT, SMX_PHASE_CONNECTION, NULL);
	assert_non_null(l->t);
	smx_conn_init(&l->conn, l->t);
}

static struct smx_chan *make_chan(struct link *l, uint32_t recv, uint32_t send, uint32_t packet)
{
	uint8_t confirm[17] = { SMX_MSG_CHANNEL_OPEN_CONFIRMATION };
	struct smx_view kind = smx_view_of("session", 7), none = { NULL, 0 };
	struct smx_conn_event ev;
	struct smx_chan *chan;

	assert_int_equal(smx_conn_open(&l->conn, kind, none, recv, &chan), 0);
	smx_set_u32(confirm + 1, chan->id);
	smx_set_u32(confirm + 5, 7);
	smx_set_u32(confirm + 9, send);
	smx_set_u32(confirm + 13, packet);
	assert_int_equal(
		smx_conn_handle(&l->conn, (struct smx_view){ confirm, sizeof(confirm) }, &ev), 0);
	smx_transport_tx_free(l->t, smx_transport_tx_take(l->t));
	return chan;
}

static struct fixture *make(uint32_t send_window, uint32_t send_packet)
{
	static struct fixture fixture;
	struct fixture *f = &fixture;

	memset(f, 0, sizeof(*f));
	core_init(&f->core, NULL);
	make_link(f, &f->links[0]);
	make_link(f, &f->links[1]);
	f->in.link = &f->links[0];
	f->out.link = &f->links[1];
	share_init(&f->in.link->share, &f->core.windows);
	flow_init(&f->flow, &f->core, &f->in.link->share, &f->in, &f->out);
	f->in.chan = make_chan(f->in.link, f->flow.window.first, 0, 32768);
	f->out.chan = make_chan(f->out.link, 0, send_window, send_packet);
	return f;
}

static void finish(struct fixture *f)
{
	flow_release(&f->flow);
	assert_int_equal(f->core.windows.first, 0);
	assert_int_equal(f->core.windows.grown, 0);
	assert_int_equal(f->core.windows.n_shares, 0);
	assert_int_equal(f->in.link->share.kept, 0);
	for (int i = 0; i < 2; i++) {
		assert_true(smx_list_empty(&f->links[i].ready_bulk));
		smx_conn_release(&f->links[i].conn);
		smx_transport_free(f->links[i].t);
	}
	core_release(&f->core);
	assert_int_equal(smx_mem_alive(), 0);
}

/* --- the sender --- */

static void handle(struct fixture *f, struct smx_view msg, struct smx_conn_event *ev)
{
	assert_int_equal(smx_conn_handle(&f->in.link->conn, msg, ev), 0);
}

static void feed(struct fixture *f, uint32_t code, const void *p, size_t n)
{
	static uint8_t msg[40000];
	size_t head = code ? 13 : 9;
	struct smx_conn_event ev;

	msg[0] = code ? SMX_MSG_CHANNEL_EXTENDED_DATA : SMX_MSG_CHANNEL_DATA;
	smx_set_u32(msg + 1, f->in.chan->id);
	if (code)
		smx_set_u32(msg + 5, code);
	smx_set_u32(msg + head - 4, (uint32_t)n);
	memcpy(msg + head, p, n);
	handle(f, (struct smx_view){ msg, head + n }, &ev);
	flow_data(&f->flow, &ev);
}

static void request(struct fixture *f, const char *kind, int want_reply, int is_urgent)
{
	struct smx_conn_event ev;
	struct smx_buf b;

	smx_buf_init(&b, 100);
	assert_int_equal(smx_put_u8(&b, SMX_MSG_CHANNEL_REQUEST), 0);
	assert_int_equal(smx_put_u32(&b, f->in.chan->id), 0);
	assert_int_equal(smx_put_cstr(&b, kind), 0);
	assert_int_equal(smx_put_bool(&b, want_reply), 0);
	handle(f, smx_buf_as_view(&b), &ev);
	flow_request(&f->flow, &ev, is_urgent);
	smx_buf_release(&b);
}

/* --- the receiver --- */

static void note(struct fixture *f, char kind)
{
	size_t n = strlen(f->order);

	assert_true(n + 1 < sizeof(f->order));
	if (n == 0 || f->order[n - 1] != kind)
		f->order[n] = kind;
}

static void take_message(struct fixture *f, struct smx_view m)
{
	size_t head = 9;

	assert_int_equal(smx_get_u32(m.p + 1), 7);
	switch (m.p[0]) {
	case SMX_MSG_CHANNEL_EXTENDED_DATA:
		assert_int_equal(smx_get_u32(m.p + 5), STDERR);
		head = 13;
		/* fall through */
	case SMX_MSG_CHANNEL_DATA:
		assert_int_equal(f->n_eof + f->n_close, 0);
		assert_int_equal(smx_get_u32(m.p + head - 4), m.len - head);
		assert_true(f->n_text + m.len - head <= sizeof(f->text));
		memcpy(f->text + f->n_text, m.p + head, m.len - head);
		f->n_text += m.len - head;
		f->largest = m.len - head > f->largest ? m.len - head : f->largest;
		f->n_data++;
		note(f, 'd');
		break;
	case SMX_MSG_CHANNEL_REQUEST:
		f->n_requests++;
		note(f, (char)m.p[9]);
		break;
	case SMX_MSG_CHANNEL_EOF:
		f->n_eof++;
		note(f, 'E');
		break;
	case SMX_MSG_CHANNEL_CLOSE:
		f->n_close++;
		note(f, 'C');
		break;
	default:
		fail();
	}
}

/* The sender's link can write: grants go out. Returns how many messages were sent. */
static unsigned settle_grants(struct fixture *f)
{
	struct link *l = f->in.link;
	struct smx_tx_block *list, *b;
	struct smx_view m;
	struct source *s;
	unsigned n = 0;
	size_t off;

	while (!smx_list_empty(&l->owed)) {
		s = SMX_CONTAINER(l->owed.next, struct source, node);
		smx_list_del(&s->node);
		assert_int_equal(s->drain(s), 0);
	}
	list = smx_transport_tx_take(l->t);
	for (b = list; b; b = b->next)
		for (off = 0; clear_next(b, &off, &m); n++)
			assert_true(m.p[0] == SMX_MSG_CHANNEL_WINDOW_ADJUST ||
				    m.p[0] == SMX_MSG_CHANNEL_CLOSE ||
				    m.p[0] == SMX_MSG_GLOBAL_REQUEST);
	smx_transport_tx_free(l->t, list);
	return n;
}

/* What core_settle does: queued data goes out as far as it may, and is read. */
static void settle(struct fixture *f)
{
	struct link *l = f->out.link;
	struct smx_tx_block *list, *b;
	struct smx_view m;
	struct source *s;
	size_t off;

	while (!smx_list_empty(&l->ready_bulk) || smx_transport_tx_len(l->t)) {
		list = smx_transport_tx_take(l->t);
		for (b = list; b; b = b->next)
			for (off = 0; clear_next(b, &off, &m);)
				take_message(f, m);
		smx_transport_tx_free(l->t, list);
		if (smx_list_empty(&l->ready_bulk))
			continue;
		s = SMX_CONTAINER(l->ready_bulk.next, struct source, node);
		smx_list_del(&s->node);
		if (s->drain(s))
			link_enqueue(l, s);
	}
	(void)settle_grants(f);
}

static void grant_out(struct fixture *f, uint32_t n)
{
	uint8_t msg[9] = { SMX_MSG_CHANNEL_WINDOW_ADJUST };
	struct smx_conn_event ev;

	smx_set_u32(msg + 1, f->out.chan->id);
	smx_set_u32(msg + 5, n);
	assert_int_equal(smx_conn_handle(&f->out.link->conn, (struct smx_view){ msg, 9 }, &ev), 0);
	flow_resume(&f->flow);
}

static void fill(uint8_t *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

/* --- tests --- */

static void L9_straight_path_passes_messages_as_they_are(void **state)
{
	struct fixture *f = make(1 << 20, 32768);

	(void)state;
	feed(f, 0, "hello", 5);
	assert_true(flow_is_empty(&f->flow));
	feed(f, STDERR, "oops", 4);
	feed(f, 0, "", 0);
	settle(f);
	assert_int_equal(f->n_data, 3);
	assert_memory_equal(f->text, "hellooops", 9);
	assert_int_equal(f->out.chan->send_window, (1 << 20) - 9);
	finish(f);
}

static void L9_messages_are_cut_to_the_packets_and_window_of_the_receiver(void **state)
{
	struct fixture *f = make(2500, 1000);
	uint8_t data[5000];

	(void)state;
	fill(data, sizeof(data), 1);
	feed(f, 0, data, sizeof(data));
	flow_eof(&f->flow);
	settle(f);
	assert_int_equal(f->n_text, 2500);
	assert_int_equal(f->largest, 1000);
	assert_int_equal(f->n_eof, 0);
	grant_out(f, 1);
	settle(f);
	assert_int_equal(f->n_text, 2501);
	grant_out(f, 10000);
	settle(f);
	assert_int_equal(f->n_text, sizeof(data));
	assert_memory_equal(f->text, data, sizeof(data));
	assert_string_equal(f->order, "dE");
	finish(f);
}

static void slow_reader_of_mixed_streams_costs_what_they_hold(void **state)
{
	struct fixture *f = make(0, 32768);
	uint32_t window = f->flow.window.size;
	long alive = smx_mem_alive();
	char want;

	(void)state;
	for (uint32_t i = 0; i < window; i++)
		feed(f, i % 2 ? STDERR : 0, i % 2 ? "e" : "o", 1);
	assert_int_equal(f->in.chan->recv_window, 0);
	/* 8 bytes of head for each of data, in whole blocks. */
	assert_true(f->core.pool.n_used <= 9ul * window / SMX_BLOCK_LEN + 4);
	assert_true(smx_mem_alive() - alive <= (long)(9ul * window / SMX_BLOCK_LEN) + 40);
	grant_out(f, window + 1000);
	settle(f);
	assert_int_equal(f->n_text, window);
	for (uint32_t i = 0; i < window; i++) {
		want = i % 2 ? 'e' : 'o';
		if (f->text[i] != want)
			fail_msg("byte %u is of the wrong stream", i);
	}
	finish(f);
}

static void P4_message_is_never_behind_an_EOF(void **state)
{
	struct fixture *f = make(4, 32768);

	(void)state;
	feed(f, 0, "abcdef", 6);
	flow_eof(&f->flow);
	request(f, "exit-status", 0, 0);
	flow_message(&f->flow, "lost");
	flow_close(&f->flow);
	settle(f);
	assert_string_equal(f->order, "d");
	grant_out(f, 100);
	settle(f);
	assert_int_equal(f->n_text, 10);
	assert_memory_equal(f->text, "abcdeflost", 10);
	assert_string_equal(f->order, "dedC");
	assert_int_equal(f->n_eof, 0);
	/* And nothing at all after one that was sent. */
	finish(f);
	f = make(100, 32768);
	flow_eof(&f->flow);
	flow_message(&f->flow, "lost");
	flow_close(&f->flow);
	settle(f);
	assert_string_equal(f->order, "EC");
	finish(f);
}

static void L9_urgent_requests_pass_data_but_no_request(void **state)
{
	struct fixture *f = make(0, 32768);

	(void)state;
	feed(f, 0, "typed", 5);
	request(f, "window-change", 0, 1);
	settle(f);
	assert_string_equal(f->order, "w");
	request(f, "subsystem", 1, 0);
	request(f, "break", 1, 1);
	settle(f);
	assert_string_equal(f->order, "w");
	grant_out(f, 5);
	settle(f);
	assert_string_equal(f->order, "wdsb");
	finish(f);
}

static void requests_without_end_close_their_channel_and_nothing_else(void **state)
{
	struct fixture *f = make(0, 32768);

	(void)state;
	feed(f, 0, "x", 1);
	for (int i = 0; i < FLOW_REQUESTS_MAX / 16; i++)
		request(f, "exit-status", 0, 0);
	settle(f);
	assert_string_equal(f->order, "C");
	assert_true(f->in.chan->close_sent);
	assert_int_equal(f->links[0].dead, 0);
	assert_int_equal(f->links[1].dead, 0);
	finish(f);
}

/* Whatever the receiver does, what is granted and queued never exceeds the window. */
static void windows_are_never_over_granted(void **state)
{
	struct fixture *f = make(0, 3000);
	uint32_t rng = 1, n, most = 0;
	uint8_t data[32768];
	size_t sent = 0, read = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		rng = rng * 1664525 + 1013904223;
		n = rng >> 17;
		if (n > f->in.chan->recv_window)
			n = f->in.chan->recv_window;
		if (rng >> 31 && n) {
			fill(data, n, (unsigned)i);
			feed(f, rng & 0x1000 ? STDERR : 0, data, n);
			sent += n;
		} else if (f->out.chan->send_window < (1u << 30)) {
			grant_out(f, (rng >> 8) % 60000);
		}
		settle(f);
		read += f->n_text;
		f->n_text = 0;
		most = f->flow.window.size > most ? f->flow.window.size : most;
		assert_int_equal(sent - read, f->flow.queued_data);
		assert_true(f->in.chan->recv_window + f->flow.queued_data <= f->flow.window.size);
		assert_true(f->flow.window.size <= WINDOW_MAX);
		assert_int_equal(f->core.windows.grown, f->flow.window.size - WINDOW_FIRST);
		memset(f->order, 0, sizeof(f->order));
	}
	assert_true(sent > (1u << 24));
	assert_true(most > WINDOW_FIRST);
	finish(f);
}

/*
 * U8: however much the receiver grants, the sender is granted more again and again. The sum of such
 * a window and FLOW_SLACK is beyond 32 bits.
 */
static void U8_windows_near_2_to_the_32_never_stop_the_sender(void **state)
{
	static const uint32_t windows[] = { UINT32_MAX, UINT32_MAX - FLOW_SLACK - 1,
		UINT32_MAX - FLOW_SLACK, UINT32_MAX - FLOW_SLACK + 1, UINT32_MAX - FLOW_SLACK + 2,
		UINT32_MAX - FLOW_SLACK / 2, (1u << 31) - 1, 1u << 31 };
	uint8_t data[32768];

	(void)state;
	fill(data, sizeof(data), 7);
	for (size_t i = 0; i < SMX_ARRAY_LEN(windows); i++) {
		struct fixture *f = make(windows[i], 32768);

		for (size_t sent = 0; sent < 8 * FLOW_SLACK; sent += sizeof(data)) {
			if (f->in.chan->recv_window < sizeof(data))
				fail_msg("window %u: the sender stands still after %zu bytes",
					windows[i], sent);
			feed(f, 0, data, sizeof(data));
			settle(f);
			f->n_text = 0;
			assert_true(f->in.chan->recv_window <= WINDOW_MAX);
		}
		assert_int_equal(f->out.chan->send_window, windows[i] - 8 * FLOW_SLACK);
		finish(f);
	}
}

/* Fills the flow until the sender may send nothing more. */
static void fill_up(struct fixture *f)
{
	static uint8_t data[32768];

	while (f->in.chan->recv_window) {
		size_t n = f->in.chan->recv_window < sizeof(data) ? f->in.chan->recv_window
								  : sizeof(data);

		feed(f, 0, data, n);
		settle(f);
	}
}

/* U8: a receiver that grants byte after byte makes us send no message for each, above all not to a
 * link that stalls: LINK_BACKLOG_MAX would end it, and with it everybody else's channels. */
static void U8_small_grants_are_joined_not_multiplied(void **state)
{
	struct fixture *f = make(0, 32768);
	uint32_t granted = 0;
	unsigned n = 0;

	(void)state;
	fill_up(f);
	for (int i = 0; i < 50000; i++)
		grant_out(f, 1);
	assert_int_equal(smx_transport_tx_len(f->in.link->t), 0);
	settle(f); /* takes the 50000 bytes */
	assert_int_equal(f->n_text, 50000);
	fill_up(f);
	f->n_text = 0;
	/* With a link that writes all the time: no more messages than what is granted is worth. */
	for (int i = 0; i < 50000; i++) {
		uint32_t before = f->in.chan->recv_window;
		unsigned one;

		grant_out(f, 1);
		one = settle_grants(f);
		settle(f);
		one += f->in.chan->recv_window != before && one == 0;
		granted += f->in.chan->recv_window - before;
		n += one;
	}
	assert_int_equal(f->n_text, 50000);
	assert_true(granted >= 50000 - FLOW_GRANT_LEAST);
	assert_in_range(n, 1, 50000 / FLOW_GRANT_LEAST + 1);
	finish(f);
}

/* U8: the same for a sender of single bytes. */
static void U8_single_bytes_are_not_granted_one_by_one(void **state)
{
	struct fixture *f = make(1 << 30, 32768);
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		assert_true(f->in.chan->recv_window > 0);
		feed(f, 0, "x", 1);
		n += settle_grants(f);
		if (i % 1000 == 0) {
			settle(f);
			f->n_text = 0;
		}
	}
	assert_in_range(n, 1, 300000 / FLOW_GRANT_LEAST + 1);
	finish(f);
}

/* A path of 100 ms that takes 1 MB/s: its estimate, and the flow is known as bulk. */
static void pace(struct fixture *f)
{
	struct link *l = f->in.link;

	l->is_paced = 1;
	pace_init(&l->pace, 1 << 20);
	l->pace.least_us = l->pace.rtt_us = l->pace.smooth_us = 100 * 1000;
	l->pace.n_rounds = 100;
	l->pace.down.mode = PACE_STEADY;
	l->pace.down.phase = 2;
	l->pace.down.rate = 1e6;
	l->pace.down.window = 110 * 1000;
	l->pace.down.lifted_us = uv_hrtime() / 1000;
	smx_list_init(&l->owed_later);
	smx_list_init(&l->pacing_node);
	f->core.is_stopping = 1; /* no timer here */
	f->flow.bulk.busy_round = l->pace.n_rounds + 1;
}

/* B8: what a path takes is granted at its rate, also while nothing comes: a message of 32 KiB takes
 * a thin one tens of milliseconds, and what is granted for it at once would come as one again. */
static void B8_the_rest_of_a_window_is_granted_in_a_moment(void **state)
{
	struct fixture *f = make(1 << 30, 32768);
	struct link *l = f->in.link;

	(void)state;
	pace(f);
	f->in.chan->recv_window = 0;
	flow_resume(&f->flow);
	assert_false(smx_list_empty(&l->owed));
	assert_int_equal(settle_grants(f), 1);
	assert_in_range(f->in.chan->recv_window, 1, 110 * 1000 / 4);
	assert_false(smx_list_empty(&l->owed_later));
	smx_list_del(&f->flow.grants.node);
	finish(f);
}

/* B8: a flow of bulk of which little comes in a round trip or two is not taken for a light one. */
static void B8_bulk_stays_bulk_for_some_round_trips(void **state)
{
	struct fixture *f = make(1 << 30, 32768);
	struct link *l = f->in.link;
	struct bulk *b = &f->flow.bulk;

	(void)state;
	pace(f);
	b->busy_round = 0;
	bulk_note(b, l, LINK_DOWN, BULK_LIGHT);
	assert_true(bulk_is_light(b, l, 0));
	bulk_note(b, l, LINK_DOWN, 1);
	assert_false(bulk_is_light(b, l, 0));
	for (int i = 0; i < 3; i++) {
		l->pace.n_rounds++;
		bulk_note(b, l, LINK_DOWN, BULK_LIGHT);
		assert_false(bulk_is_light(b, l, 0));
	}
	l->pace.n_rounds++;
	assert_true(bulk_is_light(b, l, 0));
	assert_int_equal(l->n_busy[LINK_DOWN], 1);
	finish(f);
}

/* B8: small steps on a thin path, and not too many messages on a fat one. */
static void B8_steps_of_a_share(void **state)
{
	(void)state;
	assert_int_equal(bulk_step(16 << 20), 1 << 20);
	assert_int_equal(bulk_step(128 << 10), 8 << 10);
	assert_int_equal(bulk_step(112 << 10), 7 << 9);
	assert_int_equal(bulk_step(1), BULK_SHARE_LEAST / 4);
}

/* U8: what requests cost is bounded, not what is in them: those of one flow … */
static void U8_requests_are_counted_with_what_they_cost(void **state)
{
	struct fixture *f = make(0, 32768);
	long alive = smx_mem_alive();

	(void)state;
	feed(f, 0, "x", 1);
	for (int i = 0; i < FLOW_REQUESTS_MAX / 100 && !f->out.chan->close_sent; i++) {
		request(f, "r", 0, 0);
		/* One block each; the head of a record alone is more than 50 bytes. */
		assert_true(smx_mem_alive() - alive <= FLOW_REQUESTS_MAX / 50);
	}
	assert_true(f->out.chan->close_sent && f->in.chan->close_sent);
	assert_int_equal(f->links[0].dead + f->links[1].dead, 0);
	finish(f);
}

/* … and those of one client. */
static void U8_requests_of_a_client_are_bounded(void **state)
{
	struct fixture *f = make(0, 32768);
	struct share *share = &f->in.link->share;

	(void)state;
	feed(f, 0, "x", 1);
	assert_int_equal(share_keep(share, SHARE_KEPT_MAX - 200), 0);
	request(f, "r", 0, 0);
	assert_int_equal(f->out.chan->close_sent, 0);
	assert_true(share->kept > SHARE_KEPT_MAX - 200 + 50);
	request(f, "r", 0, 0);
	assert_true(f->out.chan->close_sent && f->in.chan->close_sent);
	assert_int_equal(share->kept, SHARE_KEPT_MAX - 200);
	share_drop(share, SHARE_KEPT_MAX - 200);
	finish(f);
}

static void without_memory_the_channel_ends_and_nothing_else(void **state)
{
	struct fixture *f = make(0, 32768);
	uint8_t data[20000];

	(void)state;
	fill(data, sizeof(data), 3);
	/* Both links have a block to write into; without one they would have to die. */
	request(f, "exit-status", 0, 0);
	assert_int_equal(smx_conn_keepalive(&f->in.link->conn), 0);
	smx_mem_fail_after(0);
	for (int i = 0; i < 10 && !f->out.chan->close_sent; i++)
		feed(f, 0, data, sizeof(data));
	smx_mem_fail_after(-1);
	assert_true(f->out.chan->close_sent && f->in.chan->close_sent);
	assert_true(flow_is_empty(&f->flow));
	assert_int_equal(f->links[0].dead + f->links[1].dead, 0);
	settle(f);
	assert_string_equal(f->order, "eC");
	finish(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(L9_straight_path_passes_messages_as_they_are),
		cmocka_unit_test(L9_messages_are_cut_to_the_packets_and_window_of_the_receiver),
		cmocka_unit_test(slow_reader_of_mixed_streams_costs_what_they_hold),
		cmocka_unit_test(P4_message_is_never_behind_an_EOF),
		cmocka_unit_test(L9_urgent_requests_pass_data_but_no_request),
		cmocka_unit_test(requests_without_end_close_their_channel_and_nothing_else),
		cmocka_unit_test(windows_are_never_over_granted),
		cmocka_unit_test(U8_windows_near_2_to_the_32_never_stop_the_sender),
		cmocka_unit_test(U8_small_grants_are_joined_not_multiplied),
		cmocka_unit_test(U8_single_bytes_are_not_granted_one_by_one),
		cmocka_unit_test(B8_the_rest_of_a_window_is_granted_in_a_moment),
		cmocka_unit_test(B8_bulk_stays_bulk_for_some_round_trips),
		cmocka_unit_test(B8_steps_of_a_share),
		cmocka_unit_test(U8_requests_are_counted_with_what_they_cost),
		cmocka_unit_test(U8_requests_of_a_client_are_bounded),
		cmocka_unit_test(without_memory_the_channel_ends_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
