/* SPDX-License-Identifier: MIT */
#include "mux/doors/control_int.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/protocol.h"
#include "control/status.h"
#include "mux/core/say.h"
#include "mux/core/snapshot.h"
#include "mux/doors/attach.h"
#include "mux/doors/door.h"
#include "mux/pool/pool.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/process.h"

#define CONTROL_CLIENTS_MAX 32 /* not counting attached ones */
#define CONTROL_BACKLOG     128
#define END_TIMEOUT_MS      1000 /* what is left for clients when the daemon ends; < MUX_STOP_MS */
#define ACCEPTS_MAX         64 /* in a row, before all else has its turn */
/* Answers that a client does not read. */
#define CONTROL_OUT_MAX SMX_STATUS_LINES_MAX

_Static_assert(SMX_TX_BLOCK_CAP <= (size_t)SMX_FRAME_CUT_MAX * SMX_FRAME_DATA_MAX,
	"a block must fit into the frames of one write");

static void on_closed(uv_handle_t *h)
{
	struct control_client *c = h->data;

	if (--c->n_handles)
		return;
	smx_control_reader_release(&c->reader);
	smx_buf_release(&c->out);
	smx_buf_release(&c->writing);
	smx_free(c);
}

static void client_end(struct control_client *c)
{
	if (uv_is_closing((uv_handle_t *)&c->pipe))
		return;
	if (c->attach)
		attach_gone(c->attach);
	c->attach = NULL;
	smx_list_del(&c->node);
	if (c->mux->control)
		c->mux->control->n_clients -= c->is_counted;
	uv_close((uv_handle_t *)&c->pipe, on_closed);
	uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void write_out(struct control_client *c);
static void arm(struct control_client *c);
static void take(struct control_client *c);

static void drop_written(struct control_client *c)
{
	smx_buf_release(&c->writing);
	smx_pool_put(&c->mux->core.pool, c->block);
	c->block = NULL;
}

static void on_written(uv_write_t *req, int status)
{
	struct control_client *c = req->data;

	c->is_writing = 0;
	drop_written(c);
	if (status < 0) {
		client_end(c);
	} else {
		write_out(c);
		if (c->attach && !c->is_writing)
			attach_writable(c->attach);
		if (!c->is_writing && c->at < c->n_in)
			take(c);
	}
}

/* What waits, and nothing else. */
static uv_buf_t take_out(struct control_client *c)
{
	c->writing = c->out;
	smx_buf_init(&c->out, CONTROL_OUT_MAX);
	return uv_buf_init(
		(char *)c->writing.data + c->writing.off, (unsigned)smx_buf_len(&c->writing));
}

static void start_write(struct control_client *c, const uv_buf_t *bufs, unsigned n)
{
	c->write.data = c;
	if (uv_write(&c->write, (uv_stream_t *)&c->pipe, bufs, n, on_written) != 0) {
		drop_written(c);
		client_end(c);
	} else {
		c->is_writing = 1;
	}
}

static void write_out(struct control_client *c)
{
	uv_buf_t buf;

	if (c->is_writing || uv_is_closing((uv_handle_t *)&c->pipe))
		return;
	if (smx_buf_len(&c->out) == 0) {
		if (c->is_ending && !c->awaits_end)
			client_end(c);
		return;
	}
	buf = take_out(c);
	start_write(c, &buf, 1);
}

/* --- frames --- */

int64_t control_client_pid(const struct control_client *c)
{
	return c->pid;
}

struct smx_buf *control_client_out(struct control_client *c)
{
	return &c->out;
}

int control_client_is_writing(const struct control_client *c)
{
	return c->is_writing;
}

void control_client_write_block(struct control_client *c, struct smx_tx_block *block)
{
	struct smx_view data = { block->data, block->len }, parts[2 * SMX_FRAME_CUT_MAX];
	uv_buf_t bufs[1 + 2 * SMX_FRAME_CUT_MAX];
	size_t n_parts = smx_frame_cut(&data, c->heads, parts), done;
	unsigned n = 0, first = 0;
	int r;

	c->block = block;
	if (uv_is_closing((uv_handle_t *)&c->pipe)) {
		drop_written(c);
		return;
	}
	if (smx_buf_len(&c->out))
		bufs[n++] = take_out(c);
	for (size_t i = 0; i < n_parts; i++)
		bufs[n++] = uv_buf_init((char *)(uintptr_t)parts[i].p, (unsigned)parts[i].len);
	r = uv_try_write((uv_stream_t *)&c->pipe, bufs, n);
	if (r < 0 && r != UV_EAGAIN) {
		drop_written(c);
		client_end(c);
		return;
	}
	for (done = r > 0 ? (size_t)r : 0; first < n && done >= bufs[first].len; first++)
		done -= bufs[first].len;
	if (first == n) {
		drop_written(c);
		return;
	}
	bufs[first].base += done;
	bufs[first].len -= done;
	start_write(c, bufs + first, n - first);
}

void control_client_flush(struct control_client *c)
{
	write_out(c);
}

int control_client_queue_ask(struct control_client *c, const struct smx_ask *ask)
{
	int r = smx_ask_put(&c->out, ask);

	if (r == 0)
		write_out(c);
	return r;
}

void control_client_queue_unask(struct control_client *c, uint32_t id)
{
	if (smx_unask_put(&c->out, id) != 0)
		client_end(c);
	else
		write_out(c);
}

void control_client_finish(struct control_client *c)
{
	c->attach = NULL;
	c->is_ending = 1;
	/* Whoever does not read this has as long as for a line. */
	arm(c);
	write_out(c);
}

static int do_request(struct control_client *c, const struct smx_control_request *req)
{
	struct mux *m = c->mux;
	int r;

	switch (req->cmd) {
	case SMX_CONTROL_STATUS:
		return snapshot_answer(m, req->id, &c->out);
	case SMX_CONTROL_STOP:
		if ((r = smx_control_ok_build(&c->out, req->id)) != 0)
			return r;
		c->is_ending = c->awaits_end = 1;
		/* It waits for the process, not the process for it. */
		(void)uv_timer_stop(&c->timer);
		uv_unref((uv_handle_t *)&c->pipe);
		mux_stop(m, "asked by ssh-mux stop");
		return 0;
	case SMX_CONTROL_LOCK:
	case SMX_CONTROL_UNLOCK:
		m->is_locked = req->cmd == SMX_CONTROL_LOCK;
		log_info("%s", m->is_locked ? "locked: no new sessions" : "unlocked");
		if (m->is_locked)
			pool_lock(m);
		return smx_control_ok_build(&c->out, req->id);
	case SMX_CONTROL_PROXY:
		return control_proxy(c, req);
	case SMX_CONTROL_CONNECT:
	case SMX_CONTROL_LOGIN:
		return control_connect(c, req);
	default:
		return smx_control_error_build(&c->out, req->id, "unknown-command",
			"this daemon does not know the command",
			"restart it, if it is older than the ssh-mux you called");
	}
}

static int do_line(struct control_client *c, struct smx_view line)
{
	struct smx_control_request req;
	struct smx_control_hello hello;
	int version, r;

	if (!c->has_hello) {
		if ((r = smx_control_hello_parse(line, &hello)) != 0 ||
			(r = smx_control_hello_agree(&hello, &version)) != 0)
			return r;
		c->has_hello = 1;
		return 0;
	}
	if ((r = smx_control_request_parse(line, &req)) != 0)
		return r;
	return do_request(c, &req);
}

static void arm(struct control_client *c);

static void on_timeout(uv_timer_t *timer)
{
	struct control_client *c = timer->data;

	if (mux_tally(c->mux, TALLY_CONTROL))
		log_warn("control client: no request for too long; hung up");
	client_end(c);
}

/* S7: a whole line within its time, however its bytes drip. */
static void arm(struct control_client *c)
{
	(void)uv_timer_start(&c->timer, on_timeout, SMX_CONTROL_READ_TIMEOUT_MS, 0);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct control_client *c = h->data;
	uint8_t *p = c->in;
	size_t n = sizeof(c->in);

	(void)suggested;
	c->is_direct = 0;
	c->block_in = NULL;
	if (c->attach && !(c->is_direct = (n = attach_read_space(c->attach, &p)) > 0)) {
		/* Had for this one read only: idle clients hold none. NULL: UV_ENOBUFS is read. */
		p = smx_pool_get(&c->mux->core.pool);
		n = p ? SMX_BLOCK_LEN : 0;
		c->block_in = p;
	}
	*buf = uv_buf_init((char *)p, (unsigned)n);
}

/* One line that says why, and the end (docs/PROTOCOL.md, sections 2 and 3). */
static void refuse(struct control_client *c, const char *code, const char *error)
{
	c->is_ending = 1;
	if (smx_control_error_build(&c->out, -1, code, error, NULL) != 0)
		client_end(c);
	else
		write_out(c);
}

static void take_frames(struct control_client *c, uint8_t *p, size_t n)
{
	uint64_t before = attach_frames(c->attach);
	int r = c->is_direct ? attach_read(c->attach, p, n) : attach_input(c->attach, p, n);

	if (r != 0) {
		say_warn(&(struct mux_ids){ .client = c->attach ? attach_client(c->attach) : 0 },
			"attached client: %s; hung up", smx_strerror(r));
		client_end(c);
		return;
	}
	if (!c->attach)
		return; /* it is ending, with a time limit of its own */
	if (attach_frames(c->attach) != before)
		(void)uv_timer_stop(&c->timer);
	if (attach_is_mid_frame(c->attach) && !uv_is_active((uv_handle_t *)&c->timer))
		arm(c);
}

/*
 * A line, and no further one before the answer is written (S7): a thousand requests at once are no
 * long turn of the loop, and answers that nobody reads are no more than one.
 */
static int take_line(struct control_client *c)
{
	struct smx_view line;
	size_t used;
	int r = smx_control_reader_feed(&c->reader, c->in + c->at, c->n_in - c->at, &used, &line);

	c->at += used;
	if (r != 1)
		return r;
	arm(c);
	return do_line(c, line);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf);

/* What was read, as far as that is possible; only then more is read. */
static void take(struct control_client *c)
{
	int r;

	while (c->at < c->n_in && !c->is_ending && !uv_is_closing((uv_handle_t *)&c->pipe)) {
		if (c->attach) {
			size_t at = c->at;

			c->at = c->n_in;
			take_frames(c, c->in + at, c->n_in - at);
			break;
		}
		if (c->is_writing || smx_buf_len(&c->out))
			break;
		if ((r = take_line(c)) < 0) {
			if (mux_tally(c->mux, TALLY_CONTROL))
				log_warn("control client: %s; hung up", smx_strerror(r));
			refuse(c, r == SMX_EUNSUPPORTED ? "version" : "malformed", smx_strerror(r));
			return;
		}
	}
	write_out(c);
	if (uv_is_closing((uv_handle_t *)&c->pipe))
		return;
	if (c->at < c->n_in && !c->is_ending)
		(void)uv_read_stop((uv_stream_t *)&c->pipe);
	else
		(void)uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct control_client *c = s->data;
	struct mux *m = c->mux;

	if (n < 0) {
		client_end(c);
	} else if (c->is_direct || c->block_in) {
		/* Without bytes as well: the link gives its buffer back. */
		if (c->attach)
			take_frames(c, (uint8_t *)buf->base, (size_t)n);
		write_out(c);
	} else if (n > 0) {
		c->at = 0;
		c->n_in = (size_t)n;
		take(c);
	}
	c->is_direct = 0;
	smx_pool_put(&m->core.pool, c->block_in);
	c->block_in = NULL;
	core_settle(&m->core); /* libuv reads on, while there is more */
}

static int greet(struct control_client *c)
{
	struct smx_control_hello hello = { .version = SMX_CONTROL_VERSION, .pid = smx_os_pid() };

	memcpy(hello.program, SMX_VERSION, sizeof(SMX_VERSION));
	return smx_control_hello_build(&c->out, &hello);
}

static struct control_client *client_new(struct control *ctl)
{
	struct control_client *c = smx_calloc(1, sizeof(*c));
	struct mux *m = ctl->mux;

	if (!c)
		return NULL;
	c->mux = m;
	smx_list_init(&c->node);
	smx_list_add_tail(&ctl->clients, &c->node);
	ctl->n_clients++;
	c->is_counted = 1;
	c->pid = -1;
	smx_control_reader_init(&c->reader);
	smx_buf_init(&c->out, CONTROL_OUT_MAX);
	smx_buf_init(&c->writing, CONTROL_OUT_MAX);
	(void)uv_pipe_init(m->core.loop, &c->pipe, 0);
	(void)uv_timer_init(m->core.loop, &c->timer);
	c->n_handles = 2;
	c->pipe.data = c->timer.data = c;
	return c;
}

static void turn_away(struct control_client *c, const char *why)
{
	if (mux_tally(c->mux, TALLY_CONTROL))
		log_warn("control client turned away: %s", why);
	client_end(c);
}

/* Its pipe is open, or (r) could not be. */
static void client_begin(struct control_client *c, int r)
{
	uv_os_fd_t fd;

	if (r != 0 || uv_fileno((uv_handle_t *)&c->pipe, &fd) != 0) {
		turn_away(c, "its connection can't be used");
		return;
	}
	/* S5, S6: nobody else's, whatever the endpoint's permissions have become. */
	if ((r = smx_os_ipc_peer_check((intptr_t)fd, &c->pid)) != 0) {
		turn_away(c, r == SMX_EDENIED ? "it is another user's" : smx_strerror(r));
		return;
	}
	if (c->mux->control->n_clients > CONTROL_CLIENTS_MAX) {
		refuse(c, "busy", "too many control connections");
		return;
	}
	if (greet(c) != 0 || uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0) {
		turn_away(c, smx_strerror(SMX_ENOMEM));
		return;
	}
	arm(c);
	write_out(c);
}

/* U10: whoever waits goes on waiting, and the endpoint is tried again by the next tick. */
static void pause_control(struct control *ctl, const char *why)
{
	if (mux_tally(ctl->mux, TALLY_ACCEPT))
		log_warn("no control client can be accepted at the moment, they wait: %s", why);
	if (ctl->has_poll)
		(void)uv_poll_stop(&ctl->poll);
	ctl->is_paused = 1;
}

static void accept_clients(struct control *ctl)
{
	struct control_client *c;
	int fd, r;

	for (int i = 0; i < ACCEPTS_MAX && !ctl->is_closed && !ctl->is_paused; i++) {
		if ((r = smx_os_ipc_server_accept(ctl->server, &fd)) == SMX_EAGAIN)
			return;
		if (r != 0) {
			pause_control(ctl, r == SMX_ELIMIT
						   ? "the system has no descriptors or memory left"
						   : smx_strerror(r));
			return;
		}
		if ((c = client_new(ctl)) == NULL) {
			smx_os_ipc_close(fd);
			continue;
		}
		if ((r = uv_pipe_open(&c->pipe, fd)) != 0)
			smx_os_ipc_close(fd);
		client_begin(c, r);
	}
	/* Where nothing is polled nobody comes back for the others. */
	if (ctl->has_async && !ctl->is_closed && !ctl->is_paused)
		(void)uv_async_send(&ctl->waiting);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct control *ctl = SMX_CONTAINER(poll, struct control, poll);

	(void)events;
	if (status != 0)
		pause_control(ctl, uv_strerror(status));
	else
		accept_clients(ctl);
}

static void on_waiting(uv_async_t *async)
{
	accept_clients(SMX_CONTAINER(async, struct control, waiting));
}

void control_tick(struct mux *m)
{
	struct control *ctl = m->control;

	if (!ctl || !ctl->is_paused || ctl->is_closed)
		return;
	if (ctl->has_poll && uv_poll_start(&ctl->poll, UV_READABLE, on_poll) != 0)
		return;
	ctl->is_paused = 0;
	if (ctl->has_async)
		(void)uv_async_send(&ctl->waiting);
}

/* In a thread of the server's. */
static void wake(void *arg)
{
	(void)uv_async_send(arg);
}

/* 0 or a libuv error. */
static int listen_at(struct control *ctl)
{
	int fd = smx_os_ipc_server_fd(ctl->server), r;

	if (fd >= 0) {
		if ((r = uv_poll_init(ctl->mux->core.loop, &ctl->poll, fd)) != 0)
			return r;
		ctl->has_poll = 1;
		return uv_poll_start(&ctl->poll, UV_READABLE, on_poll);
	}
	if ((r = uv_async_init(ctl->mux->core.loop, &ctl->waiting, on_waiting)) != 0)
		return r;
	ctl->has_async = 1;
	return smx_os_ipc_server_start(ctl->server, wake, &ctl->waiting) == 0 ? 0 : UV_EIO;
}

int control_open(struct mux *m)
{
	struct control *ctl = smx_calloc(1, sizeof(*ctl));
	struct smx_buf err;
	char *path = NULL;
	int r = SMX_ENOMEM;

	smx_buf_init(&err, 2048);
	if (!ctl)
		goto out;
	ctl->mux = m;
	smx_list_init(&ctl->clients);
	if ((r = smx_os_control_path(m->opts->ssh_dir, &path, &err)) != 0 ||
		(r = smx_os_ipc_listen(path, &ctl->server, &err)) != 0)
		goto out;
	m->control = ctl;
	if (listen_at(ctl) != 0)
		r = SMX_ESYS; /* the caller stops the daemon, which closes it */
out:
	if (r != 0) {
		log_error("control endpoint: %s", smx_errtext(r, &err));
		if (ctl && m->control != ctl) {
			smx_os_ipc_server_free(ctl->server);
			smx_free(ctl);
		}
	}
	smx_free(path);
	smx_buf_release(&err);
	return r;
}

static void on_handle_closed(uv_handle_t *h)
{
	((struct control *)h->data)->n_closing--;
}

static void on_end_timeout(uv_timer_t *timer)
{
	client_end(timer->data);
}

void control_close(struct mux *m)
{
	struct control *ctl = m->control;
	struct smx_list *it, *tmp;

	if (!ctl || ctl->is_closed)
		return;
	ctl->is_closed = 1;
	SMX_LIST_FOREACH (it, tmp, &ctl->clients) {
		struct control_client *c = SMX_CONTAINER(it, struct control_client, node);

		c->is_ending = 1;
		/* Whoever does not read its answer does not hold up the end of all. */
		if (!c->awaits_end)
			(void)uv_timer_start(&c->timer, on_end_timeout, END_TIMEOUT_MS, 0);
		write_out(c);
	}
	ctl->poll.data = ctl->waiting.data = ctl;
	ctl->n_closing = ctl->has_poll + ctl->has_async;
	if (ctl->has_poll)
		uv_close((uv_handle_t *)&ctl->poll, on_handle_closed);
	/* Its thread, where it has one, says no word after this. */
	smx_os_ipc_server_close(ctl->server);
	if (ctl->has_async)
		uv_close((uv_handle_t *)&ctl->waiting, on_handle_closed);
}

void control_finish(struct mux *m)
{
	struct control *ctl = m->control;
	struct smx_list *it, *tmp;

	if (!ctl)
		return;
	smx_os_ipc_server_free(ctl->server);
	ctl->server = NULL;
	SMX_LIST_FOREACH (it, tmp, &ctl->clients)
		client_end(SMX_CONTAINER(it, struct control_client, node));
	m->control = NULL;
	if (ctl->n_closing == 0)
		smx_free(ctl);
}
