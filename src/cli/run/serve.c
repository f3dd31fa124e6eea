/* SPDX-License-Identifier: MIT */
/* ssh-mux serve: the daemon in the foreground, direct or routed (R6, D1). */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/run/log.h"
#include "config/names.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/start.h"

#define HELP         "see: ssh-mux serve --help"
#define DEFAULT_PORT 22

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "remote", required_argument, NULL, 'r' },
	{ "user", required_argument, NULL, 'u' },
	{ "port", required_argument, NULL, 'p' },
	{ "timeout", required_argument, NULL, 't' },
	{ "max-lifetime", required_argument, NULL, 'm' },
	{ "log-level", required_argument, NULL, 'l' },
	SMX_CLI_COMMON_OPTIONS,
};

/* What was typed, before it is made sense of. */
struct typed {
	const char *config, *remote;
};

static int take_number(const struct smx_command *cmd, const char *name, const char *text,
	uint64_t min, uint64_t max, const char *unit, uint64_t *ret)
{
	if (smx_cli_parse_number(text, min, max, ret) == 0)
		return 0;
	return smx_cli_fail(SMX_EXIT_USAGE, NULL,
		"%s: --%s must be a number%s from %llu to %llu, not %s", cmd->name, name, unit,
		(unsigned long long)min, (unsigned long long)max, text);
}

void smx_cli_serve_environment(struct smx_serve_options *o)
{
	const char *text = smx_os_getenv("SSH_MUX_CONFINE");

	o->is_confined = !text || strcmp(text, "no") != 0;
	if (o->is_confined && text && *text && strcmp(text, "yes") != 0)
		smx_cli_warn("the variable SSH_MUX_CONFINE must be yes or no, not %s; it is taken "
			     "as yes",
			text);
}

int smx_cli_serve_option(
	struct smx_serve_options *o, const struct smx_command *cmd, int c, const char *text)
{
	uint64_t n;
	int r = 0;

	switch (c) {
	case 'p':
		if ((r = take_number(cmd, "port", text, 1, 65535, "", &n)) == 0)
			o->port = (uint16_t)n;
		break;
	case 't':
		r = take_number(cmd, "timeout", text, 1, UINT32_MAX, " of seconds", &n);
		if (r == 0)
			o->idle_timeout_s = (uint32_t)n;
		break;
	case 'm':
		r = take_number(cmd, "max-lifetime", text, 0, UINT32_MAX, " of seconds", &n);
		if (r == 0)
			o->max_lifetime_s = (uint32_t)n;
		break;
	default:
		if (smx_log_level_parse(text, &o->log_level) != 0)
			r = smx_cli_fail(SMX_EXIT_USAGE, NULL,
				"%s: --log-level must be error, warn, info or debug, not %s",
				cmd->name, text);
		o->log_level_is_set = 1;
		break;
	}
	return r;
}

static int take_user(struct smx_serve_options *o, const char *text)
{
	const char *fault = smx_user_fault(smx_view_of(text, strlen(text)));

	if (fault)
		return smx_cli_fail(
			SMX_EXIT_USAGE, NULL, "serve: the user name %s %s", text, fault);
	o->remote_user = text;
	return 0;
}

static int take_option(struct smx_serve_options *o, struct typed *typed, int c, const char *text)
{
	switch (c) {
	case 'c':
		typed->config = text;
		return 0;
	case 'r':
		typed->remote = text;
		return 0;
	case 'u':
		return take_user(o, text);
	default:
		return smx_cli_serve_option(o, &smx_cmd_serve, c, text);
	}
}

/* "host", "host:port", "[v6]", "[v6]:port". */
static int take_remote(struct smx_cli_serve *s, const char *text)
{
	static const char shape[] = "write it as host:port";
	const char *host = text, *port = NULL, *fault, *end;
	uint64_t number = DEFAULT_PORT;
	size_t host_len;

	if (text[0] == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return smx_cli_fail(SMX_EXIT_USAGE, "write it as [address]:port",
				"serve: --remote %s has a bracket that is not closed", text);
		host_len = (size_t)(end - host);
		port = end[1] == ':' ? end + 2 : NULL;
	} else {
		host_len = strcspn(text, ":");
		port = text[host_len] == ':' ? text + host_len + 1 : NULL;
		if (port && strchr(port, ':'))
			return smx_cli_fail(SMX_EXIT_USAGE, "write it as [address]:port",
				"serve: --remote %s: an IPv6 address needs brackets", text);
		if (strchr(text, '@'))
			return smx_cli_fail(SMX_EXIT_USAGE, "give the user with -u",
				"serve: --remote %s has a user name in it", text);
	}
	if ((fault = smx_host_fault(smx_view_of(host, host_len))) != NULL)
		return smx_cli_fail(
			SMX_EXIT_USAGE, shape, "serve: the host of --remote %s %s", text, fault);
	if (port && smx_cli_parse_number(port, 1, 65535, &number) != 0)
		return smx_cli_fail(SMX_EXIT_USAGE, shape,
			"serve: the port of --remote %s is not a number from 1 to 65535", text);
	if ((s->remote_host = smx_strndup(host, host_len)) == NULL)
		return smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
	s->opts.remote_host = s->remote_host;
	s->opts.remote_port = (uint16_t)number;
	return 0;
}

static int take_config(struct smx_cli_serve *s, const char *text)
{
	struct smx_os_stamp stamp;
	int r;

	if (text)
		r = smx_os_path_absolute(text, &s->routes_path);
	else
		r = smx_os_path_join(s->ssh_dir, SMX_ROUTES_FILE, &s->routes_path);
	if (r != 0)
		return smx_cli_fail(smx_cli_exit_code(r), HELP, "serve: the routes file %s: %s",
			text ? text : SMX_ROUTES_FILE, smx_strerror(r));
	if (smx_os_file_stamp(s->routes_path, &stamp) == SMX_ENOTFOUND)
		return smx_cli_fail(SMX_EXIT_NOINPUT,
			text ? "check the name"
			     : "make it, or name one with --config, or use --remote host:port -u "
			       "user",
			"serve: there is no routes file %s", s->routes_path);
	s->opts.routes_path = s->routes_path;
	return 0;
}

static int take_ssh_dir(struct smx_cli_serve *s)
{
	struct smx_buf warning, err;
	int r;

	smx_buf_init(&warning, 2 * SMX_OS_PATH_MAX);
	smx_buf_init(&err, 2 * SMX_OS_PATH_MAX);
	r = smx_os_ssh_dir(&s->ssh_dir, &warning, &err);
	if (smx_buf_len(&warning) > 0)
		smx_cli_warn("%s", smx_buf_cstr(&warning));
	if (r != 0)
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "serve: %s", smx_errtext(r, &err));
	smx_buf_release(&warning);
	smx_buf_release(&err);
	s->opts.ssh_dir = s->ssh_dir;
	return r;
}

static int take_mode(struct smx_cli_serve *s, const struct typed *typed)
{
	if (typed->remote && typed->config)
		return smx_cli_fail(SMX_EXIT_USAGE, "give one of them",
			"serve: --remote and --config exclude each other");
	if (!typed->remote && s->opts.remote_user)
		return smx_cli_fail(SMX_EXIT_USAGE,
			"add --remote host:port, or leave -u away: routes name their users",
			"serve: -u goes with --remote");
	if (!typed->remote)
		return take_config(s, typed->config);
	if (!s->opts.remote_user)
		return smx_cli_fail(
			SMX_EXIT_USAGE, "add -u USER", "serve: --remote needs a user name");
	return take_remote(s, typed->remote);
}

int smx_cli_serve_parse(int argc, char **argv, struct smx_cli_serve *ret, int *ret_exit)
{
	struct typed typed = { NULL, NULL };
	int c, r;

	*ret = (struct smx_cli_serve){ .opts = {
					       .port = SMX_DEFAULT_PORT,
					       .idle_timeout_s = SMX_DEFAULT_IDLE_TIMEOUT_S,
					       .max_lifetime_s = SMX_DEFAULT_MAX_LIFETIME_S,
					       .log_level = SMX_LOG_INFO,
					       .may_prompt = smx_os_is_terminal(0),
				       } };
	while ((c = smx_cli_getopt(argc, argv, "+:c:u:p:hV", options, &smx_cmd_serve, ret_exit)) !=
		-1) {
		if (c == -2)
			return 0;
		if ((*ret_exit = take_option(&ret->opts, &typed, c, optarg)) != 0)
			return 0;
	}
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_serve)) != 0 ||
		(r = take_ssh_dir(ret)) != 0 || (r = take_mode(ret, &typed)) != 0) {
		*ret_exit = r;
		return 0;
	}
	return 1;
}

void smx_cli_serve_release(struct smx_cli_serve *s)
{
	smx_free(s->ssh_dir);
	smx_free(s->routes_path);
	smx_free(s->remote_host);
	*s = (struct smx_cli_serve){ .ssh_dir = NULL };
}

static int run(int argc, char **argv)
{
	struct smx_cli_serve s;
	int exit_code;

	if (smx_cli_serve_parse(argc, argv, &s, &exit_code)) {
		smx_cli_serve_environment(&s.opts);
		smx_cli_log_start(&s.opts, 0);
		exit_code = (int)smx_cli_exit_code(smx_daemon_run(&s.opts));
		smx_cli_log_stop();
	} else if (exit_code == SMX_EXIT_NOINPUT) {
		smx_cli_log_failure(s.ssh_dir, "there is no routes file %s", s.routes_path);
	}
	smx_cli_serve_release(&s);
	return exit_code;
}

const struct smx_command smx_cmd_serve = {
	.name = "serve",
	.summary = "run the local SSH server in the foreground",
	.usage =
		"usage: ssh-mux serve [--config FILE] [OPTION]...\n"
		"       ssh-mux serve --remote HOST[:PORT] -u USER [OPTION]...\n"
		"\n"
		"Run the local SSH server in the foreground, on 127.0.0.1 only. With a routes\n"
		"file, the SSH user name picks the route; with --remote there is one server for\n"
		"every name.\n"
		"\n"
		"  -c, --config FILE       routes file (default: ssh-mux-routes.toml in the SSH\n"
		"                          directory)\n"
		"      --remote HOST:PORT  the one server; [ADDRESS]:PORT for IPv6; port 22 if\n"
		"                          absent\n"
		"  -u, --user USER         the user to log in as there\n"
		"  -p, --port PORT         local port (default: 2222)\n"
		"      --timeout SECONDS   close an unused connection after this (default: 600)\n"
		"      --max-lifetime SECONDS\n"
		"                          close any connection after this, 0 for never\n"
		"                          (default: 43200)\n"
		"      --log-level LEVEL   error, warn, info or debug (default: info)\n"
		"                          (or by the variable SSH_MUX_LOG)\n"
		"  -h, --help              show this text\n"
		"  -V, --version           show the version\n"
		"\n"
		"The SSH directory is ~/.ssh, or $SSH_MUX_SSH_DIR. What goes to stderr is also in\n"
		"its ssh-mux.log, which at 5 MB becomes ssh-mux.log.old.\n",
	.run = run,
};
