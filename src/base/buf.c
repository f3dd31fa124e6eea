/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define BUF_FIRST_CAP 64

void smx_buf_init(struct smx_buf *b, size_t max_len)
{
	*b = (struct smx_buf){ .max = max_len };
}

void smx_buf_init_secret(struct smx_buf *b, size_t max_len)
{
	*b = (struct smx_buf){ .max = max_len, .secret = 1 };
}

static void drop_memory(struct smx_buf *b)
{
	if (b->secret)
		smx_wipe_free(b->data, b->cap);
	else
		smx_free(b->data);
}

void smx_buf_release(struct smx_buf *b)
{
	drop_memory(b);
	b->data = NULL;
	b->off = b->len = b->cap = 0;
}

/* Moves the content to the front of the memory. */
static void compact(struct smx_buf *b)
{
	size_t n = smx_buf_len(b);

	if (b->off == 0)
		return;
	if (n)
		memmove(b->data, b->data + b->off, n);
	if (b->secret)
		smx_wipe(b->data + n, b->len - n);
	b->off = 0;
	b->len = n;
}

static int grow(struct smx_buf *b, size_t want)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST_CAP;
	uint8_t *p;

	while (cap < want)
		cap = cap > SIZE_MAX / 2 ? want : cap * 2;
	if (cap > b->max)
		cap = b->max;
	if (b->secret) {
		p = smx_malloc(cap);
		if (p && b->len)
			memcpy(p, b->data, b->len);
		if (p)
			drop_memory(b);
	} else {
		p = smx_realloc(b->data, cap);
	}
	if (!p)
		return SMX_ENOMEM;
	b->data = p;
	b->cap = cap;
	return 0;
}

int smx_buf_reserve(struct smx_buf *b, size_t n, uint8_t **ret_p)
{
	int r;

	if (n > b->max || smx_buf_len(b) > b->max - n)
		return SMX_ELIMIT;
	if (b->cap - b->len < n)
		compact(b);
	if (b->cap - b->len < n && (r = grow(b, b->len + n)) != 0)
		return r;
	*ret_p = b->data ? b->data + b->len : NULL; /* of no memory there is no place to point to */
	return 0;
}

void smx_buf_commit(struct smx_buf *b, size_t n)
{
	assert(n <= b->cap - b->len);
	b->len += n;
}

int smx_buf_put(struct smx_buf *b, const void *p, size_t n)
{
	uint8_t *to;
	int r;

	if (n == 0)
		return 0;
	if ((r = smx_buf_reserve(b, n, &to)) != 0)
		return r;
	memcpy(to, p, n);
	b->len += n;
	return 0;
}

int smx_buf_put_str(struct smx_buf *b, const char *s)
{
	return smx_buf_put(b, s, strlen(s));
}

int smx_buf_printf(struct smx_buf *b, const char *fmt, ...)
{
	va_list ap;
	uint8_t *to;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return SMX_EINVAL;
	/* One more for vsnprintf's NUL, which is not committed. */
	if ((r = smx_buf_reserve(b, (size_t)n + 1, &to)) != 0)
		return r;
	va_start(ap, fmt);
	(void)vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

void smx_buf_consume(struct smx_buf *b, size_t n)
{
	assert(n <= smx_buf_len(b));
	if (b->secret && n) /* without content, data may be NULL */
		smx_wipe(b->data + b->off, n);
	b->off += n;
	if (b->off == b->len)
		b->off = b->len = 0;
}

void smx_buf_reset(struct smx_buf *b)
{
	if (b->secret && b->len)
		smx_wipe(b->data, b->len);
	b->off = b->len = 0;
}

void smx_buf_truncate(struct smx_buf *b, size_t n)
{
	assert(n <= smx_buf_len(b));
	if (b->secret && n < smx_buf_len(b))
		smx_wipe(b->data + b->off + n, smx_buf_len(b) - n);
	b->len = b->off + n;
}

const char *smx_buf_cstr(struct smx_buf *b)
{
	uint8_t *to;

	if (smx_buf_reserve(b, 1, &to) != 0)
		return NULL;
	*to = 0;
	return (const char *)b->data + b->off;
}

const char *smx_errtext(int r, struct smx_buf *text)
{
	const char *words = smx_buf_len(text) ? smx_buf_cstr(text) : NULL;

	return words ? words : smx_strerror(r);
}
