/* SPDX-License-Identifier: MIT */
#include "crypto/keyfile.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/key_priv.h"
#include "crypto/keyfile_priv.h"
#include "crypto/random.h"

#define ARMOUR_COLUMNS 70

/* Where needle begins in text, or NULL. */
static const uint8_t *find(struct smx_view text, const char *needle)
{
	size_t n = strlen(needle);

	for (size_t i = 0; n <= text.len && i <= text.len - n; i++)
		if (memcmp(text.p + i, needle, n) == 0)
			return text.p + i;
	return NULL;
}

static int is_openssh(struct smx_view text)
{
	return find(text, SMX_OPENSSH_BEGIN) != NULL;
}

static int is_pem(struct smx_view text)
{
	return find(text, "-----BEGIN ") && find(text, "PRIVATE KEY-----");
}

/* PEM and PKCS#8, by libcrypto. */

struct passphrase_request {
	const char *passphrase;
	int asked;
};

static int give_passphrase(char *to, int size, int writing, void *arg)
{
	struct passphrase_request *req = arg;
	size_t n;

	(void)writing;
	req->asked = 1;
	if (!req->passphrase || size < 0)
		return -1;
	n = strlen(req->passphrase);
	if (n > (size_t)size)
		return -1;
	memcpy(to, req->passphrase, n);
	return (int)n;
}

static int parse_pem(struct smx_view text, const char *passphrase, struct smx_key **ret)
{
	struct passphrase_request req = { passphrase, 0 };
	BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
	enum smx_key_type type;
	EVP_PKEY *pkey;
	int r;

	if (!bio)
		return SMX_ENOMEM;
	pkey = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &req);
	BIO_free(bio);
	ERR_clear_error();
	if (!pkey)
		return req.asked ? SMX_EPASSPHRASE : SMX_EFORMAT;
	r = smx_key_classify(pkey, &type);
	/* A file may ask for compressed points; on the wire they never are. */
	if (r == 0 && smx_key_type_info(type)->curve &&
		EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
			OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) != 1)
		r = SMX_ECRYPTO;
	if (r != 0) {
		EVP_PKEY_free(pkey);
		return r;
	}
	return smx_key_wrap(ret, type, pkey, 1);
}

/* OpenSSH's format. */

/* Whether the private section's key is the one the file shows to everybody. */
static int check_public(const struct smx_key *k, struct smx_view public_blob)
{
	struct smx_buf blob;
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	r = smx_key_to_blob(k, &blob);
	if (r == 0 && !smx_view_eq_view(public_blob, smx_buf_as_view(&blob)))
		r = SMX_EFORMAT;
	smx_buf_release(&blob);
	return r;
}

static int parse_openssh(
	struct smx_view text, const char *passphrase, struct smx_key **ret, char **ret_comment)
{
	struct smx_openssh_envelope e;
	struct smx_buf bytes, clear;
	struct smx_view comment;
	struct smx_key *k = NULL;
	char *comment_copy = NULL;
	int r;

	smx_buf_init_secret(&bytes, SMX_KEYFILE_MAX);
	smx_buf_init_secret(&clear, SMX_KEYFILE_MAX);
	if ((r = smx_openssh_open(text, &bytes, &e)) != 0 ||
		(r = smx_openssh_decrypt(&e, passphrase, &clear)) != 0 ||
		(r = smx_openssh_read_private(smx_buf_as_view(&clear), &k, &comment)) != 0 ||
		(r = check_public(k, e.public_blob)) != 0)
		goto out;
	if (ret_comment) {
		comment_copy = smx_strndup((const char *)comment.p, comment.len);
		if (!comment_copy) {
			r = SMX_ENOMEM;
			goto out;
		}
		*ret_comment = comment_copy;
	}
	*ret = k;
	k = NULL;
out:
	smx_key_free(k);
	smx_buf_release(&bytes);
	smx_buf_release(&clear);
	return r;
}

int smx_keyfile_parse(
	struct smx_view text, const char *passphrase, struct smx_key **ret, char **ret_comment)
{
	int r;

	if (text.len > SMX_KEYFILE_MAX)
		return SMX_ELIMIT;
	if (is_openssh(text))
		return parse_openssh(text, passphrase, ret, ret_comment);
	if (!is_pem(text))
		return SMX_EFORMAT;
	r = parse_pem(text, passphrase, ret);
	if (r == 0 && ret_comment)
		*ret_comment = NULL;
	return r;
}

int smx_keyfile_public_blob(struct smx_view text, struct smx_buf *ret_blob)
{
	struct smx_openssh_envelope e;
	struct smx_buf bytes;
	int r;

	if (text.len > SMX_KEYFILE_MAX)
		return SMX_ELIMIT;
	if (!is_openssh(text))
		return is_pem(text) ? SMX_EUNSUPPORTED : SMX_EFORMAT;
	smx_buf_init_secret(&bytes, SMX_KEYFILE_MAX);
	r = smx_openssh_open(text, &bytes, &e);
	if (r == 0)
		r = smx_buf_put(ret_blob, e.public_blob.p, e.public_blob.len);
	smx_buf_release(&bytes);
	return r;
}

/* Writing. */

/* The private section (PROTOCOL.key): twice the same random number, the key, padding. */
static int put_private(const struct smx_key *k, const char *comment, struct smx_buf *b)
{
	uint8_t pair[64], check[4], pad = 1;
	size_t len = 32;
	int r;

	if ((r = smx_random(check, sizeof(check))) != 0)
		return r;
	if (EVP_PKEY_get_raw_private_key(k->pkey, pair, &len) != 1 || len != 32 ||
		EVP_PKEY_get_raw_public_key(k->pkey, pair + 32, &len) != 1 || len != 32)
		r = SMX_ECRYPTO;
	if (r == 0 && (r = smx_buf_put(b, check, 4)) == 0 && (r = smx_buf_put(b, check, 4)) == 0 &&
		(r = smx_put_cstr(b, smx_key_type_name(k->type))) == 0 &&
		(r = smx_put_string(b, pair + 32, 32)) == 0 &&
		(r = smx_put_string(b, pair, 64)) == 0 && (r = smx_put_cstr(b, comment)) == 0)
		while (r == 0 && smx_buf_len(b) % 8 != 0)
			r = smx_put_u8(b, pad++);
	smx_wipe(pair, sizeof(pair));
	return r;
}

static int put_envelope(const struct smx_key *k, const char *comment, struct smx_buf *b)
{
	struct smx_buf private;
	size_t mark;
	int r;

	smx_buf_init_secret(&private, SMX_KEYFILE_MAX);
	if ((r = smx_buf_put(b, "openssh-key-v1", 15)) == 0 && (r = smx_put_cstr(b, "none")) == 0 &&
		(r = smx_put_cstr(b, "none")) == 0 && (r = smx_put_cstr(b, "")) == 0 &&
		(r = smx_put_u32(b, 1)) == 0 && (r = smx_put_string_begin(b, &mark)) == 0 &&
		(r = smx_key_to_blob(k, b)) == 0) {
		smx_put_string_end(b, mark);
		r = put_private(k, comment, &private);
		if (r == 0)
			r = smx_put_string(b, smx_buf_view(&private), smx_buf_len(&private));
	}
	smx_buf_release(&private);
	return r;
}

static int put_armoured(struct smx_buf *to, const uint8_t *text, size_t len)
{
	int r;

	if ((r = smx_buf_put_str(to, SMX_OPENSSH_BEGIN "\n")) != 0)
		return r;
	while (len > 0) {
		size_t n = len < ARMOUR_COLUMNS ? len : ARMOUR_COLUMNS;

		if ((r = smx_buf_put(to, text, n)) != 0 || (r = smx_buf_put(to, "\n", 1)) != 0)
			return r;
		text += n;
		len -= n;
	}
	return smx_buf_put_str(to, SMX_OPENSSH_END "\n");
}

int smx_keyfile_write(const struct smx_key *k, const char *comment, struct smx_buf *ret_text)
{
	size_t mark = smx_buf_len(ret_text);
	struct smx_buf bytes, text;
	int r;

	if (k->type != SMX_KEY_ED25519 || !k->is_private)
		return SMX_EUNSUPPORTED;
	smx_buf_init_secret(&bytes, SMX_KEYFILE_MAX);
	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	if ((r = put_envelope(k, comment, &bytes)) == 0 &&
		(r = smx_base64_encode(&text, smx_buf_view(&bytes), smx_buf_len(&bytes), 1)) == 0 &&
		(r = put_armoured(ret_text, smx_buf_view(&text), smx_buf_len(&text))) != 0)
		smx_buf_truncate(ret_text, mark);
	smx_buf_release(&bytes);
	smx_buf_release(&text);
	return r;
}
