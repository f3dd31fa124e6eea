/* SPDX-License-Identifier: MIT */
/* Whoever is served or refused may ask again at once (W2, U3). */
#include "spare_link.h"

#define OLD_MS 10000

static struct fixture *make_unattended(void)
{
	struct fixture *f = make_named();

	f->hop.unattended = 1;
	return f;
}

/* Freed as soon as it is refused, as those of the control sockets. */
struct asking {
	struct open_req req;
	struct endpoint ep;
	int wants_more; /* it asks for another as soon as it has an answer */
};

static unsigned n_given, n_refused;

static struct asking *ask(struct fixture *f, int is_login, int wants_more);

static void asking_free(struct asking *a)
{
	open_req_release(&a->req);
	smx_free(a);
}

static void asking_opened(
	struct open_req *req, struct upstream *up, struct smx_chan *chan, struct smx_view specific)
{
	struct asking *a = SMX_CONTAINER(req, struct asking, req);
	int wants_more = a->wants_more;

	(void)specific;
	n_given++;
	if (chan) {
		a->ep = (struct endpoint){ &session_ops, up->link, chan, 1 };
		chan->user = &a->ep;
		return;
	}
	asking_free(a);
	if (wants_more)
		pool_open(&fixture.mux, NULL, &fixture.route, 1, &ask(&fixture, 0, 0)->req);
}

static void asking_failed(struct open_req *req, uint32_t code, const char *why)
{
	struct asking *a = SMX_CONTAINER(req, struct asking, req);
	int wants_more = a->wants_more;

	(void)code;
	(void)why;
	n_refused++;
	asking_free(a);
	if (wants_more)
		pool_open(&fixture.mux, NULL, &fixture.route, 1, &ask(&fixture, 0, 0)->req);
}

static void asking_released(struct open_req *req)
{
	asking_free(SMX_CONTAINER(req, struct asking, req));
}

static struct asking *ask(struct fixture *f, int is_login, int wants_more)
{
	struct asking *a = smx_calloc(1, sizeof(*a));
	struct smx_view none = { NULL, 0 };

	assert_non_null(a);
	assert_int_equal(
		open_req_init(&a->req, !is_login, smx_view_of("session", 7), none, WINDOW), 0);
	a->req.is_login = is_login;
	a->req.opened = asking_opened;
	a->req.failed = asking_failed;
	a->req.released = asking_released;
	a->req.entry = &f->entry;
	a->wants_more = wants_more;
	return a;
}

static struct asking *wait_for(struct fixture *f, int is_login, int wants_more)
{
	struct asking *a = ask(f, is_login, wants_more);

	smx_list_add_tail(&f->entry.waiting, &a->req.node);
	return a;
}

static void W2_who_asks_again_when_served_does_not_serve_others_twice(void **state)
{
	struct fixture *f = make_unattended();
	struct asking *second;

	(void)state;
	n_given = n_refused = 0;
	(void)wait_for(f, 1, 1);
	second = wait_for(f, 0, 0);
	pool_assign(&f->entry);
	assert_int_equal(n_refused, 0);
	assert_int_equal(n_given, 1);
	assert_int_equal(look(f), 2); /* the second's, and the one that came on top */
	assert_int_equal(f->up.n_pending, 2);
	assert_ptr_equal(second->req.up, &f->up);
	assert_null(pool_first_waiting(&f->entry));
	for (unsigned i = 0; i < 2; i++)
		confirm(f, f->opens[i]);
	assert_int_equal(n_given, 3);
	for (uint32_t i = 0; i < f->link->conn.n_slots; i++) {
		struct smx_chan *chan = f->link->conn.chans[i];

		if (chan)
			asking_free(SMX_CONTAINER(chan->user, struct asking, ep));
	}
	finish(f);
}

static void U3_who_asks_again_when_refused_is_refused_with_the_others(void **state)
{
	struct fixture *f = make_unattended();

	(void)state;
	n_given = n_refused = 0;
	f->up.state = UPSTREAM_STALLED;
	f->entry.needs_person = 1;
	pass(f, OLD_MS);
	(void)wait_for(f, 0, 1);
	(void)wait_for(f, 0, 0);
	(void)wait_for(f, 0, 0);
	pool_assign(&f->entry);
	assert_int_equal(n_given, 0);
	assert_int_equal(n_refused, 4);
	assert_null(pool_first_waiting(&f->entry));
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(W2_who_asks_again_when_served_does_not_serve_others_twice),
		cmocka_unit_test(U3_who_asks_again_when_refused_is_refused_with_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
