/* SPDX-License-Identifier: MIT */
/*
 * The memory of logins that failed (U5): callers that come while it is too early for another try
 * get the old answer at once, and the server sees nothing of them. Without I/O; the clock is handed
 * in.
 *
 * A record belongs to a path (a chain of hops, compared like the pool's entries) and outlives the
 * pool's entry. A jump host whose login fails has one record, whatever lies behind it. What decides
 * when the next try is due:
 *
 *	kind       the failure                            next try after
 *	NETWORK    no authentication was reached          1, 2, 4, 8, 15 s
 *	HOST_KEY   the host key was not accepted          30, 60, 120 s … 10 min,
 *	                                                  or our files change
 *	REFUSED    the server said no, to keys alone      15, 20, 30, 60 s … 10 min
 *	PERSON     a person was needed, or was bothered   30, 60, 120 s … 10 min
 *
 * And never a fourth try at the server (REFUSED and PERSON; a wrong answer counts for all three)
 * within a minute of the first. Delays count from the failure.
 */
#ifndef SMX_MUX_POOL_ATTEMPTS_H
#define SMX_MUX_POOL_ATTEMPTS_H

#include "base/list.h"
#include "config/routes.h"

#define ATTEMPTS_MAX       256 /* records; beyond, the one whose try is due first is dropped */
#define ATTEMPTS_BURST     3 /* tries at the server … */
#define ATTEMPTS_BURST_MS  (60 * 1000) /* … within this */
#define ATTEMPTS_FORGET_MS (30 * 60 * 1000) /* due for so long without a try: it counts no more */
#define ATTEMPT_CAUSE_SIZE 512
#define ATTEMPT_AGENTS_MAX 4 /* asked in one login */

enum attempt_kind {
	ATTEMPT_NONE, /* nothing to remember: our own files, no memory, nobody waits any more */
	ATTEMPT_NETWORK,
	ATTEMPT_HOST_KEY,
	ATTEMPT_REFUSED,
	ATTEMPT_PERSON,
};

/* How a caller, or the best of several, could be asked a question. */
enum attempt_place {
	ATTEMPT_NOWHERE, /* or not known */
	ATTEMPT_ASKPASS, /* by a program that knows OpenSSH's words */
	ATTEMPT_PINENTRY, /* by one that knows them not */
	ATTEMPT_TERMINAL,
};

/* One of those who want a login now, or what the best of them brings. */
struct attempt_caller {
	enum attempt_place place;
	int has_new_agent; /* one that was not asked for keys in the login that failed */
};

struct attempt_failure {
	enum attempt_kind kind;
	enum attempt_place place; /* where a person could have been asked */
	unsigned n_wrong; /* answers of a person that the server refused */
	int was_cancelled; /* the person would not answer, which is no failure of the server's */
	int was_bothered; /* a method that may reach a person (a push) was tried */
	uint64_t inputs; /* stamp of the files that the login was made from (prepare.h) */
	uint64_t agents[ATTEMPT_AGENTS_MAX]; /* that were asked for keys: attempt_agent_id */
	size_t n_agents;
	const char *cause; /* copied, cut */
};

struct attempt {
	struct smx_list node;
	struct smx_routes *routes; /* holds hops */
	const struct smx_hop *hops;
	size_t n_hops;
	struct attempt_failure last; /* of the last one; its cause is `cause` */
	unsigned n_tries; /* at the server, since first_ms */
	unsigned n_login, n_network; /* failures of either sort: steps of their delays */
	uint64_t first_ms, failed_ms, next_ms;
	uint64_t floor_ms; /* changed files make a try due, but not before this */
	uint64_t looked_ms; /* when the files were last compared */
	char cause[ATTEMPT_CAUSE_SIZE];
};

struct attempts {
	struct smx_list list; /* of struct attempt */
	size_t n;
};

void attempts_init(struct attempts *as);
void attempts_release(struct attempts *as);

/* A login over these hops failed. No memory: it is not remembered. */
void attempts_failed(struct attempts *as, struct smx_routes *routes, const struct smx_hop *hops,
	size_t n_hops, const struct attempt_failure *failure, uint64_t now_ms);
/* A login is known to be good, or a person has the right to another one: nothing is held back. */
void attempts_forget(struct attempts *as, const struct smx_hop *hops, size_t n_hops);
void attempts_forget_all(struct attempts *as);
/* The network is another one: what failed for its sake may be tried. */
void attempts_network_changed(struct attempts *as, uint64_t now_ms);
int attempts_await_network(struct attempts *as);
/* The files of a's login are others now (stamp) than at the last try, maybe: then one is due. */
void attempts_looked(struct attempt *a, uint64_t inputs, uint64_t now_ms);

/* NULL: none. Valid until the next call that changes the list. */
struct attempt *attempts_find(struct attempts *as, const struct smx_hop *hops, size_t n_hops);
/* Whether such a caller has to be content with the last answer. */
int attempt_blocks(const struct attempt *a, const struct attempt_caller *caller, uint64_t now_ms);
/* What an agent is remembered by, and whether it was asked in vain (A1). */
uint64_t attempt_agent_id(const char *path);
int attempt_has_agent(const struct attempt *a, const char *path);
/* Milliseconds until a try is due for everybody; 0: it is. */
uint64_t attempt_wait_ms(const struct attempt *a, uint64_t now_ms);
/* "network", "host-key", "refused", "needs-person": for status. */
const char *attempt_kind_name(enum attempt_kind kind);

#endif
