/* SPDX-License-Identifier: MIT */
#include "mux/core/link.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "mux/core/link_int.h"
#include "mux/core/pacing.h"
#include "os/tcp.h"
#include "ssh/probes.h"

#define WRITE_BUFS_MAX 32
#define ACK_NOW_BYTES  (16 * 1024) /* a login and the open of a channel, amply */
#define SLIPS_LOGGED   20 /* of a link: a peer that goes on so must not fill the log */

struct link *link_new(struct core *core, const struct link_ops *ops, void *owner)
{
	struct link *l = smx_calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->core = core;
	l->ops = ops;
	l->owner = owner;
	l->id = ++core->next_id;
	l->born_ms = core_now(core);
	smx_live_init(&l->live, l->born_ms);
	l->rtt_ms = -1;
	l->backlog_max = LINK_BACKLOG_MAX;
	smx_list_init(&l->dirty_node);
	smx_list_init(&l->dying_node);
	smx_list_init(&l->breath_node);
	smx_list_init(&l->pacing_node);
	share_init(&l->share, &core->windows);
	pace_init(&l->pace, LINK_WINDOW_MAX);
	smx_list_init(&l->owed);
	smx_list_init(&l->owed_later);
	smx_list_init(&l->ready_interactive);
	smx_list_init(&l->ready_bulk);
	smx_list_init(&l->node);
	smx_list_add_tail(&core->links, &l->node);
	return l;
}

void link_fail(struct link *l, int r, const char *why)
{
	if (l->dead)
		return;
	assert(r != 0);
	l->dead = r;
	(void)snprintf(l->why, sizeof(l->why), "%s", why && *why ? why : smx_strerror(r));
	smx_list_add_tail(&l->core->dying, &l->dying_node);
}

void link_disconnect(struct link *l, enum smx_disconnect code, int r, const char *why)
{
	if (l->dead)
		return;
	if (l->t)
		smx_transport_disconnect(l->t, code, why);
	link_fail(l, r, why);
}

void link_touch(struct link *l)
{
	if (!l->is_reaped && smx_list_empty(&l->dirty_node))
		smx_list_add_tail(&l->core->dirty, &l->dirty_node);
}

int link_has_room(const struct link *l)
{
	size_t waiting = l->inflight_len + (l->carrier ? l->carrier->ops->backlog(l->carrier) : 0);

	return !l->dead && l->t && smx_transport_can_send(l->t) &&
	       smx_transport_tx_len(l->t) + waiting < LINK_TX_HIGH;
}

static uint64_t now_us(void)
{
	return uv_hrtime() / 1000;
}

static int unsent_below(struct link *l, size_t *ret_len)
{
	uv_os_fd_t fd;

	if (l->carrier)
		return l->carrier->ops->unsent ? l->carrier->ops->unsent(l->carrier, ret_len)
					       : SMX_EUNSUPPORTED;
	if (!l->tcp || uv_fileno((uv_handle_t *)l->tcp, &fd) != 0)
		return SMX_ESYS;
	return smx_os_tcp_unsent((int64_t)(intptr_t)fd, ret_len);
}

int link_unsent(struct link *l, size_t *ret_len)
{
	int r = unsent_below(l, ret_len);

	if (r == 0)
		*ret_len += l->inflight_len + smx_transport_tx_len(l->t);
	return r;
}

/* TCP holds back enough of what was written already. */
static int is_ahead_of_tcp(struct link *l)
{
	uint64_t most = pace_up_unsent_most(&l->pace);
	size_t unsent;

	if (most == UINT64_MAX || link_unsent(l, &unsent) != 0)
		return 0;
	l->pace.sees_unsent = 1;
	return unsent > most;
}

/* Bulk waits for what comes, or for a moment besides. */
static int hold_bulk(struct link *l, int is_for_a_moment)
{
	pace_held(&l->pace);
	if (is_for_a_moment)
		pacing_hold(l);
	return 0;
}

int link_has_bulk_room(struct link *l)
{
	if (l->is_paced && pace_up_room(&l->pace, now_us()) == 0)
		return hold_bulk(l, pace_is_early(&l->pace, &l->pace.up));
	if (!link_has_room(l))
		return 0;
	if (l->is_paced && is_ahead_of_tcp(l))
		return hold_bulk(l, !pace_is_silent(&l->pace, now_us()));
	return 1;
}

size_t link_quantum(const struct link *l)
{
	size_t n = LINK_QUANTUM;

	if (l->is_paced && l->pace.up.mode != PACE_UNKNOWN && l->pace.up.window / 16 < n)
		n = (size_t)l->pace.up.window / 16;
	return n > LINK_QUANTUM_LEAST ? n : LINK_QUANTUM_LEAST;
}

void link_enqueue(struct link *l, struct source *s)
{
	if (!smx_list_empty(&s->node) || l->dead)
		return;
	smx_list_add_tail(s->is_interactive ? &l->ready_interactive : &l->ready_bulk, &s->node);
	link_touch(l);
}

void link_owe(struct link *l, struct source *s)
{
	if (!smx_list_empty(&s->node) || l->dead)
		return;
	smx_list_add_tail(&l->owed, &s->node);
	link_touch(l);
}

/* --- receiving --- */

static void on_pong(struct link *l)
{
	uint64_t round = l->pace.n_rounds;

	smx_live_answered(&l->live, core_now(l->core));
	if (l->pace_kex != smx_transport_n_kex(l->t)) {
		l->pace_kex = smx_transport_n_kex(l->t);
		pace_void_probes(&l->pace);
	}
	pace_probe_answered(&l->pace, now_us());
	if (l->pace.n_rounds != round) {
		memcpy(l->n_busy_before, l->n_busy, sizeof(l->n_busy));
		memset(l->n_busy, 0, sizeof(l->n_busy));
	}
	if (l->probe_sent_ms) {
		l->rtt_ms = (int64_t)(core_now(l->core) - l->probe_sent_ms);
		l->probe_sent_ms = 0;
	}
}

static void on_conn_message(struct link *l, struct smx_view payload)
{
	struct smx_conn_event ev;
	int r = smx_conn_handle(&l->conn, payload, &ev);

	link_touch(l);
	if (r != 0) {
		log_warn("%s=%llu %s (message %u)", l->ops->id_name, (unsigned long long)l->id,
			smx_strerror(r), payload.p[0]);
		link_disconnect(l, SMX_DISCONNECT_PROTOCOL_ERROR, r, smx_strerror(r));
		return;
	}
	switch (ev.type) {
	case SMX_CONN_NONE:
		if (ev.is_slip && l->n_slips++ < SLIPS_LOGGED)
			log_debug("%s=%llu a message %u that had no business there was ignored",
				l->ops->id_name, (unsigned long long)l->id, payload.p[0]);
		return;
	case SMX_CONN_GLOBAL_REPLY:
		if (!l->ops->global_reply || !l->ops->global_reply(l, &ev))
			on_pong(l);
		return;
	case SMX_CONN_GLOBAL_REQUEST:
		l->ops->global(l, &ev);
		return;
	case SMX_CONN_OPEN:
		l->ops->open(l, &ev);
		return;
	default:
		break;
	}
	if (ev.broken)
		log_warn("%s=%llu a channel was closed: %s (message %u)", l->ops->id_name,
			(unsigned long long)l->id, smx_strerror(ev.broken), payload.p[0]);
	if (ev.chan->user) {
		struct endpoint *ep = ev.chan->user;

		ep->ops->event(ep, &ev);
	}
	if (!l->dead && (r = smx_conn_done(&l->conn, &ev)) != 0)
		link_fail(l, r, NULL);
}

static void on_packet(struct link *l, struct smx_view payload)
{
	int r;

	if (payload.p[0] >= SMX_MSG_GLOBAL_REQUEST) {
		on_conn_message(l, payload);
		return;
	}
	link_touch(l);
	if ((r = l->ops->auth(l, payload)) != 0)
		link_disconnect(l,
			r == SMX_EDENIED ? SMX_DISCONNECT_NO_MORE_AUTH_METHODS
					 : SMX_DISCONNECT_PROTOCOL_ERROR,
			r, smx_strerror(r));
}

static void transport_failed(struct link *l, int r)
{
	char text[sizeof(l->why)], reason[200];
	const char *raw = smx_transport_reason(l->t);

	smx_sanitize(raw, strlen(raw), reason, sizeof(reason)); /* A7 */
	if (r == SMX_EDISCONNECTED)
		(void)snprintf(
			text, sizeof(text), "the other side ended the connection: %s", reason);
	else
		(void)snprintf(
			text, sizeof(text), "%s%s%s", smx_strerror(r), *reason ? ": " : "", reason);
	link_fail(l, r, text);
}

void link_process(struct link *l)
{
	struct smx_event ev;
	int r = 0, decided;

	while (!l->dead && (r = smx_transport_next(l->t, &ev)) == 0) {
		switch (ev.type) {
		case SMX_EV_PACKET:
			on_packet(l, ev.payload);
			break;
		case SMX_EV_HOST_KEY:
			decided = l->ops->host_key(l, ev.payload);
			if (decided != SMX_EAGAIN)
				smx_transport_host_key_decided(l->t, decided);
			break;
		case SMX_EV_WORK:
			if ((r = link_start_work(l, ev.work)) != 0)
				link_fail(l, r, NULL);
			break;
		case SMX_EV_READY:
			l->ops->ready(l);
			break;
		case SMX_EV_PONG:
			on_pong(l);
			break;
		}
	}
	if (!l->dead && r != SMX_EAGAIN)
		transport_failed(l, r);
	if (!l->dead && l->ops->life)
		l->ops->life(l);
	link_touch(l);
}

static void start_reading(struct link *l);

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct link *l = h->data;
	uint8_t *p;
	size_t n;

	(void)suggested;
	*buf = uv_buf_init(NULL, 0); /* read_cb then gets UV_ENOBUFS */
	if (l->dead || smx_transport_rx_space(l->t, &p, &n) != 0)
		return;
	buf->base = (char *)p;
	buf->len = n;
}

/* --- batching ---
 *
 * A bulk sender on the same machine hands us a packet at a time, and each costs a wake-up of ours,
 * a read, a write and a wake-up of the receiver. So while bytes stream in and a read brings
 * little, the socket is left alone for a millisecond: several packets then share these costs.
 */

#define BREATH_READ       (400 * 1024) /* a read of less than this is worth waiting for more */
#define BREATH_MS         1
#define BULK_SPAN_MS      4
#define BULK_BYTES_PER_MS (32 * 1024)

/* Whether bytes have been streaming in lately; n more came now. */
static int is_bulk(struct link *l, size_t n)
{
	uint64_t span = core_now(l->core) - l->burst_since_ms;

	l->burst_bytes += n;
	if (span >= BULK_SPAN_MS) {
		l->is_bulk = l->burst_bytes / span >= BULK_BYTES_PER_MS;
		l->burst_since_ms = core_now(l->core);
		l->burst_bytes = 0;
	}
	return l->is_bulk;
}

static void on_breath(uv_timer_t *timer)
{
	struct core *core = timer->data;
	struct smx_list *node;

	while (!smx_list_empty(&core->breathing)) {
		node = core->breathing.next;
		smx_list_del(node);
		start_reading(SMX_CONTAINER(node, struct link, breath_node));
	}
}

static void take_breath(struct link *l)
{
	struct core *core = l->core;

	if (l->dead || !l->is_reading || core->is_stopping)
		return;
	if (smx_list_empty(&core->breathing) &&
		uv_timer_start(&core->breath_timer, on_breath, BREATH_MS, 0) != 0)
		return;
	(void)uv_read_stop((uv_stream_t *)l->tcp);
	l->is_reading = 0;
	smx_list_add_tail(&core->breathing, &l->breath_node);
}

/* Until its first session runs, the peer's Nagle algorithm waits for our ACKs: not 40 ms more. */
static void ack_handshake(struct link *l)
{
	int is_new =
		smx_transport_get_phase(l->t) < SMX_PHASE_CONNECTION || l->bytes_in < ACK_NOW_BYTES;
	uv_os_fd_t fd;

	if (!l->dead && is_new && uv_fileno((uv_handle_t *)l->tcp, &fd) == 0)
		smx_os_tcp_ack_now((int64_t)(intptr_t)fd);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct link *l = s->data;
	struct core *core = l->core;

	(void)buf;
	if (l->dead)
		return;
	if (n == UV_ENOBUFS) {
		/* A full block waits for a decision (host key, work): read on after it. */
		uv_read_stop(s);
		l->is_reading = 0;
		if (!smx_transport_is_waiting(l->t))
			link_fail(l, SMX_ENOMEM, NULL);
	} else if (n < 0) {
		link_fail(l, SMX_EEOF, n == UV_EOF ? smx_strerror(SMX_EEOF) : uv_strerror((int)n));
	} else if (n == 0) {
		link_process(l); /* which gives the empty block back */
	} else {
		smx_transport_rx_commit(l->t, (size_t)n);
		l->bytes_in += (uint64_t)n;
		smx_live_seen(&l->live, core_now(core));
		link_process(l);
		if (n < BREATH_READ && is_bulk(l, (size_t)n))
			take_breath(l);
	}
	ack_handshake(l);
	core_settle(core); /* libuv reads on, while there is more */
}

static void start_reading(struct link *l)
{
	if (l->tcp && !l->is_reading && !l->dead && smx_list_empty(&l->breath_node) &&
		!smx_transport_is_waiting(l->t) &&
		uv_read_start((uv_stream_t *)l->tcp, on_alloc, on_read) == 0)
		l->is_reading = 1;
}

void link_carrier_data(struct link *l, struct smx_view data)
{
	uint8_t *p;
	size_t n;

	l->bytes_in += data.len;
	smx_live_seen(&l->live, core_now(l->core));
	while (data.len && !l->dead) {
		if (smx_transport_rx_space(l->t, &p, &n) != 0 || n == 0) {
			link_fail(l, SMX_ENOMEM, NULL);
			return;
		}
		if (n > data.len)
			n = data.len;
		memcpy(p, data.p, n);
		smx_transport_rx_commit(l->t, n);
		data.p += n;
		data.len -= n;
		link_process(l);
	}
}

size_t link_carrier_space(struct link *l, uint8_t **ret_p)
{
	size_t n;

	return l->dead || smx_transport_rx_space(l->t, ret_p, &n) != 0 ? 0 : n;
}

void link_carrier_read(struct link *l, size_t n)
{
	if (l->dead)
		return;
	smx_transport_rx_commit(l->t, n);
	l->bytes_in += n;
	if (n)
		smx_live_seen(&l->live, core_now(l->core));
	link_process(l);
}

/* --- sending --- */

/* Windows first, then interactive ones, then in turn those for which the path has room. */
static struct source *next_source(struct link *l)
{
	struct smx_list *it, *head = smx_list_empty(&l->owed) ? &l->ready_interactive : &l->owed;
	struct source *s;
	int has_room;

	if (!smx_list_empty(head))
		return SMX_CONTAINER(head->next, struct source, node);
	if (smx_list_empty(&l->ready_bulk))
		return NULL;
	has_room = link_has_bulk_room(l);
	for (it = l->ready_bulk.next; it != &l->ready_bulk; it = it->next) {
		s = SMX_CONTAINER(it, struct source, node);
		if (has_room || !s->is_paced)
			return s;
	}
	return NULL;
}

/* Among what is sent, so that its answers come as regularly as that arrives. */
static void probe_path(struct link *l)
{
	if (l->dead)
		return;
	if ((l->is_paced && pace_probe_is_due(&l->pace, now_us())) ||
		(l->owes_probe && smx_transport_tx_len(l->t) > 0))
		link_probe(l);
}

static void compose(struct link *l)
{
	struct source *s;

	while (link_has_room(l) && (s = next_source(l))) {
		smx_list_del(&s->node);
		/* Whoever has that much is bulk for now, or a terminal's flood starved all others.
		 */
		if (s->drain(s) && !l->dead && smx_list_empty(&s->node))
			smx_list_add_tail(&l->ready_bulk, &s->node);
		probe_path(l);
	}
	probe_path(l);
}

static void on_written(uv_write_t *req, int status)
{
	struct link *l = req->data;
	struct core *core = l->core;

	smx_transport_tx_free(l->t, l->inflight);
	l->inflight = NULL;
	l->inflight_len = 0;
	/* The socket was full, and the other side's system took some of it: a slow path, no dead
	 * one. */
	if (status < 0)
		link_fail(l, SMX_EEOF, uv_strerror(status));
	else
		smx_live_seen(&l->live, core_now(core));
	link_touch(l);
}

/* Writes blocks; what the socket does not take at once goes on in the background. */
static void write_blocks(struct link *l, struct smx_tx_block *list)
{
	uv_buf_t bufs[WRITE_BUFS_MAX];
	struct smx_tx_block *b;
	size_t total = 0, done;
	unsigned n = 0;
	int r;

	for (b = list; b; b = b->next) {
		/* compose() stops far below this; only control messages could get here. */
		if (n == WRITE_BUFS_MAX) {
			smx_transport_tx_free(l->t, list);
			link_fail(l, SMX_ELIMIT, NULL);
			return;
		}
		bufs[n++] = uv_buf_init((char *)b->data, (unsigned)b->len);
		total += b->len;
	}
	l->bytes_out += total;
	r = uv_try_write((uv_stream_t *)l->tcp, bufs, n);
	if (r < 0 && r != UV_EAGAIN) {
		smx_transport_tx_free(l->t, list);
		link_fail(l, SMX_EEOF, uv_strerror(r));
		return;
	}
	done = r > 0 ? (size_t)r : 0;
	if (done == total) {
		smx_transport_tx_free(l->t, list);
		return;
	}
	/* Skip what is written; its memory goes with the rest. */
	r = 0;
	while (done >= bufs[r].len)
		done -= bufs[r++].len;
	bufs[r].base += done;
	bufs[r].len -= done;
	l->inflight = list;
	l->inflight_len = 0;
	for (unsigned i = (unsigned)r; i < n; i++)
		l->inflight_len += bufs[i].len;
	l->write_req.data = l;
	r = uv_write(&l->write_req, (uv_stream_t *)l->tcp, bufs + r, n - (unsigned)r, on_written);
	if (r != 0) {
		smx_transport_tx_free(l->t, list);
		l->inflight = NULL;
		l->inflight_len = 0;
		link_fail(l, SMX_ESYS, uv_strerror(r));
	}
}

void link_flush(struct link *l)
{
	struct smx_tx_block *list;

	if (!l->t)
		return;
	if (!l->dead)
		start_reading(l);
	while (!l->inflight) {
		/* As with a socket: what a full carrier does not take waits here, and is counted.
		 */
		if (l->carrier && l->carrier->ops->backlog(l->carrier) >= LINK_TX_HIGH)
			break;
		if (!l->dead)
			compose(l);
		if (!(list = smx_transport_tx_take(l->t)))
			break;
		if (l->tcp)
			write_blocks(l, list);
		else if (l->carrier)
			l->carrier->ops->write(l->carrier, list);
		else
			smx_transport_tx_free(l->t, list);
	}
	if (!l->dead && smx_transport_tx_len(l->t) > l->backlog_max)
		link_fail(l, SMX_ELIMIT, "the other side does not read");
}

/* --- life --- */

static int start(struct link *l, const struct smx_transport_config *config)
{
	int r;

	if ((r = smx_transport_new(&l->t, config, core_now(l->core))) != 0)
		return r;
	smx_conn_init(&l->conn, l->t);
	l->conn.takes_globals = l->ops->global != NULL;
	/* The arithmetic of a guess (B13). */
	if (smx_transport_is_waiting(l->t))
		link_process(l);
	link_touch(l);
	return 0;
}

int link_start_tcp(struct link *l, uv_tcp_t *tcp, const struct smx_transport_config *config)
{
	int r;

	l->tcp = tcp;
	l->tcp->data = l;
	(void)uv_tcp_nodelay(l->tcp, 1);
	if ((r = start(l, config)) != 0)
		return r;
	start_reading(l);
	return 0;
}

int link_start_carrier(
	struct link *l, struct carrier *carrier, const struct smx_transport_config *config)
{
	l->carrier = carrier;
	l->pace.may_hold = 1;
	carrier->inner = l;
	return start(l, config);
}

void link_free_if_closed(struct link *l)
{
	if (!l->is_reaped || l->tcp || l->n_work)
		return;
	smx_conn_release(&l->conn);
	smx_transport_free(l->t);
	smx_free(l);
}

void link_discard(struct link *l)
{
	smx_list_del(&l->node);
	smx_list_del(&l->dirty_node);
	smx_list_del(&l->dying_node);
	l->is_reaped = 1;
	link_free_if_closed(l);
}

static void on_closed(uv_handle_t *h)
{
	struct link *l = h->data;

	smx_free(l->tcp);
	l->tcp = NULL;
	link_free_if_closed(l);
}

void link_reap(struct link *l)
{
	struct smx_chan *chan;
	struct endpoint *ep;

	smx_list_del(&l->dying_node);
	smx_list_del(&l->breath_node);
	smx_list_del(&l->node);
	/* A last DISCONNECT, as far as the socket takes it. */
	if (!l->inflight)
		link_flush(l);
	while (!smx_list_empty(&l->owed))
		smx_list_del(l->owed.next);
	pacing_release(l);
	for (uint32_t i = 0; i < l->conn.n_slots; i++) {
		chan = l->conn.chans[i];
		ep = chan ? chan->user : NULL;
		if (!ep)
			continue;
		chan->user = NULL;
		ep->chan = NULL;
		ep->ops->link_dead(ep, l->dead, l->why);
	}
	/* Relays may outlive it: until the remote has answered their CLOSE. */
	share_release(&l->share);
	if (l->carrier) {
		l->carrier->inner = NULL;
		l->carrier->ops->detach(l->carrier);
		l->carrier = NULL;
	}
	link_cancel_work(l);
	/* Who was told may have had more to send, as the cancelling of a remote forward. */
	smx_list_del(&l->dirty_node);
	l->is_reaped = 1;
	l->ops->dead(l, l->dead, l->why);
	l->owner = NULL;
	assert(smx_list_empty(&l->ready_bulk) && smx_list_empty(&l->ready_interactive));
	if (l->tcp)
		uv_close((uv_handle_t *)l->tcp, on_closed);
	else
		link_free_if_closed(l);
}

void link_host_key_decided(struct link *l, int r)
{
	if (l->dead)
		return;
	smx_transport_host_key_decided(l->t, r);
	link_process(l);
}

/* --- keepalive (P4, L10, B11, U3) --- */

static_assert(SMX_PROBES_KEPT > PACE_PROBES_MAX, "each that measures must find its question");

void link_probe(struct link *l)
{
	static const char ping[] = "ssh-mux";
	int r;

	if (l->dead || !l->t || smx_transport_n_kex(l->t) == 0)
		return;
	r = smx_transport_ping(l->t, smx_view_of(ping, sizeof(ping) - 1));
	if (r == SMX_EUNSUPPORTED)
		r = smx_conn_keepalive(&l->conn);
	if (r != 0) {
		link_fail(l, r, NULL);
		return;
	}
	l->owes_probe = 0;
	smx_live_probed(&l->live, core_now(l->core));
	if (l->pace.n_probes == 0) /* an exchange before this one is of no matter */
		l->pace_kex = smx_transport_n_kex(l->t);
	pace_probe_sent(&l->pace, now_us());
	if (!smx_transport_can_send(l->t))
		pace_void_probes(&l->pace);
	l->probe_end = l->bytes_out + smx_transport_tx_len(l->t);
	if (!l->probe_sent_ms)
		l->probe_sent_ms = core_now(l->core);
	link_touch(l);
}

int link_tick(struct link *l, const struct smx_live_input *in)
{
	uint64_t now = core_now(l->core);
	int r, due;

	if (l->dead || !l->t)
		return 0;
	/* Nobody answers a key exchange on a stalled path; what is sent meanwhile would be held. */
	if (l->live.state == SMX_LIVE_READY && (r = smx_transport_tick(l->t, now)) != 0) {
		transport_failed(l, r);
		return 0;
	}
	/* A peer that sends and does not answer: what it was sent would never be confirmed. */
	if (l->is_paced && pace_is_unanswered(&l->pace, now_us()) && now - l->live.life_ms < 1000) {
		l->is_paced = 0;
		l->is_unanswered = 1;
	}
	link_touch(l);
	due = smx_live_tick(&l->live, &l->rules, in, now);
	if (due & SMX_LIVE_HAS_STALLED)
		l->probe_sent_ms = 0; /* the wait is no round trip */
	if (due & SMX_LIVE_PROBE_DUE)
		link_probe(l);
	return due;
}
