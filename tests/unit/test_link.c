/* SPDX-License-Identifier: MIT */
/* How a link ends (N5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../clear_transport.h"
#include "base/err.h"
#include "base/mem.h"
#include "mux/core/link.h"

static struct link *the_link;
static unsigned n_detached, n_dead;

static void on_write(struct carrier *c, struct smx_tx_block *list)
{
	(void)c;
	smx_transport_tx_free(the_link->t, list);
}

static size_t on_backlog(struct carrier *c)
{
	(void)c;
	return 0;
}

/* As a client's remote forward does, which is cancelled because its session has ended. */
static void on_detach(struct carrier *c)
{
	(void)c;
	n_detached++;
	link_touch(the_link);
}

static void on_dead(struct link *l, int r, const char *why)
{
	assert_int_equal(r, SMX_EEOF);
	assert_string_equal(why, "gone");
	n_dead++;
	link_touch(l);
}

static const struct carrier_ops carrier_ops = {
	.write = on_write, .backlog = on_backlog, .detach = on_detach
};
static const struct link_ops ops = { .id_name = "conn", .dead = on_dead };

/* One that another connection carries is freed at once: nothing may lead to it then. */
static void N5_touched_while_it_ends(void **state)
{
	static uv_loop_t loop; /* its clock */
	struct carrier carrier = { .ops = &carrier_ops };
	struct core core;

	(void)state;
	core_init(&core, &loop);
	the_link = link_new(&core, &ops, &core);
	assert_non_null(the_link);
	the_link->t = clear_transport(&core.pool, SMX_CLIENT, SMX_PHASE_CONNECTION, NULL);
	assert_non_null(the_link->t);
	smx_conn_init(&the_link->conn, the_link->t);
	the_link->carrier = &carrier;
	carrier.inner = the_link;
	link_fail(the_link, SMX_EEOF, "gone");
	core_settle(&core);
	assert_int_equal(n_detached, 1);
	assert_int_equal(n_dead, 1);
	assert_null(carrier.inner);
	assert_true(smx_list_empty(&core.dirty) && smx_list_empty(&core.dying));
	assert_true(smx_list_empty(&core.links));
	core_release(&core);
	assert_int_equal(smx_mem_alive(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(N5_touched_while_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
