/* SPDX-License-Identifier: MIT */
/*
 * `ssh -f COMMAND` (W7). By itself ssh goes to the background once it has logged in; at a master
 * its versions up to 9.3 stay in the foreground until the command has ended, and later ones go as
 * soon as their session is open. Whoever is still there a moment after that will not go: it is told
 * that the session has ended well, as the part of ssh that returns to the shell says, and the
 * session goes on with the streams that the client passed.
 */
#include "base/err.h"
#include "base/mem.h"
#include "mux/core/say.h"
#include "mux/doors/guest.h"
#include "os/caller.h"
#include "os/door.h"

#define GO_MS 300

struct background {
	uv_timer_t timer;
	struct guest *guest; /* which forgets this when it ends */
	struct smx_os_caller *caller; /* the process that came */
	uint32_t session;
};

/* Whether the process that came lives, or its parent has only not noticed its end. */
static int is_there(const struct background *b)
{
	struct smx_os_caller *now = NULL;
	struct smx_buf args;
	uint64_t start;
	int64_t pid;
	int is_alive;

	smx_buf_init(&args, SMX_OS_CALLER_BYTES_MAX);
	smx_os_caller_id(b->caller, &pid, &start);
	is_alive = smx_os_caller_known(pid, start, &now) == 0 &&
		   smx_os_caller_args(now, &args) == 0 && smx_buf_len(&args) > 0;
	smx_buf_release(&args);
	smx_os_caller_free(now);
	return is_alive;
}

static void on_closed(uv_handle_t *handle)
{
	struct background *b = handle->data;

	smx_os_caller_free(b->caller);
	smx_free(b);
}

void guest_forget_background(struct guest *g)
{
	struct background *b = g->background;

	if (!b)
		return;
	g->background = NULL;
	uv_close((uv_handle_t *)&b->timer, on_closed);
}

static void on_time(uv_timer_t *timer)
{
	struct background *b = timer->data;
	struct guest *g = b->guest;

	if (is_there(b))
		guest_dismiss(g, b->session);
	else
		guest_forget_background(g);
}

void guest_expect_background(struct guest *g)
{
	struct background *b = smx_calloc(1, sizeof(*b));

	/* Without it ssh waits, as at any master. */
	if (!b || smx_os_caller_new(g->pid, &b->caller) != 0) {
		smx_free(b);
		return;
	}
	b->guest = g;
	b->timer.data = b;
	(void)uv_timer_init(g->mux->core.loop, &b->timer);
	g->background = b;
}

void guest_began(struct guest *g, uint32_t session)
{
	struct background *b = g->background;

	if (!b)
		return;
	b->session = session;
	(void)uv_timer_start(&b->timer, on_time, GO_MS, 0);
}
