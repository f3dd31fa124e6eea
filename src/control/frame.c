/* SPDX-License-Identifier: MIT */
#include "control/frame.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

const char *smx_notice_whose(const char *line)
{
	return strncmp(line, SMX_NOTICE_MARK, strlen(SMX_NOTICE_MARK)) == 0 ? "" : "ssh-mux: ";
}

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

void smx_frame_reader_init(struct smx_frame_reader *rd)
{
	*rd = (struct smx_frame_reader){ .n_head = 0 };
	smx_buf_init_secret(&rd->kept, SMX_FRAME_DATA_MAX);
}

void smx_frame_reader_release(struct smx_frame_reader *rd)
{
	smx_buf_release(&rd->kept);
}

int smx_frame_reader_is_mid(const struct smx_frame_reader *rd)
{
	return rd->n_head > 0;
}

/* The length is judged as soon as it is there. */
static int take_head(struct smx_frame_reader *rd, uint8_t **p, size_t *n)
{
	uint32_t len;

	while (rd->n_head < SMX_FRAME_HEAD) {
		if (*n == 0)
			return SMX_EAGAIN;
		rd->head[rd->n_head++] = *(*p)++;
		(*n)--;
		if (rd->n_head != 4)
			continue;
		len = smx_get_u32(rd->head);
		if (len == 0)
			return SMX_EFORMAT;
		if (len > SMX_FRAME_MAX)
			return SMX_ETOOBIG;
		rd->left = len - 1;
	}
	return 0;
}

int smx_frame_reader_next(struct smx_frame_reader *rd, uint8_t **p, size_t *n, uint8_t *ret_type,
	struct smx_view *ret_payload)
{
	struct smx_view piece;
	int r, is_data;

	if (rd->is_handed_out)
		smx_buf_release(&rd->kept);
	rd->is_handed_out = 0;
	if ((r = take_head(rd, p, n)) != 0)
		return r;
	is_data = rd->head[4] == SMX_FRAME_DATA;
	piece = (struct smx_view){ *p, *n < rd->left ? *n : rd->left };
	if (piece.len == 0 && rd->left)
		return SMX_EAGAIN;
	if (!is_data && (r = smx_buf_put(&rd->kept, piece.p, piece.len)) != 0)
		return r;
	if (!is_data && piece.len)
		smx_wipe(*p, piece.len);
	*p += piece.len;
	*n -= piece.len;
	rd->left -= (uint32_t)piece.len;
	if (rd->left && !is_data)
		return SMX_EAGAIN;
	if (rd->left == 0) {
		rd->n_head = 0;
		rd->n_frames++;
	}
	rd->is_handed_out = !is_data;
	*ret_type = rd->head[4];
	*ret_payload = is_data ? piece : smx_buf_as_view(&rd->kept);
	return 0;
}

uint32_t smx_frame_reader_data_left(const struct smx_frame_reader *rd)
{
	return rd->n_head == SMX_FRAME_HEAD && rd->head[4] == SMX_FRAME_DATA ? rd->left : 0;
}

void smx_frame_reader_skip(struct smx_frame_reader *rd, uint32_t n)
{
	assert(n <= smx_frame_reader_data_left(rd));
	rd->left -= n;
	if (rd->left == 0) {
		rd->n_head = 0;
		rd->n_frames++;
	}
}

size_t smx_frame_cut(struct smx_view *data, uint8_t heads[SMX_FRAME_CUT_MAX][SMX_FRAME_HEAD],
	struct smx_view parts[2 * SMX_FRAME_CUT_MAX])
{
	size_t n, len;

	for (n = 0; n < SMX_FRAME_CUT_MAX && data->len; n++) {
		len = data->len < SMX_FRAME_DATA_MAX ? data->len : SMX_FRAME_DATA_MAX;
		smx_set_u32(heads[n], (uint32_t)(1 + len));
		heads[n][4] = SMX_FRAME_DATA;
		parts[2 * n] = (struct smx_view){ heads[n], SMX_FRAME_HEAD };
		parts[2 * n + 1] = (struct smx_view){ data->p, len };
		data->p += len;
		data->len -= len;
	}
	return 2 * n;
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
