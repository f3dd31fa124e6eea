/* SPDX-License-Identifier: MIT */
// fuzzes: src/crypto/keyfile_line.c
// dictionary: authorized_keys
/* "type base64 comment" lines: what is taken is written and read again as the same blob. */
#include <stdint.h>
#include <stdlib.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static struct smx_view view_of(const struct smx_buf *b)
{
	return (struct smx_view){ smx_buf_view(b), smx_buf_len(b) };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_buf blob, line, again;
	long before = smx_mem_alive();
	struct smx_view rest;
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&line, 3 * SMX_KEY_BLOB_MAX);
	smx_buf_init(&again, SMX_KEY_BLOB_MAX);
	r = smx_pubkey_line_parse((struct smx_view){ data, size }, &blob, &rest);
	if (r == 0) {
		CHECK(rest.len == 0 || (rest.p >= data && rest.p + rest.len <= data + size));
		r = smx_pubkey_line_write(view_of(&blob), &line);
		CHECK(r == 0 || r == SMX_EFORMAT);
		if (r == 0) {
			CHECK(smx_pubkey_line_parse(view_of(&line), &again, &rest) == 0);
			CHECK(rest.len == 0);
			CHECK(smx_view_eq_view(view_of(&blob), view_of(&again)));
		}
	} else {
		CHECK(smx_buf_len(&blob) == 0);
	}
	smx_buf_release(&blob);
	smx_buf_release(&line);
	smx_buf_release(&again);
	CHECK(smx_mem_alive() == before);
	return 0;
}
