/* SPDX-License-Identifier: MIT */
/*
 * UMAC (RFC 4418) with AES-128, which libcrypto has not: the MAC of umac-64@openssh.com,
 * umac-128@openssh.com and their encrypt-then-MAC variants (draft-miller-secsh-umac-01).
 *
 * A tag is a keyed hash of the message, masked with AES of a nonce. Under one key a nonce must
 * never be used for two messages: their tags would give the hash's key away. In SSH it is the
 * packet's sequence number.
 */
#ifndef SMX_CRYPTO_UMAC_H
#define SMX_CRYPTO_UMAC_H

#include <stddef.h>
#include <stdint.h>

#define SMX_UMAC_KEY_LEN   16
#define SMX_UMAC_NONCE_LEN 8
#define SMX_UMAC_TAG_MAX   16
/*
 * Bytes in a message. Beyond it RFC 4418 has a second, wider polynomial (section 5.3.1), which we
 * have not: no SSH packet is a hundredth as long.
 */
#define SMX_UMAC_MESSAGE_MAX ((size_t)1 << 24)

struct smx_umac;

/*
 * key: SMX_UMAC_KEY_LEN bytes, of which what is needed is copied. tag_len: 4, 8, 12 or 16 (SSH has 8
 * and 16). 0, SMX_EINVAL (tag_len), SMX_ENOMEM, SMX_ECRYPTO.
 */
int smx_umac_new(struct smx_umac **ret, const uint8_t *key, size_t tag_len);
void smx_umac_free(struct smx_umac *u);

/* The next n bytes of the message, in pieces of any length. */
void smx_umac_update(struct smx_umac *u, const uint8_t *p, size_t n);
/*
 * The message ends: tag_len bytes to tag, and the next message may begin, also after an error.
 * nonce: SMX_UMAC_NONCE_LEN bytes. SMX_ETOOBIG if the message was longer than SMX_UMAC_MESSAGE_MAX,
 * SMX_ECRYPTO; tag is untouched then.
 */
int smx_umac_final(struct smx_umac *u, const uint8_t *nonce, uint8_t *tag);

#endif
