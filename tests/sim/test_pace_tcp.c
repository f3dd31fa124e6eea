/* SPDX-License-Identifier: MIT */
/*
 * The path estimator above a TCP that loses (B7, B8). Both ways have a rate, a delay and a queue
 * that drops what it can't hold; on each runs a TCP with slow start, selective acknowledgements and
 * delivery in order, so a lost packet holds all that lies behind it. Grants, probes, their answers
 * and acknowledgements are bytes among the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mux/core/pace.h"

#define TICK_US     250
#define RING        65536u
#define SEGS        (4 * RING)
#define RTTS_MAX    (1u << 16)
#define LIMIT       (64u << 20)
#define MESSAGE     60 /* bytes of a probe, an answer, a grant */
#define TCP_HEAD    40
#define TCP_ACK     52
#define FIRST_CWND  14480.0
#define GRANT_STEPS 16
#define PACKET_MAX  32768
#define UNSENT_MAX  131072 /* as OpenSSH */
#define HOLD_US     1000 /* as pacing.c does */

enum { DOWN, UP };
enum kind { DATA, PROBE, ANSWER, GRANT };

struct seg {
	uint32_t len;
	enum kind kind;
	uint64_t n; /* what is granted; of data, what the message has that ends here */
};

/* A segment that was sent, as often as it was. */
struct sent {
	uint64_t seg;
	uint32_t len;
	int is_over; /* acknowledged, or known to be lost */
};

struct packet {
	double at_us; /* when it arrives */
	int is_ack; /* of what the other way sends */
	int is_other; /* of a flow that is not ours */
	uint64_t sent, seg;
};

struct way {
	/* the link */
	double free_us;
	struct packet packets[RING];
	uint64_t first, end;
	uint64_t dropped; /* bytes */
	/* who sends into it */
	struct seg segs[SEGS];
	uint64_t written, next; /* segments */
	struct sent sents[RING];
	uint64_t sent_first, sent_end;
	uint64_t again[RING], again_first, again_end; /* lost segments */
	double cwnd, threshold, in_flight;
	uint64_t unsent;
	uint64_t recovers_at; /* when that is acknowledged; 0: nothing was lost */
	uint64_t small_end; /* Nagle: until that is acknowledged no small segment goes; 0: off */
	uint64_t flush_end; /* but those before this one, together */
	/* who receives from it */
	unsigned char has[SEGS];
	uint64_t expected;
};

/*
 * Somebody else's upload over the same path, as BBR: it sends at the highest rate of late, has two
 * round trips of it under way, and does not mind a loss. Alone it makes hardly a queue, and what
 * others leave it takes at once.
 */
struct other {
	int is_on;
	double rate, rates[10], credit;
	uint64_t got, in_flight;
	uint64_t since_us, got_then; /* of the round */
	unsigned n_rounds;
};

struct path {
	struct pace p;
	struct other other;
	double rate; /* bytes a microsecond */
	uint64_t delay_us, queue_max, now_us;
	uint32_t mss;
	struct way ways[2];
	int is_busy[2];
	int has_nagle[2]; /* who sends that way */
	int has_news; /* something came */
	uint64_t hold_until_us;
	uint64_t granted, may_send, sent; /* by us; what the server knows of it; what it used */
	uint64_t got[2];
	uint64_t rtts[RTTS_MAX];
	size_t n_rtts;
};

/* --- the link --- */

static void put(struct path *s, int way, uint32_t len, struct packet packet)
{
	struct way *w = &s->ways[way];
	double now = (double)s->now_us;

	if (w->free_us < now)
		w->free_us = now;
	if (!packet.is_ack && (w->free_us - now) * s->rate + len > (double)s->queue_max) {
		w->dropped += len;
		if (packet.is_other)
			s->other.in_flight -= len;
		return;
	}
	w->free_us += len / s->rate;
	packet.at_us = w->free_us + (double)s->delay_us;
	assert_true(w->end - w->first < RING);
	w->packets[w->end++ % RING] = packet;
}

/* --- another's flow --- */

static void other_begin(struct path *s)
{
	struct other *o = &s->other;

	*o = (struct other){ .is_on = 1, .rate = s->rate, .since_us = s->now_us };
	for (int i = 0; i < 10; i++)
		o->rates[i] = s->rate;
}

static void other_send(struct path *s)
{
	static const double gains[] = { 1.25, 0.75, 1, 1, 1, 1, 1, 1 };
	struct other *o = &s->other;

	if (s->now_us - o->since_us >= 4 * s->delay_us) {
		o->rates[o->n_rounds++ % 10] =
			(double)(o->got - o->got_then) / (double)(s->now_us - o->since_us);
		o->since_us = s->now_us;
		o->got_then = o->got;
		o->rate = s->rate / 50;
		for (int i = 0; i < 10; i++)
			if (o->rates[i] > o->rate)
				o->rate = o->rates[i];
	}
	o->credit += gains[o->n_rounds % 8] * o->rate * TICK_US;
	for (; o->credit >= s->mss; o->credit -= s->mss) {
		/* What has arrived is acknowledged half a round trip later. */
		if ((double)o->in_flight + s->mss > o->rate * 3 * (double)s->delay_us) {
			o->credit = 0;
			return;
		}
		o->in_flight += s->mss;
		put(s, UP, s->mss, (struct packet){ .is_other = 1 });
	}
}

static void other_arrived(struct path *s)
{
	s->other.in_flight -= s->mss;
	s->other.got += s->mss;
}

/* --- TCP --- */

static void tcp_write(struct path *s, int way, uint32_t len, enum kind kind, uint64_t n)
{
	struct way *w = &s->ways[way];

	assert_true(w->written - w->expected < SEGS);
	w->segs[w->written++ % SEGS] = (struct seg){ len, kind, n };
	w->unsent += len;
}

/* Whether Nagle's algorithm holds the next one. */
static int is_held(const struct path *s, struct way *w)
{
	if (!s->has_nagle[w - s->ways] || w->segs[w->next % SEGS].len == s->mss)
		return 0;
	if (w->sent_first < w->small_end)
		return 1;
	if (w->flush_end <= w->next)
		w->flush_end = w->written;
	return 0;
}

static void tcp_send(struct path *s, int way)
{
	struct way *w = &s->ways[way];
	uint64_t i;
	uint32_t len;
	int is_again;

	while (w->in_flight == 0 || w->in_flight + s->mss <= w->cwnd) {
		is_again = w->again_first != w->again_end;
		if (!is_again && (w->next == w->written || is_held(s, w)))
			return;
		i = is_again ? w->again[w->again_first++ % RING] : w->next++;
		len = w->segs[i % SEGS].len;
		if (!is_again)
			w->unsent -= len;
		put(s, way, len + TCP_HEAD, (struct packet){ .sent = w->sent_end, .seg = i });
		w->sents[w->sent_end++ % RING] = (struct sent){ i, len, 0 };
		w->in_flight += len;
		if (w->next == w->flush_end)
			w->small_end = w->sent_end;
	}
}

/* The link keeps the order: what was sent before and is not acknowledged is lost. */
static void tcp_acked(struct path *s, struct way *w, uint64_t n)
{
	struct sent *acked = &w->sents[n % RING], *it;
	int has_lost = 0;

	if (n < w->sent_first || acked->is_over)
		return;
	for (; w->sent_first <= n; w->sent_first++) {
		it = &w->sents[w->sent_first % RING];
		w->in_flight -= it->len;
		it->is_over = 1;
		if (it == acked)
			continue;
		w->again[w->again_end++ % RING] = it->seg;
		has_lost = 1;
	}
	if (n >= w->recovers_at)
		w->recovers_at = 0;
	if (has_lost && !w->recovers_at) {
		w->recovers_at = w->sent_end;
		w->threshold = w->cwnd = w->cwnd * 0.7;
	}
	if (w->recovers_at || w->in_flight + acked->len < w->cwnd / 2)
		return;
	w->cwnd += w->cwnd < w->threshold ? acked->len : 4.0 * s->mss * acked->len / w->cwnd;
}

static void deliver(struct path *s, int way, const struct seg *g)
{
	switch (g->kind) {
	case DATA:
		s->got[way] += g->n;
		if (way == DOWN && g->n)
			pace_received(&s->p, s->now_us, g->n);
		break;
	case PROBE:
		tcp_write(s, DOWN, MESSAGE, ANSWER, 0);
		break;
	case ANSWER:
		pace_probe_answered(&s->p, s->now_us);
		if (s->n_rtts < RTTS_MAX)
			s->rtts[s->n_rtts++] = s->p.rtt_us;
		break;
	case GRANT:
		s->may_send += g->n;
		break;
	}
}

static void tcp_arrived(struct path *s, int way, const struct packet *packet)
{
	struct way *w = &s->ways[way];

	if (packet->seg >= w->expected)
		w->has[packet->seg % SEGS] = 1;
	while (w->expected < w->written && w->has[w->expected % SEGS]) {
		w->has[w->expected % SEGS] = 0;
		deliver(s, way, &w->segs[w->expected++ % SEGS]);
		s->has_news |= way == DOWN;
	}
	put(s, !way, TCP_ACK, (struct packet){ .is_ack = 1, .sent = packet->sent });
}

/* --- the ends --- */

static void probe(struct path *s)
{
	pace_probe_sent(&s->p, s->now_us);
	tcp_write(s, UP, MESSAGE, PROBE, 0);
}

/* As a flow does: when something came, and while what is allowed grows. */
static void grant(struct path *s)
{
	uint64_t out = s->granted - s->got[DOWN], window, step;

	if (!s->has_news && s->now_us < s->hold_until_us)
		return;
	s->has_news = 0;
	window = pace_down_window(&s->p, s->now_us);
	step = s->p.down.window / GRANT_STEPS;
	if (window > out && window - out >= step) {
		tcp_write(s, UP, MESSAGE, GRANT, window - out);
		s->granted += window - out;
	}
	s->hold_until_us = pace_is_early(&s->p, &s->p.down) ? s->now_us + HOLD_US : UINT64_MAX;
}

/* What the window has room for, as one message, unless UNSENT_MAX waits to be sent already. */
static void serve(struct path *s)
{
	uint64_t n, left, len;

	while ((n = s->may_send - s->sent) > 0 && s->ways[DOWN].unsent < UNSENT_MAX) {
		n = n < PACKET_MAX ? n : PACKET_MAX;
		for (left = n; left > 0; left -= len) {
			len = left < s->mss ? left : s->mss;
			tcp_write(s, DOWN, (uint32_t)len, DATA, left == len ? n : 0);
		}
		s->sent += n;
	}
}

static int is_ahead_of_tcp(const struct path *s)
{
	return s->p.sees_unsent && s->ways[UP].unsent > pace_up_unsent_most(&s->p);
}

static void upload(struct path *s)
{
	uint64_t quantum = s->p.up.window / 16;

	quantum = quantum > 32768 ? 32768 : quantum < 4096 ? 4096 : quantum;
	while (pace_up_room(&s->p, s->now_us) > 0 && !is_ahead_of_tcp(s)) {
		for (uint64_t n = 0, len; n < quantum; n += len) {
			len = quantum - n < s->mss ? quantum - n : s->mss;
			tcp_write(s, UP, (uint32_t)len, DATA, len);
		}
		pace_sent(&s->p, s->now_us, quantum);
		if (pace_probe_is_due(&s->p, s->now_us))
			probe(s);
	}
	pace_held(&s->p);
}

static void step(struct path *s)
{
	for (int way = 0; way < 2; way++) {
		struct way *w = &s->ways[way];

		while (w->first < w->end &&
			w->packets[w->first % RING].at_us <= (double)s->now_us) {
			struct packet packet = w->packets[w->first++ % RING];

			if (packet.is_other)
				other_arrived(s);
			else if (packet.is_ack)
				tcp_acked(s, &s->ways[!way], packet.sent);
			else
				tcp_arrived(s, way, &packet);
		}
	}
	if (s->is_busy[DOWN])
		grant(s);
	if (s->is_busy[UP])
		upload(s);
	if (pace_probe_is_due(&s->p, s->now_us))
		probe(s);
	serve(s);
	if (s->other.is_on)
		other_send(s);
	tcp_send(s, DOWN);
	tcp_send(s, UP);
	s->now_us += TICK_US;
}

static void run(struct path *s, double seconds, int is_down, int is_up)
{
	uint64_t end = s->now_us + (uint64_t)(seconds * 1e6);

	s->is_busy[DOWN] = is_down;
	s->is_busy[UP] = is_up;
	s->has_news = 1;
	while (s->now_us < end)
		step(s);
}

static struct path *path_new(double mbit, uint64_t rtt_ms, uint64_t queue_max)
{
	struct path *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	pace_init(&s->p, LIMIT);
	s->rate = mbit / 8;
	s->delay_us = rtt_ms * 500;
	s->queue_max = queue_max;
	s->mss = mbit > 200 ? 8 * 1448 : 1448; /* as with segmentation offload */
	s->now_us = 1000000;
	for (int way = 0; way < 2; way++) {
		s->ways[way].cwnd = FIRST_CWND;
		s->ways[way].threshold = 1e12;
	}
	for (int i = 0; i < 2; i++) { /* as keepalives on an idle connection */
		probe(s);
		run(s, (double)rtt_ms / 1e3 + 0.05, 0, 0);
	}
	assert_true(s->p.least_us > 0);
	return s;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* After a warm-up: parts of the rate each way, and of the idle round trip, the 99th of a hundred.
 */
static void expect(struct path *s, double down_part, double up_part, double most_trips)
{
	uint64_t got[2];
	double parts[2], p99, seconds = 20;

	run(s, 4, down_part > 0, up_part > 0);
	memcpy(got, s->got, sizeof(got));
	s->n_rtts = 0;
	run(s, seconds, down_part > 0, up_part > 0);
	for (int way = 0; way < 2; way++)
		parts[way] = (double)(s->got[way] - got[way]) / (s->rate * seconds * 1e6);
	assert_true(s->n_rtts > 0);
	qsort(s->rtts, s->n_rtts, sizeof(s->rtts[0]), compare);
	p99 = (double)s->rtts[s->n_rtts * 99 / 100] / (2.0 * (double)s->delay_us);
	print_message("%.0f Mbit/s, %.0f ms: down %.2f, up %.2f of the rate, p99 %.2f trips\n",
		s->rate * 8, (double)s->delay_us / 500, parts[DOWN], parts[UP], p99);
	assert_true(parts[DOWN] >= down_part);
	assert_true(parts[UP] >= up_part);
	assert_true(p99 <= most_trips);
	free(s);
}

/* --- tests --- */

/* The beginning of a download does not fill the queue again and again. */
static void test_b7_startup_overflows_little(void **state)
{
	static const double mbits[] = { 300, 1000 }, queues[] = { 0.4, 0.64, 1.0, 2.0 };
	static const uint64_t trips[] = { 40, 70, 100 };
	double all = 0, held, lost, n = 0;

	(void)state;
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++)
			for (int k = 0; k < 4; k++) {
				struct path *s;

				held = mbits[i] / 8 * (double)trips[j] * 1000;
				s = path_new(mbits[i], trips[j], (uint64_t)(held * queues[k]));
				run(s, 8, 1, 0);
				lost = (double)s->ways[DOWN].dropped / held;
				/* What a hole held back and then let go at once is no rate. */
				assert_true(s->p.down.rate <= 1.3 * s->rate * 1e6);
				all += lost;
				n++;
				free(s);
			}
	print_message("lost: %.2f of what a path holds\n", all / n);
	assert_true(all / n <= 1.0);
}

static void test_b8_one_way(void **state)
{
	(void)state;
	expect(path_new(20, 40, 250000), 0.9, 0, 1.35);
	expect(path_new(20, 40, 250000), 0, 0.9, 1.45);
	expect(path_new(5, 80, 1000000), 0.85, 0, 1.4);
	expect(path_new(5, 80, 1000000), 0, 0.88, 1.4);
}

/* Each way's answers wait for the other's bytes. */
static void test_b8_both_ways(void **state)
{
	(void)state;
	expect(path_new(20, 40, 250000), 0.65, 0.8, 1.45);
	expect(path_new(5, 80, 1000000), 0.7, 0.75, 1.5);
}

/* Others fill both queues for a time. What both ways have queued then is nobody else's any more. */
static void test_b8_both_ways_after_others(void **state)
{
	(void)state;
	for (int kb = 50; kb <= 200; kb += 50) {
		struct path *s = path_new(20, 40, 250000);
		double queue_us = kb * 1000 / s->rate;

		run(s, 4, 1, 1);
		for (int i = 0; i < 12000; i++) { /* 3 s */
			for (int way = 0; way < 2; way++)
				if (s->ways[way].free_us < (double)s->now_us + queue_us)
					s->ways[way].free_us = (double)s->now_us + queue_us;
			step(s);
		}
		run(s, 6, 1, 1);
		expect(s, 0.6, 0.6, 2.2);
	}
}

/* Ours of what both get, a fair share is 1; how often round trips are longer than our queue. */
static double beside_other(struct path *s, unsigned *n_long)
{
	uint64_t ours, others;

	other_begin(s);
	run(s, 4, 0, 0);
	assert_true((double)s->other.got > 0.9 * s->rate * 4e6);
	run(s, 10, 0, 1);
	ours = s->got[UP];
	others = s->other.got;
	for (int i = 0; i < 240; i++) {
		run(s, 0.25, 0, 1);
		*n_long += s->p.before_us > 250000;
	}
	ours = s->got[UP] - ours;
	others = s->other.got - others;
	return 2 * (double)ours / (double)(ours + others);
}

/* It takes what we leave, and makes no queue that would tell; nor is it to be driven away. */
static void test_b7_beside_bbr(void **state)
{
	unsigned n_long = 0;

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct path *s = path_new(20 + i, 40, 250000 - (uint64_t)i * 1000);
		double fair = beside_other(s, &n_long);

		print_message("beside BBR: %.2f of a fair share\n", fair);
		assert_true(fair >= 0.7 && fair <= 1.9);
		s->other.is_on = 0; /* it is over: short round trips again */
		run(s, 12, 0, 1);
		expect(s, 0, 0.9, 1.45);
	}
	/* What is under way beyond the path and its queue waits here, and helps nobody. */
	assert_true(n_long <= 4 * 240 / 16);
}

/* The longest round trip, in idle ones, of an upload whose TCP lets next to nothing go for a time. */
static double held_trips(struct path *s)
{
	uint64_t end, got, longest = 0;
	double cwnd;

	run(s, 6, 0, 1);
	got = s->got[UP];
	for (int i = 0; i < 5; i++) {
		cwnd = s->ways[UP].cwnd;
		s->n_rtts = 0;
		/* As BBR does, once in ten seconds. */
		for (end = s->now_us + 200000; s->now_us < end; step(s))
			s->ways[UP].cwnd = 4.0 * s->mss;
		s->ways[UP].cwnd = cwnd;
		run(s, 9.8, 0, 1);
		for (size_t j = 0; j < s->n_rtts; j++)
			longest = s->rtts[j] > longest ? s->rtts[j] : longest;
	}
	assert_true((double)(s->got[UP] - got) >= 0.9 * s->rate * 50e6);
	return (double)longest / (2.0 * (double)s->delay_us);
}

/* What TCP can't send would be in every keystroke's way: it waits where that goes first. */
static void test_b8_tcp_holds_back(void **state)
{
	struct path *s;
	double trips;

	(void)state;
	for (int is_seen = 0; is_seen < 2; is_seen++) {
		s = path_new(20, 40, 250000);
		s->p.sees_unsent = is_seen;
		trips = held_trips(s);
		print_message(
			"TCP holds back for 200 ms: longest round trip %.1f idle ones\n", trips);
		assert_true(is_seen ? trips <= 4.5 : trips > 5);
		free(s);
	}
	for (int mbit = 20; mbit <= 1000; mbit *= 50) { /* and nothing runs dry for it */
		s = path_new(mbit, 40, 250000 * (uint64_t)mbit / 20);
		s->p.sees_unsent = 1;
		expect(s, 0, 0.9, 1.45);
	}
}

/* A server on which no session runs holds small answers until the last one is acknowledged. */
static void test_b7_held_answers(void **state)
{
	struct path *s = path_new(20, 40, 250000);

	(void)state;
	s->has_nagle[DOWN] = s->p.may_hold = 1;
	expect(s, 0, 0.65, 4);
	s = path_new(1000, 100, 8000000);
	s->has_nagle[DOWN] = s->p.may_hold = 1;
	expect(s, 0, 0.4, 4);
}

/* A program in TCP's place (R7) holds our small messages, grants and probes, in the same way. */
static void test_b7_held_messages(void **state)
{
	static const struct {
		double mbit;
		uint64_t ms, queue;
		double part, trips; /* where it holds them */
		double free_part, free_trips; /* where it does not */
	} paths[] = {
		{ 300, 200, 8000000, 0.75, 4.0, 0.85, 4.2 },
		{ 1000, 100, 8000000, 0.75, 3.1, 0.85, 3.2 },
		{ 20, 40, 250000, 0.55, 4.2, 0.85, 2.4 },
		{ 100, 20, 1000000, 0.75, 2.8, 0.85, 1.6 },
	};
	struct path *s;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		s = path_new(paths[i].mbit, paths[i].ms, paths[i].queue);
		s->has_nagle[UP] = s->p.may_hold = s->p.is_program = 1;
		expect(s, paths[i].part, 0, paths[i].trips);
		s = path_new(paths[i].mbit, paths[i].ms, paths[i].queue);
		s->p.may_hold = s->p.is_program = 1;
		expect(s, paths[i].free_part, 0, paths[i].free_trips);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_b7_startup_overflows_little),
		cmocka_unit_test(test_b8_one_way),
		cmocka_unit_test(test_b8_both_ways),
		cmocka_unit_test(test_b8_both_ways_after_others),
		cmocka_unit_test(test_b7_beside_bbr),
		cmocka_unit_test(test_b8_tcp_holds_back),
		cmocka_unit_test(test_b7_held_answers),
		cmocka_unit_test(test_b7_held_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
