/* SPDX-License-Identifier: MIT */
#include "mux/ask/pinentry.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/core/child.h"
#include "os/process.h"
#include "os/window.h"

#define END_MS     1000 /* between the end of its input, SIGTERM and SIGKILL */
#define CHUNK_SIZE 1024

struct pinentry {
	struct child *child; /* NULL: it does not run */
	uv_pipe_t to, from;
	uv_timer_t timer; /* makes it end */
	int n_handles; /* not closed yet */
	int has_ended, signal; /* the next one to send */
	pinentry_cb *cb; /* NULL once called or cancelled */
	void *arg;
	struct smx_pinentry talk;
	uv_write_t write;
	char *said; /* being written */
	char chunk[CHUNK_SIZE]; /* wiped */
};

static const char *const places[] = { "/usr/bin/pinentry", "/usr/local/bin/pinentry",
	"/opt/homebrew/bin/pinentry" };

int pinentry_is_usual(const char *path)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(places); i++)
		if (strcmp(path, places[i]) == 0)
			return 1;
	return 0;
}

static int can_execute(const char *path)
{
	uv_fs_t req;
	int r = uv_fs_access(NULL, &req, path, 1 /* X_OK */, NULL);

	uv_fs_req_cleanup(&req);
	return r == 0;
}

static int has_display(void)
{
	const char *x11 = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");

	return (x11 && *x11) || (wayland && *wayland);
}

static int choose(const char *program, struct pinentry_choice *ret)
{
	struct pinentry_choice c = { .program = smx_strdup(program) };

	if (!c.program)
		return SMX_ENOMEM;
	*ret = c;
	return 0;
}

static int choose_window(enum smx_prompter prompter, struct pinentry_choice *ret)
{
	struct pinentry_choice c = { .args = { "prompt" }, .is_window = 1 };
	int r = smx_os_self_path(&c.program);

	if (r != 0)
		return r;
	if (prompter == SMX_PROMPTER_POWERSHELL)
		c.args[1] = "--script";
	*ret = c;
	return 0;
}

int pinentry_find(const struct mux *m, enum smx_prompter prompter, struct pinentry_choice *ret)
{
	const char *program = m->routes ? m->routes->pinentry : NULL;

	if (program)
		return strcmp(program, "none") != 0 ? choose(program, ret) : SMX_ENOTFOUND;
	if (smx_os_has_window())
		return choose_window(prompter, ret);
	for (size_t i = 0; has_display() && i < SMX_ARRAY_LEN(places); i++)
		if (can_execute(places[i]))
			return choose(places[i], ret);
	return SMX_ENOTFOUND;
}

void pinentry_choice_release(struct pinentry_choice *c)
{
	smx_free(c->program);
	c->program = NULL;
}

/* --- its end --- */

static void on_closed(uv_handle_t *h)
{
	struct pinentry *p = h->data;

	if (--p->n_handles)
		return;
	smx_pinentry_release(&p->talk);
	smx_wipe(p->chunk, sizeof(p->chunk));
	smx_free(p->said);
	smx_free(p);
}

static void close_handle(uv_handle_t *h)
{
	if (!uv_is_closing(h))
		uv_close(h, on_closed);
}

static void close_pipes(struct pinentry *p)
{
	close_handle((uv_handle_t *)&p->to);
	close_handle((uv_handle_t *)&p->from);
}

static void on_exit_of_it(void *arg, int64_t status, int signal)
{
	struct pinentry *p = arg;

	(void)status;
	(void)signal;
	p->has_ended = 1;
	p->child = NULL;
	close_handle((uv_handle_t *)&p->timer);
	/* What it said last may still be in the pipe; whose end is the end of the question. */
}

static void on_late(uv_timer_t *timer)
{
	struct pinentry *p = timer->data;

	if (p->child)
		child_kill(p->child, p->signal, 0);
	p->signal = SIGKILL;
}

/* The question is over: so is the program, soon. */
static void end(struct pinentry *p, int at_once)
{
	p->cb = NULL;
	close_pipes(p);
	if (p->has_ended)
		return;
	(void)uv_timer_start(&p->timer, on_late, at_once ? 0 : END_MS, END_MS);
}

static void finish(struct pinentry *p, int r)
{
	const char *answer = r == 0 ? smx_pinentry_answer(&p->talk) : "";
	pinentry_cb *cb = p->cb;

	if (!cb)
		return;
	p->cb = NULL;
	cb(p->arg, answer ? r : SMX_ENOMEM, answer ? answer : "");
	end(p, 0);
}

void pinentry_cancel(struct pinentry *p)
{
	if (p)
		end(p, 1);
}

/* --- the dialogue --- */

static void say(struct pinentry *p);

static void on_said(uv_write_t *req, int status)
{
	struct pinentry *p = req->data;

	smx_free(p->said);
	p->said = NULL;
	/* One that has gone is noticed by the end of what it says. */
	if (status == 0 && p->cb)
		say(p);
}

static void say(struct pinentry *p)
{
	size_t n = smx_buf_len(&p->talk.out);
	uv_buf_t buf;

	if (n == 0 || p->said)
		return;
	if (!(p->said = smx_malloc(n))) {
		finish(p, SMX_ENOMEM);
		return;
	}
	memcpy(p->said, smx_buf_view(&p->talk.out), n);
	smx_buf_consume(&p->talk.out, n);
	buf = uv_buf_init(p->said, (unsigned)n);
	p->write.data = p;
	if (uv_write(&p->write, (uv_stream_t *)&p->to, &buf, 1, on_said) != 0) {
		smx_free(p->said);
		p->said = NULL;
		finish(p, SMX_ENOTFOUND);
	}
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct pinentry *p = h->data;

	(void)suggested;
	*buf = uv_buf_init(p->chunk, sizeof(p->chunk));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct pinentry *p = s->data;
	int r;

	if (n == 0 || !p->cb)
		return;
	if (n < 0) {
		finish(p, smx_pinentry_end(&p->talk));
		return;
	}
	r = smx_pinentry_feed(&p->talk, smx_view_of(buf->base, (size_t)n));
	smx_wipe(buf->base, (size_t)n);
	if (r == SMX_EAGAIN)
		say(p);
	else
		finish(p, r);
}

/* --- its start --- */

static int spawn(struct mux *m, struct pinentry *p, const struct pinentry_choice *choice)
{
	const char *const args[] = { choice->program, choice->args[0],
		choice->args[0] ? choice->args[1] : NULL, NULL };
	const struct child_start start = {
		.kind = SMX_HELPER_PINENTRY,
		.file = choice->program,
		.args = args,
		.in = &p->to,
		.out = &p->from,
		.terminal = -1,
		.hide = UV_PROCESS_WINDOWS_HIDE_CONSOLE,
	};
	int r = child_new(m, &start, on_exit_of_it, p, &p->child);

	return r == 0 ? 0 : r == UV_ENOMEM ? SMX_ENOMEM : SMX_ENOTFOUND;
}

int pinentry_ask(struct mux *m, const struct pinentry_choice *choice,
	const struct smx_pinentry_question *q, pinentry_cb *cb, void *arg, struct pinentry **ret)
{
	struct pinentry *p = smx_calloc(1, sizeof(*p));
	int r;

	if (!p)
		return SMX_ENOMEM;
	if ((r = smx_pinentry_init(&p->talk, q)) != 0) {
		smx_free(p);
		return r;
	}
	p->signal = SIGTERM;
	p->to.data = p->from.data = p->timer.data = p;
	(void)uv_pipe_init(m->core.loop, &p->to, 0);
	(void)uv_pipe_init(m->core.loop, &p->from, 0);
	(void)uv_timer_init(m->core.loop, &p->timer);
	p->n_handles = 3;
	if ((r = spawn(m, p, choice)) == 0 &&
		uv_read_start((uv_stream_t *)&p->from, on_alloc, on_read) == 0) {
		p->cb = cb;
		p->arg = arg;
		*ret = p;
		return 0;
	}
	if (r == 0) {
		end(p, 1);
		return SMX_ESYS;
	}
	close_pipes(p);
	close_handle((uv_handle_t *)&p->timer);
	return r;
}
