/* SPDX-License-Identifier: MIT */
/*
 * The command line: one file a command, argv in, text out. main.c picks a command; every command
 * is an `int run(int argc, char **argv)` whose argv[0] is its name and whose result is the exit
 * code of the process.
 */
#ifndef SMX_CLI_CLI_H
#define SMX_CLI_CLI_H

#include <getopt.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "cli/color.h"
#include "control/protocol.h"
#include "control/status.h"
#include "mux/core/daemon.h"

/* Exit codes, after sysexits.h (D1). */
enum smx_exit {
	SMX_EXIT_OK = 0,
	SMX_EXIT_USAGE = 64, /* the command line is wrong */
	SMX_EXIT_NOINPUT = 66, /* a file is missing */
	SMX_EXIT_UNAVAILABLE = 69, /* no daemon runs, or another one does */
	SMX_EXIT_SOFTWARE = 70, /* our own fault */
	SMX_EXIT_OSERR = 71, /* no memory, no descriptors */
	SMX_EXIT_CANTCREAT = 73, /* a file that we would make is there already */
	SMX_EXIT_IOERR = 74,
	SMX_EXIT_PROTOCOL = 76, /* the daemon speaks another language */
	SMX_EXIT_NOPERM = 77,
	SMX_EXIT_CONFIG = 78,
};

struct smx_command {
	const char *name;
	const char *summary; /* for the list of commands */
	const char *usage; /* the whole --help text */
	int (*run)(int argc, char **argv);
	int hears_secrets; /* no core of it is left, and nobody's debugger reads it (H3) */
};

extern const struct smx_command smx_cmd_serve, smx_cmd_status, smx_cmd_stop, smx_cmd_lock,
	smx_cmd_unlock, smx_cmd_proxy, smx_cmd_connect, smx_cmd_login, smx_cmd_daemon, smx_cmd_top,
	smx_cmd_import_config, smx_cmd_setup_config, smx_cmd_check_config, smx_cmd_install,
	smx_cmd_uninstall, smx_cmd_doctor, smx_cmd_prompt, smx_cmd_helper;

/* For the completions of shells; in no list. */
extern const struct smx_command smx_cmd_routes;
/* `prompt --terminal`; an exit code of mux/ask/ask_process.h. */
int smx_cli_prompt_terminal(int echo);

/* argv as main got it. */
int smx_cli_main(int argc, char **argv);

/* ---- shared by the commands (cli.c) ------------------------------------------------------------
 */

/* "ssh-mux: what\n" or "ssh-mux: what; remedy\n" on stderr, in one line; returns code. */
int smx_cli_fail(enum smx_exit code, const char *remedy, const char *fmt, ...) SMX_PRINTF(3, 4);
/* "ssh-mux: warning: ...\n" on stderr, in one line. */
void smx_cli_warn(const char *fmt, ...) SMX_PRINTF(1, 2);
/* The exit code for an SMX_E*. */
enum smx_exit smx_cli_exit_code(int err);
/*
 * Next option of a command, as getopt_long; handles --help and --version of cmd and anything
 * unknown (with the nearest option that there is). Returns the option's val, -1 at the end of the
 * options, or -2 when the command is over: its exit code is in *ret_exit. options must hold
 * SMX_CLI_COMMON_OPTIONS.
 */
int smx_cli_getopt(int argc, char **argv, const char *shorts, const struct option *options,
	const struct smx_command *cmd, int *ret_exit);
/* clang-format off */
#define SMX_CLI_COMMON_OPTIONS \
	{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 }
/* clang-format on */
/* SMX_EXIT_OK, or a complaint about the first argument that is left over. */
int smx_cli_no_arguments(int argc, char **argv, const struct smx_command *cmd);
/* Decimal digits only, min <= value <= max. 0 or SMX_EINVAL. */
int smx_cli_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* The nearest of the names to `word` if it is near enough to be a typo, else NULL. */
const char *smx_cli_nearest(const char *word, const char *const *names, size_t count);

/* ---- serve.c ----------------------------------------------------------------------------------
 */

/* What `serve` was asked for. Strings point into argv or at the owned ones below. */
struct smx_cli_serve {
	struct smx_serve_options opts;
	char *ssh_dir, *routes_path, *remote_host; /* owned; opts points at them */
};

/* 1: opts are ready; 0: over, exit code in *ret_exit. Release in either case. Complains itself. */
int smx_cli_serve_parse(int argc, char **argv, struct smx_cli_serve *ret, int *ret_exit);
void smx_cli_serve_release(struct smx_cli_serve *s);
/* What the environment says of it (SSH_MUX_CONFINE, H3), with a warning where that is nothing. */
void smx_cli_serve_environment(struct smx_serve_options *o);
/* The options that `daemon` has too: 'p'ort, 't'imeout, 'm'ax-lifetime, 'l'og-level. 0 or exit
 * code. */
int smx_cli_serve_option(
	struct smx_serve_options *o, const struct smx_command *cmd, int c, const char *text);

/* ---- client.c: talking to the daemon -----------------------------------------------------------
 */

struct smx_cli_client {
	int fd;
	int64_t next_id;
	struct smx_control_reader reader;
	struct smx_buf in; /* bytes behind the last line */
	struct smx_control_hello hello; /* the daemon's */
};

/* Connects and exchanges HELLO. 0, or the exit code (> 0) after saying why on stderr. */
int smx_cli_client_open(struct smx_cli_client *c);
void smx_cli_client_close(struct smx_cli_client *c);
/* Sends a request; *ret_id is what its answer will carry. 0 or exit code as above. */
int smx_cli_client_send(struct smx_cli_client *c, enum smx_control_cmd cmd, int64_t *ret_id);
/*
 * Reads the next line of the answer to `id`; a refusal is said on stderr. *ret_line is valid until
 * the next call. 0 or exit code.
 */
int smx_cli_client_answer(struct smx_cli_client *c, int64_t id, struct smx_view *ret_line,
	struct smx_control_answer *ret_answer);
/* As smx_cli_client_open, but where no daemon runs one is started (daemon.c). */
int smx_cli_client_open_or_start(struct smx_cli_client *c);
/*
 * Ask for `proxy`, and for `connect` to a route or (route NULL) to a target. 0: c->fd carries
 * frames from now on, the first of them in c->in. Or the exit code.
 */
int smx_cli_client_proxy(
	struct smx_cli_client *c, const struct smx_control_target *to, int is_batch);
int smx_cli_client_connect(struct smx_cli_client *c, const char *route, const char *user,
	const char *host, uint32_t port);
/* batch.c: whether the ssh that runs us is in BatchMode, as far as can be known (W7); and whether a
 * command line, words that end with NUL each, says so. */
int smx_cli_is_batch(void);
int smx_cli_args_have_batch(struct smx_view args);
/* The same for `login`; the answer comes in a message frame. */
int smx_cli_client_login(struct smx_cli_client *c, const char *route, const char *user,
	const char *host, uint32_t port, int renew);
/* Says why an answer is a refusal, and returns the exit code. */
int smx_cli_client_refused(const struct smx_control_answer *a);
/*
 * Whether a daemon answers at `path` (of smx_os_control_path), and says HELLO: c is open then. Says
 * nothing if SMX_ENOTFOUND comes, which means that none runs. Else as smx_cli_client_open.
 */
int smx_cli_client_try(struct smx_cli_client *c, const char *path, int *ret_is_absent);
/* Waits until the daemon has closed the connection. 0 or exit code. */
int smx_cli_client_wait_end(struct smx_cli_client *c);
/* The SSH directory and the path of its daemon's endpoint, owned by the caller; warnings are said,
 * and errors. 0 or exit code. */
int smx_cli_paths(char **ret_ssh_dir, char **ret_path);
/* open, send, wait for ok, close. 0 or exit code. */
int smx_cli_client_simple(enum smx_control_cmd cmd);

/* ---- daemon.c ---------------------------------------------------------------------------------
 */

/* Starts a daemon for ssh_dir unless one runs, and waits until it answers at path; c is open then.
 * args: the options of `ssh-mux daemon`, NULL at the end. 0 or exit code, after saying why. */
int smx_cli_daemon_start(struct smx_cli_client *c, const char *ssh_dir, const char *path,
	const char *const *options);

/* ---- import_config.c and setup_config.c: steps of `install` as well ----------------------------
 */

/* Files of the SSH directory that the commands make or read; SMX_ROUTES_FILE is another. */
#define SMX_SSH_CONFIG_FILE "config"
#define SMX_HOSTS_FILE      "ssh-mux-hosts.conf" /* C1 */
#define SMX_KNOWN_FILE      "ssh-mux-known-hosts" /* C1: the local server's key */
#define SMX_HOST_KEY_ALIAS  "ssh-mux" /* what that key stands under there */

struct smx_cli_import {
	const char *ssh_dir; /* as smx_os_ssh_dir gave it */
	const char *from; /* absolute; NULL: config in the SSH directory */
	const char *out; /* absolute; NULL: the routes file in the SSH directory */
	const char *ssh_bin; /* NULL: the ssh of PATH */
	int write; /* else the TOML goes to stdout and no file is touched */
	int force; /* a routes file that is there is replaced */
	int merge; /* new hosts are added to it */
	int transports; /* R7: hosts with a ProxyCommand are taken, if it needs no shell */
	const char *const *except; /* aliases that are left to ssh */
	size_t n_except;
};

/* C3, C4. 0 or the exit code, after saying why. Progress, warnings and a summary go to stderr. */
int smx_cli_import(const struct smx_cli_import *o);

#define SMX_CLI_EXCEPT_MAX 256
/* Takes the argument of --except, names with commas between them, which it cuts up. 0 or the exit
 * code, after saying why. */
int smx_cli_take_except(
	const char *command, char *text, const char *list[SMX_CLI_EXCEPT_MAX], size_t *n);

/*
 * Asks ssh about every alias of the configuration and tells of those that want more than a login
 * (smx_import_needs). 0 or the exit code, after saying why.
 */
struct smx_import_need;
typedef void smx_cli_need_fn(void *arg, const struct smx_import_need *need);
int smx_cli_import_needs(const struct smx_cli_import *o, smx_cli_need_fn *fn, void *arg);

enum smx_setup_via {
	SMX_SETUP_VIA_DEFAULT, /* control where the system has it, else tcp (W3) */
	SMX_SETUP_VIA_CONTROL, /* ControlPath: ssh goes on by itself where we can't serve it */
	SMX_SETUP_VIA_TCP, /* HostName 127.0.0.1 and Port: the seed's form */
	SMX_SETUP_VIA_PROXY, /* ProxyCommand "ssh-mux" proxy NAME: questions come where ssh runs
				(B5) */
};

/* Reads the argument of --via. 0 or the exit code, after saying why. */
int smx_cli_take_via(const char *command, const char *text, enum smx_setup_via *ret);
/* What SMX_SETUP_VIA_DEFAULT stands for here; another one as it is. */
enum smx_setup_via smx_cli_real_via(enum smx_setup_via via);

struct smx_cli_setup {
	const char *ssh_dir;
	const char *routes_path; /* absolute; NULL: the routes file in the SSH directory */
	const char *ssh_bin; /* NULL: the ssh of PATH; asked what it knows */
	const char
		*program; /* absolute path of the ssh-mux for ProxyCommand; NULL: this very one */
	uint16_t port;
	enum smx_setup_via via;
	int all; /* with tcp and proxy: also hosts that need what we can't do */
	int dry_run; /* a diff on stdout and no file is touched */
	int for_app, as_json; /* W6: prints what a program without a config needs; makes our keys */
};

/* C1, C2: ssh-mux-hosts.conf, one Include in config, the host key in ssh-mux-known-hosts. 0 or the
 * exit code, after saying why; what was done, and what was there already, is said on stdout. */
int smx_cli_setup(const struct smx_cli_setup *o);

/* ---- text.c: for people
 * -------------------------------------------------------------------------- */

#define SMX_CLI_TEXT_MAX 32

/* "9s" "3m12s" "2h05m" "4d06h" */
const char *smx_cli_text_age(uint64_t s, char out[SMX_CLI_TEXT_MAX]);
/* "0 B" "1023 B" "12.3 MiB" */
const char *smx_cli_text_bytes(uint64_t n, char out[SMX_CLI_TEXT_MAX]);
/* At most five columns: "0B" "999B" "12.3K" "123M"; multiples of 1024. */
const char *smx_cli_text_rate(uint64_t n, char out[SMX_CLI_TEXT_MAX]);
/* Columns a UTF-8 text takes on a terminal, near enough: one a code point. */
size_t smx_cli_text_width(const char *s);
/* Appends s, cut to so many columns; an ellipsis ("~" if is_ascii) ends what was cut. */
int smx_cli_text_put(struct smx_buf *out, const char *s, size_t columns, int is_ascii);

/*
 * A table with aligned columns: rows of `columns` cells, cells of right-aligned columns padded on
 * the left, no trailing blanks. Cells are copied.
 *
 * Where there is a width, columns of shrink_mask are cut as far as their min_width to fit into it
 * (for others that is what they have at least), then whole columns go in the order of drops, and
 * what is too wide even so is cut at the edge. These may be set any time before the printing.
 */
#define SMX_CLI_TABLE_COLUMNS_MAX 13
struct smx_cli_cell {
	char *text;
	enum smx_cli_style style;
};

struct smx_cli_table {
	size_t columns, cell_count, cell_cap;
	struct smx_cli_cell *cells;
	unsigned right_mask; /* bit i: column i is right-aligned */
	unsigned shrink_mask;
	size_t min_width[SMX_CLI_TABLE_COLUMNS_MAX];
	const uint8_t *drops; /* borrowed */
	size_t drop_count;
	size_t width; /* of a line, 0: as it comes */
	size_t gap; /* blanks between columns, 0: two */
	unsigned hidden_mask; /* columns that are not shown */
	int color, is_ascii;
	int failed; /* an allocation failed: printing says so */
};

void smx_cli_table_init(struct smx_cli_table *t, size_t columns, unsigned right_mask);
void smx_cli_table_release(struct smx_cli_table *t);
void smx_cli_table_cell(struct smx_cli_table *t, const char *fmt, ...) SMX_PRINTF(2, 3);
void smx_cli_table_styled(struct smx_cli_table *t, enum smx_cli_style style, const char *fmt, ...)
	SMX_PRINTF(3, 4);
/* Appends the rows, each behind `indent`. SMX_ENOMEM, SMX_ELIMIT. */
int smx_cli_table_print(const struct smx_cli_table *t, const char *indent, struct smx_buf *out);

/* ---- status.c
 * ------------------------------------------------------------------------------------ */

/* How a text for people is to look. */
struct smx_cli_look {
	int color;
	int is_ascii; /* nothing but ASCII of our own */
	size_t width; /* of a line, 0: as it comes */
};

/* That of the C library's descriptor fd; color: -1 for what fits it, else 0 or 1. */
void smx_cli_look_of(int fd, int color, struct smx_cli_look *ret);
/* "always" "never" "auto" → 1 0 -1. 0, or the exit code after saying why. */
int smx_cli_parse_color(const struct smx_command *cmd, const char *text, int *ret);
/* The style for the state of a connection or channel. */
enum smx_cli_style smx_cli_state_style(const char *state);
/* Its key; and where another has the same, what tells the two apart (P1). */
void smx_cli_connection_cell(struct smx_cli_table *t, const struct smx_status *st,
	const struct smx_status_connection *c);
/* A connection's, with how long it has been stalled. */
void smx_cli_state_cell(struct smx_cli_table *t, const struct smx_status_connection *c);
/* Its least round trip, and of each way that is known what it brings or (has_windows) what may be
 * under way: "40.1ms in 2.3M/s". */
void smx_cli_path_cell(struct smx_cli_table *t, const struct smx_status_path *p, int has_windows);

/* The text of `ssh-mux status`. SMX_ENOMEM, SMX_ELIMIT. */
int smx_cli_status_text(
	const struct smx_status *st, const struct smx_cli_look *look, struct smx_buf *out);

#endif
