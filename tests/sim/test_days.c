/* SPDX-License-Identifier: MIT */
/*
 * 72 hours of one connection, a second at a time, under a clock of our own (P4, U3, N8, N10): by turns an
 * hour of silence and one of sessions, each of which opens, sends and closes; key exchanges by time
 * and by bytes; a stall. What was done is compared with what a model of each says: the key
 * exchanges, the keepalives and their answers, channels, the blocks and memory that are held.
 *
 * Three times: from the start of a clock; where milliseconds pass 2^32, with sequence numbers that
 * pass it too (RFC 4253 section 6.4: they wrap, and without strict kex no exchange resets them); and
 * shortly before the end of the clock's 64 bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/liveness.h"
#include "util_pair.h"

#define S          1000ull /* a second of the clock */
#define HOUR_S     3600u
#define HOURS      72u
#define PROBE_S    15u
#define SESSION_S  10u /* in a busy hour one begins so often */
#define SESSION_B  3000u /* each way */
#define BYTES      (256u * 1024) /* of one direction that make an exchange due */
#define STALL_AT_S (20 * HOUR_S + 1000) /* in a silent hour */
#define STALL_S    120u
#define SLACK_B    (2 * (SESSION_B + 4096)) /* an exchange begins between two messages */

/* As the pool has them. */
static const struct smx_live_rules rules = {
	.probe_ms = PROBE_S * S,
	.eager_ms = 500,
	.stalled_ms = 45 * S,
	.doubt_ms = 5 * S,
	.dead_ms = 900 * S,
};

struct days {
	struct pair p;
	struct smx_live live;
	uint64_t begin_ms, bytes_in; /* that the client got */
	int is_held; /* nothing passes */
	/* What happened. */
	unsigned n_probes, n_sessions, n_stalls, n_backs, stalled_at_s, back_at_s;
	/* The model. */
	uint64_t n_kex, kex_ms, kex_bytes[2];
	unsigned n_kex_by_time, n_kex_by_bytes, probes_in_hour;
	long alive; /* blocks of memory after the first two hours, */
	uint32_t n_slots; /* and of channels */
};

static uint64_t now_s(const struct days *d)
{
	return (d->p.now_ms - d->begin_ms) / S;
}

static void move(struct days *d)
{
	if (d->is_held)
		return;
	pair_run(&d->p);
	if (d->p.s.wire_total != d->bytes_in)
		smx_live_seen(&d->live, d->p.now_ms);
	d->bytes_in = d->p.s.wire_total;
	assert_int_equal(d->p.c.r | d->p.s.r, 0);
}

/*
 * An exchange happens when it is due, and not before: no key is used for more than an hour, or for
 * more bytes than it may.
 */
static void check_kex(struct days *d)
{
	uint64_t n = smx_transport_n_kex(d->p.c.t), age_ms = d->p.now_ms - d->kex_ms;
	uint64_t bytes[2] = { d->p.c.wire_total - d->kex_bytes[0],
		d->p.s.wire_total - d->kex_bytes[1] };
	uint64_t most = bytes[0] > bytes[1] ? bytes[0] : bytes[1];

	if (d->is_held)
		return;
	assert_int_equal(smx_transport_n_kex(d->p.s.t), n);
	if (n == d->n_kex) {
		assert_true(age_ms < HOUR_S * S);
		assert_true(most < BYTES + SLACK_B);
		return;
	}
	assert_int_equal(n, d->n_kex + 1);
	if (age_ms >= HOUR_S * S)
		d->n_kex_by_time++;
	else
		d->n_kex_by_bytes++;
	assert_true(age_ms >= HOUR_S * S || most + SLACK_B >= BYTES);
	assert_true(age_ms <= (HOUR_S + (d->n_stalls ? STALL_S : 0)) * S);
	d->n_kex = n;
	d->kex_ms = d->p.now_ms;
	d->kex_bytes[0] = d->p.c.wire_total;
	d->kex_bytes[1] = d->p.s.wire_total;
}

/* As link_tick does it. */
static void tick(struct days *d)
{
	static const struct smx_live_input in;
	struct pair *p = &d->p;
	int due, r;

	if (d->live.state == SMX_LIVE_READY)
		assert_int_equal(smx_transport_tick(p->c.t, p->now_ms), 0);
	assert_int_equal(smx_transport_tick(p->s.t, p->now_ms), 0);
	due = smx_live_tick(&d->live, &rules, &in, p->now_ms);
	if (due & SMX_LIVE_HAS_STALLED) {
		d->n_stalls++;
		d->stalled_at_s = (unsigned)now_s(d);
	}
	if (due & SMX_LIVE_IS_BACK) {
		d->n_backs++;
		d->back_at_s = (unsigned)now_s(d);
	}
	assert_false(due & SMX_LIVE_HAS_DIED);
	assert_true(smx_live_deadline(&d->live, &rules, &in, p->now_ms) >= p->now_ms);
	if (due & SMX_LIVE_PROBE_DUE) {
		if ((r = smx_transport_ping(p->c.t, smx_view_of("days", 4))) == SMX_EUNSUPPORTED)
			r = smx_conn_keepalive(&p->c.conn);
		assert_int_equal(r, 0);
		smx_live_probed(&d->live, p->now_ms);
		d->n_probes++;
		d->probes_in_hour++;
	}
	move(d);
}

/* One that opens, sends both ways, and closes. */
static void session(struct days *d)
{
	struct pair *p = &d->p;
	struct flow *c, *s;

	p->c.n_flows = p->s.n_flows = 0;
	memset(p->c.flows, 0, sizeof(p->c.flows));
	memset(p->s.flows, 0, sizeof(p->s.flows));
	c = pair_open(&p->c);
	move(d);
	s = &p->s.flows[0];
	assert_true(c->is_open && s->is_open);
	c->to_send = s->to_send = SESSION_B;
	c->eof_when_sent = s->eof_when_sent = 1;
	move(d);
	assert_int_equal(c->received, SESSION_B);
	assert_int_equal(s->received, SESSION_B);
	assert_true(c->received_sum == s->sent_sum && s->received_sum == c->sent_sum);
	assert_true(c->got_eof && s->got_eof);
	assert_int_equal(smx_conn_send_close(&p->s.conn, s->chan), 0);
	move(d);
	assert_true(c->got_close && s->got_close);
	d->n_sessions++;
}

/* Nothing is left of what the hour brought, but what was there after the first two. */
static void check_hour(struct days *d, unsigned hour)
{
	struct pair *p = &d->p;

	assert_int_equal(p->c.conn.n_chans + p->s.conn.n_chans, 0);
	assert_int_equal(smx_transport_held_len(p->c.t) + smx_transport_held_len(p->s.t), 0);
	assert_int_equal(smx_transport_tx_len(p->c.t) + smx_transport_tx_len(p->s.t), 0);
	assert_int_equal(p->c.t->n_pings_due + p->c.conn.n_globals_due, 0);
	assert_int_equal(p->c.t->probes.n, 0);
	assert_int_equal(p->c.n_pongs, d->n_probes);
	assert_int_equal(p->pool.n_used, 0);
	if (hour == 1) {
		d->alive = smx_mem_alive();
		d->n_slots = p->c.conn.n_slots;
	} else if (hour > 1) {
		assert_int_equal(smx_mem_alive(), d->alive);
		assert_int_equal(p->c.conn.n_slots, d->n_slots);
	}
	assert_int_equal(p->c.conn.n_slots, p->s.conn.n_slots);
	/* In silence each that is due; beside traffic none. */
	if (hour % 2)
		assert_in_range(d->probes_in_hour, 0, 1);
	else
		assert_in_range(d->probes_in_hour, HOUR_S / PROBE_S - 2, HOUR_S / PROBE_S);
	d->probes_in_hour = 0;
}

static void start(struct days *d, uint64_t begin_ms, int is_strict)
{
	struct pair_config config = { .c = { .rekey_bytes = BYTES },
		.s = { .rekey_bytes = BYTES } };
	struct pair *p = &d->p;

	memset(d, 0, sizeof(*d));
	assert_int_equal(pair_init(p, &config, NULL), 0);
	if (!is_strict) {
		side_restart(&p->c, NULL, 0, 0);
		side_restart(&p->s, NULL, 0, 0);
		side_send_kexinit(&p->c);
		side_send_kexinit(&p->s);
	}
	p->now_ms = d->begin_ms = begin_ms;
	p->c.t->now_ms = p->c.t->last_kex_ms = begin_ms;
	p->s.t->now_ms = p->s.t->last_kex_ms = begin_ms;
	pair_login(p);
	assert_int_equal(smx_transport_is_strict(p->c.t), is_strict);
	smx_live_init(&d->live, begin_ms);
	d->n_kex = 1;
	d->kex_ms = begin_ms;
	d->bytes_in = d->kex_bytes[1] = p->s.wire_total;
	d->kex_bytes[0] = p->c.wire_total;
}

static void live_through_it(struct days *d)
{
	for (unsigned s = 1; s <= HOURS * HOUR_S; s++) {
		unsigned hour = (s - 1) / HOUR_S;

		d->p.now_ms += S;
		if (s == STALL_AT_S)
			d->is_held = 1;
		if (s == STALL_AT_S + STALL_S)
			d->is_held = 0;
		tick(d);
		if (hour % 2 && s % SESSION_S == 0)
			session(d);
		check_kex(d);
		if (s % HOUR_S == 0)
			check_hour(d, hour);
	}
}

static void check_days(const struct days *d)
{
	assert_int_equal(d->n_sessions, HOURS / 2 * HOUR_S / SESSION_S);
	/* One stall, seen 45 s after the last sign of life, and over with the next one. */
	assert_int_equal(d->n_stalls, 1);
	assert_int_equal(d->n_backs, 1);
	assert_in_range(d->stalled_at_s, STALL_AT_S + 30, STALL_AT_S + 45);
	assert_in_range(d->back_at_s, STALL_AT_S + STALL_S, STALL_AT_S + STALL_S + 1);
	/* Each hour's bytes are about four and a half keys' worth; each silent hour ends one by its
	 * time, if the bytes of the next do not come first. */
	assert_in_range(d->n_kex_by_bytes, HOURS / 2 * 4, HOURS / 2 * 6);
	assert_in_range(d->n_kex_by_time, HOURS / 2 - 1, HOURS / 2 + 1);
	assert_int_equal(d->n_kex, 1 + d->n_kex_by_bytes + d->n_kex_by_time);
}

static void P4_N8_72_hours(void **state)
{
	struct days d;

	(void)state;
	start(&d, 1000, 1);
	live_through_it(&d);
	check_days(&d);
	pair_release(&d.p);
}

static void N8_72_hours_over_2_to_the_32(void **state)
{
	const uint32_t first = UINT32_MAX - 20000;
	struct days d;

	(void)state;
	start(&d, (1ull << 32) - 30ull * HOUR_S * S, 0);
	d.p.c.t->pk.tx_seq = d.p.s.t->pk.rx_seq = first;
	d.p.s.t->pk.tx_seq = d.p.c.t->pk.rx_seq = first;
	live_through_it(&d);
	check_days(&d);
	/* Both directions have passed it, and agree. */
	assert_true(d.p.c.t->pk.tx_seq < first && d.p.s.t->pk.tx_seq < first);
	assert_int_equal(d.p.c.t->pk.tx_seq, d.p.s.t->pk.rx_seq);
	assert_int_equal(d.p.s.t->pk.tx_seq, d.p.c.t->pk.rx_seq);
	pair_release(&d.p);
}

static void P4_72_hours_before_the_clock_ends(void **state)
{
	struct days d;

	(void)state;
	start(&d, UINT64_MAX - 73ull * HOUR_S * S, 1);
	live_through_it(&d);
	check_days(&d);
	pair_release(&d.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(P4_N8_72_hours),
		cmocka_unit_test(N8_72_hours_over_2_to_the_32),
		cmocka_unit_test(P4_72_hours_before_the_clock_ends),
	};

	return cmocka_run_group_tests(tests, NULL, pair_teardown);
}
