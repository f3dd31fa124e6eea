/* SPDX-License-Identifier: MIT */
// fuzzes: src/crypto/cipher_chacha.c src/crypto/cipher_ctr.c src/crypto/cipher_gcm.c
/*
 * Packets of every cipher. Input: suite, mode, then bytes. Mode even: the bytes are a wire to
 * be opened, packet after packet; a forged tag must never pass. Mode odd: the bytes are a
 * payload to be sealed in pieces and opened again, whole and with one bit flipped.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/cipher.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define PACKET_MAX 8192
#define PARTS_MAX  64

static const struct {
	const char *cipher, *mac;
} suites[] = {
	{ "chacha20-poly1305@openssh.com", NULL },
	{ "aes128-gcm@openssh.com", NULL },
	{ "aes256-gcm@openssh.com", NULL },
	{ "aes128-ctr", "hmac-sha2-256-etm@openssh.com" },
	{ "aes192-ctr", "hmac-sha2-512-etm@openssh.com" },
	{ "aes256-ctr", "hmac-sha2-256" },
	{ "aes128-ctr", "hmac-sha2-512" },
	{ "aes128-ctr", "umac-64-etm@openssh.com" },
	{ "aes256-ctr", "umac-128@openssh.com" },
};

static struct smx_protect *make(size_t suite, int encrypt)
{
	static const uint8_t key[SMX_CIPHER_KEY_MAX] = "no secret at all",
			     iv[SMX_CIPHER_IV_MAX] = "nor is this",
			     mac_key[SMX_MAC_KEY_MAX] = "nor this";
	const char *cipher = suites[suite].cipher, *mac = suites[suite].mac;
	struct smx_protect *p;

	CHECK(smx_protect_new(&p, smx_cipher_find(smx_view_of(cipher, strlen(cipher))),
		      mac ? smx_mac_find(smx_view_of(mac, strlen(mac))) : NULL, encrypt, key, iv,
		      mac_key) == 0);
	return p;
}

static void open_wire(size_t suite, uint8_t *wire, size_t size)
{
	struct smx_protect *p = make(suite, 0);
	size_t tag_len = smx_protect_tag_len(p);
	uint32_t len;

	if (size >= smx_protect_head_len(p)) {
		CHECK(smx_protect_open_length(p, 0, wire, &len) == 0);
		/* What the engine checks before it opens: that so many bytes are there. */
		if (len >= 1 && size >= 4 + tag_len && len <= size - 4 - tag_len &&
			len + 4 >= smx_protect_head_len(p))
			CHECK(smx_protect_open(p, 0, wire, len) == SMX_EMAC);
	}
	smx_protect_free(p);
}

static void seal_and_open(size_t suite, const uint8_t *data, size_t size)
{
	struct smx_protect *seal = make(suite, 1), *open = make(suite, 0);
	static uint8_t wire[PACKET_MAX + 200], copy[PACKET_MAX + 200];
	struct smx_view parts[PARTS_MAX];
	uint8_t head[5], padding[64] = { 0 };
	size_t block = smx_protect_block_len(seal), counted, pad, total, n = 0, at = 0;
	uint32_t len;

	counted = size + (smx_protect_pads_length(seal) ? 5 : 1);
	pad = block - counted % block + block;
	smx_set_u32(head, (uint32_t)(1 + size + pad));
	head[4] = (uint8_t)pad;
	/* The payload's own bytes say where it is cut. */
	while (at < size && n < PARTS_MAX - 2) {
		size_t k = data[at] % 100 < 90 ? data[at] % 100 : 600;

		k = k < size - at ? k : size - at;
		parts[n++] = (struct smx_view){ data + at, k };
		at += k ? k : 1;
		if (k == 0)
			parts[n - 1] = (struct smx_view){ data + at - 1, 1 };
	}
	parts[n++] = (struct smx_view){ data + at, size - at };
	parts[n++] = (struct smx_view){ padding, pad };
	CHECK(smx_protect_seal(seal, 0, head, parts, n, wire) == 0);
	total = 5 + size + pad + smx_protect_tag_len(seal);
	memcpy(copy, wire, total);

	CHECK(smx_protect_open_length(open, 0, wire, &len) == 0);
	CHECK(len == 1 + size + pad);
	CHECK(smx_protect_open(open, 0, wire, len) == 0);
	CHECK(wire[4] == pad && (size == 0 || memcmp(wire + 5, data, size) == 0));
	smx_protect_free(open);

	open = make(suite, 0);
	at = size ? data[size / 2] * 31u % total : 0;
	copy[at] ^= (uint8_t)(1 << (size & 7));
	CHECK(smx_protect_open_length(open, 0, copy, &len) == 0);
	CHECK((len == 1 + size + pad) == (at >= 4));
	CHECK(smx_protect_open(open, 0, copy, (uint32_t)(1 + size + pad)) == SMX_EMAC);
	smx_protect_free(open);
	smx_protect_free(seal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t wire[PACKET_MAX];
	long before = smx_mem_alive();
	size_t suite;

	if (size < 2 || size > PACKET_MAX - 200)
		return 0;
	suite = data[0] % SMX_ARRAY_LEN(suites);
	if (data[1] & 1) {
		seal_and_open(suite, data + 2, size - 2);
	} else {
		memcpy(wire, data + 2, size - 2);
		open_wire(suite, wire, size - 2);
	}
	CHECK(smx_mem_alive() == before);
	return 0;
}
