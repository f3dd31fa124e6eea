/* SPDX-License-Identifier: MIT */
/*
 * The core: what links need of the daemon, and nothing of who they belong to. One thread, one libuv
 * loop, one pool of blocks, one budget of windows, and the lists of links about which something is
 * to be done. The rest of the daemon (struct mux) has one of these.
 *
 * One rule keeps lifetimes simple. A link that fails is only marked (link_fail) and taken down later
 * by core_settle, so nothing is freed under a caller's feet. That runs before the loop waits again
 * (uv_prepare): it writes what became ready and takes down what died. Only who reads again and again
 * before the loop goes on, as libuv lets streams do, calls it in between.
 */
#ifndef SMX_MUX_CORE_CORE_H
#define SMX_MUX_CORE_CORE_H

#include <stdint.h>

#include <uv.h>

#include "base/list.h"
#include "base/pool.h"
#include "mux/core/window.h"

struct core {
	uv_loop_t *loop;
	struct smx_pool pool; /* socket buffers */
	struct window_budget windows;
	struct smx_list links; /* all of them */
	struct smx_list dirty; /* with something to write */
	struct smx_list dying; /* those that failed */
	struct smx_list breathing; /* whose sockets are left alone for a moment */
	uv_timer_t breath_timer;
	struct smx_list pacing; /* on which something waits for its time (B8) */
	uv_timer_t pacing_timer;
	uv_prepare_t settling;
	void (*first)(struct core *core); /* of its owner: core_settle */
	void (*last)(struct core *core);
	uint64_t next_id; /* of clients and upstreams, for the log and status */
	int is_stopping;
	int is_settling;
};

/* Owned by nobody yet: no first, no last, and not settled by itself. */
void core_init(struct core *core, uv_loop_t *loop);
/* From now on core_settle is called before the loop waits. */
void core_begin(struct core *core);
/* No link begins to breathe or is paced any more; what there is goes on being settled. */
void core_stop(struct core *core);
/* When the loop has nothing left to do: closes what is open, once core_begin was called. */
void core_end(struct core *core);
/* When all is closed: gives the blocks back. */
void core_release(struct core *core);

/* Calls first, writes what is ready, takes down what died, calls last. At a callback's end alone. */
void core_settle(struct core *core);

static inline uint64_t core_now(const struct core *core)
{
	return uv_now(core->loop);
}

#endif
