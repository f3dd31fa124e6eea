/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong on our own side: memory that fails at every single allocation of a whole
 * session, slow work that outlives its transport, wrong calls.
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

/* --- memory --- */

/* A login, a channel with data, a rekey, a close. Returns whether all of it went well. */
static int whole_session(struct pair *p)
{
	struct smx_chan *chan;
	struct flow *f;

	pair_run(p);
	if (!p->c.is_authed || !p->s.is_authed || p->c.r || p->s.r)
		return 0;
	if (smx_conn_open(&p->c.conn, smx_view_of("session", 7), (struct smx_view){ NULL, 0 },
		    65536, &chan) != 0)
		return 0;
	f = &p->c.flows[p->c.n_flows++];
	f->chan = chan;
	pair_run(p);
	if (!f->is_open || p->c.r || p->s.r)
		return 0;
	f->to_send = p->s.flows[0].to_send = 100000;
	f->eof_when_sent = 1;
	if (smx_transport_rekey(p->s.t) != 0)
		return 0;
	/* Held on the server's side. */
	if (smx_conn_send_request(
		    &p->s.conn, p->s.flows[0].chan, "shell", 1, (struct smx_view){ NULL, 0 }) != 0)
		return 0;
	pair_run(p);
	if (p->c.r || p->s.r || p->s.flows[0].received != 100000)
		return 0;
	if (smx_conn_send_close(&p->c.conn, f->chan) != 0)
		return 0;
	pair_run(p);
	return f->got_close && p->c.r == 0 && p->s.r == 0 && smx_transport_n_kex(p->c.t) == 2;
}

static void every_allocation_fails_once(void **state)
{
	static const char *const kexes[] = { "curve25519-sha256",
		"diffie-hellman-group-exchange-sha256" };
	/* Made before memory fails. */
	struct smx_key *host = pair_key(0);
	long alive, n;

	(void)state;
	(void)pair_key(1);
	for (size_t i = 0; i < SMX_ARRAY_LEN(kexes); i++) {
		struct smx_transport_config one = { .kex = kexes[i] };
		struct pair_config config = { one, one };
		int done = 0;

		alive = smx_mem_alive();
		for (n = 0; !done && n < 10000; n++) {
			struct pair p;

			smx_mem_fail_after(n);
			if (pair_init(&p, &config, host) == 0)
				done = whole_session(&p);
			smx_mem_fail_after(-1);
			/* What the peer of a side without memory sees is an end, not a fault. */
			if (!done && p.c.r == SMX_ENOMEM)
				assert_true(p.s.r == 0 || p.s.r == SMX_EDISCONNECTED ||
					    p.s.r == SMX_ENOMEM);
			pair_release(&p);
			assert_int_equal(smx_mem_alive(), alive);
		}
		assert_true(done);
		assert_in_range(n, 50, 2000);
	}
}

/* --- slow work (docs/DESIGN.md, section 2: nothing over 5 ms on the loop) --- */

static const struct pair_config slow_config = {
	.c = { .kex = "diffie-hellman-group-exchange-sha256" },
	.s = { .kex = "diffie-hellman-group-exchange-sha256" },
};

/* Bytes that come while work is out wait; nothing is handled behind its back. */
static void work_is_deferred(void **state)
{
	static const uint8_t ignore[] = { SMX_MSG_IGNORE, 0, 0, 0, 0 };
	struct pair p;
	int rounds = 0;

	(void)state;
	assert_int_equal(pair_init(&p, &slow_config, NULL), 0);
	p.c.defer_work = p.s.defer_work = 1;
	p.chunk = SIZE_MAX;
	while (!p.s.is_authed && rounds++ < 20) {
		pair_run(&p);
		for (int i = 0; i < 2; i++) {
			struct side *s = i ? &p.s : &p.c;
			struct smx_work *work = s->work;

			if (!work)
				continue;
			s->work = NULL;
			assert_true(smx_transport_is_waiting(s->t));
			assert_false(smx_transport_can_send(s->t));
			smx_work_run(work);
			smx_transport_work_done(s->t, work);
			assert_false(smx_transport_is_waiting(s->t));
		}
	}
	/* Start and finish of the client, both at once of the server. */
	assert_in_range(rounds, 4, 5);
	pair_login(&p);
	/* A rekey with data under way: it waits behind the work. */
	assert_int_equal(smx_transport_rekey(p.c.t), 0);
	pair_run(&p);
	assert_non_null(p.c.work);
	side_inject(&p.s, ignore, sizeof(ignore));
	pair_run(&p);
	assert_int_equal(p.c.r | p.s.r, 0);
	/* Freed with its side, work and all. */
	pair_release(&p);
}

/* The transport goes at each stage of an exchange while its work is on a thread. */
static void transport_freed_while_work_is_out(void **state)
{
	long alive = smx_mem_alive();

	(void)state;
	for (int stop_at = 0; stop_at < 4; stop_at++) {
		struct smx_work *out[2] = { NULL, NULL };
		struct pair p;
		int n = 0;

		assert_int_equal(pair_init(&p, &slow_config, NULL), 0);
		p.c.defer_work = p.s.defer_work = 1;
		for (int rounds = 0; rounds < 20 && n < stop_at; rounds++) {
			pair_run(&p);
			for (int i = 0; i < 2 && n < stop_at; i++) {
				struct side *s = i ? &p.s : &p.c;

				if (!s->work)
					continue;
				smx_work_run(s->work);
				smx_transport_work_done(s->t, s->work);
				s->work = NULL;
				n++;
			}
		}
		pair_run(&p);
		out[0] = p.c.work;
		out[1] = p.s.work;
		p.c.work = p.s.work = NULL;
		pair_release(&p);
		/* Still runs to its end, of nothing but its own memory. */
		for (int i = 0; i < 2; i++) {
			if (out[i])
				smx_work_run(out[i]);
			smx_work_free(out[i]);
		}
		assert_int_equal(smx_mem_alive(), alive);
	}
}

/* Work that comes back to a transport that died meanwhile. */
static void work_done_of_a_dead_transport(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, &slow_config, NULL), 0);
	p.c.defer_work = 1;
	pair_run(&p);
	assert_non_null(p.c.work);
	smx_transport_disconnect(p.c.t, SMX_DISCONNECT_BY_APPLICATION, "enough");
	smx_work_run(p.c.work);
	smx_transport_work_done(p.c.t, p.c.work);
	p.c.work = NULL;
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_ECANCELLED);
	assert_int_equal(p.s.r, SMX_EDISCONNECTED);
	assert_string_equal(smx_transport_reason(p.s.t), "enough");
	pair_release(&p);
}

/* A peer whose DH value is no good: the work fails, and with it the exchange. */
static void zero_dh_value(struct side *s, uint8_t *b, size_t n, uint64_t at)
{
	(void)at;
	/* KEXDH_INIT in the clear: length, padding, 30, mpint. */
	for (size_t i = 0; i + 10 < n; i++)
		if (b[i + 5] == SMX_MSG_GEX_INIT && s->t->step == KEX_WAIT_REPLY && i == 0)
			memset(b + 10, 0, n - 30);
}

static void work_that_fails(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, &slow_config, NULL), 0);
	p.c.tamper = zero_dh_value;
	pair_run(&p);
	assert_int_equal(p.s.r, SMX_EPROTOCOL);
	assert_false(p.c.is_ready || p.s.is_ready);
	pair_release(&p);
}

/* --- wrong calls and dead transports --- */

static void bad_configurations(void **state)
{
	struct smx_transport_config config = { .role = SMX_SERVER, .software = "x" };
	struct smx_transport *t = NULL;
	struct smx_pool pool;
	char software[300];

	(void)state;
	smx_pool_init(&pool, 1);
	config.pool = &pool;
	assert_int_equal(smx_transport_new(&t, &config, 0), SMX_EINVAL); /* no host key */
	memset(software, 'x', sizeof(software));
	software[sizeof(software) - 1] = '\0';
	config.role = SMX_CLIENT;
	config.software = software;
	assert_int_equal(smx_transport_new(&t, &config, 0), SMX_EINVAL);
	assert_null(t);
	smx_transport_free(NULL);
	smx_work_free(NULL);
	smx_pool_release(&pool);
}

static void a_dead_transport_stays_dead(void **state)
{
	static const uint8_t msg[] = { SMX_MSG_IGNORE, 0, 0, 0, 0 };
	struct smx_view part = { msg, sizeof(msg) };
	struct smx_event ev;
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	smx_transport_disconnect(p.c.t, SMX_DISCONNECT_BY_APPLICATION, "bye");
	assert_int_equal(smx_transport_next(p.c.t, &ev), SMX_ECANCELLED);
	assert_int_equal(smx_transport_send(p.c.t, &part, 1), SMX_ECANCELLED);
	assert_int_equal(smx_transport_rekey(p.c.t), SMX_ECANCELLED);
	assert_int_equal(smx_transport_tick(p.c.t, 1), SMX_ECANCELLED);
	smx_transport_host_key_decided(p.c.t, 0);
	assert_int_equal(smx_transport_next(p.c.t, &ev), SMX_ECANCELLED);
	assert_false(smx_transport_can_send(p.c.t));
	/* The DISCONNECT still goes out. */
	pair_run(&p);
	assert_int_equal(p.s.r, SMX_EDISCONNECTED);
	pair_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_fails_once),
		cmocka_unit_test(work_is_deferred),
		cmocka_unit_test(transport_freed_while_work_is_out),
		cmocka_unit_test(work_done_of_a_dead_transport),
		cmocka_unit_test(work_that_fails),
		cmocka_unit_test(bad_configurations),
		cmocka_unit_test(a_dead_transport_stays_dead),
	};

	return cmocka_run_group_tests(tests, NULL, pair_teardown);
}
