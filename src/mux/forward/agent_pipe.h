/* SPDX-License-Identifier: MIT */
/*
 * Messages of the agent protocol over a channel of a link (auth-agent@openssh.com), from either of
 * its ends: the remote asks through one, and a client that lends its agent answers through another
 * (B4). They come one at a time and whole; what the peer sends meanwhile is bounded by its window.
 */
#ifndef SMX_MUX_FORWARD_AGENT_PIPE_H
#define SMX_MUX_FORWARD_AGENT_PIPE_H

#include "mux/core/link.h"

struct agent_pipe;

struct agent_pipe_ops {
	void (*opened)(struct agent_pipe *p); /* the peer took the channel; NULL: it asked for it */
	/* The next message, without its length. It stays, and no other comes, until
	 * agent_pipe_next. */
	void (*message)(struct agent_pipe *p, struct smx_view message);
	/* The channel is over, or can't go on, or was refused: to be closed. */
	void (*ended)(struct agent_pipe *p);
	/* The last call: nothing of it is under way any more. */
	void (*released)(struct agent_pipe *p);
};

struct agent_pipe {
	const struct agent_pipe_ops *ops;
	struct endpoint ep; /* chan NULL: it is gone */
	struct source source;
	struct smx_buf in, out;
	unsigned is_held : 1; /* a message is being dealt with */
	unsigned is_taking : 1, is_closed : 1, has_eof : 1;
};

/*
 * Takes over a channel: one that the peer asked for, to be answered by agent_pipe_accept or
 * agent_pipe_refuse, or (chan NULL) one that is asked for now. Errors of smx_conn_open.
 */
int agent_pipe_init(struct agent_pipe *p, const struct agent_pipe_ops *ops, struct link *l,
	struct smx_chan *chan);
void agent_pipe_accept(struct agent_pipe *p);
/* `released` is called. */
void agent_pipe_refuse(struct agent_pipe *p, enum smx_open_failure reason, const char *text);
/* Done with the message; the next one comes once all of `out` is sent. */
void agent_pipe_next(struct agent_pipe *p);
/* The message that is being dealt with; empty if there is none. */
struct smx_view agent_pipe_message(const struct agent_pipe *p);
/* Something was put into p->out. */
void agent_pipe_flush(struct agent_pipe *p);
/* Ends it from our side. `released` is called, maybe now. */
void agent_pipe_close(struct agent_pipe *p);

#endif
