/* SPDX-License-Identifier: MIT */
/* B4, W4: rules for forwards, alone, in the routes file, and as the policy of a route. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/forward.h"
#include "config/policy.h"

#define ROUTE_HEAD "[routes.r]\nhost = \"h\"\nuser = \"u\"\n"

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

/* One rule, and whether it allows a target; "host port". */
static int allows(const char *rule, const char *host, uint32_t port)
{
	struct smx_forward_rules rules = { NULL, 0 };
	char why[256] = "";
	int r, ok;

	r = smx_forward_rules_add(&rules, view(rule), SMX_FORWARD_CONNECT, why, sizeof(why));
	if (r != 0)
		fail_msg("\"%s\" %s", rule, why);
	ok = *rule == '/' ? smx_forward_rules_path(&rules, view(host))
			  : smx_forward_rules_connect(&rules, view(host), port);
	smx_forward_rules_release(&rules);
	return ok;
}

static int may_listen(const char *rule, const char *address, uint32_t port)
{
	struct smx_forward_rules rules = { NULL, 0 };
	char why[256] = "";
	int ok;

	if (smx_forward_rules_add(&rules, view(rule), SMX_FORWARD_LISTEN, why, sizeof(why)) != 0)
		fail_msg("\"%s\" %s", rule, why);
	ok = smx_forward_rules_listen(&rules, view(address), port);
	smx_forward_rules_release(&rules);
	return ok;
}

struct target {
	const char *rule, *host;
	uint32_t port;
};

static void b4_what_a_rule_allows(void **state)
{
	static const struct target good[] = {
		{ "db.internal:5432", "db.internal", 5432 },
		{ "db.internal:5432", "DB.Internal", 5432 },
		{ "DB.INTERNAL:5432", "db.internal", 5432 },
		{ "db:*", "db", 1 },
		{ "db:*", "db", 65535 },
		{ "db:8000-8010", "db", 8000 },
		{ "db:8000-8010", "db", 8010 },
		{ "*.internal:22", "a.internal", 22 },
		{ "*.internal:22", "a.b.INTERNAL", 22 },
		{ "node?:22", "node7", 22 },
		{ "10.0.0.5:22", "10.0.0.5", 22 },
		{ "10.0.0.0/8:*", "10.0.0.0", 22 },
		{ "10.0.0.0/8:*", "10.255.255.255", 65535 },
		{ "10.0.0.4/30:22", "10.0.0.7", 22 },
		{ "10.0.0.4/31:22", "10.0.0.5", 22 },
		{ "10.0.0.4/32:22", "10.0.0.4", 22 },
		{ "0.0.0.0/0:22", "192.0.2.1", 22 },
		{ "[2001:db8::1]:443", "2001:db8::1", 443 },
		{ "[2001:db8::1]:443", "2001:DB8:0:0::1", 443 },
		{ "[2001:db8::/32]:443", "2001:db8:ffff::", 443 },
		{ "[2001:db8::/33]:443", "2001:db8:7fff::1", 443 },
		{ "[::/0]:443", "2001:db8::1", 443 },
		{ "[::1]:80", "::1", 80 },
		{ "[1:2:3:4:5:6:7:8]:1", "1:2:3:4:5:6:7:8", 1 },
		{ "[1:2:3:4:5:6:7::]:1", "1:2:3:4:5:6:7:0", 1 },
		{ "*:*", "anything.example", 1 },
		{ "*:*", "127.0.0.1", 22 },
		{ "*:*", "::1", 22 },
		{ "*:22", "fe80::1%eth0", 22 },
		{ "/run/app.sock", "/run/app.sock", 0 },
		{ "/run/app/*", "/run/app/x", 0 },
		{ "/run/app/*", "/run/app/x/y.sock", 0 },
		{ "/*", "/tmp/x", 0 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(good); i++)
		if (!allows(good[i].rule, good[i].host, good[i].port))
			fail_msg("%s does not allow %s %u", good[i].rule, good[i].host,
				good[i].port);
}

static void w4_what_it_does_not_allow(void **state)
{
	static const struct target bad[] = {
		/* names: no other, no other port, no other spelling */
		{ "db.internal:5432", "db.internal", 5433 },
		{ "db.internal:5432", "db.internal", 5431 },
		{ "db.internal:5432", "db.internal", 5432 + 65536 },
		{ "db.internal:5432", "db.internal.", 5432 },
		{ "db.internal:5432", "db.interna", 5432 },
		{ "db.internal:5432", "db.internall", 5432 },
		{ "db.internal:5432", "x.db.internal", 5432 },
		{ "db.internal:5432", "db.internal ", 5432 },
		{ "db:8000-8010", "db", 7999 },
		{ "db:8000-8010", "db", 8011 },
		{ "db:*", "db", 0 },
		{ "db:*", "db", 65536 },
		{ "localhost:80", "127.0.0.1", 80 },
		{ "localhost:80", "::1", 80 },
		{ "localhost:80", "localhost.", 80 },
		/* a pattern of names matches no address */
		{ "*.internal:22", "internal", 22 },
		{ "*.internal:22", "a.internal.", 22 },
		{ "*.internal:22", "a.internal\n", 22 },
		{ "*.internal:22", "a b.internal", 22 },
		{ "*.internal:22", "-x.internal", 22 },
		{ "a?*:22", "127.0.0.1", 22 },
		{ "a*:22", "::1", 22 },
		{ "f*:22", "fe80::1", 22 },
		{ "f*:22", "fe80::1%eth0", 22 },
		{ "*a*:22", "0xa", 22 },
		{ "*a*:22", "10.0xa", 22 },
		{ "*x*:22", "0x7f000001", 22 },
		{ "*x*:22", "0x7f.1", 22 },
		{ "*x*:22", "0X7F.0.0.0x1.", 22 },
		{ "*e*:22", "name.1", 22 },
		{ "*e*:22", "name.0x1", 22 },
		/* an address matches in its usual spelling only */
		{ "10.0.0.5:22", "10.0.5", 22 },
		{ "10.0.0.5:22", "10.0.0.05", 22 },
		{ "10.0.0.5:22", "10.0.0.5.", 22 },
		{ "10.0.0.5:22", "012.0.0.5", 22 },
		{ "10.0.0.5:22", "0xa.0.0.5", 22 },
		{ "10.0.0.5:22", "167772165", 22 },
		{ "10.0.0.5:22", "10.0.0.5%0", 22 },
		{ "10.0.0.5:22", " 10.0.0.5", 22 },
		{ "10.0.0.5:22", "[10.0.0.5]", 22 },
		{ "10.0.0.5:22", "10.0.0.5:22", 22 },
		{ "10.0.0.5:22", "::ffff:10.0.0.5", 22 },
		{ "10.0.0.5:22", "::ffff:a00:5", 22 },
		/* a range matches no name, and nothing outside it */
		{ "10.0.0.0/8:*", "10.evil.example", 22 },
		{ "10.0.0.0/8:*", "10.0.0.1.example", 22 },
		{ "10.0.0.0/8:*", "localhost", 22 },
		{ "10.0.0.0/8:*", "10", 22 },
		{ "10.0.0.0/8:*", "10.1", 22 },
		{ "10.0.0.0/8:*", "10.0.0.256", 22 },
		{ "10.0.0.0/8:*", "10.0.0.-1", 22 },
		{ "10.0.0.0/8:*", "10.0.0.", 22 },
		{ "10.0.0.0/8:*", "10..0.1", 22 },
		{ "10.0.0.0/8:*", "10.0.0.1.1", 22 },
		{ "10.0.0.0/8:*", "11.0.0.0", 22 },
		{ "10.0.0.0/8:*", "9.255.255.255", 22 },
		{ "10.0.0.4/30:22", "10.0.0.8", 22 },
		{ "10.0.0.4/30:22", "10.0.0.3", 22 },
		{ "10.0.0.4/31:22", "10.0.0.6", 22 },
		{ "0.0.0.0/0:22", "::ffff:192.0.2.1", 22 },
		{ "0.0.0.0/0:22", "localhost", 22 },
		{ "0.0.0.0/0:22", "0", 22 },
		{ "0.0.0.0/0:22", "", 22 },
		{ "[2001:db8::/32]:443", "2001:db9::", 443 },
		{ "[2001:db8::/33]:443", "2001:db8:8000::1", 443 },
		{ "[2001:db8::/32]:443", "2001:db8::1%eth0", 443 },
		{ "[2001:db8::/32]:443", "[2001:db8::1]", 443 },
		{ "[2001:db8::/32]:443", "2001:db8::1.2.3.4", 443 },
		{ "[2001:db8::/32]:443", "2001:db8", 443 },
		{ "[2001:db8::/32]:443", "2001:db8::1::2", 443 },
		{ "[2001:db8::/32]:443", "2001:db8:::1", 443 },
		{ "[2001:db8::/32]:443", "2001:db8::1:", 443 },
		{ "[2001:db8::/32]:443", "2001:0db80::1", 443 },
		{ "[2001:db8::/32]:443", "2001:db8:0:0:0:0:0:0:1", 443 },
		{ "[2001:db8::/32]:443", "2001:db8::g", 443 },
		{ "[::/0]:443", "::ffff:7f00:1", 443 },
		{ "[::/0]:443", "::ffff:127.0.0.1", 443 },
		{ "[::/0]:443", "0:0:0:0:0:ffff:7f00:1", 443 },
		{ "[::/0]:443", "127.0.0.1", 443 },
		{ "[::/0]:443", ":", 443 },
		{ "[::/0]:443", ":1", 443 },
		{ "[::/0]:443", "1:2:3:4:5:6:7", 443 },
		{ "[::/0]:443", "1:2:3:4:5:6:7:8::", 443 },
		/* any host is still a host */
		{ "*:*", "", 22 },
		{ "*:*", "a b", 22 },
		{ "*:*", "-x", 22 },
		{ "*:*", "a\x7f", 22 },
		{ "*:*", "/run/x", 22 },
		{ "*:22", "a", 23 },
		/* sockets */
		{ "/run/app.sock", "/run/app.sock/", 0 },
		{ "/run/app.sock", "/run//app.sock", 0 },
		{ "/run/app.sock", "/run/x/../app.sock", 0 },
		{ "/run/app.sock", "run/app.sock", 0 },
		{ "/run/app/*", "/run/app/", 0 },
		{ "/run/app/*", "/run/app", 0 },
		{ "/run/app/*", "/run/app/../x", 0 },
		{ "/run/app/*", "/run/app/x/../../y", 0 },
		{ "/run/app/*", "/run/app/./x", 0 },
		{ "/run/app/*", "/run/app//x", 0 },
		{ "/run/app/*", "/run/app/x/", 0 },
		{ "/run/app/*", "/run/apple/x", 0 },
		{ "/run/app/*", "/run/app/..", 0 },
		{ "/*", "/", 0 },
		{ "/*", "tmp/x", 0 },
	};
	struct smx_forward_rules any = { NULL, 0 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++)
		if (allows(bad[i].rule, bad[i].host, bad[i].port))
			fail_msg("%s allows %s %u", bad[i].rule, bad[i].host, bad[i].port);
	assert_int_equal(smx_forward_rules_add_any(&any), 0);
	assert_true(smx_forward_rules_connect(&any, view("a"), 22));
	/* A NUL, which a C program would take for the end. */
	assert_false(smx_forward_rules_connect(&any, smx_view_of("a\0", 2), 22));
	assert_false(smx_forward_rules_connect(&any, smx_view_of("a\0b", 3), 22));
	assert_false(smx_forward_rules_connect(&any, (struct smx_view){ NULL, 0 }, 22));
	assert_false(smx_forward_rules_path(&any, view("/tmp/x")));
	smx_forward_rules_release(&any);
}

/* A rule with an address in it: what differs in a single byte is another address. */
static void w4_one_byte_off(void **state)
{
	static const char *const rules[][2] = { { "10.0.0.5:22", "10.0.0.5" },
		{ "[2001:db8::1]:22", "2001:db8::1" }, { "db.internal:22", "db.internal" } };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rules); i++) {
		const char *host = rules[i][1];

		for (size_t at = 0; at < strlen(host); at++) {
			for (unsigned c = 1; c < 256; c++) {
				char other[32];

				(void)snprintf(other, sizeof(other), "%s", host);
				other[at] = (char)c;
				if (((unsigned char)host[at] | 0x20) != (c | 0x20) &&
					allows(rules[i][0], other, 22))
					fail_msg("%s allows %s", rules[i][0], other);
			}
		}
	}
}

static void b4_what_may_be_listened_at(void **state)
{
	static const struct target good[] = {
		{ "8080", "localhost", 8080 },
		{ "8080", "127.0.0.1", 8080 },
		{ "8080", "::1", 8080 },
		{ "8080-8090", "LOCALHOST", 8090 },
		{ "localhost:*", "localhost", 0 },
		{ "0", "localhost", 0 },
		{ "*", "localhost", 40000 },
		{ "*:80", "", 80 },
		{ "*:80", "*", 80 },
		{ "*:80", "0.0.0.0", 80 },
		{ "*:80", "::", 80 },
		{ "*:80", "localhost", 80 },
		{ "192.0.2.1:80", "192.0.2.1", 80 },
		{ "127.0.0.1:80", "127.0.0.1", 80 },
		{ "[::]:80", "::", 80 },
	};
	static const struct target bad[] = {
		{ "8080", "", 8080 },
		{ "8080", "*", 8080 },
		{ "8080", "0.0.0.0", 8080 },
		{ "8080", "::", 8080 },
		{ "8080", "localhost.", 8080 },
		{ "8080", "127.0.0.2", 8080 },
		{ "8080", "192.0.2.1", 8080 },
		{ "8080", "localhost", 8081 },
		{ "8080", "localhost", 0 },
		{ "1-65535", "localhost", 0 },
		{ "*", "localhost", 65536 },
		{ "*", "", 80 },
		{ "127.0.0.1:80", "localhost", 80 },
		{ "[::]:80", "", 80 },
		{ "/run/x", "localhost", 80 },
		{ "/run/x", "/run/x", 0 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(good); i++)
		if (!may_listen(good[i].rule, good[i].host, good[i].port))
			fail_msg("%s does not allow %s %u", good[i].rule, good[i].host,
				good[i].port);
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++)
		if (may_listen(bad[i].rule, bad[i].host, bad[i].port))
			fail_msg("%s allows %s %u", bad[i].rule, bad[i].host, bad[i].port);
}

/* What is wrong with an item, and what would be right. */
static void b4_mistakes(void **state)
{
	static const struct {
		const char *rule, *why;
	} bad[] = {
		{ "", "empty" },
		{ "db", "\":22\"" },
		{ "*", "\":22\"" },
		{ "db:", "1 to 65535" },
		{ "db:0", "1 to 65535" },
		{ "db:65536", "1 to 65535" },
		{ "db:022", "1 to 65535" },
		{ "db:+22", "1 to 65535" },
		{ "db:ssh", "1 to 65535" },
		{ "db:9-8", "1 to 65535" },
		{ "db:1-", "1 to 65535" },
		{ "db:0-9", "1 to 65535" },
		{ ":22", "\"*\" for any" },
		{ "2001:db8::1:22", "brackets" },
		{ "::1:22", "brackets" },
		{ "[::1:22", "brackets" },
		{ "[:22", "brackets" },
		{ "[]:22", "IPv6 address" },
		{ "[::1]", "\":22\"" },
		{ "[10.0.0.1]:22", "IPv6 address" },
		{ "[db]:22", "IPv6 address" },
		{ "[fe80::1%eth0]:22", "zone" },
		{ "[::ffff:a00:1]:22", "IPv4-mapped" },
		{ "[::/129]:22", "/128" },
		{ "[2001:db8::1/32]:22", "first 32 bits" },
		{ "10.0.0.0/33:22", "/32" },
		{ "10.0.0.0/:22", "/32" },
		{ "10.0.0.0/08:22", "/32" },
		{ "10.1.2.3/8:22", "10.0.0.0/8" },
		{ "10.1/16:22", "four decimal" },
		{ "127.1:22", "four decimal" },
		{ "0x7f.1:22", "four decimal" },
		{ "2130706433:22", "four decimal" },
		{ "db/8:22", "four decimal" },
		{ "10.*:22", "10.0.0.0/8" },
		{ "192.168.?.1:22", "10.0.0.0/8" },
		{ "a b:22", "white space" },
		{ "u@db:22", "user" },
		{ "-db:22", "'-'" },
		{ "db\n:22", "control" },
		{ "d\xc3\xa4:22", "ASCII" },
		{ "/", "empty names" },
		{ "/a//b", "empty names" },
		{ "/a/../b", "\"..\"" },
		{ "/a/*/b", "last name" },
		{ "/a/x*", "last name" },
	};
	struct smx_forward_rules rules = { NULL, 0 };
	char why[256], text[400];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		int r = smx_forward_rules_add(
			&rules, view(bad[i].rule), SMX_FORWARD_CONNECT, why, sizeof(why));

		if (r != SMX_ESYNTAX || !strstr(why, bad[i].why))
			fail_msg("\"%s\": %d, %s", bad[i].rule, r, why);
	}
	memset(text, 'a', sizeof(text));
	memcpy(text + sizeof(text) - 3, ":22", 3);
	assert_int_equal(smx_forward_rules_add(&rules, smx_view_of(text, sizeof(text)),
				 SMX_FORWARD_CONNECT, why, sizeof(why)),
		SMX_ESYNTAX);
	assert_int_equal(smx_forward_rules_add(&rules, smx_view_of(text + 100, 300),
				 SMX_FORWARD_CONNECT, why, sizeof(why)),
		SMX_ESYNTAX);
	text[0] = '/';
	assert_int_equal(smx_forward_rules_add(&rules, smx_view_of(text, 109), SMX_FORWARD_CONNECT,
				 why, sizeof(why)),
		SMX_ESYNTAX);
	assert_null(rules.v);
}

/* --- in the routes file --- */

static struct smx_routes *parse(const char *text)
{
	struct smx_routes *routes = NULL;
	struct smx_buf error;

	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	if (smx_routes_parse(view(text), "f", &routes, &error) != 0)
		fail_msg("%s", smx_buf_cstr(&error));
	smx_buf_release(&error);
	return routes;
}

static void fails(const char *text, const char *part)
{
	struct smx_routes *routes = NULL;
	struct smx_buf error;

	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	assert_int_equal(smx_routes_parse(view(text), "f", &routes, &error), SMX_ESYNTAX);
	if (!strstr(smx_buf_cstr(&error), part))
		fail_msg("%s", smx_buf_cstr(&error));
	smx_buf_release(&error);
}

static enum smx_policy tcp(const struct smx_route *route, const char *host, uint32_t port)
{
	return smx_policy_forward(route, SMX_CHAN_KIND_TCPIP, view(host), port);
}

static enum smx_policy unix_socket(const struct smx_route *route, const char *path)
{
	return smx_policy_forward(route, SMX_CHAN_KIND_STREAMLOCAL, view(path), 0);
}

static void b4_forwards_of_a_route(void **state)
{
	struct smx_routes *routes =
		parse(ROUTE_HEAD "forwards = [\"db:5432\", \"127.0.0.1:80\", \"/run/x\"]\n"
				 "[routes.other]\nhost = \"h\"\nuser = \"u\"\n");
	const struct smx_route *r = &routes->routes[0], *other = &routes->routes[1];
	char text[900];

	(void)state;
	assert_int_equal(tcp(r, "db", 5432), SMX_POLICY_ALLOW);
	assert_int_equal(tcp(r, "127.0.0.1", 80), SMX_POLICY_ALLOW);
	assert_int_equal(tcp(r, "127.0.0.1", 81), SMX_POLICY_DENY_ROUTE);
	assert_int_equal(tcp(r, "db", 5433), SMX_POLICY_DENY_TARGET);
	assert_int_equal(unix_socket(r, "/run/x"), SMX_POLICY_ALLOW);
	assert_int_equal(unix_socket(r, "/run/y"), SMX_POLICY_DENY_ROUTE);
	/* L7: default deny. */
	assert_int_equal(tcp(other, "db", 5432), SMX_POLICY_DENY_TARGET);
	assert_int_equal(unix_socket(other, "/run/x"), SMX_POLICY_DENY_ROUTE);
	/* No kind but these two. */
	assert_int_equal(smx_policy_forward(r, SMX_CHAN_KIND_SESSION, view("db"), 5432),
		SMX_POLICY_DENY_TARGET);
	/* The refusal says what would allow it. */
	assert_int_equal(smx_policy_check_forward(
				 r, SMX_CHAN_KIND_TCPIP, view("2001:db8::1"), 22, text, 900),
		SMX_EDENIED);
	assert_non_null(strstr(text, "forward to [2001:db8::1]:22 denied"));
	assert_non_null(strstr(text, "add forwards = [\"[2001:db8::1]:22\"] to [routes.r]"));
	assert_int_equal(
		smx_policy_check_forward(r, SMX_CHAN_KIND_TCPIP, view("db"), 5432, text, 900), 0);
	smx_routes_unref(routes);
}

static void b4_jump_through(void **state)
{
	struct smx_routes *routes =
		parse("[routes.any]\nhost = \"h\"\nuser = \"u\"\njump_through = true\n"
		      "[routes.none]\nhost = \"h\"\nuser = \"u\"\njump_through = false\n"
		      "[routes.some]\nhost = \"h\"\nuser = \"u\"\n"
		      "jump_through = [\"web\", \"six\", \"zone\", \"*.lab:22\"]\n"
		      "[routes.web]\nhost = \"Web.Internal\"\nport = 2200\nuser = \"u\"\n"
		      "[routes.six]\nhost = \"2001:db8::1\"\nuser = \"u\"\n"
		      "[routes.zone]\nhost = \"fe80::1%eth0\"\nuser = \"u\"\n");
	const struct smx_route *any = &routes->routes[0], *none = &routes->routes[1],
			       *some = &routes->routes[2];

	(void)state;
	assert_int_equal(tcp(any, "10.0.0.1", 22), SMX_POLICY_ALLOW);
	assert_int_equal(tcp(any, "web.internal", 2200), SMX_POLICY_ALLOW);
	assert_int_equal(tcp(any, "web.internal", 0), SMX_POLICY_DENY_TARGET);
	/* Hosts to log in to, not sockets. */
	assert_int_equal(unix_socket(any, "/run/x"), SMX_POLICY_DENY_ROUTE);
	assert_int_equal(tcp(none, "10.0.0.1", 22), SMX_POLICY_DENY_TARGET);
	assert_int_equal(tcp(some, "web.internal", 2200), SMX_POLICY_ALLOW);
	assert_int_equal(tcp(some, "web.internal", 22), SMX_POLICY_DENY_TARGET);
	assert_int_equal(tcp(some, "web", 2200), SMX_POLICY_DENY_TARGET);
	assert_int_equal(tcp(some, "2001:db8:0::1", 22), SMX_POLICY_ALLOW);
	assert_int_equal(tcp(some, "fe80::1%eth0", 22), SMX_POLICY_ALLOW);
	assert_int_equal(tcp(some, "fe80::1", 22), SMX_POLICY_DENY_TARGET);
	assert_int_equal(tcp(some, "a.lab", 22), SMX_POLICY_ALLOW);
	assert_int_equal(tcp(some, "10.0.0.1", 22), SMX_POLICY_DENY_TARGET);
	smx_routes_unref(routes);
}

static void r3_mistakes_in_the_file(void **state)
{
	(void)state;
	fails(ROUTE_HEAD "forwards = \"db:1\"\n",
		"f:4:1: [routes.r] key \"forwards\": must be an array of strings, not a string");
	fails(ROUTE_HEAD "forwards = [1]\n", "not an array with an integer in it");
	fails(ROUTE_HEAD "forwards = [\"db\"]\n", "\"db\" has no port; add it");
	fails(ROUTE_HEAD "remote_forwards = [\"x\"]\n",
		"key \"remote_forwards\": \"x\" has a port that is not 1 to 65535");
	fails(ROUTE_HEAD "RemoteForward = [\"1\"]\n", "did you mean \"remote_forwards\"?");
	fails(ROUTE_HEAD "jump_through = \"web\"\n", "must be true, false or an array");
	fails(ROUTE_HEAD "jump_through = [\"web\"]\n",
		"there is no route \"web\"; write the name of one, or \"host:port\"");
	fails(ROUTE_HEAD "jump_through = [\"/run/x\"]\n", "allowed by \"forwards\"");
	fails(ROUTE_HEAD "jump_through = [\"db:x\"]\n", "has a port");
	fails("forwards = [\"db:1\"]\n", "unknown key");
	fails("[jump]\nhost = \"h\"\nuser = \"u\"\nforwards = [\"db:1\"]\n", "unknown key");
	fails(ROUTE_HEAD "forward = [\"db:1\"]\n", "did you mean \"forwards\"?");
	fails(ROUTE_HEAD "LocalForward = [\"db:1\"]\n", "unknown key");
}

static void r3_a_list_has_a_limit(void **state)
{
	char text[8 * SMX_FORWARD_RULES_MAX + 200] = ROUTE_HEAD "forwards = [";
	size_t n = strlen(text);

	(void)state;
	for (int i = 0; i <= SMX_FORWARD_RULES_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\"d:%d\",", i + 1);
	(void)snprintf(text + n, sizeof(text) - n, "]\n");
	fails(text, "has more than 64 items");
}

static void a_failing_allocator(void **state)
{
	static const char text[] =
		ROUTE_HEAD "forwards = [\"db:5432\", \"10.0.0.0/8:*\", \"/run/x\", \"*.a:1\"]\n"
			   "jump_through = [\"r\", \"x:22\"]\n"
			   "[routes.q]\nhost = \"h\"\nuser = \"u\"\njump_through = true\n";
	size_t before = smx_mem_alive();
	struct smx_routes *routes;
	struct smx_buf error;
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r != 0; n++) {
		smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
		smx_mem_fail_after(n);
		r = smx_routes_parse(view(text), "f", &routes, &error);
		smx_mem_fail_after(-1);
		if (r != 0)
			assert_int_equal(r, SMX_ENOMEM);
		else
			smx_routes_unref(routes);
		smx_buf_release(&error);
		assert_int_equal(smx_mem_alive(), before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b4_what_a_rule_allows),
		cmocka_unit_test(w4_what_it_does_not_allow),
		cmocka_unit_test(w4_one_byte_off),
		cmocka_unit_test(b4_what_may_be_listened_at),
		cmocka_unit_test(b4_mistakes),
		cmocka_unit_test(b4_forwards_of_a_route),
		cmocka_unit_test(b4_jump_through),
		cmocka_unit_test(r3_mistakes_in_the_file),
		cmocka_unit_test(r3_a_list_has_a_limit),
		cmocka_unit_test(a_failing_allocator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
