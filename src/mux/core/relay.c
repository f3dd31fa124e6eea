/* SPDX-License-Identifier: MIT */
#include "mux/core/relay.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/policy.h"
#include "mux/core/say.h"
#include "mux/pool/upstream.h"

#define REPLY_REFUSED UINT8_MAX /* ours; no smx_request_kind */
#define NAME_SIZE     (SMX_REQUEST_NAME_MAX + 1) /* of a request, in a log line */
#define LOST_STATUS   255 /* as ssh itself ends when its connection is lost */

static struct mux_ids ids_of(const struct relay *rl)
{
	return (struct mux_ids){ rl->conn, rl->id, rl->client, rl->route->name };
}

/* It waits no more: what was asked for may be some KiB. */
static void forget_open(struct relay *rl)
{
	open_req_release(&rl->req);
	share_drop(rl->up.window.share, rl->req_cost);
	rl->req_cost = 0;
}

static void relay_free(struct relay *rl)
{
	struct mux_ids ids = ids_of(rl);

	if (rl->is_open)
		say_debug(&ids, "channel closed: %llu bytes sent, %llu received",
			(unsigned long long)rl->up.bytes, (unsigned long long)rl->down.bytes);
	agent_lend_no_more(&rl->lender);
	forget_open(rl);
	flow_release(&rl->up);
	flow_release(&rl->down);
	smx_routes_unref(rl->routes);
	smx_free(rl);
}

/* Both channels are gone. */
static void free_if_over(struct relay *rl)
{
	if (rl->is_open && !rl->local.chan && !rl->remote.chan)
		relay_free(rl);
}

static void failed(struct link *l, int r)
{
	if (r != 0)
		link_fail(l, r, NULL);
	link_touch(l);
}

/* --- requests and their answers --- */

/* Notes whose answer is due next. 0 if one side asked too often without waiting. */
static int note_reply(struct replies *q, uint8_t kind)
{
	if (q->n == RELAY_REPLIES_MAX)
		return 0;
	q->kind[(q->first + q->n++) % RELAY_REPLIES_MAX] = kind;
	return 1;
}

/* Sends the refusals that are next in line. */
static void send_refusals(struct endpoint *asker, struct replies *q)
{
	while (q->n && q->kind[q->first] == REPLY_REFUSED) {
		q->first = (q->first + 1) % RELAY_REPLIES_MAX;
		q->n--;
		if (asker->chan)
			failed(asker->link,
				smx_conn_send_reply(&asker->link->conn, asker->chan, 0));
	}
}

/* One channel whose answers don't come (its client is stopped, say) is the end of that channel. */
static void asked_too_often(const struct relay *rl, struct endpoint *asker)
{
	struct mux_ids ids = ids_of(rl);

	if (asker->chan->close_sent)
		return;
	say_warn(&ids, "a channel was closed: more than %d requests without an answer",
		RELAY_REPLIES_MAX);
	failed(asker->link, smx_conn_send_close(&asker->link->conn, asker->chan));
}

static void refuse(
	const struct relay *rl, struct endpoint *asker, struct replies *q, int want_reply)
{
	if (!want_reply)
		return;
	if (!note_reply(q, REPLY_REFUSED)) {
		asked_too_often(rl, asker);
		return;
	}
	send_refusals(asker, q);
}

/* The other side answered a request of asker's: answers go back in the order of the requests. */
static void pass_reply(struct endpoint *asker, struct replies *q, int success)
{
	if (q->n == 0)
		return; /* conn has checked it; the asker may have closed meanwhile */
	q->first = (q->first + 1) % RELAY_REPLIES_MAX;
	q->n--;
	if (asker->chan)
		failed(asker->link, smx_conn_send_reply(&asker->link->conn, asker->chan, success));
	send_refusals(asker, q);
}

/* Whether the other side is sure to survive it: its limits are not ours. */
static int fits(const struct link *l, const struct smx_conn_event *ev, const struct smx_fields *f)
{
	return ev->payload.len <= smx_transport_payload_max(l->t) &&
	       f->longest <= smx_transport_string_max(l->t);
}

/* Returns whether it passed. */
static int pass_request(const struct relay *rl, struct endpoint *asker, struct replies *q,
	struct flow *f, struct smx_conn_event *ev, enum smx_request_kind kind,
	const struct smx_fields *fields)
{
	struct mux_ids ids = ids_of(rl);

	if (f->out->chan && !fits(f->out->link, ev, fields)) {
		/* More than a peer has to take: it would be the end of its connection. */
		say_warn(&ids,
			"a request of %zu bytes was refused: more than the other side need take",
			ev->payload.len);
		refuse(rl, asker, q, ev->want_reply);
		return 0;
	}
	if (ev->want_reply && !note_reply(q, (uint8_t)kind)) {
		asked_too_often(rl, asker);
		return 0;
	}
	flow_request(f, ev, smx_request_is_urgent(kind));
	return 1;
}

/* Closes the remote's channel at once: nobody is left to take or send anything. */
static void close_remote(struct relay *rl)
{
	agent_lend_no_more(&rl->lender);
	flow_clear(&rl->up);
	if (rl->remote.chan && !rl->remote.link->dead)
		failed(rl->remote.link,
			smx_conn_send_close(&rl->remote.link->conn, rl->remote.chan));
}

/* U1: what would end a connection ends the channel that it came on. */
static void end_over_request(
	struct relay *rl, const char *who, const struct smx_conn_event *ev, const char *why)
{
	struct mux_ids ids = ids_of(rl);
	char name[NAME_SIZE], text[300];

	smx_sanitize((const char *)ev->kind.p, ev->kind.len, name, sizeof(name));
	say_warn(&ids,
		"a channel was closed: the %s sent a request \"%s\" that can't be passed on: %s",
		who, name, why);
	rl->is_ended = 1;
	close_remote(rl);
	/* One that was closed by its side is answered when the other side closes. */
	if (!rl->local.chan || rl->local.chan->close_received)
		return;
	if (rl->is_session) {
		(void)snprintf(text, sizeof(text),
			"ssh-mux: the %s sent a request \"%s\" that can't be passed on: %s; the "
			"channel was closed\r\n",
			who, name, why);
		flow_message(&rl->down, text);
	}
	flow_close(&rl->down);
}

/* B4: before the server is asked to take it. NULL, or why it is refused. */
static const char *lend_agent(struct relay *rl)
{
	const struct endpoint *remote = &rl->remote;

	if (!rl->is_session || !rl->route->agent.is_allowed)
		return "agent_forward of the route does not allow it";
	if (!remote->chan || remote->link->dead)
		return "the connection is gone";
	if (agent_lend(&rl->lender, remote->link->owner, rl->route, rl->local.link, NULL,
		    rl->req.asker) != 0)
		return smx_strerror(SMX_ENOMEM);
	rl->lender.client_id = rl->client;
	return NULL;
}

static void local_request(struct relay *rl, struct smx_conn_event *ev)
{
	struct smx_fields fields = { .why = NULL };
	struct mux_ids ids = ids_of(rl);
	enum smx_request_kind kind;
	enum smx_verdict verdict;

	if (rl->is_ended)
		return;
	verdict = smx_request_of_client(&rl->order, ev->kind, ev->data, &kind, &fields);
	if (verdict == SMX_VERDICT_PASS && kind == SMX_REQUEST_ENV &&
		!smx_policy_env_ok(rl->route, fields.s[0])) {
		verdict = SMX_VERDICT_REFUSE;
		fields.why = "the name is not on the list"; /* L8 */
	}
	if (verdict == SMX_VERDICT_PASS && kind == SMX_REQUEST_AGENT &&
		(fields.why = lend_agent(rl)) != NULL)
		verdict = SMX_VERDICT_REFUSE;
	if (verdict != SMX_VERDICT_PASS) {
		say_debug(&ids, "a request was refused: %s", fields.why);
		refuse(rl, &rl->local, &rl->local_replies, ev->want_reply);
		if (verdict == SMX_VERDICT_END)
			end_over_request(rl, "client", ev, fields.why);
		return;
	}
	if (kind == SMX_REQUEST_PTY)
		rl->up.is_terminal = rl->down.is_terminal = 1;
	if (pass_request(rl, &rl->local, &rl->local_replies, &rl->up, ev, kind, &fields))
		smx_request_passed(&rl->order, kind, ev->want_reply);
}

static void remote_request(struct relay *rl, struct smx_conn_event *ev)
{
	struct smx_fields fields = { .why = NULL };
	struct mux_ids ids = ids_of(rl);
	enum smx_request_kind kind;
	enum smx_verdict verdict;

	if (rl->is_ended)
		return;
	verdict = smx_request_of_server(ev->kind, ev->data, &kind, &fields);
	if (verdict == SMX_VERDICT_PASS) {
		rl->has_status |= kind == SMX_REQUEST_EXIT_STATUS;
		(void)pass_request(
			rl, &rl->remote, &rl->remote_replies, &rl->down, ev, kind, &fields);
		return;
	}
	say_debug(&ids, "a request of the server was refused: %s", fields.why);
	refuse(rl, &rl->remote, &rl->remote_replies, ev->want_reply);
	if (verdict == SMX_VERDICT_END)
		end_over_request(rl, "server", ev, fields.why);
}

/* The answer of the remote to the client's next request that it got. */
static void remote_reply(struct relay *rl, int success)
{
	const struct replies *q = &rl->local_replies;

	if (q->n)
		smx_request_answered(&rl->order, (enum smx_request_kind)q->kind[q->first], success);
	pass_reply(&rl->local, &rl->local_replies, success);
}

/* --- what the remote asks for --- */

/* Unless it is gone meanwhile. */
static void refuse_remote(struct relay *rl, enum smx_open_failure reason, const char *text)
{
	struct endpoint *ep = &rl->remote;
	struct smx_chan *chan = ep->chan;

	if (!chan || ep->link->dead)
		return;
	chan->user = NULL;
	ep->chan = NULL;
	failed(ep->link, smx_conn_open_fail(&ep->link->conn, chan, reason, text));
}

/* The client takes the channel. */
static void accepted(struct relay *rl)
{
	struct smx_view none = { NULL, 0 };
	struct endpoint *ep = &rl->remote;
	struct mux_ids ids = ids_of(rl);

	rl->is_open = 1;
	say_debug(&ids, "channel opened by the remote: %s", rl->kind);
	if (!ep->chan || ep->link->dead)
		failed(rl->local.link, smx_conn_send_close(&rl->local.link->conn, rl->local.chan));
	else
		failed(ep->link, smx_conn_open_confirm(
					 &ep->link->conn, ep->chan, rl->down.window.first, none));
}

static void not_accepted(struct relay *rl, const struct smx_conn_event *ev)
{
	uint32_t code = ev->code;
	char clean[512];

	smx_sanitize((const char *)ev->data.p, ev->data.len, clean, sizeof(clean));
	if (code < SMX_OPEN_ADMINISTRATIVELY_PROHIBITED || code > SMX_OPEN_RESOURCE_SHORTAGE)
		code = SMX_OPEN_CONNECT_FAILED;
	rl->local.chan->user = NULL;
	rl->local.chan = NULL;
	refuse_remote(rl, (enum smx_open_failure)code, clean);
	relay_free(rl);
}

/* --- events of the client's channel --- */

static void local_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	struct relay *rl = SMX_CONTAINER(ep, struct relay, local);

	switch (ev->type) {
	case SMX_CONN_OPEN_CONFIRM:
		accepted(rl);
		break;
	case SMX_CONN_OPEN_FAIL:
		not_accepted(rl, ev);
		break;
	case SMX_CONN_DATA:
		flow_data(&rl->up, ev);
		break;
	case SMX_CONN_WINDOW:
		flow_resume(&rl->down);
		break;
	case SMX_CONN_EOF:
		flow_eof(&rl->up);
		break;
	case SMX_CONN_REQUEST:
		local_request(rl, ev);
		break;
	case SMX_CONN_REPLY:
		pass_reply(&rl->remote, &rl->remote_replies, ev->success);
		break;
	case SMX_CONN_CLOSE:
		agent_lend_no_more(&rl->lender);
		flow_requests_only(&rl->down);
		flow_close(&rl->up);
		/* A client that has all the output closes at once, and still wants the exit status:
		 * as a sshd would, we answer when the remote is done. */
		if (!ep->chan->close_sent && rl->remote.chan && !rl->remote.link->dead) {
			ev->keep = 1;
			break;
		}
		/* It broke a rule, or we had closed already: what it has sent before is nobody's,
		 * and may wait for a window that never comes. */
		close_remote(rl);
		ep->chan->user = NULL;
		ep->chan = NULL;
		free_if_over(rl);
		break;
	default:
		break;
	}
}

/* The remote is done: a client that has closed is answered, another is told in its turn. */
static void close_local(struct relay *rl)
{
	struct endpoint *ep = &rl->local;
	struct smx_chan *chan = ep->chan;

	if (!chan || !chan->close_received || ep->link->dead) {
		flow_close(&rl->down);
		return;
	}
	flow_requests_only(&rl->down);
	chan->user = NULL;
	ep->chan = NULL;
	failed(ep->link, smx_conn_finish(&ep->link->conn, chan));
}

static void local_link_dead(struct endpoint *ep, int r, const char *why)
{
	struct relay *rl = SMX_CONTAINER(ep, struct relay, local);

	(void)r;
	(void)why;
	agent_lend_no_more(&rl->lender);
	flow_clear(&rl->down);
	if (rl->is_from_remote && !rl->is_open) {
		refuse_remote(rl, SMX_OPEN_CONNECT_FAILED, "the client has gone");
		relay_free(rl);
		return;
	}
	if (!rl->is_open) {
		pool_cancel(&rl->req); /* frees, now or when the pending answer has come */
		return;
	}
	close_remote(rl);
	free_if_over(rl);
}

static const struct endpoint_ops local_ops = { local_event, local_link_dead };

/* --- events of the remote's channel --- */

/* A session ends before the remote has ended it. A status that came already (of the program, whose
 * output is on its way, or of a shell that left others behind) is not the whole truth any more. */
static void tell_loss(struct relay *rl, const char *text)
{
	if (!rl->local.chan || !rl->is_session)
		return;
	flow_message(&rl->down, text);
	if (rl->has_status && !rl->has_all)
		flow_exit_status(&rl->down, LOST_STATUS);
}

/* U2: the remote broke a rule of this channel, which costs the channel and nothing else. */
static void tell_broken(struct relay *rl, int r)
{
	char text[400];

	(void)snprintf(text, sizeof(text),
		"ssh-mux: channel closed: %.100s broke the protocol: %.100s\r\n",
		smx_route_target(rl->route)->host, smx_strerror(r));
	tell_loss(rl, text);
}

static void remote_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	struct relay *rl = SMX_CONTAINER(ep, struct relay, remote);
	struct mux *m = rl->mux;

	switch (ev->type) {
	case SMX_CONN_DATA:
		flow_data(&rl->down, ev);
		break;
	case SMX_CONN_WINDOW:
		flow_resume(&rl->up);
		break;
	case SMX_CONN_EOF:
		rl->has_all = 1;
		flow_eof(&rl->down);
		break;
	case SMX_CONN_REQUEST:
		remote_request(rl, ev);
		break;
	case SMX_CONN_REPLY:
		remote_reply(rl, ev->success);
		break;
	case SMX_CONN_CLOSE:
		if (ev->broken)
			tell_broken(rl, ev->broken);
		agent_lend_no_more(&rl->lender);
		ep->chan->user = NULL;
		ep->chan = NULL;
		flow_clear(&rl->up);
		close_local(rl);
		free_if_over(rl);
		pool_kick(m);
		break;
	default:
		break;
	}
}

static void remote_link_dead(struct endpoint *ep, int r, const char *why)
{
	struct relay *rl = SMX_CONTAINER(ep, struct relay, remote);
	char text[400];

	(void)r;
	if (!rl->is_open)
		return; /* the client's answer is awaited */
	agent_lend_no_more(&rl->lender);
	flow_clear(&rl->up);
	(void)snprintf(text, sizeof(text), "ssh-mux: connection to %.100s lost: %.240s\r\n",
		smx_route_target(rl->route)->host, why);
	tell_loss(rl, text);
	close_local(rl);
	free_if_over(rl);
}

static const struct endpoint_ops remote_ops = { remote_event, remote_link_dead };

const struct relay *relay_of_local(struct endpoint *ep)
{
	return ep->ops == &local_ops ? SMX_CONTAINER(ep, struct relay, local) : NULL;
}

/* --- the beginning --- */

/* A name that outlives the client's message, and says nothing a client could choose freely. */
static const char *kind_name(struct smx_view kind)
{
	static const char *const names[] = { "session", "direct-tcpip",
		"direct-streamlocal@openssh.com", "forwarded-tcpip",
		"forwarded-streamlocal@openssh.com" };

	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		if (smx_view_eq(kind, names[i]))
			return names[i];
	return "other";
}

static void on_opened(
	struct open_req *req, struct upstream *up, struct smx_chan *chan, struct smx_view specific)
{
	struct relay *rl = SMX_CONTAINER(req, struct relay, req);
	struct smx_view none = { NULL, 0 };
	struct mux_ids ids;
	int r;

	(void)specific; /* of the kinds that are relayed none has any: clients die of it */
	rl->is_open = 1;
	rl->conn = up->link->id;
	ids = ids_of(rl);
	say_debug(&ids, "channel opened: %s", rl->kind);
	forget_open(rl);
	rl->remote = (struct endpoint){ &remote_ops, up->link, chan, rl->is_session };
	chan->user = &rl->remote;
	r = smx_conn_open_confirm(&rl->local.link->conn, rl->local.chan, rl->up.window.first, none);
	failed(rl->local.link, r);
}

static void on_failed(struct open_req *req, uint32_t code, const char *text)
{
	struct relay *rl = SMX_CONTAINER(req, struct relay, req);
	struct link *l = rl->local.link;
	struct mux_ids ids = ids_of(rl);
	char clean[512];
	int r;

	smx_sanitize(text, strlen(text), clean, sizeof(clean));
	say_warn(&ids, "channel open rejected for route \"%s\": remote session failed: %s",
		rl->route->name, clean);
	rl->local.chan->user = NULL;
	if (code < SMX_OPEN_ADMINISTRATIVELY_PROHIBITED || code > SMX_OPEN_RESOURCE_SHORTAGE)
		code = SMX_OPEN_CONNECT_FAILED;
	r = smx_conn_open_fail(&l->conn, rl->local.chan, (enum smx_open_failure)code, clean);
	failed(l, r);
	relay_free(rl);
}

static void on_released(struct open_req *req)
{
	relay_free(SMX_CONTAINER(req, struct relay, req));
}

/* One that is not begun. SMX_ENOMEM, SMX_ELIMIT. */
static int new_relay(struct mux *m, struct link *local, struct smx_routes *routes,
	const struct smx_route *route, struct smx_view kind, struct smx_view specific,
	struct relay **ret)
{
	struct relay *rl = smx_calloc(1, sizeof(*rl));
	int r;

	if (!rl)
		return SMX_ENOMEM;
	rl->mux = m;
	rl->is_session = smx_view_eq(kind, "session");
	rl->kind = kind_name(kind);
	rl->id = ++m->core.next_id;
	rl->client = local->id;
	rl->born_ms = mux_now(m);
	flow_init(&rl->up, local->core, &local->share, &rl->local, &rl->remote);
	flow_init(&rl->down, local->core, &local->share, &rl->remote, &rl->local);
	r = open_req_init(&rl->req, rl->is_session, kind, specific, rl->down.window.first);
	rl->req_cost = sizeof(*rl) + rl->req.kind.cap + rl->req.specific.cap + 3 * SHARE_ALLOC_COST;
	if (r == 0 && (r = share_keep(&local->share, rl->req_cost)) != 0)
		open_req_release(&rl->req);
	if (r != 0) {
		flow_release(&rl->up);
		flow_release(&rl->down);
		smx_free(rl);
		return r;
	}
	rl->routes = smx_routes_ref(routes);
	rl->route = route;
	*ret = rl;
	return 0;
}

int relay_start(struct mux *m, struct link *local, struct asker *asker, struct smx_chan *chan,
	struct smx_routes *routes, const struct smx_route *route, struct smx_view kind,
	struct smx_view specific)
{
	struct relay *rl;
	int r = new_relay(m, local, routes, route, kind, specific, &rl);

	if (r != 0)
		return r;
	rl->req.opened = on_opened;
	rl->req.failed = on_failed;
	rl->req.released = on_released;
	rl->req.asker = asker;
	rl->local = (struct endpoint){ &local_ops, local, chan, rl->is_session };
	chan->user = &rl->local;
	pool_open(m, routes, route, route->n_hops, &rl->req);
	return 0;
}

int relay_accept(struct mux *m, struct link *local, struct link *remote, struct smx_chan *chan,
	struct smx_routes *routes, const struct smx_route *route, struct smx_view kind,
	struct smx_view specific)
{
	struct smx_chan *ours;
	struct relay *rl;
	int r = new_relay(m, local, routes, route, kind, specific, &rl);

	if (r != 0)
		return r;
	r = smx_conn_open(&local->conn, kind, specific, rl->up.window.first, &ours);
	if (r != 0) {
		relay_free(rl);
		return r;
	}
	forget_open(rl);
	rl->is_from_remote = 1;
	rl->conn = remote->id;
	rl->local = (struct endpoint){ &local_ops, local, ours, 0 };
	rl->remote = (struct endpoint){ &remote_ops, remote, chan, 0 };
	ours->user = &rl->local;
	chan->user = &rl->remote;
	link_touch(local);
	return 0;
}
