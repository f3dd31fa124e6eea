/* SPDX-License-Identifier: MIT */
/* Certificates for tests: those of tests/data/certs, and ones made here, as wrong as wanted. */
#ifndef SMX_TESTS_CERT_DATA_H
#define SMX_TESTS_CERT_DATA_H

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/cert.h"
#include "crypto/keyfile.h"
#include "util_data.h"

/* Appends the blob in a file of tests/data ("certs/x.cert", "keys/x.pub"). */
static inline void cert_data_blob(const char *file, struct smx_buf *blob)
{
	struct smx_view text = test_read_file(file), rest;

	assert_int_equal(smx_pubkey_line_parse(text, blob, &rest), 0);
	test_free_view(text);
}

static inline struct smx_cert *cert_data_load(const char *name)
{
	struct smx_cert *c = NULL;
	struct smx_buf blob;
	char file[100];

	(void)snprintf(file, sizeof(file), "certs/%s.cert", name);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	cert_data_blob(file, &blob);
	assert_int_equal(smx_cert_parse(&c, test_view(&blob)), 0);
	smx_buf_release(&blob);
	return c;
}

static inline struct smx_key *cert_data_private(const char *name)
{
	struct smx_key *k = NULL;
	struct smx_view text;
	char file[100];

	(void)snprintf(file, sizeof(file), "keys/%s", name);
	text = test_read_file(file);
	assert_int_equal(smx_keyfile_parse(text, NULL, &k, NULL), 0);
	test_free_view(text);
	return k;
}

/* The fields of a certificate to be made; NULL and zeros have the sane meanings below. */
struct cert_fields {
	const char *type; /* ssh-ed25519-cert-v01@openssh.com */
	struct smx_view key; /* the key's own fields; an ed25519 key */
	uint64_t serial;
	uint32_t kind; /* a host's */
	struct smx_view principals; /* "host.example" as a string */
	int no_principals;
	uint64_t after, before; /* forever */
	struct smx_view critical, extensions, reserved;
	struct smx_view ca_blob; /* the signing key's */
	const char *sig_alg; /* ssh-ed25519 */
	const char *inner_alg; /* the name in the signature blob, if another */
	int no_signature, trailing;
};

static inline void cert_put_name(struct smx_buf *list, const char *name)
{
	assert_int_equal(smx_put_cstr(list, name), 0);
}

/* Appends a certificate by ca, whatever its fields. */
static inline void cert_build(
	struct smx_buf *out, const struct cert_fields *f, const struct smx_key *ca)
{
	struct smx_buf key, names, ca_blob, sig, other;
	struct smx_view raw, alg;
	struct smx_rd rd;
	size_t start = smx_buf_len(out);

	smx_buf_init(&key, 65536);
	smx_buf_init(&names, 65536);
	smx_buf_init(&ca_blob, 65536);
	smx_buf_init(&sig, 65536);
	smx_buf_init(&other, 65536);
	if (!f->key.p) {
		cert_data_blob("keys/ed25519.pub", &key);
		smx_buf_consume(&key, 4 + strlen("ssh-ed25519"));
	}
	if (!f->principals.p && !f->no_principals)
		cert_put_name(&names, "host.example");
	assert_int_equal(smx_key_to_blob(ca, &ca_blob), 0);
	assert_true(
		smx_put_cstr(out, f->type ? f->type : "ssh-ed25519-cert-v01@openssh.com") == 0 &&
		smx_put_string(out, "nonce", 5) == 0);
	raw = f->key.p ? f->key : test_view(&key);
	assert_int_equal(smx_buf_put(out, raw.p, raw.len), 0);
	assert_true(smx_put_u64(out, f->serial) == 0 &&
		    smx_put_u32(out, f->kind ? f->kind : SMX_CERT_HOST) == 0 &&
		    smx_put_cstr(out, "key id") == 0 &&
		    smx_put_view(out, f->principals.p ? f->principals : test_view(&names)) == 0 &&
		    smx_put_u64(out, f->after) == 0 &&
		    smx_put_u64(out, f->before ? f->before : UINT64_MAX) == 0 &&
		    smx_put_view(out, f->critical) == 0 && smx_put_view(out, f->extensions) == 0 &&
		    smx_put_view(out, f->reserved) == 0 &&
		    smx_put_view(out, f->ca_blob.p ? f->ca_blob : test_view(&ca_blob)) == 0);
	raw = (struct smx_view){ smx_buf_view(out) + start, smx_buf_len(out) - start };
	assert_int_equal(smx_key_sign(ca, f->sig_alg ? f->sig_alg : "ssh-ed25519", raw, &sig), 0);
	if (f->inner_alg) {
		rd = smx_rd_view(test_view(&sig));
		assert_int_equal(smx_rd_string(&rd, &alg), 0);
		assert_int_equal(smx_put_cstr(&other, f->inner_alg), 0);
		assert_int_equal(smx_buf_put(&other, rd.p, rd.left), 0);
	}
	if (!f->no_signature)
		assert_int_equal(
			smx_put_view(out, f->inner_alg ? test_view(&other) : test_view(&sig)), 0);
	if (f->trailing)
		assert_int_equal(smx_put_u8(out, 0), 0);
	smx_buf_release(&key);
	smx_buf_release(&names);
	smx_buf_release(&ca_blob);
	smx_buf_release(&sig);
	smx_buf_release(&other);
}

#endif
