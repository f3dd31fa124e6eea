/* SPDX-License-Identifier: MIT */
/* Keys and texts for the tests of src/trust: $name in a text is the key of that name. */
#ifndef SMX_TESTS_TRUST_DATA_H
#define SMX_TESTS_TRUST_DATA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/key.h"
#include "crypto/keyfile.h"

#define TRUST_DATA SMX_TEST_DATA "/known_hosts/"

/* Appends a file of tests/data/known_hosts. */
static inline void data_read(const char *name, struct smx_buf *out)
{
	char path[512], piece[4096];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), TRUST_DATA "%s", name);
	f = fopen(path, "rb");
	assert_non_null(f);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		assert_int_equal(smx_buf_put(out, piece, n), 0);
	fclose(f);
}

/* Appends "type base64" of a key. */
static inline void data_put_key(const char *name, struct smx_buf *out)
{
	char file[80];
	struct smx_buf text;
	struct smx_view line, rest;
	struct smx_buf blob;

	smx_buf_init(&text, 65536);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	snprintf(file, sizeof(file), "%s.pub", name);
	data_read(file, &text);
	line = (struct smx_view){ smx_buf_view(&text), smx_buf_len(&text) };
	assert_int_equal(smx_pubkey_line_parse(line, &blob, &rest), 0);
	assert_int_equal(smx_pubkey_line_write(
				 (struct smx_view){ smx_buf_view(&blob), smx_buf_len(&blob) }, out),
		0);
	smx_buf_release(&text);
	smx_buf_release(&blob);
}

/* Appends the blob of a key. */
static inline void data_put_blob(const char *name, struct smx_buf *out)
{
	struct smx_buf line;
	struct smx_view rest;

	smx_buf_init(&line, 65536);
	data_put_key(name, &line);
	assert_int_equal(
		smx_pubkey_line_parse(
			(struct smx_view){ smx_buf_view(&line), smx_buf_len(&line) }, out, &rest),
		0);
	smx_buf_release(&line);
}

/* Appends text with "$name" replaced by "type base64" of that key. */
static inline void data_expand(const char *text, struct smx_buf *out)
{
	static const char name_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

	while (*text) {
		size_t n = strcspn(text, "$");

		assert_int_equal(smx_buf_put(out, text, n), 0);
		text += n;
		if (*text == '$') {
			char name[64];

			n = strspn(text + 1, name_chars);
			assert_true(n < sizeof(name));
			memcpy(name, text + 1, n);
			name[n] = '\0';
			data_put_key(name, out);
			text += n + 1;
		}
	}
}

static inline struct smx_view data_view(const struct smx_buf *b)
{
	return (struct smx_view){ smx_buf_view(b), smx_buf_len(b) };
}

#endif
