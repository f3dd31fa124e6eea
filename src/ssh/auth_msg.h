/* SPDX-License-Identifier: MIT */
/* Messages of user authentication (RFC 4252, 4256): building and parsing only. */
#ifndef SMX_SSH_AUTH_MSG_H
#define SMX_SSH_AUTH_MSG_H

#include "base/wire.h"
#include "ssh/msg.h"

#define SMX_AUTH_MSG_MAX     34000
#define SMX_AUTH_PROMPTS_MAX 16 /* prompts of one INFO_REQUEST */
/* Each text of an INFO_REQUEST or a banner: OpenSSH takes what a packet holds (A16). */
#define SMX_AUTH_TEXT_MAX (256 * 1024)

/*
 * A key that is offered. With the server's host key it is a request of the method
 * publickey-hostbound-v00@openssh.com (PROTOCOL, section 3.1), in which the signature says for
 * which server it was made; without (len 0) one of publickey.
 */
struct smx_auth_pubkey {
	const char *user;
	struct smx_view alg, blob, host_key;
};

/*
 * What such a request is signed over: the session id as a string, then the request up to the
 * signature (RFC 4252 section 7). Without a session id (len 0): that request itself, to which the
 * client appends the signature as a string.
 */
int smx_auth_put_pubkey_request(
	struct smx_buf *b, struct smx_view session_id, const struct smx_auth_pubkey *key);
/* The question whether a key would do. */
int smx_auth_put_pubkey_probe(struct smx_buf *b, const struct smx_auth_pubkey *key);
int smx_auth_put_none(struct smx_buf *b, const char *user);
int smx_auth_put_password(struct smx_buf *b, const char *user, struct smx_view password);
int smx_auth_put_kbdint(struct smx_buf *b, const char *user);

struct smx_auth_prompt {
	struct smx_view text;
	int echo;
};

struct smx_auth_info_request {
	struct smx_view name, instruction;
	size_t n_prompts;
	struct smx_auth_prompt prompts[SMX_AUTH_PROMPTS_MAX];
};

/* rd: behind the message number. SMX_ETOOBIG over the caps above. Views into the payload. */
int smx_auth_parse_info_request(struct smx_rd rd, struct smx_auth_info_request *ret);
int smx_auth_put_info_response(struct smx_buf *b, const struct smx_view *answers, size_t n);
/* USERAUTH_FAILURE: methods that can continue, partial success. */
int smx_auth_parse_failure(struct smx_rd rd, struct smx_view *ret_methods, int *ret_partial);
int smx_auth_parse_pk_ok(struct smx_rd rd, struct smx_view *ret_alg, struct smx_view *ret_blob);

#endif
