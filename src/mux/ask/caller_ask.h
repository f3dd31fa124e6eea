/* SPDX-License-Identifier: MIT */
/*
 * The person of a client of a control socket (W2): asked at the client's controlling terminal, as
 * ssh itself would (`echo x | ssh web cat` has one), or by its SSH_ASKPASS, under ssh's own rules
 * for which. Both are found by what the system tells about the client's process (os/caller.h),
 * which is looked at when a question comes up and not before. Where nothing can be known, nobody is
 * asked: the client is refused, goes on by itself, and asks.
 */
#ifndef SMX_MUX_ASK_CALLER_ASK_H
#define SMX_MUX_ASK_CALLER_ASK_H

#include "mux/ask/asker.h"
#include "mux/core/mux.h"

#define CALLER_DISMISSAL_SIZE 600

struct caller_ask;
struct open_req;
struct passenger;
struct passenger_owner;

/* What waits for a login, and for whose sake. */
struct caller_wait {
	struct mux *mux;
	const struct passenger_owner *owner; /* of the process that is asked */
	struct passenger *passenger; /* whose streams are there, or NULL */
	struct open_req *req; /* what waits; NULL: for nothing that has a time of its own */
	char *dismissal; /* with req: of CALLER_DISMISSAL_SIZE bytes, and outlives it */
	uint64_t id; /* for the log; or 0 */
};

/* wait is copied; what it names must be there until caller_ask_leave. NULL: no memory. */
struct caller_ask *caller_ask_new(const struct caller_wait *wait);
/* Its client is gone, and nobody is asked any more, though something may wait still. NULL works. */
void caller_ask_leave(struct caller_ask *a);
struct asker *caller_ask_asker(struct caller_ask *a);
/* It answered a question, or its person would not: ssh is not to ask again by itself. */
int caller_ask_was_asked(const struct caller_ask *a);
/*
 * What was waited for is there, or will not be, or the client is gone: a question is asked
 * elsewhere. Its request waits for nothing any more. NULL works.
 */
void caller_ask_free(struct caller_ask *a);
/* A15: whether a client has the message of this wait (asker_ops.show); the wait is over: it ends. */
int caller_ask_is_shown(const struct mux *m, const void *of);
void caller_ask_hide(struct mux *m, const void *of);
/* Once a second: whose terminal is another job's by now, and who is back. */
void caller_ask_tick(struct mux *m);

/* W7: whether these arguments of ssh (strings, each with its NUL) turn BatchMode on. */
int caller_args_are_batch(const char *args, size_t len);

#endif
