/* SPDX-License-Identifier: MIT */
/*
 * What a remote may ask of an agent that a client lends to it (B4), read whole before it reaches
 * the agent: which keys there are, and signatures. Everything else that agents do (adding and
 * removing keys, locking, extensions) is refused here. session-bind@openssh.com passes: with it the
 * agent knows which host asks, and for the login to which host.
 *
 * Pure functions over messages without their length (ssh/agent.h has the framing, and the limit of
 * SMX_AGENT_MSG_MAX). Messages are written with their length. draft-ietf-sshm-ssh-agent;
 * PROTOCOL.agent of OpenSSH for session-bind.
 */
#ifndef SMX_SSH_AGENT_FILTER_H
#define SMX_SSH_AGENT_FILTER_H

#include "base/wire.h"

enum smx_agent_kind {
	SMX_AGENT_OTHER, /* not passed on */
	SMX_AGENT_LIST,
	SMX_AGENT_SIGN,
	SMX_AGENT_BIND, /* session-bind@openssh.com */
};

struct smx_agent_request {
	enum smx_agent_kind kind;
	uint8_t type; /* of the message: for the log */
	struct smx_view blob, data; /* SIGN: the public key; what is to be signed */
};

/*
 * 0, or SMX_EFORMAT: it is one that would pass, and malformed (kind is OTHER then). Views live as
 * long as the message.
 */
int smx_agent_read_request(struct smx_view message, struct smx_agent_request *ret);

/* Whether a key may be shown. */
typedef int smx_agent_keep(void *arg, struct smx_view blob, struct smx_view comment);

/*
 * What the remote gets for the agent's answer to a request of that kind: the answer, a list with
 * those keys only that `keep` takes (NULL: all), or a failure for what is no such answer. Errors of
 * the buffer only.
 */
int smx_agent_put_answer(struct smx_buf *b, enum smx_agent_kind kind, struct smx_view message,
	smx_agent_keep *keep, void *arg);
int smx_agent_put_failure(struct smx_buf *b);

/* What a signature is for, as far as the data say so themselves. */
enum smx_agent_purpose {
	SMX_AGENT_FOR_UNKNOWN,
	SMX_AGENT_FOR_LOGIN, /* RFC 4252 section 7, the hostbound variant too: the user name */
	SMX_AGENT_FOR_FILE, /* PROTOCOL.sshsig: the namespace ("git", "file") */
};
enum smx_agent_purpose smx_agent_purpose(struct smx_view data, struct smx_view *ret_name);

#endif
