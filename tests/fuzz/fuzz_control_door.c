/* SPDX-License-Identifier: MIT */
// fuzzes: src/control/mux4.c src/mux/doors/guest.c src/mux/doors/guest_forward.c
// fuzzes: src/mux/doors/guest_proxy.c src/mux/doors/guest_info.c src/mux/doors/passenger.c
// fuzzes: src/mux/doors/passenger_ask.c src/mux/forward/listener.c
// dictionary: mux4
/*
 * A control socket, whole (W2): clients with their descriptors at one end, a connection that is
 * logged in at the other, and between them what the daemon has there. The input is a list of
 * messages (fuzz_ssh.h) whose first byte says who does what (enum act). The remote answers what it
 * is asked; a message of its own may come at any time. The last client is at the socket of a route
 * that allows nothing and has no connection.
 *
 * Whatever would leave this process is replaced (CMakeLists.txt: --wrap): forwards listen at a
 * socket in a directory of ours, nothing is dialled, nobody is asked, and no login is made.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz_ssh.h"
#include "base/log.h"
#include "mux/ask/caller_ask.h"
#include "mux/doors/guest.h"
#include "mux/doors/keyring.h"
#include "mux/forward/listener.h"
#include "mux/forward/remote_forward.h"
#include "mux/forward/remote_listener.h"
#include "mux/net/dial.h"
#include "mux/pool/upstream.h"
#include "os/agent.h"
#include "os/caller.h"
#include "os/door.h"

#define CLIENTS     3
#define TURNS       6 /* of the loop: a session and its descriptors take four */
#define TURNS_LAST  2000
#define FLOOD_BLOCK 16384
#define PEER        1000 /* the remote's number of a channel: ours and so much */

enum act {
	ACT_SAY, /* a client: bytes; the second byte of the message: which, and descriptors */
	ACT_REMOTE, /* a message of the remote's */
	ACT_TYPE, /* into a client's standard input */
	ACT_CLOSE, /* a client hangs up, or closes one of its streams */
	ACT_CONNECT, /* to where the last forward listens, with bytes */
	ACT_READ, /* what came out at a client's streams */
	ACT_LOOK, /* as each second */
	ACT_DENY, /* the second byte: what is refused from now on (enum deny) */
	ACT_FLOOD, /* data on a channel: its number, and how many blocks of 16 KiB; all is read */
	N_ACTS,
};

enum deny {
	DENY_REQUESTS = 1, /* of a channel, by the remote */
	DENY_GLOBAL = 2,
	DENY_OPENS = 4,
	DENY_LOCKED = 8, /* by the daemon */
};

struct visitor {
	int fd; /* -1: none */
	int streams[3]; /* its ends of the pipes that it hands over */
};

struct fixture {
	uv_loop_t loop;
	struct mux mux;
	struct smx_serve_options opts;
	struct upstream *up; /* NULL: it has ended */
	struct link *link;
	struct carrier remote;
	struct smx_buf answers; /* of the remote, not delivered yet: packets */
	struct visitor visitors[CLIENTS];
	int connected;
	unsigned denied;
};

static struct fixture *fixture;
static char directory[] = "/tmp/fuzz_control_door.XXXXXX", place[64];

/* --- what is replaced --- */

int __real_smx_os_forward_listen(
	const struct smx_os_forward_place *at, struct smx_os_forward **ret, struct smx_buf *err);
int __wrap_smx_os_forward_listen(
	const struct smx_os_forward_place *at, struct smx_os_forward **ret, struct smx_buf *err);
struct dial *__wrap_dial_start(
	uv_loop_t *loop, const char *host, uint16_t port, dial_cb *cb, void *arg);
int __wrap_smx_os_agent_open(const char *path, int *ret_fd);
struct caller_ask *__wrap_caller_ask_new(const struct caller_wait *wait);
struct upstream *__wrap_upstream_new(struct pool_entry *e);
int __wrap_smx_os_caller_new(int64_t pid, struct smx_os_caller **ret);

int __wrap_smx_os_forward_listen(
	const struct smx_os_forward_place *at, struct smx_os_forward **ret, struct smx_buf *err)
{
	static unsigned n;
	struct smx_os_forward_place ours = { .path = place };

	(void)at;
	(void)snprintf(place, sizeof(place), "%s/%u", directory, n++ % 64);
	return __real_smx_os_forward_listen(&ours, ret, err);
}

struct dial *__wrap_dial_start(
	uv_loop_t *loop, const char *host, uint16_t port, dial_cb *cb, void *arg)
{
	(void)loop;
	(void)port;
	(void)cb;
	(void)arg;
	fuzz_check(strlen(host) < 4096);
	return NULL;
}

int __wrap_smx_os_agent_open(const char *path, int *ret_fd)
{
	(void)path;
	(void)ret_fd;
	return SMX_ENOTFOUND;
}

struct caller_ask *__wrap_caller_ask_new(const struct caller_wait *wait)
{
	(void)wait;
	return NULL;
}

struct upstream *__wrap_upstream_new(struct pool_entry *e)
{
	(void)e;
	return NULL;
}

int __wrap_smx_os_caller_new(int64_t pid, struct smx_os_caller **ret)
{
	(void)pid;
	(void)ret;
	return SMX_ENOTFOUND;
}

/* --- the remote --- */

static void answer(struct fixture *f, const uint8_t *p, size_t n)
{
	uint8_t packet[128];
	size_t len = clear_packet((struct smx_view){ p, n }, packet, sizeof(packet));

	(void)smx_buf_put(&f->answers, packet, len); /* beyond its room: it says no more */
}

static void answer_channel(struct fixture *f, uint8_t type, uint32_t id)
{
	uint8_t m[5] = { type };

	smx_set_u32(m + 1, id);
	answer(f, m, sizeof(m));
}

/* As a remote does that grants everything, or refuses some of it. */
static void hear(struct fixture *f, struct smx_view m)
{
	struct smx_rd rd = smx_rd_from(m.p + 1, m.len - 1);
	uint8_t confirm[17] = { SMX_MSG_CHANNEL_OPEN_CONFIRMATION };
	static const uint8_t yes[5] = { SMX_MSG_REQUEST_SUCCESS, 0, 0, 0, 22 };
	static const uint8_t no = SMX_MSG_REQUEST_FAILURE;
	struct smx_view kind;
	uint32_t id = 0;
	int wants = 0;

	if (m.p[0] == SMX_MSG_CHANNEL_OPEN) {
		fuzz_check(smx_rd_string(&rd, &kind) == 0 && smx_rd_u32(&rd, &id) == 0);
		smx_set_u32(confirm + 1, id);
		if (f->denied & DENY_OPENS) {
			confirm[0] = SMX_MSG_CHANNEL_OPEN_FAILURE; /* reason, and two texts */
			smx_set_u32(confirm + 5, 1);
			answer(f, confirm, sizeof(confirm));
			return;
		}
		smx_set_u32(confirm + 5, id + PEER);
		smx_set_u32(confirm + 9, 4096);
		smx_set_u32(confirm + 13, 32768);
		answer(f, confirm, sizeof(confirm));
	} else if (m.p[0] == SMX_MSG_GLOBAL_REQUEST) {
		fuzz_check(smx_rd_string(&rd, &kind) == 0 && smx_rd_bool(&rd, &wants) == 0);
		if (wants && (f->denied & DENY_GLOBAL))
			answer(f, &no, 1);
		else if (wants)
			answer(f, yes, smx_view_eq(kind, "tcpip-forward") ? 5 : 1);
	} else if (m.p[0] == SMX_MSG_CHANNEL_REQUEST) {
		fuzz_check(smx_rd_u32(&rd, &id) == 0 && smx_rd_string(&rd, &kind) == 0 &&
			   smx_rd_bool(&rd, &wants) == 0);
		if (wants)
			answer_channel(f,
				f->denied & DENY_REQUESTS ? SMX_MSG_CHANNEL_FAILURE
							  : SMX_MSG_CHANNEL_SUCCESS,
				id - PEER);
	} else if (m.p[0] == SMX_MSG_CHANNEL_CLOSE) {
		fuzz_check(smx_rd_u32(&rd, &id) == 0);
		answer_channel(f, SMX_MSG_CHANNEL_CLOSE, id - PEER);
	}
}

static void on_write(struct carrier *c, struct smx_tx_block *list)
{
	struct fixture *f = SMX_CONTAINER(c, struct fixture, remote);
	struct smx_view m;
	size_t off;

	for (const struct smx_tx_block *b = list; b; b = b->next)
		for (off = 0; clear_next(b, &off, &m);)
			hear(f, m);
	smx_transport_tx_free(f->link->t, list);
}

static size_t on_backlog(struct carrier *c)
{
	(void)c;
	return 0;
}

static void on_detach(struct carrier *c)
{
	SMX_CONTAINER(c, struct fixture, remote)->link = NULL;
}

static const struct carrier_ops remote_ops = {
	.write = on_write, .backlog = on_backlog, .detach = on_detach
};

static void deliver(struct fixture *f)
{
	struct smx_buf now = f->answers;

	smx_buf_init(&f->answers, 1 << 20);
	if (f->link && !f->link->dead && smx_buf_len(&now))
		link_carrier_data(f->link, smx_buf_as_view(&now));
	smx_buf_release(&now);
}

/* --- the connection, as pool/upstream.c has it once it is logged in --- */

static void on_open(struct link *l, struct smx_conn_event *ev)
{
	if (!remote_forward_open(l->owner, ev) &&
		smx_conn_open_fail(&l->conn, ev->chan, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED, "") !=
			0)
		link_fail(l, SMX_ENOMEM, NULL);
}

static void on_dead(struct link *l, int r, const char *why)
{
	struct upstream *up = l->owner;

	(void)r;
	fixture->up = NULL;
	remote_forward_upstream_gone(up, why);
	pool_upstream_gone(up->entry, up, why);
	smx_routes_unref(up->routes);
	smx_free(up);
}

static void on_life(struct link *l)
{
	struct upstream *up = l->owner;

	if (up->n_pending)
		spares_alive(up);
}

static int on_global_reply(struct link *l, struct smx_conn_event *ev)
{
	return remote_forward_reply(l->owner, ev);
}

static void orphan_event(struct endpoint *ep, struct smx_conn_event *ev)
{
	if (ev->type == SMX_CONN_OPEN_FAIL || ev->type == SMX_CONN_CLOSE)
		ev->chan->user = NULL;
	else if (ev->type == SMX_CONN_OPEN_CONFIRM &&
		 smx_conn_send_close(&ep->link->conn, ev->chan) != 0)
		link_fail(ep->link, SMX_ENOMEM, NULL);
}

static void orphan_dead(struct endpoint *ep, int r, const char *why)
{
	(void)ep;
	(void)r;
	(void)why;
}

static const struct endpoint_ops orphan_ops = { orphan_event, orphan_dead };

static int on_auth(struct link *l, struct smx_view payload)
{
	(void)l;
	(void)payload;
	return SMX_EUNEXPECTED;
}

static const struct link_ops link_ops = { .auth = on_auth,
	.open = on_open,
	.dead = on_dead,
	.id_name = "conn",
	.life = on_life,
	.global_reply = on_global_reply };

static void make_connection(struct fixture *f)
{
	struct pool_entry *e = smx_calloc(1, sizeof(*e));
	struct upstream *up = smx_calloc(1, sizeof(*up));
	struct mux *m = &f->mux;

	fuzz_check(e && up);
	e->mux = m;
	e->routes = smx_routes_ref(m->routes);
	e->route = &m->routes->routes[0];
	e->hops = e->route->hops;
	e->n_hops = e->route->n_hops;
	smx_list_init(&e->upstreams);
	smx_list_init(&e->waiting);
	smx_list_init(&e->node);
	smx_list_add_tail(&m->entries, &e->node);
	fuzz_check((f->link = link_new(&m->core, &link_ops, up)) != NULL);
	f->link->t = clear_transport(&m->core.pool, SMX_CLIENT, SMX_PHASE_CONNECTION, NULL);
	fuzz_check(f->link->t != NULL);
	smx_conn_init(&f->link->conn, f->link->t);
	f->remote.ops = &remote_ops;
	f->remote.inner = f->link;
	f->link->carrier = &f->remote;
	*up = (struct upstream){ .entry = e,
		.routes = smx_routes_ref(m->routes),
		.hop = &e->hops[e->n_hops - 1],
		.link = f->link,
		.state = UPSTREAM_READY,
		.n_opened = 1,
		.is_known_good = 1 };
	for (int i = 0; i < 2; i++)
		up->orphans[i] = (struct endpoint){ &orphan_ops, f->link, NULL, i };
	upstream_life_init(up);
	spares_init(up);
	smx_list_init(&up->forwards);
	smx_list_init(&up->lenders);
	smx_list_init(&up->node);
	smx_list_add_tail(&e->upstreams, &up->node);
	f->up = up;
}

/* --- clients --- */

static void turn(struct fixture *f, int n)
{
	while (n-- > 0) {
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
		deliver(f);
		core_settle(&f->mux.core);
	}
}

static void leave(struct visitor *v)
{
	if (v->fd >= 0)
		(void)close(v->fd);
	for (int i = 0; i < 3; i++)
		if (v->streams[i] >= 0)
			(void)close(v->streams[i]);
	*v = (struct visitor){ -1, { -1, -1, -1 } };
}

static void come(struct fixture *f, struct visitor *v)
{
	int ends[2];

	fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	v->fd = ends[0];
	guest_new(&f->mux, ends[1], &f->mux.routes->routes[v == &f->visitors[CLIENTS - 1]], 0);
}

/* A stream of its own; what is handed over, which is closed here once it was. */
static int make_stream(struct visitor *v, int i, unsigned kind)
{
	int ends[2];

	if (kind & 1)
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	if (v->streams[i] >= 0)
		(void)close(v->streams[i]);
	v->streams[i] = -1;
	if (kind & 2) {
		v->streams[i] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
		fuzz_check(v->streams[i] >= 0 && unlockpt(v->streams[i]) == 0);
		return open(ptsname(v->streams[i]), O_RDWR | O_NOCTTY | O_CLOEXEC);
	}
	fuzz_check(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
	v->streams[i] = ends[i == 0];
	return ends[i != 0];
}

/*
 * how: bits 0 and 1 which client, 2 to 4 how many descriptors, 5 and 6 what they are: pipes, else
 * /dev/null (1) or a terminal (2), 7 whether the next act comes before it is served.
 */
static void say(struct fixture *f, uint8_t how, struct smx_view bytes)
{
	static char nothing[1];
	struct visitor *v = &f->visitors[(how & 3) % CLIENTS];
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	int n = how >> 2 & 7;

	if (v->fd < 0)
		come(f, v);
	if (bytes.len && send(v->fd, bytes.p, bytes.len, MSG_NOSIGNAL) < 0)
		return;
	for (int i = 0; i < n; i++) {
		int fd = make_stream(v, i % 3, how >> 5 & 3);
		struct iovec one = { nothing, sizeof(nothing) };
		struct msghdr m = { .msg_iov = &one,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control) };

		fuzz_check(fd >= 0);
		memset(&control, 0, sizeof(control));
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		(void)sendmsg(v->fd, &m, MSG_NOSIGNAL);
		(void)close(fd);
	}
}

static void drain(int fd)
{
	uint8_t bytes[4096];

	for (int i = 0; i < 64 && fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0; i++)
		;
}

static void flood(struct fixture *f, uint32_t channel, unsigned blocks)
{
	static uint8_t payload[9 + FLOOD_BLOCK], packet[FLOOD_BLOCK + 64];
	struct smx_view bytes = { packet, 0 };

	payload[0] = SMX_MSG_CHANNEL_DATA;
	smx_set_u32(payload + 1, channel);
	smx_set_u32(payload + 5, FLOOD_BLOCK);
	bytes.len =
		clear_packet((struct smx_view){ payload, sizeof(payload) }, packet, sizeof(packet));
	while (blocks-- > 0 && f->link && !f->link->dead) {
		link_carrier_data(f->link, bytes);
		for (int i = 0; i < CLIENTS; i++) {
			turn(f, 1);
			drain(f->visitors[i].streams[1]);
		}
	}
}

static void connect_to_forward(struct fixture *f, struct smx_view bytes)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (f->connected >= 0)
		(void)close(f->connected);
	f->connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	fuzz_check(f->connected >= 0);
	memcpy(to.sun_path, place, sizeof(place));
	if (connect(f->connected, (struct sockaddr *)&to, sizeof(to)) == 0)
		(void)send(f->connected, bytes.p, bytes.len, MSG_NOSIGNAL);
}

static void act(struct fixture *f, struct smx_view m)
{
	uint8_t what = m.p[0] % N_ACTS, how = m.len > 1 ? m.p[1] : 0;
	struct smx_view rest = { m.p + 2, m.len > 2 ? m.len - 2 : 0 };
	struct visitor *v = &f->visitors[(how & 3) % CLIENTS];
	static uint8_t packet[70000];

	if (what == ACT_SAY) {
		say(f, how, rest);
	} else if (what == ACT_REMOTE && m.len > 1 && f->link && !f->link->dead) {
		rest = (struct smx_view){ packet, 0 };
		rest.len = clear_packet(
			(struct smx_view){ m.p + 1, m.len - 1 }, packet, sizeof(packet));
		link_carrier_data(f->link, rest);
	} else if (what == ACT_TYPE && v->streams[0] >= 0 && rest.len) {
		(void)!write(v->streams[0], rest.p, rest.len < 4096 ? rest.len : 4096);
	} else if (what == ACT_CLOSE && how >> 2 & 3) {
		int *fd = &v->streams[(how >> 2 & 3) - 1];

		if (*fd >= 0)
			(void)close(*fd);
		*fd = -1;
	} else if (what == ACT_CLOSE) {
		leave(v);
	} else if (what == ACT_CONNECT && *place) {
		connect_to_forward(f, rest);
	} else if (what == ACT_READ) {
		drain(v->streams[1]);
		drain(v->streams[2]);
		drain(v->fd);
	} else if (what == ACT_DENY) {
		f->denied = how;
		f->mux.is_locked = (how & DENY_LOCKED) != 0;
	} else if (what == ACT_FLOOD && rest.len) {
		flood(f, how, rest.p[0] % 64);
	} else if (what == ACT_LOOK) {
		struct smx_list *it, *tmp;

		SMX_LIST_FOREACH (it, tmp, &f->mux.guests)
			guest_tick(SMX_CONTAINER(it, struct guest, node));
		listeners_tick(&f->mux);
	}
	turn(f, what == ACT_SAY && how >> 7 ? 1 : TURNS);
}

/* --- beginning and end --- */

static const char routes_text[] =
	"[routes.web]\n"
	"host = \"web\"\n"
	"user = \"me\"\n"
	"direct = true\n"
	"allow_remote_loopback_any_port = true\n"
	"forwards = [\"db:5432\"]\n"
	"remote_forwards = [\"localhost:9000\", \"localhost:0\", \"/r\"]\n"
	"agent_forward = true\n"
	"identity_agent = \"/nowhere/agent\"\n"
	"[routes.lone]\n"
	"host = \"lone\"\n"
	"user = \"me\"\n"
	"direct = true\n";

static void begin(struct fixture *f)
{
	struct mux *m = &f->mux;
	struct smx_list *lists[] = { &m->clients, &m->entries, &m->prompts, &m->agent_waits,
		&m->dismissed, &m->callers, &m->guests, &m->listeners, &m->accepted,
		&m->remote_listeners, &m->arrived, &m->holds };
	struct smx_buf err;

	memset(f, 0, sizeof(*f));
	fuzz_check(uv_loop_init(&f->loop) == 0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(lists); i++)
		smx_list_init(lists[i]);
	f->opts.ssh_dir = directory;
	m->opts = &f->opts;
	attempts_init(&m->attempts);
	greetings_init(&m->greetings);
	mux_core_init(m, &f->loop);
	fuzz_check(keyring_new(&m->keyring, directory) == 0);
	smx_buf_init(&err, 4096);
	if (smx_routes_parse(smx_view_of(routes_text, sizeof(routes_text) - 1), "routes.toml",
		    &m->routes, &err) != 0) {
		(void)fprintf(stderr, "%s\n", smx_buf_cstr(&err));
		abort();
	}
	smx_buf_release(&err);
	smx_buf_init(&f->answers, 1 << 20);
	for (int i = 0; i < CLIENTS; i++)
		f->visitors[i] = (struct visitor){ -1, { -1, -1, -1 } };
	f->connected = -1;
	make_connection(f);
}

/* Everybody leaves, the connection ends, and nothing is left of either. */
static void finish(struct fixture *f)
{
	struct mux *m = &f->mux;

	for (int i = 0; i < CLIENTS; i++)
		leave(&f->visitors[i]);
	if (f->connected >= 0)
		(void)close(f->connected);
	turn(f, TURNS);
	listeners_close(m);
	remote_listeners_close(m);
	turn(f, TURNS);
	m->core.is_stopping = 1;
	if (f->link)
		link_fail(f->link, SMX_ECANCELLED, "the end");
	core_settle(&m->core);
	core_stop(&m->core);
	for (int i = 0; i < TURNS_LAST && (m->n_guests || m->n_accepted || m->n_clients); i++)
		turn(f, 1);
	fuzz_check(m->n_guests == 0 && m->n_accepted == 0 && m->n_listeners == 0);
	fuzz_check(m->n_remote_listeners == 0 && m->n_arrived == 0 && m->n_clients == 0);
	fuzz_check(!f->up && smx_list_empty(&m->entries));
	core_end(&m->core);
	for (int i = 0; i < TURNS_LAST && uv_loop_alive(&f->loop); i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
	fuzz_check(uv_loop_close(&f->loop) == 0);
	smx_buf_release(&f->answers);
	attempts_release(&m->attempts);
	greetings_release(&m->greetings);
	keyring_free(m->keyring);
	smx_routes_unref(m->routes);
	core_release(&m->core);
}

static void remove_directory(void)
{
	char path[64];

	for (unsigned i = 0; i < 64; i++) {
		(void)snprintf(path, sizeof(path), "%s/%u", directory, i);
		(void)unlink(path);
	}
	(void)rmdir(directory);
}

static void say_nothing(void *arg, enum smx_log_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	fuzz_check(len > 0 && line[len - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fixture f;
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_view message;
	long before;

	if (!fixture) {
		fixture = &f;
		fuzz_check(mkdtemp(directory) != NULL);
		(void)atexit(remove_directory);
		(void)signal(SIGPIPE, SIG_IGN);
		smx_log_set_sink(say_nothing, NULL);
		smx_log_set_level(SMX_LOG_DEBUG);
	}
	before = smx_mem_alive();
	begin(&f);
	while (fuzz_next(&rd, &message))
		act(&f, message);
	finish(&f);
	fuzz_check(smx_mem_alive() == before);
	return 0;
}
