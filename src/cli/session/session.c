/* SPDX-License-Identifier: MIT */
#include "cli/session/session.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/session/escape.h"
#include "cli/session/uplink.h"
#include "os/ipc.h"
#include "os/process.h"
#include "os/start.h"
#include "os/terminal.h"
#include "ssh/auth_client.h"
#include "ssh/conn.h"

#define WINDOW      (2u * 1024 * 1024) /* of what the remote may send and we have not written */
#define GRANT_MIN   (64u * 1024)
#define CHUNK       32768
#define OUT_MAX     (256 * 1024) /* on its way to the daemon: more is not read from the input */
#define TEXT_SIZE   512
#define REQUEST_MAX (200 * 1024)
#define POOL_BLOCKS 4
#define STDERR_CODE 1 /* RFC 4254 section 5.2 */
#define SIGNAL_BASE 128
#define EXIT_MAX    255

struct session;

/* A standard stream that the remote writes to. One write at a time, on a worker thread. */
struct output {
	struct session *s;
	uv_work_t work;
	int fd, is_busy, r;
	struct smx_buf waiting, writing;
};

struct input {
	uv_work_t work;
	struct smx_os_input *os;
	int is_busy, r, has_ended;
	size_t n_typed; /* with `typed` and r, the worker's while it is busy */
	char typed[CHUNK];
	size_t n, at; /* of `bytes`: how many, and how many of them are sent */
	char bytes[CHUNK + 1]; /* after the escapes */
	enum smx_escape_state escape;
};

struct session {
	const struct smx_session_options *opts;
	struct uplink up;
	uv_loop_t loop;
	uv_signal_t winch;
	struct smx_pool pool;
	struct smx_transport *t;
	struct smx_conn conn;
	struct smx_auth_client auth;
	struct smx_chan *chan; /* NULL before and after */
	struct output out, err;
	struct input in;
	size_t n_ours; /* bytes of notices that are not written yet */
	uint32_t ungranted; /* written, and not granted again yet */
	unsigned n_replies; /* that have come: of pty-req, if there is one, then of the command */
	int has_opened, has_pty, is_running, is_over;
	int code; /* -1: none came */
};

static void fail(struct session *s, const char *fmt, ...) SMX_PRINTF(2, 3);
static void pump(struct session *s);

/* --- the end --- */

static void finish(struct session *s)
{
	if (s->is_over)
		return;
	s->is_over = 1;
	if (s->in.is_busy)
		smx_os_input_cancel(s->in.os);
	uv_close((uv_handle_t *)&s->winch, NULL);
	uplink_end(&s->up, 0);
}

/* Says it once, in words fit for a terminal, on a line of its own. */
static void fail(struct session *s, const char *fmt, ...)
{
	char text[TEXT_SIZE], clean[TEXT_SIZE];
	va_list ap;

	if (s->is_over)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	smx_sanitize(text, strlen(text), clean, sizeof(clean));
	smx_os_terminal_restore();
	(void)smx_cli_fail(SMX_EXIT_UNAVAILABLE, NULL, "%s: %s", s->opts->name, clean);
	/* Also where an exit code came: what the command printed may be incomplete. */
	s->code = SMX_SESSION_FAILED;
	finish(s);
}

static void check(struct session *s, int r)
{
	const char *reason = s->t ? smx_transport_reason(s->t) : "";

	if (r != 0)
		fail(s, "%s%s%s", smx_strerror(r), *reason ? ": " : "", reason);
}

/* --- output --- */

static void write_waiting(struct output *o);

static void output_run(uv_work_t *work)
{
	struct output *o = SMX_CONTAINER(work, struct output, work);

	o->r = smx_os_output_write(o->fd, smx_buf_view(&o->writing), smx_buf_len(&o->writing));
}

static void grant(struct session *s, size_t n)
{
	size_t ours = n < s->n_ours ? n : s->n_ours;

	/* A notice came through no window. */
	s->n_ours -= ours;
	n -= ours;
	s->ungranted += (uint32_t)n;
	if (!s->chan || s->ungranted < GRANT_MIN)
		return;
	check(s, smx_conn_grant(&s->conn, s->chan, s->ungranted));
	s->ungranted = 0;
}

static void output_done(uv_work_t *work, int status)
{
	struct output *o = SMX_CONTAINER(work, struct output, work);
	struct session *s = o->s;
	static const struct smx_view none = { NULL, 0 };

	o->is_busy = 0;
	if (status == 0 && o->r == SMX_ESYS && o->fd >= 0) {
		o->fd = -1;
		fail(s, "cannot write to the standard %s", o == &s->out ? "output" : "error");
	} else if (status == 0 && o->r != 0 && o->fd >= 0) {
		/* Nobody reads it: what still comes is dropped, and the remote is told. */
		if (o == &s->out && s->chan && !s->chan->close_sent)
			check(s, smx_conn_send_request(
					 &s->conn, s->chan, "eow@openssh.com", 0, none));
		o->fd = -1;
	}
	grant(s, smx_buf_len(&o->writing));
	smx_buf_reset(&o->writing);
	write_waiting(o);
	pump(s);
}

static void write_waiting(struct output *o)
{
	struct smx_buf swap = o->writing;
	size_t n = smx_buf_len(&o->waiting);

	if (o->is_busy || n == 0)
		return;
	if (o->fd < 0) {
		smx_buf_reset(&o->waiting);
		grant(o->s, n);
		return;
	}
	o->writing = o->waiting;
	o->waiting = swap;
	if (uv_queue_work(&o->s->loop, &o->work, output_run, output_done) == 0) {
		o->is_busy = 1;
		return;
	}
	smx_buf_reset(&o->writing);
	check(o->s, SMX_ESYS);
}

/*
 * U7, A12: what the daemon has to say, on a line of its own. Once it runs, only where the session
 * has a terminal: a program that reads the standard error of a command finds nothing of ours in it.
 */
static void on_notice(struct uplink *u, struct smx_view text)
{
	struct session *s = SMX_CONTAINER(u, struct session, up);
	char line[UPLINK_NOTICE_SIZE];

	if (s->err.fd < 0)
		return;
	/* While it waits for the login there is no program yet. */
	if (!s->has_opened) {
		uplink_print_notice(u, text); /* before a question that may come behind it */
		return;
	}
	if (!s->has_pty || !smx_os_is_terminal(s->err.fd))
		return;
	uplink_notice_line(u, text, line, sizeof(line));
	s->n_ours += strlen(line);
	check(s, smx_buf_put(&s->err.waiting, line, strlen(line)));
	write_waiting(&s->err);
}

static void on_output(struct session *s, const struct smx_conn_event *ev)
{
	struct output *o = ev->code == STDERR_CODE ? &s->err : &s->out;

	if (ev->code > STDERR_CODE) {
		grant(s, ev->data.len); /* of a kind that nobody knows */
		return;
	}
	check(s, smx_buf_put(&o->waiting, ev->data.p, ev->data.len));
	write_waiting(o);
}

/* --- input --- */

static void input_run(uv_work_t *work)
{
	struct input *in = SMX_CONTAINER(work, struct input, work);

	in->r = smx_os_input_read(in->os, in->typed, sizeof(in->typed), &in->n_typed);
}

static void input_done(uv_work_t *work, int status)
{
	struct input *in = SMX_CONTAINER(work, struct input, work);
	struct session *s = SMX_CONTAINER(in, struct session, in);

	in->is_busy = 0;
	in->n = in->at = 0;
	if (status != 0 || in->r != 0) {
		in->has_ended = 1;
	} else if (!s->has_pty || !smx_os_is_terminal(0)) {
		memcpy(in->bytes, in->typed, in->n_typed);
		in->n = in->n_typed;
	} else if (smx_escape_take(&in->escape, in->typed, in->n_typed, in->bytes, &in->n)) {
		smx_os_terminal_restore();
		fail(s, "ended by ~.");
	}
	pump(s);
}

/* Sends what was read as far as it may go, and reads on when it is gone. */
static void feed(struct session *s)
{
	struct input *in = &s->in;
	struct smx_chan *chan = s->chan;
	size_t n;

	while (!s->is_over && chan && s->is_running && in->at < in->n && !chan->close_sent) {
		n = in->n - in->at;
		n = n < chan->send_window ? n : chan->send_window;
		n = n < chan->send_packet ? n : chan->send_packet;
		if (n == 0 || !smx_transport_can_send(s->t) || s->up.n_sending > OUT_MAX)
			return;
		check(s, smx_conn_send_data(&s->conn, chan, 0, smx_view_of(in->bytes + in->at, n)));
		in->at += n;
	}
	if (s->is_over || !chan || !s->is_running || in->is_busy)
		return;
	if (in->has_ended) {
		check(s, smx_conn_send_eof(&s->conn, chan)); /* once: it knows */
	} else if (uv_queue_work(&s->loop, &in->work, input_run, input_done) == 0) {
		in->is_busy = 1;
	} else {
		check(s, SMX_ESYS);
	}
}

/* --- requests --- */

static int put_size(struct smx_buf *b)
{
	struct smx_os_terminal_size z = { 0, 0, 0, 0 };
	int r;

	(void)smx_os_terminal_size(0, &z);
	(void)((r = smx_put_u32(b, z.columns)) != 0 || (r = smx_put_u32(b, z.rows)) != 0 ||
		(r = smx_put_u32(b, z.width)) != 0 || (r = smx_put_u32(b, z.height)) != 0);
	return r;
}

static int send_pty(struct session *s)
{
	const char *term = smx_os_getenv("TERM");
	struct smx_buf b;
	size_t mark;
	int r;

	smx_buf_init(&b, REQUEST_MAX);
	if ((r = smx_put_cstr(&b, term ? term : "dumb")) == 0 && (r = put_size(&b)) == 0 &&
		(r = smx_put_string_begin(&b, &mark)) == 0) {
		r = smx_os_terminal_modes(0, &b);
		if (r == SMX_ENOTFOUND)
			r = smx_put_u8(&b, 0); /* none, and their end */
		smx_put_string_end(&b, mark);
	}
	if (r == 0)
		r = smx_conn_send_request(&s->conn, s->chan, "pty-req", 1, smx_buf_as_view(&b));
	smx_buf_release(&b);
	return r;
}

/* What ssh is mostly told to send. The daemon lets no more than a list of names pass (L8). */
static int send_env(struct session *s)
{
	static const char *const names[] = { "LANG", "LC_ALL", "LC_CTYPE", "LC_COLLATE",
		"LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME", "COLORTERM", "NO_COLOR",
		"GIT_PROTOCOL" };
	struct smx_buf b;
	int r = 0;

	smx_buf_init(&b, REQUEST_MAX);
	for (size_t i = 0; i < SMX_ARRAY_LEN(names) && r == 0; i++) {
		const char *value = smx_os_getenv(names[i]);

		if (!value || strlen(value) > TEXT_SIZE)
			continue;
		smx_buf_reset(&b);
		if ((r = smx_put_cstr(&b, names[i])) == 0 && (r = smx_put_cstr(&b, value)) == 0)
			r = smx_conn_send_request(&s->conn, s->chan, "env", 0, smx_buf_as_view(&b));
	}
	smx_buf_release(&b);
	return r;
}

static int send_command(struct session *s)
{
	const char *command = s->opts->command;
	struct smx_view none = { NULL, 0 };
	struct smx_buf b;
	int r;

	if (!command)
		return smx_conn_send_request(&s->conn, s->chan, "shell", 1, none);
	smx_buf_init(&b, REQUEST_MAX);
	if ((r = smx_put_cstr(&b, command)) == 0)
		r = smx_conn_send_request(&s->conn, s->chan, "exec", 1, smx_buf_as_view(&b));
	smx_buf_release(&b);
	return r;
}

/* All at once; the answers come in order. */
static void on_opened(struct session *s)
{
	int r = 0;

	if (s->opts->wants_pty)
		r = send_pty(s);
	if (r == 0 && (r = send_env(s)) == 0)
		r = send_command(s);
	if (r == SMX_ELIMIT || r == SMX_ETOOBIG)
		fail(s, "the command is too long");
	else
		check(s, r);
}

static void on_reply(struct session *s, int success)
{
	if (s->opts->wants_pty && s->n_replies++ == 0) {
		s->has_pty = success;
		if (!success)
			smx_cli_warn("%s: the remote gives no terminal", s->opts->name);
		return;
	}
	if (!success) {
		fail(s, "the remote refuses to run %s", s->opts->command ? "that" : "a shell");
		return;
	}
	s->is_running = 1;
	/* From here on the terminal is the remote's: nothing may be asked there any more. */
	s->up.may_not_ask = 1;
	if (s->has_pty && smx_os_is_terminal(0))
		(void)smx_os_terminal_raw(0);
}

static void on_winch(uv_signal_t *handle, int signum)
{
	struct session *s = handle->data;
	struct smx_buf b;

	(void)signum;
	if (!s->chan || s->chan->state != SMX_CHAN_OPEN || s->chan->close_sent || !s->has_pty)
		return;
	smx_buf_init(&b, TEXT_SIZE);
	if (put_size(&b) == 0)
		check(s, smx_conn_send_request(
				 &s->conn, s->chan, "window-change", 0, smx_buf_as_view(&b)));
	smx_buf_release(&b);
	pump(s);
}

/* --- how it ended --- */

/* Numbers that shells give for these names (RFC 4254 section 6.10), on any system. */
static int signal_number(struct smx_view name)
{
	static const struct {
		const char *name;
		int number;
	} known[] = { { "HUP", 1 }, { "INT", 2 }, { "QUIT", 3 }, { "ILL", 4 }, { "TRAP", 5 },
		{ "ABRT", 6 }, { "BUS", 7 }, { "FPE", 8 }, { "KILL", 9 }, { "USR1", 10 },
		{ "SEGV", 11 }, { "USR2", 12 }, { "PIPE", 13 }, { "ALRM", 14 }, { "TERM", 15 } };

	for (size_t i = 0; i < SMX_ARRAY_LEN(known); i++)
		if (smx_view_eq(name, known[i].name))
			return known[i].number;
	return EXIT_MAX - SIGNAL_BASE;
}

static void on_request(struct session *s, struct smx_conn_event *ev)
{
	struct smx_rd rd = smx_rd_view(ev->data);
	struct smx_view name;
	uint32_t status;

	/* The first that is no success: a lost connection takes a success back. */
	if (smx_view_eq(ev->kind, "exit-status") && s->code <= 0) {
		if (smx_rd_u32(&rd, &status) == 0 && smx_rd_end(&rd) == 0)
			/* What does not fit is no success for that. */
			s->code = status > EXIT_MAX ? EXIT_MAX : (int)status;
	} else if (smx_view_eq(ev->kind, "exit-signal") && s->code <= 0) {
		if (smx_rd_string(&rd, &name) == 0)
			s->code = SIGNAL_BASE + signal_number(name);
	}
	if (ev->want_reply)
		check(s, smx_conn_send_reply(&s->conn, s->chan, 0));
}

static void on_open_failed(struct session *s, const struct smx_conn_event *ev)
{
	s->chan = NULL;
	fail(s, "%.*s", (int)(ev->data.len < TEXT_SIZE ? ev->data.len : TEXT_SIZE),
		(const char *)ev->data.p);
}

/* --- the SSH engine --- */

static void on_conn_message(struct session *s, struct smx_view payload)
{
	struct smx_conn_event ev;
	int r = smx_conn_handle(&s->conn, payload, &ev);

	if (r != 0) {
		check(s, r);
		return;
	}
	switch (ev.type) {
	case SMX_CONN_OPEN:
		check(s, smx_conn_open_fail(&s->conn, ev.chan, SMX_OPEN_ADMINISTRATIVELY_PROHIBITED,
				 "not wanted here"));
		return;
	case SMX_CONN_OPEN_CONFIRM:
		s->has_opened = 1;
		on_opened(s);
		break;
	case SMX_CONN_OPEN_FAIL:
		on_open_failed(s, &ev);
		break;
	case SMX_CONN_DATA:
		on_output(s, &ev);
		break;
	case SMX_CONN_REPLY:
		on_reply(s, ev.success);
		break;
	case SMX_CONN_REQUEST:
		on_request(s, &ev);
		break;
	case SMX_CONN_CLOSE:
		s->chan = NULL;
		break;
	default:
		break;
	}
	check(s, smx_conn_done(&s->conn, &ev));
}

static void on_auth_message(struct session *s, struct smx_view payload)
{
	static const char kind[] = "session";
	struct smx_view none = { NULL, 0 };
	struct smx_auth_event ev;
	int r = smx_auth_client_handle(&s->auth, payload, &ev);

	if (r != 0)
		check(s, r);
	else if (ev.type == SMX_AUTH_EV_CHOOSE)
		fail(s, "the daemon wants a key from this program; restart it, if it is older");
	else if (ev.type == SMX_AUTH_EV_DONE)
		check(s, smx_conn_open(&s->conn, smx_view_of(kind, sizeof(kind) - 1), none, WINDOW,
				 &s->chan));
}

static void on_host_key(struct session *s, struct smx_view blob)
{
	int is_right = smx_view_eq_view(blob, s->opts->host_key);

	smx_transport_host_key_decided(s->t, is_right ? 0 : SMX_EHOSTKEY);
	if (!is_right)
		fail(s, "the daemon's host key is not the one of ssh-mux-host-key.pub");
}

static void process(struct session *s)
{
	struct smx_event ev;
	int r = 0;

	while (!s->is_over && (r = smx_transport_next(s->t, &ev)) == 0) {
		switch (ev.type) {
		case SMX_EV_PACKET:
			if (ev.payload.p[0] >= SMX_MSG_GLOBAL_REQUEST)
				on_conn_message(s, ev.payload);
			else
				on_auth_message(s, ev.payload);
			break;
		case SMX_EV_HOST_KEY:
			on_host_key(s, ev.payload);
			break;
		case SMX_EV_WORK:
			smx_work_run(ev.work); /* nobody else waits */
			smx_transport_work_done(s->t, ev.work);
			break;
		case SMX_EV_READY:
			check(s, smx_auth_client_begin(&s->auth));
			break;
		case SMX_EV_PONG:
			break;
		}
	}
	if (!s->is_over && r != SMX_EAGAIN)
		check(s, r);
}

static void on_data(struct uplink *u, struct smx_view bytes)
{
	struct session *s = SMX_CONTAINER(u, struct session, up);
	uint8_t *p;
	size_t n;

	while (bytes.len && !s->is_over) {
		if (smx_transport_rx_space(s->t, &p, &n) != 0 || n == 0) {
			check(s, SMX_ENOMEM);
			return;
		}
		n = n < bytes.len ? n : bytes.len;
		memcpy(p, bytes.p, n);
		smx_transport_rx_commit(s->t, n);
		bytes.p += n;
		bytes.len -= n;
		process(s);
	}
}

static void on_taken(struct uplink *u)
{
	pump(SMX_CONTAINER(u, struct session, up));
}

/* What is sealed goes out. */
static void transmit(struct session *s)
{
	struct smx_tx_block *list = smx_transport_tx_take(s->t);

	for (struct smx_tx_block *b = list; b && !s->up.has_ended; b = b->next)
		uplink_send(&s->up, (struct smx_view){ b->data, b->len });
	smx_transport_tx_free(s->t, list);
}

/* Ends every callback: what became possible is done. */
static void pump(struct session *s)
{
	if (!s->is_over)
		feed(s);
	transmit(s);
	/* The channel is gone, and all it said is written. */
	if (!s->is_over && s->has_opened && !s->chan && !s->out.is_busy && !s->err.is_busy) {
		if (s->code < 0) {
			fail(s, "the session ended without an exit code");
			return;
		}
		finish(s);
	}
}

static void on_room(struct uplink *u)
{
	pump(SMX_CONTAINER(u, struct session, up));
}

static void on_uplink_ended(struct uplink *u, int r)
{
	struct session *s = SMX_CONTAINER(u, struct session, up);

	(void)r;
	if (s->is_over)
		return;
	if (s->has_opened && !s->chan)
		return; /* the rest is written first */
	fail(s, "the daemon ended the connection; see its log");
}

/* --- life --- */

static int start_engine(struct session *s)
{
	/* What costs least on one machine; the daemon takes them all. */
	struct smx_transport_config config = {
		.role = SMX_CLIENT,
		.pool = &s->pool,
		.software = "OpenSSH_ssh-mux_" SMX_VERSION,
		.kex = "ecdh-sha2-nistp256,curve25519-sha256",
		.ciphers = "aes128-gcm@openssh.com,aes256-gcm@openssh.com",
	};
	int r;

	if ((r = smx_transport_new(&s->t, &config, uv_now(&s->loop))) != 0)
		return r;
	smx_conn_init(&s->conn, s->t);
	return smx_auth_client_init(&s->auth, s->t, s->opts->user);
}

static void output_init(struct session *s, struct output *o, int fd)
{
	o->s = s;
	o->fd = fd;
	smx_buf_init(&o->waiting, WINDOW);
	smx_buf_init(&o->writing, WINDOW);
}

static void output_release(struct output *o)
{
	smx_buf_release(&o->waiting);
	smx_buf_release(&o->writing);
}

static int run(struct session *s, int fd, struct smx_view early)
{
	int r;

	s->up.data = on_data;
	s->up.taken = on_taken;
	s->up.room = on_room;
	s->up.ended = on_uplink_ended;
	s->up.notice = on_notice;
	(void)uv_signal_init(&s->loop, &s->winch);
	s->winch.data = s;
	uplink_open(&s->up, &s->loop, fd, early);
	if ((r = start_engine(s)) == 0 && (r = smx_os_input_new(0, &s->in.os)) == 0 &&
		uv_signal_start(&s->winch, on_winch, SIGWINCH) != 0)
		r = SMX_ESYS;
	check(s, r);
	if (r == 0) {
		transmit(s);
		uplink_resume(&s->up);
	}
	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	return s->code < 0 ? SMX_SESSION_FAILED : s->code;
}

int smx_session_run(int fd, struct smx_view early, const struct smx_session_options *opts)
{
	struct session *s = smx_calloc(1, sizeof(*s));
	int code;

	if (!s || uv_loop_init(&s->loop) != 0) {
		smx_free(s);
		smx_os_ipc_close(fd);
		(void)smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
		return SMX_SESSION_FAILED;
	}
	s->opts = opts;
	s->code = -1;
	smx_pool_init(&s->pool, POOL_BLOCKS);
	output_init(s, &s->out, 1);
	output_init(s, &s->err, 2);
	smx_os_ignore_sigpipe();
	code = run(s, fd, early);
	smx_os_terminal_restore();
	(void)uv_loop_close(&s->loop);
	uplink_release(&s->up);
	smx_os_input_free(s->in.os);
	smx_conn_release(&s->conn);
	smx_auth_client_release(&s->auth);
	smx_transport_free(s->t);
	output_release(&s->out);
	output_release(&s->err);
	smx_pool_release(&s->pool);
	smx_free(s);
	return code;
}
