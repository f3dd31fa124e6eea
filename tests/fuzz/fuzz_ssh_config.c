/* SPDX-License-Identifier: MIT */
// fuzzes: src/sshconf/ssh_config.c src/sshconf/import.c src/sshconf/import_answer.c
// fuzzes: src/sshconf/import_needs.c src/sshconf/import_toml.c
/*
 * The client configuration and the answers of ssh -G (C3, C4, R3): whatever comes in, what comes
 * out is a routes file that can be read. The first byte says what the rest is (enum bits). An
 * answer that begins with a '!' is what ssh says when it fails.
 */
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

enum bits {
	IS_CONFIG = 0x01, /* else answers, NUL between them */
	TRANSPORTS = 0x04,
	BASELINE = 0x08, /* the first answer is that of no configuration */
	MERGE = 0x40, /* into a routes file, in which the jump hosts are routes */
	EXCEPT = 0x80, /* one alias is not wanted, another is a jump host */
};

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

/* What comes before the next NUL. */
static struct smx_view cut_answer(struct smx_view *text)
{
	const uint8_t *end = text->len ? memchr(text->p, '\0', text->len) : NULL;
	struct smx_view one = { text->p, end ? (size_t)(end - text->p) : text->len };

	if (end)
		*text = (struct smx_view){ end + 1, text->len - one.len - 1 };
	return one;
}

static void answer(struct smx_import *im, size_t i, struct smx_view one)
{
	char *why;

	if (one.len == 0 || one.p[0] != '!') {
		CHECK(smx_import_answer(im, i, one) == 0);
		return;
	}
	CHECK((why = smx_strndup((const char *)one.p + 1, one.len - 1)) != NULL);
	CHECK(smx_import_no_answer(im, i, why) == 0);
	smx_free(why);
}

/* In turn for whatever is asked. */
static void try_answers(struct smx_view text, struct smx_import *im, unsigned bits)
{
	static const char *const aliases[] = { "web", "db", "gate", "none", "jump-gate" };
	struct smx_import_place place = { "f", 1, 6 };
	int r;

	if (bits & BASELINE) {
		r = smx_import_baseline(im, cut_answer(&text));
		CHECK(r == 0 || r == SMX_ESYNTAX);
	}
	for (size_t i = 0; i < SMX_ARRAY_LEN(aliases); i++)
		CHECK(smx_import_add(im, aliases[i], &place) == 0);
	if (bits & EXCEPT)
		CHECK(smx_import_except(im, "db") == 0 && smx_import_jump(im, "web") == 0);
	for (size_t i = 0; i < smx_import_count(im) && i < 64; i++) {
		struct smx_import_ask ask = smx_import_ask(im, i);

		if (!ask.host)
			continue;
		/* These become arguments of ssh. */
		CHECK(smx_host_ok(smx_view_of(ask.host, strlen(ask.host))));
		CHECK(!ask.user || smx_user_ok(smx_view_of(ask.user, strlen(ask.user))));
		CHECK(ask.port <= 65535);
		answer(im, i, cut_answer(&text));
	}
}

static void check_text(const char *s)
{
	for (; *s; s++)
		CHECK((unsigned char)*s >= 0x20 && *s != 0x7f);
}

/* Merged into the file that it makes, nothing changes; into another, each route is new. */
static void check_merge(const struct smx_import *im, struct smx_view text)
{
	static const char other[] = "[routes.zz-other]\nhost=\"h\"\nuser=\"u\"\ndirect=true";
	struct smx_view texts[] = { text, smx_view_of(other, sizeof(other) - 1) };
	struct smx_routes *old, *routes;
	struct smx_buf out, error;
	size_t n;

	for (int i = 0; i < 2; i++) {
		smx_buf_init(&out, SMX_IMPORT_TEXT_MAX);
		smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
		CHECK(smx_routes_parse(texts[i], "t", &old, &error) == 0);
		CHECK(smx_import_merge(im, old, texts[i], &out, &n) == 0);
		CHECK(i == 1 || (n == 0 && smx_view_eq_view(smx_buf_as_view(&out), text)));
		CHECK(smx_routes_parse(smx_buf_as_view(&out), "t", &routes, &error) == 0);
		CHECK(routes->n_routes == old->n_routes + n);
		smx_routes_unref(old);
		smx_routes_unref(routes);
		smx_buf_release(&out);
		smx_buf_release(&error);
	}
}

static void check_told(const struct smx_import *im)
{
	const char *common = smx_import_common_fault(im);
	struct smx_import_left_out l;
	struct smx_import_need need;
	size_t at = 0;

	while (smx_import_left_out(im, &at, &l))
		check_text(l.why);
	for (at = 0; smx_import_needs(im, &at, &need);) {
		CHECK(need.what != 0);
		check_text(need.text);
	}
	if (common)
		check_text(common);
}

static void check_outcome(struct smx_import *im, unsigned bits)
{
	struct smx_routes *routes;
	struct smx_buf text, error;

	smx_buf_init(&text, SMX_IMPORT_TEXT_MAX);
	smx_buf_init(&error, SMX_ROUTES_ERROR_MAX);
	CHECK(smx_import_finish(im) == 0);
	CHECK(smx_import_toml(im, &text) == 0);
	CHECK(smx_routes_parse(smx_buf_as_view(&text), "t", &routes, &error) == 0);
	CHECK(routes->n_routes == smx_import_counts(im).routes);
	smx_routes_unref(routes);
	check_told(im);
	if (bits & MERGE)
		check_merge(im, smx_buf_as_view(&text));
	smx_buf_release(&text);
	smx_buf_release(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_import_options o = { .source = "/c",
		.home = "/home/me",
		.own_key_alias = "ssh-mux",
		.env = no_environment };
	struct smx_import *im;
	long before = smx_mem_alive();

	if (size == 0)
		return 0;
	o.transports = data[0] & TRANSPORTS;
	o.no_jump_table = data[0] & MERGE;
	CHECK(smx_import_new(&o, &im) == 0);
	if (data[0] & IS_CONFIG) {
		try_config((struct smx_view){ data + 1, size - 1 }, im);
	} else {
		try_answers((struct smx_view){ data + 1, size - 1 }, im, data[0]);
		check_outcome(im, data[0]);
	}
	smx_import_free(im);
	CHECK(smx_mem_alive() == before);
	return 0;
}
