/* SPDX-License-Identifier: MIT */
/* The examples of packaging/ are what the program takes (R1, R2, R4, B1). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "config/routes.h"

#define PACKAGING SMX_TEST_DATA "/../../packaging/"
#define TEXT_MAX  16384

static size_t read_example(const char *path, char *out)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, TEXT_MAX - 1, f);
	assert_true(n > 0 && n < TEXT_MAX - 1);
	(void)fclose(f);
	out[n] = '\0';
	return n;
}

static struct smx_routes *example_routes(char *text)
{
	struct smx_routes *routes = NULL;
	struct smx_buf err;
	int r;

	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX);
	r = smx_routes_parse(smx_view_of(text, strlen(text)), "example", &routes, &err);
	if (r != 0)
		fail_msg("%s", smx_buf_cstr(&err));
	smx_buf_release(&err);
	return routes;
}

/* As it stands, and with every key that is commented out switched on. */
static void r1_the_routes_file_parses(void **state)
{
	char text[TEXT_MAX];
	struct smx_routes *routes;
	const struct smx_route *build;
	unsigned n_switched = 0;

	(void)state;
	(void)read_example(PACKAGING "ssh-mux-routes.example.toml", text);
	routes = example_routes(text);
	assert_int_equal(routes->n_routes, 4);
	assert_true(smx_routes_find(routes, "web")->allow_remote_loopback_any_port);
	assert_false(smx_routes_find(routes, "db")->allow_remote_loopback_any_port);
	assert_int_equal(smx_routes_find(routes, "outside")->n_hops, 1);
	build = smx_routes_find(routes, "build");
	assert_int_equal(build->n_hops, 3); /* [jump], web, build */
	assert_string_equal(build->hops[0].host, "bastion.example.com");
	smx_routes_unref(routes);

	for (char *s = text; (s = strstr(s, "\n#")) != NULL; s += 2) {
		/* "#key = value": no blank behind the mark. `jump` would be there twice. */
		if (s[2] == ' ' || strncmp(s + 2, "jump ", 5) == 0)
			continue;
		s[1] = ' ';
		n_switched++;
	}
	assert_int_equal(n_switched, 22);
	routes = example_routes(text);
	assert_true(smx_routes_find(routes, "db")->allow_remote_loopback_any_port == 0);
	assert_int_equal(smx_routes_find(routes, "db")->n_send_env, 1);
	assert_string_equal(
		smx_route_target(smx_routes_find(routes, "build"))->host_key_alias, "build");
	smx_routes_unref(routes);
}

/* Every user name that the ssh_config sends is a route, and every route has its block. */
static void r1_the_ssh_config_names_the_routes(void **state)
{
	char toml[TEXT_MAX], config[TEXT_MAX], name[65];
	struct smx_routes *routes;
	size_t n_users = 0;

	(void)state;
	(void)read_example(PACKAGING "ssh-mux-routes.example.toml", toml);
	(void)read_example(PACKAGING "ssh_config.example", config);
	routes = example_routes(toml);
	for (const char *s = config; (s = strstr(s, "\n    User ")) != NULL; s++) {
		assert_int_equal(sscanf(s, " User %64s", name), 1);
		assert_non_null(smx_routes_find(routes, name));
		n_users++;
	}
	assert_int_equal(n_users, routes->n_routes);
	smx_routes_unref(routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(r1_the_routes_file_parses),
		cmocka_unit_test(r1_the_ssh_config_names_the_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
