/* SPDX-License-Identifier: MIT */
/* K6: the list of a server's host keys, its proof of them, and what becomes of known_hosts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "ssh/hostkeys.h"
#include "trust/rotation.h"
#include "trust_data.h"

#define HOST "host.example"
#define PORT 2222
#define KEYS 4

static char own_name[] = "own";
static char *own = own_name;

struct rotation_case {
	const char *id;
	const char *text; /* of the user's file */
	const char *system; /* of the system's, or NULL */
	const char *listed[KEYS]; /* the first is the one in use */
	const char *after; /* the user's file; NULL: nothing may be changed */
};

#define N "[" HOST "]:2222 "

static const struct rotation_case cases[] = {
	{ "a new one", N "$ed25519_a\n", NULL, { "ed25519_a", "rsa_a" },
		N "$ed25519_a\n" N "$rsa_a\n" },
	{ "one goes", "# c\n" N "$rsa_a x\r\n" N "$ed25519_a\n", NULL, { "ed25519_a" },
		"# c\n" N "$ed25519_a\n" },
	{ "both", N "$ed25519_b\n" N "$ed25519_a", NULL, { "ed25519_a", "rsa_a" },
		N "$ed25519_a\n" N "$rsa_a\n" },
	{ "nothing new", N "$ed25519_a\n", NULL, { "ed25519_a" }, N "$ed25519_a\n" },
	{ "the system has it", N "$ed25519_a\n", N "$rsa_a\n", { "ed25519_a", "rsa_a" },
		N "$ed25519_a\n" },
	{ "other lines", "other $rsa_a\n\n" N "$ed25519_a\nbad line\n", NULL,
		{ "ed25519_a", "ecdsa256" },
		"other $rsa_a\n\n" N "$ed25519_a\nbad line\n" N "$ecdsa256\n" },
	{ "old elsewhere", "other $rsa_a\n" N "$rsa_a\n" N "$ed25519_a\n", NULL, { "ed25519_a" },
		"other $rsa_a\n" N "$rsa_a\n" N "$ed25519_a\n" },
	{ "two names", "[" HOST "]:2222,[::1]:2222 $rsa_a\n" N "$ed25519_a\n", NULL,
		{ "ed25519_a" }, "[" HOST "]:2222,[::1]:2222 $rsa_a\n" N "$ed25519_a\n" },
	{ "the other port's", HOST " $rsa_a\n" N "$ed25519_a\n", NULL, { "ed25519_a" },
		HOST " $rsa_a\n" N "$ed25519_a\n" },
	{ "without port", HOST " $ed25519_a\n", NULL, { "ed25519_a", "rsa_a" }, NULL },
	{ "only the system's", "", N "$ed25519_a\n", { "ed25519_a", "rsa_a" }, NULL },
	{ "wildcard", "*." HOST "," N "$ed25519_a\n", NULL, { "ed25519_a", "rsa_a" }, NULL },
	{ "list", "a,b," N "$ed25519_a\n", NULL, { "ed25519_a", "rsa_a" }, NULL },
	{ "authority", "@cert-authority * $ed25519_ca\n" N "$ed25519_a\n", NULL,
		{ "ed25519_a", "rsa_a" }, NULL },
	{ "revoked", N "$ed25519_a\n", "@revoked * $rsa_a\n", { "ed25519_a", "rsa_a" }, NULL },
	{ "unreadable", N "ssh-ed25519 ????\n" N "$ed25519_a\n", NULL, { "ed25519_a", "rsa_a" },
		NULL },
};

struct blobs {
	struct smx_buf buf[KEYS];
	struct smx_view view[KEYS];
	size_t n;
};

static void blobs_init(struct blobs *b, const char *const *names)
{
	for (b->n = 0; b->n < KEYS && names[b->n]; b->n++) {
		smx_buf_init(&b->buf[b->n], SMX_KEY_BLOB_MAX);
		data_put_blob(names[b->n], &b->buf[b->n]);
		b->view[b->n] = data_view(&b->buf[b->n]);
	}
}

static void blobs_release(struct blobs *b)
{
	while (b->n)
		smx_buf_release(&b->buf[--b->n]);
}

static void add(struct smx_known_hosts *kh, const char *name, const char *text, struct smx_buf *out)
{
	data_expand(text, out);
	assert_int_equal(smx_known_hosts_add_text(kh, name, data_view(out), NULL), 0);
}

static void check_case(const struct rotation_case *c)
{
	struct smx_view fresh[SMX_ROTATION_MAX];
	struct smx_known_hosts *kh;
	struct smx_rotation plan;
	struct blobs listed;
	struct smx_buf text, system, after, out;
	unsigned n_removed = 99, n_added = 99;

	smx_buf_init(&text, 65536);
	smx_buf_init(&system, 65536);
	smx_buf_init(&after, 65536);
	smx_buf_init(&out, 65536);
	blobs_init(&listed, c->listed);
	struct smx_rotation_ask ask = { HOST, PORT, listed.view[0], listed.view, listed.n, &own,
		1 };
	struct smx_rotation_edit edit = { .host = HOST, .port = PORT, .fresh = fresh };

	assert_int_equal(smx_known_hosts_new(&kh), 0);
	add(kh, own, c->text, &text);
	if (c->system)
		add(kh, "system", c->system, &system);
	assert_int_equal(smx_rotation_plan(kh, &ask, &plan), 0);
	if (!c->after) {
		assert_non_null(plan.why_not);
		assert_int_equal(plan.n_fresh + plan.n_old, 0);
	} else {
		assert_null(plan.why_not);
		for (size_t i = 0; i < plan.n_fresh; i++)
			fresh[i] = listed.view[plan.fresh[i]];
		edit.n_fresh = plan.n_fresh;
		edit.old = plan.old;
		edit.n_old = plan.n_old;
		assert_int_equal(
			smx_rotation_apply(&edit, data_view(&text), &out, &n_removed, &n_added), 0);
		data_expand(c->after, &after);
		if (!smx_view_eq_view(data_view(&out), data_view(&after)))
			fail_msg("%s: %.*s", c->id, (int)smx_buf_len(&out), smx_buf_view(&out));
	}
	smx_known_hosts_free(kh);
	blobs_release(&listed);
	smx_buf_release(&text);
	smx_buf_release(&system);
	smx_buf_release(&after);
	smx_buf_release(&out);
}

static void K6_rotation(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++)
		check_case(&cases[i]);
}

/* A server that does not list the key it has just used is not believed about its others. */
static void K6_list_without_the_key_in_use(void **state)
{
	static const char *const names[KEYS] = { "ed25519_a", "rsa_a" };
	struct smx_known_hosts *kh;
	struct smx_rotation plan;
	struct smx_buf text;
	struct blobs b;

	(void)state;
	blobs_init(&b, names);
	smx_buf_init(&text, 65536);
	assert_int_equal(smx_known_hosts_new(&kh), 0);
	add(kh, own, N "$ed25519_a\n" N "$ed25519_b\n", &text);
	struct smx_rotation_ask ask = { HOST, PORT, b.view[0], &b.view[1], 1, &own, 1 };

	assert_int_equal(smx_rotation_plan(kh, &ask, &plan), 0);
	assert_non_null(plan.why_not);
	assert_int_equal(plan.n_fresh + plan.n_old, 0);
	smx_known_hosts_free(kh);
	smx_buf_release(&text);
	blobs_release(&b);
}

/* --- the proof --- */

#define SESSION "0123456789abcdef0123456789abcdef"

static void put_proof(const struct smx_key *key, const char *kind, const char *session,
	struct smx_view blob, struct smx_buf *out)
{
	struct smx_buf data, sig;

	smx_buf_init(&data, SMX_KEY_BLOB_MAX + 256);
	smx_buf_init(&sig, SMX_SIG_MAX);
	assert_int_equal(smx_put_cstr(&data, kind), 0);
	assert_int_equal(smx_put_cstr(&data, session), 0);
	assert_int_equal(smx_put_view(&data, blob), 0);
	assert_int_equal(smx_key_sign(key, "ssh-ed25519", data_view(&data), &sig), 0);
	assert_int_equal(smx_put_view(out, data_view(&sig)), 0);
	smx_buf_release(&data);
	smx_buf_release(&sig);
}

static void K6_proof(void **state)
{
	struct smx_view id = smx_view_of(SESSION, strlen(SESSION)), v[2];
	struct smx_key *keys[2];
	struct smx_buf blobs[2], proof, turned;
	size_t bad = 9;

	(void)state;
	smx_buf_init(&proof, 65536);
	smx_buf_init(&turned, 65536);
	for (int i = 0; i < 2; i++) {
		smx_buf_init(&blobs[i], SMX_KEY_BLOB_MAX);
		assert_int_equal(smx_key_generate_ed25519(&keys[i]), 0);
		assert_int_equal(smx_key_to_blob(keys[i], &blobs[i]), 0);
		v[i] = data_view(&blobs[i]);
	}
	for (int i = 0; i < 2; i++) {
		put_proof(keys[i], SMX_HOSTKEYS_PROVE_KIND, SESSION, v[i], &proof);
		put_proof(keys[1 - i], SMX_HOSTKEYS_PROVE_KIND, SESSION, v[1 - i], &turned);
	}
	assert_int_equal(smx_hostkeys_check_proof(data_view(&proof), id, v, 2, &bad), 0);
	assert_int_equal(
		smx_hostkeys_check_proof(data_view(&turned), id, v, 2, &bad), SMX_ESIGNATURE);
	assert_int_equal(bad, 0);
	/* Any bit of it, and any byte less or more. */
	for (size_t i = 0; i < smx_buf_len(&proof); i++) {
		struct smx_view cut = { smx_buf_view(&proof), i };
		uint8_t *p = proof.data + proof.off;

		assert_int_not_equal(smx_hostkeys_check_proof(cut, id, v, 2, &bad), 0);
		p[i] ^= 1;
		assert_int_not_equal(
			smx_hostkeys_check_proof(data_view(&proof), id, v, 2, &bad), 0);
		p[i] ^= 1;
	}
	assert_int_equal(smx_put_u8(&proof, 0), 0);
	assert_int_equal(
		smx_hostkeys_check_proof(data_view(&proof), id, v, 2, &bad), SMX_ETRAILING);
	for (int i = 0; i < 2; i++) {
		smx_key_free(keys[i]);
		smx_buf_release(&blobs[i]);
	}
	smx_buf_release(&proof);
	smx_buf_release(&turned);
}

static void K6_list(void **state)
{
	static const char *const names[KEYS] = { "ed25519_a", "rsa_a", "ecdsa256" };
	struct smx_hostkeys list;
	struct blobs b;
	struct smx_buf data;

	(void)state;
	blobs_init(&b, names);
	smx_buf_init(&data, 1 << 20);
	assert_int_equal(smx_hostkeys_read(data_view(&data), &list), SMX_EFORMAT);
	for (size_t i = 0; i < b.n; i++)
		assert_int_equal(smx_put_view(&data, b.view[i]), 0);
	assert_int_equal(smx_hostkeys_read(data_view(&data), &list), 0);
	assert_int_equal(list.n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(smx_view_eq_view(list.blobs[i], b.view[i]));
	for (size_t n = 1; n < smx_buf_len(&data); n++) {
		struct smx_view cut = { smx_buf_view(&data), n };
		int r = smx_hostkeys_read(cut, &list);

		/* A cut between two keys is a list of fewer. */
		assert_true(r == SMX_ETRUNCATED || (r == 0 && list.n < 3));
	}
	assert_int_equal(smx_put_view(&data, b.view[0]), 0);
	assert_int_equal(smx_hostkeys_read(data_view(&data), &list), SMX_EFORMAT);
	smx_buf_reset(&data);
	for (unsigned i = 0; i <= SMX_HOSTKEYS_MAX; i++) {
		uint8_t blob[8] = { 0, 0, 0, 1, 'x', (uint8_t)i, (uint8_t)(i >> 8), 0 };

		assert_int_equal(smx_put_string(&data, blob, sizeof(blob)), 0);
		assert_int_equal(smx_hostkeys_read(data_view(&data), &list),
			i < SMX_HOSTKEYS_MAX ? 0 : SMX_ELIMIT);
	}
	smx_buf_release(&data);
	blobs_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(K6_rotation),
		cmocka_unit_test(K6_list_without_the_key_in_use),
		cmocka_unit_test(K6_proof),
		cmocka_unit_test(K6_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
