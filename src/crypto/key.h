/* SPDX-License-Identifier: MIT */
/*
 * Keys of hosts and users: wire blobs (RFC 4253 section 6.6, 5656, 8709, PROTOCOL.u2f),
 * signatures (RFC 8332 for RSA: SHA-1 does not exist here) and fingerprints.
 */
#ifndef SMX_CRYPTO_KEY_H
#define SMX_CRYPTO_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

#define SMX_KEY_BLOB_MAX 16384 /* longest public key or certificate blob taken from anybody */
#define SMX_SIG_MAX      4096
#define SMX_RSA_MIN_BITS 2048
#define SMX_RSA_MAX_BITS 16384

enum smx_key_type {
	SMX_KEY_ED25519,
	SMX_KEY_ECDSA_256,
	SMX_KEY_ECDSA_384,
	SMX_KEY_ECDSA_521,
	SMX_KEY_RSA,
	SMX_KEY_SK_ED25519, /* verify only */
	SMX_KEY_SK_ECDSA, /* verify only */
};

struct smx_key; /* public, or a pair */

/* "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa", "sk-ssh-ed25519@openssh.com" … */
const char *smx_key_type_name(enum smx_key_type type);

/*
 * A plain public key (no certificate). SMX_EUNSUPPORTED for other types (certificates
 * among them), SMX_EFORMAT / ETRUNCATED / ETRAILING / ETOOBIG for a bad one (an RSA key above
 * SMX_RSA_MAX_BITS, a point off its curve); SMX_EWEAK for one below SMX_RSA_MIN_BITS.
 */
int smx_key_from_blob(struct smx_key **ret, struct smx_view blob);
int smx_key_generate_ed25519(struct smx_key **ret);
void smx_key_free(struct smx_key *k);

enum smx_key_type smx_key_get_type(const struct smx_key *k);
int smx_key_is_private(const struct smx_key *k);
/* Appends the public blob. */
int smx_key_to_blob(const struct smx_key *k, struct smx_buf *ret_blob);

/*
 * Signs with the named algorithm ("rsa-sha2-512" …; for other types the key type's
 * name) and appends the signature blob (string alg, string sig). SMX_EINVAL if the
 * algorithm is not one of the key's, SMX_ECRYPTO.
 */
int smx_key_sign(
	const struct smx_key *k, const char *alg, struct smx_view data, struct smx_buf *ret_sig);
/*
 * 0 only if sig is a signature blob by this key over data whose inner name is alg, and
 * alg belongs to the key's type; sk keys also need the user-presence flag. Else
 * SMX_ESIGNATURE (or a parse error of the PEER class, or SMX_ECRYPTO). alg is one of
 * smx_sigalg_names(1), never a certificate's name.
 */
int smx_key_verify(
	const struct smx_key *k, struct smx_view alg, struct smx_view sig, struct smx_view data);

/*
 * Signature algorithms we verify and make, as a name-list in our order of preference
 * (host key algorithms of a KEXINIT and server-sig-algs are made from it). with_sk: the
 * sk- ones too.
 */
const char *smx_sigalg_names(int with_sk);
/* The same for host certificates: "ssh-ed25519-cert-v01@openssh.com", … */
const char *smx_cert_sigalg_names(void);
/*
 * The signature algorithm behind a certificate's name: "rsa-sha2-512" of
 * "rsa-sha2-512-cert-v01@openssh.com". NULL for other names.
 */
const char *smx_sigalg_of_cert(struct smx_view alg);
/*
 * Whether signature algorithm alg may be used with keys of the wire type name key_type.
 * For a certificate type ("ssh-rsa-cert-v01@openssh.com") alg is either the name inside the
 * signature ("rsa-sha2-512") or the one a publickey request carries
 * ("rsa-sha2-512-cert-v01@openssh.com"); a plain type takes only the former. SHA-1 ("ssh-rsa")
 * fits nothing.
 */
int smx_sigalg_fits(struct smx_view alg, struct smx_view key_type);

/* The type name a blob begins with (a certificate's too). */
int smx_blob_type(struct smx_view blob, struct smx_view *ret_type);
/* "SHA256:…" without padding, NUL-terminated, of any blob. */
#define SMX_FINGERPRINT_SIZE 64
int smx_blob_fingerprint(struct smx_view blob, char out[SMX_FINGERPRINT_SIZE]);

/*
 * Private keys that are made from now on lie in memory of their own, between guard pages, that is
 * never swapped out and in no core: `bytes` of it, a power of two, for all of them together; where
 * they do not fit, no key can be made. Once per process, before the first key. SMX_ESYS: it could
 * not be locked, or not be had; the keys work all the same.
 */
int smx_keys_lock(size_t bytes);

#endif
