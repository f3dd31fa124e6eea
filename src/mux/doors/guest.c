/* SPDX-License-Identifier: MIT */
#include "mux/doors/guest.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "mux/core/say.h"
#include "mux/doors/guest_proxy.h"
#include "mux/forward/forward.h"
#include "os/door.h"
#include "os/ipc.h"
#include "os/process.h"

#define READ_SIZE (16 * 1024)
/* A message, and the bytes of its descriptors. */
#define IN_MAX    (4 + SMX_MUX4_MESSAGE_MAX + GUEST_FDS_MAX)
#define TEXT_SIZE 600

static struct mux_ids ids_of(const struct guest *g)
{
	return (struct mux_ids){ .client = g->id, .route = g->route->name };
}

static void drop_descriptors(struct guest *g)
{
	while (g->n_fds)
		smx_os_ipc_close(g->fds[--g->n_fds]);
}

static void on_closed(uv_handle_t *h)
{
	struct guest *g = h->data;

	smx_os_ipc_close(g->fd);
	drop_descriptors(g);
	smx_buf_release(&g->in);
	smx_buf_release(&g->out);
	share_release(&g->share);
	smx_routes_unref(g->routes);
	smx_free(g);
}

void guest_end(struct guest *g)
{
	struct passenger *p = g->passenger;
	struct mux_ids ids = ids_of(g);

	if (g->is_closed)
		return;
	if (g->proxy && guest_proxy_end(g))
		return; /* when its client has gone */
	g->is_closed = 1;
	say_debug(&ids, "control client left");
	g->passenger = NULL;
	if (p)
		passenger_leave(p);
	guest_leave(g);
	guest_forget_background(g);
	guest_drop_forwards(g, 0);
	smx_list_del(&g->node);
	g->mux->n_guests--;
	uv_close((uv_handle_t *)&g->poll, on_closed);
}

/* --- writing --- */

static void on_event(uv_poll_t *poll, int status, int events);

/* The client would end without a word: it takes this for a master that has gone. */
static void tell_of_failure(struct guest *g)
{
	struct mux_ids ids = ids_of(g);

	say_warn(&ids, "its control socket can't be written; hung up");
	if (g->passenger && passenger_is_open(g->passenger))
		passenger_tell(g->passenger, "ssh-mux: the control socket of this session can't be "
					     "written; try again\r\n");
}

static void flush(struct guest *g)
{
	size_t n;
	int r = 0;

	while (!g->is_closed && smx_buf_len(&g->out)) {
		r = smx_os_door_send(g->fd, smx_buf_view(&g->out), smx_buf_len(&g->out), &n);
		if (r != 0)
			break;
		smx_buf_consume(&g->out, n);
	}
	if (g->is_closed)
		return;
	if (r != 0 && r != SMX_EAGAIN && r != SMX_EEOF)
		tell_of_failure(g);
	if ((r != 0 && r != SMX_EAGAIN) || (g->is_ending && smx_buf_len(&g->out) == 0) ||
		guest_poll(g, r == SMX_EAGAIN) != 0)
		guest_end(g);
}

int guest_poll(struct guest *g, int is_writing)
{
	int events = is_writing ? UV_READABLE | UV_WRITABLE : UV_READABLE;

	/* Starting it again costs the system two calls for each reply. */
	if (g->events == events)
		return 0;
	g->events = events;
	return uv_poll_start(&g->poll, events, on_event) == 0 ? 0 : SMX_ESYS;
}

void guest_replied(struct guest *g, int r)
{
	if (g->is_dismissed)
		smx_buf_release(&g->out); /* nobody reads it */
	else if (r != 0)
		guest_end(g);
	else
		flush(g);
}

/* Words of whoever they are, as one line. */
static void clean(const char *text, char *out, size_t size)
{
	smx_sanitize(text, strlen(text), out, size);
}

void guest_refuse(struct guest *g, uint32_t id, const char *text)
{
	struct mux_ids ids = ids_of(g);
	char line[TEXT_SIZE];

	guest_drop_forwards(g, 0);
	clean(text, line, sizeof(line));
	say_info(&ids, "control client refused: %s", line);
	guest_replied(g, smx_mux4_put_denied(&g->out, id, line));
}

/* --- of its passenger --- */

static void take(struct guest *g);

static struct guest *of_owner(struct passenger_owner *o)
{
	return SMX_CONTAINER(o, struct guest, owner);
}

void guest_resume(struct guest *g)
{
	g->is_opening = 0;
	g->idle_since_ms = mux_now(g->mux);
	if (!g->is_closed)
		take(g);
}

static int on_opened(struct passenger_owner *o, uint32_t session)
{
	struct guest *g = of_owner(o);

	guest_replied(g, smx_mux4_put_opened(&g->out, g->request, session));
	guest_began(g, session);
	guest_resume(g);
	return g->passenger != NULL;
}

static void on_refused(struct passenger_owner *o, const char *text)
{
	struct guest *g = of_owner(o);
	struct mux_ids ids = ids_of(g);
	char line[TEXT_SIZE];

	g->passenger = NULL;
	g->idle_since_ms = mux_now(g->mux);
	guest_drop_forwards(g, 0);
	clean(text, line, sizeof(line));
	say_warn(&ids, "control client refused: %s", line);
	guest_replied(g, smx_mux4_put_failure(&g->out, g->request, line));
	guest_resume(g);
}

static int on_exited(struct passenger_owner *o, uint32_t session, uint32_t status)
{
	struct guest *g = of_owner(o);

	/* What returned to the shell from `ssh -f` knows no status. */
	guest_replied(g, smx_mux4_put_exit(&g->out, session, g->background ? 0 : status));
	return g->passenger != NULL;
}

static void on_tty_failed(struct passenger_owner *o, uint32_t session)
{
	struct guest *g = of_owner(o);

	guest_replied(g, smx_mux4_put_tty_failure(&g->out, session));
}

void guest_finish(struct guest *g)
{
	g->is_ending = 1;
	g->idle_since_ms = mux_now(g->mux);
	if (g->is_dismissed)
		guest_end(g);
	else
		flush(g);
}

void guest_dismiss(struct guest *g, uint32_t session)
{
	struct mux_ids ids = ids_of(g);

	say_debug(&ids, "control client goes to the background, and its session goes on");
	guest_forget_background(g);
	guest_replied(g, smx_mux4_put_exit(&g->out, session, 0));
	if (g->is_closed)
		return;
	g->is_dismissed = 1;
	g->events = 0;
	(void)uv_poll_stop(&g->poll);
	smx_os_door_hang_up(g->fd);
}

static void on_over(struct passenger_owner *o)
{
	struct guest *g = of_owner(o);

	g->passenger = NULL;
	guest_finish(g);
}

static const struct passenger_owner_ops owner_ops = { on_opened, on_refused, on_exited,
	on_tty_failed, on_over };

/* --- requests --- */

/* The descriptors of a request as streams. On failure nothing is left of them. */
static int take_streams(struct guest *g, unsigned n, struct passenger_streams *ret)
{
	struct smx_os_stdio *s[GUEST_FDS_MAX] = { NULL };
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++) {
		int fd = g->fds[i];

		g->fds[i] = -1;
		r = smx_os_stdio_new(fd, i > 0, &s[i]);
	}
	drop_descriptors(g);
	if (r == 0) {
		*ret = (struct passenger_streams){ s[0], s[1], s[2] };
		return 0;
	}
	for (unsigned i = 0; i < n; i++)
		smx_os_stdio_free(s[i]);
	return r;
}

static void free_streams(const struct passenger_streams *s)
{
	smx_os_stdio_free(s->in);
	smx_os_stdio_free(s->out);
	smx_os_stdio_free(s->err);
}

static void board(struct guest *g, const struct smx_mux4_request *req,
	const struct passenger_streams *streams, const char *kind, struct smx_view specific)
{
	struct passenger *p = passenger_new(&g->owner, streams, smx_view_of(kind, strlen(kind)),
		specific, req->kind == SMX_MUX4_SESSION ? req : NULL);

	if (!p) {
		guest_refuse(g, req->id, smx_strerror(SMX_ENOMEM));
		return;
	}
	g->passenger = p;
	g->request = req->id;
	g->is_opening = 1;
	passenger_start(p);
}

/* What is refused whatever the server says. NULL: nothing. */
static const char *session_fault(const struct guest *g, const struct smx_mux4_request *req)
{
	if (g->mux->is_locked)
		return MUX_LOCKED_TEXT;
	if (g->passenger || g->stay || g->is_ending)
		return "one session per connection to the control socket";
	if (req->wants_agent && !g->route->agent.is_allowed)
		return "ssh-mux forwards no agent without agent_forward in the route; ssh connects "
		       "directly";
	if (req->wants_x11)
		return "ssh-mux does not forward X11; ssh connects directly";
	return NULL;
}

static const char stream_text[] =
	"a standard stream is a device or pipe that ssh-mux can't share; ssh connects directly";

static void on_session(struct guest *g, const struct smx_mux4_request *req)
{
	const char *fault = session_fault(g, req);
	struct smx_view none = { NULL, 0 };
	struct passenger_streams streams;
	int r;

	if (fault) {
		drop_descriptors(g);
		guest_refuse(g, req->id, fault);
		return;
	}
	g->is_staying = 1;
	if (guest_wants_forwards_only(g, req)) {
		guest_stay(g, req);
		drop_descriptors(g);
		return;
	}
	if ((r = take_streams(g, 3, &streams)) != 0)
		guest_refuse(g, req->id, r == SMX_EUNSUPPORTED ? stream_text : smx_strerror(r));
	else
		board(g, req, &streams, "session", none);
}

static void on_stdio_forward(struct guest *g, const struct smx_mux4_request *req)
{
	struct forward_target to = { req->host, req->port };
	struct passenger_streams streams;
	char text[TEXT_SIZE];
	struct smx_buf b;
	const char *kind;
	int r;

	if (g->passenger || g->stay || g->is_ending)
		(void)snprintf(
			text, sizeof(text), "one session per connection to the control socket");
	else if (forward_is_allowed(g->mux, g->route, &to, text, sizeof(text)))
		text[0] = '\0';
	if (text[0]) {
		drop_descriptors(g);
		guest_refuse(g, req->id, text);
		return;
	}
	if ((r = take_streams(g, 2, &streams)) != 0) {
		guest_refuse(g, req->id, r == SMX_EUNSUPPORTED ? stream_text : smx_strerror(r));
		return;
	}
	smx_buf_init(&b, 4096);
	if ((kind = forward_put_open(&to, "127.0.0.1", 0, &b))) {
		board(g, req, &streams, kind, smx_buf_as_view(&b));
	} else {
		free_streams(&streams);
		guest_refuse(g, req->id, smx_strerror(SMX_ENOMEM));
	}
	smx_buf_release(&b);
}

static int on_request(struct guest *g, const struct smx_mux4_request *req)
{
	if (req->kind == SMX_MUX4_HELLO) {
		if (g->has_hello || req->version != SMX_MUX4_VERSION)
			return SMX_EUNSUPPORTED;
		g->has_hello = 1;
		return 0;
	}
	if (!g->has_hello)
		return SMX_EUNEXPECTED;
	switch (req->kind) {
	case SMX_MUX4_SESSION:
		on_session(g, req);
		break;
	case SMX_MUX4_STDIO_FORWARD:
		on_stdio_forward(g, req);
		break;
	case SMX_MUX4_ALIVE:
		/* Behind forwards this is the beginning of a session. */
		g->is_staying = 1;
		guest_replied(g, smx_mux4_put_alive(&g->out, req->id, (uint32_t)smx_os_pid()));
		break;
	case SMX_MUX4_TERMINATE:
		guest_refuse(g, req->id,
			"the connection is ssh-mux's and shared; to end it, run: ssh-mux stop");
		break;
	case SMX_MUX4_STOP_LISTENING:
		guest_refuse(
			g, req->id, "the socket is ssh-mux's; to remove it, run: ssh-mux stop");
		break;
	case SMX_MUX4_OPEN_FORWARD:
		guest_open_forward(g, req);
		break;
	case SMX_MUX4_PROXY:
		guest_proxy_start(g, req);
		break;
	case SMX_MUX4_INFO:
		guest_inform(g, req);
		break;
	case SMX_MUX4_CLOSE_FORWARD:
		guest_close_forward(g, req);
		break;
	default:
		guest_replied(g, smx_mux4_put_failure(
					 &g->out, req->id, "ssh-mux does not serve this request"));
		break;
	}
	return 0;
}

/* The messages that are complete, in their order; while a channel is being opened none. */
static void take(struct guest *g)
{
	struct smx_mux4_request req;
	struct smx_view message;
	struct mux_ids ids;
	size_t used, need;
	int r = 0;

	if (g->is_taking)
		return;
	g->is_taking = 1;
	while (!g->is_closed && !g->is_opening && !g->proxy) {
		if ((r = smx_mux4_next(smx_buf_as_view(&g->in), &message, &used)) != 0 ||
			(r = smx_mux4_parse(message, &req)) != 0)
			break;
		need = smx_mux4_descriptors(req.kind);
		if (smx_buf_len(&g->in) < used + need)
			break;
		if (g->n_fds != need) {
			r = SMX_EPROTOCOL;
			break;
		}
		if ((r = on_request(g, &req)) != 0)
			break;
		smx_buf_consume(&g->in, used + need);
	}
	g->is_taking = 0;
	if (g->proxy)
		guest_proxy_take(g);
	if (g->is_closed || r == 0 || r == SMX_EAGAIN)
		return;
	ids = ids_of(g);
	say_warn(&ids, "control client: %s; hung up", smx_strerror(r));
	guest_end(g);
}

static void read_some(struct guest *g)
{
	uint8_t bytes[READ_SIZE];
	size_t len = 0, n_fds = 0;
	int r = smx_os_door_receive(g->fd, bytes, sizeof(bytes), &len, g->fds + g->n_fds,
		GUEST_FDS_MAX - g->n_fds, &n_fds);

	if (r == SMX_EAGAIN)
		return;
	g->n_fds += r == 0 ? n_fds : 0;
	/* It got what it asked for and is gone, without a session: `ssh -O forward`. */
	if (r == SMX_EEOF && !g->is_staying)
		guest_drop_forwards(g, 1);
	if (r != 0 || smx_buf_put(&g->in, bytes, len) != 0) {
		guest_end(g);
		return;
	}
	take(g);
	/* Thousands of idle clients cost next to nothing. */
	if (!g->is_closed && smx_buf_len(&g->in) == 0)
		smx_buf_release(&g->in);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct guest *g = poll->data;

	if (status != 0)
		guest_end(g);
	else if (g->proxy)
		guest_proxy_event(g, events);
	else if (events & UV_READABLE)
		read_some(g);
	if (!g->is_closed && !g->proxy && (events & UV_WRITABLE))
		flush(g);
}

void guest_new(struct mux *m, int fd, const struct smx_route *route, int is_background)
{
	struct guest *g = smx_calloc(1, sizeof(*g));
	struct mux_ids ids;
	int r;

	if (!g || uv_poll_init(m->core.loop, &g->poll, fd) != 0) {
		smx_os_ipc_close(fd);
		smx_free(g);
		return;
	}
	g->mux = m;
	g->fd = fd;
	g->pid = -1;
	g->id = ++m->core.next_id;
	g->born_ms = g->idle_since_ms = mux_now(m);
	g->routes = smx_routes_ref(m->routes);
	g->route = route;
	g->poll.data = g;
	smx_buf_init(&g->in, IN_MAX + READ_SIZE);
	smx_buf_init(&g->out, SMX_MUX4_OUT_MAX);
	share_init(&g->share, &m->core.windows);
	smx_list_init(&g->holds);
	g->owner = (struct passenger_owner){
		.ops = &owner_ops,
		.mux = m,
		.routes = g->routes,
		.route = route,
		.share = &g->share,
		.id = g->id,
	};
	smx_list_init(&g->node);
	smx_list_add_tail(&m->guests, &g->node);
	m->n_guests++;
	ids = ids_of(g);
	if ((r = smx_os_ipc_peer_check(fd, &g->pid)) != 0) {
		if (mux_tally(m, TALLY_CONTROL))
			say_warn(&ids, "control client turned away: %s",
				r == SMX_EDENIED ? "it is another user's" : smx_strerror(r));
		guest_end(g);
		return;
	}
	g->owner.pid = g->pid;
	if (is_background)
		guest_expect_background(g);
	say_debug(&ids, "control client came");
	guest_replied(g, smx_mux4_put_hello(&g->out));
}

void guest_tick(struct guest *g)
{
	if (!g->passenger && !g->stay && !g->is_opening && !g->proxy &&
		mux_now(g->mux) - g->idle_since_ms >= GUEST_GRACE_MS)
		guest_end(g);
}
