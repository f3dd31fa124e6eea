/* SPDX-License-Identifier: MIT */
#include "mux/pool/ending.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/core/relay.h"
#include "mux/core/say.h"
#include "mux/doors/attach.h"
#include "mux/doors/door.h"
#include "mux/net/tunnel.h"
#include "mux/pool/holdback.h"
#include "mux/pool/upstream.h"

#define TEXT_SIZE 1024

/* Seconds before the end. A lifetime that is no longer than this has no such warning. */
static const uint32_t warnings_s[] = { 15 * 60, 60 };

/* Milliseconds; UINT64_MAX: no end. */
static uint64_t left_ms(const struct upstream *up)
{
	uint64_t limit = (uint64_t)up->entry->mux->opts->max_lifetime_s * 1000;
	uint64_t age = mux_now(up->entry->mux) - up->born_ms;

	if (limit == 0)
		return UINT64_MAX;
	return age < limit ? limit - age : 0;
}

static int is_due(const struct upstream *up, size_t i)
{
	return up->entry->mux->opts->max_lifetime_s > warnings_s[i] &&
	       left_ms(up) <= (uint64_t)warnings_s[i] * 1000;
}

/* Whether l runs over up's connection: it is its link, or goes through it as a jump host. */
static int goes_over(const struct link *l, const struct upstream *up)
{
	const struct tunnel *tunnel;

	while (l && l != up->link) {
		tunnel = tunnel_of_carrier(l->carrier);
		l = tunnel && tunnel->ep.chan ? tunnel->ep.link : NULL;
	}
	return l != NULL;
}

/* Channels of a client over up; *ret_at_terminal: whether one of them has a terminal. */
static unsigned count_channels(
	const struct client *c, const struct upstream *up, int *ret_at_terminal)
{
	const struct smx_conn *conn = &c->link->conn;
	const struct relay *rl;
	unsigned n = 0;

	*ret_at_terminal = 0;
	for (uint32_t i = 0; i < conn->n_slots; i++) {
		if (!conn->chans[i] || !conn->chans[i]->user ||
			!(rl = relay_of_local(conn->chans[i]->user)) || !rl->is_open ||
			!rl->remote.chan || !goes_over(rl->remote.link, up))
			continue;
		n++;
		*ret_at_terminal |= rl->up.is_terminal;
	}
	return n;
}

static unsigned count_all(const struct upstream *up)
{
	struct mux *m = up->entry->mux;
	struct smx_list *it, *tmp;
	int at_terminal;
	unsigned n = 0;

	SMX_LIST_FOREACH (it, tmp, &m->clients)
		n += count_channels(SMX_CONTAINER(it, struct client, node), up, &at_terminal);
	return n;
}

static void put_text(const struct upstream *up, unsigned n, char *out, size_t size)
{
	unsigned s = (unsigned)((left_ms(up) + 999) / 1000);

	(void)snprintf(out, size,
		"the connection to %.64s@%.255s port %u ends in %u %s (--max-lifetime), and %u "
		"open "
		"channel%s with it; for a fresh one, run: ssh-mux login --renew %s",
		up->hop->user, up->hop->host, up->hop->port, s < 120 ? s : (s + 59) / 60,
		s < 120 ? "s" : "min", n, n == 1 ? "" : "s", holdback_name(up->entry).text);
}

int ending_warning(const struct upstream *up, char *out, size_t size)
{
	unsigned n;

	if (up->state < UPSTREAM_READY || !is_due(up, is_due(up, 0) ? 0 : 1) ||
		(n = count_all(up)) == 0)
		return 0;
	put_text(up, n, out, size);
	return 1;
}

/* To whoever sits at a terminal whose session will end. */
static void tell_terminals(const struct upstream *up)
{
	struct mux *m = up->entry->mux;
	char text[TEXT_SIZE];
	struct smx_list *it, *tmp;
	int at_terminal;
	unsigned n;

	SMX_LIST_FOREACH (it, tmp, &m->clients) {
		const struct client *c = SMX_CONTAINER(it, struct client, node);

		if (!c->attach || c->link->dead || (n = count_channels(c, up, &at_terminal)) == 0 ||
			!at_terminal)
			continue;
		put_text(up, n, text, sizeof(text));
		attach_notice(c->attach, text);
	}
}

void ending_tick(struct upstream *up)
{
	struct mux_ids ids = ids_of_upstream(up);
	char text[TEXT_SIZE];
	int is_new = 0;

	while (up->n_warned < SMX_ARRAY_LEN(warnings_s) &&
		left_ms(up) <= (uint64_t)warnings_s[up->n_warned] * 1000)
		is_new |= is_due(up, up->n_warned++);
	if (!is_new || !ending_warning(up, text, sizeof(text)))
		return;
	say_warn(&ids, "%s", text);
	tell_terminals(up);
}

int ending_is_jump_old(const struct pool_entry *e)
{
	const struct smx_serve_options *opts = e->mux->opts;
	uint64_t age_ms;

	return opts->max_lifetime_s != 0 && pool_age_ms(e->mux, e->hops, e->n_hops - 1, &age_ms) &&
	       age_ms >= (uint64_t)opts->max_lifetime_s * 1000 / 10;
}
