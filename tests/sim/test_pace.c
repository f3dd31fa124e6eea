/* SPDX-License-Identifier: MIT */
/*
 * The path estimator on simulated paths (B7, B8): a sender that always has more, a link with a
 * rate, a delay and one queue for everybody, and what a keystroke would wait meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mux/core/pace.h"

#define TICK_US   500
#define QUEUE_MAX 65536
#define LIMIT     (64u << 20)

enum { BULK, PROBE, OTHER };

struct item {
	double at_us; /* when it leaves the link */
	size_t len;
	int kind;
};

/* One path: what we grant lets a server send; its bytes wait in one queue, then for the delay. */
struct path {
	struct pace p;
	double rate; /* bytes a microsecond */
	uint64_t delay_us; /* both ways together; the queue is on the way to us */
	uint64_t queue_max; /* bytes that wait at most */
	double link_free_us;
	struct item items[QUEUE_MAX];
	size_t first, n;
	uint64_t now_us;
	uint64_t in_flight; /* granted and not arrived */
	uint64_t sender_cap; /* what the server's TCP has under way at most; 0: no limit */
	uint64_t sender_rate; /* bytes a second that the server has; 0: no limit */
	double sender_credit;
	double other_window; /* of a plain TCP flow on the same path; 0: none */
	uint64_t other_in_flight;
	int other_lost;
	unsigned char jitter;
	unsigned noise_us; /* by which an answer is read late: no two round trips are the same */
	uint64_t received, other_received, probes;
	uint64_t rtts[QUEUE_MAX];
	size_t n_rtts;
	uint64_t probe_sent[PACE_PROBES_MAX];
};

static struct path *path_new(double mbit, uint64_t delay_ms, uint64_t queue_max)
{
	struct path *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	pace_init(&s->p, LIMIT);
	s->rate = mbit / 8;
	s->delay_us = delay_ms * 1000;
	s->queue_max = queue_max;
	s->now_us = 1000000;
	return s;
}

static int put(struct path *s, size_t len, int kind)
{
	double wait;

	if (s->link_free_us < (double)s->now_us)
		s->link_free_us = (double)s->now_us;
	wait = s->link_free_us - (double)s->now_us;
	if (kind != PROBE && s->queue_max && wait * s->rate + (double)len > (double)s->queue_max)
		return 0;
	assert_true(s->n < QUEUE_MAX);
	s->link_free_us += (double)len / s->rate;
	s->items[(s->first + s->n++) % QUEUE_MAX] = (struct item){
		s->link_free_us + (double)s->delay_us + (double)(rand() % 1000) * s->jitter / 255.0,
		len, kind
	};
	return 1;
}

static void arrive(struct path *s, const struct item *it)
{
	switch (it->kind) {
	case BULK:
		s->in_flight -= it->len;
		s->received += it->len;
		pace_received(&s->p, s->now_us, it->len);
		break;
	case OTHER:
		/* Reno: one packet more each round trip. */
		s->other_in_flight -= it->len;
		s->other_received += it->len;
		if (s->other_window > 0)
			s->other_window += 1448.0 * (double)it->len / s->other_window;
		break;
	default:
		pace_probe_answered(
			&s->p, s->now_us + (s->noise_us ? (unsigned)rand() % s->noise_us : 0));
		if (s->n_rtts < QUEUE_MAX)
			s->rtts[s->n_rtts++] = s->p.rtt_us;
		break;
	}
}

static void send_others(struct path *s)
{
	while (s->other_window > 0 && (double)s->other_in_flight + 1448 <= s->other_window) {
		if (!put(s, 1448, OTHER)) {
			s->other_window /= 2;
			if (s->other_window < 4 * 1448)
				s->other_window = 4 * 1448;
			return;
		}
		s->other_in_flight += 1448;
	}
}

static void send_bulk(struct path *s, int is_on)
{
	uint64_t window = pace_down_window(&s->p, s->now_us);

	if (!is_on)
		return;
	if (!window)
		window = 256 * 1024;
	if (s->sender_cap && window > s->sender_cap)
		window = s->sender_cap;
	s->sender_credit += (double)s->sender_rate * TICK_US / 1e6;
	while (s->in_flight + 1448 <= window) {
		if (s->sender_rate && s->sender_credit < 1448)
			return;
		if (!put(s, 1448, BULK))
			return; /* TCP sends it again when there is room */
		s->sender_credit -= 1448;
		s->in_flight += 1448;
	}
}

/* So many seconds; a download runs meanwhile, or not. */
static void run(struct path *s, double seconds, int is_on)
{
	uint64_t end = s->now_us + (uint64_t)(seconds * 1e6);

	s->received = s->other_received = s->n_rtts = 0;
	for (; s->now_us < end; s->now_us += TICK_US) {
		while (s->n && s->items[s->first].at_us <= (double)s->now_us) {
			struct item it = s->items[s->first];

			s->first = (s->first + 1) % QUEUE_MAX;
			s->n--;
			arrive(s, &it);
		}
		send_bulk(s, is_on);
		send_others(s);
		if (pace_probe_is_due(&s->p, s->now_us)) {
			pace_probe_sent(&s->p, s->now_us);
			(void)put(s, 60, PROBE);
			s->probes++;
		}
	}
}

/* As a keepalive on an idle connection. */
static void probe_idle(struct path *s)
{
	pace_probe_sent(&s->p, s->now_us);
	(void)put(s, 60, PROBE);
	run(s, (double)s->delay_us / 1e6 + 0.05, 0);
	assert_true(s->p.least_us > 0);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double rtt_ms(struct path *s, unsigned percent)
{
	assert_true(s->n_rtts > 0);
	qsort(s->rtts, s->n_rtts, sizeof(s->rtts[0]), compare);
	return (double)s->rtts[(s->n_rtts - 1) * percent / 100] / 1000;
}

/* Of what the link carries. */
static double share(const struct path *s, double seconds)
{
	return (double)s->received / (s->rate * seconds * 1e6);
}

static void expect(struct path *s, double seconds, double least_share, double most_ms)
{
	double got, ms;

	run(s, seconds, 1);
	got = share(s, seconds);
	ms = rtt_ms(s, 99);
	print_message(
		"%.0f Mbit/s, %.0f ms: %.2f of the rate, p50 %.1f p99 %.1f ms, window %llu, %s\n",
		s->rate * 8, (double)s->delay_us / 1000, got, rtt_ms(s, 50), ms,
		(unsigned long long)pace_down_window(&s->p, s->now_us), pace_mode_name(&s->p.down));
	assert_true(got >= least_share);
	assert_true(ms <= most_ms);
}

static void test_b7_b8_fat(void **state)
{
	struct path *s = path_new(1000, 100, 8000000);

	(void)state;
	probe_idle(s);
	/* The beginning is part of what is promised: eight seconds from the first byte. */
	expect(s, 8, 0.87, 400);
	expect(s, 20, 0.93, 135);
	free(s);
}

static void test_b7_far(void **state)
{
	struct path *s = path_new(300, 200, 8000000);

	(void)state;
	probe_idle(s);
	run(s, 4, 1);
	expect(s, 20, 0.93, 270);
	free(s);
}

static void test_b8_thin(void **state)
{
	struct path *s = path_new(20, 40, 250000);

	(void)state;
	probe_idle(s);
	run(s, 4, 1);
	expect(s, 20, 0.93, 54);
	free(s);
}

static void test_b8_bloated(void **state)
{
	struct path *s = path_new(5, 80, 1000000);

	(void)state;
	probe_idle(s);
	run(s, 4, 1);
	expect(s, 20, 0.93, 108);
	free(s);
}

static void test_b8_jitter(void **state)
{
	struct path *s = path_new(20, 40, 250000);

	(void)state;
	s->jitter = 255;
	probe_idle(s);
	run(s, 4, 1);
	expect(s, 20, 0.9, 56);
	free(s);
}

/* On the same machine the estimate must not be in the way. */
static void test_b7_loopback(void **state)
{
	struct path *s = path_new(8000, 0, 0);

	(void)state;
	s->delay_us = 100;
	probe_idle(s);
	run(s, 0.5, 1);
	assert_true(pace_down_window(&s->p, s->now_us) >= 2u << 20);
	free(s);
}

/* A server whose TCP has less under way than the path holds, and saws: its queue is its own. */
static void test_b8_lossy(void **state)
{
	struct path *s = path_new(100, 60, 500000);
	double got = 0;

	(void)state;
	probe_idle(s);
	run(s, 3, 1);
	for (int i = 0; i < 40; i++) {
		s->sender_cap = 300000 + (uint64_t)(i % 8) * 60000;
		run(s, 0.5, 1);
		got += (double)s->received;
	}
	/* What TCP alone would carry, from 300 to 720 KB a round trip. */
	assert_true(got / 20 >= 0.9 * 510000 / 0.06);
	free(s);
}

/* What the peer's own window limits has no queue: the least round trip is known without a search,
 * which would cost what is halved for it. */
static void test_b7_limited_by_the_peer(void **state)
{
	struct path *s = path_new(1000, 100, 8000000);
	double got;

	(void)state;
	s->sender_cap = 2u << 20;
	s->noise_us = 400;
	probe_idle(s);
	run(s, 3, 1);
	run(s, 120, 1);
	got = (double)s->received / 120 / ((double)s->sender_cap / 0.1005);
	print_message("limited by the peer: %.3f of its windows\n", got);
	assert_true(got >= 0.99);
	free(s);
}

/* A sender with little to send teaches nothing; when it has more, the path is filled again. */
static void test_b7_sender_pauses(void **state)
{
	struct path *s = path_new(200, 80, 4000000);

	(void)state;
	probe_idle(s);
	run(s, 5, 1);
	s->sender_rate = 100000;
	run(s, 10, 1);
	s->sender_rate = 0;
	run(s, 5, 0);
	run(s, 2, 1);
	expect(s, 5, 0.93, 108);
	free(s);
}

static void test_b8_route_changes(void **state)
{
	struct path *s = path_new(50, 40, 500000);

	(void)state;
	probe_idle(s);
	run(s, 10, 1);
	s->delay_us = 120000; /* longer */
	run(s, 14, 1);
	expect(s, 10, 0.85, 170);
	s->delay_us = 20000; /* shorter: its queue shows when the least is looked for again */
	run(s, 14, 1);
	expect(s, 10, 0.9, 32);
	s->rate /= 5; /* thinner */
	run(s, 5, 1);
	expect(s, 10, 0.9, 36);
	s->rate *= 10; /* fatter */
	run(s, 5, 1);
	expect(s, 10, 0.9, 36);
	free(s);
}

/* A plain TCP flow on the same path must not starve us. */
static void test_b7_competing(void **state)
{
	struct path *s = path_new(20, 40, 250000);
	double fair;

	(void)state;
	probe_idle(s);
	run(s, 10, 1);
	s->other_window = 14480;
	run(s, 10, 1);
	run(s, 60, 1);
	fair = (double)s->received / ((double)(s->received + s->other_received) / 2);
	print_message(
		"beside another: %.2f of a fair share, %s\n", fair, pace_mode_name(&s->p.down));
	assert_true(fair >= 0.7);
	s->other_window = 0; /* it is over: short round trips again */
	run(s, 15, 1);
	expect(s, 10, 0.9, 56);
	free(s);
}

/* Whatever is answered, and however fast: a window has a limit, and never becomes nothing. */
static void test_b7_a_lying_peer(void **state)
{
	const uint64_t limit = 1u << 20;
	uint64_t now = 1000000, trips[] = { 0, 1, 1000, 50000, 2000000 };
	struct pace p;

	(void)state;
	pace_init(&p, limit);
	pace_probe_answered(&p, now); /* nobody asked */
	assert_int_equal(p.n_rounds, 0);
	for (unsigned i = 0; i < 2000; i++) {
		pace_probe_sent(&p, now);
		pace_received(&p, now, SIZE_MAX / 4096);
		pace_sent(&p, now, SIZE_MAX / 4096);
		pace_held(&p);
		now += trips[i / 3 % 5];
		pace_probe_answered(&p, now);
		pace_probe_answered(&p, now); /* once more than asked */
		assert_in_range(p.down.window, 1, limit);
		assert_in_range(p.up.window, 1, limit);
	}
	assert_int_equal(p.down.window, limit); /* it did mislead */
}

/* More may be sent than are kept (a keepalive): each answer still confirms what it followed. */
static void test_b8_more_probes_than_are_kept(void **state)
{
	struct pace p;
	uint64_t now = 1000000;

	(void)state;
	pace_init(&p, 1u << 20);
	for (unsigned i = 0; i < PACE_PROBES_MAX + 3; i++) {
		pace_probe_sent(&p, now + i * 1000);
		pace_sent(&p, now + i * 1000, 100);
	}
	now += 100000;
	for (unsigned i = 0; i < PACE_PROBES_MAX + 2; i++)
		pace_probe_answered(&p, now + i * 1000);
	assert_int_equal(p.rtt_us, 100000);
	assert_int_not_equal(p.n_probes, 0);
	pace_probe_answered(&p, now + 100000);
	assert_int_equal(p.n_probes, 0);
	assert_int_equal(p.rtt_us, 100000); /* what was not kept measures nothing */
	now += 1000000;
	pace_probe_sent(&p, now);
	pace_probe_answered(&p, now + 50000);
	assert_int_equal(p.rtt_us, 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_b7_b8_fat),
		cmocka_unit_test(test_b7_far),
		cmocka_unit_test(test_b8_thin),
		cmocka_unit_test(test_b8_bloated),
		cmocka_unit_test(test_b8_jitter),
		cmocka_unit_test(test_b7_loopback),
		cmocka_unit_test(test_b8_lossy),
		cmocka_unit_test(test_b7_limited_by_the_peer),
		cmocka_unit_test(test_b7_sender_pauses),
		cmocka_unit_test(test_b8_route_changes),
		cmocka_unit_test(test_b7_competing),
		cmocka_unit_test(test_b7_a_lying_peer),
		cmocka_unit_test(test_b8_more_probes_than_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
