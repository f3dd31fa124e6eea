/* SPDX-License-Identifier: MIT */
#include "mux/core/pace.h"

#include <string.h>

#define STARTUP_GAIN  2.89 /* 2/ln 2: as much as TCP's slow start can use */
#define STARTUP_GROWS 1.25 /* a round that brings less is flat; three of them end it */
#define STARTUP_FLAT  3
/* What has been granted can't be taken back: where the path holds much, or a queue begins, less. */
#define CAREFUL_FROM    1e6
#define CAREFUL_GAIN    1.75
#define QUEUE_GAIN      1.4
#define QUEUE_PART      16 /* of the least round trip */
#define PROBES_A_TRIP   4
#define STARTUP_PROBES  8
#define EXTRA_PART      8 /* of the window: so much at once is no burst */
#define EXTRA_FADES     16 /* rounds */
#define EXTRA_DROPS     4
#define HOLD_FADES      4 /* rounds */
#define HOLD_PART       4 /* of the least round trip: so little is none */
#define TOGETHER_US     1500
#define UP_PROBES       16 /* in a window of what is sent */
#define UNSENT_LEAST    4096
#define MESSAGE_PART    12 /* of the trip: a message counts when all of it is there */
#define PROBE_LEAST_US  (10 * 1000) /* between two probes */
#define BULK_IS_OVER_US (200 * 1000) /* after so long without a byte, or two round trips */
/* Time by which a peer, or we, may be late without the path running dry. */
#define SLACK_US      3000.0
#define WINDOW_FIRST  128e3
#define WINDOW_HELD   512e3 /* over a program, whose first rounds are long */
#define WINDOW_LEAST  16e3
#define NEAR_US       2000
#define WINDOW_NEAR   512e3
#define LEAST_AGE_US  (10 * 1000 * 1000) /* how long a least round trip is believed */
#define LONG_ROUNDS   4 /* of long round trips, before it is tested whose queue that is */
#define TEST_ROUNDS   2
#define DRAIN_ROUNDS  3
#define DOUBT_ROUNDS  64 /* after a test among others that found nobody */
#define SHARED_TEST   24 /* rounds between tests while the queue is another's */
#define UNANSWERED_US (10 * 1000 * 1000)
#define US            1e6

/* So long without an answer nothing is under way. */
#define SILENT_TRIPS    4
#define SILENT_LEAST_US (500 * 1000)

/* Steady: a little more to see whether there is more, the same less, then what is known. */
static const double gains[] = { 1.15, 0.85, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0 };
#define N_GAINS     (sizeof(gains) / sizeof(gains[0]))
#define GROWTH      1.06 /* as much more in the first phase: the path rewards it, go on */
#define GROWTH_GAIN 1.35
/* Shared: more from time to time, and hardly more else, or the queue in our own kernel grows. */
#define SHARED_GAIN        1.25
#define SHARED_HOLD        1.05
#define SHARED_TCP         1.5 /* TCP's own window is the less, and its queue is seen */
#define TRIPS_AMONG_OTHERS 2.5 /* least ones */
/* How fast the ceiling rises, × the rate, and the part of a window that never waits for it. */
#define LIFT_STEADY 1.0
#define LIFT_PROBE  1.25 /* while it is seen whether there is more */
#define LIFT_OTHER  3.0
#define PART_STEADY 16
#define PART_OTHER  2

void pace_init(struct pace *p, uint64_t limit)
{
	memset(p, 0, sizeof(*p));
	p->limit = limit;
}

static const char *const mode_names[] = { "unknown", "startup", "drain", "steady", "shared" };

const char *pace_mode_name(const struct pace_way *way)
{
	return mode_names[way->mode];
}

/* --- bytes --- */

static int bulk_is_over(const struct pace *p, uint64_t now_us)
{
	uint64_t span = 2 * p->least_us > BULK_IS_OVER_US ? 2 * p->least_us : BULK_IS_OVER_US;

	return !p->bulk_us || now_us - p->bulk_us > span;
}

static void note_bulk(struct pace *p, uint64_t now_us)
{
	/* What was measured across a pause would be a rate that is no path's. */
	if (bulk_is_over(p, now_us)) {
		p->answered_us = now_us;
		p->down_answered = p->down.total;
		p->round_start_us = now_us;
	}
	p->bulk_us = now_us;
}

/* Bytes of this way that are not under way any more, as far as is known. */
static uint64_t arrived(const struct pace *p, const struct pace_way *w)
{
	return w == &p->down ? w->total : p->up_confirmed;
}

/*
 * A window that is free at once must not be used at once: what is sent as one burst comes as one,
 * is granted or answered as one and so stays one, a queue that comes and goes. And what lay behind a
 * lost packet comes all at once: a grant as large would be more than the queue holds. So a window is
 * given at the rate, and until that is known half at once and the rest at a multiple of it.
 */
static void lift_ceiling(struct pace *p, struct pace_way *w, uint64_t now_us)
{
	uint64_t base = arrived(p, w), least = base + w->window / PART_OTHER;
	double gain = LIFT_OTHER;

	/* Grants that are held on their way come together whatever we do. */
	if (w->mode == PACE_STEADY && (w == &p->up || p->hold_us < p->least_us / HOLD_PART)) {
		least = base + w->window / PART_STEADY;
		gain = w->phase == 0 ? LIFT_PROBE : LIFT_STEADY;
	}
	if (p->least_us < NEAR_US)
		least = base + w->window;
	w->ceiling += (uint64_t)(w->rate * gain * (double)(now_us - w->lifted_us) / US);
	w->lifted_us = now_us;
	if (w->ceiling < least)
		w->ceiling = least;
	if (w->ceiling > base + w->window)
		w->ceiling = base + w->window;
}

void pace_received(struct pace *p, uint64_t now_us, size_t n)
{
	note_bulk(p, now_us);
	/* The time until now was for what the window had room for: all of a message comes at once. */
	lift_ceiling(p, &p->down, now_us);
	p->down.total += n;
}

void pace_sent(struct pace *p, uint64_t now_us, size_t n)
{
	note_bulk(p, now_us);
	p->up.total += n;
}

void pace_held(struct pace *p)
{
	p->up.is_limited = 1;
}

/* --- probes --- */

int pace_probe_is_due(const struct pace *p, uint64_t now_us)
{
	int is_startup = p->down.mode == PACE_STARTUP;
	uint64_t every = p->least_us / (is_startup ? STARTUP_PROBES : PROBES_A_TRIP);

	if (p->n_probes == PACE_PROBES_MAX || bulk_is_over(p, now_us))
		return 0;
	/* What is held waits for an answer, and what follows a probe for the next one. */
	if (p->up.total - p->last_probe_up >= p->up.window / UP_PROBES)
		return 1;
	/* In a queue far longer than the path no more of them are needed. */
	if (p->n_probes > PROBES_A_TRIP && now_us - p->last_probe_us < p->rtt_us / PROBES_A_TRIP)
		return 0;
	return now_us - p->last_probe_us >= (every > PROBE_LEAST_US ? every : PROBE_LEAST_US);
}

void pace_probe_sent(struct pace *p, uint64_t now_us)
{
	struct pace_probe *probe;

	p->last_probe_us = now_us;
	p->last_probe_up = p->up.total;
	if (p->n_probes == PACE_PROBES_MAX) { /* a keepalive: the answers stay in step */
		p->probes[(p->first + p->n_probes - 1) % PACE_PROBES_MAX].n_more++;
		return;
	}
	probe = &p->probes[(p->first + p->n_probes++) % PACE_PROBES_MAX];
	*probe = (struct pace_probe){ .sent_us = now_us,
		.down_total = p->down.total,
		.up_total = p->up.total,
		.down_answered = p->down_answered,
		.up_confirmed = p->up_confirmed,
		.answered_us = p->answered_us };
}

void pace_void_probes(struct pace *p)
{
	for (unsigned i = 0; i < p->n_probes; i++)
		p->probes[(p->first + i) % PACE_PROBES_MAX].is_void = 1;
}

/* --- the estimate --- */

/* A rate of one round trip. is_limited: our window was what limited it. */
static void note_rate(struct pace_way *w, double rate, int is_limited, int is_end)
{
	w->is_limited |= is_limited;
	/* The highest of several would be too high by what they scatter; startup is in a hurry. */
	if (w->mode != PACE_STARTUP && !is_end)
		return;
	w->last_rate = rate;
	/* Of a sender that had no more to send only a higher one says something. */
	if (!is_limited && rate <= w->rate)
		return;
	if (rate > w->rates[w->slot])
		w->rates[w->slot] = rate;
	if (rate > w->rate)
		w->rate = rate;
}

static void next_slot(struct pace_way *w)
{
	w->slot = (w->slot + 1) % PACE_ROUNDS;
	w->rates[w->slot] = 0;
	w->rate = 0;
	for (unsigned i = 0; i < PACE_ROUNDS; i++)
		if (w->rates[i] > w->rate)
			w->rate = w->rates[i];
}

static int has_both(const struct pace *p)
{
	return p->down.was_limited && p->up.was_limited;
}

/* One phase of the cycle to the next. The first goes on for as long as the path rewards it. */
static void next_phase(struct pace_way *w)
{
	if (w->phase == 0 && w->rate > w->phase_rate * GROWTH) {
		w->phase_rounds++;
		w->phase_rate = w->rate;
		return;
	}
	w->phase = (w->phase + 1) % N_GAINS;
	w->phase_rounds = 0;
	w->phase_rate = w->rate;
}

/* For how long answers are held (note_burst). */
static uint64_t held_us(const struct pace *p)
{
	uint64_t us = p->up.rate > 0 ? (uint64_t)((double)p->extra * US / p->up.rate) : 0;

	return us < p->least_us ? us : p->least_us;
}

/* A queue stands, ours or another's. */
static int is_long(const struct pace *p)
{
	uint64_t queue = p->least_us / 3 + 2 * (uint64_t)SLACK_US;

	return p->before_us > p->least_us + queue + held_us(p) + p->hold_us;
}

static void forget_rates(struct pace_way *w)
{
	memset(w->rates, 0, sizeof(w->rates));
	w->rate = w->rates[w->slot] = w->last_rate;
}

/*
 * Others were there. A BBR flow makes hardly a queue when it is alone and takes at once what we
 * leave: to give up more than half of what we have under way would cost us most of our share, and
 * tell less. With transfers both ways the trip says too little for this.
 */
static int knows_others(const struct pace *p, const struct pace_way *w)
{
	return w->mode == PACE_SHARED && !has_both(p);
}

/* Long round trips: with half of it under way, does the queue go? Then it was ours. */
static void end_test(const struct pace *p, struct pace_way *w)
{
	int is_known = knows_others(p, w), is_shared;

	if (--w->testing)
		return;
	w->n_long = 0;
	w->phase = 2;
	w->phase_rounds = 0;
	is_shared = (is_known || is_long(p)) &&
		    p->before_us > p->least_us + (w->long_us - p->least_us) / 4;
	if (is_known && !is_shared)
		w->doubt = DOUBT_ROUNDS;
	else if (!is_shared)
		w->rate *= 2; /* what the test let through was half */
	w->mode = is_shared ? PACE_SHARED : PACE_STEADY;
	w->phase_rate = w->rate;
}

static void begin_test(const struct pace *p, struct pace_way *w)
{
	w->testing = TEST_ROUNDS;
	w->long_us = p->before_us;
}

/* What one way is tested for may be the other way's queue: both or none. */
static void join_tests(struct pace *p)
{
	struct pace_way *other = p->down.testing == TEST_ROUNDS ? &p->up : &p->down;

	if (!has_both(p) || p->down.testing == p->up.testing || other->testing ||
		(other->mode != PACE_STEADY && other->mode != PACE_SHARED))
		return;
	begin_test(p, other);
}

/* The queue went in a test, but others may only have been slow to take what we left. */
static int is_in_doubt(const struct pace *p, const struct pace_way *w)
{
	return w->mode == PACE_STEADY && w->doubt && !has_both(p);
}

static void steady_round(const struct pace *p, struct pace_way *w)
{
	if (w->testing) {
		end_test(p, w);
		return;
	}
	if (w->mode == PACE_SHARED) {
		w->n_long++;
		/* Longer than before the last test: by others, or by what we have taken since. */
		if (w->n_long % SHARED_TEST == 0 ||
			(knows_others(p, w) && w->n_long >= LONG_ROUNDS &&
				p->before_us > w->long_us + w->long_us / 4))
			begin_test(p, w);
	} else {
		w->n_long = is_long(p) ? w->n_long + 1 : 0;
		w->doubt -= w->doubt > 0;
		if (w->n_long >= LONG_ROUNDS && is_in_doubt(p, w)) {
			w->n_long = 0;
			w->mode = PACE_SHARED;
		} else if (w->n_long >= LONG_ROUNDS) {
			forget_rates(w);
			begin_test(p, w);
		}
	}
	next_phase(w);
}

static void end_round(const struct pace *p, struct pace_way *w)
{
	int is_limited = w->is_limited;

	w->was_limited = is_limited;
	w->is_limited = 0;
	switch (w->mode) {
	case PACE_UNKNOWN:
		return;
	case PACE_STARTUP:
		if (w->rate >= w->full_rate * STARTUP_GROWS) {
			w->full_rate = w->rate;
			w->n_flat = 0;
		} else if ((is_limited || is_long(p)) && ++w->n_flat >= STARTUP_FLAT) {
			w->mode = PACE_DRAIN;
		}
		break;
	case PACE_DRAIN:
		w->mode = PACE_STEADY;
		w->phase = 2;
		w->phase_rate = w->rate;
		break;
	default:
		if (is_limited)
			steady_round(p, w);
		break;
	}
	/* Rates of a sender that has nothing to send don't age. */
	if (is_limited && !w->testing)
		next_slot(w);
}

static double window_first(const struct pace *p)
{
	return p->is_program ? WINDOW_HELD : WINDOW_FIRST;
}

static double startup_gain(const struct pace *p, const struct pace_way *w)
{
	if (p->smooth_us > p->least_us + p->least_us / QUEUE_PART + (uint64_t)SLACK_US)
		return QUEUE_GAIN;
	return w->rate * (double)p->least_us / US > CAREFUL_FROM ? CAREFUL_GAIN : STARTUP_GAIN;
}

/*
 * With transfers both ways a round trip has both queues in it, and nothing tells them apart. Half
 * of them is taken for the other way's: if it is more, this way gives up a little, and the other as
 * much, until each has what it is meant to have.
 */
static double other_queue_us(const struct pace *p)
{
	double least = (double)p->least_us, queue = (double)p->smooth_us - least;

	return queue <= 0 ? 0 : (queue < least ? queue : least) / 2;
}

/* The trip as it is, not as it would be: so the rate is kept. But no queue of ours grows by it. */
static double trip_among_others(const struct pace *p)
{
	double trip = (double)p->recent_us, most = TRIPS_AMONG_OTHERS * (double)p->least_us;

	return (trip < most ? trip : most) + (double)p->hold_us;
}

static void set_window(const struct pace *p, struct pace_way *w)
{
	double path = (double)(p->least_us + p->hold_us), trip = path, gain = 1.0;
	double slack, window, least;

	switch (w->mode) {
	case PACE_UNKNOWN:
		return;
	case PACE_STARTUP:
		gain = startup_gain(p, w);
		break;
	case PACE_DRAIN:
		gain = 0.9;
		break;
	case PACE_SHARED:
		trip = (double)(p->recent_us + p->hold_us);
		gain = w->phase == 0 || has_both(p) ? SHARED_GAIN : SHARED_HOLD;
		if (w == &p->up && p->sees_unsent)
			gain = SHARED_TCP;
		break;
	case PACE_STEADY:
		gain = w->phase_rounds ? GROWTH_GAIN : gains[w->phase];
		if (is_in_doubt(p, w))
			trip = trip_among_others(p);
		break;
	}
	/* Half of it for a round trip or two, and what is queued is ours no more. */
	if (w->testing || p->n_rounds < p->drain_until_round) {
		trip = w->testing && knows_others(p, w) ? trip_among_others(p) : path;
		gain = 0.5;
	}
	slack = w == &p->down ? trip / MESSAGE_PART : 0;
	if ((w == &p->up ? &p->down : &p->up)->was_limited) {
		if (w->mode != PACE_SHARED) /* whose trip has all queues in it */
			trip += other_queue_us(p);
		if (w->mode == PACE_STEADY && gain > 1)
			gain = (1 + gain) / 2;
	} else {
		slack += SLACK_US;
	}
	window = w->rate * (trip * gain + slack) / US;
	least = w->mode == PACE_STARTUP && gain > 1 ? window_first(p) : WINDOW_LEAST;
	/* So near, a pause of either program is longer than the path. */
	if (p->least_us < NEAR_US)
		least = WINDOW_NEAR;
	if (window < least)
		window = least;
	/* What is sent after a probe is confirmed by the next one only. */
	if (w == &p->up)
		window += window / UP_PROBES +
			  (has_both(p) || w->mode == PACE_SHARED ? 0 : (double)p->extra);
	w->window = window > (double)p->limit ? p->limit : (uint64_t)window;
}

/*
 * Half of what comes now for two round trips: the least one shows again, whatever queue stood.
 * Older rates are not believed any more: had the window been too large, nothing would have told.
 */
static void begin_drain(struct pace *p, struct pace_way *w)
{
	if (w->mode == PACE_UNKNOWN)
		return;
	forget_rates(w);
	if (!w->was_limited)
		w->mode = PACE_STARTUP;
	w->full_rate = w->rate;
	w->n_flat = w->testing = w->n_long = 0;
	p->drain_until_round = p->n_rounds + DRAIN_ROUNDS;
	p->drain_least_us = 0;
}

/* The least round trip is looked for again when it is old: paths change. */
static void note_trip(struct pace *p, uint64_t now_us, uint64_t rtt_us)
{
	p->rtt_us = rtt_us ? rtt_us : 1;
	p->smooth_us = p->smooth_us ? (p->smooth_us + p->rtt_us) / 2 : p->rtt_us;
	if (!p->round_least_us || p->rtt_us < p->round_least_us)
		p->round_least_us = p->rtt_us;
	if (!p->least_us) {
		p->down.mode = p->up.mode = PACE_STARTUP;
		p->down.window = p->up.window = (uint64_t)window_first(p);
	}
	if (!p->least_us || p->rtt_us <= p->least_us) {
		p->least_us = p->rtt_us;
		p->least_at_us = now_us;
		return;
	}
	/* Near enough, while bulk goes by: no queue stands, and it is what it was. */
	if (p->rtt_us <= p->least_us + p->least_us / 32 + 500 && !bulk_is_over(p, now_us))
		p->least_at_us = now_us;
	if (p->drain_until_round && (!p->drain_least_us || p->rtt_us < p->drain_least_us))
		p->drain_least_us = p->rtt_us;
	if (p->drain_until_round && p->n_rounds >= p->drain_until_round) {
		p->least_us = p->drain_least_us;
		p->least_at_us = now_us;
		p->drain_until_round = p->drain_least_us = 0;
	} else if (!p->drain_until_round && now_us - p->least_at_us > LEAST_AGE_US) {
		begin_drain(p, &p->down);
		begin_drain(p, &p->up);
	}
}

/*
 * From the last answer before the probe was sent to its own: what lies between two answers is whole.
 * What had come of a message when the probe was sent would count for the time after it, and the
 * highest of several rates would be too high by a message each round trip.
 */
static void note_down(struct pace *p, const struct pace_probe *probe, uint64_t now_us)
{
	uint64_t n = p->down.total - probe->down_answered, span = now_us - probe->answered_us;

	if (!probe->answered_us) {
		n = p->down.total - probe->down_total;
		span = now_us - probe->sent_us;
	}
	note_rate(&p->down, (double)n * US / (double)span,
		p->down.window && n * 4 >= p->down.window * 3, 1);
}

/* Messages are held for one round trip and no longer: what lies beyond is a queue. */
static int is_beyond_hold(const struct pace *p, uint64_t trip_us)
{
	return trip_us > 2 * p->least_us + p->least_us / 4 + (uint64_t)SLACK_US;
}

/*
 * A jump host on which no session runs has Nagle's algorithm on: it holds answers until we have
 * acknowledged those before, a round trip, and then they come together. What they confirm was under
 * way for longer than the path is, so more must be (as BBR does for acknowledgements).
 */
static void note_burst(struct pace *p, uint64_t n, uint64_t now_us)
{
	double least = (double)p->up.window / EXTRA_PART, more;
	double rate = p->up.rate / US;

	if ((double)p->burst <= rate * (double)(now_us - p->burst_us)) {
		p->burst = 0;
		p->burst_us = now_us;
	}
	p->burst += n;
	more = (double)p->burst - rate * (double)(now_us - p->burst_us) - least;
	if (more > (double)p->up.window)
		more = (double)p->up.window;
	if (!p->may_hold || is_beyond_hold(p, p->before_us))
		return;
	if (more > (double)p->extra)
		p->extra = (uint64_t)more;
}

static void note_up(struct pace *p, const struct pace_probe *probe, uint64_t now_us, int is_end)
{
	uint64_t n = probe->up_total - probe->up_confirmed, span = now_us - probe->answered_us;

	if (span && probe->answered_us)
		note_rate(&p->up, (double)n * US / (double)span, p->up.is_limited, is_end);
	note_burst(p, probe->up_total - p->up_confirmed, now_us);
}

/*
 * A program in TCP's place may have Nagle's algorithm on: a small message waits until those before
 * it are acknowledged, a round trip at most. Then probes of different times are answered together,
 * and what is granted comes as late as the first of them: so much more has to be under way.
 */
static void note_together(struct pace *p, const struct pace_probe *probe, uint64_t now_us)
{
	if (p->is_program && p->answered_us && now_us - p->answered_us < TOGETHER_US &&
		probe->sent_us - p->answered_sent_us > TOGETHER_US + p->least_us / 8 &&
		!is_beyond_hold(p, now_us - p->answered_sent_us))
		p->is_together = 1;
	p->answered_sent_us = probe->sent_us;
}

static void note_hold(struct pace *p)
{
	uint64_t hold = p->is_together ? p->least_us : 0;

	p->hold_us -= p->hold_us / HOLD_FADES;
	if (hold > p->hold_us)
		p->hold_us = hold;
	p->is_together = 0;
}

void pace_probe_answered(struct pace *p, uint64_t now_us)
{
	struct pace_probe *probe = &p->probes[p->first];
	uint64_t rtt;
	int is_end;

	if (!p->n_probes)
		return;
	if (probe->n_more) {
		probe->n_more--;
		probe->is_void = 1;
		return;
	}
	rtt = now_us - probe->sent_us;
	note_together(p, probe, now_us);
	is_end = probe->sent_us >= p->round_start_us;
	if (!probe->is_void)
		note_trip(p, now_us, rtt);
	if (rtt && !probe->is_void && !bulk_is_over(p, now_us)) {
		note_down(p, probe, now_us);
		note_up(p, probe, now_us, is_end);
	}
	p->up_confirmed = probe->up_total;
	p->down_answered = p->down.total;
	p->answered_us = now_us;
	p->first = (p->first + 1) % PACE_PROBES_MAX;
	p->n_probes--;
	if (is_end && p->round_least_us) {
		p->recent_us = p->before_us && p->before_us < p->round_least_us ? p->before_us
										: p->round_least_us;
		p->before_us = p->round_least_us;
		note_hold(p);
		p->round_least_us = 0;
		p->round_start_us = now_us;
		p->n_rounds++;
		p->extra -=
			p->extra / (is_beyond_hold(p, p->before_us) ? EXTRA_DROPS : EXTRA_FADES);
		end_round(p, &p->down);
		end_round(p, &p->up);
		join_tests(p);
	}
	set_window(p, &p->down);
	set_window(p, &p->up);
}

int pace_is_silent(const struct pace *p, uint64_t now_us)
{
	uint64_t span = SILENT_TRIPS * p->rtt_us;

	return p->n_probes &&
	       now_us - p->answered_us > (span > SILENT_LEAST_US ? span : SILENT_LEAST_US);
}

int pace_is_unanswered(const struct pace *p, uint64_t now_us)
{
	return p->n_probes && now_us - p->probes[p->first].sent_us > UNANSWERED_US;
}

/* --- what may go now --- */

int pace_is_early(const struct pace *p, const struct pace_way *way)
{
	return way->mode != PACE_UNKNOWN && way->ceiling < arrived(p, way) + way->window;
}

uint64_t pace_down_window(struct pace *p, uint64_t now_us)
{
	struct pace_way *w = &p->down;

	if (w->mode == PACE_UNKNOWN)
		return 0;
	lift_ceiling(p, w, now_us);
	return w->ceiling - w->total;
}

uint64_t pace_up_room(struct pace *p, uint64_t now_us)
{
	struct pace_way *w = &p->up;

	if (w->mode == PACE_UNKNOWN)
		return UINT64_MAX;
	lift_ceiling(p, w, now_us);
	return w->total < w->ceiling ? w->ceiling - w->total : 0;
}

uint64_t pace_up_unsent_most(const struct pace *p)
{
	const struct pace_way *w = &p->up;
	double us = (double)p->least_us / UP_PROBES, most;

	/* Startup is in a hurry; so near, nothing of it would be noticed. */
	if (w->mode == PACE_UNKNOWN || w->mode == PACE_STARTUP || p->least_us < NEAR_US)
		return UINT64_MAX;
	most = w->rate * (us > SLACK_US ? us : SLACK_US) / US;
	return most > UNSENT_LEAST ? (uint64_t)most : UNSENT_LEAST;
}

int pace_up_is_full(const struct pace *p)
{
	return p->up.mode != PACE_UNKNOWN && p->up.total - p->up_confirmed >= p->up.window;
}
