/* SPDX-License-Identifier: MIT */
#include "cli/watch/top.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define MINUTE 60

void top_model_init(struct top_model *m)
{
	*m = (struct top_model){ .n_looks = 0 };
	smx_status_init(&m->st);
}

void top_model_release(struct top_model *m)
{
	smx_status_release(&m->st);
	smx_free(m->rates);
	top_model_init(m);
}

void top_model_forget(struct top_model *m)
{
	top_model_release(m);
}

static int compare(const void *a, const void *b)
{
	const struct top_rate *x = a, *y = b;

	if (x->is_channel != y->is_channel)
		return x->is_channel - y->is_channel;
	return x->id < y->id ? -1 : x->id > y->id;
}

const struct top_rate *top_model_rate(const struct top_model *m, int is_channel, uint64_t id)
{
	struct top_rate key = { .is_channel = is_channel, .id = id };

	if (m->rate_count == 0)
		return NULL;
	return bsearch(&key, m->rates, m->rate_count, sizeof(key), compare);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* ---- the seconds -------------------------------------------------------------------------------
 */

/* Makes second `now_s` the newest; those that were skipped had nothing. */
static void advance(struct top_rate *r, uint64_t now_s)
{
	if (now_s >= r->last_s + TOP_SLOTS)
		memset(r->slots, 0, sizeof(r->slots));
	else
		for (uint64_t s = r->last_s + 1; s <= now_s; s++)
			r->slots[s % TOP_SLOTS] = 0;
	if (now_s > r->last_s)
		r->last_s = now_s;
}

/* n bytes came evenly from from_ms to to_ms. */
static void spread(struct top_rate *r, uint64_t n, uint64_t from_ms, uint64_t to_ms)
{
	uint64_t span = to_ms - from_ms, oldest_ms, end, part, left = n;

	advance(r, to_ms / 1000);
	oldest_ms = less(to_ms / 1000, TOP_SLOTS - 1) * 1000;
	if (from_ms < oldest_ms) {
		left -= (uint64_t)((double)n * (double)(oldest_ms - from_ms) / (double)span);
		from_ms = oldest_ms;
	}
	for (; from_ms < to_ms; from_ms = end) {
		end = (from_ms / 1000 + 1) * 1000;
		end = end < to_ms ? end : to_ms;
		part = (uint64_t)((double)n * (double)(end - from_ms) / (double)span);
		if (part > left || end == to_ms)
			part = left;
		left -= part;
		r->slots[from_ms / 1000 % TOP_SLOTS] += part;
	}
}

void top_rate_history(const struct top_rate *r, uint64_t now_ms, unsigned n, uint64_t *ret)
{
	uint64_t now_s = now_ms / 1000, s;
	unsigned part = MINUTE / n;

	for (unsigned i = 0; i < n; i++) {
		ret[i] = 0;
		for (unsigned k = 0; k < part; k++) {
			/* The second that goes on is not in it. */
			s = now_s + i * part + k;
			if (s < MINUTE || (s -= MINUTE) > r->last_s || s + TOP_SLOTS <= r->last_s)
				continue;
			ret[i] += r->slots[s % TOP_SLOTS];
		}
	}
}

/* ---- a look ------------------------------------------------------------------------------------
 */

static uint64_t per_second(uint64_t bytes, uint64_t ms)
{
	return ms ? (uint64_t)((double)bytes * 1000 / (double)ms) : 0;
}

/* The new state of a counter pair. is_first: nothing was seen before it. */
static void look(const struct top_model *m, struct top_rate *r, uint64_t age_s, uint64_t now_ms)
{
	const struct top_rate *before = top_model_rate(m, r->is_channel, r->id);
	uint64_t in = r->in, out = r->out, ms = now_ms - m->at_ms, n_in = 0, n_out = 0;

	if (before)
		*r = *before;
	r->last_s = before ? r->last_s : now_ms / 1000;
	/* One that was not there at the last look began at nought; of others, who knows. */
	if (m->n_looks > 0 && (before || age_s * 1000 <= ms)) {
		n_in = less(in, r->in * (before != NULL));
		n_out = less(out, r->out * (before != NULL));
		spread(r, n_in + n_out, m->at_ms, now_ms);
	}
	r->in_rate = per_second(n_in, ms);
	r->out_rate = per_second(n_out, ms);
	r->in = in;
	r->out = out;
}

/* Of all connections, less what is in a tunnel, which is in the connection there, too. */
static void sum_up(struct top_model *m, const struct smx_status *st, const struct top_rate *rates,
	size_t n_rates, uint64_t now_ms)
{
	uint64_t in = 0, out = 0, in_tunnels = 0, out_tunnels = 0;
	struct top_rate key = { .is_channel = 1 }, *tunnel;

	for (size_t i = 0; i < n_rates && !rates[i].is_channel; i++) {
		in += rates[i].in_rate;
		out += rates[i].out_rate;
	}
	for (size_t i = 0; i < st->channel_count; i++) {
		key.id = st->channels[i].id;
		if (strcmp(st->channels[i].kind, "tunnel") != 0 ||
			!(tunnel = bsearch(&key, rates, n_rates, sizeof(key), compare)))
			continue;
		in_tunnels += tunnel->in_rate;
		out_tunnels += tunnel->out_rate;
	}
	m->total.in_rate = less(in, in_tunnels);
	m->total.out_rate = less(out, out_tunnels);
	if (m->n_looks == 0)
		m->total.last_s = now_ms / 1000;
	else
		spread(&m->total,
			(m->total.in_rate + m->total.out_rate) * (now_ms - m->at_ms) / 1000,
			m->at_ms, now_ms);
}

int top_model_take(struct top_model *m, struct smx_status *st, uint64_t now_ms)
{
	size_t n = st->connection_count + st->channel_count;
	struct top_rate *rates = smx_calloc(n ? n : 1, sizeof(*rates));

	if (!rates)
		return SMX_ENOMEM;
	if (now_ms < m->at_ms)
		now_ms = m->at_ms;
	for (size_t i = 0; i < st->connection_count; i++) {
		const struct smx_status_connection *c = &st->connections[i];

		rates[i] = (struct top_rate){ .id = c->id, .in = c->bytes_in, .out = c->bytes_out };
		look(m, &rates[i], c->age_s, now_ms);
	}
	for (size_t i = 0; i < st->channel_count; i++) {
		const struct smx_status_channel *c = &st->channels[i];
		struct top_rate *r = &rates[st->connection_count + i];

		*r = (struct top_rate){
			.is_channel = 1, .id = c->id, .in = c->bytes_in, .out = c->bytes_out
		};
		look(m, r, c->age_s, now_ms);
	}
	qsort(rates, n, sizeof(*rates), compare);
	sum_up(m, st, rates, n, now_ms);
	smx_status_release(&m->st);
	m->st = *st;
	smx_status_init(st);
	smx_free(m->rates);
	m->rates = rates;
	m->rate_count = n;
	m->at_ms = now_ms;
	m->n_looks++;
	return 0;
}
