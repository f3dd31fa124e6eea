/* SPDX-License-Identifier: MIT */
#include "mux/pool/holdback.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/ask/asker.h"
#include "mux/core/say.h"
#include "mux/pool/prepare.h"
#include "mux/pool/upstream.h"

#define LOOK_AGE_MS  2 /* what was looked at before that is looked at again */
#define SHORT_WAIT_S 1 /* for the next try after a failure of the network: waited for */
#define TEXT_SIZE    1400
#define ASKERS_MAX   64

/* --- who asks --- */

enum attempt_place holdback_place(const struct pool_entry *e)
{
	enum attempt_place best = ATTEMPT_NOWHERE, place;

	/* A serve in the foreground asks for everybody, where it is. */
	if (e->mux->opts->may_prompt && !pool_is_batch(e))
		return ATTEMPT_TERMINAL;
	for (struct smx_list *it = e->waiting.next; it != &e->waiting; it = it->next) {
		const struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		place = req->asker       ? asker_place(req->asker)
			: req->for_entry ? holdback_place(req->for_entry)
					 : ATTEMPT_NOWHERE;
		if (place > best)
			best = place;
	}
	return best;
}

/* A1: whether one of them brings an agent that a login over a's hops would ask, and has not yet. */
static int has_new_agent(const struct pool_entry *e, const struct attempt *a)
{
	struct asker *askers[ASKERS_MAX];
	size_t n = pool_askers(e, askers, ASKERS_MAX);
	const char *variable = smx_agent_variable(a->hops[a->n_hops - 1].identity_agent);
	int is_new = 0;
	char *path;

	for (size_t i = 0; variable && !is_new && i < n; i++) {
		path = asker_agent(askers[i], variable);
		is_new = path && !attempt_has_agent(a, path);
		smx_free(path);
	}
	return is_new;
}

/* --- the answer --- */

/* "40 s", "3 min" */
static void put_wait(char *out, size_t size, uint64_t ms)
{
	uint64_t s = (ms + 999) / 1000;

	if (s < 120)
		(void)snprintf(out, size, "%llu s", (unsigned long long)s);
	else
		(void)snprintf(out, size, "%llu min", (unsigned long long)((s + 59) / 60));
}

struct holdback_name holdback_name(const struct pool_entry *e)
{
	const struct smx_hop *target = smx_route_target(e->route);
	struct holdback_name name;

	if (target->name)
		(void)snprintf(name.text, sizeof(name.text), "%.255s", e->route->name);
	else
		(void)snprintf(name.text, sizeof(name.text), "%.64s@%.255s:%u", target->user,
			target->host, target->port);
	return name;
}

void holdback_text(const struct attempt *a, uint64_t now_ms, char *out, size_t size)
{
	const struct smx_hop *hop = &a->hops[a->n_hops - 1];
	char wait[32];

	put_wait(wait, sizeof(wait), attempt_wait_ms(a, now_ms));
	(void)snprintf(out, size, "%s %.64s@%.255s port %u failed (%s); next try in %s; %s",
		a->last.kind == ATTEMPT_NETWORK ? "the connection to" : "the login to", hop->user,
		hop->host, hop->port, attempt_kind_name(a->last.kind), wait, a->cause);
}

/* The cause comes last: it may be long, and is cut where a client's message ends. */
static void put_answer(
	const struct pool_entry *e, const struct attempt *a, uint64_t now, char *out, size_t size)
{
	const struct smx_hop *hop = &a->hops[a->n_hops - 1];
	char wait[32];

	if (a->last.kind == ATTEMPT_HOST_KEY) {
		/* The line that would accept it is what helps, and counts with the next call. */
		(void)snprintf(out, size, "%s", a->cause);
		return;
	}
	put_wait(wait, sizeof(wait), attempt_wait_ms(a, now));
	(void)snprintf(out, size,
		"%s %.64s@%.255s failed and is not tried again yet; next try in %s; to try now, "
		"run: ssh-mux connect %s (last failure: %s)",
		a->last.kind == ATTEMPT_NETWORK ? "the connection to" : "the login to", hop->user,
		hop->host, wait, holdback_name(e).text, a->cause);
}

/* --- what may have changed --- */

static void on_looked(void *arg, struct prepared *result)
{
	struct pool_entry *e = arg;
	struct mux *m = e->mux;
	struct attempt *a;

	e->look = NULL;
	a = attempts_find(&m->attempts, e->hops, e->look_hops);
	if (a)
		attempts_looked(a, result->inputs, mux_now(m));
	prepared_free(result);
	if (m->core.is_stopping)
		pool_fail_waiting(e, SMX_OPEN_CONNECT_FAILED, "ssh-mux is stopping");
	else
		pool_assign(e);
}

/* Whether the answer has to wait until the files of the login have been compared. */
static int is_looking(struct pool_entry *e, const struct attempt *a, uint64_t now)
{
	if (e->look)
		return 1;
	if (a->last.kind == ATTEMPT_NETWORK || now < a->floor_ms ||
		now - a->looked_ms < LOOK_AGE_MS)
		return 0;
	e->look_hops = a->n_hops;
	e->look = prepare_look(e->mux, &e->hops[a->n_hops - 1], on_looked, e);
	return e->look != NULL;
}

/* --- for the pool --- */

/* What holds a login of e back: its own failure, or that of a jump host that it would go through.
 */
static struct attempt *find_blocking(struct pool_entry *e, uint64_t now)
{
	struct attempt_caller caller = { .place = holdback_place(e) };
	struct attempt *a;

	for (size_t n = 1; n <= e->n_hops; n++) {
		if (!(a = attempts_find(&e->mux->attempts, e->hops, n)))
			continue;
		caller.has_new_agent = has_new_agent(e, a);
		if (attempt_blocks(a, &caller, now) &&
			(n == e->n_hops || !pool_is_logged_in(e->mux, e->hops, n)))
			return a;
	}
	return NULL;
}

int holdback_check(struct pool_entry *e)
{
	uint64_t now = mux_now(e->mux);
	struct attempt *a = find_blocking(e, now);
	char text[TEXT_SIZE];

	if (!a)
		return 0;
	if (is_looking(e, a, now))
		return 1;
	if (a->last.kind == ATTEMPT_NETWORK && attempt_wait_ms(a, now) <= SHORT_WAIT_S * 1000)
		return 1;
	put_answer(e, a, now, text, sizeof(text));
	pool_fail_waiting(e, SMX_OPEN_CONNECT_FAILED, text);
	return 1;
}

void holdback_failed(struct pool_entry *e, const struct upstream *up, const char *cause)
{
	struct mux *m = e->mux;
	struct attempt_failure failure = up->failure;
	struct mux_ids ids = { .route = e->route->name };
	struct attempt *a;
	char wait[32];

	/* With the settings of now it might have gone well. */
	if (m->core.is_stopping || failure.kind == ATTEMPT_NONE || up->routes != e->routes)
		return;
	failure.cause = cause;
	attempts_failed(&m->attempts, e->routes, e->hops, e->n_hops, &failure, mux_now(m));
	if (!(a = attempts_find(&m->attempts, e->hops, e->n_hops)))
		return;
	put_wait(wait, sizeof(wait), attempt_wait_ms(a, mux_now(m)));
	say_info(&ids, "%s@%s port %u is not tried again for %s (%s)", up->hop->user, up->hop->host,
		up->hop->port, wait, attempt_kind_name(failure.kind));
}

void holdback_succeeded(struct pool_entry *e)
{
	attempts_forget(&e->mux->attempts, e->hops, e->n_hops);
}

void holdback_reset(struct mux *m, const struct smx_hop *hops, size_t n_hops)
{
	for (size_t n = 1; n <= n_hops; n++)
		attempts_forget(&m->attempts, hops, n);
}

/* --- the network --- */

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ull;
	return h;
}

/* Of the addresses that this machine has, but for loopback. */
static uint64_t network_stamp(void)
{
	uint64_t h = 0xcbf29ce484222325ull;
	uv_interface_address_t *all;
	int n;

	if (uv_interface_addresses(&all, &n) != 0)
		return 0;
	for (int i = 0; i < n; i++) {
		if (all[i].is_internal)
			continue;
		h = mix(h, all[i].name, strlen(all[i].name));
		if (all[i].address.address4.sin_family == AF_INET)
			h = mix(h, &all[i].address.address4.sin_addr,
				sizeof(all[i].address.address4.sin_addr));
		else
			h = mix(h, &all[i].address.address6.sin6_addr,
				sizeof(all[i].address.address6.sin6_addr));
	}
	uv_free_interface_addresses(all, n);
	return h ? h : 1;
}

void holdback_resumed(struct mux *m)
{
	attempts_network_changed(&m->attempts, mux_now(m));
}

void holdback_tick(struct mux *m)
{
	uint64_t stamp;

	if (!attempts_await_network(&m->attempts)) {
		m->network_stamp = 0;
		return;
	}
	stamp = network_stamp();
	if (stamp && m->network_stamp && stamp != m->network_stamp) {
		log_info("the network changed: logins that failed for its sake may be tried");
		attempts_network_changed(&m->attempts, mux_now(m));
	}
	m->network_stamp = stamp;
}
