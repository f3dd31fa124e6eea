/* SPDX-License-Identifier: MIT */
#include "mux/core/daemon.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/names.h"
#include "mux/ask/serve_ask.h"
#include "mux/ask/window_ask.h"
#include "mux/core/child.h"
#include "mux/core/confine.h"
#include "mux/core/lane.h"
#include "mux/core/link.h"
#include "mux/core/mux.h"
#include "mux/core/reload.h"
#include "mux/doors/control.h"
#include "mux/doors/door.h"
#include "mux/doors/keyring.h"
#include "mux/doors/local_key.h"
#include "mux/doors/master.h"
#include "mux/pool/greeting_file.h"
#include "mux/pool/holdback.h"
#include "mux/pool/pool.h"
#include "mux/pool/upstream.h"
#include "os/path.h"
#include "os/process.h"
#include "os/start.h"

#define TICK_MS 1000
/* How much must have been freed to be worth giving back, and how often at most. */
#define RELEASE_BLOCKS      4
#define RELEASE_ALLOCATIONS 500
#define RELEASE_MS          (5 * 1000)
#define LOCKED_BYTES        (2u << 20) /* for private keys (H3); a power of two */
#define RESUME_GAP_S        5 /* wall clock against our own: the machine slept (B11) */

/* --- time --- */

/* By how much the wall clock is ahead of ours. */
static int64_t wall_offset_s(uint64_t now)
{
	return (int64_t)time(NULL) - (int64_t)(now / 1000);
}

/*
 * Our clock stands still while the machine sleeps (on some systems), the wall clock does not. While
 * we were stopped or the machine was, silence says nothing about the others.
 */
static void notice_resume(struct mux *m)
{
	uint64_t now = mux_now(m), gap = now - m->last_tick_ms;
	int64_t wall = wall_offset_s(now), jump = wall - m->last_wall_s;
	struct smx_list *it, *tmp, *it2, *tmp2;

	m->last_tick_ms = now;
	if (gap >= RESUME_GAP_S * 1000ull || jump >= RESUME_GAP_S) {
		log_info("the clock jumped by %lld s: checking all connections",
			(long long)(gap / 1000) + (long long)jump);
		holdback_resumed(m);
		SMX_LIST_FOREACH (it, tmp, &m->core.links)
			smx_live_woke(&SMX_CONTAINER(it, struct link, node)->live, now);
		SMX_LIST_FOREACH (it, tmp, &m->entries) {
			struct pool_entry *e = SMX_CONTAINER(it, struct pool_entry, node);

			SMX_LIST_FOREACH (it2, tmp2, &e->upstreams)
				upstream_suspect(SMX_CONTAINER(it2, struct upstream, node), 1);
		}
	}
	m->last_wall_s = wall;
}

static void on_deadline(uv_timer_t *timer);

/* What is due between two ticks: who waits for a doubtful connection counts in seconds (U3). */
static void arm_deadline(struct mux *m)
{
	uint64_t at = pool_deadline(m), now = mux_now(m);

	if (at > now && at < now + TICK_MS)
		(void)uv_timer_start(&m->deadline_timer, on_deadline, at - now, 0);
}

static void on_deadline(uv_timer_t *timer)
{
	struct mux *m = timer->data;

	pool_tick(m);
	arm_deadline(m);
}

/*
 * U10: what a peak needed goes back to the system when it is over. The C library keeps freed
 * memory, and to make it let go takes time: only after a peak, and not often.
 */
static void release_memory(struct mux *m)
{
	long alive = smx_mem_alive();

	m->n_blocks_freed += smx_pool_relax(&m->core.pool);
	if (alive > m->most_alive)
		m->most_alive = alive;
	if (m->n_blocks_freed < RELEASE_BLOCKS && m->most_alive - alive < RELEASE_ALLOCATIONS)
		return;
	if (m->last_release_ms && mux_now(m) - m->last_release_ms < RELEASE_MS)
		return;
	smx_os_release_memory();
	m->n_blocks_freed = 0;
	m->most_alive = smx_mem_alive();
	m->last_release_ms = mux_now(m);
}

static void on_tick(uv_timer_t *timer)
{
	struct mux *m = timer->data;

	notice_resume(m);
	door_tick(m);
	master_tick(m);
	control_tick(m);
	holdback_tick(m);
	pool_tick(m);
	arm_deadline(m);
	window_budget_tick(&m->core.windows);
	greeting_file_tick(m);
	release_memory(m);
	mux_tally_tick(m, 0);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct mux *m = handle->data;

	mux_stop(m, signum == SIGINT ? "interrupted" : "terminated");
}

/* --- start --- */

static int load_host_key(struct mux *m)
{
	struct smx_buf err;
	int r, made = 0;

	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX + SMX_OS_PATH_MAX);
	r = local_key_load(m->opts->ssh_dir, LOCAL_KEY_HOST, &m->host_key, &made, &err);
	if (r != 0)
		log_error("%s", smx_errtext(r, &err));
	else if (made)
		log_info("made the host key of the local server: %s", HOST_KEY_FILE);
	smx_buf_release(&err);
	return r;
}

static void tell_start(const struct mux *m)
{
	char where[64] = "its control endpoint only";

	if (m->door)
		(void)snprintf(where, sizeof(where), "127.0.0.1 port %u", m->opts->port);
	log_info("ssh-mux %s serves on %s: process %lld, %zu route%s", SMX_VERSION, where,
		(long long)smx_os_pid(), m->routes->n_routes, SMX_PLURAL(m->routes->n_routes));
}

/* H3: where the limit leaves room for it, which takes most from a user's other programs. */
static void lock_keys(void)
{
	uint64_t limit = smx_os_lock_limit();

	if (limit / 2 < LOCKED_BYTES)
		log_debug("private keys may be swapped out: the limit of locked memory is too low");
	else if (smx_keys_lock(LOCKED_BYTES) != 0)
		log_debug("private keys may be swapped out: the system can't lock their memory");
}

static int start(struct mux *m)
{
	int r;

	lock_keys();
	if ((r = reload_open(m)) != 0 || (r = load_host_key(m)) != 0 ||
		(r = keyring_new(&m->keyring, m->opts->ssh_dir)) != 0) {
		reload_close(m);
		return r;
	}
	m->tick_timer.data = m->deadline_timer.data = m->end_timer.data = m;
	(void)uv_timer_init(m->core.loop, &m->tick_timer);
	(void)uv_timer_init(m->core.loop, &m->deadline_timer);
	(void)uv_timer_init(m->core.loop, &m->end_timer);
	for (size_t i = 0; i < MUX_END_SIGNALS; i++) {
		m->ends[i].data = m;
		(void)uv_signal_init(m->core.loop, &m->ends[i]);
	}
	/* Threads made from here on are as confined as this one, and nothing was read of anybody.
	 */
	if ((r = control_open(m)) == 0 && (r = confine(m)) == 0) {
		keyring_refresh(m->keyring);
		greeting_file_read(m);
		r = door_open(m);
	}
	if (r == 0) {
		master_open(m);
		m->last_tick_ms = mux_now(m);
		m->last_wall_s = wall_offset_s(m->last_tick_ms);
		(void)uv_timer_start(&m->tick_timer, on_tick, TICK_MS, TICK_MS);
		for (unsigned i = 0; i < MUX_END_SIGNALS && smx_os_end_signal(i); i++)
			(void)uv_signal_start(&m->ends[i], on_signal, smx_os_end_signal(i));
		tell_start(m);
		if (m->opts->ready)
			m->opts->ready();
		return 0;
	}
	mux_stop(m, "could not start");
	return r;
}

/* U10: until everything is closed, or that takes too long. 1: something was left behind. */
static int run(struct mux *m)
{
	do {
		(void)uv_run(m->core.loop, UV_RUN_DEFAULT);
		core_settle(&m->core);
	} while (!m->is_overdue && uv_loop_alive(m->core.loop));
	mux_tally_tick(m, 1);
	if (lane_free(m->lane) == 0)
		m->lane = NULL;
	if (lane_free(m->strangers_lane) == 0)
		m->strangers_lane = NULL;
	return m->is_overdue || m->lane || m->strangers_lane;
}

int smx_daemon_run(const struct smx_serve_options *opts)
{
	struct mux m = { .opts = opts };
	uint64_t limit;
	uv_loop_t loop;
	int r, is_left;

	smx_log_set_level(opts->log_level);
	smx_os_ignore_sigpipe();
	(void)smx_os_raise_file_limit(&limit);
	(void)smx_os_disable_core_dumps();
	if (uv_loop_init(&loop) != 0)
		return SMX_ESYS;
	mux_core_init(&m, &loop);
	m.start_ms = uv_now(&loop);
	smx_list_init(&m.clients);
	smx_list_init(&m.guests);
	smx_list_init(&m.listeners);
	smx_list_init(&m.accepted);
	smx_list_init(&m.remote_listeners);
	smx_list_init(&m.arrived);
	smx_list_init(&m.holds);
	smx_list_init(&m.entries);
	greetings_init(&m.greetings);
	smx_list_init(&m.prompts);
	smx_list_init(&m.agent_waits);
	smx_list_init(&m.dismissed);
	smx_list_init(&m.callers);
	attempts_init(&m.attempts);
	if (opts->is_confined)
		children_open(&m);
	m.places[0] = serve_ask_new(&m);
	m.places[1] = window_ask_new(&m);
	r = m.places[0] && m.places[1] ? 0 : SMX_ENOMEM;
	if (r == 0 && (r = lane_new(&loop, CLIENTS_MAX, 0, &m.lane)) == 0 &&
		(r = lane_new(&loop, STRANGERS_UNAUTH_MAX, 1, &m.strangers_lane)) == 0)
		r = start(&m);
	is_left = run(&m);
	if (r == 0)
		log_info("stopped: process %lld%s", (long long)smx_os_pid(),
			is_left ? "; work of other threads that was not over was left" : "");
	control_finish(&m);
	if (is_left)
		smx_os_exit_now(r == 0 ? 0 : 1);
	children_close(&m);
	confine_free(&m);
	core_end(&m.core);
	if (!uv_is_closing((uv_handle_t *)&m.end_timer) && m.end_timer.data)
		uv_close((uv_handle_t *)&m.end_timer, NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop);
	uv_library_shutdown(); /* its threads end, and give back what libcrypto keeps for each */
	attempts_release(&m.attempts);
	core_release(&m.core);
	greetings_release(&m.greetings);
	serve_ask_free(m.places[0]);
	window_ask_free(m.places[1]);
	keyring_free(m.keyring);
	smx_key_free(m.host_key);
	smx_routes_unref(m.routes);
	return r;
}
