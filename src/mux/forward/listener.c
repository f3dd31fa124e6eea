/* SPDX-License-Identifier: MIT */
#include "mux/forward/listener.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/forward.h"
#include "mux/core/say.h"
#include "mux/forward/accepted.h"
#include "os/door.h"

#define ACCEPTS_MAX 16 /* in a row, before all else has its turn */

struct listener_poll {
	struct listener *listener; /* NULL once it is closed */
	uv_poll_t poll;
	int fd;
};

static struct listener *at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct listener, node);
}

static struct mux_ids ids_of(const struct listener *l)
{
	return (struct mux_ids){ .client = l->id, .route = l->words.route };
}

static void say_state(const struct listener *l, const char *state)
{
	struct mux_ids ids = ids_of(l);
	char where[SMX_STREAMLOCAL_PATH_MAX + 20];

	if (l->words.listen_port == SMX_MUX4_PORT_IS_PATH)
		(void)snprintf(where, sizeof(where), "%s", l->words.listen_host);
	else
		(void)snprintf(where, sizeof(where), "%.80s port %u",
			*l->words.listen_host ? l->words.listen_host : "localhost",
			l->words.listen_port);
	say_info(&ids, "forward %s: %s", state, where);
}

/* --- accepting --- */

/* U10: whoever waits goes on waiting, and is looked for by the next tick. */
static void pause_listener(struct listener *l, const char *why)
{
	struct mux_ids ids = ids_of(l);

	if (mux_tally(l->mux, TALLY_ACCEPT))
		say_warn(&ids, "no connection to a forward can be accepted at the moment: %s", why);
	for (size_t i = 0; i < l->n_polls; i++)
		(void)uv_poll_stop(&l->polls[i]->poll);
	l->is_paused = 1;
}

static void on_waiting(uv_poll_t *poll, int status, int events)
{
	struct listener_poll *p = poll->data;
	struct listener *l = p->listener;
	struct mux *m = l->mux;
	struct accepted_from from;
	int fd, r;

	(void)events;
	if (status != 0)
		pause_listener(l, uv_strerror(status));
	for (int i = 0; i < ACCEPTS_MAX && p->listener && !l->is_paused; i++) {
		if (m->n_accepted >= ACCEPTED_MAX) {
			pause_listener(l, "there are too many");
			break;
		}
		r = smx_os_forward_accept(
			p->fd, &fd, from.address, sizeof(from.address), &from.port);
		if (r == SMX_EAGAIN)
			break;
		if (r != 0)
			pause_listener(l, r == SMX_ELIMIT
						  ? "the system has no descriptors or memory left"
						  : smx_strerror(r));
		else
			accepted_new(l, fd, &from);
	}
}

static int start_polls(struct listener *l)
{
	for (size_t i = 0; i < l->n_polls; i++)
		if (uv_poll_start(&l->polls[i]->poll, UV_READABLE, on_waiting) != 0)
			return SMX_ESYS;
	l->is_paused = 0;
	return 0;
}

/* --- lifetime --- */

static void listener_free(struct listener *l)
{
	share_release(&l->share);
	forward_words_release(&l->words);
	smx_free(l);
}

static void free_if_unused(struct listener *l)
{
	if (!l->os && l->n_holders == 0 && smx_list_empty(&l->accepted))
		listener_free(l);
}

static void on_poll_closed(uv_handle_t *h)
{
	smx_free(h->data);
}

/* Without the check whether somebody still needs it. */
static void stop_listening(struct listener *l)
{
	if (!l->os)
		return;
	while (l->n_polls) {
		struct listener_poll *p = l->polls[--l->n_polls];

		p->listener = NULL;
		uv_close((uv_handle_t *)&p->poll, on_poll_closed);
	}
	smx_os_forward_close(l->os);
	l->os = NULL;
	l->is_kept = 0;
	smx_list_del(&l->node);
	l->mux->n_listeners--;
	say_state(l, "closed");
}

void listener_close(struct listener *l)
{
	stop_listening(l);
	free_if_unused(l);
}

void listener_left(struct listener *l)
{
	free_if_unused(l);
}

void listener_hold(struct listener *l)
{
	l->n_holders++;
}

void listener_release(struct listener *l, int keep)
{
	l->n_holders--;
	if (l->os)
		l->is_kept |= keep;
	if (l->n_holders == 0 && !l->is_kept)
		stop_listening(l);
	free_if_unused(l);
}

static int add_poll(struct listener *l, int fd)
{
	struct listener_poll *p = smx_calloc(1, sizeof(*p));

	if (!p)
		return SMX_ENOMEM;
	if (uv_poll_init(l->mux->core.loop, &p->poll, fd) != 0) {
		smx_free(p);
		return SMX_ESYS;
	}
	p->poll.data = p;
	p->listener = l;
	p->fd = fd;
	l->polls[l->n_polls++] = p;
	return 0;
}

/* The place of a request, whose host is a C string that is there for as long as that. */
static struct smx_os_forward_place place_of(const char *host, uint32_t port)
{
	if (port == SMX_MUX4_PORT_IS_PATH)
		return (struct smx_os_forward_place){ host, NULL, 0 };
	return (struct smx_os_forward_place){ NULL, host, (uint16_t)port };
}

static int start(struct listener *l, struct smx_buf *err)
{
	struct smx_os_forward_place place = place_of(l->words.listen_host, l->words.listen_port);
	int fds[SMX_OS_FORWARD_FDS], r;
	size_t n;

	if (!smx_os_forward_is_local(&place)) {
		(void)smx_buf_printf(
			err, "only loopback addresses are listened at; ssh does it directly");
		return SMX_EDENIED;
	}
	if ((r = smx_os_forward_listen(&place, &l->os, err)) != 0)
		return r;
	smx_list_add_tail(&l->mux->listeners, &l->node);
	l->mux->n_listeners++;
	n = smx_os_forward_fds(l->os, fds);
	for (size_t i = 0; i < n; i++)
		if ((r = add_poll(l, fds[i])) != 0)
			return r;
	return start_polls(l);
}

struct listener *listener_new(struct mux *m, const struct smx_route *route,
	const struct smx_mux4_request *req, char *text, size_t size)
{
	struct listener *l = m->n_listeners < LISTENERS_MAX ? smx_calloc(1, sizeof(*l)) : NULL;
	struct smx_buf err;
	int r;

	if (!l) {
		(void)snprintf(text, size, "there are too many forwards");
		return NULL;
	}
	l->mux = m;
	l->id = ++m->core.next_id;
	l->born_ms = mux_now(m);
	smx_list_init(&l->node);
	smx_list_init(&l->accepted);
	share_init(&l->share, &m->core.windows);
	smx_buf_init(&err, 2048);
	if ((r = forward_words_set(&l->words, route, req)) == 0)
		r = start(l, &err);
	if (r != 0)
		(void)snprintf(text, size, "%s", smx_errtext(r, &err));
	smx_buf_release(&err);
	if (r != 0) {
		listener_close(l);
		return NULL;
	}
	l->n_holders = 1;
	say_state(l, "opened");
	return l;
}

struct listener *listener_find(
	struct mux *m, const struct smx_route *route, const struct smx_mux4_request *req)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->listeners)
		if (forward_words_are(&at(it)->words, route, req))
			return at(it);
	return NULL;
}

/* --- all of them --- */

void listeners_sync(struct mux *m)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->listeners)
		if (!forward_words_route(&at(it)->words, m))
			listener_close(at(it));
}

void listeners_close(struct mux *m)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->listeners)
		listener_close(at(it));
	accepted_close(m);
}

void listeners_tick(struct mux *m)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->listeners)
		if (at(it)->is_paused && m->n_accepted < ACCEPTED_MAX)
			(void)start_polls(at(it));
	accepted_tick(m);
}
