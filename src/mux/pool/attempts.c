/* SPDX-License-Identifier: MIT */
#include "mux/pool/attempts.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

#define S 1000u

static const unsigned network_ms[] = { 1 * S, 2 * S, 4 * S, 8 * S, 15 * S };
static const unsigned refused_ms[] = { 15 * S, 20 * S, 30 * S, 60 * S, 120 * S, 240 * S, 480 * S,
	600 * S };
static const unsigned person_ms[] = { 30 * S, 60 * S, 120 * S, 240 * S, 480 * S, 600 * S };

static struct attempt *attempt_at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct attempt, node);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static unsigned step(const unsigned *delays, size_t n, unsigned n_failures)
{
	return delays[n_failures < n ? n_failures : n - 1];
}

const char *attempt_kind_name(enum attempt_kind kind)
{
	static const char *const names[] = { "none", "network", "host-key", "refused",
		"needs-person" };

	return names[kind];
}

void attempts_init(struct attempts *as)
{
	smx_list_init(&as->list);
	as->n = 0;
}

static void drop(struct attempts *as, struct attempt *a)
{
	smx_list_del(&a->node);
	smx_routes_unref(a->routes);
	smx_free(a);
	as->n--;
}

void attempts_forget_all(struct attempts *as)
{
	while (!smx_list_empty(&as->list))
		drop(as, attempt_at(as->list.next));
}

void attempts_release(struct attempts *as)
{
	attempts_forget_all(as);
}

struct attempt *attempts_find(struct attempts *as, const struct smx_hop *hops, size_t n_hops)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &as->list) {
		struct attempt *a = attempt_at(it);

		if (smx_hops_equal(a->hops, a->n_hops, hops, n_hops))
			return a;
	}
	return NULL;
}

void attempts_forget(struct attempts *as, const struct smx_hop *hops, size_t n_hops)
{
	struct attempt *a = attempts_find(as, hops, n_hops);

	if (a)
		drop(as, a);
}

/* Room for one more: the record that holds back for the shortest time goes. */
static void make_room(struct attempts *as)
{
	struct attempt *first = NULL;
	struct smx_list *it, *tmp;

	if (as->n < ATTEMPTS_MAX)
		return;
	SMX_LIST_FOREACH (it, tmp, &as->list)
		if (!first || attempt_at(it)->next_ms < first->next_ms)
			first = attempt_at(it);
	drop(as, first);
}

static struct attempt *add(
	struct attempts *as, struct smx_routes *routes, const struct smx_hop *hops, size_t n_hops)
{
	struct attempt *a;

	make_room(as);
	if (!(a = smx_calloc(1, sizeof(*a))))
		return NULL;
	a->routes = smx_routes_ref(routes);
	a->hops = hops;
	a->n_hops = n_hops;
	smx_list_init(&a->node);
	smx_list_add_tail(&as->list, &a->node);
	as->n++;
	return a;
}

/* The server saw a try. A wrong answer uses up the burst: the next login could bring three more. */
static void count_try(struct attempt *a, const struct attempt_failure *f, uint64_t now_ms)
{
	/* Who thinks better of it has not failed, and can try again (A6). */
	if (f->was_cancelled && !f->n_wrong)
		return;
	if (a->n_tries == 0)
		a->first_ms = now_ms;
	a->n_tries += f->n_wrong && f->n_wrong < ATTEMPTS_BURST ? ATTEMPTS_BURST
		      : f->n_wrong                              ? f->n_wrong
								: 1;
	a->floor_ms = now_ms;
	if (a->n_tries >= ATTEMPTS_BURST)
		a->floor_ms = later(now_ms + person_ms[0], a->first_ms + ATTEMPTS_BURST_MS);
}

void attempts_failed(struct attempts *as, struct smx_routes *routes, const struct smx_hop *hops,
	size_t n_hops, const struct attempt_failure *failure, uint64_t now_ms)
{
	struct attempt *a = attempts_find(as, hops, n_hops);
	unsigned delay;

	if (failure->kind == ATTEMPT_NONE)
		return;
	if (a && now_ms >= a->next_ms + ATTEMPTS_FORGET_MS) {
		drop(as, a);
		a = NULL;
	}
	if (!a && !(a = add(as, routes, hops, n_hops)))
		return;
	switch (failure->kind) {
	case ATTEMPT_NETWORK:
		delay = step(network_ms, SMX_ARRAY_LEN(network_ms), a->n_network++);
		break;
	case ATTEMPT_REFUSED:
		delay = step(refused_ms, SMX_ARRAY_LEN(refused_ms), a->n_login++);
		count_try(a, failure, now_ms);
		break;
	case ATTEMPT_PERSON:
		delay = step(person_ms, SMX_ARRAY_LEN(person_ms), a->n_login++);
		count_try(a, failure, now_ms);
		break;
	default:
		delay = step(person_ms, SMX_ARRAY_LEN(person_ms), a->n_login++);
		a->floor_ms = later(a->floor_ms, now_ms);
		break;
	}
	/* What the server's word holds back is not let go by a failure of the network. */
	a->next_ms = later(now_ms + delay, a->floor_ms);
	if (failure->kind != ATTEMPT_NETWORK)
		a->n_network = 0;
	a->failed_ms = now_ms;
	a->looked_ms = 0; /* the files may be others a millisecond later */
	a->last = *failure;
	a->last.cause = NULL;
	(void)snprintf(a->cause, sizeof(a->cause), "%s", failure->cause);
}

void attempts_network_changed(struct attempts *as, uint64_t now_ms)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &as->list) {
		struct attempt *a = attempt_at(it);

		if (a->last.kind != ATTEMPT_NETWORK)
			continue;
		a->n_network = 0;
		a->next_ms = later(now_ms, a->floor_ms);
	}
}

int attempts_await_network(struct attempts *as)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &as->list)
		if (attempt_at(it)->last.kind == ATTEMPT_NETWORK)
			return 1;
	return 0;
}

void attempts_looked(struct attempt *a, uint64_t inputs, uint64_t now_ms)
{
	a->looked_ms = now_ms;
	if (inputs == a->last.inputs)
		return;
	a->last.inputs = inputs;
	a->next_ms = later(now_ms, a->floor_ms);
}

uint64_t attempt_wait_ms(const struct attempt *a, uint64_t now_ms)
{
	return a->next_ms > now_ms ? a->next_ms - now_ms : 0;
}

uint64_t attempt_agent_id(const char *path)
{
	uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a */

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 0x100000001b3ull;
	return h;
}

int attempt_has_agent(const struct attempt *a, const char *path)
{
	uint64_t id = attempt_agent_id(path);

	for (size_t i = 0; i < a->last.n_agents; i++)
		if (a->last.agents[i] == id)
			return 1;
	return 0;
}

int attempt_blocks(const struct attempt *a, const struct attempt_caller *caller, uint64_t now_ms)
{
	enum attempt_kind kind = a->last.kind;
	enum attempt_place place = caller->place;

	if (now_ms >= a->next_ms)
		return 0;
	if (kind == ATTEMPT_NETWORK || now_ms < a->floor_ms || a->last.n_wrong ||
		a->last.was_bothered)
		return 1;
	if (kind != ATTEMPT_HOST_KEY && caller->has_new_agent)
		return 0;
	if (kind == ATTEMPT_REFUSED)
		return 1;
	/* Somebody can be asked now, or asked again at the terminal where he would not answer. */
	if (a->last.was_cancelled)
		return place != ATTEMPT_TERMINAL;
	return place <= a->last.place;
}
