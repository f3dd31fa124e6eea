/* SPDX-License-Identifier: MIT */
#include "mux/core/mux.h"

#include "base/err.h"
#include "base/log.h"
#include "mux/core/link.h"
#include "mux/core/reload.h"
#include "mux/doors/control.h"
#include "mux/doors/door.h"
#include "mux/doors/hold.h"
#include "mux/doors/master.h"
#include "mux/pool/greeting_file.h"
#include "mux/pool/pool.h"

static void settle_first(struct core *core)
{
	struct mux *m = SMX_CONTAINER(core, struct mux, core);

	pool_refuse_dismissed(m);
	hold_look(m);
}

static void settle_last(struct core *core)
{
	pool_sweep(SMX_CONTAINER(core, struct mux, core));
}

void mux_core_init(struct mux *m, uv_loop_t *loop)
{
	core_init(&m->core, loop);
	m->core.first = settle_first;
	m->core.last = settle_last;
	core_begin(&m->core);
}

static void on_overdue(uv_timer_t *timer)
{
	struct mux *m = timer->data;

	m->is_overdue = 1;
	uv_stop(m->core.loop);
}

void mux_stop(struct mux *m, const char *why)
{
	struct smx_list *it, *tmp;

	if (m->core.is_stopping)
		return;
	greeting_file_tick(m);
	core_stop(&m->core);
	log_info("stopping: %s", why);
	(void)uv_timer_start(&m->end_timer, on_overdue, MUX_STOP_MS, 0);
	uv_unref((uv_handle_t *)&m->end_timer);
	door_close(m);
	master_close(m);
	SMX_LIST_FOREACH (it, tmp, &m->core.links)
		link_disconnect(SMX_CONTAINER(it, struct link, node), SMX_DISCONNECT_BY_APPLICATION,
			SMX_ECANCELLED, "ssh-mux was stopped");
	control_close(m);
	reload_close(m);
	uv_close((uv_handle_t *)&m->tick_timer, NULL);
	uv_close((uv_handle_t *)&m->deadline_timer, NULL);
	for (size_t i = 0; i < MUX_END_SIGNALS; i++)
		uv_close((uv_handle_t *)&m->ends[i], NULL);
}
