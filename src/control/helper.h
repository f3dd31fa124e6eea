/* SPDX-License-Identifier: MIT */
/*
 * What the confined daemon asks of its helper (docs/DESIGN.md, section 18), one message per packet
 * of a local socket. A request is an operation and what that needs; descriptors travel beside it.
 * An answer is an errno, an id and up to two texts.
 *
 * The helper takes a request for bytes of a stranger: the daemon may be one by then. All parsers
 * are bounded, and refuse whatever is missing, left over or not known.
 */
#ifndef SMX_CONTROL_HELPER_H
#define SMX_CONTROL_HELPER_H

#include "base/buf.h"
#include "base/wire.h"
#include "trust/rotation.h"

#define SMX_HELPER_MESSAGE_MAX (96 * 1024)
#define SMX_HELPER_ARGS_MAX    64
#define SMX_HELPER_FDS         4 /* standard input, output, error, and a terminal */

enum smx_helper_op {
	SMX_HELPER_RUN = 1, /* a program */
	SMX_HELPER_KILL, /* one that it has started */
	SMX_HELPER_LISTEN, /* at a socket that is bound; its descriptor comes along */
	SMX_HELPER_UNLINK, /* a socket in the file system */
	SMX_HELPER_CALLER_ENV, /* of a client's process; the answer has a descriptor */
	SMX_HELPER_CALLER_PROGRAM, /* its program and directory: two texts */
	SMX_HELPER_CALLER_TTY, /* its terminal; the answer has a descriptor */
	SMX_HELPER_CALLER_PRESS, /* a key of that terminal */
	SMX_HELPER_LOG_OPEN, /* made if it is missing; the answer has the descriptor */
	SMX_HELPER_LOG_RENAME, /* it is full, and becomes the old one */
	SMX_HELPER_APPEND, /* a line to a known_hosts; a stream comes along that is told the result
			    */
	SMX_HELPER_ROTATE, /* host keys of a known_hosts (K6); with such a stream too */
	SMX_HELPER_REOPEN, /* a pipe or a terminal that comes along; the answer has the descriptor
			    */
	SMX_HELPER_OPEN, /* a file that the routes name, to be read; the answer has the descriptor */
	SMX_HELPER_KEEP, /* how logins begin (B13), in the file for it; with such a stream too */
	SMX_HELPER_OPS
};

enum smx_helper_kind {
	SMX_HELPER_TRANSPORT = 1, /* of a route (R7) */
	SMX_HELPER_PINENTRY,
	SMX_HELPER_PROMPT, /* this very program, at a client's terminal */
	SMX_HELPER_ASKPASS, /* of a client's environment */
	SMX_HELPER_SSH_CONFIG, /* the client's own ssh, with -G */
	SMX_HELPER_KINDS
};

/* What an askpass is told by SSH_ASKPASS_PROMPT, as OpenSSH tells it. */
enum smx_askpass_hint {
	SMX_ASKPASS_ANSWER, /* not set: a text is asked for */
	SMX_ASKPASS_CONFIRM, /* "confirm": yes or no is */
	SMX_ASKPASS_NONE, /* "none": nothing; it shows the text until it is killed */
	SMX_ASKPASS_HINTS
};

enum { SMX_HELPER_READ, SMX_HELPER_WRITE, SMX_HELPER_READ_WRITE };

struct smx_helper_request {
	enum smx_helper_op op;
	enum smx_helper_kind kind; /* RUN */
	enum smx_askpass_hint hint; /* RUN of an askpass; else 0 */
	uint8_t fd_mask; /* RUN: bit i: descriptor i of the program comes along; others: /dev/null
			  */
	int64_t pid; /* CALLER_*, and RUN of a kind that belongs to a client; else 0 */
	uint64_t start; /* of that process */
	uint64_t id; /* KILL: the one the answer to RUN gave */
	uint8_t signal; /* KILL */
	uint8_t is_group; /* KILL: the whole session */
	uint8_t key; /* CALLER_PRESS: enum smx_os_key; REOPEN: SMX_HELPER_READ … */
	uint32_t backlog; /* LISTEN */
	/* ROTATE: of a host and port, which are as in trust/rotation.h; at least one key. Views into
	 * the text after a parse. */
	uint16_t port;
	uint8_t is_hashed;
	struct smx_view fresh[SMX_ROTATION_MAX], old[SMX_ROTATION_MAX];
	size_t n_fresh, n_old;
	/* RUN: n_args words; UNLINK, OPEN: one, the path; APPEND: path and line; ROTATE: path and host;
	 * KEEP: path and text. Owned after a parse, borrowed for a build. */
	const char *args[SMX_HELPER_ARGS_MAX + 1];
	size_t n_args;
};

struct smx_helper_answer {
	uint32_t error; /* an errno, 0: done */
	uint64_t id;
	char *texts[2]; /* owned; NULL if there are fewer */
};

/* Appends. SMX_ELIMIT, SMX_ENOMEM. */
int smx_helper_request_build(struct smx_buf *out, const struct smx_helper_request *q);
/* How many descriptors such a request has with it. */
size_t smx_helper_request_fds(const struct smx_helper_request *q);
/* Releases with smx_helper_request_release. SMX_EFORMAT, SMX_ELIMIT, SMX_ENOMEM. */
int smx_helper_request_parse(struct smx_view text, struct smx_helper_request *ret);
void smx_helper_request_release(struct smx_helper_request *q);

int smx_helper_answer_build(
	struct smx_buf *out, uint32_t error, uint64_t id, const char *one, const char *two);
int smx_helper_answer_parse(struct smx_view text, struct smx_helper_answer *ret);
void smx_helper_answer_release(struct smx_helper_answer *a);

/* What an APPEND, a ROTATE or a KEEP came to. */
struct smx_helper_result {
	int code; /* 0 or an error of ours */
	uint32_t n_removed, n_added; /* lines, of a ROTATE */
};
/* text: of the error; ret_text is the caller's, or NULL. */
int smx_helper_result_build(
	struct smx_buf *out, const struct smx_helper_result *result, const char *text);
int smx_helper_result_parse(
	struct smx_view text, struct smx_helper_result *ret, struct smx_buf *ret_text);

/* The end of a program: its status, or the signal that ended it (else 0). 16 bytes. */
#define SMX_HELPER_END_LEN 16
int smx_helper_end_build(struct smx_buf *out, uint64_t id, uint32_t status, uint32_t signal);
int smx_helper_end_parse(
	struct smx_view text, uint64_t *ret_id, uint32_t *ret_status, uint32_t *ret_signal);

#endif
