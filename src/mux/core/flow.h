/* SPDX-License-Identifier: MIT */
/*
 * A flow: one direction of a relayed channel, from a channel of one link into a channel
 * of another.
 *
 * While the way is clear a message goes straight from the receive buffer of the one link into
 * the send buffer of the other. Else it is queued here, in order, and the flow waits for its turn
 * on the outgoing link. The window granted to the sender never exceeds the room left in
 * the queue, so a stuck receiver stops its own channel and nothing else
 * (docs/DESIGN.md, section 5).
 *
 * Windows are granted when in's link can write, so that many small grants of the receiver are one
 * of ours, and never less than FLOW_GRANT_LEAST.
 *
 * Windows start small and double while the receiver keeps up, within the client's share of the
 * window memory (window.h).
 */
#ifndef SMX_MUX_CORE_FLOW_H
#define SMX_MUX_CORE_FLOW_H

#include "mux/core/bulk.h"

/* What may be queued for a receiver that takes nothing more. */
#define FLOW_SLACK (1024u * 1024)
/* A receiver that takes byte after byte must not make us send a message for each. */
#define FLOW_GRANT_LEAST (WINDOW_LEAST / 4)
/* Queued requests of one flow, with what it costs to keep them; nobody needs more. */
#define FLOW_REQUESTS_MAX (512 * 1024)

struct flow {
	struct source source; /* of data: on out->link's lists */
	struct source grants; /* of window: on in->link's */
	struct core *core;
	struct endpoint *in, *out; /* their links may be gone once their channels are */
	struct smx_list queue; /* records */
	size_t queued_data;
	size_t queued_heads; /* what it costs to keep single bytes of several streams apart */
	size_t queued_requests; /* real bytes */
	struct window window; /* what may be granted or queued at once */
	uint64_t granted; /* since the window grew */
	struct bulk bulk; /* or not, on the connection to a remote (B8) */
	unsigned is_terminal : 1;
	uint64_t bytes; /* of data that came and was wanted */
};

/* share: of the client's link. f->window.first is what `in` may be granted first. */
void flow_init(struct flow *f, struct core *core, struct share *share, struct endpoint *in,
	struct endpoint *out);
void flow_release(struct flow *f);

/* Drops what is queued; the flow stays. */
void flow_clear(struct flow *f);
/* The receiver has closed, and takes requests only (an exit status): sends those that wait. */
void flow_requests_only(struct flow *f);
/* A line of our own for the client's stderr, behind what is queued; CLOSE is to come. */
void flow_message(struct flow *f, const char *text);

/* Data, from a DATA event on in. */
void flow_data(struct flow *f, const struct smx_conn_event *ev);
/*
 * A request of at most smx_transport_payload_max, in its place among the data, or past it
 * (is_urgent: signal, window-change …), but never past another request.
 */
void flow_request(struct flow *f, const struct smx_conn_event *ev, int is_urgent);
/* An "exit-status" of our own (RFC 4254, section 6.10), behind what is queued. */
void flow_exit_status(struct flow *f, uint32_t status);
void flow_eof(struct flow *f);
/* CLOSE after everything that is queued. */
void flow_close(struct flow *f);
/* The receiver granted window, or became able to send. */
void flow_resume(struct flow *f);
int flow_is_empty(const struct flow *f);

#endif
