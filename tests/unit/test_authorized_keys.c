/* SPDX-License-Identifier: MIT */
/* L5: who may use the local server. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base64.h"
#include "base/err.h"
#include "trust/authorized_keys.h"
#include "trust_data.h"

static struct smx_authorized_keys *load(struct smx_view text, struct smx_buf *warnings)
{
	struct smx_authorized_keys *set;

	assert_int_equal(smx_authorized_keys_parse(&set, "keys", text, warnings), 0);
	return set;
}

static struct smx_authorized_keys *load_expanded(const char *text, struct smx_buf *warnings)
{
	struct smx_authorized_keys *set;
	struct smx_buf full;

	smx_buf_init(&full, 1 << 20);
	data_expand(text, &full);
	set = load(data_view(&full), warnings);
	smx_buf_release(&full);
	return set;
}

static int has(const struct smx_authorized_keys *set, const char *key)
{
	struct smx_buf blob;
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	data_put_blob(key, &blob);
	r = smx_authorized_keys_has(set, data_view(&blob));
	smx_buf_release(&blob);
	return r;
}

static void l5_table(void **state)
{
	/* In each, ed25519_a is asked for. */
	static const struct {
		const char *id, *text;
		int has_a;
		size_t count, skipped;
	} cases[] = {
		{ "empty", "", 0, 0, 0 },
		{ "comments and blanks", "# $ed25519_a\n\n  \t\r\n", 0, 0, 0 },
		{ "one key", "$ed25519_a\n", 1, 1, 0 },
		{ "no newline at the end", "$ed25519_a", 1, 1, 0 },
		{ "comment with a quote and #", "$ed25519_a it's \"me\" # here\n", 1, 1, 0 },
		{ "CR LF", "$rsa_a\r\n$ed25519_a\r\n", 1, 2, 0 },
		{ "byte order mark", "\xef\xbb\xbf$ed25519_a\n", 1, 1, 0 },
		{ "indented, tabs", " \t$ed25519_a\tme\n", 1, 1, 0 },
		{ "several types", "$ed25519_b\n$rsa_b\n$ecdsa256\n$ecdsa384\n$ed25519_a", 1, 5,
			0 },
		{ "twice the same", "$ed25519_a one\n$ed25519_a two\n", 1, 1, 0 },
		{ "another key", "$ed25519_b\n", 0, 1, 0 },
		{ "option", "no-pty $ed25519_a\n", 0, 0, 1 },
		{ "quoted option", "command=\"echo hi\" $ed25519_a\n", 0, 0, 1 },
		{ "quote in the option", "command=\"echo \\\"a b\\\" # x\" $ed25519_a\n", 0, 0, 1 },
		{ "several options", "from=\"10.0.0.1,a b\",no-pty,command=\"x y\" $ed25519_a\n", 0,
			0, 1 },
		{ "option after a blank line", "\n\nrestrict $ed25519_a\n$ed25519_b\n", 0, 1, 1 },
		{ "unclosed quote swallows the key", "command=\"x $ed25519_a\n", 0, 0, 1 },
		{ "cert-authority", "cert-authority $ed25519_a\n", 0, 0, 1 },
		{ "option that looks like a type", "ssh-ed25519 $ed25519_a\n", 0, 0, 1 },
		{ "key inside an option", "environment=\"X=$ed25519_a\" $ed25519_b\n", 0, 0, 1 },
		{ "known_hosts line", "host $ed25519_a\n", 0, 0, 1 },
		{ "marker", "@revoked $ed25519_a\n", 0, 0, 1 },
		{ "type of another key", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA==\n", 0, 0, 1 },
		{ "not base64", "ssh-ed25519 AAAA*\n", 0, 0, 1 },
		{ "truncated blob", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n", 0, 0, 1 },
		{ "type alone", "ssh-ed25519\n", 0, 0, 1 },
		{ "private key", "-----BEGIN OPENSSH PRIVATE KEY-----\n", 0, 0, 1 },
		{ "a bad line spoils nothing", "garbage\n$ed25519_a\nmore garbage\n", 1, 1, 2 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_authorized_keys *set = load_expanded(cases[i].text, NULL);
		size_t count = smx_authorized_keys_count(set);
		size_t skipped = smx_authorized_keys_skipped(set);

		if (has(set, "ed25519_a") != cases[i].has_a || count != cases[i].count ||
			skipped != cases[i].skipped)
			fail_msg("%s: has %d, count %zu, skipped %zu", cases[i].id,
				has(set, "ed25519_a"), count, skipped);
		smx_authorized_keys_free(set);
	}
}

static void l5_nul_in_a_line(void **state)
{
	/* Behind the key, and in the comment, where a C string would end and hide the rest. */
	static const char *const places[] = { "\0 x\n", " x\0y\n" };
	static const size_t lens[] = { 4, 5 };
	struct smx_authorized_keys *set;
	struct smx_buf text;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(places); i++) {
		smx_buf_init(&text, 65536);
		data_expand("$ed25519_a", &text);
		assert_int_equal(smx_buf_put(&text, places[i], lens[i]), 0);
		data_expand("$ed25519_b", &text);
		set = load(data_view(&text), NULL);
		assert_false(has(set, "ed25519_a"));
		assert_true(has(set, "ed25519_b"));
		smx_authorized_keys_free(set);
		smx_buf_release(&text);
	}
}

/* L5, N3: only the very blob, not one that begins like it or ends like it. */
static void l5_equality_is_of_all_bytes(void **state)
{
	struct smx_authorized_keys *set = load_expanded("$ed25519_a\n$rsa_a\n", NULL);
	struct smx_buf blob;

	(void)state;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	data_put_blob("ed25519_a", &blob);
	assert_true(smx_authorized_keys_has(set, data_view(&blob)));
	for (size_t i = 0; i < smx_buf_len(&blob); i++) {
		blob.data[blob.off + i] ^= 1;
		assert_false(smx_authorized_keys_has(set, data_view(&blob)));
		blob.data[blob.off + i] ^= 1;
		assert_false(
			smx_authorized_keys_has(set, (struct smx_view){ smx_buf_view(&blob), i }));
	}
	assert_int_equal(smx_buf_put(&blob, "", 1), 0);
	assert_false(smx_authorized_keys_has(set, data_view(&blob)));
	smx_buf_release(&blob);
	smx_authorized_keys_free(set);
}

/* Appends a line with the blob made of a type and other strings. */
static void put_line(
	struct smx_buf *text, const char *type, const char *const *parts, size_t n, size_t part_len)
{
	struct smx_buf blob;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	assert_int_equal(smx_put_cstr(&blob, type), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(
			smx_put_string(&blob, parts[i], i ? strlen(parts[i]) : part_len), 0);
	assert_int_equal(smx_buf_printf(text, "%s ", type), 0);
	assert_int_equal(smx_base64_encode(text, smx_buf_view(&blob), smx_buf_len(&blob), 1), 0);
	assert_int_equal(smx_buf_put_str(text, "\n"), 0);
	smx_buf_release(&blob);
}

static void l5_security_keys_and_certificates(void **state)
{
	static const char *const sk[] = { "0123456789abcdef0123456789abcdef", "ssh:" };
	static const char *const cert[] = { "0123456789abcdef0123456789abcdef", "x" };
	struct smx_authorized_keys *set;
	struct smx_buf text, warnings;

	(void)state;
	smx_buf_init(&text, 65536);
	smx_buf_init(&warnings, 65536);
	put_line(&text, "sk-ssh-ed25519@openssh.com", sk, 2, 32);
	put_line(&text, "ssh-ed25519-cert-v01@openssh.com", cert, 2, 32);
	put_line(&text, "ssh-dss", cert, 2, 32);
	set = load(data_view(&text), &warnings);
	assert_int_equal(smx_authorized_keys_count(set), 1);
	assert_int_equal(smx_authorized_keys_skipped(set), 2);
	assert_string_equal(smx_buf_cstr(&warnings),
		"keys:2: skipped: key type not supported (certificates are not)\n"
		"keys:3: skipped: key type not supported (certificates are not)\n");
	smx_authorized_keys_free(set);
	smx_buf_release(&text);
	smx_buf_release(&warnings);
}

static void l5_warnings_say_why(void **state)
{
	struct smx_authorized_keys *set;
	struct smx_buf warnings;

	(void)state;
	smx_buf_init(&warnings, 65536);
	set = load_expanded(
		"# x\nno-pty $ed25519_a\ncommand=\"a b\" $rsa_a\nbogus line\n", &warnings);
	assert_string_equal(smx_buf_cstr(&warnings),
		"keys:2: skipped: key with options, which are not supported here\n"
		"keys:3: skipped: key with options, which are not supported here\n"
		"keys:4: skipped: not a public key\n");
	smx_authorized_keys_free(set);
	smx_buf_release(&warnings);
}

/* The .pub files one by one, when there is no ssh-mux-authorized-keys. */
static void l5_several_texts(void **state)
{
	static const char *const files[] = { "ed25519_a.pub", "rsa_a.pub", "ecdsa256.pub" };
	struct smx_authorized_keys *set;
	struct smx_buf text;

	(void)state;
	assert_int_equal(smx_authorized_keys_new(&set), 0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(files); i++) {
		smx_buf_init(&text, 65536);
		data_read(files[i], &text);
		assert_int_equal(
			smx_authorized_keys_add_text(set, files[i], data_view(&text), NULL), 0);
		smx_buf_release(&text);
	}
	assert_int_equal(smx_authorized_keys_count(set), 3);
	assert_true(has(set, "ed25519_a"));
	assert_true(has(set, "rsa_a"));
	assert_true(has(set, "ecdsa256"));
	assert_false(has(set, "ed25519_b"));
	smx_authorized_keys_free(set);
}

static void l5_limits(void **state)
{
	struct smx_authorized_keys *set;
	struct smx_buf text;
	char key[33];
	const char *parts[] = { key };

	(void)state;
	smx_buf_init(&text, SMX_AUTHORIZED_KEYS_TEXT_MAX + 1024);
	for (unsigned i = 0; i < SMX_AUTHORIZED_KEYS_MAX + 5; i++) {
		snprintf(key, sizeof(key), "%032u", i);
		put_line(&text, "ssh-ed25519", parts, 1, 32);
	}
	set = load(data_view(&text), NULL);
	assert_int_equal(smx_authorized_keys_count(set), SMX_AUTHORIZED_KEYS_MAX);
	assert_int_equal(smx_authorized_keys_skipped(set), 5);
	smx_authorized_keys_free(set);

	/* A line too long, then a good one. */
	smx_buf_reset(&text);
	data_expand("$ed25519_a ", &text);
	for (size_t i = 0; i < SMX_AUTHORIZED_KEYS_LINE_MAX; i++)
		assert_int_equal(smx_buf_put(&text, "x", 1), 0);
	data_expand("\n$ed25519_b\n", &text);
	set = load(data_view(&text), NULL);
	assert_false(has(set, "ed25519_a"));
	assert_true(has(set, "ed25519_b"));

	/* A text too long adds nothing. */
	while (smx_buf_len(&text) <= SMX_AUTHORIZED_KEYS_TEXT_MAX)
		assert_int_equal(smx_buf_put(&text, "\n\n\n\n\n\n\n\n", 8), 0);
	smx_buf_consume(&text, 100);
	data_expand("\n$rsa_a\n", &text);
	assert_int_equal(
		smx_authorized_keys_add_text(set, "keys", data_view(&text), NULL), SMX_ELIMIT);
	assert_int_equal(smx_authorized_keys_count(set), 1);
	smx_authorized_keys_free(set);
	smx_buf_release(&text);
}

static void l5_every_failing_allocation(void **state)
{
	struct smx_authorized_keys *set;
	struct smx_buf text, warnings;
	long before, n = 0;
	int r;

	(void)state;
	smx_buf_init(&text, 65536);
	data_expand("$ed25519_a\nno-pty $ed25519_b\n$rsa_a\n$ecdsa256\nbogus\n", &text);
	before = smx_mem_alive();
	do {
		smx_buf_init(&warnings, 65536);
		smx_mem_fail_after(n++);
		r = smx_authorized_keys_parse(&set, "keys", data_view(&text), &warnings);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || r == SMX_ENOMEM);
		if (r == 0) {
			assert_int_equal(smx_authorized_keys_count(set), 3);
			smx_authorized_keys_free(set);
		}
		smx_buf_release(&warnings);
		assert_int_equal(smx_mem_alive(), before);
	} while (r != 0);
	assert_true(n > 8);
	smx_buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(l5_table),
		cmocka_unit_test(l5_nul_in_a_line),
		cmocka_unit_test(l5_equality_is_of_all_bytes),
		cmocka_unit_test(l5_security_keys_and_certificates),
		cmocka_unit_test(l5_warnings_say_why),
		cmocka_unit_test(l5_several_texts),
		cmocka_unit_test(l5_limits),
		cmocka_unit_test(l5_every_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
