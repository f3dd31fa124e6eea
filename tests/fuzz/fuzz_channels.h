/* SPDX-License-Identifier: MIT */
/* What must hold of the channels of a connection, whatever the peer says. */
#ifndef SMX_FUZZ_CHANNELS_H
#define SMX_FUZZ_CHANNELS_H

#include "fuzz_ssh.h"
#include "ssh/conn.h"

static inline void fuzz_check_channels(const struct smx_conn *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_slots; i++) {
		if (!c->chans[i])
			continue;
		n++;
		fuzz_check(c->chans[i]->id % SMX_CHANNELS_MAX == i);
		fuzz_check(c->chans[i]->recv_window <= 1u << 30);
		fuzz_check(c->chans[i]->n_replies_due <= SMX_REPLIES_MAX);
		fuzz_check(!c->chans[i]->close_received); /* it was freed */
	}
	fuzz_check(n == c->n_chans && n <= SMX_CHANNELS_MAX);
}

/* An event is about a channel that is there, and points into the message. */
static inline void fuzz_check_event(
	const struct smx_conn *c, const struct smx_conn_event *ev, size_t len)
{
	fuzz_check(ev->data.len <= len && ev->kind.len <= len);
	/* U2: ignored, or about a channel that is there. */
	fuzz_check(!ev->is_slip || (ev->type == SMX_CONN_NONE && !ev->chan));
	fuzz_check(ev->type == SMX_CONN_NONE || ev->type == SMX_CONN_GLOBAL_REPLY ||
		   ev->type == SMX_CONN_GLOBAL_REQUEST ||
		   ev->chan == c->chans[ev->chan->id % SMX_CHANNELS_MAX]);
	fuzz_check(!ev->broken || ev->type == SMX_CONN_CLOSE || ev->type == SMX_CONN_OPEN_FAIL);
}

#endif
