/* SPDX-License-Identifier: MIT */
/* Certificates (B9), against files that ssh-keygen wrote and ones that no sane authority would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "cert_data.h"

#define Y2020 1577836800u
#define Y2099 4070908800u

static const struct {
	const char *name, *key;
	enum smx_cert_kind kind;
	size_t n_principals;
	uint64_t after, before;
	int has_critical, has_extensions;
	int signature;
} files[] = {
	{ "ed25519", "ed25519", SMX_CERT_HOST, 4, Y2020, Y2099, 0, 0, 0 },
	{ "ecdsa_256", "ecdsa_256", SMX_CERT_HOST, 4, Y2020, Y2099, 0, 0, 0 },
	{ "ecdsa_384", "ecdsa_384", SMX_CERT_HOST, 4, Y2020, Y2099, 0, 0, 0 },
	{ "ecdsa_521", "ecdsa_521", SMX_CERT_HOST, 4, Y2020, Y2099, 0, 0, 0 },
	{ "rsa_2048", "rsa_2048", SMX_CERT_HOST, 4, Y2020, Y2099, 0, 0, 0 },
	{ "rsa_sha256", "rsa_2048", SMX_CERT_HOST, 4, Y2020, Y2099, 0, 0, 0 },
	{ "rsa_sha1", "rsa_2048", SMX_CERT_HOST, 4, Y2020, Y2099, 0, 0, SMX_EUNSUPPORTED },
	{ "forever", "ed25519", SMX_CERT_HOST, 4, 0, UINT64_MAX, 0, 0, 0 },
	{ "nobody", "ed25519", SMX_CERT_HOST, 0, Y2020, Y2099, 0, 0, 0 },
	{ "critical", "ed25519", SMX_CERT_HOST, 4, Y2020, Y2099, 1, 0, 0 },
	{ "extension", "ed25519", SMX_CERT_HOST, 4, Y2020, Y2099, 0, 1, 0 },
	{ "user", "ed25519", SMX_CERT_USER, 4, Y2020, Y2099, 0, 1, 0 },
};

static const char *const principals[] = { "host.example", "*.wild.example", "h?st.two.example",
	"10.0.0.7" };

static void B9_certificates_of_ssh_keygen(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(files); i++) {
		struct smx_cert *c = cert_data_load(files[i].name);
		struct smx_view list = c->principals, name;
		struct smx_buf plain, again;
		char text[100];
		size_t n = 0;

		smx_buf_init(&plain, SMX_KEY_BLOB_MAX);
		smx_buf_init(&again, SMX_KEY_BLOB_MAX);
		(void)snprintf(text, sizeof(text), "keys/%s.pub", files[i].key);
		cert_data_blob(text, &plain);
		assert_true(smx_view_eq_view(c->plain_blob, test_view(&plain)));
		assert_int_equal(smx_key_to_blob(c->key, &again), 0);
		assert_true(smx_view_eq_view(c->plain_blob, test_view(&again)));
		assert_int_equal(c->kind, files[i].kind);
		assert_true(c->serial > 0);
		(void)snprintf(text, sizeof(text), "id of %s", files[i].name);
		assert_true(smx_view_eq(c->key_id, text));
		assert_int_equal(c->valid_after_s, files[i].after);
		assert_int_equal(c->valid_before_s, files[i].before);
		assert_int_equal(c->critical.len != 0, files[i].has_critical);
		assert_int_equal(c->extensions.len != 0, files[i].has_extensions);
		while (smx_cert_principal(&list, &name))
			assert_true(smx_view_eq(name, principals[n++]));
		assert_int_equal(n, files[i].n_principals);
		assert_int_equal(n, c->n_principals);
		assert_int_equal(smx_cert_verify_signature(c), files[i].signature);
		smx_buf_release(&plain);
		smx_buf_release(&again);
		smx_cert_free(c);
	}
	smx_cert_free(NULL);
}

/* Parsed and verified. */
static int judge(struct smx_view blob)
{
	struct smx_cert *c = NULL;
	int r = smx_cert_parse(&c, blob);

	assert_true((r == 0) == (c != NULL));
	if (r == 0)
		r = smx_cert_verify_signature(c);
	smx_cert_free(c);
	return r;
}

static void B9_every_byte_counts(void **state)
{
	static const char *const names[] = { "ed25519", "ecdsa_256", "rsa_2048", "critical",
		"user" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		struct smx_cert *c = cert_data_load(names[i]);
		uint8_t *copy = smx_malloc(c->blob.len + 1);
		struct smx_view v = { copy, c->blob.len };

		assert_non_null(copy);
		memcpy(copy, c->blob.p, c->blob.len);
		copy[c->blob.len] = 0;
		assert_int_equal(judge(v), 0);
		for (size_t at = 0; at < c->blob.len; at++) {
			uint8_t was = copy[at];
			int r;

			copy[at] ^= (uint8_t)(1u << (at % 8));
			r = judge(v);
			if (r == 0 || (smx_errclass(r) != SMX_CLASS_PEER && r != SMX_EUNSUPPORTED))
				fail_msg("%s byte %zu: %s", names[i], at, smx_errname(r));
			copy[at] = was;
		}
		for (v.len = 0; v.len < c->blob.len; v.len++)
			assert_int_equal(judge(v), SMX_ETRUNCATED);
		v.len = c->blob.len + 1;
		assert_int_equal(judge(v), SMX_ETRAILING);
		smx_free(copy);
		smx_cert_free(c);
	}
}

static const struct {
	const char *id;
	struct cert_fields f;
	int r;
} built[] = {
	{ "as it should be", { .serial = 7 }, 0 },
	{ "a kind that does not exist", { .kind = 3 }, SMX_EFORMAT },
	{ "kind of old", { .kind = 0x02000000 }, SMX_EFORMAT },
	{ "reserved is ignored", { .reserved = { (const uint8_t *)"abc", 3 } }, 0 },
	{ "not a certificate's type", { .type = "ssh-ed25519" }, SMX_EUNSUPPORTED },
	{ "a type we don't have", { .type = "ssh-dss-cert-v01@openssh.com" }, SMX_EUNSUPPORTED },
	{ "another version", { .type = "ssh-ed25519-cert-v02@openssh.com" }, SMX_EUNSUPPORTED },
	{ "a signature algorithm as type", { .type = "rsa-sha2-512-cert-v01@openssh.com" },
		SMX_EUNSUPPORTED },
	{ "no signature", { .no_signature = 1 }, SMX_ETRUNCATED },
	{ "bytes behind", { .trailing = 1 }, SMX_ETRAILING },
	{ "no principals", { .no_principals = 1 }, 0 },
	{ "an empty principal", { .principals = { (const uint8_t *)"\0\0\0\0", 4 } }, 0 },
	{ "a principal with a NUL", { .principals = { (const uint8_t *)"\0\0\0\3a\0b", 7 } },
		SMX_EFORMAT },
	{ "a principal cut off", { .principals = { (const uint8_t *)"\0\0\0\3ab", 6 } },
		SMX_ETRUNCATED },
	{ "half a length", { .principals = { (const uint8_t *)"\0\0\0", 3 } }, SMX_ETRUNCATED },
	{ "an option without a value", { .critical = { (const uint8_t *)"\0\0\0\1a", 5 } },
		SMX_ETRUNCATED },
	{ "an option cut off", { .critical = { (const uint8_t *)"\0\0\0\1a\0\0\0\1", 9 } },
		SMX_ETRUNCATED },
	{ "an extension cut off", { .extensions = { (const uint8_t *)"\0\0\0\1a\0\0\0\1", 9 } },
		SMX_ETRUNCATED },
	{ "an extension", { .extensions = { (const uint8_t *)"\0\0\0\1a\0\0\0\0", 9 } }, 0 },
	{ "a key of no length", { .key = { (const uint8_t *)"\0\0\0\0", 4 } }, SMX_EFORMAT },
	{ "an authority without a type", { .ca_blob = { (const uint8_t *)"abc", 3 } },
		SMX_ETRUNCATED },
	{ "an authority of a type we don't have",
		{ .ca_blob = { (const uint8_t *)"\0\0\0\7ssh-dss", 11 } }, SMX_EUNSUPPORTED },
	{ "an authority that is a certificate",
		{ .ca_blob = { (const uint8_t *)"\0\0\0\x20ssh-ed25519-cert-v01@openssh.com",
			  36 } },
		SMX_ESIGNATURE },
	{ "an authority with too short a key",
		{ .ca_blob = { (const uint8_t *)"\0\0\0\7ssh-rsa\0\0\0\1\3\0\0\0\2\1\1", 22 } },
		SMX_EWEAK },
	{ "a signature of another name", { .inner_alg = "rsa-sha2-512" }, SMX_ESIGNATURE },
	{ "a signature of a certificate's name",
		{ .inner_alg = "ssh-ed25519-cert-v01@openssh.com" }, SMX_ESIGNATURE },
	{ "a signature with SHA-1", { .inner_alg = "ssh-rsa" }, SMX_EUNSUPPORTED },
	{ "a signature of no name", { .inner_alg = "" }, SMX_ESIGNATURE },
};

static void B9_malformed_though_signed(void **state)
{
	struct smx_key *ca = NULL, *other = NULL;
	struct smx_buf blob, other_blob;

	(void)state;
	assert_int_equal(smx_key_generate_ed25519(&ca), 0);
	assert_int_equal(smx_key_generate_ed25519(&other), 0);
	smx_buf_init(&blob, 65536);
	smx_buf_init(&other_blob, 65536);
	for (size_t i = 0; i < SMX_ARRAY_LEN(built); i++) {
		smx_buf_reset(&blob);
		cert_build(&blob, &built[i].f, ca);
		if (judge(test_view(&blob)) != built[i].r)
			fail_msg("%s: %s", built[i].id, smx_errname(judge(test_view(&blob))));
	}

	/* Another authority's name on it than the one that signed. */
	assert_int_equal(smx_key_to_blob(other, &other_blob), 0);
	smx_buf_reset(&blob);
	cert_build(&blob, &(struct cert_fields){ .ca_blob = test_view(&other_blob) }, ca);
	assert_int_equal(judge(test_view(&blob)), SMX_ESIGNATURE);

	smx_key_free(ca);
	smx_key_free(other);
	smx_buf_release(&blob);
	smx_buf_release(&other_blob);
}

static void B9_limits(void **state)
{
	struct smx_buf blob, names;
	struct smx_key *ca = NULL;
	struct cert_fields f = { 0 };

	(void)state;
	assert_int_equal(smx_key_generate_ed25519(&ca), 0);
	smx_buf_init(&blob, 65536);
	smx_buf_init(&names, 65536);
	for (int i = 0; i < SMX_CERT_PRINCIPALS_MAX; i++)
		cert_put_name(&names, "h");
	f.principals = test_view(&names);
	cert_build(&blob, &f, ca);
	assert_int_equal(judge(test_view(&blob)), 0);
	cert_put_name(&names, "h");
	f.principals = test_view(&names);
	smx_buf_reset(&blob);
	cert_build(&blob, &f, ca);
	assert_int_equal(judge(test_view(&blob)), SMX_ETOOBIG);

	/* The blob as a whole: filled up to the last byte by the field that nobody reads. */
	f.principals = (struct smx_view){ NULL, 0 };
	smx_buf_reset(&blob);
	cert_build(&blob, &f, ca);
	smx_buf_reset(&names);
	for (size_t n = SMX_KEY_BLOB_MAX - smx_buf_len(&blob); n; n--)
		assert_int_equal(smx_put_u8(&names, 'x'), 0);
	f.reserved = test_view(&names);
	smx_buf_reset(&blob);
	cert_build(&blob, &f, ca);
	assert_int_equal(smx_buf_len(&blob), SMX_KEY_BLOB_MAX);
	assert_int_equal(judge(test_view(&blob)), 0);
	assert_int_equal(smx_put_u8(&names, 'x'), 0);
	f.reserved = test_view(&names);
	smx_buf_reset(&blob);
	cert_build(&blob, &f, ca);
	assert_int_equal(judge(test_view(&blob)), SMX_ETOOBIG);
	assert_int_equal(judge((struct smx_view){ NULL, 0 }), SMX_ETRUNCATED);
	smx_key_free(ca);
	smx_buf_release(&blob);
	smx_buf_release(&names);
}

/* Certificates of security keys have their application behind the key. */
static void B9_security_keys(void **state)
{
	struct smx_buf blob, key;
	struct smx_cert *c = NULL;
	struct smx_key *ca = NULL;
	struct cert_fields f = { .type = "sk-ssh-ed25519-cert-v01@openssh.com" };

	(void)state;
	assert_int_equal(smx_key_generate_ed25519(&ca), 0);
	smx_buf_init(&blob, 65536);
	smx_buf_init(&key, 65536);
	cert_data_blob("keys/ed25519.pub", &key);
	smx_buf_consume(&key, 4 + strlen("ssh-ed25519"));
	assert_int_equal(smx_put_cstr(&key, "ssh:"), 0);
	f.key = test_view(&key);
	cert_build(&blob, &f, ca);
	assert_int_equal(smx_cert_parse(&c, test_view(&blob)), 0);
	assert_int_equal(smx_cert_verify_signature(c), 0);
	assert_int_equal(smx_key_get_type(c->key), SMX_KEY_SK_ED25519);
	assert_true(smx_view_eq_view(c->type, test_str("sk-ssh-ed25519-cert-v01@openssh.com")));
	smx_cert_free(c);
	smx_key_free(ca);
	smx_buf_release(&blob);
	smx_buf_release(&key);
}

/* --- the proof in a key exchange --------------------------------------------------- */

#define CERT "-cert-v01@openssh.com"

static const struct {
	const char *key, *alg; /* the signature's */
	const char *blob, *agreed;
	int r;
} proofs[] = {
	{ "ed25519", "ssh-ed25519", "keys/ed25519.pub", "ssh-ed25519", 0 },
	{ "ed25519", "ssh-ed25519", "certs/ed25519.cert", "ssh-ed25519" CERT, 0 },
	{ "ecdsa_256", "ecdsa-sha2-nistp256", "certs/ecdsa_256.cert", "ecdsa-sha2-nistp256" CERT,
		0 },
	{ "ecdsa_384", "ecdsa-sha2-nistp384", "certs/ecdsa_384.cert", "ecdsa-sha2-nistp384" CERT,
		0 },
	{ "ecdsa_521", "ecdsa-sha2-nistp521", "certs/ecdsa_521.cert", "ecdsa-sha2-nistp521" CERT,
		0 },
	{ "rsa_2048", "rsa-sha2-512", "certs/rsa_2048.cert", "rsa-sha2-512" CERT, 0 },
	{ "rsa_2048", "rsa-sha2-256", "certs/rsa_2048.cert", "rsa-sha2-256" CERT, 0 },
	/* What the authority did with it is not the key exchange's business. */
	{ "rsa_2048", "rsa-sha2-256", "certs/rsa_sha1.cert", "rsa-sha2-256" CERT, 0 },
	{ "ed25519", "ssh-ed25519", "certs/user.cert", "ssh-ed25519" CERT, 0 },
	/* A certificate where a plain key was agreed on, and the reverse. */
	{ "ed25519", "ssh-ed25519", "certs/ed25519.cert", "ssh-ed25519", SMX_ESIGNATURE },
	{ "ed25519", "ssh-ed25519", "keys/ed25519.pub", "ssh-ed25519" CERT, SMX_ESIGNATURE },
	{ "rsa_2048", "rsa-sha2-512", "certs/rsa_2048.cert", "rsa-sha2-512", SMX_ESIGNATURE },
	/* Another algorithm than agreed on. */
	{ "rsa_2048", "rsa-sha2-512", "certs/rsa_2048.cert", "rsa-sha2-256" CERT, SMX_ESIGNATURE },
	{ "rsa_2048", "rsa-sha2-512", "certs/rsa_2048.cert", "ssh-rsa" CERT, SMX_ESIGNATURE },
	{ "rsa_2048", "rsa-sha2-512", "certs/rsa_2048.cert", "ssh-ed25519" CERT, SMX_ESIGNATURE },
	{ "ed25519", "ssh-ed25519", "certs/ed25519.cert", "ssh-ed25519" CERT CERT, SMX_ESIGNATURE },
	/* Another key than the certified one. */
	{ "ecdsa_256", "ecdsa-sha2-nistp256", "certs/ed25519.cert", "ssh-ed25519" CERT,
		SMX_ESIGNATURE },
	{ "another", "ssh-ed25519", "certs/ed25519.cert", "ssh-ed25519" CERT, SMX_ESIGNATURE },
};

static void B9_the_certified_key_proves_itself(void **state)
{
	struct smx_view data = test_str("an exchange hash"), other = test_str("another one");

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(proofs); i++) {
		struct smx_key *k = NULL;
		struct smx_buf blob, sig;
		int r;

		if (strcmp(proofs[i].key, "another") == 0)
			assert_int_equal(smx_key_generate_ed25519(&k), 0);
		else
			k = cert_data_private(proofs[i].key);
		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		smx_buf_init(&sig, SMX_SIG_MAX);
		cert_data_blob(proofs[i].blob, &blob);
		assert_int_equal(smx_key_sign(k, proofs[i].alg, data, &sig), 0);
		r = smx_host_key_verify(
			test_view(&blob), test_str(proofs[i].agreed), test_view(&sig), data);
		if (r != proofs[i].r)
			fail_msg("%s, %s: %s", proofs[i].blob, proofs[i].agreed, smx_errname(r));
		assert_int_equal(smx_host_key_verify(test_view(&blob), test_str(proofs[i].agreed),
					 test_view(&sig), other),
			SMX_ESIGNATURE);
		/* The signature's own name is the plain one. */
		smx_buf_reset(&sig);
		assert_int_equal(smx_put_cstr(&sig, "ssh-ed25519" CERT), 0);
		assert_int_equal(smx_put_string(&sig, "x", 1), 0);
		assert_int_equal(smx_host_key_verify(test_view(&blob), test_str(proofs[i].agreed),
					 test_view(&sig), data),
			SMX_ESIGNATURE);
		smx_buf_release(&blob);
		smx_buf_release(&sig);
		smx_key_free(k);
	}
	assert_int_equal(smx_host_key_verify(
				 test_str("abc"), test_str("ssh-ed25519" CERT), test_str(""), data),
		SMX_ETRUNCATED);
}

static void B9_names_offered(void **state)
{
	struct smx_view certs = test_str(smx_cert_sigalg_names()), plain, cert, name;

	(void)state;
	plain = test_str(smx_sigalg_names(0));
	while (smx_namelist_next(&plain, &name)) {
		assert_null(smx_sigalg_of_cert(name));
		assert_true(smx_namelist_next(&certs, &cert));
		assert_non_null(smx_sigalg_of_cert(cert));
		assert_true(smx_view_eq(name, smx_sigalg_of_cert(cert)));
	}
	assert_false(smx_namelist_next(&certs, &cert));
	assert_null(smx_sigalg_of_cert(test_str("ssh-rsa" CERT)));
	assert_null(smx_sigalg_of_cert(test_str(CERT)));
	assert_null(smx_sigalg_of_cert(test_str("")));
}

static void B9_no_memory(void **state)
{
	static const char *const names[] = { "ed25519", "rsa_2048", "user" };
	struct smx_view data = test_str("data");

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		struct smx_key *k = cert_data_private(i == 1 ? "rsa_2048" : "ed25519");
		const char *alg = i == 1 ? "rsa-sha2-512" : "ssh-ed25519";
		const char *agreed = i == 1 ? "rsa-sha2-512" CERT : "ssh-ed25519" CERT;
		struct smx_buf blob, sig;
		char file[100];
		int r = SMX_ENOMEM;
		long before, n;

		smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
		smx_buf_init(&sig, SMX_SIG_MAX);
		(void)snprintf(file, sizeof(file), "certs/%s.cert", names[i]);
		cert_data_blob(file, &blob);
		assert_int_equal(smx_key_sign(k, alg, data, &sig), 0);
		before = smx_mem_alive();
		for (n = 0; r != 0; n++) {
			smx_mem_fail_after(n);
			r = judge(test_view(&blob));
			if (r == 0)
				r = smx_host_key_verify(
					test_view(&blob), test_str(agreed), test_view(&sig), data);
			smx_mem_fail_after(-1);
			assert_true(r == 0 || r == SMX_ENOMEM);
			assert_int_equal(smx_mem_alive(), before);
		}
		assert_true(n > 5);
		smx_buf_release(&blob);
		smx_buf_release(&sig);
		smx_key_free(k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B9_certificates_of_ssh_keygen),
		cmocka_unit_test(B9_every_byte_counts),
		cmocka_unit_test(B9_malformed_though_signed),
		cmocka_unit_test(B9_limits),
		cmocka_unit_test(B9_security_keys),
		cmocka_unit_test(B9_the_certified_key_proves_itself),
		cmocka_unit_test(B9_names_offered),
		cmocka_unit_test(B9_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
