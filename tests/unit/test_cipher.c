/* SPDX-License-Identifier: MIT */
/*
 * Packet protection, against a second construction that shares no code with it: fresh
 * libcrypto contexts for every packet, counter mode out of single AES blocks, ChaCha20 with
 * the block counter written by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cipher.h"
#include "crypto/umac.h"
#include "util_data.h"

#define PACKET_MAX 40000

struct suite {
	const char *cipher, *mac;
};

static const struct suite suites[] = {
	{ "chacha20-poly1305@openssh.com", NULL },
	{ "aes128-gcm@openssh.com", NULL },
	{ "aes256-gcm@openssh.com", NULL },
	{ "aes128-ctr", "hmac-sha2-256-etm@openssh.com" },
	{ "aes192-ctr", "hmac-sha2-512-etm@openssh.com" },
	{ "aes256-ctr", "hmac-sha2-512-etm@openssh.com" },
	{ "aes128-ctr", "hmac-sha2-256" },
	{ "aes192-ctr", "hmac-sha2-256" },
	{ "aes256-ctr", "hmac-sha2-512" },
	{ "aes128-ctr", "umac-64-etm@openssh.com" },
	{ "aes256-ctr", "umac-128-etm@openssh.com" },
	{ "aes192-ctr", "umac-64@openssh.com" },
	{ "aes128-ctr", "umac-128@openssh.com" },
};

struct keys {
	uint8_t key[SMX_CIPHER_KEY_MAX], iv[SMX_CIPHER_IV_MAX], mac_key[SMX_MAC_KEY_MAX];
};

static struct keys make_keys(uint32_t seed)
{
	struct keys k;

	test_fill(&seed, k.key, sizeof(k.key));
	test_fill(&seed, k.iv, sizeof(k.iv));
	test_fill(&seed, k.mac_key, sizeof(k.mac_key));
	return k;
}

static struct smx_protect *make(const struct suite *s, const struct keys *k, int encrypt)
{
	const struct smx_mac_alg *mac = s->mac ? smx_mac_find(test_str(s->mac)) : NULL;
	struct smx_protect *p;

	assert_int_equal(smx_protect_new(&p, smx_cipher_find(test_str(s->cipher)), mac, encrypt,
				 k->key, k->iv, k->mac_key),
		0);
	return p;
}

/* The reference. Each seals `clear` (4 length bytes and packet_len more) to out. */

static void evp_oneshot(const char *name, const uint8_t *key, const uint8_t *iv,
	const uint8_t *from, size_t n, uint8_t *to)
{
	EVP_CIPHER *evp = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len;

	assert_int_equal(EVP_EncryptInit_ex2(ctx, evp, key, iv, NULL), 1);
	(void)EVP_CIPHER_CTX_set_padding(ctx, 0);
	assert_int_equal(EVP_EncryptUpdate(ctx, to, &len, from, (int)n), 1);
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(evp);
}

static void reference_gcm(const struct suite *s, const struct keys *k, uint64_t n_before,
	const uint8_t *clear, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint64_t counter = 0;
	uint8_t iv[12];
	int n;

	for (int i = 4; i < 12; i++)
		counter = counter << 8 | k->iv[i];
	memcpy(iv, k->iv, 4);
	smx_set_u64(iv + 4, counter + n_before);
	memcpy(out, clear, 4);
	assert_int_equal(EVP_EncryptInit_ex(ctx,
				 strstr(s->cipher, "128") ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
				 NULL, k->key, iv),
		1);
	assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &n, clear, 4), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, out + 4, &n, clear + 4, (int)len - 4), 1);
	assert_int_equal(EVP_EncryptFinal_ex(ctx, out + len, &n), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, out + len), 1);
	EVP_CIPHER_CTX_free(ctx);
}

static void reference_chacha(
	const struct keys *k, uint32_t seq, const uint8_t *clear, size_t len, uint8_t *out)
{
	uint8_t iv[16] = { 0 }, zeros[32] = { 0 }, poly_key[32];

	smx_set_u32(iv + 12, seq);
	evp_oneshot("ChaCha20", k->key + 32, iv, clear, 4, out);
	evp_oneshot("ChaCha20", k->key, iv, zeros, 32, poly_key);
	iv[0] = 1;
	evp_oneshot("ChaCha20", k->key, iv, clear + 4, len - 4, out + 4);
	assert_non_null(EVP_Q_mac(
		NULL, "POLY1305", NULL, NULL, NULL, poly_key, 32, out, len, out + len, 16, NULL));
}

/* 16 bytes at a time: AES of a counter that starts at iv and is 128 bits wide. */
static void reference_ctr_stream(
	const struct keys *k, size_t key_len, size_t at, const uint8_t *from, size_t n, uint8_t *to)
{
	const char *ecb = key_len == 16   ? "AES-128-ECB"
			  : key_len == 24 ? "AES-192-ECB"
					  : "AES-256-ECB";
	uint8_t counter[16], block[16];

	memcpy(counter, k->iv, 16);
	for (size_t i = 0; i < at / 16; i++)
		for (int j = 15; j >= 0 && ++counter[j] == 0; j--)
			;
	assert_int_equal(at % 16, 0);
	for (size_t i = 0; i < n; i++) {
		if (i % 16 == 0) {
			evp_oneshot(ecb, k->key, NULL, counter, 16, block);
			for (int j = 15; j >= 0 && ++counter[j] == 0; j--)
				;
		}
		to[i] = from[i] ^ block[i % 16];
	}
}

static void reference_hmac(const struct suite *s, const struct keys *k, uint32_t seq,
	const uint8_t *text, size_t len, uint8_t *tag)
{
	int sha512 = strstr(s->mac, "512") != NULL;
	uint8_t all[PACKET_MAX];

	smx_set_u32(all, seq);
	memcpy(all + 4, text, len);
	assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, sha512 ? "SHA512" : "SHA256", NULL,
		k->mac_key, sha512 ? 64 : 32, all, len + 4, tag, 64, NULL));
}

/* umac.c itself is tested in test_umac.c; here it is what goes in: 8 bytes of nonce, no number. */
static void reference_umac(const struct suite *s, const struct keys *k, uint32_t seq,
	const uint8_t *text, size_t len, uint8_t *tag)
{
	uint8_t nonce[SMX_UMAC_NONCE_LEN] = { 0 };
	struct smx_umac *u;

	assert_int_equal(smx_umac_new(&u, k->mac_key, strstr(s->mac, "128") ? 16 : 8), 0);
	smx_set_u32(nonce + 4, seq);
	smx_umac_update(u, text, len);
	assert_int_equal(smx_umac_final(u, nonce, tag), 0);
	smx_umac_free(u);
}

static void reference_mac(const struct suite *s, const struct keys *k, uint32_t seq,
	const uint8_t *text, size_t len, uint8_t *tag)
{
	(strstr(s->mac, "umac") ? reference_umac : reference_hmac)(s, k, seq, text, len, tag);
}

static void reference_seal(const struct suite *s, const struct keys *k, uint32_t seq,
	uint64_t n_before, size_t *stream_at, const uint8_t *clear, size_t len, uint8_t *out)
{
	size_t key_len = smx_cipher_find(test_str(s->cipher))->key_len;

	if (strstr(s->cipher, "gcm")) {
		reference_gcm(s, k, n_before, clear, len, out);
	} else if (!s->mac) {
		reference_chacha(k, seq, clear, len, out);
	} else if (strstr(s->mac, "etm")) {
		memcpy(out, clear, 4);
		reference_ctr_stream(k, key_len, *stream_at, clear + 4, len - 4, out + 4);
		*stream_at += len - 4;
		reference_mac(s, k, seq, out, len, out + len);
	} else {
		reference_ctr_stream(k, key_len, *stream_at, clear, len, out);
		*stream_at += len;
		reference_mac(s, k, seq, clear, len, out + len);
	}
}

/* Packets. */

struct packet {
	uint8_t clear[PACKET_MAX], wire[PACKET_MAX + SMX_TAG_MAX];
	size_t len; /* of clear, length bytes included */
};

/* A packet with about n bytes of payload, padded as the cipher wants it. */
static void make_packet(struct packet *pkt, const struct smx_protect *p, size_t n, uint32_t *seed)
{
	size_t block = smx_protect_block_len(p);
	size_t pad = block - (n + (smx_protect_pads_length(p) ? 5 : 1)) % block;

	pad += pad < 4 ? block : 0;
	pkt->len = 5 + n + pad;
	assert_true(pkt->len < PACKET_MAX - 100);
	test_fill(seed, pkt->clear, pkt->len);
	smx_set_u32(pkt->clear, (uint32_t)(pkt->len - 4));
	pkt->clear[4] = (uint8_t)pad;
}

static int seal_in_pieces(
	struct smx_protect *p, uint32_t seq, struct packet *pkt, uint32_t *seed, uint32_t piece_max)
{
	struct smx_view parts[4000];
	size_t n = 0, at = 5;

	while (at < pkt->len && n < SMX_ARRAY_LEN(parts) - 1) {
		size_t len = test_rand(seed) % (piece_max + 1);

		len = len < pkt->len - at ? len : pkt->len - at;
		parts[n++] = (struct smx_view){ len ? pkt->clear + at : NULL, len };
		at += len;
	}
	parts[n++] = (struct smx_view){ pkt->clear + at, pkt->len - at };
	memset(pkt->wire, 0xee, sizeof(pkt->wire));
	return smx_protect_seal(p, seq, pkt->clear, parts, n, pkt->wire);
}

/* As the engine opens it; pkt->wire is used up. */
static int open_packet(struct smx_protect *p, uint32_t seq, uint8_t *wire, uint32_t *ret_len)
{
	int r;

	if ((r = smx_protect_open_length(p, seq, wire, ret_len)) != 0)
		return r;
	return smx_protect_open(p, seq, wire, *ret_len);
}

static void any_pieces_give_the_reference(void **state)
{
	static const uint32_t piece_maxes[] = { 3, 40, 700, 40000 };
	static struct packet pkt;
	static uint8_t want[PACKET_MAX + SMX_TAG_MAX];

	(void)state;
	for (size_t s = 0; s < SMX_ARRAY_LEN(suites); s++) {
		uint32_t seed = 1 + (uint32_t)s, seq = 0xfffffff0; /* wraps on the way */
		struct keys k = make_keys(99 + (uint32_t)s);
		struct smx_protect *seal, *open;
		size_t stream_at = 0, tag_len;

		memset(k.iv + 5, 0xff, SMX_CIPHER_IV_MAX - 5); /* and so do the counters */
		k.iv[11] = 0xf8;
		seal = make(&suites[s], &k, 1);
		open = make(&suites[s], &k, 0);
		tag_len = smx_protect_tag_len(seal);
		for (uint32_t i = 0; i < 40; i++, seq++) {
			size_t n = i < 30 ? test_rand(&seed) % 600 : test_rand(&seed) % 35000;
			uint32_t piece_max = piece_maxes[i % SMX_ARRAY_LEN(piece_maxes)], len;

			make_packet(&pkt, seal, i == 0 ? 0 : n, &seed);
			assert_int_equal(seal_in_pieces(seal, seq, &pkt, &seed, piece_max), 0);
			reference_seal(
				&suites[s], &k, seq, i, &stream_at, pkt.clear, pkt.len, want);
			assert_memory_equal(pkt.wire, want, pkt.len + tag_len);
			assert_int_equal(pkt.wire[pkt.len + tag_len], 0xee);
			assert_int_equal(open_packet(open, seq, pkt.wire, &len), 0);
			assert_int_equal(len, pkt.len - 4);
			assert_memory_equal(pkt.wire + 4, pkt.clear + 4, len);
		}
		smx_protect_free(seal);
		smx_protect_free(open);
	}
}

static void every_flipped_bit_is_noticed(void **state)
{
	static struct packet pkt;

	(void)state;
	for (size_t s = 0; s < SMX_ARRAY_LEN(suites); s++) {
		struct keys k = make_keys(5);
		struct smx_protect *seal = make(&suites[s], &k, 1);
		uint32_t seed = 3, len;
		size_t n;

		make_packet(&pkt, seal, 20, &seed);
		assert_int_equal(seal_in_pieces(seal, 0, &pkt, &seed, 100), 0);
		n = pkt.len + smx_protect_tag_len(seal);
		for (size_t bit = 0; bit < n * 8; bit++) {
			struct smx_protect *open = make(&suites[s], &k, 0);
			uint8_t wire[200];

			assert_true(n <= sizeof(wire));
			memcpy(wire, pkt.wire, n);
			wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(smx_protect_open_length(open, 0, wire, &len), 0);
			if (bit < 32)
				assert_int_not_equal(len, pkt.len - 4);
			else
				assert_int_equal(len, pkt.len - 4);
			/* Even a caller who knew the right length would not get it through. */
			assert_int_equal(
				smx_protect_open(open, 0, wire, (uint32_t)pkt.len - 4), SMX_EMAC);
			smx_protect_free(open);
		}
		smx_protect_free(seal);
	}
}

static void wrong_length_number_or_order_is_noticed(void **state)
{
	static struct packet first, second;

	(void)state;
	for (size_t s = 0; s < SMX_ARRAY_LEN(suites); s++) {
		struct keys k = make_keys(5), other = make_keys(6);
		struct smx_protect *seal = make(&suites[s], &k, 1), *open;
		uint32_t seed = 3, len;
		int gcm = strstr(suites[s].cipher, "gcm") != NULL;

		make_packet(&first, seal, 100, &seed);
		make_packet(&second, seal, 100, &seed);
		assert_int_equal(seal_in_pieces(seal, 7, &first, &seed, 100), 0);
		assert_int_equal(seal_in_pieces(seal, 8, &second, &seed, 100), 0);
		for (int what = 0; what < 4; what++) {
			static struct packet copy;
			uint32_t seq = 7;

			copy = what == 1 ? second : first;
			open = make(&suites[s], what == 2 ? &other : &k, 0);
			if (what == 3)
				seq = 9;
			assert_int_equal(smx_protect_open_length(open, seq, copy.wire, &len), 0);
			len = (uint32_t)first.len - 4 - (what == 0 ? 16 : 0);
			/* GCM counts packets itself: a number that is off is none of its business.
			 */
			assert_int_equal(smx_protect_open(open, seq, copy.wire, len),
				gcm && what == 3 ? 0 : SMX_EMAC);
			smx_protect_free(open);
		}
		smx_protect_free(seal);
	}
}

static void nonces_are_never_used_twice(void **state)
{
	static const struct suite by_number[] = {
		{ "chacha20-poly1305@openssh.com", NULL },
		{ "aes128-ctr", "umac-64-etm@openssh.com" },
		{ "aes128-ctr", "umac-128@openssh.com" },
	};
	static struct packet pkt;
	struct keys k = make_keys(1);
	uint32_t seed = 3;

	(void)state;
	for (size_t s = 0; s < SMX_ARRAY_LEN(by_number); s++) {
		struct smx_protect *seal = make(&by_number[s], &k, 1);

		make_packet(&pkt, seal, 10, &seed);
		assert_int_equal(seal_in_pieces(seal, 0xffffffff, &pkt, &seed, 100), 0);
		assert_int_equal(seal_in_pieces(seal, 0xffffffff, &pkt, &seed, 100), SMX_ECRYPTO);
		assert_int_equal(seal_in_pieces(seal, 1, &pkt, &seed, 100), SMX_ECRYPTO);
		assert_int_equal(seal_in_pieces(seal, 0, &pkt, &seed, 100), 0);
		assert_int_equal(seal_in_pieces(seal, 0, &pkt, &seed, 100), SMX_ECRYPTO);
		smx_protect_free(seal);
	}
}

static void directions_do_not_mix(void **state)
{
	static struct packet pkt;
	uint32_t seed = 3, len;

	(void)state;
	for (size_t s = 0; s < SMX_ARRAY_LEN(suites); s++) {
		struct keys k = make_keys(5);
		struct smx_protect *seal = make(&suites[s], &k, 1), *open = make(&suites[s], &k, 0);

		make_packet(&pkt, seal, 10, &seed);
		assert_int_equal(seal_in_pieces(open, 0, &pkt, &seed, 100), SMX_EINVAL);
		assert_int_equal(smx_protect_open_length(seal, 0, pkt.wire, &len), SMX_EINVAL);
		assert_int_equal(smx_protect_open(seal, 0, pkt.wire, 16), SMX_EINVAL);
		smx_protect_free(seal);
		smx_protect_free(open);
	}
}

/* Without its first block, which open_length has decrypted, there is no such packet. */
static void shorter_than_a_block_is_refused(void **state)
{
	static const struct suite plain_mac = { "aes128-ctr", "hmac-sha2-256" };
	struct keys k = make_keys(5);
	struct smx_protect *open = make(&plain_mac, &k, 0);
	uint8_t wire[100] = { 0 };
	uint32_t len;

	(void)state;
	assert_int_equal(smx_protect_head_len(open), 16);
	assert_int_equal(smx_protect_open_length(open, 0, wire, &len), 0);
	assert_int_equal(smx_protect_open(open, 0, wire, 11), SMX_EMAC);
	smx_protect_free(open);
}

static void shapes(void **state)
{
	(void)state;
	for (size_t s = 0; s < SMX_ARRAY_LEN(suites); s++) {
		struct keys k = make_keys(5);
		struct smx_protect *p = make(&suites[s], &k, 0);
		int with_mac = suites[s].mac && !strstr(suites[s].mac, "etm");

		assert_int_equal(
			smx_protect_block_len(p), strstr(suites[s].cipher, "chacha") ? 8 : 16);
		assert_int_equal(smx_protect_pads_length(p), with_mac);
		assert_int_equal(smx_protect_head_len(p), with_mac ? 16 : 4);
		assert_int_equal(smx_protect_tag_len(p), !suites[s].mac                     ? 16
							 : strstr(suites[s].mac, "512")     ? 64
							 : strstr(suites[s].mac, "256")     ? 32
							 : strstr(suites[s].mac, "umac-64") ? 8
											    : 16);
		smx_protect_free(p);
	}
	smx_protect_free(NULL);
}

static void names_and_what_they_find(void **state)
{
	struct smx_view list = test_str(smx_cipher_names()), name;
	const struct smx_mac_alg *mac = smx_mac_find(test_str("hmac-sha2-256"));
	struct keys k = make_keys(5);
	struct smx_protect *p = NULL;
	int n = 0;

	(void)state;
	while (smx_namelist_next(&list, &name)) {
		const struct smx_cipher_alg *alg = smx_cipher_find(name);

		assert_non_null(alg);
		assert_true(smx_view_eq(name, alg->name));
		assert_true(alg->key_len <= SMX_CIPHER_KEY_MAX && alg->iv_len <= SMX_CIPHER_IV_MAX);
		/* A MAC where there must be none, none where there must be one. */
		assert_int_equal(smx_protect_new(&p, alg, alg->is_aead ? mac : NULL, 1, k.key, k.iv,
					 k.mac_key),
			SMX_EINVAL);
		assert_null(p);
		n++;
	}
	assert_int_equal(n, 6);
	list = test_str(smx_mac_names());
	for (n = 0; smx_namelist_next(&list, &name); n++) {
		assert_non_null(smx_mac_find(name));
		assert_true(smx_view_eq(name, smx_mac_find(name)->name));
	}
	assert_int_equal(n, 8);
	assert_null(smx_cipher_find(test_str("aes128-cbc")));
	assert_null(smx_cipher_find(test_str("none")));
	assert_null(smx_cipher_find(test_str("")));
	/* A16: there, and offered to nobody unasked. */
	list = test_str(smx_mac_old_names());
	for (n = 0; smx_namelist_next(&list, &name); n++) {
		assert_non_null(smx_mac_find(name));
		assert_null(strstr(smx_mac_names(), smx_mac_find(name)->name));
	}
	assert_int_equal(n, 2);
	assert_null(smx_mac_find(test_str("hmac-md5")));
	assert_null(smx_mac_find(test_str("hmac-sha2-256-etm")));
}

static void no_memory_leaks_nothing(void **state)
{
	long before = smx_mem_alive();

	(void)state;
	for (size_t s = 0; s < SMX_ARRAY_LEN(suites); s++) {
		const struct smx_cipher_alg *c = smx_cipher_find(test_str(suites[s].cipher));
		const struct smx_mac_alg *m =
			suites[s].mac ? smx_mac_find(test_str(suites[s].mac)) : NULL;
		struct keys k = make_keys(5);
		struct smx_protect *p = NULL;
		int r = SMX_ENOMEM;

		for (long n = 0; r != 0; n++) {
			smx_mem_fail_after(n);
			r = smx_protect_new(&p, c, m, 1, k.key, k.iv, k.mac_key);
			smx_mem_fail_after(-1);
			assert_true(r == 0 || r == SMX_ENOMEM);
			assert_true(n > 0 || r != 0);
		}
		smx_protect_free(p);
	}
	assert_int_equal(smx_mem_alive(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_pieces_give_the_reference),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(wrong_length_number_or_order_is_noticed),
		cmocka_unit_test(nonces_are_never_used_twice),
		cmocka_unit_test(directions_do_not_mix),
		cmocka_unit_test(shorter_than_a_block_is_refused),
		cmocka_unit_test(shapes),
		cmocka_unit_test(names_and_what_they_find),
		cmocka_unit_test(no_memory_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
