/* SPDX-License-Identifier: MIT */
/*
 * Key exchange again: by bytes, time and packets, from either side and from both at once, while
 * data flows both ways; held messages; clock jumps (RFC 4253 section 9, 4344 section 3;
 * N8: no sequence number twice under one key; N10: bounded queues meanwhile).
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

#define TO_SEND 400000

static const struct smx_view nothing = { NULL, 0 };

static void flow_through_rekeys(uint64_t c_bytes, uint64_t s_bytes, const char *kex,
	const char *cipher, const char *mac, size_t chunk, int at_once)
{
	struct pair_config config = {
		.c = { .kex = kex, .ciphers = cipher, .macs = mac, .rekey_bytes = c_bytes },
		.s = { .kex = kex, .ciphers = cipher, .macs = mac, .rekey_bytes = s_bytes },
	};
	uint8_t session[SMX_HASH_MAX];
	struct smx_view id;
	struct pair p;

	assert_int_equal(pair_init(&p, &config, NULL), 0);
	pair_login(&p);
	id = smx_transport_session_id(p.c.t);
	memcpy(session, id.p, id.len);
	(void)pair_open(&p.c);
	(void)pair_open(&p.s);
	pair_run(&p);
	p.chunk = chunk;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 2; i++) {
			p.c.flows[i].to_send += TO_SEND / 2;
			p.s.flows[i].to_send += TO_SEND / 2 + i;
			/* Answers wait during an exchange, too. */
			assert_int_equal(smx_conn_send_request(
						 &p.c.conn, p.c.flows[i].chan, "shell", 1, nothing),
				0);
		}
		if (at_once && p.c.t->step == KEX_IDLE && p.s.t->step == KEX_IDLE) {
			assert_int_equal(smx_transport_rekey(p.c.t), 0);
			assert_int_equal(smx_transport_rekey(p.s.t), 0);
			assert_int_equal(smx_transport_rekey(p.s.t), SMX_ESTATE);
		}
		pair_run(&p);
	}
	assert_int_equal(p.c.r, 0);
	assert_int_equal(p.s.r, 0);
	for (size_t i = 0; i < 2; i++) {
		/* Both opened one: ids agree. */
		struct flow *c = &p.c.flows[i];
		struct flow *s = flow_of(&p.s, p.s.conn.chans[c->chan->peer_id]);

		assert_int_equal(c->received, s->to_send);
		assert_int_equal(s->received, c->to_send);
		assert_true(c->received_sum == s->sent_sum && s->received_sum == c->sent_sum);
		assert_int_equal(c->n_success, 2);
	}
	assert_int_equal(smx_transport_n_kex(p.c.t), smx_transport_n_kex(p.s.t));
	assert_true(smx_transport_n_kex(p.c.t) > (c_bytes || s_bytes ? 8u : 1u));
	/* RFC 4253 section 7.2: that of the first exchange, for ever. */
	assert_int_equal(smx_transport_session_id(p.c.t).len, id.len);
	assert_memory_equal(smx_transport_session_id(p.c.t).p, session, id.len);
	assert_memory_equal(smx_transport_session_id(p.s.t).p, session, id.len);
	assert_int_equal(smx_transport_held_len(p.c.t) + smx_transport_held_len(p.s.t), 0);
	pair_release(&p);
}

static void by_bytes_from_either_side(void **state)
{
	static const char *const suites[][2] = {
		{ "chacha20-poly1305@openssh.com", NULL },
		{ "aes128-gcm@openssh.com", NULL },
		{ "aes256-ctr", "hmac-sha2-256" },
		{ "aes128-ctr", "hmac-sha2-512-etm@openssh.com" },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(suites); i++) {
		const char *c = suites[i][0], *m = suites[i][1], *k = "curve25519-sha256";

		flow_through_rekeys(30000, 0, k, c, m, 0, 0);
		flow_through_rekeys(0, 30000, k, c, m, SIZE_MAX, 0);
		flow_through_rekeys(20000, 20000, k, c, m, SIZE_MAX, 1);
		flow_through_rekeys(0, 0, k, c, m, SIZE_MAX, 1);
		/* Less than one packet: every message makes an exchange due. */
		flow_through_rekeys(1, 1, k, c, m, 0, 0);
	}
}

static void by_bytes_with_slow_methods(void **state)
{
	(void)state;
	flow_through_rekeys(40000, 60000, "diffie-hellman-group-exchange-sha256",
		"aes128-gcm@openssh.com", NULL, SIZE_MAX, 1);
	flow_through_rekeys(40000, 60000, "diffie-hellman-group14-sha256",
		"chacha20-poly1305@openssh.com", NULL, 1000, 1);
	flow_through_rekeys(30000, 0, "ecdh-sha2-nistp384", "aes192-ctr",
		"hmac-sha2-256-etm@openssh.com", 3, 0);
}

/* Without strict kex the numbers run on through a rekey. */
static void without_strict_kex(void **state)
{
	struct pair_config config = { .c = { .rekey_bytes = 20000 },
		.s = { .ciphers = "chacha20-poly1305@openssh.com" } };
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, &config, NULL), 0);
	side_restart(&p.c, NULL, 0, 0);
	side_restart(&p.s, NULL, 0, 0);
	side_send_kexinit(&p.c);
	side_send_kexinit(&p.s);
	pair_login(&p);
	assert_false(smx_transport_is_strict(p.c.t) || smx_transport_is_strict(p.s.t));
	(void)pair_open(&p.c);
	pair_run(&p);
	p.c.flows[0].to_send = p.s.flows[0].to_send = TO_SEND;
	pair_run(&p);
	assert_int_equal(p.s.flows[0].received, TO_SEND);
	assert_int_equal(p.c.flows[0].received, TO_SEND);
	assert_true(smx_transport_n_kex(p.c.t) > 8);
	assert_true(p.c.t->pk.tx_seq > 100 && p.s.t->pk.tx_seq > 100);
	assert_int_equal(p.c.r | p.s.r, 0);
	pair_release(&p);
}

/*
 * RFC 4253 section 7.1: after its KEXINIT a peer sends the exchange's messages only. Those that
 * send what they had in their queues are borne (U2), once they are logged in.
 */
static void U2_data_inside_an_exchange_is_taken(void **state)
{
	static const uint8_t types[] = { 2, 3, 4, 5, 6, 7, 50, 52, 60, 80, 90, 94, 97, 192, 193,
		200 };
	uint8_t msg[32] = { 0 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(types); i++) {
		for (int from_server = 0; from_server < 2; from_server++) {
			struct pair p;
			struct side *from;

			assert_int_equal(pair_init(&p, NULL, NULL), 0);
			pair_login(&p);
			(void)pair_open(&p.c);
			pair_run(&p);
			from = from_server ? &p.s : &p.c;
			assert_int_equal(smx_transport_rekey(from->t), 0);
			msg[0] = types[i];
			msg[8] = types[i] == SMX_MSG_CHANNEL_OPEN ? 9 : 0; /* the opener's number */
			side_inject(from, msg, sizeof(msg));
			pair_run(&p);
			p.c.flows[0].to_send = 10;
			pair_run(&p);
			assert_int_equal(p.s.r | p.c.r, 0);
			assert_int_equal(smx_transport_n_kex(p.s.t), 2);
			assert_int_equal(p.s.flows[0].received, types[i] == 97 ? 0 : 10);
			pair_release(&p);
		}
	}
	/* Before the login the old rule stands. */
	for (size_t i = 3; i < SMX_ARRAY_LEN(types); i++) {
		struct pair p;

		assert_int_equal(pair_init(&p, NULL, NULL), 0);
		p.c.no_layers = p.s.no_layers = 1;
		pair_run(&p);
		smx_transport_set_phase(p.s.t, SMX_PHASE_AUTH);
		assert_int_equal(smx_transport_rekey(p.c.t), 0);
		msg[0] = types[i];
		side_inject(&p.c, msg, sizeof(msg));
		pair_run(&p);
		assert_int_equal(p.s.r, SMX_EUNEXPECTED);
		pair_release(&p);
	}
}

/* In order, none lost, none twice; and not for ever. */
static void U2_data_inside_an_exchange_has_a_limit(void **state)
{
	static uint8_t msg[9 + 30000] = { SMX_MSG_CHANNEL_DATA };
	uint64_t total = 0;
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.s.window = 100u << 20;
	pair_login(&p);
	(void)pair_open(&p.c);
	pair_run(&p);
	p.s.flows[0].no_grant = 1;
	smx_set_u32(msg + 1, p.s.flows[0].chan->id);
	smx_set_u32(msg + 5, 30000);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(smx_transport_rekey(p.c.t), 0);
		side_take(&p.c);
		for (int i = 0; i < 1000; i++, total += 30000) {
			side_inject(&p.c, msg, sizeof(msg));
			(void)side_deliver(&p.c);
		}
		pair_run(&p);
		assert_int_equal(p.s.r | p.c.r, 0);
		assert_int_equal(p.s.flows[0].received, total);
		assert_int_equal(smx_transport_n_kex(p.s.t), 2 + round);
	}
	/* One that never comes to its NEWKEYS. */
	p.s.flows[0].chan->recv_window = 100u << 20;
	assert_int_equal(smx_transport_rekey(p.c.t), 0);
	side_take(&p.c);
	for (total = 0; total <= 2ull * SMX_LATE_MAX && !p.s.r; total += sizeof(msg)) {
		side_inject(&p.c, msg, sizeof(msg));
		(void)side_deliver(&p.c);
	}
	assert_int_equal(p.s.r, SMX_ELIMIT);
	assert_in_range(total, SMX_LATE_MAX, SMX_LATE_MAX + 3 * sizeof(msg));
	pair_release(&p);
}

/*
 * Another KEXINIT, a NEWKEYS out of place, an answer to nothing: of no effect after the login (U2),
 * but what takes the place of the exchange's own message is judged as that.
 */
static void U2_the_exchange_s_own_messages_out_of_place(void **state)
{
	(void)state;
	for (int in_rekey = 0; in_rekey < 2; in_rekey++) {
		for (int type = SMX_MSG_KEXINIT; type < SMX_MSG_USERAUTH_REQUEST; type++) {
			for (int from_server = 0; from_server < 2; from_server++) {
				uint8_t msg[32] = { (uint8_t)type };
				struct pair p;
				struct side *s;
				int is_fatal = !in_rekey && type == SMX_MSG_KEXINIT;

				assert_int_equal(pair_init(&p, NULL, NULL), 0);
				pair_login(&p);
				s = from_server ? &p.s : &p.c;
				if (in_rekey)
					assert_int_equal(smx_transport_rekey(s->t), 0);
				if (in_rekey && from_server)
					is_fatal = type == SMX_MSG_KEX_REPLY;
				else if (in_rekey)
					is_fatal = type == SMX_MSG_KEX_INIT;
				side_inject(s, msg, sizeof(msg));
				pair_run(&p);
				assert_int_equal(s->peer->r < 0, is_fatal);
				assert_int_equal(smx_transport_n_kex(s->peer->t),
					in_rekey && !is_fatal ? 2 : 1);
				pair_release(&p);
			}
		}
	}
}

/* --- held messages --- */

static void what_is_sent_meanwhile_waits_and_is_bounded(void **state)
{
	static uint8_t data[30000];
	struct pair p;
	struct flow *f;
	int n, r = 0;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.c.window = p.s.window = 100 << 20;
	pair_login(&p);
	f = pair_open(&p.c);
	pair_run(&p);
	assert_int_equal(smx_transport_rekey(p.c.t), 0);
	assert_false(smx_transport_can_send(p.c.t));
	/* Somebody who ignores can_send: it is held, and in order. */
	for (n = 0; n < 10; n++)
		assert_int_equal(smx_conn_send_data(&p.c.conn, f->chan, 0,
					 (struct smx_view){ data, sizeof(data) }),
			0);
	assert_true(smx_transport_held_len(p.c.t) > 10 * sizeof(data));
	assert_true(smx_transport_tx_len(p.c.t) > smx_transport_held_len(p.c.t));
	pair_run(&p);
	assert_int_equal(smx_transport_held_len(p.c.t), 0);
	assert_int_equal(p.s.flows[0].received, 10 * sizeof(data));
	/* The peer does not answer the KEXINIT: a limit, and the end. */
	assert_int_equal(smx_transport_rekey(p.c.t), 0);
	for (n = 0; r == 0 && n < 1000; n++)
		r = smx_conn_send_data(
			&p.c.conn, f->chan, 0, (struct smx_view){ data, sizeof(data) });
	assert_int_equal(r, SMX_ELIMIT);
	assert_in_range(n, 30, SMX_HELD_MAX / sizeof(data) + 1);
	pair_release(&p);
}

/* A peer that pings all through an exchange of ours, and never answers the KEXINIT. */
static void pings_during_an_exchange_are_bounded(void **state)
{
	static uint8_t ping[20005] = { SMX_MSG_PING, 0, 0, 0x4e, 0x20 };
	struct pair p;
	int n;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	assert_int_equal(smx_transport_rekey(p.s.t), 0);
	for (n = 0; p.s.r == 0 && n < 1000; n++) {
		side_inject(&p.c, ping, sizeof(ping));
		side_deliver(&p.c);
	}
	assert_int_equal(p.s.r, SMX_ELIMIT);
	assert_in_range(n, 10, SMX_HELD_MAX / 20000 + 1);
	pair_release(&p);
}

/* --- time and packets --- */

static void by_time_and_clock_jumps(void **state)
{
	struct pair_config config = { .c = { .rekey_ms = 60000 } };
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, &config, NULL), 0);
	pair_login(&p);
	p.now_ms = 60999;
	assert_int_equal(smx_transport_tick(p.c.t, p.now_ms), 0);
	pair_run(&p);
	assert_int_equal(smx_transport_n_kex(p.c.t), 1);
	p.now_ms = 61000;
	assert_int_equal(smx_transport_tick(p.c.t, p.now_ms), 0);
	pair_run(&p);
	assert_int_equal(smx_transport_n_kex(p.c.t), 2);
	/* Back to the beginning: neither one at once, nor never again. */
	assert_int_equal(smx_transport_tick(p.c.t, 5), 0);
	pair_run(&p);
	assert_int_equal(smx_transport_n_kex(p.c.t), 2);
	assert_int_equal(smx_transport_tick(p.c.t, 60005), 0);
	pair_run(&p);
	assert_int_equal(smx_transport_n_kex(p.c.t), 3);
	/* A laptop that slept for a year, and a clock at its end. */
	assert_int_equal(smx_transport_tick(p.c.t, 31536000000ull), 0);
	pair_run(&p);
	assert_int_equal(smx_transport_n_kex(p.c.t), 4);
	assert_int_equal(smx_transport_tick(p.c.t, UINT64_MAX), 0);
	assert_int_equal(smx_transport_tick(p.s.t, UINT64_MAX), 0);
	pair_run(&p);
	/* Both started one, which is one exchange. */
	assert_int_equal(smx_transport_n_kex(p.c.t), 5);
	assert_int_equal(p.c.r | p.s.r, 0);
	pair_release(&p);
}

/* No rekey by time before the login is done: a person may take an hour for a code. */
static void not_by_time_before_the_login(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.c.no_layers = p.s.no_layers = 1;
	pair_run(&p);
	assert_int_equal(smx_transport_tick(p.c.t, 100000000), 0);
	pair_run(&p);
	assert_int_equal(smx_transport_n_kex(p.c.t), 1);
	pair_release(&p);
}

static void by_packets_before_2_to_the_31(void **state)
{
	struct pair p;

	(void)state;
	for (int rx = 0; rx < 2; rx++) {
		assert_int_equal(pair_init(&p, NULL, NULL), 0);
		pair_login(&p);
		if (rx)
			p.c.t->pk.rx_packets = (1ull << 31) - 1;
		else
			p.c.t->pk.tx_packets = (1ull << 31) - 1;
		assert_int_equal(smx_conn_keepalive(&p.c.conn), 0);
		pair_run(&p);
		assert_int_equal(smx_transport_n_kex(p.c.t), 2);
		assert_int_equal(p.c.n_pongs, 1);
		pair_release(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_bytes_from_either_side),
		cmocka_unit_test(by_bytes_with_slow_methods),
		cmocka_unit_test(without_strict_kex),
		cmocka_unit_test(U2_data_inside_an_exchange_is_taken),
		cmocka_unit_test(U2_data_inside_an_exchange_has_a_limit),
		cmocka_unit_test(U2_the_exchange_s_own_messages_out_of_place),
		cmocka_unit_test(what_is_sent_meanwhile_waits_and_is_bounded),
		cmocka_unit_test(pings_during_an_exchange_are_bounded),
		cmocka_unit_test(by_time_and_clock_jumps),
		cmocka_unit_test(not_by_time_before_the_login),
		cmocka_unit_test(by_packets_before_2_to_the_31),
	};

	return cmocka_run_group_tests(tests, NULL, pair_teardown);
}
