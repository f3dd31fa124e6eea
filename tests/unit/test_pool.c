/* SPDX-License-Identifier: MIT */
/* The pool of socket blocks: blocks come back, only so many are kept (P6: nothing leaks). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/sanitize.h"

static void blocks_are_reused(void **state)
{
	long alive = smx_mem_alive();
	struct smx_pool pool;
	void *a, *b, *c;

	(void)state;
	smx_pool_init(&pool, 2);
	a = smx_pool_get(&pool);
	b = smx_pool_get(&pool);
	c = smx_pool_get(&pool);
	assert_true(a && b && c && a != b && b != c && a != c);
	memset(a, 1, SMX_BLOCK_LEN);
	assert_int_equal(pool.n_used, 3);
	smx_pool_put(&pool, a);
	smx_pool_put(&pool, b);
	/* Two are kept; the one used last is the next. */
	smx_pool_put(&pool, c);
	assert_int_equal(pool.n_free, 2);
	assert_int_equal(pool.n_used, 0);
	assert_int_equal(smx_mem_alive(), alive + 2);
	assert_ptr_equal(smx_pool_get(&pool), b);
	smx_pool_put(&pool, b);
	smx_pool_put(&pool, NULL);
	assert_int_equal(pool.n_used, 0);
	smx_pool_release(&pool);
	assert_int_equal(smx_mem_alive(), alive);
}

/* U10: what a peak needed and nobody needs any more is freed, though others are in use. */
static void U10_blocks_that_are_not_needed_are_freed(void **state)
{
	long alive = smx_mem_alive();
	struct smx_pool pool;
	void *blocks[10], *held;

	(void)state;
	smx_pool_init(&pool, 8);
	held = smx_pool_get(&pool);
	for (int i = 0; i < 10; i++)
		assert_non_null(blocks[i] = smx_pool_get(&pool));
	for (int i = 0; i < 10; i++)
		smx_pool_put(&pool, blocks[i]);
	assert_int_equal(pool.n_free, 8);
	assert_int_equal(smx_pool_relax(&pool), 0); /* they were just needed */
	/* Three at a time are needed. */
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++)
			blocks[i] = smx_pool_get(&pool);
		for (int i = 0; i < 3; i++)
			smx_pool_put(&pool, blocks[i]);
	}
	assert_int_equal(smx_pool_relax(&pool), 5);
	assert_int_equal(pool.n_free, 3);
	assert_int_equal(smx_mem_alive(), alive + 4);
	assert_int_equal(smx_pool_relax(&pool), 3);
	assert_int_equal(smx_pool_relax(&pool), 0);
	smx_pool_put(&pool, held);
	smx_pool_release(&pool);
	assert_int_equal(smx_mem_alive(), alive);
}

/* A use of a block that was given back is one that AddressSanitizer sees. */
static void free_blocks_are_poisoned(void **state)
{
#if SMX_HAS_ASAN
	struct smx_pool pool;
	uint8_t *a;

	(void)state;
	smx_pool_init(&pool, 1);
	a = smx_pool_get(&pool);
	assert_non_null(a);
	smx_pool_put(&pool, a);
	assert_true(__asan_address_is_poisoned(a + sizeof(void *)));
	assert_true(__asan_address_is_poisoned(a + SMX_BLOCK_LEN - 1));
	assert_ptr_equal(smx_pool_get(&pool), a);
	assert_null(__asan_region_is_poisoned(a, SMX_BLOCK_LEN));
	smx_pool_put(&pool, a);
	smx_pool_release(&pool);
#else
	(void)state;
	skip();
#endif
}

static void no_memory(void **state)
{
	struct smx_pool pool;
	void *a;

	(void)state;
	smx_pool_init(&pool, 1);
	a = smx_pool_get(&pool);
	assert_non_null(a);
	smx_mem_fail_after(0);
	assert_null(smx_pool_get(&pool));
	assert_int_equal(pool.n_used, 1);
	smx_pool_put(&pool, a);
	/* A kept block needs no memory. */
	assert_ptr_equal(smx_pool_get(&pool), a);
	smx_mem_fail_after(-1);
	smx_pool_put(&pool, a);
	smx_pool_release(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_reused),
		cmocka_unit_test(U10_blocks_that_are_not_needed_are_freed),
		cmocka_unit_test(free_blocks_are_poisoned),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
