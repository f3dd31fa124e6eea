/* SPDX-License-Identifier: MIT */
#include "crypto/cipher.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cipher_priv.h"

/* Pieces up to this long are copied together rather than given to libcrypto one by one. */
#define GATHER_MAX 512
/* A multiple of every cipher's block: whole blocks take libcrypto's wide path. */
#define GATHER_ALIGN 64

/* Sequence numbers repeat after this many packets, and a nonce must not. */
#define SEQ_PACKETS_MAX ((uint64_t)1 << 32)

#define CHACHA_NAME "chacha20-poly1305@openssh.com"
#define GCM_NAMES   "aes128-gcm@openssh.com,aes256-gcm@openssh.com"
#define CTR_NAMES   "aes128-ctr,aes192-ctr,aes256-ctr"

static const struct cipher_entry {
	struct smx_cipher_alg alg;
	const struct smx_protect_ops *ops;
} ciphers[] = {
	{ { CHACHA_NAME, 64, 0, 8, SMX_AEAD_TAG_LEN, 1 }, &smx_protect_chacha },
	{ { "aes128-gcm@openssh.com", 16, SMX_GCM_IV_LEN, 16, SMX_AEAD_TAG_LEN, 1 },
		&smx_protect_gcm },
	{ { "aes256-gcm@openssh.com", 32, SMX_GCM_IV_LEN, 16, SMX_AEAD_TAG_LEN, 1 },
		&smx_protect_gcm },
	{ { "aes128-ctr", 16, 16, 16, 0, 0 }, &smx_protect_ctr },
	{ { "aes192-ctr", 24, 16, 16, 0, 0 }, &smx_protect_ctr },
	{ { "aes256-ctr", 32, 16, 16, 0, 0 }, &smx_protect_ctr },
};

static const struct smx_mac_alg macs[] = {
	{ "umac-64-etm@openssh.com", SMX_UMAC_KEY_LEN, 8, 1, NULL },
	{ "umac-128-etm@openssh.com", SMX_UMAC_KEY_LEN, 16, 1, NULL },
	{ "hmac-sha2-256-etm@openssh.com", 32, 32, 1, "SHA256" },
	{ "hmac-sha2-512-etm@openssh.com", 64, 64, 1, "SHA512" },
	{ "umac-64@openssh.com", SMX_UMAC_KEY_LEN, 8, 0, NULL },
	{ "umac-128@openssh.com", SMX_UMAC_KEY_LEN, 16, 0, NULL },
	{ "hmac-sha2-256", 32, 32, 0, "SHA256" },
	{ "hmac-sha2-512", 64, 64, 0, "SHA512" },
	/* A16. HMAC is not broken with SHA-1, but nobody should begin with it. */
	{ "hmac-sha1-etm@openssh.com", 20, 20, 1, "SHA1" },
	{ "hmac-sha1", 20, 20, 0, "SHA1" },
};

static const struct cipher_entry *entry_of(const struct smx_cipher_alg *alg)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(ciphers); i++)
		if (&ciphers[i].alg == alg)
			return &ciphers[i];
	return NULL;
}

const struct smx_cipher_alg *smx_cipher_find(struct smx_view name)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(ciphers); i++)
		if (smx_view_eq(name, ciphers[i].alg.name))
			return &ciphers[i].alg;
	return NULL;
}

const struct smx_mac_alg *smx_mac_find(struct smx_view name)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(macs); i++)
		if (smx_view_eq(name, macs[i].name))
			return &macs[i];
	return NULL;
}

static int cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes") != 0;
#elif defined(__aarch64__)
	return 1; /* all but a few boards; asking is different on every system */
#else
	return 0;
#endif
}

const char *smx_cipher_names(void)
{
	return cpu_has_aes() ? GCM_NAMES "," CHACHA_NAME "," CTR_NAMES
			     : CHACHA_NAME "," GCM_NAMES "," CTR_NAMES;
}

const char *smx_mac_names(void)
{
	/* Encrypt-then-MAC first; else OpenSSH's order, which is that of speed. */
	return "umac-64-etm@openssh.com,umac-128-etm@openssh.com,"
	       "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
	       "umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512";
}

const char *smx_mac_old_names(void)
{
	return "hmac-sha1-etm@openssh.com,hmac-sha1";
}

int smx_protect_new(struct smx_protect **ret, const struct smx_cipher_alg *cipher,
	const struct smx_mac_alg *mac, int encrypt, const uint8_t *key, const uint8_t *iv,
	const uint8_t *mac_key)
{
	const struct cipher_entry *entry = entry_of(cipher);
	struct smx_protect *p;
	int r;

	if (!entry || !mac != !!cipher->is_aead)
		return SMX_EINVAL;
	p = smx_calloc(1, sizeof(*p));
	if (!p)
		return SMX_ENOMEM;
	p->ops = entry->ops;
	p->cipher = cipher;
	p->mac = mac;
	p->encrypt = encrypt ? 1 : 0;
	if ((r = p->ops->init(p, key, iv, mac_key)) != 0) {
		smx_protect_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void smx_protect_free(struct smx_protect *p)
{
	if (!p)
		return;
	/* libcrypto wipes the key schedules. */
	EVP_CIPHER_CTX_free(p->ctx);
	EVP_CIPHER_CTX_free(p->length_ctx);
	EVP_MAC_CTX_free(p->mac_ctx);
	smx_umac_free(p->umac);
	smx_wipe_free(p, sizeof(*p));
}

size_t smx_protect_block_len(const struct smx_protect *p)
{
	return p->cipher->block_len;
}

size_t smx_protect_tag_len(const struct smx_protect *p)
{
	return p->mac ? p->mac->tag_len : p->cipher->tag_len;
}

int smx_protect_pads_length(const struct smx_protect *p)
{
	return p->mac && !p->mac->is_etm;
}

size_t smx_protect_head_len(const struct smx_protect *p)
{
	return smx_protect_pads_length(p) ? p->cipher->block_len : 4;
}

int smx_protect_seal(struct smx_protect *p, uint32_t seq, const uint8_t head[5],
	const struct smx_view *parts, size_t n_parts, uint8_t *out)
{
	if (!p->encrypt)
		return SMX_EINVAL;
	return p->ops->seal(p, seq, head, parts, n_parts, out);
}

int smx_protect_open_length(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t *ret_len)
{
	if (p->encrypt)
		return SMX_EINVAL;
	return p->ops->open_length(p, seq, pkt, ret_len);
}

int smx_protect_open(struct smx_protect *p, uint32_t seq, uint8_t *pkt, uint32_t packet_len)
{
	if (p->encrypt)
		return SMX_EINVAL;
	return p->ops->open(p, seq, pkt, packet_len);
}

int smx_protect_use_nonce(struct smx_protect *p, uint32_t seq)
{
	if (p->n_packets > 0 && seq != p->next_seq)
		return SMX_ECRYPTO;
	if (p->n_packets >= SEQ_PACKETS_MAX)
		return SMX_ECRYPTO;
	p->n_packets++;
	p->next_seq = seq + 1;
	return 0;
}

int smx_cipher_gather(EVP_CIPHER_CTX *ctx, const uint8_t *head, size_t head_len,
	const struct smx_view *parts, size_t n_parts, uint8_t *out)
{
	/* [from, to) holds clear bytes that are encrypted in place, all at once. */
	uint8_t *from = out, *to = out + head_len;
	int r;

	memcpy(out, head, head_len);
	for (size_t i = 0; i < n_parts; i++) {
		const uint8_t *src = parts[i].p;
		size_t n = parts[i].len, fill, bulk;

		if (n > GATHER_MAX) {
			/* The bulk of a long piece goes from its place, in whole blocks. */
			fill = (GATHER_ALIGN - (size_t)(to - out) % GATHER_ALIGN) % GATHER_ALIGN;
			bulk = (n - fill) / GATHER_ALIGN * GATHER_ALIGN;
			memcpy(to, src, fill);
			to += fill;
			if ((r = smx_cipher_update(ctx, from, from, (size_t)(to - from))) != 0 ||
				(r = smx_cipher_update(ctx, to, src + fill, bulk)) != 0)
				return r;
			from = to = to + bulk;
			src += fill + bulk;
			n -= fill + bulk;
		}
		if (n)
			memcpy(to, src, n);
		to += n;
	}
	return smx_cipher_update(ctx, from, from, (size_t)(to - from));
}
