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
#include "mux/pool/pool.h"

void mux_settle(struct mux *m)
{
	struct smx_list *node;

	if (m->is_settling)
		return;
	m->is_settling = 1;
	pool_refuse_dismissed(m);
	hold_look(m);
	while (!smx_list_empty(&m->dirty) || !smx_list_empty(&m->dying)) {
		while (!smx_list_empty(&m->dirty)) {
			node = m->dirty.next;
			smx_list_del(node);
			link_flush(SMX_CONTAINER(node, struct link, dirty_node));
		}
		if (!smx_list_empty(&m->dying))
			link_reap(SMX_CONTAINER(m->dying.next, struct link, dying_node));
	}
	pool_sweep(m);
	m->is_settling = 0;
}

static void on_overdue(uv_timer_t *timer)
{
	struct mux *m = timer->data;

	m->is_overdue = 1;
	uv_stop(m->loop);
}

void mux_stop(struct mux *m, const char *why)
{
	struct smx_list *it, *tmp;

	if (m->is_stopping)
		return;
	m->is_stopping = 1;
	log_info("stopping: %s", why);
	(void)uv_timer_start(&m->end_timer, on_overdue, MUX_STOP_MS, 0);
	uv_unref((uv_handle_t *)&m->end_timer);
	door_close(m);
	master_close(m);
	SMX_LIST_FOREACH (it, tmp, &m->links)
		link_disconnect(SMX_CONTAINER(it, struct link, node), SMX_DISCONNECT_BY_APPLICATION,
			SMX_ECANCELLED, "ssh-mux was stopped");
	control_close(m);
	reload_close(m);
	uv_close((uv_handle_t *)&m->tick_timer, NULL);
	uv_close((uv_handle_t *)&m->deadline_timer, NULL);
	uv_close((uv_handle_t *)&m->breath_timer, NULL);
	uv_close((uv_handle_t *)&m->pacing_timer, NULL);
	for (size_t i = 0; i < MUX_END_SIGNALS; i++)
		uv_close((uv_handle_t *)&m->ends[i], NULL);
}
