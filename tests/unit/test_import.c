/* SPDX-License-Identifier: MIT */
/* From answers of ssh -G to a routes file (C3, C4, R3, B1). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/routes.h"
#include "sshconf/import.h"

#define DEFAULTS "identityfile ~/.ssh/id_rsa\nidentityfile ~/.ssh/id_ed25519\n"
#define KNOWN    "userknownhostsfile /home/me/.ssh/known_hosts\n"

/* What ssh would say: of the host (with -l and -p as "user@host:port") it is asked about. */
struct said {
	const char *asked, *answer; /* answer NULL: ssh fails, saying "no luck" */
};

/* An answer with the defaults of everything but these. */
#define ANSWER(host, more) \
	"hostname " host "\nuser me\nport 22\nidentitiesonly no\n" DEFAULTS KNOWN more

static const char *environment(const char *name)
{
	return strcmp(name, "KEYS") == 0 ? "/keys" : NULL;
}

static const struct smx_import_options options = { "/home/me/.ssh/config", "/home/me", "ssh-mux",
	environment, 0, 0 };
/* One that takes transports (R7). */
static const struct smx_import_options with_transports = { "/home/me/.ssh/config", "/home/me",
	"ssh-mux", environment, 1, 0 };
static int takes_transports;

/* Answers come in the order of the questions, or the last one first. */
static int is_backwards;

static int answer_one(struct smx_import *im, size_t i, const struct said *said, size_t n_said)
{
	struct smx_import_ask ask = smx_import_ask(im, i);
	const char *answer = NULL;
	char asked[512];

	if (!ask.host)
		return 0;
	(void)snprintf(asked, sizeof(asked), "%s%s%s", ask.user ? ask.user : "",
		ask.user ? "@" : "", ask.host);
	if (ask.port)
		(void)snprintf(
			asked + strlen(asked), sizeof(asked) - strlen(asked), ":%u", ask.port);
	for (size_t k = 0; k < n_said; k++) {
		if (strcmp(said[k].asked, asked) == 0)
			answer = said[k].answer;
	}
	if (answer)
		return smx_import_answer(im, i, smx_view_of(answer, strlen(answer)));
	return smx_import_no_answer(im, i, "no luck\nat all");
}

static int answer_all(struct smx_import *im, const struct said *said, size_t n_said)
{
	uint8_t done[256] = { 0 };
	size_t i, n;
	int r = 0;

	do {
		n = smx_import_count(im);
		assert_true(n <= sizeof(done));
		for (i = 0; i < n && done[is_backwards ? n - 1 - i : i]; i++)
			;
		if (i < n) {
			i = is_backwards ? n - 1 - i : i;
			done[i] = 1;
			r = answer_one(im, i, said, n_said);
			i = 0;
		}
	} while (r == 0 && i < n);
	return r;
}

/* Adds the aliases (blank-separated), answers from the table, finishes. */
static int try_import(
	const char *aliases, const struct said *said, size_t n_said, struct smx_import **ret)
{
	static const char baseline[] = "hostname x\nuser me\nport 22\n" DEFAULTS KNOWN;
	struct smx_import_place place = { "/home/me/.ssh/config", 1, 6 };
	struct smx_import *im;
	char name[256];
	int r;

	if ((r = smx_import_new(takes_transports ? &with_transports : &options, &im)) != 0)
		return r;
	r = smx_import_baseline(im, smx_view_of(baseline, sizeof(baseline) - 1));
	for (const char *s = aliases; r == 0 && *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, s);
		r = smx_import_add(im, name, &place);
		place.line++;
		s += n;
	}
	if (r == 0 && (r = answer_all(im, said, n_said)) == 0)
		r = smx_import_finish(im);
	if (r != 0) {
		smx_import_free(im);
		return r;
	}
	*ret = im;
	return 0;
}

/* The text, which must be what the parser of routes takes. */
static struct smx_routes *parse(const struct smx_import *im, struct smx_buf *text)
{
	struct smx_routes *routes = NULL;
	struct smx_buf err;

	smx_buf_init(text, SMX_IMPORT_TEXT_MAX);
	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX);
	assert_int_equal(smx_import_toml(im, text), 0);
	if (smx_routes_parse(smx_buf_as_view(text), "t", &routes, &err) != 0)
		fail_msg("%s\n%s", smx_buf_cstr(&err), smx_buf_cstr(text));
	smx_buf_release(&err);
	return routes;
}

struct outcome {
	struct smx_import *im;
	struct smx_routes *routes;
	struct smx_buf text;
};

static struct outcome import(const char *aliases, const struct said *said, size_t n_said)
{
	struct outcome o;

	assert_int_equal(try_import(aliases, said, n_said, &o.im), 0);
	o.routes = parse(o.im, &o.text);
	return o;
}

static void release(struct outcome *o)
{
	smx_import_free(o->im);
	smx_routes_unref(o->routes);
	smx_buf_release(&o->text);
}

/* "user@host:port > user@host:port": the way of a route. */
static const char *way(const struct outcome *o, const char *name)
{
	const struct smx_route *route = smx_routes_find(o->routes, name);
	static char text[1024];
	size_t at = 0;

	if (!route)
		return "no route";
	for (size_t i = 0; i < route->n_hops; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s@%s:%u", i ? " > " : "",
			route->hops[i].user, route->hops[i].host, route->hops[i].port);
	return text;
}

/* Why an alias was left out, or "". */
static const char *why(const struct outcome *o, const char *name)
{
	struct smx_import_left_out l;
	size_t at = 0;

	while (smx_import_left_out(o->im, &at, &l)) {
		if (strcmp(l.name, name) == 0)
			return l.why;
	}
	return "";
}

static int has(const struct outcome *o, const char *text)
{
	struct smx_buf *b = (struct smx_buf *)(uintptr_t)&o->text;

	return strstr(smx_buf_cstr(b), text) != NULL;
}

/* C3: host, port, user, keys and names of keys come along; no ProxyJump is direct. */
static void c3_values(void **state)
{
	static const struct said said[] = {
		{ "plain", ANSWER("10.0.0.1", "") },
		{ "full", "hostname Full.Example\nuser DOM\\me \"x\nport 2222\nidentitiesonly yes\n"
			  "identityfile ~/.ssh/key_%r_%h_%p_%n_%%_%k\nidentityfile %d/a\n"
			  "identityfile ${KEYS}/b\nidentityagent ~/agent.sock\n"
			  "hostkeyalias the-key\n" KNOWN },
		{ "quote", "hostname h\nuser a\\b\nport 22\nidentityfile /k \"1\"\\x\n" DEFAULTS },
		{ "agent", ANSWER("h", "identityagent $SSH_AUTH_SOCK\n") },
		{ "noagent", ANSWER("h", "identityagent none\n") },
		{ "windows", "hostname h\nuser me\nport 22\nidentityfile ~\\.ssh\\k\n"
			     "identityagent \\\\.\\pipe\\openssh-ssh-agent\n" KNOWN },
	};
	struct outcome o =
		import("plain full quote agent noagent windows", said, SMX_ARRAY_LEN(said));
	const struct smx_hop *hop;

	(void)state;
	assert_string_equal(way(&o, "plain"), "me@10.0.0.1:22");
	assert_int_equal(smx_route_target(smx_routes_find(o.routes, "plain"))->n_identity, 0);
	/* A quote is no user name's (R3). */
	assert_non_null(strstr(why(&o, "full"), "User \"DOM\\me \"x\""));
	assert_string_equal(way(&o, "quote"), "a\\b@h:22");
	hop = smx_route_target(smx_routes_find(o.routes, "quote"));
	assert_int_equal(hop->n_identity, 3);
	assert_string_equal(hop->identity[0], "/k \"1\"\\x");
	assert_string_equal(hop->identity[2], "~/.ssh/id_ed25519");
	hop = smx_route_target(smx_routes_find(o.routes, "agent"));
	assert_string_equal(hop->identity_agent, "SSH_AUTH_SOCK");
	hop = smx_route_target(smx_routes_find(o.routes, "noagent"));
	assert_string_equal(hop->identity_agent, "none");
	hop = smx_route_target(smx_routes_find(o.routes, "windows"));
	assert_string_equal(hop->identity_agent, "\\\\.\\pipe\\openssh-ssh-agent");
	assert_string_equal(hop->identity[0], "~\\.ssh\\k");
	assert_int_equal(smx_import_counts(o.im).routes, 5);
	assert_int_equal(smx_import_counts(o.im).direct, 5);
	assert_int_equal(smx_import_counts(o.im).left_out, 1);
	release(&o);
}

/* C3: tokens that ssh -G leaves, and what can't be known. */
static void c3_tokens(void **state)
{
	static const struct said said[] = {
		{ "full", "hostname full.example\nuser me\nport 2222\nidentitiesonly yes\n"
			  "identityfile ~/.ssh/key_%r_%h_%p_%n_%%_%k_%u\nidentityfile %d/a\n"
			  "identityfile ${KEYS}/b\nidentityagent ~/agent.sock\n"
			  "hostkeyalias the-key\n" KNOWN },
		{ "odd", "hostname h\nuser me\nport 22\nidentityfile /a/%C\nidentityfile rel/k\n"
			 "identityfile none\nidentityfile ${NOT_SET}/x\nidentityfile /trailing%\n"
			 "identityfile /ok\nidentityagent $NOT_SET\ncertificatefile ~/c.pub\n"
			 "userknownhostsfile /dev/null\n" },
		{ "work", "hostname h\nuser me\nport 22\n"
			  "userknownhostsfile ~/.ssh/work_%h  /etc/work\n" },
	};
	struct outcome o = import("full odd work", said, SMX_ARRAY_LEN(said));
	const struct smx_hop *hop;

	(void)state;
	hop = smx_route_target(smx_routes_find(o.routes, "full"));
	assert_int_equal(hop->n_identity, 3);
	assert_string_equal(hop->identity[0], "~/.ssh/key_me_full.example_2222_full_%_the-key_me");
	assert_string_equal(hop->identity[1], "/home/me/a");
	assert_string_equal(hop->identity[2], "/keys/b");
	assert_int_equal(hop->identities_only, 1);
	assert_string_equal(hop->identity_agent, "~/agent.sock");
	assert_string_equal(hop->host_key_alias, "the-key");
	hop = smx_route_target(smx_routes_find(o.routes, "odd"));
	assert_int_equal(hop->n_identity, 1);
	assert_string_equal(hop->identity[0], "/ok");
	assert_string_equal(hop->identity_agent, "$NOT_SET"); /* A10: set when ssh is called */
	assert_true(has(&o, "# IdentityFile /a/%C is left out; it has a token"));
	assert_true(has(&o, "# IdentityFile rel/k is left out; it is relative"));
	assert_true(has(&o, "# IdentityFile none has no counterpart"));
	assert_true(has(&o, "# IdentityFile ${NOT_SET}/x is left out"));
	assert_true(has(&o, "# IdentityFile /trailing% is left out"));
	/* A9 */
	assert_int_equal(hop->n_certificate, 1);
	assert_string_equal(hop->certificate[0], "~/c.pub");
	assert_true(has(&o, "# UserKnownHostsFile /dev/null is not read"));
	/* K7 */
	assert_int_equal(hop->n_known_hosts, 0);
	hop = smx_route_target(smx_routes_find(o.routes, "work"));
	assert_int_equal(hop->n_known_hosts, 2);
	assert_string_equal(hop->known_hosts[0], "~/.ssh/work_h");
	assert_string_equal(hop->known_hosts[1], "/etc/work");
	release(&o);
}

/* C3, L8: SendEnv and the names of SetEnv, as far as they may be passed on. */
static void c3_send_env(void **state)
{
	static const struct said said[] = {
		{ "web", ANSWER("h", "sendenv LANG\nsendenv LC_*\nsendenv EDITOR\nsendenv "
				     "LD_PRELOAD\nsendenv MY_*\nsetenv FOO=bar=baz\nsetenv LC_X=1\n"
				     "setenv PATH=/x\n") },
	};
	struct outcome o = import("web", said, SMX_ARRAY_LEN(said));
	const struct smx_route *route = smx_routes_find(o.routes, "web");

	(void)state;
	assert_int_equal(route->n_send_env, 2);
	assert_string_equal(route->send_env[0], "EDITOR");
	assert_string_equal(route->send_env[1], "FOO");
	assert_true(has(&o, "# SendEnv LD_PRELOAD is left out"));
	assert_true(has(&o, "# SendEnv MY_* is left out"));
	assert_true(has(&o, "# SendEnv PATH is left out"));
	assert_false(has(&o, "LC_"));
	release(&o);
}

/* R3, C3: hostile names never reach ssh, hostile values never a route; each has a reason. */
static void r3_hostile(void **state)
{
	static const char *const names[] = { "-oProxyCommand=x", "a;b", "a$b", "a`b", "a|b",
		"caf\xc3\xa9", "a/b", "a@b", "a:b", "a\x1b[2Jb", "a'b", "a\"b", "a%h", "a\nb" };
	static const struct {
		const char *answer, *reason;
	} values[] = {
		{ "hostname -oProxyCommand=x\nuser me\nport 22\n", "HostName" },
		{ "hostname a;touch${IFS}x\nuser me\nport 22\n", "HostName" },
		{ "hostname a b\nuser me\nport 22\n", "HostName" },
		{ "hostname `id`\nuser me\nport 22\n", "HostName" },
		{ "hostname \nuser me\nport 22\n", "HostName" },
		{ "hostname h\xc3\xa9\nuser me\nport 22\n", "HostName" },
		{ "hostname a\rb\nuser me\nport 22\n", "HostName" },
		{ "hostname a\x1b[2J\nuser me\nport 22\n", "HostName" },
		{ "hostname [::1]\nuser me\nport 22\n", "HostName" },
		{ "hostname h\nuser -l\nport 22\n", "User" },
		{ "hostname h\nuser $(id)\nport 22\n", "User" },
		{ "hostname h\nuser a\x7f\nport 22\n", "User" },
		{ "hostname h\nuser \nport 22\n", "User" },
		{ "hostname h\nuser \xff\xfe\nport 22\n", "User" },
		{ "hostname h\nuser me\nport 0\n", "Port" },
		{ "hostname h\nuser me\nport 65536\n", "Port" },
		{ "hostname h\nuser me\nport 99999999999999999999\n", "Port" },
		{ "hostname h\nuser me\nport 22;x\n", "Port" },
		{ "hostname h\nuser me\nport 22\nhostkeyalias a*b\n", "HostKeyAlias" },
		{ "hostname h\nuser me\nport 22\nproxyjump -oX\n", "jump host" },
		{ "hostname h\nuser me\nport 22\nproxyjump $(x)@gate\n", "user of a jump host" },
		{ "hostname h\nuser me\nport 22\nproxyjump a;b\n", "jump host" },
		{ "hostname h\nuser me\nport 22\nproxyjump gate:x\n", "ProxyJump" },
		{ "hostname h\nuser me\nport 22\nproxyjump gate,%C\n", "ProxyJump" },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		struct smx_import_place place = { "f", 3, 6 };
		struct smx_import_left_out l;
		struct smx_import *im;
		size_t at = 0;

		assert_int_equal(
			smx_import_new(takes_transports ? &with_transports : &options, &im), 0);
		assert_int_equal(smx_import_add(im, names[i], &place), 0);
		assert_null(smx_import_ask(im, 0).host);
		assert_int_equal(smx_import_finish(im), 0);
		assert_int_equal(smx_import_left_out(im, &at, &l), 1);
		assert_string_equal(l.name, names[i]);
		assert_int_equal(l.place.line, 3);
		assert_int_equal(l.place.column, 6);
		assert_true(strncmp(l.why, "no route name: m", 16) == 0);
		smx_import_free(im);
	}
	for (size_t i = 0; i < SMX_ARRAY_LEN(values); i++) {
		struct said said[] = { { "web", values[i].answer } };
		struct outcome o = import("web", said, 1);

		assert_int_equal(o.routes->n_routes, 0);
		if (strncmp(why(&o, "web"), values[i].reason, strlen(values[i].reason)) != 0)
			fail_msg("%s: %s", values[i].answer, why(&o, "web"));
		for (const char *s = why(&o, "web"); *s; s++)
			assert_true((unsigned char)*s >= 0x20 && *s != 0x7f);
		assert_int_equal(smx_import_count(o.im), 1); /* nothing more is asked */
		release(&o);
	}
}

/* R7: a ProxyCommand of words that a shell would only have cut apart is a transport. */
static void r7_transports(void **state)
{
	static const struct said said[] = {
		{ "ssm",
			ANSWER("i-1", "proxycommand exec  aws ssm start --target %h --port=%p\n") },
		{ "shell", ANSWER("s", "proxycommand sh -c \"nc %h %p\"\n") },
		{ "pipe", ANSWER("s", "proxycommand nc %h %p | tee log\n") },
		{ "var", ANSWER("s", "proxycommand A=b nc %h %p\n") },
		{ "token", ANSWER("s", "proxycommand nc %L %p\n") },
		{ "latin1", ANSWER("s", "proxycommand /opt/caf\xe9 %h\n") }, /* not in TOML */
		{ "none", ANSWER("n", "proxycommand none\n") },
		{ "behind", ANSWER("b", "proxyjump ssm\n") },
		{ "beyond", ANSWER("d", "proxyjump none2,ssm\n") },
		{ "none2", ANSWER("n2", "") },
	};
	const struct smx_hop *hop;
	struct outcome o;

	(void)state;
	takes_transports = 1;
	o = import("ssm shell pipe var token latin1 none behind beyond none2", said,
		SMX_ARRAY_LEN(said));
	takes_transports = 0;
	hop = smx_route_target(smx_routes_find(o.routes, "ssm"));
	assert_int_equal(hop->n_transport, 6);
	assert_string_equal(hop->transport[0], "aws");
	assert_string_equal(hop->transport[4], "%h");
	assert_string_equal(hop->transport[5], "--port=%p");
	assert_string_equal(why(&o, "shell"), "has a ProxyCommand that needs a shell");
	assert_string_equal(why(&o, "pipe"), "has a ProxyCommand that needs a shell");
	assert_string_equal(why(&o, "var"), "has a ProxyCommand that ssh-mux can't run");
	assert_string_equal(why(&o, "token"), "has a ProxyCommand that ssh-mux can't run");
	assert_string_equal(why(&o, "latin1"), "has a ProxyCommand that ssh-mux can't run");
	assert_int_equal(smx_route_target(smx_routes_find(o.routes, "none"))->n_transport, 0);
	assert_int_equal(smx_routes_find(o.routes, "behind")->hops[0].n_transport, 6);
	assert_non_null(strstr(why(&o, "beyond"), "from another one"));
	release(&o);
}

/* C4: ProxyCommand, of the host or its jump host, stays with ssh; and ssh's failures are told. */
static void c4_proxy_command(void **state)
{
	static const struct said said[] = {
		{ "cloud", ANSWER("c", "proxycommand x %h\n") },
		{ "behind", ANSWER("b", "proxyjump cloud\n") },
		{ "behind2", ANSWER("b", "proxyjump behind\n") },
		{ "behind3", ANSWER("b", "proxyjump fine,cloud\n") },
		{ "fine", ANSWER("f", "proxycommand none\n") },
		{ "self", ANSWER("127.0.0.1", "hostkeyalias ssh-mux\n") },
		{ "notself", ANSWER("127.0.0.1", "hostkeyalias other\n") },
	};
	struct outcome o = import(
		"cloud behind behind2 behind3 fine broken self notself", said, SMX_ARRAY_LEN(said));

	(void)state;
	assert_int_equal(o.routes->n_routes, 2);
	assert_string_equal(way(&o, "fine"), "me@f:22");
	assert_string_equal(way(&o, "notself"), "me@127.0.0.1:22");
	assert_string_equal(why(&o, "cloud"), "has a ProxyCommand, which only ssh can run");
	assert_non_null(strstr(why(&o, "behind"), "its jump host cloud: has a ProxyCommand"));
	assert_non_null(strstr(why(&o, "behind2"), "its jump host "));
	assert_non_null(strstr(why(&o, "behind3"), "its jump host cloud: has a ProxyCommand"));
	assert_string_equal(why(&o, "broken"), "no luck");
	assert_string_equal(why(&o, "self"), "leads to ssh-mux itself");
	/* ssh names lines, which move: the text must not. */
	assert_true(has(&o, "# broken: ssh -G failed\n"));
	release(&o);
}

/* C4: the most common jump host is [jump], by whatever name it is called; others are named. */
static void c4_jump(void **state)
{
	static const struct said said[] = {
		{ "gate", ANSWER("gate.example", "identityfile /extra\n") },
		{ "other", ANSWER("other.example", "") },
		{ "a", ANSWER("a", "proxyjump gate\n") },
		{ "b", ANSWER("b", "proxyjump me@gate:22\n") },
		{ "me@gate:22", ANSWER("gate.example", "identityfile /extra\n") },
		{ "c", ANSWER("c", "proxyjump other\n") },
		{ "d", ANSWER("d", "proxyjump [2001:db8::1]:2222\n") },
		{ "2001:db8::1:2222", "hostname 2001:db8::1\nuser v6\nport 2222\n" DEFAULTS },
		{ "e", ANSWER("e", "proxyjump bob@gate\n") },
		{ "bob@gate", "hostname gate.example\nuser bob\nport 22\n" DEFAULTS },
		{ "f", ANSWER("f", "proxyjump c\n") },
	};
	struct outcome o = import("a b c d e f gate other", said, SMX_ARRAY_LEN(said));
	struct smx_import_counts counts = smx_import_counts(o.im);

	(void)state;
	assert_string_equal(way(&o, "a"), "me@gate.example:22 > me@a:22");
	assert_string_equal(way(&o, "b"), "me@gate.example:22 > me@b:22");
	assert_string_equal(way(&o, "c"), "me@other.example:22 > me@c:22");
	assert_string_equal(way(&o, "d"), "v6@2001:db8::1:2222 > me@d:22");
	assert_string_equal(way(&o, "e"), "bob@gate.example:22 > me@e:22");
	assert_string_equal(way(&o, "f"), "me@other.example:22 > me@c:22 > me@f:22");
	assert_string_equal(way(&o, "gate"), "me@gate.example:22");
	assert_string_equal(way(&o, "jump-bob-gate"), "bob@gate.example:22");
	assert_string_equal(way(&o, "jump-2001-db8--1"), "v6@2001:db8::1:2222");
	assert_true(has(&o, "of 2 here.\n[jump]\n"));
	assert_int_equal(smx_routes_find(o.routes, "a")->hops[0].n_identity, 3);
	assert_null(smx_routes_find(o.routes, "a")->hops[0].name); /* [jump] itself */
	assert_int_equal(counts.routes, 10);
	assert_int_equal(counts.via_jump, 2);
	assert_int_equal(counts.via_others, 4);
	assert_int_equal(counts.direct, 4);
	assert_int_equal(counts.made_up, 2);
	release(&o);
}

/* C4, B1: several jump hosts are a chain. Only the first one's own way counts, as for ssh. */
static void c4_chains(void **state)
{
	static const struct said said[] = {
		{ "g1", ANSWER("g1", "") },
		{ "g2", ANSWER("g2", "proxyjump g1\n") },
		{ "none", ANSWER("n", "") },
		{ "x", ANSWER("x", "proxyjump g1,g2\n") },
		{ "y", ANSWER("y", "proxyjump g2,me@z:5\n") },
		{ "me@z:5", "hostname z\nuser me\nport 5\nproxyjump g1\n" DEFAULTS },
		{ "w", ANSWER("w", "proxyjump n.example\n") },
		{ "n.example", ANSWER("n", "") },
		{ "%h-gate", "hostname wrong\nuser me\nport 1\n" },
		{ "t", ANSWER("t.example", "proxyjump %h-gate\n") },
		{ "t.example-gate", ANSWER("tg", "") },
	};
	struct outcome o = import("x y g2 g1 none w t", said, SMX_ARRAY_LEN(said));

	(void)state;
	assert_string_equal(way(&o, "x"), "me@g1:22 > me@g2:22 > me@x:22");
	assert_string_equal(way(&o, "y"), "me@g1:22 > me@g2:22 > me@z:5 > me@y:22");
	assert_string_equal(way(&o, "g2"), "me@g1:22 > me@g2:22");
	assert_string_equal(way(&o, "jump-me-z"), "me@g1:22 > me@z:5");
	/* A route may be called "none", which as a lone word means another thing. */
	assert_string_equal(way(&o, "w"), "me@n:22 > me@w:22");
	assert_string_equal(way(&o, "t"), "me@tg:22 > me@t.example:22");
	release(&o);
}

/* C4, B1: circles and ways that are too long are left out, and everything else stays. */
static void c4_circles(void **state)
{
	static const struct said said[] = {
		{ "a", ANSWER("a", "proxyjump b\n") },
		{ "b", ANSWER("b", "proxyjump a\n") },
		{ "self", ANSWER("self", "proxyjump self\n") },
		{ "twice", ANSWER("t", "proxyjump ok,ok\n") },
		{ "twice2", ANSWER("t", "proxyjump ok,me@ok:22\n") },
		{ "me@ok:22", ANSWER("ok", "") },
		{ "ok", ANSWER("ok", "") },
		{ "long", ANSWER("l", "proxyjump h1,h2,h3,h4,h5,h6,h7,h8\n") },
		{ "seven", ANSWER("s", "proxyjump h1,h2,h3,h4,h5,h6,h7\n") },
		{ "eight", ANSWER("e", "proxyjump seven\n") },
		{ "h1", ANSWER("h1", "") },
		{ "h2", ANSWER("h2", "") },
		{ "h3", ANSWER("h3", "") },
		{ "h4", ANSWER("h4", "") },
		{ "h5", ANSWER("h5", "") },
		{ "h6", ANSWER("h6", "") },
		{ "h7", ANSWER("h7", "") },
		{ "h8", ANSWER("h8", "") },
	};
	struct outcome o =
		import("a b self twice twice2 ok long seven eight", said, SMX_ARRAY_LEN(said));

	(void)state;
	assert_non_null(strstr(why(&o, "a"), "circle"));
	assert_true(why(&o, "b")[0] != '\0');
	assert_non_null(strstr(why(&o, "self"), "circle"));
	assert_non_null(strstr(why(&o, "twice"), "circle"));
	assert_non_null(strstr(why(&o, "twice2"), "circle"));
	assert_non_null(strstr(why(&o, "long"), "more than 7 jump hosts"));
	assert_non_null(strstr(why(&o, "eight"), "more than 7"));
	assert_string_equal(way(&o, "ok"), "me@ok:22");
	assert_int_equal(smx_routes_find(o.routes, "seven")->n_hops, 8);
	release(&o);
}

/* C3: names that are made up come in nobody's way, not even in that of what is left out. */
static void c3_made_up_names(void **state)
{
	static const struct said said[] = {
		{ "a", ANSWER("a", "proxyjump u@g,v@g\n") },
		{ "b", ANSWER("b", "proxyjump u@g,u@[g-]:1\n") },
		{ "u@g", "hostname g\nuser u\nport 22\n" },
		{ "v@g", "hostname g\nuser v\nport 22\n" },
		{ "u@g-:1", "hostname g\nuser u\nport 1\n" },
		{ "jump-u-g", ANSWER("1", "") },
		{ "jump-u-g-2", ANSWER("2", "proxycommand x\n") },
	};
	struct outcome o = import("a b jump-u-g jump-u-g-2", said, SMX_ARRAY_LEN(said));

	(void)state;
	assert_string_equal(way(&o, "jump-u-g"), "me@1:22");
	assert_string_equal(way(&o, "jump-u-g-2"), "no route");
	assert_string_equal(way(&o, "jump-u-g-3"), "u@g:22");
	assert_string_equal(way(&o, "jump-v-g"), "v@g:22");
	assert_string_equal(way(&o, "b"), "u@g:22 > u@g:1 > me@b:22");
	release(&o);
}

/* C3: sorted, and the same bytes whatever the order of the answers' arrival or of the aliases. */
static void c3_same_bytes(void **state)
{
	static const struct said said[] = {
		{ "b.c", ANSWER("1", "proxyjump g\n") },
		{ "a", ANSWER("2", "proxyjump g\n") },
		{ "B", ANSWER("3", "proxyjump u@h\n") },
		{ "g", ANSWER("4", "") },
		{ "u@h", ANSWER("5", "") },
		{ "p", ANSWER("6", "proxycommand x\n") },
		{ "d", ANSWER("7", "proxyjump x@g,y@g:9,u@h\n") },
		{ "e", ANSWER("8", "proxyjump x@g:8,y@g\n") },
		{ "x@g", "hostname g\nuser x\nport 1\n" },
		{ "y@g", "hostname g\nuser y\nport 2\n" },
		{ "x@g:8", "hostname g\nuser x\nport 8\n" },
		{ "y@g:9", "hostname g\nuser y\nport 9\n" },
	};
	struct outcome o = import("b.c a B d e g p", said, SMX_ARRAY_LEN(said)), p;

	(void)state;
	is_backwards = 1;
	p = import("g e d B a b.c p", said, SMX_ARRAY_LEN(said));
	is_backwards = 0;
	assert_string_equal(way(&o, "jump-x-g-2"), "x@g:8");
	for (size_t i = 1; i < o.routes->n_routes; i++)
		assert_true(strcmp(o.routes->routes[i - 1].name, o.routes->routes[i].name) < 0);
	assert_string_equal(smx_buf_cstr(&o.text), smx_buf_cstr(&p.text));
	release(&o);
	release(&p);
}

/* C3: one fault of the whole configuration is told once. */
static void c3_common_fault(void **state)
{
	static const struct said said[] = { { "a", ANSWER("1", "") } };
	static const struct said cloud[] = { { "a", ANSWER("1", "proxycommand x\n") } };
	struct outcome o = import("x y z", said, 1), p = import("x a", said, 1);
	struct outcome q = import("a", cloud, 1);

	(void)state;
	assert_string_equal(smx_import_common_fault(o.im), "no luck");
	assert_null(smx_import_common_fault(p.im));
	assert_null(smx_import_common_fault(q.im)); /* that is no mistake */
	release(&q);
	release(&o);
	release(&p);
}

/* C3: a name found twice is one, at its first place; there are only so many. */
static void c3_limits(void **state)
{
	struct smx_import_place first = { "f", 1, 6 }, second = { "g", 2, 7 };
	struct smx_import_left_out l;
	struct smx_import *im;
	char name[32];
	size_t at = 0;
	int r = 0, n;

	(void)state;
	assert_int_equal(smx_import_new(takes_transports ? &with_transports : &options, &im), 0);
	assert_int_equal(smx_import_add(im, "a;b", &first), 0);
	assert_int_equal(smx_import_add(im, "a;b", &second), 0);
	assert_int_equal(smx_import_count(im), 1);
	assert_int_equal(smx_import_left_out(im, &at, &l), 1);
	assert_string_equal(l.place.file, "f");
	assert_int_equal(smx_import_left_out(im, &at, &l), 0);
	for (n = 1; r == 0; n++) {
		(void)snprintf(name, sizeof(name), "h%d", n);
		r = smx_import_add(im, name, &first);
	}
	assert_int_equal(r, SMX_ELIMIT);
	assert_int_equal(smx_import_count(im), SMX_IMPORT_HOSTS_MAX);
	smx_import_free(im);
}

/* C3: memory that runs out is said, and none of it is lost. */
static void c3_memory(void **state)
{
	static const struct said said[] = {
		{ "a", ANSWER("1", "proxyjump g,u@h\nsendenv FOO\nhostkeyalias k\nidentityagent "
				   "/x\n") },
		{ "g", ANSWER("4", "identityfile /%r\n") },
		{ "u@h", ANSWER("5", "userknownhostsfile /dev/null\n") },
		{ "p", ANSWER("6", "proxycommand x\n") },
	};
	long before = smx_mem_alive();
	struct smx_import *im = NULL;
	struct smx_buf text;
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r != 0; n++) {
		smx_buf_init(&text, SMX_IMPORT_TEXT_MAX);
		smx_mem_fail_after(n);
		r = try_import("a g p q", said, SMX_ARRAY_LEN(said), &im);
		if (r == 0) {
			r = smx_import_toml(im, &text);
			smx_import_free(im);
		}
		smx_mem_fail_after(-1);
		smx_buf_release(&text);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(r == 0 || r == SMX_ENOMEM);
		assert_true(n < 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_values),
		cmocka_unit_test(c3_tokens),
		cmocka_unit_test(c3_send_env),
		cmocka_unit_test(r3_hostile),
		cmocka_unit_test(r7_transports),
		cmocka_unit_test(c4_proxy_command),
		cmocka_unit_test(c4_jump),
		cmocka_unit_test(c4_chains),
		cmocka_unit_test(c4_circles),
		cmocka_unit_test(c3_made_up_names),
		cmocka_unit_test(c3_same_bytes),
		cmocka_unit_test(c3_common_fault),
		cmocka_unit_test(c3_limits),
		cmocka_unit_test(c3_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
