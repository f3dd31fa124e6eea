/* SPDX-License-Identifier: MIT */
/* U3: when the pool has to look again, so that whoever waits is answered within 6 s. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mux/pool/pool.h"
#include "mux/pool/upstream.h"

#define PATIENCE_MS 5800

/* An entry whose connection is stalled, and that has no login under way. */
struct fixture {
	struct mux mux;
	struct pool_entry entry;
	struct upstream up;
	struct link link;
	struct open_req reqs[3];
};

static void make(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	smx_list_init(&f->mux.entries);
	f->entry.mux = &f->mux;
	smx_list_init(&f->entry.upstreams);
	smx_list_init(&f->entry.waiting);
	smx_list_init(&f->entry.node);
	smx_list_add_tail(&f->mux.entries, &f->entry.node);
	f->up.entry = &f->entry;
	f->up.link = &f->link;
	f->up.state = UPSTREAM_STALLED;
	smx_list_init(&f->up.node);
	smx_list_add_tail(&f->entry.upstreams, &f->up.node);
}

static void wait_since(struct fixture *f, size_t i, uint64_t since_ms)
{
	smx_list_init(&f->reqs[i].node);
	f->reqs[i].since_ms = since_ms;
	smx_list_add_tail(&f->entry.waiting, &f->reqs[i].node);
}

static void U3_the_first_deadline_is_that_of_who_waits_longest(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	assert_true(pool_deadline(&f.mux) == UINT64_MAX); /* nobody waits */
	/* Opens that are taken back from a connection wait in the order of its channels. */
	wait_since(&f, 0, 3000);
	assert_true(pool_deadline(&f.mux) == 3000 + PATIENCE_MS);
	wait_since(&f, 1, 1000);
	assert_true(pool_deadline(&f.mux) == 1000 + PATIENCE_MS);
	wait_since(&f, 2, 2000);
	assert_true(pool_deadline(&f.mux) == 1000 + PATIENCE_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(U3_the_first_deadline_is_that_of_who_waits_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
