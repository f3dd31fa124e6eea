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
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
