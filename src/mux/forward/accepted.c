/* SPDX-License-Identifier: MIT */
#include "mux/forward/accepted.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/socks.h"
#include "mux/core/say.h"
#include "mux/forward/forward.h"
#include "mux/forward/listener.h"
#include "os/door.h"
#include "os/ipc.h"

#define TEXT_SIZE 600

static struct accepted *of_owner(struct passenger_owner *o)
{
	return SMX_CONTAINER(o, struct accepted, owner);
}

static struct mux_ids ids_of(const struct accepted *c)
{
	return (struct mux_ids){ .client = c->owner.id, .route = c->listener->words.route };
}

static void on_closed(uv_handle_t *h)
{
	smx_free(h);
}

/*
 * Before the socket is another's or closed: libuv forgets the descriptor of a poll that it closes,
 * and its number might be that of a new connection by then, which would never be heard again.
 */
static void close_poll(struct accepted *c)
{
	if (c->poll)
		uv_close((uv_handle_t *)c->poll, on_closed);
	c->poll = NULL;
}

/* It has no passenger any more. */
static void accepted_free(struct accepted *c)
{
	struct listener *l = c->listener;

	smx_list_del(&c->node);
	smx_list_del(&c->all_node);
	c->owner.mux->n_accepted--;
	l->n_accepted--;
	smx_routes_unref(c->owner.routes);
	smx_free(c->socks);
	close_poll(c);
	smx_os_stdio_free(c->in);
	smx_os_stdio_free(c->out);
	smx_free(c);
	listener_left(l);
}

/* --- of its passenger --- */

static int on_opened(struct passenger_owner *o, uint32_t session)
{
	(void)o;
	(void)session;
	return 1;
}

static void refused(struct accepted *c, const char *text)
{
	struct mux_ids ids = ids_of(c);
	char line[TEXT_SIZE];

	smx_sanitize(text, strlen(text), line, sizeof(line));
	say_info(&ids, "a connection to a forward was closed: %s", line);
	c->passenger = NULL;
	accepted_free(c);
}

static void on_refused(struct passenger_owner *o, const char *text)
{
	refused(of_owner(o), text);
}

static void on_over(struct passenger_owner *o)
{
	struct accepted *c = of_owner(o);

	c->passenger = NULL;
	accepted_free(c);
}

static const struct passenger_owner_ops owner_ops = {
	.opened = on_opened, .refused = on_refused, .over = on_over
};

/* --- where it goes --- */

/* The policy is that of now, not of when the listener was made. 0: text says why not. */
static int may_go(struct accepted *c, const struct forward_target *to, char *text, size_t size)
{
	const struct smx_route *route = forward_words_route(&c->listener->words, c->owner.mux);

	if (!route) {
		(void)snprintf(text, size, "its route is gone");
		return 0;
	}
	c->owner.route = route;
	if (!c->owner.routes)
		c->owner.routes = smx_routes_ref(c->owner.mux->routes);
	return forward_is_allowed(c->owner.mux, route, to, text, size);
}

/* Its streams become the passenger's. */
static void board(struct accepted *c, const struct forward_target *to)
{
	struct passenger_streams streams = { c->in, c->out, NULL };
	const char *kind;
	struct smx_buf b;

	smx_buf_init(&b, 4096);
	if ((kind = forward_put_open(to, c->from.address, c->from.port, &b))) {
		c->in = c->out = NULL;
		c->passenger = passenger_new(&c->owner, &streams, smx_view_of(kind, strlen(kind)),
			smx_buf_as_view(&b), NULL);
	}
	smx_buf_release(&b);
	if (c->passenger)
		passenger_start(c->passenger);
	else
		refused(c, smx_strerror(SMX_ENOMEM));
}

/* --- SOCKS --- */

/* A few bytes, for which a new connection has room. */
static int reply(struct accepted *c, const uint8_t *bytes, size_t n)
{
	size_t written = 0;

	if (n == 0)
		return 0;
	return smx_os_stdio_write(c->out, bytes, n, &written) == 0 && written == n ? 0 : SMX_EEOF;
}

/* As ssh does, the answer comes before that of the server: the client can go on at once. */
static void on_asked(struct accepted *c)
{
	struct forward_target to = { smx_view_of(c->socks->host, strlen(c->socks->host)),
		c->socks->port };
	uint8_t bytes[SMX_SOCKS_REPLY_MAX];
	char host[SMX_SOCKS_HOST_MAX + 1], text[TEXT_SIZE];
	int is_allowed = may_go(c, &to, text, sizeof(text));
	size_t n = smx_socks_answer(
		c->socks, is_allowed ? SMX_SOCKS_GRANTED : SMX_SOCKS_DENIED, bytes);

	if (reply(c, bytes, n) != 0) {
		accepted_free(c);
		return;
	}
	if (!is_allowed) {
		refused(c, text);
		return;
	}
	(void)snprintf(host, sizeof(host), "%s", c->socks->host);
	to.host.p = (const uint8_t *)host;
	smx_free(c->socks);
	c->socks = NULL;
	close_poll(c);
	board(c, &to);
}

/* What came and was not read would make the system reset the connection, our answer with it. */
static void drop_rest(struct accepted *c)
{
	uint8_t bytes[1024];
	size_t len;

	(void)smx_os_stdio_read(c->in, bytes, sizeof(bytes), &len);
	smx_os_stdio_end(c->out);
}

static void read_socks(struct accepted *c)
{
	uint8_t bytes[SMX_SOCKS_HOST_MAX + 2], answer[SMX_SOCKS_REPLY_MAX];
	size_t len, n;
	int r = SMX_EAGAIN;

	while (r == SMX_EAGAIN) {
		r = smx_os_stdio_read(c->in, bytes, smx_socks_need(c->socks), &len);
		if (r == SMX_EAGAIN)
			return;
		if (r != 0)
			break;
		r = smx_socks_take(c->socks, bytes, len, answer, &n);
		if (reply(c, answer, n) != 0)
			r = SMX_EEOF;
	}
	if (r == 0) {
		on_asked(c);
	} else if (r == SMX_EEOF) {
		accepted_free(c);
	} else {
		drop_rest(c);
		refused(c, r == SMX_EUNSUPPORTED ? "what it asked for is not served"
						 : "that was no SOCKS request");
	}
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct accepted *c = poll->data;

	(void)status; /* the read tells */
	(void)events;
	read_socks(c);
}

static int ask(struct accepted *c)
{
	int is_writable, fd = smx_os_stdio_poll_fd(c->in, &is_writable);
	uv_poll_t *poll;

	if (!(c->socks = smx_calloc(1, sizeof(*c->socks))))
		return SMX_ENOMEM;
	smx_socks_init(c->socks);
	if (!(poll = smx_calloc(1, sizeof(*poll))))
		return SMX_ENOMEM;
	if (fd < 0 || uv_poll_init(c->owner.mux->core.loop, poll, fd) != 0) {
		smx_free(poll);
		return SMX_ESYS;
	}
	c->poll = poll;
	poll->data = c;
	return uv_poll_start(poll, UV_READABLE, on_readable) == 0 ? 0 : SMX_ESYS;
}

/* --- the beginning --- */

static void begin(struct accepted *c)
{
	const struct listener *l = c->listener;
	struct forward_target to = { smx_view_of(l->words.host, strlen(l->words.host)),
		l->words.port };
	char text[TEXT_SIZE];
	int r;

	if (l->words.kind == SMX_MUX4_DYNAMIC) {
		if ((r = ask(c)) != 0)
			refused(c, smx_strerror(r));
	} else if (may_go(c, &to, text, sizeof(text))) {
		board(c, &to);
	} else {
		refused(c, text);
	}
}

void accepted_new(struct listener *l, int fd, const struct accepted_from *from)
{
	struct accepted *c = smx_calloc(1, sizeof(*c));

	if (!c) {
		smx_os_ipc_close(fd);
		return;
	}
	if (smx_os_stdio_of_socket(fd, &c->in, &c->out) != 0) {
		smx_free(c);
		return;
	}
	c->listener = l;
	c->from = *from;
	c->born_ms = mux_now(l->mux);
	c->owner = (struct passenger_owner){
		.ops = &owner_ops,
		.mux = l->mux,
		.share = &l->share,
		.id = l->id,
		.pid = -1,
		.is_connection = 1,
	};
	smx_list_init(&c->node);
	smx_list_init(&c->all_node);
	smx_list_add_tail(&l->accepted, &c->node);
	smx_list_add_tail(&l->mux->accepted, &c->all_node);
	l->mux->n_accepted++;
	l->n_accepted++;
	begin(c);
}

static struct accepted *at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct accepted, all_node);
}

static void leave(struct accepted *c)
{
	struct passenger *p = c->passenger;

	c->passenger = NULL;
	if (p)
		passenger_leave(p);
	accepted_free(c);
}

void accepted_close(struct mux *m)
{
	struct smx_list *it, *tmp;

	/* Those with a channel go with its connection. */
	SMX_LIST_FOREACH (it, tmp, &m->accepted)
		if (!at(it)->passenger || !passenger_is_open(at(it)->passenger))
			leave(at(it));
}

void accepted_tick(struct mux *m)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->accepted)
		if (!at(it)->passenger && mux_now(m) - at(it)->born_ms >= ACCEPTED_GRACE_MS)
			refused(at(it), "it did not say where it wants to go");
}
