/* SPDX-License-Identifier: MIT */
/* ssh-mux setup-config: its options. The work is setup_config.c's. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/sshconf/setup.h"
#include "os/path.h"

#define ERR_MAX (4 * SMX_OS_PATH_MAX)

/* Strings that are owned here; o points at them. */
struct typed {
	char *ssh_dir, *routes_path, *ssh_bin;
};

static int take_path(const char *option, const char *text, char **ret)
{
	char *path = NULL;
	int r = smx_os_path_absolute(text, &path);

	if (r != 0)
		return smx_cli_fail(smx_cli_exit_code(r), NULL, "setup-config: %s %s: %s", option,
			text, smx_strerror(r));
	smx_free(*ret);
	*ret = path;
	return 0;
}

static int take_option(struct smx_cli_setup *o, struct typed *t, int c, const char *text)
{
	uint64_t port;

	switch (c) {
	case 'c':
		return take_path("--config", text, &t->routes_path);
	case 'p':
		if (smx_cli_parse_number(text, 1, 65535, &port) != 0)
			return smx_cli_fail(SMX_EXIT_USAGE, NULL,
				"setup-config: --port must be a number from 1 to 65535, not %s",
				text);
		o->port = (uint16_t)port;
		return 0;
	case 'v':
		return smx_cli_take_via("setup-config", text, &o->via);
	case 'a':
		o->all = 1;
		return 0;
	case 's':
		if (smx_os_path_name(text) != text)
			return take_path("--ssh-bin", text, &t->ssh_bin);
		smx_free(t->ssh_bin);
		return (t->ssh_bin = smx_strdup(text))
			       ? 0
			       : smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
	case 'A':
		o->for_app = 1;
		return 0;
	case 'j':
		o->as_json = 1;
		return 0;
	default:
		o->dry_run = 1;
		return 0;
	}
}

static int take_ssh_dir(struct typed *t)
{
	struct smx_buf warning, err;
	int r;

	smx_buf_init(&warning, ERR_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_ssh_dir(&t->ssh_dir, &warning, &err);
	if (smx_buf_len(&warning) > 0 && smx_buf_cstr(&warning))
		smx_cli_warn("%s", smx_buf_cstr(&warning));
	if (r != 0)
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_setup_said(&err, r));
	smx_buf_release(&warning);
	smx_buf_release(&err);
	return r;
}

static void print_next(const struct smx_cli_setup *o)
{
	if (o->dry_run)
		printf("# nothing was written: this was a dry run\n");
	else if (smx_cli_real_via(o->via) == SMX_SETUP_VIA_PROXY)
		printf("Next: ssh ROUTE\n");
	else
		printf("Next: ssh-mux install, or ssh-mux daemon%s; then: ssh ROUTE\n",
			o->port == SMX_DEFAULT_PORT ? "" : " with the same -p");
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "port", required_argument, NULL, 'p' },
		{ "via", required_argument, NULL, 'v' },
		{ "ssh-bin", required_argument, NULL, 's' },
		{ "all", no_argument, NULL, 'a' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "for-app", no_argument, NULL, 'A' },
		{ "json", no_argument, NULL, 'j' },
		SMX_CLI_COMMON_OPTIONS,
	};
	struct smx_cli_setup o = { .port = SMX_DEFAULT_PORT };
	struct typed t = { NULL, NULL, NULL };
	int c, r = 0;

	while (r == 0 && (c = smx_cli_getopt(argc, argv, "+:c:p:nhV", options,
				  &smx_cmd_setup_config, &r)) != -1) {
		if (c == -2)
			goto out;
		r = take_option(&o, &t, c, optarg);
	}
	if (r != 0 || (r = smx_cli_no_arguments(argc, argv, &smx_cmd_setup_config)) != 0 ||
		(r = take_ssh_dir(&t)) != 0)
		goto out;
	if ((o.as_json && !o.for_app) || (o.dry_run && o.for_app)) {
		r = smx_cli_fail(SMX_EXIT_USAGE, NULL, "setup-config: %s",
			o.dry_run ? "--for-app has no dry run" : "--json goes with --for-app");
		goto out;
	}
	o.ssh_dir = t.ssh_dir;
	o.routes_path = t.routes_path;
	o.ssh_bin = t.ssh_bin;
	if ((r = smx_cli_setup(&o)) == 0 && !o.for_app)
		print_next(&o);
out:
	smx_free(t.ssh_dir);
	smx_free(t.routes_path);
	smx_free(t.ssh_bin);
	return r;
}

const struct smx_command smx_cmd_setup_config = {
	.name = "setup-config",
	.summary = "tell ssh about the routes",
	.usage =
		"usage: ssh-mux setup-config [OPTION]...\n"
		"\n"
		"Make ssh, scp, git, editors and all else that reads your ssh configuration use\n"
		"the routes: write one Host block per route into ssh-mux-hosts.conf and put one\n"
		"Include line on top of config. The rest of config stays as it is. A second run\n"
		"changes nothing; one with another --via changes the blocks.\n"
		"\n"
		"  -c, --config FILE  routes file (default: ssh-mux-routes.toml in the SSH\n"
		"                     directory)\n"
		"  -p, --port PORT    the local server's port (default: 2222)\n"
		"      --via HOW      control: ssh uses the shared connection at a socket, and\n"
		"                     connects directly without the daemon (default; Unix);\n"
		"                     tcp: it connects to the local port (default on Windows);\n"
		"                     proxy: it runs ssh-mux proxy, which starts the daemon if\n"
		"                     needed and asks for codes and host keys where ssh runs\n"
		"      --all          with tcp and proxy: also hosts that need what ssh-mux can't\n"
		"                     do (they are listed, and left to ssh otherwise)\n"
		"  -n, --dry-run      show what would change as a diff, and write nothing\n"
		"      --for-app      print what programs without an ssh configuration need:\n"
		"                     host, port, user, key file, the host key; your ssh\n"
		"                     configuration is not touched\n"
		"      --json         with --for-app: print it as one JSON object\n"
		"      --ssh-bin PROGRAM\n"
		"                     the ssh that is asked which options it knows (default: ssh\n"
		"                     in PATH)\n"
		"  -h, --help         show this text\n"
		"  -V, --version      show the version\n"
		"\n"
		"The SSH directory is ~/.ssh, or $SSH_MUX_SSH_DIR.\n",
	.run = run,
};
