/* SPDX-License-Identifier: MIT */
/* U9: slow work of clients, on a thread of its own: one at a time, cancelled with whom it is for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/core/lane.h"

#define JOBS      6
#define QUEUE_MAX 8

static atomic_int n_at_once, n_at_most, is_blocked;
static atomic_char order[64]; /* of what was run, by the lanes' threads */
static atomic_size_t n_order;
static unsigned n_done, n_dropped;
static uv_timer_t keeper; /* as sockets keep the daemon's loop */

static void on_keeper(uv_timer_t *timer)
{
	(void)timer;
}

struct job {
	struct lane_job lane;
	char name;
};

static void run(struct lane_job *lane)
{
	struct job *j = SMX_CONTAINER(lane, struct job, lane);
	int n = atomic_fetch_add(&n_at_once, 1) + 1;

	if (n > atomic_load(&n_at_most))
		atomic_store(&n_at_most, n);
	atomic_store(&order[atomic_fetch_add(&n_order, 1)], j->name);
	while (atomic_load(&is_blocked) && j->name == 'B')
		uv_sleep(1);
	atomic_fetch_sub(&n_at_once, 1);
}

static void done(struct lane_job *lane)
{
	n_done++;
	smx_free(SMX_CONTAINER(lane, struct job, lane));
}

static void dropped(struct lane_job *lane)
{
	n_dropped++;
	smx_free(SMX_CONTAINER(lane, struct job, lane));
}

static struct job *add(struct lane *lane, char name)
{
	struct job *j = smx_calloc(1, sizeof(*j));

	j->name = name;
	j->lane = (struct lane_job){ .run = run, .done = done, .dropped = dropped };
	assert_int_equal(lane_add(lane, &j->lane), 0);
	return j;
}

static void wait_for(atomic_int *what, int value)
{
	for (int i = 0; i < 5000 && atomic_load(what) != value; i++)
		uv_sleep(1);
	assert_int_equal(atomic_load(what), value);
}

static void start(uv_loop_t *loop, struct lane **ret)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(order); i++)
		atomic_store(&order[i], 0);
	atomic_store(&n_order, 0);
	n_done = n_dropped = 0;
	atomic_store(&n_at_once, 0);
	atomic_store(&n_at_most, 0);
	assert_int_equal(uv_loop_init(loop), 0);
	assert_int_equal(lane_new(loop, QUEUE_MAX, 1, ret), 0);
	assert_int_equal(uv_timer_init(loop, &keeper), 0);
	assert_int_equal(uv_timer_start(&keeper, on_keeper, 3600 * 1000, 0), 0);
	/* One that goes on until it is let go, so that the others wait. */
	atomic_store(&is_blocked, 1);
	(void)add(*ret, 'B');
	wait_for(&n_at_once, 1);
}

static void check_order(const char *want)
{
	char got[SMX_ARRAY_LEN(order)];

	for (size_t i = 0; i < sizeof(got); i++)
		got[i] = atomic_load(&order[i]);
	assert_string_equal(got, want);
}

static void finish(uv_loop_t *loop, struct lane *lane)
{
	assert_int_equal(lane_free(lane), 0);
	uv_close((uv_handle_t *)&keeper, NULL);
	assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(loop), 0);
	assert_int_equal(smx_mem_alive(), 0);
}

static void spin(uv_loop_t *loop, unsigned want_done)
{
	for (int i = 0; i < 5000 && n_done < want_done; i++) {
		(void)uv_run(loop, UV_RUN_NOWAIT);
		uv_sleep(1);
	}
	assert_int_equal(n_done, want_done);
}

static void U9_one_at_a_time_in_their_order(void **state)
{
	struct lane *lane;
	uv_loop_t loop;

	(void)state;
	start(&loop, &lane);
	for (int i = 0; i < JOBS; i++)
		(void)add(lane, (char)('a' + i));
	atomic_store(&is_blocked, 0);
	spin(&loop, 1 + JOBS);
	check_order("Babcdef");
	assert_int_equal(atomic_load(&n_at_most), 1);
	assert_int_equal(n_dropped, 0);
	finish(&loop, lane);
}

/* A stranger's work and one of ours don't wait for each other. */
static void U9_lanes_are_apart(void **state)
{
	struct lane *lane, *other;
	uv_loop_t loop;

	(void)state;
	start(&loop, &lane);
	assert_int_equal(lane_new(&loop, QUEUE_MAX, 0, &other), 0);
	(void)add(other, 'k');
	spin(&loop, 1);
	check_order("Bk");
	assert_int_equal(atomic_load(&n_at_most), 2);
	atomic_store(&is_blocked, 0);
	spin(&loop, 2);
	assert_int_equal(lane_free(other), 0);
	finish(&loop, lane);
}

static void U9_what_nobody_waits_for_is_not_done(void **state)
{
	struct job *jobs[JOBS];
	struct lane *lane;
	uv_loop_t loop;

	(void)state;
	start(&loop, &lane);
	for (int i = 0; i < JOBS; i++)
		jobs[i] = add(lane, (char)('a' + i));
	for (int i = 0; i < JOBS - 1; i++) {
		lane_cancel(lane, &jobs[i]->lane);
		assert_int_equal(n_dropped, i + 1); /* at once */
	}
	atomic_store(&is_blocked, 0);
	spin(&loop, 2);
	check_order("Bf");
	finish(&loop, lane);
}

/* U10: what runs can't be stopped, and nobody waits for it: not the loop, not the end. */
static void U10_what_runs_keeps_nobody(void **state)
{
	struct job *j;
	struct lane *lane;
	uv_loop_t loop;

	(void)state;
	start(&loop, &lane);
	atomic_store(&is_blocked, 0);
	spin(&loop, 1);
	atomic_store(&is_blocked, 1);
	j = add(lane, 'B');
	wait_for(&n_at_once, 1);
	lane_cancel(lane, &j->lane);
	assert_int_equal(n_dropped, 0);
	uv_unref((uv_handle_t *)&keeper);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0); /* returns at once */
	assert_int_equal(lane_free(lane), SMX_EAGAIN);
	atomic_store(&is_blocked, 0);
	wait_for(&n_at_once, 0);
	uv_sleep(50); /* it takes note */
	assert_int_equal(lane_free(lane), 0);
	assert_int_equal(n_dropped, 1);
	assert_int_equal(n_done, 1);
	uv_close((uv_handle_t *)&keeper, NULL);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(smx_mem_alive(), 0);
}

static void U9_the_queue_is_short(void **state)
{
	struct job *jobs[QUEUE_MAX], *more = smx_calloc(1, sizeof(*more));
	struct lane *lane;
	uv_loop_t loop;

	(void)state;
	start(&loop, &lane);
	for (int i = 0; i < QUEUE_MAX; i++)
		jobs[i] = add(lane, 's');
	more->lane = (struct lane_job){ .run = run, .done = done, .dropped = dropped };
	assert_int_equal(lane_add(lane, &more->lane), SMX_ELIMIT);
	smx_free(more);
	for (int i = 1; i < QUEUE_MAX; i++)
		lane_cancel(lane, &jobs[i]->lane);
	(void)add(lane, 'z');
	atomic_store(&is_blocked, 0);
	spin(&loop, 3);
	check_order("Bsz");
	finish(&loop, lane);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(U9_one_at_a_time_in_their_order),
		cmocka_unit_test(U9_lanes_are_apart),
		cmocka_unit_test(U9_what_nobody_waits_for_is_not_done),
		cmocka_unit_test(U10_what_runs_keeps_nobody),
		cmocka_unit_test(U9_the_queue_is_short),
	};

	return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
