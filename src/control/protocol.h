/* SPDX-License-Identifier: MIT */
/*
 * The control protocol (docs/PROTOCOL.md), sans I/O: bytes in → lines → messages, and back.
 *
 * Lines are JSON objects of at most SMX_CONTROL_LINE_MAX bytes, newline included. Parsers take a
 * line without its newline; builders append a complete line to a buffer and on failure leave the
 * buffer as it was. Unknown members are ignored (forward compatibility); members given twice,
 * nesting deeper than SMX_CONTROL_DEPTH_MAX and wrong types are SMX_EFORMAT.
 */
#ifndef SMX_CONTROL_PROTOCOL_H
#define SMX_CONTROL_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"
#include "control/limits.h"

#define SMX_CONTROL_VERSION 1 /* the highest we speak; the lowest is 1 */

/* ---- lines ------------------------------------------------------------------------------------
 */

struct smx_control_reader {
	struct smx_buf buf; /* the unfinished line */
	int complete; /* buf holds a line that has been handed out */
};

void smx_control_reader_init(struct smx_control_reader *rd);
void smx_control_reader_release(struct smx_control_reader *rd);
/*
 * Takes bytes up to and including the first newline; *ret_used says how many (what follows may
 * belong to another layer: after an "upgrade" it is frames). Returns 1 when a line is complete:
 * *ret_line is valid until the next call. 0: more bytes are needed, all were used.
 * SMX_ETOOBIG: the line is longer than SMX_CONTROL_LINE_MAX; SMX_ENOMEM. Both end the connection.
 */
int smx_control_reader_feed(struct smx_control_reader *rd, const uint8_t *p, size_t n,
	size_t *ret_used, struct smx_view *ret_line);

/* ---- HELLO ------------------------------------------------------------------------------------
 */

struct smx_control_hello {
	int64_t version; /* the highest spoken, >= 1 */
	int64_t min_version; /* the lowest; 0 or 1: from the first on */
	int64_t pid; /* -1: not told */
	char program[SMX_CONTROL_NAME_MAX + 1]; /* "0.1.0" */
};

int smx_control_hello_build(struct smx_buf *out, const struct smx_control_hello *h);
/* SMX_EFORMAT (not a hello), SMX_ENOMEM. */
int smx_control_hello_parse(struct smx_view line, struct smx_control_hello *ret);
/* The version both speak, or SMX_EUNSUPPORTED. */
int smx_control_hello_agree(const struct smx_control_hello *theirs, int *ret_version);

/* ---- requests ---------------------------------------------------------------------------------
 */

enum smx_control_cmd {
	SMX_CONTROL_UNKNOWN, /* well-formed, but not a command of ours: answer an error, go on */
	SMX_CONTROL_STATUS,
	SMX_CONTROL_STOP,
	SMX_CONTROL_LOCK,
	SMX_CONTROL_UNLOCK,
	SMX_CONTROL_PROXY, /* upgrades to frames */
	SMX_CONTROL_CONNECT, /* the same; who asks needs no key */
	SMX_CONTROL_LOGIN, /* the same; no SSH connection, only questions and a result */
};

/* PROXY, CONNECT, LOGIN: where the client can ask a question (U5). */
enum smx_control_asks {
	SMX_CONTROL_ASKS_UNKNOWN, /* it does not say, or nowhere: "none" */
	SMX_CONTROL_ASKS_ASKPASS, /* "askpass": by a program of the user's */
	SMX_CONTROL_ASKS_TERMINAL, /* "terminal" */
	SMX_CONTROL_ASKS_PINENTRY, /* "pinentry" */
};

struct smx_control_request {
	int64_t id; /* 0 … 2^53-1, chosen by the client */
	enum smx_control_cmd cmd;
	char name[SMX_CONTROL_NAME_MAX + 1]; /* as sent */
	char route[SMX_CONTROL_ROUTE_MAX + 1]; /* PROXY, CONNECT, LOGIN: the route, or "" */
	/*
	 * CONNECT, LOGIN without a route, and PROXY as far as it has them (W1): as sent, for
	 * config/names.h to judge; else "" and 0.
	 */
	char user[SMX_CONTROL_ROUTE_MAX + 1], host[SMX_CONTROL_ROUTE_MAX + 1];
	uint32_t port; /* 0: not told */
	/* PROXY, CONNECT, LOGIN: where the client's agent listens, or ""; smx_control_is_agent. */
	char agent[SMX_CONTROL_AGENT_MAX + 1];
	enum smx_control_asks asks;
	int renew; /* LOGIN: a fresh connection, though there is one */
	int is_batch; /* PROXY: nobody is to be asked anything for it (W7) */
};

const char *smx_control_cmd_name(enum smx_control_cmd cmd);
int smx_control_request_build(struct smx_buf *out, int64_t id, enum smx_control_cmd cmd);
/*
 * Whether a path can stand in the member "agent" (A1): bounded, fit for a terminal, and not
 * relative on any system; whether it is right on this one is for os/path.h to say.
 */
int smx_control_is_agent(const char *path);
/* Where to. Of CONNECT and LOGIN a route alone, or (route NULL) the others; of PROXY a route, and
 * what ssh was asked for (W1). NULL and 0: not told. */
struct smx_control_target {
	const char *route, *user, *host;
	uint32_t port;
};

/* The request "proxy". An agent that can't be sent is left out, as NULL is: it is a hint. */
int smx_control_proxy_build(struct smx_buf *out, int64_t id, const struct smx_control_target *to,
	const char *agent, enum smx_control_asks asks, int is_batch);
/* The request "connect": a route, or (route NULL) user, host and port; agent as above. */
int smx_control_connect_build(struct smx_buf *out, int64_t id, const char *route, const char *user,
	const char *host, uint32_t port, const char *agent, enum smx_control_asks asks);
/* The request "login": as "connect". */
int smx_control_login_build(struct smx_buf *out, int64_t id, const char *route, const char *user,
	const char *host, uint32_t port, const char *agent, enum smx_control_asks asks, int renew);
/* SMX_EFORMAT, SMX_ENOMEM. A request whose id can't be read has nobody to answer: hang up. */
int smx_control_request_parse(struct smx_view line, struct smx_control_request *ret);

/* ---- answers ----------------------------------------------------------------------------------
 */

/* {"id":1,"ok":true}: the last line of every successful answer. */
int smx_control_ok_build(struct smx_buf *out, int64_t id);
/* {"id":1,"ok":true,"upgrade":"frames","to":"web"}: frames follow, both ways. to: or NULL. */
int smx_control_upgrade_build(struct smx_buf *out, int64_t id, const char *to);
/*
 * {"id":1,"ok":false,"code":…,"error":…,"remedy":…}. code: a word for programs ("unknown-command",
 * "locked"); remedy may be NULL. Control characters and bytes that are not UTF-8 become '?', long
 * texts are cut, so any text may be given.
 */
int smx_control_error_build(
	struct smx_buf *out, int64_t id, const char *code, const char *error, const char *remedy);

struct smx_control_answer {
	int64_t id;
	int ok;
	int more; /* further lines of this answer follow */
	int upgrade; /* frames follow (control/frame.h) */
	int has_to; /* W1: the daemon has looked at user, host and port */
	char code[SMX_CONTROL_NAME_MAX + 1];
	char error[SMX_CONTROL_TEXT_MAX + 1]; /* fit for a terminal, as are all texts parsed here */
	char remedy[SMX_CONTROL_TEXT_MAX + 1];
};

/* The answer to "login", in a message frame; a refusal is smx_control_error_build's. */
struct smx_control_login {
	int is_new; /* this request caused the login; else there was one */
	char key[SMX_CONTROL_TEXT_MAX + 1]; /* of the connection, as in status */
	int64_t age_s;
	int64_t lifetime_left_s; /* -1: no limit */
	int64_t idle_s; /* how long it lasts without use */
};
/* One line, as all answers; the newline does not go into the frame. */
int smx_control_login_answer_build(
	struct smx_buf *out, int64_t id, const struct smx_control_login *login);
/* SMX_EFORMAT, SMX_ENOMEM. */
int smx_control_login_answer_parse(struct smx_view line, struct smx_control_login *ret);

/* SMX_EFORMAT, SMX_ENOMEM. For status lines see control/status.h. */
int smx_control_answer_parse(struct smx_view line, struct smx_control_answer *ret);

#endif
