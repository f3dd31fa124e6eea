/* SPDX-License-Identifier: MIT */
/* What sends an ssh client to us (C1, C2): ssh-mux-hosts.conf, its Include, and what ssh makes of
 * them. */
#include "cli/doctor/doctor.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "sshconf/hosts_conf.h"
#include "sshconf/ssh_config.h"
#include "trust/pattern.h"

#define ERR_MAX         (4 * SMX_OS_PATH_MAX)
#define SSH_OUT_MAX     (256u << 10)
#define SSH_TIMEOUT_MS  5000 /* one ssh -G; a Match exec may take its time */
#define SSH_TIMEOUTS_MS 20000 /* all of them */

/* The value of an option in a line of ssh-mux-hosts.conf, if it is that option. */
static int has_option(struct smx_view line, const char *option, struct smx_view *ret_value)
{
	size_t n = strlen(option);

	while (line.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
		line.p++;
		line.len--;
	}
	if (line.len <= n || strncasecmp((const char *)line.p, option, n) != 0 || line.p[n] != ' ')
		return 0;
	*ret_value = (struct smx_view){ line.p + n + 1, line.len - n - 1 };
	return 1;
}

/* How the first block of ssh-mux-hosts.conf sends ssh to us; the others are like it. */
static void read_first_block(struct doctor *d, struct smx_view text)
{
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line line;
	struct smx_view value;
	uint64_t port;
	char digits[8];

	if (smx_hosts_conf_is_control(text)) {
		d->via = DOCTOR_VIA_CONTROL;
		return;
	}
	smx_ssh_config_reader_init(&rd, text);
	while (smx_ssh_config_next(&rd, &line) == 1) {
		if (line.kind == SMX_SSH_CONFIG_HOST && d->via != DOCTOR_VIA_NONE)
			break;
		if (line.kind == SMX_SSH_CONFIG_HOST)
			d->via = DOCTOR_VIA_TCP;
		if (has_option(line.text, "ProxyCommand", &value) &&
			smx_pattern_match(value, smx_view_of("* proxy *", 9), 0))
			d->via = DOCTOR_VIA_PROXY;
		if (has_option(line.text, "Port", &value)) {
			(void)snprintf(digits, sizeof(digits), "%.*s", (int)value.len,
				(const char *)value.p);
			if (smx_cli_parse_number(digits, 1, UINT16_MAX, &port) == 0)
				d->hosts_port = (uint16_t)port;
		}
	}
	/* There it is the route's own. */
	if (d->via == DOCTOR_VIA_PROXY)
		d->hosts_port = 0;
	smx_ssh_config_reader_release(&rd);
}

void doctor_find_via(struct doctor *d)
{
	struct smx_buf buf;
	char *path = NULL;

	smx_buf_init(&buf, SMX_HOSTS_CONF_MAX);
	if (doctor_read(d, SMX_HOSTS_FILE, SMX_HOSTS_CONF_MAX, SMX_OS_FILE_PLAIN, &path, &buf,
		    NULL) == 0)
		read_first_block(d, smx_buf_as_view(&buf));
	smx_free(path);
	smx_buf_release(&buf);
}

/* ---- the files ---------------------------------------------------------------------------------
 */

/* Hosts that are routes no more: ssh goes to the daemon for them, and is turned away. */
static void check_left_over(struct doctor *d, const char *path, struct smx_view text)
{
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line line;
	struct doctor_names left = { 0 };

	smx_ssh_config_reader_init(&rd, text);
	while (d->routes && smx_ssh_config_next(&rd, &line) == 1)
		for (size_t i = 0; line.kind == SMX_SSH_CONFIG_HOST && i < line.n_words; i++)
			if (!smx_routes_find(d->routes, line.words[i].text))
				doctor_name_add(&left, line.words[i].text);
	smx_ssh_config_reader_release(&rd);
	if (left.count > 0)
		doctor_say(d, DOCTOR_WARN, doctor_setup(d), "%s still has %s, which %s not in %s",
			path, doctor_names_text(&left), left.count == 1 ? "is" : "are",
			d->routes_path);
}

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
		doctor_say(d, DOCTOR_WARN, doctor_setup(d),
			"there is no %s, so ssh does not know the routes by their names", path);
	else if (r != 0)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "make it a file that only you can change");
	else
		check_left_over(d, path, smx_buf_as_view(&text));
	smx_free(path);
	smx_buf_release(&text);
	smx_buf_release(&err);
	return r == 0;
}

static void say_include(struct doctor *d, const char *path, struct smx_view text)
{
	struct smx_include inc = { .name = SMX_HOSTS_FILE, .is_home = !d->is_other_dir };
	struct smx_include_found found;
	char *hosts;

	if (smx_os_path_join(d->ssh_dir, SMX_HOSTS_FILE, &hosts) != 0)
		return;
	inc.path = hosts;
	if (smx_include_find(&inc, text, &found) != 0)
		found.place = SMX_INCLUDE_NONE;
	smx_free(hosts);
	switch (found.place) {
	case SMX_INCLUDE_TOP:
		doctor_say(d, DOCTOR_OK, NULL, "%s includes " SMX_HOSTS_FILE, path);
		break;
	case SMX_INCLUDE_LATE:
		doctor_say(d, DOCTOR_NOTE,
			"move that line to the top: what ssh reads first is what counts",
			"%s:%u: the Include of " SMX_HOSTS_FILE " stands below other settings",
			path, found.line);
		break;
	case SMX_INCLUDE_CONDITIONAL:
		doctor_say(d, DOCTOR_FAIL, "move that line to the top of the file",
			"%s:%u: the Include of " SMX_HOSTS_FILE
			" stands inside a Host or Match block, and counts for its hosts only",
			path, found.line);
		break;
	default:
		doctor_say(d, DOCTOR_FAIL, doctor_setup(d),
			"%s does not include " SMX_HOSTS_FILE ", so ssh goes past ssh-mux", path);
	}
}

static void check_config_file(struct doctor *d)
{
	struct smx_buf text, err;
	char *path = NULL;
	int r;

	smx_buf_init(&text, SMX_USER_CONF_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = doctor_read(
		d, SMX_SSH_CONFIG_FILE, SMX_USER_CONF_MAX, SMX_OS_FILE_PLAIN, &path, &text, &err);
	if (r == SMX_ENOTFOUND)
		doctor_say(d, DOCTOR_FAIL, doctor_setup(d),
			"there is no %s to include " SMX_HOSTS_FILE, path);
	else if (r != 0)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "make it a file that only you can change");
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

#define SHOWN_MAX 256

/* Routes with the same thing wrong are one finding; an example of what ssh says goes with it. */
struct misled {
	struct doctor_names past, port, user, alias, proxy, program;
	char example[6][SHOWN_MAX];
	size_t good;
};

static void blame(struct doctor_names *names, const char *route, char *example, struct smx_view v)
{
	doctor_name_add(names, route);
	(void)snprintf(example, SHOWN_MAX, "%.*s", (int)v.len, (const char *)v.p);
}

/*
 * The program of "[env NAME=VALUE] PROGRAM proxy NAME '%r' %h %p", which ssh gives to a shell; a
 * word may be quoted.
 */
static int is_program_there(struct smx_view command)
{
	char text[SMX_OS_PATH_MAX], *end = NULL, *start, *found;

	(void)snprintf(text, sizeof(text), "%.*s", (int)command.len, (const char *)command.p);
	for (char *s = strstr(text, " proxy "); s; s = strstr(s + 1, " proxy "))
		end = s;
	if (!end)
		return 0;
	*end = '\0'; /* what ssh asks for comes behind the name (W1) */
	if (strchr(text, '%'))
		return 1; /* a token of ssh's is not worked out here */
	if (end > text && (end[-1] == '"' || end[-1] == '\'')) {
		char quote = *--end;

		*end = '\0';
		start = strrchr(text, quote);
	} else {
		start = strrchr(text, ' ');
	}
	if (smx_os_find_program(start ? start + 1 : text, &found) != 0)
		return 0;
	smx_free(found);
	return 1;
}

/* With what ssh asks for behind the name, or as an older setup-config wrote it (W1). */
static int is_our_proxy(struct smx_view command, const char *name)
{
	char bare[SMX_ROUTE_NAME_MAX + 16], full[SMX_ROUTE_NAME_MAX + 16];

	(void)snprintf(bare, sizeof(bare), "* proxy %s", name);
	(void)snprintf(full, sizeof(full), "* proxy %s *", name);
	return command.p && (smx_pattern_match(command, smx_view_of(bare, strlen(bare)), 0) ||
				    smx_pattern_match(command, smx_view_of(full, strlen(full)), 0));
}

/* Whether the daemon or the proxy is where it leads to. */
static int judge_way(
	struct doctor *d, const char *name, const struct smx_ssh_answer *a, struct misled *m)
{
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", doctor_port(d));
	if (is_our_proxy(a->proxy_command, name)) {
		if (is_program_there(a->proxy_command))
			return 1;
		blame(&m->program, name, m->example[5], a->proxy_command);
	} else if (a->proxy_command.p || a->proxy_jump.p) {
		blame(&m->proxy, name, m->example[4],
			a->proxy_command.p ? a->proxy_command : a->proxy_jump);
	} else if (!smx_view_eq(a->host, "127.0.0.1")) {
		blame(&m->past, name, m->example[0], a->host);
	} else if (!smx_view_eq(a->port, port)) {
		blame(&m->port, name, m->example[1], a->port);
	} else if (!smx_view_eq(a->user, name)) {
		blame(&m->user, name, m->example[2], a->user);
	} else {
		return 1;
	}
	return 0;
}

static void judge(
	struct doctor *d, const char *name, const struct smx_ssh_answer *a, struct misled *m)
{
	if (!judge_way(d, name, a, m))
		return;
	if (!smx_view_eq(a->host_key_alias, SMX_HOST_KEY_ALIAS))
		blame(&m->alias, name, m->example[3], a->host_key_alias);
	else
		m->good++;
}

/* Which keys ssh offers is told by the first route that it asks about: they are alike. */
static void keep_offers(struct doctor *d, const struct smx_ssh_answer *a)
{
	char path[SMX_OS_PATH_MAX];

	if (d->knows_offers)
		return;
	d->knows_offers = 1;
	d->identities_only = smx_view_eq(a->identities_only, "yes");
	if (a->identity_agent.p)
		(void)snprintf(d->identity_agent, sizeof(d->identity_agent), "%.*s",
			(int)a->identity_agent.len, (const char *)a->identity_agent.p);
	for (size_t i = 0; i < a->identities.n && d->n_identities < DOCTOR_IDENTITIES_MAX; i++) {
		(void)snprintf(path, sizeof(path), "%.*s", (int)a->identities.v[i].len,
			(const char *)a->identities.v[i].p);
		if ((d->identities[d->n_identities] = doctor_expand(d, path)) != NULL)
			d->n_identities++;
	}
}

static void say_misled(struct doctor *d, struct misled *m)
{
	const char *again = doctor_setup(d);

	if (m->past.count)
		doctor_say(d, DOCTOR_FAIL, again, "ssh goes past ssh-mux, to %s, for: %s",
			m->example[0], doctor_names_text(&m->past));
	if (m->port.count)
		doctor_say(d, DOCTOR_FAIL, again, "ssh goes to port %s, not to %u, for: %s",
			m->example[1], doctor_port(d), doctor_names_text(&m->port));
	if (m->user.count)
		doctor_say(d, DOCTOR_FAIL, again,
			"ssh sends the user name %s, but it must be the route's name, for: %s",
			m->example[2], doctor_names_text(&m->user));
	if (m->alias.count)
		doctor_say(d, DOCTOR_FAIL, again,
			"ssh does not look up the local server's key as " SMX_HOST_KEY_ALIAS
			", for: %s",
			doctor_names_text(&m->alias));
	if (m->proxy.count)
		doctor_say(d, DOCTOR_FAIL, again,
			"a ProxyCommand or ProxyJump of yours comes first (%s), for: %s",
			m->example[4], doctor_names_text(&m->proxy));
	if (m->program.count)
		doctor_say(d, DOCTOR_FAIL, again,
			"the program of the ProxyCommand does not exist (%s), for: %s",
			m->example[5], doctor_names_text(&m->program));
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
			doctor_fix(d, "repair that; if it is about a line of ssh-mux, run: %s",
				doctor_command(d, "setup-config")),
			"ssh refuses the configuration for %s: %.*s", name,
			(int)(text ? strcspn(text, "\r\n") : 0), text ? text : "");
}

/* 0, or nothing more need be tried. */
static int ask_ssh(struct doctor *d, const char *config, const struct smx_route *route,
	struct misled *m, struct doctor_sockets *sockets)
{
	const char *name = route->name;
	const char *argv[] = { d->ssh, "-G", name, NULL, NULL, NULL };
	struct smx_buf out, err;
	struct smx_ssh_answer a;
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
		if ((r = smx_ssh_answer_parse(smx_buf_as_view(&out), &a)) == 0) {
			if (d->via == DOCTOR_VIA_CONTROL) {
				doctor_judge_socket(d, route, &a, sockets);
			} else {
				keep_offers(d, &a);
				judge(d, name, &a, m);
			}
		} else {
			doctor_say(d, DOCTOR_WARN, "name OpenSSH's: --ssh-bin FILE",
				"%s -G %s does not answer as OpenSSH does", d->ssh, name);
		}
	} else {
		say_ssh_failed(d, name, &err, r);
		r = SMX_ESTATE;
	}
	smx_buf_release(&out);
	smx_buf_release(&err);
	return r;
}

static int is_left(struct smx_buf *hosts, const char *route)
{
	const char *text = smx_buf_len(hosts) ? smx_buf_cstr(hosts) : NULL;

	return text && smx_hosts_conf_is_left(text, route);
}

static void check_routes(struct doctor *d)
{
	uint64_t deadline = smx_os_monotonic_ms() + SSH_TIMEOUTS_MS;
	struct doctor_sockets sockets;
	struct doctor_names left = { 0 };
	struct smx_buf hosts;
	struct misled m = { 0 };
	char *config = NULL, *path = NULL;
	size_t i, n = doctor_route_count(d);
	int r = 0;

	if (d->is_other_dir && smx_os_path_join(d->ssh_dir, SMX_SSH_CONFIG_FILE, &config) != 0)
		return;
	smx_buf_init(&hosts, SMX_HOSTS_CONF_MAX + 1);
	(void)doctor_read(
		d, SMX_HOSTS_FILE, SMX_HOSTS_CONF_MAX, SMX_OS_FILE_PLAIN, &path, &hosts, NULL);
	doctor_sockets_init(d, &sockets);
	for (i = 0; i < n && r == 0 && smx_os_monotonic_ms() < deadline; i++) {
		if (is_left(&hosts, doctor_route(d, i)->name))
			doctor_name_add(&left, doctor_route(d, i)->name);
		else
			r = ask_ssh(d, config, doctor_route(d, i), &m, &sockets);
	}
	if (left.count)
		doctor_say(d, DOCTOR_NOTE,
			"nothing to do; why, says: ssh-mux setup-config --dry-run",
			"left to ssh by setup-config: %s", doctor_names_text(&left));
	say_misled(d, &m);
	doctor_say_sockets(d, &sockets);
	doctor_sockets_release(&sockets);
	smx_buf_release(&hosts);
	smx_free(path);
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
