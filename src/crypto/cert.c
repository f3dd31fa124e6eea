/* SPDX-License-Identifier: MIT */
#include "crypto/cert.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/key_priv.h"

/* How many strings (mpints count as such) a plain key has behind its type name. */
static int n_key_strings(enum smx_key_type type)
{
	switch (type) {
	case SMX_KEY_ED25519:
		return 1;
	case SMX_KEY_ECDSA_256:
	case SMX_KEY_ECDSA_384:
	case SMX_KEY_ECDSA_521:
	case SMX_KEY_RSA:
	case SMX_KEY_SK_ED25519:
		return 2;
	case SMX_KEY_SK_ECDSA:
		return 3;
	}
	return 0;
}

/* The key's own fields, which become its plain blob (appended). */
static int read_key(
	struct smx_rd *rd, const struct smx_key_type_info *info, struct smx_buf *ret_plain)
{
	const uint8_t *start = rd->p;
	struct smx_view v;
	int r;

	for (int i = 0; i < n_key_strings(info->type); i++)
		if ((r = smx_rd_string(rd, &v)) != 0)
			return r;
	if ((r = smx_put_cstr(ret_plain, info->name)) != 0 ||
		(r = smx_buf_put(ret_plain, start, (size_t)(rd->p - start))) != 0)
		return r == SMX_ELIMIT ? SMX_ETOOBIG : r;
	return 0;
}

static int count_principals(struct smx_cert *c)
{
	struct smx_rd rd = smx_rd_view(c->principals);
	struct smx_view name;
	int r;

	while (rd.left) {
		if ((r = smx_rd_string(&rd, &name)) != 0)
			return r;
		if (c->n_principals == SMX_CERT_PRINCIPALS_MAX)
			return SMX_ETOOBIG;
		/* A name that ends at a NUL for one reader and goes on for another. */
		if (name.len && memchr(name.p, 0, name.len))
			return SMX_EFORMAT;
		c->n_principals++;
	}
	return 0;
}

/* A sequence of names and values, both strings. */
static int check_options(struct smx_view options)
{
	struct smx_rd rd = smx_rd_view(options);
	struct smx_view name, value;
	int r;

	while (rd.left)
		if ((r = smx_rd_string(&rd, &name)) != 0 || (r = smx_rd_string(&rd, &value)) != 0)
			return r;
	return 0;
}

/* c->blob is there; the rest of *c is filled in. */
static int parse(struct smx_cert *c, struct smx_buf *plain)
{
	struct smx_rd rd = smx_rd_view(c->blob);
	const struct smx_key_type_info *info;
	struct smx_view nonce, reserved;
	uint32_t kind;
	int r;

	if ((r = smx_rd_string(&rd, &c->type)) != 0)
		return r;
	info = smx_key_type_find_cert(c->type);
	if (!info)
		return SMX_EUNSUPPORTED;
	if ((r = smx_rd_string(&rd, &nonce)) != 0 || (r = read_key(&rd, info, plain)) != 0 ||
		(r = smx_rd_u64(&rd, &c->serial)) != 0 || (r = smx_rd_u32(&rd, &kind)) != 0 ||
		(r = smx_rd_string(&rd, &c->key_id)) != 0 ||
		(r = smx_rd_string(&rd, &c->principals)) != 0 ||
		(r = smx_rd_u64(&rd, &c->valid_after_s)) != 0 ||
		(r = smx_rd_u64(&rd, &c->valid_before_s)) != 0 ||
		(r = smx_rd_string(&rd, &c->critical)) != 0 ||
		(r = smx_rd_string(&rd, &c->extensions)) != 0 ||
		(r = smx_rd_string(&rd, &reserved)) != 0 || /* to be ignored in this version */
		(r = smx_rd_string(&rd, &c->ca_blob)) != 0)
		return r;
	c->signed_part = (struct smx_view){ c->blob.p, (size_t)(rd.p - c->blob.p) };
	if ((r = smx_rd_string(&rd, &c->signature)) != 0 || (r = smx_rd_end(&rd)) != 0 ||
		(r = count_principals(c)) != 0 || (r = check_options(c->critical)) != 0 ||
		(r = check_options(c->extensions)) != 0)
		return r;
	if (kind != SMX_CERT_USER && kind != SMX_CERT_HOST)
		return SMX_EFORMAT;
	c->kind = (enum smx_cert_kind)kind;
	return smx_key_from_blob(&c->key, smx_buf_as_view(plain));
}

int smx_cert_parse(struct smx_cert **ret, struct smx_view blob)
{
	struct smx_cert *c;
	struct smx_buf plain;
	uint8_t *copy, *plain_copy;
	int r;

	if (blob.len > SMX_KEY_BLOB_MAX)
		return SMX_ETOOBIG;
	/* One block: the certificate, its bytes, and the plain blob, which is a shorter one. */
	c = smx_calloc(1, sizeof(*c) + 2 * blob.len);
	if (!c)
		return SMX_ENOMEM;
	copy = (uint8_t *)(c + 1);
	plain_copy = copy + blob.len;
	if (blob.len)
		memcpy(copy, blob.p, blob.len);
	c->blob = (struct smx_view){ copy, blob.len };
	smx_buf_init(&plain, blob.len);
	r = parse(c, &plain);
	if (r == 0) {
		c->plain_blob = (struct smx_view){ plain_copy, smx_buf_len(&plain) };
		memcpy(plain_copy, smx_buf_view(&plain), smx_buf_len(&plain));
		*ret = c;
	} else {
		smx_cert_free(c);
	}
	smx_buf_release(&plain);
	return r;
}

void smx_cert_free(struct smx_cert *c)
{
	if (!c)
		return;
	smx_key_free(c->key);
	smx_free(c);
}

int smx_cert_principal(struct smx_view *list, struct smx_view *ret_name)
{
	struct smx_rd rd = smx_rd_view(*list);

	if (smx_rd_string(&rd, ret_name) != 0)
		return 0;
	*list = (struct smx_view){ rd.p, rd.left };
	return 1;
}

int smx_cert_verify_signature(const struct smx_cert *c)
{
	struct smx_key *ca = NULL;
	struct smx_rd rd = smx_rd_view(c->signature);
	struct smx_view type, alg;
	int r;

	if ((r = smx_blob_type(c->ca_blob, &type)) != 0 || (r = smx_rd_string(&rd, &alg)) != 0)
		return r;
	/* PROTOCOL.certkeys: no chains. */
	if (smx_key_type_find_cert(type))
		return SMX_ESIGNATURE;
	if (smx_view_eq(alg, "ssh-rsa"))
		return SMX_EUNSUPPORTED;
	if ((r = smx_key_from_blob(&ca, c->ca_blob)) != 0)
		return r;
	/* Whatever the signature calls itself must be one of our algorithms, and fit the key. */
	r = smx_key_verify(ca, alg, c->signature, c->signed_part);
	smx_key_free(ca);
	return r;
}

int smx_host_key_verify(
	struct smx_view blob, struct smx_view alg, struct smx_view sig, struct smx_view data)
{
	const char *plain_alg = smx_sigalg_of_cert(alg);
	struct smx_cert *cert = NULL;
	struct smx_key *key = NULL;
	struct smx_view type;
	int r;

	if ((r = smx_blob_type(blob, &type)) != 0)
		return r;
	if (!smx_sigalg_fits(alg, type) || !plain_alg != !smx_key_type_find_cert(type))
		return SMX_ESIGNATURE;
	if (plain_alg) {
		if ((r = smx_cert_parse(&cert, blob)) == 0)
			r = smx_key_verify(
				cert->key, smx_view_of(plain_alg, strlen(plain_alg)), sig, data);
	} else {
		if ((r = smx_key_from_blob(&key, blob)) == 0)
			r = smx_key_verify(key, alg, sig, data);
	}
	smx_cert_free(cert);
	smx_key_free(key);
	return r;
}
