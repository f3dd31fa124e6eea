/* SPDX-License-Identifier: MIT */
#include "control/frame.h"

#include "base/err.h"

int smx_frame_put(struct smx_buf *out, uint8_t type, struct smx_view a, struct smx_view b)
{
	uint8_t head[SMX_FRAME_HEAD];
	size_t before = smx_buf_len(out);
	int r;

	if (a.len > SMX_FRAME_DATA_MAX || b.len > SMX_FRAME_DATA_MAX - a.len)
		return SMX_ETOOBIG;
	smx_set_u32(head, (uint32_t)(1 + a.len + b.len));
	head[4] = type;
	if ((r = smx_buf_put(out, head, sizeof(head))) != 0 ||
		(r = smx_buf_put(out, a.p, a.len)) != 0 || (r = smx_buf_put(out, b.p, b.len)) != 0)
		smx_buf_truncate(out, before);
	return r;
}

int smx_frame_next(
	struct smx_view bytes, uint8_t *ret_type, struct smx_view *ret_payload, size_t *ret_used)
{
	uint32_t len;

	if (bytes.len < 4)
		return SMX_EAGAIN;
	len = smx_get_u32(bytes.p);
	if (len == 0)
		return SMX_EFORMAT;
	if (len > SMX_FRAME_MAX)
		return SMX_ETOOBIG;
	if (bytes.len - 4 < len)
		return SMX_EAGAIN;
	*ret_type = bytes.p[4];
	*ret_payload = (struct smx_view){ bytes.p + SMX_FRAME_HEAD, len - 1 };
	*ret_used = 4 + (size_t)len;
	return 0;
}

/* ASK and ANSWER have the same shape: a number, a byte, and text to the end. */
static int put(struct smx_buf *out, uint8_t type, uint32_t id, uint8_t byte, struct smx_view text)
{
	uint8_t head[5];

	smx_set_u32(head, id);
	head[4] = byte;
	return smx_frame_put(out, type, (struct smx_view){ head, sizeof(head) }, text);
}

static int parse(struct smx_view payload, uint32_t *ret_id, uint8_t *ret_byte, struct smx_view *ret)
{
	struct smx_rd rd = smx_rd_view(payload);
	uint32_t id;
	uint8_t byte;
	int r;

	if ((r = smx_rd_u32(&rd, &id)) != 0 || (r = smx_rd_u8(&rd, &byte)) != 0)
		return r;
	*ret_id = id;
	*ret_byte = byte;
	*ret = (struct smx_view){ rd.p, rd.left };
	return 0;
}

int smx_ask_put(struct smx_buf *out, const struct smx_ask *ask)
{
	return put(out, SMX_FRAME_ASK, ask->id, ask->flags, ask->text);
}

int smx_ask_parse(struct smx_view payload, struct smx_ask *ret)
{
	return parse(payload, &ret->id, &ret->flags, &ret->text);
}

int smx_answer_put(struct smx_buf *out, const struct smx_answer *answer)
{
	return put(out, SMX_FRAME_ANSWER, answer->id, answer->result, answer->text);
}

int smx_answer_parse(struct smx_view payload, struct smx_answer *ret)
{
	return parse(payload, &ret->id, &ret->result, &ret->text);
}

int smx_unask_put(struct smx_buf *out, uint32_t id)
{
	uint8_t n[4];

	smx_set_u32(n, id);
	return smx_frame_put(out, SMX_FRAME_UNASK, (struct smx_view){ n, sizeof(n) },
		(struct smx_view){ NULL, 0 });
}

int smx_unask_parse(struct smx_view payload, uint32_t *ret_id)
{
	struct smx_rd rd = smx_rd_view(payload);
	uint32_t id;
	int r;

	if ((r = smx_rd_u32(&rd, &id)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	*ret_id = id;
	return 0;
}
