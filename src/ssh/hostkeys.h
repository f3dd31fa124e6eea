/* SPDX-License-Identifier: MIT */
/*
 * K6: a server's word on which host keys it has, and its proof of them (OpenSSH's PROTOCOL, "host
 * key update and rotation"). No I/O; what is done about it is mux/pool/rotate.h's.
 *
 *	server	GLOBAL_REQUEST "hostkeys-00@openssh.com": string[] host keys, once after the login
 *	client	GLOBAL_REQUEST "hostkeys-prove-00@openssh.com": string[] of these
 *	server	REQUEST_SUCCESS: string[] signatures, one for each key, in that order
 */
#ifndef SMX_SSH_HOSTKEYS_H
#define SMX_SSH_HOSTKEYS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/wire.h"

#define SMX_HOSTKEYS_KIND       "hostkeys-00@openssh.com"
#define SMX_HOSTKEYS_PROVE_KIND "hostkeys-prove-00@openssh.com"
#define SMX_HOSTKEYS_MAX        64 /* keys in a list; sshd has three */
#define SMX_HOSTKEYS_BYTES_MAX  (128u * 1024) /* in a list, lengths included */

struct smx_hostkeys {
	struct smx_view blobs[SMX_HOSTKEYS_MAX]; /* into what was read */
	size_t n;
};

/*
 * What is behind the kind of a "hostkeys-00" request. Keys of types that we don't have are in the
 * list as well: a server may know more than we. SMX_ETRUNCATED (a cut string), SMX_EFORMAT (no key
 * at all, a key twice, or a string that does not begin with the name of a type), SMX_ETOOBIG, or
 * SMX_ELIMIT (more than SMX_HOSTKEYS_MAX): nothing of it counts.
 */
int smx_hostkeys_read(struct smx_view data, struct smx_hostkeys *ret);
/* Appends what is behind the kind of the "hostkeys-prove-00" request. SMX_ENOMEM, SMX_ELIMIT. */
int smx_hostkeys_put_prove(const struct smx_view *blobs, size_t n, struct smx_buf *out);
/*
 * 0 only if `reply` (what is behind the message number of REQUEST_SUCCESS) is one good signature
 * for each of the n keys, in their order, and nothing else. What is signed:
 *
 *	string "hostkeys-prove-00@openssh.com" | string session id | string host key
 *
 * RSA signs with SHA-2 or not at all. SMX_ESIGNATURE or another error of the PEER class; *ret_bad:
 * the key whose turn it was. SMX_ENOMEM, SMX_ECRYPTO.
 */
int smx_hostkeys_check_proof(struct smx_view reply, struct smx_view session_id,
	const struct smx_view *blobs, size_t n, size_t *ret_bad);

#endif
