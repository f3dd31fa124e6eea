/* SPDX-License-Identifier: MIT */
#include "mux/net/program.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/transport.h"
#include "mux/core/child.h"
#include "mux/net/program_env.h"
#include "mux/pool/prepare.h"

#define END_MS    1000 /* between SIGTERM and SIGKILL */
#define REPORT_MS 300 /* for the rest of its stderr and its status, once it says no more */
#define LINE_SIZE 1024 /* of stderr; a longer line is cut */
#define READ_SIZE (64 * 1024)
#define BUFS_MAX  16
#define ARG_MAX   (4 * SMX_CONFIG_PATH_MAX)

struct program {
	struct carrier carrier;
	struct mux *mux;
	struct child *child; /* NULL: it does not run */
	uv_pipe_t to, from, err;
	uv_timer_t timer; /* to the report, then to its end */
	unsigned n_handles; /* not closed yet */
	/* to its standard input */
	struct smx_tx_block *first, *last, *writing;
	size_t len; /* of all three lists */
	uv_write_t write;
	/* from it, where the link has no room of its own */
	uint8_t *spare;
	/* its standard error */
	char line[LINE_SIZE];
	size_t n_line;
	char last_line[PROGRAM_SAID_MAX];
	void (*said)(void *arg, const char *line);
	void *arg;
	char *name;
	int64_t status;
	int signal; /* that ended it */
	int next_signal; /* to be sent */
	unsigned has_ended : 1, is_over : 1;
};

static void drop_list(struct program *p, struct smx_tx_block **list)
{
	struct smx_tx_block *b;

	while ((b = *list)) {
		*list = b->next;
		p->len -= b->len;
		smx_pool_put(&p->mux->core.pool, b);
	}
}

static void on_closed(uv_handle_t *h)
{
	struct program *p = h->data;

	if (--p->n_handles)
		return;
	smx_free(p->spare);
	smx_free(p->name);
	smx_free(p);
}

static void close_handle(void *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_closed);
}

/* --- its end --- */

/* Why there is no connection any more. */
static void report(struct program *p)
{
	const char *colon = p->last_line[0] ? ": " : "";
	char why[PROGRAM_SAID_MAX + 256];

	if (!p->carrier.inner)
		return;
	if (!p->has_ended)
		(void)snprintf(why, sizeof(why), "the transport %.80s closed the connection%s%s",
			p->name, colon, p->last_line);
	else if (p->signal)
		(void)snprintf(why, sizeof(why), "the transport %.80s was ended by signal %d%s%s",
			p->name, p->signal, colon, p->last_line);
	else
		(void)snprintf(why, sizeof(why), "the transport %.80s ended with status %lld%s%s",
			p->name, (long long)p->status, colon, p->last_line);
	link_fail(p->carrier.inner, SMX_EEOF, why);
}

static void on_report(uv_timer_t *timer)
{
	struct program *p = timer->data;

	report(p);
}

/* It says no more: a moment for what it wrote to stderr and for its status. */
static void end_of_data(struct program *p)
{
	if (p->is_over)
		return;
	p->is_over = 1;
	if (p->has_ended && uv_is_closing((uv_handle_t *)&p->err))
		report(p);
	else
		(void)uv_timer_start(&p->timer, on_report, REPORT_MS, 0);
}

static void on_exit_of_it(void *arg, int64_t status, int term_signal)
{
	struct program *p = arg;

	p->has_ended = 1;
	p->child = NULL;
	p->status = status;
	p->signal = term_signal;
	if (!p->carrier.inner)
		close_handle(&p->timer);
	else if (p->is_over && uv_is_closing((uv_handle_t *)&p->err))
		report(p);
}

static void on_late(uv_timer_t *timer)
{
	struct program *p = timer->data;

	if (!p->child)
		return;
	child_kill(p->child, p->next_signal, 1);
	p->next_signal = SIGKILL;
}

/* The link is gone. */
static void program_detach(struct carrier *c)
{
	struct program *p = SMX_CONTAINER(c, struct program, carrier);

	p->carrier.inner = NULL;
	p->said = NULL;
	drop_list(p, &p->first);
	p->last = NULL;
	close_handle(&p->to);
	close_handle(&p->from);
	close_handle(&p->err);
	if (!p->child) {
		close_handle(&p->timer);
		return;
	}
	p->next_signal = SIGTERM;
	(void)uv_timer_start(&p->timer, on_late, END_MS, END_MS);
	on_late(&p->timer);
}

/* --- to it --- */

static void start_write(struct program *p);

static void on_written(uv_write_t *req, int status)
{
	struct program *p = req->data;

	drop_list(p, &p->writing);
	if (status == 0)
		start_write(p);
	else
		drop_list(p, &p->first); /* its output ends as well */
	if (!p->first)
		p->last = NULL;
	/* The link composes more when there is room again. */
	if (p->carrier.inner && p->len < LINK_TX_HIGH)
		link_touch(p->carrier.inner);
}

static void start_write(struct program *p)
{
	uv_buf_t bufs[BUFS_MAX];
	struct smx_tx_block *b = p->first, *end = NULL;
	unsigned n = 0;

	if (!b || p->writing || uv_is_closing((uv_handle_t *)&p->to))
		return;
	for (; b && n < BUFS_MAX; end = b, b = b->next)
		bufs[n++] = uv_buf_init((char *)b->data, (unsigned)b->len);
	p->writing = p->first;
	p->first = b;
	end->next = NULL;
	if (!b)
		p->last = NULL;
	p->write.data = p;
	if (uv_write(&p->write, (uv_stream_t *)&p->to, bufs, n, on_written) != 0) {
		drop_list(p, &p->writing);
		end_of_data(p);
	}
}

static void program_write(struct carrier *c, struct smx_tx_block *list)
{
	struct program *p = SMX_CONTAINER(c, struct program, carrier);

	for (struct smx_tx_block *b = list; b; b = b->next) {
		p->len += b->len;
		p->carrier.inner->bytes_out += b->len;
	}
	smx_tx_append(&p->mux->core.pool, &p->first, &p->last, list);
	start_write(p);
}

static size_t program_backlog(struct carrier *c)
{
	return SMX_CONTAINER(c, struct program, carrier)->len;
}

static const struct carrier_ops carrier_ops = {
	.write = program_write, .backlog = program_backlog, .detach = program_detach
};

/* --- from it --- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct program *p = h->data;
	uint8_t *at = NULL;
	size_t n = p->carrier.inner ? link_carrier_space(p->carrier.inner, &at) : 0;

	(void)suggested;
	if (n == 0) {
		at = p->spare;
		n = READ_SIZE;
	}
	*buf = uv_buf_init((char *)at, (unsigned)n);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct program *p = s->data;
	struct mux *m = p->mux;

	if (p->carrier.inner && n >= 0 && (uint8_t *)buf->base != p->spare)
		link_carrier_read(p->carrier.inner, (size_t)n);
	else if (p->carrier.inner && n > 0)
		link_carrier_data(p->carrier.inner,
			(struct smx_view){ (const uint8_t *)buf->base, (size_t)n });
	if (n < 0) {
		/* What was taken for it goes back. */
		if (p->carrier.inner && (uint8_t *)buf->base != p->spare)
			link_carrier_read(p->carrier.inner, 0);
		(void)uv_read_stop(s);
		end_of_data(p);
	}
	core_settle(&m->core); /* libuv reads on, while there is more */
}

static void end_line(struct program *p)
{
	char clean[LINE_SIZE];

	smx_sanitize(p->line, p->n_line, clean, sizeof(clean));
	p->n_line = 0;
	if (!clean[0])
		return;
	(void)snprintf(p->last_line, sizeof(p->last_line), "%.*s", PROGRAM_SAID_MAX - 1, clean);
	if (p->said)
		p->said(p->arg, clean);
}

static void on_alloc_err(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char chunk[4096];

	(void)h;
	(void)suggested;
	*buf = uv_buf_init(chunk, sizeof(chunk));
}

static void on_read_err(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct program *p = s->data;

	for (ssize_t i = 0; i < n; i++) {
		if (buf->base[i] == '\n' || buf->base[i] == '\r')
			end_line(p);
		else if (p->n_line < sizeof(p->line))
			p->line[p->n_line++] = buf->base[i];
	}
	if (n < 0) {
		end_line(p);
		close_handle(&p->err);
		if (p->is_over && p->has_ended)
			report(p);
	}
}

/* --- its beginning --- */

static void free_words(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		smx_free(words[i]);
	smx_free(words);
}

static char *make_arg(const struct smx_hop *hop, size_t i)
{
	struct smx_buf b;
	char *arg = NULL;

	if (i == 0)
		return prepare_expand(hop->transport[0]);
	smx_buf_init(&b, ARG_MAX);
	if (smx_transport_expand(hop, hop->transport[i], &b) == 0 && smx_buf_cstr(&b))
		arg = smx_strdup(smx_buf_cstr(&b));
	smx_buf_release(&b);
	return arg;
}

static char **make_args(const struct smx_hop *hop)
{
	char **words = smx_calloc(hop->n_transport + 1, sizeof(*words));

	for (size_t i = 0; words && i < hop->n_transport; i++) {
		if (!(words[i] = make_arg(hop, i))) {
			free_words(words);
			return NULL;
		}
	}
	return words;
}

/* 0 or a libuv error. */
static int spawn(struct program *p, char **args, char **env)
{
	const struct child_start start = {
		.kind = SMX_HELPER_TRANSPORT,
		.file = args[0],
		.args = (const char *const *)args,
		.env = env,
		.in = &p->to,
		.out = &p->from,
		.err = &p->err,
		.terminal = -1,
		.hide = UV_PROCESS_WINDOWS_HIDE,
	};

	return child_new(p->mux, &start, on_exit_of_it, p, &p->child);
}

static int start(struct program *p, const struct smx_hop *hop, char *why, size_t why_size)
{
	char **args = make_args(hop), **env = program_env_new();
	int r = args && env ? spawn(p, args, env) : UV_ENOMEM;

	free_words(args);
	program_env_free(env);
	if (r == 0 && (r = uv_read_start((uv_stream_t *)&p->from, on_alloc, on_read)) == 0)
		r = uv_read_start((uv_stream_t *)&p->err, on_alloc_err, on_read_err);
	if (r == 0)
		return 0;
	(void)snprintf(
		why, why_size, "the transport %.80s can't be run: %s", p->name, uv_strerror(r));
	return r == UV_ENOMEM ? SMX_ENOMEM : r == UV_ENOENT ? SMX_ENOTFOUND : SMX_EDENIED;
}

int program_new(struct mux *m, const struct smx_hop *hop, void (*said)(void *arg, const char *line),
	void *arg, struct program **ret, char *why, size_t why_size)
{
	struct program *p = smx_calloc(1, sizeof(*p));
	int r;

	if (p) {
		p->name = smx_strdup(hop->transport[0]);
		p->spare = smx_malloc(READ_SIZE);
	}
	if (!p || !p->name || !p->spare) {
		if (p) {
			smx_free(p->name);
			smx_free(p->spare);
		}
		smx_free(p);
		(void)snprintf(why, why_size, "%s", smx_strerror(SMX_ENOMEM));
		return SMX_ENOMEM;
	}
	p->mux = m;
	p->carrier.ops = &carrier_ops;
	p->said = said;
	p->arg = arg;
	p->to.data = p->from.data = p->err.data = p->timer.data = p;
	(void)uv_pipe_init(m->core.loop, &p->to, 0);
	(void)uv_pipe_init(m->core.loop, &p->from, 0);
	(void)uv_pipe_init(m->core.loop, &p->err, 0);
	(void)uv_timer_init(m->core.loop, &p->timer);
	p->n_handles = 4;
	if ((r = start(p, hop, why, why_size)) == 0) {
		*ret = p;
		return 0;
	}
	program_detach(&p->carrier);
	return r;
}

struct carrier *program_carrier(struct program *p)
{
	return &p->carrier;
}
