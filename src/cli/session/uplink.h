/* SPDX-License-Identifier: MIT */
/*
 * A connection to the daemon that has been upgraded to frames (docs/PROTOCOL.md, section 8): a
 * byte stream both ways, and questions, which are asked where the user is (B5).
 */
#ifndef SMX_CLI_SESSION_UPLINK_H
#define SMX_CLI_SESSION_UPLINK_H

#include <uv.h>

#include "base/buf.h"
#include "control/frame.h"
#include "os/ask.h"

#define UPLINK_READ        (256 * 1024) /* at a time */
#define UPLINK_ANSWER_SIZE 1024

struct uplink {
	uv_loop_t *loop;
	uv_pipe_t pipe;
	/* A piece of the stream, valid until `taken`, or without that until it returns. */
	void (*data)(struct uplink *u, struct smx_view bytes);
	/* NULL, or called when all pieces of a read, or before another frame, have been handed
	 * over.
	 */
	void (*taken)(struct uplink *u);
	/* Bytes went out: there is more room (n_sending). */
	void (*room)(struct uplink *u);
	/* U7: a line for the person; NULL: it is dropped. Not fit for a terminal yet. */
	void (*notice)(struct uplink *u, struct smx_view text);
	/* The answer to "login"; NULL: there is none to come. */
	void (*message)(struct uplink *u, struct smx_view json);
	/* Called once: it is over, whoever ended it. r 0: in order. */
	void (*ended)(struct uplink *u, int r);
	size_t n_sending; /* bytes that were given to uplink_send and have not gone out yet */
	int has_ended;
	int is_deaf; /* the daemon reads no more; its last words may not have been read yet */
	uint64_t noticed_ns; /* when the last notice came */
	int may_not_ask; /* the terminal is in use: there is no way to ask */
	/* private */
	struct smx_frame_reader frames;
	struct smx_buf early; /* came with the answer */
	uint8_t *space; /* see uplink_space */
	struct smx_os_asker *asker; /* the question being asked */
	uv_pipe_t *asker_pipe;
	uint32_t ask_id;
	char said[UPLINK_ANSWER_SIZE + 2];
	size_t n_said;
};

/*
 * Takes fd over, with the bytes that came behind the answer, and reads once uplink_resume is
 * called. The functions and the rest of *u are set before or after; what fails ends it.
 */
void uplink_open(struct uplink *u, uv_loop_t *loop, int fd, struct smx_view early);
/*
 * Sends bytes in frames, from where they are; what the system does not take at once is copied and
 * counted in n_sending. What fails ends it.
 */
void uplink_send(struct uplink *u, struct smx_view bytes);
/*
 * UPLINK_READ bytes to read into, or NULL (no memory). All streams of a loop can share them as long
 * as what was read is dealt with before the next read; pages that were never used cost nothing.
 */
uint8_t *uplink_space(struct uplink *u);
/*
 * Writes all parts, from where they are as far as the system takes them at once; the rest is
 * copied, and the copy wiped afterwards. Returns the bytes that were copied: if any, `done` is
 * called once with their number, later, and a negative status if they could not be written. Else a
 * negative error of libuv's.
 */
typedef void uplink_written(void *arg, size_t len, int status);
int64_t uplink_write(
	uv_stream_t *s, const uv_buf_t *parts, size_t n, uplink_written *done, void *arg);
/*
 * A line for the person (U7, A12), made fit for a terminal, which may be raw and have a line begun:
 * the first of several begins a new one. Of size bytes at least.
 */
#define UPLINK_NOTICE_SIZE 1100
void uplink_notice_line(struct uplink *u, struct smx_view text, char *out, size_t size);
/*
 * The same to standard error, if that is a terminal; else as a line of a log, if the person is
 * asked by a program (SSH_ASKPASS), as plain ssh says there what it does not tell the program (A14).
 */
void uplink_print_notice(struct uplink *u, struct smx_view text);
void uplink_resume(struct uplink *u);
void uplink_pause(struct uplink *u);
/* Takes a question back and closes it; `ended` is called now. */
void uplink_end(struct uplink *u, int r);
/* After the loop has run dry. */
void uplink_release(struct uplink *u);

#endif
