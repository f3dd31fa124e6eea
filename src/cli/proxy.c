/* SPDX-License-Identifier: MIT */
/*
 * ssh-mux proxy NAME: a ProxyCommand. It carries the SSH client's byte stream to the daemon in
 * frames, and asks what a login needs where the user is (B5): see control/frame.h and smx_os_asker.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "control/frame.h"
#include "os/os.h"

#define CHUNK       (64 * 1024 - 1)
#define IN_MAX      (SMX_FRAME_HEAD + SMX_FRAME_MAX)
#define ANSWER_SIZE 1024
/* Bytes on their way to one side; over it, the other is not read. */
#define BACKLOG_MAX (1024 * 1024)

struct proxy {
	uv_loop_t loop;
	uv_pipe_t in, out, daemon; /* standard input and output, and the daemon */
	size_t to_daemon, to_out; /* bytes being written */
	struct smx_buf frames; /* an unfinished one */
	char chunk[CHUNK];
	/* the question being asked */
	struct smx_os_asker *asker;
	uv_pipe_t *asker_pipe;
	uint32_t ask_id;
	char said[ANSWER_SIZE + 2];
	size_t n_said;
	int has_ended, r;
};

struct write {
	uv_write_t req;
	struct proxy *p;
	size_t *counter;
	size_t len;
	uint8_t bytes[];
};

static void stop_asking(struct proxy *p);

static void end(struct proxy *p, int r)
{
	if (p->has_ended)
		return;
	p->has_ended = 1;
	p->r = r;
	stop_asking(p);
	uv_close((uv_handle_t *)&p->in, NULL);
	uv_close((uv_handle_t *)&p->out, NULL);
	uv_close((uv_handle_t *)&p->daemon, NULL);
}

static void resume(struct proxy *p);

static void on_written(uv_write_t *req, int status)
{
	struct write *w = SMX_CONTAINER(req, struct write, req);
	struct proxy *p = w->p;

	*w->counter -= w->len;
	smx_wipe_free(w, sizeof(*w) + w->len);
	if (status < 0)
		end(p, status == UV_EPIPE ? 0 : SMX_EEOF);
	else
		resume(p);
}

static void send_bytes(struct proxy *p, uv_pipe_t *to, size_t *counter, struct smx_view bytes)
{
	struct write *w = smx_malloc(sizeof(*w) + bytes.len);
	uv_buf_t buf;

	if (!w) {
		end(p, SMX_ENOMEM);
		return;
	}
	w->p = p;
	w->counter = counter;
	w->len = bytes.len;
	memcpy(w->bytes, bytes.p, bytes.len);
	*counter += bytes.len;
	buf = uv_buf_init((char *)w->bytes, (unsigned)bytes.len);
	if (uv_write(&w->req, (uv_stream_t *)to, &buf, 1, on_written) != 0) {
		*counter -= bytes.len;
		smx_wipe_free(w, sizeof(*w) + bytes.len);
		end(p, SMX_EEOF);
	}
}

static void send_frame(struct proxy *p, struct smx_buf *frame, int r)
{
	if (r == 0)
		send_bytes(p, &p->daemon, &p->to_daemon, smx_buf_as_view(frame));
	else
		end(p, r);
	smx_buf_release(frame);
}

/* --- questions --- */

static void send_answer(struct proxy *p, uint8_t result, const char *text)
{
	struct smx_answer answer = { p->ask_id, result, smx_view_of(text, strlen(text)) };
	struct smx_buf frame;

	smx_buf_init_secret(&frame, ANSWER_SIZE + 64);
	send_frame(p, &frame, smx_answer_put(&frame, &answer));
}

static void free_handle(uv_handle_t *h)
{
	smx_free(h);
}

static void stop_asking(struct proxy *p)
{
	if (!p->asker)
		return;
	smx_os_asker_cancel(p->asker);
	p->asker = NULL;
	uv_close((uv_handle_t *)p->asker_pipe, free_handle);
	smx_wipe(p->said, sizeof(p->said));
}

static void on_asked(struct proxy *p)
{
	char answer[ANSWER_SIZE];
	int r = smx_os_asker_result(p->asker, p->said, p->n_said, answer, sizeof(answer));

	p->asker = NULL;
	uv_close((uv_handle_t *)p->asker_pipe, free_handle);
	smx_wipe(p->said, sizeof(p->said));
	if (r == 0)
		send_answer(p, SMX_ANSWER_OK, answer);
	else
		send_answer(p, r == SMX_ENOTFOUND ? SMX_ANSWER_NOBODY : SMX_ANSWER_CANCELLED, "");
	smx_wipe(answer, sizeof(answer));
}

static void on_said_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct proxy *p = h->data;

	(void)suggested;
	/* One byte too many is kept, so that the result can say it. */
	*buf = uv_buf_init(p->said + p->n_said, (unsigned)(sizeof(p->said) - p->n_said));
}

static void on_said(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct proxy *p = s->data;

	(void)buf;
	if (n > 0)
		p->n_said += (size_t)n;
	if (n < 0)
		on_asked(p);
}

static void on_ask(struct proxy *p, const struct smx_ask *ask)
{
	char *text;
	int r;

	stop_asking(p);
	p->ask_id = ask->id;
	p->n_said = 0;
	if (!(text = smx_strndup((const char *)ask->text.p, ask->text.len))) {
		end(p, SMX_ENOMEM);
		return;
	}
	r = smx_os_asker_start(text, (ask->flags & SMX_ASK_ECHO) != 0,
		(ask->flags & SMX_ASK_CONFIRM) != 0, &p->asker);
	smx_free(text);
	if (r != 0) {
		p->asker = NULL;
		send_answer(p, SMX_ANSWER_NOBODY, "");
		return;
	}
	if (!(p->asker_pipe = smx_calloc(1, sizeof(*p->asker_pipe)))) {
		smx_os_asker_cancel(p->asker);
		p->asker = NULL;
		end(p, SMX_ENOMEM);
		return;
	}
	(void)uv_pipe_init(&p->loop, p->asker_pipe, 0);
	p->asker_pipe->data = p;
	if (uv_pipe_open(p->asker_pipe, smx_os_asker_take_fd(p->asker)) != 0 ||
		uv_read_start((uv_stream_t *)p->asker_pipe, on_said_alloc, on_said) != 0)
		end(p, SMX_ESYS);
}

/* --- streams --- */

static void on_frame(struct proxy *p, uint8_t type, struct smx_view payload)
{
	struct smx_ask ask;
	uint32_t id;
	int r = 0;

	switch (type) {
	case SMX_FRAME_DATA:
		send_bytes(p, &p->out, &p->to_out, payload);
		break;
	case SMX_FRAME_END:
		end(p, 0);
		break;
	case SMX_FRAME_ASK:
		if ((r = smx_ask_parse(payload, &ask)) == 0)
			on_ask(p, &ask);
		break;
	case SMX_FRAME_UNASK:
		if ((r = smx_unask_parse(payload, &id)) == 0 && id == p->ask_id)
			stop_asking(p);
		break;
	default:
		r = type >= SMX_FRAME_OPTIONAL ? 0 : SMX_EFORMAT;
	}
	if (r != 0)
		end(p, r);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct proxy *p = h->data;

	(void)suggested;
	*buf = uv_buf_init(p->chunk, sizeof(p->chunk));
}

static void take_frames(struct proxy *p)
{
	struct smx_view payload;
	uint8_t type;
	size_t used;
	int r;

	while (!p->has_ended) {
		r = smx_frame_next(smx_buf_as_view(&p->frames), &type, &payload, &used);
		if (r == SMX_EAGAIN)
			return;
		if (r != 0) {
			end(p, r);
			return;
		}
		on_frame(p, type, payload);
		smx_buf_consume(&p->frames, used);
	}
}

static void on_daemon(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct proxy *p = s->data;

	if (n < 0) {
		end(p, SMX_EEOF);
		return;
	}
	/* CHUNK fits behind whatever is unfinished, but for the largest frames. */
	for (const char *from = buf->base; n > 0 && !p->has_ended;) {
		size_t room = IN_MAX - smx_buf_len(&p->frames),
		       part = (size_t)n < room ? (size_t)n : room;

		if (smx_buf_put(&p->frames, from, part) != 0)
			end(p, SMX_ENOMEM);
		from += part;
		n -= (ssize_t)part;
		take_frames(p);
	}
	resume(p);
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct proxy *p = s->data;
	struct smx_view none = { NULL, 0 };
	struct smx_buf frame;

	if (n < 0) {
		/* The SSH client is gone. The daemon hears it by the end of the connection. */
		end(p, 0);
	} else if (n > 0) {
		smx_buf_init(&frame, SMX_FRAME_HEAD + SMX_FRAME_MAX);
		send_frame(p, &frame,
			smx_frame_put(
				&frame, SMX_FRAME_DATA, smx_view_of(buf->base, (size_t)n), none));
		resume(p);
	}
}

/* Reads from whom there is room for. */
static void resume(struct proxy *p)
{
	if (p->has_ended)
		return;
	if (p->to_daemon < BACKLOG_MAX)
		(void)uv_read_start((uv_stream_t *)&p->in, on_alloc, on_input);
	else
		(void)uv_read_stop((uv_stream_t *)&p->in);
	if (p->to_out < BACKLOG_MAX)
		(void)uv_read_start((uv_stream_t *)&p->daemon, on_alloc, on_daemon);
	else
		(void)uv_read_stop((uv_stream_t *)&p->daemon);
}

/* Streams until one side ends. Takes over fd, and the bytes behind the daemon's answer. */
static int stream(int fd, struct smx_view early)
{
	struct proxy *p = smx_calloc(1, sizeof(*p));
	int r;

	if (!p)
		return SMX_ENOMEM;
	smx_buf_init(&p->frames, IN_MAX);
	if (uv_loop_init(&p->loop) != 0) {
		smx_free(p);
		return SMX_ESYS;
	}
	(void)uv_pipe_init(&p->loop, &p->in, 0);
	(void)uv_pipe_init(&p->loop, &p->out, 0);
	(void)uv_pipe_init(&p->loop, &p->daemon, 0);
	p->in.data = p->out.data = p->daemon.data = p;
	if (uv_pipe_open(&p->in, 0) != 0 || uv_pipe_open(&p->out, 1) != 0 ||
		uv_pipe_open(&p->daemon, fd) != 0)
		end(p, SMX_EINVAL);
	if (smx_buf_put(&p->frames, early.p, early.len) != 0)
		end(p, SMX_ENOMEM);
	take_frames(p);
	resume(p);
	(void)uv_run(&p->loop, UV_RUN_DEFAULT);
	r = p->r;
	(void)uv_loop_close(&p->loop);
	smx_buf_release(&p->frames);
	smx_free(p);
	return r;
}

static int proxy(const char *route)
{
	struct smx_cli_client c;
	struct smx_view early;
	int code, r;

	if ((code = smx_cli_client_open(&c)) != 0)
		return code;
	if ((code = smx_cli_client_upgrade(&c, route)) != 0) {
		smx_cli_client_close(&c);
		return code;
	}
	smx_os_ignore_sigpipe();
	early = smx_buf_as_view(&c.in);
	r = stream(c.fd, early);
	c.fd = -1; /* the loop has closed it */
	smx_cli_client_close(&c);
	if (r == 0)
		return SMX_EXIT_OK;
	if (r == SMX_EINVAL)
		return smx_cli_fail(SMX_EXIT_USAGE, "use it as a ProxyCommand of ssh",
			"standard input and output must be pipes or sockets");
	return smx_cli_fail(r == SMX_EEOF ? SMX_EXIT_UNAVAILABLE : smx_cli_exit_code(r),
		"look into the daemon's log", "the connection to the daemon broke off: %s",
		smx_strerror(r));
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { SMX_CLI_COMMON_OPTIONS };
	int r;

	if (smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_proxy, &r) == -2)
		return r;
	if (optind + 1 != argc)
		return smx_cli_fail(SMX_EXIT_USAGE, "see ssh-mux proxy --help",
			"proxy takes the name of a route");
	return proxy(argv[optind]);
}

const struct smx_command smx_cmd_proxy = {
	.name = "proxy",
	.summary = "a ProxyCommand that asks where you are",
	.usage = "usage: ssh-mux proxy NAME\n"
		 "\n"
		 "Carries an SSH client to the daemon's local server, to route NAME. What the\n"
		 "login needs (a one-time code, a password) is asked at your terminal, or by\n"
		 "the SSH_ASKPASS of your environment. For ssh_config:\n"
		 "\n"
		 "  Host web\n"
		 "      ProxyCommand ssh-mux proxy web\n"
		 "      HostKeyAlias ssh-mux\n"
		 "\n"
		 "  -h, --help     this text\n"
		 "  -V, --version  the version\n",
	.run = run,
};
