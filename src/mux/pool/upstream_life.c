/* SPDX-License-Identifier: MIT */
/* The path of an upstream: whether it lives, and what becomes of who waits on it (P4, B11, U3, U4).
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "config/algorithms.h"
#include "mux/core/say.h"
#include "mux/net/tunnel.h"
#include "mux/pool/upstream.h"
#include "os/tcp.h"

#define KEEPALIVE_MS     (15 * 1000) /* P4 */
#define KEEPALIVE_MISSED 3
#define EAGER_MS         500 /* silence that is worth a probe when somebody waits */
#define DOUBT_MS         (5 * 1000) /* B11, U3 */
#define STALLED_REAP_MS  (25 * 1000) /* P4: within 30 s, if nobody is on it */
#define FIRST_BYTES_MS   500 /* what each step of a login has to show life */

void upstream_life_init(struct upstream *up)
{
	up->link->rules = (struct smx_live_rules){
		.probe_ms = KEEPALIVE_MS,
		.eager_ms = EAGER_MS,
		.stalled_ms = KEEPALIVE_MS * KEEPALIVE_MISSED,
		.doubt_ms = DOUBT_MS,
		.dead_ms = (uint64_t)up->hop->dead_after_s * 1000,
	};
	up->link->is_paced = up->hop->pace;
}

static const struct tunnel *tunnel_of(const struct upstream *up)
{
	const struct tunnel *t = tunnel_of_carrier(up->link->carrier);

	return t && t->ep.chan && !t->ep.link->dead ? t : NULL;
}

/* --- what others know of the path --- */

static void ask_tcp(struct link *l, struct smx_live_input *in)
{
	uint64_t now = core_now(l->core), taken = l->bytes_out - l->inflight_len;
	struct smx_os_tcp_acks acks;
	uv_os_fd_t fd;

	if (uv_fileno((uv_handle_t *)l->tcp, &fd) != 0)
		return;
	if (smx_os_tcp_acks((int64_t)(intptr_t)fd, &acks) != 0) {
		/* It tells nothing but the end, which it will. */
		smx_live_acked(&l->live, now);
		return;
	}
	in->is_undelivered = taken < l->probe_end + acks.unacked;
	if (acks.age_ms >= 0)
		smx_live_acked(&l->live, now - (uint64_t)acks.age_ms);
	else if (!in->is_undelivered)
		smx_live_acked(&l->live, now);
}

static struct smx_live_input input_of(const struct upstream *up)
{
	struct smx_live_input in = { .is_expected = up->n_pending > 0 };
	const struct tunnel *t = tunnel_of(up);
	struct link *l = up->link;

	if (l->live.probe_ms <= l->live.life_ms)
		return in; /* the last one was answered, or something else came */
	if (t) {
		in.is_undelivered = t->len > 0 || t->ep.link->live.state != SMX_LIVE_READY;
		smx_live_acked(&l->live, t->ep.link->live.life_ms);
	} else if (l->tcp) {
		ask_tcp(l, &in);
	} else if (up->hop->n_transport) {
		smx_live_acked(&l->live, core_now(l->core)); /* it tells nothing but its end */
	}
	return in;
}

/* --- doubt --- */

int upstream_is_usable(const struct upstream *up)
{
	const struct link *l = up->link;

	return up->state == UPSTREAM_READY && !l->dead &&
	       !smx_live_is_overdue(&l->live, &l->rules, core_now(l->core));
}

void upstream_suspect(struct upstream *up, int at_once)
{
	uint64_t now = core_now(up->link->core);
	struct link *l = up->link;
	const struct tunnel *t;

	if ((up->state != UPSTREAM_READY && up->state != UPSTREAM_STALLED) || l->dead)
		return;
	smx_live_doubt(&l->live, now);
	if ((at_once || smx_live_silence(&l->live, now) >= EAGER_MS) &&
		l->live.asked_ms <= l->live.life_ms)
		link_probe(l);
	/* The jump host's connection is part of the path: both are given up at once. */
	if ((t = tunnel_of(up)))
		upstream_suspect(t->ep.link->owner, 0);
}

void upstream_watch_login(struct upstream *up)
{
	const struct tunnel *t = tunnel_of(up);

	if (t && smx_live_silence(&up->link->live, core_now(up->link->core)) >= EAGER_MS)
		upstream_suspect(t->ep.link->owner, 0);
}

const struct upstream *upstream_stalled_in(const struct upstream *up)
{
	const struct tunnel *t;

	if (up->link->dead)
		return NULL;
	if (up->state >= UPSTREAM_READY)
		return up->state == UPSTREAM_CLOSING || upstream_is_usable(up) ? NULL : up;
	t = tunnel_of(up);
	return t ? upstream_stalled_in(t->ep.link->owner) : NULL;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t upstream_hope_ms(const struct upstream *up)
{
	const struct open_req *req = &up->tunnel_req;
	uint64_t since = later(up->born_ms, up->carried_ms);

	if (upstream_stalled_in(up))
		return 0;
	if (up->link->bytes_in > 0)
		return UINT64_MAX;
	if (up->has_tunnel_req && !req->up)
		return later(since + FIRST_BYTES_MS, pool_hope_ms(req->entry));
	if (up->has_tunnel_req)
		since = later(since, req->sent_ms);
	return since + FIRST_BYTES_MS;
}

/* --- the states --- */

void upstream_stalled_text(const struct upstream *up, char *out, size_t size)
{
	(void)snprintf(out, size,
		"the connection to %.64s@%.255s port %u is stalled: no sign of life for %llu s",
		up->hop->user, up->hop->host, up->hop->port,
		(unsigned long long)smx_live_silence(&up->link->live, core_now(up->link->core)) /
			1000);
}

static void has_stalled(struct upstream *up)
{
	struct mux_ids ids = ids_of_upstream(up);
	char text[UPSTREAM_TEXT_SIZE];

	up->state = UPSTREAM_STALLED;
	upstream_stalled_text(up, text, sizeof(text));
	say_warn(&ids, "%s; what is open on it waits, %u channels", text, spares_others(up));
	upstream_withdraw(up);
}

static void is_back(struct upstream *up)
{
	struct mux_ids ids = ids_of_upstream(up);

	if (up->state != UPSTREAM_STALLED)
		return;
	up->state = UPSTREAM_READY;
	say_info(&ids, "the connection to %s@%s port %u is back", up->hop->user, up->hop->host,
		up->hop->port);
}

static void has_died(struct upstream *up)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "no sign of life for %llu s (dead_after)",
		(unsigned long long)up->link->rules.dead_ms / 1000);
	link_fail(up->link, SMX_EKEEPALIVE, text);
}

int upstream_life_tick(struct upstream *up)
{
	const struct pool_entry *e = up->entry;
	const struct smx_hop *hop = &e->hops[e->n_hops - 1];
	struct smx_live_input in = input_of(up);
	struct link *l = up->link;
	int due;

	/* B10: as the file has it now. */
	l->rules.dead_ms = (uint64_t)hop->dead_after_s * 1000;
	l->is_paced = hop->pace && !l->is_unanswered;
	due = link_tick(l, &in);
	if (due & SMX_LIVE_IS_BACK)
		is_back(up);
	if (due & SMX_LIVE_HAS_DIED)
		has_died(up);
	if (l->dead)
		return 1;
	if (due & SMX_LIVE_HAS_STALLED)
		has_stalled(up);
	/* Somebody waits and nothing comes: it may be the jump host. */
	if ((due & SMX_LIVE_PROBE_DUE) && in.is_expected)
		upstream_suspect(up, 0);
	if (up->state == UPSTREAM_STALLED && !upstream_is_used(up) &&
		core_now(l->core) - l->live.stalled_ms >= STALLED_REAP_MS) {
		upstream_close(up, SMX_EKEEPALIVE, "it is stalled and nobody uses it");
		return 1;
	}
	return 0;
}

uint64_t upstream_deadline(const struct upstream *up)
{
	struct link *l = up->link;
	struct smx_live_input in;

	if (up->state != UPSTREAM_READY || l->dead)
		return UINT64_MAX;
	in = input_of(up);
	return smx_live_deadline(&l->live, &l->rules, &in, core_now(l->core));
}

void upstream_explain_lack(struct upstream *up)
{
	const char *offer, *what = smx_transport_lack(up->link->t, &offer);
	char clean[240];
	struct smx_buf advice;

	if (!what || up->cause[0])
		return;
	smx_sanitize(offer, strlen(offer), clean, sizeof(clean)); /* A7 */
	smx_buf_init(&advice, SMX_ALGORITHMS_ADVICE_MAX);
	(void)smx_algorithms_advise(what, smx_view_of(offer, strlen(offer)), &advice);
	(void)snprintf(up->cause, sizeof(up->cause), "no common %s: the server offers %s; %.180s",
		what, clean[0] ? clean : "none",
		smx_buf_cstr(&advice) ? smx_buf_cstr(&advice) : "");
	smx_buf_release(&advice);
}
