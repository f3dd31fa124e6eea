/* SPDX-License-Identifier: MIT */
#include "base/wire.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"

int smx_rd_bytes(struct smx_rd *rd, size_t n, struct smx_view *ret_view)
{
	if (rd->left < n)
		return SMX_ETRUNCATED;
	*ret_view = (struct smx_view){ rd->p, n };
	rd->p += n;
	rd->left -= n;
	return 0;
}

int smx_rd_u8(struct smx_rd *rd, uint8_t *ret)
{
	struct smx_view v;
	int r;

	if ((r = smx_rd_bytes(rd, 1, &v)) != 0)
		return r;
	*ret = v.p[0];
	return 0;
}

int smx_rd_bool(struct smx_rd *rd, int *ret)
{
	uint8_t v;
	int r;

	if ((r = smx_rd_u8(rd, &v)) != 0)
		return r;
	*ret = v != 0;
	return 0;
}

int smx_rd_u32(struct smx_rd *rd, uint32_t *ret)
{
	struct smx_view v;
	int r;

	if ((r = smx_rd_bytes(rd, 4, &v)) != 0)
		return r;
	*ret = smx_get_u32(v.p);
	return 0;
}

int smx_rd_u64(struct smx_rd *rd, uint64_t *ret)
{
	struct smx_view v;
	int r;

	if ((r = smx_rd_bytes(rd, 8, &v)) != 0)
		return r;
	*ret = (uint64_t)smx_get_u32(v.p) << 32 | smx_get_u32(v.p + 4);
	return 0;
}

int smx_rd_string_max(struct smx_rd *rd, size_t max_len, struct smx_view *ret_view)
{
	uint32_t n;

	if (rd->left < 4)
		return SMX_ETRUNCATED;
	n = smx_get_u32(rd->p);
	if (n > max_len)
		return SMX_ETOOBIG;
	if (rd->left - 4 < n)
		return SMX_ETRUNCATED;
	*ret_view = (struct smx_view){ rd->p + 4, n };
	rd->p += 4 + (size_t)n;
	rd->left -= 4 + (size_t)n;
	return 0;
}

int smx_rd_string(struct smx_rd *rd, struct smx_view *ret_view)
{
	return smx_rd_string_max(rd, SIZE_MAX, ret_view);
}

int smx_rd_cstr(struct smx_rd *rd, char *out, size_t out_size)
{
	struct smx_rd copy = *rd;
	struct smx_view v;
	int r;

	assert(out_size > 0);
	if ((r = smx_rd_string_max(&copy, out_size - 1, &v)) != 0)
		return r;
	if (v.len && memchr(v.p, 0, v.len))
		return SMX_EFORMAT;
	memcpy(out, v.p, v.len);
	out[v.len] = '\0';
	*rd = copy;
	return 0;
}

int smx_rd_mpint(struct smx_rd *rd, struct smx_view *ret_view)
{
	struct smx_rd copy = *rd;
	struct smx_view v;
	int r;

	if ((r = smx_rd_string(&copy, &v)) != 0)
		return r;
	if (v.len && (v.p[0] & 0x80))
		return SMX_EFORMAT; /* negative */
	if (v.len && v.p[0] == 0) {
		if (v.len == 1 || !(v.p[1] & 0x80))
			return SMX_EFORMAT; /* not the shortest form */
		v.p++;
		v.len--;
	}
	*rd = copy;
	*ret_view = v;
	return 0;
}

int smx_rd_end(const struct smx_rd *rd)
{
	return rd->left ? SMX_ETRAILING : 0;
}

int smx_put_u8(struct smx_buf *b, uint8_t v)
{
	return smx_buf_put(b, &v, 1);
}

int smx_put_bool(struct smx_buf *b, int v)
{
	return smx_put_u8(b, v ? 1 : 0);
}

int smx_put_u32(struct smx_buf *b, uint32_t v)
{
	uint8_t x[4];

	smx_set_u32(x, v);
	return smx_buf_put(b, x, sizeof(x));
}

int smx_put_u64(struct smx_buf *b, uint64_t v)
{
	uint8_t x[8];

	smx_set_u64(x, v);
	return smx_buf_put(b, x, sizeof(x));
}

int smx_put_string(struct smx_buf *b, const void *p, size_t n)
{
	uint8_t *to;
	int r;

	if (n > UINT32_MAX - 4)
		return SMX_ELIMIT;
	if ((r = smx_buf_reserve(b, n + 4, &to)) != 0)
		return r;
	smx_set_u32(to, (uint32_t)n);
	if (n)
		memcpy(to + 4, p, n);
	smx_buf_commit(b, n + 4);
	return 0;
}

int smx_put_view(struct smx_buf *b, struct smx_view v)
{
	return smx_put_string(b, v.p, v.len);
}

int smx_put_cstr(struct smx_buf *b, const char *s)
{
	return smx_put_string(b, s, strlen(s));
}

int smx_put_mpint(struct smx_buf *b, const uint8_t *p, size_t n)
{
	uint8_t *to;
	size_t pad;
	int r;

	while (n && p[0] == 0) {
		p++;
		n--;
	}
	pad = n && (p[0] & 0x80) ? 1 : 0;
	if (n > UINT32_MAX - 5)
		return SMX_ELIMIT;
	if ((r = smx_buf_reserve(b, 4 + pad + n, &to)) != 0)
		return r;
	smx_set_u32(to, (uint32_t)(pad + n));
	to[4] = 0; /* overwritten below unless it is the sign byte */
	if (n)
		memcpy(to + 4 + pad, p, n);
	smx_buf_commit(b, 4 + pad + n);
	return 0;
}

int smx_put_string_begin(struct smx_buf *b, size_t *ret_mark)
{
	size_t mark = smx_buf_len(b);
	int r;

	if ((r = smx_put_u32(b, 0)) != 0)
		return r;
	*ret_mark = mark;
	return 0;
}

void smx_put_string_end(struct smx_buf *b, size_t mark)
{
	assert(smx_buf_len(b) >= mark + 4);
	smx_set_u32(b->data + b->off + mark, (uint32_t)(smx_buf_len(b) - mark - 4));
}

int smx_view_eq(struct smx_view v, const char *s)
{
	return v.len == strlen(s) && (v.len == 0 || memcmp(v.p, s, v.len) == 0);
}

int smx_view_eq_view(struct smx_view a, struct smx_view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

int smx_namelist_next(struct smx_view *list, struct smx_view *ret_name)
{
	const uint8_t *comma;

	if (list->len == 0)
		return 0;
	comma = memchr(list->p, ',', list->len);
	ret_name->p = list->p;
	ret_name->len = comma ? (size_t)(comma - list->p) : list->len;
	list->p += ret_name->len + (comma ? 1 : 0);
	list->len -= ret_name->len + (comma ? 1 : 0);
	return 1;
}

int smx_namelist_has(struct smx_view list, const char *name)
{
	struct smx_view v;

	while (smx_namelist_next(&list, &v))
		if (smx_view_eq(v, name))
			return 1;
	return 0;
}
