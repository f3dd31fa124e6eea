/* SPDX-License-Identifier: MIT */
/*
 * OpenSSH certificates (PROTOCOL.certkeys, "-cert-v01@openssh.com"): a plain key, what it may be
 * used for, and the signature of a certificate authority over both. Here they are taken apart and
 * the authority's signature is checked; whether the authority is trusted for a host, and the
 * certificate good for it, is in trust/host_cert.h (B9).
 *
 * Nothing here looks into extensions: they grant rights to users, and none is defined for hosts.
 */
#ifndef SMX_CRYPTO_CERT_H
#define SMX_CRYPTO_CERT_H

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"
#include "crypto/key.h"

#define SMX_CERT_PRINCIPALS_MAX 256 /* as in OpenSSH */

enum smx_cert_kind { SMX_CERT_USER = 1, SMX_CERT_HOST = 2 };

/* All views live as long as the certificate. */
struct smx_cert {
	struct smx_view blob; /* the whole */
	struct smx_view type; /* "ssh-rsa-cert-v01@openssh.com" */
	struct smx_key *key; /* the certified key */
	struct smx_view plain_blob; /* and its blob as a plain key */
	uint64_t serial;
	enum smx_cert_kind kind;
	struct smx_view key_id; /* free text of the authority's; untrusted until verified */
	/* Names it is good for, as consecutive strings: iterate with smx_cert_principal. */
	struct smx_view principals;
	size_t n_principals;
	uint64_t valid_after_s, valid_before_s; /* seconds since 1970; the end is not included */
	struct smx_view critical; /* pairs of strings; empty if there is no critical option */
	struct smx_view extensions; /* likewise */
	struct smx_view ca_blob; /* the authority's public key, not parsed yet */
	struct smx_view signature; /* a signature blob over signed_part */
	struct smx_view signed_part;
};

/*
 * Copies blob and takes it apart. SMX_EUNSUPPORTED: not a certificate of a key type we have.
 * SMX_ETOOBIG: longer than SMX_KEY_BLOB_MAX, or more than SMX_CERT_PRINCIPALS_MAX principals.
 * SMX_EFORMAT, ETRUNCATED, ETRAILING: malformed in any part but the authority's key and the
 * signature, which smx_cert_verify_signature looks into. SMX_ENOMEM, SMX_ECRYPTO.
 */
int smx_cert_parse(struct smx_cert **ret, struct smx_view blob);
void smx_cert_free(struct smx_cert *c);

/* Takes the first principal off *list (a copy of principals). 1, or 0 at the end. */
int smx_cert_principal(struct smx_view *list, struct smx_view *ret_name);

/*
 * 0 if the authority's key has signed the certificate with an algorithm of
 * smx_sigalg_names(1). SMX_EUNSUPPORTED: it may have, but its key is of a type we can't verify
 * with, or the signature is one with SHA-1 ("ssh-rsa"), which proves nothing. SMX_ESIGNATURE: it
 * has not, or it is itself a certificate. Or a parse error of the PEER class; SMX_ENOMEM,
 * SMX_ECRYPTO.
 */
int smx_cert_verify_signature(const struct smx_cert *c);

/*
 * The proof in a key exchange: 0 if sig over data was made by the key in blob, plain or
 * certified, under alg, the host key algorithm agreed on. A certificate's algorithm wants a
 * certificate and a plain one a plain key. The certificate as such is not judged. Errors of
 * smx_key_verify, smx_key_from_blob and smx_cert_parse.
 */
int smx_host_key_verify(
	struct smx_view blob, struct smx_view alg, struct smx_view sig, struct smx_view data);

#endif
