/* SPDX-License-Identifier: MIT */
#include "cli/session/uplink.h"
#include "os/ask.h"
#include "os/process.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"

struct write {
	uv_write_t req;
	uplink_written *done;
	void *arg;
	size_t len;
	uint8_t bytes[];
};

static void stop_asking(struct uplink *u);

void uplink_end(struct uplink *u, int r)
{
	if (u->has_ended)
		return;
	u->has_ended = 1;
	stop_asking(u);
	uv_close((uv_handle_t *)&u->pipe, NULL);
	u->ended(u, r);
}

/* --- sending --- */

static void on_copy_written(uv_write_t *req, int status)
{
	struct write *w = SMX_CONTAINER(req, struct write, req);
	uplink_written *done = w->done;
	void *arg = w->arg;
	size_t len = w->len;

	smx_wipe_free(w, sizeof(*w) + len); /* answers are sent, too */
	done(arg, len, status);
}

/* Copies what could not be written from where it is. `used` bytes of the first part are out. */
static int64_t write_copy(uv_stream_t *s, const uv_buf_t *parts, size_t n, size_t used,
	uplink_written *done, void *arg)
{
	struct write *w;
	size_t len = 0;
	uv_buf_t buf;
	int r;

	for (size_t i = 0; i < n; i++)
		len += parts[i].len;
	len -= used;
	if (!(w = smx_malloc(sizeof(*w) + len)))
		return UV_ENOMEM;
	w->done = done;
	w->arg = arg;
	w->len = 0;
	for (size_t i = 0; i < n; i++, used = 0) {
		memcpy(w->bytes + w->len, parts[i].base + used, parts[i].len - used);
		w->len += parts[i].len - used;
	}
	buf = uv_buf_init((char *)w->bytes, (unsigned)len);
	if ((r = uv_write(&w->req, s, &buf, 1, on_copy_written)) == 0)
		return (int64_t)len;
	smx_wipe_free(w, sizeof(*w) + len);
	return r;
}

int64_t uplink_write(
	uv_stream_t *s, const uv_buf_t *parts, size_t n, uplink_written *done, void *arg)
{
	int r = uv_try_write(s, parts, (unsigned)n);
	size_t first, out = r > 0 ? (size_t)r : 0;

	if (r < 0 && r != UV_EAGAIN)
		return r;
	for (first = 0; first < n && out >= parts[first].len; first++)
		out -= parts[first].len;
	return first == n ? 0 : write_copy(s, parts + first, n - first, out, done, arg);
}

static void on_written(void *arg, size_t len, int status)
{
	struct uplink *u = arg;

	u->n_sending -= len;
	u->is_deaf |= status < 0;
	if (!u->has_ended)
		u->room(u);
}

/* To a daemon that listens no more nothing is sent; why it does not is still to be read. */
static int send_parts(struct uplink *u, const uv_buf_t *parts, size_t n)
{
	int64_t r = u->is_deaf ? 0 : uplink_write((uv_stream_t *)&u->pipe, parts, n, on_written, u);

	if (r == UV_ENOMEM)
		return SMX_ENOMEM;
	if (r < 0)
		u->is_deaf = 1;
	else
		u->n_sending += (size_t)r;
	return 0;
}

void uplink_send(struct uplink *u, struct smx_view bytes)
{
	uint8_t heads[SMX_FRAME_CUT_MAX][SMX_FRAME_HEAD];
	struct smx_view parts[2 * SMX_FRAME_CUT_MAX];
	uv_buf_t bufs[2 * SMX_FRAME_CUT_MAX];
	size_t n;
	int r;

	while (bytes.len && !u->has_ended) {
		n = smx_frame_cut(&bytes, heads, parts);
		for (size_t i = 0; i < n; i++)
			bufs[i] =
				uv_buf_init((char *)(uintptr_t)parts[i].p, (unsigned)parts[i].len);
		if ((r = send_parts(u, bufs, n)) != 0)
			uplink_end(u, r);
	}
}

/* --- questions --- */

static void send_answer(struct uplink *u, uint8_t result, const char *text)
{
	struct smx_answer answer = { u->ask_id, result, smx_view_of(text, strlen(text)) };
	struct smx_buf frame;
	uv_buf_t part;
	int r;

	smx_buf_init_secret(&frame, UPLINK_ANSWER_SIZE + 64);
	if ((r = smx_answer_put(&frame, &answer)) == 0 && !u->has_ended) {
		part = uv_buf_init((char *)frame.data + frame.off, (unsigned)smx_buf_len(&frame));
		r = send_parts(u, &part, 1);
	}
	smx_buf_release(&frame);
	if (r != 0)
		uplink_end(u, r);
}

static void free_handle(uv_handle_t *h)
{
	smx_free(h);
}

static void stop_asking(struct uplink *u)
{
	if (!u->asker)
		return;
	smx_os_asker_cancel(u->asker);
	u->asker = NULL;
	uv_close((uv_handle_t *)u->asker_pipe, free_handle);
	smx_wipe(u->said, sizeof(u->said));
}

static void on_asked(struct uplink *u)
{
	char answer[UPLINK_ANSWER_SIZE];
	int r = smx_os_asker_result(u->asker, u->said, u->n_said, answer, sizeof(answer));

	u->asker = NULL;
	uv_close((uv_handle_t *)u->asker_pipe, free_handle);
	smx_wipe(u->said, sizeof(u->said));
	if (r == 0)
		send_answer(u, SMX_ANSWER_OK, answer);
	else
		send_answer(u, r == SMX_ENOTFOUND ? SMX_ANSWER_NOBODY : SMX_ANSWER_CANCELLED, "");
	smx_wipe(answer, sizeof(answer));
}

static void on_said_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct uplink *u = h->data;

	(void)suggested;
	/* One byte too many is kept, so that the result can say it. */
	*buf = uv_buf_init(u->said + u->n_said, (unsigned)(sizeof(u->said) - u->n_said));
}

static void on_said(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct uplink *u = s->data;

	(void)buf;
	if (n > 0)
		u->n_said += (size_t)n;
	if (n < 0)
		on_asked(u);
}

static void on_ask(struct uplink *u, const struct smx_ask *ask)
{
	char *text;
	int r = SMX_ENOTFOUND;

	stop_asking(u);
	u->ask_id = ask->id;
	u->n_said = 0;
	if (!(text = smx_strndup((const char *)ask->text.p, ask->text.len))) {
		uplink_end(u, SMX_ENOMEM);
		return;
	}
	if (!u->may_not_ask)
		r = smx_os_asker_start(text, (ask->flags & SMX_ASK_ECHO) != 0,
			(ask->flags & SMX_ASK_CONFIRM) != 0, &u->asker);
	smx_free(text);
	if (r != 0) {
		u->asker = NULL;
		send_answer(u, SMX_ANSWER_NOBODY, "");
		return;
	}
	if (!(u->asker_pipe = smx_calloc(1, sizeof(*u->asker_pipe)))) {
		smx_os_asker_cancel(u->asker);
		u->asker = NULL;
		uplink_end(u, SMX_ENOMEM);
		return;
	}
	(void)uv_pipe_init(u->loop, u->asker_pipe, 0);
	u->asker_pipe->data = u;
	if (uv_pipe_open(u->asker_pipe, smx_os_asker_take_fd(u->asker)) != 0 ||
		uv_read_start((uv_stream_t *)u->asker_pipe, on_said_alloc, on_said) != 0)
		uplink_end(u, SMX_ESYS);
}

/* --- receiving --- */

static void on_frame(struct uplink *u, uint8_t type, struct smx_view payload)
{
	struct smx_ask ask;
	uint32_t id;
	int r = 0;

	if (type != SMX_FRAME_DATA && u->taken)
		u->taken(u);
	if (u->has_ended)
		return;
	switch (type) {
	case SMX_FRAME_DATA:
		u->data(u, payload);
		break;
	case SMX_FRAME_END:
		uplink_end(u, 0);
		break;
	case SMX_FRAME_ASK:
		if ((r = smx_ask_parse(payload, &ask)) == 0)
			on_ask(u, &ask);
		break;
	case SMX_FRAME_UNASK:
		if ((r = smx_unask_parse(payload, &id)) == 0 && id == u->ask_id)
			stop_asking(u);
		break;
	case SMX_FRAME_NOTICE:
		if (u->notice)
			u->notice(u, payload);
		break;
	case SMX_FRAME_MESSAGE:
		if (u->message)
			u->message(u, payload);
		else
			r = SMX_EFORMAT;
		break;
	default:
		r = type >= SMX_FRAME_OPTIONAL ? 0 : SMX_EFORMAT;
	}
	if (r != 0)
		uplink_end(u, r);
}

static void take_frames(struct uplink *u, uint8_t *p, size_t n)
{
	struct smx_view payload;
	uint8_t type;
	int r = 0;

	while (!u->has_ended &&
		(r = smx_frame_reader_next(&u->frames, &p, &n, &type, &payload)) == 0)
		on_frame(u, type, payload);
	if (r != 0 && r != SMX_EAGAIN)
		uplink_end(u, r);
	if (u->taken && !u->has_ended)
		u->taken(u);
}

uint8_t *uplink_space(struct uplink *u)
{
	if (!u->space)
		u->space = smx_malloc(UPLINK_READ);
	return u->space;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	uint8_t *space = uplink_space(h->data);

	(void)suggested;
	*buf = uv_buf_init((char *)space, space ? UPLINK_READ : 0);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct uplink *u = s->data;

	if (n < 0)
		uplink_end(u, n == UV_ENOBUFS ? SMX_ENOMEM : SMX_EEOF);
	else if (n > 0)
		take_frames(u, (uint8_t *)buf->base, (size_t)n);
}

#define NOTICES_TOGETHER_NS 1000000000ull

static void put_line(
	struct smx_view text, const char *before, const char *after, char *out, size_t size)
{
	char clean[1024];

	smx_sanitize((const char *)text.p, text.len, clean, sizeof(clean));
	(void)snprintf(out, size, "%s%s%s%s", before, smx_notice_whose(clean), clean, after);
}

void uplink_notice_line(struct uplink *u, struct smx_view text, char *out, size_t size)
{
	uint64_t now = uv_hrtime();
	int is_first = !u->noticed_ns || now - u->noticed_ns > NOTICES_TOGETHER_NS;

	u->noticed_ns = now;
	put_line(text, is_first ? "\r\n" : "", "\r\n", out, size);
}

/* Whether somebody is asked by a program, as by an editor, whose log standard error is. */
static int is_asked_by_program(void)
{
	enum smx_os_asks place = smx_os_asker_place();

	return place == SMX_OS_ASKS_PROGRAM || place == SMX_OS_ASKS_PINENTRY;
}

void uplink_print_notice(struct uplink *u, struct smx_view text)
{
	char line[UPLINK_NOTICE_SIZE];

	if (smx_os_is_terminal(2))
		uplink_notice_line(u, text, line, sizeof(line));
	else if (is_asked_by_program())
		put_line(text, "", "\n", line, sizeof(line));
	else
		return;
	(void)fputs(line, stderr);
}

void uplink_resume(struct uplink *u)
{
	if (u->has_ended)
		return;
	if (smx_buf_len(&u->early)) {
		take_frames(u, u->early.data + u->early.off, smx_buf_len(&u->early));
		smx_buf_release(&u->early);
	}
	if (!u->has_ended)
		(void)uv_read_start((uv_stream_t *)&u->pipe, on_alloc, on_read);
}

void uplink_pause(struct uplink *u)
{
	if (!u->has_ended)
		(void)uv_read_stop((uv_stream_t *)&u->pipe);
}

void uplink_open(struct uplink *u, uv_loop_t *loop, int fd, struct smx_view early)
{
	u->loop = loop;
	smx_frame_reader_init(&u->frames);
	smx_buf_init(&u->early, SMX_FRAME_MAX);
	(void)uv_pipe_init(loop, &u->pipe, 0);
	u->pipe.data = u;
	if (uv_pipe_open(&u->pipe, fd) != 0)
		uplink_end(u, SMX_ESYS);
	else if (smx_buf_put(&u->early, early.p, early.len) != 0)
		uplink_end(u, SMX_ENOMEM);
}

void uplink_release(struct uplink *u)
{
	smx_frame_reader_release(&u->frames);
	smx_buf_release(&u->early);
	smx_free(u->space);
	u->space = NULL;
}
