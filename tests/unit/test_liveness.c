/* SPDX-License-Identifier: MIT */
/* ready → stalled → dead under a clock of our own (P4, B11, U3, U4, L10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ssh/liveness.h"

#define S     1000ull /* a second */
#define START (5000 * S)

/* As the pool has them, and with its clock: one tick a second. */
static const struct smx_live_rules rules = {
	.probe_ms = 15 * S,
	.eager_ms = 1 * S,
	.stalled_ms = 45 * S,
	.doubt_ms = 5 * S,
	.dead_ms = 900 * S,
};

struct world {
	struct smx_live lv;
	struct smx_live_rules rules;
	struct smx_live_input in;
	uint64_t now;
	unsigned n_probes;
	uint64_t first_probe_ms, stalled_at_ms, back_at_ms, dead_at_ms;
	/* What the other side does. */
	int answers; /* probes, at once */
	int acks; /* its TCP, each second */
};

static void setup(struct world *w)
{
	*w = (struct world){ .rules = rules, .now = START };
	smx_live_init(&w->lv, w->now);
}

static void tick(struct world *w)
{
	int due;

	if (w->acks)
		smx_live_acked(&w->lv, w->now);
	due = smx_live_tick(&w->lv, &w->rules, &w->in, w->now);
	if (due & SMX_LIVE_HAS_STALLED)
		w->stalled_at_ms = w->now;
	if (due & SMX_LIVE_IS_BACK)
		w->back_at_ms = w->now;
	if (due & SMX_LIVE_HAS_DIED)
		w->dead_at_ms = w->now;
	if (due & SMX_LIVE_PROBE_DUE) {
		if (w->n_probes++ == 0)
			w->first_probe_ms = w->now;
		smx_live_probed(&w->lv, w->now);
		if (w->answers)
			smx_live_answered(&w->lv, w->now + 100);
	}
}

/* Some seconds pass. */
static void pass(struct world *w, unsigned seconds)
{
	while (seconds--) {
		w->now += S;
		tick(w);
	}
}

static void assert_state(const struct world *w, enum smx_live_state state)
{
	assert_int_equal(w->lv.state, state);
}

static void P4_a_quiet_server_is_asked_every_15_s(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.answers = 1;
	pass(&w, 10 * 60);
	assert_state(&w, SMX_LIVE_READY);
	assert_int_equal(w.first_probe_ms, START + 15 * S);
	assert_in_range(w.n_probes, 36, 40);
}

static void P4_traffic_spares_the_probes(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	for (int i = 0; i < 100; i++) {
		smx_live_seen(&w.lv, w.now);
		pass(&w, 14);
	}
	assert_int_equal(w.n_probes, 0);
}

static void U3_silence_of_45_s_is_stalled_and_not_dead(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 44);
	assert_state(&w, SMX_LIVE_READY);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_STALLED);
	assert_int_equal(w.stalled_at_ms, START + 45 * S);
	assert_int_equal(w.n_probes, 3);
	pass(&w, 899 - 45);
	assert_state(&w, SMX_LIVE_STALLED);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_DEAD);
	assert_int_equal(w.dead_at_ms, START + 900 * S);
	/* Whatever comes then. */
	smx_live_seen(&w.lv, w.now);
	pass(&w, 5);
	assert_state(&w, SMX_LIVE_DEAD);
}

static void U3_ten_minutes_of_silence_and_back(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 600);
	assert_state(&w, SMX_LIVE_STALLED);
	smx_live_seen(&w.lv, w.now);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_READY);
	assert_int_equal(w.back_at_ms, START + 601 * S);
	/* And it counts from the beginning. */
	pass(&w, 43);
	assert_state(&w, SMX_LIVE_READY);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_STALLED);
	assert_int_equal(w.stalled_at_ms, START + 645 * S);
}

static void U3_dead_after_45_is_the_old_rule(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.rules.dead_ms = 45 * S;
	pass(&w, 44);
	assert_state(&w, SMX_LIVE_READY);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_DEAD);
	assert_int_equal(w.stalled_at_ms, 0);
}

static void B11_a_doubted_path_has_5_s(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 10);
	smx_live_doubt(&w.lv, w.now);
	smx_live_probed(&w.lv, w.now);
	assert_int_equal(smx_live_deadline(&w.lv, &w.rules, &w.in, w.now), w.now + 5 * S);
	pass(&w, 4);
	assert_state(&w, SMX_LIVE_READY);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_STALLED);
	assert_int_equal(w.stalled_at_ms, START + 15 * S);
}

static void B11_any_byte_ends_the_doubt(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 10);
	smx_live_doubt(&w.lv, w.now);
	smx_live_probed(&w.lv, w.now);
	pass(&w, 4);
	smx_live_seen(&w.lv, w.now);
	pass(&w, 20);
	assert_state(&w, SMX_LIVE_READY);
	/* The probe of now has nobody who waits for it. */
	assert_true(w.n_probes > 0);
	pass(&w, 20);
	assert_state(&w, SMX_LIVE_READY);
}

/* Without a doubt a probe may be unanswered for much longer. */
static void P4_one_missed_probe_is_nothing(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 15 + 14);
	assert_int_equal(w.n_probes, 1);
	assert_state(&w, SMX_LIVE_READY);
	/* But now somebody wants something of it, and that one was sent 14 s ago. */
	assert_true(smx_live_is_overdue(&w.lv, &w.rules, w.now));
	smx_live_doubt(&w.lv, w.now);
	tick(&w);
	assert_state(&w, SMX_LIVE_STALLED);
}

static void U3_who_waits_for_an_open_waits_6_s_at_most(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 10);
	smx_live_seen(&w.lv, w.now); /* the last byte; then the path is silent */
	w.in.is_expected = 1;
	smx_live_doubt(&w.lv, w.now);
	assert_int_equal(smx_live_deadline(&w.lv, &w.rules, &w.in, w.now), w.now + 1 * S);
	pass(&w, 6);
	assert_int_equal(w.first_probe_ms, START + 11 * S);
	assert_int_equal(w.stalled_at_ms, START + 16 * S);
}

/* The server takes two minutes to answer the open; it answers probes meanwhile. */
static void U3_a_slow_answer_is_no_stall(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.in.is_expected = w.answers = 1;
	pass(&w, 120);
	assert_state(&w, SMX_LIVE_READY);
	assert_int_equal(w.stalled_at_ms, 0);
}

static void B11_sleep_is_no_silence(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 40);
	w.now += 3600 * S; /* we were stopped for an hour */
	smx_live_woke(&w.lv, w.now);
	tick(&w);
	assert_state(&w, SMX_LIVE_READY);
	pass(&w, 44);
	assert_state(&w, SMX_LIVE_READY);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_STALLED);
	/* That it was stalled before a sleep is not forgotten by it. */
	w.now += 3600 * S;
	smx_live_woke(&w.lv, w.now);
	pass(&w, 899);
	assert_state(&w, SMX_LIVE_STALLED);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_DEAD);
}

static void B11_resume_with_a_probe_on_its_way(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 16);
	w.in.is_undelivered = 1;
	w.now += 60 * S;
	smx_live_woke(&w.lv, w.now);
	smx_live_doubt(&w.lv, w.now);
	pass(&w, 4);
	assert_state(&w, SMX_LIVE_READY);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_STALLED);
	assert_int_equal(w.n_probes, 1);
}

static void U4_a_mute_server_lives_by_its_acknowledgements(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.acks = 1;
	w.in.is_expected = 0;
	pass(&w, 24 * 3600);
	assert_state(&w, SMX_LIVE_READY);
	assert_int_equal(w.stalled_at_ms, 0);
	w.acks = 0;
	pass(&w, 44);
	assert_state(&w, SMX_LIVE_READY);
	pass(&w, 1);
	assert_state(&w, SMX_LIVE_STALLED);
}

static void U4_acknowledgements_don_t_count_for_who_answers(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.answers = 1;
	pass(&w, 16);
	w.answers = 0; /* the server is stopped; its system goes on */
	w.acks = 1;
	pass(&w, 60);
	assert_state(&w, SMX_LIVE_STALLED);
}

/* Unanswered probes don't end the asking: after a week it still goes on every 15 s. */
static void U4_asking_never_ends(void **state)
{
	struct world w;
	unsigned n;

	(void)state;
	setup(&w);
	w.acks = 0;
	w.rules.dead_ms = 14 * 24 * 3600 * S;
	pass(&w, 7 * 24 * 3600);
	n = w.n_probes;
	pass(&w, 150);
	assert_int_equal(w.n_probes - n, 10);
	w.answers = 1;
	pass(&w, 16);
	assert_state(&w, SMX_LIVE_READY);
}

static void U3_probes_don_t_pile_up_on_a_dead_path(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	pass(&w, 15);
	assert_int_equal(w.n_probes, 1);
	w.in.is_undelivered = 1;
	pass(&w, 880);
	assert_int_equal(w.n_probes, 1);
	assert_state(&w, SMX_LIVE_STALLED);
	w.in.is_undelivered = 0;
	pass(&w, 1);
	assert_int_equal(w.n_probes, 2);
}

/* The deadline is the first moment at which a tick changes something. */
static void deadline_is_when_something_happens(void **state)
{
	struct world w, a, b;
	uint64_t at;

	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		setup(&w);
		w.in.is_expected = kind & 1;
		w.in.is_undelivered = kind >> 1;
		while (w.lv.state != SMX_LIVE_DEAD) {
			at = smx_live_deadline(&w.lv, &w.rules, &w.in, w.now);
			assert_true(at > w.now);
			a = b = w;
			assert_int_equal(smx_live_tick(&a.lv, &a.rules, &a.in, at - 1), 0);
			assert_int_not_equal(smx_live_tick(&b.lv, &b.rules, &b.in, at), 0);
			w.now = at;
			tick(&w);
		}
		assert_int_equal(w.now, START + 900 * S);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(P4_a_quiet_server_is_asked_every_15_s),
		cmocka_unit_test(P4_traffic_spares_the_probes),
		cmocka_unit_test(P4_one_missed_probe_is_nothing),
		cmocka_unit_test(U3_silence_of_45_s_is_stalled_and_not_dead),
		cmocka_unit_test(U3_ten_minutes_of_silence_and_back),
		cmocka_unit_test(U3_dead_after_45_is_the_old_rule),
		cmocka_unit_test(U3_who_waits_for_an_open_waits_6_s_at_most),
		cmocka_unit_test(U3_a_slow_answer_is_no_stall),
		cmocka_unit_test(U3_probes_don_t_pile_up_on_a_dead_path),
		cmocka_unit_test(U4_a_mute_server_lives_by_its_acknowledgements),
		cmocka_unit_test(U4_acknowledgements_don_t_count_for_who_answers),
		cmocka_unit_test(U4_asking_never_ends),
		cmocka_unit_test(B11_a_doubted_path_has_5_s),
		cmocka_unit_test(B11_any_byte_ends_the_doubt),
		cmocka_unit_test(B11_sleep_is_no_silence),
		cmocka_unit_test(B11_resume_with_a_probe_on_its_way),
		cmocka_unit_test(deadline_is_when_something_happens),
	};

	return cmocka_run_group_tests_name("liveness", tests, NULL, NULL);
}
