/* SPDX-License-Identifier: MIT */
// fuzzes: src/control/status.c
/*
 * Lines of an answer to "status": what was taken must survive being written and read again, and
 * is shown as one text of JSON.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "control/protocol.h"
#include "control/status.h"

static void read_lines(struct smx_status *st, const uint8_t *p, size_t n, int strict)
{
	const uint8_t *end = p + n, *newline;
	int r;

	while (p < end) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (!newline)
			newline = end;
		r = smx_status_from_line(st, (struct smx_view){ p, (size_t)(newline - p) });
		assert(r <= 1 && (r >= 0 || !strict));
		p = newline + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_status st, again;
	struct smx_buf a, b;

	smx_buf_init(&a, SMX_STATUS_LINES_MAX);
	smx_buf_init(&b, SMX_STATUS_LINES_MAX);
	smx_status_init(&st);
	smx_status_init(&again);
	read_lines(&st, data, size, 0);
	assert(smx_status_to_lines(&a, 1, &st) == 0);
	read_lines(&again, smx_buf_view(&a), smx_buf_len(&a), 1);
	assert(smx_status_to_lines(&b, 1, &again) == 0);
	assert(smx_buf_len(&a) == smx_buf_len(&b) &&
		memcmp(smx_buf_view(&a), smx_buf_view(&b), smx_buf_len(&a)) == 0);
	smx_buf_reset(&a);
	smx_buf_reset(&b);
	assert(smx_status_to_json(&a, &st) == 0 && smx_status_to_json(&b, &again) == 0);
	assert(smx_view_eq_view(smx_buf_as_view(&a), smx_buf_as_view(&b)));
	smx_status_release(&st);
	smx_status_release(&again);
	smx_buf_release(&a);
	smx_buf_release(&b);
	return 0;
}
