/* SPDX-License-Identifier: MIT */
#include "mux/doors/master.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/policy.h"
#include "config/socket_name.h"
#include "mux/ask/caller_ask.h"
#include "mux/core/say.h"
#include "mux/doors/guest.h"
#include "mux/doors/passenger.h"
#include "mux/forward/listener.h"
#include "mux/forward/remote_listener.h"
#include "os/caller.h"
#include "os/door.h"
#include "os/ipc.h"
#include "sshconf/ssh_args.h"

#define ACCEPTS_MAX      64 /* in a row, before all else has its turn */
#define POLICY_TEXT_SIZE 1024

struct master_socket {
	struct master *master;
	struct smx_os_door *door;
	char *name; /* config/socket_name.h */
	char *route;
	uv_poll_t poll;
	int is_paused; /* U10: until the next tick */
};

struct master {
	struct mux *mux;
	struct smx_os_doors *doors;
	struct master_socket **sockets; /* by name */
	size_t n_sockets;
	char local_host[UV_MAXHOSTNAMESIZE]; /* which hashed names depend on */
	uv_signal_t resized;
	int has_signal;
};

static int socket_name(const struct master *ms, const struct smx_route *route, char *out)
{
	size_t room = smx_os_doors_room(smx_os_doors_path(ms->doors));

	return smx_socket_name(route, room, ms->local_host, out);
}

/* The host's own name, as ssh asks for it. 1: it is another one than before. */
static int look_at_local_host(struct master *ms)
{
	char name[UV_MAXHOSTNAMESIZE] = "";
	size_t size = sizeof(name);

	if (uv_os_gethostname(name, &size) != 0 || strcmp(name, ms->local_host) == 0)
		return 0;
	(void)snprintf(ms->local_host, sizeof(ms->local_host), "%s", name);
	return 1;
}

/* --- accepting --- */

/* U10: whoever waits goes on waiting, and is looked for by the next tick. */
static void pause_socket(struct master_socket *s, const char *why)
{
	if (mux_tally(s->master->mux, TALLY_ACCEPT))
		log_warn("no client of a control socket can be accepted at the moment, they wait: "
			 "%s",
			why);
	(void)uv_poll_stop(&s->poll);
	s->is_paused = 1;
}

/*
 * Whether ssh does better without us (W3): whoever is hung up on before the hello connects by
 * himself. The request comes behind the hello, so ssh's command line is looked at.
 *
 * -W, which is how it goes through a jump host: refused, ssh would end. -f with forwards: clients
 * up to 9.3 stay in the foreground at any master, and without a command nothing tells when they may
 * go (guest_background.c). ret_is_background: -f.
 */
static int is_left_to_ssh(const struct smx_route *route, int fd, int *ret_is_background)
{
	char text[POLICY_TEXT_SIZE] = "ssh -f with forwards";
	struct smx_os_caller *caller = NULL;
	struct smx_ssh_args ssh = { .stdio_port = 0 };
	struct smx_buf args;
	int64_t pid;
	int is_left;

	smx_buf_init(&args, SMX_OS_CALLER_BYTES_MAX);
	if (smx_os_ipc_peer_check(fd, &pid) == 0 && smx_os_caller_new(pid, &caller) == 0 &&
		smx_os_caller_args(caller, &args) == 0)
		smx_ssh_args_read(smx_buf_as_view(&args), &ssh);
	if (ssh.stdio_port)
		is_left = smx_policy_check_forward(route, SMX_CHAN_KIND_TCPIP, ssh.stdio_host_view,
				  ssh.stdio_port, text, sizeof(text)) != 0;
	else
		is_left = ssh.is_background && ssh.has_forwards;
	*ret_is_background = ssh.is_background;
	if (is_left)
		log_info("control client of route \"%s\" connects directly: %s", route->name, text);
	smx_os_caller_free(caller);
	smx_buf_release(&args);
	return is_left;
}

static void admit(struct master_socket *s, int fd)
{
	struct mux *m = s->master->mux;
	const struct smx_route *route = smx_routes_find(m->routes, s->route);
	int is_background = 0;

	if (!route || m->core.is_stopping || m->n_guests >= GUESTS_MAX) {
		if (m->n_guests >= GUESTS_MAX && mux_tally(m, TALLY_FULL))
			log_warn("too many clients at the control sockets: one was turned away");
		smx_os_ipc_close(fd); /* before the hello: ssh goes on by itself */
		return;
	}
	if (is_left_to_ssh(route, fd, &is_background))
		smx_os_ipc_close(fd);
	else
		guest_new(m, fd, route, is_background);
}

static void on_waiting(uv_poll_t *poll, int status, int events)
{
	struct master_socket *s = poll->data;
	int fd, r;

	(void)events;
	if (status != 0) {
		pause_socket(s, uv_strerror(status));
		return;
	}
	for (int i = 0; i < ACCEPTS_MAX && !s->is_paused; i++) {
		if ((r = smx_os_door_accept(s->door, &fd)) == SMX_EAGAIN)
			break;
		if (r != 0)
			pause_socket(s, r == SMX_ELIMIT
						? "the system has no descriptors or memory left"
						: smx_strerror(r));
		else
			admit(s, fd);
	}
}

/* --- sockets --- */

static void free_socket(struct master_socket *s)
{
	smx_os_door_close(s->door);
	smx_free(s->name);
	smx_free(s->route);
	smx_free(s);
}

static void on_socket_closed(uv_handle_t *h)
{
	smx_free(h->data);
}

/* Its name is free at once. */
static void close_socket(struct master_socket *s)
{
	struct smx_os_door *door = s->door;

	uv_close((uv_handle_t *)&s->poll, on_socket_closed);
	smx_os_door_close(door);
	smx_free(s->name);
	smx_free(s->route);
	s->door = NULL;
	s->name = NULL;
	s->route = NULL;
}

struct wanted {
	char *name;
	const char *route;
};

static struct master_socket *open_socket(struct master *ms, const struct wanted *w)
{
	struct master_socket *s = smx_calloc(1, sizeof(*s));
	struct smx_buf err;
	int r = SMX_ENOMEM;

	smx_buf_init(&err, 2048);
	if (s && (s->name = smx_strdup(w->name)) && (s->route = smx_strdup(w->route)) &&
		(r = smx_os_door_listen(ms->doors, w->name, &s->door, &err)) == 0)
		r = uv_poll_init(ms->mux->core.loop, &s->poll, smx_os_door_fd(s->door)) == 0
			    ? 0
			    : SMX_ESYS;
	if (r == 0) {
		s->master = ms;
		s->poll.data = s;
		(void)uv_poll_start(&s->poll, UV_READABLE, on_waiting);
	} else {
		log_warn("route \"%s\" has no control socket: %s", w->route, smx_errtext(r, &err));
		if (s)
			free_socket(s);
		s = NULL;
	}
	smx_buf_release(&err);
	return s;
}

static int by_name(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void free_wanted(struct wanted *wanted, size_t n)
{
	for (size_t i = 0; i < n; i++)
		smx_free(wanted[i].name);
	smx_free(wanted);
}

/* The sockets there should be, sorted. */
static int find_wanted(const struct master *ms, struct wanted **ret, size_t *ret_n)
{
	const struct smx_routes *routes = ms->mux->routes;
	size_t n = routes->match_any ? 0 : routes->n_routes;
	struct wanted *wanted;
	char name[SMX_SOCKET_NAME_SIZE];

	if (n > MASTER_SOCKETS_MAX) {
		log_warn("only the first %d of %zu routes have a control socket",
			MASTER_SOCKETS_MAX, n);
		n = MASTER_SOCKETS_MAX;
	}
	if (!(wanted = smx_calloc(n + 1, sizeof(*wanted))))
		return SMX_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		wanted[i].route = routes->routes[i].name;
		if (socket_name(ms, &routes->routes[i], name) != 0 ||
			!(wanted[i].name = smx_strdup(name))) {
			free_wanted(wanted, i);
			return SMX_ENOMEM;
		}
	}
	qsort(wanted, n, sizeof(*wanted), by_name);
	*ret = wanted;
	*ret_n = n;
	return 0;
}

/* Both are sorted: those that are not wanted go, those that are wanted and missing come. */
static void merge(
	struct master *ms, struct master_socket **to, const struct wanted *wanted, size_t n)
{
	size_t i = 0, j = 0, n_to = 0;
	int order;

	while (i < n || j < ms->n_sockets) {
		order = i == n               ? 1
			: j == ms->n_sockets ? -1
					     : strcmp(wanted[i].name, ms->sockets[j]->name);
		if (order > 0) {
			close_socket(ms->sockets[j++]);
		} else if (order == 0) {
			to[n_to++] = ms->sockets[j++];
			i++;
		} else if ((to[n_to] = open_socket(ms, &wanted[i++]))) {
			n_to++;
		}
	}
	smx_free(ms->sockets);
	ms->sockets = to;
	ms->n_sockets = n_to;
}

void master_sync(struct mux *m)
{
	struct master *ms = m->master;
	struct master_socket **to;
	struct wanted *wanted;
	size_t n;

	listeners_sync(m);
	remote_listeners_sync(m);
	if (!ms || find_wanted(ms, &wanted, &n) != 0)
		return;
	if ((to = smx_calloc(n + 1, sizeof(struct master_socket *))))
		merge(ms, to, wanted, n);
	free_wanted(wanted, n);
}

static void on_resized(uv_signal_t *handle, int signum)
{
	struct master *ms = SMX_CONTAINER(handle, struct master, resized);
	struct mux *m = ms->mux;
	struct smx_list *it, *tmp;

	(void)signum;
	SMX_LIST_FOREACH (it, tmp, &m->guests) {
		struct guest *g = SMX_CONTAINER(it, struct guest, node);

		if (g->passenger)
			passenger_resize(g->passenger);
	}
}

void master_open(struct mux *m)
{
	struct master *ms = smx_calloc(1, sizeof(*ms));
	struct smx_buf err;
	int r = SMX_ENOMEM;

	smx_buf_init(&err, 2048);
	if (ms && (r = smx_os_doors_open(m->opts->ssh_dir, &ms->doors, &err)) == 0) {
		ms->mux = m;
		m->master = ms;
		if (smx_os_size_signal() && uv_signal_init(m->core.loop, &ms->resized) == 0) {
			ms->has_signal = 1;
			(void)uv_signal_start(&ms->resized, on_resized, smx_os_size_signal());
		}
		(void)look_at_local_host(ms);
		master_sync(m);
	} else {
		if (r != SMX_EUNSUPPORTED)
			log_warn("there are no control sockets: %s", smx_errtext(r, &err));
		smx_free(ms);
	}
	smx_buf_release(&err);
}

static void free_master(struct master *ms)
{
	smx_os_doors_free(ms->doors);
	smx_free(ms->sockets);
	smx_free(ms);
}

static void on_signal_closed(uv_handle_t *h)
{
	free_master(SMX_CONTAINER((uv_signal_t *)h, struct master, resized));
}

void master_close(struct mux *m)
{
	struct master *ms = m->master;
	struct smx_list *it, *tmp;

	m->master = NULL;
	if (ms) {
		for (size_t i = 0; i < ms->n_sockets; i++)
			close_socket(ms->sockets[i]);
		if (ms->has_signal)
			uv_close((uv_handle_t *)&ms->resized, on_signal_closed);
		else
			free_master(ms);
	}
	listeners_close(m);
	remote_listeners_close(m);
	/* Those with a channel are told when its connection ends, or are clients. */
	SMX_LIST_FOREACH (it, tmp, &m->guests) {
		struct guest *g = SMX_CONTAINER(it, struct guest, node);

		if ((!g->passenger || g->is_opening) && !g->proxy)
			guest_end(g);
	}
}

void master_tick(struct mux *m)
{
	struct master *ms = m->master;
	struct smx_list *it, *tmp;

	if (ms && look_at_local_host(ms))
		master_sync(m);
	for (size_t i = 0; ms && i < ms->n_sockets; i++) {
		struct master_socket *s = ms->sockets[i];

		if (s->is_paused && uv_poll_start(&s->poll, UV_READABLE, on_waiting) == 0)
			s->is_paused = 0;
	}
	caller_ask_tick(m);
	SMX_LIST_FOREACH (it, tmp, &m->guests)
		guest_tick(SMX_CONTAINER(it, struct guest, node));
	listeners_tick(m);
}

int master_path(const struct mux *m, const struct smx_route *route, char *out, size_t size)
{
	const struct master *ms = m->master;
	char name[SMX_SOCKET_NAME_SIZE];

	if (!ms || socket_name(ms, route, name) != 0)
		return SMX_ENOTFOUND;
	for (size_t i = 0; i < ms->n_sockets; i++) {
		if (strcmp(ms->sockets[i]->name, name) != 0)
			continue;
		(void)snprintf(out, size, "%s/%s", smx_os_doors_path(ms->doors), name);
		return 0;
	}
	return SMX_ENOTFOUND;
}
