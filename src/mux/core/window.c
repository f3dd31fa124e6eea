/* SPDX-License-Identifier: MIT */
#include "mux/core/window.h"

#include "base/err.h"

/* A window that a path needs moves its own size in a round trip; one that moves less than this
 * part of it in a second is idle. */
#define BUSY_PART 4

void window_budget_init(struct window_budget *b)
{
	*b = (struct window_budget){ 0 };
	smx_list_init(&b->claims);
}

void share_init(struct share *s, struct window_budget *b)
{
	*s = (struct share){ .budget = b };
	smx_list_init(&s->windows);
}

/* --- what is charged --- */

static void charge(struct window *w)
{
	uint64_t most = w->taken > w->size ? w->taken : w->size;
	uint64_t grown = most > w->first ? most - w->first : 0;

	w->share->grown += grown - w->grown;
	w->share->budget->grown += grown - w->grown;
	w->grown = grown;
}

static void claim(struct window *w)
{
	struct share *s = w->share;

	if (!smx_list_empty(&w->claim_node))
		return;
	smx_list_add_tail(&s->budget->claims, &w->claim_node);
	if (s->n_claims++ == 0)
		s->budget->n_shares++;
}

static void unclaim(struct window *w)
{
	struct share *s = w->share;

	if (smx_list_empty(&w->claim_node))
		return;
	smx_list_del(&w->claim_node);
	if (--s->n_claims == 0)
		s->budget->n_shares--;
}

/* What a window with a claim may have now. */
static uint32_t limit(const struct window *w)
{
	const struct window_budget *b = w->share->budget;
	uint64_t first = b->first < WINDOW_BUDGET / 2 ? b->first : WINDOW_BUDGET / 2;
	uint64_t fair = (WINDOW_BUDGET - first) / b->n_shares / w->share->n_claims;

	fair += w->first;
	return fair < w->max ? (uint32_t)fair : w->max;
}

/* --- windows --- */

void window_init(struct window *w, struct share *s)
{
	struct window_budget *b = s->budget;

	*w = (struct window){ .share = s, .max = WINDOW_MAX, .first = WINDOW_FIRST };
	if (b->first + w->first > WINDOW_BUDGET / 2 || s->first + w->first > WINDOW_SHARE_FIRST)
		w->first = WINDOW_LEAST;
	w->size = w->first;
	smx_list_init(&w->claim_node);
	smx_list_init(&w->node);
	smx_list_add_tail(&s->windows, &w->node);
	s->first += w->first;
	b->first += w->first;
}

void window_release(struct window *w)
{
	struct share *s = w->share;

	if (!s)
		return;
	unclaim(w);
	smx_list_del(&w->node);
	s->first -= w->first;
	s->budget->first -= w->first;
	s->grown -= w->grown;
	s->budget->grown -= w->grown;
	w->share = NULL;
	w->grown = 0;
}

void share_release(struct share *s)
{
	while (!smx_list_empty(&s->windows))
		window_release(SMX_CONTAINER(s->windows.next, struct window, node));
}

int window_grow(struct window *w)
{
	struct share *s = w->share;
	uint32_t size, most;

	if (!s)
		return 0;
	claim(w);
	most = limit(w);
	size = w->size < most / 2 ? w->size * 2 : most;
	if (size <= w->size || s->grown + size - w->size > WINDOW_SHARE_GROWN ||
		s->budget->grown + size - w->size > WINDOW_ALL_GROWN)
		return 0;
	w->size = size;
	charge(w);
	return 1;
}

void window_granted(struct window *w, uint32_t n)
{
	uint32_t most;

	w->moved += n;
	if (!w->share || w->grown == 0)
		return;
	/* Others may have come who want their share. */
	if (!smx_list_empty(&w->claim_node) && w->size > (most = limit(w)))
		w->size = most;
	charge(w);
}

void window_budget_tick(struct window_budget *b)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &b->claims) {
		struct window *w = SMX_CONTAINER(it, struct window, claim_node);

		if (w->moved < w->size / BUSY_PART) {
			w->size = w->size / 2 > w->first ? w->size / 2 : w->first;
			charge(w);
			if (w->size == w->first)
				unclaim(w);
		}
		w->moved = 0;
	}
}

/* --- messages --- */

int share_keep(struct share *s, size_t n)
{
	if (!s)
		return 0;
	if (n > SHARE_KEPT_MAX - s->kept)
		return SMX_ELIMIT;
	s->kept += n;
	return 0;
}

void share_drop(struct share *s, size_t n)
{
	if (s)
		s->kept -= n;
}
