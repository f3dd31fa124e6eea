/* SPDX-License-Identifier: MIT */
/* R1–R6, L8, B1: the routes file. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/routes.h"

static struct smx_routes *parse(const char *text)
{
	struct smx_routes *routes = NULL;
	struct smx_buf error;
	int r;

	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	r = smx_routes_parse(smx_view_of(text, strlen(text)), "routes.toml", &routes, &error);
	if (r != 0)
		fail_msg("%d: %s", r, smx_buf_cstr(&error));
	assert_int_equal(smx_buf_len(&error), 0);
	smx_buf_release(&error);
	return routes;
}

/* "user@host:port > user@host:port" of a route's hops. */
static const char *way(const struct smx_routes *routes, const char *name)
{
	static char out[1024];
	const struct smx_route *route = smx_routes_find(routes, name);
	size_t n = 0;

	assert_non_null(route);
	for (size_t i = 0; i < route->n_hops; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s@%s:%u", i ? " > " : "",
			route->hops[i].user, route->hops[i].host, route->hops[i].port);
	return out;
}

#define JUMP  "[jump]\nhost = 'bastion'\nuser = 'j'\n"
#define ROUTE "[routes.web]\nhost = 'h'\nuser = 'u'\n"

static void r1_r2_jump_and_direct(void **state)
{
	struct smx_routes *routes = parse("[jump]\n"
					  "host = \"Bastion.Example\"\n"
					  "port = 2200\n"
					  "user = \"me\"\n"
					  "[routes.web]\n"
					  "host = \"10.0.0.5\"\n"
					  "port = 2022\n"
					  "user = \"deploy\"\n"
					  "[routes.Db-1]\n"
					  "host = \"DB.internal\"\n"
					  "user = 'DOM\\user'\n"
					  "[routes.out]\n"
					  "host = \"out.example\"\n"
					  "user = \"user@corp.com\"\n"
					  "direct = true\n"
					  "[routes.off]\n"
					  "host = \"off.example\"\n"
					  "user = \"u\"\n"
					  "direct = false\n");

	(void)state;
	assert_int_equal(routes->n_routes, 4);
	assert_false(routes->match_any);
	assert_string_equal(routes->routes[0].name, "web"); /* order of the file */
	assert_string_equal(routes->routes[1].name, "Db-1");
	assert_string_equal(way(routes, "web"), "me@bastion.example:2200 > deploy@10.0.0.5:2022");
	assert_string_equal(
		way(routes, "Db-1"), "me@bastion.example:2200 > DOM\\user@db.internal:22");
	assert_string_equal(way(routes, "out"), "user@corp.com@out.example:22");
	assert_string_equal(way(routes, "off"), "me@bastion.example:2200 > u@off.example:22");
	assert_null(smx_routes_find(routes, "WEB"));
	assert_null(smx_routes_find(routes, ""));
	assert_null(smx_routes_find(routes, "jump"));
	assert_null(smx_routes_find(routes, "web "));
	assert_int_equal(smx_routes_find(routes, "web")->line, 5);
	assert_null(smx_routes_find(routes, "web")->hops[0].name);
	assert_string_equal(smx_route_target(smx_routes_find(routes, "web"))->name, "web");
	smx_routes_unref(routes);
}

static void r2_no_jump_table_means_direct(void **state)
{
	struct smx_routes *routes = parse(ROUTE);

	(void)state;
	assert_string_equal(way(routes, "web"), "u@h:22");
	smx_routes_unref(routes);

	routes = parse(JUMP);
	assert_int_equal(routes->n_routes, 0);
	assert_null(smx_routes_find(routes, "web"));
	smx_routes_unref(routes);

	routes = parse("");
	assert_int_equal(routes->n_routes, 0);
	smx_routes_unref(routes);
	smx_routes_unref(NULL);
}

static void b1_chains(void **state)
{
	static const char text[] =
		JUMP "[routes]\n"
		     "a = { host = 'a', user = 'u' }\n"
		     "b = { host = 'b', user = 'u', jump = 'a' }\n"
		     "c = { host = 'c', user = 'u', jump = 'b' }\n"
		     "d = { host = 'd', user = 'u', direct = true }\n"
		     "e = { host = 'e', user = 'u', jump = 'd' }\n"
		     "f = { host = 'f', user = 'u', jump = 'none' }\n"
		     "g = { host = 'g', user = 'u', jump = ['d', 'c', 'f'] }\n"
		     "h = { host = 'h', user = 'u', jump = ['c'] }\n"
		     "i = { host = 'i', user = 'u', jump = 'f', direct = false }\n"
		     "early = { host = 'x', user = 'u', jump = 'late' }\n"
		     "late = { host = 'y', user = 'u', jump = 'd' }\n"
		     "none = { host = 'z', user = 'u' }\n";
	static const struct {
		const char *name, *way;
	} cases[] = {
		{ "a", "j@bastion:22 > u@a:22" },
		{ "b", "j@bastion:22 > u@a:22 > u@b:22" },
		{ "c", "j@bastion:22 > u@a:22 > u@b:22 > u@c:22" },
		{ "d", "u@d:22" },
		{ "e", "u@d:22 > u@e:22" },
		{ "f", "u@f:22" },
		/* Only the first of an array brings its own way along. */
		{ "g", "u@d:22 > u@c:22 > u@f:22 > u@g:22" },
		{ "h", "j@bastion:22 > u@a:22 > u@b:22 > u@c:22 > u@h:22" },
		{ "i", "u@f:22 > u@i:22" },
		{ "early", "u@d:22 > u@y:22 > u@x:22" },
		{ "none", "j@bastion:22 > u@z:22" },
	};
	struct smx_routes *routes = parse(text);

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++)
		assert_string_equal(way(routes, cases[i].name), cases[i].way);
	smx_routes_unref(routes);
}

static void b1_longest_chain(void **state)
{
	char text[2048];
	struct smx_routes *routes;
	struct smx_buf error;
	int n = 0;

	(void)state;
	for (int i = 0; i < SMX_HOPS_MAX; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			"[routes.r%d]\nhost='h%d'\nuser='u'\njump='r%d'\n", i, i, i + 1);
	snprintf(text + n, sizeof(text) - (size_t)n, "[routes.r%d]\nhost='x'\nuser='u'\n",
		SMX_HOPS_MAX);
	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	assert_int_equal(smx_routes_parse(smx_view_of(text, strlen(text)), "f", &routes, &error),
		SMX_ESYNTAX);
	assert_string_equal(smx_buf_cstr(&error),
		"f:4:1: [routes.r0] key \"jump\": leads over more than 8 hops");
	smx_buf_release(&error);
	/* One less is fine. */
	memcpy(strstr(text, "jump='r8'"), "#        ", 9);
	routes = parse(text);
	assert_int_equal(smx_routes_find(routes, "r0")->n_hops, SMX_HOPS_MAX);
	smx_routes_unref(routes);
}

/* A way of thousands of routes is refused before it is followed to its end. */
static void b1_endless_chain(void **state)
{
	static char text[400 * 1024];
	struct smx_routes *routes = NULL;
	struct smx_buf error;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < SMX_ROUTES_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
			"routes.r%d={host='h',user='u',jump='r%d'}\n", i, (i + 1) % SMX_ROUTES_MAX);
	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	assert_int_equal(smx_routes_parse(smx_view_of(text, n), "f", &routes, &error), SMX_ESYNTAX);
	assert_non_null(strstr(smx_buf_cstr(&error), "leads over more than 8 hops"));
	smx_buf_release(&error);
}

static void r4_r5_loopback_flag_is_or(void **state)
{
	static const struct {
		const char *top, *route;
		int want;
	} cases[] = {
		{ "", "", 0 },
		{ "", "= false", 0 },
		{ "", "= true", 1 },
		{ "= false", "", 0 },
		{ "= false", "= false", 0 },
		{ "= false", "= true", 1 },
		{ "= true", "", 1 },
		{ "= true", "= false", 1 },
		{ "= true", "= true", 1 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		char text[512];
		struct smx_routes *routes;

		snprintf(text, sizeof(text), "%s%s\n" ROUTE "%s%s\n",
			*cases[i].top ? "default_allow_remote_loopback_any_port " : "",
			cases[i].top, *cases[i].route ? "allow_remote_loopback_any_port " : "",
			cases[i].route);
		routes = parse(text);
		assert_int_equal(smx_routes_find(routes, "web")->allow_remote_loopback_any_port,
			cases[i].want);
		smx_routes_unref(routes);
	}
}

static void a1_identities(void **state)
{
	struct smx_routes *routes =
		parse("identity = '~/.ssh/top'\n"
		      "identity_agent = '/run/top'\n"
		      "identities_only = true\n" JUMP "identity = ['j1', 'j2']\n"
		      "host_key_alias = 'Bastion-Key'\n" ROUTE "[routes.own]\n"
		      "host = 'h'\n"
		      "user = 'u'\n"
		      "identity = []\n"
		      "identities_only = false\n"
		      "identity_agent = 'none'\n"
		      "port = 2022\n");
	const struct smx_hop *hop;
	const char *host;
	uint16_t port;

	(void)state;
	hop = &smx_routes_find(routes, "web")->hops[0];
	assert_int_equal(hop->n_identity, 2);
	assert_string_equal(hop->identity[0], "j1");
	assert_string_equal(hop->identity[1], "j2");
	assert_int_equal(hop->identities_only, 1);
	assert_string_equal(hop->identity_agent, "/run/top");
	smx_hop_known_name(hop, &host, &port);
	assert_string_equal(host, "bastion-key");
	assert_int_equal(port, 22);
	hop = &smx_routes_find(routes, "web")->hops[1];
	assert_int_equal(hop->n_identity, 1);
	assert_string_equal(hop->identity[0], "~/.ssh/top");
	assert_null(hop->host_key_alias);
	hop = smx_route_target(smx_routes_find(routes, "own"));
	assert_int_equal(hop->n_identity, 0);
	assert_int_equal(hop->identities_only, 0);
	assert_string_equal(hop->identity_agent, "none");
	smx_hop_known_name(hop, &host, &port);
	assert_string_equal(host, "h");
	assert_int_equal(port, 2022);
	smx_routes_unref(routes);
}

static void u9_other_users_only_on_request(void **state)
{
	struct smx_routes *routes = parse(ROUTE);

	(void)state;
	assert_false(routes->allow_other_users);
	smx_routes_unref(routes);
	routes = parse("allow_other_users = true\n" ROUTE);
	assert_true(routes->allow_other_users);
	smx_routes_unref(routes);
	routes = parse("allow_other_users = false\n" ROUTE);
	assert_false(routes->allow_other_users);
	smx_routes_unref(routes);
}

static void a6_pinentry(void **state)
{
	struct smx_routes *routes = parse("pinentry = '/usr/bin/pinentry-qt'\n" ROUTE);

	(void)state;
	assert_string_equal(routes->pinentry, "/usr/bin/pinentry-qt");
	smx_routes_unref(routes);
	routes = parse("pinentry = 'none'\n" ROUTE);
	assert_string_equal(routes->pinentry, "none");
	smx_routes_unref(routes);
	routes = parse("pinentry = 'C:\\Program Files\\p.exe'\n" ROUTE);
	assert_string_equal(routes->pinentry, "C:\\Program Files\\p.exe");
	smx_routes_unref(routes);
	routes = parse("pinentry = 'd:/p.exe'\n" ROUTE);
	assert_string_equal(routes->pinentry, "d:/p.exe");
	smx_routes_unref(routes);
	routes = parse(ROUTE);
	assert_null(routes->pinentry);
	smx_routes_unref(routes);
}

/* A4: which window asks; [jump] and routes take the top level's unless they say their own. */
static void a4_prompter(void **state)
{
	struct smx_routes *routes = parse(ROUTE);
	const struct smx_route *web = smx_routes_find(routes, "web");

	(void)state;
	assert_int_equal(smx_route_target(web)->prompter, SMX_PROMPTER_NATIVE);
	smx_routes_unref(routes);
	routes = parse("prompter = 'powershell'\n" JUMP ROUTE
		       "[routes.own]\nhost = 'h'\nuser = 'u'\nprompter = 'native'\n");
	web = smx_routes_find(routes, "web");
	assert_int_equal(web->n_hops, 2);
	assert_int_equal(web->hops[0].prompter, SMX_PROMPTER_POWERSHELL);
	assert_int_equal(web->hops[1].prompter, SMX_PROMPTER_POWERSHELL);
	assert_int_equal(
		smx_route_target(smx_routes_find(routes, "own"))->prompter, SMX_PROMPTER_NATIVE);
	/* P1: who asks is no other way. */
	assert_true(smx_hops_equal(web->hops, 1, smx_routes_find(routes, "own")->hops, 1));
	smx_routes_unref(routes);
	routes = parse(JUMP "prompter = 'powershell'\n" ROUTE);
	web = smx_routes_find(routes, "web");
	assert_int_equal(web->hops[0].prompter, SMX_PROMPTER_POWERSHELL);
	assert_int_equal(web->hops[1].prompter, SMX_PROMPTER_NATIVE);
	smx_routes_unref(routes);
}

/* Of each hop what its own table says, else the top level, else fifteen minutes. */
static void u3_dead_after(void **state)
{
	struct smx_routes *r = parse("[jump]\nhost = 'j'\nuser = 'j'\ndead_after = 86400\n"
				     "[routes.a]\nhost = 'a'\nuser = 'a'\n"
				     "[routes.b]\nhost = 'b'\nuser = 'b'\ndead_after = 45\n");

	(void)state;
	assert_int_equal(smx_routes_find(r, "a")->hops[0].dead_after_s, 86400);
	assert_int_equal(smx_routes_find(r, "a")->hops[1].dead_after_s, 900);
	assert_int_equal(smx_routes_find(r, "b")->hops[1].dead_after_s, 45);
	smx_routes_unref(r);
	r = parse("dead_after = 300\n[routes.a]\nhost = 'a'\nuser = 'a'\n"
		  "[routes.b]\nhost = 'b'\nuser = 'b'\ndead_after = 60\n");
	assert_int_equal(smx_routes_find(r, "a")->hops[0].dead_after_s, 300);
	assert_int_equal(smx_routes_find(r, "b")->hops[0].dead_after_s, 60);
	smx_routes_unref(r);
}

/* B8: paced unless its own table, or else the top level, says otherwise. */
static void b8_pace(void **state)
{
	struct smx_routes *r = parse("[jump]\nhost = 'j'\nuser = 'j'\npace = false\n"
				     "[routes.a]\nhost = 'a'\nuser = 'a'\n");

	(void)state;
	assert_false(smx_routes_find(r, "a")->hops[0].pace);
	assert_true(smx_routes_find(r, "a")->hops[1].pace);
	smx_routes_unref(r);
	r = parse("pace = false\n[routes.a]\nhost = 'a'\nuser = 'a'\n"
		  "[routes.b]\nhost = 'b'\nuser = 'b'\npace = true\n");
	assert_false(smx_routes_find(r, "a")->hops[0].pace);
	assert_true(smx_routes_find(r, "b")->hops[0].pace);
	smx_routes_unref(r);
}

/* B12: the next session's channel is opened beforehand, unless its table or the top says no. */
static void b12_spare(void **state)
{
	struct smx_routes *r = parse("[jump]\nhost = 'j'\nuser = 'j'\nspare = false\n"
				     "[routes.a]\nhost = 'a'\nuser = 'a'\n");

	(void)state;
	assert_false(smx_routes_find(r, "a")->hops[0].spare);
	assert_true(smx_routes_find(r, "a")->hops[1].spare);
	smx_routes_unref(r);
	r = parse("spare = false\n[routes.a]\nhost = 'a'\nuser = 'a'\n"
		  "[routes.b]\nhost = 'b'\nuser = 'b'\nspare = true\n");
	assert_false(smx_routes_find(r, "a")->hops[0].spare);
	assert_true(smx_routes_find(r, "b")->hops[0].spare);
	smx_routes_unref(r);
}

static void l8_send_env_of_route_and_top(void **state)
{
	struct smx_routes *routes = parse(
		"send_env = ['A', 'B']\n" ROUTE "send_env = ['B', 'C']\n"
		"[routes.x]\nhost='x'\nuser='x'\nsend_env='ONE'\n[routes.y]\nhost='y'\nuser='y'\n");
	const struct smx_route *route = smx_routes_find(routes, "web");

	(void)state;
	assert_int_equal(route->n_send_env, 3);
	assert_string_equal(route->send_env[0], "A");
	assert_string_equal(route->send_env[1], "B");
	assert_string_equal(route->send_env[2], "C");
	assert_int_equal(smx_routes_find(routes, "x")->n_send_env, 3);
	assert_int_equal(smx_routes_find(routes, "y")->n_send_env, 2);
	smx_routes_unref(routes);
}

#define ROUTE_KEYS                                                                                \
	"host, port, user, direct, transport, jump, allow_remote_loopback_any_port, forwards, "   \
	"remote_forwards, jump_through, send_env, identity, certificate, identities_only, "       \
	"identity_agent, unattended, host_key_alias, known_hosts, update_host_keys, algorithms, " \
	"prompter, "                                                                              \
	"dead_after, "                                                                            \
	"pace, spare, agent_forward"
#define AGENT_RIGHT                                                                             \
	"must be true, false, \"confirm\", or keys: fingerprints (\"SHA256:...\") or files of " \
	"public keys"
#define PRINT "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void b4_agent_forward(void **state)
{
	static const struct {
		const char *value;
		int is_allowed, must_confirm;
		size_t n_keys;
	} cases[] = {
		{ "false", 0, 0, 0 },
		{ "true", 1, 0, 0 },
		{ "'confirm'", 1, 1, 0 },
		{ "'" PRINT "'", 1, 0, 1 },
		{ "['" PRINT "', '/a/k.pub', '~/k.pub', 'C:\\k.pub', '/a/k.pub']", 1, 0, 4 },
		{ "['confirm', '/a/k.pub']", 1, 1, 1 },
	};
	struct smx_routes *routes = parse(ROUTE);
	char text[512];

	(void)state;
	assert_false(smx_routes_find(routes, "web")->agent.is_allowed);
	smx_routes_unref(routes);
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		const struct smx_agent_forward *agent;

		(void)snprintf(text, sizeof(text), ROUTE "agent_forward = %s\n", cases[i].value);
		routes = parse(text);
		agent = &smx_routes_find(routes, "web")->agent;
		assert_int_equal(agent->is_allowed, cases[i].is_allowed);
		assert_int_equal(agent->must_confirm, cases[i].must_confirm);
		assert_int_equal(agent->n_keys, cases[i].n_keys);
		smx_routes_unref(routes);
	}
}

/* Each error in full: file, line, column, section, key, and what would be right. */
static void r3_errors(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		/* unknown keys */
		{ ROUTE "prot = 2\n",
			"f:4:1: [routes.web] key \"prot\": unknown key; did you mean \"port\"?" },
		{ ROUTE "Host = 'x'\n",
			"f:4:1: [routes.web] key \"Host\": unknown key; did you mean \"host\"?" },
		{ ROUTE "hostname = 'x'\n", "f:4:1: [routes.web] key \"hostname\": unknown key; "
					    "did you mean \"host\"?" },
		{ ROUTE "username = 'x'\n", "f:4:1: [routes.web] key \"username\": unknown key; "
					    "did you mean \"user\"?" },
		{ ROUTE "ProxyJump = 'x'\n", "f:4:1: [routes.web] key \"ProxyJump\": unknown key; "
					     "did you mean \"jump\"?" },
		{ ROUTE "identity-file = 'x'\n",
			"f:4:1: [routes.web] key \"identity-file\": unknown key; did you mean "
			"\"identity\"?" },
		{ ROUTE "allow_remote_loopback = true\n",
			"f:4:1: [routes.web] key \"allow_remote_loopback\": unknown key; did you "
			"mean \"allow_remote_loopback_any_port\"?" },
		{ ROUTE "  sendenv = 'X'\n", "f:4:3: [routes.web] key \"sendenv\": unknown key; "
					     "did you mean \"send_env\"?" },
		{ ROUTE "allow_x11_too = ['a:1']\n", "f:4:1: [routes.web] key \"allow_x11_too\": "
						     "unknown key; the keys here are " ROUTE_KEYS },
		{ ROUTE "\"a\\u001bb\\nc\" = 1\n", "f:4:1: [routes.web] key \"a?b?c\": unknown "
						   "key; the keys here are " ROUTE_KEYS },
		{ JUMP "direct = true\n",
			"f:4:1: [jump] key \"direct\": unknown key; the keys here are host, port, "
			"user, transport, identity, certificate, identities_only, identity_agent, "
			"unattended, host_key_alias, known_hosts, update_host_keys, algorithms, "
			"prompter, "
			"dead_after, pace, "
			"spare" },
		{ "[jmp]\n", "f:1:2: key \"jmp\": unknown key; did you mean \"jump\"?" },
		{ "[route.web]\n", "f:1:2: key \"route\": unknown key; did you mean \"routes\"?" },
		{ "allow_remote_loopback_any_port = true\n",
			"f:1:1: key \"allow_remote_loopback_any_port\": unknown key; did you mean "
			"\"default_allow_remote_loopback_any_port\"?" },
		/* A6: a program is never looked for in PATH */
		{ "pinentry = 'pinentry-qt'\n",
			"f:1:1: key \"pinentry\": must be an absolute path, or \"none\"" },
		{ "pinentry = ''\n", "f:1:1: key \"pinentry\": must not be empty" },
		{ "pinentry = 'c:pinentry.exe'\n",
			"f:1:1: key \"pinentry\": must be an absolute path, or \"none\"" },
		{ "pinentry = '\\pinentry.exe'\n",
			"f:1:1: key \"pinentry\": must be an absolute path, or \"none\"" },
		/* A4: there are two of them */
		{ "prompter = 'PowerShell'\n",
			"f:1:1: key \"prompter\": must be \"native\" or \"powershell\"" },
		{ JUMP "prompter = ''\n",
			"f:4:1: [jump] key \"prompter\": must be \"native\" or \"powershell\"" },
		{ ROUTE "prompter = true\n",
			"f:4:1: [routes.web] key \"prompter\": must be \"native\" or "
			"\"powershell\", not a boolean" },
		{ ROUTE "pinentry = '/bin/p'\n", "f:4:1: [routes.web] key \"pinentry\": unknown "
						 "key; the keys here are " ROUTE_KEYS },
		/* R7 */
		{ ROUTE "transport = 'nc'\n",
			"f:4:1: [routes.web] key \"transport\": must be an array "
			"of a program and its arguments, as [\"nc\", "
			"\"%h\", \"%p\"]" },
		{ ROUTE "transport = []\n",
			"f:4:1: [routes.web] key \"transport\": must be an array "
			"of a program and its arguments, as [\"nc\", \"%h\", "
			"\"%p\"]" },
		{ ROUTE "transport = ['']\n",
			"f:4:1: [routes.web] key \"transport\": \"\" must not be empty" },
		{ ROUTE "transport = ['-x']\n",
			"f:4:1: [routes.web] key \"transport\": \"-x\" must be a program, which no "
			"word that begins with '-' is" },
		{ ROUTE "transport = ['nc', '%q']\n",
			"f:4:1: [routes.web] key \"transport\": \"%q\" has a '%' before something "
			"else than h, p, r, n or %" },
		{ ROUTE "transport = ['nc', 'a%']\n",
			"f:4:1: [routes.web] key \"transport\": \"a%\" has a '%' before something "
			"else than h, p, r, n or %" },
		{ ROUTE "transport = ['nc', 1]\n",
			"f:4:1: [routes.web] key \"transport\": must have strings only, not an "
			"integer" },
		/* missing ones */
		{ "[routes.web]\nuser = 'u'\n",
			"f:1:9: [routes.web]: key \"host\" is missing; write host = \"name or "
			"address\"" },
		{ "\n[routes.web]\nhost = 'h'\n",
			"f:2:9: [routes.web]: key \"user\" is missing; write user = \"login "
			"name\"" },
		{ "[jump]\nhost = 'h'\n",
			"f:1:2: [jump]: key \"user\" is missing; write user = \"login name\"" },
		/* types */
		{ ROUTE "port = '22'\n", "f:4:1: [routes.web] key \"port\": must be an integer "
					 "from 1 to 65535, not a string" },
		{ ROUTE "port = 22.0\n", "f:4:1: [routes.web] key \"port\": must be an integer "
					 "from 1 to 65535, not a number, date or time" },
		{ ROUTE "port = 0\n", "f:4:1: [routes.web] key \"port\": must be from 1 to 65535" },
		{ ROUTE "port = -1\n",
			"f:4:1: [routes.web] key \"port\": must be from 1 to 65535" },
		{ ROUTE "port = 65536\n",
			"f:4:1: [routes.web] key \"port\": must be from 1 to 65535" },
		{ ROUTE "port = 4294967318\n",
			"f:4:1: [routes.web] key \"port\": must be from 1 to 65535" },
		{ ROUTE "direct = 'yes'\n",
			"f:4:1: [routes.web] key \"direct\": must be true or false, not a string" },
		{ ROUTE "direct = 1\n", "f:4:1: [routes.web] key \"direct\": must be true or "
					"false, not an integer" },
		{ "[routes.web]\nhost = 5\n",
			"f:2:1: [routes.web] key \"host\": must be a string, not an integer" },
		{ ROUTE "identity = 1\n",
			"f:4:1: [routes.web] key \"identity\": must be a string or an array of "
			"strings, not an integer" },
		{ ROUTE "identity = ['a', 1]\n",
			"f:4:1: [routes.web] key \"identity\": must be a string or an array of "
			"strings, not an array with an integer in it" },
		{ ROUTE "jump = 1\n",
			"f:4:1: [routes.web] key \"jump\": must be the name of a route, \"none\", "
			"or an array of names, not an integer" },
		{ ROUTE "jump = [1]\n", "f:4:1: [routes.web] key \"jump\": must be the name of a "
					"route, \"none\", or an array of names" },
		{ ROUTE "jump = []\n", "f:4:1: [routes.web] key \"jump\": must not be empty; "
				       "write \"none\" for no jump host" },
		{ "jump = 'x'\n", "f:1:1: key \"jump\": must be a table, not a string" },
		{ "[[jump]]\n", "f:1:3: key \"jump\": must be a table, not an array" },
		{ "routes = 1\n", "f:1:1: key \"routes\": must be a table, not an integer" },
		{ "routes.web = 1\n", "f:1:8: [routes.web]: must be a table, not an integer" },
		/* names */
		{ "[routes.\"a b\"]\n", "f:1:9: [routes] name \"a b\" may only have letters, "
					"digits, '.', '_' and '-'" },
		{ "[routes.-a]\n", "f:1:9: [routes] name \"-a\" must not start with '-'" },
		{ "[routes.\"a\\u001b[2J\"]\n",
			"f:1:9: [routes] name \"a?[2J\" may only have letters, digits, '.', '_' "
			"and '-'" },
		{ "[routes.\"\"]\n", "f:1:9: [routes] name \"\" must not be empty" },
		{ "[routes.a.b]\nhost = 'h'\n", "f:1:11: [routes.a] key \"b\": unknown key; the "
						"keys here are " ROUTE_KEYS },
		{ "[routes.web]\nhost = '-oProxyCommand=x'\n",
			"f:2:1: [routes.web] key \"host\": must not start with '-'" },
		{ "[routes.web]\nhost = 'h '\n",
			"f:2:1: [routes.web] key \"host\": must not start or end with white "
			"space" },
		{ "[routes.web]\nhost = \"h\\n\"\n",
			"f:2:1: [routes.web] key \"host\": must not have control characters" },
		{ "[routes.web]\nhost = \"h\\u0000x\"\n",
			"f:2:1: [routes.web] key \"host\": must not have control characters" },
		{ "[routes.web]\nhost = 'h:22'\n", "f:2:1: [routes.web] key \"host\": must not "
						   "have a port in it (the port has "
						   "a key of its own)" },
		{ "[routes.web]\nuser = '$(id)'\n",
			"f:2:1: [routes.web] key \"user\": must not have quotes or shell "
			"metacharacters" },
		{ JUMP "host_key_alias = '*'\n",
			"f:4:1: [jump] key \"host_key_alias\": may only have letters, digits, '.', "
			"'-', '_', ':' and '%'" },
		{ ROUTE "identity = ''\n",
			"f:4:1: [routes.web] key \"identity\": \"\" must not be empty" },
		{ ROUTE "identity_agent = \"a\\u0000b\"\n",
			"f:4:1: [routes.web] key \"identity_agent\": must not have control "
			"characters" },
		/* U3 */
		{ "dead_after = 44\n", "f:1:1: key \"dead_after\": must be from 45 to 86400" },
		{ ROUTE "dead_after = 86401\n",
			"f:4:1: [routes.web] key \"dead_after\": must be from 45 to 86400" },
		{ JUMP "dead_after = '60'\n",
			"f:4:1: [jump] key \"dead_after\": must be an integer from 45 to 86400, "
			"not a string" },
		/* B8 */
		{ ROUTE "pace = 'off'\n",
			"f:4:1: [routes.web] key \"pace\": must be true or false, not a string" },
		{ ROUTE "spare = 1\n", "f:4:1: [routes.web] key \"spare\": must be true or false, "
				       "not an integer" },
		/* B4 */
		{ ROUTE "agent_forward = []\n",
			"f:4:1: [routes.web] key \"agent_forward\": must have "
			"1 to 64 items; write false for none" },
		{ ROUTE "agent_forward = 1\n",
			"f:4:1: [routes.web] key \"agent_forward\": " AGENT_RIGHT
			", not an integer" },
		{ ROUTE "agent_forward = ['confirm', true]\n",
			"f:4:1: [routes.web] key \"agent_forward\": " AGENT_RIGHT
			", not a boolean" },
		{ ROUTE "agent_forward = 'yes'\n",
			"f:4:1: [routes.web] key \"agent_forward\": \"yes\": " AGENT_RIGHT },
		{ ROUTE "agent_forward = 'SHA256:short'\n",
			"f:4:1: [routes.web] key \"agent_forward\": "
			"\"SHA256:short\": " AGENT_RIGHT },
		{ ROUTE "agent_forward = 'MD5:00'\n",
			"f:4:1: [routes.web] key \"agent_forward\": \"MD5:00\": " AGENT_RIGHT },
		{ ROUTE "agent_forward = \"/a\\nb\"\n",
			"f:4:1: [routes.web] key \"agent_forward\": \"/a?b\": " AGENT_RIGHT },
		{ JUMP "agent_forward = true\n",
			"f:4:1: [jump] key \"agent_forward\": unknown key; the keys here are host, "
			"port, user, transport, identity, certificate, identities_only, "
			"identity_agent, "
			"unattended, "
			"host_key_alias, known_hosts, update_host_keys, algorithms, prompter, "
			"dead_after, "
			"pace, spare" },
		/* L8 */
		{ ROUTE "send_env = ['OK', 'LD_PRELOAD']\n",
			"f:4:1: [routes.web] key \"send_env\": \"LD_PRELOAD\" is never passed on: "
			"it can make the remote run or load something" },
		{ "send_env = 'PATH'\n", "f:1:1: key \"send_env\": \"PATH\" is never passed on: it "
					 "can make the remote run or load something" },
		{ ROUTE "send_env = 'FOO_*'\n",
			"f:4:1: [routes.web] key \"send_env\": \"FOO_*\" must be a whole name; "
			"patterns are not supported" },
		{ ROUTE "send_env = \"\\u001b[2J\"\n",
			"f:4:1: [routes.web] key \"send_env\": \"?[2J\" may only have letters, "
			"digits and '_'" },
		/* B1 */
		{ ROUTE "jump = 'web'\n",
			"f:4:1: [routes.web] key \"jump\": goes round in a circle: the way to "
			"\"web\" leads through \"web\"" },
		{ ROUTE "jump = 'x'\n[routes.x]\nhost = 'x'\nuser = 'x'\njump = 'web'\n",
			"f:8:1: [routes.x] key \"jump\": goes round in a circle: the way to "
			"\"web\" "
			"leads through \"x\"" },
		{ ROUTE "jump = ['x', 'web']\n[routes.x]\nhost = 'x'\nuser = 'x'\n",
			"f:4:1: [routes.web] key \"jump\": goes round in a circle: \"web\" is "
			"passed twice" },
		{ ROUTE "jump = ['y', 'x']\n[routes.x]\nhost = 'x'\nuser = 'x'\n"
			"transport = ['nc']\n[routes.y]\nhost = 'y'\nuser = 'y'\n",
			"f:4:1: [routes.web] key \"jump\": leads to \"x\" from another host, "
			"which excludes its \"transport\"" },
		{ ROUTE "jump = ['x', 'x']\n[routes.x]\nhost = 'x'\nuser = 'x'\n",
			"f:4:1: [routes.web] key \"jump\": goes round in a circle: \"x\" is passed "
			"twice" },
		{ ROUTE "jump = 'nowhere'\n",
			"f:4:1: [routes.web] key \"jump\": there is no route \"nowhere\"" },
		{ ROUTE "jump = ['x', 'none']\n[routes.x]\nhost = 'x'\nuser = 'x'\n",
			"f:4:1: [routes.web] key \"jump\": there is no route \"none\"" },
		{ ROUTE "jump = \"a\\u001b\"\n",
			"f:4:1: [routes.web] key \"jump\": there is no such route" },
		{ ROUTE "direct = true\njump = 'x'\n", "f:5:1: [routes.web] key \"jump\": excludes "
						       "\"direct = true\"; omit one of "
						       "them" },
		/* not TOML */
		{ ROUTE "port = 22\nport = 23\n", "f:5:" },
		{ "\xff\n", "f:1:1: " },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_routes *routes = NULL;
		struct smx_buf error;
		const char *got;
		int r, is_prefix = i >= SMX_ARRAY_LEN(cases) - 2;

		smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
		r = smx_routes_parse(
			smx_view_of(cases[i].text, strlen(cases[i].text)), "f", &routes, &error);
		got = smx_buf_cstr(&error);
		if (r != SMX_ESYNTAX ||
			(is_prefix ? strncmp(got, cases[i].want, strlen(cases[i].want))
				   : strcmp(got, cases[i].want)) != 0)
			fail_msg("%d\nwant %s\n got %s", r, cases[i].want, got);
		assert_null(routes);
		assert_null(strchr(got, '\n'));
		smx_buf_release(&error);
	}
}

/* R3: who corrects a file is told of all that is wrong with it, each fault once. */
static void r3_check_tells_of_every_error(void **state)
{
	static const char text[] = "pinentri = '/bin/p'\n"
				   "[jump]\n"
				   "host = 'a b'\n"
				   "[routes.web]\n"
				   "host = '-x'\n"
				   "user = '$(id)'\n"
				   "prot = 22\n"
				   "port = 0\n"
				   "[routes.\"a b\"]\n"
				   "host = 'never read'\n"
				   "[routes.empty]\n"
				   "[routes.one]\n"
				   "host = 'h'\n"
				   "user = 'u'\n"
				   "jump = 'two'\n"
				   "[routes.two]\n"
				   "host = 'h'\n"
				   "user = 'u'\n"
				   "jump = 'one'\n"
				   "[routes.three]\n"
				   "host = 'h'\n"
				   "user = 'u'\n"
				   "jump = 'nowhere'\n"
				   "[routes.four]\n"
				   "host = 'h'\n"
				   "user = 'u'\n"
				   "jump = 'three'\n"
				   "[routes]\n";
	static const char *const want[] = { "f:1:1: key \"pinentri\": unknown key",
		"f:3:1: [jump] key \"host\": must not have white space",
		"f:2:2: [jump]: key \"user\" is missing",
		"f:5:1: [routes.web] key \"host\": must not start with '-'",
		"f:6:1: [routes.web] key \"user\": must not have quotes or shell metacharacters",
		"f:7:1: [routes.web] key \"prot\": unknown key; did you mean \"port\"?",
		"f:8:1: [routes.web] key \"port\": must be from 1 to 65535",
		"f:9:9: [routes] name \"a b\" may only have",
		"f:11:9: [routes.empty]: key \"host\" is missing",
		"f:11:9: [routes.empty]: key \"user\" is missing",
		"f:19:1: [routes.two] key \"jump\": goes round in a circle",
		"f:23:1: [routes.three] key \"jump\": there is no route \"nowhere\"" };
	struct smx_routes *routes = NULL;
	struct smx_buf errors;
	const char *at;

	(void)state;
	smx_buf_init(&errors, 16384);
	assert_int_equal(
		smx_routes_check(smx_view_of(text, sizeof(text) - 1), "f", &routes, &errors),
		SMX_ESYNTAX);
	assert_null(routes);
	at = smx_buf_cstr(&errors);
	for (size_t i = 0; i < SMX_ARRAY_LEN(want); i++) {
		if (strncmp(at, want[i], strlen(want[i])) != 0)
			fail_msg("want %s\n got %s", want[i], at);
		at = strchr(at, '\n');
		assert_non_null(at++);
	}
	assert_string_equal(at, "");
	smx_buf_reset(&errors);

	/* One that is good is as smx_routes_parse has it, place included. */
	assert_int_equal(
		smx_routes_check(smx_view_of(ROUTE, strlen(ROUTE)), "f", &routes, &errors), 0);
	assert_int_equal(smx_buf_len(&errors), 0);
	assert_int_equal(routes->routes[0].line, 1);
	assert_int_equal(routes->routes[0].column, 9);
	smx_routes_unref(routes);
	/* What is no TOML ends with a newline as well. */
	assert_int_equal(smx_routes_check(smx_view_of("a", 1), "f", &routes, &errors), SMX_ESYNTAX);
	at = smx_buf_cstr(&errors);
	assert_ptr_equal(strchr(at, '\n'), at + strlen(at) - 1);
	smx_buf_release(&errors);
}

static void r3_check_has_an_end(void **state)
{
	static char text[64 * 1024];
	struct smx_routes *routes = NULL;
	struct smx_buf errors;
	size_t n = 0, lines = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "key%d = 1\n", i);
	smx_buf_init(&errors, 256 * 1024);
	assert_int_equal(
		smx_routes_check(smx_view_of(text, n), "f", &routes, &errors), SMX_ESYNTAX);
	for (const char *at = smx_buf_cstr(&errors); *at; at++)
		lines += *at == '\n';
	assert_int_equal(lines, SMX_ROUTES_ERRORS_MAX);
	smx_buf_release(&errors);
}

static void r3_limits(void **state)
{
	static char text[400 * 1024];
	struct smx_routes *routes;
	struct smx_buf error;
	size_t n = 0;

	(void)state;
	/* As many routes as there may be, then one more. */
	for (int i = 0; i < SMX_ROUTES_MAX; i++)
		n += (size_t)snprintf(
			text + n, sizeof(text) - n, "routes.r%d={host='h',user='u'}\n", i);
	routes = parse(text);
	assert_int_equal(routes->n_routes, SMX_ROUTES_MAX);
	smx_routes_unref(routes);
	snprintf(text + n, sizeof(text) - n, "routes.x={host='h',user='u'}\n");
	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	assert_int_equal(smx_routes_parse(smx_view_of(text, strlen(text)), "f", &routes, &error),
		SMX_ESYNTAX);
	assert_string_equal(
		smx_buf_cstr(&error), "f:1:1: key \"routes\": has more than 4096 routes");
	smx_buf_reset(&error);

	n = (size_t)snprintf(text, sizeof(text), ROUTE "send_env = [");
	for (int i = 0; i <= SMX_SEND_ENV_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "'E%d',", i);
	snprintf(text + n, sizeof(text) - n, "]\n");
	assert_int_equal(smx_routes_parse(smx_view_of(text, strlen(text)), "f", &routes, &error),
		SMX_ESYNTAX);
	assert_string_equal(smx_buf_cstr(&error),
		"f:4:1: [routes.web] key \"send_env\": has more than 64 items");
	smx_buf_release(&error);

	/* An error buffer too small: still an error, and never half a line. */
	smx_buf_init(&error, 10);
	assert_int_equal(smx_routes_parse(smx_view_of(text, strlen(text)), "f", &routes, &error),
		SMX_ESYNTAX);
	assert_int_equal(smx_buf_len(&error), 0);
	smx_buf_release(&error);
}

static void r6_direct_mode(void **state)
{
	static const struct {
		const char *host;
		uint32_t port;
		const char *user, *want;
	} bad[] = {
		{ "-h", 22, "u", "the remote host must not start with '-'" },
		{ "", 22, "u", "the remote host must not be empty" },
		{ "h", 0, "u", "the remote port must be from 1 to 65535" },
		{ "h", 65536, "u", "the remote port must be from 1 to 65535" },
		{ "h", 22, "a;b", "the remote user must not have quotes or shell metacharacters" },
	};
	struct smx_routes *routes = NULL;
	const struct smx_route *route;
	struct smx_buf error;

	(void)state;
	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	assert_int_equal(smx_routes_direct("Host.Example", 2022, "me", 0, &routes, &error), 0);
	assert_true(routes->match_any);
	route = smx_routes_find(routes, "anything at all");
	assert_ptr_equal(route, smx_routes_find(routes, ""));
	assert_int_equal(route->n_hops, 1);
	assert_string_equal(route->hops[0].host, "host.example");
	assert_int_equal(route->hops[0].port, 2022);
	assert_string_equal(route->hops[0].user, "me");
	assert_int_equal(route->allow_remote_loopback_any_port, 0);
	smx_routes_unref(routes);
	assert_int_equal(smx_routes_direct("h", 22, "me", 7, &routes, &error), 0);
	assert_int_equal(routes->routes[0].allow_remote_loopback_any_port, 1);
	smx_routes_unref(routes);

	routes = NULL;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		smx_buf_reset(&error);
		assert_int_equal(smx_routes_direct(
					 bad[i].host, bad[i].port, bad[i].user, 0, &routes, &error),
			SMX_EINVAL);
		assert_string_equal(smx_buf_cstr(&error), bad[i].want);
		assert_null(routes);
	}
	smx_buf_release(&error);
}

/* As bytes, which are for a digest, too. */
static int same_bytes(const struct smx_route *a, const struct smx_route *b)
{
	struct smx_buf one, two;
	int is_same;

	smx_buf_init(&one, 4096);
	smx_buf_init(&two, 4096);
	assert_int_equal(smx_hops_write(a->hops, a->n_hops, &one), 0);
	assert_int_equal(smx_hops_write(b->hops, b->n_hops, &two), 0);
	is_same = smx_view_eq_view(smx_buf_as_view(&one), smx_buf_as_view(&two));
	smx_buf_release(&one);
	smx_buf_release(&two);
	return is_same;
}

/* P1: a tuple, never a joined string. */
static void p1_hops_equal_compares_each_part(void **state)
{
	static const char text[] = "[routes]\n"
				   "a = { host = 'h', user = 'u' }\n"
				   "same = { host = 'H', user = 'u', unattended = true, "
				   "dead_after = 60, pace = false, spare = false }\n"
				   "key = { host = 'h', user = 'u', identity = 'x' }\n"
				   "key2 = { host = 'h', user = 'u', identity = 'y' }\n"
				   "keys = { host = 'h', user = 'u', identity = ['x', 'y'] }\n"
				   "order = { host = 'h', user = 'u', identity = ['y', 'x'] }\n"
				   "join = { host = 'h', user = 'u', identity = 'x, y' }\n"
				   "only = { host = 'h', user = 'u', identities_only = true }\n"
				   "agent = { host = 'h', user = 'u', identity_agent = '/a' }\n"
				   "none = { host = 'h', user = 'u', identity_agent = 'none' }\n"
				   "farkey = { host = 'h', user = 'u', jump = 'host2' }\n"
				   "host2 = { host = 'g', user = 'u', identity = 'x' }\n"
				   "user = { host = 'h', user = 'U' }\n"
				   "port = { host = 'h', user = 'u', port = 2022 }\n"
				   "host = { host = 'g', user = 'u' }\n"
				   "alias = { host = 'h', user = 'u', host_key_alias = 'k' }\n"
				   "program = { host = 'h', user = 'u', transport = ['nc'] }\n"
				   "program2 = { host = 'h', user = 'u', transport = ['nc', ''] }\n"
				   "program3 = { host = 'h', user = 'u', transport = ['nc'] }\n"
				   "cert = { host = 'h', user = 'u', certificate = 'x' }\n"
				   "files = { host = 'h', user = 'u', known_hosts = 'k' }\n"
				   "far = { host = 'h', user = 'u', jump = 'host' }\n"
				   "far2 = { host = 'h', user = 'u', jump = 'user' }\n"
				   "joined = { host = 'b', user = 'u@a' }\n"
				   "joined2 = { host = 'b', user = 'u@a', port = 222 }\n";
	struct smx_routes *routes = parse(text);

	(void)state;
	for (size_t i = 0; i < routes->n_routes; i++) {
		for (size_t j = 0; j < routes->n_routes; j++) {
			const struct smx_route *a = &routes->routes[i], *b = &routes->routes[j];
			int want = i == j || (i < 2 && j < 2);

			if (smx_hops_equal(a->hops, a->n_hops, b->hops, b->n_hops) != want ||
				same_bytes(a, b) != want)
				fail_msg("%s and %s", a->name, b->name);
		}
	}
	smx_routes_unref(routes);
}

/* P1: what counts is what holds in the end, of the route's own table or of the top level. */
static void p1_hops_equal_after_the_defaults(void **state)
{
	struct smx_routes *routes =
		parse("identity = 'x'\nidentities_only = true\nidentity_agent = '/a'\n[routes]\n"
		      "a = { host = 'h', user = 'u' }\n"
		      "same = { host = 'h', user = 'u', identity = 'x', identities_only = true, "
		      "identity_agent = '/a' }\n"
		      "empty = { host = 'h', user = 'u', identity = [] }\n"
		      "more = { host = 'h', user = 'u', identities_only = false }\n"
		      "agent = { host = 'h', user = 'u', identity_agent = 'SSH_AUTH_SOCK' }\n");
	const struct smx_route *r = routes->routes;

	(void)state;
	assert_true(smx_hops_equal(r[0].hops, 1, r[1].hops, 1));
	for (size_t i = 2; i < routes->n_routes; i++)
		assert_false(smx_hops_equal(r[0].hops, 1, r[i].hops, 1));
	assert_null(smx_routes_twin(routes, &r[0]));
	assert_null(smx_routes_twin(routes, &r[1]));
	assert_ptr_equal(smx_routes_twin(routes, &r[2]), &r[0]);
	smx_routes_unref(routes);
}

static void identity_is(const struct smx_routes *routes, const char *name, const char *want)
{
	const struct smx_route *route = smx_routes_find(routes, name);
	struct smx_buf b;

	smx_buf_init(&b, 256);
	assert_int_equal(smx_hops_identity(route->hops, route->n_hops, &b), 0);
	assert_string_equal(smx_buf_len(&b) ? smx_buf_cstr(&b) : "", want);
	smx_buf_release(&b);
}

static void p1_identity_for_people(void **state)
{
	struct smx_routes *routes = parse(
		"[routes]\nplain = { host = 'h', user = 'u' }\n"
		"key = { host = 'h', user = 'u', identity = ['~/a', 'b'], identities_only = true "
		"}\n"
		"rest = { host = 'h', user = 'u', identity_agent = 'none', host_key_alias = 'k', "
		"known_hosts = ['~/c', 'd'], certificate = 'e' }\n"
		"far = { host = 'h', user = 'u', jump = ['key', 'rest'] }\n");

	(void)state;
	identity_is(routes, "plain", "");
	identity_is(routes, "key", "~/a, b, only these");
	identity_is(routes, "rest",
		"default keys, certificates e, agent none, host key of k, host keys in ~/c, d");
	identity_is(routes, "far",
		"default keys via ~/a, b, only these; default keys, certificates e, agent none, "
		"host key of k, host keys in ~/c, d");
	smx_routes_unref(routes);
}

static void b10_tables_are_counted(void **state)
{
	long before = smx_mem_alive();
	struct smx_routes *routes = parse(ROUTE);

	(void)state;
	assert_ptr_equal(smx_routes_ref(routes), routes);
	smx_routes_unref(routes);
	assert_string_equal(way(routes, "web"), "u@h:22"); /* still there */
	smx_routes_unref(routes);
	assert_int_equal(smx_mem_alive(), before);
}

static int use_everything(const char *text, int want_error)
{
	struct smx_routes *routes = NULL, *again = NULL, *direct = NULL;
	struct smx_buf error;
	int r;

	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	r = smx_routes_parse(smx_view_of(text, strlen(text)), "f", &routes, &error);
	if (r == SMX_ESYNTAX) {
		assert_true(want_error && smx_buf_len(&error) > 0);
		r = 0;
	}
	if (r == 0) {
		smx_buf_reset(&error);
		r = smx_routes_check(smx_view_of(text, strlen(text)), "f", &again, &error);
		if (want_error && r == SMX_ESYNTAX)
			r = 0;
	}
	if (r == 0)
		r = smx_routes_direct("h", 22, "u", 1, &direct, &error);
	smx_routes_unref(routes);
	smx_routes_unref(again);
	smx_routes_unref(direct);
	smx_buf_release(&error);
	return r;
}

static void r3_every_failing_allocation(void **state)
{
	static const char good[] =
		"send_env = ['A']\nidentity = ['i', 'k']\nidentity_agent = 'x'\n"
		"pinentry = '/p'\n" JUMP "host_key_alias = 'a'\n" ROUTE
		"send_env = ['B']\nidentity = 'q'\nagent_forward = ['/k', '/l']\n"
		"[routes.x]\nhost = 'x'\nuser = 'u'\njump = ['web']\n";
	static const char bad[] = JUMP ROUTE "identity = ['a']\nprot = 22\n";
	long before = smx_mem_alive();

	(void)state;
	for (int which = 0; which < 2; which++) {
		long n = 0;
		int r;

		do {
			smx_mem_fail_after(n++);
			r = use_everything(which ? bad : good, which);
			smx_mem_fail_after(-1);
			assert_true(r == 0 || r == SMX_ENOMEM);
			assert_int_equal(smx_mem_alive(), before);
		} while (r != 0);
		assert_true(n > 20);
	}
}

/* W1: another user or port at the end, and nothing else. */
static void w1_variant_is_the_route_with_another_end(void **state)
{
	struct smx_routes *routes = parse(
		JUMP "host_key_alias = 'b'\nidentity = 'j'\n" ROUTE
		     "port = 2200\nidentity = ['i', 'k']\nidentities_only = true\n"
		     "identity_agent = '/a'\nhost_key_alias = 'w'\nsend_env = ['A']\n"
		     "allow_remote_loopback_any_port = true\nunattended = true\ndead_after = 60\n"
		     "pace = false\nspare = false\n");
	const struct smx_route *web = smx_routes_find(routes, "web"), *v;
	struct smx_routes *variant;

	(void)state;
	assert_int_equal(smx_routes_variant(routes, web, "a+b", 0, &variant), 0);
	v = &variant->routes[0];
	smx_routes_unref(routes); /* it is held */
	assert_string_equal(v->name, "a+b@web");
	assert_string_equal(v->base, "web");
	assert_int_equal(v->n_hops, 2);
	assert_string_equal(v->hops[0].user, "j");
	assert_string_equal(v->hops[0].host_key_alias, "b");
	assert_string_equal(v->hops[1].user, "a+b");
	assert_string_equal(v->hops[1].host, "h");
	assert_int_equal(v->hops[1].port, 2200);
	assert_string_equal(v->hops[1].host_key_alias, "w");
	assert_string_equal(v->hops[1].identity[1], "k");
	assert_string_equal(v->hops[1].identity_agent, "/a");
	assert_true(v->hops[1].identities_only && v->hops[1].unattended);
	assert_false(v->hops[1].pace || v->hops[1].spare);
	assert_int_equal(v->hops[1].dead_after_s, 60);
	assert_true(v->allow_remote_loopback_any_port);
	assert_int_equal(v->n_send_env, 1);
	smx_routes_unref(variant);

	routes = parse(ROUTE);
	web = smx_routes_find(routes, "web");
	assert_int_equal(smx_routes_variant(routes, web, NULL, 2222, &variant), 0);
	assert_string_equal(variant->routes[0].name, "u@web:2222");
	assert_int_equal(variant->routes[0].hops[0].port, 2222);
	assert_false(smx_hops_equal(variant->routes[0].hops, 1, web->hops, 1));
	smx_routes_unref(variant);
	smx_routes_unref(routes);
}

static void w1_variant_every_failing_allocation(void **state)
{
	struct smx_routes *routes = parse(JUMP ROUTE "identity = ['i']\nsend_env = ['A']\n"), *v;
	long before = smx_mem_alive(), n = 0;
	int r;

	(void)state;
	do {
		smx_mem_fail_after(n++);
		r = smx_routes_variant(routes, smx_routes_find(routes, "web"), "root", 9, &v);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || r == SMX_ENOMEM);
		if (r == 0)
			smx_routes_unref(v);
		assert_int_equal(smx_mem_alive(), before);
	} while (r != 0);
	assert_true(n > 5);
	smx_routes_unref(routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(r1_r2_jump_and_direct),
		cmocka_unit_test(r2_no_jump_table_means_direct),
		cmocka_unit_test(b1_chains),
		cmocka_unit_test(b1_longest_chain),
		cmocka_unit_test(b1_endless_chain),
		cmocka_unit_test(r4_r5_loopback_flag_is_or),
		cmocka_unit_test(a1_identities),
		cmocka_unit_test(u9_other_users_only_on_request),
		cmocka_unit_test(a6_pinentry),
		cmocka_unit_test(a4_prompter),
		cmocka_unit_test(u3_dead_after),
		cmocka_unit_test(b8_pace),
		cmocka_unit_test(b12_spare),
		cmocka_unit_test(l8_send_env_of_route_and_top),
		cmocka_unit_test(b4_agent_forward),
		cmocka_unit_test(r3_errors),
		cmocka_unit_test(r3_check_tells_of_every_error),
		cmocka_unit_test(r3_check_has_an_end),
		cmocka_unit_test(r3_limits),
		cmocka_unit_test(r6_direct_mode),
		cmocka_unit_test(p1_hops_equal_compares_each_part),
		cmocka_unit_test(p1_hops_equal_after_the_defaults),
		cmocka_unit_test(p1_identity_for_people),
		cmocka_unit_test(b10_tables_are_counted),
		cmocka_unit_test(r3_every_failing_allocation),
		cmocka_unit_test(w1_variant_is_the_route_with_another_end),
		cmocka_unit_test(w1_variant_every_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
