/* SPDX-License-Identifier: MIT */
/*
 * Whether the other side of a connection is still there: ready → stalled → dead, and back from
 * stalled to ready (P4, U3, U4, L10). Without I/O and without a clock: signs of life, probes and
 * the time are handed in, and what is due comes out. All times are in milliseconds of one clock
 * that never goes back.
 *
 *	ready	it answers, or has been silent for no longer than it may
 *	stalled	no sign of life for rules.stalled_ms; or it is doubted (the
 *		machine woke up, or somebody wants a new channel) and a probe
 *		has been unanswered for rules.doubt_ms
 *	dead	no sign of life for rules.dead_ms
 *
 * Whatever the other side sends is a sign of life. One that has never answered a probe is judged by
 * the acknowledgements of its TCP instead.
 */
#ifndef SMX_SSH_LIVENESS_H
#define SMX_SSH_LIVENESS_H

#include <stdint.h>

struct smx_live_rules {
	uint64_t probe_ms; /* silence after which a probe goes out, and between two probes */
	uint64_t eager_ms; /* the same while it is doubted */
	uint64_t stalled_ms;
	uint64_t doubt_ms;
	uint64_t dead_ms;
};

enum smx_live_state { SMX_LIVE_READY, SMX_LIVE_STALLED, SMX_LIVE_DEAD };

struct smx_live {
	enum smx_live_state state;
	uint64_t life_ms; /* the last sign of life */
	uint64_t from_ms; /* silence before that says nothing: we slept ourselves */
	uint64_t probe_ms; /* the last probe */
	uint64_t asked_ms; /* the first probe since the last sign of life; 0: none */
	uint64_t doubt_ms; /* doubted since; 0: it is not */
	uint64_t stalled_ms; /* stalled since; 0: it is not */
	int has_answered; /* a probe, at any time */
};

/* What smx_live_tick asks about. */
struct smx_live_input {
	int is_expected; /* somebody waits for an answer on it: doubted as long as he does */
	int is_undelivered; /* the last probe is still on its way: another one would only queue up
			     */
};

/* What is due, ORed. */
enum {
	SMX_LIVE_PROBE_DUE = 1, /* send one, and say so: smx_live_probed */
	SMX_LIVE_HAS_STALLED = 2,
	SMX_LIVE_IS_BACK = 4,
	SMX_LIVE_HAS_DIED = 8,
};

void smx_live_init(struct smx_live *lv, uint64_t now);

/* Something came from the other side, or it took what it could not take before. */
static inline void smx_live_seen(struct smx_live *lv, uint64_t now)
{
	lv->life_ms = now;
}

/* A probe was answered, in whatever way. */
void smx_live_answered(struct smx_live *lv, uint64_t now);
/* The other side's TCP (or what carries the connection) was alive at that time. It counts only for
 * one that has never answered a probe. */
void smx_live_acked(struct smx_live *lv, uint64_t at);
void smx_live_probed(struct smx_live *lv, uint64_t now);
/* We were stopped, or the machine slept: the silence until now says nothing. */
void smx_live_woke(struct smx_live *lv, uint64_t now);
/* It has to show life within rules.doubt_ms of the next probe, or of the last unanswered one. */
void smx_live_doubt(struct smx_live *lv, uint64_t now);
/* A probe has been unanswered for rules.doubt_ms: not to be used without asking again. */
int smx_live_is_overdue(
	const struct smx_live *lv, const struct smx_live_rules *rules, uint64_t now);
/* For how long there was no sign of life. */
uint64_t smx_live_silence(const struct smx_live *lv, uint64_t now);

/* Brings the state up to date. Returns what is due. */
int smx_live_tick(struct smx_live *lv, const struct smx_live_rules *rules,
	const struct smx_live_input *in, uint64_t now);
/* When smx_live_tick has something to do, if nothing happens until then; never before now. */
uint64_t smx_live_deadline(const struct smx_live *lv, const struct smx_live_rules *rules,
	const struct smx_live_input *in, uint64_t now);

#endif
