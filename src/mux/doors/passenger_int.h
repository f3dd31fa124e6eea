/* SPDX-License-Identifier: MIT */
/* Private to passenger*.c. */
#ifndef SMX_MUX_DOORS_PASSENGER_INT_H
#define SMX_MUX_DOORS_PASSENGER_INT_H

#include "mux/ask/caller_ask.h"
#include "mux/doors/passenger.h"
#include "mux/forward/agent_forward.h"
#include "os/terminal.h"

#define PASSENGER_TEXT_SIZE 600

/* What is to be requested once the channel of a session is open. */
struct wish {
	struct smx_buf term, modes, command, env; /* env: strings, name and value in turn */
	int wants_tty, is_subsystem;
	char *agent; /* B4: where the agent listens that is to be lent, or NULL */
};

struct passenger {
	struct mux *mux;
	struct passenger_owner *owner; /* NULL once it is gone */
	struct endpoint ep; /* the channel */
	struct open_req req;
	char dismissal[CALLER_DISMISSAL_SIZE]; /* why it waits no more */
	struct caller_ask *ask; /* its person, until the channel is open */
	struct source source; /* from the stream, on the link's lists */
	struct source grants;
	struct input *in;
	struct output *out, *err;
	struct window window;
	struct bulk up, down;
	uint64_t granted; /* since the window grew */
	uint64_t bytes_in, bytes_out;
	uint64_t id, born_ms, conn;
	const char *kind;
	char route[SMX_ROUTE_NAME_MAX + 1];
	struct wish wish;
	struct smx_request_order order;
	struct agent_lender lender;
	struct caller_ask *consent; /* its person, while it lends and has to be asked */
	enum smx_request_kind command; /* which one was sent */
	uint32_t status; /* has_status: the session's, which its owner gets once all has come */
	uint32_t escape;
	enum smx_mux4_escape_state escape_state;
	struct smx_os_terminal_size size;
	unsigned is_open : 1, is_tty : 1, awaits_tty : 1, awaits_command : 1, has_eow : 1,
		is_over : 1, is_connection : 1, has_status : 1, has_all : 1;
};

/* Whether something can be sent on its channel. */
int passenger_has_channel(const struct passenger *p);
void passenger_close_channel(struct passenger *p);
/* Something was sent on a link, or (r) could not be. */
void passenger_sent(struct link *l, int r);

/* --- passenger_ask.c: what a session asks the server for --- */

/* Keeps what the client wants, and what its terminal is like now. SMX_ENOMEM, SMX_ELIMIT. */
int passenger_wish(struct passenger *p, const struct smx_mux4_request *req);
void passenger_wish_release(struct wish *w);
/* All of it, once the channel is open. An error: it can't be asked for, and nothing has begun. */
int passenger_ask(struct passenger *p);
/* The server's answer to the first of what was not answered yet. */
void passenger_answered(struct passenger *p, int success);

#endif
