/* SPDX-License-Identifier: MIT */
#include "mux/core/pacing.h"

#define PACING_MS 1

static void resume(struct link *l)
{
	struct smx_list *node;

	smx_list_del(&l->pacing_node);
	while (!smx_list_empty(&l->owed_later)) {
		node = l->owed_later.next;
		smx_list_del(node);
		smx_list_add_tail(&l->owed, node);
	}
	link_touch(l);
}

static void on_time(uv_timer_t *timer)
{
	struct core *core = timer->data;

	while (!smx_list_empty(&core->pacing))
		resume(SMX_CONTAINER(core->pacing.next, struct link, pacing_node));
}

void pacing_hold(struct link *l)
{
	struct core *core = l->core;

	if (l->dead || core->is_stopping || !smx_list_empty(&l->pacing_node))
		return;
	if (smx_list_empty(&core->pacing) &&
		uv_timer_start(&core->pacing_timer, on_time, PACING_MS, 0) != 0)
		return;
	smx_list_add_tail(&core->pacing, &l->pacing_node);
}

void pacing_hold_grant(struct link *l, struct source *s)
{
	if (!smx_list_empty(&s->node) || l->dead)
		return;
	smx_list_add_tail(&l->owed_later, &s->node);
	pacing_hold(l);
}

void pacing_release(struct link *l)
{
	smx_list_del(&l->pacing_node);
	while (!smx_list_empty(&l->owed_later))
		smx_list_del(l->owed_later.next);
}
