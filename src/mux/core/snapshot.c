/* SPDX-License-Identifier: MIT */
#include "mux/core/snapshot.h"

#include <stdio.h>

#include "base/err.h"
#include "control/status.h"
#include "mux/core/confine.h"
#include "mux/core/link.h"
#include "mux/core/relay.h"
#include "mux/core/reload.h"
#include "mux/doors/attach.h"
#include "mux/doors/door.h"
#include "mux/doors/guest.h"
#include "mux/doors/keyring.h"
#include "mux/doors/master.h"
#include "mux/doors/passenger.h"
#include "mux/forward/accepted.h"
#include "mux/forward/arrived.h"
#include "mux/forward/listener.h"
#include "mux/forward/remote_listener.h"
#include "mux/net/tunnel.h"
#include "mux/pool/ending.h"
#include "mux/pool/holdback.h"
#include "mux/pool/login.h"
#include "mux/pool/upstream.h"
#include "os/process.h"

#define TARGET_SIZE 640

/* "user@host:22", or "[v6]:22". */
static void hop_text(const struct smx_hop *hop, char *out, size_t size)
{
	int is_v6 = 0;

	for (const char *s = hop->host; *s; s++)
		is_v6 |= *s == ':';
	(void)snprintf(
		out, size, is_v6 ? "%s@[%s]:%u" : "%s@%s:%u", hop->user, hop->host, hop->port);
}

static void via_text(const struct smx_hop *hops, size_t n_hops, char *out, size_t size)
{
	size_t used = 0;
	char one[TARGET_SIZE];
	int n;

	out[0] = '\0';
	for (size_t i = 0; i + 1 < n_hops && used < size; i++) {
		hop_text(&hops[i], one, sizeof(one));
		n = snprintf(out + used, size - used, "%s%s", i ? ", " : "", one);
		used += n > 0 ? (size_t)n : 0;
	}
}

static int add_routes(struct mux *m, struct smx_status *st)
{
	char target[TARGET_SIZE], via[2 * TARGET_SIZE], control[TARGET_SIZE];
	int r;

	for (size_t i = 0; i < m->routes->n_routes; i++) {
		const struct smx_route *route = &m->routes->routes[i];
		struct smx_status_route sr = { route->name, target, via,
			route->allow_remote_loopback_any_port, control };

		if (master_path(m, route, control, sizeof(control)) != 0)
			control[0] = '\0';

		hop_text(smx_route_target(route), target, sizeof(target));
		via_text(route->hops, route->n_hops, via, sizeof(via));
		if ((r = smx_status_add_route(st, &sr)) != 0)
			return r;
	}
	return 0;
}

static int64_t left_s(uint64_t now, uint64_t since_ms, uint32_t limit_s)
{
	uint64_t gone = (now - since_ms) / 1000;

	return gone >= limit_s ? 0 : (int64_t)(limit_s - gone);
}

/* "u@web:22 via u@jump:22": what it is pooled under. */
static void key_text(const struct upstream *up, char *out, size_t size)
{
	char target[TARGET_SIZE], via[2 * TARGET_SIZE];

	hop_text(up->hop, target, sizeof(target));
	via_text(up->entry->hops, up->entry->n_hops, via, sizeof(via));
	(void)snprintf(out, size, "%s%s%s", target, *via ? " via " : "", via);
}

void snapshot_login(struct mux *m, const struct upstream *up, struct smx_control_login *ret)
{
	char key[4 * TARGET_SIZE];

	key_text(up, key, sizeof(key));
	*ret = (struct smx_control_login){
		.age_s = (int64_t)((mux_now(m) - up->born_ms) / 1000),
		.lifetime_left_s = m->opts->max_lifetime_s ? left_s(mux_now(m), up->born_ms,
								     m->opts->max_lifetime_s)
							   : -1,
		.idle_s = m->opts->idle_timeout_s,
	};
	(void)snprintf(ret->key, sizeof(ret->key), "%.*s", SMX_CONTROL_TEXT_MAX, key);
}

/* Without pacing the estimate has no say, so it is not told. */
static struct smx_status_path path_of(const struct link *l)
{
	const struct pace *p = &l->pace;
	struct smx_status_path path = { .paced = l->is_paced, .least_rtt_us = p->least_us };
	static const struct pace_way none = { .mode = PACE_UNKNOWN };
	const struct pace_way *down = l->is_paced ? &p->down : &none;
	const struct pace_way *up = l->is_paced ? &p->up : &none;

	path.down_rate = (uint64_t)down->rate;
	path.up_rate = (uint64_t)up->rate;
	path.down_window = down->window;
	path.up_window = up->window;
	path.down_mode = pace_mode_name(down);
	path.up_mode = pace_mode_name(up);
	return path;
}

static int add_connection(struct mux *m, struct smx_status *st, const struct upstream *up)
{
	const struct smx_serve_options *opts = m->opts;
	char key[4 * TARGET_SIZE], warning[SMX_STATUS_TEXT_MAX];
	struct smx_buf identity;
	uint64_t now = mux_now(m);
	int r = 0;
	struct smx_status_connection sc = {
		.id = up->link->id,
		.key = key,
		.state = upstream_state_name(up),
		.stalled_s = up->state == UPSTREAM_STALLED
				     ? (now - up->link->live.stalled_ms) / 1000
				     : 0,
		.age_s = (now - up->born_ms) / 1000,
		.channels = spares_others(up),
		.spares = spares_count(up),
		.bytes_in = up->link->bytes_in,
		.bytes_out = up->link->bytes_out,
		.rtt_ms = up->link->rtt_ms,
		.path = path_of(up->link),
		.idle_left_s = upstream_is_used(up)
				       ? -1
				       : left_s(now, up->idle_since_ms, opts->idle_timeout_s),
		.lifetime_left_s =
			opts->max_lifetime_s ? left_s(now, up->born_ms, opts->max_lifetime_s) : -1,
	};

	key_text(up, key, sizeof(key));
	/* A12: a page to be opened, say. */
	if (up->state < UPSTREAM_READY && up->login && login_said(up->login)[0]) {
		(void)snprintf(warning, sizeof(warning), "the login to %.200s waits; it says: %s",
			key, login_said(up->login));
		if ((r = smx_status_add_warning(st, warning)) != 0)
			return r;
	}
	/* U7: its end is near. */
	if (ending_warning(up, warning, sizeof(warning)) &&
		(r = smx_status_add_warning(st, warning)) != 0)
		return r;
	smx_buf_init(&identity, SMX_STATUS_TEXT_MAX);
	if (smx_hops_identity(up->entry->hops, up->entry->n_hops, &identity) == SMX_ENOMEM)
		r = SMX_ENOMEM;
	sc.identity = smx_buf_len(&identity) ? smx_buf_cstr(&identity) : "";
	if (r == 0)
		r = smx_status_add_connection(st, &sc);
	smx_buf_release(&identity);
	return r;
}

static int add_connections(struct mux *m, struct smx_status *st)
{
	struct smx_list *it, *tmp, *it2, *tmp2;
	int r;

	SMX_LIST_FOREACH (it, tmp, &m->entries) {
		struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		SMX_LIST_FOREACH (it2, tmp2, &e->upstreams) {
			r = add_connection(m, st, SMX_CONTAINER(it2, struct upstream, node));
			if (r != 0)
				return r;
		}
	}
	return 0;
}

static int add_clients(struct mux *m, struct smx_status *st)
{
	struct smx_list *it, *tmp;
	int r;

	SMX_LIST_FOREACH (it, tmp, &m->clients) {
		const struct client *c = SMX_CONTAINER(it, struct client, node);
		struct smx_status_client sc = { c->link->id, c->auth.is_done ? client_route(c) : "",
			(mux_now(m) - c->link->born_ms) / 1000, c->link->conn.n_chans, c->pid };

		if ((r = smx_status_add_client(st, &sc)) != 0)
			return r;
	}
	/* At the control sockets (W2). */
	SMX_LIST_FOREACH (it, tmp, &m->guests) {
		const struct guest *g = SMX_CONTAINER(it, struct guest, node);

		if (g->proxy)
			continue; /* it is one of the clients above */
		struct smx_status_client sc = { g->id, g->route->name,
			(mux_now(m) - g->born_ms) / 1000, g->passenger ? 1 : 0, g->pid };

		if ((r = smx_status_add_client(st, &sc)) != 0)
			return r;
	}
	/* And where their forwards listen. */
	SMX_LIST_FOREACH (it, tmp, &m->listeners) {
		const struct listener *l = SMX_CONTAINER(it, struct listener, node);
		struct smx_status_client sc = { l->id, l->words.route,
			(mux_now(m) - l->born_ms) / 1000, l->n_accepted, -1 };

		if ((r = smx_status_add_client(st, &sc)) != 0)
			return r;
	}
	SMX_LIST_FOREACH (it, tmp, &m->remote_listeners) {
		const struct remote_listener *l = SMX_CONTAINER(it, struct remote_listener, node);
		struct smx_status_client sc = { l->id, l->words.route,
			(mux_now(m) - l->born_ms) / 1000, l->n_arrived, -1 };

		if ((r = smx_status_add_client(st, &sc)) != 0)
			return r;
	}
	return 0;
}

/* Those a client has asked for: they may be nowhere else yet. */
static int add_client_channels(struct mux *m, struct smx_status *st, const struct client *c)
{
	const struct smx_conn *conn = &c->link->conn;
	const struct smx_chan *chan;
	const struct relay *rl;
	int r;

	for (uint32_t i = 0; i < conn->n_slots; i++) {
		chan = conn->chans[i];
		if (!chan || !chan->user || !(rl = relay_of_local(chan->user)))
			continue;
		struct smx_status_channel sc = {
			.id = rl->id,
			.connection = rl->remote.chan ? rl->remote.link->id : 0,
			.client = c->link->id,
			.route = rl->route->name,
			.kind = rl->kind,
			.state = !rl->is_open ? "opening"
				 : chan->close_sent || chan->close_received || !rl->remote.chan
					 ? "closing"
					 : "open",
			.age_s = (mux_now(m) - rl->born_ms) / 1000,
			.bytes_in = rl->down.bytes,
			.bytes_out = rl->up.bytes,
		};

		if ((r = smx_status_add_channel(st, &sc)) != 0)
			return r;
	}
	return 0;
}

/* Of a client at a control socket, or of a forward that it has. */
static int add_passenger(
	struct smx_status *st, const struct passenger *p, const struct passenger_owner *owner)
{
	struct passenger_info info;
	struct smx_status_channel sc;

	if (!p)
		return 0;
	passenger_describe(p, &info);
	sc = (struct smx_status_channel){
		.id = info.id,
		.connection = info.connection,
		.client = owner->id,
		.route = owner->route->name,
		.kind = info.kind,
		.state = info.state,
		.age_s = info.age_ms / 1000,
		.bytes_in = info.bytes_in,
		.bytes_out = info.bytes_out,
	};
	return smx_status_add_channel(st, &sc);
}

/* On the connection of a jump host. */
static int add_tunnels(struct mux *m, struct smx_status *st, const struct upstream *up)
{
	const struct smx_conn *conn = &up->link->conn;
	const struct link *inner;
	int r;

	for (uint32_t i = 0; i < conn->n_slots; i++) {
		if (!conn->chans[i] || !conn->chans[i]->user ||
			!(inner = tunnel_inner(conn->chans[i]->user)))
			continue;
		struct smx_status_channel sc = {
			.id = inner->id,
			.connection = up->link->id,
			.kind = "tunnel",
			.state = "open",
			.age_s = (mux_now(m) - inner->born_ms) / 1000,
			.bytes_in = inner->bytes_in,
			.bytes_out = inner->bytes_out,
		};

		if ((r = smx_status_add_channel(st, &sc)) != 0)
			return r;
	}
	return 0;
}

static int add_channels(struct mux *m, struct smx_status *st)
{
	struct smx_list *it, *tmp, *it2, *tmp2;
	int r;

	SMX_LIST_FOREACH (it, tmp, &m->clients)
		if ((r = add_client_channels(m, st, SMX_CONTAINER(it, struct client, node))) != 0)
			return r;
	SMX_LIST_FOREACH (it, tmp, &m->guests) {
		const struct guest *g = SMX_CONTAINER(it, struct guest, node);

		if ((r = add_passenger(st, g->passenger, &g->owner)) != 0)
			return r;
	}
	SMX_LIST_FOREACH (it, tmp, &m->accepted) {
		const struct accepted *a = SMX_CONTAINER(it, struct accepted, all_node);

		if ((r = add_passenger(st, a->passenger, &a->owner)) != 0)
			return r;
	}
	SMX_LIST_FOREACH (it, tmp, &m->arrived) {
		const struct arrived *a = SMX_CONTAINER(it, struct arrived, all_node);

		if ((r = add_passenger(st, a->passenger, &a->owner)) != 0)
			return r;
	}
	SMX_LIST_FOREACH (it, tmp, &m->entries) {
		struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

		SMX_LIST_FOREACH (it2, tmp2, &e->upstreams) {
			r = add_tunnels(m, st, SMX_CONTAINER(it2, struct upstream, node));
			if (r != 0)
				return r;
		}
	}
	return 0;
}

/* U5: logins that failed, while they are not tried again. */
static int add_failures(struct mux *m, struct smx_status *st)
{
	char text[SMX_STATUS_TEXT_MAX];
	struct smx_list *it, *tmp;
	int r = 0;

	SMX_LIST_FOREACH (it, tmp, &m->attempts.list) {
		const struct attempt *a = SMX_CONTAINER(it, struct attempt, node);

		if (attempt_wait_ms(a, mux_now(m)) == 0)
			continue;
		holdback_text(a, mux_now(m), text, sizeof(text));
		if ((r = smx_status_add_warning(st, text)) != 0)
			break;
	}
	return r;
}

static int fill(struct mux *m, struct smx_status *st)
{
	int r = smx_status_set_daemon(
		st, SMX_VERSION, m->opts->ssh_dir, door_other_users(m), confine_text(m));

	if (r == 0 && *keyring_warning(m->keyring))
		r = smx_status_add_warning(st, keyring_warning(m->keyring));
	if (r == 0 && *reload_warning(m))
		r = smx_status_add_warning(st, reload_warning(m));
	if (r != 0 || (r = add_failures(m, st)) != 0 || (r = add_routes(m, st)) != 0 ||
		(r = add_connections(m, st)) != 0 || (r = add_clients(m, st)) != 0)
		return r;
	return add_channels(m, st);
}

int snapshot_take(struct mux *m, struct smx_status *ret)
{
	int r;

	smx_status_init(ret);
	ret->pid = smx_os_pid();
	ret->uptime_s = (mux_now(m) - m->start_ms) / 1000;
	ret->locked = m->is_locked;
	ret->port = m->door ? m->opts->port : 0;
	keyring_refresh(m->keyring);
	if ((r = fill(m, ret)) != 0)
		smx_status_release(ret);
	return r;
}

int snapshot_answer(struct mux *m, int64_t id, struct smx_buf *out)
{
	struct smx_status st;
	int r;

	if ((r = snapshot_take(m, &st)) != 0)
		return r;
	r = smx_status_to_lines(out, id, &st);
	smx_status_release(&st);
	return r;
}
