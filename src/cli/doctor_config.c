/* SPDX-License-Identifier: MIT */
/* What sends an ssh client to us (C1, C2): ssh-mux-hosts.conf, its Include, and what ssh makes of
 * them. */
#include "cli/doctor.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"

#define ERR_MAX         (4 * SMX_OS_PATH_MAX)
#define SSH_OUT_MAX     (256u << 10)
#define SSH_TIMEOUT_MS  5000 /* one ssh -G; a Match exec may take its time */
#define SSH_TIMEOUTS_MS 20000 /* all of them */
#define SETUP           "run: ssh-mux setup-config"

/* Takes the next line off *text, without the blanks around it. */
static int next_line(struct smx_view *text, struct smx_view *ret)
{
	const uint8_t *end = text->len > 0 ? memchr(text->p, '\n', text->len) : NULL;
	struct smx_view line = { text->p, end ? (size_t)(end - text->p) : text->len };

	if (text->len == 0)
		return 0;
	text->p += line.len + (end != NULL);
	text->len -= line.len + (end != NULL);
	while (line.len > 0 && strchr(" \t\r", line.p[line.len - 1]) && line.p[line.len - 1])
		line.len--;
	while (line.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
		line.p++;
		line.len--;
	}
	*ret = line;
	return 1;
}

/* Whether a line of ssh_config begins with this keyword; *ret_rest: what is behind it. */
static int has_keyword(struct smx_view line, const char *word, struct smx_view *ret_rest)
{
	size_t n = strlen(word);

	if (line.len <= n || strncasecmp((const char *)line.p, word, n) != 0 ||
		!strchr(" \t=", line.p[n]) || !line.p[n])
		return 0;
	*ret_rest = smx_view_of((const char *)line.p + n + 1, line.len - n - 1);
	return 1;
}

static int contains(struct smx_view v, const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i + n <= v.len; i++)
		if (memcmp(v.p + i, s, n) == 0)
			return 1;
	return 0;
}

void doctor_find_via(struct doctor *d)
{
	struct smx_view text, line, rest;
	struct smx_buf buf;
	char *path = NULL;

	smx_buf_init(&buf, DOCTOR_FILE_MAX);
	if (doctor_read(d, SMX_HOSTS_FILE, DOCTOR_FILE_MAX, SMX_OS_FILE_PLAIN, &path, &buf, NULL) ==
		0) {
		text = smx_buf_as_view(&buf);
		while (next_line(&text, &line))
			if (has_keyword(line, "HostName", &rest))
				d->via = d->via == DOCTOR_VIA_NONE ? DOCTOR_VIA_TCP : d->via;
			else if (has_keyword(line, "ProxyCommand", &rest) &&
				 contains(rest, " proxy "))
				d->via = DOCTOR_VIA_PROXY;
	}
	smx_free(path);
	smx_buf_release(&buf);
}

/* ---- the files ---------------------------------------------------------------------------------
 */

/* 1 if it is there and good. */
static int check_hosts_file(struct doctor *d)
{
	struct smx_buf text, err;
	char *path = NULL;
	int r;

	smx_buf_init(&text, DOCTOR_FILE_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = doctor_read(d, SMX_HOSTS_FILE, DOCTOR_FILE_MAX, SMX_OS_FILE_PLAIN, &path, &text, &err);
	if (r == SMX_ENOTFOUND)
		doctor_say(d, DOCTOR_WARN, SETUP,
			"there is no %s, so ssh does not know the routes by their names", path);
	else if (r != 0)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, SETUP);
	smx_free(path);
	smx_buf_release(&text);
	smx_buf_release(&err);
	return r == 0;
}

enum include { INCLUDE_NONE, INCLUDE_FIRST, INCLUDE_LATER, INCLUDE_IN_BLOCK };

static enum include find_include(struct smx_view text, unsigned *ret_line)
{
	struct smx_view line, rest;
	unsigned number = 0, n_before = 0, n_blocks = 0;

	while (next_line(&text, &line)) {
		number++;
		if (line.len == 0 || line.p[0] == '#')
			continue;
		if (has_keyword(line, "Include", &rest) && contains(rest, SMX_HOSTS_FILE)) {
			*ret_line = number;
			return n_blocks   ? INCLUDE_IN_BLOCK
			       : n_before ? INCLUDE_LATER
					  : INCLUDE_FIRST;
		}
		n_blocks += has_keyword(line, "Host", &rest) || has_keyword(line, "Match", &rest);
		n_before += !has_keyword(line, "Include", &rest);
	}
	return INCLUDE_NONE;
}

static void say_include(struct doctor *d, const char *path, struct smx_view text)
{
	unsigned line = 0;

	switch (find_include(text, &line)) {
	case INCLUDE_FIRST:
		doctor_say(d, DOCTOR_OK, NULL, "%s includes " SMX_HOSTS_FILE, path);
		break;
	case INCLUDE_LATER:
		doctor_say(d, DOCTOR_NOTE,
			"move that line to the top: what ssh reads first is what counts",
			"%s:%u: the Include of " SMX_HOSTS_FILE " stands below other settings",
			path, line);
		break;
	case INCLUDE_IN_BLOCK:
		doctor_say(d, DOCTOR_FAIL, "move that line to the top of the file",
			"%s:%u: the Include of " SMX_HOSTS_FILE
			" stands inside a Host or Match block, and counts for its hosts only",
			path, line);
		break;
	default:
		doctor_say(d, DOCTOR_FAIL, SETUP,
			"%s does not include " SMX_HOSTS_FILE ", so ssh goes past ssh-mux", path);
	}
}

static void check_config_file(struct doctor *d)
{
	struct smx_buf text, err;
	char *path = NULL;
	int r;

	smx_buf_init(&text, DOCTOR_FILE_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = doctor_read(
		d, SMX_SSH_CONFIG_FILE, DOCTOR_FILE_MAX, SMX_OS_FILE_PLAIN, &path, &text, &err);
	if (r == SMX_ENOTFOUND)
		doctor_say(
			d, DOCTOR_FAIL, SETUP, "there is no %s to include " SMX_HOSTS_FILE, path);
	else if (r != 0)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, SETUP);
	else
		say_include(d, path, smx_buf_as_view(&text));
	if (d->is_other_dir && r == 0)
		doctor_say(d, DOCTOR_NOTE,
			doctor_fix(d,
				"name it: ssh -F %s NAME; in an editor: remote.SSH.configFile",
				doctor_quote(d, path)),
			"ssh does not read %s by itself", path);
	smx_free(path);
	smx_buf_release(&text);
	smx_buf_release(&err);
}

/* ---- what ssh makes of them --------------------------------------------------------------------
 */

struct answers {
	char host[SMX_HOST_MAX + 1], port[8], user[SMX_USER_MAX + 1], alias[128];
	char proxy[SMX_OS_PATH_MAX];
};

static void take(struct smx_view line, const char *word, char *out, size_t size)
{
	struct smx_view rest;

	if (has_keyword(line, word, &rest))
		(void)snprintf(out, size, "%.*s", (int)rest.len, (const char *)rest.p);
}

static void parse_answers(struct smx_view text, struct answers *a)
{
	struct smx_view line;

	*a = (struct answers){ 0 };
	while (next_line(&text, &line)) {
		take(line, "hostname", a->host, sizeof(a->host));
		take(line, "port", a->port, sizeof(a->port));
		take(line, "user", a->user, sizeof(a->user));
		take(line, "hostkeyalias", a->alias, sizeof(a->alias));
		take(line, "proxycommand", a->proxy, sizeof(a->proxy));
		take(line, "proxyjump", a->proxy, sizeof(a->proxy));
	}
}

/* Routes with the same thing wrong are one finding. */
struct misled {
	struct doctor_names past, port, user, alias, proxy, program;
	char host[SMX_HOST_MAX + 1], wrong_port[8], wrong_user[SMX_USER_MAX + 1];
	char command[SMX_OS_PATH_MAX];
	size_t good;
};

/* The program of a ProxyCommand, which ssh gives to a shell. */
static int is_program_there(const char *command)
{
	char word[SMX_OS_PATH_MAX], *found;
	int quoted = command[0] == '"' || command[0] == '\'';
	const char stop[2] = { quoted ? command[0] : ' ', '\0' };

	(void)snprintf(
		word, sizeof(word), "%.*s", (int)strcspn(command + quoted, stop), command + quoted);
	if (smx_os_find_program(word, &found) != 0)
		return 0;
	smx_free(found);
	return 1;
}

static void judge(struct doctor *d, const char *name, const struct answers *a, struct misled *m)
{
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", doctor_port(d));
	if (strstr(a->proxy, " proxy ") && strstr(a->proxy, "ssh-mux")) {
		if (!is_program_there(a->proxy)) {
			doctor_name_add(&m->program, name);
			memcpy(m->command, a->proxy, sizeof(m->command));
			return;
		}
	} else if (a->proxy[0] && strcmp(a->proxy, "none") != 0) {
		doctor_name_add(&m->proxy, name);
		memcpy(m->command, a->proxy, sizeof(m->command));
		return;
	} else if (strcmp(a->host, "127.0.0.1") != 0) {
		doctor_name_add(&m->past, name);
		memcpy(m->host, a->host, sizeof(m->host));
		return;
	} else if (strcmp(a->port, port) != 0) {
		doctor_name_add(&m->port, name);
		memcpy(m->wrong_port, a->port, sizeof(m->wrong_port));
		return;
	} else if (strcmp(a->user, name) != 0) {
		doctor_name_add(&m->user, name);
		memcpy(m->wrong_user, a->user, sizeof(m->wrong_user));
		return;
	}
	if (strcmp(a->alias, SMX_HOST_KEY_ALIAS) != 0)
		doctor_name_add(&m->alias, name);
	else
		m->good++;
}

static void say_misled(struct doctor *d, struct misled *m)
{
	const char *again = doctor_fix(d, SETUP " -p %u%s", doctor_port(d),
		d->via == DOCTOR_VIA_PROXY ? " --via proxy" : "");

	if (m->past.count)
		doctor_say(d, DOCTOR_FAIL, again, "ssh goes past ssh-mux, to %s, for: %s", m->host,
			doctor_names_text(&m->past));
	if (m->port.count)
		doctor_say(d, DOCTOR_FAIL, again, "ssh goes to port %s, not to %u, for: %s",
			m->wrong_port, doctor_port(d), doctor_names_text(&m->port));
	if (m->user.count)
		doctor_say(d, DOCTOR_FAIL, again,
			"ssh sends the user name %s, but it must be the route's name, for: %s",
			m->wrong_user, doctor_names_text(&m->user));
	if (m->alias.count)
		doctor_say(d, DOCTOR_FAIL, again,
			"ssh does not look up the local server's key as " SMX_HOST_KEY_ALIAS
			", for: %s",
			doctor_names_text(&m->alias));
	if (m->proxy.count)
		doctor_say(d, DOCTOR_FAIL, again,
			"a ProxyCommand or ProxyJump of yours comes first (%s), for: %s",
			m->command, doctor_names_text(&m->proxy));
	if (m->program.count)
		doctor_say(d, DOCTOR_FAIL, again,
			"the program of the ProxyCommand does not exist (%s), for: %s", m->command,
			doctor_names_text(&m->program));
	if (m->good)
		doctor_say(d, DOCTOR_OK, NULL, "ssh comes to ssh-mux for %zu of %zu route%s",
			m->good, doctor_route_count(d), doctor_route_count(d) == 1 ? "" : "s");
}

/* The first line of what ssh complained of. */
static void say_ssh_failed(struct doctor *d, const char *name, struct smx_buf *err, int r)
{
	const char *text = smx_buf_len(err) > 0 ? smx_buf_cstr(err) : NULL;

	if (r == SMX_ETIMEOUT)
		doctor_say(d, DOCTOR_FAIL,
			"look for a Match exec in your ssh config whose command hangs",
			"ssh -G %s does not end", name);
	else
		doctor_say(d, DOCTOR_FAIL,
			"repair that, or if it is about a line of ours, run: ssh-mux setup-config",
			"ssh refuses the configuration for %s: %.*s", name,
			(int)(text ? strcspn(text, "\r\n") : 0), text ? text : "");
}

/* 0, or nothing more need be tried. */
static int ask_ssh(struct doctor *d, const char *config, const char *name, struct misled *m)
{
	const char *argv[] = { d->ssh, "-G", name, NULL, NULL, NULL };
	struct smx_buf out, err;
	struct answers a;
	int r, code = 0;

	if (config) {
		argv[1] = "-F";
		argv[2] = config;
		argv[3] = "-G";
		argv[4] = name;
	}
	smx_buf_init(&out, SSH_OUT_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_run(argv, SSH_TIMEOUT_MS, &out, &err, &code);
	if (r == 0 && code == 0) {
		parse_answers(smx_buf_as_view(&out), &a);
		judge(d, name, &a, m);
	} else {
		say_ssh_failed(d, name, &err, r);
		r = SMX_ESTATE;
	}
	smx_buf_release(&out);
	smx_buf_release(&err);
	return r;
}

static void check_routes(struct doctor *d)
{
	uint64_t deadline = smx_os_monotonic_ms() + SSH_TIMEOUTS_MS;
	struct misled m = { 0 };
	char *config = NULL;
	size_t i, n = doctor_route_count(d);
	int r = 0;

	if (d->is_other_dir && smx_os_path_join(d->ssh_dir, SMX_SSH_CONFIG_FILE, &config) != 0)
		return;
	for (i = 0; i < n && r == 0 && smx_os_monotonic_ms() < deadline; i++)
		r = ask_ssh(d, config, doctor_route(d, i)->name, &m);
	say_misled(d, &m);
	if (i < n && r == 0)
		doctor_say(d, DOCTOR_NOTE, "for one of them, run: ssh-mux doctor NAME",
			"%zu routes were not looked at, to save time", n - i);
	smx_free(config);
}

void doctor_check_clients(struct doctor *d)
{
	int has_hosts;

	doctor_area(d, "ssh configuration");
	has_hosts = check_hosts_file(d);
	if (!has_hosts)
		return;
	check_config_file(d);
	if (d->ssh && doctor_route_count(d) > 0)
		check_routes(d);
}
