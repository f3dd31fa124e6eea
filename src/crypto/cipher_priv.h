/* SPDX-License-Identifier: MIT */
/* What the cipher families share; private to src/crypto. */
#ifndef SMX_CRYPTO_CIPHER_PRIV_H
#define SMX_CRYPTO_CIPHER_PRIV_H

#include "crypto/cipher.h"
#include "crypto/evp_priv.h"
#include "crypto/umac.h"

#define SMX_GCM_IV_LEN   12
#define SMX_AEAD_TAG_LEN 16

struct smx_protect_ops {
	int (*init)(struct smx_protect *p, const uint8_t *key, const uint8_t *iv,
		const uint8_t *mac_key);
	int (*seal)(struct smx_protect *p, uint32_t seq, const uint8_t head[5],
		const struct smx_view *parts, size_t n_parts, uint8_t *out);
	int (*open_length)(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t *ret_len);
	int (*open)(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t packet_len);
};

struct smx_protect {
	const struct smx_protect_ops *ops;
	const struct smx_cipher_alg *cipher;
	const struct smx_mac_alg *mac;
	int encrypt;
	EVP_CIPHER_CTX *ctx;
	EVP_CIPHER_CTX *length_ctx; /* chacha20: the key of the length bytes */
	EVP_MAC_CTX *mac_ctx; /* HMAC or Poly1305 */
	struct smx_umac *umac; /* in the place of HMAC */
	uint8_t iv[SMX_GCM_IV_LEN]; /* GCM: of the next packet */
	uint64_t n_packets; /* AEAD and UMAC: opened or sealed under this key */
	uint32_t next_seq; /* chacha20 and UMAC: the only number that may come next */
};

extern const struct smx_protect_ops smx_protect_gcm, smx_protect_chacha, smx_protect_ctr;

/*
 * Where the sequence number is the nonce: SMX_ECRYPTO if it does not follow the last one or could
 * have been used under this key before. To be called once for each packet.
 */
int smx_protect_use_nonce(struct smx_protect *p, uint32_t seq);

/*
 * Encrypts head_len bytes of head and then the parts to out, as one stream that must
 * stand at a block boundary. 0 or SMX_ECRYPTO.
 */
int smx_cipher_gather(EVP_CIPHER_CTX *ctx, const uint8_t *head, size_t head_len,
	const struct smx_view *parts, size_t n_parts, uint8_t *out);

/*
 * Key files use chacha20-poly1305@openssh.com without length bytes and with number 0:
 * verifies the n bytes at from and decrypts them to to. SMX_EMAC, SMX_ECRYPTO, SMX_ENOMEM.
 */
int smx_chacha_open_blob(const uint8_t key[64], const uint8_t *from, size_t n,
	const uint8_t tag[SMX_AEAD_TAG_LEN], uint8_t *to);

#endif
