/* SPDX-License-Identifier: MIT */
/* ssh-mux check-config: what a daemon would read, read without one (B10, R3, L5). */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/routes.h"
#include "crypto/keyfile.h"
#include "mux/doors/keyring.h"
#include "mux/doors/local_key.h"
#include "mux/forward/agent_forward.h"
#include "mux/pool/identity.h"
#include "mux/pool/known_files.h"
#include "mux/pool/prepare.h"
#include "os/agent.h"
#include "os/file.h"
#include "os/path.h"
#include "trust/authorized_keys.h"
#include "trust/known_hosts.h"

#define ROUTES_TEXT_MAX (1024 * 1024)
#define ERRORS_MAX      (256 * 1024)
#define LINE_SIZE       (SMX_OS_PATH_MAX + 2048)
#define SEEN_MAX        256

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	SMX_CLI_COMMON_OPTIONS,
};

enum kind { FINDING_ERROR, FINDING_WARNING, FINDING_NOTE, N_KINDS };

struct check {
	char *ssh_dir, *routes_path;
	struct smx_routes *routes; /* NULL: in error */
	struct smx_known_hosts *known;
	size_t n_keys;
	unsigned n[N_KINDS];
	/* Files looked at, of which enough was said; borrowed from the routes. */
	const char *seen[SEEN_MAX];
	size_t n_seen;
};

/* --- findings --- */

/* One line, "place: kind: text". A text that begins by naming the place need not do so twice. */
static void put(struct check *c, enum kind kind, const char *place, const char *text)
{
	static const char *const names[] = { "error", "warning", "note" };
	char raw[LINE_SIZE], line[LINE_SIZE];
	size_t n = strlen(place);

	if (n && strncmp(text, place, n) == 0 && text[n] == ' ')
		text += n + 1;
	(void)snprintf(raw, sizeof(raw), "%s: %s: %s", place, names[kind], text);
	smx_sanitize(raw, strlen(raw), line, sizeof(line));
	(void)printf("%s\n", line);
	c->n[kind]++;
}

static void say(struct check *c, enum kind kind, const char *place, const char *fmt, ...)
	SMX_PRINTF(4, 5);

static void say(struct check *c, enum kind kind, const char *place, const char *fmt, ...)
{
	char text[LINE_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(c, kind, place, text);
}

/* Lines that begin with the name of a file and a place in it, "file:7:1: what\n". */
static int say_lines(struct check *c, enum kind kind, const char *file, struct smx_buf *lines)
{
	size_t n = strlen(file);
	char *all, *line, *end, *text;

	if (smx_buf_len(lines) == 0)
		return 0;
	if (!smx_buf_cstr(lines) || !(all = smx_strdup(smx_buf_cstr(lines))))
		return SMX_ENOMEM;
	for (line = all; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		text = strncmp(line, file, n) == 0 ? strstr(line + n, ": ") : NULL;
		if (text)
			*text = '\0';
		put(c, kind, text ? line : file, text ? text + 2 : line);
	}
	smx_free(all);
	return 0;
}

/* What a function of src/os said, or its code. */
static void say_failure(
	struct check *c, enum kind kind, const char *place, struct smx_buf *err, int r)
{
	const char *text = smx_buf_len(err) ? smx_buf_cstr(err) : NULL;

	put(c, kind, place, text ? text : smx_strerror(r));
}

/* --- the routes file --- */

static int check_routes(struct check *c)
{
	struct smx_buf text, err;
	int r;

	smx_buf_init(&text, ROUTES_TEXT_MAX);
	smx_buf_init(&err, ERRORS_MAX);
	r = smx_os_file_read(c->routes_path, ROUTES_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == SMX_ENOTFOUND) {
		put(c, FINDING_ERROR, c->routes_path,
			"there is no routes file; make one with ssh-mux import-config, or name it "
			"with --config");
		r = 0;
	} else if (r != 0) {
		say_failure(c, FINDING_ERROR, c->routes_path, &err, r);
	} else {
		r = smx_routes_check(smx_buf_as_view(&text), c->routes_path, &c->routes, &err);
		if (r == SMX_ESYNTAX)
			r = say_lines(c, FINDING_ERROR, c->routes_path, &err);
		else if (r == 0 && c->routes->n_routes == 0)
			put(c, FINDING_WARNING, c->routes_path,
				"has no routes; write [routes.NAME] with host and user");
		else if (r == 0)
			r = prepare_expand_routes(c->routes);
		smx_buf_reset(&err);
		if (r == 0 && c->routes && (r = agent_forward_name_keys(c->routes, &err)) == 0)
			r = say_lines(c, FINDING_WARNING, c->routes_path, &err);
	}
	smx_buf_release(&text);
	smx_buf_release(&err);
	return r == SMX_ENOMEM ? r : 0;
}

/* --- the authorised keys --- */

static int read_keys(struct check *c, struct smx_authorized_keys *set, const char *path,
	enum kind kind, int *ret_r)
{
	struct smx_buf text, warnings, err;
	int r;

	smx_buf_init(&text, SMX_AUTHORIZED_KEYS_TEXT_MAX);
	smx_buf_init(&warnings, ERRORS_MAX);
	smx_buf_init(&err, LINE_SIZE);
	r = smx_os_file_read(path, SMX_AUTHORIZED_KEYS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	*ret_r = r;
	if (r == 0)
		r = smx_authorized_keys_add_text(set, path, smx_buf_as_view(&text), &warnings);
	if (r == 0)
		r = say_lines(c, FINDING_WARNING, path, &warnings);
	else if (r != SMX_ENOTFOUND && r != SMX_ENOMEM)
		say_failure(c, kind, path, &err, r);
	smx_buf_release(&text);
	smx_buf_release(&warnings);
	smx_buf_release(&err);
	return r == SMX_ENOMEM ? r : 0;
}

static int read_public_keys(struct check *c, struct smx_authorized_keys *set)
{
	char **names = NULL, *path;
	size_t n = 0;
	int r = 0, ignored;

	if (smx_os_list_public_keys(c->ssh_dir, &names, &n, NULL) != 0)
		n = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		if ((r = smx_os_path_join(c->ssh_dir, names[i], &path)) != 0)
			break;
		r = read_keys(c, set, path, FINDING_WARNING, &ignored);
		smx_free(path);
	}
	smx_os_names_free(names, n);
	return r;
}

static int check_authorized_keys(struct check *c)
{
	struct smx_authorized_keys *set = NULL;
	char *path = NULL;
	int r, found = 0;

	if ((r = smx_os_path_join(c->ssh_dir, KEYRING_FILE, &path)) != 0 ||
		(r = smx_authorized_keys_new(&set)) != 0 ||
		(r = read_keys(c, set, path, FINDING_ERROR, &found)) != 0)
		goto out;
	if (found == SMX_ENOTFOUND) {
		if ((r = read_public_keys(c, set)) != 0)
			goto out;
		say(c, FINDING_WARNING, path,
			"is missing, so every id_*.pub next to it may log in (%zu key%s); write "
			"the "
			"keys you mean into it",
			smx_authorized_keys_count(set), SMX_PLURAL(smx_authorized_keys_count(set)));
	}
	c->n_keys = smx_authorized_keys_count(set);
	if (found == 0 && c->n_keys == 0)
		put(c, FINDING_WARNING, path,
			"has no key in it, so no SSH client can log in; add a line of an "
			"id_*.pub");
out:
	smx_authorized_keys_free(set);
	smx_free(path);
	return r;
}

/* --- the host key --- */

static int check_host_key(struct check *c)
{
	struct smx_key *key = NULL;
	struct smx_buf err;
	char *path;
	int r;

	if ((r = smx_os_path_join(c->ssh_dir, HOST_KEY_FILE, &path)) != 0)
		return r;
	smx_buf_init(&err, LINE_SIZE);
	r = local_key_peek(c->ssh_dir, LOCAL_KEY_HOST, &key, &err);
	if (r == SMX_ENOTFOUND)
		put(c, FINDING_NOTE, path, "is missing; it is made when ssh-mux starts");
	else if (r != 0 && r != SMX_ENOMEM)
		say_failure(c, FINDING_ERROR, path, &err, r);
	smx_key_free(key);
	smx_buf_release(&err);
	smx_free(path);
	return r == SMX_ENOMEM ? r : 0;
}

/* --- known_hosts --- */

/* kind: of a file that can't be read. is_told: what is wrong with it was said before. */
static int read_known_hosts(struct check *c, struct smx_known_hosts *known, const char *path,
	enum kind kind, int is_told)
{
	struct smx_buf text, warnings, err;
	int r;

	smx_buf_init(&text, SMX_KNOWN_HOSTS_TEXT_MAX);
	smx_buf_init(&warnings, SMX_KNOWN_WARNINGS_MAX);
	smx_buf_init(&err, LINE_SIZE);
	r = smx_os_file_read(path, SMX_KNOWN_HOSTS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == 0)
		r = smx_known_hosts_add_text(known, path, smx_buf_as_view(&text), &warnings);
	if (r == 0 && !is_told)
		r = say_lines(c, FINDING_WARNING, path, &warnings);
	else if (r != 0 && r != SMX_ENOTFOUND && r != SMX_ENOMEM && !is_told)
		say_failure(c, kind, path, &err, r);
	smx_buf_release(&text);
	smx_buf_release(&warnings);
	smx_buf_release(&err);
	return r == SMX_ENOMEM ? r : 0;
}

/* A key of the top level counts for every route: once is enough. */
static int was_seen(struct check *c, const char *name)
{
	for (size_t i = 0; i < c->n_seen; i++) {
		if (strcmp(c->seen[i], name) == 0)
			return 1;
	}
	if (c->n_seen < SEEN_MAX)
		c->seen[c->n_seen++] = name;
	return 0;
}

/* Those that decide about hop; NULL: about hops that name none. *ret is the caller's to free. */
static int read_all_known_hosts(
	struct check *c, const struct smx_hop *hop, struct smx_known_hosts **ret)
{
	struct known_files files;
	int r, is_told;

	if ((r = smx_known_hosts_new(ret)) != 0 ||
		(r = known_files_find(c->ssh_dir, hop, &files)) != 0)
		return r;
	for (size_t i = 0; r == 0 && i < files.n; i++) {
		int is_own = i < files.n_own;

		/* The system's were told of with those of all others. */
		is_told = hop && (!is_own || was_seen(c, hop->known_hosts[i]));
		/* Without the user's own, nothing is dialled; the system's can be left away. */
		r = read_known_hosts(
			c, *ret, files.paths[i], is_own ? FINDING_ERROR : FINDING_WARNING, is_told);
	}
	known_files_release(&files);
	return r;
}

/* --- what the routes name --- */

static int has_key(const struct smx_known_hosts *known, const struct smx_hop *hop)
{
	struct smx_known_entry entry;
	const char *host;
	uint16_t port;
	size_t cursor = 0;

	smx_hop_known_name(hop, &host, &port);
	while (smx_known_hosts_next(known, host, port, &cursor, &entry) == 1) {
		if (entry.marker == SMX_KNOWN_PLAIN || entry.marker == SMX_KNOWN_CA)
			return 1;
	}
	return 0;
}

static int is_known(struct check *c, const struct smx_hop *hop, int *ret)
{
	struct smx_known_hosts *own = NULL;
	int r = 0;

	if (hop->n_known_hosts)
		r = read_all_known_hosts(c, hop, &own);
	*ret = r == 0 && has_key(own ? own : c->known, hop);
	smx_known_hosts_free(own);
	return r;
}

static void say_no_key(
	struct check *c, const struct smx_hop *hop, int is_behind_jump, const char *place)
{
	char name[SMX_KNOWN_NAME_MAX];
	const char *host;
	uint16_t port;

	smx_hop_known_name(hop, &host, &port);
	if (smx_known_hosts_name(host, port, name, sizeof(name)) != 0)
		(void)snprintf(name, sizeof(name), "%s", host);
	if (!hop->unattended)
		say(c, FINDING_NOTE, place,
			"no key of %s is in known_hosts yet; you are asked at the first login",
			name);
	else if (is_behind_jump)
		say(c, FINDING_NOTE, place,
			"no key of %s is in known_hosts yet; the first one is taken, as the route "
			"is "
			"unattended",
			name);
	else
		say(c, FINDING_WARNING, place,
			"no key of %s is in known_hosts, and as it is unattended nobody is asked, "
			"so "
			"logins are refused; log in once with ssh",
			name);
}

static int check_identity(struct check *c, const char *name, const char *place)
{
	struct smx_key *key = NULL;
	struct smx_buf text, err;
	char *path;
	int r;

	if (was_seen(c, name))
		return 0;
	if (!(path = prepare_expand(name)))
		return SMX_ENOMEM;
	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	smx_buf_init(&err, LINE_SIZE);
	/* A8: an agent holds the rest of it. */
	if ((r = identity_read_public(path, &text)) == 0)
		goto out;
	smx_buf_reset(&text);
	r = smx_os_file_read(path, SMX_KEYFILE_MAX, SMX_OS_FILE_USER_KEY, &text, &err);
	if (r == SMX_ENOTFOUND) {
		say(c, FINDING_WARNING, place,
			"there is no identity %s; correct the path, or leave the key away if the "
			"agent has it",
			path);
	} else if (r == SMX_EUNSAFE) {
		say_failure(c, FINDING_ERROR, place, &err, r);
	} else if (r != 0) {
		say_failure(c, FINDING_WARNING, place, &err, r);
	} else {
		r = smx_keyfile_parse(smx_buf_as_view(&text), NULL, &key, NULL);
		if (r != 0 && r != SMX_EPASSPHRASE && r != SMX_ENOMEM)
			say(c, FINDING_WARNING, place,
				"the identity %s can't be used: %s; name the file of the private "
				"key",
				path, smx_strerror(r));
	}
out:
	smx_key_free(key);
	smx_buf_release(&text);
	smx_buf_release(&err);
	smx_free(path);
	return r == SMX_ENOMEM ? r : 0;
}

static int check_agent(struct check *c, const char *name, const char *place)
{
	char *expanded, *path;
	int r;

	if (!name || strcmp(name, "none") == 0 || smx_agent_variable(name) || was_seen(c, name))
		return 0;
	if (!(expanded = prepare_expand(name)))
		return SMX_ENOMEM;
	r = smx_os_agent_path(expanded, &path);
	smx_free(expanded);
	if (r != 0)
		return r == SMX_ENOMEM ? r : 0;
	if (!smx_os_agent_is_there(path))
		say(c, FINDING_WARNING, place,
			"there is no agent at %s now; correct identity_agent, or start the agent",
			path);
	smx_free(path);
	return 0;
}

static int check_certificate(struct check *c, const char *name, const char *place)
{
	struct prepared found = { .n_certs = 0 };
	char *path;
	int r;

	if (was_seen(c, name))
		return 0;
	if (!(path = prepare_expand(name)))
		return SMX_ENOMEM;
	smx_buf_init(&found.notes, LINE_SIZE);
	r = identity_read_cert(&found, path, 1);
	if (r == 0 && found.n_certs == 0)
		say_failure(c, FINDING_WARNING, place, &found.notes, SMX_ENOTFOUND);
	prepared_clear(&found);
	smx_free(path);
	return r;
}

static int check_hop(
	struct check *c, const struct smx_hop *hop, int is_behind_jump, const char *place)
{
	int r, known;

	if ((r = is_known(c, hop, &known)) != 0)
		return r;
	if (!known)
		say_no_key(c, hop, is_behind_jump, place);
	if ((r = check_agent(c, hop->identity_agent, place)) != 0)
		return r;
	for (size_t i = 0; r == 0 && i < hop->n_identity; i++)
		r = check_identity(c, hop->identity[i], place);
	for (size_t i = 0; r == 0 && i < hop->n_certificate; i++)
		r = check_certificate(c, hop->certificate[i], place);
	return r;
}

/* P1: such routes don't share a connection, and whoever watches `status` may wonder why. */
static void check_twin(struct check *c, const struct smx_route *route, const char *place)
{
	const struct smx_route *twin = smx_routes_twin(c->routes, route);

	if (twin)
		say(c, FINDING_NOTE, place,
			"%s and %s lead to the same user, host and port with different keys, so "
			"each has its own login",
			twin->name, route->name);
}

/* Each hop is the target of a route, or [jump], which has no name. */
static int check_hops(struct check *c)
{
	char place[SMX_OS_PATH_MAX + 64];
	struct smx_os_stamp stamp;
	int r = 0, has_jump = 0;

	for (size_t i = 0; r == 0 && i < c->routes->n_routes; i++) {
		const struct smx_route *route = &c->routes->routes[i];

		if (!has_jump && !route->hops[0].name) {
			has_jump = 1;
			(void)snprintf(place, sizeof(place), "%s: [jump]", c->routes_path);
			if ((r = check_hop(c, &route->hops[0], 0, place)) != 0)
				return r;
		}
		(void)snprintf(place, sizeof(place), "%s:%u:%u", c->routes_path, route->line,
			route->column);
		check_twin(c, route, place);
		r = check_hop(c, smx_route_target(route), route->n_hops > 1, place);
	}
	if (r == 0 && c->routes->pinentry && strcmp(c->routes->pinentry, "none") != 0 &&
		smx_os_file_stamp(c->routes->pinentry, &stamp) == SMX_ENOTFOUND)
		say(c, FINDING_WARNING, c->routes_path,
			"there is no pinentry %s; correct the path, or leave the key away",
			c->routes->pinentry);
	return r;
}

/* --- the command --- */

static int check_all(struct check *c)
{
	int r;

	if ((r = check_routes(c)) != 0 || (r = check_authorized_keys(c)) != 0 ||
		(r = check_host_key(c)) != 0 || (r = read_all_known_hosts(c, NULL, &c->known)) != 0)
		return r;
	return c->routes ? check_hops(c) : 0;
}

static int summarize(const struct check *c)
{
	static const char *const ends[] = { "s", "" };

	if (c->routes)
		(void)printf("%zu route%s, %zu authorised key%s: ", c->routes->n_routes,
			ends[c->routes->n_routes == 1], c->n_keys, ends[c->n_keys == 1]);
	(void)printf("%u error%s, %u warning%s, %u note%s\n", c->n[FINDING_ERROR],
		ends[c->n[FINDING_ERROR] == 1], c->n[FINDING_WARNING],
		ends[c->n[FINDING_WARNING] == 1], c->n[FINDING_NOTE],
		ends[c->n[FINDING_NOTE] == 1]);
	return c->n[FINDING_ERROR] ? SMX_EXIT_CONFIG : SMX_EXIT_OK;
}

/* 0, or the exit code after saying why. */
static int take_paths(struct check *c, const char *config)
{
	struct smx_buf warning, err;
	int r;

	smx_buf_init(&warning, 2 * SMX_OS_PATH_MAX);
	smx_buf_init(&err, 2 * SMX_OS_PATH_MAX);
	r = smx_os_ssh_dir(&c->ssh_dir, &warning, &err);
	if (smx_buf_len(&warning) && smx_buf_cstr(&warning))
		smx_cli_warn("%s", smx_buf_cstr(&warning));
	if (r == 0)
		r = config ? smx_os_path_absolute(config, &c->routes_path)
			   : smx_os_path_join(c->ssh_dir, SMX_ROUTES_FILE, &c->routes_path);
	if (r != 0)
		r = smx_cli_fail(
			smx_cli_exit_code(r), NULL, "check-config: %s", smx_errtext(r, &err));
	smx_buf_release(&warning);
	smx_buf_release(&err);
	return r;
}

static int run(int argc, char **argv)
{
	struct check c = { .ssh_dir = NULL };
	const char *config = NULL;
	int opt, code = SMX_EXIT_OK, r;

	while ((opt = smx_cli_getopt(
			argc, argv, "+:c:hV", options, &smx_cmd_check_config, &code)) != -1) {
		if (opt == -2)
			return code;
		config = optarg;
	}
	if ((code = smx_cli_no_arguments(argc, argv, &smx_cmd_check_config)) == 0 &&
		(code = take_paths(&c, config)) == 0) {
		r = check_all(&c);
		code = r == 0 ? summarize(&c)
			      : smx_cli_fail(smx_cli_exit_code(r), NULL, "check-config: %s",
					smx_strerror(r));
	}
	smx_routes_unref(c.routes);
	smx_known_hosts_free(c.known);
	smx_free(c.ssh_dir);
	smx_free(c.routes_path);
	return code;
}

const struct smx_command smx_cmd_check_config = {
	.name = "check-config",
	.summary = "check the routes file and what it names",
	.usage = "usage: ssh-mux check-config [--config FILE]\n"
		 "\n"
		 "Check what the daemon reads, without starting it: the routes file, the\n"
		 "authorised keys, the host key, known_hosts, and the key files and agents that\n"
		 "routes name. Nothing is connected to, and nothing is changed.\n"
		 "\n"
		 "  -c, --config FILE  routes file (default: ssh-mux-routes.toml in the SSH\n"
		 "                     directory)\n"
		 "  -h, --help         show this text\n"
		 "  -V, --version      show the version\n"
		 "\n"
		 "Each finding is a line, FILE:LINE:COLUMN: error|warning|note: what; remedy. The\n"
		 "exit code is 78 if there are errors, else 0.\n"
		 "\n"
		 "The SSH directory is ~/.ssh, or $SSH_MUX_SSH_DIR.\n",
	.run = run,
};
