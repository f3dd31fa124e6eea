/* SPDX-License-Identifier: MIT */
/* UMAC against the vectors of RFC 4418 and against nettle 3.8, which shares no code with ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/umac.h"
#include "util_data.h"

static const uint8_t rfc_key[] = "abcdefghijklmnop", rfc_nonce[] = "bcdefghi";
static const uint8_t counting_key[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static const char *hex(const uint8_t *p, size_t n)
{
	static char text[2 * SMX_UMAC_TAG_MAX + 1];

	for (size_t i = 0; i < n; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", p[i]);
	return text;
}

static struct smx_umac *make(const uint8_t *key, size_t tag_len)
{
	struct smx_umac *u;

	assert_int_equal(smx_umac_new(&u, key, tag_len), 0);
	return u;
}

/* The message in pieces of at most piece_max bytes. */
static const char *tag_of(struct smx_umac *u, size_t tag_len, const uint8_t *nonce,
	const uint8_t *p, size_t n, uint32_t piece_max)
{
	uint8_t tag[SMX_UMAC_TAG_MAX];
	uint32_t seed = 1;

	while (n) {
		size_t k = piece_max == UINT32_MAX ? n : test_rand(&seed) % (piece_max + 1);

		k = k < n ? k : n;
		smx_umac_update(u, p, k);
		p += k;
		n -= k;
	}
	assert_int_equal(smx_umac_final(u, nonce, tag), 0);
	return hex(tag, tag_len);
}

/*
 * The appendix of RFC 4418 has tags of 4, 8 and 12 bytes; those of 16, which begin with those of 12,
 * are nettle's. Its row of 32 MiB (wrong in the text, erratum 3507) is more than we take.
 */
static void the_vectors_of_the_rfc(void **state)
{
	static const struct {
		const char *unit;
		size_t n;
		const char *tag32, *tag64, *tag128;
	} rows[] = {
		{ "", 0, "113145fb", "6e155fad26900be1", "32fedb100c79ad58f07ff7643cc60465" },
		{ "a", 3, "3b91d102", "44b5cb542f220104", "185e4fe905cba7bd85e4c2dc3d117d8d" },
		{ "a", 1 << 10, "599b350b", "26bf2f5d60118bd9",
			"7a54abe04af82d60fb298c3cbd195bcb" },
		{ "a", 1 << 15, "58dcf532", "27f8ef643b0d118d",
			"7b136bd911e4b734286ef2be501f2c3c" },
		{ "a", 1 << 20, "db6364d1", "a4477e87e9f55853",
			"f8acfa3ac31cfeea047f7b115b03bef5" },
		{ "abc", 1, "abf3a3a0", "d4d7b9f6bd4fbfcf", "883c3d4b97a61976ffcf232308cba5a5" },
		{ "abc", 500, "abeb3c8b", "d4cf26ddefd5c01a", "8824a260c53c66a36c9260a62cb83aa1" },
	};
	static const size_t tag_lens[] = { 4, 8, 12, 16 };
	static uint8_t text[1 << 20];

	(void)state;
	for (size_t row = 0; row < SMX_ARRAY_LEN(rows); row++) {
		size_t unit_len = strlen(rows[row].unit), n = unit_len * rows[row].n;

		for (size_t i = 0; i < n; i++)
			text[i] = (uint8_t)rows[row].unit[i % unit_len];
		for (size_t i = 0; i < SMX_ARRAY_LEN(tag_lens); i++) {
			const char *want = i == 0   ? rows[row].tag32
					   : i == 1 ? rows[row].tag64
						    : rows[row].tag128;
			struct smx_umac *u = make(rfc_key, tag_lens[i]);
			char want_tag[2 * SMX_UMAC_TAG_MAX + 1];

			(void)snprintf(
				want_tag, sizeof(want_tag), "%.*s", (int)(2 * tag_lens[i]), want);
			assert_string_equal(
				tag_of(u, tag_lens[i], rfc_nonce, text, n, UINT32_MAX), want_tag);
			smx_umac_free(u);
		}
	}
}

/* Lengths around what NH pads to and around the blocks of L1; the nonce is the length. */
static const struct {
	size_t n;
	const char *tag64, *tag128;
} lengths[] = {
	{ 1, "eadb08385ff3b73b", "bd2094890482dbb357ecf24a8c2dd391" },
	{ 31, "0d24e908dc966493", "9fe498088a7e62fe9ed2a80e8aa0e136" },
	{ 32, "a2ee5b63f99d8be1", "a2ee5b63f99d8be11304e1a8ba73c3ea" },
	{ 33, "a011e16610d41fb7", "39a60e8eaebe0eaf2b4b367303b175b5" },
	{ 63, "ab4e44439439429a", "55d8b3441c679b1944ceabe3ad520243" },
	{ 64, "12f01e42b600b855", "12f01e42b600b855c471d52f7dcc9ab7" },
	{ 65, "bda40a420629e4aa", "369591392f8b5b8854767685357bf1d0" },
	{ 992, "fcc49837c221e1aa", "fcc49837c221e1aa8d3f78bbb2e63a4c" },
	{ 993, "a5337c034883f267", "1610f4b56939596fd5987b53cf6962e1" },
	{ 1023, "0fa6f3568dba8453", "4089d2f93906c33f2cca8e0048882e48" },
	{ 1024, "45f5bbccaf4b7f1f", "45f5bbccaf4b7f1fa7aba2671977a9e5" },
	{ 1025, "37dc1d4f5f997eca", "eb5863448b9fbb385c641a704d359509" },
	{ 1056, "b81336db02effcf0", "b81336db02effcf031fa374d7f7c2b67" },
	{ 2047, "9d2ee3bd60af7864", "5d1112cd7ef1a4723b24c231a50664cd" },
	{ 2048, "0733954623a6b3a3", "0733954623a6b3a39fa763e7ac029e41" },
	{ 2049, "f0226dfb7cc4be77", "557a6da34b1203c2cefede2150267903" },
	{ 35000, "f1bf0328bd17f180", "f1bf0328bd17f180ca21eaf4c7973776" },
};

static void lengths_around_the_blocks_in_any_pieces(void **state)
{
	static const uint32_t piece_maxes[] = { UINT32_MAX, 1, 5, 40, 1023, 1024, 1500, 5000 };
	struct smx_umac *u64 = make(counting_key, 8), *u128 = make(counting_key, 16);
	uint8_t text[35000], nonce[SMX_UMAC_NONCE_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + 3);
	for (size_t row = 0; row < SMX_ARRAY_LEN(lengths); row++) {
		size_t n = lengths[row].n;

		smx_set_u64(nonce, n);
		/* One after the other with the same object, as packets come. */
		for (size_t i = 0; i < SMX_ARRAY_LEN(piece_maxes); i++) {
			assert_string_equal(
				tag_of(u64, 8, nonce, text, n, piece_maxes[i]), lengths[row].tag64);
			assert_string_equal(tag_of(u128, 16, nonce, text, n, piece_maxes[i]),
				lengths[row].tag128);
		}
	}
	smx_umac_free(u64);
	smx_umac_free(u128);
}

/* One byte of ciphertext more or less, or none: no two of these tags are the same. */
static void zeros_at_the_end_count(void **state)
{
	struct smx_umac *u = make(counting_key, 16);
	static const uint8_t zeros[64];
	char tags[65][2 * SMX_UMAC_TAG_MAX + 1];

	(void)state;
	for (size_t n = 0; n <= 64; n++) {
		memcpy(tags[n], tag_of(u, 16, rfc_nonce, zeros, n, UINT32_MAX), sizeof(tags[n]));
		for (size_t i = 0; i < n; i++)
			assert_string_not_equal(tags[i], tags[n]);
	}
	smx_umac_free(u);
}

/*
 * L1 gives a value of 2^64 - 2^32 or more once in 2^32 blocks, so no other vector has one. This
 * message knows the key: all sums of NH are 0 but for 2^32 - 1 times itself and times 1.
 */
static void words_above_the_prime(void **state)
{
	uint8_t text[2049], in[1024] = { 0 };
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t nonce[SMX_UMAC_NONCE_LEN] = { 0 };
	struct smx_umac *u64 = make(counting_key, 8), *u128 = make(counting_key, 16);
	int n;

	(void)state;
	for (size_t i = 0; i < sizeof(in); i += 16) {
		in[i + 7] = 1;
		in[i + 15] = (uint8_t)(i / 16 + 1);
	}
	assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, counting_key, NULL), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, in, &n, in, sizeof(in)), 1);
	EVP_CIPHER_CTX_free(ctx);
	for (size_t i = 0; i < 256; i++) {
		uint32_t sum = i == 0 || i == 1 || i == 4 ? UINT32_MAX : i == 5 ? 1 : 0;
		uint32_t word = sum - smx_get_u32(in + 4 * i);

		for (size_t j = 0; j < 4; j++)
			text[4 * i + j] = (uint8_t)(word >> 8 * j);
	}
	memcpy(text + 1024, text, 1024);
	text[2048] = 'x';
	assert_string_equal(
		tag_of(u64, 8, nonce, text, sizeof(text), UINT32_MAX), "019b620f8ab8bd18");
	assert_string_equal(tag_of(u128, 16, nonce, text, sizeof(text), UINT32_MAX),
		"019b620f8ab8bd187891255660aee8dd");
	smx_umac_free(u64);
	smx_umac_free(u128);
}

static void sixteen_mib_are_the_most(void **state)
{
	uint8_t *text = smx_malloc(SMX_UMAC_MESSAGE_MAX + 1), tag[SMX_UMAC_TAG_MAX] = "untouched";
	struct smx_umac *u = make(rfc_key, 8);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', SMX_UMAC_MESSAGE_MAX + 1);
	assert_string_equal(tag_of(u, 8, rfc_nonce, text, SMX_UMAC_MESSAGE_MAX, UINT32_MAX),
		"de9359204d2ecb26");
	smx_umac_update(u, text, SMX_UMAC_MESSAGE_MAX + 1);
	assert_int_equal(smx_umac_final(u, rfc_nonce, tag), SMX_ETOOBIG);
	assert_string_equal((const char *)tag, "untouched");
	/* And the next one is none the worse for it. */
	assert_string_equal(tag_of(u, 8, rfc_nonce, text, 3, UINT32_MAX), "44b5cb542f220104");
	smx_umac_free(u);
	smx_free(text);
}

static void what_is_no_tag_length(void **state)
{
	static const size_t none[] = { 0, 2, 6, 15, 20, SIZE_MAX };
	struct smx_umac *u = NULL;
	long before = smx_mem_alive();

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(none); i++)
		assert_int_equal(smx_umac_new(&u, rfc_key, none[i]), SMX_EINVAL);
	smx_mem_fail_after(0);
	assert_int_equal(smx_umac_new(&u, rfc_key, 8), SMX_ENOMEM);
	smx_mem_fail_after(-1);
	assert_null(u);
	smx_umac_free(NULL);
	assert_int_equal(smx_mem_alive(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_the_rfc),
		cmocka_unit_test(lengths_around_the_blocks_in_any_pieces),
		cmocka_unit_test(zeros_at_the_end_count),
		cmocka_unit_test(words_above_the_prime),
		cmocka_unit_test(sixteen_mib_are_the_most),
		cmocka_unit_test(what_is_no_tag_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
