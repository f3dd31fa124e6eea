/* SPDX-License-Identifier: MIT */
/*
 * The multiplexer: what all parts of src/mux share. One thread, one libuv loop.
 *
 *	door ── client ──┐                      ┌── upstream (pooled login) ── TCP or a tunnel
 *	(local server)   link ── relay ── link ─┘   through another upstream (jump host)
 *
 * What links need of it is the core, which they have; the rest is a registry of who they belong to.
 */
#ifndef SMX_MUX_CORE_MUX_H
#define SMX_MUX_CORE_MUX_H

#include <uv.h>

#include "base/list.h"
#include "config/routes.h"
#include "crypto/key.h"
#include "mux/core/core.h"
#include "mux/core/daemon.h"
#include "mux/core/tally.h"
#include "mux/pool/attempts.h"
#include "mux/pool/greeting.h"

/*
 * OpenSSH speaks its own extensions (eow@openssh.com, with which `ssh host yes | head` ends) only
 * to peers whose name begins like this; no version of it takes this name for one with old bugs.
 */
#define MUX_SOFTWARE "OpenSSH_ssh-mux_" SMX_VERSION

/* P8: what a client is told whose channel is not opened. */
#define MUX_LOCKED_TEXT "ssh-mux is locked; to go on, run: ssh-mux unlock"

#define MUX_STOP_MS 1500

/* All of this is about one daemon. */
#define MUX_PLACES      2
#define MUX_END_SIGNALS 3 /* smx_os_end_signal */

struct mux {
	struct core core;
	const struct smx_serve_options *opts;
	struct smx_routes *routes; /* those of now (B10): who keeps a route holds its table */
	struct smx_key *host_key; /* of the local server */
	struct smx_list clients, entries;
	struct attempts attempts; /* logins that failed (U5) */
	uint64_t network_stamp; /* of the addresses, while a login waits for the network; or 0 */
	struct asker *places[MUX_PLACES]; /* of our own to ask at (A6): serve_ask, window_ask */
	struct greetings greetings; /* how logins are begun (B13) */
	int is_saving_greetings; /* they are being written, or can't be */
	struct smx_list prompts; /* being asked or waiting for it */
	struct smx_list agent_waits; /* agents that wait for a person (A15) */
	struct smx_list dismissed; /* open_req, to be refused (A17) */
	long most_alive; /* allocations since memory was given back (U10) */
	size_t n_blocks_freed;
	uint64_t last_release_ms;
	size_t n_clients;
	struct smx_list callers; /* caller_ask: those of them who may be asked */
	struct smx_list guests; /* at the control sockets (W2) */
	size_t n_guests;
	struct smx_list listeners, accepted; /* of their forwards */
	size_t n_listeners, n_accepted;
	struct smx_list remote_listeners, arrived; /* of their remote forwards */
	size_t n_remote_listeners, n_arrived;
	struct smx_list holds; /* clients that hear nothing before their remote does (W7) */
	int is_locked; /* P8 */
	uint64_t start_ms;
	int64_t last_wall_s; /* to notice a resume from sleep */
	uint64_t last_tick_ms; /* to notice that we were stopped */
	uv_timer_t tick_timer, deadline_timer;
	uv_signal_t ends[MUX_END_SIGNALS];
	struct door *door;
	struct control *control;
	struct master *master; /* the control sockets, or NULL */
	struct keyring *keyring; /* authorised keys */
	struct reload *reload; /* the routes file */
	struct smx_os_confined *confined; /* H3; NULL: not */
	struct children *children; /* started by our helper (H3); NULL: by libuv */
	struct lane *lane, *strangers_lane; /* slow work of clients (U9) */
	struct tally tallies[TALLY_KINDS];
	uv_timer_t end_timer; /* U10: from mux_stop on */
	int is_overdue; /* what was waited for takes too long: the process ends without it */
};

/* The core of a daemon that has nothing else yet. */
void mux_core_init(struct mux *m, uv_loop_t *loop);
/*
 * Begins an orderly end: no new clients, DISCONNECTs, then the loop runs dry. Work on other threads
 * that is not over within MUX_STOP_MS (a name that is looked up, a file on a dead mount) is left
 * behind (U10).
 */
void mux_stop(struct mux *m, const char *why);

static inline uint64_t mux_now(const struct mux *m)
{
	return core_now(&m->core);
}

#endif
