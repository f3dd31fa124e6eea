/* SPDX-License-Identifier: MIT */
/* Who may have how much window memory (U8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/core/window.h"

#define N 1024

static struct window_budget budget;
static struct share shares[N];
static struct window windows[N];

static int setup(void **state)
{
	(void)state;
	window_budget_init(&budget);
	for (int i = 0; i < N; i++)
		share_init(&shares[i], &budget);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < N; i++)
		share_release(&shares[i]);
	assert_int_equal(budget.first, 0);
	assert_int_equal(budget.grown, 0);
	assert_int_equal(budget.n_shares, 0);
	assert_true(smx_list_empty(&budget.claims));
	return 0;
}

/* The flow moved its whole window and the receiver keeps up. */
static void move(struct window *w)
{
	window_granted(w, w->size);
	(void)window_grow(w);
	w->taken = w->size;
	window_granted(w, 0);
}

static void be_busy(struct window *w, unsigned n, unsigned seconds)
{
	while (seconds--) {
		for (unsigned round = 0; round < 8; round++)
			for (unsigned i = 0; i < n; i++)
				move(&w[i]);
		window_budget_tick(&budget);
	}
}

static void U8_a_busy_window_grows_and_an_idle_one_gives_back(void **state)
{
	struct window *w = &windows[0];

	(void)state;
	window_init(w, &shares[0]);
	assert_int_equal(w->size, WINDOW_FIRST);
	be_busy(w, 1, 1);
	assert_int_equal(w->size, WINDOW_MAX);
	assert_int_equal(budget.grown, WINDOW_MAX - WINDOW_FIRST);
	w->taken = 1000; /* all the rest has come, and was read */
	for (int i = 0; i < 5; i++)
		window_budget_tick(&budget);
	assert_int_equal(w->size, WINDOW_FIRST);
	assert_int_equal(budget.grown, 0);
	assert_int_equal(budget.n_shares, 0);
}

/* What was granted can't be taken back: it is charged until it was used, to its link alone. */
static void U8_what_an_idle_window_was_granted_stays_charged(void **state)
{
	struct window *idle = &windows[0], *other = &windows[1];

	(void)state;
	window_init(idle, &shares[0]);
	window_init(other, &shares[1]);
	be_busy(idle, 1, 1);
	for (int i = 0; i < 5; i++)
		window_budget_tick(&budget);
	assert_int_equal(idle->size, WINDOW_FIRST);
	assert_int_equal(shares[0].grown, WINDOW_MAX - WINDOW_FIRST);
	assert_int_equal(budget.n_shares, 0);
	be_busy(other, 1, 1);
	assert_int_equal(other->size, WINDOW_MAX);
	idle->taken = 0;
	window_granted(idle, 1);
	assert_int_equal(shares[0].grown, 0);
}

static void U8_idle_windows_take_nothing_from_busy_ones(void **state)
{
	struct window *busy = &windows[N - 1];

	(void)state;
	/* 300 channels of one client. */
	for (int i = 0; i < 600; i++)
		window_init(&windows[i], &shares[0]);
	assert_true(shares[0].first <= WINDOW_SHARE_FIRST + 600ull * WINDOW_LEAST);
	window_init(busy, &shares[1]);
	assert_int_equal(busy->size, WINDOW_FIRST);
	be_busy(busy, 1, 1);
	assert_int_equal(busy->size, WINDOW_MAX);
	window_release(busy);
	/* And of as many clients: a new one begins small, and grows all the same. */
	share_release(&shares[0]);
	for (int i = 0; i < 600; i++)
		window_init(&windows[i], &shares[i]);
	assert_true(budget.first <= WINDOW_BUDGET / 2 + 600ull * WINDOW_LEAST);
	window_init(busy, &shares[N - 1]);
	assert_int_equal(busy->size, WINDOW_LEAST);
	be_busy(busy, 1, 1);
	assert_int_equal(busy->size, WINDOW_MAX);
}

/* Links share first, then the channels of each. */
static void U8_a_link_with_many_channels_has_no_more_than_another(void **state)
{
	struct window *alone = &windows[N - 1];
	uint64_t total = 0;

	(void)state;
	for (int i = 0; i < 200; i++)
		window_init(&windows[i], &shares[0]);
	window_init(alone, &shares[1]);
	alone->max = 64u << 20;
	be_busy(windows, 200, 3);
	for (int i = 0; i < 3; i++) {
		be_busy(alone, 1, 1);
		be_busy(windows, 200, 1);
	}
	for (int i = 0; i < 8; i++) {
		for (int j = 0; j < 200; j++)
			move(&windows[j]);
		move(alone);
	}
	for (int i = 0; i < 200; i++) {
		assert_in_range(windows[i].size, WINDOW_LEAST, WINDOW_MAX);
		total += windows[i].size - windows[i].first;
	}
	/* Half of what is to be had, or near it. */
	assert_true(total <= (WINDOW_BUDGET - budget.first) / 2);
	assert_true(alone->size >= (WINDOW_BUDGET - budget.first) / 2 - (4u << 20));
	assert_true(alone->size <= (WINDOW_BUDGET - budget.first) / 2 + WINDOW_FIRST);
}

/* Windows as large as a long path needs: few have them, and give back when others come. */
static void U8_large_windows_make_room_for_others(void **state)
{
	struct window *big = &windows[0];

	(void)state;
	window_init(big, &shares[0]);
	big->max = 64u << 20;
	be_busy(big, 1, 2);
	assert_in_range(big->size, 60u << 20, 64u << 20);
	for (int i = 1; i < 64; i++)
		window_init(&windows[i], &shares[i]);
	be_busy(&windows[0], 64, 4);
	for (int i = 1; i < 64; i++)
		assert_in_range(windows[i].size, 1u << 20, WINDOW_MAX);
	assert_in_range(big->size, WINDOW_FIRST, 4u << 20);
}

/* Whatever order things come in: the hard limits hold, nobody has less than the least. */
static void U8_limits_hold_whatever_happens(void **state)
{
	uint32_t rng = 7;
	uint64_t grown;
	uint8_t is_there[N] = { 0 };

	(void)state;
	for (int step = 0; step < 200000; step++) {
		unsigned i;

		rng = rng * 1664525 + 1013904223;
		i = (rng >> 8) % N;
		if (!is_there[i] && (rng >> 28) < 8) {
			window_init(&windows[i], &shares[i % 37]);
			windows[i].max = rng & 0x80 ? 64u << 20 : WINDOW_MAX;
			is_there[i] = 1;
		} else if (is_there[i] && (rng >> 28) < 1) {
			window_release(&windows[i]);
			is_there[i] = 0;
		} else if (is_there[i] && (rng >> 28) < 13) {
			move(&windows[i]);
		} else if (is_there[i] && (rng >> 28) < 15) {
			windows[i].taken = rng % (windows[i].size + 1);
			window_granted(&windows[i], 0);
		} else if (step % 64 == 0) {
			window_budget_tick(&budget);
		}
		assert_true(budget.grown <= WINDOW_ALL_GROWN);
		assert_true(shares[i % 37].grown <= WINDOW_SHARE_GROWN);
		if (is_there[i])
			assert_in_range(windows[i].size, WINDOW_LEAST, windows[i].max);
	}
	grown = 0;
	for (int i = 0; i < N; i++)
		grown += is_there[i] ? windows[i].grown : 0;
	assert_int_equal(grown, budget.grown);
	for (int i = 0; i < N; i++)
		if (is_there[i])
			window_release(&windows[i]);
}

/* Each grew while it was alone, and what it was granted is still out when the next one comes. */
static void U8_all_together_have_a_limit(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		window_init(&windows[i], &shares[i]);
		windows[i].max = 64u << 20;
		for (int n = 0; n < 40; n++)
			move(&windows[i]);
		windows[i].taken = windows[i].size;
		window_granted(&windows[i], 0);
		for (int n = 0; n < 10; n++)
			window_budget_tick(&budget);
		assert_true(budget.grown <= WINDOW_ALL_GROWN);
	}
	assert_true(budget.grown > WINDOW_ALL_GROWN / 4 * 3);
	for (int i = 0; i < 8; i++)
		window_release(&windows[i]);
}

static void U8_what_a_client_makes_us_keep_is_bounded(void **state)
{
	struct share *s = &shares[0];

	(void)state;
	assert_int_equal(share_keep(s, SHARE_KEPT_MAX), 0);
	assert_int_equal(share_keep(s, 1), SMX_ELIMIT);
	assert_int_equal(share_keep(s, SIZE_MAX), SMX_ELIMIT);
	assert_int_equal(share_keep(&shares[1], SHARE_KEPT_MAX), 0);
	share_drop(s, 1);
	assert_int_equal(share_keep(s, 1), 0);
	share_drop(s, SHARE_KEPT_MAX);
	assert_int_equal(s->kept, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(U8_a_busy_window_grows_and_an_idle_one_gives_back),
		TEST(U8_what_an_idle_window_was_granted_stays_charged),
		TEST(U8_idle_windows_take_nothing_from_busy_ones),
		TEST(U8_a_link_with_many_channels_has_no_more_than_another),
		TEST(U8_large_windows_make_room_for_others),
		TEST(U8_limits_hold_whatever_happens),
		TEST(U8_all_together_have_a_limit),
		TEST(U8_what_a_client_makes_us_keep_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
