/* SPDX-License-Identifier: MIT */
/* For test_spare.c: a pooled connection with clients, whose server is played message by message. */
#ifndef SMX_TESTS_SPARE_LINK_H
#define SMX_TESTS_SPARE_LINK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../clear_transport.h"
#include "base/mem.h"
#include "mux/pool/upstream.h"

#define WINDOW  (256u * 1024)
#define BEGIN   100000u /* of the clock */
#define SEEN    32
#define CLIENTS 8
#define NONE    UINT32_MAX
#define PEER    1000 /* the server's number of a channel: ours and so much */

struct client {
	struct open_req req;
	struct endpoint ep; /* of its session */
	uint32_t id; /* of its channel */
	uint32_t failed; /* the code */
	int is_released;
};

/* A connection to a server, which the tests play message by message. */
struct fixture {
	uv_loop_t loop; /* its clock */
	struct mux mux;
	struct smx_serve_options opts;
	struct smx_route route;
	struct smx_hop hop;
	struct pool_entry entry;
	struct upstream up;
	struct link *link;
	struct client clients[CLIENTS];
	unsigned n_clients;
	uint64_t rtt_ms; /* that it takes to confirm an open */
	/* What the server got and has not answered; kinds and numbers. */
	uint32_t opens[SEEN], windows[SEEN];
	unsigned n_opens, n_closes, n_adjusts, n_failures, n_probes;
	uint32_t closed, adjusted, adjusted_by; /* the last: by our number */
};

static struct fixture fixture;

/* --- our side --- */

static inline void session_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	if (ev->type == SMX_CONN_CLOSE)
		ev->chan->user = ep->chan = NULL;
}

static inline void session_dead(struct endpoint *ep, int r, const char *why)
{
	(void)ep;
	(void)r;
	(void)why;
}

static const struct endpoint_ops session_ops = { session_event, session_dead };

static inline void on_opened(
	struct open_req *req, struct upstream *up, struct smx_chan *chan, struct smx_view specific)
{
	struct client *c = SMX_CONTAINER(req, struct client, req);

	assert_int_equal(specific.len, 0);
	assert_int_equal(c->id, NONE);
	assert_null(req->up);
	assert_null(chan->user);
	c->id = chan->id;
	c->ep = (struct endpoint){ &session_ops, up->link, chan, 1 };
	chan->user = &c->ep;
}

static inline void on_failed(struct open_req *req, uint32_t code, const char *text)
{
	(void)text;
	SMX_CONTAINER(req, struct client, req)->failed = code;
}

static inline void on_released(struct open_req *req)
{
	SMX_CONTAINER(req, struct client, req)->is_released = 1;
}

static inline void link_life(struct link *l)
{
	spares_alive(l->owner);
}

static const struct link_ops test_ops = { .id_name = "conn", .life = link_life };

static inline uint64_t now(const struct fixture *f)
{
	return f->loop.time;
}

static inline void pass(struct fixture *f, uint64_t ms)
{
	f->loop.time += ms;
}

static inline struct fixture *make(const char *software)
{
	static char name[] = "t";
	struct fixture *f = &fixture;
	char ident[64];

	memset(f, 0, sizeof(*f));
	f->loop.time = BEGIN;
	core_init(&f->mux.core, &f->loop);
	f->mux.opts = &f->opts;
	smx_list_init(&f->mux.dismissed);
	smx_list_init(&f->mux.entries);
	f->hop = (struct smx_hop){ .spare = 1, .pace = 1, .dead_after_s = 900 };
	f->route.name = name;
	f->entry.mux = &f->mux;
	f->entry.route = &f->route;
	f->entry.hops = &f->hop;
	f->entry.n_hops = 1;
	smx_list_init(&f->entry.upstreams);
	smx_list_init(&f->entry.waiting);
	smx_list_init(&f->entry.node);
	smx_list_add_tail(&f->mux.entries, &f->entry.node);
	f->link = link_new(&f->mux.core, &test_ops, &f->up);
	f->link->t = clear_transport(&f->mux.core.pool, SMX_CLIENT, SMX_PHASE_CONNECTION, NULL);
	(void)snprintf(ident, sizeof(ident), "SSH-2.0-%s", software);
	smx_free(f->link->t->ident_peer);
	f->link->t->ident_peer = smx_strdup(ident);
	smx_conn_init(&f->link->conn, f->link->t);
	f->up = (struct upstream){ .entry = &f->entry,
		.hop = &f->hop,
		.link = f->link,
		.state = UPSTREAM_READY,
		.is_known_good = 1,
		.born_ms = BEGIN };
	upstream_life_init(&f->up);
	spares_init(&f->up);
	smx_list_init(&f->up.forwards);
	smx_list_init(&f->up.node);
	smx_list_add_tail(&f->entry.upstreams, &f->up.node);
	f->rtt_ms = 100;
	return f;
}

/* Its route has names, for the words of who asks for it; and there are no spares. */
static inline struct fixture *make_named(void)
{
	static char text[] = "x";
	struct fixture *f = make("OpenSSH_9.9");

	f->hop.host = f->hop.user = text;
	f->hop.port = 22;
	f->hop.spare = 0;
	f->route.hops = &f->hop;
	f->route.n_hops = 1;
	smx_list_init(&f->mux.prompts);
	smx_list_init(&f->mux.agent_waits);
	return f;
}

static inline void finish(struct fixture *f)
{
	struct open_req *req;

	/* As link_reap does: whoever waits is taken back first. */
	while ((req = spares_first_waiting(&f->up)))
		(void)spares_forget(&f->up, req);
	for (unsigned i = 0; i < f->n_clients; i++)
		open_req_release(&f->clients[i].req);
	link_discard(f->link);
	core_release(&f->mux.core);
	assert_int_equal(smx_mem_alive(), 0);
}

/* A client asks for a session. */
static inline struct client *come(struct fixture *f)
{
	struct client *c = &f->clients[f->n_clients];
	struct smx_view none = { NULL, 0 };

	assert_true(f->n_clients < CLIENTS);
	*c = (struct client){ .id = NONE };
	if (open_req_init(&c->req, 1, smx_view_of("session", 7), none, WINDOW) != 0)
		return NULL;
	f->n_clients++;
	c->req.opened = on_opened;
	c->req.failed = on_failed;
	c->req.released = on_released;
	c->req.entry = &f->entry;
	upstream_open(&f->up, &c->req);
	return c;
}

/* --- the server's side --- */

static inline void read_one(struct fixture *f, struct smx_view m)
{
	struct smx_rd rd = smx_rd_from(m.p + 1, m.len - 1);
	struct smx_view kind;

	switch (m.p[0]) {
	case SMX_MSG_CHANNEL_OPEN:
		assert_true(f->n_opens < SEEN);
		assert_int_equal(smx_rd_string(&rd, &kind), 0);
		assert_true(smx_view_eq(kind, "session"));
		assert_int_equal(smx_rd_u32(&rd, &f->opens[f->n_opens]), 0);
		assert_int_equal(smx_rd_u32(&rd, &f->windows[f->n_opens++]), 0);
		break;
	case SMX_MSG_CHANNEL_CLOSE:
		f->n_closes++;
		assert_int_equal(smx_rd_u32(&rd, &f->closed), 0);
		f->closed -= PEER;
		break;
	case SMX_MSG_CHANNEL_WINDOW_ADJUST:
		f->n_adjusts++;
		assert_int_equal(smx_rd_u32(&rd, &f->adjusted), 0);
		assert_int_equal(smx_rd_u32(&rd, &f->adjusted_by), 0);
		f->adjusted -= PEER;
		break;
	case SMX_MSG_CHANNEL_FAILURE:
		f->n_failures++;
		break;
	case SMX_MSG_GLOBAL_REQUEST:
		f->n_probes++;
		break;
	default:
		fail_msg("message %u", m.p[0]);
	}
}

/* What we sent since the last time. Returns the number of opens. */
static inline unsigned look(struct fixture *f)
{
	struct smx_tx_block *list = smx_transport_tx_take(f->link->t), *b;
	struct smx_view m;
	size_t off;

	f->n_opens = f->n_closes = f->n_adjusts = f->n_failures = f->n_probes = 0;
	for (b = list; b; b = b->next)
		for (off = 0; clear_next(b, &off, &m);)
			read_one(f, m);
	smx_transport_tx_free(f->link->t, list);
	return f->n_opens;
}

static inline void say(struct fixture *f, const uint8_t *payload, size_t n)
{
	uint8_t packet[200];
	size_t len = clear_packet((struct smx_view){ payload, n }, packet, sizeof(packet));

	link_carrier_data(f->link, (struct smx_view){ packet, len });
}

static inline void confirm(struct fixture *f, uint32_t id)
{
	uint8_t m[17] = { SMX_MSG_CHANNEL_OPEN_CONFIRMATION };

	pass(f, f->rtt_ms);
	smx_set_u32(m + 1, id);
	smx_set_u32(m + 5, id + PEER);
	smx_set_u32(m + 9, 2 << 20);
	smx_set_u32(m + 13, 32768);
	say(f, m, sizeof(m));
}

static inline void refuse(struct fixture *f, uint32_t id)
{
	uint8_t m[17] = { SMX_MSG_CHANNEL_OPEN_FAILURE };

	smx_set_u32(m + 1, id);
	smx_set_u32(m + 5, SMX_OPEN_CONNECT_FAILED);
	say(f, m, sizeof(m));
}

static inline void bare(struct fixture *f, uint8_t type, uint32_t id)
{
	uint8_t m[5] = { type };

	smx_set_u32(m + 1, id);
	say(f, m, sizeof(m));
}

/* A sign of life. */
static inline void answer_probe(struct fixture *f)
{
	static const uint8_t m[1] = { SMX_MSG_REQUEST_FAILURE };

	say(f, m, sizeof(m));
}

/* The session of c is over, and the server has counted that. */
static inline void leave(struct fixture *f, struct client *c)
{
	bare(f, SMX_MSG_CHANNEL_CLOSE, c->id);
}

/* The first session is there, and a spare behind it; its number. */
static inline uint32_t begin(struct fixture *f)
{
	struct client *c = come(f);

	assert_int_equal(look(f), 1);
	confirm(f, f->opens[0]);
	assert_int_equal(c->id, f->opens[0]);
	assert_int_equal(look(f), 1);
	return f->opens[0];
}

#endif
