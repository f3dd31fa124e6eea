/* SPDX-License-Identifier: MIT */
/* ssh-mux import-config: a routes file from an existing client configuration (C3, C4). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/sshconf/import.h"
#include "config/routes.h"
#include "mux/core/daemon.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/start.h"

#define HELP "see: ssh-mux import-config --help"
#define AGAIN \
	"to add new hosts to it: ssh-mux import-config --merge; to replace it: --write --force"
#define ERR_MAX    4096
#define NAME_SHOWN 64

static const struct option options[] = {
	{ "from", required_argument, NULL, 'F' },
	{ "out", required_argument, NULL, 'o' },
	{ "write", no_argument, NULL, 'w' },
	{ "force", no_argument, NULL, 'f' },
	{ "merge", no_argument, NULL, 'm' },
	{ "transports", no_argument, NULL, 't' },
	{ "except", required_argument, NULL, 'x' },
	{ "ssh-bin", required_argument, NULL, 's' },
	SMX_CLI_COMMON_OPTIONS,
};

/* ---- before ------------------------------------------------------------------------------------
 */

static int no_memory(void)
{
	return smx_cli_fail(SMX_EXIT_OSERR, NULL, "%s", smx_strerror(SMX_ENOMEM));
}

int import_failed(const struct import_job *job, int r)
{
	if (r == SMX_ELIMIT)
		return smx_cli_fail(smx_cli_exit_code(r), "import a part of it: --from FILE",
			"%s is too much: more than %d hosts and jump hosts, or %u bytes",
			job->config, SMX_IMPORT_HOSTS_MAX, SMX_IMPORT_TEXT_MAX);
	return smx_cli_fail(
		smx_cli_exit_code(r), NULL, "cannot import %s: %s", job->config, smx_strerror(r));
}

/* The main file, and whether it is the one that ssh reads by itself. */
static int find_config(struct import_job *job)
{
	char *home = NULL, *ssh_dir = NULL, *own = NULL;
	struct smx_os_stamp st;
	int r;

	if (job->o->from)
		r = (job->config = smx_strdup(job->o->from)) ? 0 : SMX_ENOMEM;
	else
		r = smx_os_path_join(job->o->ssh_dir, SMX_SSH_CONFIG_FILE, &job->config);
	if (r != 0)
		goto out;
	if (smx_os_home(&home, NULL) == 0 && smx_os_path_join(home, ".ssh", &ssh_dir) == 0 &&
		smx_os_path_join(ssh_dir, SMX_SSH_CONFIG_FILE, &own) == 0)
		job->is_default = strcmp(own, job->config) == 0;
	job->is_missing = smx_os_file_stamp(job->config, &st) == SMX_ENOTFOUND;
out:
	smx_free(home);
	smx_free(ssh_dir);
	smx_free(own);
	return r == 0 ? 0 : no_memory();
}

/* Whether two paths lead to one file. */
static int is_same_file(const struct smx_os_stamp *a, const char *path)
{
	struct smx_os_stamp b;

	return smx_os_file_stamp(path, &b) == 0 && a->inode == b.inode && a->device == b.device;
}

static int find_out(struct import_job *job)
{
	struct smx_os_stamp st;
	int r, is_there;

	if (job->o->out)
		r = (job->out_path = smx_strdup(job->o->out)) ? 0 : SMX_ENOMEM;
	else
		r = smx_os_path_join(job->o->ssh_dir, SMX_ROUTES_FILE, &job->out_path);
	if (r != 0)
		return no_memory();
	/* Said before anybody waits for the rest; the write looks for itself. */
	is_there = job->o->write && smx_os_file_stamp(job->out_path, &st) == 0;
	if (is_there && is_same_file(&st, job->config))
		return smx_cli_fail(SMX_EXIT_USAGE, HELP,
			"%s is what is imported, and never written", job->out_path);
	/* It would be replaced by nothing at all: somebody has another directory in mind. */
	if (is_there && job->o->force && job->is_missing)
		return smx_cli_fail(SMX_EXIT_NOINPUT, HELP,
			"there is no %s to import, so %s is left as it is", job->config,
			job->out_path);
	if (is_there && !job->o->force && !job->o->merge)
		return smx_cli_fail(
			SMX_EXIT_CANTCREAT, AGAIN, "%s is there already", job->out_path);
	return 0;
}

static int find_ssh(struct import_job *job)
{
	const char *name = job->o->ssh_bin ? job->o->ssh_bin : "ssh";
	char *absolute = NULL;
	int r;

	/* "./ssh" is a path, "ssh" a name. */
	if (smx_os_path_name(name) != name && smx_os_path_absolute(name, &absolute) == 0)
		name = absolute;
	r = smx_os_find_program(name, &job->ssh);
	if (r == SMX_ENOTFOUND && job->o->ssh_bin)
		r = smx_cli_fail(SMX_EXIT_NOINPUT, HELP, "there is no program %s", name);
	else if (r == SMX_ENOTFOUND)
		r = smx_cli_fail(SMX_EXIT_NOINPUT,
			"install OpenSSH's client, or name it: --ssh-bin /path/to/ssh",
			"there is no ssh in PATH");
	else if (r != 0)
		r = no_memory();
	smx_free(absolute);
	return r;
}

static const char *environment(const char *name)
{
	return smx_os_getenv(name);
}

static int begin(struct import_job *job)
{
	struct smx_import_options o = { .own_key_alias = SMX_HOST_KEY_ALIAS,
		.env = environment,
		.transports = job->o->transports,
		.no_jump_table = job->o->merge };
	char *home = NULL;
	int code, r;

	if ((code = find_config(job)) != 0 || (code = find_out(job)) != 0)
		return code;
	if (job->is_missing && job->o->from)
		return smx_cli_fail(SMX_EXIT_NOINPUT, HELP, "there is no %s", job->config);
	if (!job->is_missing && (code = find_ssh(job)) != 0)
		return code;
	(void)smx_os_home(&home, NULL);
	o.source = job->config;
	o.home = home;
	r = smx_import_new(&o, &job->import);
	smx_free(home);
	return r == 0 ? 0 : no_memory();
}

/* ---- what is said ------------------------------------------------------------------------------
 */

static void say_left_out(const struct import_job *job)
{
	struct smx_import_left_out l;
	struct smx_cli_table t;
	char name[NAME_SHOWN];
	struct smx_buf text;
	const char *s;
	size_t at = 0;

	smx_cli_table_init(&t, 3, 0);
	smx_buf_init(&text, SMX_IMPORT_TEXT_MAX);
	while (smx_import_left_out(job->import, &at, &l)) {
		char place[SMX_OS_PATH_MAX];

		smx_sanitize(l.name, strlen(l.name), name, sizeof(name));
		smx_cli_table_cell(&t, "%s", name);
		s = import_short_path(job, l.place.file);
		smx_sanitize(s, strlen(s), place, sizeof(place));
		smx_cli_table_cell(&t, "%s:%u:%u", place, l.place.line, l.place.column);
		smx_cli_table_cell(&t, "%s", l.why);
	}
	if (t.cell_count > 0)
		(void)fprintf(stderr, "%zu left out; ssh goes on with them as before:\n",
			t.cell_count / t.columns);
	if (smx_cli_table_print(&t, "  ", &text) == 0 && (s = smx_buf_cstr(&text)) != NULL)
		(void)fputs(s, stderr);
	smx_buf_release(&text);
	smx_cli_table_release(&t);
}

/* W3: one line for each host that wants more than a login; the others aren't mentioned. */
static void say_needs(const struct import_job *job)
{
	struct smx_import_need need;
	struct smx_cli_table t;
	struct smx_buf text;
	const char *s;
	size_t at = 0;

	smx_cli_table_init(&t, 2, 0);
	smx_buf_init(&text, SMX_IMPORT_TEXT_MAX);
	while (smx_import_needs(job->import, &at, &need)) {
		smx_cli_table_cell(&t, "%s", need.name);
		smx_cli_table_cell(&t, "%s", need.text);
	}
	if (t.cell_count > 0)
		(void)fprintf(stderr,
			"%zu of them ask%s for more than a login, see their routes:\n",
			t.cell_count / t.columns, t.cell_count == t.columns ? "s" : "");
	if (smx_cli_table_print(&t, "  ", &text) == 0 && (s = smx_buf_cstr(&text)) != NULL)
		(void)fputs(s, stderr);
	smx_buf_release(&text);
	smx_cli_table_release(&t);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

/* A line about a path, whatever is in its name. */
static void say_path(const char *before, const char *path, const char *after)
{
	char text[SMX_OS_PATH_MAX];

	smx_sanitize(path, strlen(path), text, sizeof(text));
	(void)fprintf(stderr, "%s%s%s\n", before, text, after);
}

static void say_counts(const struct import_job *job)
{
	struct smx_import_counts c = smx_import_counts(job->import);
	char path[SMX_OS_PATH_MAX];

	smx_sanitize(job->config, strlen(job->config), path, sizeof(path));
	(void)fprintf(stderr, "%zu route%s from %s:\n", c.routes, plural(c.routes), path);
	if (c.direct > 0)
		(void)fprintf(stderr, "  %zu without a jump host\n", c.direct);
	if (c.via_jump > 0)
		(void)fprintf(stderr, "  %zu through %s, the most common jump host: [jump]\n",
			c.via_jump, c.jump_view);
	if (c.via_others > 0)
		(void)fprintf(stderr,
			"  %zu through another jump host or several; they say `jump = ...`\n",
			c.via_others);
	if (c.made_up > 0)
		(void)fprintf(stderr,
			"  %zu of these for a jump host that has no Host of its own: jump-...\n",
			c.made_up);
	if (job->n_patterns > 0)
		(void)fprintf(stderr, "%zu pattern%s no route; what %s in the others\n",
			job->n_patterns, job->n_patterns == 1 ? " is" : "s are",
			job->n_patterns == 1 ? "it sets is" : "they set is");
	say_needs(job);
	say_left_out(job);
}

/* ---- after -------------------------------------------------------------------------------------
 */

/* P1: who has two accounts at one host should see that they stay two; whoever has not, why there
 * are two logins. */
static void say_twins(const struct smx_routes *routes)
{
	const struct smx_route *twin;

	for (size_t i = 0; i < routes->n_routes; i++) {
		if ((twin = smx_routes_twin(routes, &routes->routes[i])) != NULL)
			(void)fprintf(stderr,
				"%s and %s lead to the same user, host and port with different "
				"keys; each gets its own login\n",
				twin->name, routes->routes[i].name);
	}
}

/* What is written must be what the daemon reads. */
static int check(const struct smx_buf *text, struct smx_routes **ret)
{
	struct smx_routes *routes;
	struct smx_buf err;
	int r;

	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX);
	r = smx_routes_parse(smx_buf_as_view(text), "the imported routes", &routes, &err);
	if (r == 0)
		*ret = routes;
	else
		r = smx_cli_fail(r == SMX_ENOMEM ? SMX_EXIT_OSERR : SMX_EXIT_SOFTWARE, NULL,
			"nothing was written: %s", smx_errtext(r, &err));
	smx_buf_release(&err);
	return r;
}

/* Whether the file has this content already. */
static int is_written(const struct import_job *job, const struct smx_buf *text)
{
	struct smx_buf old;
	int same;

	smx_buf_init(&old, SMX_IMPORT_TEXT_MAX);
	same = smx_os_file_read(
		       job->out_path, SMX_IMPORT_TEXT_MAX, SMX_OS_FILE_PLAIN, &old, NULL) == 0 &&
	       smx_view_eq_view(smx_buf_as_view(&old), smx_buf_as_view(text));
	smx_buf_release(&old);
	return same;
}

static int write_out(const struct import_job *job, const struct smx_buf *text)
{
	const uint8_t *p = smx_buf_view(text);
	size_t len = smx_buf_len(text);
	struct smx_buf err;
	int r = 0, code;

	if (job->o->force && is_written(job, text)) {
		say_path("", job->out_path, " says all this already; it is left as it is");
		return 0;
	}
	smx_buf_init(&err, ERR_MAX);
	if (!job->o->out)
		r = smx_os_dir_ensure(job->o->ssh_dir, &err);
	if (r == 0 && job->o->force)
		r = smx_os_file_write_atomic(job->out_path, p, len, 0600, &err);
	else if (r == 0)
		r = smx_os_file_create(job->out_path, p, len, 0600, &err);
	if (r == SMX_EEXISTS)
		code = smx_cli_fail(
			SMX_EXIT_CANTCREAT, AGAIN, "%s is there already", job->out_path);
	else if (r != 0)
		code = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_errtext(r, &err));
	else
		code = 0;
	if (code == 0)
		say_path("wrote ", job->out_path, "");
	smx_buf_release(&err);
	return code;
}

/* ---- --merge -----------------------------------------------------------------------------------
 */

struct merge {
	const struct import_job *job;
	size_t n;
};

/* An smx_os_edit_fn: nothing of what is there is changed, and what comes of it is read once more.
 */
static int edit_merge(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	struct merge *m = arg;
	struct smx_routes *routes = NULL, *after = NULL;
	int r;

	(void)is_missing;
	if ((r = smx_routes_parse(old, m->job->out_path, &routes, err)) == 0 &&
		(r = smx_import_merge(m->job->import, routes, old, out, &m->n)) == 0)
		r = smx_routes_parse(smx_buf_as_view(out), m->job->out_path, &after, err);
	smx_routes_unref(routes);
	smx_routes_unref(after);
	return r != 0 ? r : smx_view_eq_view(old, smx_buf_as_view(out));
}

static int merge(const struct import_job *job)
{
	const char *fault = smx_import_common_fault(job->import);
	struct merge m = { .job = job };
	struct smx_buf err;
	int r, code = 0;

	if (fault)
		return smx_cli_fail(SMX_EXIT_CONFIG, "nothing was written",
			"no host of %s can be imported: %s", job->config, fault);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_file_edit(job->out_path, SMX_IMPORT_TEXT_MAX, 0600, edit_merge, &m, NULL, &err);
	if (r != 0)
		code = smx_cli_fail(
			smx_cli_exit_code(r), "nothing was written", "%s", smx_errtext(r, &err));
	else
		(void)fprintf(
			stderr, "%zu new route%s added to %s\n", m.n, plural(m.n), job->out_path);
	smx_buf_release(&err);
	if (code == 0) {
		say_needs(job);
		say_left_out(job);
	}
	return code;
}

/* Whether there is a file to add to. */
static int is_merge(const struct import_job *job)
{
	struct smx_os_stamp st;

	return job->o->merge && smx_os_file_stamp(job->out_path, &st) == 0;
}

static int deliver(const struct import_job *job)
{
	const char *fault = smx_import_common_fault(job->import);
	struct smx_routes *routes = NULL;
	struct smx_buf text;
	int code, r;

	/* One mistake in the configuration makes ssh refuse every host. */
	if (fault)
		return smx_cli_fail(SMX_EXIT_CONFIG, "nothing was written",
			"no host of %s can be imported: %s", job->config, fault);
	smx_buf_init(&text, SMX_IMPORT_TEXT_MAX);
	if ((r = smx_import_toml(job->import, &text)) != 0) {
		code = import_failed(job, r);
		goto out;
	}
	if ((code = check(&text, &routes)) != 0)
		goto out;
	if (!job->o->write &&
		fwrite(smx_buf_view(&text), 1, smx_buf_len(&text), stdout) != smx_buf_len(&text))
		code = smx_cli_fail(SMX_EXIT_IOERR, NULL, "cannot write to the standard output");
	if (code != 0)
		goto out;
	(void)fflush(stdout);
	say_counts(job);
	say_twins(routes);
	if (job->o->write)
		code = write_out(job, &text);
	else
		say_path("nothing was written; to write ", job->out_path,
			": ssh-mux import-config --write");
out:
	smx_routes_unref(routes);
	smx_buf_release(&text);
	return code;
}

/* Everything is asked. 0 or the exit code. */
static int gather(struct import_job *job)
{
	int code, r = 0;

	if (job->is_missing) {
		smx_cli_warn("there is no %s: the routes are yours to write", job->config);
	} else {
		if (import_ask_init(job) != 0)
			return smx_cli_fail(
				SMX_EXIT_OSERR, NULL, "the system refuses an event loop");
		if ((code = import_scan(job)) != 0)
			return code;
		for (size_t i = 0; r == 0 && i < job->o->n_except; i++)
			r = smx_import_except(job->import, job->o->except[i]);
		if (r == 0 && (code = import_ask(job)) != 0)
			return code;
	}
	/* ssh is done with them. */
	import_scan_release(job);
	if (r == 0)
		r = smx_import_finish(job->import);
	return r == 0 ? 0 : import_failed(job, r);
}

static void release(struct import_job *job)
{
	import_scan_release(job);
	import_ask_release(job);
	smx_import_free(job->import);
	smx_free(job->config);
	smx_free(job->out_path);
	smx_free(job->ssh);
}

int smx_cli_import(const struct smx_cli_import *o)
{
	struct import_job job = { .o = o };
	int code;

	if ((code = begin(&job)) == 0 && (code = gather(&job)) == 0)
		code = is_merge(&job) ? merge(&job) : deliver(&job);
	release(&job);
	return code;
}

int smx_cli_import_needs(const struct smx_cli_import *o, smx_cli_need_fn *fn, void *arg)
{
	struct import_job job = { .o = o };
	struct smx_import_need need;
	size_t at = 0;
	int code;

	if ((code = begin(&job)) == 0 && !job.is_missing && (code = gather(&job)) == 0)
		while (smx_import_needs(job.import, &at, &need))
			fn(arg, &need);
	release(&job);
	return code;
}

/* ---- the command -------------------------------------------------------------------------------
 */

/* Paths of the command line, made absolute. */
static int typed_path(const char *text, char **to)
{
	smx_free(*to);
	*to = NULL;
	if (smx_os_path_absolute(text, to) == 0)
		return 0;
	return smx_cli_fail(SMX_EXIT_USAGE, HELP, "import-config: %s is no path", text);
}

int smx_cli_take_except(
	const char *command, char *text, const char *list[SMX_CLI_EXCEPT_MAX], size_t *n)
{
	const char *fault;

	while (text) {
		char *comma = strchr(text, ',');

		if (comma)
			*comma = '\0';
		if ((fault = smx_route_name_fault(smx_view_of(text, strlen(text)))) != NULL)
			return smx_cli_fail(SMX_EXIT_USAGE, NULL, "%s: --except \"%s\": a name %s",
				command, text, fault);
		if (*n == SMX_CLI_EXCEPT_MAX)
			return smx_cli_fail(SMX_EXIT_USAGE, NULL,
				"%s: more than %d names in --except", command, SMX_CLI_EXCEPT_MAX);
		list[(*n)++] = text;
		text = comma ? comma + 1 : NULL;
	}
	return 0;
}

/* What goes together. */
static int check_options(const struct smx_cli_import *o)
{
	if (o->force && o->merge)
		return smx_cli_fail(SMX_EXIT_USAGE, HELP,
			"import-config: --force replaces the file, --merge keeps it: which?");
	if (o->force && !o->write)
		return smx_cli_fail(SMX_EXIT_USAGE, HELP,
			"import-config: --force says how to --write, which is missing");
	return 0;
}

/* 0, or the exit code with *ret_is_over set. */
static int parse(int argc, char **argv, struct smx_cli_import *o, const char **except, char **from,
	char **out, int *ret_is_over)
{
	int c, code = 0;

	while ((c = smx_cli_getopt(argc, argv, ":h", options, &smx_cmd_import_config, &code)) !=
		-1) {
		if (c == 'F')
			code = typed_path(optarg, from);
		else if (c == 'o')
			code = typed_path(optarg, out);
		else if (c == 'w')
			o->write = 1;
		else if (c == 'f')
			o->force = 1;
		else if (c == 'm')
			o->merge = o->write = 1;
		else if (c == 't')
			o->transports = 1;
		else if (c == 'x')
			code = smx_cli_take_except("import-config", optarg, except, &o->n_except);
		else if (c == 's')
			o->ssh_bin = optarg;
		if (c == -2 || code != 0) {
			*ret_is_over = 1;
			return code;
		}
	}
	if ((code = smx_cli_no_arguments(argc, argv, &smx_cmd_import_config)) == 0)
		code = check_options(o);
	*ret_is_over = code != 0;
	o->from = *from;
	o->out = *out;
	return code;
}

static int run(int argc, char **argv)
{
	const char *except[SMX_CLI_EXCEPT_MAX];
	struct smx_cli_import o = { .except = except };
	char *from = NULL, *out = NULL, *ssh_dir = NULL;
	struct smx_buf err, warning;
	int code, is_over = 0, r;

	smx_buf_init(&err, ERR_MAX);
	smx_buf_init(&warning, 3 * SMX_OS_PATH_MAX);
	code = parse(argc, argv, &o, except, &from, &out, &is_over);
	if (is_over)
		goto out;
	if ((r = smx_os_ssh_dir(&ssh_dir, &warning, &err)) != 0) {
		code = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_errtext(r, &err));
		goto out;
	}
	if (smx_buf_len(&warning) > 0)
		smx_cli_warn("%s", smx_buf_cstr(&warning));
	o.ssh_dir = ssh_dir;
	code = smx_cli_import(&o);
out:
	smx_buf_release(&err);
	smx_buf_release(&warning);
	smx_free(from);
	smx_free(out);
	smx_free(ssh_dir);
	return code;
}

const struct smx_command smx_cmd_import_config = {
	.name = "import-config",
	.summary = "make the routes file from an existing ssh configuration",
	.usage =
		"usage: ssh-mux import-config [OPTION]...\n"
		"\n"
		"Print a routes file with a route for each host that the ssh configuration\n"
		"names: every Host alias without a wildcard, as `ssh -G` resolves it, so that\n"
		"Match, Include and \"Host *\" count as they do for ssh. Nothing is changed "
		"unless\n"
		"--write or --merge is given, and the configuration that is read never is.\n"
		"Commands of \"Match exec\" run, as they do when ssh connects.\n"
		"\n"
		"Omitted, with the reason: hosts (or jump hosts) that have a ProxyCommand, and\n"
		"names and values that ssh-mux does not accept.\n"
		"\n"
		"  --from FILE        ssh configuration (default: config in the SSH directory)\n"
		"  --out FILE         routes file (default: ssh-mux-routes.toml there)\n"
		"  --write            write it instead of printing it\n"
		"  --force            replace an existing one\n"
		"  --merge            write: add the hosts that it lacks, and change nothing else\n"
		"  --transports       take hosts whose ProxyCommand needs no shell: the daemon\n"
		"                     runs it\n"
		"  --except NAMES     leave these hosts to ssh; the file remembers it\n"
		"  --ssh-bin PROGRAM  the ssh to ask (default: ssh in PATH)\n"
		"  -h, --help         show this text\n"
		"  -V, --version      show the version\n",
	.run = run,
};
