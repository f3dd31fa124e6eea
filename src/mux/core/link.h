/* SPDX-License-Identifier: MIT */
/*
 * A link: one SSH connection of ours (transport + channels) on a TCP socket or another
 * carrier, such as a channel of another link (a tunnel through a jump host).
 *
 * Sending. At most one write is on its way; what comes meanwhile is composed and goes
 * with the next one. Bulk data is only composed while less than LINK_TX_HIGH waits; the rest
 * stays with its source (a flow, a tunnel), which queues up here and is asked for
 * more when there is room: interactive sources first, then the others in turn.
 */
#ifndef SMX_MUX_CORE_LINK_H
#define SMX_MUX_CORE_LINK_H

#include "mux/core/core.h"
#include "mux/core/pace.h"
#include "ssh/conn.h"
#include "ssh/liveness.h"

#define LINK_TX_HIGH       (512 * 1024)
#define LINK_QUANTUM       (32 * 1024) /* of a source, see link_quantum */
#define LINK_QUANTUM_LEAST (4 * 1024)
/* What the windows of one connection may grow to together (B7). */
#define LINK_WINDOW_MAX (64u * 1024 * 1024)

enum link_way { LINK_DOWN, LINK_UP };
/* Messages that could not be written to a peer that does not read: over this we give it up. What
 * a client makes us send upstream is bounded for each of its channels, long before (flow.h). */
#define LINK_BACKLOG_MAX (2 * 1024 * 1024)

struct link;

/* Something with bulk data for a link. */
struct source {
	struct smx_list node; /* in link->owed or ->ready_*, or in no list */
	int is_interactive;
	int is_paced; /* waits while as much is on its way as the path takes (B8) */
	/* Sends at most link_quantum bytes. 1: there is more, and it could be sent. */
	int (*drain)(struct source *s);
};

struct endpoint;
struct carrier;

/* What a channel of a link belongs to; chan->user points to one. */
struct endpoint_ops {
	void (*event)(struct endpoint *ep, struct smx_conn_event *ev);
	/* The link is gone, and the channel with it. */
	void (*link_dead)(struct endpoint *ep, int r, const char *why);
};

struct endpoint {
	const struct endpoint_ops *ops;
	struct link *link;
	struct smx_chan *chan; /* NULL once it is gone */
	int is_session;
};

struct link_ops {
	/* Clients: 0 or why not; SMX_EAGAIN: link_host_key_decided says it later. */
	int (*host_key)(struct link *l, struct smx_view blob);
	void (*ready)(struct link *l); /* the first key exchange is done */
	int (*auth)(struct link *l, struct smx_view payload); /* messages before CONNECTION */
	void (*open)(struct link *l, struct smx_conn_event *ev); /* the peer asks for a channel */
	void (*dead)(struct link *l, int r, const char *why); /* last call; frees the owner */
	const char *id_name; /* of its number, in the log */
	void (*life)(struct link *l); /* something came; or NULL */
	/* The peer has a global request, which is to be answered; NULL: they are refused. */
	void (*global)(struct link *l, struct smx_conn_event *ev);
	/* An answer to a global request of ours: whether it was not a probe's; or NULL. */
	int (*global_reply)(struct link *l, struct smx_conn_event *ev);
};

/* What a link without a socket stands on. */
struct carrier_ops {
	/* Takes the blocks over and sends them in order. */
	void (*write)(struct carrier *c, struct smx_tx_block *list);
	/* Bytes taken over and not sent yet. */
	size_t (*backlog)(struct carrier *c);
	/* The link is gone; the carrier ends itself. */
	void (*detach)(struct carrier *c);
	/* As link_unsent; NULL: it is not known. */
	int (*unsent)(struct carrier *c, size_t *ret_len);
};

struct carrier {
	const struct carrier_ops *ops;
	struct link *inner; /* the link it carries; NULL once that is gone */
};

struct work_req;

struct link {
	struct core *core;
	struct smx_list node; /* core->links */
	struct smx_list dirty_node, dying_node, breath_node, pacing_node;
	const struct link_ops *ops;
	void *owner;
	struct smx_transport *t; /* NULL until the carrier stands */
	struct smx_conn conn;
	struct share share; /* of a client */
	struct smx_list owed, ready_interactive, ready_bulk; /* sources */
	struct smx_list owed_later; /* those whose window is not due yet (pacing.h) */

	uv_tcp_t *tcp; /* NULL with a carrier */
	int is_reading;
	uv_write_t write_req;
	struct smx_tx_block *inflight; /* being written */
	size_t inflight_len;
	struct carrier *carrier; /* instead of a socket */
	int is_carrier_lost; /* dead because the connection that the carrier is a part of is */

	int is_reaped;
	int dead; /* the error it died of */
	char why[256];
	int n_work; /* slow work on worker threads, which is waited for */
	struct lane *lane; /* where it is done for clients (U9); NULL: libuv's threads */
	struct work_req *lane_work; /* which is under way there, and is not waited for; or NULL */
	size_t backlog_max; /* LINK_BACKLOG_MAX, or less of who has not authenticated */
	uint64_t n_slips; /* messages that were ignored (U2) */
	uint64_t id, born_ms, bytes_in, bytes_out;
	uint64_t burst_since_ms, burst_bytes; /* how fast bytes come in */
	int is_bulk;
	/* the path to a remote (B7, B8) */
	int is_paced;
	int owes_probe; /* one is due with what is sent next */
	int is_unanswered; /* it leaves probes without an answer: never paced again */
	struct pace pace;
	uint64_t pace_kex; /* key exchanges done when it was last told something */
	/* Flows with bulk in this round trip, and in the one before; by enum link_way. */
	unsigned n_busy[2], n_busy_before[2];
	/* keepalive (P4, L10, U3) */
	struct smx_live live;
	struct smx_live_rules rules; /* the owner's to change */
	uint64_t probe_end; /* of what bytes_out counts, the last probe is before this */
	uint64_t probe_sent_ms; /* of the first that was not answered; 0: none */
	int64_t rtt_ms; /* of the last answered probe, -1 unknown */
};

struct link *link_new(struct core *core, const struct link_ops *ops, void *owner);
/* Frees a link that was never started and whose owner does not want to hear of it. */
void link_discard(struct link *l);
/* A connected socket (smx_malloc'd, taken over in any case): from here on the link speaks. */
int link_start_tcp(struct link *l, uv_tcp_t *tcp, const struct smx_transport_config *config);
int link_start_carrier(
	struct link *l, struct carrier *carrier, const struct smx_transport_config *config);

/* Marks it dead; the first reason counts. why: shown to people, may be NULL. */
void link_fail(struct link *l, int r, const char *why);
/* The same after a DISCONNECT message to the peer. */
void link_disconnect(struct link *l, enum smx_disconnect code, int r, const char *why);
/* It has something to write. */
void link_touch(struct link *l);
/* Whether data may be sent into it now. */
int link_has_room(const struct link *l);
/* The same of bulk, for which the path's room counts as well (B8). */
int link_has_bulk_room(struct link *l);
/*
 * Bytes of the link, and of all others on the same TCP connection, that this has not sent yet.
 * SMX_EUNSUPPORTED, SMX_ESYS: the system does not tell, or it is no such connection.
 */
int link_unsent(struct link *l, size_t *ret_len);
/* What a source may send before it is the next one's turn: less on a thin path, where a large
 * message is milliseconds that a keystroke waits. */
size_t link_quantum(const struct link *l);
/* Queues a source for its turn; no-op if it is queued already. */
void link_enqueue(struct link *l, struct source *s);
/*
 * The same for window that a channel of the link is owed. It goes before all data, and is composed
 * (once for each channel) when the link can write: what is owed meanwhile is joined, and a
 * peer that stalls is not drowned in it.
 */
void link_owe(struct link *l, struct source *s);
/* Events from bytes received; for carriers, and after a wait ended. */
void link_process(struct link *l);
/* The answer to ops->host_key. */
void link_host_key_decided(struct link *l, int r);
/* Sends a probe (keepalive) now. */
void link_probe(struct link *l);
/*
 * Once a second: keepalives by l->rules, rekey by time. Returns what smx_live_tick does, with the
 * probe sent; what a state means is the owner's.
 */
int link_tick(struct link *l, const struct smx_live_input *in);
void link_flush(struct link *l); /* core_settle only */
void link_reap(struct link *l); /* core_settle only */
/* Bytes arrived through the carrier. */
void link_carrier_data(struct link *l, struct smx_view data);
/* The same without a copy: room at *ret_p to read them into (0: none now), and how many have been
 * read there since, 0 as well. */
size_t link_carrier_space(struct link *l, uint8_t **ret_p);
void link_carrier_read(struct link *l, size_t n);

#endif
