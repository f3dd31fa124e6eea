/* SPDX-License-Identifier: MIT */
#include "mux/core/flow.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/core/pacing.h"

#define RECORD_SMALL  (2 * 1024)
#define RECORD_MEDIUM (16 * 1024)
#define RECORD_BIG    (64 * 1024)
#define RECORD_LARGE  (SMX_BLOCK_LEN - sizeof(struct record))
#define RUN_HEAD      8

enum record_kind { REC_DATA, REC_REQUEST, REC_EOF, REC_CLOSE };

/*
 * Something that waits in a flow's queue: data, or a message. Data are runs of a head (u32 code, 0
 * or the extended data type; u32 length) and bytes, so that small messages share a record whatever
 * stream they are of: a slow reader must not cost us a multiple.
 */
struct record {
	struct smx_list node;
	enum record_kind kind;
	int want_reply;
	struct smx_pool *pool; /* it is one of its blocks; NULL: allocated */
	size_t off, len, cap;
	size_t run; /* DATA: where the last run begins */
	uint8_t bytes[];
};

static int flow_drain(struct source *s);
static int flow_grant(struct source *s);

void flow_init(struct flow *f, struct core *core, struct share *share, struct endpoint *in,
	struct endpoint *out)
{
	*f = (struct flow){ .core = core, .in = in, .out = out };
	window_init(&f->window, share);
	f->source.drain = flow_drain;
	f->grants.drain = flow_grant;
	f->source.is_paced = 1;
	smx_list_init(&f->source.node);
	smx_list_init(&f->grants.node);
	smx_list_init(&f->queue);
}

/* What a record takes of our memory. */
static size_t cost_of(const struct record *rec)
{
	return sizeof(*rec) + rec->cap + SHARE_ALLOC_COST;
}

static void forget_request(struct flow *f, const struct record *rec)
{
	f->queued_requests -= cost_of(rec);
	share_drop(f->window.share, cost_of(rec));
}

static void drop(struct record *rec)
{
	smx_list_del(&rec->node);
	if (rec->pool)
		smx_pool_put(rec->pool, rec);
	else
		smx_free(rec);
}

void flow_clear(struct flow *f)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &f->queue)
		drop(SMX_CONTAINER(it, struct record, node));
	smx_list_del(&f->source.node);
	share_drop(f->window.share, f->queued_requests);
	f->queued_data = f->queued_heads = f->queued_requests = 0;
}

void flow_release(struct flow *f)
{
	flow_clear(f);
	smx_list_del(&f->grants.node);
	window_release(&f->window);
}

int flow_is_empty(const struct flow *f)
{
	return smx_list_empty(&f->queue);
}

/* Out of memory, or a client beyond what anybody needs: this channel ends, nothing else. */
static void abandon(struct flow *f)
{
	struct endpoint *ends[2] = { f->in, f->out };
	int r;

	flow_clear(f);
	for (int i = 0; i < 2; i++) {
		/* One that was closed by its side is answered when the other side closes. */
		if (!ends[i]->chan || ends[i]->chan->close_received || ends[i]->link->dead)
			continue;
		if ((r = smx_conn_send_close(&ends[i]->link->conn, ends[i]->chan)) != 0)
			link_fail(ends[i]->link, r, NULL);
		link_touch(ends[i]->link);
	}
}

/* cap RECORD_LARGE: a block of the pool, for those come and go in numbers. */
static struct record *add_record(struct flow *f, enum record_kind kind, size_t cap)
{
	struct smx_pool *pool = cap == RECORD_LARGE ? &f->core->pool : NULL;
	struct record *rec = pool ? smx_pool_get(pool) : smx_malloc(sizeof(*rec) + cap);

	if (!rec) {
		abandon(f);
		return NULL;
	}
	*rec = (struct record){ .kind = kind, .pool = pool, .cap = cap };
	smx_list_add_tail(&f->queue, &rec->node);
	return rec;
}

/* --- bulk or not (B8) --- */

/* The link to the remote, and which way the flow goes there. NULL: that is gone. */
static struct link *path_of(const struct flow *f, enum link_way *ret_way)
{
	*ret_way = LINK_DOWN;
	if (f->in->chan && f->in->link->is_paced)
		return f->in->link;
	*ret_way = LINK_UP;
	return f->out->chan && f->out->link->is_paced ? f->out->link : NULL;
}

static int is_light(const struct flow *f)
{
	enum link_way way;

	return bulk_is_light(&f->bulk, path_of(f, &way), f->queued_data);
}

static void note_bytes(struct flow *f, size_t n)
{
	enum link_way way;
	struct link *l = path_of(f, &way);

	bulk_note(&f->bulk, l, way, n);
}

/* B7, B8: its share of what the path from the remote takes now; 0: no opinion, or not bulk. */
static size_t path_share(const struct flow *f)
{
	return bulk_down_share(&f->bulk, f->in->chan ? f->in->link : NULL, f->queued_data);
}

/* The same of what it takes at all. */
static size_t path_most(const struct flow *f)
{
	return bulk_down_most(&f->bulk, f->in->chan ? f->in->link : NULL, f->queued_data);
}

/* --- windows --- */

/*
 * What the sender may have on its way to us: our window, but not much more than the receiver takes
 * now. So in a steady stream nothing is queued (and copied) here, and a stuck receiver leaves
 * us with FLOW_SLACK bytes and not a whole window. On a path that holds more than that (B7) a
 * receiver that is late for a moment must not let it run dry: it is stuck when half of what the
 * path holds waits for it.
 */
static size_t room(const struct flow *f)
{
	const struct smx_chan *out = f->out->chan;
	size_t limit = f->window.size, share = path_share(f), taken;

	/* As a difference: a peer may grant up to 2^32 - 1 bytes (ProFTPD does), and a sum with
	 * that wraps. */
	if (out && limit > FLOW_SLACK && out->send_window < limit - FLOW_SLACK)
		limit = out->send_window + FLOW_SLACK;
	taken = f->in->chan->recv_window + f->queued_data + f->queued_heads;
	if (share && (f->queued_data < FLOW_SLACK || f->queued_data < path_most(f) / 2)) {
		limit = f->window.size < share ? f->window.size : share;
		taken -= f->queued_data < FLOW_SLACK ? f->queued_data : FLOW_SLACK;
	}
	return limit > taken ? limit - taken : 0;
}

/* What the sender is to be granted now; 0: nothing that would be worth a message. */
static size_t grant_due(const struct flow *f)
{
	const struct smx_chan *in = f->in->chan;
	size_t n, size = f->window.size, low = size < FLOW_SLACK ? size / 2 : FLOW_SLACK / 2;
	size_t share = path_share(f);

	if (!in || f->in->link->dead || in->eof_received || in->close_received || in->close_sent)
		return 0;
	n = room(f);
	if (share) {
		low = bulk_step(share < size ? share : size);
		/* A receiver that takes byte after byte is not what small steps are for. */
		if (f->queued_data && low < FLOW_GRANT_LEAST)
			low = FLOW_GRANT_LEAST;
		return n >= low ? n : 0;
	}
	if (n >= size / 4)
		return n;
	return n >= FLOW_GRANT_LEAST && in->recv_window <= low ? n : 0;
}

/* The sender may be able to send more: it is told when its link can write. */
static void grant(struct flow *f)
{
	if (!smx_list_empty(&f->grants.node))
		return;
	if (grant_due(f))
		link_owe(f->in->link, &f->grants);
	else if (f->in->chan && bulk_is_early(&f->bulk, f->in->link, f->queued_data))
		pacing_hold_grant(f->in->link, &f->grants);
}

/*
 * Lets the sender send what there is room for; grows the window of a receiver that has taken
 * a whole window since it last grew and has next to nothing queued.
 */
static int flow_grant(struct source *s)
{
	struct flow *f = SMX_CONTAINER(s, struct flow, grants);
	size_t n = grant_due(f), size = f->window.size, most = path_most(f);
	int r;

	if (n == 0) {
		grant(f); /* in a moment */
		return 0;
	}
	f->window.max = most > WINDOW_MAX ? (uint32_t)most : WINDOW_MAX;
	if (f->granted >= size && f->queued_data < size / 8 && window_grow(&f->window)) {
		f->granted = 0;
		n = room(f);
	}
	f->granted += n;
	if ((r = smx_conn_grant(&f->in->link->conn, f->in->chan, (uint32_t)n)) != 0)
		link_fail(f->in->link, r, NULL);
	f->window.taken = f->in->chan->recv_window + f->queued_data + f->queued_heads;
	window_granted(&f->window, (uint32_t)n);
	grant(f); /* the rest in a moment, also if nothing comes meanwhile */
	return 0;
}

/* --- queueing --- */

/* Adds to a record of data. Returns how many bytes it took. */
static size_t append(struct flow *f, struct record *rec, uint32_t code, struct smx_view data)
{
	uint8_t *head = rec->bytes + rec->run;
	size_t n = rec->cap - rec->len;

	if (rec->len == 0 || smx_get_u32(head) != code) {
		if (n <= RUN_HEAD)
			return 0;
		rec->run = rec->len;
		head = rec->bytes + rec->run;
		smx_set_u32(head, code);
		smx_set_u32(head + 4, 0);
		rec->len += RUN_HEAD;
		f->queued_heads += RUN_HEAD;
		n -= RUN_HEAD;
	}
	if (n > data.len)
		n = data.len;
	memcpy(rec->bytes + rec->len, data.p, n);
	rec->len += n;
	smx_set_u32(head + 4, smx_get_u32(head + 4) + (uint32_t)n);
	return n;
}

/* The first bytes to wait may be few and the last; the more there are, the more will come. */
static size_t record_cap(const struct flow *f, size_t need)
{
	size_t all = f->queued_data + f->queued_heads + need;

	if (all <= RECORD_SMALL)
		return RECORD_SMALL;
	if (all <= RECORD_MEDIUM)
		return RECORD_MEDIUM;
	return all <= 4 * RECORD_BIG ? RECORD_BIG : RECORD_LARGE;
}

static void queue_data(struct flow *f, uint32_t code, struct smx_view data)
{
	struct record *rec = NULL;
	size_t n;

	if (!smx_list_empty(&f->queue))
		rec = SMX_CONTAINER(f->queue.prev, struct record, node);
	while (data.len) {
		n = rec && rec->kind == REC_DATA ? append(f, rec, code, data) : 0;
		data.p += n;
		data.len -= n;
		f->queued_data += n;
		if (data.len &&
			!(rec = add_record(f, REC_DATA, record_cap(f, data.len + RUN_HEAD))))
			return;
	}
}

void flow_message(struct flow *f, const char *text)
{
	struct smx_list *it, *tmp;

	if (!f->out->chan || f->out->chan->close_sent || f->out->chan->eof_sent ||
		f->out->link->dead)
		return;
	/* No data may follow an EOF; the CLOSE says the same. */
	SMX_LIST_FOREACH (it, tmp, &f->queue)
		if (SMX_CONTAINER(it, struct record, node)->kind == REC_EOF)
			drop(SMX_CONTAINER(it, struct record, node));
	queue_data(f, SMX_EXTENDED_DATA_STDERR, smx_view_of(text, strlen(text)));
	flow_resume(f);
}

void flow_requests_only(struct flow *f)
{
	struct smx_list *it, *tmp;
	int r = 0;

	SMX_LIST_FOREACH (it, tmp, &f->queue) {
		struct record *rec = SMX_CONTAINER(it, struct record, node);

		if (rec->kind == REC_REQUEST && r == 0 && f->out->chan &&
			!f->out->chan->close_sent && !f->out->link->dead)
			r = smx_conn_send_message(&f->out->link->conn, f->out->chan,
				(struct smx_view){ rec->bytes, rec->len }, 0, rec->want_reply);
	}
	if (r != 0)
		link_fail(f->out->link, r, NULL);
	flow_clear(f);
}

static int can_send(const struct flow *f)
{
	if (!f->out->chan || f->out->chan->close_sent)
		return 0;
	return is_light(f) ? link_has_room(f->out->link) : link_has_bulk_room(f->out->link);
}

static void failed(struct flow *f, int r)
{
	if (r != 0)
		link_fail(f->out->link, r, NULL);
	link_touch(f->out->link);
}

void flow_data(struct flow *f, const struct smx_conn_event *ev)
{
	struct smx_chan *out = f->out->chan;

	if (!out || out->close_sent || out->close_received || out->eof_sent || f->out->link->dead) {
		grant(f); /* nobody wants it any more */
		return;
	}
	f->bytes += ev->data.len;
	if (f->in->link->is_paced)
		note_bytes(f, ev->data.len);
	if (smx_list_empty(&f->queue) && can_send(f) && ev->data.len <= out->send_window &&
		ev->data.len <= link_quantum(f->out->link) && ev->data.len <= out->send_packet) {
		/* The straight path: sealed from where it was decrypted. */
		failed(f, smx_conn_send_message(&f->out->link->conn, out, ev->payload,
				  (uint32_t)ev->data.len, 0));
		if (f->out->link->is_paced)
			note_bytes(f, ev->data.len);
	} else if (ev->data.len) {
		queue_data(f, ev->code, ev->data);
		flow_resume(f);
	}
	grant(f);
}

void flow_request(struct flow *f, const struct smx_conn_event *ev, int is_urgent)
{
	struct record *rec;

	if (!f->out->chan || f->out->chan->close_sent || f->out->link->dead)
		return;
	/* Answers come in the order of the requests. */
	is_urgent = is_urgent && f->queued_requests == 0;
	if (can_send(f) && (is_urgent || smx_list_empty(&f->queue))) {
		failed(f, smx_conn_send_message(&f->out->link->conn, f->out->chan, ev->payload, 0,
				  ev->want_reply));
		return;
	}
	if (!(rec = add_record(f, REC_REQUEST, ev->payload.len)))
		return;
	if (f->queued_requests + cost_of(rec) > FLOW_REQUESTS_MAX ||
		share_keep(f->window.share, cost_of(rec)) != 0) {
		abandon(f);
		return;
	}
	memcpy(rec->bytes, ev->payload.p, ev->payload.len);
	rec->len = ev->payload.len;
	rec->want_reply = ev->want_reply;
	f->queued_requests += cost_of(rec);
	if (is_urgent) {
		smx_list_del(&rec->node);
		smx_list_add_tail(f->queue.next, &rec->node); /* before all others */
	}
	flow_resume(f);
}

void flow_exit_status(struct flow *f, uint32_t status)
{
	static const char kind[] = "exit-status";
	uint8_t message[1 + 4 + 4 + sizeof(kind) - 1 + 1 + 4] = { SMX_MSG_CHANNEL_REQUEST };
	struct smx_conn_event ev = { .payload = { message, sizeof(message) } };

	smx_set_u32(message + 5, sizeof(kind) - 1);
	memcpy(message + 9, kind, sizeof(kind) - 1);
	smx_set_u32(message + sizeof(message) - 4, status);
	flow_request(f, &ev, 0);
}

static void send_or_queue(struct flow *f, enum record_kind kind)
{
	struct smx_conn *conn = &f->out->link->conn;

	if (!f->out->chan || f->out->chan->close_sent || f->out->link->dead)
		return;
	if (kind == REC_EOF && f->out->chan->close_received)
		return;
	if (!smx_list_empty(&f->queue)) {
		(void)add_record(f, kind, 0);
		return;
	}
	/* These two are tiny and at most once a channel: the transport may hold them back. */
	failed(f, kind == REC_EOF ? smx_conn_send_eof(conn, f->out->chan)
				  : smx_conn_send_close(conn, f->out->chan));
}

void flow_eof(struct flow *f)
{
	send_or_queue(f, REC_EOF);
}

void flow_close(struct flow *f)
{
	send_or_queue(f, REC_CLOSE);
}

/* --- draining --- */

void flow_resume(struct flow *f)
{
	if (!smx_list_empty(&f->queue) && f->out->chan && smx_list_empty(&f->source.node)) {
		/* Little of it goes before bulk, whatever it is. */
		f->source.is_interactive = f->is_terminal || is_light(f);
		link_enqueue(f->out->link, &f->source);
	}
	grant(f);
}

/* Sends from a data record. *ret_sent: bytes; 0: the window is closed. */
static int send_data(struct flow *f, struct record *rec, size_t *ret_sent)
{
	struct smx_chan *out = f->out->chan;
	uint8_t *head = rec->bytes + rec->off;
	uint32_t code = smx_get_u32(head), len = smx_get_u32(head + 4);
	size_t n = len;
	int r;

	if (n > out->send_packet)
		n = out->send_packet;
	if (n > out->send_window)
		n = out->send_window;
	if (n > link_quantum(f->out->link))
		n = link_quantum(f->out->link);
	*ret_sent = n;
	if (n == 0)
		return 0;
	r = smx_conn_send_data(
		&f->out->link->conn, out, code, (struct smx_view){ head + RUN_HEAD, n });
	if (r != 0)
		return r;
	if (f->out->link->is_paced)
		note_bytes(f, n);
	f->queued_data -= n;
	if (n < len) {
		/* The head moves up to what is left of the run. */
		smx_set_u32(head + n, code);
		smx_set_u32(head + n + 4, len - (uint32_t)n);
		rec->run += rec->run == rec->off ? n : 0;
		rec->off += n;
	} else {
		rec->off += RUN_HEAD + n;
		f->queued_heads -= RUN_HEAD;
	}
	if (rec->off == rec->len)
		drop(rec);
	return 0;
}

static int send_record(struct flow *f, struct record *rec, size_t *ret_sent)
{
	struct smx_conn *conn = &f->out->link->conn;
	struct smx_chan *out = f->out->chan;
	int r;

	*ret_sent = 1;
	switch (rec->kind) {
	case REC_DATA:
		return send_data(f, rec, ret_sent);
	case REC_REQUEST:
		r = smx_conn_send_message(
			conn, out, (struct smx_view){ rec->bytes, rec->len }, 0, rec->want_reply);
		forget_request(f, rec);
		break;
	case REC_EOF:
		r = smx_conn_send_eof(conn, out);
		break;
	default:
		r = smx_conn_send_close(conn, out);
		break;
	}
	drop(rec);
	return r;
}

static int flow_drain(struct source *s)
{
	struct flow *f = SMX_CONTAINER(s, struct flow, source);
	size_t total = 0, sent = 0;
	int r = 0;

	while (!smx_list_empty(&f->queue) && total < link_quantum(f->out->link)) {
		if (!f->out->chan || f->out->chan->close_sent)
			return 0;
		r = send_record(f, SMX_CONTAINER(f->queue.next, struct record, node), &sent);
		if (r != 0 || sent == 0)
			break;
		total += sent;
	}
	if (r != 0) {
		link_fail(f->out->link, r, NULL);
		return 0;
	}
	grant(f);
	return !smx_list_empty(&f->queue) && sent != 0;
}
