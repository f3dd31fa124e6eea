/* SPDX-License-Identifier: MIT */
#include "cli/uplink.h"

#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"

#define IN_MAX (SMX_FRAME_HEAD + SMX_FRAME_MAX)

struct write {
	uv_write_t req;
	struct uplink *u;
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

static void on_written(uv_write_t *req, int status)
{
	struct write *w = SMX_CONTAINER(req, struct write, req);
	struct uplink *u = w->u;

	u->n_sending -= w->len;
	smx_wipe_free(w, sizeof(*w) + w->len); /* answers are sent, too */
	if (status < 0)
		uplink_end(u, SMX_EEOF);
	else if (!u->has_ended)
		u->room(u);
}

static void send_frame(struct uplink *u, struct smx_buf *frame, int r)
{
	size_t len = smx_buf_len(frame);
	struct write *w = NULL;
	uv_buf_t buf;

	if (r == 0 && !u->has_ended && !(w = smx_malloc(sizeof(*w) + len)))
		r = SMX_ENOMEM;
	if (w) {
		w->u = u;
		w->len = len;
		memcpy(w->bytes, smx_buf_view(frame), len);
		u->n_sending += len;
		buf = uv_buf_init((char *)w->bytes, (unsigned)len);
		if (uv_write(&w->req, (uv_stream_t *)&u->pipe, &buf, 1, on_written) != 0) {
			u->n_sending -= len;
			smx_wipe_free(w, sizeof(*w) + len);
			r = SMX_EEOF;
		}
	}
	smx_buf_release(frame);
	if (r != 0)
		uplink_end(u, r);
}

void uplink_send(struct uplink *u, struct smx_view bytes)
{
	struct smx_view none = { NULL, 0 };
	struct smx_buf frame;

	smx_buf_init(&frame, SMX_FRAME_HEAD + SMX_FRAME_MAX);
	send_frame(u, &frame, smx_frame_put(&frame, SMX_FRAME_DATA, bytes, none));
}

/* --- questions --- */

static void send_answer(struct uplink *u, uint8_t result, const char *text)
{
	struct smx_answer answer = { u->ask_id, result, smx_view_of(text, strlen(text)) };
	struct smx_buf frame;

	smx_buf_init_secret(&frame, UPLINK_ANSWER_SIZE + 64);
	send_frame(u, &frame, smx_answer_put(&frame, &answer));
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

static void take_frames(struct uplink *u)
{
	struct smx_view payload;
	uint8_t type;
	size_t used;
	int r;

	while (!u->has_ended) {
		r = smx_frame_next(smx_buf_as_view(&u->frames), &type, &payload, &used);
		if (r == SMX_EAGAIN)
			return;
		if (r != 0) {
			uplink_end(u, r);
			return;
		}
		on_frame(u, type, payload);
		smx_buf_consume(&u->frames, used);
	}
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct uplink *u = h->data;

	(void)suggested;
	*buf = uv_buf_init(u->chunk, sizeof(u->chunk));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct uplink *u = s->data;

	if (n < 0) {
		uplink_end(u, SMX_EEOF);
		return;
	}
	/* A chunk fits behind whatever is unfinished, but for the largest frames. */
	for (const char *from = buf->base; n > 0 && !u->has_ended;) {
		size_t room = IN_MAX - smx_buf_len(&u->frames),
		       part = (size_t)n < room ? (size_t)n : room;

		if (smx_buf_put(&u->frames, from, part) != 0)
			uplink_end(u, SMX_ENOMEM);
		from += part;
		n -= (ssize_t)part;
		take_frames(u);
	}
}

void uplink_resume(struct uplink *u)
{
	if (u->has_ended)
		return;
	take_frames(u); /* those that came with the answer */
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
	smx_buf_init(&u->frames, IN_MAX);
	(void)uv_pipe_init(loop, &u->pipe, 0);
	u->pipe.data = u;
	if (uv_pipe_open(&u->pipe, fd) != 0)
		uplink_end(u, SMX_ESYS);
	else if (smx_buf_put(&u->frames, early.p, early.len) != 0)
		uplink_end(u, SMX_ENOMEM);
}

void uplink_release(struct uplink *u)
{
	smx_buf_release(&u->frames);
}
