/* SPDX-License-Identifier: MIT */
#include "mux/net/dial.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct dial {
	uv_loop_t *loop;
	dial_cb *cb; /* NULL once called or cancelled */
	void *arg;
	uv_getaddrinfo_t resolve;
	struct addrinfo *addresses, *next;
	uv_connect_t connect;
	uv_tcp_t *tcp; /* being tried */
	uv_timer_t timer;
	uint64_t deadline_ms;
	int is_resolving, is_connecting, has_timer;
	int last_error;
	char why[200];
};

static void try_next(struct dial *d);

static void free_if_done(struct dial *d)
{
	if (d->cb || d->is_resolving || d->is_connecting || d->has_timer)
		return;
	if (d->addresses)
		uv_freeaddrinfo(d->addresses);
	smx_free(d);
}

static void on_timer_closed(uv_handle_t *h)
{
	struct dial *d = h->data;

	d->has_timer = 0;
	free_if_done(d);
}

static void on_tcp_closed(uv_handle_t *h)
{
	smx_free(h);
}

static void stop(struct dial *d)
{
	d->cb = NULL;
	if (d->is_resolving)
		(void)uv_cancel((uv_req_t *)&d->resolve);
	if (d->tcp) {
		uv_close((uv_handle_t *)d->tcp, on_tcp_closed);
		d->tcp = NULL;
	}
	if (d->has_timer && !uv_is_closing((uv_handle_t *)&d->timer))
		uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

static void finish(struct dial *d, int r)
{
	dial_cb *cb = d->cb;
	uv_tcp_t *tcp = d->tcp;

	if (r == 0)
		d->tcp = NULL; /* the callee's now */
	stop(d);
	cb(d->arg, r, r == 0 ? tcp : NULL, d->why);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct dial *d = req->data;

	d->is_connecting = 0;
	if (!d->cb) {
		free_if_done(d);
		return;
	}
	if (status == 0) {
		finish(d, 0);
		return;
	}
	if (status != UV_ECANCELED)
		d->last_error = status;
	if (d->tcp) {
		uv_close((uv_handle_t *)d->tcp, on_tcp_closed);
		d->tcp = NULL;
	}
	try_next(d);
}

static void on_timeout(uv_timer_t *timer)
{
	struct dial *d = timer->data;

	if (!d->cb)
		return;
	d->last_error = UV_ETIMEDOUT;
	if (d->tcp) {
		/* on_connected goes on with the next address. */
		uv_close((uv_handle_t *)d->tcp, on_tcp_closed);
		d->tcp = NULL;
		return;
	}
	(void)snprintf(d->why, sizeof(d->why), "looking up the host name timed out");
	finish(d, SMX_ETIMEOUT);
}

static void try_next(struct dial *d)
{
	struct addrinfo *a = d->next;
	uint64_t now = uv_now(d->loop), left;
	int r;

	if (!a || now >= d->deadline_ms) {
		(void)snprintf(d->why, sizeof(d->why), "%s",
			uv_strerror(d->last_error ? d->last_error : UV_ETIMEDOUT));
		finish(d, d->last_error == UV_ETIMEDOUT ? SMX_ETIMEOUT : SMX_EREFUSED);
		return;
	}
	d->next = a->ai_next;
	left = d->deadline_ms - now;
	if (d->next && left > DIAL_ADDRESS_TIMEOUT_MS)
		left = DIAL_ADDRESS_TIMEOUT_MS;
	r = UV_ENOMEM;
	if ((d->tcp = smx_calloc(1, sizeof(*d->tcp))) && (r = uv_tcp_init(d->loop, d->tcp)) != 0) {
		smx_free(d->tcp);
		d->tcp = NULL;
	}
	if (d->tcp) {
		d->connect.data = d;
		r = uv_tcp_connect(&d->connect, d->tcp, a->ai_addr, on_connected);
	}
	if (r == 0) {
		d->is_connecting = 1;
		(void)uv_timer_start(&d->timer, on_timeout, left, 0);
		return;
	}
	d->last_error = r;
	if (d->tcp) {
		uv_close((uv_handle_t *)d->tcp, on_tcp_closed);
		d->tcp = NULL;
	}
	try_next(d);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
	struct dial *d = req->data;

	d->is_resolving = 0;
	d->addresses = d->next = addresses;
	if (!d->cb) {
		free_if_done(d);
		return;
	}
	if (status != 0) {
		(void)snprintf(d->why, sizeof(d->why), "can't resolve the host name: %s",
			uv_strerror(status));
		finish(d, SMX_ENOTFOUND);
		return;
	}
	try_next(d);
}

struct dial *dial_start(uv_loop_t *loop, const char *host, uint16_t port, dial_cb *cb, void *arg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct dial *d = smx_calloc(1, sizeof(*d));
	char service[8];

	if (!d)
		return NULL;
	d->loop = loop;
	d->cb = cb;
	d->arg = arg;
	d->deadline_ms = uv_now(loop) + DIAL_TIMEOUT_MS;
	d->resolve.data = d;
	d->timer.data = d;
	(void)snprintf(service, sizeof(service), "%u", port);
	(void)uv_timer_init(loop, &d->timer);
	d->has_timer = 1;
	(void)uv_timer_start(&d->timer, on_timeout, DIAL_TIMEOUT_MS, 0);
	if (uv_getaddrinfo(loop, &d->resolve, on_resolved, host, service, &hints) != 0) {
		stop(d);
		return NULL;
	}
	d->is_resolving = 1;
	return d;
}

void dial_cancel(struct dial *d)
{
	if (d)
		stop(d);
}
