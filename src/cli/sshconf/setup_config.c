/* SPDX-License-Identifier: MIT */
/*
 * ssh-mux setup-config: tells ssh about the routes (C1, C2).
 *
 * The files are made in the order in which each needs the one before: the host key, then
 * known_hosts with it, then the Host blocks that insist on it, then the Include that brings them
 * into effect. So whenever it is interrupted, what is there works as far as it goes, and the next
 * run does the rest.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/color.h"
#include "cli/sshconf/diff.h"
#include "cli/sshconf/setup.h"
#include "config/service_text.h"
#include "config/socket_name.h"
#include "mux/doors/keyring.h"
#include "mux/doors/local_key.h"
#include "os/door.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/service.h"
#include "sshconf/hosts_conf.h"
#include "sshconf/import.h"
#include "trust/authorized_keys.h"

#define ROUTES_TEXT_MAX  (1024 * 1024)
#define ERR_MAX          (4 * SMX_OS_PATH_MAX)
#define PROBE_TIMEOUT_MS 10000
#define PROBE_OUT_MAX    (256 * 1024)

struct setup {
	const struct smx_cli_setup *o;
	char *routes_path, *hosts_path, *known_path, *config_path;
	char *program, *ssh; /* NULL: none needed, none found */
	int is_home; /* the SSH directory is the account's ~/.ssh */
	enum smx_setup_via via;
	char *control_dir; /* with VIA_CONTROL */
	unsigned char *has_block; /* as well, by route */
	unsigned char *is_left; /* by route: ssh's own affair */
	struct smx_routes *routes;
	char *client_key; /* the private key that logs in locally (W5); unless VIA_CONTROL */
	const char *identities[1];
	struct smx_buf key_blob; /* the local server's; empty in a dry run without one */
	struct smx_buf client_blob;
	struct smx_hosts_conf conf;
	struct smx_include include;
	struct smx_include_found found; /* in config as it was */
	int changed; /* some file was, or would be */
};

const char *smx_setup_said(struct smx_buf *err, int r)
{
	const char *text = smx_buf_len(err) ? smx_buf_cstr(err) : NULL;

	return text ? text : smx_strerror(r);
}

static int no_memory(void)
{
	return smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
}

/* ---- what there is -----------------------------------------------------------------------------
 */

static int load_routes(struct setup *s)
{
	struct smx_buf text, err;
	int r;

	smx_buf_init(&text, ROUTES_TEXT_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_file_read(s->routes_path, ROUTES_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == SMX_ENOTFOUND)
		r = smx_cli_fail(SMX_EXIT_NOINPUT,
			s->o->routes_path ? "check the name"
					  : "make it from your ssh config with: ssh-mux "
					    "import-config --write",
			"there is no routes file %s", s->routes_path);
	else if (r != 0 || (r = smx_routes_parse(
				    smx_buf_as_view(&text), s->routes_path, &s->routes, &err)) != 0)
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_setup_said(&err, r));
	smx_buf_release(&text);
	smx_buf_release(&err);
	if (r == 0 && s->routes->n_routes == 0)
		smx_cli_warn("%s has no routes, so there is nothing to tell ssh", s->routes_path);
	return r;
}

static int find_paths(struct setup *s)
{
	const char *dir = s->o->ssh_dir;
	char *home = NULL, *home_ssh = NULL;
	int r;

	if ((r = smx_os_path_join(dir, SMX_HOSTS_FILE, &s->hosts_path)) != 0 ||
		(r = smx_os_path_join(dir, SMX_KNOWN_FILE, &s->known_path)) != 0 ||
		(r = smx_os_path_join(dir, SMX_SSH_CONFIG_FILE, &s->config_path)) != 0 ||
		(r = s->o->routes_path
				? ((s->routes_path = smx_strdup(s->o->routes_path)) ? 0
										    : SMX_ENOMEM)
				: smx_os_path_join(dir, SMX_ROUTES_FILE, &s->routes_path)) != 0)
		goto out;
	/* Without a home directory no path is below it. */
	if (smx_os_home(&home, NULL) == 0 && smx_os_path_join(home, ".ssh", &home_ssh) == 0)
		s->is_home = strcmp(home_ssh, dir) == 0;
	if (s->via == SMX_SETUP_VIA_PROXY) {
		if (s->o->program)
			r = (s->program = smx_strdup(s->o->program)) ? 0 : SMX_ENOMEM;
		else
			r = smx_os_self_path(&s->program);
	}
out:
	smx_free(home);
	smx_free(home_ssh);
	if (r != 0)
		return smx_cli_fail(
			smx_cli_exit_code(r), NULL, "the paths below %s: %s", dir, smx_strerror(r));
	return 0;
}

/* Before anything is written: what could not be written so that ssh reads the same. */
static int check_paths(const struct setup *s)
{
	const char *path = s->o->ssh_dir, *fault = smx_conf_path_fault(path, !s->is_home);

	if (!fault)
		fault = smx_conf_path_fault(path = s->routes_path, 0);
	if (!fault && s->control_dir)
		fault = smx_conf_path_fault(path = s->control_dir, 0);
	if (!fault && s->program && strpbrk(s->program, "\r\n"))
		fault = smx_conf_path_fault(path = s->program, 0);
	if (!fault)
		return 0;
	return smx_cli_fail(SMX_EXIT_CONFIG, "give it another name",
		"%s can't be written into a config of ssh: its name %s", path, fault);
}

/* Where the daemon's control sockets are, or will be; what can't be served by them. */
static int find_control(struct setup *s)
{
	struct smx_buf err;
	int r;

	if (!(s->is_left = smx_calloc(s->routes->n_routes + 1, 1)))
		return no_memory();
	if (s->via != SMX_SETUP_VIA_CONTROL)
		return 0;
	smx_buf_init(&err, ERR_MAX);
	if ((r = smx_os_doors_where(s->o->ssh_dir, &s->control_dir, &err)) == SMX_EUNSUPPORTED)
		r = smx_cli_fail(SMX_EXIT_UNAVAILABLE, "use --via tcp or --via proxy",
			"ssh has no shared connections on this system");
	else if (r != 0)
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_setup_said(&err, r));
	else if (!(s->has_block = smx_calloc(s->routes->n_routes + 1, 1)))
		r = no_memory();
	smx_buf_release(&err);
	return r;
}

static void say_too_long(const struct setup *s)
{
	for (size_t i = 0; s->control_dir && i < s->routes->n_routes; i++)
		if (smx_socket_form(&s->routes->routes[i], s->conf.control_room) == SMX_SOCKET_NONE)
			smx_cli_warn("%s is not shared: its names are too long for a socket in %s",
				s->routes->routes[i].name, s->control_dir);
}

/*
 * ssh would wait for a FIFO without end, and no line can be put into one, or into a directory or
 * device: said before anything is written or ssh is run. Links are judged later, for ssh reads a
 * config through them.
 */
static int check_config(const struct setup *s)
{
	if (smx_os_file_is_regular(s->config_path) != 0)
		return 0;
	return smx_cli_fail(smx_cli_exit_code(SMX_EUNSAFE),
		"move it away, and run this again: a file is put in its place",
		"%s is not a regular file, so it can't be ssh's config", s->config_path);
}

/* ---- what ssh knows ----------------------------------------------------------------------------
 */

/* ssh -G with no config but -o option. What it complains of it would complain of in every call. */
static int ssh_takes(const struct setup *s, const char *option)
{
	const char *argv[] = { s->ssh, "-F", "none", "-T", "-G", "-o", option, "x", NULL };
	struct smx_buf out, err;
	int r, code = -1, silent;

	smx_buf_init(&out, 1);
	smx_buf_init(&err, 256);
	r = smx_os_run(argv, PROBE_TIMEOUT_MS, &out, &err, &code);
	silent = smx_buf_len(&err) == 0;
	smx_buf_release(&out);
	smx_buf_release(&err);
	return r == 0 && code == 0 && silent;
}

static int ask_ssh(struct setup *s)
{
	const char *name = s->o->ssh_bin ? s->o->ssh_bin : "ssh";
	int r = smx_os_find_program(name, &s->ssh);

	if (r == SMX_ENOMEM)
		return no_memory();
	if (r == 0 && ssh_takes(s, "Port=22")) {
		for (int i = 0; i < SMX_HOSTS_OPTIONS; i++)
			if (ssh_takes(s, smx_hosts_option_probe((enum smx_hosts_option)i)))
				s->conf.known |= 1u << i;
		return 0;
	}
	if (s->o->ssh_bin)
		return smx_cli_fail(SMX_EXIT_NOINPUT, "check --ssh-bin",
			r != 0 ? "there is no program %s" : "%s is no ssh that knows -G", name);
	smx_cli_warn("no ssh that knows -G is in PATH: what newer versions have is left out; name "
		     "one with --ssh-bin and run this again");
	return 0;
}

/* ---- the files ---------------------------------------------------------------------------------
 */

struct file {
	const char *path;
	size_t max_len;
	smx_os_edit_fn *edit;
	void *arg;
};

/* What smx_os_file_edit would do, as a diff. */
static int show(const struct file *f, struct smx_buf *err, int *ret_changed)
{
	struct smx_diff d = { .path = f->path,
		.colour = smx_cli_color_wanted(1),
		.sanitize = smx_os_is_terminal(1) };
	struct smx_buf before, after, text;
	size_t mark = smx_buf_len(err);
	int r;

	smx_buf_init(&before, f->max_len);
	smx_buf_init(&after, f->max_len + SMX_OS_PATH_MAX * 3);
	smx_buf_init(&text, 8 * f->max_len);
	r = smx_os_file_read(f->path, f->max_len, SMX_OS_FILE_PLAIN, &before, err);
	if (r == SMX_ENOTFOUND) {
		smx_buf_truncate(err, mark);
		d.is_new = 1;
		r = 0;
	}
	if (r == 0)
		r = f->edit(f->arg, smx_buf_as_view(&before), d.is_new, &after, err);
	*ret_changed = r == 0;
	if (r == 0) {
		d.before = smx_buf_as_view(&before);
		d.after = smx_buf_as_view(&after);
		if ((r = smx_cli_diff(&d, &text)) == 0 && smx_buf_len(&text))
			(void)fwrite(smx_buf_view(&text), 1, smx_buf_len(&text), stdout);
	} else if (r == 1) {
		r = 0;
	}
	smx_buf_release(&before);
	smx_buf_release(&after);
	smx_buf_release(&text);
	return r;
}

/* 0 and what was, or would be, done said on stdout; or SMX_E* and a line in err. */
static int apply(struct setup *s, const struct file *f, const char *done, struct smx_buf *err)
{
	int changed = 0, r;

	if (s->o->dry_run)
		r = show(f, err, &changed);
	else
		r = smx_os_file_edit(f->path, f->max_len, 0600, f->edit, f->arg, &changed, err);
	if (r != 0)
		return r;
	s->changed |= changed;
	if (!s->o->dry_run && !s->o->for_app)
		printf("%s: %s\n", f->path, changed ? done : "unchanged");
	return 0;
}

/* A key that we keep is made if it is missing; its public half into blob. */
static int take_key(struct setup *s, enum local_key which, const char *file, const char *goes_into,
	struct smx_buf *blob)
{
	struct smx_key *key = NULL;
	struct smx_buf err;
	int r, made = 0;

	smx_buf_init(&err, ERR_MAX);
	if (s->o->dry_run)
		r = local_key_peek(s->o->ssh_dir, which, &key, &err);
	else
		r = local_key_load(s->o->ssh_dir, which, &key, &made, &err);
	if (r == SMX_ENOTFOUND && s->o->dry_run) {
		printf("# %s/%s would be made, and its public half put into %s\n", s->o->ssh_dir,
			file, goes_into);
		s->changed = 1;
		r = 0;
	} else if (r == 0) {
		r = smx_key_to_blob(key, blob);
	}
	if (r != 0)
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_setup_said(&err, r));
	else if (made && !s->o->for_app)
		printf("%s/%s: made\n", s->o->ssh_dir, file);
	s->changed |= made;
	smx_key_free(key);
	smx_buf_release(&err);
	return r;
}

/* Whether an edit would change nothing: then nobody's lock need be waited for. */
static int is_done(const struct file *f)
{
	struct smx_buf old, out;
	int yes;

	smx_buf_init(&old, f->max_len);
	smx_buf_init(&out, f->max_len + SMX_OS_PATH_MAX);
	yes = smx_os_file_read(f->path, f->max_len, SMX_OS_FILE_PLAIN, &old, NULL) == 0 &&
	      f->edit(f->arg, smx_buf_as_view(&old), 0, &out, NULL) == 1;
	smx_buf_release(&old);
	smx_buf_release(&out);
	return yes;
}

/*
 * W5: ssh logs in at the local server with a key that is there for that alone, so it is the same
 * whether the user's own keys are in files, encrypted, in an agent, or nowhere.
 */
static int take_client_key(struct setup *s)
{
	struct smx_setup_local local = { .ssh_dir = s->o->ssh_dir };
	struct file f = { NULL, SMX_AUTHORIZED_KEYS_TEXT_MAX, smx_setup_local_edit, &local };
	struct smx_buf err;
	char *list = NULL;
	int r;

	if (smx_os_path_join(s->o->ssh_dir, CLIENT_KEY_FILE, &s->client_key) != 0 ||
		smx_os_path_join(s->o->ssh_dir, KEYRING_FILE, &list) != 0)
		return no_memory();
	s->conf.identity = s->identities;
	s->identities[0] = s->client_key;
	s->conf.n_identity = s->conf.identities_only = 1;
	r = take_key(s, LOCAL_KEY_CLIENT, CLIENT_KEY_FILE, list, &s->client_blob);
	if (r == 0 && smx_buf_len(&s->client_blob) > 0) {
		smx_buf_init(&err, ERR_MAX);
		local.blob = smx_buf_as_view(&s->client_blob);
		f.path = list;
		if (!s->o->dry_run && is_done(&f)) {
			if (!s->o->for_app)
				printf("%s: unchanged\n", list);
		} else if ((r = apply(s, &f, "the key for the local server put in", &err)) != 0)
			r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_setup_said(&err, r));
		smx_buf_release(&err);
	}
	smx_free(list);
	return r;
}

/*
 * The key is put where ssh looks for it, so that nobody is ever asked about it. Should the file be
 * busy, ssh may take it at first sight (C1): a second run makes that strict.
 */
static int put_known(struct setup *s)
{
	struct smx_setup_known known = { .path = s->known_path,
		.alias = SMX_HOST_KEY_ALIAS,
		.blob = smx_buf_as_view(&s->key_blob) };
	struct file f = { s->known_path, SMX_SETUP_KNOWN_MAX, smx_setup_known_edit, &known };
	struct smx_buf err;
	int r;

	if (smx_buf_len(&s->key_blob) == 0)
		return 0;
	smx_buf_init(&err, ERR_MAX);
	r = apply(s, &f, "the local server's key put in", &err);
	if (r == SMX_ETIMEOUT || r == SMX_ESYS) {
		smx_cli_warn("%s; ssh will take the local server's key at first sight: run this "
			     "again later",
			smx_setup_said(&err, r));
		s->conf.accept_new = 1;
		r = 0;
	} else if (r != 0) {
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_setup_said(&err, r));
	} else if (known.is_replaced) {
		smx_cli_warn("%s had another key for the local server, which %s replaced: the "
			     "server's key is a new one",
			s->known_path, s->o->dry_run ? "would be" : "is");
	}
	smx_buf_release(&err);
	return r;
}

/* An smx_os_edit_fn; arg: the setup. */
static int edit_hosts(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	const struct setup *s = arg;
	int r;

	if (!smx_hosts_conf_is_ours(old)) {
		if (err)
			(void)smx_buf_printf(err,
				"%s was not made by setup-config, so it is left alone; move it "
				"away and run this again",
				s->hosts_path);
		return SMX_EEXISTS;
	}
	if ((r = smx_hosts_conf_write(s->routes, &s->conf, out)) != 0)
		return r;
	return !is_missing && smx_view_eq_view(old, smx_buf_as_view(out));
}

static int put_hosts(struct setup *s)
{
	struct file f = { s->hosts_path, SMX_HOSTS_CONF_MAX, edit_hosts, s };
	struct smx_buf err;
	size_t n = 0;
	char done[64];
	int r;

	for (size_t i = 0; i < s->routes->n_routes; i++)
		n += !s->is_left[i];
	smx_buf_init(&err, ERR_MAX);
	(void)snprintf(done, sizeof(done), "written, %zu route%s", n, n == 1 ? "" : "s");
	if ((r = apply(s, &f, done, &err)) != 0)
		r = smx_cli_fail(r == SMX_EEXISTS ? SMX_EXIT_CONFIG : smx_cli_exit_code(r), NULL,
			"%s", smx_setup_said(&err, r));
	smx_buf_release(&err);
	return r;
}

/* ---- the user's own config ---------------------------------------------------------------------
 */

/* An smx_os_edit_fn; arg: the setup. */
static int edit_config(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	struct setup *s = arg;
	int r;

	(void)is_missing;
	(void)err;
	if ((r = smx_include_find(&s->include, old, &s->found)) != 0)
		return r;
	return s->found.place != SMX_INCLUDE_NONE ? 1 : smx_include_prepend(&s->include, old, out);
}

/* Whether what ssh says of the first route is by our block. */
static int is_our_answer(const struct setup *s, const char *text)
{
	size_t n;

	if (s->via != SMX_SETUP_VIA_CONTROL)
		return strstr(text, "\nhostkeyalias " SMX_HOST_KEY_ALIAS "\n") != NULL;
	n = strlen(s->control_dir);
	return (text = strstr(text, "\ncontrolpath ")) != NULL &&
	       strncmp(text += strlen("\ncontrolpath "), s->control_dir, n) == 0 && text[n] == '/';
}

/* The first route that ssh is sent to us for; NULL: there is none. */
static const char *first_taken(const struct setup *s)
{
	for (size_t i = 0; i < s->routes->n_routes; i++) {
		const struct smx_route *route = &s->routes->routes[i];

		if (!s->is_left[i] &&
			(!s->control_dir ||
				smx_socket_form(route, s->conf.control_room) != SMX_SOCKET_NONE))
			return route->name;
	}
	return NULL;
}

/*
 * What ssh, given this config, says of a route: 1 if it comes to our block, 0 if not, with what is
 * wrong added to why; -1 if it can't be asked.
 */
static int ask_about_route(const struct setup *s, struct smx_buf *why)
{
	const char *argv[] = { s->ssh, "-F", s->config_path, "-T", "-G", NULL, NULL }, *text;
	struct smx_buf out, err;
	int r, code = 0, found = -1;

	if (!s->ssh || !(argv[5] = first_taken(s)))
		return -1;
	smx_buf_init(&out, PROBE_OUT_MAX);
	smx_buf_init(&err, SMX_OS_PATH_MAX);
	r = smx_os_run(argv, PROBE_TIMEOUT_MS, &out, &err, &code);
	if (r == 0 && code != 0) {
		found = 0;
		text = smx_buf_cstr(&err);
		(void)smx_buf_printf(why, "it says: %.*s", text ? (int)strcspn(text, "\r\n") : 0,
			text ? text : "");
	} else if (r == 0 && (text = smx_buf_cstr(&out)) != NULL) {
		found = is_our_answer(s, text);
		if (!found &&
			smx_buf_put_str(why, "something before the Include line says "
					     "otherwise; compare: ssh -G -F ") == 0 &&
			smx_service_shell_word(why, s->config_path) == 0)
			(void)smx_buf_printf(why, " %s", argv[5]);
	}
	smx_buf_release(&out);
	smx_buf_release(&err);
	return found;
}

/*
 * A symlink to somewhere (dotfile managers have them), or a file that others can write: not ours to
 * change (C8). It is no obstacle once the line is there.
 */
static int config_refused(struct setup *s, struct smx_buf *err, int r)
{
	struct smx_buf line, remedy;
	int code;

	smx_buf_init(&line, 4 * SMX_OS_PATH_MAX);
	if (r == SMX_EUNSAFE && ask_about_route(s, &line) == 1) {
		smx_cli_warn("%s was left alone, for %s; it includes %s already", s->config_path,
			smx_setup_said(err, r), s->hosts_path);
		smx_buf_release(&line);
		return 0;
	}
	smx_buf_reset(&line);
	smx_buf_init(&remedy, 5 * SMX_OS_PATH_MAX);
	if (r != SMX_EUNSAFE || smx_include_line(&s->include, &line) != 0 ||
		smx_buf_printf(&remedy, "or put this line at its top yourself: %s",
			smx_buf_cstr(&line)) != 0)
		code = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_setup_said(err, r));
	else
		code = smx_cli_fail(
			smx_cli_exit_code(r), smx_buf_cstr(&remedy), "%s", smx_setup_said(err, r));
	smx_buf_release(&line);
	smx_buf_release(&remedy);
	return code;
}

/* The line stays where the user has put it; what that means is said. */
static void warn_of_place(const struct setup *s)
{
	const struct smx_include_found *f = &s->found;

	if (f->has_bom)
		smx_cli_warn("%s starts with a byte order mark, which ssh takes for a part of its "
			     "first line and refuses on most systems; save it without",
			s->config_path);
	if (f->place == SMX_INCLUDE_CONDITIONAL)
		smx_cli_warn("%s:%u includes %s below a Host or Match line, so it only counts for "
			     "what that matches; move the line to the top of the file",
			s->config_path, f->line, SMX_HOSTS_FILE);
	else if (f->place == SMX_INCLUDE_LATE)
		smx_cli_warn("%s:%u includes %s behind other options, which win over the routes'; "
			     "move the line to the top of the file",
			s->config_path, f->line, SMX_HOSTS_FILE);
	if (f->count > 1)
		smx_cli_warn("%s includes %s %u times; one is enough", s->config_path,
			SMX_HOSTS_FILE, f->count);
}

static int put_include(struct setup *s)
{
	struct file f = { s->config_path, SMX_USER_CONF_MAX, edit_config, s };
	struct smx_buf err;
	int r;

	smx_buf_init(&err, ERR_MAX);
	if ((r = apply(s, &f, "one Include line put on top", &err)) != 0)
		r = config_refused(s, &err, r);
	else
		warn_of_place(s);
	smx_buf_release(&err);
	return r;
}

/* The proof: whatever stands in the way, and wherever it is included from, is found here. */
static void check_effect(const struct setup *s)
{
	struct smx_buf why;

	smx_buf_init(&why, 4 * SMX_OS_PATH_MAX);
	if (ask_about_route(s, &why) == 0 && smx_buf_cstr(&why))
		smx_cli_warn("ssh, asked about %s, does not come to %s: %s", first_taken(s),
			s->control_dir ? "its control socket" : "the local server",
			smx_buf_cstr(&why));
	smx_buf_reset(&why);
	if (!s->is_home && smx_service_shell_word(&why, s->config_path) == 0 && smx_buf_cstr(&why))
		printf("ssh reads it with: ssh -F %s ROUTE\n", smx_buf_cstr(&why));
	smx_buf_release(&why);
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

static void set_conf(struct setup *s)
{
	s->conf.routes_path = s->routes_path;
	s->conf.known_path = s->known_path;
	s->conf.key_alias = SMX_HOST_KEY_ALIAS;
	s->conf.port = s->o->port ? s->o->port : SMX_DEFAULT_PORT;
	s->conf.control_dir = s->control_dir;
	s->conf.control_room = s->control_dir ? smx_os_doors_room(s->control_dir) : 0;
	s->conf.has_block = s->has_block;
	s->conf.is_left = s->is_left;
	s->conf.program = s->program;
	/* Without a shell there is nothing to set a variable with. */
	if (!s->is_home && !smx_os_has_cmd_scripts())
		s->conf.program_ssh_dir = s->o->ssh_dir;
	else if (!s->is_home && s->program)
		smx_cli_warn("ssh-mux proxy, as ssh starts it, takes its SSH directory from the "
			     "environment; set it for good: setx SSH_MUX_SSH_DIR \"%s\"",
			s->o->ssh_dir);
	s->include = (struct smx_include){
		.path = s->hosts_path, .name = SMX_HOSTS_FILE, .is_home = s->is_home
	};
}

/* Whether the route allows all of it. */
static int is_allowed(const struct smx_route *route, unsigned what)
{
	if (route->forwards.n > 0)
		what &= ~(unsigned)SMX_IMPORT_NEEDS_FORWARD;
	if (route->remote_forwards.n > 0)
		what &= ~(unsigned)SMX_IMPORT_NEEDS_LISTEN;
	if (route->agent.is_allowed)
		what &= ~(unsigned)SMX_IMPORT_NEEDS_AGENT;
	if (smx_route_target(route)->algorithms)
		what &= ~(unsigned)SMX_IMPORT_NEEDS_ALGORITHMS;
	return what == 0;
}

/* A smx_cli_need_fn. One line for each host. */
static void on_need(void *arg, const struct smx_import_need *need)
{
	struct setup *s = arg;
	const struct smx_route *route = smx_routes_find(s->routes, need->name);

	if (!route || is_allowed(route, need->what))
		return;
	if (s->via == SMX_SETUP_VIA_CONTROL) {
		printf("%s: %s: ssh connects directly where ssh-mux can't do that\n", need->name,
			need->text);
	} else if (s->o->all) {
		printf("%s: %s: ssh-mux can't do that\n", need->name, need->text);
	} else {
		printf("%s: %s: left to ssh, since ssh-mux can't do that\n", need->name,
			need->text);
		s->is_left[route - s->routes->routes] = 1;
	}
}

/* W3: what a block of the user's needs and we can't do is said, and decides who takes the host. */
static int ask_needs(struct setup *s)
{
	struct smx_cli_import o = { .ssh_dir = s->o->ssh_dir, .ssh_bin = s->ssh };

	struct smx_os_stamp stamp;

	if (!s->ssh || s->routes->n_routes == 0 || smx_os_file_stamp(s->config_path, &stamp) != 0)
		return 0;
	return smx_cli_import_needs(&o, on_need, s);
}

/* Of the hop to the local server: who may log in, and by which key it is known. */
static int prepare_hop(struct setup *s)
{
	int r;

	if ((r = take_client_key(s)) != 0 ||
		(r = take_key(s, LOCAL_KEY_HOST, HOST_KEY_FILE, s->known_path, &s->key_blob)) != 0)
		return r;
	return put_known(s);
}

static int prepare(struct setup *s)
{
	int r;

	if ((r = find_paths(s)) != 0 || (r = load_routes(s)) != 0 || (r = find_control(s)) != 0 ||
		(r = check_paths(s)) != 0 || (r = check_config(s)) != 0)
		return r;
	set_conf(s);
	say_too_long(s);
	if (s->via == SMX_SETUP_VIA_PROXY && s->o->routes_path)
		smx_cli_warn("a daemon that ssh-mux proxy starts reads %s/%s, not %s",
			s->o->ssh_dir, SMX_ROUTES_FILE, s->routes_path);
	if ((r = ask_ssh(s)) != 0)
		return r;
	if ((r = ask_needs(s)) != 0)
		return r;
	if (s->via != SMX_SETUP_VIA_CONTROL)
		return prepare_hop(s);
	smx_setup_own_blocks(s->routes, s->config_path, s->hosts_path, s->has_block, s->is_left);
	return 0;
}

static void release(struct setup *s)
{
	smx_routes_unref(s->routes);
	smx_buf_release(&s->key_blob);
	smx_buf_release(&s->client_blob);
	smx_free(s->client_key);
	smx_free(s->control_dir);
	smx_free(s->has_block);
	smx_free(s->is_left);
	smx_free(s->routes_path);
	smx_free(s->hosts_path);
	smx_free(s->known_path);
	smx_free(s->config_path);
	smx_free(s->program);
	smx_free(s->ssh);
}

/* W6: the keys are made if they are missing; nothing that ssh reads is touched. */
static int tell_app(struct setup *s)
{
	struct smx_setup_app app = { .port = s->o->port };
	int r;

	if ((r = find_paths(s)) != 0 || (r = load_routes(s)) != 0 ||
		(r = take_client_key(s)) != 0 ||
		(r = take_key(s, LOCAL_KEY_HOST, HOST_KEY_FILE, s->known_path, &s->key_blob)) != 0)
		return r;
	app.key_path = s->client_key;
	app.host_key = smx_buf_as_view(&s->key_blob);
	app.routes = s->routes;
	r = smx_setup_print_app(&app, s->o->as_json);
	return r == 0 ? 0 : smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_strerror(r));
}

int smx_cli_setup(const struct smx_cli_setup *o)
{
	struct setup s = { .o = o, .via = smx_cli_real_via(o->via) };
	int r;

	smx_buf_init(&s.key_blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&s.client_blob, SMX_KEY_BLOB_MAX);
	if (o->for_app) {
		s.via = SMX_SETUP_VIA_TCP;
		r = tell_app(&s);
	} else if ((r = prepare(&s)) == 0 && (r = put_hosts(&s)) == 0) {
		r = put_include(&s);
		if (s.via != SMX_SETUP_VIA_CONTROL)
			smx_setup_warn_overlaps(s.routes, s.config_path, s.hosts_path);
		else
			smx_setup_warn_control_paths(
				s.routes, s.config_path, s.hosts_path, s.has_block);
		if (r == 0)
			smx_setup_cursor(o, s.ssh, &s.changed);
		if (r == 0 && !o->dry_run)
			check_effect(&s);
		if (r == 0 && !s.changed)
			printf("Nothing has changed.\n");
	}
	release(&s);
	return r;
}

enum smx_setup_via smx_cli_real_via(enum smx_setup_via via)
{
	if (via != SMX_SETUP_VIA_DEFAULT)
		return via;
	return smx_os_has_doors() ? SMX_SETUP_VIA_CONTROL : SMX_SETUP_VIA_TCP;
}

int smx_cli_take_via(const char *command, const char *text, enum smx_setup_via *ret)
{
	static const char *const names[] = { [SMX_SETUP_VIA_CONTROL] = "control",
		[SMX_SETUP_VIA_TCP] = "tcp",
		[SMX_SETUP_VIA_PROXY] = "proxy" };

	for (size_t i = SMX_SETUP_VIA_CONTROL; i < SMX_ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		*ret = (enum smx_setup_via)i;
		return 0;
	}
	return smx_cli_fail(SMX_EXIT_USAGE, NULL, "%s: --via must be control, tcp or proxy, not %s",
		command, text);
}
