/* SPDX-License-Identifier: MIT */
/* ssh-mux connect: a terminal client of its own (D2). The session is session.c's. */
#include "cli/cli.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/session/session.h"
#include "cli/session/target.h"
#include "crypto/key.h"
#include "crypto/keyfile.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"

#define HOST_KEY_PUB_FILE "ssh-mux-host-key.pub"
#define COMMAND_MAX       (128 * 1024)
#define HELP              "see: ssh-mux connect --help"

/* The words as one command, as ssh joins them. */
static int join_words(struct smx_buf *out, char **words, int n)
{
	int r = 0;

	for (int i = 0; i < n && r == 0; i++)
		if (i == 0 || (r = smx_buf_put_str(out, " ")) == 0)
			r = smx_buf_put_str(out, words[i]);
	if (r == 0 && !smx_buf_cstr(out))
		r = SMX_ENOMEM;
	return r == 0 ? 0
		      : smx_cli_fail(SMX_EXIT_USAGE, NULL, "connect: the command: %s",
				r == SMX_ELIMIT ? "it is too long" : smx_strerror(r));
}

/* The key that the daemon must have: that of its file in the SSH directory. */
static int read_host_key(struct smx_buf *blob)
{
	char *ssh_dir = NULL, *control_path = NULL, *path = NULL;
	struct smx_buf text, err;
	struct smx_view line, rest;
	const uint8_t *end;
	int r;

	if ((r = smx_cli_paths(&ssh_dir, &control_path)) != 0)
		return r;
	smx_buf_init(&text, SMX_KEY_BLOB_MAX * 2);
	smx_buf_init(&err, 2 * SMX_OS_PATH_MAX);
	if ((r = smx_os_path_join(ssh_dir, HOST_KEY_PUB_FILE, &path)) == 0 &&
		(r = smx_os_file_read(
			 path, SMX_KEY_BLOB_MAX * 2, SMX_OS_FILE_PLAIN, &text, &err)) == 0) {
		line = smx_buf_as_view(&text);
		end = memchr(line.p, '\n', line.len);
		line.len = end ? (size_t)(end - line.p) : line.len;
		r = smx_pubkey_line_parse(line, blob, &rest);
	}
	if (r != 0)
		r = smx_cli_fail(smx_cli_exit_code(r), "restart the daemon, which writes it again",
			"the daemon's host key %s: %s", path ? path : HOST_KEY_PUB_FILE,
			smx_errtext(r, &err));
	smx_buf_release(&text);
	smx_buf_release(&err);
	smx_free(path);
	smx_free(control_path);
	smx_free(ssh_dir);
	return r;
}

static int connect_to(const struct smx_cli_target *t, struct smx_session_options *opts)
{
	struct smx_cli_client c;
	struct smx_buf key;
	int code = SMX_SESSION_FAILED, fd;

	smx_buf_init(&key, SMX_KEY_BLOB_MAX);
	/* Whatever of this goes wrong: no code of ours may pass for one of the command's. */
	if (smx_cli_client_open_or_start(&c) == 0) {
		if (read_host_key(&key) == 0 && smx_cli_client_connect(&c, t->route, t->user,
							t->host, (uint32_t)t->port) == 0) {
			opts->host_key = smx_buf_as_view(&key);
			fd = c.fd;
			c.fd = -1; /* the session closes it */
			code = smx_session_run(fd, smx_buf_as_view(&c.in), opts);
		}
		smx_cli_client_close(&c);
	}
	smx_buf_release(&key);
	return code;
}

static const struct option options[] = { SMX_CLI_COMMON_OPTIONS };

static int run(int argc, char **argv)
{
	struct smx_session_options opts = { .user = "connect" };
	struct smx_cli_target target;
	struct smx_buf command;
	int c, r, pty = -1;

	while ((c = smx_cli_getopt(argc, argv, "+:tThV", options, &smx_cmd_connect, &r)) != -1) {
		if (c == -2)
			return r;
		pty = c == 't';
	}
	if (optind >= argc)
		return smx_cli_fail(
			SMX_EXIT_USAGE, HELP, "connect takes a route, or user@host[:port]");
	if ((r = smx_cli_target_take(&target, "connect", argv[optind])) != 0)
		return r;
	opts.name = argv[optind++];
	smx_buf_init(&command, COMMAND_MAX);
	if (optind < argc && (r = join_words(&command, argv + optind, argc - optind)) != 0) {
		smx_buf_release(&command);
		return r;
	}
	opts.command = optind < argc ? smx_buf_cstr(&command) : NULL;
	/* As ssh: a terminal for a shell at a terminal. */
	opts.wants_pty = pty >= 0 ? pty : !opts.command && smx_os_is_terminal(0);
	r = connect_to(&target, &opts);
	smx_buf_release(&command);
	return r;
}

const struct smx_command smx_cmd_connect = {
	.name = "connect",
	.summary = "open a shell or run a command, without an ssh client",
	.usage =
		"usage: ssh-mux connect [-t | -T] NAME [COMMAND...]\n"
		"       ssh-mux connect [-t | -T] USER@NAME[:PORT] [COMMAND...]\n"
		"       ssh-mux connect [-t | -T] USER@HOST[:PORT] [COMMAND...]\n"
		"\n"
		"Open a shell, or run COMMAND, on route NAME over the shared login. A daemon is\n"
		"started if none runs, and what the login needs (a one-time code, a password) is\n"
		"asked here. USER@NAME takes the path of route NAME, with its jump hosts and\n"
		"keys, and logs in as USER. USER@HOST that is the target of a route takes that\n"
		"route's path, any other is reached directly.\n"
		"\n"
		"  -t             with a terminal, also for a command\n"
		"  -T             without a terminal, also for a shell\n"
		"  -h, --help     show this text\n"
		"  -V, --version  show the version\n"
		"\n"
		"The exit code is the command's; 128 plus the number of the signal that ended\n"
		"it; 255 if ssh-mux failed; 64 for a wrong command line. Ctrl-C and the like go\n"
		"to the remote; at the beginning of a line, ~. ends the session and ~~ is one ~.\n",
	.run = run,
	.hears_secrets = 1,
};
