/* SPDX-License-Identifier: MIT */
#include "mux/forward/arrived.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "mux/core/say.h"
#include "mux/forward/remote_listener.h"
#include "os/agent.h"
#include "os/door.h"

#define TEXT_SIZE 600

static struct arrived *of_owner(struct passenger_owner *o)
{
	return SMX_CONTAINER(o, struct arrived, owner);
}

static struct arrived *at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct arrived, all_node);
}

static struct mux_ids ids_of(const struct arrived *a)
{
	return (struct mux_ids){ .client = a->owner.id, .route = a->listener->words.route };
}

/* It has no passenger and no channel any more. */
static void arrived_free(struct arrived *a)
{
	struct remote_listener *l = a->listener;

	dial_cancel(a->dial);
	smx_list_del(&a->node);
	smx_list_del(&a->all_node);
	a->owner.mux->n_arrived--;
	l->n_arrived--;
	smx_routes_unref(a->owner.routes);
	smx_free(a);
	remote_listener_left(l);
}

static void refuse(struct arrived *a, enum smx_open_failure reason, const char *why)
{
	struct mux_ids ids = ids_of(a);
	struct link *remote = a->ep.link;
	char clean[TEXT_SIZE - 100], text[TEXT_SIZE];
	int r;

	smx_sanitize(why, strlen(why), clean, sizeof(clean));
	(void)snprintf(text, sizeof(text), "the place it is forwarded to: %s", clean);
	say_info(&ids, "a channel of the remote was refused: %s", text);
	a->ep.chan->user = NULL;
	if (!remote->dead && (r = smx_conn_open_fail(&remote->conn, a->ep.chan, reason, text)) != 0)
		link_fail(remote, r, NULL);
	link_touch(remote);
	arrived_free(a);
}

/* --- of its passenger --- */

static void on_over(struct passenger_owner *o)
{
	struct arrived *a = of_owner(o);

	a->passenger = NULL;
	arrived_free(a);
}

static const struct passenger_owner_ops owner_ops = { .over = on_over };

/* --- of its channel, until there is one --- */

static void on_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	/* Before its open is answered, whatever comes on a channel is ignored (ssh/conn.h). */
	(void)ep;
	(void)ev;
}

static void on_link_dead(struct endpoint *ep, int r, const char *why)
{
	(void)r;
	(void)why;
	arrived_free(SMX_CONTAINER(ep, struct arrived, ep));
}

static const struct endpoint_ops channel_ops = { on_event, on_link_dead };

/* --- connecting --- */

/* Takes fd over. */
static void board(struct arrived *a, int fd)
{
	struct passenger_streams streams = { NULL, NULL, NULL };
	int r = smx_os_stdio_of_socket(fd, &streams.in, &streams.out);

	if (r != 0) {
		refuse(a, SMX_OPEN_RESOURCE_SHORTAGE, smx_strerror(r));
		return;
	}
	a->passenger = passenger_accept(
		&a->owner, &streams, a->ep.link, a->ep.chan, smx_view_of(a->kind, strlen(a->kind)));
	if (!a->passenger)
		refuse(a, SMX_OPEN_RESOURCE_SHORTAGE, smx_strerror(SMX_ENOMEM));
	else
		a->ep.chan = NULL;
}

static void on_tcp_closed(uv_handle_t *h)
{
	smx_free(h);
}

static void on_dialled(void *arg, int r, uv_tcp_t *tcp, const char *why)
{
	struct arrived *a = arg;
	uv_os_fd_t handle;
	int fd = -1;

	a->dial = NULL;
	if (r == 0) {
		(void)uv_tcp_nodelay(tcp, 1);
		r = uv_fileno((uv_handle_t *)tcp, &handle) == 0
			    ? smx_os_socket_twin((int64_t)(intptr_t)handle, &fd)
			    : SMX_ESYS;
		why = r ? smx_strerror(r) : NULL;
		uv_close((uv_handle_t *)tcp, on_tcp_closed);
	}
	if (r == 0)
		board(a, fd);
	else
		refuse(a, SMX_OPEN_CONNECT_FAILED, why);
}

static void go(struct arrived *a, const struct forward_words *to)
{
	int fd, r;

	if (to->port == SMX_MUX4_PORT_IS_PATH) {
		/* A socket of the file system, as an agent's is. */
		if ((r = smx_os_agent_open(to->host, &fd)) == 0)
			board(a, fd);
		else
			refuse(a, SMX_OPEN_CONNECT_FAILED, smx_strerror(r));
		return;
	}
	a->dial = dial_start(a->owner.mux->core.loop, to->host, (uint16_t)to->port, on_dialled, a);
	if (!a->dial)
		refuse(a, SMX_OPEN_RESOURCE_SHORTAGE, smx_strerror(SMX_ENOMEM));
}

int arrived_new(struct remote_listener *l, const struct smx_route *route, struct link *remote,
	const struct smx_conn_event *ev)
{
	struct mux *m = l->mux;
	struct arrived *a = NULL;

	if (m->n_arrived >= ARRIVED_MAX)
		return SMX_ELIMIT;
	if (!(a = smx_calloc(1, sizeof(*a))))
		return SMX_ENOMEM;
	a->listener = l;
	a->kind = l->forward.is_path ? "forwarded-streamlocal@openssh.com" : "forwarded-tcpip";
	a->owner = (struct passenger_owner){
		.ops = &owner_ops,
		.mux = m,
		.routes = smx_routes_ref(m->routes),
		.route = route,
		.share = &l->share,
		.id = l->id,
		.pid = -1,
		.is_connection = 1,
	};
	a->ep = (struct endpoint){ &channel_ops, remote, ev->chan, 0 };
	ev->chan->user = &a->ep;
	smx_list_init(&a->node);
	smx_list_init(&a->all_node);
	smx_list_add_tail(&l->arrived, &a->node);
	smx_list_add_tail(&m->arrived, &a->all_node);
	m->n_arrived++;
	l->n_arrived++;
	go(a, &l->words);
	return 0;
}

void arrived_close(struct mux *m)
{
	struct smx_list *it, *tmp;

	/* Those with a passenger go with its connection. */
	SMX_LIST_FOREACH (it, tmp, &m->arrived)
		if (!at(it)->passenger)
			refuse(at(it), SMX_OPEN_CONNECT_FAILED, "ssh-mux ends");
}
