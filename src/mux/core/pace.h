/* SPDX-License-Identifier: MIT */
/*
 * How much may be on its way over one connection, each way (B7, B8): enough to fill the path, and
 * hardly more, so that a keystroke does not queue behind a transfer. Without I/O; time is handed
 * in.
 *
 * A probe (a message the peer answers in order) comes back behind everything that is queued at the
 * peer, on the path and here, so its round trip is what a keystroke would see, and the bytes that
 * went by meanwhile tell the rate. The estimate is that of BBR (Cardwell et al. 2016) made of
 * these two: the highest rate of the last rounds times the least round trip is what the path
 * holds. What BBR does with a congestion window is done here with what we grant (down) and with
 * what we write before it is confirmed (up); TCP below keeps to its own rules.
 */
#ifndef SMX_MUX_CORE_PACE_H
#define SMX_MUX_CORE_PACE_H

#include <stddef.h>
#include <stdint.h>

#define PACE_PROBES_MAX 32 /* under way at once */
#define PACE_ROUNDS     10 /* a rate counts for so many round trips */

enum pace_mode {
	PACE_UNKNOWN, /* no round trip known yet: the window is no opinion */
	PACE_STARTUP, /* the window follows a rate that still grows */
	PACE_DRAIN, /* what startup had queued goes */
	PACE_STEADY,
	PACE_SHARED, /* others fill the queue: keep our share of it */
};

struct pace_way {
	enum pace_mode mode;
	uint64_t total; /* bytes that have gone this way */
	double rate; /* bytes a second, the highest of `rates` */
	double rates[PACE_ROUNDS]; /* of the last rounds, `slot` is the current one */
	double last_rate; /* the last one measured */
	unsigned slot;
	double full_rate; /* startup: the rate that has to be beaten */
	unsigned n_flat; /* startup: rounds that did not */
	unsigned phase, phase_rounds; /* steady: of the cycle of gains */
	double phase_rate; /* the rate when the phase began */
	int is_limited, was_limited; /* our window was what limited the rate, in this round and the
				      * one before */
	unsigned n_long; /* steady: rounds with long round trips; shared: rounds since a test */
	unsigned doubt; /* steady: rounds left in which others may still be there */
	unsigned testing; /* rounds left of a test: is the queue ours? */
	uint64_t long_us; /* the least round trip of the round before the test */
	uint64_t window; /* bytes; 0: no opinion */
	uint64_t ceiling, lifted_us; /* what `total` may be by now; since when */
};

struct pace_probe {
	uint64_t sent_us, down_total, up_total;
	uint64_t down_answered, up_confirmed, answered_us; /* of the answer before */
	unsigned n_more; /* sent when no more could be kept: the answer to the last confirms all */
	int is_void; /* its answer confirms what was sent, and measures nothing */
};

struct pace {
	struct pace_way down, up;
	struct pace_probe probes[PACE_PROBES_MAX];
	unsigned first, n_probes;
	uint64_t last_probe_us, last_probe_up; /* when, and up.total then */
	/* At the last answer: what had come, what the peer had read of ours, when that was. */
	uint64_t down_answered, up_confirmed, answered_us;
	/* What answers confirm at once beyond the rate, for they are held somewhere; of it, since.
	 */
	uint64_t extra, burst, burst_us;
	uint64_t rtt_us, least_us, least_at_us; /* last, and least of late; 0: unknown */
	uint64_t smooth_us; /* of the last few */
	uint64_t recent_us; /* least of this round and the one before */
	uint64_t round_least_us, before_us; /* of this round; of the one before */
	uint64_t hold_us; /* for how long what we send is held, if is_program */
	uint64_t answered_sent_us; /* when the last probe that was answered had been sent */
	int is_together; /* two were answered together, in this round */
	uint64_t round_start_us, n_rounds;
	uint64_t drain_until_round; /* looking for the least round trip again */
	uint64_t drain_least_us;
	uint64_t bulk_us; /* when bulk last went by */
	uint64_t limit; /* of a window */
	int sees_unsent; /* what TCP below has not sent yet is known: pace_up_unsent_most */
	int may_hold; /* answers may be held on their way: by a jump host */
	int is_program; /* what we send may be held too: by a transport (R7) */
};

/* limit: what a window may grow to, in bytes. */
void pace_init(struct pace *p, uint64_t limit);

/* Bytes of bulk that came, or were written. */
void pace_received(struct pace *p, uint64_t now_us, size_t n);
void pace_sent(struct pace *p, uint64_t now_us, size_t n);
/* Something waits that the window kept from being written. */
void pace_held(struct pace *p);

/* Whether a probe is due: a few per round trip while bulk goes by, none otherwise. */
int pace_probe_is_due(const struct pace *p, uint64_t now_us);
/* To be told of every probe, whoever wanted it, and of every answer: they come in order. */
void pace_probe_sent(struct pace *p, uint64_t now_us);
void pace_probe_answered(struct pace *p, uint64_t now_us);
/* Those under way wait for more than the path (a key exchange): they measure nothing. */
void pace_void_probes(struct pace *p);

/* Answers have stopped for now: the next one, and no time, is what will tell of room. */
int pace_is_silent(const struct pace *p, uint64_t now_us);
/* The peer leaves a probe without an answer for seconds: there is nothing to measure. */
int pace_is_unanswered(const struct pace *p, uint64_t now_us);
/* What may be granted at once, the sum over all channels; 0: no opinion. */
uint64_t pace_down_window(struct pace *p, uint64_t now_us);
/* What bulk may write now; UINT64_MAX: no opinion. */
uint64_t pace_up_room(struct pace *p, uint64_t now_us);
/*
 * What TCP below may hold of what was written and not sent, where that can be seen: it is in nobody's
 * way here, and there every keystroke waits for it. UINT64_MAX: no opinion.
 */
uint64_t pace_up_unsent_most(const struct pace *p);
/* As much is under way as the path takes. */
int pace_up_is_full(const struct pace *p);
/* It will be more in a moment, without anything that comes. */
int pace_is_early(const struct pace *p, const struct pace_way *way);
const char *pace_mode_name(const struct pace_way *way);

#endif
