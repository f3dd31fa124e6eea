/* SPDX-License-Identifier: MIT */
#include "mux/doors/stdio.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define FILE_READ (64 * 1024)
/* More than any window; what may be queued is the caller's to say. */
#define QUEUE_MAX (256u * 1024 * 1024)

/* What both have: a descriptor, its watch, and work under way on a thread. */
struct base {
	struct mux *mux;
	struct smx_os_stdio *os;
	uv_poll_t poll;
	int events; /* to be polled for */
	uv_work_t work;
	void (*call)(void *arg);
	void *arg;
	void (*release)(struct base *b);
	unsigned has_poll : 1, is_null : 1, is_working : 1, is_freed : 1;
};

struct input {
	struct base base;
	uint8_t *block; /* of a file: FILE_READ bytes */
	size_t off, len;
	int result; /* of the last read of a file */
};

struct output {
	struct base base;
	struct smx_buf queue, writing; /* writing: of a file, the thread's meanwhile */
	size_t in_work; /* bytes that the thread was given */
	int result;
	int is_broken, is_ended;
	int loss; /* why not all was written, if it is not that nobody reads; or 0 */
};

/* 0 or SMX_ESYS: then only base_free is left to do. */
static int base_init(struct base *b, struct mux *m, struct smx_os_stdio *os,
	void (*call)(void *arg), void *arg, void (*release)(struct base *b))
{
	int is_writable = 0, fd = smx_os_stdio_poll_fd(os, &is_writable);

	b->mux = m;
	b->os = os;
	b->call = call;
	b->arg = arg;
	b->release = release;
	b->poll.data = b->work.data = b;
	b->is_null = smx_os_stdio_is_null(os) != 0;
	b->events = is_writable ? UV_WRITABLE : UV_READABLE;
	if (fd < 0)
		return 0;
	if (uv_poll_init(m->core.loop, &b->poll, fd) != 0)
		return SMX_ESYS;
	b->has_poll = 1;
	return 0;
}

static void on_closed(uv_handle_t *h)
{
	struct base *b = h->data;

	b->release(b);
}

/* It calls nobody any more, and is released when nothing of it is under way. */
static void base_free(struct base *b)
{
	b->call = NULL;
	b->is_freed = 1;
	if (b->has_poll)
		uv_close((uv_handle_t *)&b->poll, on_closed);
	else if (!b->is_working)
		b->release(b);
}

static void call(struct base *b)
{
	if (b->call)
		b->call(b->arg);
}

/* --- input --- */

static void input_release(struct base *b)
{
	struct input *in = SMX_CONTAINER(b, struct input, base);

	smx_os_stdio_free(b->os);
	smx_free(in->block);
	smx_free(in);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct base *b = poll->data;

	(void)status; /* the next read tells */
	(void)events;
	(void)uv_poll_stop(poll);
	call(b);
}

static void read_file(uv_work_t *work)
{
	struct input *in = SMX_CONTAINER((struct base *)work->data, struct input, base);

	in->off = in->len = 0;
	in->result = smx_os_stdio_read(in->base.os, in->block, FILE_READ, &in->len);
}

static void on_file_read(uv_work_t *work, int status)
{
	struct base *b = work->data;

	b->is_working = 0;
	if (status != 0)
		SMX_CONTAINER(b, struct input, base)->result = SMX_EEOF;
	if (b->is_freed)
		b->release(b);
	else
		call(b);
}

struct input *input_new(struct mux *m, struct smx_os_stdio *os, void (*ready)(void *arg), void *arg)
{
	struct input *in = smx_calloc(1, sizeof(*in));

	if (!in) {
		smx_os_stdio_free(os);
		return NULL;
	}
	if (base_init(&in->base, m, os, ready, arg, input_release) == 0 &&
		(in->base.has_poll || in->base.is_null || (in->block = smx_malloc(FILE_READ))))
		return in;
	base_free(&in->base);
	return NULL;
}

static int read_block(struct input *in, void *p, size_t size, size_t *ret_len)
{
	size_t n;

	if (in->base.is_working)
		return SMX_EAGAIN; /* the thread has the rest of it */
	if ((n = in->len - in->off) != 0) {
		n = n < size ? n : size;
		memcpy(p, in->block + in->off, n);
		in->off += n;
		*ret_len = n;
		return 0;
	}
	if (in->result != 0 || uv_queue_work(in->base.mux->core.loop, &in->base.work, read_file,
				       on_file_read) != 0)
		return SMX_EEOF;
	in->base.is_working = 1;
	return SMX_EAGAIN;
}

int input_read(struct input *in, void *p, size_t size, size_t *ret_len)
{
	int r;

	if (!in->base.has_poll && !in->base.is_null)
		return read_block(in, p, size, ret_len);
	r = smx_os_stdio_read(in->base.os, p, size, ret_len);
	if (r == SMX_EAGAIN && uv_poll_start(&in->base.poll, in->base.events, on_readable) == 0)
		return r;
	return r == 0 ? 0 : SMX_EEOF;
}

int input_terminal(const struct input *in)
{
	return smx_os_stdio_terminal(in->base.os);
}

void input_free(struct input *in)
{
	if (in)
		base_free(&in->base);
}

/* --- output --- */

static void output_release(struct base *b)
{
	struct output *o = SMX_CONTAINER(b, struct output, base);

	smx_os_stdio_free(b->os);
	smx_buf_release(&o->queue);
	smx_buf_release(&o->writing);
	smx_free(o);
}

/* Nothing of what is queued will be written, for r. */
static void lose(struct output *o, int r)
{
	if (!o->is_broken && r != SMX_EEOF)
		o->loss = r;
	o->is_broken = 1;
	smx_buf_release(&o->queue);
	if (!o->base.is_working)
		smx_buf_release(&o->writing);
}

static void flush(struct output *o);

static void on_writable(uv_poll_t *poll, int status, int events)
{
	struct output *o = SMX_CONTAINER((struct base *)poll->data, struct output, base);

	(void)status;
	(void)events;
	(void)uv_poll_stop(poll);
	flush(o);
	call(&o->base);
}

static void write_file(uv_work_t *work)
{
	struct output *o = SMX_CONTAINER((struct base *)work->data, struct output, base);
	size_t n;

	while (smx_buf_len(&o->writing)) {
		o->result = smx_os_stdio_write(
			o->base.os, smx_buf_view(&o->writing), smx_buf_len(&o->writing), &n);
		if (o->result != 0)
			return;
		smx_buf_consume(&o->writing, n);
	}
}

static void on_file_written(uv_work_t *work, int status)
{
	struct base *b = work->data;
	struct output *o = SMX_CONTAINER(b, struct output, base);

	b->is_working = 0;
	if (b->is_freed) {
		b->release(b);
		return;
	}
	if (status != 0 || o->result != 0)
		lose(o, status != 0 ? SMX_ESYS : o->result);
	else
		flush(o);
	call(b);
}

static void end_if_due(struct output *o)
{
	if (o->is_ended)
		smx_os_stdio_end(o->base.os);
	o->is_ended = 0;
}

/* Some more of the queue, or to its thread with all of it. */
static void flush(struct output *o)
{
	struct base *b = &o->base;
	struct smx_buf empty;
	size_t n;
	int r = 0;

	if (b->is_working || o->is_broken)
		return;
	if (smx_buf_len(&o->queue) == 0) {
		end_if_due(o);
		return;
	}
	if (!b->has_poll) {
		empty = o->writing;
		o->writing = o->queue;
		o->queue = empty;
		smx_buf_reset(&o->queue);
		o->in_work = smx_buf_len(&o->writing);
		if (uv_queue_work(b->mux->core.loop, &b->work, write_file, on_file_written) == 0)
			b->is_working = 1;
		else
			lose(o, SMX_ESYS);
		return;
	}
	while (smx_buf_len(&o->queue) && r == 0) {
		r = smx_os_stdio_write(b->os, smx_buf_view(&o->queue), smx_buf_len(&o->queue), &n);
		if (r == 0)
			smx_buf_consume(&o->queue, n);
	}
	if (r == SMX_EAGAIN && uv_poll_start(&b->poll, b->events, on_writable) == 0)
		return;
	if (r != 0) {
		lose(o, r == SMX_EAGAIN ? SMX_ESYS : r);
		return;
	}
	smx_buf_release(&o->queue); /* it may be large, and idle from now on */
	end_if_due(o);
}

struct output *output_new(
	struct mux *m, struct smx_os_stdio *os, void (*moved)(void *arg), void *arg)
{
	struct output *o = smx_calloc(1, sizeof(*o));

	if (!o) {
		smx_os_stdio_free(os);
		return NULL;
	}
	smx_buf_init(&o->queue, QUEUE_MAX);
	smx_buf_init(&o->writing, QUEUE_MAX);
	if (base_init(&o->base, m, os, moved, arg, output_release) == 0)
		return o;
	base_free(&o->base);
	return NULL;
}

void output_write(struct output *o, struct smx_view data)
{
	size_t n;
	int r = 0;

	if ((o->base.has_poll || o->base.is_null) && smx_buf_len(&o->queue) == 0)
		while (data.len && !o->is_broken &&
			(r = smx_os_stdio_write(o->base.os, data.p, data.len, &n)) == 0) {
			data.p += n;
			data.len -= n;
		}
	if (r == 0 || r == SMX_EAGAIN)
		r = data.len && !o->is_broken ? smx_buf_put(&o->queue, data.p, data.len) : 0;
	if (r != 0)
		lose(o, r);
	else
		flush(o);
}

int output_terminal(const struct output *o)
{
	return smx_os_stdio_terminal(o->base.os);
}

void output_end(struct output *o)
{
	o->is_ended = 1;
	flush(o);
}

size_t output_queued(const struct output *o)
{
	return smx_buf_len(&o->queue) + (o->base.is_working ? o->in_work : 0);
}

int output_is_broken(const struct output *o)
{
	return o->is_broken;
}

int output_loss(const struct output *o)
{
	return o->loss;
}

void output_free(struct output *o)
{
	if (o)
		base_free(&o->base);
}
