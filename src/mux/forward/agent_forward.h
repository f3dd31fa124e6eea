/* SPDX-License-Identifier: MIT */
/*
 * Agent forwarding (B4): a session whose route allows it lends its client's agent to the remote,
 * through a filter (ssh/agent_filter.h) and under the policy of that route.
 *
 * A remote's open of "auth-agent@openssh.com" does not say for which session it is. It is served by
 * the agent of the session that asked first and is still there; if that one can't be reached, by
 * the next one's. Without such a session it is refused. What a session lends ends with it.
 */
#ifndef SMX_MUX_FORWARD_AGENT_FORWARD_H
#define SMX_MUX_FORWARD_AGENT_FORWARD_H

#include "config/routes.h"
#include "mux/core/link.h"

/* The remote's connections to agents, of one pooled connection. */
#define AGENT_LOANS_MAX 16

struct asker;
struct upstream;

/* A session that lends. Embedded in what it is; all zero to begin with. */
struct agent_lender {
	struct smx_list node; /* upstream->lenders */
	struct smx_list loans;
	struct upstream *up; /* NULL: it does not lend (any more) */
	const struct smx_route *route; /* held by the session */
	struct link *client; /* its agent is reached through this link, … */
	char *path; /* … or (NULL) listens here */
	struct asker *asker; /* where its person can be asked, or NULL */
	uint64_t id, client_id; /* in their order; for the log */
};

/*
 * From now on l lends, through client or at a path (copied): it has asked the remote to take it.
 * Its route allows it. 0 or SMX_ENOMEM.
 */
int agent_lend(struct agent_lender *l, struct upstream *up, const struct smx_route *route,
	struct link *client, const char *path, struct asker *asker);
/* It lends no more: the session is over. Any number of times. */
void agent_lend_no_more(struct agent_lender *l);

/* The remote asks for a channel to an agent. */
void agent_forward_open(struct upstream *up, struct smx_conn_event *ev);
/* Once a second: questions that nobody answers. */
void agent_forward_tick(struct upstream *up);

/*
 * Puts fingerprints in the place of the key files that agent_forward of the routes names; one that
 * can't be read stays, names no key, and is told of in a line each. Reads files. SMX_ENOMEM.
 */
int agent_forward_name_keys(struct smx_routes *routes, struct smx_buf *ret_complaints);

#endif
