/* SPDX-License-Identifier: MIT */
// fuzzes: src/control/protocol.c src/control/text.c
// dictionary: frame
/*
 * What a control peer may send (S7): its bytes through the line reader in pieces whose size the
 * first byte picks, each line to every parser. What was parsed must be fit to be printed and built
 * into a line again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "control/protocol.h"

static void check_text(const char *s, size_t max)
{
	assert(strlen(s) <= max);
	for (; *s; s++)
		assert((unsigned char)*s >= 0x20 && *s != 0x7f);
}

static void try_line(struct smx_view line)
{
	struct smx_control_request q;
	struct smx_control_answer a;
	struct smx_control_hello h;
	struct smx_buf out;
	int version;

	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	if (smx_control_hello_parse(line, &h) == 0) {
		check_text(h.program, SMX_CONTROL_NAME_MAX);
		if (smx_control_hello_agree(&h, &version) == 0)
			assert(version >= 1 && version <= SMX_CONTROL_VERSION);
		assert(smx_control_hello_build(&out, &h) == 0);
	}
	if (smx_control_request_parse(line, &q) == 0) {
		check_text(q.name, SMX_CONTROL_NAME_MAX);
		assert(q.id >= 0);
		check_text(q.agent, SMX_CONTROL_AGENT_MAX);
		assert(!q.agent[0] || smx_control_is_agent(q.agent));
	}
	if (smx_control_answer_parse(line, &a) == 0) {
		check_text(a.code, SMX_CONTROL_NAME_MAX);
		check_text(a.error, SMX_CONTROL_TEXT_MAX);
		check_text(a.remedy, SMX_CONTROL_TEXT_MAX);
		smx_buf_reset(&out);
		assert(smx_control_error_build(&out, a.id, a.code, a.error, a.remedy) == 0);
	}
	smx_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_control_reader rd;
	struct smx_view line;
	size_t piece, n, used;
	int r = 0;

	if (size == 0)
		return 0;
	piece = (size_t)data[0] + 1;
	data++;
	size--;
	smx_control_reader_init(&rd);
	while (size > 0 && r >= 0) {
		n = size < piece ? size : piece;
		r = smx_control_reader_feed(&rd, data, n, &used, &line);
		assert(r == 0 || r == 1 || r == SMX_ETOOBIG);
		if (r < 0)
			break;
		assert(used >= 1 && used <= n && smx_buf_len(&rd.buf) <= SMX_CONTROL_LINE_MAX);
		if (r == 1)
			try_line(line);
		data += used;
		size -= used;
	}
	smx_control_reader_release(&rd);
	return 0;
}
