/* SPDX-License-Identifier: MIT */
// fuzzes: src/pinentry/assuan.c src/pinentry/dialogue.c
/*
 * What a pinentry says (A6), and whatever text goes to it: one line a command comes out, without
 * anything that could end it early, and it means the text again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "pinentry/dialogue.h"

static void check(int ok)
{
	if (!ok)
		abort();
}

static void check_line(struct smx_view text)
{
	struct smx_view line, argument;
	struct smx_buf out, back;

	smx_buf_init(&out, SMX_ASSUAN_LINE_MAX);
	smx_buf_init(&back, SMX_ASSUAN_LINE_MAX);
	check(smx_assuan_put_cut(&out, "D", text) == 0);
	line = smx_buf_as_view(&out);
	check(line.len >= 2 && line.len <= SMX_ASSUAN_LINE_MAX && line.p[line.len - 1] == '\n');
	for (size_t i = 0; i + 1 < line.len; i++)
		check(line.p[i] >= 0x20 && line.p[i] != 0x7f);
	if (line.len > 2) {
		argument = (struct smx_view){ line.p + 2, line.len - 3 };
		check(smx_assuan_decode(argument, &back) == 0);
		check(smx_buf_len(&back) <= text.len &&
			memcmp(smx_buf_view(&back), text.p, smx_buf_len(&back)) == 0);
	}
	smx_buf_release(&out);
	smx_buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct smx_pinentry_question pin = {
		.title = "t", .description = "d", .prompt = "p"
	};
	static const struct smx_pinentry_question confirm = { .description = "d" };
	struct smx_pinentry p;
	size_t piece = size ? data[0] % 64 + 1u : 1;
	int r = SMX_EAGAIN;

	check_line((struct smx_view){ data, size });
	check(smx_pinentry_init(&p, size % 2 ? &pin : &confirm) == 0);
	for (size_t at = 1; at < size && r == SMX_EAGAIN; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		r = smx_pinentry_feed(&p, (struct smx_view){ data + at, n });
		smx_buf_reset(&p.out);
	}
	if (r == 0) {
		const char *answer = smx_pinentry_answer(&p);

		check(answer && strlen(answer) <= SMX_PINENTRY_ANSWER_MAX);
		check(size % 2 || strcmp(answer, "yes") == 0 || strcmp(answer, "no") == 0);
	}
	(void)smx_pinentry_end(&p);
	smx_pinentry_release(&p);
	return 0;
}
