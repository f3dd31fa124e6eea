/* SPDX-License-Identifier: MIT */
/*
 * U4: whatever a peer answers to a keepalive or a ping is a sign of life, UNIMPLEMENTED too, and
 * belongs to the question it answers; a peer that never answers does not stop the asking.
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

/* Logged in; the server takes everything and answers nothing. */
static void start_mute(struct pair *p)
{
	assert_int_equal(pair_init(p, NULL, NULL), 0);
	pair_login(p);
	p->s.no_layers = 1;
	/* Its transport keeps the PONGs back. */
	p->s.t->sent_kexinit = 1;
	p->s.t->sent_newkeys = 0;
}

static void unimplemented(struct pair *p, uint32_t seq)
{
	uint8_t msg[5] = { SMX_MSG_UNIMPLEMENTED };

	smx_set_u32(msg + 1, seq);
	side_inject(&p->s, msg, sizeof(msg));
	pair_run(p);
	assert_int_equal(p->c.r | p->s.r, 0);
}

static void answer(struct pair *p, uint8_t type)
{
	uint8_t msg[5] = { type };

	side_inject(&p->s, msg, type == SMX_MSG_PONG ? 5 : 1);
	pair_run(p);
	assert_int_equal(p->c.r | p->s.r, 0);
}

/* Sends one and returns the number it went out under. */
static uint32_t keepalive(struct pair *p)
{
	uint32_t seq = p->c.t->pk.tx_seq;

	assert_int_equal(smx_conn_keepalive(&p->c.conn), 0);
	pair_run(p);
	return seq;
}

static uint32_t ping(struct pair *p)
{
	uint32_t seq = p->c.t->pk.tx_seq;

	assert_int_equal(smx_transport_ping(p->c.t, smx_view_of("abc", 3)), 0);
	pair_run(p);
	return seq;
}

static void U4_unanswered_probes_never_stop_the_probing(void **state)
{
	struct pair p;

	(void)state;
	start_mute(&p);
	for (unsigned i = 1; i <= 3000; i++) {
		(void)keepalive(&p);
		(void)ping(&p);
		assert_int_equal(p.s.t->pk.rx_seq, p.c.t->pk.tx_seq); /* it did go out */
		assert_int_equal(p.c.conn.n_globals_due, i);
		assert_int_equal(p.c.t->n_pings_due, i);
	}
	assert_int_equal(p.c.n_pongs, 0);
	/* A late answer is one. */
	answer(&p, SMX_MSG_REQUEST_FAILURE);
	assert_int_equal(p.c.n_pongs, 1);
	answer(&p, SMX_MSG_PONG);
	assert_int_equal(p.c.n_pongs, 2);
	pair_release(&p);
}

static void U4_unimplemented_is_an_answer(void **state)
{
	uint32_t seq;
	struct pair p;

	(void)state;
	start_mute(&p);
	for (unsigned i = 1; i <= 100; i++) {
		seq = i % 2 ? keepalive(&p) : ping(&p);
		unimplemented(&p, seq);
		assert_int_equal(p.c.n_pongs, i);
		assert_int_equal(p.c.conn.n_globals_due + p.c.t->n_pings_due, 0);
		/* Once: said again, it is about nothing. */
		unimplemented(&p, seq);
		assert_int_equal(p.c.n_pongs, i);
	}
	/* What was no question has no answer: a channel's message, a number never used, no number.
	 */
	(void)pair_open(&p.c);
	seq = p.c.t->pk.tx_seq - 1;
	pair_run(&p);
	unimplemented(&p, seq);
	unimplemented(&p, seq + 1000);
	answer(&p, SMX_MSG_UNIMPLEMENTED);
	assert_int_equal(p.c.n_pongs, 100);
	pair_release(&p);
}

/* The answers still due stay right, so that a real answer later is not taken for another's. */
static void U4_answers_of_both_kinds_are_told_apart(void **state)
{
	uint32_t first, second;
	struct pair p;

	(void)state;
	start_mute(&p);
	first = keepalive(&p);
	(void)ping(&p);
	second = keepalive(&p);
	answer(&p, SMX_MSG_REQUEST_SUCCESS); /* of the first */
	assert_int_equal(p.c.conn.n_globals_due, 1);
	assert_int_equal(p.c.t->n_pings_due, 1);
	unimplemented(&p, first); /* answered already */
	assert_int_equal(p.c.n_pongs, 1);
	unimplemented(&p, second);
	assert_int_equal(p.c.conn.n_globals_due, 0);
	assert_int_equal(p.c.t->n_pings_due, 1);
	answer(&p, SMX_MSG_PONG);
	assert_int_equal(p.c.t->n_pings_due, 0);
	assert_int_equal(p.c.n_pongs, 3);
	assert_int_equal(p.c.t->probes.n, 0);
	pair_release(&p);
}

/* Held back by a key exchange, it goes out under a number of the new keys. */
static void U4_a_probe_that_waits_for_a_key_exchange(void **state)
{
	uint32_t before;
	struct pair p;

	(void)state;
	start_mute(&p);
	before = keepalive(&p);
	assert_int_equal(smx_transport_rekey(p.c.t), 0);
	assert_int_equal(smx_conn_keepalive(&p.c.conn), 0);
	assert_int_equal(p.c.t->probes.n, 1);
	pair_run(&p);
	assert_int_equal(smx_transport_n_kex(p.c.t), 2);
	assert_true(p.c.t->strict);
	assert_int_equal(p.c.t->pk.tx_seq, 1); /* it was the first one */
	unimplemented(&p, 0);
	assert_int_equal(p.c.n_pongs, 1);
	assert_int_equal(p.c.conn.n_globals_due, 1);
	unimplemented(&p, before);
	assert_int_equal(p.c.conn.n_globals_due, 0);
	pair_release(&p);
}

/* Answered before it went out, it is not answered again: the count of what is due stays right. */
static void U4_a_pong_that_comes_before_its_ping(void **state)
{
	struct pair p;
	uint32_t seq;

	(void)state;
	start_mute(&p);
	/* As in a key exchange: the ping waits. */
	p.c.t->sent_kexinit = 1;
	p.c.t->sent_newkeys = 0;
	assert_int_equal(smx_transport_ping(p.c.t, smx_view_of("abc", 3)), 0);
	answer(&p, SMX_MSG_PONG);
	assert_int_equal(p.c.t->n_pings_due, 0);
	assert_int_equal(p.c.n_pongs, 1);
	p.c.t->sent_kexinit = 0;
	seq = p.c.t->pk.tx_seq;
	assert_int_equal(transport_flush_held(p.c.t), 0);
	pair_run(&p);
	unimplemented(&p, seq);
	assert_int_equal(p.c.t->n_pings_due, 0);
	assert_int_equal(p.c.n_pongs, 1);
	answer(&p, SMX_MSG_PONG); /* nothing is due */
	assert_int_equal(p.c.n_pongs, 1);
	pair_release(&p);
}

/* The table alone: full, mixed, equal numbers. */
static void the_oldest_are_forgotten(void **state)
{
	struct smx_probes p = { .n = 0 };

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		smx_probes_sent(&p, i % 2 ? SMX_MSG_PING : SMX_MSG_GLOBAL_REQUEST, i);
	assert_int_equal(p.n, SMX_PROBES_KEPT);
	assert_int_equal(smx_probes_unimplemented(&p, 999 - SMX_PROBES_KEPT), 0);
	assert_int_equal(
		smx_probes_unimplemented(&p, 1000 - SMX_PROBES_KEPT), SMX_MSG_GLOBAL_REQUEST);
	assert_int_equal(smx_probes_unimplemented(&p, 999), SMX_MSG_PING);
	smx_probes_answered(&p, SMX_MSG_PING);
	assert_int_equal(smx_probes_unimplemented(&p, 1001 - SMX_PROBES_KEPT), 0);
	assert_int_equal(
		smx_probes_unimplemented(&p, 1002 - SMX_PROBES_KEPT), SMX_MSG_GLOBAL_REQUEST);
	while (p.n)
		smx_probes_answered(&p, p.kept[0].type);
	smx_probes_answered(&p, SMX_MSG_PING);
	smx_probes_sent(&p, SMX_MSG_PING, 7);
	smx_probes_sent(&p, SMX_MSG_GLOBAL_REQUEST, 7);
	assert_int_equal(smx_probes_unimplemented(&p, 7), SMX_MSG_PING);
	assert_int_equal(smx_probes_unimplemented(&p, 7), SMX_MSG_GLOBAL_REQUEST);
	assert_int_equal(p.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(U4_unanswered_probes_never_stop_the_probing),
		cmocka_unit_test(U4_unimplemented_is_an_answer),
		cmocka_unit_test(U4_answers_of_both_kinds_are_told_apart),
		cmocka_unit_test(U4_a_probe_that_waits_for_a_key_exchange),
		cmocka_unit_test(U4_a_pong_that_comes_before_its_ping),
		cmocka_unit_test(the_oldest_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, pair_teardown);
}
