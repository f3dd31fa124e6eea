/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "util_data.h"

/* FIPS 180 "abc", and nothing at all. */
static void published_digests(void **state)
{
	static const uint8_t sha1[] = { 0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
		0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d };
	static const uint8_t sha256[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41,
		0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a,
		0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
	static const uint8_t sha384_begin[] = { 0xcb, 0x00, 0x75, 0x3f, 0x45, 0xa3, 0x5e, 0x8b };
	static const uint8_t sha512_begin[] = { 0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba };
	static const uint8_t sha256_empty[] = { 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14 };
	uint8_t out[SMX_HASH_MAX];

	(void)state;
	assert_int_equal(smx_hash(SMX_HASH_SHA1, "abc", 3, out), 0);
	assert_memory_equal(out, sha1, smx_hash_len(SMX_HASH_SHA1));
	assert_int_equal(smx_hash(SMX_HASH_SHA256, "abc", 3, out), 0);
	assert_memory_equal(out, sha256, smx_hash_len(SMX_HASH_SHA256));
	assert_int_equal(smx_hash(SMX_HASH_SHA384, "abc", 3, out), 0);
	assert_memory_equal(out, sha384_begin, 8);
	assert_int_equal(smx_hash(SMX_HASH_SHA512, "abc", 3, out), 0);
	assert_memory_equal(out, sha512_begin, 8);
	assert_int_equal(smx_hash(SMX_HASH_SHA256, NULL, 0, out), 0);
	assert_memory_equal(out, sha256_empty, 8);
	assert_int_equal(smx_hash_len(SMX_HASH_SHA384), 48);
	assert_int_equal(smx_hash_len(SMX_HASH_SHA512), 64);
}

/* RFC 2202 section 3, cases 1 and 2: what hashed known_hosts names are made with (K1). */
static void K1_published_hmac_sha1(void **state)
{
	static const uint8_t want1[] = { 0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b,
		0xc0, 0xb6, 0xfb, 0x37, 0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00 };
	static const uint8_t want2[] = { 0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f, 0xa2, 0xd2, 0x74,
		0x16, 0xd5, 0xf1, 0x84, 0xdf, 0x9c, 0x25, 0x9a, 0x7c, 0x79 };
	uint8_t key[20], out[20];

	(void)state;
	memset(key, 0x0b, sizeof(key));
	assert_int_equal(smx_hmac_sha1(key, 20, "Hi There", 8, out), 0);
	assert_memory_equal(out, want1, 20);
	assert_int_equal(smx_hmac_sha1("Jefe", 4, "what do ya want for nothing?", 28, out), 0);
	assert_memory_equal(out, want2, 20);
	assert_int_equal(smx_hmac_sha1(NULL, 0, NULL, 0, out), 0);
}

static void reference_kdf(const char *md, struct smx_view k, struct smx_view h, struct smx_view id,
	char letter, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SSHKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)md, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)k.p, k.len),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_SSHKDF_XCGHASH, (void *)(uintptr_t)h.p, h.len),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_SSHKDF_SESSION_ID, (void *)(uintptr_t)id.p, id.len),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_SSHKDF_TYPE, &letter, 1),
		OSSL_PARAM_construct_end(),
	};

	assert_int_equal(EVP_KDF_derive(ctx, out, len, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* RFC 4253 section 7.2, against libcrypto's own SSHKDF. */
static void key_derivation(void **state)
{
	static const struct {
		enum smx_hash hash;
		const char *name;
	} hashes[] = { { SMX_HASH_SHA256, "SHA256" }, { SMX_HASH_SHA384, "SHA384" },
		{ SMX_HASH_SHA512, "SHA512" } };
	uint8_t secret[37], hash[32], id[64], got[200], want[200];
	uint32_t seed = 7;

	(void)state;
	test_fill(&seed, secret, sizeof(secret));
	test_fill(&seed, hash, sizeof(hash));
	test_fill(&seed, id, sizeof(id));
	for (size_t i = 0; i < SMX_ARRAY_LEN(hashes); i++) {
		for (char letter = 'A'; letter <= 'F'; letter++) {
			for (size_t len = 1; len < sizeof(got); len += 7) {
				struct smx_view k = { secret, sizeof(secret) };
				struct smx_view h = { hash, sizeof(hash) }, s = { id, sizeof(id) };

				memset(got, 0xee, sizeof(got));
				assert_int_equal(
					smx_kdf(hashes[i].hash, k, h, s, letter, got, len), 0);
				reference_kdf(hashes[i].name, k, h, s, letter, want, len);
				assert_memory_equal(got, want, len);
				assert_int_equal(got[len], 0xee);
			}
		}
	}
}

static void randomness_fills_all(void **state)
{
	uint8_t p[10000], seen[32] = { 0 };

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(smx_random(p, sizeof(p)), 0);
		for (size_t j = 0; j < 16; j++) {
			seen[j] |= p[j];
			seen[16 + j] |= p[sizeof(p) - 1 - j];
		}
	}
	for (size_t j = 0; j < sizeof(seen); j++)
		assert_int_not_equal(seen[j], 0);
	assert_int_equal(smx_random(p, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_digests),
		cmocka_unit_test(K1_published_hmac_sha1),
		cmocka_unit_test(key_derivation),
		cmocka_unit_test(randomness_fills_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
