/* SPDX-License-Identifier: MIT */
#include "mux/pool/spare.h"

#include "base/err.h"
#include "base/log.h"
#include "mux/core/say.h"
#include "mux/pool/upstream.h"

/*
 * How old the last sign of life may be for a spare to be given at once, in round trips: what is
 * risked (the path has died, and the session hangs on it) is in proportion to what is saved.
 */
#define FRESH_ROUNDS    50
#define FRESH_LEAST_MS  250
#define FRESH_MOST_MS   2500
#define UNANSWERED_PART 5 /* of that, for a probe that is under way */
/* On a path for which it is worth it, a connection with spares is asked for signs of life. */
#define WARM_MS 1000
/* Of SMX_CHANNELS_MAX: the others are for who wants one now. */
#define CHANNELS_LEFT (SMX_CHANNELS_MAX / 2)

static const struct endpoint_ops spare_ops, leaving_ops;

/* --- which there are --- */

static int is_free(const struct spare *sp)
{
	return sp->ep.chan && !sp->req;
}

static int is_open(const struct spare *sp)
{
	return sp->ep.chan && sp->ep.chan->state == SMX_CHAN_OPEN;
}

unsigned spares_count(const struct upstream *up)
{
	unsigned n = 0;

	for (size_t i = 0; i < SPARES_MAX; i++)
		n += is_free(&up->spares.all[i]) != 0;
	return n;
}

unsigned spares_others(const struct upstream *up)
{
	return upstream_channels(up) - spares_count(up) - up->spares.n_leaving;
}

int spares_is_one(const struct smx_chan *chan)
{
	const struct endpoint *ep = chan->user;

	return ep && ((ep->ops == &spare_ops && !ep->is_session) || ep->ops == &leaving_ops);
}

struct open_req *spares_first_waiting(const struct upstream *up)
{
	for (size_t i = 0; i < SPARES_MAX; i++)
		if (up->spares.all[i].req)
			return up->spares.all[i].req;
	return NULL;
}

/* --- who waits for one --- */

static void wait_for(struct upstream *up, struct spare *sp, struct open_req *req)
{
	sp->req = req;
	sp->ep.is_session = 1; /* it counts as one from here on */
	req->up = up;
	req->n_tries++;
	req->sent_ms = core_now(up->link->core);
	up->n_pending++;
}

/* Returns who waited, or NULL. */
static struct open_req *stop_waiting(struct upstream *up, struct spare *sp)
{
	struct open_req *req = sp->req;

	sp->req = NULL;
	sp->ep.is_session = 0;
	if (!req)
		return NULL;
	req->up = NULL;
	up->n_pending--;
	return req;
}

int spares_forget(struct upstream *up, const struct open_req *req)
{
	for (size_t i = 0; i < SPARES_MAX; i++) {
		if (up->spares.all[i].req != req)
			continue;
		(void)stop_waiting(up, &up->spares.all[i]);
		return 1;
	}
	return 0;
}

/* It came to nothing: whoever waited for it asks again, as if there had never been one. */
static void ask_again(struct open_req *req)
{
	if (!req)
		return;
	req->n_tries--;
	pool_again(req);
}

/* --- from the server's side --- */

static void give(struct upstream *up, struct spare *sp, struct open_req *req)
{
	struct smx_chan *chan = sp->ep.chan;
	struct mux_ids ids = ids_of_upstream(up);

	(void)stop_waiting(up, sp);
	sp->ep.chan = NULL;
	chan->user = NULL;
	say_debug(&ids, "a session begins on a spare channel");
	upstream_give(up, req, chan, (struct smx_view){ NULL, 0 });
}

static void refused(struct upstream *up, const char *how)
{
	struct mux_ids ids = ids_of_upstream(up);

	if (!up->spares.is_refused)
		say_debug(&ids, "a spare channel was %s: no more of them here", how);
	up->spares.is_refused = 1;
}

/* Closes it, or has it closed when the server has answered: an open can't be taken back. */
static void dismiss(struct upstream *up, struct spare *sp)
{
	struct smx_chan *chan = sp->ep.chan;
	struct link *l = up->link;
	int r = 0;

	sp->ep.chan = NULL;
	chan->user = &up->spares.leaving;
	up->spares.n_leaving++;
	if (chan->state == SMX_CHAN_OPEN)
		r = smx_conn_send_close(&l->conn, chan);
	if (r != 0)
		link_fail(l, r, NULL);
	link_touch(l);
}

/* What a spare saves: the link's own figure may be of a moment in which the server was busy. */
static void measure(struct spares *s, uint64_t ms)
{
	if (!s->is_measured || ms < s->round_ms)
		s->round_ms = ms;
	s->is_measured = 1;
}

static void confirmed(struct upstream *up, struct spare *sp)
{
	struct mux_ids ids = ids_of_upstream(up);

	measure(&up->spares, core_now(up->link->core) - sp->since_ms);
	sp->since_ms = core_now(up->link->core);
	say_debug(&ids, "a spare channel is open");
	if (sp->req)
		give(up, sp, sp->req);
}

static void lost(struct upstream *up, struct spare *sp, const char *how)
{
	struct open_req *req = stop_waiting(up, sp);

	if (sp->ep.chan)
		sp->ep.chan->user = NULL;
	sp->ep.chan = NULL;
	refused(up, how);
	ask_again(req);
}

static void spare_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	struct spare *sp = SMX_CONTAINER(ep, struct spare, ep);
	struct upstream *up = ep->link->owner;
	struct open_req *req;
	int r = 0;

	switch (ev->type) {
	case SMX_CONN_OPEN_CONFIRM:
		confirmed(up, sp);
		break;
	case SMX_CONN_OPEN_FAIL:
		lost(up, sp, "refused");
		break;
	case SMX_CONN_CLOSE:
		/* It has no use for such channels, on no connection. */
		up->entry->has_closed_spare = 1;
		lost(up, sp, "closed by the server");
		break;
	case SMX_CONN_REQUEST:
		/* A keepalive of sshd's, maybe. */
		if (ev->want_reply)
			r = smx_conn_send_reply(&ep->link->conn, ep->chan, 0);
		break;
	case SMX_CONN_DATA:
	case SMX_CONN_EOF:
		/* Nobody has asked for anything: who gets it must not get this. */
		up->entry->has_closed_spare = 1;
		req = stop_waiting(up, sp);
		dismiss(up, sp);
		refused(up, "used by the server");
		ask_again(req);
		break;
	default:
		break; /* a window: the channel has it */
	}
	if (r != 0)
		link_fail(ep->link, r, NULL);
}

static void spare_link_dead(struct endpoint *ep, int r, const char *why)
{
	struct spare *sp = SMX_CONTAINER(ep, struct spare, ep);
	struct open_req *req = stop_waiting(ep->link->owner, sp);

	(void)r;
	if (req)
		upstream_try_elsewhere(req, why);
}

static const struct endpoint_ops spare_ops = { spare_event, spare_link_dead };

static void leaving_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	struct upstream *up = ep->link->owner;
	int r;

	switch (ev->type) {
	case SMX_CONN_OPEN_CONFIRM:
		if ((r = smx_conn_send_close(&ep->link->conn, ev->chan)) != 0)
			link_fail(ep->link, r, NULL);
		break;
	case SMX_CONN_OPEN_FAIL:
		refused(up, "refused");
		/* fall through */
	case SMX_CONN_CLOSE:
		ev->chan->user = NULL;
		up->spares.n_leaving--;
		break;
	default:
		break;
	}
}

static void leaving_link_dead(struct endpoint *ep, int r, const char *why)
{
	(void)ep;
	(void)r;
	(void)why;
}

static const struct endpoint_ops leaving_ops = { leaving_event, leaving_link_dead };

/* --- for a session --- */

/* How old the last sign of life may be. */
static uint64_t fresh_ms(const struct upstream *up)
{
	const struct spares *s = &up->spares;
	uint64_t ms = s->is_measured ? s->round_ms * FRESH_ROUNDS : 0;

	if (ms < FRESH_LEAST_MS)
		return FRESH_LEAST_MS;
	return ms < FRESH_MOST_MS ? ms : FRESH_MOST_MS;
}

/* Whether the path can be trusted without asking (B11). */
static int is_fresh(const struct upstream *up)
{
	const struct smx_live *lv = &up->link->live;
	uint64_t now = core_now(up->link->core), limit = fresh_ms(up);

	if (lv->doubt_ms > lv->life_ms || smx_live_silence(lv, now) >= limit)
		return 0;
	return lv->asked_ms <= lv->life_ms || now - lv->asked_ms < limit / UNANSWERED_PART;
}

/* The best for who comes now: one that is open, the youngest. */
static struct spare *pick(struct upstream *up)
{
	struct spare *best = NULL;

	for (size_t i = 0; i < SPARES_MAX; i++) {
		struct spare *sp = &up->spares.all[i];

		if (is_free(sp) &&
			(!best || is_open(sp) > is_open(best) ||
				(is_open(sp) == is_open(best) && sp->since_ms > best->since_ms)))
			best = sp;
	}
	return best;
}

int spares_serve(struct upstream *up, struct open_req *req)
{
	struct spare *sp = pick(up);
	int is_at_hand = sp && is_open(sp);

	if (!sp || req->recv_window < SPARE_WINDOW || smx_buf_len(&req->specific))
		return 0;
	/* Steady use: one at a time is not enough. */
	if (!is_at_hand)
		up->spares.n_wanted = SPARES_MAX;
	wait_for(up, sp, req);
	if (is_at_hand && is_fresh(up)) {
		upstream_suspect(up, 0);
		give(up, sp, req);
		return 1;
	}
	upstream_suspect(up, is_at_hand);
	link_touch(up->link);
	return 1;
}

void spares_alive(struct upstream *up)
{
	for (size_t i = 0; i < SPARES_MAX && !up->link->dead; i++) {
		struct spare *sp = &up->spares.all[i];

		if (sp->req && is_open(sp) && up->link->live.life_ms >= sp->req->sent_ms)
			give(up, sp, sp->req);
	}
}

void spares_given(struct upstream *up)
{
	up->spares.given_ms = core_now(up->link->core);
}

/* --- how many there are to be --- */

/*
 * Servers that are known to take it. Dropbear 2022.83 may abort when a command ends while another
 * session has been opened and has no command yet; what others do nobody has tried.
 */
static int is_known_server(const struct upstream *up)
{
	return smx_transport_is_openssh(up->link->t);
}

/* Whether the connection may have any. */
static int is_allowed(const struct upstream *up)
{
	const struct pool_entry *e = up->entry;
	const struct mux *m = e->mux;
	uint64_t lifetime_ms = (uint64_t)m->opts->max_lifetime_s * 1000;

	return e->hops[e->n_hops - 1].spare && !e->is_stray && !up->is_draining &&
	       !up->is_used_up && !m->is_locked && !m->core.is_stopping &&
	       (lifetime_ms == 0 || mux_now(m) - up->born_ms + SPARE_KEEP_MS < lifetime_ms);
}

/* Whether one more, next to n_free, takes no place that a session may want soon. */
static int has_place(const struct upstream *up, unsigned n_free)
{
	unsigned n_open, n = upstream_sessions(up, &n_open);
	unsigned max = up->sessions_max ? up->sessions_max : up->entry->session_limit;

	/* One that is refused must not be taken for the limit of one that is under way. */
	if (n != n_open || spares_first_waiting(up) || upstream_channels(up) >= CHANNELS_LEFT)
		return 0;
	return max == 0 || n + n_free + 1 < max;
}

/* Whether the link has nothing better to do. */
static int is_idle(const struct upstream *up)
{
	const struct link *l = up->link;

	return upstream_is_usable(up) && link_has_room(l) &&
	       (!l->is_paced || !pace_up_is_full(&l->pace));
}

static int ask_for(struct upstream *up, struct spare *sp)
{
	struct smx_view kind = smx_view_of("session", 7), none = { NULL, 0 };
	struct link *l = up->link;
	struct smx_chan *chan;
	int r = smx_conn_open(&l->conn, kind, none, SPARE_WINDOW, &chan);

	if (r == SMX_ELIMIT)
		return 0;
	if (r != 0) {
		link_fail(l, r, NULL);
		return 0;
	}
	*sp = (struct spare){ .ep = { &spare_ops, l, chan, 0 }, .since_ms = core_now(l->core) };
	chan->user = &sp->ep;
	link_touch(l);
	return 1;
}

void spares_fill(struct upstream *up)
{
	struct spares *s = &up->spares;
	uint64_t now = core_now(up->link->core);
	unsigned n = spares_count(up);

	if (up->link->dead || s->is_refused || up->entry->has_closed_spare || !s->given_ms ||
		now - s->given_ms >= SPARE_KEEP_MS || !is_known_server(up) || !is_allowed(up))
		return;
	for (size_t i = 0; i < SPARES_MAX && n < s->n_wanted; i++) {
		if (s->all[i].ep.chan)
			continue;
		if (!is_idle(up) || !has_place(up, n) || !ask_for(up, &s->all[i]))
			return;
		n++;
	}
}

void spares_close(struct upstream *up)
{
	for (size_t i = 0; i < SPARES_MAX && up->link && !up->link->dead; i++)
		if (is_free(&up->spares.all[i]))
			dismiss(up, &up->spares.all[i]);
}

/* Those that nobody has used for so long. */
static void expire(struct upstream *up)
{
	struct spares *s = &up->spares;

	for (size_t i = 0; i < SPARES_MAX && !up->link->dead; i++) {
		struct spare *sp = &s->all[i];

		if (!is_free(sp) || !is_open(sp) ||
			core_now(up->link->core) - sp->since_ms < SPARE_KEEP_MS)
			continue;
		dismiss(up, sp);
		s->n_wanted = 1;
	}
}

/* A spare is worth little on a path that has to be asked about first. */
static void keep_warm(struct upstream *up)
{
	struct link *l = up->link;

	if (spares_count(up) && fresh_ms(up) == FRESH_MOST_MS && upstream_is_usable(up) &&
		l->live.asked_ms <= l->live.life_ms &&
		smx_live_silence(&l->live, core_now(l->core)) >= WARM_MS)
		link_probe(l);
}

void spares_tick(struct upstream *up)
{
	if (up->state != UPSTREAM_READY || up->link->dead)
		return;
	spares_alive(up);
	if (is_allowed(up))
		expire(up);
	else
		spares_close(up);
	spares_fill(up);
	keep_warm(up);
}

void spares_init(struct upstream *up)
{
	up->spares.leaving = (struct endpoint){ &leaving_ops, up->link, NULL, 0 };
	up->spares.n_wanted = 1;
}
