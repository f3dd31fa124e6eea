/* SPDX-License-Identifier: MIT */
/*
 * ssh-mux proxy NAME: a ProxyCommand. It carries the SSH client's byte stream to the daemon in
 * frames; what a login needs is asked where the user is (B5): see cli/session/uplink.h.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/session/uplink.h"
#include "config/names.h"
#include "os/process.h"
#include "os/terminal.h"

/* Bytes on their way to one side; over it, the other is not read. */
#define BACKLOG_MAX (1024 * 1024)
#define PIECES_MAX  16
#define PIPE_FULL   (64 * 1024) /* so much in one read: bulk, and more would have come */

struct proxy {
	struct uplink up;
	uv_loop_t loop;
	uv_pipe_t in, out; /* standard input and output */
	size_t to_out; /* bytes being written */
	uv_buf_t pieces[PIECES_MAX]; /* of what was read from the daemon, to be written */
	unsigned n_pieces;
	int has_wide_in, has_wide_out; /* B7: bulk has come through it */
	int r;
};

static void resume(struct proxy *p);

/* Once: each wake-up of the client, of the daemon and of ours then moves more. */
static void widen(int *is_wide, int fd)
{
	if (!*is_wide)
		smx_os_pipe_widen(fd);
	*is_wide = 1;
}

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
	if (r > 0)
		widen(&p->has_wide_out, 1);
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
		if (n >= PIPE_FULL)
			widen(&p->has_wide_in, 0);
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
	p->up.notice = uplink_print_notice;
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

static struct smx_view text_of(const char *s)
{
	return smx_view_of(s, strlen(s));
}

/* NAME [USER [HOST [PORT]]], as ssh has them: %n %r %h %p. An empty one is as none. */
static int take_words(char **words, int n, struct smx_control_target *to)
{
	const char *fault = smx_route_name_fault(text_of(words[0]));
	uint64_t port = 0;

	*to = (struct smx_control_target){ .route = words[0],
		.user = n > 1 && *words[1] ? words[1] : NULL,
		.host = n > 2 && *words[2] ? words[2] : NULL };
	if (fault)
		return smx_cli_fail(SMX_EXIT_USAGE, "for the names of routes, run: ssh-mux status",
			"proxy: the name %s %s", words[0], fault);
	/* What had to be cleaned on its way would be another name. */
	if (to->user && (fault = smx_user_fault(text_of(to->user))) != NULL)
		return smx_cli_fail(
			SMX_EXIT_USAGE, NULL, "proxy: the user name %s %s", to->user, fault);
	if (to->host && (fault = smx_host_fault(text_of(to->host))) != NULL)
		return smx_cli_fail(SMX_EXIT_USAGE, NULL, "proxy: the host %s %s", to->host, fault);
	if (n > 3 && *words[3] && smx_cli_parse_number(words[3], 1, 65535, &port) != 0)
		return smx_cli_fail(SMX_EXIT_USAGE, NULL, "proxy: %s is no port", words[3]);
	to->port = (uint32_t)port;
	return 0;
}

static int proxy(const struct smx_control_target *to, int is_batch)
{
	struct smx_cli_client c;
	struct smx_view early;
	int code, r;

	if (!can_stream(0) || !can_stream(1))
		return smx_cli_fail(SMX_EXIT_USAGE, "use it as a ProxyCommand of ssh",
			"standard input and output must be pipes or sockets");
	if ((code = smx_cli_client_open_or_start(&c)) != 0)
		return code;
	if ((code = smx_cli_client_proxy(&c, to, is_batch)) != 0) {
		smx_cli_client_close(&c);
		return code;
	}
	smx_os_ignore_sigpipe();
	/* W7: `ssh -f` outlives its terminal, and we end with ssh, by the end of its stream. */
	smx_os_ignore_hangup();
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
		"see the daemon's log", "the connection to the daemon broke off: %s",
		smx_strerror(r));
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { { "batch", no_argument, NULL, 'b' },
		SMX_CLI_COMMON_OPTIONS };
	struct smx_control_target to;
	int c, r, is_batch = 0, n;

	while ((c = smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_proxy, &r)) != -1) {
		if (c == -2)
			return r;
		is_batch = 1;
	}
	n = argc - optind;
	if (n < 1 || n > 4)
		return smx_cli_fail(SMX_EXIT_USAGE, "see ssh-mux proxy --help",
			"proxy takes the name of a route, and a user, a host and a port");
	if ((r = take_words(argv + optind, n, &to)) != 0)
		return r;
	return proxy(&to, is_batch || smx_cli_is_batch());
}

const struct smx_command smx_cmd_proxy = {
	.name = "proxy",
	.summary = "be the ProxyCommand of ssh, and ask where you are",
	.usage =
		"usage: ssh-mux proxy [--batch] NAME [USER [HOST [PORT]]]\n"
		"\n"
		"Carry an SSH client to the daemon's local server, to route NAME. What the\n"
		"login needs (a one-time code, a password) is asked at your terminal, or by\n"
		"the SSH_ASKPASS of your environment. For ssh_config, with the host, the port\n"
		"and the user of the route:\n"
		"\n"
		"  Host web\n"
		"      HostName 10.0.0.5\n"
		"      User deploy\n"
		"      ProxyCommand ssh-mux proxy web '%r' %h %p\n"
		"      HostKeyAlias ssh-mux\n"
		"\n"
		"Another USER or PORT than the route's (ssh root@web, ssh -p 2222 web) takes the\n"
		"route's path and logs in there; another HOST is refused. ssh must ask for the\n"
		"same user as its ProxyCommand. ssh is let in once the login is made, so ssh -f\n"
		"and ConnectTimeout mean what they mean without ssh-mux.\n"
		"\n"
		"      --batch    ask nothing, as BatchMode; automatic where ssh has BatchMode on\n"
		"                 its command line (Linux)\n"
		"  -h, --help     show this text\n"
		"  -V, --version  show the version\n",
	.run = run,
	.hears_secrets = 1,
};
