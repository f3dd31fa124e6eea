/* SPDX-License-Identifier: MIT */
/* KEXINIT and the choice of algorithms (RFC 4253 section 7.1). */
#ifndef SMX_SSH_KEXINIT_H
#define SMX_SSH_KEXINIT_H

#include "base/wire.h"
#include "crypto/cipher.h"
#include "crypto/kex.h"

#define SMX_KEXINIT_MAX   16384
#define SMX_ALG_NAME_SIZE 64

enum smx_role { SMX_CLIENT, SMX_SERVER };

/* The name-lists that one side offers; NULL: ours in full. */
struct smx_kex_offer {
	const char *kex, *host_key, *ciphers, *macs;
	int is_first; /* the connection's first: ext-info-c and the strict kex marks are added */
	/*
	 * Names that come first, each a NULL if the list is to stay as it is. With guess_kex the
	 * key exchange's first packet is announced to follow (RFC 4253 section 7).
	 */
	const char *guess_kex, *guess_host_key;
};

struct smx_algs {
	const struct smx_kex_alg *kex;
	char host_key[SMX_ALG_NAME_SIZE]; /* signature (or certificate) algorithm name */
	const struct smx_cipher_alg *cipher_c2s, *cipher_s2c;
	const struct smx_mac_alg *mac_c2s, *mac_s2c; /* NULL with AEAD ciphers */
	int peer_strict, peer_ext_info; /* marks in the peer's list; meaningful for the first */
	int skip_next; /* the peer guessed wrongly: its next kex packet is to be ignored */
	int is_first_choice; /* of both sides, as to key exchange and host key: a guess was right */
	/* What the peer would guess: the first of its lists. NULL, "": we don't offer it. */
	const struct smx_kex_alg *peer_kex;
	char peer_host_key[SMX_ALG_NAME_SIZE];
};

/* Appends a whole KEXINIT payload. */
int smx_kexinit_build(struct smx_buf *out, enum smx_role role, const struct smx_kex_offer *offer);
/*
 * Both payloads (from the message number on) to the algorithms in use. SMX_ENEGOTIATION:
 * *ret_what (static) names the list with nothing in common.
 */
int smx_kexinit_negotiate(struct smx_view client, struct smx_view server, enum smx_role role,
	struct smx_algs *ret, const char **ret_what);
/*
 * After that: the peer's list of that name (of the direction that has nothing in common), a view
 * into its payload; empty if there is none. role: ours.
 */
struct smx_view smx_kexinit_peer_offer(
	struct smx_view client, struct smx_view server, enum smx_role role, const char *what);

#endif
