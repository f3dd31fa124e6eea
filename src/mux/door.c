/* SPDX-License-Identifier: MIT */
#include "mux/door.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/policy.h"
#include "mux/keyring.h"
#include "mux/relay.h"
#include "mux/say.h"
#include "os/os.h"
#include "ssh/request.h"

#define BACKLOG    128
#define CLEAN_SIZE 300

struct door {
	uv_tcp_t tcp;
	struct mux *mux;
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
	enum smx_policy p = SMX_POLICY_ALLOW;
	enum smx_chan_kind kind;
	char clean[CLEAN_SIZE];

	*ret_reason = SMX_OPEN_ADMINISTRATIVELY_PROHIBITED;
	if (smx_open_read(ev->kind, ev->data, &kind, &f) != 0) {
		(void)snprintf(text, size, "malformed open: %s", f.why);
		return text;
	}
	switch (kind) {
	case SMX_CHAN_KIND_SESSION:
		return NULL;
	case SMX_CHAN_KIND_TCPIP:
		p = smx_policy_forward(route, f.s[0], f.n[0]);
		break;
	case SMX_CHAN_KIND_STREAMLOCAL:
		p = smx_policy_streamlocal(route, f.s[0]);
		f.n[0] = 0; /* no port */
		break;
	case SMX_CHAN_KIND_FOREIGN:
		return "this kind of channel is not relayed";
	case SMX_CHAN_KIND_UNKNOWN:
		*ret_reason = SMX_OPEN_UNKNOWN_CHANNEL_TYPE;
		return "unknown channel type";
	}
	if (p == SMX_POLICY_ALLOW)
		return NULL;
	smx_sanitize((const char *)f.s[0].p, f.s[0].len, clean, sizeof(clean));
	(void)snprintf(
		text, size, "forward to %s:%u denied: %s", clean, f.n[0], smx_policy_text(p));
	return text;
}

static void on_open(struct link *l, struct smx_conn_event *ev)
{
	struct client *c = l->owner;
	struct mux *m = c->mux;
	struct smx_routes *routes = c->routes ? c->routes : m->routes;
	const struct smx_route *route = smx_routes_find(routes, client_route(c));
	enum smx_open_failure reason;
	char text[2 * CLEAN_SIZE];
	const char *why;
	int r;

	if (m->is_locked) {
		reject(c, ev->chan, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED, MUX_LOCKED_TEXT);
		return;
	}
	if (!route) {
		reject(c, ev->chan, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED, "unknown route");
		return;
	}
	if ((why = check_open(route, ev, &reason, text, sizeof(text)))) {
		reject(c, ev->chan, reason, why);
		return;
	}
	r = relay_start(l, c->attach, ev->chan, routes, route, ev->kind, ev->data);
	if (r != 0)
		reject(c, ev->chan, SMX_OPEN_RESOURCE_SHORTAGE, smx_strerror(r));
}

/* --- authentication --- */

static int key_ok(void *arg, struct smx_view blob)
{
	struct client *c = arg;

	/* L5: at each attempt, so that a key just revoked is one even for who is at the door. */
	keyring_refresh(c->mux->keyring);
	return keyring_has(c->mux->keyring, blob);
}

static int on_auth(struct link *l, struct smx_view payload)
{
	struct client *c = l->owner;
	struct mux_ids ids;
	int r;

	if ((r = smx_auth_server_handle(&c->auth, payload)) != 0)
		return r;
	if (c->auth.is_done) {
		ids = ids_of_client(c);
		say_debug(&ids, "client authenticated, key: %s",
			*c->auth.fingerprint ? c->auth.fingerprint : "none needed");
	}
	return 0;
}

static void on_ready(struct link *l)
{
	(void)l; /* the client speaks first */
}

static void on_dead(struct link *l, int r, const char *why)
{
	struct client *c = l->owner;
	struct mux_ids ids = ids_of_client(c);
	char clean[CLEAN_SIZE];

	smx_sanitize(why, strlen(why), clean, sizeof(clean));
	if (smx_errclass(r) == SMX_CLASS_PEER && r != SMX_EEOF && r != SMX_EDISCONNECTED)
		say_warn(&ids, "client ended: %s", clean);
	else
		say_debug(&ids, "client ended: %s", clean);
	smx_list_del(&c->node);
	c->mux->n_clients--;
	smx_free(c->route);
	smx_routes_unref(c->routes);
	smx_free(c);
}

static const struct link_ops client_ops = { NULL, on_ready, on_auth, on_open, on_dead, "client" };

/* --- accepting --- */

static void on_stray_closed(uv_handle_t *h)
{
	smx_free(h);
}

/*
 * Room for one more. Anybody on the machine can connect, so it is the stranger that has been silent
 * for longest who goes, not the newcomer: a client of ours authenticates in no time.
 */
static int make_room(struct mux *m)
{
	struct smx_list *it, *tmp;
	struct client *oldest = NULL;
	size_t n = 0;

	SMX_LIST_FOREACH (it, tmp, &m->clients) {
		struct client *c = client_at(it);

		if (c->auth.is_done || c->link->dead)
			continue;
		oldest = oldest ? oldest : c;
		n++;
	}
	if (n >= CLIENTS_UNAUTH_MAX || (m->n_clients >= CLIENTS_MAX && oldest)) {
		link_fail(oldest->link, SMX_ELIMIT, "too many clients that don't authenticate");
		return 1;
	}
	return m->n_clients < CLIENTS_MAX;
}

/* L10. Nobody waits on a local path that is stalled: it ends at once. */
static const struct smx_live_rules client_rules = {
	.probe_ms = CLIENT_KEEPALIVE_MS,
	.eager_ms = CLIENT_KEEPALIVE_MS,
	.stalled_ms = CLIENT_KEEPALIVE_MS * CLIENT_MISSED_MAX,
	.doubt_ms = CLIENT_KEEPALIVE_MS * CLIENT_MISSED_MAX,
	.dead_ms = CLIENT_KEEPALIVE_MS * CLIENT_MISSED_MAX,
};

static struct client *add_client(struct mux *m)
{
	struct client *c = NULL;

	if (make_room(m))
		c = smx_calloc(1, sizeof(*c));
	else
		log_warn("too many clients: one was turned away");
	if (c && !(c->link = link_new(m, &client_ops, c))) {
		smx_free(c);
		c = NULL;
	}
	if (!c)
		return NULL;
	c->mux = m;
	c->link->rules = client_rules;
	smx_list_init(&c->node);
	smx_list_add_tail(&m->clients, &c->node);
	m->n_clients++;
	say_debug(&(struct mux_ids){ .client = c->link->id }, "client came");
	return c;
}

/* On a socket, or a carrier. */
static int start_client(struct client *c, uv_tcp_t *tcp, struct carrier *carrier)
{
	struct smx_transport_config config = {
		.role = SMX_SERVER,
		.pool = &c->mux->pool,
		.software = MUX_SOFTWARE,
		.host_key = c->mux->host_key,
	};
	int r = tcp ? link_start_tcp(c->link, tcp, &config)
		    : link_start_carrier(c->link, carrier, &config);

	if (r == 0)
		smx_auth_server_init(&c->auth, c->link->t, key_ok, c);
	else
		link_fail(c->link, r, NULL);
	return r;
}

static void accept_client(struct mux *m, uv_tcp_t *tcp)
{
	struct client *c = add_client(m);

	if (c)
		(void)start_client(c, tcp, NULL);
	else
		uv_close((uv_handle_t *)tcp, on_stray_closed);
}

int door_attach(
	struct mux *m, struct carrier *carrier, struct attach *attach, const struct door_way *way)
{
	struct client *c = add_client(m);

	if (!c)
		return SMX_ENOMEM;
	c->attach = attach;
	if (!(c->route = smx_strdup(way->route))) {
		link_fail(c->link, SMX_ENOMEM, NULL);
		return SMX_ENOMEM;
	}
	if (way->routes)
		c->routes = smx_routes_ref(way->routes);
	/* Whatever comes of it: the carrier is the link's now, which detaches it when it ends. */
	if (start_client(c, NULL, carrier) == 0)
		c->auth.is_trusted = way->is_trusted;
	return 0;
}

static void on_connection(uv_stream_t *server, int status)
{
	struct door *d = SMX_CONTAINER(server, struct door, tcp);
	struct mux *m = d->mux;
	uv_tcp_t *tcp;

	if (status != 0) {
		log_warn("accepting a client: %s", uv_strerror(status));
		return;
	}
	if (!(tcp = smx_calloc(1, sizeof(*tcp))))
		return;
	if (uv_tcp_init(m->loop, tcp) != 0) {
		smx_free(tcp);
		return;
	}
	if (uv_accept(server, (uv_stream_t *)tcp) != 0)
		uv_close((uv_handle_t *)tcp, on_stray_closed);
	else
		accept_client(m, tcp);
	mux_settle(m);
}

static void on_door_closed(uv_handle_t *h)
{
	smx_free(SMX_CONTAINER((uv_tcp_t *)h, struct door, tcp));
}

static int listen_failed(struct mux *m, struct door *d, int r)
{
	int is_taken = r == UV_EADDRINUSE;

	uv_close((uv_handle_t *)&d->tcp, on_door_closed);
	if (is_taken && m->opts->port_is_optional) {
		log_warn("port %u of 127.0.0.1 is taken, so no SSH client can come that way; "
			 "ssh-mux connect and ssh-mux proxy don't need it",
			m->opts->port);
		return 0;
	}
	log_error("can't listen on 127.0.0.1 port %u: %s; is another program using it? choose "
		  "another port with -p",
		m->opts->port, uv_strerror(r));
	return is_taken ? SMX_EEXISTS : SMX_ESYS;
}

int door_open(struct mux *m)
{
	struct door *d;
	struct sockaddr_in addr;
	uv_os_fd_t fd;
	int r;

	if (m->opts->port == 0)
		return 0;
	if (!(d = smx_calloc(1, sizeof(*d))))
		return SMX_ENOMEM;
	d->mux = m;
	/* L1: this address, and no option for another. */
	(void)uv_ip4_addr("127.0.0.1", m->opts->port, &addr);
	/* With its socket at once, for what has to be said before the bind. */
	if ((r = uv_tcp_init_ex(m->loop, &d->tcp, AF_INET)) != 0) {
		smx_free(d);
		return SMX_ESYS;
	}
	if ((r = uv_fileno((uv_handle_t *)&d->tcp, &fd)) == 0 &&
		smx_os_socket_exclusive((int64_t)fd) != 0)
		r = UV_EACCES;
	if (r == 0 && (r = uv_tcp_bind(&d->tcp, (const struct sockaddr *)&addr, 0)) == 0)
		smx_os_socket_stays_here((int64_t)fd);
	if (r != 0 || (r = uv_listen((uv_stream_t *)&d->tcp, BACKLOG, on_connection)) != 0)
		return listen_failed(m, d, r);
	m->door = d;
	return 0;
}

void door_close(struct mux *m)
{
	if (m->door)
		uv_close((uv_handle_t *)&m->door->tcp, on_door_closed);
	m->door = NULL;
}

void door_tick(struct mux *m)
{
	static const struct smx_live_input none;
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->clients) {
		struct client *c = client_at(it);

		if (!c->auth.is_done) {
			if (mux_now(m) - c->link->born_ms >= CLIENT_GRACE_MS)
				link_fail(c->link, SMX_ETIMEOUT, "did not authenticate in time");
		} else {
			/* A stopped client's system acknowledges for ever: only answers count. */
			if (link_tick(c->link, &none) & SMX_LIVE_HAS_DIED)
				link_fail(c->link, SMX_EKEEPALIVE, NULL);
		}
	}
}
