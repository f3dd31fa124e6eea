/* SPDX-License-Identifier: MIT */
/* How a remote forward of control clients is given up (W2). */
#include "spare_link.h"

#include "mux/ask/asker.h"
#include "mux/ask/prompt.h"
#include "mux/forward/remote_listener.h"

static struct remote_hold holds[2];
static struct asker *the_asker;
static unsigned n_answered;

static enum asker_state never(struct asker *a)
{
	(void)a;
	return ASKER_NEVER;
}

static enum attempt_place nowhere(struct asker *a)
{
	(void)a;
	return ATTEMPT_NOWHERE;
}

static const struct asker_ops asker_ops = { .state = never, .place = nowhere };
static struct asker no_place = { .ops = &asker_ops };

/* As guests: one that is refused gives up what it has, and its person is not asked any more. */
static void answered(struct remote_hold *h, uint32_t port, const char *why)
{
	struct asker *askers[2];

	(void)why;
	if (the_asker) {
		h->asker = NULL;
		smx_free(the_asker);
		the_asker = NULL;
		assert_int_equal(pool_askers(&fixture.entry, askers, 2), 0);
		assert_int_equal(prompt_is_possible(&fixture.entry), 0);
	}
	if (port == UINT32_MAX && holds[1].listener)
		remote_listener_release(&holds[1], 0);
	n_answered++;
}

static const struct remote_hold_ops hold_ops = { answered, NULL };

static void listen_at(struct fixture *f, uint32_t port, struct remote_hold *h)
{
	struct smx_mux4_request req = { .forward = SMX_MUX4_REMOTE,
		.listen_port = port,
		.port = 80,
		.listen_host = smx_view_of("x", 1),
		.host = smx_view_of("x", 1) };
	char why[100];

	h->ops = &hold_ops;
	assert_int_equal(remote_listener_new(&f->mux, &f->route, &req, h, why, sizeof(why)), 0);
}

static struct fixture *make_forwarding(struct smx_routes *none)
{
	struct fixture *f = make_named();

	*none = (struct smx_routes){ .refs = 2 };
	f->mux.routes = none;
	smx_list_init(&f->mux.remote_listeners);
	memset(holds, 0, sizeof(holds));
	n_answered = 0;
	return f;
}

/* The end of the first lets go of the second, which stands: on another connection, say. */
static void W2_a_forward_without_a_route_may_take_others_along(void **state)
{
	struct smx_routes none;
	struct fixture *f = make_forwarding(&none);
	struct smx_conn_event ev = { .type = SMX_CONN_GLOBAL_REPLY, .success = 1 };

	(void)state;
	listen_at(f, 1001, &holds[0]);
	listen_at(f, 1002, &holds[1]);
	ev.number = holds[1].listener->forward.number;
	assert_int_equal(remote_forward_reply(&f->up, &ev), 1);
	assert_int_equal(n_answered, 1);
	remote_listeners_sync(&f->mux);
	assert_int_equal(n_answered, 2);
	assert_true(smx_list_empty(&f->mux.remote_listeners));
	assert_null(holds[1].listener);
	remote_forward_upstream_gone(&f->up, "gone");
	finish(f);
}

/* While it waits for a login. */
static void W2_who_is_told_that_a_forward_was_given_up_is_asked_no_more(void **state)
{
	struct smx_routes none;
	struct fixture *f = make_forwarding(&none);

	(void)state;
	f->up.state = UPSTREAM_LOGIN;
	assert_non_null(the_asker = smx_calloc(1, sizeof(*the_asker)));
	the_asker->ops = &asker_ops;
	for (size_t i = 0; i < MUX_PLACES; i++)
		f->mux.places[i] = &no_place;
	holds[0].asker = the_asker;
	listen_at(f, 1001, &holds[0]);
	assert_non_null(pool_first_waiting(&f->entry));
	remote_listeners_sync(&f->mux);
	assert_int_equal(n_answered, 1);
	assert_null(pool_first_waiting(&f->entry));
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(W2_a_forward_without_a_route_may_take_others_along),
		cmocka_unit_test(W2_who_is_told_that_a_forward_was_given_up_is_asked_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
