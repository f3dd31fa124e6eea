/* SPDX-License-Identifier: MIT */
/*
 * Key agreement. Both roles must agree with each other, and each with a peer built here
 * from libcrypto's plain primitives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex_priv.h"
#include "util_data.h"

static struct smx_kex *make(const char *name)
{
	const struct smx_kex_alg *alg = smx_kex_find(test_str(name));
	struct smx_kex *k;

	if (!alg)
		fail_msg("no %s", name);
	assert_int_equal(smx_kex_new(&k, alg), 0);
	if (alg->kind == SMX_KEX_GEX) {
		struct smx_buf group;

		smx_buf_init(&group, SMX_KEX_PUBLIC_MAX);
		assert_int_equal(smx_kex_gex_choose(k, 2048, 2048, 8192, &group), 0);
		smx_buf_release(&group);
	}
	return k;
}

static void init_bufs(struct smx_buf *a, struct smx_buf *b, struct smx_buf *c, struct smx_buf *d)
{
	smx_buf_init(a, SMX_KEX_PUBLIC_MAX);
	smx_buf_init(b, SMX_KEX_PUBLIC_MAX);
	smx_buf_init_secret(c, SMX_KEX_SECRET_MAX);
	smx_buf_init_secret(d, SMX_KEX_SECRET_MAX);
}

static void release_bufs(struct smx_buf *a, struct smx_buf *b, struct smx_buf *c, struct smx_buf *d)
{
	smx_buf_release(a);
	smx_buf_release(b);
	smx_buf_release(c);
	smx_buf_release(d);
}

/* Client with server once; the secret's wire form is checked. */
static void agree(const struct smx_kex_alg *alg, const char *name)
{
	struct smx_kex *client = make(name), *server = make(name);
	struct smx_buf c_public, s_public, c_secret, s_secret;
	struct smx_rd rd;
	struct smx_view v;

	init_bufs(&c_public, &s_public, &c_secret, &s_secret);
	assert_int_equal(smx_kex_start(client, &c_public), 0);
	assert_int_equal(smx_kex_respond(server, test_view(&c_public), &s_public, &s_secret), 0);
	assert_int_equal(smx_kex_finish(client, test_view(&s_public), &c_secret), 0);
	assert_true(smx_view_eq_view(test_view(&c_secret), test_view(&s_secret)));
	rd = smx_rd_view(test_view(&c_secret));
	if (alg->kind == SMX_KEX_HYBRID) {
		assert_int_equal(smx_rd_string(&rd, &v), 0);
		int is_sntrup = name[0] == 's';

		assert_int_equal(v.len, is_sntrup ? 64 : 32);
		assert_int_equal(smx_buf_len(&c_public), (is_sntrup ? 1158 : 1184) + 32);
		assert_int_equal(smx_buf_len(&s_public), (is_sntrup ? 1039 : 1088) + 32);
	} else {
		assert_int_equal(smx_rd_mpint(&rd, &v), 0);
		assert_true(v.len > 20);
	}
	assert_int_equal(smx_rd_end(&rd), 0);
	release_bufs(&c_public, &s_public, &c_secret, &s_secret);
	smx_kex_free(client);
	smx_kex_free(server);
}

static void B9_both_roles_agree(void **state)
{
	struct smx_view list = test_str(smx_kex_names()), name;
	int n = 0;

	(void)state;
	while (smx_namelist_next(&list, &name)) {
		const struct smx_kex_alg *alg = smx_kex_find(name);

		assert_non_null(alg);
		assert_true(smx_view_eq(name, alg->name));
		/* The quick ones often enough to meet leading zeros. */
		for (int i = 0; i < (alg->is_slow ? 1 : 40); i++)
			agree(alg, alg->name);
		n++;
	}
	assert_true(n >= 9);
	assert_null(smx_kex_find(test_str("diffie-hellman-group1-sha1")));
	assert_null(smx_kex_find(test_str("diffie-hellman-group14-sha1")));
	assert_null(smx_kex_find(test_str("")));
}

/* A reference peer: X25519 or a NIST curve. */

static void put_mpint_by_hand(struct smx_buf *b, const uint8_t *p, size_t n)
{
	uint8_t zero = 0;

	for (; n && *p == 0; p++)
		n--;
	assert_int_equal(smx_put_u32(b, (uint32_t)n + (p[0] >> 7)), 0);
	if (p[0] >> 7)
		assert_int_equal(smx_buf_put(b, &zero, 1), 0);
	assert_int_equal(smx_buf_put(b, p, n), 0);
}

static void reference_ecdh(
	EVP_PKEY *ours, struct smx_view peer_public, const char *curve, struct smx_buf *secret)
{
	EVP_PKEY *peer = EVP_PKEY_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ours, NULL);
	uint8_t shared[66];
	size_t len = sizeof(shared);

	if (curve)
		assert_int_equal(EVP_PKEY_copy_parameters(peer, ours), 1);
	else
		assert_int_equal(EVP_PKEY_set_type_str(peer, "X25519", -1), 1);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(peer, peer_public.p, peer_public.len), 1);
	assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(ctx, peer), 1);
	assert_int_equal(EVP_PKEY_derive(ctx, shared, &len), 1);
	put_mpint_by_hand(secret, shared, len);
	EVP_PKEY_free(peer);
	EVP_PKEY_CTX_free(ctx);
}

static void curves_agree_with_libcrypto(void **state)
{
	static const char *const cases[][2] = {
		{ "curve25519-sha256", NULL },
		{ "curve25519-sha256@libssh.org", NULL },
		{ "ecdh-sha2-nistp256", "P-256" },
		{ "ecdh-sha2-nistp384", "P-384" },
		{ "ecdh-sha2-nistp521", "P-521" },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		const char *curve = cases[i][1];
		EVP_PKEY *peer =
			curve ? EVP_EC_gen(curve) : EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
		struct smx_kex *client = make(cases[i][0]), *server = make(cases[i][0]);
		struct smx_buf c_public, s_public, secret, want;
		unsigned char *encoded;
		struct smx_view peer_public;

		init_bufs(&c_public, &s_public, &secret, &want);
		peer_public.len = EVP_PKEY_get1_encoded_public_key(peer, &encoded);
		peer_public.p = encoded;
		assert_int_equal(smx_kex_start(client, &c_public), 0);
		assert_int_equal(smx_kex_finish(client, peer_public, &secret), 0);
		reference_ecdh(peer, test_view(&c_public), curve, &want);
		assert_true(smx_view_eq_view(test_view(&secret), test_view(&want)));
		smx_buf_reset(&secret);
		smx_buf_reset(&want);
		assert_int_equal(smx_kex_respond(server, peer_public, &s_public, &secret), 0);
		reference_ecdh(peer, test_view(&s_public), curve, &want);
		assert_true(smx_view_eq_view(test_view(&secret), test_view(&want)));
		release_bufs(&c_public, &s_public, &secret, &want);
		OPENSSL_free(encoded);
		EVP_PKEY_free(peer);
		smx_kex_free(client);
		smx_kex_free(server);
	}
}

/* A reference peer of finite fields: plain arithmetic with an exponent of its own. */
static void groups_agree_with_plain_arithmetic(void **state)
{
	static const struct {
		const char *name;
		BIGNUM *(*prime)(BIGNUM *);
	} cases[] = {
		{ "diffie-hellman-group14-sha256", BN_get_rfc3526_prime_2048 },
		{ "diffie-hellman-group16-sha512", BN_get_rfc3526_prime_4096 },
		{ "diffie-hellman-group18-sha512", BN_get_rfc3526_prime_8192 },
		{ "diffie-hellman-group-exchange-sha256", BN_get_rfc3526_prime_2048 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		BIGNUM *p = cases[i].prime(NULL), *x = BN_new(), *y = BN_new(), *z = BN_new();
		BN_CTX *ctx = BN_CTX_new();
		struct smx_kex *k = make(cases[i].name);
		struct smx_buf ours, theirs, secret, want;
		uint8_t bytes[1024];
		int len;

		init_bufs(&ours, &theirs, &secret, &want);
		assert_int_equal(BN_set_word(y, 2), 1);
		assert_int_equal(BN_rand(x, 250, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY), 1);
		assert_int_equal(BN_mod_exp(z, y, x, p, ctx), 1);
		len = BN_bn2bin(z, bytes);
		put_mpint_by_hand(&theirs, bytes, (size_t)len);
		smx_buf_consume(&theirs, 4);
		assert_int_equal(smx_kex_start(k, &ours), 0);
		assert_int_equal(smx_kex_finish(k, test_view(&theirs), &secret), 0);
		BN_bin2bn(smx_buf_view(&ours), (int)smx_buf_len(&ours), y);
		assert_int_equal(BN_mod_exp(z, y, x, p, ctx), 1);
		len = BN_bn2bin(z, bytes);
		put_mpint_by_hand(&want, bytes, (size_t)len);
		assert_true(smx_view_eq_view(test_view(&secret), test_view(&want)));
		release_bufs(&ours, &theirs, &secret, &want);
		BN_free(p);
		BN_free(x);
		BN_free(y);
		BN_free(z);
		BN_CTX_free(ctx);
		smx_kex_free(k);
	}
}

/* In both roles the value is refused, and nothing comes out. */
static void refuse(const char *name, const uint8_t *p, size_t n)
{
	struct smx_kex *client = make(name), *server = make(name);
	struct smx_buf c_public, s_public, c_secret, s_secret;
	struct smx_view bad = { p, n };

	init_bufs(&c_public, &s_public, &c_secret, &s_secret);
	assert_int_equal(smx_kex_start(client, &c_public), 0);
	assert_int_equal(smx_kex_finish(client, bad, &c_secret), SMX_EPROTOCOL);
	assert_int_equal(smx_kex_respond(server, bad, &s_public, &s_secret), SMX_EPROTOCOL);
	assert_int_equal(smx_buf_len(&s_public), 0);
	assert_int_equal(smx_buf_len(&c_secret), 0);
	assert_int_equal(smx_buf_len(&s_secret), 0);
	/* The same key answers no second try. */
	assert_int_equal(smx_kex_finish(client, bad, &c_secret), SMX_ESTATE);
	release_bufs(&c_public, &s_public, &c_secret, &s_secret);
	smx_kex_free(client);
	smx_kex_free(server);
}

/* Little-endian u coordinates of small order, on the curve and on its twist (RFC 7748, 6.1). */
static const uint8_t small_order[][32] = {
	{ 0 },
	{ 1 },
	{ 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
		0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f,
		0x49, 0xb8, 0x00 },
	{ 0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
		0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0,
		0x9f, 0x11, 0x57 },
	/* p - 1, p, p + 1 */
	{ 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0x7f },
	{ 0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0x7f },
	{ 0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0x7f },
};

static void x25519_values_of_small_order_are_refused(void **state)
{
	uint8_t v[33] = { 9 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(small_order); i++) {
		refuse("curve25519-sha256", small_order[i], 32);
		/* The top bit does not count, so it hides nothing. */
		memcpy(v, small_order[i], 32);
		v[31] |= 0x80;
		refuse("curve25519-sha256", v, 32);
	}
	v[0] = 9;
	refuse("curve25519-sha256", v, 31);
	refuse("curve25519-sha256", v, 33);
	refuse("curve25519-sha256", NULL, 0);
}

static void points_off_the_curve_are_refused(void **state)
{
	static const struct {
		const char *name, *curve;
	} cases[] = { { "ecdh-sha2-nistp256", "P-256" }, { "ecdh-sha2-nistp384", "P-384" },
		{ "ecdh-sha2-nistp521", "P-521" } };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		EVP_PKEY *peer = EVP_EC_gen(cases[i].curve);
		unsigned char *good;
		size_t len = EVP_PKEY_get1_encoded_public_key(peer, &good);
		uint8_t bad[140] = { 0 };

		memcpy(bad, good, len);
		bad[len - 1] ^= 1;
		refuse(cases[i].name, bad, len);
		memcpy(bad, good, len);
		refuse(cases[i].name, bad, len - 1);
		refuse(cases[i].name, bad, len + 1);
		refuse(cases[i].name, bad, 0);
		bad[0] = 0; /* infinity, alone and with a tail */
		refuse(cases[i].name, bad, 1);
		refuse(cases[i].name, bad, len);
		bad[0] = 2 + (bad[len - 1] & 1); /* compressed */
		refuse(cases[i].name, bad, 1 + (len - 1) / 2);
		bad[0] = 6 + (bad[len - 1] & 1); /* hybrid form */
		refuse(cases[i].name, bad, len);
		memset(bad, 0xff, sizeof(bad)); /* a coordinate beyond the field */
		bad[0] = 4;
		refuse(cases[i].name, bad, len);
		memset(bad, 0, sizeof(bad));
		bad[0] = 4;
		refuse(cases[i].name, bad, len);
		OPENSSL_free(good);
		EVP_PKEY_free(peer);
	}
}

/* p + add, as an mpint's contents. */
static size_t near_prime(BIGNUM *(*prime)(BIGNUM *), int add, uint8_t *out)
{
	BIGNUM *p = prime(NULL);
	int n;

	if (add >= 0)
		assert_int_equal(BN_add_word(p, (BN_ULONG)add), 1);
	else
		assert_int_equal(BN_sub_word(p, (BN_ULONG)-add), 1);
	out[0] = 0;
	n = BN_bn2bin(p, out + 1);
	BN_free(p);
	return (size_t)n + 1;
}

/* Twice the strength of the group, at least: a shorter exponent is what would be searched for. */
static void B9_dh_exponents_are_long_enough(void **state)
{
	static const struct {
		const char *name;
		int bits;
	} rows[] = { { "diffie-hellman-group14-sha256", 224 },
		{ "diffie-hellman-group16-sha512", 304 },
		{ "diffie-hellman-group18-sha512", 400 } };
	const struct smx_kex_alg *alg;
	struct smx_buf public;
	struct smx_kex *k;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		alg = smx_kex_find(test_str(rows[i].name));
		if (!alg)
			continue; /* not one of ours */
		smx_buf_init(&public, SMX_KEX_PUBLIC_MAX);
		assert_int_equal(smx_kex_new(&k, alg), 0);
		assert_int_equal(smx_kex_start(k, &public), 0);
		assert_true(BN_num_bits(k->x) >= rows[i].bits);
		smx_kex_free(k);
		smx_buf_release(&public);
	}
	assert_non_null(smx_kex_find(test_str(rows[0].name)));
}

static void dh_values_out_of_range_are_refused(void **state)
{
	static const char *const names[] = { "diffie-hellman-group14-sha256",
		"diffie-hellman-group-exchange-sha256" };
	static const uint8_t one[] = { 1 }, minus[] = { 0x80, 1 }, zero[] = { 0 };
	static const uint8_t padded[] = { 0, 5 };
	uint8_t v[2000];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		refuse(names[i], NULL, 0); /* zero */
		refuse(names[i], zero, 1);
		refuse(names[i], one, 1);
		refuse(names[i], minus, 2);
		refuse(names[i], padded, 2);
		for (int add = -1; add <= 2; add++)
			refuse(names[i], v, near_prime(BN_get_rfc3526_prime_2048, add, v));
		refuse(names[i], v, near_prime(BN_get_rfc3526_prime_4096, -2, v));
		memset(v, 0x55, sizeof(v));
		refuse(names[i], v, sizeof(v));
	}
}

static void dh_values_at_the_edge_are_taken(void **state)
{
	static const uint8_t two[] = { 2 };
	uint8_t v[2000];
	size_t n = near_prime(BN_get_rfc3526_prime_2048, -2, v);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct smx_kex *k = make("diffie-hellman-group14-sha256");
		struct smx_buf a, b, c, d;
		struct smx_view theirs = { i ? two : v, i ? 1 : n };

		init_bufs(&a, &b, &c, &d);
		assert_int_equal(smx_kex_respond(k, theirs, &a, &c), 0);
		release_bufs(&a, &b, &c, &d);
		smx_kex_free(k);
	}
}

static int set_group(const uint8_t *p, size_t p_len, const uint8_t *g, size_t g_len)
{
	const struct smx_kex_alg *alg =
		smx_kex_find(test_str("diffie-hellman-group-exchange-sha256"));
	struct smx_kex *k;
	int r;

	assert_int_equal(smx_kex_new(&k, alg), 0);
	r = smx_kex_gex_set_group(k, (struct smx_view){ p, p_len }, (struct smx_view){ g, g_len });
	smx_kex_free(k);
	return r;
}

static void gex_groups_are_checked(void **state)
{
	static const uint8_t g0[] = { 0 }, g1[] = { 1 }, g2[] = { 2 }, neg[] = { 0xfe };
	uint8_t p[2000], g[2000];
	size_t n = near_prime(BN_get_rfc3526_prime_2048, 0, p), g_len;

	(void)state;
	assert_int_equal(set_group(p, n, g2, 1), 0);
	assert_int_equal(set_group(p, n, g0, 1), SMX_EPROTOCOL);
	assert_int_equal(set_group(p, n, NULL, 0), SMX_EPROTOCOL);
	assert_int_equal(set_group(p, n, g1, 1), SMX_EPROTOCOL);
	assert_int_equal(set_group(p, n, neg, 1), SMX_EPROTOCOL);
	g_len = near_prime(BN_get_rfc3526_prime_2048, -1, g);
	assert_int_equal(set_group(p, n, g, g_len), SMX_EPROTOCOL);
	g_len = near_prime(BN_get_rfc3526_prime_2048, -2, g);
	assert_int_equal(set_group(p, n, g, g_len), 0);
	/* Negative, padded, even, too short, too long. */
	assert_int_equal(set_group(p + 1, n - 1, g2, 1), SMX_EPROTOCOL);
	p[n - 1] ^= 1;
	assert_int_equal(set_group(p, n, g2, 1), SMX_EPROTOCOL);
	memset(p, 0x7f, sizeof(p));
	assert_int_equal(set_group(p, 256, g2, 1), SMX_EPROTOCOL); /* 2047 bits */
	assert_int_equal(set_group(p, 1024, g2, 1), 0); /* 8191 */
	assert_int_equal(set_group(p, 1025, g2, 1), SMX_EPROTOCOL); /* 8199 */
	assert_int_equal(set_group(p, 2000, g2, 1), SMX_EPROTOCOL);
	p[0] = 0;
	assert_int_equal(set_group(p, 1024, g2, 1), SMX_EPROTOCOL);
}

static void gex_server_chooses_the_nearest(void **state)
{
	static const struct {
		uint32_t min, n, max;
		size_t bytes; /* of p; 0: refused */
	} cases[] = {
		{ 2048, 2048, 8192, 256 },
		{ 2048, 3072, 8192, 384 },
		{ 1024, 2049, 8192, 384 },
		{ 2048, 7680, 8192, 1024 },
		{ 2048, 7680, 7680, 768 },
		{ 1024, 1024, 8192, 256 },
		{ 2048, 8192, 16384, 1024 },
		{ 2048, 9000, 16384, 1024 },
		{ 2048, 4096, 4096, 512 },
		{ 1024, 1024, 1024, 0 },
		{ 2049, 2050, 3000, 0 },
		{ 9000, 9000, 16384, 0 },
		{ 4096, 2048, 8192, 0 },
		{ 2048, 8192, 4096, 0 },
		{ 0, 0, 0, 0 },
		{ 0xffffffff, 0xffffffff, 0xffffffff, 0 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_kex *server, *client;
		const struct smx_kex_alg *alg =
			smx_kex_find(test_str("diffie-hellman-group-exchange-sha256"));
		struct smx_view p = { NULL, 0 }, g;
		struct smx_buf group, secret;
		struct smx_rd rd;
		int r;

		smx_buf_init(&group, SMX_KEX_PUBLIC_MAX);
		smx_buf_init_secret(&secret, SMX_KEX_SECRET_MAX);
		assert_int_equal(smx_kex_new(&server, alg), 0);
		assert_int_equal(smx_kex_new(&client, alg), 0);
		assert_int_equal(smx_kex_start(server, &secret), SMX_ESTATE); /* no group yet */
		r = smx_kex_gex_choose(server, cases[i].min, cases[i].n, cases[i].max, &group);
		if (cases[i].bytes == 0) {
			assert_int_equal(r, SMX_EPROTOCOL);
			assert_int_equal(smx_buf_len(&group), 0);
		} else {
			assert_int_equal(r, 0);
			rd = smx_rd_view(test_view(&group));
			assert_int_equal(smx_rd_string(&rd, &p), 0);
			assert_int_equal(smx_rd_string(&rd, &g), 0);
			assert_int_equal(smx_rd_end(&rd), 0);
			assert_int_equal(p.len, cases[i].bytes + 1);
			assert_int_equal(smx_kex_gex_set_group(client, p, g), 0);
			assert_int_equal(smx_kex_gex_set_group(client, p, g), SMX_ESTATE);
		}
		smx_kex_free(client);
		smx_kex_free(server);
		smx_buf_release(&group);
		smx_buf_release(&secret);
	}
}

#if OPENSSL_VERSION_NUMBER >= 0x30500000L
/* K = SHA256(ML-KEM secret || X25519 secret), as a string. */
static void hybrid_secret(const uint8_t *kem, struct smx_view x_mpint, struct smx_buf *ret)
{
	uint8_t both[64] = { 0 }, digest[SMX_HASH_MAX];

	memcpy(both, kem, 32);
	memcpy(both + 64 - x_mpint.len, x_mpint.p, x_mpint.len);
	assert_int_equal(smx_hash(SMX_HASH_SHA256, both, 64, digest), 0);
	assert_int_equal(smx_put_string(ret, digest, 32), 0);
}

/* The X25519 secret of a reference peer, without the mpint's sign byte. */
static struct smx_view x_secret(EVP_PKEY *x, struct smx_view peer_public, struct smx_buf *room)
{
	struct smx_rd rd;
	struct smx_view v;

	smx_buf_reset(room);
	reference_ecdh(x, peer_public, NULL, room);
	rd = smx_rd_view(test_view(room));
	assert_int_equal(smx_rd_mpint(&rd, &v), 0);
	return v;
}

/* B9: the order of the halves, on the wire and in the hash, which both roles could get wrong. */
static void B9_hybrid_agrees_with_libcrypto(void **state)
{
	EVP_PKEY *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), *kem;
	struct smx_kex *client = make("mlkem768x25519-sha256"),
		       *server = make("mlkem768x25519-sha256");
	struct smx_buf public, room, secret, want;
	uint8_t reply[1088 + 32], init[1184 + 32], kem_secret[32];
	size_t ct_len = 1088, ss_len = 32, x_len = 32, ek_len = 1184;
	EVP_PKEY_CTX *ctx;
	struct smx_view v;

	(void)state;
	init_bufs(&public, &room, &secret, &want);
	/* The test is the server. */
	assert_int_equal(smx_kex_start(client, &public), 0);
	v = test_view(&public);
	kem = EVP_PKEY_new_raw_public_key_ex(NULL, "ML-KEM-768", NULL, v.p, 1184);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, kem, NULL);
	assert_int_equal(EVP_PKEY_encapsulate_init(ctx, NULL), 1);
	assert_int_equal(EVP_PKEY_encapsulate(ctx, reply, &ct_len, kem_secret, &ss_len), 1);
	assert_int_equal(EVP_PKEY_get_raw_public_key(x, reply + 1088, &x_len), 1);
	v = (struct smx_view){ v.p + 1184, 32 };
	hybrid_secret(kem_secret, x_secret(x, v, &room), &want);
	assert_int_equal(
		smx_kex_finish(client, (struct smx_view){ reply, sizeof(reply) }, &secret), 0);
	assert_true(smx_view_eq_view(test_view(&secret), test_view(&want)));
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(kem);

	/* The test is the client. */
	smx_buf_reset(&public);
	smx_buf_reset(&secret);
	smx_buf_reset(&want);
	kem = EVP_PKEY_Q_keygen(NULL, NULL, "ML-KEM-768");
	assert_int_equal(EVP_PKEY_get_raw_public_key(kem, init, &ek_len), 1);
	memcpy(init + 1184, reply + 1088, 32);
	assert_int_equal(
		smx_kex_respond(server, (struct smx_view){ init, sizeof(init) }, &public, &secret),
		0);
	v = test_view(&public);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, kem, NULL);
	assert_int_equal(EVP_PKEY_decapsulate_init(ctx, NULL), 1);
	assert_int_equal(EVP_PKEY_decapsulate(ctx, kem_secret, &ss_len, v.p, 1088), 1);
	v = (struct smx_view){ v.p + 1088, 32 };
	hybrid_secret(kem_secret, x_secret(x, v, &room), &want);
	assert_true(smx_view_eq_view(test_view(&secret), test_view(&want)));
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(kem);
	EVP_PKEY_free(x);
	release_bufs(&public, &room, &secret, &want);
	smx_kex_free(client);
	smx_kex_free(server);
}
#endif

/* ML-KEM refuses keys with numbers out of range, sntrup761 takes them modulo q. */
static void refuse_halves(const char *name, size_t kem_public, size_t kem_cipher, int has_range)
{
	uint8_t bad[1184 + 33];
	struct smx_kex *k;
	struct smx_buf good, reply, secret, unused;
	size_t len = kem_public + 32;

	init_bufs(&good, &reply, &secret, &unused);
	k = make(name);
	assert_int_equal(smx_kex_start(k, &good), 0);
	smx_kex_free(k);
	refuse(name, smx_buf_view(&good), len - 1);
	refuse(name, smx_buf_view(&good), 0);
	memcpy(bad, smx_buf_view(&good), len);
	bad[len] = 0;
	refuse(name, bad, len + 1);
	/* As a server: a good key of the KEM with a bad point, and coefficients out of range. */
	for (int half = 0; half < 1 + has_range; half++) {
		memcpy(bad, smx_buf_view(&good), len);
		memset(half ? bad : bad + kem_public, half ? 0xff : 0, half ? 1152 : 32);
		k = make(name);
		assert_int_equal(smx_kex_respond(k, (struct smx_view){ bad, len }, &reply, &secret),
			SMX_EPROTOCOL);
		assert_int_equal(smx_buf_len(&reply), 0);
		assert_int_equal(smx_buf_len(&secret), 0);
		smx_kex_free(k);
	}
	/* As a client: a bad point beside some ciphertext, and ciphertexts of other lengths. */
	memset(bad, 0, sizeof(bad));
	for (int i = -1; i < 2; i++) {
		smx_buf_reset(&good);
		k = make(name);
		assert_int_equal(smx_kex_start(k, &good), 0);
		bad[0] = i != 0;
		assert_int_equal(
			smx_kex_finish(
				k, (struct smx_view){ bad, kem_cipher + 32 + (size_t)i }, &secret),
			SMX_EPROTOCOL);
		assert_int_equal(smx_buf_len(&secret), 0);
		smx_kex_free(k);
	}
	release_bufs(&good, &reply, &secret, &unused);
}

static void hybrid_refuses_either_half(void **state)
{
	(void)state;
	refuse_halves("sntrup761x25519-sha512", 1158, 1039, 0);
	if (smx_kex_find(test_str("mlkem768x25519-sha256"))) /* not every libcrypto has it */
		refuse_halves("mlkem768x25519-sha256", 1184, 1088, 1);
}

static void calls_out_of_order_are_refused(void **state)
{
	struct smx_kex *k = make("curve25519-sha256"), *gex;
	struct smx_buf a, b, c, d;
	uint8_t nine[32] = { 9 };
	struct smx_view peer = { nine, 32 };

	(void)state;
	init_bufs(&a, &b, &c, &d);
	assert_int_equal(smx_kex_finish(k, peer, &c), SMX_ESTATE);
	assert_int_equal(smx_kex_gex_set_group(k, peer, peer), SMX_ESTATE);
	assert_int_equal(smx_kex_gex_choose(k, 2048, 2048, 8192, &a), SMX_ESTATE);
	assert_int_equal(smx_kex_start(k, &a), 0);
	assert_int_equal(smx_kex_start(k, &a), SMX_ESTATE);
	assert_int_equal(smx_kex_respond(k, peer, &b, &c), SMX_ESTATE);
	assert_int_equal(smx_kex_finish(k, peer, &c), 0);
	assert_int_equal(smx_kex_finish(k, peer, &c), SMX_ESTATE);
	smx_kex_free(k);
	assert_int_equal(
		smx_kex_new(&gex, smx_kex_find(test_str("diffie-hellman-group-exchange-sha256"))),
		0);
	smx_buf_reset(&b);
	assert_int_equal(smx_kex_respond(gex, peer, &b, &d), SMX_ESTATE);
	assert_int_equal(smx_buf_len(&b), 0);
	smx_kex_free(gex);
	smx_kex_free(NULL);
	/* A start that failed (its output has no room) is the end, too. */
	k = make("curve25519-sha256");
	a.max = smx_buf_len(&a);
	assert_int_equal(smx_kex_start(k, &a), SMX_ELIMIT);
	assert_int_equal(smx_kex_start(k, &b), SMX_ESTATE);
	assert_int_equal(smx_kex_finish(k, peer, &c), SMX_ESTATE);
	smx_kex_free(k);
	release_bufs(&a, &b, &c, &d);
}

static int try_respond(const struct smx_kex_alg *alg, struct smx_view peer)
{
	struct smx_buf a, b, c, d;
	struct smx_kex *k;
	int r;

	if ((r = smx_kex_new(&k, alg)) != 0)
		return r;
	init_bufs(&a, &b, &c, &d);
	if (alg->kind == SMX_KEX_GEX)
		r = smx_kex_gex_choose(k, 2048, 2048, 8192, &b);
	if (r == 0)
		r = smx_kex_respond(k, peer, &a, &c);
	if (r != 0)
		assert_int_equal(smx_buf_len(&a), 0);
	release_bufs(&a, &b, &c, &d);
	smx_kex_free(k);
	return r;
}

static void no_memory_leaks_nothing(void **state)
{
	struct smx_view list = test_str(smx_kex_names()), name;
	long before = smx_mem_alive();

	(void)state;
	while (smx_namelist_next(&list, &name)) {
		const struct smx_kex_alg *alg = smx_kex_find(name);
		struct smx_kex *k = make(alg->name);
		struct smx_buf peer;
		int r = SMX_ENOMEM;

		smx_buf_init(&peer, SMX_KEX_PUBLIC_MAX);
		assert_int_equal(smx_kex_start(k, &peer), 0);
		for (long n = 0; r != 0; n++) {
			smx_mem_fail_after(n);
			r = try_respond(alg, test_view(&peer));
			smx_mem_fail_after(-1);
			assert_true(r == 0 || r == SMX_ENOMEM);
			assert_true(n > 1 || r != 0);
		}
		smx_buf_release(&peer);
		smx_kex_free(k);
	}
	assert_int_equal(smx_mem_alive(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B9_both_roles_agree),
		cmocka_unit_test(curves_agree_with_libcrypto),
		cmocka_unit_test(groups_agree_with_plain_arithmetic),
		cmocka_unit_test(x25519_values_of_small_order_are_refused),
		cmocka_unit_test(points_off_the_curve_are_refused),
		cmocka_unit_test(B9_dh_exponents_are_long_enough),
		cmocka_unit_test(dh_values_out_of_range_are_refused),
		cmocka_unit_test(dh_values_at_the_edge_are_taken),
		cmocka_unit_test(gex_groups_are_checked),
		cmocka_unit_test(gex_server_chooses_the_nearest),
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
		cmocka_unit_test(B9_hybrid_agrees_with_libcrypto),
#endif
		cmocka_unit_test(hybrid_refuses_either_half),
		cmocka_unit_test(calls_out_of_order_are_refused),
		cmocka_unit_test(no_memory_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
