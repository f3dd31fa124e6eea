/* SPDX-License-Identifier: MIT */
/*
 * chacha20-poly1305@openssh.com, which is not RFC 8439's: 64 key bytes are two ChaCha20
 * keys, the first for the packet, the second for its 4 length bytes. The nonce of both is
 * the sequence number. Block 0 of the packet key's stream is the Poly1305 key, the packet is
 * encrypted from block 1 on, and the tag covers all that is on the wire before it.
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cipher_priv.h"

#define CHACHA_BLOCK_LEN 64
#define CHACHA_IV_LEN    16
#define POLY_KEY_LEN     32

static int chacha_init(
	struct smx_protect *p, const uint8_t *key, const uint8_t *iv, const uint8_t *mac_key)
{
	static const uint8_t zero_iv[CHACHA_IV_LEN];

	(void)iv;
	(void)mac_key;
	/* A stream cipher: both directions encrypt. */
	p->ctx = smx_cipher_ctx_new("ChaCha20", 1, key, zero_iv);
	p->length_ctx = smx_cipher_ctx_new("ChaCha20", 1, key + 32, zero_iv);
	p->mac_ctx = smx_mac_ctx_new("Poly1305", NULL, NULL, 0);
	return p->ctx && p->length_ctx && p->mac_ctx ? 0 : SMX_ECRYPTO;
}

static int crypt_length(struct smx_protect *p, uint32_t seq, const uint8_t *from, uint8_t *to)
{
	uint8_t iv[CHACHA_IV_LEN] = { 0 };

	smx_set_u32(iv + 12, seq);
	if (EVP_CipherInit_ex2(p->length_ctx, NULL, NULL, iv, -1, NULL) != 1)
		return SMX_ECRYPTO;
	return smx_cipher_update(p->length_ctx, to, from, 4);
}

/* Leaves the packet key's stream at block 1 and Poly1305 ready. */
static int begin_packet(struct smx_protect *p, uint32_t seq)
{
	static const uint8_t zeros[CHACHA_BLOCK_LEN];
	uint8_t iv[CHACHA_IV_LEN] = { 0 }, block[CHACHA_BLOCK_LEN];
	int r;

	if ((r = smx_protect_use_nonce(p, seq)) != 0)
		return r;
	r = SMX_ECRYPTO;
	smx_set_u32(iv + 12, seq);
	if (EVP_CipherInit_ex2(p->ctx, NULL, NULL, iv, -1, NULL) == 1 &&
		smx_cipher_update(p->ctx, block, zeros, sizeof(zeros)) == 0 &&
		EVP_MAC_init(p->mac_ctx, block, POLY_KEY_LEN, NULL) == 1)
		r = 0;
	smx_wipe(block, sizeof(block));
	return r;
}

static int poly1305(struct smx_protect *p, const uint8_t *from, size_t n, uint8_t *tag)
{
	size_t tag_len;

	if (EVP_MAC_update(p->mac_ctx, from, n) != 1 ||
		EVP_MAC_final(p->mac_ctx, tag, &tag_len, SMX_AEAD_TAG_LEN) != 1)
		return SMX_ECRYPTO;
	return 0;
}

static int chacha_seal(struct smx_protect *p, uint32_t seq, const uint8_t head[5],
	const struct smx_view *parts, size_t n_parts, uint8_t *out)
{
	size_t len = 5;
	int r;

	for (size_t i = 0; i < n_parts; i++)
		len += parts[i].len;
	if ((r = begin_packet(p, seq)) != 0 || (r = crypt_length(p, seq, head, out)) != 0 ||
		(r = smx_cipher_gather(p->ctx, head + 4, 1, parts, n_parts, out + 4)) != 0)
		return r;
	return poly1305(p, out, len, out + len);
}

static int chacha_open_length(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t *ret_len)
{
	uint8_t clear[4];
	int r;

	if ((r = crypt_length(p, seq, pkt, clear)) != 0)
		return r;
	*ret_len = smx_get_u32(clear);
	return 0;
}

static int chacha_open(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t packet_len)
{
	uint8_t tag[SMX_AEAD_TAG_LEN];
	size_t len = 4 + (size_t)packet_len;
	int r;

	if ((r = begin_packet(p, seq)) != 0 || (r = poly1305(p, pkt, len, tag)) != 0)
		return r;
	if (!smx_ct_equal(tag, pkt + len, sizeof(tag)))
		return SMX_EMAC;
	return smx_cipher_update(p->ctx, pkt + 4, pkt + 4, packet_len);
}

int smx_chacha_open_blob(const uint8_t key[64], const uint8_t *from, size_t n,
	const uint8_t tag[SMX_AEAD_TAG_LEN], uint8_t *to)
{
	static const uint8_t name[] = "chacha20-poly1305@openssh.com";
	const struct smx_cipher_alg *alg =
		smx_cipher_find((struct smx_view){ name, sizeof(name) - 1 });
	struct smx_protect *p;
	uint8_t ours[SMX_AEAD_TAG_LEN];
	int r;

	if ((r = smx_protect_new(&p, alg, NULL, 0, key, NULL, NULL)) != 0)
		return r;
	if ((r = begin_packet(p, 0)) == 0 && (r = poly1305(p, from, n, ours)) == 0) {
		r = smx_ct_equal(ours, tag, sizeof(ours)) ? 0 : SMX_EMAC;
		if (r == 0)
			r = smx_cipher_update(p->ctx, to, from, n);
	}
	smx_protect_free(p);
	return r;
}

const struct smx_protect_ops smx_protect_chacha = {
	.init = chacha_init,
	.seal = chacha_seal,
	.open_length = chacha_open_length,
	.open = chacha_open,
};
