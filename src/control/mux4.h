/* SPDX-License-Identifier: MIT */
/*
 * The protocol of OpenSSH's connection sharing, version 4 (PROTOCOL.mux of openssh-portable), as a
 * master speaks it (W2). Sans I/O: bytes of a client in, requests out; replies into a buffer.
 *
 * A message is a u32 length and that many bytes: a u32 type, then (but for the hello) a u32 number
 * that the client chose and the reply repeats. Strings are those of RFC 4251, and none that becomes
 * a C string may hold a NUL byte. Behind a request for a session come three descriptors, behind one
 * for a stdio forward two, each with one byte of the stream; the caller counts them.
 */
#ifndef SMX_CONTROL_MUX4_H
#define SMX_CONTROL_MUX4_H

#include "base/wire.h"

#define SMX_MUX4_VERSION 4
/* A command may be as long as a message of SSH; the environment comes besides. */
#define SMX_MUX4_MESSAGE_MAX (512 * 1024)
/* What a client that reads nothing may make us keep. */
#define SMX_MUX4_OUT_MAX  (64 * 1024)
#define SMX_MUX4_INFO_MAX (SMX_MUX4_OUT_MAX / 2)
/* Variables of one session; more are left out. */
#define SMX_MUX4_ENV_MAX   256
#define SMX_MUX4_NO_ESCAPE UINT32_MAX
/* In the place of a port: the host is the path of a socket. */
#define SMX_MUX4_PORT_IS_PATH ((uint32_t)-2)

enum smx_mux4_kind {
	SMX_MUX4_HELLO,
	SMX_MUX4_SESSION,
	SMX_MUX4_ALIVE,
	SMX_MUX4_TERMINATE,
	SMX_MUX4_OPEN_FORWARD,
	SMX_MUX4_CLOSE_FORWARD,
	SMX_MUX4_STDIO_FORWARD,
	SMX_MUX4_STOP_LISTENING,
	SMX_MUX4_PROXY,
	SMX_MUX4_INFO, /* of the extension "info" (OpenSSH 10) */
	SMX_MUX4_UNKNOWN, /* of a newer client: refused, and nothing more */
};

enum smx_mux4_forward { SMX_MUX4_LOCAL = 1, SMX_MUX4_REMOTE = 2, SMX_MUX4_DYNAMIC = 3 };

/* Views live as long as the message does. */
struct smx_mux4_request {
	enum smx_mux4_kind kind;
	uint32_t id; /* the client's number for it; not of a hello */
	uint32_t version; /* HELLO */
	/* SESSION */
	int wants_tty, wants_x11, wants_agent, is_subsystem;
	uint32_t escape; /* a character, or SMX_MUX4_NO_ESCAPE */
	struct smx_view term, command;
	struct smx_view env[SMX_MUX4_ENV_MAX]; /* "NAME=value" */
	size_t n_env;
	/* forwards */
	uint32_t forward; /* enum smx_mux4_forward, or what else the client sent */
	struct smx_view listen_host, host; /* STDIO_FORWARD: host */
	uint32_t listen_port, port; /* the same */
	struct smx_view about; /* INFO: "connection", "channels" */
};

/* Descriptors that follow a request. */
unsigned smx_mux4_descriptors(enum smx_mux4_kind kind);

/*
 * Finds the first message in `bytes`: 0, *ret_message without its length and *ret_used with it.
 * SMX_EAGAIN: it is not complete. SMX_ETOOBIG: over SMX_MUX4_MESSAGE_MAX.
 */
int smx_mux4_next(struct smx_view bytes, struct smx_view *ret_message, size_t *ret_used);
/*
 * Reads one. SMX_ETRUNCATED, SMX_ETRAILING, SMX_EFORMAT (a NUL byte in a string, a variable without
 * a name): the client is to be left. ret is several KiB; only what belongs to its kind is set.
 */
int smx_mux4_parse(struct smx_view message, struct smx_mux4_request *ret);

/* --- replies; all add one message to out, or nothing: SMX_ENOMEM, SMX_ELIMIT --- */

/* With the extension "info". */
int smx_mux4_put_hello(struct smx_buf *out);
/* The answer to INFO; text: lines that end with "\r\n", of at most SMX_MUX4_INFO_MAX bytes. */
int smx_mux4_put_info(struct smx_buf *out, uint32_t id, int is_known, const char *text);
int smx_mux4_put_ok(struct smx_buf *out, uint32_t id);
/* To PROXY; what follows in both directions is SSH's (ssh/transport.h, is_bare). */
int smx_mux4_put_proxy(struct smx_buf *out, uint32_t id);
/* To OPEN_FORWARD of a remote one with listen port 0: the port that the server chose. */
int smx_mux4_put_remote_port(struct smx_buf *out, uint32_t id, uint32_t port);
int smx_mux4_put_alive(struct smx_buf *out, uint32_t id, uint32_t pid);
int smx_mux4_put_opened(struct smx_buf *out, uint32_t id, uint32_t session);
int smx_mux4_put_denied(struct smx_buf *out, uint32_t id, const char *text);
int smx_mux4_put_failure(struct smx_buf *out, uint32_t id, const char *text);
int smx_mux4_put_exit(struct smx_buf *out, uint32_t session, uint32_t status);
int smx_mux4_put_tty_failure(struct smx_buf *out, uint32_t session);

/* --- escapes that are typed in a session's terminal --- */

enum smx_mux4_escape_state { SMX_MUX4_LINE_START, SMX_MUX4_ESCAPED, SMX_MUX4_IN_LINE };
enum smx_mux4_escape {
	SMX_MUX4_ESCAPE_NONE,
	SMX_MUX4_ESCAPE_END, /* "~." */
	SMX_MUX4_ESCAPE_BREAK, /* "~B" */
	SMX_MUX4_ESCAPE_HELP, /* "~?" */
	SMX_MUX4_ESCAPE_OTHER, /* one that is of no use here: *ret_other */
};

/*
 * Takes typed bytes up to and with the first escape. *ret_used of n were taken; what is to be sent
 * is in out (room for n + 1), *ret_len bytes.
 */
enum smx_mux4_escape smx_mux4_escape_take(enum smx_mux4_escape_state *state, uint8_t escape,
	const uint8_t *in, size_t n, size_t *ret_used, uint8_t *out, size_t *ret_len,
	uint8_t *ret_other);

#endif
