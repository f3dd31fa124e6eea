/* SPDX-License-Identifier: MIT */
#include "ssh/liveness.h"

#include <string.h>

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void smx_live_init(struct smx_live *lv, uint64_t now)
{
	memset(lv, 0, sizeof(*lv));
	lv->life_ms = lv->from_ms = now;
}

void smx_live_answered(struct smx_live *lv, uint64_t now)
{
	lv->has_answered = 1;
	smx_live_seen(lv, now);
}

void smx_live_acked(struct smx_live *lv, uint64_t at)
{
	if (!lv->has_answered)
		lv->life_ms = later(lv->life_ms, at);
}

/* The first probe that nothing has come after; 0: none. */
static uint64_t asked(const struct smx_live *lv)
{
	return lv->asked_ms > lv->life_ms ? lv->asked_ms : 0;
}

void smx_live_probed(struct smx_live *lv, uint64_t now)
{
	lv->probe_ms = now;
	if (!asked(lv))
		lv->asked_ms = now;
}

void smx_live_woke(struct smx_live *lv, uint64_t now)
{
	/* A probe from before may still be answered: it has as long as one of now. */
	if (asked(lv))
		lv->asked_ms = now;
	lv->from_ms = now;
}

void smx_live_doubt(struct smx_live *lv, uint64_t now)
{
	if (lv->doubt_ms <= lv->life_ms)
		lv->doubt_ms = now;
}

int smx_live_is_overdue(const struct smx_live *lv, const struct smx_live_rules *rules, uint64_t now)
{
	return asked(lv) && now - asked(lv) >= rules->doubt_ms;
}

uint64_t smx_live_silence(const struct smx_live *lv, uint64_t now)
{
	return now - lv->life_ms;
}

static int is_doubted(const struct smx_live *lv, const struct smx_live_input *in)
{
	return in->is_expected || lv->doubt_ms > lv->life_ms;
}

static int probe_is_due(const struct smx_live *lv, const struct smx_live_rules *rules,
	const struct smx_live_input *in, uint64_t now)
{
	uint64_t last = later(lv->life_ms, lv->probe_ms);

	if (in->is_undelivered)
		return 0;
	if (now - last >= rules->probe_ms)
		return 1;
	return is_doubted(lv, in) && lv->state == SMX_LIVE_READY && !asked(lv) &&
	       now - lv->life_ms >= rules->eager_ms;
}

int smx_live_tick(struct smx_live *lv, const struct smx_live_rules *rules,
	const struct smx_live_input *in, uint64_t now)
{
	uint64_t quiet;
	int due = 0;

	if (lv->state == SMX_LIVE_DEAD)
		return 0;
	if (lv->state == SMX_LIVE_STALLED && lv->life_ms >= lv->stalled_ms) {
		lv->state = SMX_LIVE_READY;
		lv->stalled_ms = 0;
		due |= SMX_LIVE_IS_BACK;
	}
	quiet = now - later(lv->life_ms, lv->from_ms);
	if (quiet >= rules->dead_ms) {
		lv->state = SMX_LIVE_DEAD;
		return due | SMX_LIVE_HAS_DIED;
	}
	if (lv->state == SMX_LIVE_READY &&
		(quiet >= rules->stalled_ms ||
			(is_doubted(lv, in) && smx_live_is_overdue(lv, rules, now)))) {
		lv->state = SMX_LIVE_STALLED;
		lv->stalled_ms = now;
		due |= SMX_LIVE_HAS_STALLED;
	}
	if (probe_is_due(lv, rules, in, now))
		due |= SMX_LIVE_PROBE_DUE;
	return due;
}

uint64_t smx_live_deadline(const struct smx_live *lv, const struct smx_live_rules *rules,
	const struct smx_live_input *in, uint64_t now)
{
	uint64_t since = later(lv->life_ms, lv->from_ms), at = since + rules->dead_ms;

	if (lv->state == SMX_LIVE_READY) {
		at = sooner(at, since + rules->stalled_ms);
		if (is_doubted(lv, in) && asked(lv))
			at = sooner(at, asked(lv) + rules->doubt_ms);
		else if (is_doubted(lv, in) && !in->is_undelivered)
			at = sooner(at, lv->life_ms + rules->eager_ms);
	}
	if (!in->is_undelivered)
		at = sooner(at, later(lv->life_ms, lv->probe_ms) + rules->probe_ms);
	return later(at, now);
}
