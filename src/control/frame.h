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
	SMX_FRAME_NOTICE = 0x80, /* daemon: one line for the person */
};

#define SMX_NOTICE_MARK " | " /* a NOTICE that begins so is a server's row: as it is (A14) */
/* What comes before the line of a NOTICE: our name, or nothing before a server's row. Static. */
const char *smx_notice_whose(const char *line);

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

/*
 * Frames of bytes that come in pieces. DATA is handed out piece by piece, from where it is; of all
 * else the payload is handed out whole, from a secret buffer, and wiped where it came from: answers
 * come so. Both live until the next call; so an idle reader holds no memory.
 */
struct smx_frame_reader {
	struct smx_buf kept; /* the payload so far of a frame that is no DATA */
	uint8_t head[SMX_FRAME_HEAD];
	size_t n_head;
	uint32_t left; /* of the payload */
	int is_handed_out; /* `kept` was */
	uint64_t n_frames; /* that have ended */
};

void smx_frame_reader_init(struct smx_frame_reader *rd);
void smx_frame_reader_release(struct smx_frame_reader *rd);
/* Whether a frame has begun and not ended. */
int smx_frame_reader_is_mid(const struct smx_frame_reader *rd);
/*
 * Takes from the front of the *n bytes at *p, and moves both, until there is something to hand out:
 * a piece of DATA (it may be empty), or another frame. SMX_EAGAIN: all *n are taken, more are
 * needed. SMX_ETOOBIG, SMX_EFORMAT, SMX_ENOMEM: the connection ends.
 */
int smx_frame_reader_next(struct smx_frame_reader *rd, uint8_t **p, size_t *n, uint8_t *ret_type,
	struct smx_view *ret_payload);

/*
 * For who reads DATA to where it is needed, past the reader: bytes of the current DATA frame that
 * have not come yet (0: it is no DATA, or there is none), and that n of them have.
 */
uint32_t smx_frame_reader_data_left(const struct smx_frame_reader *rd);
void smx_frame_reader_skip(struct smx_frame_reader *rd, uint32_t n);

/*
 * Cuts bytes into DATA frames without copying them: parts are heads and payloads in turn, as they
 * are to be written. Takes what it has cut from the front of *data. Returns the number of parts;
 * all point into `heads` and the bytes.
 */
#define SMX_FRAME_CUT_MAX 9 /* frames of one call: over 512 KiB */
size_t smx_frame_cut(struct smx_view *data, uint8_t heads[SMX_FRAME_CUT_MAX][SMX_FRAME_HEAD],
	struct smx_view parts[2 * SMX_FRAME_CUT_MAX]);

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
