/* SPDX-License-Identifier: MIT */
/*
 * Protection of SSH binary packets (RFC 4253 section 6), one direction.
 *
 * A packet on the wire is
 *
 *	uint32 packet_len | byte padding_len | payload | padding | tag
 *
 * and the four families differ in what is encrypted and what is authenticated:
 *
 *	GCM (RFC 5647 as OpenSSH does it)
 *		length in clear, authenticated; IV counter + 1 a packet
 *	chacha20-poly1305@openssh.com
 *		two ChaCha20 keys (payload key first in the key material), IV = LE64 block
 *		counter || BE64 sequence number, Poly1305 over encrypted length || encrypted rest
 *	CTR + encrypt-then-MAC
 *		length in clear, MAC(seq || length || ciphertext)
 *	CTR + encrypt-and-MAC
 *		length encrypted, MAC(seq || plaintext)
 *
 * where MAC is HMAC, or UMAC with seq as 8 bytes of nonce and not before the message
 * (draft-miller-secsh-umac-01).
 *
 * One EVP context lives as long as the keys do.
 */
#ifndef SMX_CRYPTO_CIPHER_H
#define SMX_CRYPTO_CIPHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

#define SMX_CIPHER_KEY_MAX 64
#define SMX_CIPHER_IV_MAX  16
#define SMX_MAC_KEY_MAX    64
#define SMX_TAG_MAX        64

struct smx_cipher_alg {
	const char *name;
	size_t key_len, iv_len;
	size_t block_len; /* padding unit: 8 for chacha20, 16 else */
	size_t tag_len; /* 0: the MAC algorithm decides */
	int is_aead; /* no MAC algorithm is negotiated */
};

struct smx_mac_alg {
	const char *name;
	size_t key_len, tag_len;
	int is_etm;
	const char *digest; /* HMAC's, by libcrypto's name; NULL: UMAC (crypto/umac.h) */
};

/* NULL if we don't implement it. */
const struct smx_cipher_alg *smx_cipher_find(struct smx_view name);
const struct smx_mac_alg *smx_mac_find(struct smx_view name);
/* Our preference, as a name-list: aes128-gcm first where the CPU has AES, chacha20 first else. */
const char *smx_cipher_names(void);
const char *smx_mac_names(void);
/* Those that are offered only to a server for which somebody names them (A16). */
const char *smx_mac_old_names(void);

struct smx_protect;

/*
 * mac is NULL exactly for AEAD ciphers. key, iv and mac_key have the lengths the
 * algorithms say (iv is unused by chacha20: iv_len 0). The caller wipes its copies.
 * encrypt: 1 for the sending direction. 0, SMX_ENOMEM, SMX_ECRYPTO; SMX_EINVAL if mac is
 * there or missing against the rule.
 */
int smx_protect_new(struct smx_protect **ret, const struct smx_cipher_alg *cipher,
	const struct smx_mac_alg *mac, int encrypt, const uint8_t *key, const uint8_t *iv,
	const uint8_t *mac_key);
void smx_protect_free(struct smx_protect *p);

size_t smx_protect_block_len(const struct smx_protect *p);
size_t smx_protect_tag_len(const struct smx_protect *p);
/*
 * Whether the 4 length bytes count towards the padding unit: only where they are
 * encrypted with the rest (CTR + encrypt-and-MAC).
 */
int smx_protect_pads_length(const struct smx_protect *p);

/*
 * Seals one packet. head is packet_len and padding_len (5 bytes), followed by n
 * parts (payload pieces, then padding), all in clear; out gets them sealed plus the
 * tag: 5 + sum of parts + tag_len bytes. Parts are only read, out overlaps none of them.
 * Many small parts cost no more than one. Sequence numbers go up by one a packet (chacha20
 * and UMAC check it: a number used twice under one key would give its plaintexts away).
 * 0 or SMX_ECRYPTO; SMX_EINVAL if this is the receiving direction.
 */
int smx_protect_seal(struct smx_protect *p, uint32_t seq, const uint8_t head[5],
	const struct smx_view *parts, size_t n_parts, uint8_t *out);

/* Bytes needed before smx_protect_open_length may be called: 4 or a block. */
size_t smx_protect_head_len(const struct smx_protect *p);
/*
 * packet_len of the packet that begins at pkt; to be called exactly once a packet.
 * CTR + encrypt-and-MAC decrypts the first block in place; else pkt is only read.
 * The value is not checked here and, but for clear lengths, not trustworthy yet.
 */
int smx_protect_open_length(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t *ret_len);
/*
 * Verifies and decrypts in place the whole packet: 4 + packet_len + tag_len bytes at
 * pkt. packet_len is what open_length gave, bounded by the caller: at least a padding_len
 * byte, and no more than what is at pkt. On success pkt[4] is padding_len and the payload
 * follows it. SMX_EMAC: the bytes at pkt are worthless and must not be looked at, and the
 * connection is over. SMX_ECRYPTO.
 */
int smx_protect_open(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t packet_len);

#endif
