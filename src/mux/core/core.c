/* SPDX-License-Identifier: MIT */
#include "mux/core/core.h"

#include "mux/core/link.h"

#define POOL_BLOCKS_MAX 16 /* idle socket buffers kept while others are in use */

void core_init(struct core *core, uv_loop_t *loop)
{
	*core = (struct core){ .loop = loop };
	smx_pool_init(&core->pool, POOL_BLOCKS_MAX);
	window_budget_init(&core->windows);
	smx_list_init(&core->links);
	smx_list_init(&core->dirty);
	smx_list_init(&core->dying);
	smx_list_init(&core->breathing);
	smx_list_init(&core->pacing);
}

static void on_prepare(uv_prepare_t *handle)
{
	core_settle(handle->data);
}

void core_begin(struct core *core)
{
	core->settling.data = core->breath_timer.data = core->pacing_timer.data = core;
	(void)uv_timer_init(core->loop, &core->breath_timer);
	(void)uv_timer_init(core->loop, &core->pacing_timer);
	(void)uv_prepare_init(core->loop, &core->settling);
	(void)uv_prepare_start(&core->settling, on_prepare);
	uv_unref((uv_handle_t *)&core->settling); /* it keeps no loop going */
}

void core_stop(struct core *core)
{
	core->is_stopping = 1;
	(void)uv_timer_stop(&core->breath_timer);
	(void)uv_timer_stop(&core->pacing_timer);
}

void core_end(struct core *core)
{
	uv_close((uv_handle_t *)&core->breath_timer, NULL);
	uv_close((uv_handle_t *)&core->pacing_timer, NULL);
	uv_close((uv_handle_t *)&core->settling, NULL);
}

void core_release(struct core *core)
{
	smx_pool_release(&core->pool);
}

void core_settle(struct core *core)
{
	struct smx_list *node;

	if (core->is_settling)
		return;
	core->is_settling = 1;
	if (core->first)
		core->first(core);
	while (!smx_list_empty(&core->dirty) || !smx_list_empty(&core->dying)) {
		while (!smx_list_empty(&core->dirty)) {
			node = core->dirty.next;
			smx_list_del(node);
			link_flush(SMX_CONTAINER(node, struct link, dirty_node));
		}
		if (!smx_list_empty(&core->dying))
			link_reap(SMX_CONTAINER(core->dying.next, struct link, dying_node));
	}
	if (core->last)
		core->last(core);
	core->is_settling = 0;
}
