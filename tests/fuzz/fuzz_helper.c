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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view text = { data, size };
	struct smx_helper_answer a;
	uint32_t status, signal;
	uint64_t id;
	struct smx_helper_result result;

	if (size > SMX_HELPER_MESSAGE_MAX)
		return 0;
	check_request(text);
	if (smx_helper_answer_parse(text, &a) == 0)
		smx_helper_answer_release(&a);
	if (smx_helper_result_parse(text, &result, NULL) == 0 && result.code > 0)
		abort();
	if (smx_helper_end_parse(text, &id, &status, &signal) == 0 && size != SMX_HELPER_END_LEN)
		abort();
	return 0;
}
