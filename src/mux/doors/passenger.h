/* SPDX-License-Identifier: MIT */
/*
 * A passenger: a channel of a pooled connection whose other end is no SSH connection but the
 * standard streams of a program that came through a control socket (W2): a session, or a forward to
 * one place (`ssh -W`); or a connection that came to a listener of ours (listener.h). "Passenger"
 * is PROTOCOL.mux's word for a client that only waits.
 *
 * The channel is opened through the pool as everybody's is. What is read from the stream goes
 * straight into the connection's send buffer when that has room; what comes is written at once,
 * and what the stream does not take is queued here, within the window granted.
 */
#ifndef SMX_MUX_DOORS_PASSENGER_H
#define SMX_MUX_DOORS_PASSENGER_H

#include "control/mux4.h"
#include "mux/core/bulk.h"
#include "mux/doors/stdio.h"
#include "mux/pool/pool.h"
#include "ssh/request.h"

struct passenger;
struct passenger_owner;

struct passenger_owner_ops {
	/* Returns whether the passenger is still there: its owner may have gone, and it with him.
	 */
	int (*opened)(struct passenger_owner *o, uint32_t session);
	/* text: for people. The passenger is gone. */
	void (*refused)(struct passenger_owner *o, const char *text);
	/* Of a session. Returns the same. */
	int (*exited)(struct passenger_owner *o, uint32_t session, uint32_t status);
	void (*tty_failed)(struct passenger_owner *o, uint32_t session);
	/* Everything was written. The passenger has let go of its owner. */
	void (*over)(struct passenger_owner *o);
};

/* Whom a passenger belongs to; embedded there. */
struct passenger_owner {
	const struct passenger_owner_ops *ops;
	struct mux *mux;
	struct smx_routes *routes; /* holds route */
	const struct smx_route *route;
	struct share *share; /* of window memory (U8) */
	uint64_t id;
	int64_t pid; /* of the process that has come; -1: not known */
	/* The streams are the two directions of a connection of our own, each of which ends by
	 * itself. Else they last as long as the channel. */
	int is_connection;
};

/* For its streams; NULL: there is none (the third of a forward). */
struct passenger_streams {
	struct smx_os_stdio *in, *out, *err;
};

/*
 * Takes the streams over, in any case. kind and specific are those of the channel; req: the request
 * of a session, or NULL. The owner is told how it goes on: opened or refused, maybe before
 * passenger_start returns; later exited and tty_failed; over last. NULL: no memory.
 */
struct passenger *passenger_new(struct passenger_owner *o, const struct passenger_streams *streams,
	struct smx_view kind, struct smx_view specific, const struct smx_mux4_request *req);
/*
 * The same for a channel that the remote has asked for, with data that came before it was answered
 * nowhere: it is accepted, and the owner hears only `over`. kind: of a fixed text. NULL: no memory,
 * and nothing was done to the channel.
 */
struct passenger *passenger_accept(struct passenger_owner *o,
	const struct passenger_streams *streams, struct link *l, struct smx_chan *chan,
	struct smx_view kind);
/* Begins to open the channel. */
void passenger_start(struct passenger *p);
/* The owner is gone: closes the channel, and tells nobody. */
void passenger_leave(struct passenger *p);
/* A line of our own, at the person's end. */
void passenger_tell(struct passenger *p, const char *text);
/* What its owner had besides the channel is lost: says so at the person's end, and closes it. */
void passenger_lose(struct passenger *p, const char *text);
/* The channel was opened, whatever became of it. */
int passenger_is_open(const struct passenger *p);
/* The size of its terminal may be another one. */
void passenger_resize(struct passenger *p);

/* For status. */
struct passenger_info {
	uint64_t id, connection, age_ms, bytes_in, bytes_out;
	const char *kind, *state;
};
void passenger_describe(const struct passenger *p, struct passenger_info *ret);

#endif
