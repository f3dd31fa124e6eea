/* SPDX-License-Identifier: MIT */
#include "mux/forward/agent_end.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/forward/agent_pipe.h"
#include "os/agent.h"
#include "os/ipc.h"
#include "ssh/agent.h"

#define RETRY_MS     10 /* until an agent that serves others has an end for us */
#define CONNECT_MS   5000
#define READ_SIZE    4096
#define N_UV_HANDLES 2

struct agent_end {
	agent_end_cb *cb; /* NULL: freed by its owner */
	void *arg;
	int is_socket;
	struct agent_pipe chan;
	/* of a socket */
	struct mux *mux;
	uv_pipe_t pipe;
	uv_timer_t timer; /* the next try */
	int n_handles; /* not closed yet */
	char *path;
	uint64_t deadline_ms;
	struct smx_buf in;
};

static void inform(struct agent_end *e, enum agent_end_event event, struct smx_view message)
{
	if (e->cb)
		e->cb(e->arg, event, message);
}

static const struct smx_view nothing;

/* --- a channel of the client's --- */

static void on_opened(struct agent_pipe *p)
{
	inform(SMX_CONTAINER(p, struct agent_end, chan), AGENT_END_OPEN, nothing);
}

static void on_message(struct agent_pipe *p, struct smx_view message)
{
	inform(SMX_CONTAINER(p, struct agent_end, chan), AGENT_END_ANSWER, message);
	agent_pipe_next(p); /* nothing, if that closed it */
}

static void on_ended(struct agent_pipe *p)
{
	inform(SMX_CONTAINER(p, struct agent_end, chan), AGENT_END_GONE, nothing);
	agent_pipe_close(p);
}

static void on_released(struct agent_pipe *p)
{
	smx_free(SMX_CONTAINER(p, struct agent_end, chan));
}

static const struct agent_pipe_ops chan_ops = { on_opened, on_message, on_ended, on_released };

struct agent_end *agent_end_new_channel(struct link *client, agent_end_cb *cb, void *arg)
{
	struct agent_end *e = smx_calloc(1, sizeof(*e));
	int r;

	if (!e)
		return NULL;
	e->cb = cb;
	e->arg = arg;
	r = client->dead ? SMX_EEOF : agent_pipe_init(&e->chan, &chan_ops, client, NULL);
	if (r == 0)
		return e;
	if (r != SMX_ELIMIT && !client->dead)
		link_fail(client, r, NULL);
	smx_free(e);
	return NULL;
}

/* --- a socket --- */

static void on_uv_closed(uv_handle_t *h)
{
	struct agent_end *e = h->data;

	if (--e->n_handles)
		return;
	smx_buf_release(&e->in);
	smx_free(e->path);
	smx_free(e);
}

static void close_socket(struct agent_end *e)
{
	e->cb = NULL;
	if (uv_is_closing((uv_handle_t *)&e->pipe))
		return;
	uv_close((uv_handle_t *)&e->pipe, on_uv_closed);
	uv_close((uv_handle_t *)&e->timer, on_uv_closed);
}

static void lose_socket(struct agent_end *e)
{
	inform(e, AGENT_END_GONE, nothing);
	close_socket(e);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct agent_end *e = h->data;
	uint8_t *p;

	(void)suggested;
	*buf = uv_buf_init(NULL, 0);
	if (smx_buf_reserve(&e->in, READ_SIZE, &p) == 0)
		*buf = uv_buf_init((char *)p, READ_SIZE);
}

/* The answers that are whole. */
static void take_answers(struct agent_end *e)
{
	struct smx_view message;
	size_t used;
	int r = SMX_EAGAIN;

	while (e->cb && (r = smx_agent_frame(smx_buf_as_view(&e->in), &message, &used)) == 0) {
		inform(e, AGENT_END_ANSWER, message);
		smx_buf_consume(&e->in, used);
	}
	if (e->cb && r != SMX_EAGAIN)
		lose_socket(e);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct agent_end *e = s->data;

	(void)buf;
	if (n < 0) {
		lose_socket(e);
	} else {
		smx_buf_commit(&e->in, (size_t)n);
		take_answers(e);
	}
}

static void on_try(uv_timer_t *timer)
{
	struct agent_end *e = timer->data;
	struct mux *m = e->mux;
	int fd = -1, r = smx_os_agent_open(e->path, &fd);

	if (r == SMX_EAGAIN && mux_now(m) < e->deadline_ms) {
		(void)uv_timer_start(timer, on_try, RETRY_MS, 0);
		return;
	}
	if (r == 0 && (uv_pipe_open(&e->pipe, fd) != 0)) {
		smx_os_ipc_close(fd);
		r = SMX_ESYS;
	}
	if (r == 0 && uv_read_start((uv_stream_t *)&e->pipe, on_alloc, on_read) != 0)
		r = SMX_ESYS;
	if (r == 0)
		inform(e, AGENT_END_OPEN, nothing);
	else
		lose_socket(e);
}

struct agent_end *agent_end_new_socket(struct mux *m, const char *path, agent_end_cb *cb, void *arg)
{
	struct agent_end *e = smx_calloc(1, sizeof(*e));

	if (e && !(e->path = smx_strdup(path))) {
		smx_free(e);
		e = NULL;
	}
	if (!e)
		return NULL;
	e->cb = cb;
	e->arg = arg;
	e->mux = m;
	e->is_socket = 1;
	smx_buf_init(&e->in, 4 + SMX_AGENT_MSG_MAX + READ_SIZE);
	(void)uv_pipe_init(m->core.loop, &e->pipe, 0);
	(void)uv_timer_init(m->core.loop, &e->timer);
	e->n_handles = N_UV_HANDLES;
	e->pipe.data = e->timer.data = e;
	e->deadline_ms = mux_now(m) + CONNECT_MS;
	/* Not within the call. */
	(void)uv_timer_start(&e->timer, on_try, 0, 0);
	return e;
}

/* A request that is being written. */
struct sending {
	uv_write_t req;
	uint8_t bytes[];
};

static void on_written(uv_write_t *req, int status)
{
	struct sending *s = SMX_CONTAINER(req, struct sending, req);

	(void)status; /* what went wrong shows when the answer is read */
	smx_free(s);
}

static int send_to_socket(struct agent_end *e, struct smx_view request)
{
	struct sending *s = smx_malloc(sizeof(*s) + request.len);
	uv_buf_t buf;

	if (!s)
		return SMX_ENOMEM;
	memcpy(s->bytes, request.p, request.len);
	buf = uv_buf_init((char *)s->bytes, (unsigned)request.len);
	if (uv_write(&s->req, (uv_stream_t *)&e->pipe, &buf, 1, on_written) != 0) {
		smx_free(s);
		return SMX_ESYS;
	}
	return 0;
}

/* --- both --- */

int agent_end_send(struct agent_end *e, struct smx_view request)
{
	int r;

	if (e->is_socket)
		return send_to_socket(e, request);
	if ((r = smx_buf_put(&e->chan.out, request.p, request.len)) != 0)
		return r;
	agent_pipe_flush(&e->chan);
	return 0;
}

void agent_end_free(struct agent_end *e)
{
	if (!e)
		return;
	e->cb = NULL;
	if (e->is_socket)
		close_socket(e);
	else
		agent_pipe_close(&e->chan);
}
