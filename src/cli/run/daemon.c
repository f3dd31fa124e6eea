/* SPDX-License-Identifier: MIT */
/* ssh-mux daemon: the daemon without a terminal, started by hand or by who needs one (D1). */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/run/daemon.h"
#include "cli/run/log.h"
#include "os/file.h"
#include "os/ipc.h"
#include "os/log.h"
#include "os/path.h"
#include "os/process.h"
#include "os/service.h"
#include "os/spawn.h"

#define START_WAIT_MS  5000
#define START_PAUSE_MS 20
#define LOG_TAIL_MAX   4096
#define OPTIONS_MAX    16
#define WORDS_MAX      (2 * OPTIONS_MAX + 2)
#define REPORT_READY   'r'
#define REPORT_RUNS    'e' /* another one does already */
#define REPORT_FAILED  'f'

/* ---- who starts it -----------------------------------------------------------------------------
 */

/* The last error in what was written to the log, without its time and level; or the last line. */
static const char *last_words(int log_fd, uint64_t from, struct smx_buf *tail)
{
	char *line, *end, *last = NULL;
	int is_error = 0;

	if (smx_os_log_read(log_fd, from, tail) != 0 || !smx_buf_cstr(tail))
		return NULL;
	for (line = (char *)tail->data + tail->off; *line; line = end) {
		/* "2024-01-31T12:00:00.000Z error words" */
		char *level = line + strcspn(line, " \n");

		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		if (strncmp(level, " error ", 7) == 0) {
			last = level + 7;
			is_error = 1;
		} else if (!is_error && *line) {
			last = line;
		}
	}
	return last;
}

int smx_cli_daemon_failed(int log_fd, uint64_t from, const char *log_path)
{
	const char *words;
	char remedy[SMX_OS_PATH_MAX + 32];
	struct smx_buf tail;
	int code;

	smx_buf_init(&tail, LOG_TAIL_MAX);
	words = log_fd >= 0 ? last_words(log_fd, from, &tail) : NULL;
	(void)snprintf(remedy, sizeof(remedy), "its log is %s", log_path);
	code = smx_cli_fail(SMX_EXIT_UNAVAILABLE, remedy, "the daemon did not start%s%s",
		words ? ": " : "", words ? words : "");
	smx_buf_release(&tail);
	return code;
}

/* What the new process says, or REPORT_FAILED when it says nothing in time. */
static char await_report(int fd, uint64_t deadline)
{
	uint64_t now = smx_os_monotonic_ms();
	char said = REPORT_FAILED;
	size_t n;

	if (now < deadline && smx_os_ipc_read(fd, &said, 1, (int)(deadline - now), &n) != 0)
		said = REPORT_FAILED;
	smx_os_ipc_close(fd);
	return said;
}

int smx_cli_daemon_await(
	struct smx_cli_client *c, const char *path, uint64_t deadline, int *ret_is_absent)
{
	int code;

	for (;;) {
		code = smx_cli_client_try(c, path, ret_is_absent);
		if (!*ret_is_absent || smx_os_monotonic_ms() >= deadline)
			return code;
		smx_os_sleep_ms(START_PAUSE_MS);
	}
}

/* Ours or another starter's: the lock of the endpoint decides, and the one that lives is used. */
static int start_and_open(struct smx_cli_client *c, const char *path, const char *const *args,
	const char *log_path, struct smx_buf *err)
{
	uint64_t deadline = smx_os_monotonic_ms() + START_WAIT_MS, from = 0;
	int log_fd = -1, report_fd, is_absent, code, r;
	char said;

	if ((r = smx_os_log_open(log_path, &log_fd, &from, err)) != 0) {
		const char *why = smx_errtext(r, err);

		/* Something unsafe is for a person to look at; a full disk is no reason. */
		if (r == SMX_EUNSAFE)
			return smx_cli_fail(
				smx_cli_exit_code(r), NULL, "the daemon's log: %s", why);
		smx_cli_warn("the daemon has no log: %s", why);
		smx_buf_reset(err);
	}
	if ((r = smx_os_spawn_daemon(args, log_fd, &report_fd, err)) != 0) {
		code = smx_cli_fail(SMX_EXIT_OSERR, NULL, "the daemon: %s", smx_errtext(r, err));
	} else {
		said = await_report(report_fd, deadline);
		/* One that failed may still have lost against another. */
		code = smx_cli_daemon_await(
			c, path, said == REPORT_FAILED ? 0 : deadline, &is_absent);
		if (is_absent)
			code = smx_cli_daemon_failed(log_fd, from, log_path);
	}
	if (log_fd >= 0)
		smx_os_ipc_close(log_fd);
	return code;
}

int smx_cli_daemon_start(
	struct smx_cli_client *c, const char *ssh_dir, const char *path, const char *const *options)
{
	const char *args[WORDS_MAX + 4] = { "ssh-mux", "daemon", "--detached" };
	struct smx_buf err;
	char *log_path;
	int code;

	for (size_t i = 0; i < WORDS_MAX && options[i]; i++)
		args[3 + i] = options[i];
	if (smx_os_path_join(ssh_dir, SMX_LOG_FILE, &log_path) != 0)
		return smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	code = start_and_open(c, path, args, log_path, &err);
	smx_buf_release(&err);
	smx_free(log_path);
	return code;
}

/* ---- the daemon itself -------------------------------------------------------------------------
 */

/* Nobody waits for it any more, or nobody ever did: a service manager has started us. */
static int has_reported;

static void report(char what)
{
	if (!has_reported)
		smx_os_daemon_report(what);
	has_reported = 1;
}

static void on_ready(void)
{
	report(REPORT_READY);
	smx_os_service_tell_ready();
}

static int run_here(struct smx_serve_options *o, const char *config, int takes_stderr)
{
	char *ssh_dir, *path, *routes_path = NULL;
	int code, r;

	if ((code = smx_cli_paths(&ssh_dir, &path)) != 0) {
		report(REPORT_FAILED);
		return code;
	}
	if (config)
		r = smx_os_path_absolute(config, &routes_path);
	else
		r = smx_os_path_join(ssh_dir, SMX_ROUTES_FILE, &routes_path);
	if (r == 0) {
		o->ssh_dir = ssh_dir;
		o->routes_path = routes_path;
		o->routes_are_optional = !config;
		o->ready = on_ready;
		smx_cli_serve_environment(o);
		smx_cli_log_start(o, takes_stderr);
		r = smx_daemon_run(o);
		smx_cli_log_stop();
	}
	report(r == SMX_EEXISTS ? REPORT_RUNS : REPORT_FAILED);
	smx_free(routes_path);
	smx_free(ssh_dir);
	smx_free(path);
	return smx_cli_exit_code(r);
}

/* ---- the command -------------------------------------------------------------------------------
 */

enum { OPT_NO_LISTEN = 256, OPT_DETACHED, OPT_FOREGROUND };

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "port", required_argument, NULL, 'p' },
	{ "no-listen", no_argument, NULL, OPT_NO_LISTEN },
	{ "timeout", required_argument, NULL, 't' },
	{ "max-lifetime", required_argument, NULL, 'm' },
	{ "log-level", required_argument, NULL, 'l' },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "detached", no_argument, NULL, OPT_DETACHED }, /* internal: it is in the background */
	SMX_CLI_COMMON_OPTIONS,
};

static int take_option(struct smx_serve_options *o, int c, const char *text)
{
	if (c == OPT_NO_LISTEN) {
		o->port = 0;
		return 0;
	}
	if (c == 'p')
		o->port_is_optional = 0; /* it was asked for */
	return smx_cli_serve_option(o, &smx_cmd_daemon, c, text);
}

/* Starts it, unless one runs. words: the options, to be given to it as they are. */
static int start(const char *const *words)
{
	struct smx_cli_client c;
	char *ssh_dir, *path;
	int is_absent, code;

	if ((code = smx_cli_paths(&ssh_dir, &path)) != 0)
		return code;
	code = smx_cli_client_try(&c, path, &is_absent);
	if (code == 0) {
		code = smx_cli_fail(SMX_EXIT_UNAVAILABLE, "to end it: ssh-mux stop",
			"a daemon with process id %lld is running already", (long long)c.hello.pid);
		smx_cli_client_close(&c);
	} else if (is_absent) {
		code = smx_cli_daemon_start(&c, ssh_dir, path, words);
		if (code == 0)
			smx_cli_client_close(&c);
	}
	smx_free(ssh_dir);
	smx_free(path);
	return code;
}

/* The options once more, for the daemon, whose working directory is not ours. */
struct words {
	const char *words[WORDS_MAX + 1]; /* NULL at the end */
	char names[OPTIONS_MAX][24];
	size_t count, options;
	char *config; /* owned, absolute */
};

static int add_words(struct words *w, int c, const char *text)
{
	const struct option *o = options;
	char *name;
	int r;

	while (o->val != c)
		o++;
	if (c == 'c') {
		smx_free(w->config);
		w->config = NULL;
		if ((r = smx_os_path_absolute(text, &w->config)) != 0)
			return smx_cli_fail(smx_cli_exit_code(r), "check the name",
				"daemon: the routes file %s: %s", text, smx_strerror(r));
		return 0; /* added at the end: the last one counts */
	}
	if (w->options == OPTIONS_MAX)
		return smx_cli_fail(SMX_EXIT_USAGE, NULL, "daemon: too many options");
	name = w->names[w->options++];
	(void)snprintf(name, sizeof(w->names[0]), "--%s", o->name);
	w->words[w->count++] = name;
	if (o->has_arg == required_argument)
		w->words[w->count++] = text;
	return 0;
}

static int start_with(struct words *w, struct smx_serve_options *o)
{
	const char *bad_level = smx_cli_log_level(o);
	struct smx_os_stamp stamp;

	if (bad_level)
		smx_cli_warn("the variable SSH_MUX_LOG must be error, warn, info or debug, not %s",
			bad_level);
	if (w->config && smx_os_file_stamp(w->config, &stamp) == SMX_ENOTFOUND)
		return smx_cli_fail(SMX_EXIT_NOINPUT, "check the name",
			"daemon: there is no routes file %s", w->config);
	if (w->config) {
		w->words[w->count++] = "--config";
		w->words[w->count++] = w->config;
	}
	return start(w->words);
}

static int run(int argc, char **argv)
{
	struct smx_serve_options o = {
		.port = SMX_DEFAULT_PORT,
		.port_is_optional = 1,
		.idle_timeout_s = SMX_DEFAULT_IDLE_TIMEOUT_S,
		.max_lifetime_s = SMX_DEFAULT_MAX_LIFETIME_S,
		.log_level = SMX_LOG_INFO,
	};
	int c, r = 0, is_detached = 0, is_foreground = 0;
	struct words w = { .count = 0 };

	while (r == 0 &&
		(c = smx_cli_getopt(argc, argv, "+:c:p:hV", options, &smx_cmd_daemon, &r)) != -1) {
		if (c == -2)
			goto out;
		if (c == OPT_DETACHED)
			is_detached = 1;
		else if (c == OPT_FOREGROUND)
			is_foreground = 1;
		else if ((r = add_words(&w, c, optarg)) == 0 && c != 'c')
			r = take_option(&o, c, optarg);
	}
	if (r != 0 || (r = smx_cli_no_arguments(argc, argv, &smx_cmd_daemon)) != 0)
		goto out;
	has_reported = is_foreground;
	if (is_detached || is_foreground)
		r = run_here(&o, w.config, is_detached);
	else
		r = start_with(&w, &o);
out:
	smx_free(w.config);
	return r;
}

const struct smx_command smx_cmd_daemon = {
	.name = "daemon",
	.summary = "start the daemon in the background",
	.usage = "usage: ssh-mux daemon [OPTION]...\n"
		 "\n"
		 "Start the daemon in the background, away from the terminal, with the routes of\n"
		 "ssh-mux-routes.toml in the SSH directory if that exists. connect, login and\n"
		 "proxy start one automatically. It has no terminal to ask at: connect, login and\n"
		 "proxy clients are asked. Its log is ssh-mux.log in the SSH directory, which at\n"
		 "5 MB becomes ssh-mux.log.old.\n"
		 "\n"
		 "  -c, --config FILE       routes file\n"
		 "  -p, --port PORT         local port (default: 2222 if it is free, else none)\n"
		 "      --no-listen         no local port: connect and proxy only\n"
		 "      --timeout SECONDS   close an unused connection after this (default: 600)\n"
		 "      --max-lifetime SECONDS\n"
		 "                          close any connection after this, 0 for never\n"
		 "                          (default: 43200)\n"
		 "      --log-level LEVEL   error, warn, info or debug (default: info)\n"
		 "                          (or by the variable SSH_MUX_LOG)\n"
		 "      --foreground        stay in the foreground, for a service manager\n"
		 "  -h, --help              show this text\n"
		 "  -V, --version           show the version\n",
	.run = run,
};
