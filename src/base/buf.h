/* SPDX-License-Identifier: MIT */
/*
 * A bounded byte buffer: append at the end, consume from the front.
 *
 * Invariants: bytes [off, len) are the content; len <= cap <= max; `data` is
 * NULL only while cap is 0. A buffer never grows past `max`: the append that
 * would returns SMX_ELIMIT and leaves the content as it was.
 *
 * A buffer marked secret is wiped when it grows, is consumed away or released.
 * Pointers into a buffer (the *_view results) live until the next append.
 */
#ifndef SMX_BASE_BUF_H
#define SMX_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct smx_buf {
	uint8_t *data;
	size_t off, len, cap, max;
	int secret;
};

void smx_buf_init(struct smx_buf *b, size_t max_len);
void smx_buf_init_secret(struct smx_buf *b, size_t max_len);
void smx_buf_release(struct smx_buf *b); /* usable again afterwards, same max */

static inline size_t smx_buf_len(const struct smx_buf *b)
{
	return b->len - b->off;
}

static inline const uint8_t *smx_buf_view(const struct smx_buf *b)
{
	/* Not NULL + 0, which C does not define. */
	return b->data ? b->data + b->off : b->data;
}

/* SMX_ELIMIT, SMX_ENOMEM. */
int smx_buf_put(struct smx_buf *b, const void *p, size_t n);
int smx_buf_put_str(struct smx_buf *b, const char *s); /* without the NUL */
int smx_buf_printf(struct smx_buf *b, const char *fmt, ...) SMX_PRINTF(2, 3);
/* Room for n more bytes at *ret_p (NULL only for 0 bytes); smx_buf_commit then adds up to n of them. */
int smx_buf_reserve(struct smx_buf *b, size_t n, uint8_t **ret_p);
void smx_buf_commit(struct smx_buf *b, size_t n);
/* Drops n bytes from the front; n must not exceed the length. */
void smx_buf_consume(struct smx_buf *b, size_t n);
void smx_buf_reset(struct smx_buf *b); /* empties, keeps the memory */
/* Cuts the content down to its first n bytes. */
void smx_buf_truncate(struct smx_buf *b, size_t n);
/* NUL-terminates behind the content and returns it as a C string, or NULL (no memory). */
const char *smx_buf_cstr(struct smx_buf *b);
/* Of what failed with r: what it wrote into text, or else what r means. As smx_buf_cstr. */
const char *smx_errtext(int r, struct smx_buf *text);

#endif
