/* SPDX-License-Identifier: MIT */
/*
 * Whether a stream is bulk on the connection to a remote, and what it may then have under way (B7,
 * B8). One for each direction of each channel, whatever is at its other end.
 */
#ifndef SMX_MUX_CORE_BULK_H
#define SMX_MUX_CORE_BULK_H

#include "mux/core/link.h"

/* What a stream may move in a round trip without being bulk. */
#define BULK_LIGHT (16 * 1024)
/* The least that a stream may have on its way, however many share a path. */
#define BULK_SHARE_LEAST (8 * 1024)

struct bulk {
	/* Of the link's round trips, counted from 1: the one that round_bytes is of; the last with more
	 * than BULK_LIGHT, or 0. */
	uint64_t round, busy_round;
	uint32_t round_bytes;
};

/* l: the link to the remote; NULL or one without pacing: no opinion. waiting: bytes queued. */
int bulk_is_light(const struct bulk *b, const struct link *l, size_t waiting);
/* n bytes of it have come from the remote, or were sent there. */
void bulk_note(struct bulk *b, struct link *l, enum link_way way, size_t n);
/* Its share of what may be on its way from the remote now, and of what that will be in a moment, as
 * the path takes it (pacing.h); 0: no opinion, or not bulk. */
size_t bulk_down_share(const struct bulk *b, struct link *l, size_t waiting);
size_t bulk_down_most(const struct bulk *b, const struct link *l, size_t waiting);
/* The least of such a share that is granted at once: what is sent for a large grant would be a queue
 * on a thin path. */
size_t bulk_step(size_t share);
/* The first is less than the second. */
int bulk_is_early(const struct bulk *b, const struct link *l, size_t waiting);

#endif
