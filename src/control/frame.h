/* SPDX-License-Identifier: MIT */
/*
 * Frames (docs/PROTOCOL.md, section 7): what follows the lines once a command has upgraded the
 * connection. Sans I/O: u32 length || u8 type || payload, where length = 1 + size of the payload.
 */
#ifndef SMX_CONTROL_FRAME_H
#define SMX_CONTROL_FRAME_H

#include "base/buf.h"
#include "base/wire.h"

#define SMX_FRAME_MAX      65536 /* of length */
#define SMX_FRAME_HEAD     5
#define SMX_FRAME_DATA_MAX (SMX_FRAME_MAX - 1)

enum smx_frame_type {
	SMX_FRAME_MESSAGE = 0x00, /* daemon: one JSON object; the answer to "login" */
	SMX_FRAME_DATA = 0x01, /* bytes of the stream */
	SMX_FRAME_END = 0x02, /* no more of them from this side */
	SMX_FRAME_ASK = 0x10, /* daemon: u32 id, u8 flags, text to the end */
	SMX_FRAME_ANSWER = 0x11, /* client: u32 id, u8 result, the answer to the end */
	SMX_FRAME_UNASK = 0x12, /* daemon: u32 id; the question is void */
	SMX_FRAME_OPTIONAL = 0x80, /* from here on: skip what you don't know */
	SMX_FRAME_NOTICE = 0x80, /* daemon: one line for the person at a terminal */
};

#define SMX_ASK_ECHO    1 /* the answer may be shown */
#define SMX_ASK_CONFIRM 2 /* yes or no (or a fingerprint) is asked */

enum smx_answer_result {
	SMX_ANSWER_OK = 0,
	SMX_ANSWER_CANCELLED = 1, /* the person would not */
	SMX_ANSWER_NOBODY = 2, /* there is no way to ask here */
};

/* Appends a frame whose payload is the two parts. SMX_ETOOBIG, and the buffer's errors. */
int smx_frame_put(struct smx_buf *out, uint8_t type, struct smx_view a, struct smx_view b);

/*
 * The first frame of the bytes received so far. *ret_used: bytes it took. SMX_EAGAIN: more are
 * needed. SMX_ETOOBIG, SMX_EFORMAT: the connection ends.
 */
int smx_frame_next(
	struct smx_view bytes, uint8_t *ret_type, struct smx_view *ret_payload, size_t *ret_used);

struct smx_ask {
	uint32_t id;
	uint8_t flags;
	struct smx_view text;
};
int smx_ask_put(struct smx_buf *out, const struct smx_ask *ask);
int smx_ask_parse(struct smx_view payload, struct smx_ask *ret);

struct smx_answer {
	uint32_t id;
	uint8_t result;
	struct smx_view text;
};
int smx_answer_put(struct smx_buf *out, const struct smx_answer *answer);
int smx_answer_parse(struct smx_view payload, struct smx_answer *ret);

int smx_unask_put(struct smx_buf *out, uint32_t id);
int smx_unask_parse(struct smx_view payload, uint32_t *ret_id);

#endif
