/* SPDX-License-Identifier: MIT */
/*
 * AES in counter mode (RFC 4344) with HMAC-SHA-2 (RFC 6668), HMAC-SHA-1 or UMAC, as RFC 4253 section
 * 6.4 has it and as encrypt-then-MAC. The counter runs on from packet to packet.
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cipher_priv.h"

static const char *evp_name(const struct smx_cipher_alg *alg)
{
	switch (alg->key_len) {
	case 16:
		return "AES-128-CTR";
	case 24:
		return "AES-192-CTR";
	default:
		return "AES-256-CTR";
	}
}

static int ctr_init(
	struct smx_protect *p, const uint8_t *key, const uint8_t *iv, const uint8_t *mac_key)
{
	p->ctx = smx_cipher_ctx_new(evp_name(p->cipher), p->encrypt, key, iv);
	if (!p->ctx)
		return SMX_ECRYPTO;
	if (!p->mac->digest)
		return smx_umac_new(&p->umac, mac_key, p->mac->tag_len);
	p->mac_ctx = smx_mac_ctx_new("HMAC", p->mac->digest, mac_key, p->mac->key_len);
	return p->mac_ctx ? 0 : SMX_ECRYPTO;
}

static int umac(struct smx_protect *p, uint32_t seq, const uint8_t *from, size_t n,
	const struct smx_view *parts, size_t n_parts, uint8_t tag[SMX_TAG_MAX])
{
	uint8_t nonce[SMX_UMAC_NONCE_LEN];
	int r;

	if ((r = smx_protect_use_nonce(p, seq)) != 0)
		return r;
	smx_set_u64(nonce, seq);
	smx_umac_update(p->umac, from, n);
	for (size_t i = 0; i < n_parts; i++)
		smx_umac_update(p->umac, parts[i].p, parts[i].len);
	return smx_umac_final(p->umac, nonce, tag);
}

static int hmac(struct smx_protect *p, uint32_t seq, const uint8_t *from, size_t n,
	const struct smx_view *parts, size_t n_parts, uint8_t tag[SMX_TAG_MAX])
{
	uint8_t seq_bytes[4];
	size_t tag_len;

	smx_set_u32(seq_bytes, seq);
	/* Without a key: the same one again. */
	if (EVP_MAC_init(p->mac_ctx, NULL, 0, NULL) != 1 ||
		EVP_MAC_update(p->mac_ctx, seq_bytes, sizeof(seq_bytes)) != 1 ||
		EVP_MAC_update(p->mac_ctx, from, n) != 1)
		return SMX_ECRYPTO;
	for (size_t i = 0; i < n_parts; i++)
		if (parts[i].len && EVP_MAC_update(p->mac_ctx, parts[i].p, parts[i].len) != 1)
			return SMX_ECRYPTO;
	return EVP_MAC_final(p->mac_ctx, tag, &tag_len, SMX_TAG_MAX) == 1 ? 0 : SMX_ECRYPTO;
}

/* The MAC of seq, the n bytes at `from` and the parts. */
static int make_tag(struct smx_protect *p, uint32_t seq, const uint8_t *from, size_t n,
	const struct smx_view *parts, size_t n_parts, uint8_t tag[SMX_TAG_MAX])
{
	return p->umac ? umac(p, seq, from, n, parts, n_parts, tag)
		       : hmac(p, seq, from, n, parts, n_parts, tag);
}

static int ctr_seal(struct smx_protect *p, uint32_t seq, const uint8_t head[5],
	const struct smx_view *parts, size_t n_parts, uint8_t *out)
{
	uint8_t tag[SMX_TAG_MAX];
	size_t len = 5;
	int r;

	for (size_t i = 0; i < n_parts; i++)
		len += parts[i].len;
	if (p->mac->is_etm) {
		memcpy(out, head, 4);
		r = smx_cipher_gather(p->ctx, head + 4, 1, parts, n_parts, out + 4);
		if (r == 0)
			r = make_tag(p, seq, out, len, NULL, 0, tag);
	} else {
		r = make_tag(p, seq, head, 5, parts, n_parts, tag);
		if (r == 0)
			r = smx_cipher_gather(p->ctx, head, 5, parts, n_parts, out);
	}
	if (r == 0)
		memcpy(out + len, tag, p->mac->tag_len);
	return r;
}

static int ctr_open_length(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t *ret_len)
{
	int r;

	(void)seq;
	if (!p->mac->is_etm && (r = smx_cipher_update(p->ctx, pkt, pkt, p->cipher->block_len)) != 0)
		return r;
	*ret_len = smx_get_u32(pkt);
	return 0;
}

static int ctr_open(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t packet_len)
{
	uint8_t tag[SMX_TAG_MAX];
	size_t len = 4 + (size_t)packet_len, block_len = p->cipher->block_len;
	int r;

	if (!p->mac->is_etm) {
		/* The first block is clear already, so a packet can't be shorter. */
		if (len < block_len)
			return SMX_EMAC;
		if ((r = smx_cipher_update(
			     p->ctx, pkt + block_len, pkt + block_len, len - block_len)) != 0)
			return r;
	}
	if ((r = make_tag(p, seq, pkt, len, NULL, 0, tag)) != 0)
		return r;
	if (!smx_ct_equal(tag, pkt + len, p->mac->tag_len))
		return SMX_EMAC;
	return p->mac->is_etm ? smx_cipher_update(p->ctx, pkt + 4, pkt + 4, packet_len) : 0;
}

const struct smx_protect_ops smx_protect_ctr = {
	.init = ctr_init,
	.seal = ctr_seal,
	.open_length = ctr_open_length,
	.open = ctr_open,
};
