/* SPDX-License-Identifier: MIT */
// fuzzes: src/sshconf/hosts_conf.c src/sshconf/hosts_control.c
/*
 * A user's config before the Include line and with it (C1, C2): one line more, every other byte
 * where it was, and a second run finds what the first has done. If the input is a routes file, what
 * ssh is told about its routes as well: the names, hosts, users and paths come out as they went in.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "sshconf/hosts_conf.h"
#include "sshconf/ssh_config.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static int ignore_route(void *arg, size_t route, unsigned line, int is_literal)
{
	(void)is_literal;
	CHECK(route < *(size_t *)arg && line > 0);
	return 0;
}

/* Of a ControlPath for all hosts, line 0 of no route. */
static int any_route(void *arg, size_t route, unsigned line, int is_literal)
{
	CHECK(!is_literal || route < *(size_t *)arg);
	CHECK(line > 0);
	return 0;
}

/* The text as the file that is written whole: what it says of itself and of a route. */
static void check_ours(struct smx_view text)
{
	char *copy = malloc(text.len + 1);

	if (!copy)
		return;
	if (text.len)
		memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	CHECK(!smx_hosts_conf_is_control(text) || text.len > 0);
	CHECK(text.len > 0 || smx_hosts_conf_is_ours(text));
	(void)smx_hosts_conf_is_left(copy, "web");
	free(copy);
}

static int ignore_include(void *arg, const char *word)
{
	return arg && word ? 0 : 1;
}

static void check(const struct smx_include *inc, struct smx_view text)
{
	struct smx_include_found before, after;
	struct smx_buf line, out;

	smx_buf_init(&line, 1024);
	smx_buf_init(&out, SMX_USER_CONF_MAX + 1024);
	CHECK(smx_include_find(inc, text, &before) == 0);
	CHECK((before.place == SMX_INCLUDE_NONE) == (before.count == 0));
	CHECK(smx_include_line(inc, &line) == 0);
	CHECK(smx_include_prepend(inc, text, &out) == 0);
	CHECK(smx_include_find(inc, smx_buf_as_view(&out), &after) == 0);
	CHECK(after.place == SMX_INCLUDE_TOP && after.line == 1);
	CHECK(after.count == before.count + 1 && after.has_bom == before.has_bom);
	CHECK(smx_buf_len(&out) - text.len - smx_buf_len(&line) - 1 <= 1);
	/* Without the line it is the text. */
	size_t bom = after.has_bom ? 3 : 0, more = smx_buf_len(&out) - text.len;

	CHECK(text.len == 0 || (memcmp(smx_buf_view(&out), text.p, bom) == 0 &&
				       memcmp(smx_buf_view(&out) + bom + more, text.p + bom,
					       text.len - bom) == 0));
	smx_buf_release(&line);
	smx_buf_release(&out);
}

/* ---- what is written about routes --- */

/* Whether ssh takes a word of its config for this value: %% is a '%', and a path of Windows may
 * have either slash. */
static int means(const char *word, const char *value)
{
	for (; *word && *value; word++, value++) {
		if (word[0] == '%' && word[1] == '%')
			word++;
		if (*word != *value && !(*word == '/' && *value == '\\'))
			return 0;
	}
	return *word == *value;
}

static const char *option_of(const struct smx_ssh_config_line *line, const char *option)
{
	size_t n = strlen(option);

	return line->text.len > 5 + n && memcmp(line->text.p + 4, option, n) == 0 &&
			       line->text.p[4 + n] == ' ' && line->n_words > 0
		       ? line->words[0].text
		       : NULL;
}

static int is_identity(
	const struct smx_hosts_conf *o, const struct smx_route *route, const char *word)
{
	const struct smx_hop *hop = smx_route_target(route);

	for (size_t i = 0; i < hop->n_identity; i++)
		if (means(word, hop->identity[i]))
			return 1;
	for (size_t i = 0; i < o->n_identity; i++)
		if (means(word, o->identity[i]))
			return 1;
	return 0;
}

/* As ssh reads the list: no user and no host of a jump host becomes two. */
static void check_jumps(const struct smx_route *route, const struct smx_ssh_config_line *line)
{
	static const char key[] = "    ProxyJump ";
	struct smx_view list = line->text;
	struct smx_ssh_jump j;
	size_t n = 0;
	int r;

	list.p += sizeof(key) - 1;
	list.len -= sizeof(key) - 1;
	if (smx_view_eq(list, "none"))
		return;
	while ((r = smx_ssh_jump_next(&list, &j)) == 1) {
		CHECK(n + 1 < route->n_hops);
		CHECK(smx_view_eq(j.host, route->hops[n].host));
		CHECK(smx_view_eq(j.user, route->hops[n].user));
		CHECK(j.port == route->hops[n].port);
		n++;
	}
	CHECK(r == 0 && n + 1 == route->n_hops);
}

static void check_line(const struct smx_hosts_conf *o, const struct smx_route *route,
	const struct smx_ssh_config_line *line)
{
	const struct smx_hop *hop = smx_route_target(route);
	const char *word;

	CHECK(!line->fault && line->n_words > 0);
	if ((word = option_of(line, "HostName")) != NULL)
		CHECK(means(word, hop->host) || strcmp(word, "127.0.0.1") == 0);
	if ((word = option_of(line, "User")) != NULL)
		CHECK(line->n_words == 1 &&
			(strcmp(word, hop->user) == 0 || strcmp(word, route->name) == 0));
	if ((word = option_of(line, "IdentityFile")) != NULL)
		CHECK(line->n_words == 1 && is_identity(o, route, word));
	if ((word = option_of(line, "ControlPath")) != NULL)
		CHECK(line->n_words == 1 &&
			(!o->control_dir || strstr(word, "=%r@%h:%p") || strstr(word, "=%C")));
	if (line->kind == SMX_SSH_CONFIG_PROXY_COMMAND && o->control_dir)
		CHECK((strcmp(line->words[0].text, "none") == 0) == (route->n_hops == 1));
	if (line->kind == SMX_SSH_CONFIG_PROXY_JUMP)
		check_jumps(route, line);
}

static void write_with(const struct smx_routes *routes, const struct smx_hosts_conf *o)
{
	const struct smx_route *route = NULL;
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line line;
	struct smx_buf out;
	size_t next = 0;
	int r;

	smx_buf_init(&out, SMX_HOSTS_CONF_MAX);
	r = smx_hosts_conf_write(routes, o, &out);
	CHECK(r == 0 || r == SMX_EINVAL);
	if (r == 0) {
		CHECK(smx_hosts_conf_is_ours(smx_buf_as_view(&out)));
		CHECK(smx_hosts_conf_is_control(smx_buf_as_view(&out)) == (o->control_dir != NULL));
	}
	smx_ssh_config_reader_init(&rd, smx_buf_as_view(&out));
	while (r == 0 && smx_ssh_config_next(&rd, &line) > 0) {
		if (line.kind == SMX_SSH_CONFIG_HOST) {
			CHECK(line.n_words == 1);
			do {
				CHECK(next < routes->n_routes);
				route = &routes->routes[next++];
			} while (strcmp(route->name, line.words[0].text) != 0);
			CHECK(!o->is_left || !o->is_left[route - routes->routes]);
		} else {
			CHECK(route);
			check_line(o, route, &line);
		}
	}
	smx_ssh_config_reader_release(&rd);
	if (r == 0 && o->is_left)
		CHECK(smx_hosts_conf_is_left(smx_buf_cstr(&out), routes->routes[0].name));
	smx_buf_release(&out);
}

/* A path of a user's as that of the file to include. */
static void include(const char *path)
{
	const struct smx_include inc = { path, "hosts.conf", 0 };
	struct smx_buf line;
	int r;

	smx_buf_init(&line, 65536);
	r = smx_include_line(&inc, &line);
	CHECK(r == (smx_conf_path_fault(path, 1) ? SMX_EINVAL : 0));
	smx_buf_release(&line);
	if (r == 0)
		check(&inc, (struct smx_view){ NULL, 0 });
}

static void write_all(const struct smx_routes *routes)
{
	const struct smx_hop *hop = smx_route_target(&routes->routes[0]);
	unsigned char *all = malloc(routes->n_routes);
	struct smx_hosts_conf o = { .routes_path = "/h/.ssh/ssh-mux-routes.toml",
		.known_path = hop->n_identity ? hop->identity[0] : "/h/.ssh/x%y \\z",
		.key_alias = "ssh-mux",
		.port = 2222,
		.identity = (const char *const *)hop->identity,
		.n_identity = hop->n_identity,
		.known = ~0u };

	CHECK(all);
	memset(all, 1, routes->n_routes);
	write_with(routes, &o);
	o.accept_new = o.identities_only = 1;
	o.known = 1u << SMX_HOSTS_WARN_WEAK_CRYPTO | 1u << SMX_HOSTS_PKCS11;
	o.program = "/opt/it's $x/100%/ssh-mux";
	o.program_ssh_dir = "/h/.ssh";
	write_with(routes, &o);
	o.known = 0;
	o.program_ssh_dir = NULL;
	o.program = "C:\\Program Files\\100%\\ssh-mux.exe";
	write_with(routes, &o);
	o.is_left = all;
	write_with(routes, &o);
	o.control_dir = "/run/user/1000/100% \"x\"";
	o.control_room = 120;
	write_with(routes, &o);
	o.is_left = NULL;
	write_with(routes, &o);
	o.has_block = all;
	o.control_room = 60;
	write_with(routes, &o);
	if (hop->n_identity)
		include(hop->identity[0]);
	free(all);
}

static void try_routes(struct smx_view text)
{
	struct smx_routes *routes;
	struct smx_buf err;

	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX);
	if (smx_routes_parse(text, "r", &routes, &err) == 0) {
		if (routes->n_routes > 0)
			write_all(routes);
		smx_routes_unref(routes);
	}
	smx_buf_release(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char routes_text[] = "[routes.web]\nhost=\"h\"\nuser=\"u\"\n"
					  "[routes.a-b]\nhost=\"h\"\nuser=\"u\"\n";
	const struct smx_include home = { "/h/.ssh/hosts.conf", "hosts.conf", 1 };
	const struct smx_include other = { "/o \\\"[*]'/hosts.conf", "hosts.conf", 0 };
	struct smx_view text = { data, size };
	struct smx_routes *routes;
	struct smx_buf err;
	long before = smx_mem_alive();
	size_t count;

	if (size > SMX_USER_CONF_MAX)
		return 0;
	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX);
	CHECK(smx_routes_parse(
		      smx_view_of(routes_text, sizeof(routes_text) - 1), "r", &routes, &err) == 0);
	count = routes->n_routes;
	check(&home, text);
	check(&other, text);
	CHECK(smx_overlap_find(routes, text, ignore_route, ignore_include, &count) == 0);
	CHECK(smx_control_path_find(routes, text, any_route, ignore_include, &count) == 0);
	check_ours(text);
	try_routes(text);
	smx_routes_unref(routes);
	smx_buf_release(&err);
	CHECK(smx_mem_alive() == before);
	return 0;
}
