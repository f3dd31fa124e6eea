/* SPDX-License-Identifier: MIT */
#include "mux/ask/ask_process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/core/child.h"
#include "os/caller.h"
#include "os/ipc.h"

#define END_MS 1000 /* between the end of its input, SIGTERM and SIGKILL */

struct ask_process {
	struct mux *mux;
	struct child *child; /* NULL: it does not run */
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

	if (!p->has_ended || !p->has_said_all || !cb)
		return;
	p->cb = NULL;
	cb(p->arg, p->is_too_much ? -1 : p->code,
		(struct smx_view){ (const uint8_t *)p->said, p->n_said });
	smx_wipe(p->said, p->max + 1);
}

static void on_exit_of_it(void *arg, int64_t status, int term_signal)
{
	struct ask_process *p = arg;

	p->has_ended = 1;
	p->child = NULL;
	p->code = term_signal ? -1 : (int)status;
	/* Nobody else is left who would do it. */
	if (term_signal && p->tty >= 0) {
		smx_os_modes_put_back(p->tty, p->modes);
		p->modes = NULL;
	}
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

	if (p->child)
		child_kill(p->child, p->signal, 0);
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

static int spawn(struct mux *m, struct ask_process *p, const struct ask_process_start *start)
{
	const struct child_start child = {
		.kind = start->kind,
		.file = start->file,
		.args = start->args,
		.env = start->env,
		.dir = start->dir,
		.caller = start->caller,
		.hint = start->hint,
		.in = start->text ? &p->to : NULL,
		.out = &p->from,
		.terminal = start->text ? start->tty : -1,
		.hide = UV_PROCESS_WINDOWS_HIDE_CONSOLE,
	};
	int r = child_new(m, &child, on_exit_of_it, p, &p->child);

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
	p->to.data = p->from.data = p->timer.data = p;
	(void)uv_pipe_init(m->core.loop, &p->to, 0);
	(void)uv_pipe_init(m->core.loop, &p->from, 0);
	(void)uv_timer_init(m->core.loop, &p->timer);
	p->n_handles = 3;
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
	return r;
}
