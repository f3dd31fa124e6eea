/* SPDX-License-Identifier: MIT */
#include "mux/core/bulk.h"

#define STEPS      16 /* of a share */
#define STEP_SMALL (8 * 1024) /* below this half of it */
/* A message of 32 KiB takes a thin path longer than a round trip, in which nothing else comes. */
#define BUSY_ROUNDS 4

int bulk_is_light(const struct bulk *b, const struct link *l, size_t waiting)
{
	if (!l || !l->is_paced || waiting > BULK_LIGHT)
		return 0;
	return !b->busy_round || l->pace.n_rounds + 1 - b->busy_round >= BUSY_ROUNDS;
}

void bulk_note(struct bulk *b, struct link *l, enum link_way way, size_t n)
{
	uint64_t round;

	if (!l || !l->is_paced)
		return;
	round = l->pace.n_rounds + 1;
	if (b->round != round) {
		b->round_bytes = 0;
		b->round = round;
	}
	b->round_bytes =
		n < UINT32_MAX - b->round_bytes ? b->round_bytes + (uint32_t)n : UINT32_MAX;
	if (b->busy_round != round && b->round_bytes > BULK_LIGHT) {
		b->busy_round = round;
		l->n_busy[way]++;
	}
	if (bulk_is_light(b, l, 0))
		return;
	if (way == LINK_DOWN)
		pace_received(&l->pace, uv_hrtime() / 1000, n);
	else
		pace_sent(&l->pace, uv_hrtime() / 1000, n);
}

static size_t part(const struct link *l, uint64_t window)
{
	unsigned n = l->n_busy_before[LINK_DOWN];

	if (n < l->n_busy[LINK_DOWN])
		n = l->n_busy[LINK_DOWN];
	window /= n ? n : 1;
	return window > BULK_SHARE_LEAST ? (size_t)window : BULK_SHARE_LEAST;
}

size_t bulk_down_share(const struct bulk *b, struct link *l, size_t waiting)
{
	uint64_t window = l && l->is_paced ? pace_down_window(&l->pace, uv_hrtime() / 1000) : 0;

	return window && !bulk_is_light(b, l, waiting) ? part(l, window) : 0;
}

size_t bulk_down_most(const struct bulk *b, const struct link *l, size_t waiting)
{
	int is_known = l && l->is_paced && l->pace.down.mode != PACE_UNKNOWN;

	return is_known && !bulk_is_light(b, l, waiting) ? part(l, l->pace.down.window) : 0;
}

size_t bulk_step(size_t share)
{
	size_t n = share / STEPS;

	if (n < STEP_SMALL)
		n /= 2;
	return n > BULK_SHARE_LEAST / 4 ? n : BULK_SHARE_LEAST / 4;
}

int bulk_is_early(const struct bulk *b, const struct link *l, size_t waiting)
{
	return l && l->is_paced && !bulk_is_light(b, l, waiting) &&
	       pace_is_early(&l->pace, &l->pace.down);
}
