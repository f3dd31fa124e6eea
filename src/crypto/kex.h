/* SPDX-License-Identifier: MIT */
/*
 * Key agreement: the arithmetic of a key exchange, without its messages.
 *
 *	ECDH	curve25519-sha256 (RFC 8731), ecdh-sha2-nistp* (RFC 5656)
 *	HYBRID	mlkem768x25519-sha256 (needs libcrypto >= 3.5), sntrup761x25519-sha512 (RFC 9941)
 *	DH	diffie-hellman-group14-sha256, group16-sha512, group18-sha512 (RFC 8268)
 *	GEX	diffie-hellman-group-exchange-sha256 (RFC 4419)
 *
 * Public values are exchanged as the *contents* of the wire string or mpint that
 * carries them (an mpint's contents is a string like any other), and the shared
 * secret comes out as it goes into the exchange hash, length included: an mpint, or a
 * string for HYBRID. So the message layer needs no case for any of them.
 *
 *	client: smx_kex_start -> (send, receive) -> smx_kex_finish
 *	server: smx_kex_respond
 *
 * Each once: SMX_ESTATE for another call, or if GEX has no group yet. Outputs are appended
 * to buffers that take SMX_KEX_PUBLIC_MAX or SMX_KEX_SECRET_MAX bytes more.
 */
#ifndef SMX_CRYPTO_KEX_H
#define SMX_CRYPTO_KEX_H

#include <stdint.h>

#include "base/wire.h"
#include "crypto/hash.h"

#define SMX_KEX_PUBLIC_MAX 2048
#define SMX_KEX_SECRET_MAX 2048
/* RFC 4419 asks for 1024 at least; below 2048 is not sold here. */
#define SMX_GEX_MIN_BITS 2048
#define SMX_GEX_MAX_BITS 8192

enum smx_kex_kind { SMX_KEX_ECDH, SMX_KEX_HYBRID, SMX_KEX_DH, SMX_KEX_GEX };

struct smx_kex_alg {
	const char *name;
	enum smx_kex_kind kind;
	enum smx_hash hash;
	int is_slow; /* over about 5 ms: run it on a worker thread */
};

/* NULL if we don't implement it (or this libcrypto lacks it). */
const struct smx_kex_alg *smx_kex_find(struct smx_view name);
/* What we offer to servers, as a name-list in our order of preference: hybrid ones first. */
const char *smx_kex_names(void);
/*
 * What the local server offers: no sntrup761, whose key costs a client some milliseconds, on a hop
 * that never leaves the machine.
 */
const char *smx_kex_server_names(void);

struct smx_kex;

int smx_kex_new(struct smx_kex **ret, const struct smx_kex_alg *alg);
void smx_kex_free(struct smx_kex *k); /* wipes */

/* Client: makes the ephemeral key and appends the public value's contents. */
int smx_kex_start(struct smx_kex *k, struct smx_buf *ret_public);
/*
 * Client: peer_public is the contents of the server's value. SMX_EPROTOCOL if it is
 * not a valid one (wrong length, not on the curve, small order, all-zero secret, DH value
 * outside [2, p-2]). ret_secret: a secret buffer, the secret in wire form is appended.
 */
int smx_kex_finish(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_secret);
/* Server: both at once. */
int smx_kex_respond(struct smx_kex *k, struct smx_view peer_public, struct smx_buf *ret_public,
	struct smx_buf *ret_secret);

/*
 * GEX client: takes the server's group (contents of the mpints). SMX_EPROTOCOL
 * unless p is odd, SMX_GEX_MIN_BITS to SMX_GEX_MAX_BITS long, and 1 < g < p-1.
 */
int smx_kex_gex_set_group(struct smx_kex *k, struct smx_view p, struct smx_view g);
/*
 * GEX server: picks one of the RFC 3526 groups (2048 to 8192 bits) nearest to n within
 * [min, max], sets it and appends p and g as wire mpints. SMX_EPROTOCOL if none fits.
 */
int smx_kex_gex_choose(
	struct smx_kex *k, uint32_t min, uint32_t n, uint32_t max, struct smx_buf *ret_group);

#endif
