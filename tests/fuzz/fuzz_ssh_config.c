/* SPDX-License-Identifier: MIT */
// fuzzes: src/sshconf/ssh_config.c src/sshconf/import.c src/sshconf/import_answer.c
/* The client configuration and the answers of ssh -G (C3, C4, R3): whatever comes in, what comes
 * out is a routes file that can be read. The first byte says what the rest is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/routes.h"
#include "sshconf/import.h"
#include "sshconf/ssh_config.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static const char *no_environment(const char *name)
{
	return strlen(name) % 2 ? "/value" : NULL;
}

static void check_line(const struct smx_ssh_config_line *line)
{
	CHECK(line->number > 0);
	CHECK(!line->fault || line->n_words == 0);
	for (size_t i = 0; i < line->n_words; i++) {
		CHECK(line->words[i].column >= 1 && line->words[i].column <= line->text.len);
		CHECK(i == 0 || line->words[i].column > line->words[i - 1].column);
		CHECK(strlen(line->words[i].text) <= line->text.len);
	}
}

/* A configuration: its aliases go to an import, which judges their names. */
static void try_config(struct smx_view text, struct smx_import *im)
{
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line line;
	unsigned last = 0;

	smx_ssh_config_reader_init(&rd, text);
	while (smx_ssh_config_next(&rd, &line) == 1) {
		check_line(&line);
		CHECK(line.number > last);
		last = line.number;
		for (size_t i = 0; line.kind == SMX_SSH_CONFIG_HOST && i < line.n_words; i++) {
			struct smx_import_place place = { "f", line.number, line.words[i].column };

			if (smx_ssh_config_is_literal(line.words[i].text))
				(void)smx_import_add(im, line.words[i].text, &place);
		}
	}
	smx_ssh_config_reader_release(&rd);
	for (size_t i = 0; i < smx_import_count(im); i++) {
		struct smx_import_ask ask = smx_import_ask(im, i);

		CHECK(!ask.host || smx_route_name_ok(smx_view_of(ask.host, strlen(ask.host))));
	}
}

/* Answers, NUL between them, in turn for whatever is asked. */
static void try_answers(struct smx_view text, struct smx_import *im)
{
	static const char *const aliases[] = { "web", "db", "gate", "none", "jump-gate" };
	struct smx_import_place place = { "f", 1, 6 };

	for (size_t i = 0; i < SMX_ARRAY_LEN(aliases); i++)
		CHECK(smx_import_add(im, aliases[i], &place) == 0);
	for (size_t i = 0; i < smx_import_count(im) && i < 64; i++) {
		struct smx_import_ask ask = smx_import_ask(im, i);
		const uint8_t *end = text.len ? memchr(text.p, '\0', text.len) : NULL;
		struct smx_view one = { text.p, end ? (size_t)(end - text.p) : text.len };

		if (!ask.host)
			continue;
		/* These become arguments of ssh. */
		CHECK(smx_host_ok(smx_view_of(ask.host, strlen(ask.host))));
		CHECK(!ask.user || smx_user_ok(smx_view_of(ask.user, strlen(ask.user))));
		CHECK(ask.port <= 65535);
		CHECK(smx_import_answer(im, i, one) == 0);
		if (end)
			text = (struct smx_view){ end + 1, text.len - one.len - 1 };
	}
}

static void check_outcome(struct smx_import *im)
{
	struct smx_import_left_out l;
	struct smx_routes *routes;
	struct smx_buf text, error;
	size_t at = 0;

	smx_buf_init(&text, SMX_IMPORT_TEXT_MAX);
	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	CHECK(smx_import_finish(im) == 0);
	CHECK(smx_import_toml(im, &text) == 0);
	CHECK(smx_routes_parse(smx_buf_as_view(&text), "t", &routes, &error) == 0);
	CHECK(routes->n_routes == smx_import_counts(im).routes);
	smx_routes_unref(routes);
	while (smx_import_left_out(im, &at, &l)) {
		for (const char *s = l.why; *s; s++)
			CHECK((unsigned char)*s >= 0x20 && *s != 0x7f);
	}
	smx_buf_release(&text);
	smx_buf_release(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct smx_import_options o = { .source = "/c",
		.home = "/home/me",
		.own_key_alias = "ssh-mux",
		.env = no_environment };
	struct smx_import *im;
	long before = smx_mem_alive();

	if (size == 0)
		return 0;
	CHECK(smx_import_new(&o, &im) == 0);
	if (data[0] % 2) {
		try_config((struct smx_view){ data + 1, size - 1 }, im);
	} else {
		try_answers((struct smx_view){ data + 1, size - 1 }, im);
		check_outcome(im);
	}
	smx_import_free(im);
	CHECK(smx_mem_alive() == before);
	return 0;
}
