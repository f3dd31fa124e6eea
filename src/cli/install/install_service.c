/* SPDX-License-Identifier: MIT */
/* install: the service, and the daemon that runs already. */
#include "cli/install/install.h"
#include "os/ask.h"
#include "os/file.h"
#include "os/ipc.h"
#include "os/log.h"
#include "os/process.h"
#include "os/service.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/run/daemon.h"

#define ANSWER_WAIT_MS 20000
#define QUESTION_SIZE  256
#define ANSWER_SIZE    64

/* ---- the daemon that runs ----------------------------------------------------------------------
 */

static int ask_status(struct smx_cli_client *c, struct smx_install_running *ret)
{
	struct smx_control_answer answer = { .more = 1 };
	struct smx_status st;
	struct smx_view line;
	int64_t id;
	int r;

	if ((r = smx_cli_client_send(c, SMX_CONTROL_STATUS, &id)) != 0)
		return r;
	smx_status_init(&st);
	while (r == 0 && answer.more)
		if ((r = smx_cli_client_answer(c, id, &line, &answer)) == 0 &&
			smx_status_from_line(&st, line) < 0)
			r = smx_cli_fail(SMX_EXIT_PROTOCOL, "end it: ssh-mux stop",
				"the status of the daemon can't be understood");
	for (size_t i = 0; i < st.client_count; i++)
		ret->channels += st.clients[i].channels;
	ret->started_s = (int64_t)time(NULL) - (int64_t)st.uptime_s;
	smx_status_release(&st);
	return r;
}

int smx_install_running(const struct smx_install *in, struct smx_install_running *ret)
{
	struct smx_cli_client c;
	int is_absent, r;

	*ret = (struct smx_install_running){ .pid = 0 };
	if ((r = smx_cli_client_try(&c, in->control_path, &is_absent)) != 0)
		return is_absent ? 0 : r;
	ret->is_there = 1;
	ret->pid = c.hello.pid;
	ret->is_same_version = strcmp(c.hello.program, SMX_VERSION) == 0;
	r = ask_status(&c, ret);
	smx_cli_client_close(&c);
	return r;
}

int smx_install_stop(const struct smx_install *in)
{
	struct smx_control_answer answer;
	struct smx_cli_client c;
	struct smx_view line;
	int64_t id;
	int is_absent, r;

	if ((r = smx_cli_client_try(&c, in->control_path, &is_absent)) != 0)
		return is_absent ? 0 : r;
	if ((r = smx_cli_client_send(&c, SMX_CONTROL_STOP, &id)) == 0 &&
		(r = smx_cli_client_answer(&c, id, &line, &answer)) == 0)
		r = smx_cli_client_wait_end(&c);
	smx_cli_client_close(&c);
	return r;
}

/* What it runs by is younger than it is: an earlier install was told to leave it alone. */
static int is_stale(const struct smx_install_running *now, const char *path)
{
	struct smx_os_stamp st;

	return smx_os_file_stamp(path, &st) == 0 && st.mtime_ns / 1000000000 > now->started_s;
}

/* Whether the user lets its channels go. */
static int is_agreed(uint64_t channels)
{
	char question[QUESTION_SIZE], answer[ANSWER_SIZE];
	struct smx_os_ask *ask;
	int yes = 0;

	if (!smx_os_is_terminal(0) || smx_os_ask_new(&ask) != 0)
		return 0;
	(void)snprintf(question, sizeof(question),
		"The daemon has to be restarted, which ends %llu open channel%s. Now? [y/N] ",
		(unsigned long long)channels, channels == 1 ? "" : "s");
	(void)fflush(stdout);
	if (smx_os_ask_run(ask, question, 1, answer, sizeof(answer)) == 0)
		yes = answer[0] == 'y' || answer[0] == 'Y';
	smx_os_ask_free(ask);
	return yes;
}

/* ---- where there is no manager -----------------------------------------------------------------
 */

static int print_command(struct smx_install *in, const struct smx_service_spec *spec,
	const struct smx_install_running *now, const char *why)
{
	/* For the shell that people have there. */
	const int is_windows = smx_os_has_cmd_scripts();
	struct smx_buf text;
	const char *command;
	int r;

	smx_buf_init(&text, SMX_SERVICE_TEXT_MAX);
	r = is_windows ? smx_service_powershell_text(spec, &text)
		       : smx_service_command_text(spec, &text);
	command = r == 0 ? smx_buf_cstr(&text) : NULL;
	if (!command) {
		r = smx_cli_fail(SMX_EXIT_OSERR, NULL, "the command: %s",
			smx_strerror(r == 0 ? SMX_ENOMEM : r));
	} else {
		printf("\nThere is no service: %s.\n", why);
		if (!now->is_there)
			printf("Start the daemon with this command, at each login as well:\n\n");
		else if (in->program_changed || !now->is_same_version || is_stale(now, in->program))
			printf("The daemon that runs (process id %lld) is of the old program. "
			       "Restart it:\n\n    ssh-mux stop\n",
				(long long)now->pid);
		else
			printf("A daemon runs (process id %lld). The command for each login:\n\n",
				(long long)now->pid);
		printf("    %s\n", command);
	}
	smx_buf_release(&text);
	return r;
}

/* ---- with one ----------------------------------------------------------------------------------
 */

static int service_failed(struct smx_install *in, int r)
{
	return smx_cli_fail(r == SMX_ESYS ? SMX_EXIT_UNAVAILABLE : smx_cli_exit_code(r), NULL,
		"the service: %s", smx_install_words(&in->err, r));
}

/* A file of that name that somebody else made is no business of ours. */
static int check_file(struct smx_install *in, struct smx_os_service *s)
{
	struct smx_buf old;
	int r;

	smx_buf_init(&old, SMX_SERVICE_TEXT_MAX);
	r = smx_os_file_read(
		smx_os_service_path(s), SMX_SERVICE_TEXT_MAX, SMX_OS_FILE_PLAIN, &old, &in->err);
	if (r == SMX_ENOTFOUND) {
		smx_buf_reset(&in->err);
		r = 0;
	} else if (r == 0 && !smx_service_is_ours(smx_buf_as_view(&old))) {
		(void)smx_buf_printf(&in->err,
			"%s was not made by ssh-mux install; rename or remove it",
			smx_os_service_path(s));
		r = SMX_EEXISTS;
	}
	smx_buf_release(&old);
	return r;
}

static int put_service(struct smx_install *in, struct smx_os_service *s,
	const struct smx_service_spec *spec, int *ret_changed)
{
	struct smx_buf text;
	int r;

	smx_buf_init(&text, SMX_SERVICE_TEXT_MAX);
	switch (smx_os_service_kind(s)) {
	case SMX_OS_SERVICE_SYSTEMD:
		r = smx_service_unit_text(spec, &text);
		break;
	case SMX_OS_SERVICE_LAUNCHD:
		r = smx_service_plist_text(spec, &text);
		break;
	default:
		r = smx_service_script_text(spec, &text);
		break;
	}
	if (r == 0 && (r = check_file(in, s)) == 0)
		r = smx_os_service_put(s, smx_buf_as_view(&text), ret_changed, &in->err);
	smx_buf_release(&text);
	return r;
}

static void say_started(const struct smx_os_service *s, int64_t pid)
{
	smx_install_say(smx_os_service_path(s), "started, process id %lld", (long long)pid);
	if (smx_os_service_kind(s) == SMX_OS_SERVICE_SYSTEMD)
		printf("It runs while you are logged in; to have it run from boot on: "
		       "loginctl enable-linger\n");
}

/* Starts it, again if it runs. old: a daemon that the manager won't end, being none of its own. */
static int restart(struct smx_install *in, struct smx_os_service *s,
	const struct smx_os_service_run *run, const struct smx_install_running *old)
{
	struct smx_cli_client c;
	uint64_t from = 0;
	int log_fd = -1, is_absent, code, r;

	if (old) {
		if ((code = smx_install_stop(in)) != 0)
			return code;
		smx_install_say("daemon",
			"process id %lld ended, for the service to take its place",
			(long long)old->pid);
	}
	if (smx_os_log_open(in->log_path, &log_fd, &from, NULL) != 0)
		log_fd = -1;
	if ((r = smx_os_service_start(s, run, &in->err)) != 0) {
		code = log_fd >= 0 ? smx_cli_daemon_failed(log_fd, from, in->log_path)
				   : service_failed(in, r);
		smx_buf_reset(&in->err);
	} else {
		code = smx_cli_daemon_await(
			&c, in->control_path, smx_os_monotonic_ms() + ANSWER_WAIT_MS, &is_absent);
		if (code == 0) {
			say_started(s, c.hello.pid);
			smx_cli_client_close(&c);
		} else if (is_absent) {
			code = smx_cli_daemon_failed(log_fd, from, in->log_path);
		}
	}
	if (log_fd >= 0)
		smx_os_ipc_close(log_fd);
	return code;
}

static void say_left(struct smx_os_service *s, const struct smx_install_running *now)
{
	smx_install_say(smx_os_service_path(s), "to be started at the next login");
	smx_cli_warn("the daemon that runs (process id %lld) has %llu open channel%s and is left "
		     "as it is; to restart it: ssh-mux stop; %s",
		(long long)now->pid, (unsigned long long)now->channels,
		now->channels == 1 ? "" : "s", smx_os_service_restart_command(s));
}

static int run_service(struct smx_install *in, struct smx_os_service *s,
	const struct smx_service_spec *spec, const struct smx_install_running *now)
{
	struct smx_service_command command;
	struct smx_os_service_run run = { .args = command.args, .daemon_pid = now->pid };
	int changed = 0, is_current, ends_it, r;
	int64_t pid = 0;

	r = put_service(in, s, spec, &changed);
	if (r == SMX_EUNSUPPORTED)
		return print_command(
			in, spec, now, "a path has characters that no service manager takes");
	smx_service_command(spec, &command);
	if (r != 0 || (r = smx_os_service_pid(s, &run, &pid, &in->err)) != 0)
		return service_failed(in, r);
	is_current = now->is_there && pid == now->pid;
	ends_it = is_current && smx_os_service_kind(s) != SMX_OS_SERVICE_STARTUP;
	if (is_current && !changed && !in->program_changed && now->is_same_version &&
		!is_stale(now, in->program) && !is_stale(now, smx_os_service_path(s))) {
		smx_install_say(
			smx_os_service_path(s), "unchanged, process id %lld", (long long)pid);
		return 0;
	}
	if (now->channels > 0 && !in->yes && !is_agreed(now->channels)) {
		say_left(s, now);
		return 0;
	}
	if (now->channels > 0)
		smx_install_say("daemon", "restarted, which ends %llu open channel%s",
			(unsigned long long)now->channels, now->channels == 1 ? "" : "s");
	return restart(in, s, &run, now->is_there && !ends_it ? now : NULL);
}

int smx_install_service(struct smx_install *in)
{
	struct smx_service_spec spec = {
		.program = in->program,
		.ssh_dir = in->is_usual_dir ? NULL : in->ssh_dir,
		.routes_path = in->is_usual_routes ? NULL : in->routes_path,
		/* Else ssh needs no port; the daemon has one if it is free. */
		.port = in->port                                         ? in->port
			: smx_cli_real_via(in->via) == SMX_SETUP_VIA_TCP ? SMX_DEFAULT_PORT
									 : 0,
		.idle_timeout_s = in->timeout_s,
	};
	struct smx_install_running now;
	struct smx_os_service *s = NULL;
	int code, r;

	if ((code = smx_install_running(in, &now)) != 0)
		return code;
	if ((r = smx_os_service_new(&s, &in->err)) == 0)
		r = smx_os_service_is_usable(s, &in->err);
	if (r == SMX_EUNSUPPORTED || r == SMX_ENOTFOUND)
		code = print_command(in, &spec, &now, smx_install_words(&in->err, r));
	else if (r != 0)
		code = service_failed(in, r);
	else
		code = run_service(in, s, &spec, &now);
	smx_os_service_free(s);
	smx_os_program_sweep(in->program); /* that the old daemon ran, or one before it */
	return code;
}
