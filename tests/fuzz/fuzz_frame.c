/* SPDX-License-Identifier: MIT */
/* S7: frames of anybody who reaches the endpoint, or of a daemon that is none. */
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "control/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view bytes = { data, size }, payload;
	struct smx_answer answer;
	struct smx_ask ask;
	uint32_t id;
	uint8_t type;
	size_t used;

	while (smx_frame_next(bytes, &type, &payload, &used) == 0) {
		if (used > bytes.len || payload.len + SMX_FRAME_HEAD != used)
			abort();
		if (smx_ask_parse(payload, &ask) == 0 && ask.text.len + 5 != payload.len)
			abort();
		if (smx_answer_parse(payload, &answer) == 0 && answer.text.len + 5 != payload.len)
			abort();
		(void)smx_unask_parse(payload, &id);
		bytes.p += used;
		bytes.len -= used;
	}
	return 0;
}
