/* SPDX-License-Identifier: MIT */
/* Messages of the agent protocol (draft-ietf-sshm-ssh-agent): building and parsing only. */
#ifndef SMX_SSH_AGENT_H
#define SMX_SSH_AGENT_H

#include "base/wire.h"

#define SMX_AGENT_MSG_MAX  (256 * 1024)
#define SMX_AGENT_KEYS_MAX 256

#define SMX_AGENT_SIGN_RSA_SHA2_256 2
#define SMX_AGENT_SIGN_RSA_SHA2_512 4

/* Whole messages, length included. */
int smx_agent_put_list(struct smx_buf *b);
int smx_agent_put_sign(
	struct smx_buf *b, struct smx_view blob, struct smx_view data, uint32_t flags);

/*
 * session-bind@openssh.com (PROTOCOL.agent section 1): tells an agent for which server the
 * signatures that are asked for on this connection are, with the server's own proof. It may answer
 * that it does not know it, which harms nothing.
 */
int smx_agent_put_bind(struct smx_buf *b, struct smx_view host_key, struct smx_view session_id,
	struct smx_view signature, int is_forwarding);

/*
 * The first whole message of the bytes received so far, without its length. SMX_EAGAIN: more
 * bytes are needed; SMX_ETOOBIG. *ret_used: bytes it took.
 */
int smx_agent_frame(struct smx_view bytes, struct smx_view *ret_message, size_t *ret_used);

/* Calls each for every key; stops at its first non-zero return and returns it. */
typedef int smx_agent_each(void *arg, struct smx_view blob, struct smx_view comment);
int smx_agent_parse_list(struct smx_view message, smx_agent_each *each, void *arg);
/* The signature blob. SMX_EREFUSED: the agent would not. */
int smx_agent_parse_signature(struct smx_view message, struct smx_view *ret_signature);

#endif
