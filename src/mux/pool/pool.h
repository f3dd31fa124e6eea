/* SPDX-License-Identifier: MIT */
/*
 * The pool: one authenticated connection a way (user, host, port, jump chain), shared by
 * all who ask (P1). An entry is a way; it has upstreams (usually one) and requests that wait
 * for one. Whoever asks first makes the login, whoever asks meanwhile waits for the
 * same (P7). Where a server allows only so many sessions on a connection, further ones
 * are made, if that needs no person (B2).
 */
#ifndef SMX_MUX_POOL_POOL_H
#define SMX_MUX_POOL_POOL_H

#include "mux/core/link.h"

struct asker;
struct prepare;
struct upstream;

/* A channel wanted on a way. Embedded in what wants it. */
#define OPEN_KIND_MAX     64
#define OPEN_SPECIFIC_MAX 8192

struct open_req {
	struct endpoint ep; /* of the upstream's link while the open is pending there */
	struct smx_list node; /* entry->waiting, or in no list */
	struct pool_entry *entry; /* while waiting or pending */
	struct upstream *up; /* while pending there */
	int is_session;
	int was_refused; /* by the server: it answered the open */
	int is_crowded, was_crowded; /* B12: sent, or sent before, while a spare channel of ours was
				      * not gone at the server */
	int is_login; /* U7: no channel is wanted; `opened` gets none */
	int renew; /* U7: nor a connection that was there before */
	uint64_t after_id; /* connections of no greater number will not do */
	struct smx_buf kind, specific;
	uint32_t recv_window;
	unsigned n_tries;
	uint64_t since_ms, sent_ms; /* when it came, and when it was last sent */
	const char *dismissal; /* why it will be refused (pool_dismiss) */
	struct asker *asker; /* where whoever wants it can be asked, or NULL */
	const struct pool_entry *for_entry; /* a tunnel: the way that goes on through it */
	/*
	 * One of these is called, once: the channel is open (take it over: chan->user), or it can't
	 * be. After a cancel `released` instead: the request may be freed.
	 */
	void (*opened)(struct open_req *req, struct upstream *up, struct smx_chan *chan,
		struct smx_view specific);
	void (*failed)(struct open_req *req, uint32_t code, const char *text);
	void (*released)(struct open_req *req);
};

struct pool_entry {
	struct smx_list node; /* mux->entries */
	struct mux *mux;
	struct smx_routes *routes; /* holds hops */
	const struct smx_route *route;
	const struct smx_hop *hops;
	size_t n_hops;
	struct smx_list upstreams;
	struct smx_list waiting; /* open_req */
	unsigned session_limit; /* learned: sessions a connection takes at least; 0 unknown */
	int needs_person; /* a login of this way took one */
	struct prepare *look; /* whether the files of a login that failed are others now (U5) */
	size_t look_hops; /* of the first so many hops */
	int has_closed_spare; /* B12: its server ends sessions that stay without a command */
	int is_stray; /* B10: no route leads this way any more; kept for its channels */
};

int open_req_init(struct open_req *req, int is_session, struct smx_view kind,
	struct smx_view specific, uint32_t recv_window);
void open_req_release(struct open_req *req);

/* Asks for a channel at the end of hops[0 .. n_hops). May answer at once. */
void pool_open(struct mux *m, struct smx_routes *routes, const struct smx_route *route,
	size_t n_hops, struct open_req *req);
/* Asks again for one that nothing was begun for. */
void pool_again(struct open_req *req);
/* Whoever wanted it is gone. `released` is called. */
void pool_cancel(struct open_req *req);
/* The request at the head of those that wait, or NULL. */
struct open_req *pool_first_waiting(const struct pool_entry *e);
/* Gives waiting requests to connections, and makes connections for the rest. */
void pool_assign(struct pool_entry *e);
/* Whether there is an entry for these hops: somebody waits, or there is a connection. */
int pool_has_entry(struct mux *m, const struct smx_hop *hops, size_t n_hops);
/* W1: entries that a variant leads to and no route: all, and those of one route. */
void pool_count_variants(
	const struct mux *m, const char *base, size_t *ret_all, size_t *ret_of_base);
/* Whether there is a connection over these hops that takes channels. */
int pool_is_logged_in(struct mux *m, const struct smx_hop *hops, size_t n_hops);
/* The age of the youngest such connection. 0: there is none. */
int pool_age_ms(struct mux *m, const struct smx_hop *hops, size_t n_hops, uint64_t *ret_age_ms);
/* All who wait for a connection of e are told that there will be none. */
void pool_fail_waiting(struct pool_entry *e, uint32_t code, const char *text);
/* A login failed or a connection died; text is the cause. Removes up from the entry. */
void pool_upstream_gone(struct pool_entry *e, struct upstream *up, const char *text);
/* Once a second: idle and lifetime limits (P2, P3, P5), keepalives, what waits for a stalled one.
 */
void pool_tick(struct mux *m);
/* When it has to come earlier than in a second; UINT64_MAX: it need not. */
uint64_t pool_deadline(const struct mux *m);
/* W7: whether the server at its end has been heard from. */
int pool_has_life(const struct pool_entry *e);
/* Of the logins that are under way here, the best upstream_hope_ms; 0: there is none. */
uint64_t pool_hope_ms(const struct pool_entry *e);
/*
 * Where those who wait for a connection of e, or for one that goes through it, can be asked, in the
 * order in which they came; at most max. Returns their number.
 */
size_t pool_askers(const struct pool_entry *e, struct asker **ret, size_t max);
/* A line to each of them that can be told: one, fit for a terminal. */
void pool_tell(const struct pool_entry *e, const char *text);
/* Whether somebody waits there, and nobody may be asked for any of them (W7). */
int pool_is_batch(const struct pool_entry *e);
/* Whether anybody waits there for whom this is not the place to ask. */
int pool_is_wanted_without(const struct pool_entry *e, const struct asker *a);
/*
 * A17: the person at this place will not answer, or waits no more. What waits for him is refused
 * with text (which outlives it), by the next core_settle, and the rest stays.
 */
void pool_dismiss(struct pool_entry *e, const struct asker *a, const char *text);
/* Whether no server of a login that is under way here has said anything yet. */
int pool_is_silent(const struct pool_entry *e);
/* core_settle only. */
void pool_refuse_dismissed(struct mux *m);
/* Whether anybody still waits for a connection of e, or for one that goes through it. */
int pool_is_wanted(const struct pool_entry *e);
/*
 * B10: the daemon has a new table. Ways that lead on take their settings from it for logins to
 * come; connections of the others go on for as long as they have channels.
 */
void pool_reroute(struct mux *m);
/*
 * P8: the daemon was locked. Clients' channels that still wait for a connection, sessions and
 * forwards, are refused; a tunnel is part of a connection and no channel of a client's.
 */
void pool_lock(struct mux *m);
/* A session ended somewhere: who waits for room may get it. */
void pool_kick(struct mux *m);
/* Frees entries that nothing needs; core_settle only. */
void pool_sweep(struct mux *m);
/* A pending open of a session was refused: true if it will be tried elsewhere (B2). */
int pool_session_refused(struct pool_entry *e, struct upstream *up, struct open_req *req);

#endif
