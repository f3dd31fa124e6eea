/* SPDX-License-Identifier: MIT */
/*
 * SOCKS as the server of `ssh -D` speaks it (W2): version 4, 4A (names) and 5 (RFC 1928) without
 * authentication, the command CONNECT and no other. Sans I/O.
 *
 * A request is read in steps: never more bytes are taken than belong to it, so what follows is the
 * connection's, even if the client does not wait for the answer.
 */
#ifndef SMX_CONTROL_SOCKS_H
#define SMX_CONTROL_SOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

#define SMX_SOCKS_HOST_MAX  255
#define SMX_SOCKS_USER_MAX  255 /* of version 4, ignored */
#define SMX_SOCKS_REPLY_MAX 10

enum smx_socks_step {
	SMX_SOCKS_VERSION,
	SMX_SOCKS_4_HEAD,
	SMX_SOCKS_4_USER,
	SMX_SOCKS_4_NAME,
	SMX_SOCKS_5_COUNT, /* of methods */
	SMX_SOCKS_5_METHODS,
	SMX_SOCKS_5_HEAD,
	SMX_SOCKS_5_NAME_LEN,
	SMX_SOCKS_5_ADDRESS, /* and the port */
	SMX_SOCKS_DONE,
	SMX_SOCKS_FAILED,
};

struct smx_socks {
	enum smx_socks_step step;
	uint8_t version, address_type;
	uint8_t bytes[SMX_SOCKS_HOST_MAX + 2]; /* of this step */
	size_t have, need;
	char host[SMX_SOCKS_HOST_MAX + 1]; /* a name or an address, as it came */
	uint16_t port;
};

enum smx_socks_answer { SMX_SOCKS_GRANTED, SMX_SOCKS_DENIED, SMX_SOCKS_UNREACHABLE };

void smx_socks_init(struct smx_socks *s);
/* How many bytes may be read of the client now; 0: the request is complete, or wrong. */
size_t smx_socks_need(const struct smx_socks *s);
/*
 * Takes n bytes, at most smx_socks_need. reply: *ret_reply_len bytes to be sent now, whatever is
 * returned. 0: host and port are there, and smx_socks_answer is due. SMX_EAGAIN: go on.
 * SMX_EUNSUPPORTED, SMX_EFORMAT: the connection is to be closed after the reply.
 */
int smx_socks_take(struct smx_socks *s, const uint8_t *bytes, size_t n,
	uint8_t reply[SMX_SOCKS_REPLY_MAX], size_t *ret_reply_len);
/* The answer to a complete request. Returns its length. */
size_t smx_socks_answer(const struct smx_socks *s, enum smx_socks_answer answer,
	uint8_t reply[SMX_SOCKS_REPLY_MAX]);

#endif
