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

/* What was read is written again as it was. */
static void check_same(int r, struct smx_buf *b, struct smx_view payload)
{
	if (r != 0 || smx_buf_len(b) != SMX_FRAME_HEAD + payload.len ||
		(payload.len &&
			memcmp(smx_buf_view(b) + SMX_FRAME_HEAD, payload.p, payload.len) != 0))
		abort();
	smx_buf_release(b);
}

static void check_messages(struct smx_view payload)
{
	struct smx_answer answer;
	struct smx_ask ask;
	struct smx_buf b;
	uint32_t id;

	smx_buf_init(&b, SMX_FRAME_HEAD + payload.len);
	if (smx_ask_parse(payload, &ask) == 0)
		check_same(smx_ask_put(&b, &ask), &b, payload);
	if (smx_answer_parse(payload, &answer) == 0)
		check_same(smx_answer_put(&b, &answer), &b, payload);
	if (smx_unask_parse(payload, &id) == 0)
		check_same(smx_unask_put(&b, id), &b, payload);
}

/* Data in frames is the data, in its order. */
static void check_cut(struct smx_view data)
{
	uint8_t heads[SMX_FRAME_CUT_MAX][SMX_FRAME_HEAD];
	struct smx_view parts[2 * SMX_FRAME_CUT_MAX], rest = data;
	size_t n = smx_frame_cut(&rest, heads, parts), len = 0;

	for (size_t i = 1; i < n; i += 2) {
		if (parts[i].p != data.p + len || parts[i].len > SMX_FRAME_DATA_MAX)
			abort();
		len += parts[i].len;
	}
	if (len + rest.len != data.len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view bytes = { data, size }, payload;
	uint8_t type;
	size_t used, n_frames = 0;

	while (smx_frame_next(bytes, &type, &payload, &used) == 0) {
		if (used > bytes.len || payload.len + SMX_FRAME_HEAD != used)
			abort();
		check_messages(payload);
		bytes.p += used;
		bytes.len -= used;
		n_frames++;
	}
	check_cut((struct smx_view){ data, size });
	read_pieces(data, size, n_frames);
	return 0;
}
