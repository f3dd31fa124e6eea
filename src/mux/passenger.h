/* SPDX-License-Identifier: MIT */
/*
 * A passenger: a channel of a pooled connection whose other end is no SSH connection but the
 * standard streams of a program that came through a control socket (W2): a session, or a forward to
 * one place (`ssh -W`). "Passenger" is PROTOCOL.mux's word for such a client, which only waits.
 *
 * The channel is opened through the pool as everybody's is. What is read from the stream goes
 * straight into the connection's send buffer when that has room; what comes is written at once,
 * and what the stream does not take is queued here, within the window granted.
 */
#ifndef SMX_MUX_PASSENGER_H
#define SMX_MUX_PASSENGER_H

#include "control/mux4.h"
#include "mux/bulk.h"
#include "mux/pool.h"
#include "mux/stdio.h"
#include "ssh/request.h"

struct guest;
struct passenger;

/* For its streams; NULL: there is none (the third of a forward). */
struct passenger_streams {
	struct smx_os_stdio *in, *out, *err;
};

/*
 * Takes the streams over, in any case. kind and specific are those of the channel; req: the request
 * of a session, or NULL. The guest is told how it goes on: guest_opened or guest_refused, maybe
 * before this returns; later guest_exited and guest_tty_failed; guest_over last. NULL: no memory.
 */
struct passenger *passenger_new(struct guest *g, const struct passenger_streams *streams,
	struct smx_view kind, struct smx_view specific, const struct smx_mux4_request *req);
/* Begins to open the channel. */
void passenger_start(struct passenger *p);
/* The guest is gone: closes the channel, and tells nobody. */
void passenger_leave(struct passenger *p);
/* The size of its terminal may be another one. */
void passenger_resize(struct passenger *p);

/* For status. */
struct passenger_info {
	uint64_t id, connection, age_ms, bytes_in, bytes_out;
	const char *kind, *state;
};
void passenger_describe(const struct passenger *p, struct passenger_info *ret);

#endif
