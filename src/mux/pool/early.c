/* SPDX-License-Identifier: MIT */
#include "mux/pool/early.h"

#include "base/err.h"
#include "mux/core/say.h"
#include "mux/pool/hostkey.h"

static struct greetings *greetings_of(const struct upstream *up)
{
	return &up->entry->mux->greetings;
}

void early_guess(const struct upstream *up, struct smx_transport_config *config)
{
	const struct pool_entry *e = up->entry;
	struct mux_ids ids = ids_of_upstream(up);
	const char *kex, *host_key;

	if (!greeting_guess(greetings_of(up), e->hops, e->n_hops, &kex, &host_key) ||
		!hostkey_may_be_first(up->prepared, up->hop, host_key))
		return;
	config->guess_kex = kex;
	config->guess_host_key = host_key;
	say_debug(&ids, "the key exchange is guessed: %s, %s", kex, host_key);
}

void early_note_algs(struct upstream *up)
{
	const struct pool_entry *e = up->entry;

	greeting_note_algs(greetings_of(up), e->hops, e->n_hops, smx_transport_algs(up->link->t));
}

/* --- a channel --- */

void early_open(struct upstream *up)
{
	const struct open_req *req = pool_first_waiting(up->entry);
	struct link *l = up->link;
	struct mux_ids ids = ids_of_upstream(up);
	int r;

	if (!req || req->is_login || up->entry->mux->is_locked || up->early.chan ||
		!smx_transport_is_openssh(l->t))
		return;
	smx_buf_reset(&up->early.kind);
	smx_buf_reset(&up->early.specific);
	if (smx_buf_put(&up->early.kind, smx_buf_view(&req->kind), smx_buf_len(&req->kind)) != 0 ||
		smx_buf_put(&up->early.specific, smx_buf_view(&req->specific),
			smx_buf_len(&req->specific)) != 0)
		return;
	smx_transport_set_early(l->t, 1);
	r = smx_conn_open(&l->conn, smx_buf_as_view(&req->kind), smx_buf_as_view(&req->specific),
		req->recv_window, &up->early.chan);
	smx_transport_set_early(l->t, 0);
	if (r != 0) {
		if (r != SMX_ELIMIT)
			link_fail(l, r, NULL);
		return;
	}
	/* No session for now: it takes the place of none that could be given it. */
	up->early.chan->user = &up->orphans[0];
	up->early.is_session = req->is_session;
	up->early.was_asked = 1;
	say_debug(&ids, "a channel is asked for together with the login");
	link_touch(l);
}

void early_refused(struct upstream *up)
{
	if (up->early.chan)
		smx_conn_forget(&up->link->conn, up->early.chan);
	up->early.chan = NULL;
}

struct smx_chan *early_take(struct upstream *up, const struct open_req *req)
{
	struct smx_chan *chan = up->early.chan;

	if (!chan || chan->recv_window > req->recv_window ||
		!smx_view_eq_view(smx_buf_as_view(&up->early.kind), smx_buf_as_view(&req->kind)) ||
		!smx_view_eq_view(
			smx_buf_as_view(&up->early.specific), smx_buf_as_view(&req->specific)))
		return NULL;
	up->early.chan = NULL;
	return chan;
}

void early_leave(struct upstream *up)
{
	if (up->early.chan)
		up->early.chan->user = &up->orphans[up->early.is_session != 0];
	up->early.chan = NULL;
}

int early_is_to_blame(const struct upstream *up, int r)
{
	const struct smx_transport *t = up->link->t;

	if (t && smx_transport_awaits_guess(t))
		return r != SMX_ENOMEM && r != SMX_ECANCELLED;
	/* Unexpected: an answer to what comes after the login. */
	if (r != SMX_EEOF && r != SMX_EDISCONNECTED && r != SMX_EUNEXPECTED)
		return 0;
	return up->login && (up->early.was_asked || login_is_unheard(up->login) ||
				    login_has_gone_ahead(up->login));
}

void early_avoid(struct upstream *up)
{
	struct pool_entry *e = up->entry;

	if (smx_transport_awaits_guess(up->link->t))
		greeting_forget_algs(greetings_of(up), e->hops, e->n_hops);
	else
		greeting_note_in_turns(greetings_of(up), e->hops, e->n_hops);
}
