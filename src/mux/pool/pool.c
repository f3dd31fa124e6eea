/* SPDX-License-Identifier: MIT */
#include "mux/pool/pool.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/ask/agent_wait.h"
#include "mux/ask/asker.h"
#include "mux/ask/prompt.h"
#include "mux/core/say.h"
#include "mux/pool/holdback.h"
#include "mux/pool/prepare.h"
#include "mux/pool/upstream.h"

#define UPSTREAMS_MAX 32 /* of one entry */
/*
 * U3: an answer within 6 s, whatever it is. A probe of the old connection takes 5 of them, so a new
 * one has to show its first sign of life in what is left; then it may take the time that a login
 * takes.
 */
#define STALLED_PATIENCE_MS 5800

int open_req_init(struct open_req *req, int is_session, struct smx_view kind,
	struct smx_view specific, uint32_t recv_window)
{
	int r;

	*req = (struct open_req){ .is_session = is_session, .recv_window = recv_window };
	smx_list_init(&req->node);
	smx_buf_init(&req->kind, OPEN_KIND_MAX);
	smx_buf_init(&req->specific, OPEN_SPECIFIC_MAX);
	if ((r = smx_buf_put(&req->kind, kind.p, kind.len)) != 0 ||
		(r = smx_buf_put(&req->specific, specific.p, specific.len)) != 0) {
		open_req_release(req);
		return r;
	}
	return 0;
}

void open_req_release(struct open_req *req)
{
	smx_list_del(&req->node);
	smx_buf_release(&req->kind);
	smx_buf_release(&req->specific);
}

static struct upstream *upstream_at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct upstream, node);
}

struct open_req *pool_first_waiting(const struct pool_entry *e)
{
	if (smx_list_empty(&e->waiting))
		return NULL;
	return SMX_CONTAINER(e->waiting.next, struct open_req, node);
}

/* --- entries --- */

static struct pool_entry *find_entry(struct mux *m, const struct smx_hop *hops, size_t n_hops)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->entries) {
		struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		if (smx_hops_equal(e->hops, e->n_hops, hops, n_hops))
			return e;
	}
	return NULL;
}

static struct pool_entry *add_entry(
	struct mux *m, struct smx_routes *routes, const struct smx_route *route, size_t n_hops)
{
	struct pool_entry *e = smx_calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->mux = m;
	e->routes = smx_routes_ref(routes);
	e->route = route;
	e->hops = route->hops;
	e->n_hops = n_hops;
	smx_list_init(&e->upstreams);
	smx_list_init(&e->waiting);
	smx_list_init(&e->node);
	smx_list_add_tail(&m->entries, &e->node);
	return e;
}

int pool_has_entry(struct mux *m, const struct smx_hop *hops, size_t n_hops)
{
	return find_entry(m, hops, n_hops) != NULL;
}

void pool_count_variants(
	const struct mux *m, const char *base, size_t *ret_all, size_t *ret_of_base)
{
	*ret_all = *ret_of_base = 0;
	for (struct smx_list *it = m->entries.next; it != &m->entries; it = it->next) {
		const struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		/* What is on the way to it is the route's as well. */
		if (!e->route->base || e->n_hops < e->route->n_hops)
			continue;
		++*ret_all;
		*ret_of_base += strcmp(e->route->base, base) == 0;
	}
}

static void free_entry(struct pool_entry *e)
{
	smx_list_del(&e->node);
	prepare_cancel(e->look);
	smx_routes_unref(e->routes);
	smx_free(e);
}

/* Logins to come are made as this route wants them. Those begun hold the table they began with. */
static void set_route(
	struct pool_entry *e, struct smx_routes *routes, const struct smx_route *route)
{
	struct smx_routes *old = e->routes;

	e->routes = smx_routes_ref(routes);
	e->route = route;
	e->hops = route->hops;
	e->is_stray = 0;
	smx_routes_unref(old);
}

static int leads_through(const struct smx_route *route, const struct pool_entry *e)
{
	return route->n_hops >= e->n_hops &&
	       smx_hops_equal(route->hops, e->n_hops, e->hops, e->n_hops);
}

/* The route of the same name, if it still leads over these hops, or the first other one. */
static const struct smx_route *find_way(const struct smx_routes *routes, const struct pool_entry *e)
{
	const struct smx_route *same = smx_routes_find(routes, e->route->name);

	if (same && leads_through(same, e))
		return same;
	for (size_t i = 0; i < routes->n_routes; i++) {
		if (leads_through(&routes->routes[i], e))
			return &routes->routes[i];
	}
	return NULL;
}

/* W1: the route of a variant, if it still leads there with that user and port at its end. */
static int follow_variant(struct pool_entry *e, struct smx_routes *routes)
{
	const struct smx_hop *target = &e->hops[e->n_hops - 1];
	const struct smx_route *base = NULL;
	struct smx_routes *variant;
	int leads;

	if (e->route->base && e->n_hops == e->route->n_hops)
		base = smx_routes_find(routes, e->route->base);
	if (!base || smx_routes_variant(routes, base, target->user, target->port, &variant) != 0)
		return 0;
	if ((leads = leads_through(&variant->routes[0], e)))
		set_route(e, variant, &variant->routes[0]);
	smx_routes_unref(variant);
	return leads;
}

void pool_reroute(struct mux *m)
{
	struct smx_list *it, *tmp;
	const struct smx_route *route;

	/* U5: what failed may be what was put right. */
	attempts_forget_all(&m->attempts);
	SMX_LIST_FOREACH (it, tmp, &m->entries) {
		struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		if ((route = find_way(m->routes, e)))
			set_route(e, m->routes, route);
		else if (!follow_variant(e, m->routes))
			/* A table of its own (user@host) is no part of the file. */
			e->is_stray = !e->routes->match_any;
	}
}

/* --- giving requests to connections --- */

static int has_room(const struct pool_entry *e, struct upstream *up, int is_session)
{
	unsigned n, max;

	/* A session takes the place of a spare channel (B12). */
	n = upstream_channels(up) - (is_session ? spares_count(up) : 0);
	if (!upstream_is_usable(up) || up->is_draining || n >= SMX_CHANNELS_MAX)
		return 0;
	if (!is_session)
		return 1;
	if (up->is_used_up)
		return 0;
	/* What was learned while sessions came and went may be too little: begin anew. */
	if ((n = upstream_sessions(up, NULL)) == 0)
		up->sessions_max = 0;
	max = up->sessions_max ? up->sessions_max : e->session_limit;
	return max == 0 || n < max;
}

/* A connection that serves such a request, or NULL. */
static struct upstream *find_room_for(struct pool_entry *e, const struct open_req *req)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &e->upstreams) {
		struct upstream *up = upstream_at(it);

		if (up->link->id <= req->after_id || !has_room(e, up, req->is_session))
			continue;
		/* U7: a login is for the sessions to come, and this one gives none (U6). */
		if (req->is_login && up->is_used_up)
			continue;
		return up;
	}
	return NULL;
}

/* One that takes another channel that is no session. */
static struct upstream *find_room(struct pool_entry *e)
{
	struct open_req any = { .after_id = 0 };

	return find_room_for(e, &any);
}

/* A stalled connection, or a login that goes on in one of a jump host. */
static const struct upstream *find_stalled(const struct pool_entry *e)
{
	const struct upstream *stalled = NULL;

	for (struct smx_list *it = e->upstreams.next; !stalled && it != &e->upstreams;
		it = it->next)
		stalled = upstream_stalled_in(upstream_at(it));
	return stalled;
}

/* U7: the number of the youngest connection that has logged in. */
static uint64_t youngest(const struct pool_entry *e)
{
	uint64_t id = 0;

	for (struct smx_list *it = e->upstreams.next; it != &e->upstreams; it = it->next) {
		const struct upstream *up = upstream_at(it);

		if (up->state >= UPSTREAM_READY && up->link->id > id)
			id = up->link->id;
	}
	return id;
}

/* U7: the fresh connection is there; the older ones take no more channels. */
static void drain_older(struct pool_entry *e, uint64_t after_id)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &e->upstreams) {
		struct upstream *up = upstream_at(it);
		struct mux_ids ids = ids_of_upstream(up);

		if (up->link->id > after_id || up->is_draining || up->state < UPSTREAM_READY)
			continue;
		up->is_draining = 1;
		say_info(&ids, "a fresh login takes its place; it ends with its last channel");
	}
}

/* The first that has waited so long, or NULL. */
static struct open_req *first_waiting_for(const struct pool_entry *e, uint64_t wait_ms)
{
	for (struct smx_list *it = e->waiting.next; it != &e->waiting; it = it->next) {
		struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		if (mux_now(e->mux) - req->since_ms >= wait_ms)
			return req;
	}
	return NULL;
}

/*
 * U3: for those who have waited so long, the connection that there is is stalled and another one
 * can't be had now. From the first one on each time: whoever is refused may ask again, and is
 * refused with others.
 */
static void refuse_for_stalled(
	struct pool_entry *e, const struct upstream *stalled, uint64_t wait_ms)
{
	char what[UPSTREAM_TEXT_SIZE], text[UPSTREAM_TEXT_SIZE + 600];
	struct open_req *req;

	upstream_stalled_text(stalled, what, sizeof(what));
	if (e->needs_person)
		(void)snprintf(text, sizeof(text),
			"%s, and another login needs a person; try again when the network is back, "
			"or run: ssh-mux connect %s",
			what, holdback_name(e).text);
	else
		(void)snprintf(text, sizeof(text),
			"%s, and another one can't be made; try again when the network is back",
			what);
	while ((req = first_waiting_for(e, wait_ms))) {
		smx_list_del(&req->node);
		req->failed(req, SMX_OPEN_CONNECT_FAILED, text);
	}
}

uint64_t pool_hope_ms(const struct pool_entry *e)
{
	uint64_t best = 0, one;

	for (struct smx_list *it = e->upstreams.next; it != &e->upstreams; it = it->next) {
		const struct upstream *up = upstream_at(it);

		if (up->state < UPSTREAM_READY && !up->link->dead &&
			(one = upstream_hope_ms(up)) > best)
			best = one;
	}
	return best;
}

int pool_is_logged_in(struct mux *m, const struct smx_hop *hops, size_t n_hops)
{
	struct pool_entry *e = find_entry(m, hops, n_hops);

	return e && find_room(e) != NULL;
}

int pool_age_ms(struct mux *m, const struct smx_hop *hops, size_t n_hops, uint64_t *ret_age_ms)
{
	struct pool_entry *e = find_entry(m, hops, n_hops);
	struct upstream *up = e ? find_room(e) : NULL;
	struct smx_list *it, *tmp;

	if (!up)
		return 0;
	SMX_LIST_FOREACH (it, tmp, &e->upstreams)
		if (has_room(e, upstream_at(it), 0) && upstream_at(it)->born_ms > up->born_ms)
			up = upstream_at(it);
	*ret_age_ms = mux_now(m) - up->born_ms;
	return 1;
}

void pool_fail_waiting(struct pool_entry *e, uint32_t code, const char *text)
{
	const struct upstream *stalled = find_room(e) ? NULL : find_stalled(e);
	char what[UPSTREAM_TEXT_SIZE], both[UPSTREAM_TEXT_SIZE + 1500];
	struct open_req *req;

	if (stalled) {
		/* U3: why another one was wanted. */
		upstream_stalled_text(stalled, what, sizeof(what));
		(void)snprintf(
			both, sizeof(both), "%s, and another one can't be had: %s", what, text);
		text = both;
	}
	while ((req = pool_first_waiting(e))) {
		smx_list_del(&req->node);
		req->failed(req, code, text);
	}
}

static size_t count(const struct smx_list *head)
{
	size_t n = 0;

	for (const struct smx_list *it = head->next; it != head; it = it->next)
		n++;
	return n;
}

/* U6: the connection that there is has given its sessions, and nobody can be asked for another. */
static void fail_used_up(struct pool_entry *e)
{
	char text[800];

	(void)snprintf(text, sizeof(text),
		"the server gives no more sessions on its connection, and another login needs a "
		"person; run: ssh-mux connect %.255s",
		holdback_name(e).text);
	pool_fail_waiting(e, SMX_OPEN_RESOURCE_SHORTAGE, text);
}

/* U7: whether a connection is wanted that was not there before, whatever room there is. */
static int wants_renewal(const struct pool_entry *e)
{
	for (struct smx_list *it = e->waiting.next; it != &e->waiting; it = it->next)
		if (SMX_CONTAINER(it, struct open_req, node)->renew)
			return 1;
	return 0;
}

/* Makes as many connections as the waiting need, at most one while the limit is unknown. */
static void add_upstreams(struct pool_entry *e)
{
	size_t n_waiting = count(&e->waiting), n_all = 0, n_connecting = 0, n_usable = 0,
	       n_used_up = 0, n_draining = 0, wanted = 1;
	const struct upstream *stalled = NULL;
	struct smx_list *it, *tmp;
	int is_renewal = wants_renewal(e);

	SMX_LIST_FOREACH (it, tmp, &e->upstreams) {
		struct upstream *up = upstream_at(it);

		/* A login that has just failed: its end tells who waits, and makes another only
		 * for those it does not concern. */
		if (up->link->dead && upstream_is_failed_login(up))
			return;
		if (up->link->dead || up->state == UPSTREAM_CLOSING)
			continue;
		n_all++;
		n_connecting += up->state < UPSTREAM_READY;
		n_usable += upstream_is_usable(up) != 0;
		n_used_up += up->is_used_up != 0;
		n_draining += up->is_draining && !up->is_used_up;
		if (up->state >= UPSTREAM_READY && !upstream_is_usable(up)) {
			stalled = up;
			upstream_suspect(up, 0); /* a keepalive is overdue, and it is wanted */
		}
	}
	if (e->session_limit)
		wanted = (n_waiting + e->session_limit - 1) / e->session_limit;
	if (n_used_up && n_all == n_used_up && e->needs_person &&
		holdback_place(e) == ATTEMPT_NOWHERE) {
		fail_used_up(e);
		return;
	}
	if (stalled && n_usable == 0 && e->needs_person) {
		if (n_connecting == 0 && !prompt_is_possible(e)) {
			refuse_for_stalled(e, stalled, 0);
			return;
		}
	} else if (n_all > n_connecting + n_used_up + n_draining && e->needs_person &&
		   !is_renewal) {
		/* B2: there is a connection, it is full, and another login would take a person. */
		pool_fail_waiting(e, SMX_OPEN_RESOURCE_SHORTAGE,
			"the server allows no more sessions on this connection (its MaxSessions), "
			"and "
			"another login would need a person; close a session, or raise MaxSessions");
		return;
	}
	/* U5: as many logins at once as the server may see of them in a minute. */
	if (wanted > ATTEMPTS_BURST)
		wanted = ATTEMPTS_BURST;
	if (n_connecting < wanted && holdback_check(e))
		return;
	while (n_connecting < wanted && n_all < UPSTREAMS_MAX) {
		if (!upstream_new(e)) {
			pool_fail_waiting(e, SMX_OPEN_RESOURCE_SHORTAGE, smx_strerror(SMX_ENOMEM));
			return;
		}
		upstream_at(e->upstreams.prev)->is_renewal = is_renewal;
		n_connecting++;
		n_all++;
	}
	if (n_all == UPSTREAMS_MAX && n_connecting == 0)
		pool_fail_waiting(
			e, SMX_OPEN_RESOURCE_SHORTAGE, "too many connections to this host");
}

/* Of those that wait the first that is no tunnel for another way, or NULL. */
static struct open_req *first_of_clients(const struct pool_entry *e)
{
	for (struct smx_list *it = e->waiting.next; it != &e->waiting; it = it->next) {
		struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		if (!req->for_entry)
			return req;
	}
	return NULL;
}

/* P8: whenever one comes to wait, also again, because the connection that had it died. */
static void refuse_locked(struct pool_entry *e)
{
	struct open_req *req;

	/* From the first one on each time: whoever is refused may take another back. */
	while ((req = first_of_clients(e))) {
		smx_list_del(&req->node);
		req->failed(req, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED, MUX_LOCKED_TEXT);
	}
}

static void close_spares(struct pool_entry *e)
{
	for (struct smx_list *it = e->upstreams.next; it != &e->upstreams; it = it->next)
		spares_close(upstream_at(it));
}

void pool_lock(struct mux *m)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->entries)
		close_spares(SMX_CONTAINER(it, struct pool_entry, node));
	SMX_LIST_FOREACH (it, tmp, &m->entries)
		refuse_locked(SMX_CONTAINER(it, struct pool_entry, node));
}

/* The first of those that wait for which there is a connection, or NULL. */
static struct open_req *next_to_serve(struct pool_entry *e, struct upstream **ret_up)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &e->waiting) {
		struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		if ((*ret_up = find_room_for(e, req)))
			return req;
	}
	return NULL;
}

void pool_assign(struct pool_entry *e)
{
	struct open_req *req;
	struct upstream *up;

	if (e->mux->is_locked)
		refuse_locked(e);
	/* From the first one on each time: whoever is served may ask again, which comes here. */
	while ((req = next_to_serve(e, &up))) {
		smx_list_del(&req->node);
		if (req->after_id)
			drain_older(e, req->after_id);
		if (req->is_login)
			req->opened(req, up, NULL, (struct smx_view){ NULL, 0 });
		else
			upstream_open(up, req);
	}
	if (pool_first_waiting(e))
		add_upstreams(e);
}

void pool_open(struct mux *m, struct smx_routes *routes, const struct smx_route *route,
	size_t n_hops, struct open_req *req)
{
	struct pool_entry *e = find_entry(m, route->hops, n_hops);
	struct asker *asker = req->asker;

	if (!e && !(e = add_entry(m, routes, route, n_hops))) {
		req->failed(req, SMX_OPEN_RESOURCE_SHORTAGE, smx_strerror(SMX_ENOMEM));
		return;
	}
	if (e->is_stray && e->routes != routes)
		set_route(e, routes, route);
	req->entry = e;
	req->since_ms = mux_now(m);
	if (req->renew)
		req->after_id = youngest(e);
	smx_list_add_tail(&e->waiting, &req->node);
	pool_assign(e);
	if (asker && !smx_list_empty(&m->prompts))
		prompt_welcome(m, asker);
	if (asker && !smx_list_empty(&m->agent_waits))
		agent_wait_welcome(m, asker);
}

void pool_again(struct open_req *req)
{
	smx_list_add_tail(&req->entry->waiting, &req->node);
	pool_assign(req->entry);
}

void pool_cancel(struct open_req *req)
{
	if (req->up)
		upstream_abandon(req);
	smx_list_del(&req->node);
	req->released(req);
}

/*
 * U6: the server has given sessions on this connection, none is left, and it gives no more. Asked
 * once again, for a sshd that has just closed one may not have counted that yet.
 */
static void note_used_up(struct upstream *up)
{
	struct mux_ids ids = ids_of_upstream(up);

	if (up->n_refused++ == 0 || up->is_used_up)
		return;
	up->is_used_up = 1;
	say_info(&ids, "the server gives no more sessions on this connection, after %u",
		up->n_sessions);
}

int pool_session_refused(struct pool_entry *e, struct upstream *up, struct open_req *req)
{
	struct mux_ids ids = ids_of_upstream(up);
	unsigned n_open;

	(void)upstream_sessions(up, &n_open);
	if (n_open == 0 && up->n_sessions == 0)
		return 0; /* it refuses sessions altogether */
	if (n_open == 0)
		note_used_up(up);
	else
		/* The server may still count sessions that are over for us, so its limit is this
		 * or more. */
		up->sessions_max = n_open;
	if (n_open > e->session_limit) {
		say_info(&ids, "the connection takes %u sessions (MaxSessions of the server)",
			n_open);
		e->session_limit = n_open;
	}
	pool_again(req);
	return 1;
}

void pool_upstream_gone(struct pool_entry *e, struct upstream *up, const char *text)
{
	struct smx_list *it, *tmp;

	smx_list_del(&up->node);
	if (up->has_failed) {
		holdback_failed(e, up, text);
		/* Whoever waits is told, unless another is on its way. */
		int others = 0;

		SMX_LIST_FOREACH (it, tmp, &e->upstreams)
			others |= upstream_at(it)->state < UPSTREAM_READY &&
				  !upstream_at(it)->link->dead;
		if (!others)
			pool_fail_waiting(e, SMX_OPEN_CONNECT_FAILED, text);
	}
	/* What waits now was taken back from a connection that died under it. */
	if (pool_first_waiting(e) && !e->mux->core.is_stopping)
		pool_assign(e);
	else if (e->mux->core.is_stopping)
		pool_fail_waiting(e, SMX_OPEN_CONNECT_FAILED, "ssh-mux is stopping");
}

void pool_tick(struct mux *m)
{
	struct smx_list *it, *tmp, *it2, *tmp2;
	const struct upstream *stalled;

	SMX_LIST_FOREACH (it, tmp, &m->entries) {
		struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		SMX_LIST_FOREACH (it2, tmp2, &e->upstreams)
			upstream_tick(upstream_at(it2));
		if (pool_first_waiting(e))
			pool_assign(e);
		stalled = pool_first_waiting(e) ? find_stalled(e) : NULL;
		if (stalled && mux_now(m) >= pool_hope_ms(e))
			refuse_for_stalled(e, stalled, STALLED_PATIENCE_MS);
	}
}

/* Not always the first: what is taken back from a connection comes behind what was here. */
static uint64_t longest_waiting_ms(const struct pool_entry *e)
{
	uint64_t oldest = UINT64_MAX, one;

	for (struct smx_list *it = e->waiting.next; it != &e->waiting; it = it->next)
		if ((one = SMX_CONTAINER(it, struct open_req, node)->since_ms) < oldest)
			oldest = one;
	return oldest;
}

uint64_t pool_deadline(const struct mux *m)
{
	uint64_t at = UINT64_MAX, one;

	for (struct smx_list *it = m->entries.next; it != &m->entries; it = it->next) {
		const struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		for (struct smx_list *up = e->upstreams.next; up != &e->upstreams; up = up->next)
			if ((one = upstream_deadline(upstream_at(up))) < at)
				at = one;
		if (!pool_first_waiting(e) || !find_stalled(e))
			continue;
		one = longest_waiting_ms(e) + STALLED_PATIENCE_MS;
		if (one < pool_hope_ms(e))
			one = pool_hope_ms(e);
		at = one < at ? one : at;
	}
	return at;
}

int pool_is_silent(const struct pool_entry *e)
{
	int is_silent = 0;

	for (struct smx_list *it = e->upstreams.next; it != &e->upstreams; it = it->next) {
		const struct upstream *up = upstream_at(it);

		if (up->state >= UPSTREAM_READY || up->link->dead)
			continue;
		/* A jump host's login is its own. */
		is_silent = up->has_tunnel_req && !up->tunnel_req.up
				    ? pool_is_silent(up->tunnel_req.entry)
				    : up->link->bytes_in == 0;
		if (!is_silent)
			return 0;
	}
	return is_silent;
}

int pool_has_life(const struct pool_entry *e)
{
	for (struct smx_list *it = e->upstreams.next; it != &e->upstreams; it = it->next)
		if (SMX_CONTAINER(it, struct upstream, node)->link->bytes_in > 0)
			return 1;
	return 0;
}

int pool_is_wanted(const struct pool_entry *e)
{
	for (struct smx_list *it = e->waiting.next; it != &e->waiting; it = it->next) {
		struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		if (!req->for_entry || pool_is_wanted(req->for_entry))
			return 1;
	}
	return 0;
}

void pool_kick(struct mux *m)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->entries) {
		struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		if (pool_first_waiting(e))
			pool_assign(e);
	}
}

void pool_sweep(struct mux *m)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->entries) {
		struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		if (smx_list_empty(&e->upstreams) && !pool_first_waiting(e))
			free_entry(e);
	}
}
