/* SPDX-License-Identifier: MIT */
// fuzzes: src/control/frame.c
/* S7: frames of anybody who reaches the endpoint, or of a daemon that is none. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "control/frame.h"

/* In pieces the reader finds as many frames as smx_frame_next in the whole. */
static void read_pieces(const uint8_t *data, size_t size, size_t n_whole)
{
	size_t step = size ? 1 + data[0] : 1, n, n_ended = 0, payload_len = 0;
	struct smx_frame_reader rd;
	struct smx_view payload;
	uint8_t *copy = malloc(size + 1), *p, type;
	int r = SMX_EAGAIN;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	smx_frame_reader_init(&rd);
	for (size_t at = 0; at < size && r == SMX_EAGAIN; at += step) {
		p = copy + at;
		n = size - at < step ? size - at : step;
		while ((r = smx_frame_reader_next(&rd, &p, &n, &type, &payload)) == 0) {
			payload_len += payload.len;
			if (payload_len > size ||
				(n_ended != rd.n_frames && ++n_ended != rd.n_frames))
				abort();
		}
	}
	if (rd.n_frames != n_whole)
		abort();
	smx_frame_reader_release(&rd);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view bytes = { data, size }, payload;
	struct smx_answer answer;
	struct smx_ask ask;
	uint32_t id;
	uint8_t type;
	size_t used, n_frames = 0;

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
		n_frames++;
	}
	read_pieces(data, size, n_frames);
	return 0;
}
