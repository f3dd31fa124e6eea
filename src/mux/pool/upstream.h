/* SPDX-License-Identifier: MIT */
/*
 * An upstream: one connection of ours to a remote sshd, from the first packet to the
 * last. It dials (or opens a tunnel through the upstream before it in the chain), checks
 * the host key, logs in, and then carries channels.
 */
#ifndef SMX_MUX_POOL_UPSTREAM_H
#define SMX_MUX_POOL_UPSTREAM_H

#include "mux/pool/attempts.h"
#include "mux/pool/login.h"
#include "mux/pool/pool.h"
#include "mux/pool/spare.h"

enum upstream_state {
	UPSTREAM_PREPARING,
	UPSTREAM_DIALLING,
	UPSTREAM_LOGIN,
	UPSTREAM_READY,
	UPSTREAM_STALLED, /* U3: its path is silent; no new channels until it is back */
	UPSTREAM_CLOSING, /* no new channels: lifetime over, or it failed */
};

#define UPSTREAM_TEXT_SIZE 500 /* of upstream_stalled_text */

struct upstream {
	struct smx_list node; /* entry->upstreams */
	struct pool_entry *entry;
	struct smx_routes *routes; /* holds hop: the entry may get another table (B10) */
	const struct smx_hop *hop; /* the last one of the entry's */
	struct link *link;
	enum upstream_state state;
	struct prepare *prepare;
	struct prepared *prepared;
	struct dial *dial;
	struct open_req tunnel_req; /* of the jump host's upstream */
	int has_tunnel_req;
	struct login *login;
	struct hostkey_ask *host_key; /* being asked about */
	int is_new_host_key; /* accept-new: nobody has ever vouched for it */
	int was_listed; /* K6: the server has said which host keys it has */
	struct rotate *rotate; /* and what that means is being found out */
	uint64_t born_ms, idle_since_ms, deadline_ms; /* deadline: of dial and login */
	uint64_t ready_ms; /* when it was logged in */
	unsigned n_opened, n_sessions; /* channels, sessions that the server has given */
	unsigned n_refused; /* sessions since the last it gave */
	int is_draining; /* U7: a fresh one has taken its place; it ends with its last channel */
	int is_renewal; /* U7: made to be such a fresh one */
	unsigned n_warned; /* ending.c: so many of its warnings are over */
	int is_used_up; /* U6: it gives no more sessions, though none is left */
	int has_failed; /* once dead: upstream_is_failed_login */
	int is_ready; /* the key exchange is over, and the login is to begin */
	int is_probed; /* since the login */
	int is_known_good; /* its login has been told to the memory of those that failed (U5) */
	struct attempt_failure failure; /* what its end would be remembered as */
	unsigned sessions_max; /* the server refused one more than these; 0: not yet (B2) */
	unsigned n_pending; /* opens that somebody awaits the answer of */
	struct endpoint orphans[2]; /* of opens that nobody awaits any more; [1]: of sessions */
	struct spares spares; /* B12 */
	/* A channel that is asked for together with the login (early.h), and what it was for. */
	struct {
		struct smx_chan *chan; /* nobody's, or NULL */
		struct smx_buf kind, specific;
		int is_session, was_asked;
	} early;
	struct smx_list forwards; /* what the server listens at (remote_forward.h) */
	unsigned n_unasked; /* channels that it opened unasked */
	struct smx_list lenders; /* sessions whose agent the remote may use (agent_forward.h) */
	uint64_t carried_ms; /* when its carrier stood; 0: not yet */
	char cause[512]; /* what a failed login is reported with */
};

/* Begins to connect. NULL: no memory. */
struct upstream *upstream_new(struct pool_entry *e);
/* Sends req's open. Its answer comes to req. */
void upstream_open(struct upstream *up, struct open_req *req);
/* Sessions on it, whatever their state; and those that are open. */
unsigned upstream_sessions(const struct upstream *up, unsigned *ret_open);
unsigned upstream_channels(const struct upstream *up);
/* Whether a channel is open, or the server listens for somebody (P2); one that only awaits the
 * remote's CLOSE is not. */
int upstream_is_used(const struct upstream *up);
void upstream_tick(struct upstream *up);
/* Ends it; channels are told why. */
void upstream_close(struct upstream *up, int r, const char *why);

/* --- its path: upstream_life.c --- */

void upstream_life_init(struct upstream *up);
/* Whether it takes new channels: ready, and no probe of it overdue. */
int upstream_is_usable(const struct upstream *up);
/* Doubts the path, and that of the jump host with it: a probe must be answered soon (B11). */
void upstream_suspect(struct upstream *up, int at_once);
/* Once a second while it is ready or stalled (P4, U3). 1: it has ended. */
int upstream_life_tick(struct upstream *up);
/* When that is due earlier, as far as is known now. */
uint64_t upstream_deadline(const struct upstream *up);
/* Once a second while it logs in and nobody is asked: in whose connection that goes on is doubted.
 */
void upstream_watch_login(struct upstream *up);
/* What is stalled, or about to be (a probe is overdue): itself, or for a login the connection that
 * it goes on in; or NULL. */
const struct upstream *upstream_stalled_in(const struct upstream *up);
/* Of a login: until when its next sign of life is awaited. UINT64_MAX: it has heard from its
 * server; 0: it goes on in a connection that is stalled. */
uint64_t upstream_hope_ms(const struct upstream *up);
/* "the connection to me@web port 22 is stalled: no sign of life for 50 s" */
void upstream_stalled_text(const struct upstream *up, char *out, size_t size);

/* --- opens that are pending on it --- */

/* Nobody waits for the answer any more; when it comes, the channel is closed (P6). */
void upstream_abandon(struct open_req *req);
/* Takes all of them back, for another connection to serve: nothing was begun on this one. */
void upstream_withdraw(struct upstream *up);
/* The same of one, which is no longer pending here. */
void upstream_try_elsewhere(struct open_req *req, const char *why);
/* The server gave something that one has to be logged in for: the login is good (U6). */
void upstream_note_given(struct upstream *up, int is_session);
/* The server has given the channel that req asked for, and which is nobody's yet. */
void upstream_give(
	struct upstream *up, struct open_req *req, struct smx_chan *chan, struct smx_view specific);

/* U6: whether its end is that of a login: it never logged in, or died before its first channel. */
int upstream_is_failed_login(const struct upstream *up);
/* A16: of a server with which there is no common algorithm, what it has and what could be done. */
void upstream_explain_lack(struct upstream *up);
const char *upstream_state_name(const struct upstream *up);

#endif
