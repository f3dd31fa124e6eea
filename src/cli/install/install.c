/* SPDX-License-Identifier: MIT */
/* ssh-mux install: from the user's config to a running service in one go (C5, C6). */
#include "cli/install/install.h"
#include "os/file.h"
#include "os/path.h"
#include "os/service.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/run/log.h"
#include "config/routes.h"

#define ROUTES_TEXT_MAX (1u << 20)

/* ---- shared with uninstall ---------------------------------------------------------------------
 */

void smx_install_say(const char *subject, const char *fmt, ...)
{
	char text[2 * SMX_OS_PATH_MAX], line[4 * SMX_OS_PATH_MAX];
	va_list ap;
	int n;

	n = snprintf(text, sizeof(text), "%.*s: ", SMX_OS_PATH_MAX - 1, subject);
	va_start(ap, fmt);
	(void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	/* Paths are the user's own, and still not to drive the terminal. */
	smx_sanitize(text, strlen(text), line, sizeof(line));
	printf("%s\n", line);
	/* What other steps say goes to stderr as well: in this order. */
	(void)fflush(stdout);
}

const char *smx_install_words(struct smx_buf *err, int r)
{
	const char *words = smx_buf_len(err) > 0 ? smx_buf_cstr(err) : NULL;

	smx_buf_reset(err);
	return words ? words : smx_strerror(r);
}

int smx_install_paths(struct smx_install *in)
{
	char *home = NULL, *usual = NULL;
	int r;

	smx_buf_init(&in->err, SMX_INSTALL_ERR);
	if ((r = smx_cli_paths(&in->ssh_dir, &in->control_path)) != 0)
		return r;
	if ((r = smx_os_path_join(in->ssh_dir, SMX_LOG_FILE, &in->log_path)) == 0 &&
		(r = smx_os_home(&home, &in->err)) == 0 &&
		(r = smx_os_path_join(home, ".ssh", &usual)) == 0)
		in->is_usual_dir = strcmp(usual, in->ssh_dir) == 0;
	smx_free(home);
	smx_free(usual);
	if (r != 0)
		return smx_cli_fail(
			smx_cli_exit_code(r), NULL, "%s", smx_install_words(&in->err, r));
	return 0;
}

void smx_install_release(struct smx_install *in)
{
	smx_free(in->ssh_dir);
	smx_free(in->control_path);
	smx_free(in->routes_path);
	smx_free(in->log_path);
	smx_free(in->program);
	smx_free(in->ssh_bin);
	smx_buf_release(&in->err);
}

/* ---- the steps ---------------------------------------------------------------------------------
 */

static int find_routes(struct smx_install *in, const char *typed)
{
	char *usual = NULL;
	int r;

	r = smx_os_path_join(in->ssh_dir, SMX_ROUTES_FILE, &usual);
	if (r == 0 && typed) {
		r = smx_os_path_absolute(typed, &in->routes_path);
	} else if (r == 0) {
		in->routes_path = usual;
		usual = NULL;
	}
	if (r == 0)
		in->is_usual_routes = !usual || strcmp(usual, in->routes_path) == 0;
	smx_free(usual);
	if (r != 0)
		return smx_cli_fail(smx_cli_exit_code(r), "check the name",
			"install: the routes file %s: %s", typed ? typed : SMX_ROUTES_FILE,
			smx_strerror(r));
	return 0;
}

static int step_directory(struct smx_install *in)
{
	int r = smx_os_dir_ensure(in->ssh_dir, &in->err);

	return r == 0 ? 0
		      : smx_cli_fail(
				smx_cli_exit_code(r), NULL, "%s", smx_install_words(&in->err, r));
}

/* NULL if they can't be read. */
static struct smx_routes *read_routes(struct smx_install *in)
{
	struct smx_routes *routes = NULL;
	struct smx_buf text;

	smx_buf_init(&text, ROUTES_TEXT_MAX);
	if (smx_os_file_read(in->routes_path, ROUTES_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, NULL) == 0)
		(void)smx_routes_parse(smx_buf_as_view(&text), in->routes_path, &routes, &in->err);
	smx_buf_reset(&in->err);
	smx_buf_release(&text);
	return routes;
}

/* Routes that are there are the user's to remove. */
static int check_except(struct smx_install *in)
{
	struct smx_routes *routes = read_routes(in);
	int r = 0;

	for (size_t i = 0; r == 0 && routes && i < in->n_except; i++)
		if (smx_routes_find(routes, in->except[i]))
			r = smx_cli_fail(SMX_EXIT_CONFIG, "remove it there, and run this again",
				"--except %s: %s has that route", in->except[i], in->routes_path);
	smx_routes_unref(routes);
	return r;
}

static int step_routes(struct smx_install *in)
{
	struct smx_cli_import o = {
		.ssh_dir = in->ssh_dir,
		.out = in->routes_path,
		.ssh_bin = in->ssh_bin,
		.write = 1,
		.except = in->except,
		.n_except = in->n_except,
	};
	struct smx_os_stamp stamp;
	int r;

	if ((r = check_except(in)) != 0)
		return r;
	if (smx_os_file_stamp(in->routes_path, &stamp) == SMX_ENOTFOUND)
		return smx_cli_import(&o);
	smx_install_say(in->routes_path,
		"used as it is; to add new hosts to it: ssh-mux import-config --merge");
	return 0;
}

static int step_setup(struct smx_install *in)
{
	struct smx_cli_setup o = {
		.ssh_dir = in->ssh_dir,
		.routes_path = in->is_usual_routes ? NULL : in->routes_path,
		.ssh_bin = in->ssh_bin,
		.program = in->program,
		.port = in->port ? in->port : SMX_DEFAULT_PORT,
		.via = in->via,
		.all = in->all,
	};

	return smx_cli_setup(&o);
}

/* The path of config as a shell wants it. */
static int say_config(const struct smx_install *in, struct smx_buf *out)
{
	char *path;
	int r = smx_os_path_join(in->ssh_dir, SMX_SSH_CONFIG_FILE, &path);

	if (r != 0)
		return r;
	r = smx_os_has_cmd_scripts() ? smx_buf_printf(out, "\"%s\"", path)
				     : smx_service_shell_word(out, path);
	smx_free(path);
	return r;
}

static void say_next(struct smx_install *in)
{
	struct smx_routes *routes = read_routes(in);
	struct smx_buf config;

	smx_buf_init(&config, 4 * SMX_OS_PATH_MAX);
	printf("\nThe log is %s.\n", in->log_path);
	if (!routes || routes->n_routes == 0)
		printf("Write a route into %s, and run ssh-mux install again.\n", in->routes_path);
	else if (in->is_usual_dir)
		printf("Next: ssh %s\n", routes->routes[0].name);
	else if (say_config(in, &config) == 0 && smx_buf_cstr(&config))
		printf("Next: ssh -F %s %s\n", smx_buf_cstr(&config), routes->routes[0].name);
	smx_buf_release(&config);
	smx_routes_unref(routes);
}

static int install(struct smx_install *in, const char *routes)
{
	static int (*const steps[])(struct smx_install *) = { step_directory, step_routes,
		smx_install_program, smx_install_keys, step_setup, smx_install_service };
	int r;

	if ((r = smx_install_paths(in)) != 0 || (r = find_routes(in, routes)) != 0)
		return r;
	for (size_t i = 0; i < SMX_ARRAY_LEN(steps); i++) {
		if ((r = steps[i](in)) == 0)
			continue;
		(void)fprintf(stderr, "%s\n",
			i == 0 ? "Nothing was changed."
			       : "What was done up to here is complete and stays; "
				 "ssh-mux install goes on from there.");
		return r;
	}
	say_next(in);
	return 0;
}

/* ---- the command -------------------------------------------------------------------------------
 */

enum { OPT_VIA = 256, OPT_SSH_BIN, OPT_EXCEPT, OPT_ALL };

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "port", required_argument, NULL, 'p' },
	{ "timeout", required_argument, NULL, 't' },
	{ "via", required_argument, NULL, OPT_VIA },
	{ "ssh-bin", required_argument, NULL, OPT_SSH_BIN },
	{ "except", required_argument, NULL, OPT_EXCEPT },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "yes", no_argument, NULL, 'y' },
	SMX_CLI_COMMON_OPTIONS,
};

static int take_number(const char *name, const char *text, uint64_t max, uint64_t *ret)
{
	if (smx_cli_parse_number(text, 1, max, ret) == 0)
		return 0;
	return smx_cli_fail(SMX_EXIT_USAGE, NULL,
		"install: --%s must be a number from 1 to %llu, not %s", name,
		(unsigned long long)max, text);
}

static int take_option(struct smx_install *in, const char **routes, int c, char *text)
{
	uint64_t n;
	int r = 0;

	switch (c) {
	case 'c':
		*routes = text;
		break;
	case 'p':
		if ((r = take_number("port", text, 65535, &n)) == 0)
			in->port = (uint16_t)n;
		break;
	case 't':
		if ((r = take_number("timeout", text, UINT32_MAX, &n)) == 0)
			in->timeout_s = (uint32_t)n;
		break;
	case OPT_VIA:
		r = smx_cli_take_via("install", text, &in->via);
		break;
	case OPT_EXCEPT:
		r = smx_cli_take_except("install", text, in->except, &in->n_except);
		break;
	case OPT_ALL:
		in->all = 1;
		break;
	case OPT_SSH_BIN:
		smx_free(in->ssh_bin);
		in->ssh_bin = NULL;
		/* A bare name is looked for in PATH. */
		if (smx_os_path_name(text) != text)
			(void)smx_os_path_absolute(text, &in->ssh_bin);
		else if (*text)
			in->ssh_bin = smx_strdup(text);
		if (!in->ssh_bin)
			r = smx_cli_fail(SMX_EXIT_USAGE, "check the name",
				"install: --ssh-bin %s can't be used", text);
		break;
	default:
		in->yes = 1;
		break;
	}
	return r;
}

static int run(int argc, char **argv)
{
	struct smx_install in = { .via = SMX_SETUP_VIA_DEFAULT };
	const char *routes = NULL;
	int c, r;

	while ((c = smx_cli_getopt(argc, argv, "+:c:p:yhV", options, &smx_cmd_install, &r)) != -1) {
		if (c == -2 || (r = take_option(&in, &routes, c, optarg)) != 0)
			goto out;
	}
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_install)) == 0)
		r = install(&in, routes);
out:
	smx_install_release(&in);
	return r;
}

const struct smx_command smx_cmd_install = {
	.name = "install",
	.summary = "import, set up, and start the daemon at each login",
	.usage = "usage: ssh-mux install [OPTION]...\n"
		 "\n"
		 "Make the routes file from your ssh configuration unless there is one, as\n"
		 "import-config does; tell ssh about the routes, as setup-config does; and have\n"
		 "systemd or launchd start the daemon now and at each login, or print the command\n"
		 "for that. The program is copied into the SSH directory, unless it is the\n"
		 "system's. A second run changes only what has to be changed. ssh-mux uninstall\n"
		 "removes it all.\n"
		 "\n"
		 "  -c, --config FILE      routes file (default: ssh-mux-routes.toml in the SSH\n"
		 "                         directory)\n"
		 "  -p, --port PORT        local port (default: 2222)\n"
		 "      --timeout SECONDS  close an unused connection after this (default: 600)\n"
		 "      --via HOW          how ssh reaches ssh-mux: control (default; Unix), tcp\n"
		 "                         (default on Windows) or proxy: see setup-config --help\n"
		 "      --except NAMES     leave these hosts to ssh (separated by commas)\n"
		 "      --all              with tcp and proxy: also hosts that need what ssh-mux\n"
		 "                         can't do, see setup-config --help\n"
		 "      --ssh-bin PROGRAM  the ssh to ask (default: ssh in PATH)\n"
		 "  -y, --yes              restart the daemon even if that ends open channels\n"
		 "  -h, --help             show this text\n"
		 "  -V, --version          show the version\n",
	.run = run,
};
