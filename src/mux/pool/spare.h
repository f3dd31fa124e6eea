/* SPDX-License-Identifier: MIT */
/*
 * Spare session channels (B12). A session costs two round trips: one until the remote has opened
 * its channel (RFC 4254 section 5.1), one for its command. So after a session a connection has the
 * next channel opened beforehand, and the next session is given that.
 *
 * A spare is nobody's: it is no channel of a client's, in status or for the idle clock (P2), and it
 * takes the place of no session. A session that comes while there is a spare always gets it, and a
 * spare is not asked for while a session's open is under way; so no server ever refuses a session
 * because of a spare, but in the moment in which one that we closed is not gone there. Those are
 * tried again.
 *
 * A path may have died since the server opened the spare (B11). A session is given one at once only
 * if the server has shown life lately. Else it waits for the next sign of life, as it would wait
 * for the answer to its open, and goes to another connection if none comes (U3).
 */
#ifndef SMX_MUX_POOL_SPARE_H
#define SMX_MUX_POOL_SPARE_H

#include "mux/core/window.h"
#include "mux/pool/pool.h"

#define SPARES_MAX 2
/* What the server is granted on one; what its session's client grants is added. */
#define SPARE_WINDOW WINDOW_LEAST
/* Unused for so long: it is closed, and sessions are no longer expected. */
#define SPARE_KEEP_MS (60 * 1000)

struct spare {
	struct endpoint ep; /* chan NULL: there is none; is_session: req waits for it */
	struct open_req *req; /* whose session waits for it, or NULL */
	uint64_t since_ms;
};

/* Of an upstream. */
struct spares {
	struct spare all[SPARES_MAX];
	struct endpoint leaving; /* of those that are to be closed, until the server's word */
	unsigned n_leaving;
	unsigned n_wanted; /* at once: 1, under steady use 2 */
	uint64_t given_ms; /* when the last session began; 0: there was none */
	uint64_t round_ms; /* the least that the server took to open one */
	int is_measured; /* that is known */
	int is_refused; /* by the server, on this connection */
};

void spares_init(struct upstream *up);
/*
 * 1: the session that is asked for has one, or waits for one: the request is pending on up and was
 * or will be answered. 0: there is none; its own open is to be sent.
 */
int spares_serve(struct upstream *up, struct open_req *req);
/* The request is no longer to have one. 1: it waited for one. */
int spares_forget(struct upstream *up, const struct open_req *req);
/* Some session that waits for one, or NULL. */
struct open_req *spares_first_waiting(const struct upstream *up);
/* A session has begun, on a spare or not. */
void spares_given(struct upstream *up);
/* Asks the server for as many as are missing, if it is a good moment. */
void spares_fill(struct upstream *up);
/* Something came from the server. */
void spares_alive(struct upstream *up);
/* Once a second while it is ready. */
void spares_tick(struct upstream *up);
/* Closes those that nobody waits for. */
void spares_close(struct upstream *up);

/* Those that nobody has or waits for. */
unsigned spares_count(const struct upstream *up);
/* Channels of the connection that are somebody's: none of those, nor those that are being closed.
 */
unsigned spares_others(const struct upstream *up);
/* Whether a channel of the connection is a spare that nobody waits for, or was one. */
int spares_is_one(const struct smx_chan *chan);

#endif
