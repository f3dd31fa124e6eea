/* SPDX-License-Identifier: MIT */
/* ssh-mux login: a login now, for the calls to come (U7). */
#include "cli/cli.h"

#include <stdio.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "cli/session/target.h"
#include "cli/session/uplink.h"
#include "os/ipc.h"
#include "os/process.h"

#define HELP "see: ssh-mux login --help"

struct login {
	struct uplink up;
	uv_loop_t loop;
	const char *name; /* as the user calls it */
	int has_answer, code;
};

static int print(const struct login *lg, const struct smx_control_login *login)
{
	char age[SMX_CLI_TEXT_MAX], left[SMX_CLI_TEXT_MAX], idle[SMX_CLI_TEXT_MAX];

	if (login->is_new)
		(void)printf("%s: logged in to %s", lg->name, login->key);
	else
		(void)printf("%s: already logged in to %s, for %s", lg->name, login->key,
			smx_cli_text_age((uint64_t)login->age_s, age));
	if (login->lifetime_left_s >= 0)
		(void)printf("; ends in %s, or after %s without use",
			smx_cli_text_age((uint64_t)login->lifetime_left_s, left),
			smx_cli_text_age((uint64_t)login->idle_s, idle));
	else
		(void)printf("; ends after %s without use",
			smx_cli_text_age((uint64_t)login->idle_s, idle));
	(void)printf("\n");
	if (!login->is_new)
		(void)printf("for a fresh login, run: ssh-mux login --renew %s\n", lg->name);
	return SMX_EXIT_OK;
}

static void on_message(struct uplink *u, struct smx_view json)
{
	struct login *lg = SMX_CONTAINER(u, struct login, up);
	struct smx_control_answer answer;
	struct smx_control_login login;
	int r;

	if (lg->has_answer)
		return;
	if ((r = smx_control_answer_parse(json, &answer)) == 0 && answer.ok)
		r = smx_control_login_answer_parse(json, &login);
	if (r != 0) {
		uplink_end(u, r);
		return;
	}
	lg->has_answer = 1;
	lg->code = answer.ok ? print(lg, &login) : smx_cli_client_refused(&answer);
}

static void on_data(struct uplink *u, struct smx_view bytes)
{
	(void)bytes;
	uplink_end(u, SMX_EFORMAT); /* there is no stream */
}

static void on_room(struct uplink *u)
{
	(void)u;
}

static void on_ended(struct uplink *u, int r)
{
	struct login *lg = SMX_CONTAINER(u, struct login, up);

	if (!lg->has_answer)
		lg->code = smx_cli_fail(
			r == SMX_EEOF || r == 0 ? SMX_EXIT_UNAVAILABLE : smx_cli_exit_code(r),
			"see the daemon's log", "the connection to the daemon broke off: %s",
			smx_strerror(r ? r : SMX_EEOF));
}

/* Until the answer is there. Takes over fd, and the bytes behind the upgrade. */
static int wait_for_answer(int fd, struct smx_view early, const char *name)
{
	struct login *lg = smx_calloc(1, sizeof(*lg));
	int code;

	if (!lg || uv_loop_init(&lg->loop) != 0) {
		smx_free(lg);
		smx_os_ipc_close(fd);
		return smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
	}
	lg->name = name;
	lg->up.data = on_data;
	lg->up.room = on_room;
	lg->up.message = on_message;
	lg->up.ended = on_ended;
	lg->up.notice = uplink_print_notice;
	uplink_open(&lg->up, &lg->loop, fd, early);
	uplink_resume(&lg->up);
	(void)uv_run(&lg->loop, UV_RUN_DEFAULT);
	code = lg->code;
	(void)uv_loop_close(&lg->loop);
	uplink_release(&lg->up);
	smx_free(lg);
	return code;
}

static int log_in(const struct smx_cli_target *t, const char *name, int renew)
{
	struct smx_cli_client c;
	int code, fd;

	if ((code = smx_cli_client_open_or_start(&c)) != 0)
		return code;
	code = smx_cli_client_login(&c, t->route, t->user, t->host, (uint32_t)t->port, renew);
	if (code == 0) {
		smx_os_ignore_sigpipe();
		fd = c.fd;
		c.fd = -1; /* the loop closes it */
		code = wait_for_answer(fd, smx_buf_as_view(&c.in), name);
	}
	smx_cli_client_close(&c);
	return code;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { { "renew", no_argument, NULL, 'r' },
		SMX_CLI_COMMON_OPTIONS };
	struct smx_cli_target target;
	int c, r, renew = 0;

	while ((c = smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_login, &r)) != -1) {
		if (c == -2)
			return r;
		renew = 1;
	}
	if (optind + 1 != argc)
		return smx_cli_fail(
			SMX_EXIT_USAGE, HELP, "login takes one route, or user@host[:port]");
	if ((r = smx_cli_target_take(&target, "login", argv[optind])) != 0)
		return r;
	return log_in(&target, argv[optind], renew);
}

const struct smx_command smx_cmd_login = {
	.name = "login",
	.summary = "log in, for all later calls",
	.usage =
		"usage: ssh-mux login [--renew] NAME\n"
		"       ssh-mux login [--renew] USER@NAME[:PORT]\n"
		"       ssh-mux login [--renew] USER@HOST[:PORT]\n"
		"\n"
		"Log in to route NAME, or to USER@HOST, for all later calls. What the login needs\n"
		"(a one-time code, a password) is asked here. At a terminal it is tried at once,\n"
		"whatever failed before. A daemon is started if none runs.\n"
		"\n"
		"      --renew    log in again before the old login ends: new sessions use the\n"
		"                 fresh connection, open ones stay on the old one\n"
		"  -h, --help     show this text\n"
		"  -V, --version  show the version\n"
		"\n"
		"The exit code is 0 if there is a login now, 69 if it failed, 77 if ssh-mux is\n"
		"locked.\n",
	.run = run,
	.hears_secrets = 1,
};
