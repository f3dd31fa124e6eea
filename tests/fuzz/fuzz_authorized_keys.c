/* SPDX-License-Identifier: MIT */
// fuzzes: src/trust/authorized_keys.c
/* authorized_keys (L5): a key is in the set only if a line is that key and nothing before it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/mem.h"
#include "crypto/key.h"
#include "crypto/keyfile.h"
#include "trust/authorized_keys.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/* How many different keys stand at the start of a line, by a reading of our own. */
static size_t count_bare_keys(struct smx_view text, const struct smx_authorized_keys *set)
{
	size_t n = 0;

	while (text.len > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.len);
		struct smx_view line = { text.p, end ? (size_t)(end - text.p) : text.len };
		struct smx_view rest;
		struct smx_buf blob;

		text.p += line.len + (end != NULL);
		text.len -= line.len + (end != NULL);
		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		if (smx_pubkey_line_parse(line, &blob, &rest) == 0 &&
			smx_authorized_keys_has(
				set, (struct smx_view){ smx_buf_view(&blob), smx_buf_len(&blob) }))
			n++;
		smx_buf_release(&blob);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view text = { data, size };
	struct smx_authorized_keys *set;
	struct smx_buf warnings;
	long before = smx_mem_alive();
	size_t count;

	smx_buf_init(&warnings, 4096);
	if (smx_authorized_keys_parse(&set, "fuzz", text, &warnings) == 0) {
		count = smx_authorized_keys_count(set);
		CHECK(count <= SMX_AUTHORIZED_KEYS_MAX);
		CHECK(smx_authorized_keys_skipped(set) <= size);
		CHECK(smx_authorized_keys_skipped(set) == 0 || smx_buf_len(&warnings) > 0);
		if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
			text = (struct smx_view){ data + 3, size - 3 };
		CHECK(count <= count_bare_keys(text, set));
		CHECK(!smx_authorized_keys_has(set, (struct smx_view){ data, 0 }));
		smx_authorized_keys_free(set);
	}
	smx_buf_release(&warnings);
	CHECK(smx_mem_alive() == before);
	return 0;
}
