/* SPDX-License-Identifier: MIT */
#include "mux/pool/identity.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cert.h"
#include "crypto/keyfile.h"
#include "os/file.h"
#include "os/path.h"

#define PUBLIC_SUFFIX ".pub"
#define PATH_MAX_LEN  (SMX_OS_PATH_MAX + sizeof(IDENTITY_CERT_SUFFIX))

void prepared_note(struct prepared *res, struct smx_buf *text)
{
	const char *s = smx_buf_cstr(text);

	if (!s || !*s)
		return;
	if (smx_buf_len(&res->notes))
		(void)smx_buf_put_str(&res->notes, "; ");
	(void)smx_buf_put_str(&res->notes, s); /* what exceeds the cap is left out */
}

/* --- public keys --- */

/* The one line of a .pub file; it may turn out to be a private key's. */
static int read_line(const char *path, struct smx_buf *ret_blob, struct smx_buf *err)
{
	struct smx_view v, rest;
	struct smx_buf text;
	int r;

	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	r = smx_os_file_read(path, SMX_KEYFILE_MAX, SMX_OS_FILE_PLAIN, &text, err);
	v = smx_buf_as_view(&text);
	while (v.len && (v.p[v.len - 1] == '\n' || v.p[v.len - 1] == '\r'))
		v.len--;
	if (r == 0)
		r = smx_pubkey_line_parse(v, ret_blob, &rest);
	smx_buf_release(&text);
	return r;
}

/* That of the file beside another. */
static int read_beside(
	const char *path, const char *suffix, struct smx_buf *ret_blob, struct smx_buf *err)
{
	struct smx_buf name;
	int r;

	smx_buf_init(&name, PATH_MAX_LEN);
	if ((r = smx_buf_printf(&name, "%s%s", path, suffix)) == 0)
		r = smx_buf_cstr(&name) ? read_line(smx_buf_cstr(&name), ret_blob, err)
					: SMX_ENOMEM;
	smx_buf_release(&name);
	return r == SMX_ELIMIT ? SMX_ENOTFOUND : r;
}

int identity_read_public(const char *path, struct smx_buf *ret_blob)
{
	int r = read_line(path, ret_blob, NULL);

	return r == SMX_ENOTFOUND ? read_beside(path, PUBLIC_SUFFIX, ret_blob, NULL) : r;
}

/* --- private keys --- */

/* The public part of an encrypted key: from the file itself, or the .pub beside it. */
static void find_public(struct prepared_key *k, struct smx_view text)
{
	if (smx_keyfile_public_blob(text, &k->blob) != 0)
		(void)read_beside(k->path, PUBLIC_SUFFIX, &k->blob, NULL);
}

/* Whether a login with the key's file is possible: its public part is there, and of our types. */
static int is_usable(const struct smx_buf *blob)
{
	struct smx_key *key;
	int is_sk;

	if (smx_buf_len(blob) == 0 || smx_key_from_blob(&key, smx_buf_as_view(blob)) != 0)
		return 0;
	is_sk = smx_key_get_type(key) == SMX_KEY_SK_ED25519 ||
		smx_key_get_type(key) == SMX_KEY_SK_ECDSA;
	smx_key_free(key);
	return !is_sk;
}

static int parse_key(struct prepared *res, struct prepared_key *k, struct smx_view text)
{
	struct smx_buf msg;
	int r;

	r = smx_keyfile_parse(text, NULL, &k->key, NULL);
	if (r == 0)
		return smx_key_to_blob(k->key, &k->blob);
	if (smx_errclass(r) == SMX_CLASS_SYSTEM)
		return r;
	smx_buf_init(&msg, PREPARED_NOTES_MAX);
	if (r == SMX_EPASSPHRASE) {
		find_public(k, text);
		k->is_locked = is_usable(&k->blob);
		if (!k->is_locked)
			(void)smx_buf_printf(&msg,
				"%s is encrypted, and of a type or format for the agent only "
				"(ssh-add %s)",
				k->path, k->path);
	} else {
		(void)smx_buf_printf(&msg, "%s: %s", k->path, smx_strerror(r));
	}
	prepared_note(res, &msg);
	smx_buf_release(&msg);
	return 0;
}

static int read_private(struct prepared *res, struct prepared_key *k, int is_explicit)
{
	struct smx_buf text, err;
	int r;

	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	smx_buf_init(&err, PREPARED_NOTES_MAX);
	r = smx_os_file_read(k->path, SMX_KEYFILE_MAX, SMX_OS_FILE_USER_KEY, &text, &err);
	if (r == 0)
		r = parse_key(res, k, smx_buf_as_view(&text));
	else if (r != SMX_ENOTFOUND || is_explicit)
		prepared_note(res, &err);
	smx_buf_release(&text);
	smx_buf_release(&err);
	return r;
}

static int add_cert_beside(struct prepared *res, const char *path)
{
	size_t n = strlen(path), n_suffix = strlen(PUBLIC_SUFFIX);
	struct smx_buf name;
	int r;

	if (n > n_suffix && strcmp(path + n - n_suffix, PUBLIC_SUFFIX) == 0)
		n -= n_suffix;
	smx_buf_init(&name, PATH_MAX_LEN);
	r = smx_buf_printf(&name, "%.*s%s", (int)n, path, IDENTITY_CERT_SUFFIX);
	if (r == 0)
		r = smx_buf_cstr(&name) ? identity_read_cert(res, smx_buf_cstr(&name), 0)
					: SMX_ENOMEM;
	smx_buf_release(&name);
	return r == SMX_ENOMEM ? r : 0;
}

int identity_read(struct prepared *res, const char *path, int is_explicit)
{
	struct prepared_key *k = &res->keys[res->n_keys];
	int r;

	*k = (struct prepared_key){ .path = smx_strdup(path) };
	smx_buf_init(&k->blob, SMX_KEY_BLOB_MAX);
	if (!k->path)
		return SMX_ENOMEM;
	res->n_keys++;
	r = identity_read_public(path, &k->blob);
	k->is_public = r == 0;
	if (r != 0 && r != SMX_ENOMEM) {
		smx_buf_reset(&k->blob);
		r = read_private(res, k, is_explicit);
	}
	if (r == 0)
		return add_cert_beside(res, path);
	res->n_keys--;
	smx_free(k->path);
	smx_key_free(k->key);
	smx_buf_release(&k->blob);
	return r == SMX_ENOMEM ? r : 0;
}

/* --- certificates --- */

static int put_cert(struct prepared_cert *ret, struct smx_view blob)
{
	struct smx_cert *cert;
	int r;

	if ((r = smx_cert_parse(&cert, blob)) != 0)
		return r;
	r = cert->kind == SMX_CERT_USER ? 0 : SMX_EUNSUPPORTED;
	if (r == 0 && (r = smx_buf_put(&ret->blob, blob.p, blob.len)) == 0)
		r = smx_buf_put(&ret->plain, cert->plain_blob.p, cert->plain_blob.len);
	smx_cert_free(cert);
	return r;
}

static void note_cert(struct prepared *res, const char *path, int r, struct smx_buf *err)
{
	if (smx_buf_len(err) == 0)
		(void)smx_buf_printf(err, "%s: %s", path,
			r == SMX_EUNSUPPORTED ? "no certificate of a user's key" : smx_strerror(r));
	prepared_note(res, err);
}

int identity_read_cert(struct prepared *res, const char *path, int is_named)
{
	struct prepared_cert *c = &res->certs[res->n_certs];
	struct smx_buf blob, err;
	int r;

	if (res->n_certs == PREPARED_CERTS_MAX)
		return 0;
	*c = (struct prepared_cert){ .is_named = is_named };
	smx_buf_init(&c->blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&c->plain, SMX_KEY_BLOB_MAX);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&err, PREPARED_NOTES_MAX);
	if ((r = read_line(path, &blob, &err)) == 0)
		r = put_cert(c, smx_buf_as_view(&blob));
	if (r == 0) {
		res->n_certs++;
	} else {
		smx_buf_release(&c->blob);
		smx_buf_release(&c->plain);
		if (r != SMX_ENOMEM && (is_named || r != SMX_ENOTFOUND))
			note_cert(res, path, r, &err);
	}
	smx_buf_release(&blob);
	smx_buf_release(&err);
	return r == SMX_ENOMEM ? r : 0;
}
