/* SPDX-License-Identifier: MIT */
/*
 * Window memory and its shares (U8). Without I/O and without a clock.
 *
 * A window says what may be granted to the sender of a flow or queued for its receiver. It begins
 * with `first`, which it always keeps, and grows while it is busy. What it has grown comes out
 * of a budget for the whole daemon that is shared by the links of clients that want to grow,
 * equally, and a link's share by its windows that want to. Who is idle claims nothing: each
 * second an idle window gives back half of what it has. What was granted can't be taken back from
 * the sender; it stays charged to its link until it was used, and only its own link has less
 * for it.
 *
 * A share also counts the messages that one client makes us keep, in real bytes.
 */
#ifndef SMX_MUX_CORE_WINDOW_H
#define SMX_MUX_CORE_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "ssh/conn.h"

#define WINDOW_FIRST (256u * 1024)
#define WINDOW_LEAST SMX_CHANNEL_PACKET
#define WINDOW_MAX   (2u * 1024 * 1024)
/* First windows take at most half of it; the rest is there to grow. */
#define WINDOW_BUDGET (128ull * 1024 * 1024)
/* First windows of one link above WINDOW_LEAST. */
#define WINDOW_SHARE_FIRST (WINDOW_BUDGET / 8)
/* Hard limits of what has grown, with what idle windows were granted and have not used: of one
 * link, of all. */
#define WINDOW_SHARE_GROWN (WINDOW_BUDGET / 2)
#define WINDOW_ALL_GROWN   (WINDOW_BUDGET * 2)

/* Requests that wait and channels that wait to be opened, for one client. */
#define SHARE_KEPT_MAX (4u * 1024 * 1024)
/* What an allocation costs besides its size. */
#define SHARE_ALLOC_COST 32u

struct window_budget {
	struct smx_list claims; /* windows that want to grow, or have grown */
	unsigned n_shares; /* that have claims */
	uint64_t first, grown; /* sums */
};

/* Of one link of a client. */
struct share {
	struct window_budget *budget;
	struct smx_list windows;
	unsigned n_claims;
	uint64_t first, grown;
	size_t kept;
};

struct window {
	struct smx_list node, claim_node;
	struct share *share; /* NULL once its link is gone: then it grows no more */
	uint32_t first, size;
	uint32_t max; /* WINDOW_MAX; more where the path rewards it */
	uint64_t taken; /* granted and not come yet, or queued: the flow keeps it right */
	uint64_t grown; /* charged: what size or taken are above first */
	uint64_t moved; /* in this second */
};

void window_budget_init(struct window_budget *b);
/* Once a second. */
void window_budget_tick(struct window_budget *b);

void share_init(struct share *s, struct window_budget *b);
/* Its link is gone: its windows are no longer counted. */
void share_release(struct share *s);
/* Counts n bytes of messages that are kept. SMX_ELIMIT: more than SHARE_KEPT_MAX. s may be NULL. */
int share_keep(struct share *s, size_t n);
void share_drop(struct share *s, size_t n);

void window_init(struct window *w, struct share *s);
void window_release(struct window *w);
/* The receiver keeps up with all there is. 1 if the window is larger now. */
int window_grow(struct window *w);
/* n bytes were granted, w->taken is right: brings the size and what is charged down to what is due.
 */
void window_granted(struct window *w, uint32_t n);

#endif
