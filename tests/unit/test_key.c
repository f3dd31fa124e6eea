/* SPDX-License-Identifier: MIT */
/* Keys and signatures (L5, A1, B9), against files that ssh-keygen wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include <openssl/evp.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/keyfile.h"
#include "util_data.h"

static const struct {
	const char *file, *type, *algs[2], *fingerprint;
} keys[] = {
#define FP(text) "SHA256:" text
	{ "ed25519", "ssh-ed25519", { "ssh-ed25519", NULL },
		FP("fM+7YradLErzPd/WV6lXfkwUNEdaA/6RzsRyNtLb0IA") },
	{ "ecdsa_256", "ecdsa-sha2-nistp256", { "ecdsa-sha2-nistp256", NULL },
		FP("PjgW0AbKMO1i4J7N/F+uk8McMIUO/1rYQabczDprndI") },
	{ "ecdsa_384", "ecdsa-sha2-nistp384", { "ecdsa-sha2-nistp384", NULL },
		FP("lCok44PgJsGWV8uGjJ5z4lO1OpSFyjLTB74MobuaiwA") },
	{ "ecdsa_521", "ecdsa-sha2-nistp521", { "ecdsa-sha2-nistp521", NULL },
		FP("hVhtOjoDTqlc9VVbfLQm9evyyCY0IUF/erz5JwWFJVQ") },
	{ "rsa_2048", "ssh-rsa", { "rsa-sha2-512", "rsa-sha2-256" },
		FP("WBirm33KSuW43zkb0LD36GIwPnUXvWboMO0yY518xL0") },
#undef FP
};

static struct smx_key *load_private(const char *file)
{
	char name[100];
	struct smx_view text;
	struct smx_key *k;

	(void)snprintf(name, sizeof(name), "keys/%s", file);
	text = test_read_file(name);
	assert_int_equal(smx_keyfile_parse(text, NULL, &k, NULL), 0);
	test_free_view(text);
	return k;
}

/* Appends the blob of tests/data/keys/FILE.EXT. */
static void load_blob(const char *file, const char *ext, struct smx_buf *blob)
{
	char name[100];
	struct smx_view text, rest;

	(void)snprintf(name, sizeof(name), "keys/%s.%s", file, ext);
	text = test_read_file(name);
	assert_int_equal(smx_pubkey_line_parse(text, blob, &rest), 0);
	test_free_view(text);
}

static void blobs_to_keys_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		char fingerprint[SMX_FINGERPRINT_SIZE];
		struct smx_buf blob, again;
		struct smx_view type;
		struct smx_key *k;

		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		smx_buf_init(&again, SMX_KEY_BLOB_MAX);
		load_blob(keys[i].file, "pub", &blob);
		assert_int_equal(smx_key_from_blob(&k, test_view(&blob)), 0);
		assert_string_equal(smx_key_type_name(smx_key_get_type(k)), keys[i].type);
		assert_int_equal(smx_key_is_private(k), 0);
		assert_int_equal(smx_key_to_blob(k, &again), 0);
		assert_true(smx_view_eq_view(test_view(&blob), test_view(&again)));
		assert_int_equal(smx_blob_type(test_view(&blob), &type), 0);
		assert_true(smx_view_eq(type, keys[i].type));
		assert_int_equal(smx_blob_fingerprint(test_view(&blob), fingerprint), 0);
		assert_string_equal(fingerprint, keys[i].fingerprint);
		smx_key_free(k);
		smx_buf_release(&blob);
		smx_buf_release(&again);
	}
	smx_key_free(NULL);
}

/* Cut anywhere, with a byte more, or with any bit of its structure wrong: no key, no crash. */
static void damaged_blobs_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		struct smx_buf blob;
		struct smx_key *k = NULL;
		size_t len;

		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		load_blob(keys[i].file, "pub", &blob);
		len = smx_buf_len(&blob);
		for (size_t n = 0; n < len; n++)
			assert_true(smx_errclass(smx_key_from_blob(
					    &k, (struct smx_view){ smx_buf_view(&blob), n })) ==
				    SMX_CLASS_PEER);
		assert_int_equal(smx_put_u8(&blob, 0), 0);
		assert_int_equal(smx_key_from_blob(&k, test_view(&blob)), SMX_ETRAILING);
		assert_null(k);
		smx_buf_release(&blob);
	}
}

static void put_rsa(struct smx_buf *b, size_t e_len, size_t n_len, uint8_t e_last, uint8_t n_last)
{
	uint8_t number[4096];

	smx_buf_reset(b);
	memset(number, 0x7f, sizeof(number));
	assert_int_equal(smx_put_cstr(b, "ssh-rsa"), 0);
	number[e_len - 1] = e_last;
	assert_int_equal(smx_put_mpint(b, number, e_len), 0);
	number[e_len - 1] = 0x7f;
	number[n_len - 1] = n_last;
	assert_int_equal(smx_put_mpint(b, number, n_len), 0);
}

static void keys_out_of_bounds_are_refused(void **state)
{
	uint8_t point[65] = { 4 };
	struct smx_key *k = NULL;
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 2 * SMX_KEY_BLOB_MAX);
	put_rsa(&b, 3, 257, 0x01, 0x01);
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), 0);
	smx_key_free(k);
	k = NULL;
	put_rsa(&b, 3, 256, 0x01, 0x01); /* 2047 bits */
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EWEAK);
	put_rsa(&b, 3, 2049, 0x01, 0x01);
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EFORMAT);
	put_rsa(&b, 3, 257, 0x02, 0x01); /* even */
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EFORMAT);
	put_rsa(&b, 3, 257, 0x01, 0x02);
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EFORMAT);
	put_rsa(&b, 1, 257, 0x01, 0x01); /* e = 1 signs anything */
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EFORMAT);
	put_rsa(&b, 9, 257, 0x01, 0x01);
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EFORMAT);

	/* A point off the curve; another curve's name. */
	for (int i = 0; i < 2; i++) {
		smx_buf_reset(&b);
		assert_int_equal(smx_put_cstr(&b, "ecdsa-sha2-nistp256"), 0);
		assert_int_equal(smx_put_cstr(&b, i ? "nistp384" : "nistp256"), 0);
		assert_int_equal(smx_put_string(&b, point, sizeof(point)), 0);
		assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EFORMAT);
	}

	smx_buf_reset(&b);
	assert_int_equal(smx_put_cstr(&b, "ssh-ed25519"), 0);
	assert_int_equal(smx_put_string(&b, point, 31), 0);
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EFORMAT);

	smx_buf_reset(&b);
	assert_int_equal(smx_put_cstr(&b, "ssh-dss"), 0);
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EUNSUPPORTED);
	smx_buf_reset(&b);
	load_blob("ecdsa_256", "cert", &b);
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_EUNSUPPORTED);

	smx_buf_reset(&b);
	assert_int_equal(smx_put_cstr(&b, "ssh-ed25519"), 0);
	while (smx_buf_len(&b) <= SMX_KEY_BLOB_MAX)
		assert_int_equal(smx_put_string(&b, point, sizeof(point)), 0);
	assert_int_equal(smx_key_from_blob(&k, test_view(&b)), SMX_ETOOBIG);
	assert_null(k);
	smx_buf_release(&b);
}

/* ssh-keygen -Y sign (PROTOCOL.sshsig): what it signed must verify here. */
static void signatures_of_ssh_keygen_verify(void **state)
{
	struct smx_view message = test_read_file("keys/message");

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		char name[100], text[4000];
		struct smx_view file, magic, blob, ns, reserved, hash_name, sig, alg;
		uint8_t digest[SMX_HASH_MAX];
		struct smx_buf bytes, data;
		struct smx_rd rd, inner;
		struct smx_key *k;
		uint32_t version;
		size_t n = 0;

		(void)snprintf(name, sizeof(name), "keys/%s.sig", keys[i].file);
		file = test_read_file(name);
		/* The lines between the first and the last, joined. */
		for (size_t at = 0, line = 0; at < file.len; at++) {
			if (file.p[at] == '\n')
				line++;
			else if (line > 0 && file.p[at] == '-')
				break;
			else if (line > 0)
				text[n++] = (char)file.p[at];
		}
		smx_buf_init(&bytes, 4000);
		smx_buf_init(&data, 4000);
		assert_int_equal(smx_base64_decode(&bytes, smx_view_of(text, n)), 0);
		rd = smx_rd_view(test_view(&bytes));
		assert_int_equal(smx_rd_bytes(&rd, 6, &magic), 0);
		assert_int_equal(smx_rd_u32(&rd, &version), 0);
		assert_int_equal(smx_rd_string(&rd, &blob), 0);
		assert_int_equal(smx_rd_string(&rd, &ns), 0);
		assert_int_equal(smx_rd_string(&rd, &reserved), 0);
		assert_int_equal(smx_rd_string(&rd, &hash_name), 0);
		assert_int_equal(smx_rd_string(&rd, &sig), 0);
		assert_int_equal(smx_rd_end(&rd), 0);
		assert_true(smx_view_eq(hash_name, "sha512"));
		assert_int_equal(smx_hash(SMX_HASH_SHA512, message.p, message.len, digest), 0);
		assert_int_equal(smx_buf_put(&data, magic.p, 6), 0);
		assert_int_equal(smx_put_view(&data, ns), 0);
		assert_int_equal(smx_put_view(&data, reserved), 0);
		assert_int_equal(smx_put_view(&data, hash_name), 0);
		assert_int_equal(smx_put_string(&data, digest, 64), 0);

		inner = smx_rd_view(sig);
		assert_int_equal(smx_rd_string(&inner, &alg), 0);
		assert_int_equal(smx_key_from_blob(&k, blob), 0);
		assert_int_equal(smx_key_verify(k, alg, sig, test_view(&data)), 0);
		data.data[data.len - 1] ^= 1;
		assert_int_equal(smx_key_verify(k, alg, sig, test_view(&data)), SMX_ESIGNATURE);
		smx_key_free(k);
		smx_buf_release(&bytes);
		smx_buf_release(&data);
		test_free_view(file);
	}
	test_free_view(message);
}

static void sign_and_verify(void **state)
{
	static const uint8_t text[] = "what is signed";
	struct smx_view data = { text, sizeof(text) }, list, alg;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		struct smx_key *private = load_private(keys[i].file), *public;
		struct smx_buf blob, sig;

		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		smx_buf_init(&sig, SMX_SIG_MAX);
		assert_int_equal(smx_key_is_private(private), 1);
		assert_int_equal(smx_key_to_blob(private, &blob), 0);
		assert_int_equal(smx_key_from_blob(&public, test_view(&blob)), 0);
		list = test_str(smx_sigalg_names(1));
		while (smx_namelist_next(&list, &alg)) {
			char name[64];
			int ours = smx_view_eq(alg, keys[i].algs[0]) ||
				   (keys[i].algs[1] && smx_view_eq(alg, keys[i].algs[1]));

			(void)snprintf(name, sizeof(name), "%.*s", (int)alg.len, alg.p);
			smx_buf_reset(&sig);
			assert_int_equal(smx_key_sign(public, name, data, &sig), SMX_EINVAL);
			assert_int_equal(
				smx_key_sign(private, name, data, &sig), ours ? 0 : SMX_EINVAL);
			if (!ours)
				continue;
			assert_int_equal(smx_key_verify(public, alg, test_view(&sig), data), 0);
			assert_int_equal(smx_key_verify(private, alg, test_view(&sig), data), 0);
		}
		/* SHA-1 does not exist here. */
		assert_int_equal(smx_key_sign(private, "ssh-rsa", data, &sig), SMX_EINVAL);
		assert_int_equal(smx_key_sign(private, "", data, &sig), SMX_EINVAL);
		smx_key_free(private);
		smx_key_free(public);
		smx_buf_release(&blob);
		smx_buf_release(&sig);
	}
}

/* ECDSA numbers vary in length: often enough to meet short ones and sign bytes. */
static void ecdsa_of_every_length(void **state)
{
	static const char *const names[][2] = { { "ecdsa_256", "ecdsa-sha2-nistp256" },
		{ "ecdsa_521", "ecdsa-sha2-nistp521" } };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		struct smx_key *k = load_private(names[i][0]);
		struct smx_buf sig;

		smx_buf_init(&sig, SMX_SIG_MAX);
		for (uint32_t n = 0; n < 300; n++) {
			struct smx_view data = { (const uint8_t *)&n, sizeof(n) };

			smx_buf_reset(&sig);
			assert_int_equal(smx_key_sign(k, names[i][1], data, &sig), 0);
			assert_int_equal(
				smx_key_verify(k, test_str(names[i][1]), test_view(&sig), data), 0);
		}
		smx_key_free(k);
		smx_buf_release(&sig);
	}
}

/* B9: whatever is changed, cut or added, the signature is none. */
static void B9_damaged_signatures_are_refused(void **state)
{
	static const uint8_t text[] = "what is signed";
	struct smx_view data = { text, sizeof(text) };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		struct smx_key *k = load_private(keys[i].file);
		struct smx_view alg = test_str(keys[i].algs[0]);
		struct smx_buf sig;
		int r;

		smx_buf_init(&sig, SMX_SIG_MAX);
		assert_int_equal(smx_key_sign(k, keys[i].algs[0], data, &sig), 0);
		for (size_t n = 0; n < smx_buf_len(&sig); n++) {
			struct smx_view cut = { smx_buf_view(&sig), n };

			assert_int_equal(
				smx_errclass(smx_key_verify(k, alg, cut, data)), SMX_CLASS_PEER);
			sig.data[n] ^= 0x01;
			r = smx_key_verify(k, alg, test_view(&sig), data);
			assert_int_equal(smx_errclass(r), SMX_CLASS_PEER);
			sig.data[n] ^= 0x01;
		}
		assert_int_equal(smx_key_verify(k, alg, test_view(&sig), data), 0);
		assert_int_equal(smx_put_u8(&sig, 0), 0);
		assert_int_equal(smx_key_verify(k, alg, test_view(&sig), data), SMX_ETRAILING);
		smx_key_free(k);
		smx_buf_release(&sig);
	}
}

/* The inner name must be the one negotiated, and both of the key's type. */
static void inner_names_are_checked(void **state)
{
	struct smx_key *rsa = load_private("rsa_2048"), *ed = load_private("ed25519");
	struct smx_view data = test_str("data");
	struct smx_buf sig;

	(void)state;
	smx_buf_init(&sig, SMX_SIG_MAX);
	assert_int_equal(smx_key_sign(rsa, "rsa-sha2-256", data, &sig), 0);
	assert_int_equal(smx_key_verify(rsa, test_str("rsa-sha2-256"), test_view(&sig), data), 0);
	assert_int_equal(smx_key_verify(rsa, test_str("rsa-sha2-512"), test_view(&sig), data),
		SMX_ESIGNATURE);
	assert_int_equal(
		smx_key_verify(rsa, test_str("ssh-rsa"), test_view(&sig), data), SMX_ESIGNATURE);
	assert_int_equal(smx_key_verify(ed, test_str("rsa-sha2-256"), test_view(&sig), data),
		SMX_ESIGNATURE);
	assert_int_equal(
		smx_key_verify(ed, test_str("ssh-ed25519"), test_view(&sig), data), SMX_ESIGNATURE);
	assert_int_equal(smx_key_verify(rsa, test_str("rsa-sha2-256-cert-v01@openssh.com"),
				 test_view(&sig), data),
		SMX_ESIGNATURE);
	smx_key_free(rsa);
	smx_key_free(ed);
	smx_buf_release(&sig);
}

/* A good key of one curve that calls itself one of another is none. */
static void the_curve_is_that_of_the_type(void **state)
{
	static const char other[] = "ecdsa-sha2-nistp256";
	struct smx_key *k = load_private("ecdsa_384"), *wrong = NULL;
	struct smx_buf blob;

	(void)state;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	assert_int_equal(smx_key_to_blob(k, &blob), 0);
	memcpy(blob.data + blob.off + 4, other, sizeof(other) - 1);
	assert_int_equal(smx_key_from_blob(&wrong, test_view(&blob)), SMX_EFORMAT);
	assert_null(wrong);
	smx_key_free(k);
	smx_buf_release(&blob);
}

/* RFC 8332 wants the full length; some signers strip leading zeros, some do not. */
static void rsa_signatures_with_leading_zeros(void **state)
{
	struct smx_key *k = load_private("rsa_2048");
	struct smx_view alg = test_str("rsa-sha2-256"), name, raw;
	struct smx_buf sig, stripped;
	int met = 0;

	(void)state;
	smx_buf_init(&sig, SMX_SIG_MAX);
	smx_buf_init(&stripped, SMX_SIG_MAX);
	for (uint32_t n = 0; n < 5000 && !met; n++) {
		struct smx_view data = { (const uint8_t *)&n, sizeof(n) };
		struct smx_rd rd;

		smx_buf_reset(&sig);
		assert_int_equal(smx_key_sign(k, "rsa-sha2-256", data, &sig), 0);
		rd = smx_rd_view(test_view(&sig));
		assert_int_equal(smx_rd_string(&rd, &name), 0);
		assert_int_equal(smx_rd_string(&rd, &raw), 0);
		assert_int_equal(raw.len, 256);
		if (raw.p[0] != 0)
			continue;
		met = 1;
		assert_int_equal(smx_put_view(&stripped, name), 0);
		assert_int_equal(smx_put_string(&stripped, raw.p + 1, raw.len - 1), 0);
		assert_int_equal(smx_key_verify(k, alg, test_view(&sig), data), 0);
		assert_int_equal(smx_key_verify(k, alg, test_view(&stripped), data), 0);
	}
	assert_int_equal(met, 1);
	smx_key_free(k);
	smx_buf_release(&sig);
	smx_buf_release(&stripped);
}

/*
 * A security key made of an ordinary one: PROTOCOL.u2f's signature is an ordinary one
 * over SHA256(application) || flags || counter || SHA256(data).
 */
struct fake_sk {
	struct smx_key *inner, *outer;
	const char *inner_alg, *alg;
};

static void make_sk(struct fake_sk *sk, int ecdsa)
{
	struct smx_buf blob, sk_blob;
	struct smx_view name, v;
	struct smx_rd rd;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&sk_blob, SMX_KEY_BLOB_MAX);
	sk->inner = load_private(ecdsa ? "ecdsa_256" : "ed25519");
	sk->inner_alg = ecdsa ? "ecdsa-sha2-nistp256" : "ssh-ed25519";
	sk->alg = ecdsa ? "sk-ecdsa-sha2-nistp256@openssh.com" : "sk-ssh-ed25519@openssh.com";
	assert_int_equal(smx_key_to_blob(sk->inner, &blob), 0);
	rd = smx_rd_view(test_view(&blob));
	assert_int_equal(smx_rd_string(&rd, &name), 0);
	assert_int_equal(smx_put_cstr(&sk_blob, sk->alg), 0);
	assert_int_equal(smx_rd_bytes(&rd, rd.left, &v), 0);
	assert_int_equal(smx_buf_put(&sk_blob, v.p, v.len), 0);
	assert_int_equal(smx_key_from_blob(&sk->outer, test_view(&sk_blob)), SMX_ETRUNCATED);
	assert_int_equal(smx_put_cstr(&sk_blob, "ssh:"), 0);
	assert_int_equal(smx_key_from_blob(&sk->outer, test_view(&sk_blob)), 0);
	smx_buf_reset(&blob);
	assert_int_equal(smx_key_to_blob(sk->outer, &blob), 0);
	assert_true(smx_view_eq_view(test_view(&blob), test_view(&sk_blob)));
	smx_buf_release(&blob);
	smx_buf_release(&sk_blob);
}

static void sk_sign(const struct fake_sk *sk, const char *application, uint8_t flags,
	struct smx_view data, struct smx_buf *sig)
{
	uint8_t digest[SMX_HASH_MAX];
	struct smx_view name, raw;
	struct smx_buf message, inner;
	struct smx_rd rd;

	smx_buf_init(&message, 1000);
	smx_buf_init(&inner, 1000);
	assert_int_equal(smx_hash(SMX_HASH_SHA256, application, strlen(application), digest), 0);
	assert_int_equal(smx_buf_put(&message, digest, 32), 0);
	assert_int_equal(smx_put_u8(&message, flags), 0);
	assert_int_equal(smx_put_u32(&message, 0x01020304), 0);
	assert_int_equal(smx_hash(SMX_HASH_SHA256, data.p, data.len, digest), 0);
	assert_int_equal(smx_buf_put(&message, digest, 32), 0);
	assert_int_equal(smx_key_sign(sk->inner, sk->inner_alg, test_view(&message), &inner), 0);
	rd = smx_rd_view(test_view(&inner));
	assert_int_equal(smx_rd_string(&rd, &name), 0);
	assert_int_equal(smx_rd_string(&rd, &raw), 0);
	smx_buf_reset(sig);
	assert_int_equal(smx_put_cstr(sig, sk->alg), 0);
	assert_int_equal(smx_put_view(sig, raw), 0);
	assert_int_equal(smx_put_u8(sig, flags), 0);
	assert_int_equal(smx_put_u32(sig, 0x01020304), 0);
	smx_buf_release(&message);
	smx_buf_release(&inner);
}

static void L5_security_keys_need_a_touch(void **state)
{
	struct smx_view data = test_str("data");

	(void)state;
	for (int ecdsa = 0; ecdsa < 2; ecdsa++) {
		struct fake_sk sk;
		struct smx_view alg;
		struct smx_buf sig;

		make_sk(&sk, ecdsa);
		alg = test_str(sk.alg);
		smx_buf_init(&sig, SMX_SIG_MAX);
		sk_sign(&sk, "ssh:", 0x01, data, &sig);
		assert_int_equal(smx_key_verify(sk.outer, alg, test_view(&sig), data), 0);
		sk_sign(&sk, "ssh:", 0x05, data, &sig); /* verified by PIN, too */
		assert_int_equal(smx_key_verify(sk.outer, alg, test_view(&sig), data), 0);
		sk_sign(&sk, "ssh:", 0x04, data, &sig);
		assert_int_equal(
			smx_key_verify(sk.outer, alg, test_view(&sig), data), SMX_ESIGNATURE);
		sk_sign(&sk, "https://other", 0x01, data, &sig);
		assert_int_equal(
			smx_key_verify(sk.outer, alg, test_view(&sig), data), SMX_ESIGNATURE);
		/* The flag is signed: setting it afterwards does not help. Nor is the counter free.
		 */
		sk_sign(&sk, "ssh:", 0x00, data, &sig);
		sig.data[sig.len - 5] = 0x01;
		assert_int_equal(
			smx_key_verify(sk.outer, alg, test_view(&sig), data), SMX_ESIGNATURE);
		sk_sign(&sk, "ssh:", 0x01, data, &sig);
		sig.data[sig.len - 1] ^= 1;
		assert_int_equal(
			smx_key_verify(sk.outer, alg, test_view(&sig), data), SMX_ESIGNATURE);
		sig.data[sig.len - 1] ^= 1;
		assert_int_equal(smx_put_u8(&sig, 0), 0);
		assert_int_equal(
			smx_key_verify(sk.outer, alg, test_view(&sig), data), SMX_ETRAILING);
		smx_buf_truncate(&sig, smx_buf_len(&sig) - 6);
		assert_int_equal(
			smx_key_verify(sk.outer, alg, test_view(&sig), data), SMX_ETRUNCATED);
		/* Verify only; and an ordinary signature of the same numbers is not one. */
		assert_int_equal(smx_key_sign(sk.outer, sk.alg, data, &sig), SMX_EINVAL);
		smx_buf_reset(&sig);
		assert_int_equal(smx_key_sign(sk.inner, sk.inner_alg, data, &sig), 0);
		assert_int_equal(
			smx_key_verify(sk.outer, test_str(sk.inner_alg), test_view(&sig), data),
			SMX_ESIGNATURE);
		smx_key_free(sk.inner);
		smx_key_free(sk.outer);
		smx_buf_release(&sig);
	}
}

static void which_algorithm_fits_which_key(void **state)
{
	static const struct {
		const char *alg, *type;
		int fits;
	} cases[] = {
		{ "ssh-ed25519", "ssh-ed25519", 1 },
		{ "rsa-sha2-512", "ssh-rsa", 1 },
		{ "rsa-sha2-256", "ssh-rsa", 1 },
		{ "sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com", 1 },
		{ "ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", 1 },
		{ "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com", 1 },
		{ "rsa-sha2-512", "ssh-rsa-cert-v01@openssh.com", 1 },
		{ "rsa-sha2-512-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com", 1 },
		{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384-cert-v01@openssh.com", 1 },
		{ "sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com", 1 },
		{ "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
			"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", 1 },
		/* SHA-1, in any dress */
		{ "ssh-rsa", "ssh-rsa", 0 },
		{ "ssh-rsa", "ssh-rsa-cert-v01@openssh.com", 0 },
		{ "ssh-rsa-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com", 0 },
		/* another type's */
		{ "ssh-ed25519", "ssh-rsa", 0 },
		{ "rsa-sha2-512", "ssh-ed25519", 0 },
		{ "rsa-sha2-512", "rsa-sha2-512", 0 },
		{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", 0 },
		{ "ssh-ed25519", "sk-ssh-ed25519@openssh.com", 0 },
		{ "sk-ssh-ed25519@openssh.com", "ssh-ed25519", 0 },
		{ "ssh-ed25519-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com", 0 },
		/* a certificate's name for a plain key */
		{ "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", 0 },
		{ "rsa-sha2-512-cert-v01@openssh.com", "ssh-rsa", 0 },
		{ "ssh-ed25519", "ssh-ed25519-cert-v02@openssh.com", 0 },
		{ "ssh-ed25519", "sk-ssh-ed25519@openssh.com-cert-v01@openssh.com", 0 },
		{ "", "", 0 },
	};
	struct smx_view list = test_str(smx_sigalg_names(1)), name;
	int n = 0;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++)
		assert_int_equal(smx_sigalg_fits(test_str(cases[i].alg), test_str(cases[i].type)),
			cases[i].fits);
	while (smx_namelist_next(&list, &name))
		n++;
	assert_int_equal(n, 8);
	list = test_str(smx_sigalg_names(0));
	while (smx_namelist_next(&list, &name)) {
		assert_int_not_equal(memcmp(name.p, "sk-", 3), 0);
		n--;
	}
	assert_int_equal(n, 2);
}

static void generated_keys_differ_and_work(void **state)
{
	struct smx_buf a, b, sig;
	struct smx_key *k;

	(void)state;
	smx_buf_init(&a, 1000);
	smx_buf_init(&b, 1000);
	smx_buf_init(&sig, 1000);
	assert_int_equal(smx_key_generate_ed25519(&k), 0);
	assert_int_equal(smx_key_get_type(k), SMX_KEY_ED25519);
	assert_int_equal(smx_key_to_blob(k, &a), 0);
	assert_int_equal(smx_key_sign(k, "ssh-ed25519", test_view(&a), &sig), 0);
	assert_int_equal(
		smx_key_verify(k, test_str("ssh-ed25519"), test_view(&sig), test_view(&a)), 0);
	smx_key_free(k);
	assert_int_equal(smx_key_generate_ed25519(&k), 0);
	assert_int_equal(smx_key_to_blob(k, &b), 0);
	assert_false(smx_view_eq_view(test_view(&a), test_view(&b)));
	smx_key_free(k);
	smx_buf_release(&a);
	smx_buf_release(&b);
	smx_buf_release(&sig);
}

static int round_trip(struct smx_view blob, const struct smx_key *signer, const char *alg)
{
	struct smx_buf again, sig;
	struct smx_key *k = NULL;
	int r;

	smx_buf_init(&again, SMX_KEY_BLOB_MAX);
	smx_buf_init(&sig, SMX_SIG_MAX);
	if ((r = smx_key_from_blob(&k, blob)) == 0 && (r = smx_key_to_blob(k, &again)) == 0 &&
		(r = smx_key_sign(signer, alg, blob, &sig)) == 0)
		r = smx_key_verify(k, test_str(alg), test_view(&sig), blob);
	smx_key_free(k);
	smx_buf_release(&again);
	smx_buf_release(&sig);
	return r;
}

static void no_memory_leaks_nothing(void **state)
{
	long before = smx_mem_alive();

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		struct smx_key *signer = load_private(keys[i].file);
		char fingerprint[SMX_FINGERPRINT_SIZE];
		struct smx_buf blob;
		int r = SMX_ENOMEM;

		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		load_blob(keys[i].file, "pub", &blob);
		for (long n = 0; r != 0; n++) {
			smx_mem_fail_after(n);
			r = round_trip(test_view(&blob), signer, keys[i].algs[0]);
			smx_mem_fail_after(-1);
			assert_true(r == 0 || r == SMX_ENOMEM);
			assert_true(n > 1 || r != 0);
		}
		smx_mem_fail_after(0);
		assert_int_equal(smx_blob_fingerprint(test_view(&blob), fingerprint), SMX_ENOMEM);
		smx_mem_fail_after(-1);
		smx_buf_release(&blob);
		smx_key_free(signer);
	}
	assert_int_equal(smx_mem_alive(), before);
}

/* Where the limit of locked memory is too low it lies there all the same. */
static void test_H3_a_private_key_lies_in_locked_memory(void **state)
{
	struct smx_key *k;

	(void)state;
	(void)smx_keys_lock(64 * 1024);
	assert_int_equal(CRYPTO_secure_used(), 0);
	assert_int_equal(smx_key_generate_ed25519(&k), 0);
	assert_true(CRYPTO_secure_used() > 0);
	smx_key_free(k);
	assert_int_equal(CRYPTO_secure_used(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blobs_to_keys_and_back),
		cmocka_unit_test(damaged_blobs_are_refused),
		cmocka_unit_test(keys_out_of_bounds_are_refused),
		cmocka_unit_test(signatures_of_ssh_keygen_verify),
		cmocka_unit_test(sign_and_verify),
		cmocka_unit_test(ecdsa_of_every_length),
		cmocka_unit_test(B9_damaged_signatures_are_refused),
		cmocka_unit_test(inner_names_are_checked),
		cmocka_unit_test(the_curve_is_that_of_the_type),
		cmocka_unit_test(rsa_signatures_with_leading_zeros),
		cmocka_unit_test(L5_security_keys_need_a_touch),
		cmocka_unit_test(which_algorithm_fits_which_key),
		cmocka_unit_test(generated_keys_differ_and_work),
		cmocka_unit_test(no_memory_leaks_nothing),
		cmocka_unit_test(test_H3_a_private_key_lies_in_locked_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
