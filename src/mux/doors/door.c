/* SPDX-License-Identifier: MIT */
#include "mux/doors/door.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/policy.h"
#include "mux/core/relay.h"
#include "mux/core/say.h"
#include "mux/doors/attach.h"
#include "mux/doors/hold.h"
#include "mux/doors/keyring.h"
#include "mux/doors/request.h"
#include "mux/forward/client_forward.h"
#include "os/tcp.h"
#include "ssh/request.h"

#define BACKLOG        4096 /* as much as the system allows: a flood must not crowd others out */
#define ACCEPTS_MAX    8 /* in a row, before all else has its turn */
#define CLEAN_SIZE     300
#define OPEN_TEXT_SIZE 900 /* why an open is refused */

struct door {
	uv_poll_t poll;
	int64_t socket;
	struct mux *mux;
	struct smx_os_tcp_peers *peers; /* U9; NULL: the system does not tell */
	int is_paused; /* U10: until the next tick */
	uint64_t allowance_ms; /* when STRANGERS_BURST more may come */
};

static struct client *client_at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct client, node);
}

const char *client_route(const struct client *c)
{
	return c->route ? c->route : c->auth.user;
}

/* --- channels --- */

static void reject(
	struct client *c, struct smx_chan *chan, enum smx_open_failure reason, const char *text)
{
	const char *name = client_route(c);
	struct mux_ids ids = ids_of_client(c);
	char route[SMX_USER_SIZE];
	int r;

	smx_sanitize(name, strlen(name), route, sizeof(route));
	say_warn(&ids, "channel open rejected for route \"%s\": %s", route, text);
	if ((r = smx_conn_open_fail(&c->link->conn, chan, reason, text)) != 0)
		link_fail(c->link, r, NULL);
}

/*
 * L6, L7, B3, U1: what is wrong with an open. NULL: nothing; text is room for what is said.
 * *ret_reason: set with it.
 */
static const char *check_open(const struct smx_route *route, const struct smx_conn_event *ev,
	enum smx_open_failure *ret_reason, char *text, size_t size)
{
	struct smx_fields f = { .why = NULL };
	enum smx_chan_kind kind;

	*ret_reason = SMX_OPEN_ADMINISTRATIVELY_PROHIBITED;
	if (smx_open_read(ev->kind, ev->data, &kind, &f) != 0) {
		(void)snprintf(text, size, "malformed open: %s", f.why);
		return text;
	}
	switch (kind) {
	case SMX_CHAN_KIND_SESSION:
		return NULL;
	case SMX_CHAN_KIND_TCPIP:
	case SMX_CHAN_KIND_STREAMLOCAL:
		if (smx_policy_check_forward(route, kind, f.s[0], f.n[0], text, size) == 0)
			return NULL;
		return text;
	case SMX_CHAN_KIND_FOREIGN:
		return "this kind of channel is not relayed";
	case SMX_CHAN_KIND_UNKNOWN:
		*ret_reason = SMX_OPEN_UNKNOWN_CHANNEL_TYPE;
		return "unknown channel type";
	}
	return NULL;
}

/* W1: by the routes of now, for each channel. */
static int find_destination(
	const struct client *c, struct destination *ret, struct refusal *ret_why)
{
	struct request req;

	if (c->routes) {
		*ret = (struct destination){ smx_routes_ref(c->routes), &c->routes->routes[0] };
		return 0;
	}
	if (!c->asked)
		request_of_user(c->mux->routes, c->auth.user, &req);
	return request_resolve(c->mux, c->asked ? c->asked : &req, ret, ret_why);
}

struct smx_routes *client_find_route(const struct client *c, const struct smx_route **ret_route)
{
	struct destination d = { NULL, NULL };
	struct refusal why;

	(void)find_destination(c, &d, &why);
	*ret_route = d.route;
	return d.routes;
}

static void reject_request(struct client *c, struct smx_chan *chan, const struct refusal *why)
{
	char text[sizeof(why->text) + sizeof(why->remedy) + 2];

	(void)snprintf(
		text, sizeof(text), "%s%s%s", why->text, *why->remedy ? "; " : "", why->remedy);
	reject(c, chan, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED, text);
}

static void on_open(struct link *l, struct smx_conn_event *ev)
{
	struct client *c = l->owner;
	enum smx_open_failure reason;
	char text[OPEN_TEXT_SIZE];
	struct destination d;
	struct refusal refusal;
	const char *why;
	int r;

	if (c->mux->is_locked) {
		reject(c, ev->chan, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED, MUX_LOCKED_TEXT);
		return;
	}
	if (find_destination(c, &d, &refusal) != 0) {
		reject_request(c, ev->chan, &refusal);
		return;
	}
	if ((why = check_open(d.route, ev, &reason, text, sizeof(text)))) {
		reject(c, ev->chan, reason, why);
	} else {
		r = relay_start(c->mux, l, c->attach ? attach_asker(c->attach) : NULL, ev->chan,
			d.routes, d.route, ev->kind, ev->data);
		if (r != 0)
			reject(c, ev->chan, SMX_OPEN_RESOURCE_SHORTAGE, smx_strerror(r));
	}
	destination_release(&d);
}

/* --- authentication --- */

static int key_ok(void *arg, struct smx_view blob)
{
	struct client *c = arg;

	/* L5: at each attempt, so that a key just revoked is one even for who is at the door. */
	keyring_refresh(c->mux->keyring);
	return keyring_has(c->mux->keyring, blob);
}

static void authenticated(struct client *c)
{
	struct mux_ids ids = ids_of_client(c);

	c->link->backlog_max = LINK_BACKLOG_MAX;
	c->link->lane = c->mux->lane;
	say_debug(&ids, "client authenticated, key: %s",
		*c->auth.fingerprint ? c->auth.fingerprint : "none needed");
}

/*
 * W1: behind `proxy` the user name chooses nothing, but it is what ssh was asked for. Where its
 * ProxyCommand does not pass that on, another account would answer. The route's own name is what an
 * older setup-config wrote as the user.
 */
static int check_user(struct client *c)
{
	struct mux_ids ids = ids_of_client(c);
	const char *user = c->auth.user;
	const struct smx_hop *target;
	char text[2 * CLEAN_SIZE], name[CLEAN_SIZE];
	struct destination d;
	struct refusal why;
	int is_same;

	if (c->mux->routes->match_any && !*c->asked->user)
		return 1;
	if (request_resolve(c->mux, c->asked, &d, &why) != 0)
		return 1; /* its channels are told why */
	target = smx_route_target(d.route);
	is_same = strcmp(user, target->user) == 0 ||
		  (!*c->asked->user && strcmp(user, c->asked->route) == 0);
	if (!is_same) {
		smx_sanitize(user, strlen(user), name, sizeof(name));
		(void)snprintf(text, sizeof(text),
			"ssh asks for user \"%.64s\", its ProxyCommand for %.64s@%.100s; run "
			"ssh-mux setup-config again, or write: "
			"ProxyCommand ssh-mux proxy %.128s '%%r'",
			name, target->user, target->host, c->asked->route);
		say_warn(&ids, "%s", text);
		link_disconnect(
			c->link, SMX_DISCONNECT_NO_MORE_AUTH_METHODS, SMX_EDISCONNECTED, text);
	}
	destination_release(&d);
	return is_same;
}

static int on_auth(struct link *l, struct smx_view payload)
{
	struct client *c = l->owner;
	int r;

	if ((r = smx_auth_server_handle(&c->auth, payload)) != 0)
		return r;
	if (c->auth.is_proved && check_user(c))
		hold_proved(c->hold);
	else if (c->auth.is_done)
		authenticated(c);
	return 0;
}

void door_let_in(struct client *c)
{
	int r = smx_auth_server_admit(&c->auth);

	if (r != 0)
		link_fail(c->link, r, NULL);
	else
		authenticated(c);
	link_touch(c->link);
}

static void on_ready(struct link *l)
{
	(void)l; /* the client speaks first */
}

static void say_end(const struct client *c, int r, const char *why)
{
	int is_warning =
		smx_errclass(r) == SMX_CLASS_PEER && r != SMX_EEOF && r != SMX_EDISCONNECTED;
	struct mux_ids ids = ids_of_client(c);
	char clean[CLEAN_SIZE];

	/* U9: what anybody can cause is counted. */
	if (!c->auth.is_done && (is_warning || !c->is_known) && !mux_tally(c->mux, TALLY_UNAUTH))
		return;
	smx_sanitize(why, strlen(why), clean, sizeof(clean));
	if (is_warning)
		say_warn(&ids, "client ended: %s", clean);
	else
		say_debug(&ids, "client ended: %s", clean);
}

static void on_dead(struct link *l, int r, const char *why)
{
	struct client *c = l->owner;

	say_end(c, r, why);
	client_forward_leave(c);
	smx_list_del(&c->node);
	c->mux->n_clients--;
	hold_free(c->hold);
	smx_free(c->asked);
	smx_free(c->route);
	smx_routes_unref(c->routes);
	smx_free(c);
}

static const struct link_ops client_ops = { NULL, on_ready, on_auth, on_open, on_dead, "client",
	NULL, client_forward_request, NULL };

/* --- accepting --- */

static void on_stray_closed(uv_handle_t *h)
{
	smx_free(h);
}

/* Clients that have not authenticated, of one kind. */
struct waiting {
	size_t n;
	struct client *oldest; /* that may be sent away, or NULL */
};

static struct waiting count_waiting(struct mux *m, int is_known)
{
	struct waiting w = { 0, NULL };
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->clients) {
		struct client *c = client_at(it);

		if (c->auth.is_done || c->link->dead || c->is_known != is_known || c->hold)
			continue;
		/* Who came through the control endpoint was asked to, and stays. */
		if (!w.oldest && !c->attach)
			w.oldest = c;
		w.n++;
	}
	return w;
}

/* L10. Nobody waits on a local path that is stalled: it ends at once. */
static const struct smx_live_rules client_rules = {
	.probe_ms = CLIENT_KEEPALIVE_MS,
	.eager_ms = CLIENT_KEEPALIVE_MS,
	.stalled_ms = CLIENT_KEEPALIVE_MS * CLIENT_MISSED_MAX,
	.doubt_ms = CLIENT_KEEPALIVE_MS * CLIENT_MISSED_MAX,
	.dead_ms = CLIENT_KEEPALIVE_MS * CLIENT_MISSED_MAX,
};

/*
 * Room for one more. It is the client that has been silent for longest who goes, not the newcomer:
 * a client of ours authenticates in no time. But nobody who is known goes for a stranger (U9).
 */
static int make_room(struct mux *m, int is_known)
{
	struct waiting strangers = count_waiting(m, 0), known = count_waiting(m, 1);
	struct waiting *own = is_known ? &known : &strangers;
	struct client *gone = NULL;

	if (own->n >= (is_known ? CLIENTS_UNAUTH_MAX : STRANGERS_UNAUTH_MAX))
		gone = own->oldest;
	else if (m->n_clients >= CLIENTS_MAX)
		gone = strangers.oldest ? strangers.oldest : own->oldest;
	else
		return 1;
	if (!gone)
		return 0;
	link_fail(gone->link, SMX_ELIMIT, "too many clients that don't authenticate");
	return 1;
}

static struct client *add_client(struct mux *m, int is_known)
{
	struct client *c = NULL;

	if (make_room(m, is_known))
		c = smx_calloc(1, sizeof(*c));
	else if (mux_tally(m, TALLY_FULL))
		log_warn("too many clients: one was turned away");
	if (c && !(c->link = link_new(&m->core, &client_ops, c))) {
		smx_free(c);
		c = NULL;
	}
	if (!c)
		return NULL;
	c->mux = m;
	c->pid = -1;
	c->link->rules = client_rules;
	c->is_known = is_known;
	c->link->backlog_max = CLIENT_UNAUTH_BACKLOG_MAX;
	c->link->lane = is_known ? m->lane : m->strangers_lane;
	smx_list_init(&c->node);
	smx_list_init(&c->forwards);
	smx_list_add_tail(&m->clients, &c->node);
	m->n_clients++;
	if (is_known || mux_tally(m, TALLY_CAME))
		say_debug(&(struct mux_ids){ .client = c->link->id }, "client came");
	return c;
}

/* On a socket, or a carrier. */
static int start_client(struct client *c, uv_tcp_t *tcp, struct carrier *carrier)
{
	struct smx_transport_config config = {
		.role = SMX_SERVER,
		.pool = &c->mux->core.pool,
		.software = MUX_SOFTWARE,
		.host_key = c->mux->host_key,
		/* A stranger's arithmetic waits for that of everybody else (U9). */
		.is_all_work_slow = !c->is_known,
		.is_bare = c->is_bare,
	};
	int r = tcp ? link_start_tcp(c->link, tcp, &config)
		    : link_start_carrier(c->link, carrier, &config);

	if (r == 0)
		smx_auth_server_init(&c->auth, c->link->t, key_ok, c);
	else
		link_fail(c->link, r, NULL);
	return r;
}

int door_attach(
	struct mux *m, struct carrier *carrier, struct attach *attach, const struct door_way *way)
{
	struct client *c = add_client(m, 1);

	if (!c)
		return SMX_ENOMEM;
	c->attach = attach;
	if (!(c->route = smx_strdup(way->name)) ||
		(way->asked && !(c->asked = smx_calloc(1, sizeof(*c->asked)))) ||
		(!way->is_trusted && !(c->hold = hold_new(c)))) {
		c->attach = NULL; /* the caller frees it */
		link_fail(c->link, SMX_ENOMEM, NULL);
		return SMX_ENOMEM;
	}
	if (way->asked)
		*c->asked = *way->asked;
	if (way->routes)
		c->routes = smx_routes_ref(way->routes);
	c->is_bare = way->is_bare;
	c->pid = attach ? attach_pid(attach) : way->pid;
	/* Whatever comes of it: the carrier is the link's now, which detaches it when it ends. */
	if (start_client(c, NULL, carrier) == 0) {
		c->auth.is_trusted = way->is_trusted;
		c->auth.is_held = c->hold != NULL;
		if (c->is_bare) {
			c->auth.is_done = 1;
			authenticated(c);
		}
	}
	return 0;
}

void door_begin(struct client *c)
{
	if (c->hold)
		hold_start(c->hold);
}

/* --- the port --- */

/* U9: each one let in costs something, so they come at a rate that nobody feels. */
static int may_come(struct door *d)
{
	const uint64_t each_ms = 1000 / STRANGERS_PER_S, all_ms = STRANGERS_BURST * each_ms;
	uint64_t now = mux_now(d->mux);

	if (d->allowance_ms < now)
		d->allowance_ms = now;
	if (d->allowance_ms - now > all_ms - each_ms) {
		if (mux_tally(d->mux, TALLY_FULL))
			log_warn("too many clients of other users: one was turned away");
		return 0;
	}
	d->allowance_ms += each_ms;
	return 1;
}

/*
 * U9: whether a client may come in, before a byte of ours goes out. 1: as known, 0: as a stranger,
 * -1: not at all.
 */
static int judge(struct door *d, int64_t socket)
{
	struct mux *m = d->mux;
	int64_t uid = -1;
	char who[48] = "";

	if (!d->peers)
		return 0;
	switch (smx_os_tcp_peer_check(d->peers, socket, &uid)) {
	case 0:
		return 1;
	case SMX_EDENIED:
		if (m->routes->allow_other_users)
			return may_come(d) ? 0 : -1;
		if (uid >= 0)
			(void)snprintf(who, sizeof(who), " (user id %lld)", (long long)uid);
		if (mux_tally(m, TALLY_OTHER_USER))
			log_warn("a connection of another user%s was closed; to let other users "
				 "in, put allow_other_users = true into the routes file",
				who);
		return -1;
	case SMX_ENOTFOUND:
		return may_come(d) ? 0 : -1; /* of no process that the system knows */
	case SMX_EEOF:
		return -1; /* it has gone, whosever it was */
	default:
		if (mux_tally(m, TALLY_UNTOLD))
			log_warn("a connection was closed: the system did not tell whose it is");
		return -1;
	}
}

/* The socket is ours to close. */
static void admit(struct mux *m, int64_t socket, int is_known)
{
	uv_tcp_t *tcp = smx_calloc(1, sizeof(*tcp));
	struct client *c;

	if (!tcp || uv_tcp_init(m->core.loop, tcp) != 0) {
		smx_os_tcp_close(socket);
		smx_free(tcp);
		return;
	}
	if (uv_tcp_open(tcp, (uv_os_sock_t)socket) != 0) {
		smx_os_tcp_close(socket);
		uv_close((uv_handle_t *)tcp, on_stray_closed);
	} else if ((c = add_client(m, is_known)) != NULL) {
		(void)start_client(c, tcp, NULL);
	} else {
		uv_close((uv_handle_t *)tcp, on_stray_closed);
	}
}

/* U10: whoever waits goes on waiting, and the door is tried again by the next tick. */
static void pause_door(struct door *d, const char *why)
{
	if (mux_tally(d->mux, TALLY_ACCEPT))
		log_warn("no client can be accepted at the moment, they wait: %s", why);
	(void)uv_poll_stop(&d->poll);
	d->is_paused = 1;
}

static void on_waiting(uv_poll_t *poll, int status, int events)
{
	struct door *d = SMX_CONTAINER(poll, struct door, poll);
	struct mux *m = d->mux;
	int64_t socket;
	int r, is_known;

	(void)events;
	if (status != 0) {
		pause_door(d, uv_strerror(status));
		return;
	}
	for (int i = 0; i < ACCEPTS_MAX && m->door == d && !d->is_paused; i++) {
		if ((r = smx_os_tcp_accept(d->socket, &socket)) == SMX_EAGAIN)
			return;
		if (r != 0)
			pause_door(d, r == SMX_ELIMIT
					      ? "the system has no descriptors or memory left"
					      : smx_strerror(r));
		else if ((is_known = judge(d, socket)) < 0)
			smx_os_tcp_close(socket);
		else
			admit(m, socket, is_known);
	}
}

static int listen_failed(struct mux *m, int r)
{
	if (r == SMX_EEXISTS && m->opts->port_is_optional) {
		log_warn("port %u of 127.0.0.1 is taken, so no SSH client can come that way; "
			 "ssh-mux connect and ssh-mux proxy don't need it",
			m->opts->port);
		return 0;
	}
	log_error("can't listen on 127.0.0.1 port %u: %s; choose another port with -p",
		m->opts->port,
		r == SMX_EEXISTS   ? "another program uses it"
		: r == SMX_EDENIED ? "it is the system's"
				   : smx_strerror(r));
	return r == SMX_EEXISTS ? r : SMX_ESYS;
}

static void free_door(struct door *d)
{
	smx_os_tcp_peers_free(d->peers);
	smx_os_tcp_close(d->socket);
	smx_free(d);
}

static void on_door_closed(uv_handle_t *h)
{
	free_door(SMX_CONTAINER((uv_poll_t *)h, struct door, poll));
}

int door_open(struct mux *m)
{
	struct door *d;
	int r;

	if (m->opts->port == 0)
		return 0;
	if (!(d = smx_calloc(1, sizeof(*d))))
		return SMX_ENOMEM;
	d->mux = m;
	d->socket = -1;
	/* L1: this address, and no option for another. */
	if ((r = smx_os_tcp_listen(m->opts->port, BACKLOG, &d->socket)) != 0) {
		free_door(d);
		return listen_failed(m, r);
	}
	if (uv_poll_init_socket(m->core.loop, &d->poll, (uv_os_sock_t)d->socket) != 0) {
		free_door(d);
		return listen_failed(m, SMX_ESYS);
	}
	m->door = d;
	if ((r = uv_poll_start(&d->poll, UV_READABLE, on_waiting)) != 0) {
		door_close(m);
		return listen_failed(m, SMX_ESYS);
	}
	if ((r = smx_os_tcp_peers_new(d->socket, &d->peers)) != 0)
		log_warn("this system does not tell whose a connection is, so other users of this "
			 "machine can reach port %u; they still need a key of yours",
			m->opts->port);
	return 0;
}

void door_close(struct mux *m)
{
	if (m->door)
		uv_close((uv_handle_t *)&m->door->poll, on_door_closed);
	m->door = NULL;
}

const char *door_other_users(const struct mux *m)
{
	if (!m->door)
		return "";
	if (!m->door->peers)
		return "unchecked";
	return m->routes->allow_other_users ? "admitted" : "refused";
}

/* When its time to authenticate began. */
static uint64_t since_ms(const struct client *c)
{
	return c->held_until_ms > c->link->born_ms ? c->held_until_ms : c->link->born_ms;
}

void door_tick(struct mux *m)
{
	static const struct smx_live_input none;
	struct smx_list *it, *tmp;

	if (m->door && m->door->is_paused &&
		uv_poll_start(&m->door->poll, UV_READABLE, on_waiting) == 0)
		m->door->is_paused = 0;
	SMX_LIST_FOREACH (it, tmp, &m->clients) {
		struct client *c = client_at(it);

		if (!c->auth.is_done) {
			if (c->hold && hold_tick(c->hold))
				continue; /* a login has time limits of its own */
			if (mux_now(m) - since_ms(c) >= CLIENT_GRACE_MS)
				link_fail(c->link, SMX_ETIMEOUT, "did not authenticate in time");
		} else if (!c->is_bare) {
			/* Programs in proxy mode need not know of probes, as a real master sends
			 * them none. A stopped client's system acknowledges for ever: only answers
			 * count. */
			if (link_tick(c->link, &none) & SMX_LIVE_HAS_DIED)
				link_fail(c->link, SMX_EKEEPALIVE, NULL);
		}
	}
}
