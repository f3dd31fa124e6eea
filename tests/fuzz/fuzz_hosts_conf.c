/* SPDX-License-Identifier: MIT */
// fuzzes: src/sshconf/hosts_conf.c
/*
 * A user's config before the Include line and with it (C1, C2): one line more, every other byte
 * where it was, and a second run finds what the first has done.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/mem.h"
#include "sshconf/hosts_conf.h"

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
	smx_routes_unref(routes);
	smx_buf_release(&err);
	CHECK(smx_mem_alive() == before);
	return 0;
}
