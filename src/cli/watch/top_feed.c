/* SPDX-License-Identifier: MIT */
#include "cli/watch/top.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/process.h"

#define CONNECT_TIMEOUT_MS 300 /* a daemon that is there takes no time at all */

void top_feed_init(struct top_feed *f, uv_loop_t *loop, const char *path)
{
	*f = (struct top_feed){ .loop = loop, .path = path, .next_id = 1 };
	smx_control_reader_init(&f->reader);
	smx_status_init(&f->st);
}

int top_feed_is_waiting(const struct top_feed *f)
{
	return f->pipe && (!f->has_hello || f->status_id || f->command_id);
}

static void note(struct top_feed *f, const char *text)
{
	smx_sanitize(text, strlen(text), f->note, sizeof(f->note));
}

static void on_closed(uv_handle_t *h)
{
	smx_free(h);
}

static void disconnect(struct top_feed *f)
{
	if (f->pipe)
		uv_close((uv_handle_t *)f->pipe, on_closed);
	f->pipe = NULL;
	f->has_hello = f->has_worked = f->wants_status = 0;
	f->status_id = f->command_id = 0;
	f->wants = SMX_CONTROL_UNKNOWN;
	smx_control_reader_release(&f->reader);
	smx_control_reader_init(&f->reader);
	smx_status_release(&f->st);
}

void top_feed_close(struct top_feed *f)
{
	disconnect(f);
	smx_control_reader_release(&f->reader);
}

static void away(struct top_feed *f, const char *why)
{
	disconnect(f);
	if (!f->is_away)
		f->away_ms = uv_now(f->loop);
	f->is_away = 1;
	note(f, why);
	f->changed(f);
}

/* The daemon hung up, or what it said makes no sense. */
static void lost(struct top_feed *f, int r)
{
	int has_worked = f->has_worked;

	disconnect(f);
	if (r != SMX_EEOF)
		away(f, "the daemon's answer can't be understood");
	else if (!has_worked)
		away(f, "the daemon closed the connection");
	else
		top_feed_ask(f); /* another one may be there already; if not, that says so */
}

/* ---- sending -----------------------------------------------------------------------------------
 */

/* Some hundred bytes at most are ever on their way: they fit into any socket. */
static int put_line(struct top_feed *f, struct smx_buf *line, int r)
{
	uv_buf_t buf;

	if (r == 0) {
		buf = uv_buf_init(
			(char *)(uintptr_t)smx_buf_view(line), (unsigned)smx_buf_len(line));
		if (uv_try_write((uv_stream_t *)f->pipe, &buf, 1) != (int)buf.len)
			r = SMX_EEOF;
	}
	smx_buf_release(line);
	return r;
}

static int request(struct top_feed *f, enum smx_control_cmd cmd, int64_t *ret_id)
{
	struct smx_buf line;
	int r;

	smx_buf_init(&line, SMX_CONTROL_LINE_MAX);
	r = put_line(f, &line, smx_control_request_build(&line, f->next_id, cmd));
	if (r == 0)
		*ret_id = f->next_id++;
	return r;
}

/* One question at a time; commands first. */
static void ask_next(struct top_feed *f)
{
	int r = 0;

	if (!f->pipe || !f->has_hello || f->status_id || f->command_id)
		return;
	if (f->wants != SMX_CONTROL_UNKNOWN) {
		r = request(f, f->wants, &f->command_id);
	} else if (f->wants_status) {
		f->wants_status = 0;
		smx_status_release(&f->st);
		r = request(f, SMX_CONTROL_STATUS, &f->status_id);
	}
	f->asked_ms = uv_now(f->loop);
	if (r != 0)
		away(f, "the daemon can't be asked");
}

/* ---- receiving ---------------------------------------------------------------------------------
 */

static int take_hello(struct top_feed *f, struct smx_view line)
{
	struct smx_control_hello ours = { .version = SMX_CONTROL_VERSION, .pid = smx_os_pid() },
				 theirs;
	struct smx_control_answer refusal;
	struct smx_buf out;
	int r, version;

	if ((r = smx_control_hello_parse(line, &theirs)) != 0) {
		/* It may say no in the place of a HELLO. */
		if (smx_control_answer_parse(line, &refusal) != 0 || refusal.ok)
			return r;
		away(f, refusal.error);
		return 0;
	}
	if ((r = smx_control_hello_agree(&theirs, &version)) != 0)
		return r;
	memcpy(ours.program, SMX_VERSION, sizeof(SMX_VERSION));
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	if ((r = put_line(f, &out, smx_control_hello_build(&out, &ours))) != 0)
		return r;
	f->has_hello = 1;
	return 0;
}

static void command_done(struct top_feed *f, const struct smx_control_answer *a)
{
	if (!a->ok)
		note(f, a->error);
	else
		note(f, f->wants == SMX_CONTROL_LOCK ? "locked" : "unlocked");
	f->command_id = 0;
	f->wants = SMX_CONTROL_UNKNOWN;
	f->wants_status = 1;
	f->changed(f);
}

static int take_line(struct top_feed *f, struct smx_view line)
{
	struct smx_control_answer a;
	struct smx_status st;
	int r;

	if (!f->has_hello)
		return take_hello(f, line);
	if ((r = smx_control_answer_parse(line, &a)) != 0)
		return r;
	if (f->command_id && a.id == f->command_id) {
		if (!a.more)
			command_done(f, &a);
		return 0;
	}
	if (!f->status_id || a.id != f->status_id)
		return SMX_EFORMAT;
	if (!a.ok) {
		f->status_id = 0;
		note(f, a.error);
		f->changed(f);
		return 0;
	}
	if ((r = smx_status_from_line(&f->st, line)) <= 0)
		return r;
	f->status_id = 0;
	f->is_away = 0;
	f->has_worked = 1;
	st = f->st;
	smx_status_init(&f->st);
	f->took(f, &st);
	smx_status_release(&st);
	return 0;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct top_feed *f = h->data;

	(void)suggested;
	*buf = uv_buf_init(f->in, sizeof(f->in));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct top_feed *f = s->data;
	const uint8_t *p = (const uint8_t *)buf->base;
	struct smx_view line;
	size_t used, left;
	int r = 0;

	if (n < 0) {
		lost(f, SMX_EEOF);
		return;
	}
	for (left = (size_t)n; left > 0; p += used, left -= used) {
		r = smx_control_reader_feed(&f->reader, p, left, &used, &line);
		if (r > 0)
			r = take_line(f, line);
		if (r != 0 || !f->pipe) /* what the line set off may have ended it */
			break;
	}
	if (!f->pipe)
		return;
	if (r < 0)
		lost(f, r);
	else
		ask_next(f);
}

/* ---- connecting --------------------------------------------------------------------------------
 */

static int connect_now(struct top_feed *f)
{
	struct smx_buf err;
	int fd, r;

	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	r = smx_os_ipc_connect(f->path, CONNECT_TIMEOUT_MS, &fd, &err);
	if (r == SMX_ENOTFOUND)
		away(f, "no daemon is running");
	else if (r != 0)
		away(f, smx_errtext(r, &err));
	smx_buf_release(&err);
	if (r != 0)
		return r;
	f->pipe = smx_malloc(sizeof(*f->pipe));
	if (!f->pipe) {
		smx_os_ipc_close(fd);
		away(f, "out of memory");
		return SMX_ENOMEM;
	}
	(void)uv_pipe_init(f->loop, f->pipe, 0);
	f->pipe->data = f;
	f->asked_ms = uv_now(f->loop);
	if ((r = uv_pipe_open(f->pipe, fd)) != 0)
		smx_os_ipc_close(fd);
	if (r != 0 || uv_read_start((uv_stream_t *)f->pipe, on_alloc, on_read) != 0) {
		away(f, "the daemon can't be asked");
		return SMX_ESYS;
	}
	return 0;
}

void top_feed_ask(struct top_feed *f)
{
	if (!f->pipe && connect_now(f) != 0)
		return;
	if (!f->status_id)
		f->wants_status = 1;
	ask_next(f);
}

void top_feed_command(struct top_feed *f, enum smx_control_cmd cmd)
{
	if (f->is_away || f->wants != SMX_CONTROL_UNKNOWN || (!f->pipe && connect_now(f) != 0))
		return;
	f->wants = cmd;
	ask_next(f);
}
