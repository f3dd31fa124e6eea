/* SPDX-License-Identifier: MIT */
/*
 * The agent that a client lends (B4), for one of the remote's connections to it: reached through a
 * channel of the client's own link (`ssh -A` answers there), or at a socket or pipe. As for a real
 * ssh each connection of the remote's is one to the agent, since that remembers what it was told on
 * it (session-bind@openssh.com).
 */
#ifndef SMX_MUX_FORWARD_AGENT_END_H
#define SMX_MUX_FORWARD_AGENT_END_H

#include "mux/core/link.h"
#include "mux/core/mux.h"

struct agent_end;

enum agent_end_event {
	AGENT_END_OPEN, /* once: requests may be sent */
	AGENT_END_ANSWER,
	AGENT_END_GONE, /* the last one: there is no agent, or it left, or can't be understood; the
			   end frees itself */
};

/* message: an answer without its length, valid during the call. agent_end_free may be called. */
typedef void agent_end_cb(void *arg, enum agent_end_event event, struct smx_view message);

/* NULL: it can't be tried (no memory, no channel left). Nothing is called before they return. */
struct agent_end *agent_end_new_channel(struct link *client, agent_end_cb *cb, void *arg);
/* path: of smx_os_agent_path. */
struct agent_end *agent_end_new_socket(
	struct mux *m, const char *path, agent_end_cb *cb, void *arg);
/* A request with its length; nothing is called before it returns. SMX_ENOMEM, SMX_ESYS. */
int agent_end_send(struct agent_end *e, struct smx_view request);
/* NULL works; nothing is called any more. Not after AGENT_END_GONE. */
void agent_end_free(struct agent_end *e);

#endif
