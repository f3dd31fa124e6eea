/* SPDX-License-Identifier: MIT */
// fuzzes: src/control/helper.c
/* H3: what a daemon that was taken over may send to its helper, and what that may answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "control/helper.h"

/* What is taken is written again as it was: there is one way to say each thing. */
static void check_request(struct smx_view text)
{
	struct smx_helper_request q;
	struct smx_buf again;

	if (smx_helper_request_parse(text, &q) != 0)
		return;
	if (smx_helper_request_fds(&q) > SMX_HELPER_FDS || q.args[q.n_args])
		abort();
	smx_buf_init(&again, text.len);
	if (smx_helper_request_build(&again, &q) != 0 || smx_buf_len(&again) != text.len ||
		memcmp(smx_buf_view(&again), text.p, text.len) != 0)
		abort();
	smx_buf_release(&again);
	smx_helper_request_release(&q);
}

static void check_same(int r, struct smx_buf *again, struct smx_view text)
{
	if (r != 0 || smx_buf_len(again) != text.len ||
		memcmp(smx_buf_view(again), text.p, text.len) != 0)
		abort();
	smx_buf_release(again);
}

static void check_answer(struct smx_view text)
{
	struct smx_helper_answer a;
	struct smx_buf again;

	if (smx_helper_answer_parse(text, &a) != 0)
		return;
	smx_buf_init(&again, text.len);
	check_same(smx_helper_answer_build(&again, a.error, a.id, a.texts[0], a.texts[1]), &again,
		text);
	smx_helper_answer_release(&a);
}

static void check_result(struct smx_view text)
{
	struct smx_helper_result result;
	struct smx_buf words, again;

	smx_buf_init(&words, text.len + 1);
	smx_buf_init(&again, text.len);
	if (smx_helper_result_parse(text, &result, &words) == 0) {
		const char *cstr = smx_buf_cstr(&words);

		if (result.code > 0)
			abort();
		if (!memchr(smx_buf_view(&words), 0, smx_buf_len(&words)))
			check_same(smx_helper_result_build(&again, &result, cstr), &again, text);
	}
	smx_buf_release(&words);
	smx_buf_release(&again);
}

static void check_end(struct smx_view text)
{
	uint32_t status, signal;
	struct smx_buf again;
	uint64_t id;

	if (smx_helper_end_parse(text, &id, &status, &signal) != 0)
		return;
	if (text.len != SMX_HELPER_END_LEN)
		abort();
	smx_buf_init(&again, text.len);
	check_same(smx_helper_end_build(&again, id, status, signal), &again, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view text = { data, size };

	if (size > SMX_HELPER_MESSAGE_MAX)
		return 0;
	check_request(text);
	check_answer(text);
	check_result(text);
	check_end(text);
	return 0;
}
