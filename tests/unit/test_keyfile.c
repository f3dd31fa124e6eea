/* SPDX-License-Identifier: MIT */
/* Key files (A1) as ssh-keygen and openssl write them, and our own (L4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "util_data.h"

#define PASSPHRASE "correct horse"

static const struct {
	const char *file, *type, *comment; /* comment NULL: the format has none */
	int encrypted;
} files[] = {
	{ "ed25519", "ssh-ed25519", "ed25519 plain", 0 },
	{ "ecdsa_256", "ecdsa-sha2-nistp256", "ecdsa 256 plain", 0 },
	{ "ecdsa_384", "ecdsa-sha2-nistp384", "ecdsa 384 plain", 0 },
	{ "ecdsa_521", "ecdsa-sha2-nistp521", "ecdsa 521 plain", 0 },
	{ "rsa_2048", "ssh-rsa", "rsa plain", 0 },
	{ "ed25519_default", "ssh-ed25519", "default cipher", 1 },
	{ "ed25519_aes256-cbc", "ssh-ed25519", "cbc", 1 },
	{ "ed25519_aes128-gcm", "ssh-ed25519", "gcm128", 1 },
	{ "ed25519_aes256-gcm", "ssh-ed25519", "gcm256", 1 },
	{ "ed25519_chacha20", "ssh-ed25519", "chacha", 1 },
	{ "ecdsa_256_aes128-ctr", "ecdsa-sha2-nistp256", "ecdsa ctr", 1 },
	{ "rsa_2048_aes192-cbc", "ssh-rsa", "rsa cbc", 1 },
	{ "rsa_2048_pem", "ssh-rsa", NULL, 0 },
	{ "rsa_2048_pem_enc", "ssh-rsa", NULL, 1 },
	{ "rsa_2048_pkcs8_enc", "ssh-rsa", NULL, 1 },
	{ "ecdsa_256_pem", "ecdsa-sha2-nistp256", NULL, 0 },
	{ "ecdsa_256_pem_compressed", "ecdsa-sha2-nistp256", NULL, 0 },
	{ "ecdsa_384_pem_enc", "ecdsa-sha2-nistp384", NULL, 1 },
	{ "ecdsa_521_pkcs8", "ecdsa-sha2-nistp521", NULL, 0 },
	{ "ed25519_pkcs8", "ssh-ed25519", NULL, 0 },
	{ "ed25519_pkcs8_enc", "ssh-ed25519", NULL, 1 },
};

static struct smx_view load(const char *file, const char *ext)
{
	char name[100];

	(void)snprintf(name, sizeof(name), "keys/%s%s", file, ext);
	return test_read_file(name);
}

/* Its public half is the one in the .pub file, and what it signs that one verifies. */
static void check_key(const struct smx_key *k, const char *file, const char *type)
{
	struct smx_view line = load(file, ".pub"), rest;
	const char *alg = strcmp(type, "ssh-rsa") == 0 ? "rsa-sha2-512" : type;
	struct smx_buf blob, want, sig;
	struct smx_key *public;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&want, SMX_KEY_BLOB_MAX);
	smx_buf_init(&sig, SMX_SIG_MAX);
	assert_int_equal(smx_pubkey_line_parse(line, &want, &rest), 0);
	assert_int_equal(smx_key_is_private(k), 1);
	assert_string_equal(smx_key_type_name(smx_key_get_type(k)), type);
	assert_int_equal(smx_key_to_blob(k, &blob), 0);
	assert_true(smx_view_eq_view(test_view(&blob), test_view(&want)));
	assert_int_equal(smx_key_from_blob(&public, test_view(&want)), 0);
	assert_int_equal(smx_key_sign(k, alg, test_str("data"), &sig), 0);
	assert_int_equal(
		smx_key_verify(public, test_str(alg), test_view(&sig), test_str("data")), 0);
	smx_key_free(public);
	smx_buf_release(&blob);
	smx_buf_release(&want);
	smx_buf_release(&sig);
	test_free_view(line);
}

static void A1_files_of_ssh_keygen_and_openssl(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(files); i++) {
		struct smx_view text = load(files[i].file, "");
		char untouched[] = "untouched", *comment = untouched;
		struct smx_key *k = NULL;
		struct smx_buf blob;

		if (files[i].encrypted) {
			assert_int_equal(
				smx_keyfile_parse(text, NULL, &k, &comment), SMX_EPASSPHRASE);
			assert_int_equal(
				smx_keyfile_parse(text, "", &k, &comment), SMX_EPASSPHRASE);
			assert_int_equal(smx_keyfile_parse(text, "wrong horse", &k, &comment),
				SMX_EPASSPHRASE);
		}
		assert_null(k);
		assert_ptr_equal(comment, untouched);
		assert_int_equal(smx_keyfile_parse(text, PASSPHRASE, &k, &comment), 0);
		if (files[i].comment)
			assert_string_equal(comment, files[i].comment);
		else
			assert_null(comment);
		check_key(k, files[i].file, files[i].type);

		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		if (files[i].comment) {
			struct smx_buf want;

			smx_buf_init(&want, SMX_KEY_BLOB_MAX);
			assert_int_equal(smx_keyfile_public_blob(text, &blob), 0);
			assert_int_equal(smx_key_to_blob(k, &want), 0);
			assert_true(smx_view_eq_view(test_view(&blob), test_view(&want)));
			smx_buf_release(&want);
		} else {
			assert_int_equal(smx_keyfile_public_blob(text, &blob), SMX_EUNSUPPORTED);
		}
		smx_buf_release(&blob);
		smx_key_free(k);
		smx_free(comment);
		test_free_view(text);
	}
}

static void windows_line_ends_and_blank_lines_do_not_matter(void **state)
{
	struct smx_view text = load("ed25519", "");
	struct smx_key *k;
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, SMX_KEYFILE_MAX);
	assert_int_equal(smx_buf_put_str(&b, "\r\n \t\n"), 0);
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '\n')
			assert_int_equal(smx_buf_put_str(&b, "\r"), 0);
		assert_int_equal(smx_buf_put(&b, text.p + i, 1), 0);
	}
	assert_int_equal(smx_buf_put_str(&b, "\r\n"), 0);
	assert_int_equal(smx_keyfile_parse(test_view(&b), NULL, &k, NULL), 0);
	check_key(k, "ed25519", "ssh-ed25519");
	smx_key_free(k);
	smx_buf_release(&b);
	test_free_view(text);
}

static int parse_text(const char *text)
{
	struct smx_key *k = NULL;
	int r = smx_keyfile_parse(test_str(text), NULL, &k, NULL);

	assert_null(k);
	return r;
}

static void what_is_no_key_file(void **state)
{
	static const char *const texts[] = { "", "\n", "hello", "ssh-ed25519 AAAA",
		"-----BEGIN OPENSSH PRIVATE KEY-----",
		"-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
		"-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n-----END OPENSSH PRIVATE KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"-----BEGIN RSA PRIVATE KEY-----\n" };
	struct smx_view text, big;
	struct smx_key *k = NULL;
	struct smx_buf blob;

	(void)state;
	smx_buf_init(&blob, 1000);
	for (size_t i = 0; i < SMX_ARRAY_LEN(texts); i++)
		assert_int_equal(smx_errclass(parse_text(texts[i])), SMX_CLASS_PEER);
	assert_int_equal(smx_keyfile_public_blob(test_str("hello"), &blob), SMX_EFORMAT);
	/* Keys of a kind we don't use, or too weak. */
	text = load("ecdsa_secp256k1_pem", "");
	assert_int_equal(smx_keyfile_parse(text, NULL, &k, NULL), SMX_EUNSUPPORTED);
	test_free_view(text);
	text = load("rsa_1024_pem", "");
	assert_int_equal(smx_keyfile_parse(text, NULL, &k, NULL), SMX_EWEAK);
	test_free_view(text);
	/* S7: capped */
	big = (struct smx_view){ smx_calloc(1, SMX_KEYFILE_MAX + 1), SMX_KEYFILE_MAX + 1 };
	assert_int_equal(smx_keyfile_parse(big, NULL, &k, NULL), SMX_ELIMIT);
	assert_int_equal(smx_keyfile_public_blob(big, &blob), SMX_ELIMIT);
	test_free_view(big);
	assert_null(k);
	smx_buf_release(&blob);
}

/* The bytes inside the armour of a file, and armour around bytes. */
static void unarmour(const char *file, struct smx_buf *bytes)
{
	struct smx_view text = load(file, "");
	struct smx_buf base64;
	size_t at = 0;

	smx_buf_init(&base64, SMX_KEYFILE_MAX);
	while (text.p[at] != '\n')
		at++;
	for (; text.p[at] != '-'; at++)
		if (text.p[at] != '\n')
			assert_int_equal(smx_buf_put(&base64, text.p + at, 1), 0);
	assert_int_equal(smx_base64_decode(bytes, test_view(&base64)), 0);
	smx_buf_release(&base64);
	test_free_view(text);
}

static int parse_bytes(struct smx_view bytes, const char *passphrase)
{
	struct smx_key *k = NULL;
	struct smx_buf text;
	int r;

	smx_buf_init(&text, 2 * SMX_KEYFILE_MAX);
	assert_int_equal(smx_buf_put_str(&text, "-----BEGIN OPENSSH PRIVATE KEY-----\n"), 0);
	assert_int_equal(smx_base64_encode(&text, bytes.p, bytes.len, 1), 0);
	assert_int_equal(smx_buf_put_str(&text, "\n-----END OPENSSH PRIVATE KEY-----\n"), 0);
	r = smx_keyfile_parse(test_view(&text), passphrase, &k, NULL);
	if (r != 0)
		assert_null(k);
	smx_key_free(k);
	smx_buf_release(&text);
	return r;
}

/* Cut anywhere or with a byte more, it is refused; no flipped bit makes another key of it. */
static void damaged_files_are_refused(void **state)
{
	static const char *const names[] = { "ed25519", "ecdsa_256", "rsa_2048" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		struct smx_buf bytes;
		size_t len, step = i == 2 ? 7 : 1, ok = 0;

		smx_buf_init(&bytes, SMX_KEYFILE_MAX);
		unarmour(names[i], &bytes);
		len = smx_buf_len(&bytes);
		assert_int_equal(parse_bytes(test_view(&bytes), NULL), 0);
		for (size_t n = 0; n < len; n += step)
			assert_int_not_equal(
				parse_bytes((struct smx_view){ bytes.data, n }, NULL), 0);
		for (size_t n = 0; n < len; n += step) {
			bytes.data[n] ^= 0x04;
			ok += parse_bytes(test_view(&bytes), NULL) == 0;
			bytes.data[n] ^= 0x04;
		}
		/* The comment may change: nothing but the key is protected. */
		assert_true(ok <= 15);
		assert_int_equal(smx_put_u8(&bytes, 9), 0);
		assert_int_equal(parse_bytes(test_view(&bytes), NULL), SMX_ETRAILING);
		smx_buf_release(&bytes);
	}
}

/* With a tag, damage of any sealed byte looks like a wrong passphrase, never like a key. */
static void damaged_sealed_files_are_refused(void **state)
{
	static const char *const names[] = { "ed25519_aes128-gcm", "ed25519_chacha20" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		struct smx_buf bytes;
		size_t len;

		smx_buf_init(&bytes, SMX_KEYFILE_MAX);
		unarmour(names[i], &bytes);
		len = smx_buf_len(&bytes);
		for (size_t n = len - 160; n < len; n += 23) {
			bytes.data[n] ^= 0x80;
			assert_int_equal(
				parse_bytes(test_view(&bytes), PASSPHRASE), SMX_EPASSPHRASE);
			bytes.data[n] ^= 0x80;
		}
		assert_int_equal(parse_bytes(test_view(&bytes), PASSPHRASE), 0);
		smx_buf_release(&bytes);
	}
}

/* The outer layer of a file by hand, around nothing that could be decrypted. */
static int parse_envelope(const char *cipher, const char *kdf, uint32_t rounds, size_t salt_len,
	uint32_t n_keys, size_t sealed_len)
{
	static const uint8_t zeros[256];
	struct smx_buf b;
	size_t mark;
	int r;

	smx_buf_init(&b, SMX_KEYFILE_MAX);
	assert_int_equal(smx_buf_put(&b, "openssh-key-v1", 15), 0);
	assert_int_equal(smx_put_cstr(&b, cipher), 0);
	assert_int_equal(smx_put_cstr(&b, kdf), 0);
	assert_int_equal(smx_put_string_begin(&b, &mark), 0);
	assert_int_equal(smx_put_string(&b, zeros, salt_len), 0);
	assert_int_equal(smx_put_u32(&b, rounds), 0);
	smx_put_string_end(&b, mark);
	assert_int_equal(smx_put_u32(&b, n_keys), 0);
	assert_int_equal(smx_put_cstr(&b, "blob"), 0);
	assert_int_equal(smx_put_string(&b, zeros, sealed_len), 0);
	r = parse_bytes(test_view(&b), "x");
	smx_buf_release(&b);
	return r;
}

static void S7_envelopes_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(parse_envelope("aes256-ctr", "bcrypt", 1, 16, 1, 64), SMX_EPASSPHRASE);
	assert_int_equal(
		parse_envelope("aes256-ctr", "bcrypt", SMX_KEYFILE_ROUNDS_MAX + 1, 16, 1, 64),
		SMX_ELIMIT);
	assert_int_equal(parse_envelope("aes256-ctr", "bcrypt", UINT32_MAX, 16, 1, 64), SMX_ELIMIT);
	assert_int_equal(parse_envelope("aes256-ctr", "bcrypt", 0, 16, 1, 64), SMX_EFORMAT);
	assert_int_equal(parse_envelope("aes256-ctr", "bcrypt", 1, 0, 1, 64), SMX_EFORMAT);
	assert_int_not_equal(parse_envelope("aes256-ctr", "bcrypt", 1, 65, 1, 64), 0);
	assert_int_equal(parse_envelope("aes256-ctr", "bcrypt", 1, 16, 0, 64), SMX_EUNSUPPORTED);
	assert_int_equal(parse_envelope("aes256-ctr", "bcrypt", 1, 16, 2, 64), SMX_EUNSUPPORTED);
	assert_int_equal(parse_envelope("aes256-ctr", "bcrypt", 1, 16, 1, 63), SMX_EFORMAT);
	assert_int_equal(parse_envelope("aes256-ctr", "bcrypt", 1, 16, 1, 0), SMX_EFORMAT);
	assert_int_equal(parse_envelope("aes256-ctr", "scrypt", 1, 16, 1, 64), SMX_EUNSUPPORTED);
	assert_int_equal(parse_envelope("aes256-ctr", "none", 1, 16, 1, 64), SMX_EFORMAT);
	assert_int_equal(parse_envelope("none", "bcrypt", 1, 16, 1, 64), SMX_EFORMAT);
	assert_int_equal(parse_envelope("3des-cbc", "bcrypt", 1, 16, 1, 64), SMX_EUNSUPPORTED);
}

static void L4_what_we_write_we_read(void **state)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	struct smx_view pem = load("ecdsa_256_pem", "");
	struct smx_buf text, blob, again;
	struct smx_key *k, *back;
	char *comment;

	(void)state;
	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	smx_buf_init(&blob, 1000);
	smx_buf_init(&again, 1000);
	/* Comments of every length, so every length of padding. */
	for (size_t n = 0; n < 20; n++) {
		char want[32] = { 0 };

		memset(want, 'c', n);
		smx_buf_reset(&text);
		smx_buf_reset(&blob);
		smx_buf_reset(&again);
		assert_int_equal(smx_key_generate_ed25519(&k), 0);
		assert_int_equal(smx_keyfile_write(k, want, &text), 0);
		assert_memory_equal(smx_buf_view(&text), begin, sizeof(begin) - 1);
		assert_int_equal(smx_keyfile_parse(test_view(&text), NULL, &back, &comment), 0);
		assert_string_equal(comment, want);
		assert_int_equal(smx_key_to_blob(k, &blob), 0);
		assert_int_equal(smx_key_to_blob(back, &again), 0);
		assert_true(smx_view_eq_view(test_view(&blob), test_view(&again)));
		smx_key_free(k);
		smx_key_free(back);
		smx_free(comment);
	}
	/* Only whole ed25519 pairs. */
	smx_buf_reset(&text);
	assert_int_equal(smx_key_from_blob(&k, test_view(&blob)), 0);
	assert_int_equal(smx_keyfile_write(k, "", &text), SMX_EUNSUPPORTED);
	smx_key_free(k);
	assert_int_equal(smx_keyfile_parse(pem, NULL, &k, NULL), 0);
	assert_int_equal(smx_keyfile_write(k, "", &text), SMX_EUNSUPPORTED);
	assert_int_equal(smx_buf_len(&text), 0);
	smx_key_free(k);
	smx_buf_release(&text);
	smx_buf_release(&blob);
	smx_buf_release(&again);
	test_free_view(pem);
}

/* Made with another implementation of bcrypt_pbkdf. */
static void bcrypt_agrees_with_others(void **state)
{
	static const uint8_t want48[] = { 0x5b, 0xa4, 0xbf, 0xc6, 0x0c, 0x7a, 0xc2, 0x72, 0x93,
		0x14, 0x58, 0x40, 0x7f, 0x4c, 0x1c, 0x49, 0x36, 0xea, 0x35, 0x6c, 0x55, 0x12, 0x5c,
		0x5a, 0x27, 0x9b, 0x79, 0x1d, 0x65, 0xbf, 0x98, 0x42, 0xd4, 0x9d, 0x7e, 0x1b, 0x57,
		0x2a, 0x90, 0x52, 0x71, 0x5e, 0xbf, 0xa9, 0x42, 0x1e, 0x7e, 0x94 };
	static const uint8_t want100[] = { 0x80, 0x85, 0x16, 0x4f, 0x87, 0x2e, 0x5a, 0xca, 0xb9,
		0x51, 0x70, 0x55, 0xdc, 0x60, 0x05, 0x41, 0x06, 0x0c, 0xa4, 0xc1, 0x84, 0x61, 0xa4,
		0xc9, 0x78, 0xc9, 0x3a, 0x20, 0x0a, 0x01, 0x0d, 0xbb, 0x62, 0x1c, 0x7c, 0xd0, 0x99,
		0x23, 0xae, 0x70, 0x1d, 0x4e, 0x49, 0x15, 0x64, 0xe8, 0x90, 0x55, 0xa0, 0x9b, 0xaf,
		0x94, 0x4b, 0xb9, 0xd8, 0x28, 0xbd, 0xe1, 0x41, 0xcd, 0xde, 0xb5, 0xed, 0x62, 0xad,
		0x06, 0x65, 0xc7, 0xe1, 0xa2, 0xf5, 0x4a, 0xb1, 0x6d, 0x90, 0xf7, 0xfa, 0x47, 0x4c,
		0x54, 0xbd, 0x0d, 0x6d, 0xa4, 0xc4, 0x86, 0x61, 0x33, 0xc5, 0xf6, 0x19, 0x4b, 0xef,
		0x64, 0x5a, 0x17, 0xc7, 0x27, 0xfd, 0x9f };
	static const uint8_t salt[70] = { 's', 'a', 'l', 't' };
	uint8_t out[2000];

	(void)state;
	memset(out, 0xee, sizeof(out));
	assert_int_equal(smx_bcrypt_pbkdf("password", 8, salt, 4, 4, out, 48), 0);
	assert_memory_equal(out, want48, 48);
	assert_int_equal(out[48], 0xee);
	assert_int_equal(smx_bcrypt_pbkdf("p\0ss", 4, salt, 5, 2, out, 100), 0);
	assert_memory_equal(out, want100, 100);
	assert_int_equal(smx_bcrypt_pbkdf("", 0, salt, 4, 1, out, 32), SMX_EINVAL);
	assert_int_equal(smx_bcrypt_pbkdf("x", 1, salt, 0, 1, out, 32), SMX_EINVAL);
	assert_int_equal(smx_bcrypt_pbkdf("x", 1, salt, 65, 1, out, 32), SMX_EINVAL);
	assert_int_equal(smx_bcrypt_pbkdf("x", 1, salt, 4, 0, out, 32), SMX_EINVAL);
	assert_int_equal(
		smx_bcrypt_pbkdf("x", 1, salt, 4, SMX_KEYFILE_ROUNDS_MAX + 1, out, 32), SMX_EINVAL);
	assert_int_equal(smx_bcrypt_pbkdf("x", 1, salt, 4, 1, out, 0), SMX_EINVAL);
	assert_int_equal(smx_bcrypt_pbkdf("x", 1, salt, 4, 1, out, 1025), SMX_EINVAL);
}

static void public_lines(void **state)
{
	static const char blob_b64[] = "AAAAC3NzaC1lZDI1NTE5AAAAAA==";
	struct smx_view rest = { NULL, 77 };
	struct smx_buf blob, line, text;

	(void)state;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&line, 1000);
	smx_buf_init(&text, 2 * SMX_KEYFILE_MAX);
	assert_int_equal(smx_buf_printf(&text, " \tssh-ed25519 \t%s  a comment \r\n", blob_b64), 0);
	assert_int_equal(smx_pubkey_line_parse(test_view(&text), &blob, &rest), 0);
	assert_true(smx_view_eq(rest, "a comment"));
	assert_int_equal(smx_buf_len(&blob), 19);
	assert_int_equal(smx_pubkey_line_write(test_view(&blob), &line), 0);
	assert_string_equal(smx_buf_cstr(&line), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAA==");
	assert_int_equal(smx_pubkey_line_parse(test_view(&line), &blob, &rest), 0);
	assert_int_equal(rest.len, 0);
	assert_int_equal(smx_buf_len(&blob), 38); /* appended */
	rest.len = 77;

	/* Not lines: nothing is appended. */
	static const char *const bad[] = { "", " ", "ssh-ed25519", "ssh-ed25519 ",
		"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAAA==", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAA",
		"ssh-ed25519 AAAA", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAA==x",
		"ssh-ed25519 !!!!" };
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++)
		assert_int_equal(
			smx_pubkey_line_parse(test_str(bad[i]), &blob, &rest), SMX_EFORMAT);
	smx_buf_reset(&text);
	assert_int_equal(smx_buf_put_str(&text, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"), 0);
	while (smx_buf_len(&text) < SMX_KEY_BLOB_MAX * 4 / 3 + 100)
		assert_int_equal(smx_buf_put_str(&text, "AAAA"), 0);
	assert_int_equal(smx_pubkey_line_parse(test_view(&text), &blob, &rest), SMX_ETOOBIG);
	assert_int_equal(smx_buf_len(&blob), 38);
	assert_int_equal(rest.len, 77);

	/* K1: a blob whose type name would forge a line is not written. */
	static const char *const names[] = { "", "a b", "a\nb", "\x80", "a\x7f" };
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		smx_buf_reset(&blob);
		smx_buf_reset(&line);
		assert_int_equal(smx_put_cstr(&blob, names[i]), 0);
		assert_int_equal(smx_pubkey_line_write(test_view(&blob), &line), SMX_EFORMAT);
		assert_int_equal(smx_buf_len(&line), 0);
	}
	smx_buf_release(&blob);
	smx_buf_release(&line);
	smx_buf_release(&text);
}

static int everything(struct smx_view text)
{
	struct smx_buf out, blob, line;
	struct smx_view rest;
	struct smx_key *k = NULL;
	char *comment = NULL;
	int r;

	smx_buf_init_secret(&out, SMX_KEYFILE_MAX);
	smx_buf_init(&blob, SMX_KEYFILE_MAX);
	smx_buf_init(&line, SMX_KEYFILE_MAX);
	if ((r = smx_keyfile_parse(text, PASSPHRASE, &k, &comment)) == 0 &&
		(r = smx_keyfile_write(k, comment, &out)) == 0 &&
		(r = smx_keyfile_public_blob(text, &blob)) == 0 &&
		(r = smx_pubkey_line_write(test_view(&blob), &line)) == 0)
		r = smx_pubkey_line_parse(test_view(&line), &blob, &rest);
	smx_key_free(k);
	smx_free(comment);
	smx_buf_release(&out);
	smx_buf_release(&blob);
	smx_buf_release(&line);
	return r;
}

static void no_memory_leaks_nothing(void **state)
{
	static const char *const names[] = { "ed25519", "ed25519_aes128-gcm", "ed25519_chacha20" };
	long before = smx_mem_alive();

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		struct smx_view text = load(names[i], "");
		int r = SMX_ENOMEM;

		for (long n = 0; r != 0; n++) {
			smx_mem_fail_after(n);
			r = everything(text);
			smx_mem_fail_after(-1);
			assert_true(r == 0 || r == SMX_ENOMEM);
			assert_true(n > 4 || r != 0);
		}
		test_free_view(text);
	}
	assert_int_equal(smx_mem_alive(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A1_files_of_ssh_keygen_and_openssl),
		cmocka_unit_test(windows_line_ends_and_blank_lines_do_not_matter),
		cmocka_unit_test(what_is_no_key_file),
		cmocka_unit_test(damaged_files_are_refused),
		cmocka_unit_test(damaged_sealed_files_are_refused),
		cmocka_unit_test(S7_envelopes_are_bounded),
		cmocka_unit_test(L4_what_we_write_we_read),
		cmocka_unit_test(bcrypt_agrees_with_others),
		cmocka_unit_test(public_lines),
		cmocka_unit_test(no_memory_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
