/* SPDX-License-Identifier: MIT */
#include "mux/core/bulk.h"

int bulk_is_light(const struct bulk *b, const struct link *l, size_t waiting)
{
	if (!l || !l->is_paced || waiting > BULK_LIGHT)
		return 0;
	if (b->round != l->pace.n_rounds)
		return !b->is_busy || b->round + 1 != l->pace.n_rounds;
	return !b->is_busy && !b->was_busy;
}

void bulk_note(struct bulk *b, struct link *l, enum link_way way, size_t n)
{
	if (!l || !l->is_paced)
		return;
	if (b->round != l->pace.n_rounds) {
		b->was_busy = b->is_busy && b->round + 1 == l->pace.n_rounds;
		b->is_busy = 0;
		b->round_bytes = 0;
		b->round = l->pace.n_rounds;
	}
	b->round_bytes =
		n < UINT32_MAX - b->round_bytes ? b->round_bytes + (uint32_t)n : UINT32_MAX;
	if (!b->is_busy && b->round_bytes > BULK_LIGHT) {
		b->is_busy = 1;
		l->n_busy[way]++;
	}
	if (!b->is_busy && !b->was_busy)
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

int bulk_is_early(const struct bulk *b, const struct link *l, size_t waiting)
{
	return l && l->is_paced && !bulk_is_light(b, l, waiting) &&
	       pace_is_early(&l->pace, &l->pace.down);
}
