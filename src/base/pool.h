/* SPDX-License-Identifier: MIT */
/*
 * A pool of equal blocks for socket buffers. A connection holds a block only while
 * bytes are on their way, so that thousands of idle connections cost nothing, and the block
 * taken next is the one used last (still in the CPU's cache). At most max_free idle
 * blocks are kept. For one thread.
 */
#ifndef SMX_BASE_POOL_H
#define SMX_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

/* Room for a few of the largest packets; what one read or write moves. */
#define SMX_BLOCK_LEN (528 * 1024)

struct smx_free_block;

struct smx_pool {
	size_t n_free, max_free, n_used;
	size_t n_spare; /* idle blocks that were not needed since smx_pool_relax */
	struct smx_free_block *free_list;
};

void smx_pool_init(struct smx_pool *pool, size_t max_free);
/* Frees the idle blocks; those handed out must have come back. */
void smx_pool_release(struct smx_pool *pool);
/* Frees the idle blocks. */
void smx_pool_trim(struct smx_pool *pool);
/* Frees the idle blocks that were not needed since the last call. Returns their number. */
size_t smx_pool_relax(struct smx_pool *pool);
/* SMX_BLOCK_LEN bytes, not zeroed, or NULL. */
void *smx_pool_get(struct smx_pool *pool);
void smx_pool_put(struct smx_pool *pool, void *block); /* block may be NULL */

#endif
