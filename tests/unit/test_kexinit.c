/* SPDX-License-Identifier: MIT */
/* KEXINIT and the choice of algorithms (RFC 4253 section 7.1; RFC 8308, strict kex). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/key.h"
#include "ssh/kexinit.h"
#include "ssh/msg.h"

struct offer {
	const char *kex, *host_key, *cipher_c2s, *cipher_s2c, *mac_c2s, *mac_s2c, *comp;
	int follows;
};

/* NULL lists are a usable default. */
static void build(struct smx_buf *b, const struct offer *o)
{
	static const char zeros[16];
	const char *lists[10] = {
		o->kex ? o->kex : "curve25519-sha256",
		o->host_key ? o->host_key : "ssh-ed25519",
		o->cipher_c2s ? o->cipher_c2s : "aes128-ctr",
		o->cipher_s2c ? o->cipher_s2c : "aes128-ctr",
		o->mac_c2s ? o->mac_c2s : "hmac-sha2-256",
		o->mac_s2c ? o->mac_s2c : "hmac-sha2-256",
		o->comp ? o->comp : "none",
		o->comp ? o->comp : "none",
		"",
		"",
	};

	smx_buf_init(b, SMX_KEXINIT_MAX * 2);
	assert_int_equal(smx_put_u8(b, SMX_MSG_KEXINIT), 0);
	assert_int_equal(smx_buf_put(b, zeros, sizeof(zeros)), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(smx_put_cstr(b, lists[i]), 0);
	assert_int_equal(smx_put_bool(b, o->follows), 0);
	assert_int_equal(smx_put_u32(b, 0), 0);
}

static int negotiate(const struct offer *c, const struct offer *s, enum smx_role role,
	struct smx_algs *ret, const char **ret_what)
{
	struct smx_buf cb, sb;
	int r;

	build(&cb, c);
	build(&sb, s);
	r = smx_kexinit_negotiate((struct smx_view){ smx_buf_view(&cb), smx_buf_len(&cb) },
		(struct smx_view){ smx_buf_view(&sb), smx_buf_len(&sb) }, role, ret, ret_what);
	smx_buf_release(&cb);
	smx_buf_release(&sb);
	return r;
}

static void the_client_s_first_that_the_server_has(void **state)
{
	static const struct offer c = {
		.kex = "x,ecdh-sha2-nistp256,curve25519-sha256",
		.host_key = "rsa-sha2-512,ssh-ed25519",
		.cipher_c2s = "aes256-ctr,aes128-ctr",
		.cipher_s2c = "aes256-gcm@openssh.com,aes128-ctr",
		.mac_c2s = "hmac-sha1,hmac-sha2-512,hmac-sha2-256",
		.mac_s2c = "nothing-in-common",
	};
	static const struct offer s = {
		.kex = "curve25519-sha256,ecdh-sha2-nistp256",
		.host_key = "ssh-ed25519,rsa-sha2-512",
		.cipher_c2s = "aes128-ctr,aes256-ctr",
		.cipher_s2c = "aes256-gcm@openssh.com",
		.mac_c2s = "hmac-sha2-256,hmac-sha2-512",
	};
	struct smx_algs algs;
	const char *what;

	(void)state;
	for (int role = SMX_CLIENT; role <= SMX_SERVER; role++) {
		assert_int_equal(negotiate(&c, &s, (enum smx_role)role, &algs, &what), 0);
		assert_string_equal(algs.kex->name, "ecdh-sha2-nistp256");
		assert_string_equal(algs.host_key, "rsa-sha2-512");
		assert_string_equal(algs.cipher_c2s->name, "aes256-ctr");
		assert_string_equal(algs.mac_c2s->name, "hmac-sha2-512");
		/* An AEAD cipher needs no MAC, so none in common is no error. */
		assert_string_equal(algs.cipher_s2c->name, "aes256-gcm@openssh.com");
		assert_null(algs.mac_s2c);
	}
}

static void nothing_in_common(void **state)
{
	static const struct {
		struct offer c;
		const char *what;
	} cases[] = {
		{ { .kex = "diffie-hellman-group1-sha1" }, "key exchange" },
		{ { .kex = "" }, "key exchange" },
		{ { .kex = ",,," }, "key exchange" },
		{ { .kex = "curve25519-sha25" }, "key exchange" },
		{ { .kex = "curve25519-sha2566" }, "key exchange" },
		{ { .host_key = "ssh-rsa" }, "host key" },
		{ { .cipher_c2s = "3des-cbc" }, "cipher" },
		{ { .cipher_s2c = "aes128-cbc" }, "cipher" },
		{ { .mac_c2s = "hmac-md5" }, "MAC" },
		{ { .mac_s2c = "hmac-sha1" }, "MAC" },
		{ { .comp = "zlib" }, "compression" },
	};
	/* The server has all of it: what we don't implement is not chosen either. */
	static const struct offer all = { 0 };
	struct smx_algs algs = { .skip_next = 77 };
	const char *what;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(
			negotiate(&cases[i].c, &all, SMX_SERVER, &algs, &what), SMX_ENEGOTIATION);
		assert_string_equal(what, cases[i].what);
		assert_int_equal(
			negotiate(&all, &cases[i].c, SMX_CLIENT, &algs, &what), SMX_ENEGOTIATION);
		/* Even if both name it. */
		if ((cases[i].c.kex && cases[i].c.kex[0] == 'd') || cases[i].c.comp ||
			cases[i].c.cipher_c2s)
			assert_int_equal(
				negotiate(&cases[i].c, &cases[i].c, SMX_CLIENT, &algs, &what),
				SMX_ENEGOTIATION);
		assert_int_equal(algs.skip_next, 77); /* untouched */
	}
}

static void marks(void **state)
{
	static const struct {
		const char *peer;
		int as_client_strict, as_client_ext, as_server_strict, as_server_ext;
	} cases[] = {
		{ "curve25519-sha256", 0, 0, 0, 0 },
		{ "curve25519-sha256,kex-strict-s-v00@openssh.com", 1, 0, 0, 0 },
		{ "kex-strict-c-v00@openssh.com,curve25519-sha256", 0, 0, 1, 0 },
		{ "ext-info-s,curve25519-sha256", 0, 1, 0, 0 },
		{ "curve25519-sha256,ext-info-c", 0, 0, 0, 1 },
		{ "curve25519-sha256,kex-strict-c-v00@openssh.co", 0, 0, 0, 0 },
	};
	static const struct offer us = { 0 };
	struct smx_algs algs;
	const char *what;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct offer peer = { .kex = cases[i].peer };

		assert_int_equal(negotiate(&us, &peer, SMX_CLIENT, &algs, &what), 0);
		assert_int_equal(algs.peer_strict, cases[i].as_client_strict);
		assert_int_equal(algs.peer_ext_info, cases[i].as_client_ext);
		assert_int_equal(negotiate(&peer, &us, SMX_SERVER, &algs, &what), 0);
		assert_int_equal(algs.peer_strict, cases[i].as_server_strict);
		assert_int_equal(algs.peer_ext_info, cases[i].as_server_ext);
	}
}

static size_t offset(struct smx_view list, const char *what)
{
	for (size_t i = 0; i + strlen(what) <= list.len; i++)
		if (memcmp(list.p + i, what, strlen(what)) == 0)
			return i;
	fail_msg("no %s", what);
	return 0;
}

static void our_own(void **state)
{
	struct smx_kex_offer offer = { .is_first = 1 };
	struct smx_buf b;
	struct smx_rd rd;
	struct smx_view kex;

	(void)state;
	for (int first = 1; first >= 0; first--) {
		for (int role = SMX_CLIENT; role <= SMX_SERVER; role++) {
			offer.is_first = first;
			smx_buf_init(&b, SMX_KEXINIT_MAX);
			assert_int_equal(smx_kexinit_build(&b, (enum smx_role)role, &offer), 0);
			rd = smx_rd_from(smx_buf_view(&b) + 17, smx_buf_len(&b) - 17);
			assert_int_equal(smx_rd_string(&rd, &kex), 0);
			assert_int_equal(smx_namelist_has(kex, "kex-strict-c-v00@openssh.com"),
				first && role == SMX_CLIENT);
			assert_int_equal(smx_namelist_has(kex, "kex-strict-s-v00@openssh.com"),
				first && role == SMX_SERVER);
			assert_int_equal(
				smx_namelist_has(kex, "ext-info-c"), first && role == SMX_CLIENT);
			/* B9: hybrid ones first; the local server has no use for the slow one. */
			assert_int_equal(
				smx_namelist_has(kex, "sntrup761x25519-sha512@openssh.com"),
				role == SMX_CLIENT);
			assert_int_equal(smx_namelist_has(kex, "sntrup761x25519-sha512"),
				role == SMX_CLIENT);
			if (role == SMX_CLIENT)
				assert_true(
					offset(kex, "sntrup761x25519") < offset(kex, "curve25519"));
			smx_buf_release(&b);
		}
	}
	/* No memory at any point: no half message is taken for a whole one. */
	for (long n = 0; n < 20; n++) {
		smx_buf_init(&b, SMX_KEXINIT_MAX);
		smx_mem_fail_after(n);
		if (smx_kexinit_build(&b, SMX_CLIENT, &offer) == 0)
			n = 100;
		else
			assert_in_range(n, 0, 10);
		smx_mem_fail_after(-1);
		smx_buf_release(&b);
	}
	assert_int_equal(smx_mem_alive(), 0);
}

static void guesses(void **state)
{
	static const struct {
		const char *c_kex, *s_kex, *c_host, *s_host;
		int is_wrong;
	} cases[] = {
		{ "curve25519-sha256", "curve25519-sha256", NULL, NULL, 0 },
		{ "curve25519-sha256,x", "curve25519-sha256,y", NULL, NULL, 0 },
		{ "x,curve25519-sha256", "curve25519-sha256", NULL, NULL, 1 },
		{ NULL, NULL, "ssh-ed25519", "rsa-sha2-512,ssh-ed25519", 1 },
		{ NULL, NULL, "ssh-ed25519,x", "ssh-ed25519,y", 0 },
	};
	struct smx_algs algs;
	const char *what;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct offer c = { .kex = cases[i].c_kex, .host_key = cases[i].c_host };
		struct offer s = { .kex = cases[i].s_kex, .host_key = cases[i].s_host };

		assert_int_equal(negotiate(&c, &s, SMX_SERVER, &algs, &what), 0);
		assert_false(algs.skip_next);
		c.follows = 1;
		assert_int_equal(negotiate(&c, &s, SMX_SERVER, &algs, &what), 0);
		assert_int_equal(algs.skip_next, cases[i].is_wrong);
		/* It is the peer's guess that counts. */
		assert_int_equal(negotiate(&c, &s, SMX_CLIENT, &algs, &what), 0);
		assert_false(algs.skip_next);
	}
}

/* B13: what may be guessed the next time is of our own words: anything else are bytes of a stranger. */
static void b13_first_names(void **state)
{
	static const struct {
		const char *s_kex, *s_host, *kex, *host;
	} cases[] = {
		{ "curve25519-sha256", "rsa-sha2-512,ssh-ed25519", "curve25519-sha256",
			"rsa-sha2-512" },
		{ "x,curve25519-sha256", "ssh-ed25519", NULL, "ssh-ed25519" },
		{ "curve25519-sha256", "ssh\n-ed25519,ssh-ed25519", "curve25519-sha256", "" },
		{ "curve25519-sha256", "ssh-dss,ssh-ed25519", "curve25519-sha256", "" },
	};
	struct offer c = { .kex = "curve25519-sha256", .host_key = "ssh-ed25519,rsa-sha2-512" };
	struct smx_algs algs;
	const char *what;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct offer s = { .kex = cases[i].s_kex, .host_key = cases[i].s_host };

		assert_int_equal(negotiate(&c, &s, SMX_CLIENT, &algs, &what), 0);
		assert_string_equal(algs.peer_host_key, cases[i].host);
		assert_ptr_equal(algs.peer_kex,
			cases[i].kex ? smx_kex_find(smx_view_of(cases[i].kex, strlen(cases[i].kex)))
				     : NULL);
	}
}

static void damaged(void **state)
{
	static const struct offer o = { 0 };
	struct smx_buf good, bad;
	struct smx_algs algs;
	const char *what;
	struct smx_view ok, v;

	(void)state;
	build(&good, &o);
	ok = (struct smx_view){ smx_buf_view(&good), smx_buf_len(&good) };
	for (size_t n = 0; n < ok.len; n++) {
		v = (struct smx_view){ ok.p, n };
		assert_int_equal(
			smx_kexinit_negotiate(v, ok, SMX_SERVER, &algs, &what), SMX_ETRUNCATED);
	}
	build(&bad, &o);
	assert_int_equal(smx_put_u8(&bad, 0), 0);
	v = (struct smx_view){ smx_buf_view(&bad), smx_buf_len(&bad) };
	assert_int_equal(smx_kexinit_negotiate(ok, v, SMX_CLIENT, &algs, &what), SMX_ETRAILING);
	while (smx_buf_len(&bad) <= SMX_KEXINIT_MAX)
		assert_int_equal(smx_put_u64(&bad, 0), 0);
	v = (struct smx_view){ smx_buf_view(&bad), smx_buf_len(&bad) };
	assert_int_equal(smx_kexinit_negotiate(ok, v, SMX_CLIENT, &algs, &what), SMX_ETOOBIG);
	smx_buf_release(&good);
	smx_buf_release(&bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_client_s_first_that_the_server_has),
		cmocka_unit_test(nothing_in_common),
		cmocka_unit_test(marks),
		cmocka_unit_test(our_own),
		cmocka_unit_test(guesses),
		cmocka_unit_test(b13_first_names),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
