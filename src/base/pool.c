/* SPDX-License-Identifier: MIT */
#include "base/pool.h"

#include <assert.h>

#include "base/mem.h"
#include "base/sanitize.h"

/* The rest of a block that is free is poisoned. */
struct smx_free_block {
	struct smx_free_block *next;
};

#define REST_LEN (SMX_BLOCK_LEN - sizeof(struct smx_free_block))

void smx_pool_init(struct smx_pool *pool, size_t max_free)
{
	*pool = (struct smx_pool){ .max_free = max_free };
}

void smx_pool_release(struct smx_pool *pool)
{
	assert(pool->n_used == 0);
	smx_pool_trim(pool);
}

void smx_pool_trim(struct smx_pool *pool)
{
	struct smx_free_block *b = pool->free_list, *next;

	for (; b; b = next) {
		next = b->next;
		smx_free(b);
	}
	pool->free_list = NULL;
	pool->n_free = pool->n_spare = 0;
}

size_t smx_pool_relax(struct smx_pool *pool)
{
	struct smx_free_block **link = &pool->free_list, *b;
	size_t n = pool->n_spare;

	/* Those behind the ones that were needed. */
	for (size_t i = n; i < pool->n_free; i++)
		link = &(*link)->next;
	while ((b = *link)) {
		*link = b->next;
		smx_free(b);
	}
	pool->n_free -= n;
	pool->n_spare = pool->n_free;
	return n;
}

void *smx_pool_get(struct smx_pool *pool)
{
	struct smx_free_block *b = pool->free_list;

	if (b) {
		pool->free_list = b->next;
		SMX_UNPOISON(b + 1, REST_LEN);
		if (--pool->n_free < pool->n_spare)
			pool->n_spare = pool->n_free;
	} else if (!(b = smx_malloc(SMX_BLOCK_LEN))) {
		return NULL;
	}
	pool->n_used++;
	return b;
}

void smx_pool_put(struct smx_pool *pool, void *block)
{
	struct smx_free_block *b = block;

	if (!b)
		return;
	pool->n_used--;
	if (pool->n_free >= pool->max_free) {
		smx_free(b);
		return;
	}
	b->next = pool->free_list;
	SMX_POISON(b + 1, REST_LEN);
	pool->free_list = b;
	pool->n_free++;
}
