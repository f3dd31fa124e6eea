/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing the SSH wire types of RFC 4251 section 5.
 *
 * A reader is a view over bytes that somebody else owns. Every read checks
 * `left < needed` first and moves nothing when it fails, so parsers are chains:
 *
 *	(r = smx_rd_u32(&rd, &id)) != 0 ||
 *	(r = smx_rd_string(&rd, &name)) != 0 ||
 *	(r = smx_rd_end(&rd)) != 0
 *
 * and every parser ends with smx_rd_end. Views live as long as the bytes do.
 */
#ifndef SMX_BASE_WIRE_H
#define SMX_BASE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct smx_view {
	const uint8_t *p;
	size_t len;
};

/* The content of a buffer; lives until the next append. */
static inline struct smx_view smx_buf_as_view(const struct smx_buf *b)
{
	return (struct smx_view){ smx_buf_view(b), smx_buf_len(b) };
}

struct smx_rd {
	const uint8_t *p;
	size_t left;
};

static inline uint32_t smx_get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void smx_set_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void smx_set_u64(uint8_t *p, uint64_t v)
{
	smx_set_u32(p, (uint32_t)(v >> 32));
	smx_set_u32(p + 4, (uint32_t)v);
}

static inline struct smx_rd smx_rd_from(const void *p, size_t n)
{
	return (struct smx_rd){ p, n };
}

static inline struct smx_rd smx_rd_view(struct smx_view v)
{
	return (struct smx_rd){ v.p, v.len };
}

/* All return 0 or SMX_ETRUNCATED (the exceptions are named). */
int smx_rd_u8(struct smx_rd *rd, uint8_t *ret);
int smx_rd_bool(struct smx_rd *rd, int *ret); /* any non-zero is true (RFC 4251) */
int smx_rd_u32(struct smx_rd *rd, uint32_t *ret);
int smx_rd_u64(struct smx_rd *rd, uint64_t *ret);
int smx_rd_bytes(struct smx_rd *rd, size_t n, struct smx_view *ret_view);
int smx_rd_string(struct smx_rd *rd, struct smx_view *ret_view);
/* A string that is at most max_len long (SMX_ETOOBIG). */
int smx_rd_string_max(struct smx_rd *rd, size_t max_len, struct smx_view *ret_view);
/* A string without NUL bytes (SMX_EFORMAT), copied to out with a NUL (SMX_ETOOBIG if it does not
 * fit). */
int smx_rd_cstr(struct smx_rd *rd, char *out, size_t out_size);
/* A non-negative mpint in its shortest form (SMX_EFORMAT); the view has no leading zero byte. */
int smx_rd_mpint(struct smx_rd *rd, struct smx_view *ret_view);
/* SMX_ETRAILING unless everything was read. */
int smx_rd_end(const struct smx_rd *rd);

int smx_put_u8(struct smx_buf *b, uint8_t v);
int smx_put_bool(struct smx_buf *b, int v);
int smx_put_u32(struct smx_buf *b, uint32_t v);
int smx_put_u64(struct smx_buf *b, uint64_t v);
int smx_put_string(struct smx_buf *b, const void *p, size_t n);
int smx_put_view(struct smx_buf *b, struct smx_view v); /* as a string */
int smx_put_cstr(struct smx_buf *b, const char *s); /* as a string */
/* Unsigned big-endian bytes (leading zeros allowed) as an mpint. */
int smx_put_mpint(struct smx_buf *b, const uint8_t *p, size_t n);
/* Starts a string whose length is not known yet; smx_put_string_end fills it in. */
int smx_put_string_begin(struct smx_buf *b, size_t *ret_mark);
void smx_put_string_end(struct smx_buf *b, size_t mark);

int smx_view_eq(struct smx_view v, const char *s);
int smx_view_eq_view(struct smx_view a, struct smx_view b);
static inline struct smx_view smx_view_of(const char *s, size_t n)
{
	return (struct smx_view){ (const uint8_t *)s, n };
}

/*
 * Name-lists (RFC 4251 section 5): comma-separated, US-ASCII, no empty names.
 * smx_namelist_next: iterates; *ret_name is the next name, returns 0 at the end.
 */
int smx_namelist_next(struct smx_view *list, struct smx_view *ret_name);
int smx_namelist_has(struct smx_view list, const char *name);

#endif
