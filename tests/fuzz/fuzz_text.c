/* SPDX-License-Identifier: MIT */
// fuzzes: src/base/text.c src/base/rows.c
/*
 * A7: whatever comes in, what comes out is printable and stays as it is when cleaned again. A14: as
 * rows it fits the columns, but for a web address, which has no blanks.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/rows.h"
#include "base/text.h"

#define ROWS_MAX (64 * 1024)

static void check_rows(const uint8_t *data, size_t size, size_t columns)
{
	struct smx_buf rows, again;
	struct smx_view rest, row;

	smx_buf_init(&rows, ROWS_MAX);
	smx_buf_init(&again, ROWS_MAX);
	if (smx_rows_put(&rows, (struct smx_view){ data, size }, columns) == 0) {
		rest = smx_buf_as_view(&rows);
		while (smx_rows_next(&rest, &row)) {
			if (smx_rows_width(row) > columns && row.len && memchr(row.p, ' ', row.len))
				abort();
			for (size_t i = 0; i < row.len; i++)
				if (row.p[i] < 0x20 || row.p[i] == 0x7f)
					abort();
		}
		if (smx_rows_put(&again, smx_buf_as_view(&rows), columns) != 0 ||
			smx_buf_len(&again) > smx_buf_len(&rows))
			abort();
	}
	smx_buf_release(&rows);
	smx_buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[512], again[512];

	smx_sanitize((const char *)data, size, out, sizeof(out));
	for (const char *s = out; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			abort();
	smx_sanitize(out, strlen(out), again, sizeof(again));
	if (strcmp(out, again) != 0)
		abort();
	if (size > 0 && size < ROWS_MAX / 4)
		check_rows(data + 1, size - 1, SMX_ROWS_COLUMNS_MIN + data[0] % 80);
	return 0;
}
