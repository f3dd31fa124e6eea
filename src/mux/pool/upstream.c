/* SPDX-License-Identifier: MIT */
#include "mux/forward/agent_forward.h"
#include "mux/pool/upstream.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/algorithms.h"
#include "mux/ask/hostkey_ask.h"
#include "mux/ask/prompt.h"
#include "mux/core/say.h"
#include "mux/forward/remote_forward.h"
#include "mux/net/dial.h"
#include "mux/net/program.h"
#include "mux/net/tunnel.h"
#include "mux/pool/early.h"
#include "mux/pool/ending.h"
#include "mux/pool/holdback.h"
#include "mux/pool/rotate.h"
#include "ssh/hostkeys.h"

#define LOGIN_TIMEOUT_MS  (90 * 1000)
#define HOST_KEY_ALGS_MAX 1024
#define SAID_MAX          1024
#define YOUNG_MS          (30 * 1000) /* U6: what dies so soon without a channel was no login */
#define FIRST_PROBE_MS    1000 /* after the login, whatever else is or is not sent */
#define OPEN_TRIES_MAX    3
/* Messages that wait to be sent; beyond, clients' opens could be what ends a connection that stalls
 * (LINK_BACKLOG_MAX) or rekeys (SMX_HELD_MAX). More than what uploads may queue. */
#define OPEN_BACKLOG_MAX (LINK_TX_HIGH + 256 * 1024)

static const char *const state_names[] = { "connecting", "connecting", "login", "ready", "stalled",
	"closing" };

const char *upstream_state_name(const struct upstream *up)
{
	if (up->state == UPSTREAM_READY && up->is_draining)
		return "draining";
	return state_names[up->state];
}

static int is_behind_jump(const struct upstream *up)
{
	return up->entry->n_hops > 1;
}

static void fail(struct upstream *up, int r, const char *why)
{
	link_fail(up->link, r, why);
}

/* --- login --- */

static void on_login(void *arg, int r, const char *why)
{
	struct upstream *up = arg;
	struct mux_ids ids = ids_of_upstream(up);
	const char *software = smx_transport_peer_software(up->link->t);
	char clean[128];

	if (r != 0) {
		(void)snprintf(up->cause, sizeof(up->cause), "%s", why);
		if (smx_errclass(r) == SMX_CLASS_SYSTEM)
			up->failure.kind = ATTEMPT_NONE;
		link_disconnect(
			up->link, SMX_DISCONNECT_NO_MORE_AUTH_METHODS, r, "no more methods");
		return;
	}
	login_note_failure(up->login, &up->failure);
	up->state = UPSTREAM_READY;
	up->entry->needs_person |= login_wants_person(up->login);
	up->idle_since_ms = up->ready_ms = mux_now(up->entry->mux);
	smx_sanitize(software, strlen(software), clean, sizeof(clean));
	say_info(&ids, "logged in to %s@%s port %u (%s) by %s", up->hop->user, up->hop->host,
		up->hop->port, clean, login_methods(up->login));
	pool_assign(up->entry);
	early_leave(up);
	/* For its round trip, and to know early whether it answers such things at all (U4). But not
	 * together with an open (B13): OpenSSH's server has Nagle's algorithm on until a session
	 * runs, so the later of two small answers waits a round trip for our ACK. */
	up->is_probed = up->n_pending == 0;
	if (up->is_probed)
		link_probe(up->link);
}

static void on_sure(void *arg)
{
	early_open(arg);
}

/* For want of memory: no verdict about the host. */
static void note_no_trust(struct upstream *up, int r)
{
	up->failure.kind = r == SMX_ENOMEM ? ATTEMPT_NONE : ATTEMPT_HOST_KEY;
}

static void on_host_key_asked(void *arg, int r, const char *why)
{
	struct upstream *up = arg;

	up->host_key = NULL;
	if (r != 0) {
		(void)snprintf(up->cause, sizeof(up->cause), "%s", why);
		note_no_trust(up, r);
		up->failure.was_cancelled = 1;
	}
	link_host_key_decided(up->link, r);
}

static int on_host_key(struct link *l, struct smx_view blob)
{
	struct upstream *up = l->owner;
	struct hostkey_question q;
	enum smx_hostkey_asking asking = SMX_HOSTKEY_CANNOT_ASK;
	int r;

	if (up->hop->unattended)
		asking = SMX_HOSTKEY_NO_CHANNEL;
	else if (prompt_is_possible(up->entry))
		asking = SMX_HOSTKEY_CAN_ASK;
	q.conn = l->id;
	r = hostkey_check(up->prepared, up->hop, is_behind_jump(up), asking, blob, &q, up->cause,
		sizeof(up->cause));
	up->failure.place = holdback_place(up->entry);
	if (r == SMX_EAGAIN) {
		up->is_new_host_key = q.is_new_accepted;
		up->host_key =
			hostkey_ask_start(up->entry, up->prepared, &q, on_host_key_asked, up);
		smx_buf_release(&q.plain);
		r = up->host_key ? SMX_EAGAIN : SMX_ENOMEM;
	}
	if (r != 0 && r != SMX_EAGAIN)
		note_no_trust(up, r);
	return r;
}

static void on_ready(struct link *l)
{
	struct upstream *up = l->owner;

	/* From here on the server counts it. */
	up->failure.kind = ATTEMPT_REFUSED;
	up->is_ready = 1;
	early_note_algs(up);
}

static int on_auth(struct link *l, struct smx_view payload)
{
	struct upstream *up = l->owner;
	int r = login_handle(up->login, payload);

	if (up->state < UPSTREAM_READY && !login_is_sure(up->login))
		early_refused(up);
	return r;
}

static void on_life(struct link *l)
{
	struct upstream *up = l->owner;

	if (up->is_ready) {
		/* Now, and not before: what came along with its NEWKEYS may say which signatures
		 * the server takes (RFC 8308), and the first key is sent without asking (B13). */
		up->is_ready = 0;
		login_begin(up->login);
	}
	if (up->n_pending)
		spares_alive(up);
}

/* B4: a remote opens nothing that nobody has asked it for. */
static void on_open(struct link *l, struct smx_conn_event *ev)
{
	int r;

	if (smx_view_eq(ev->kind, "auth-agent@openssh.com")) {
		agent_forward_open(l->owner, ev);
		return;
	}
	if (remote_forward_open(l->owner, ev))
		return;
	r = smx_conn_open_fail(&l->conn, ev->chan, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED,
		"ssh-mux accepts no channels from the remote");
	if (r != 0)
		link_fail(l, r, NULL);
}

static int on_global_reply(struct link *l, struct smx_conn_event *ev)
{
	return remote_forward_reply(l->owner, ev) || rotate_reply(l->owner, ev);
}

/* Keepalives of the server are answered here as any request that we don't know: by a failure. */
static void on_global(struct link *l, struct smx_conn_event *ev)
{
	int r;

	if (smx_view_eq(ev->kind, SMX_HOSTKEYS_KIND))
		rotate_listed(l->owner, ev->data);
	if (ev->want_reply && (r = smx_conn_answer_global(&l->conn, ev->number, 0, 0, 0)) != 0)
		link_fail(l, r, NULL);
}

int upstream_is_failed_login(const struct upstream *up)
{
	if (up->state < UPSTREAM_READY)
		return 1;
	return up->state == UPSTREAM_READY && up->n_opened == 0 && !up->link->is_carrier_lost &&
	       up->link->dead != SMX_EKEEPALIVE && up->link->dead != SMX_ECANCELLED &&
	       mux_now(up->entry->mux) - up->ready_ms < YOUNG_MS;
}

static void free_upstream(struct upstream *up)
{
	smx_buf_release(&up->early.kind);
	smx_buf_release(&up->early.specific);
	smx_routes_unref(up->routes);
	smx_free(up);
}

/* Keys, and what known_hosts said, are for the login only. */
static void forget_login(struct upstream *up)
{
	login_free(up->login);
	up->login = NULL;
	prepared_free(up->prepared);
	up->prepared = NULL;
}

static void on_dead(struct link *l, int r, const char *why)
{
	struct upstream *up = l->owner;
	struct mux_ids ids = ids_of_upstream(up);
	char text[600];

	if (r == SMX_ENEGOTIATION)
		upstream_explain_lack(up);
	if (up->state < UPSTREAM_READY && up->login)
		login_note_failure(up->login, &up->failure);
	up->has_failed = upstream_is_failed_login(up);
	if (up->state < UPSTREAM_READY && early_is_to_blame(up, r)) {
		/* B13: it may be a server that takes one message at a time. Once more, like that;
		 * but a person who has answered or was reached is not asked again unawares. */
		early_avoid(up);
		if (!up->login || login_may_go_again(up->login))
			up->has_failed = 0;
	}
	if (up->state == UPSTREAM_READY && up->has_failed)
		(void)snprintf(text, sizeof(text),
			"the server took the login and ended the connection before the first "
			"channel: %.400s",
			why);
	else
		(void)snprintf(text, sizeof(text), "%s", up->cause[0] ? up->cause : why);
	say_info(&ids, "%s %s@%s port %u ended: %s",
		up->state < UPSTREAM_READY ? "login to" : "connection to", up->hop->user,
		up->hop->host, up->hop->port, text);
	if (r == SMX_ENOMEM)
		up->failure.kind = ATTEMPT_NONE;
	remote_forward_upstream_gone(up, text);
	prepare_cancel(up->prepare);
	dial_cancel(up->dial);
	hostkey_ask_cancel(up->host_key);
	rotate_cancel(up->rotate);
	forget_login(up);
	up->link = NULL;
	if (up->has_tunnel_req) {
		/* The tunnel's request is a part of us: its release frees us. */
		pool_upstream_gone(up->entry, up, text);
		up->entry = NULL;
		pool_cancel(&up->tunnel_req);
		return;
	}
	pool_upstream_gone(up->entry, up, text);
	free_upstream(up);
}

static const struct link_ops upstream_link_ops = { on_host_key, on_ready, on_auth, on_open, on_dead,
	"conn", on_life, on_global, on_global_reply };

/* --- the carrier --- */

static int start_link(struct upstream *up, uv_tcp_t *tcp, struct carrier *carrier)
{
	struct smx_transport_config config = {
		.role = SMX_CLIENT,
		.pool = &up->entry->mux->core.pool,
		.software = MUX_SOFTWARE,
	};
	struct smx_buf algs, macs;
	int r;

	smx_buf_init(&algs, HOST_KEY_ALGS_MAX);
	smx_buf_init(&macs, HOST_KEY_ALGS_MAX);
	if ((r = hostkey_algs(up->prepared, up->hop, &algs)) == 0 &&
		(r = smx_algorithms_macs(up->hop->algorithms, &macs)) == 0) {
		config.host_key_algs = smx_buf_cstr(&algs);
		config.macs = smx_buf_cstr(&macs);
		early_guess(up, &config);
		up->state = UPSTREAM_LOGIN;
		up->failure.kind = ATTEMPT_NETWORK; /* until the server speaks of the login */
		r = tcp ? link_start_tcp(up->link, tcp, &config)
			: link_start_carrier(up->link, carrier, &config);
		tcp = NULL;
	}
	smx_buf_release(&algs);
	smx_buf_release(&macs);
	if (tcp) {
		/* Nobody took it: let the link close it. */
		up->link->tcp = tcp;
		tcp->data = up->link;
	}
	if (carrier)
		up->link->carrier = carrier; /* in any case: the link detaches it */
	if (r != 0)
		return r;
	up->login = login_new(up->entry, up->link, up->hop, up->prepared, on_login, on_sure, up);
	return up->login ? 0 : SMX_ENOMEM;
}

static void on_dialled(void *arg, int r, uv_tcp_t *tcp, const char *why)
{
	struct upstream *up = arg;
	struct mux *m = up->entry->mux;

	up->dial = NULL;
	up->carried_ms = mux_now(m);
	if (r != 0) {
		(void)snprintf(up->cause, sizeof(up->cause), "can't connect to %s port %u: %s",
			up->hop->host, up->hop->port, why);
		up->failure.kind = ATTEMPT_NETWORK;
		fail(up, r, up->cause);
	} else if ((r = start_link(up, tcp, NULL)) != 0) {
		fail(up, r, NULL);
	}
}

static void on_tunnel_opened(struct open_req *req, struct upstream *jump, struct smx_chan *chan,
	struct smx_view specific)
{
	struct upstream *up = SMX_CONTAINER(req, struct upstream, tunnel_req);
	struct tunnel *tunnel = tunnel_new(jump->link, chan);
	int r = SMX_ENOMEM;

	(void)specific;
	up->carried_ms = core_now(up->link->core);
	up->has_tunnel_req = 0;
	open_req_release(req);
	if (tunnel) {
		tunnel->carrier.inner = up->link;
		r = start_link(up, NULL, &tunnel->carrier);
	} else if (smx_conn_send_close(&jump->link->conn, chan) != 0) {
		link_fail(jump->link, SMX_ENOMEM, NULL);
	}
	if (r != 0)
		fail(up, r, NULL);
}

static void on_tunnel_failed(struct open_req *req, uint32_t code, const char *text)
{
	struct upstream *up = SMX_CONTAINER(req, struct upstream, tunnel_req);

	(void)code;
	up->has_tunnel_req = 0;
	open_req_release(req);
	(void)snprintf(up->cause, sizeof(up->cause), "through the jump host: %s", text);
	/* What the jump host's own login suffers from is remembered there. */
	up->failure.kind = req->was_refused ? ATTEMPT_NETWORK : ATTEMPT_NONE;
	fail(up, SMX_EREFUSED, up->cause);
}

/* The upstream died while its tunnel was being opened. */
static void on_tunnel_released(struct open_req *req)
{
	struct upstream *up = SMX_CONTAINER(req, struct upstream, tunnel_req);

	open_req_release(req);
	free_upstream(up);
}

static int open_tunnel(struct upstream *up)
{
	struct pool_entry *e = up->entry;
	struct smx_view kind = smx_view_of("direct-tcpip", 12);
	struct smx_buf b;
	int r;

	smx_buf_init(&b, 1024);
	if ((r = smx_put_cstr(&b, up->hop->host)) == 0 &&
		(r = smx_put_u32(&b, up->hop->port)) == 0 &&
		(r = smx_put_cstr(&b, "127.0.0.1")) == 0 && (r = smx_put_u32(&b, 0)) == 0)
		r = open_req_init(&up->tunnel_req, 0, kind, smx_buf_as_view(&b), TUNNEL_WINDOW);
	smx_buf_release(&b);
	if (r != 0)
		return r;
	up->tunnel_req.opened = on_tunnel_opened;
	up->tunnel_req.failed = on_tunnel_failed;
	up->tunnel_req.released = on_tunnel_released;
	up->tunnel_req.for_entry = e;
	up->tunnel_req.renew = up->is_renewal && ending_is_jump_old(e);
	up->has_tunnel_req = 1;
	pool_open(e->mux, e->routes, e->route, e->n_hops - 1, &up->tunnel_req);
	return 0;
}

/* --- a program (R7) --- */

/* What it writes to stderr: into the log, and to those who wait for its login. */
static void on_said(void *arg, const char *line)
{
	struct upstream *up = arg;
	struct mux_ids ids = ids_of_upstream(up);
	char text[SAID_MAX];

	say_info(&ids, "transport %s: %s", up->hop->transport[0], line);
	if (up->state == UPSTREAM_READY)
		return;
	(void)snprintf(text, sizeof(text), "%.80s: %.900s", up->hop->transport[0], line);
	pool_tell(up->entry, text);
}

static int start_program(struct upstream *up)
{
	struct program *program;
	int r = program_new(
		up->entry->mux, up->hop, on_said, up, &program, up->cause, sizeof(up->cause));

	up->carried_ms = mux_now(up->entry->mux);
	if (r != 0)
		return r;
	up->cause[0] = '\0';
	program_carrier(program)->inner = up->link;
	up->link->pace.is_program = 1;
	return start_link(up, NULL, program_carrier(program));
}

static void on_prepared(void *arg, struct prepared *result)
{
	struct upstream *up = arg;
	struct mux_ids ids = ids_of_upstream(up);
	int r = result->r;

	say_info(&ids, "logging in to %s@%s port %u", up->hop->user, up->hop->host, up->hop->port);
	up->prepare = NULL;
	up->prepared = result;
	up->failure.inputs = result->inputs;
	up->state = UPSTREAM_DIALLING;
	if (r != 0) {
		(void)snprintf(up->cause, sizeof(up->cause), "%s",
			smx_buf_cstr(&result->notes) && smx_buf_len(&result->notes)
				? smx_buf_cstr(&result->notes)
				: smx_strerror(r));
	} else if (is_behind_jump(up)) {
		r = open_tunnel(up);
	} else if (up->hop->n_transport) {
		up->failure.kind = ATTEMPT_NETWORK;
		r = start_program(up);
	} else {
		up->dial = dial_start(
			up->entry->mux->core.loop, up->hop->host, up->hop->port, on_dialled, up);
		r = up->dial ? 0 : SMX_ENOMEM;
	}
	if (r != 0)
		fail(up, r, up->cause[0] ? up->cause : NULL);
}

static const struct endpoint_ops orphan_ops;

struct upstream *upstream_new(struct pool_entry *e)
{
	struct upstream *up = smx_calloc(1, sizeof(*up));

	if (!up)
		return NULL;
	up->entry = e;
	up->routes = smx_routes_ref(e->routes);
	up->hop = &e->hops[e->n_hops - 1];
	up->born_ms = up->idle_since_ms = mux_now(e->mux);
	up->deadline_ms = up->born_ms + LOGIN_TIMEOUT_MS;
	up->link = link_new(&e->mux->core, &upstream_link_ops, up);
	for (int i = 0; i < 2; i++)
		up->orphans[i] = (struct endpoint){ &orphan_ops, up->link, NULL, i };
	spares_init(up);
	smx_buf_init(&up->early.kind, OPEN_KIND_MAX);
	smx_buf_init(&up->early.specific, OPEN_SPECIFIC_MAX);
	smx_list_init(&up->forwards);
	smx_list_init(&up->lenders);
	if (up->link)
		upstream_life_init(up);
	if (up->link && (up->prepare = prepare_start(e->mux, up->hop, on_prepared, up))) {
		smx_list_add_tail(&e->upstreams, &up->node);
		return up;
	}
	if (up->link)
		link_discard(up->link);
	free_upstream(up);
	return NULL;
}

/* --- channels --- */

unsigned upstream_channels(const struct upstream *up)
{
	return up->link ? up->link->conn.n_chans : 0;
}

static int is_orphan(const struct upstream *up, const struct smx_chan *chan)
{
	return chan->user == &up->orphans[0] || chan->user == &up->orphans[1];
}

int upstream_is_used(const struct upstream *up)
{
	const struct smx_conn *conn = &up->link->conn;

	/* A channel we have closed is nobody's, though the remote's command may go on for days; nor
	 * is one whose open nobody awaits, or a spare (B12). */
	for (uint32_t i = 0; i < conn->n_slots; i++)
		if (conn->chans[i] && !conn->chans[i]->close_sent &&
			!is_orphan(up, conn->chans[i]) && !spares_is_one(conn->chans[i]))
			return 1;
	return remote_forward_is_used(up);
}

unsigned upstream_sessions(const struct upstream *up, unsigned *ret_open)
{
	const struct smx_conn *conn = &up->link->conn;
	const struct endpoint *ep;
	unsigned n = 0, n_open = 0;

	for (uint32_t i = 0; i < conn->n_slots; i++) {
		ep = conn->chans[i] ? conn->chans[i]->user : NULL;
		if (!ep || !ep->is_session)
			continue;
		n++;
		n_open += conn->chans[i]->state == SMX_CHAN_OPEN;
	}
	if (ret_open)
		*ret_open = n_open;
	return n;
}

void upstream_note_given(struct upstream *up, int is_session)
{
	if (!up->is_known_good)
		holdback_succeeded(up->entry);
	up->is_known_good = 1;
	up->n_opened++;
	if (is_session) {
		up->n_sessions++;
		up->n_refused = 0;
	}
}

void upstream_give(
	struct upstream *up, struct open_req *req, struct smx_chan *chan, struct smx_view specific)
{
	struct link *l = up->link;
	int r = 0;

	upstream_note_given(up, req->is_session);
	up->idle_since_ms = core_now(l->core); /* P2: the next tick may come after its end */
	/* A spare was opened with less than its session's client grants. */
	if (chan->recv_window < req->recv_window)
		r = smx_conn_grant(&l->conn, chan, req->recv_window - chan->recv_window);
	if (r != 0)
		link_fail(l, r, NULL);
	if (req->is_session)
		spares_given(up);
	req->opened(req, up, chan, specific);
	spares_fill(up);
}

static void req_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	struct open_req *req = SMX_CONTAINER(ep, struct open_req, ep);
	struct upstream *up = req->up;
	struct smx_chan *chan = ev->chan;
	char text[256];
	size_t n;

	if (ev->type != SMX_CONN_OPEN_CONFIRM && ev->type != SMX_CONN_OPEN_FAIL)
		return;
	ep->chan = NULL;
	chan->user = NULL;
	req->up = NULL;
	up->n_pending--;
	if (!up->is_probed)
		up->is_probed = up->link->owes_probe = 1;
	if (ev->type == SMX_CONN_OPEN_CONFIRM) {
		upstream_give(up, req, chan, ev->data);
		return;
	}
	req->was_refused = 1;
	if (req->is_crowded && !ev->broken) {
		/* It may have counted a spare of ours that was being closed (B12). */
		req->was_crowded = 1;
		req->n_tries--;
		pool_again(req);
		return;
	}
	/* A peer that talks nonsense would do so after another login, too. */
	if (req->is_session && !ev->broken && pool_session_refused(req->entry, up, req))
		return;
	n = ev->data.len < sizeof(text) - 1 ? ev->data.len : sizeof(text) - 1;
	if (n)
		memcpy(text, ev->data.p, n);
	text[n] = '\0';
	if (ev->broken)
		(void)snprintf(text, sizeof(text), "%.100s broke the protocol: %.100s",
			up->hop->host, smx_strerror(ev->broken));
	else if (n == 0)
		(void)snprintf(text, sizeof(text),
			"%.100s refused the channel and gave no reason (code %u)", up->hop->host,
			(unsigned)ev->code);
	req->failed(req, ev->code, text);
}

/* Nothing was begun on the connection it was sent on: another may serve. */
void upstream_try_elsewhere(struct open_req *req, const char *why)
{
	if (req->n_tries < OPEN_TRIES_MAX && req->entry)
		smx_list_add_tail(&req->entry->waiting, &req->node);
	else
		req->failed(req, SMX_OPEN_CONNECT_FAILED, why);
}

static void req_link_dead(struct endpoint *ep, int r, const char *why)
{
	struct open_req *req = SMX_CONTAINER(ep, struct open_req, ep);

	(void)r;
	req->up = NULL;
	upstream_try_elsewhere(req, why);
}

static const struct endpoint_ops req_ops = { req_event, req_link_dead };

/* An open can't be taken back in SSH: its answer is awaited, and the channel closed then (P6). */
static void orphan_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	int r;

	switch (ev->type) {
	case SMX_CONN_OPEN_CONFIRM:
		upstream_note_given(ep->link->owner, ep->is_session);
		if ((r = smx_conn_send_close(&ep->link->conn, ev->chan)) != 0)
			link_fail(ep->link, r, NULL);
		return;
	case SMX_CONN_OPEN_FAIL:
	case SMX_CONN_CLOSE:
		ev->chan->user = NULL;
		return;
	default:
		return;
	}
}

static void orphan_link_dead(struct endpoint *ep, int r, const char *why)
{
	(void)ep;
	(void)r;
	(void)why;
}

static const struct endpoint_ops orphan_ops = { orphan_event, orphan_link_dead };

void upstream_abandon(struct open_req *req)
{
	struct upstream *up = req->up;

	if (spares_forget(up, req))
		return;
	req->ep.chan->user = &up->orphans[req->is_session != 0];
	req->ep.chan = NULL;
	req->up = NULL;
	up->n_pending--;
}

void upstream_withdraw(struct upstream *up)
{
	const struct smx_conn *conn = &up->link->conn;
	char why[UPSTREAM_TEXT_SIZE];
	struct endpoint *ep;
	struct open_req *req;

	upstream_stalled_text(up, why, sizeof(why));
	while ((req = spares_first_waiting(up))) {
		(void)spares_forget(up, req);
		upstream_try_elsewhere(req, why);
	}
	for (uint32_t i = 0; up->n_pending && i < conn->n_slots; i++) {
		ep = conn->chans[i] ? conn->chans[i]->user : NULL;
		if (!ep || ep->ops != &req_ops)
			continue;
		req = SMX_CONTAINER(ep, struct open_req, ep);
		upstream_abandon(req);
		upstream_try_elsewhere(req, why);
	}
}

void upstream_open(struct upstream *up, struct open_req *req)
{
	struct link *l = up->link;
	struct smx_chan *chan;
	int r;

	if (smx_transport_tx_len(l->t) > OPEN_BACKLOG_MAX) {
		req->failed(req, SMX_OPEN_RESOURCE_SHORTAGE, "the connection is too busy");
		return;
	}
	if (req->is_session && spares_serve(up, req))
		return;
	chan = early_take(up, req);
	r = chan ? 0
		 : smx_conn_open(&l->conn, smx_buf_as_view(&req->kind),
			   smx_buf_as_view(&req->specific), req->recv_window, &chan);
	if (r != 0) {
		if (r != SMX_ELIMIT)
			link_fail(l, r, NULL);
		req->failed(req, SMX_OPEN_RESOURCE_SHORTAGE,
			r == SMX_ELIMIT ? "too many channels on the connection" : smx_strerror(r));
		return;
	}
	req->ep = (struct endpoint){ &req_ops, l, chan, req->is_session };
	req->up = up;
	req->n_tries++;
	req->is_crowded = req->is_session && !req->was_crowded && up->spares.n_leaving > 0;
	req->sent_ms = core_now(l->core);
	up->n_pending++;
	chan->user = &req->ep;
	/* B11: any sign of life after this clears the doubt. */
	upstream_suspect(up, 0);
	link_touch(l);
}

/* --- time --- */

void upstream_close(struct upstream *up, int r, const char *why)
{
	up->state = UPSTREAM_CLOSING;
	link_disconnect(up->link, SMX_DISCONNECT_BY_APPLICATION, r, why);
}

/* Wrong answers count, though who gave them has left. */
static void note_abandoned(struct upstream *up)
{
	if (up->login)
		login_note_failure(up->login, &up->failure);
	if (up->failure.n_wrong)
		holdback_failed(up->entry, up, "the answers were refused by the server");
}

/*
 * A12: as long as the server lets the authentication stand open (somebody may have to open a page,
 * or to push a button), the time is its own: it has a limit too. One that says nothing at all for
 * as long as a connection may be silent has gone.
 */
static int is_servers_turn(const struct upstream *up, uint64_t now)
{
	return up->login && login_is_with_server(up->login) && pool_is_wanted(up->entry) &&
	       smx_live_silence(&up->link->live, now) < up->link->rules.dead_ms;
}

void upstream_tick(struct upstream *up)
{
	const struct smx_serve_options *opts = up->entry->mux->opts;
	uint64_t now = mux_now(up->entry->mux);

	if (up->link->dead)
		return;
	if (up->state < UPSTREAM_READY) {
		int is_asking = (up->login && login_is_asking(up->login)) ||
				(up->host_key && hostkey_ask_is_waiting(up->host_key));

		/* A6: a question whose askers have all gone is void. And neither a person who is
		 * asked, nor the jump host's own login, counts. */
		if (is_asking && !pool_is_wanted(up->entry)) {
			note_abandoned(up);
			upstream_close(up, SMX_ECANCELLED, "nobody waits for it any more");
		} else if (is_asking || (up->has_tunnel_req && !up->tunnel_req.up) ||
			   is_servers_turn(up, now))
			up->deadline_ms = now + LOGIN_TIMEOUT_MS;
		else if (now >= up->deadline_ms)
			fail(up, SMX_ETIMEOUT, "the login took too long");
		else
			upstream_watch_login(up);
		return;
	}
	if (up->login)
		forget_login(up);
	if (!up->is_known_good && now - up->ready_ms >= YOUNG_MS) {
		holdback_succeeded(up->entry);
		up->is_known_good = 1;
	}
	if (now - up->ready_ms >= FIRST_PROBE_MS && (!up->is_probed || up->link->owes_probe)) {
		up->is_probed = 1;
		link_probe(up->link);
	}
	if (upstream_life_tick(up))
		return;
	if (opts->max_lifetime_s && now - up->born_ms >= (uint64_t)opts->max_lifetime_s * 1000) {
		upstream_close(up, SMX_ECANCELLED, "its maximum lifetime (--max-lifetime) is over");
		return;
	}
	ending_tick(up);
	spares_tick(up);
	agent_forward_tick(up);
	if (upstream_is_used(up)) {
		up->idle_since_ms = now;
	} else if (up->is_draining) {
		upstream_close(up, SMX_ECANCELLED, "a fresh login has taken its place");
		return;
	} else if (up->is_used_up && !up->entry->needs_person) {
		upstream_close(up, SMX_ECANCELLED, "the server gives no more sessions on it");
		return;
	} else if (up->entry->is_stray) {
		upstream_close(up, SMX_ECANCELLED, "no route leads there any more");
		return;
	} else if (now - up->idle_since_ms >= (uint64_t)opts->idle_timeout_s * 1000) {
		upstream_close(up, SMX_ECANCELLED, "it was idle for as long as --timeout allows");
		return;
	}
}
