/* SPDX-License-Identifier: MIT */
// fuzzes: src/crypto/keyfile.c src/crypto/keyfile_openssh.c
/*
 * Private key files (A1). Input: one byte, then the file: its text, or (odd byte) the bytes
 * inside OpenSSH's armour. Bit 1 of the byte: with a passphrase. It derives a key at once: the
 * salt again and again, as bcrypt is slow. PKCS#8, where libcrypto does that, gets none.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"

#define PASSPHRASE "correct horse"
#ifndef HAS_CHEAP_KDF
#define HAS_CHEAP_KDF 0
#endif

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static struct smx_view view_of(const struct smx_buf *b)
{
	return (struct smx_view){ smx_buf_view(b), smx_buf_len(b) };
}

/* A key that was taken has a public half that is taken, too; ours are written and read again. */
static void check_key(const struct smx_key *k, const char *comment)
{
	struct smx_buf blob, text;
	struct smx_key *again;
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init_secret(&text, 2 * SMX_KEYFILE_MAX);
	CHECK(smx_key_is_private(k));
	CHECK(smx_key_to_blob(k, &blob) == 0);
	r = smx_key_from_blob(&again, view_of(&blob));
	/* PEM files may hold RSA exponents that no peer may send. */
	CHECK(r == 0 || smx_key_get_type(k) == SMX_KEY_RSA);
	if (r == 0)
		smx_key_free(again);
	if (smx_key_get_type(k) == SMX_KEY_ED25519) {
		r = smx_keyfile_write(k, comment ? comment : "", &text);
		CHECK(r == 0 || r == SMX_ELIMIT);
		if (r == 0 && smx_buf_len(&text) <= SMX_KEYFILE_MAX) {
			CHECK(smx_keyfile_parse(view_of(&text), NULL, &again, NULL) == 0);
			smx_key_free(again);
		}
	}
	smx_buf_release(&blob);
	smx_buf_release(&text);
}

static int has(struct smx_view text, const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; n <= text.len && i <= text.len - n; i++)
		if (memcmp(text.p + i, s, n) == 0)
			return 1;
	return 0;
}

/* In the place of the real one (CMakeLists.txt: --wrap), which takes a tenth of a second a round. */
int __wrap_smx_bcrypt_pbkdf(const char *passphrase, size_t passphrase_len, const uint8_t *salt,
	size_t salt_len, uint32_t rounds, uint8_t *out, size_t out_len);

int __wrap_smx_bcrypt_pbkdf(const char *passphrase, size_t passphrase_len, const uint8_t *salt,
	size_t salt_len, uint32_t rounds, uint8_t *out, size_t out_len)
{
	CHECK(strcmp(passphrase, PASSPHRASE) == 0 && passphrase_len == strlen(passphrase));
	CHECK(salt_len > 0 && rounds > 0 && rounds <= SMX_KEYFILE_ROUNDS_MAX);
	for (size_t i = 0; i < out_len; i++)
		out[i] = salt[i % salt_len];
	return 0;
}

static void check_text(struct smx_view text, int with_passphrase)
{
	const char *passphrase = NULL;
	struct smx_key *k = NULL;
	struct smx_buf blob;
	char *comment = NULL;
	int r;

	if (HAS_CHEAP_KDF && with_passphrase && !has(text, "ENCRYPTED PRIVATE KEY"))
		passphrase = PASSPHRASE;
	r = smx_keyfile_parse(text, passphrase, &k, &comment);
	CHECK((r == 0) == (k != NULL));
	CHECK(r == 0 || !comment);
	if (r == 0)
		check_key(k, comment);
	smx_key_free(k);
	smx_free(comment);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	r = smx_keyfile_public_blob(text, &blob);
	CHECK(r == 0 || smx_buf_len(&blob) == 0);
	smx_buf_release(&blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	long before = smx_mem_alive();
	struct smx_buf text;

	if (size < 1 || size > SMX_KEYFILE_MAX)
		return 0;
	if (data[0] & 1) {
		smx_buf_init(&text, 2 * SMX_KEYFILE_MAX);
		CHECK(smx_buf_put_str(&text, "-----BEGIN OPENSSH PRIVATE KEY-----\n") == 0);
		CHECK(smx_base64_encode(&text, data + 1, size - 1, 1) == 0);
		CHECK(smx_buf_put_str(&text, "\n-----END OPENSSH PRIVATE KEY-----\n") == 0);
		check_text(view_of(&text), data[0] & 2);
		smx_buf_release(&text);
	} else {
		check_text((struct smx_view){ data + 1, size - 1 }, data[0] & 2);
	}
	CHECK(smx_mem_alive() == before);
	return 0;
}
