/* SPDX-License-Identifier: MIT */
/* Spare session channels (B12): when there is one, who gets it, and what the server does to it. */
#include "spare_link.h"

/* --- one after another --- */

static void B12_the_next_session_is_there_before_it_is_asked_for(void **state)
{
	struct fixture *f = make("OpenSSH_9.2p1 Debian-2");
	struct client *c;
	uint32_t spare;

	(void)state;
	spares_tick(&f->up);
	assert_int_equal(look(f), 0); /* not before the first session */
	spare = begin(f);
	assert_int_equal(f->windows[0], SPARE_WINDOW);
	confirm(f, spare);
	assert_int_equal(spares_count(&f->up), 1);
	for (int i = 0; i < 5; i++) {
		leave(f, &f->clients[i]);
		pass(f, 1000);
		(void)look(f);
		c = come(f);
		/* At once, with the window of its own open, and the next one is asked for. */
		assert_int_equal(c->id, spare);
		assert_int_equal(c->ep.chan->recv_window, WINDOW);
		assert_int_equal(c->ep.chan->send_window, 2 << 20);
		assert_int_equal(look(f), 1);
		assert_int_equal(f->n_adjusts, 1);
		assert_int_equal(f->adjusted, spare);
		assert_int_equal(f->adjusted_by, WINDOW - SPARE_WINDOW);
		assert_int_equal(f->up.n_sessions, (unsigned)i + 2);
		spare = f->opens[0];
		confirm(f, spare);
	}
	assert_int_equal(spares_count(&f->up), 1);
	finish(f);
}

static void B12_one_that_is_under_way_is_waited_for(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	struct client *c = come(f);

	(void)state;
	assert_int_equal(look(f), 0);
	assert_int_equal(f->up.n_pending, 1);
	assert_int_equal(c->id, NONE);
	confirm(f, spare);
	assert_int_equal(c->id, spare);
	assert_int_equal(c->ep.chan->recv_window, WINDOW);
	assert_int_equal(f->up.n_pending, 0);
	/* One was not enough. */
	assert_int_equal(look(f), 2);
	confirm(f, f->opens[0]);
	confirm(f, f->opens[1]);
	assert_int_equal(spares_count(&f->up), 2);
	finish(f);
}

static void B12_who_leaves_while_it_is_under_way_leaves_it_to_the_next(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	struct client *c = come(f);

	(void)state;
	pool_cancel(&c->req);
	assert_true(c->is_released);
	assert_int_equal(f->up.n_pending, 0);
	confirm(f, spare);
	assert_int_equal(c->id, NONE);
	assert_int_equal(come(f)->id, spare);
	finish(f);
}

/* --- what the server thinks of it --- */

static void B12_a_refusal_is_the_last_and_costs_nobody_a_session(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	struct client *c = come(f);

	(void)state;
	refuse(f, spare);
	/* As if it had never been: its own open. */
	assert_int_equal(look(f), 1);
	assert_int_equal(f->windows[0], WINDOW);
	assert_int_equal(c->failed, 0);
	confirm(f, f->opens[0]);
	assert_int_equal(c->id, f->opens[0]);
	/* Not again, and nothing was learned about sessions. */
	assert_int_equal(look(f), 0);
	assert_int_equal(f->up.sessions_max, 0);
	assert_int_equal(f->entry.session_limit, 0);
	for (int i = 0; i < 5; i++) {
		pass(f, 1000);
		spares_tick(&f->up);
	}
	assert_int_equal(look(f), 0);
	finish(f);
}

static void B12_a_server_that_closes_one_is_not_asked_again(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	struct client *c;

	(void)state;
	confirm(f, spare);
	bare(f, SMX_MSG_CHANNEL_CLOSE, spare);
	assert_int_equal(spares_count(&f->up), 0);
	(void)look(f);
	assert_int_equal(f->n_closes, 1); /* answered */
	c = come(f);
	assert_int_equal(look(f), 1);
	confirm(f, f->opens[0]);
	assert_int_equal(c->id, f->opens[0]);
	assert_int_equal(look(f), 0);
	/* Nor on the other connections of the route. */
	assert_true(f->entry.has_closed_spare);
	finish(f);
}

static void B12_what_a_server_sends_unasked_reaches_nobody(void **state)
{
	static const uint8_t hello[] = { SMX_MSG_CHANNEL_DATA, 0, 0, 0, 0, 0, 0, 0, 2, 'h', 'i' };
	uint8_t m[sizeof(hello)];
	struct client *c;

	(void)state;
	for (int how = 0; how < 4; how++) {
		struct fixture *f = make("OpenSSH_9.2");
		uint32_t spare = begin(f);
		int is_waited_for = how & 1;

		confirm(f, spare);
		if (is_waited_for)
			pass(f, 10000); /* the path is to be asked about first */
		c = is_waited_for ? come(f) : NULL;
		memcpy(m, hello, sizeof(m));
		smx_set_u32(m + 1, spare);
		/* What says it is alive as well: it is closed before that is looked at. */
		if (how & 2)
			bare(f, SMX_MSG_CHANNEL_EOF, spare);
		else
			say(f, m, sizeof(m));
		if (!c)
			c = come(f);
		assert_int_equal(look(f), 1);
		assert_int_equal(f->n_closes, 1);
		assert_int_equal(f->closed, spare);
		assert_int_equal(c->id, NONE);
		confirm(f, f->opens[0]);
		assert_int_equal(c->id, f->opens[0]);
		bare(f, SMX_MSG_CHANNEL_CLOSE, spare);
		assert_int_equal(f->up.spares.n_leaving, 0);
		assert_int_equal(look(f), 0);
		finish(f);
	}
}

/* sshd sends its ClientAlive on the first channel there is; a window is kept. */
static void B12_keepalives_and_windows_on_a_spare_are_nothing_special(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	uint8_t adjust[9] = { SMX_MSG_CHANNEL_WINDOW_ADJUST };
	struct client *c;
	struct smx_buf b;

	(void)state;
	confirm(f, spare);
	smx_buf_init(&b, 100);
	assert_int_equal(smx_put_u8(&b, SMX_MSG_CHANNEL_REQUEST), 0);
	assert_int_equal(smx_put_u32(&b, spare), 0);
	assert_int_equal(smx_put_cstr(&b, "keepalive@openssh.com"), 0);
	assert_int_equal(smx_put_bool(&b, 1), 0);
	say(f, smx_buf_as_view(&b).p, smx_buf_len(&b));
	smx_buf_release(&b);
	smx_set_u32(adjust + 1, spare);
	smx_set_u32(adjust + 5, 77);
	say(f, adjust, sizeof(adjust));
	(void)look(f);
	assert_int_equal(f->n_failures, 1);
	c = come(f);
	assert_int_equal(c->id, spare);
	assert_int_equal(c->ep.chan->send_window, (2 << 20) + 77);
	finish(f);
}

/* --- when there is to be none --- */

static void B12_none_while_an_open_is_under_way(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f), second;
	struct client *a, *b;

	(void)state;
	confirm(f, spare);
	a = come(f);
	assert_int_equal(a->id, spare);
	assert_int_equal(look(f), 1);
	a = come(f); /* waits for the spare that is under way */
	b = come(f); /* finds none */
	spare = f->opens[0];
	assert_int_equal(look(f), 1);
	second = f->opens[0];
	assert_int_equal(f->windows[0], WINDOW);
	confirm(f, spare);
	assert_int_equal(a->id, spare);
	assert_int_equal(look(f), 0); /* its refusal could be taken for that of b's */
	confirm(f, second);
	assert_int_equal(b->id, second);
	assert_int_equal(look(f), 2);
	finish(f);
}

static void B12_none_near_the_limit_of_sessions(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare;

	(void)state;
	f->entry.session_limit = 4;
	spare = begin(f); /* 1 of 4, and a spare */
	confirm(f, spare);
	assert_int_equal(come(f)->id, spare);
	assert_int_equal(look(f), 1); /* 2 of 4 */
	spare = f->opens[0];
	confirm(f, spare);
	assert_int_equal(come(f)->id, spare);
	assert_int_equal(look(f), 0); /* 3 of 4: the last is for who wants it now */
	leave(f, &f->clients[0]);
	spares_tick(&f->up);
	(void)look(f);
	assert_int_equal(f->n_opens, 1);
	finish(f);
}

enum state { LOCKED, STOPPING, OFF, STRAY, DRAINING, USED_UP, OLD, DEAD, STALLED, KEX, FULL, END };

static void spoil(struct fixture *f, enum state what)
{
	f->mux.is_locked = what == LOCKED;
	f->mux.core.is_stopping = what == STOPPING;
	f->hop.spare = what != OFF;
	f->entry.is_stray = what == STRAY;
	f->up.is_draining = what == DRAINING;
	f->up.is_used_up = what == USED_UP;
	f->opts.max_lifetime_s = what == OLD ? 60 : 0;
	f->link->dead = what == DEAD ? SMX_EEOF : 0;
	f->up.state = what == STALLED ? UPSTREAM_STALLED : UPSTREAM_READY;
	f->link->t->sent_kexinit = what == KEX;
	f->link->pace.up.mode = what == FULL ? PACE_STEADY : PACE_UNKNOWN;
	f->link->pace.up.total = f->link->pace.up.window = what == FULL ? 1000 : 0;
}

static void B12_none_at_a_bad_moment(void **state)
{
	(void)state;
	for (enum state what = LOCKED; what < END; what++) {
		struct fixture *f = make("OpenSSH_9.2");
		struct client *c = come(f);

		assert_int_equal(look(f), 1);
		spoil(f, what == DEAD || what == KEX ? END : what);
		confirm(f, f->opens[0]);
		assert_int_equal(c->id, f->opens[0]);
		if (what == DEAD || what == KEX) {
			(void)look(f);
			confirm(f, f->opens[0]); /* one more than asked for: ignored */
			spares_close(&f->up);
			f->up.spares.given_ms = now(f);
			(void)look(f);
			bare(f, SMX_MSG_CHANNEL_CLOSE, f->closed);
			(void)look(f);
			spoil(f, what);
		}
		spares_fill(&f->up);
		spares_tick(&f->up);
		assert_int_equal(spares_count(&f->up), 0);
		f->link->t->sent_kexinit = 0;
		assert_int_equal(look(f), 0);
		/* When it is over there is one, but where a person wants none. */
		spoil(f, END);
		spares_tick(&f->up);
		assert_int_equal(look(f), 1);
		finish(f);
	}
}

static void B12_only_for_servers_that_are_known_to_take_it(void **state)
{
	static const char *const others[] = { "dropbear_2022.83", "OpenSSH", "OpenSSH_ssh-mux_0.1",
		"paramiko_2.12.0", "AsyncSSH_2.10", "libssh_0.10.4", "OpenSSH_for_Windows_9.5",
		"" };
	struct client *c;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(others); i++) {
		struct fixture *f = make(others[i]);

		c = come(f);
		assert_int_equal(look(f), 1);
		confirm(f, f->opens[0]);
		assert_int_equal(c->id, f->opens[0]);
		spares_tick(&f->up);
		assert_int_equal(look(f), 0);
		finish(f);
	}
}

/* --- how it ends --- */

static void B12_unused_for_a_minute_it_is_closed(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);

	(void)state;
	confirm(f, spare);
	(void)look(f);
	for (int i = 0; i < 59; i++) {
		pass(f, 1000);
		spares_tick(&f->up);
		answer_probe(f);
	}
	(void)look(f);
	assert_int_equal(f->n_closes, 0);
	assert_int_equal(spares_count(&f->up), 1);
	pass(f, 1000);
	spares_tick(&f->up);
	assert_int_equal(look(f), 0); /* nor another one */
	assert_int_equal(f->n_closes, 1);
	assert_int_equal(f->closed, spare);
	assert_int_equal(spares_count(&f->up), 0);
	assert_int_equal(f->up.spares.n_leaving, 1);
	bare(f, SMX_MSG_CHANNEL_CLOSE, spare);
	assert_int_equal(spares_count(&f->up), 0);
	assert_int_equal(f->up.spares.n_leaving, 0);
	assert_int_equal(f->link->conn.n_chans, 1);
	/* Closed by us: the next session brings the next spare. */
	(void)come(f);
	assert_int_equal(look(f), 1);
	confirm(f, f->opens[0]);
	assert_int_equal(look(f), 1);
	finish(f);
}

static void B12_the_second_goes_when_one_is_enough(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);

	(void)state;
	(void)come(f);
	confirm(f, spare);
	assert_int_equal(look(f), 2);
	confirm(f, f->opens[0]);
	confirm(f, f->opens[1]);
	for (int i = 0; i < 3; i++) {
		pass(f, 25000);
		spares_tick(&f->up);
		answer_probe(f);
		(void)look(f);
		assert_int_not_equal(come(f)->id, NONE);
		if (look(f))
			confirm(f, f->opens[0]);
	}
	assert_int_equal(spares_count(&f->up), 1);
	finish(f);
}

static void B12_lock_closes_them_and_those_under_way(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);

	(void)state;
	f->mux.is_locked = 1;
	pool_lock(&f->mux);
	assert_int_equal(spares_count(&f->up), 0);
	(void)look(f);
	assert_int_equal(f->n_closes, 0); /* an open can't be taken back */
	confirm(f, spare);
	(void)look(f);
	assert_int_equal(f->n_closes, 1);
	bare(f, SMX_MSG_CHANNEL_CLOSE, spare);
	assert_int_equal(f->up.spares.n_leaving, 0);

	f->mux.is_locked = 0;
	spares_tick(&f->up);
	assert_int_equal(look(f), 1);
	confirm(f, f->opens[0]);
	f->mux.is_locked = 1;
	pool_lock(&f->mux);
	assert_int_equal(look(f), 0);
	assert_int_equal(f->n_closes, 1);
	finish(f);
}

/* sshd may count one that we have just closed when it reads the next open. */
static void B12_a_refusal_that_one_of_ours_may_have_caused_is_no_answer(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	struct client *c;

	(void)state;
	confirm(f, spare);
	spares_close(&f->up);
	(void)look(f);
	c = come(f);
	assert_int_equal(look(f), 1);
	refuse(f, f->opens[0]);
	assert_int_equal(c->failed, 0);
	assert_int_equal(f->entry.session_limit, 0);
	assert_int_equal(look(f), 1);
	bare(f, SMX_MSG_CHANNEL_CLOSE, spare);
	confirm(f, f->opens[0]);
	assert_int_equal(c->id, f->opens[0]);
	finish(f);
}

static void P2_a_spare_is_nobodys_channel(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	unsigned n_open;

	(void)state;
	leave(f, &f->clients[0]);
	assert_int_equal(upstream_channels(&f->up), 1);
	assert_false(upstream_is_used(&f->up)); /* under way */
	assert_int_equal(upstream_sessions(&f->up, &n_open), 0);
	confirm(f, spare);
	assert_false(upstream_is_used(&f->up)); /* open */
	assert_int_equal(upstream_sessions(&f->up, &n_open), 0);
	pass(f, 10000);
	(void)come(f);
	assert_true(upstream_is_used(&f->up)); /* somebody waits for it */
	assert_int_equal(upstream_sessions(&f->up, &n_open), 1);
	pool_cancel(&f->clients[1].req);
	spares_close(&f->up);
	assert_false(upstream_is_used(&f->up)); /* being closed */
	finish(f);
}

/* --- the path (B11, U3) --- */

static void B11_on_a_silent_path_a_sign_of_life_is_awaited(void **state)
{
	static const struct {
		uint64_t rtt_ms;
		uint64_t silence_ms;
		int is_given;
	} cases[] = { { 100, 2400, 1 }, { 100, 2600, 0 }, { 20, 900, 1 }, { 20, 1100, 0 },
		{ 0, 200, 1 }, { 0, 300, 0 } };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct fixture *f = make("OpenSSH_9.2");
		uint32_t spare = begin(f);
		struct client *c;

		f->rtt_ms = cases[i].rtt_ms;
		confirm(f, spare);
		pass(f, cases[i].silence_ms);
		(void)look(f);
		c = come(f);
		assert_int_equal(c->id == spare, cases[i].is_given);
		(void)look(f);
		if (!cases[i].is_given) {
			assert_int_equal(f->n_probes, 1); /* at once */
			assert_int_equal(f->up.n_pending, 1);
			assert_int_equal(f->n_adjusts, 0);
			pass(f, 100);
			answer_probe(f);
			assert_int_equal(c->id, spare);
			assert_int_equal(f->up.n_pending, 0);
		}
		finish(f);
	}
}

static void B11_a_doubt_or_an_unanswered_probe_is_enough(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	struct client *c;

	(void)state;
	confirm(f, spare);
	pass(f, 1000);
	spares_tick(&f->up); /* asks: the path is to stay known */
	(void)look(f);
	assert_int_equal(f->n_probes, 1);
	pass(f, 600);
	c = come(f);
	assert_int_equal(c->id, NONE);
	answer_probe(f);
	assert_int_equal(c->id, spare);
	(void)look(f);
	confirm(f, f->opens[0]);
	/* The machine slept. */
	pass(f, 10);
	smx_live_doubt(&f->link->live, now(f));
	c = come(f);
	assert_int_equal(c->id, NONE);
	finish(f);
}

/* On a path where a round trip is nothing, nobody is asked all the time. */
static void B12_near_servers_are_not_kept_awake(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);

	(void)state;
	f->rtt_ms = 20;
	confirm(f, spare);
	(void)look(f);
	for (int i = 0; i < 10; i++) {
		pass(f, 1000);
		spares_tick(&f->up);
	}
	(void)look(f);
	assert_int_equal(f->n_probes, 0);
	finish(f);
}

static void U3_who_waits_on_a_stalled_path_goes_elsewhere(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	uint32_t spare = begin(f);
	struct client *c;

	(void)state;
	confirm(f, spare);
	pass(f, 10000);
	c = come(f);
	f->up.state = UPSTREAM_STALLED;
	upstream_withdraw(&f->up);
	assert_int_equal(f->up.n_pending, 0);
	assert_null(c->req.up);
	assert_ptr_equal(f->entry.waiting.next, &c->req.node);
	/* It is back: the spare is nobody's again, and nobody else's. */
	answer_probe(f);
	assert_int_equal(c->id, NONE);
	assert_int_equal(spares_count(&f->up), 1);
	finish(f);
}

static void B12_the_link_dies(void **state)
{
	struct fixture *f = make("OpenSSH_9.2");
	struct endpoint *ep = &f->up.spares.all[0].ep;
	struct client *c;

	(void)state;
	(void)begin(f);
	c = come(f);
	f->link->dead = SMX_EEOF;
	ep->chan->user = NULL;
	ep->chan = NULL;
	ep->ops->link_dead(ep, SMX_EEOF, "gone");
	assert_ptr_equal(f->entry.waiting.next, &c->req.node);
	assert_null(c->req.up);
	assert_int_equal(spares_count(&f->up), 0);
	finish(f);
}

/* Memory runs out anywhere: the connection ends, or it goes on; nothing is lost or done twice. */
static void B12_no_memory(void **state)
{
	int is_through = 0;

	(void)state;
	for (long n = 0; !is_through; n++) {
		struct fixture *f = make("OpenSSH_9.2");
		struct client *c = come(f);

		assert_non_null(c);
		(void)look(f);
		smx_mem_fail_after(n);
		confirm(f, f->opens[0]);
		if (!f->link->dead && look(f) == 1)
			confirm(f, f->opens[0]);
		if (!f->link->dead && (c = come(f)))
			(void)look(f);
		spares_tick(&f->up);
		spares_close(&f->up);
		is_through = !f->link->dead && c && c->id != NONE && f->n_opens == 1;
		smx_mem_fail_after(-1);
		finish(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B12_the_next_session_is_there_before_it_is_asked_for),
		cmocka_unit_test(B12_one_that_is_under_way_is_waited_for),
		cmocka_unit_test(B12_who_leaves_while_it_is_under_way_leaves_it_to_the_next),
		cmocka_unit_test(B12_a_refusal_is_the_last_and_costs_nobody_a_session),
		cmocka_unit_test(B12_a_server_that_closes_one_is_not_asked_again),
		cmocka_unit_test(B12_what_a_server_sends_unasked_reaches_nobody),
		cmocka_unit_test(B12_keepalives_and_windows_on_a_spare_are_nothing_special),
		cmocka_unit_test(B12_none_while_an_open_is_under_way),
		cmocka_unit_test(B12_none_near_the_limit_of_sessions),
		cmocka_unit_test(B12_none_at_a_bad_moment),
		cmocka_unit_test(B12_only_for_servers_that_are_known_to_take_it),
		cmocka_unit_test(B12_unused_for_a_minute_it_is_closed),
		cmocka_unit_test(B12_the_second_goes_when_one_is_enough),
		cmocka_unit_test(B12_lock_closes_them_and_those_under_way),
		cmocka_unit_test(B12_a_refusal_that_one_of_ours_may_have_caused_is_no_answer),
		cmocka_unit_test(P2_a_spare_is_nobodys_channel),
		cmocka_unit_test(B11_on_a_silent_path_a_sign_of_life_is_awaited),
		cmocka_unit_test(B11_a_doubt_or_an_unanswered_probe_is_enough),
		cmocka_unit_test(B12_near_servers_are_not_kept_awake),
		cmocka_unit_test(U3_who_waits_on_a_stalled_path_goes_elsewhere),
		cmocka_unit_test(B12_the_link_dies),
		cmocka_unit_test(B12_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
