/* SPDX-License-Identifier: MIT */
/* The memory of failed logins (U5): how many tries a server sees, under a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/pool/attempts.h"

#define MINUTE 60000u
#define START  1000000u

static struct smx_routes *make_path(const char *host)
{
	struct smx_routes *routes = NULL;

	assert_int_equal(smx_routes_direct(host, 22, "u", 0, &routes, NULL), 0);
	return routes;
}

struct fixture {
	struct attempts as;
	struct smx_routes *routes;
	const struct smx_hop *hops;
	long alive;
};

static void begin(struct fixture *f)
{
	f->alive = smx_mem_alive();
	attempts_init(&f->as);
	f->routes = make_path("web");
	f->hops = f->routes->routes[0].hops;
}

static void end(struct fixture *f)
{
	attempts_release(&f->as);
	assert_int_equal(f->as.n, 0);
	smx_routes_unref(f->routes);
	assert_int_equal(smx_mem_alive(), f->alive);
}

static void note(struct fixture *f, struct attempt_failure failure, uint64_t now)
{
	if (!failure.cause)
		failure.cause = "no";
	attempts_failed(&f->as, f->routes, f->hops, 1, &failure, now);
}

static int blocks(struct fixture *f, enum attempt_place place, uint64_t now)
{
	struct attempt *a = attempts_find(&f->as, f->hops, 1);
	struct attempt_caller caller = { .place = place };

	return a && attempt_blocks(a, &caller, now);
}

/* A caller each 50 ms, whose login takes 10 ms and fails so. The times of the tries. */
static size_t poll_for(struct fixture *f, struct attempt_failure failure, enum attempt_place place,
	uint64_t for_ms, uint64_t *ret_at, size_t max)
{
	size_t n = 0;

	for (uint64_t now = START; now < START + for_ms; now += 50) {
		if (blocks(f, place, now))
			continue;
		if (n < max)
			ret_at[n] = now - START;
		n++;
		note(f, failure, now + 10);
	}
	return n;
}

static size_t count_until(const uint64_t *at, size_t n, uint64_t until)
{
	size_t found = 0;

	while (found < n && at[found] < until)
		found++;
	return found;
}

static void check_gaps(const uint64_t *at, const unsigned *gaps_s, size_t n_gaps)
{
	for (size_t i = 0; i < n_gaps; i++) {
		uint64_t gap = at[i + 1] - at[i], want = gaps_s[i] * 1000u;

		assert_in_range(gap, want, want + 100);
	}
}

static void U5_refused_three_tries_in_the_first_minute(void **state)
{
	static const unsigned gaps[] = { 15, 20, 30, 60, 120, 240, 480, 600, 600, 600 };
	struct fixture f;
	uint64_t at[64];
	size_t n;

	(void)state;
	begin(&f);
	n = poll_for(&f, (struct attempt_failure){ .kind = ATTEMPT_REFUSED }, ATTEMPT_NOWHERE,
		60 * MINUTE, at, 64);
	assert_int_equal(count_until(at, n, 10000), 1);
	assert_int_equal(count_until(at, n, MINUTE), 3);
	assert_true(n > SMX_ARRAY_LEN(gaps));
	check_gaps(at, gaps, SMX_ARRAY_LEN(gaps));
	end(&f);
}

static void U5_person_backs_off_from_half_a_minute(void **state)
{
	static const unsigned gaps[] = { 30, 60, 120, 240, 480, 600, 600 };
	struct fixture f;
	uint64_t at[64];
	size_t n;

	(void)state;
	begin(&f);
	n = poll_for(&f, (struct attempt_failure){ .kind = ATTEMPT_PERSON, .was_bothered = 1 },
		ATTEMPT_TERMINAL, 60 * MINUTE, at, 64);
	assert_int_equal(count_until(at, n, 29000), 1); /* a push server sees one */
	check_gaps(at, gaps, SMX_ARRAY_LEN(gaps));
	end(&f);
}

/* Whoever asks, wherever: the three answers of one login are all of the minute's. */
static void U5_wrong_answers_use_up_the_burst(void **state)
{
	(void)state;
	for (unsigned n_wrong = 1; n_wrong <= 3; n_wrong++) {
		struct fixture f;
		struct attempt_failure wrong = {
			.kind = ATTEMPT_PERSON, .place = ATTEMPT_TERMINAL, .n_wrong = n_wrong
		};
		uint64_t at[8];
		size_t n;

		begin(&f);
		n = poll_for(&f, wrong, ATTEMPT_TERMINAL, 3 * MINUTE, at, 8);

		assert_true(n >= 2);
		assert_int_equal(count_until(at, n, MINUTE), 1);
		assert_in_range(at[1], MINUTE, MINUTE + 100);
		end(&f);
	}
}

static void U5_who_can_be_asked_now_may_try(void **state)
{
	struct fixture f;
	struct attempt_failure nobody = { .kind = ATTEMPT_PERSON, .place = ATTEMPT_NOWHERE };

	(void)state;
	begin(&f);
	note(&f, nobody, START);
	assert_true(blocks(&f, ATTEMPT_NOWHERE, START));
	assert_false(blocks(&f, ATTEMPT_ASKPASS, START));
	assert_false(blocks(&f, ATTEMPT_TERMINAL, START));
	/* It is the same there: asked, and no answer came. */
	nobody.place = ATTEMPT_ASKPASS;
	note(&f, nobody, START + 1);
	assert_true(blocks(&f, ATTEMPT_ASKPASS, START + 2));
	assert_false(blocks(&f, ATTEMPT_TERMINAL, START + 2));
	/* The burst is a promise: a third failure ends that. */
	note(&f, nobody, START + 2);
	assert_true(blocks(&f, ATTEMPT_TERMINAL, START + 3));
	assert_true(blocks(&f, ATTEMPT_TERMINAL, START + MINUTE - 1));
	end(&f);
}

static void U5_cancelled_is_no_failure_of_the_servers(void **state)
{
	struct fixture f;
	struct attempt_failure cancelled = {
		.kind = ATTEMPT_PERSON, .place = ATTEMPT_TERMINAL, .was_cancelled = 1
	};

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 10; i++) {
		assert_false(blocks(&f, ATTEMPT_TERMINAL, START + i));
		note(&f, cancelled, START + i);
	}
	/* A window that pops up with each poll is another matter. */
	assert_true(blocks(&f, ATTEMPT_ASKPASS, START + 11));
	assert_true(blocks(&f, ATTEMPT_NOWHERE, START + 29000));
	end(&f);
}

static void U5_network_one_to_fifteen_seconds(void **state)
{
	static const unsigned gaps[] = { 1, 2, 4, 8, 15, 15, 15 };
	struct fixture f;
	struct attempt_failure refused = { .kind = ATTEMPT_REFUSED };
	struct attempt_failure network = { .kind = ATTEMPT_NETWORK };
	uint64_t at[64];
	size_t n;

	(void)state;
	begin(&f);
	n = poll_for(&f, network, ATTEMPT_TERMINAL, 2 * MINUTE, at, 64);
	assert_true(n > SMX_ARRAY_LEN(gaps));
	check_gaps(at, gaps, SMX_ARRAY_LEN(gaps));
	assert_true(attempts_await_network(&f.as));
	assert_true(blocks(&f, ATTEMPT_NOWHERE, START + 2 * MINUTE));
	attempts_network_changed(&f.as, START + 2 * MINUTE);
	assert_false(blocks(&f, ATTEMPT_NOWHERE, START + 2 * MINUTE));
	note(&f, network, START + 2 * MINUTE);
	assert_int_equal(
		attempt_wait_ms(attempts_find(&f.as, f.hops, 1), START + 2 * MINUTE), 1000);
	/* The server's word stands, whatever the network does. */
	for (unsigned i = 0; i < 3; i++)
		note(&f, refused, START + 3 * MINUTE + i);
	note(&f, network, START + 3 * MINUTE + 4);
	attempts_network_changed(&f.as, START + 3 * MINUTE + 5);
	assert_true(blocks(&f, ATTEMPT_TERMINAL, START + 4 * MINUTE - 1));
	end(&f);
}

static void U5_changed_files_make_a_try_due(void **state)
{
	struct fixture f;
	struct attempt_failure refused = { .kind = ATTEMPT_REFUSED, .inputs = 7 };
	struct attempt *a;

	(void)state;
	begin(&f);
	note(&f, refused, START);
	a = attempts_find(&f.as, f.hops, 1);
	attempts_looked(a, 7, START + 10);
	assert_true(blocks(&f, ATTEMPT_NOWHERE, START + 10));
	attempts_looked(a, 8, START + 20);
	assert_false(blocks(&f, ATTEMPT_NOWHERE, START + 20));
	/* Files that change all the time are no way round the burst. */
	refused.inputs = 8;
	note(&f, refused, START + 21);
	note(&f, refused, START + 22);
	attempts_looked(a, 9, START + 23);
	assert_true(blocks(&f, ATTEMPT_NOWHERE, START + 23));
	assert_true(blocks(&f, ATTEMPT_NOWHERE, START + MINUTE - 1));
	assert_false(blocks(&f, ATTEMPT_NOWHERE, START + MINUTE));
	end(&f);
}

static void U5_host_key_waits_for_our_files(void **state)
{
	struct fixture f;
	struct attempt_failure unknown = { .kind = ATTEMPT_HOST_KEY, .inputs = 1 };

	(void)state;
	begin(&f);
	for (uint64_t i = 2; i < 7; i++) {
		note(&f, unknown, START + i);
		assert_true(blocks(&f, ATTEMPT_NOWHERE, START + i));
		attempts_looked(attempts_find(&f.as, f.hops, 1), i, START + i);
		assert_false(blocks(&f, ATTEMPT_NOWHERE, START + i));
		unknown.inputs = i;
	}
	end(&f);
}

/* A1: keys that nobody offered yet are worth a try; those of all agents in the world are not. */
static void U5_an_agent_that_was_not_asked(void **state)
{
	struct fixture f;
	struct attempt_failure refused = {
		.kind = ATTEMPT_REFUSED, .agents = { attempt_agent_id("/a") }, .n_agents = 1
	};
	struct attempt_failure push = { .kind = ATTEMPT_PERSON, .was_bothered = 1 };
	struct attempt_caller caller = { .has_new_agent = 1 };
	struct attempt *a;

	(void)state;
	begin(&f);
	note(&f, refused, START);
	a = attempts_find(&f.as, f.hops, 1);
	assert_true(attempt_has_agent(a, "/a"));
	assert_false(attempt_has_agent(a, "/b"));
	assert_true(blocks(&f, ATTEMPT_TERMINAL, START));
	assert_false(attempt_blocks(a, &caller, START));
	note(&f, refused, START);
	note(&f, refused, START);
	assert_true(attempt_blocks(a, &caller, START + MINUTE - 1));
	attempts_forget_all(&f.as);
	note(&f, push, START);
	assert_true(attempt_blocks(attempts_find(&f.as, f.hops, 1), &caller, START));
	end(&f);
}

static void U5_forgotten(void **state)
{
	struct fixture f;
	struct attempt_failure refused = { .kind = ATTEMPT_REFUSED };
	struct attempt_failure none = { .kind = ATTEMPT_NONE };

	(void)state;
	begin(&f);
	note(&f, none, START);
	assert_int_equal(f.as.n, 0);
	note(&f, refused, START);
	attempts_forget(&f.as, f.hops, 1);
	assert_false(blocks(&f, ATTEMPT_NOWHERE, START));
	/* After a long quiet time it is a first failure again: the short delay. */
	for (unsigned i = 0; i < 8; i++)
		note(&f, refused, START);
	assert_int_equal(attempt_wait_ms(attempts_find(&f.as, f.hops, 1), START), 10 * MINUTE);
	note(&f, refused, START + 41 * MINUTE);
	assert_int_equal(
		attempt_wait_ms(attempts_find(&f.as, f.hops, 1), START + 41 * MINUTE), 15000);
	end(&f);
}

/* Many paths are no way to fill our memory; what is dropped is what holds back least. */
static void U5_records_are_bounded(void **state)
{
	struct fixture f;
	struct attempt_failure network = { .kind = ATTEMPT_NETWORK, .cause = "unreachable" };
	struct smx_routes *other;
	char host[16];

	(void)state;
	begin(&f);
	note(&f, (struct attempt_failure){ .kind = ATTEMPT_REFUSED }, START);
	for (unsigned i = 0; i < 2 * ATTEMPTS_MAX; i++) {
		(void)snprintf(host, sizeof(host), "h%u", i);
		other = make_path(host);
		attempts_failed(&f.as, other, other->routes[0].hops, 1, &network, START + i);
		smx_routes_unref(other);
	}
	assert_int_equal(f.as.n, ATTEMPTS_MAX);
	assert_true(blocks(&f, ATTEMPT_NOWHERE, START + 1));
	attempts_forget_all(&f.as);
	/* And without memory nothing is remembered, nor lost. */
	smx_mem_fail_after(0);
	note(&f, network, START);
	smx_mem_fail_after(-1);
	assert_int_equal(f.as.n, 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(U5_refused_three_tries_in_the_first_minute),
		cmocka_unit_test(U5_person_backs_off_from_half_a_minute),
		cmocka_unit_test(U5_wrong_answers_use_up_the_burst),
		cmocka_unit_test(U5_who_can_be_asked_now_may_try),
		cmocka_unit_test(U5_cancelled_is_no_failure_of_the_servers),
		cmocka_unit_test(U5_network_one_to_fifteen_seconds),
		cmocka_unit_test(U5_changed_files_make_a_try_due),
		cmocka_unit_test(U5_host_key_waits_for_our_files),
		cmocka_unit_test(U5_an_agent_that_was_not_asked),
		cmocka_unit_test(U5_forgotten),
		cmocka_unit_test(U5_records_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
