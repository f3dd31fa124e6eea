/* SPDX-License-Identifier: MIT */
// fuzzes: src/pinentry/server.c
// dictionary: assuan
/*
 * What comes to a pinentry of our own (A4), in pieces: what it says is whole lines within the
 * protocol's limits, its texts are strings, and an answer is understood by our side that asks.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "pinentry/dialogue.h"
#include "pinentry/server.h"

static void check(int ok)
{
	if (!ok)
		abort();
}

/* Lines of the protocol, and nothing that is not text; the buffer is empty then. */
static void check_said(struct smx_buf *out)
{
	struct smx_assuan_line line;
	struct smx_view said = smx_buf_as_view(out);
	size_t used;

	while (said.len) {
		check(smx_assuan_next(said, &line, &used) == 0);
		check(line.type == SMX_ASSUAN_OK || line.type == SMX_ASSUAN_ERR ||
			line.type == SMX_ASSUAN_DATA);
		for (size_t i = 0; i + 1 < used; i++)
			check(said.p[i] >= 0x20 && said.p[i] != 0x7f);
		said.p += used;
		said.len -= used;
	}
	smx_buf_reset(out);
}

static void check_question(struct smx_pinentry_server *s)
{
	struct smx_buf *texts[] = { &s->title, &s->description, &s->prompt, &s->ok, &s->cancel,
		&s->error };

	for (size_t i = 0; i < SMX_ARRAY_LEN(texts); i++)
		check(smx_buf_len(texts[i]) < SMX_ASSUAN_LINE_MAX &&
			strlen(smx_buf_cstr(texts[i])) == smx_buf_len(texts[i]));
}

/* The input itself is what a person types; the client that asks gets it, byte by byte the same. */
static void check_answer(const uint8_t *data, size_t size)
{
	static const struct smx_pinentry_question q = { .description = "d", .prompt = "p" };
	struct smx_view typed = { data,
		size < SMX_PINENTRY_ANSWER_MAX ? size : SMX_PINENTRY_ANSWER_MAX };
	struct smx_pinentry_server s;
	struct smx_pinentry p;
	int r = SMX_EAGAIN, asked = SMX_EAGAIN;

	if (size && memchr(data, 0, typed.len))
		return;
	check(smx_pinentry_init(&p, &q) == 0 && smx_pinentry_server_init(&s) == 0);
	while (r == SMX_EAGAIN) {
		r = smx_pinentry_feed(&p, smx_buf_as_view(&s.out));
		smx_buf_reset(&s.out);
		if (r != SMX_EAGAIN)
			break;
		asked = smx_pinentry_server_feed(&s, smx_buf_as_view(&p.out));
		smx_buf_reset(&p.out);
		if (asked == 0)
			check(smx_pinentry_server_answer(&s, 0, typed) == 0);
		else
			check(asked == SMX_EAGAIN && smx_buf_len(&s.out));
	}
	check(r == 0 && strlen(smx_pinentry_answer(&p)) == typed.len &&
		memcmp(smx_pinentry_answer(&p), typed.len ? data : (const uint8_t *)"",
			typed.len) == 0);
	smx_pinentry_release(&p);
	smx_pinentry_server_release(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int results[] = { 0, SMX_ECANCELLED, SMX_ELIMIT, SMX_ESYS };
	size_t piece = size ? data[0] % 64 + 1u : 1;
	struct smx_pinentry_server s;
	unsigned n_asked = 0;
	int r = SMX_EAGAIN;

	check_answer(data, size);
	check(smx_pinentry_server_init(&s) == 0);
	for (size_t at = 1; at < size && r == SMX_EAGAIN; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		r = smx_pinentry_server_feed(&s, (struct smx_view){ data + at, n });
		while (r == 0) {
			check(s.is_asking);
			check_question(&s);
			check(smx_pinentry_server_answer(
				      &s, results[n_asked++ % 4], smx_view_of("a%\\\n", 4)) == 0);
			check_said(&s.out);
			r = smx_pinentry_server_feed(&s, smx_view_of("", 0));
		}
		check_said(&s.out);
	}
	smx_pinentry_server_release(&s);
	return 0;
}
