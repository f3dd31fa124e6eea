/* SPDX-License-Identifier: MIT */
/* Talking to the daemon (docs/PROTOCOL.md), blocking, with a time limit on every wait. */
#include "cli/cli.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/agent.h"
#include "os/ask.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/process.h"
#include "os/start.h"

#define CONNECT_TIMEOUT_MS 5000
#define ANSWER_TIMEOUT_MS  SMX_CONTROL_READ_TIMEOUT_MS
#define READ_CHUNK         4096

static int io_failed(int err)
{
	switch (err) {
	case SMX_EEOF:
		return smx_cli_fail(
			SMX_EXIT_UNAVAILABLE, "see its log", "the daemon closed the connection");
	case SMX_ETIMEOUT:
		return smx_cli_fail(
			SMX_EXIT_UNAVAILABLE, "see its log", "the daemon does not answer");
	case SMX_EFORMAT:
	case SMX_ETOOBIG:
		return smx_cli_fail(SMX_EXIT_PROTOCOL,
			"restart the daemon, it may be of another version",
			"the daemon's answer can't be understood");
	case SMX_ESYS:
		return smx_cli_fail(SMX_EXIT_IOERR, NULL, "cannot talk to the daemon");
	default:
		return smx_cli_fail(smx_cli_exit_code(err), NULL, "%s", smx_strerror(err));
	}
}

/* The next line, from what was read already or from the daemon. */
static int read_line(struct smx_cli_client *c, uint64_t deadline, struct smx_view *ret_line)
{
	size_t used = 0, n;
	uint64_t now;
	uint8_t *to;
	int r;

	for (;;) {
		if (smx_buf_len(&c->in) > 0) {
			r = smx_control_reader_feed(&c->reader, smx_buf_view(&c->in),
				smx_buf_len(&c->in), &used, ret_line);
			if (r < 0)
				return r;
			smx_buf_consume(&c->in, used);
			if (r > 0)
				return 0;
		}
		now = smx_os_monotonic_ms();
		if (now >= deadline)
			return SMX_ETIMEOUT;
		if ((r = smx_buf_reserve(&c->in, READ_CHUNK, &to)) != 0 ||
			(r = smx_os_ipc_read(c->fd, to, READ_CHUNK, (int)(deadline - now), &n)) !=
				0)
			return r;
		smx_buf_commit(&c->in, n);
	}
}

static int next_line(struct smx_cli_client *c, struct smx_view *ret_line)
{
	return read_line(c, smx_os_monotonic_ms() + ANSWER_TIMEOUT_MS, ret_line);
}

int smx_cli_client_refused(const struct smx_control_answer *a)
{
	enum smx_exit code = SMX_EXIT_UNAVAILABLE;

	if (strcmp(a->code, "unknown-command") == 0 || strcmp(a->code, "version") == 0 ||
		strcmp(a->code, "malformed") == 0)
		code = SMX_EXIT_PROTOCOL;
	else if (strcmp(a->code, "locked") == 0)
		code = SMX_EXIT_NOPERM;
	return smx_cli_fail(code, a->remedy[0] ? a->remedy : NULL, "%s",
		a->error[0] ? a->error : "the daemon refused");
}

static int exchange_hello(struct smx_cli_client *c)
{
	struct smx_control_hello ours = { .version = SMX_CONTROL_VERSION, .pid = smx_os_pid() };
	struct smx_control_answer refusal;
	struct smx_view line;
	struct smx_buf out;
	int r, version;

	if ((r = next_line(c, &line)) != 0)
		return io_failed(r);
	if ((r = smx_control_hello_parse(line, &c->hello)) != 0) {
		/* It may say no in the place of a HELLO. */
		if (smx_control_answer_parse(line, &refusal) == 0 && !refusal.ok)
			return smx_cli_client_refused(&refusal);
		return io_failed(r);
	}
	if (smx_control_hello_agree(&c->hello, &version) != 0)
		return smx_cli_fail(SMX_EXIT_PROTOCOL, "use the ssh-mux that started it",
			"the daemon (%s) is too new for this ssh-mux (%s)", c->hello.program,
			SMX_VERSION);
	memcpy(ours.program, SMX_VERSION, sizeof(SMX_VERSION));
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	if ((r = smx_control_hello_build(&out, &ours)) == 0)
		r = smx_os_ipc_write(
			c->fd, smx_buf_view(&out), smx_buf_len(&out), ANSWER_TIMEOUT_MS);
	smx_buf_release(&out);
	return r == 0 ? 0 : io_failed(r);
}

int smx_cli_paths(char **ret_ssh_dir, char **ret_path)
{
	struct smx_buf warning, err;
	char *ssh_dir = NULL;
	int r;

	smx_buf_init(&warning, 2 * SMX_OS_PATH_MAX);
	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	r = smx_os_ssh_dir(&ssh_dir, &warning, &err);
	if (smx_buf_len(&warning) > 0)
		smx_cli_warn("%s", smx_buf_cstr(&warning));
	if (r == 0)
		r = smx_os_control_path(ssh_dir, ret_path, &err);
	if (r == 0) {
		*ret_ssh_dir = ssh_dir;
	} else {
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_errtext(r, &err));
		smx_free(ssh_dir);
	}
	smx_buf_release(&warning);
	smx_buf_release(&err);
	return r;
}

/* is_absent_ok: then *ret_is_absent is set where no daemon runs, and nothing said. */
static int open_at(struct smx_cli_client *c, const char *path, int is_absent_ok, int *ret_is_absent)
{
	struct smx_buf err;
	int r;

	*c = (struct smx_cli_client){ .fd = -1, .next_id = 1 };
	*ret_is_absent = 0;
	smx_control_reader_init(&c->reader);
	smx_buf_init(&c->in, 2 * SMX_CONTROL_LINE_MAX);
	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	r = smx_os_ipc_connect(path, CONNECT_TIMEOUT_MS, &c->fd, &err);
	if (r == 0) {
		r = exchange_hello(c);
	} else if (r == SMX_ENOTFOUND && is_absent_ok) {
		*ret_is_absent = 1;
		r = SMX_EXIT_UNAVAILABLE;
	} else {
		r = smx_cli_fail(r == SMX_ENOTFOUND ? SMX_EXIT_UNAVAILABLE : smx_cli_exit_code(r),
			r == SMX_ENOTFOUND ? "start one: ssh-mux serve, or ssh-mux daemon" : NULL,
			"%s", smx_errtext(r, &err));
	}
	smx_buf_release(&err);
	if (r != 0)
		smx_cli_client_close(c);
	return r;
}

int smx_cli_client_try(struct smx_cli_client *c, const char *path, int *ret_is_absent)
{
	return open_at(c, path, 1, ret_is_absent);
}

int smx_cli_client_open(struct smx_cli_client *c)
{
	char *ssh_dir, *path;
	int is_absent, r;

	if ((r = smx_cli_paths(&ssh_dir, &path)) != 0)
		return r;
	r = open_at(c, path, 0, &is_absent);
	smx_free(ssh_dir);
	smx_free(path);
	return r;
}

int smx_cli_client_open_or_start(struct smx_cli_client *c)
{
	static const char *const no_options[] = { NULL };
	char *ssh_dir, *path;
	int is_absent, r;

	if ((r = smx_cli_paths(&ssh_dir, &path)) != 0)
		return r;
	r = open_at(c, path, 1, &is_absent);
	if (is_absent)
		r = smx_cli_daemon_start(c, ssh_dir, path, no_options);
	smx_free(ssh_dir);
	smx_free(path);
	return r;
}

void smx_cli_client_close(struct smx_cli_client *c)
{
	smx_os_ipc_close(c->fd);
	c->fd = -1;
	smx_control_reader_release(&c->reader);
	smx_buf_release(&c->in);
}

int smx_cli_client_send(struct smx_cli_client *c, enum smx_control_cmd cmd, int64_t *ret_id)
{
	struct smx_buf out;
	int r;

	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	if ((r = smx_control_request_build(&out, c->next_id, cmd)) == 0)
		r = smx_os_ipc_write(
			c->fd, smx_buf_view(&out), smx_buf_len(&out), ANSWER_TIMEOUT_MS);
	smx_buf_release(&out);
	if (r != 0)
		return io_failed(r);
	*ret_id = c->next_id++;
	return 0;
}

int smx_cli_client_answer(struct smx_cli_client *c, int64_t id, struct smx_view *ret_line,
	struct smx_control_answer *ret_answer)
{
	int r;

	if ((r = next_line(c, ret_line)) != 0 ||
		(r = smx_control_answer_parse(*ret_line, ret_answer)) != 0)
		return io_failed(r);
	if (!ret_answer->ok)
		return smx_cli_client_refused(ret_answer);
	/* We ask one thing at a time, so nothing else can be on its way. */
	return ret_answer->id == id ? 0 : io_failed(SMX_EFORMAT);
}

/* Sends the request that was built (r: of the building), which upgrades to frames. */
static int upgrade(struct smx_cli_client *c, struct smx_buf *out, int r, int *ret_has_to)
{
	struct smx_control_answer answer;
	struct smx_view line;
	int64_t id = c->next_id++;

	if (r == 0)
		r = smx_os_ipc_write(c->fd, smx_buf_view(out), smx_buf_len(out), ANSWER_TIMEOUT_MS);
	smx_buf_release(out);
	if (r != 0)
		return io_failed(r);
	if ((r = smx_cli_client_answer(c, id, &line, &answer)) != 0)
		return r;
	*ret_has_to = answer.has_to;
	return answer.upgrade ? 0 : io_failed(SMX_EFORMAT);
}

/*
 * A1: the agent of this program's environment, which the daemon, started at another time by
 * somebody else, need not have. NULL: none, or one that can't be told by its path.
 */
static const char *own_agent(void)
{
	const char *path = smx_os_getenv("SSH_AUTH_SOCK");

	return path && smx_os_agent_is_place(path) ? path : NULL;
}

/* U5: where this program could ask a question. */
static enum smx_control_asks own_place(void)
{
	switch (smx_os_asker_place()) {
	case SMX_OS_ASKS_TERMINAL:
		return SMX_CONTROL_ASKS_TERMINAL;
	case SMX_OS_ASKS_PROGRAM:
		return SMX_CONTROL_ASKS_ASKPASS;
	case SMX_OS_ASKS_PINENTRY:
		return SMX_CONTROL_ASKS_PINENTRY;
	default:
		return SMX_CONTROL_ASKS_UNKNOWN;
	}
}

int smx_cli_client_proxy(
	struct smx_cli_client *c, const struct smx_control_target *to, int is_batch)
{
	int may_differ = to->user || to->host || to->port, has_to, r;
	struct smx_buf out;

	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	r = smx_control_proxy_build(&out, c->next_id, to, own_agent(),
		is_batch ? SMX_CONTROL_ASKS_UNKNOWN : own_place(), is_batch);
	if ((r = upgrade(c, &out, r, &has_to)) != 0)
		return r;
	/* W1: a daemon that does not know these words goes to the route's own account. */
	return has_to || !may_differ
		       ? 0
		       : smx_cli_fail(SMX_EXIT_PROTOCOL, "restart it: ssh-mux stop",
				 "the daemon (%s) is too old to be told a user", c->hello.program);
}

int smx_cli_client_connect(struct smx_cli_client *c, const char *route, const char *user,
	const char *host, uint32_t port)
{
	struct smx_buf out;
	int has_to;

	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	return upgrade(c, &out,
		smx_control_connect_build(
			&out, c->next_id, route, user, host, port, own_agent(), own_place()),
		&has_to);
}

int smx_cli_client_login(struct smx_cli_client *c, const char *route, const char *user,
	const char *host, uint32_t port, int renew)
{
	struct smx_buf out;
	int has_to;

	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	return upgrade(c, &out,
		smx_control_login_build(
			&out, c->next_id, route, user, host, port, own_agent(), own_place(), renew),
		&has_to);
}

int smx_cli_client_wait_end(struct smx_cli_client *c)
{
	struct smx_view line;
	int r;

	do {
		r = next_line(c, &line);
	} while (r == 0);
	return r == SMX_EEOF ? 0 : io_failed(r);
}

int smx_cli_client_simple(enum smx_control_cmd cmd)
{
	struct smx_control_answer answer = { .more = 1 };
	struct smx_cli_client c;
	struct smx_view line;
	int64_t id;
	int r;

	if ((r = smx_cli_client_open(&c)) != 0)
		return r;
	r = smx_cli_client_send(&c, cmd, &id);
	while (r == 0 && answer.more)
		r = smx_cli_client_answer(&c, id, &line, &answer);
	smx_cli_client_close(&c);
	return r;
}
