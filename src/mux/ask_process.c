/* SPDX-License-Identifier: MIT */
#include "mux/ask_process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/caller.h"
#include "os/os.h"

#define END_MS 1000 /* between the end of its input, SIGTERM and SIGKILL */

struct ask_process {
	struct mux *mux;
	uv_process_t process;
	uv_pipe_t to, from;
	uv_timer_t timer; /* makes it end */
	int n_handles; /* not closed yet */
	int has_ended, has_said_all, has_text;
	int code, signal; /* signal: the next one to send */
	ask_process_cb *cb; /* NULL once called or cancelled */
	void *arg;
	int tty; /* of our own; -1: none */
	struct smx_os_modes *modes; /* as they were */
	uv_write_t write;
	char *text;
	char *said; /* max + 1 bytes, wiped */
	size_t n_said, max;
	int is_too_much;
};

static void free_now(struct ask_process *p)
{
	smx_os_modes_free(p->modes);
	if (p->tty >= 0)
		smx_os_ipc_close(p->tty);
	smx_free(p->text);
	smx_wipe_free(p->said, p->max + 1);
	smx_free(p);
}

static void on_closed(uv_handle_t *h)
{
	struct ask_process *p = h->data;

	if (--p->n_handles == 0)
		free_now(p);
}

static void close_handle(uv_handle_t *h)
{
	if (!uv_is_closing(h))
		uv_close(h, on_closed);
}

static void finish_if_over(struct ask_process *p)
{
	ask_process_cb *cb = p->cb;
	struct mux *m = p->mux;

	if (!p->has_ended || !p->has_said_all || !cb)
		return;
	p->cb = NULL;
	cb(p->arg, p->is_too_much ? -1 : p->code,
		(struct smx_view){ (const uint8_t *)p->said, p->n_said });
	smx_wipe(p->said, p->max + 1);
	mux_settle(m);
}

static void on_exit_of_it(uv_process_t *process, int64_t status, int term_signal)
{
	struct ask_process *p = process->data;

	p->has_ended = 1; /* and is reaped */
	p->code = term_signal ? -1 : (int)status;
	/* Nobody else is left who would do it. */
	if (term_signal && p->tty >= 0) {
		smx_os_modes_put_back(p->tty, p->modes);
		p->modes = NULL;
	}
	close_handle((uv_handle_t *)&p->process);
	close_handle((uv_handle_t *)&p->timer);
	close_handle((uv_handle_t *)&p->to);
	finish_if_over(p);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct ask_process *p = h->data;

	(void)suggested;
	*buf = uv_buf_init(p->said + p->n_said, (unsigned)(p->max + 1 - p->n_said));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct ask_process *p = s->data;

	(void)buf;
	if (n > 0)
		p->n_said += (size_t)n;
	p->is_too_much |= p->n_said > p->max || n == UV_ENOBUFS;
	if (n >= 0 && !p->is_too_much)
		return;
	p->has_said_all = 1;
	close_handle((uv_handle_t *)&p->from);
	finish_if_over(p);
}

static void on_late(uv_timer_t *timer)
{
	struct ask_process *p = timer->data;

	(void)uv_process_kill(&p->process, p->signal);
	p->signal = SIGKILL;
}

void ask_process_cancel(struct ask_process *p)
{
	if (!p)
		return;
	p->cb = NULL;
	smx_wipe(p->said, p->max + 1);
	close_handle((uv_handle_t *)&p->to);
	close_handle((uv_handle_t *)&p->from);
	/* The end of its input tells one of ours; an SSH_ASKPASS has none. */
	if (!p->has_ended)
		(void)uv_timer_start(&p->timer, on_late, p->has_text ? END_MS : 0, END_MS);
}

static void on_written(uv_write_t *req, int status)
{
	struct ask_process *p = req->data;

	(void)status; /* its end tells */
	smx_free(p->text);
	p->text = NULL;
}

static void free_args(char **args)
{
	for (size_t i = 0; args && args[i]; i++)
		smx_free(args[i]);
	smx_free(args);
}

/* libuv wants them to be writable. */
static char **copy_args(const char *const *from)
{
	size_t n = 0;
	char **args;

	while (from[n])
		n++;
	if (!(args = smx_calloc(n + 1, sizeof(*args))))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!(args[i] = smx_strdup(from[i]))) {
			free_args(args);
			return NULL;
		}
	return args;
}

static int spawn(struct mux *m, struct ask_process *p, const struct ask_process_start *start)
{
	char **args = copy_args(start->args);
	uv_stdio_container_t stdio[4] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
			.data.stream = (uv_stream_t *)&p->from },
		{ .flags = UV_IGNORE },
		{ .flags = UV_INHERIT_FD, .data.fd = start->tty },
	};
	uv_process_options_t options = {
		.exit_cb = on_exit_of_it,
		.file = start->file,
		.args = args,
		.env = start->env,
		.cwd = start->dir,
		.stdio = stdio,
		.stdio_count = start->text ? 4 : 3,
		/* A session of its own: nobody else's Ctrl-C. */
		.flags = UV_PROCESS_DETACHED | UV_PROCESS_WINDOWS_HIDE_CONSOLE,
	};
	int r;

	if (start->text) {
		stdio[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
		stdio[0].data.stream = (uv_stream_t *)&p->to;
	}
	r = args ? uv_spawn(m->loop, &p->process, &options) : UV_ENOMEM;
	free_args(args);
	return r == 0 ? 0 : r == UV_ENOMEM ? SMX_ENOMEM : SMX_ENOTFOUND;
}

/* The text goes out, and what it says comes in. */
static int begin(struct ask_process *p)
{
	uv_buf_t buf;

	if (uv_read_start((uv_stream_t *)&p->from, on_alloc, on_read) != 0)
		return SMX_ESYS;
	if (!p->text)
		return 0;
	buf = uv_buf_init(p->text, (unsigned)strlen(p->text) + 1);
	p->write.data = p;
	return uv_write(&p->write, (uv_stream_t *)&p->to, &buf, 1, on_written) == 0 ? 0 : SMX_ESYS;
}

static int fill(struct ask_process *p, const struct ask_process_start *start)
{
	p->max = start->answer_max ? start->answer_max : ASK_PROCESS_ANSWER_MAX;
	if (!(p->said = smx_calloc(1, p->max + 1)))
		return SMX_ENOMEM;
	if (!start->text)
		return 0;
	if (!(p->text = smx_strdup(start->text)))
		return SMX_ENOMEM;
	p->has_text = 1;
	return smx_os_modes_keep(p->tty, &p->modes);
}

int ask_process_new(struct mux *m, const struct ask_process_start *start, ask_process_cb *cb,
	void *arg, struct ask_process **ret)
{
	struct ask_process *p = smx_calloc(1, sizeof(*p));
	int r;

	if (!p) {
		if (start->tty >= 0)
			smx_os_ipc_close(start->tty);
		return SMX_ENOMEM;
	}
	p->mux = m;
	p->tty = start->tty;
	p->signal = SIGTERM;
	if ((r = fill(p, start)) != 0) {
		free_now(p);
		return r;
	}
	p->process.data = p->to.data = p->from.data = p->timer.data = p;
	(void)uv_pipe_init(m->loop, &p->to, 0);
	(void)uv_pipe_init(m->loop, &p->from, 0);
	(void)uv_timer_init(m->loop, &p->timer);
	p->n_handles = 4;
	if ((r = spawn(m, p, start)) == 0) {
		if ((r = begin(p)) == 0) {
			p->cb = cb;
			p->arg = arg;
			*ret = p;
			return 0;
		}
		ask_process_cancel(p);
		return r;
	}
	close_handle((uv_handle_t *)&p->to);
	close_handle((uv_handle_t *)&p->from);
	close_handle((uv_handle_t *)&p->timer);
	/* Not alive, but known to the loop. */
	close_handle((uv_handle_t *)&p->process);
	return r;
}
