/* SPDX-License-Identifier: MIT */
/*
 * ssh-mux proxy NAME: a ProxyCommand. It carries the SSH client's byte stream to the daemon in
 * frames; what a login needs is asked where the user is (B5): see cli/uplink.h.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/uplink.h"
#include "config/names.h"
#include "os/os.h"

/* Bytes on their way to one side; over it, the other is not read. */
#define BACKLOG_MAX (1024 * 1024)
#define NOTICE_SIZE 1024
#define PIECES_MAX  16

struct proxy {
	struct uplink up;
	uv_loop_t loop;
	uv_pipe_t in, out; /* standard input and output */
	size_t to_out; /* bytes being written */
	uv_buf_t pieces[PIECES_MAX]; /* of what was read from the daemon, to be written */
	unsigned n_pieces;
	int r;
};

static void resume(struct proxy *p);

/* The last that the daemon sent is written first, if it can be. */
static void close_output(struct proxy *p)
{
	if (p->to_out == 0 && !uv_is_closing((uv_handle_t *)&p->out))
		uv_close((uv_handle_t *)&p->out, NULL);
}

static void on_written(void *arg, size_t len, int status)
{
	struct proxy *p = arg;

	p->to_out -= len;
	if (p->up.has_ended)
		close_output(p);
	else if (status < 0)
		uplink_end(&p->up, status == UV_EPIPE ? 0 : SMX_EEOF);
	else
		resume(p);
}

/* Writes the pieces that have come, while they are where they were read. */
static void on_taken(struct uplink *u)
{
	struct proxy *p = SMX_CONTAINER(u, struct proxy, up);
	size_t n = p->n_pieces;
	int64_t r;

	p->n_pieces = 0;
	if (n == 0)
		return;
	r = uplink_write((uv_stream_t *)&p->out, p->pieces, n, on_written, p);
	if (r < 0) {
		uplink_end(u, r == UV_EPIPE ? 0 : r == UV_ENOMEM ? SMX_ENOMEM : SMX_EEOF);
		return;
	}
	p->to_out += (size_t)r;
	if (p->to_out >= BACKLOG_MAX)
		uplink_pause(u);
}

static void on_data(struct uplink *u, struct smx_view bytes)
{
	struct proxy *p = SMX_CONTAINER(u, struct proxy, up);

	if (p->n_pieces == PIECES_MAX)
		on_taken(u);
	p->pieces[p->n_pieces++] = uv_buf_init((char *)(uintptr_t)bytes.p, (unsigned)bytes.len);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct proxy *p = h->data;
	uint8_t *space = uplink_space(&p->up);

	(void)suggested;
	*buf = uv_buf_init((char *)space, space ? UPLINK_READ : 0);
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct proxy *p = s->data;

	if (n < 0) {
		/* The SSH client is gone. The daemon hears it by the end of the connection. */
		uv_close((uv_handle_t *)&p->out, NULL);
		uplink_end(&p->up, n == UV_ENOBUFS ? SMX_ENOMEM : 0);
	} else if (n > 0) {
		uplink_send(&p->up, smx_view_of(buf->base, (size_t)n));
		resume(p);
	}
}

/* Reads from whom there is room for. */
static void resume(struct proxy *p)
{
	if (p->up.has_ended)
		return;
	if (p->up.n_sending < BACKLOG_MAX)
		(void)uv_read_start((uv_stream_t *)&p->in, on_alloc, on_input);
	else
		(void)uv_read_stop((uv_stream_t *)&p->in);
	if (p->to_out < BACKLOG_MAX)
		uplink_resume(&p->up);
	else
		uplink_pause(&p->up);
}

static void on_room(struct uplink *u)
{
	resume(SMX_CONTAINER(u, struct proxy, up));
}

/* U7: the daemon sends it where the session has a terminal; ours is that of ssh, which is raw then.
 */
static void on_notice(struct uplink *u, struct smx_view text)
{
	char clean[NOTICE_SIZE];

	(void)u;
	if (!smx_os_is_terminal(2))
		return;
	smx_sanitize((const char *)text.p, text.len, clean, sizeof(clean));
	(void)fprintf(stderr, "\r\nssh-mux: %s\r\n", clean);
}

static void on_ended(struct uplink *u, int r)
{
	struct proxy *p = SMX_CONTAINER(u, struct proxy, up);

	p->r = r;
	uv_close((uv_handle_t *)&p->in, NULL);
	close_output(p);
}

/* Streams until one side ends. Takes over fd, and the bytes behind the daemon's answer. */
static int stream(int fd, struct smx_view early)
{
	struct proxy *p = smx_calloc(1, sizeof(*p));
	int r;

	if (!p)
		return SMX_ENOMEM;
	if (uv_loop_init(&p->loop) != 0) {
		smx_free(p);
		return SMX_ESYS;
	}
	p->up.data = on_data;
	p->up.taken = on_taken;
	p->up.room = on_room;
	p->up.ended = on_ended;
	p->up.notice = on_notice;
	(void)uv_pipe_init(&p->loop, &p->in, 0);
	(void)uv_pipe_init(&p->loop, &p->out, 0);
	p->in.data = p->out.data = p;
	uplink_open(&p->up, &p->loop, fd, early);
	if (uv_pipe_open(&p->in, 0) != 0 || uv_pipe_open(&p->out, 1) != 0)
		uplink_end(&p->up, SMX_EINVAL);
	resume(p);
	(void)uv_run(&p->loop, UV_RUN_DEFAULT);
	r = p->r;
	(void)uv_loop_close(&p->loop);
	uplink_release(&p->up);
	smx_free(p);
	return r;
}

/* Files and devices like /dev/null can't be waited for, and libuv would end the process. */
static int can_stream(int fd)
{
	return uv_guess_handle(fd) != UV_FILE && uv_guess_handle(fd) != UV_UNKNOWN_HANDLE;
}

static int proxy(const char *route)
{
	const char *fault = smx_route_name_fault(smx_view_of(route, strlen(route)));
	struct smx_cli_client c;
	struct smx_view early;
	int code, r;

	if (fault)
		return smx_cli_fail(SMX_EXIT_USAGE, "for the names of routes, run: ssh-mux status",
			"proxy: the name %s %s", route, fault);
	if (!can_stream(0) || !can_stream(1))
		return smx_cli_fail(SMX_EXIT_USAGE, "use it as a ProxyCommand of ssh",
			"standard input and output must be pipes or sockets");
	if ((code = smx_cli_client_open_or_start(&c)) != 0)
		return code;
	if ((code = smx_cli_client_proxy(&c, route)) != 0) {
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
