/* SPDX-License-Identifier: MIT */
/* W2, W3: the names of control sockets, and that ssh's tokens come to the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "config/socket_name.h"
#include "util_data.h"

/* The one route of a file, or the one that is called "x" of two. */
static struct smx_routes *routes_of(const char *name, const char *host, const char *jump)
{
	struct smx_routes *routes = NULL;
	char text[1024];

	(void)snprintf(text, sizeof(text), "%s[routes.\"%s\"]\nhost = \"%s\"\nuser = \"me\"\n",
		jump, name, host);
	assert_int_equal(smx_routes_parse(test_str(text), "r", &routes, NULL), 0);
	return routes;
}

static enum smx_socket_form form(const char *name, size_t host_len, const char *jump, size_t room)
{
	char host[256];
	struct smx_routes *routes;
	enum smx_socket_form f;

	memset(host, 'h', host_len);
	host[host_len] = '\0';
	routes = routes_of(name, host, jump);
	f = smx_socket_form(&routes->routes[0], room);
	smx_routes_unref(routes);
	return f;
}

#define JUMP "[jump]\nhost = \"j\"\nuser = \"u\"\n"

static void W3_the_form_leaves_room_for_another_user(void **state)
{
	char name[64];

	(void)state;
	/* "web=" + 32 + "@" + host + ":" + 5 */
	assert_int_equal(form("web", 30, "", 73), SMX_SOCKET_WHOLE);
	assert_int_equal(form("web", 31, "", 73), SMX_SOCKET_HASHED);
	assert_int_equal(form("web", 30, JUMP, 73), SMX_SOCKET_WHOLE);
	assert_int_equal(form("web", 31, JUMP, 73), SMX_SOCKET_NONE);
	/* name + "=" + 40 */
	memset(name, 'n', sizeof(name));
	name[32] = '\0';
	assert_int_equal(form(name, 63, "", 73), SMX_SOCKET_HASHED);
	name[32] = 'n';
	name[33] = '\0';
	assert_int_equal(form(name, 63, "", 73), SMX_SOCKET_SHORT);
	assert_int_equal(form("w", 63, "", 54), SMX_SOCKET_HASHED);
	assert_int_equal(form(name, 63, "", 54), SMX_SOCKET_SHORT);
	assert_int_equal(form(name, 63, "", 53), SMX_SOCKET_NONE);
	assert_int_equal(form("w", 1, "", 0), SMX_SOCKET_NONE);
}

static void W2_names_and_patterns(void **state)
{
	/* %C: SHA-1 of "here" "host.example" "22" "me". */
	static const char hashed[] = "web=966e3ba00f68ac08300d8953e12007d20b97ca69";
	char name[SMX_SOCKET_NAME_SIZE], pattern[SMX_SOCKET_NAME_SIZE];
	struct smx_routes *routes = routes_of("web", "Host.Example", "");
	const struct smx_route *route = &routes->routes[0];

	(void)state;
	assert_int_equal(smx_socket_name(route, 100, "here", name), 0);
	assert_string_equal(name, "web=me@host.example:22");
	assert_int_equal(smx_socket_pattern(route, 100, pattern), 0);
	assert_string_equal(pattern, "web=%r@%h:%p");
	assert_int_equal(smx_socket_name(route, 54, "here", name), 0);
	assert_string_equal(name, hashed);
	assert_int_equal(smx_socket_pattern(route, 54, pattern), 0);
	assert_string_equal(pattern, "web=%C");
	/* One without a form has its whole name, for who wrote that ControlPath by hand. */
	assert_int_equal(smx_socket_name(route, 30, "here", name), 0);
	assert_string_equal(name, "web=me@host.example:22");
	assert_int_equal(smx_socket_pattern(route, 30, pattern), 0);
	assert_string_equal(pattern, "");
	smx_routes_unref(routes);
}

/* Routes of one host, whose names are too long for a socket: each has its own all the same. */
static void W3_long_names_of_routes_differ(void **state)
{
	static const char *const names[] = { "a-route-with-a-name-that-is-much-too-long-1",
		"a-route-with-a-name-that-is-much-too-long-2" };
	char name[2][SMX_SOCKET_NAME_SIZE], pattern[2][SMX_SOCKET_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct smx_routes *routes = routes_of(names[i], "host.example", "");

		assert_int_equal(smx_socket_form(&routes->routes[0], 60), SMX_SOCKET_SHORT);
		assert_int_equal(smx_socket_name(&routes->routes[0], 60, "here", name[i]), 0);
		assert_int_equal(smx_socket_pattern(&routes->routes[0], 60, pattern[i]), 0);
		/* "+", the digits, "=": what stands for the route is the same in both. */
		assert_memory_equal(name[i], pattern[i], 14);
		assert_string_equal(pattern[i] + 14, "%C");
		smx_routes_unref(routes);
	}
	assert_memory_not_equal(name[0], name[1], 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(W3_the_form_leaves_room_for_another_user),
		cmocka_unit_test(W2_names_and_patterns),
		cmocka_unit_test(W3_long_names_of_routes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
