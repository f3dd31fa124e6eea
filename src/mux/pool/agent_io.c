/* SPDX-License-Identifier: MIT */
#include "mux/pool/agent_io.h"

#include "base/err.h"
#include "base/mem.h"
#include "os/agent.h"
#include "os/ipc.h"
#include "ssh/agent.h"

#define RETRY_MS 10 /* until an agent that serves others has an end for us */

struct agent_io {
	uv_pipe_t pipe;
	uv_timer_t timer; /* the next try, then the time limit */
	uv_write_t write;
	uint64_t deadline_ms; /* of the loop's clock */
	char *path;
	int n_handles; /* not closed yet */
	agent_cb *cb; /* NULL once called or cancelled */
	void *arg;
	struct smx_buf request, answer;
	unsigned n_skipped; /* answers before the one that counts */
};

static void on_closed(uv_handle_t *h)
{
	struct agent_io *a = h->data;

	if (--a->n_handles)
		return;
	smx_buf_release(&a->request);
	smx_buf_release(&a->answer);
	smx_free(a->path);
	smx_free(a);
}

static void stop(struct agent_io *a)
{
	a->cb = NULL;
	if (uv_is_closing((uv_handle_t *)&a->pipe))
		return;
	uv_close((uv_handle_t *)&a->pipe, on_closed);
	uv_close((uv_handle_t *)&a->timer, on_closed);
}

static void finish(struct agent_io *a, int r, struct smx_view message)
{
	agent_cb *cb = a->cb;

	if (!cb)
		return;
	a->cb = NULL;
	cb(a->arg, r, message);
	stop(a);
}

static void fail(struct agent_io *a, int r)
{
	finish(a, r, (struct smx_view){ NULL, 0 });
}

static void on_timeout(uv_timer_t *timer)
{
	fail(timer->data, SMX_ETIMEOUT);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct agent_io *a = h->data;
	uint8_t *p;

	(void)suggested;
	*buf = uv_buf_init(NULL, 0);
	if (smx_buf_reserve(&a->answer, 4096, &p) == 0)
		*buf = uv_buf_init((char *)p, 4096);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct agent_io *a = s->data;
	struct smx_view message;
	size_t used;
	int r;

	(void)buf;
	if (!a->cb)
		return;
	if (n < 0) {
		fail(a, n == UV_ENOBUFS ? SMX_ETOOBIG : SMX_EEOF);
		return;
	}
	smx_buf_commit(&a->answer, (size_t)n);
	while ((r = smx_agent_frame(smx_buf_as_view(&a->answer), &message, &used)) == 0 &&
		a->n_skipped > 0) {
		a->n_skipped--;
		smx_buf_consume(&a->answer, used);
	}
	if (r == 0)
		finish(a, 0, message);
	else if (r != SMX_EAGAIN)
		fail(a, r);
}

static void on_written(uv_write_t *req, int status)
{
	if (status < 0)
		fail(req->data, SMX_EEOF);
}

static void send_request(struct agent_io *a)
{
	uv_buf_t buf = uv_buf_init(
		(char *)a->request.data + a->request.off, (unsigned)smx_buf_len(&a->request));

	a->write.data = a;
	if (uv_write(&a->write, (uv_stream_t *)&a->pipe, &buf, 1, on_written) != 0 ||
		uv_read_start((uv_stream_t *)&a->pipe, on_alloc, on_read) != 0)
		fail(a, SMX_ESYS);
}

static void on_try(uv_timer_t *timer)
{
	struct agent_io *a = timer->data;
	uint64_t now = uv_now(timer->loop);
	int fd = -1, r = smx_os_agent_open(a->path, &fd);

	if (r == SMX_EAGAIN && now < a->deadline_ms) {
		(void)uv_timer_start(timer, on_try, RETRY_MS, 0);
	} else if (r != 0) {
		fail(a, r == SMX_EAGAIN ? SMX_ETIMEOUT : r);
	} else if (uv_pipe_open(&a->pipe, fd) != 0) {
		smx_os_ipc_close(fd);
		fail(a, SMX_ESYS);
	} else {
		(void)uv_timer_start(
			timer, on_timeout, a->deadline_ms > now ? a->deadline_ms - now : 0, 0);
		send_request(a);
	}
}

struct agent_io *agent_ask(uv_loop_t *loop, const char *path, struct smx_buf *request,
	unsigned n_before, uint64_t timeout_ms, agent_cb *cb, void *arg)
{
	struct agent_io *a = smx_calloc(1, sizeof(*a));

	if (a && !(a->path = smx_strdup(path))) {
		smx_free(a);
		a = NULL;
	}
	if (!a)
		return NULL;
	a->cb = cb;
	a->arg = arg;
	a->n_skipped = n_before;
	a->request = *request;
	smx_buf_init(request, request->max);
	smx_buf_init(&a->answer, SMX_AGENT_MSG_MAX + 8192);
	(void)uv_pipe_init(loop, &a->pipe, 0);
	(void)uv_timer_init(loop, &a->timer);
	a->n_handles = 2;
	a->pipe.data = a->timer.data = a;
	a->deadline_ms = uv_now(loop) + timeout_ms;
	/* Not within the call: nobody is told before he has what he asked with. */
	(void)uv_timer_start(&a->timer, on_try, 0, 0);
	return a;
}

void agent_cancel(struct agent_io *a)
{
	if (a)
		stop(a);
}
