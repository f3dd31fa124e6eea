/* SPDX-License-Identifier: MIT */
/*
 * aes128-gcm@openssh.com and aes256-gcm@openssh.com: RFC 5647 section 7, named so that
 * negotiating them leaves the MAC out. The IV is 4 fixed bytes and an invocation counter
 * of 8 bytes, plus one a packet, beginning where the key derivation says.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cipher_priv.h"

/* The counter wraps at 2^64; nobody gets here, and nothing goes on if somebody does. */
#define INVOCATIONS_MAX ((uint64_t)1 << 63)

static int gcm_init(
	struct smx_protect *p, const uint8_t *key, const uint8_t *iv, const uint8_t *mac_key)
{
	(void)mac_key;
	memcpy(p->iv, iv, SMX_GCM_IV_LEN);
	p->ctx = smx_cipher_ctx_new(
		p->cipher->key_len == 16 ? "AES-128-GCM" : "AES-256-GCM", p->encrypt, key, p->iv);
	return p->ctx ? 0 : SMX_ECRYPTO;
}

/* Makes the context ready for one packet, and its 4 length bytes authenticated. */
static int begin_packet(struct smx_protect *p, const uint8_t *length)
{
	int n;

	if (p->n_packets++ >= INVOCATIONS_MAX)
		return SMX_ECRYPTO;
	/* Only the IV: the key schedule stays. As quick as letting libcrypto count, and both ways.
	 */
	if (EVP_CipherInit_ex2(p->ctx, NULL, NULL, p->iv, -1, NULL) != 1 ||
		EVP_CipherUpdate(p->ctx, NULL, &n, length, 4) != 1)
		return SMX_ECRYPTO;
	/* Used up, whatever comes of this packet. */
	for (size_t i = SMX_GCM_IV_LEN; i-- > 4;)
		if (++p->iv[i] != 0)
			break;
	return 0;
}

static int gcm_seal(struct smx_protect *p, uint32_t seq, const uint8_t head[5],
	const struct smx_view *parts, size_t n_parts, uint8_t *out)
{
	size_t len = 5;
	int n, r;

	(void)seq;
	for (size_t i = 0; i < n_parts; i++)
		len += parts[i].len;
	memcpy(out, head, 4);
	if ((r = begin_packet(p, head)) != 0 ||
		(r = smx_cipher_gather(p->ctx, head + 4, 1, parts, n_parts, out + 4)) != 0)
		return r;
	if (EVP_CipherFinal_ex(p->ctx, out + len, &n) != 1 ||
		EVP_CIPHER_CTX_ctrl(p->ctx, EVP_CTRL_AEAD_GET_TAG, SMX_AEAD_TAG_LEN, out + len) !=
			1)
		return SMX_ECRYPTO;
	return 0;
}

static int gcm_open_length(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t *ret_len)
{
	(void)p;
	(void)seq;
	*ret_len = smx_get_u32(pkt);
	return 0;
}

static int gcm_open(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t packet_len)
{
	uint8_t *tag = pkt + 4 + packet_len;
	int n, r;

	(void)seq;
	if ((r = begin_packet(p, pkt)) != 0 ||
		(r = smx_cipher_update(p->ctx, pkt + 4, pkt + 4, packet_len)) != 0)
		return r;
	if (EVP_CIPHER_CTX_ctrl(p->ctx, EVP_CTRL_AEAD_SET_TAG, SMX_AEAD_TAG_LEN, tag) != 1)
		return SMX_ECRYPTO;
	return EVP_CipherFinal_ex(p->ctx, tag, &n) == 1 ? 0 : SMX_EMAC;
}

const struct smx_protect_ops smx_protect_gcm = {
	.init = gcm_init,
	.seal = gcm_seal,
	.open_length = gcm_open_length,
	.open = gcm_open,
};
