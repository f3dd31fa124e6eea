/* SPDX-License-Identifier: MIT */
/* K1, K3, K4, K5: known_hosts and what follows from it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "trust/host_cert.h"
#include "trust/known_hosts.h"
#include "trust_data.h"

#define FILE_NAME "known_hosts"

static struct smx_known_hosts *load(struct smx_view text, struct smx_buf *warnings)
{
	struct smx_known_hosts *kh;

	assert_int_equal(smx_known_hosts_new(&kh), 0);
	assert_int_equal(smx_known_hosts_add_text(kh, FILE_NAME, text, warnings), 0);
	return kh;
}

static struct smx_known_hosts *load_expanded(const char *text, struct smx_buf *warnings)
{
	struct smx_known_hosts *kh;
	struct smx_buf full;

	smx_buf_init(&full, 1 << 20);
	data_expand(text, &full);
	kh = load(data_view(&full), warnings);
	smx_buf_release(&full);
	return kh;
}

static struct smx_known_verdict check(
	const struct smx_known_hosts *kh, const char *host, uint16_t port, const char *key)
{
	struct smx_known_verdict v;
	struct smx_buf blob;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	data_put_blob(key, &blob);
	assert_int_equal(smx_known_hosts_check(kh, host, port, data_view(&blob), &v), 0);
	smx_buf_release(&blob);
	return v;
}

/* --- verdicts --------------------------------------------------------------------- */

#define UNKNOWN SMX_KNOWN_UNKNOWN
#define MATCH   SMX_KNOWN_MATCH
#define CHANGED SMX_KNOWN_CHANGED
#define OTHER   SMX_KNOWN_OTHER_TYPE
#define REVOKED SMX_KNOWN_REVOKED

struct verdict_case {
	const char *id, *text, *host;
	unsigned port;
	const char *key;
	enum smx_known_status status;
	unsigned line;
	int has_ca, has_skipped, without_port;
};

static const struct verdict_case verdict_cases[] = {
	{ "K1 empty file", "", "h", 22, "ed25519_a", UNKNOWN, 0, 0, 0, 0 },
	{ "K1 only comments", "# h $ed25519_a\n\n \t\n", "h", 22, "ed25519_a", UNKNOWN, 0, 0, 0,
		0 },
	{ "K1 plain", "h $ed25519_a\n", "h", 22, "ed25519_a", MATCH, 1, 0, 0, 0 },
	{ "K1 no newline at the end", "h $ed25519_a", "h", 22, "ed25519_a", MATCH, 1, 0, 0, 0 },
	{ "K1 CR LF", "\r\nh $ed25519_a\r\n", "h", 22, "ed25519_a", MATCH, 2, 0, 0, 0 },
	{ "K1 byte order mark", "\xef\xbb\xbfh $ed25519_a\n", "h", 22, "ed25519_a", MATCH, 1, 0, 0,
		0 },
	{ "K1 tabs, blanks, comment", "\t h\t $ed25519_a \t a comment\n", "h", 22, "ed25519_a",
		MATCH, 1, 0, 0, 0 },
	{ "K1 case of the host", "HoSt $ed25519_a\n", "hOsT", 22, "ed25519_a", MATCH, 1, 0, 0, 0 },
	{ "K1 several names", "x,h,y $ed25519_a\n", "h", 22, "ed25519_a", MATCH, 1, 0, 0, 0 },
	{ "K1 part of a name", "hh $ed25519_a\n", "h", 22, "ed25519_a", UNKNOWN, 0, 0, 0, 0 },
	{ "K1 port", "[h]:2222 $ed25519_a\n", "h", 2222, "ed25519_a", MATCH, 1, 0, 0, 0 },
	{ "K1 other port", "[h]:2222 $ed25519_a\n", "h", 2223, "ed25519_a", UNKNOWN, 0, 0, 0, 0 },
	{ "K1 port entry for port 22", "[h]:2222 $ed25519_a\n", "h", 22, "ed25519_a", UNKNOWN, 0, 0,
		0, 0 },
	{ "K1 [h]:22 is never looked up", "[h]:22 $ed25519_a\n", "h", 22, "ed25519_a", UNKNOWN, 0,
		0, 0, 0 },
	{ "K1 falls back to the name", "h $ed25519_a\n", "h", 2222, "ed25519_a", MATCH, 1, 0, 0,
		1 },
	{ "K1 fallback never says changed", "h $ed25519_a\n", "h", 2222, "ed25519_b", UNKNOWN, 0, 0,
		0, 0 },
	{ "K1 no fallback past a changed key", "h $ed25519_a\n[h]:2222 $ed25519_b\n", "h", 2222,
		"ed25519_a", CHANGED, 2, 0, 0, 0 },
	{ "K3 no fallback past other types", "h $ed25519_a\n[h]:2222 $rsa_a\n", "h", 2222,
		"ed25519_a", OTHER, 2, 0, 0, 0 },
	{ "K1 wildcard", "*.e $ed25519_a\n", "h.e", 22, "ed25519_a", MATCH, 1, 0, 0, 0 },
	{ "K1 negation", "*.e,!h.e $ed25519_a\n", "h.e", 22, "ed25519_a", UNKNOWN, 0, 0, 0, 0 },
	{ "K1 second key of a type", "h $ed25519_a\nh $ed25519_b\n", "h", 22, "ed25519_b", MATCH, 2,
		0, 0, 0 },
	{ "K1 IPv6", "2001:DB8::1 $ed25519_a\n", "2001:db8::1", 22, "ed25519_a", MATCH, 1, 0, 0,
		0 },
	{ "K3 changed", "h $ed25519_a\n", "h", 22, "ed25519_b", CHANGED, 1, 0, 0, 0 },
	{ "K3 changed, another type matches nothing", "h $rsa_a\nh $ed25519_a\n", "h", 22,
		"ed25519_b", CHANGED, 2, 0, 0, 0 },
	{ "K3 changed RSA", "h $rsa_a\n", "h", 22, "rsa_b", CHANGED, 1, 0, 0, 0 },
	{ "K3 other type", "h $rsa_a\n", "h", 22, "ed25519_a", OTHER, 1, 0, 0, 0 },
	{ "K3 curves are types", "h $ecdsa256\n", "h", 22, "ecdsa384", OTHER, 1, 0, 0, 0 },
	{ "K3 revoked", "@revoked h $ed25519_a\n", "h", 22, "ed25519_a", REVOKED, 1, 0, 0, 0 },
	{ "K3 revoked by wildcard", "@revoked * $ed25519_a\n", "h", 22, "ed25519_a", REVOKED, 1, 0,
		0, 0 },
	{ "K3 revoked after a match", "h $ed25519_a\n@revoked * $ed25519_a\n", "h", 22, "ed25519_a",
		REVOKED, 2, 0, 0, 0 },
	{ "K3 revoked before a match", "@revoked * $ed25519_a\nh $ed25519_a\n", "h", 22,
		"ed25519_a", REVOKED, 1, 0, 0, 0 },
	{ "K3 revoked without the port", "@revoked h $ed25519_a\n[h]:2222 $ed25519_a\n", "h", 2222,
		"ed25519_a", REVOKED, 1, 0, 0, 1 },
	{ "K3 revoked elsewhere", "@revoked x $ed25519_a\nh $ed25519_a\n", "h", 22, "ed25519_a",
		MATCH, 2, 0, 0, 0 },
	{ "K3 a revoked key is no known key", "@revoked h $ed25519_a\n", "h", 22, "ed25519_b",
		UNKNOWN, 0, 0, 0, 0 },
	{ "K5 an authority is no host key", "@cert-authority h $ed25519_ca\n", "h", 22,
		"ed25519_ca", UNKNOWN, 0, 1, 0, 0 },
	{ "K5 authority by wildcard", "@cert-authority *.e $ed25519_ca\n", "h.e", 22, "ed25519_a",
		UNKNOWN, 0, 1, 0, 0 },
	{ "K5 authority without the port", "@cert-authority h $ed25519_ca\n", "h", 2222,
		"ed25519_a", UNKNOWN, 0, 1, 0, 0 },
	{ "K5 authority of others", "@cert-authority x $ed25519_ca\n", "h", 22, "ed25519_a",
		UNKNOWN, 0, 0, 0, 0 },
	{ "K5 authority and host key", "@cert-authority h $ed25519_ca\nh $ed25519_a\n", "h", 22,
		"ed25519_a", MATCH, 2, 1, 0, 0 },
	{ "K3 revoked authority", "@cert-authority h $ed25519_ca\n@revoked * $ed25519_ca\n", "h",
		22, "ed25519_ca", REVOKED, 2, 1, 0, 0 },
	{ "K5 unknown marker", "@pinned h $ed25519_a\n", "h", 22, "ed25519_a", UNKNOWN, 0, 0, 1,
		0 },
	{ "K5 unknown marker of others", "@pinned x $ed25519_a\n", "h", 22, "ed25519_a", UNKNOWN, 0,
		0, 0, 0 },
	{ "K5 marker in another case", "@Revoked h $ed25519_a\n", "h", 22, "ed25519_a", UNKNOWN, 0,
		0, 1, 0 },
	{ "K5 two markers", "@revoked @cert-authority h $ed25519_a\n", "h", 22, "ed25519_a",
		UNKNOWN, 0, 0, 1, 0 },
	{ "K5 broken key", "h ssh-ed25519 AAAA!\n", "h", 22, "ed25519_a", UNKNOWN, 0, 0, 1, 0 },
	{ "K5 type that is not the key's",
		"h ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIKMZAK9MUV37AKMZAK9MUV37AKMZAK9MUV37AKMZAK9M\n",
		"h", 22, "ed25519_a", UNKNOWN, 0, 0, 1, 0 },
	{ "K5 SSH-1 key", "h 1024 35 1234567\n", "h", 22, "ed25519_a", UNKNOWN, 0, 0, 1, 0 },
	{ "K5 skipped line beside a match", "@pinned h $ed25519_b\nh $ed25519_a\n", "h", 22,
		"ed25519_a", MATCH, 2, 0, 1, 0 },
	{ "K1 malformed hashes name nobody",
		"|1|AAAA|AAAA $ed25519_a\n|1|sYWboTILGCsEoQrmtQIx5qboxa4= $ed25519_a\n"
		"|2|sYWboTILGCsEoQrmtQIx5qboxa4=|OS8TFj/5ECgoXzVVqKvIhFrMoF0= $ed25519_a\n"
		"| $ed25519_a\n|1|| $ed25519_a\n",
		"h", 22, "ed25519_a", UNKNOWN, 0, 0, 0, 0 },
	{ "K1 host without a key", "h\n", "h", 22, "ed25519_a", UNKNOWN, 0, 0, 1, 0 },
	{ "K1 marker without a host", "@revoked\n@cert-authority \n", "h", 22, "ed25519_a", UNKNOWN,
		0, 0, 0, 0 },
};

static void expect_same(const char *id, struct smx_known_verdict a, struct smx_known_verdict b)
{
	if (a.status != b.status || a.line != b.line || a.has_ca != b.has_ca ||
		a.has_skipped != b.has_skipped || a.without_port != b.without_port)
		fail_msg("%s: another verdict when narrowed to the host", id);
}

static void k1_k3_k5_verdict_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(verdict_cases); i++) {
		const struct verdict_case *c = &verdict_cases[i];
		struct smx_known_hosts *kh = load_expanded(c->text, NULL);
		struct smx_known_verdict v = check(kh, c->host, (uint16_t)c->port, c->key);

		if (v.status != c->status || v.line != c->line || v.has_ca != c->has_ca ||
			v.has_skipped != c->has_skipped || v.without_port != c->without_port)
			fail_msg("%s: status %d line %u ca %d skipped %d without_port %d", c->id,
				v.status, v.line, v.has_ca, v.has_skipped, v.without_port);
		if (v.line)
			assert_string_equal(v.source_view, FILE_NAME);
		else
			assert_null(v.source_view);
		assert_int_equal(smx_known_hosts_narrow(kh, c->host, (uint16_t)c->port), 0);
		expect_same(c->id, v, check(kh, c->host, (uint16_t)c->port, c->key));
		smx_known_hosts_free(kh);
	}
}

static void k1_arguments_that_name_no_host(void **state)
{
	struct smx_known_verdict v = { .line = 77 };
	struct smx_known_hosts *kh = load_expanded("* $ed25519_a\n", NULL);
	struct smx_buf blob;
	char name[SMX_KNOWN_NAME_MAX], longest[400];

	(void)state;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	data_put_blob("ed25519_a", &blob);
	memset(longest, 'h', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(smx_known_hosts_check(kh, "", 22, data_view(&blob), &v), SMX_EINVAL);
	assert_int_equal(smx_known_hosts_check(kh, "h", 0, data_view(&blob), &v), SMX_EINVAL);
	assert_int_equal(smx_known_hosts_check(kh, "a b", 22, data_view(&blob), &v), SMX_EINVAL);
	assert_int_equal(smx_known_hosts_check(kh, "a\nb", 22, data_view(&blob), &v), SMX_EINVAL);
	assert_int_equal(smx_known_hosts_check(kh, longest, 22, data_view(&blob), &v), SMX_EINVAL);
	assert_int_equal(
		smx_known_hosts_check(kh, "h", 22, smx_view_of("\0\0\0\4abc", 7), &v), SMX_EINVAL);
	assert_int_equal(v.line, 77); /* untouched */
	assert_int_equal(smx_known_hosts_name("h", 22, name, 4), SMX_EINVAL);
	assert_int_equal(smx_known_hosts_name("Ho.St", 65535, name, sizeof(name)), 0);
	assert_string_equal(name, "[ho.st]:65535");
	assert_int_equal(smx_known_hosts_name("Ho.St", 22, name, sizeof(name)), 0);
	assert_string_equal(name, "ho.st");
	smx_buf_release(&blob);
	smx_known_hosts_free(kh);
}

/* --- against ssh-keygen ----------------------------------------------------------- */

/* Appends the numbers of the lines that name the host (with its port), as " 3 4". */
static void lines_of(
	const struct smx_known_hosts *kh, const char *host, uint16_t port, struct smx_buf *out)
{
	struct smx_known_entry e;
	size_t cursor = 0;
	int r;

	while ((r = smx_known_hosts_next(kh, host, port, &cursor, &e)) == 1) {
		if (!e.without_port)
			assert_int_equal(smx_buf_printf(out, " %u", e.line), 0);
	}
	assert_int_equal(r, 0);
}

/* "[host]:port" or "host". */
static uint16_t split(char *name, char **ret_host)
{
	char *end = strchr(name, ']');

	*ret_host = name;
	if (name[0] != '[')
		return 22;
	*ret_host = name + 1;
	*end = '\0';
	return (uint16_t)atoi(end + 2);
}

static void compare_with_keygen(const char *file, const char *find_file)
{
	struct smx_buf text, find, got;
	struct smx_known_hosts *kh;
	const char *all;
	char *copy, *line, *save = NULL;
	size_t compared = 0;

	smx_buf_init(&text, 1 << 20);
	smx_buf_init(&find, 1 << 20);
	smx_buf_init(&got, 1 << 20);
	data_read(file, &text);
	data_read(find_file, &find);
	kh = load(data_view(&text), NULL);
	all = smx_buf_cstr(&find);
	assert_non_null(all);
	copy = smx_strdup(all);
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t n = strcspn(line, " ");
		const char *lines = line + n;
		char name[128], shown[128], *host;
		uint16_t port;

		assert_true(n < sizeof(name));
		memcpy(name, line, n);
		name[n] = '\0';
		memcpy(shown, name, n + 1);
		/* ssh never writes port 22, so only ssh-keygen can ask for it. */
		if (strstr(name, "]:") && strcmp(strstr(name, "]:"), "]:22") == 0)
			continue;
		port = split(name, &host);
		smx_buf_reset(&got);
		lines_of(kh, host, port, &got);
		if (strcmp(smx_buf_cstr(&got), lines) != 0)
			fail_msg("%s: %s: we say%s, ssh-keygen%s", file, shown, smx_buf_cstr(&got),
				lines);
		compared++;
	}
	assert_true(compared >= 20);
	smx_free(copy);
	smx_known_hosts_free(kh);
	smx_buf_release(&text);
	smx_buf_release(&find);
	smx_buf_release(&got);
}

static void k1_finds_what_ssh_keygen_finds(void **state)
{
	(void)state;
	compare_with_keygen("plain", "find.plain");
	compare_with_keygen("hashed", "find.hashed");
}

static void k1_hashed_file_gives_verdicts(void **state)
{
	struct smx_known_hosts *kh;
	struct smx_buf text;

	(void)state;
	smx_buf_init(&text, 1 << 20);
	data_read("hashed", &text);
	kh = load(data_view(&text), NULL);
	assert_true(smx_known_hosts_has_hashed(kh));
	assert_int_equal(check(kh, "alpha.example", 22, "ed25519_a").status, MATCH);
	assert_int_equal(check(kh, "Alpha.Example", 22, "ed25519_a").status, MATCH);
	assert_int_equal(check(kh, "alpha.example", 22, "ed25519_b").status, CHANGED);
	assert_int_equal(check(kh, "alpha.example", 22, "ecdsa256").status, OTHER);
	assert_int_equal(check(kh, "alpha.example", 2222, "ed25519_b").status, MATCH);
	assert_int_equal(check(kh, "alpha.example", 2222, "ed25519_a").status, CHANGED);
	assert_int_equal(check(kh, "10.0.0.7", 2200, "ecdsa256").status, MATCH);
	assert_int_equal(check(kh, "10.0.0.7", 2201, "ecdsa256").without_port, 1);
	assert_int_equal(check(kh, "alpha.example", 22, "ed25519_revoked").status, REVOKED);
	smx_known_hosts_free(kh);
	smx_buf_release(&text);
}

/* --- other functions -------------------------------------------------------------- */

static void k3_types_of_a_host(void **state)
{
	static const char text[] = "h $rsa_a\n@revoked h $ecdsa384\n@cert-authority h $ed25519_ca\n"
				   "h,x $ed25519_a\nh $rsa_b\nh $ed25519_b\n[h]:2222 $ecdsa256\n"
				   "@pinned h $ecdsa256\n";
	static const struct {
		const char *host;
		uint16_t port;
		const char *want;
	} cases[] = {
		{ "h", 22, "ssh-rsa,ssh-ed25519" },
		{ "H", 22, "ssh-rsa,ssh-ed25519" },
		{ "x", 22, "ssh-ed25519" },
		{ "h", 2222, "ecdsa-sha2-nistp256" },
		{ "h", 2223, "ssh-rsa,ssh-ed25519" }, /* what the fallback would accept */
		{ "y", 22, "" },
		{ "y", 2222, "" },
	};
	struct smx_known_hosts *kh = load_expanded(text, NULL);
	struct smx_buf list;

	(void)state;
	smx_buf_init(&list, 1024);
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		smx_buf_reset(&list);
		assert_int_equal(smx_known_hosts_types(kh, cases[i].host, cases[i].port, &list), 0);
		assert_string_equal(smx_buf_cstr(&list), cases[i].want);
	}
	smx_buf_release(&list);
	smx_known_hosts_free(kh);
}

static void k3_known_keys_are_listed(void **state)
{
	struct smx_known_hosts *kh = load_expanded(
		"h $rsa_a\nx $rsa_b\n@revoked * $ed25519_b\n@cert-authority h $ed25519_ca\n"
		"@pinned h $ed25519_a\n[h]:2222 $ecdsa256\n",
		NULL);
	static const struct {
		enum smx_known_marker marker;
		unsigned line;
		int without_port;
		const char *type;
	} want[] = {
		{ SMX_KNOWN_PLAIN, 1, 1, "ssh-rsa" },
		{ SMX_KNOWN_REVOKED_KEY, 3, 0, "ssh-ed25519" },
		{ SMX_KNOWN_CA, 4, 1, "ssh-ed25519" },
		{ SMX_KNOWN_SKIPPED, 5, 1, "" },
		{ SMX_KNOWN_PLAIN, 6, 0, "ecdsa-sha2-nistp256" },
	};
	struct smx_known_entry e;
	char fingerprint[SMX_FINGERPRINT_SIZE];
	size_t cursor = 0;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(want); i++) {
		assert_int_equal(smx_known_hosts_next(kh, "h", 2222, &cursor, &e), 1);
		assert_int_equal(e.marker, want[i].marker);
		assert_int_equal(e.line, want[i].line);
		assert_int_equal(e.without_port, want[i].without_port);
		assert_true(smx_view_eq(e.type_view, want[i].type));
		assert_string_equal(e.source_view, FILE_NAME);
		if (e.blob_view.len)
			assert_int_equal(smx_blob_fingerprint(e.blob_view, fingerprint), 0);
	}
	assert_int_equal(smx_known_hosts_next(kh, "h", 2222, &cursor, &e), 0);
	assert_int_equal(smx_known_hosts_next(kh, "h", 2222, &cursor, &e), 0);
	smx_known_hosts_free(kh);
}

/* All that a list says of a host, as a text. */
static void put_all(
	const struct smx_known_hosts *kh, const char *host, uint16_t port, struct smx_buf *out)
{
	static const char *const keys[] = { "ed25519_a", "ed25519_b", "ecdsa256", "rsa_a",
		"ed25519_revoked" };
	struct smx_known_entry e;
	enum smx_cert_wish wish;
	size_t cursor = 0;

	assert_int_equal(smx_known_hosts_types(kh, host, port, out), 0);
	assert_int_equal(smx_known_hosts_cert_wish(kh, host, port, &wish), 0);
	assert_int_equal(
		smx_buf_printf(out, " wish %d hashed %d\n", wish, smx_known_hosts_has_hashed(kh)),
		0);
	while (smx_known_hosts_next(kh, host, port, &cursor, &e) == 1)
		assert_int_equal(
			smx_buf_printf(out, "%d %.*s %s:%u %d\n", e.marker, (int)e.type_view.len,
				(const char *)e.type_view.p, e.source_view, e.line, e.without_port),
			0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		struct smx_known_verdict v = check(kh, host, port, keys[i]);

		assert_int_equal(smx_buf_printf(out, "%s: %d %u %d %d %d\n", keys[i], v.status,
					 v.line, v.has_ca, v.has_skipped, v.without_port),
			0);
	}
}

/* K7: narrowed to a host, a list says the same of it, and holds nothing else. */
static void k7_narrowed_to_a_host(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
	} cases[] = { { "alpha.example", 22 }, { "Alpha.Example", 22 }, { "alpha.example", 2222 },
		{ "alpha.example", 2223 }, { "10.0.0.7", 2200 }, { "10.0.0.7", 2201 },
		{ "unheard.of", 22 }, { "h", 22 }, { "h", 2222 }, { "x", 22 } };
	struct smx_buf text, before, after;

	(void)state;
	smx_buf_init(&text, 1 << 20);
	smx_buf_init(&before, 1 << 16);
	smx_buf_init(&after, 1 << 16);
	data_read("hashed", &text);
	data_expand("h $rsa_a\nx $rsa_b\n@revoked * $ed25519_b\n@cert-authority h $ed25519_ca\n"
		    "@pinned h $ed25519_a\n[h]:2222 $ecdsa256\n*,!x $ed25519_a\n",
		&text);
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_known_hosts *kh = load(data_view(&text), NULL);

		smx_buf_reset(&before);
		smx_buf_reset(&after);
		put_all(kh, cases[i].host, cases[i].port, &before);
		assert_int_equal(smx_known_hosts_narrow(kh, cases[i].host, cases[i].port), 0);
		put_all(kh, cases[i].host, cases[i].port, &after);
		assert_string_equal(smx_buf_cstr(&after), smx_buf_cstr(&before));
		/* Another host, of which a line was kept here only by its pattern. */
		assert_int_equal(check(kh, "z", 22, "ed25519_b").status, REVOKED);
		assert_int_equal(smx_known_hosts_narrow(kh, "z", 22), 0);
		assert_int_equal(check(kh, "z", 22, "ed25519_b").status, REVOKED);
		assert_int_equal(smx_known_hosts_narrow(kh, "a b", 22), SMX_EINVAL);
		assert_int_equal(smx_known_hosts_narrow(kh, "z", 0), SMX_EINVAL);
		assert_int_equal(
			smx_known_hosts_add_text(kh, "more", data_view(&text), NULL), SMX_EINVAL);
		smx_known_hosts_free(kh);
	}
	smx_buf_release(&text);
	smx_buf_release(&before);
	smx_buf_release(&after);
}

static void k1_several_texts(void **state)
{
	struct smx_known_hosts *kh = load_expanded("\nh $ed25519_a\n", NULL);
	struct smx_known_verdict v;
	struct smx_buf text;

	(void)state;
	smx_buf_init(&text, 65536);
	data_expand("x $rsa_a\nh $ed25519_b\n@revoked * $ed25519_revoked\n", &text);
	assert_int_equal(smx_known_hosts_add_text(kh, "second", data_view(&text), NULL), 0);
	v = check(kh, "h", 22, "ed25519_a");
	assert_int_equal(v.status, MATCH);
	assert_string_equal(v.source_view, FILE_NAME);
	assert_int_equal(v.line, 2);
	v = check(kh, "h", 22, "ed25519_b");
	assert_int_equal(v.status, MATCH);
	assert_string_equal(v.source_view, "second");
	assert_int_equal(v.line, 2);
	assert_int_equal(check(kh, "h", 22, "ed25519_revoked").status, REVOKED);
	smx_buf_release(&text);
	smx_known_hosts_free(kh);
}

/* K4: the line that pins a key, plain and hashed, makes exactly that key known. */
static void k4_line_pins_the_key(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		const char *prefix;
	} cases[] = {
		{ "Host.Example", 22, "host.example ssh-ed25519 " },
		{ "Host.Example", 2222, "[host.example]:2222 ssh-ed25519 " },
		{ "2001:DB8::1", 22, "2001:db8::1 ssh-ed25519 " },
		{ "fe80::1%eth0", 22, "fe80::1%eth0 ssh-ed25519 " },
	};
	struct smx_buf blob, line, again;

	(void)state;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&line, SMX_KNOWN_HOSTS_LINE_MAX);
	smx_buf_init(&again, SMX_KNOWN_HOSTS_LINE_MAX);
	data_put_blob("ed25519_a", &blob);
	for (size_t i = 0; i < 2 * SMX_ARRAY_LEN(cases); i++) {
		const char *host = cases[i / 2].host;
		uint16_t port = cases[i / 2].port;
		struct smx_known_hosts *kh;
		int hashed = i % 2;

		smx_buf_reset(&line);
		smx_buf_reset(&again);
		assert_int_equal(
			smx_known_hosts_line(host, port, data_view(&blob), hashed, &line), 0);
		assert_int_equal(
			smx_known_hosts_line(host, port, data_view(&blob), hashed, &again), 0);
		if (hashed) {
			assert_memory_equal(smx_buf_view(&line), "|1|", 3);
			/* The salt is fresh, so the lines can't be joined up. */
			assert_memory_not_equal(
				smx_buf_view(&line), smx_buf_view(&again), smx_buf_len(&line));
		} else {
			assert_memory_equal(smx_buf_view(&line), cases[i / 2].prefix,
				strlen(cases[i / 2].prefix));
		}
		assert_int_equal(smx_buf_view(&line)[smx_buf_len(&line) - 1], '\n');
		kh = load(data_view(&line), NULL);
		assert_int_equal(smx_known_hosts_has_hashed(kh), hashed);
		assert_int_equal(check(kh, host, port, "ed25519_a").status, MATCH);
		assert_int_equal(check(kh, host, port, "ed25519_b").status, CHANGED);
		assert_int_equal(check(kh, "other", port, "ed25519_a").status, UNKNOWN);
		smx_known_hosts_free(kh);
	}
	smx_buf_release(&blob);
	smx_buf_release(&line);
	smx_buf_release(&again);
}

/* K4, R3: a name may never become a pattern, a second name or a second line. */
static void k4_line_refuses_hosts_that_mean_more(void **state)
{
	static const char *const hosts[] = { "*", "h*", "?", "a,b", "!h", "@revoked", "#h", "|1|x",
		"[h]", "a b", "a\tb", "a\nb", "", "h\"", "h\\", "\xef\xbb\xbfh", "\xc3\xa9" };
	struct smx_buf blob, line;

	(void)state;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&line, SMX_KNOWN_HOSTS_LINE_MAX);
	data_put_blob("ed25519_a", &blob);
	for (size_t i = 0; i < 2 * SMX_ARRAY_LEN(hosts); i++) {
		assert_int_equal(
			smx_known_hosts_line(hosts[i / 2], 22, data_view(&blob), i % 2, &line),
			SMX_EINVAL);
		assert_int_equal(smx_buf_len(&line), 0);
	}
	/* Nor may a type name chosen by a peer. */
	assert_true(smx_known_hosts_line("h", 22, smx_view_of("\0\0\0\3a\nb", 7), 0, &line) < 0);
	assert_int_equal(smx_buf_len(&line), 0);
	smx_buf_release(&blob);
	smx_buf_release(&line);
}

static void k5_skipped_lines_are_warned_about(void **state)
{
	struct smx_known_hosts *kh;
	struct smx_buf warnings;

	(void)state;
	smx_buf_init(&warnings, SMX_KNOWN_WARNINGS_MAX);
	kh = load_expanded("# fine\nh $ed25519_a\n@pinned\x1b[2J h $ed25519_a\nh bogus\n"
			   "@revoked @cert-authority h $ed25519_a\n|1|a|b $ed25519_a\n@revoked\n",
		&warnings);
	assert_string_equal(smx_buf_cstr(&warnings),
		"known_hosts:3: skipped: unsupported marker \"@pinned?[2J\"\n"
		"known_hosts:4: skipped: not a public key\n"
		"known_hosts:5: skipped: more than one marker\n"
		"known_hosts:6: skipped: malformed hashed host name\n"
		"known_hosts:7: skipped: no host names\n");
	smx_buf_release(&warnings);
	smx_known_hosts_free(kh);
}

static void k5_warnings_beyond_the_cap_are_dropped(void **state)
{
	struct smx_known_hosts *kh;
	struct smx_buf warnings;

	(void)state;
	smx_buf_init(&warnings, 50);
	kh = load_expanded("@a h x\n@b h x\n@c h x\nh $ed25519_a\n", &warnings);
	assert_string_equal(
		smx_buf_cstr(&warnings), "known_hosts:1: skipped: unsupported marker \"@a\"\n");
	assert_int_equal(check(kh, "h", 22, "ed25519_a").status, MATCH);
	smx_buf_release(&warnings);
	smx_known_hosts_free(kh);
}

static void k1_limits(void **state)
{
	struct smx_known_hosts *kh;
	struct smx_buf text;
	size_t n = 0;

	(void)state;
	smx_buf_init(&text, SMX_KNOWN_HOSTS_TEXT_MAX + 1024);
	/* A line that is too long is skipped but speaks for its host; the next one counts. */
	data_expand("h $ed25519_a ", &text);
	for (n = 0; n <= SMX_KNOWN_HOSTS_LINE_MAX; n += 64)
		assert_int_equal(smx_buf_put(&text,
					 "................................"
					 "................................",
					 64),
			0);
	data_expand("\nx $ed25519_a\n", &text);
	kh = load(data_view(&text), NULL);
	assert_int_equal(check(kh, "h", 22, "ed25519_a").status, UNKNOWN);
	assert_int_equal(check(kh, "h", 22, "ed25519_a").has_skipped, 1);
	assert_int_equal(check(kh, "x", 22, "ed25519_a").line, 2);

	/* Too many entries: none of that text is kept, all of the one before. */
	smx_buf_reset(&text);
	for (n = 0; n <= SMX_KNOWN_HOSTS_ENTRIES_MAX; n++)
		assert_int_equal(smx_buf_put(&text, "y ?\n", 4), 0);
	assert_int_equal(smx_known_hosts_add_text(kh, "big", data_view(&text), NULL), SMX_ELIMIT);
	assert_int_equal(check(kh, "y", 22, "ed25519_a").has_skipped, 0);
	assert_int_equal(check(kh, "x", 22, "ed25519_a").status, MATCH);
	smx_known_hosts_free(kh);

	smx_buf_reset(&text);
	while (smx_buf_len(&text) <= SMX_KNOWN_HOSTS_TEXT_MAX)
		assert_int_equal(smx_buf_put(&text, "################\n", 17), 0);
	assert_int_equal(smx_known_hosts_new(&kh), 0);
	assert_int_equal(smx_known_hosts_add_text(kh, "big", data_view(&text), NULL), SMX_ELIMIT);
	smx_known_hosts_free(kh);
	smx_buf_release(&text);
}

/* --- decisions -------------------------------------------------------------------- */

/* What must come of each verdict, for all askers and both ways (K2, K3, K5). */
static void k2_k3_k5_decision_table(void **state)
{
	static const struct {
		const char *id;
		struct smx_known_verdict v;
		enum smx_hostkey_asking asking;
		int behind_jump;
		enum smx_hostkey_action action;
		enum smx_hostkey_reason reason;
	} cases[] = {
		{ "K2 unknown, ask", { .status = UNKNOWN }, SMX_HOSTKEY_CAN_ASK, 0, SMX_HOSTKEY_ASK,
			SMX_HOSTKEY_WHY_UNKNOWN },
		{ "K2 unknown behind a jump, ask", { .status = UNKNOWN }, SMX_HOSTKEY_CAN_ASK, 1,
			SMX_HOSTKEY_ASK, SMX_HOSTKEY_WHY_UNKNOWN },
		{ "K2 nobody to ask", { .status = UNKNOWN }, SMX_HOSTKEY_CANNOT_ASK, 0,
			SMX_HOSTKEY_REFUSE, SMX_HOSTKEY_WHY_UNKNOWN },
		{ "K2 nobody to ask, behind a jump", { .status = UNKNOWN }, SMX_HOSTKEY_CANNOT_ASK,
			1, SMX_HOSTKEY_REFUSE, SMX_HOSTKEY_WHY_UNKNOWN },
		{ "K2 no channel, no jump", { .status = UNKNOWN }, SMX_HOSTKEY_NO_CHANNEL, 0,
			SMX_HOSTKEY_REFUSE, SMX_HOSTKEY_WHY_UNKNOWN },
		{ "K2 accept-new", { .status = UNKNOWN }, SMX_HOSTKEY_NO_CHANNEL, 1,
			SMX_HOSTKEY_ACCEPT_NEW, SMX_HOSTKEY_WHY_UNKNOWN },
		{ "K3 other type, ask", { .status = OTHER }, SMX_HOSTKEY_CAN_ASK, 0,
			SMX_HOSTKEY_ASK, SMX_HOSTKEY_WHY_OTHER_TYPE },
		{ "K3 other type is not new", { .status = OTHER }, SMX_HOSTKEY_NO_CHANNEL, 1,
			SMX_HOSTKEY_REFUSE, SMX_HOSTKEY_WHY_OTHER_TYPE },
		{ "K5 authority, ask", { .status = UNKNOWN, .has_ca = 1 }, SMX_HOSTKEY_CAN_ASK, 1,
			SMX_HOSTKEY_ASK, SMX_HOSTKEY_WHY_CA },
		{ "K5 authority is not new", { .status = UNKNOWN, .has_ca = 1 },
			SMX_HOSTKEY_NO_CHANNEL, 1, SMX_HOSTKEY_REFUSE, SMX_HOSTKEY_WHY_CA },
		{ "K5 skipped line, ask", { .status = UNKNOWN, .has_skipped = 1 },
			SMX_HOSTKEY_CAN_ASK, 1, SMX_HOSTKEY_ASK, SMX_HOSTKEY_WHY_SKIPPED },
		{ "K5 skipped line is not new", { .status = UNKNOWN, .has_skipped = 1 },
			SMX_HOSTKEY_NO_CHANNEL, 1, SMX_HOSTKEY_REFUSE, SMX_HOSTKEY_WHY_SKIPPED },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_hostkey_decision d =
			smx_hostkey_decide(&cases[i].v, cases[i].asking, cases[i].behind_jump);

		if (d.action != cases[i].action || d.reason != cases[i].reason)
			fail_msg("%s: action %d, reason %d", cases[i].id, d.action, d.reason);
		assert_int_equal(d.show_known_keys, cases[i].v.status == OTHER);
		assert_int_equal(d.warn_ca, cases[i].v.has_ca);
	}
}

/* Over all inputs: what is never done, whatever else holds. */
static void k2_k3_k5_decision_invariants(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5 * 2 * 2 * 2 * 3; i++) {
		struct smx_known_verdict v = { .status = (enum smx_known_status)(i % 5),
			.has_ca = i / 5 % 2,
			.has_skipped = i / 10 % 2 };
		int behind_jump = i / 20 % 2;
		enum smx_hostkey_asking asking = (enum smx_hostkey_asking)(i / 40);
		struct smx_hostkey_decision d = smx_hostkey_decide(&v, asking, behind_jump);

		if (v.status == CHANGED || v.status == REVOKED)
			assert_int_equal(d.action, SMX_HOSTKEY_REFUSE);
		if (v.status == MATCH)
			assert_int_equal(d.action, SMX_HOSTKEY_ACCEPT);
		else
			assert_int_not_equal(d.action, SMX_HOSTKEY_ACCEPT);
		if (d.action == SMX_HOSTKEY_ASK)
			assert_int_equal(asking, SMX_HOSTKEY_CAN_ASK);
		if (d.action == SMX_HOSTKEY_ACCEPT_NEW)
			assert_true(v.status == UNKNOWN && !v.has_ca && !v.has_skipped &&
				    behind_jump && asking == SMX_HOSTKEY_NO_CHANNEL);
		if (d.action == SMX_HOSTKEY_REFUSE)
			assert_int_not_equal(d.reason, SMX_HOSTKEY_OK);
		assert_true(strlen(smx_hostkey_reason_text(d.reason)) > 10);
	}
}

static void k4_no_pin_no_connection(void **state)
{
	(void)state;
	assert_int_equal(smx_hostkey_after_pinning(0).action, SMX_HOSTKEY_ACCEPT);
	assert_int_equal(smx_hostkey_after_pinning(SMX_ESYS).action, SMX_HOSTKEY_REFUSE);
	assert_int_equal(smx_hostkey_after_pinning(SMX_ESYS).reason, SMX_HOSTKEY_WHY_UNPINNED);
	assert_int_equal(smx_hostkey_after_pinning(1).action, SMX_HOSTKEY_REFUSE);
}

/* --- failing allocations ---------------------------------------------------------- */

static int use_everything(struct smx_view text, struct smx_view blob)
{
	struct smx_known_hosts *kh = NULL;
	struct smx_known_verdict v;
	struct smx_buf list, warnings;
	int r;

	smx_buf_init(&list, 65536);
	smx_buf_init(&warnings, 65536);
	if ((r = smx_known_hosts_new(&kh)) == 0 &&
		(r = smx_known_hosts_add_text(kh, "one", text, &warnings)) == 0 &&
		(r = smx_known_hosts_add_text(kh, "two", text, NULL)) == 0 &&
		(r = smx_known_hosts_check(kh, "alpha.example", 2222, blob, &v)) == 0 &&
		(r = smx_known_hosts_types(kh, "alpha.example", 22, &list)) == 0)
		r = smx_known_hosts_line("h", 22, blob, 1, &list);
	smx_known_hosts_free(kh);
	smx_buf_release(&list);
	smx_buf_release(&warnings);
	return r;
}

static void k1_every_failing_allocation(void **state)
{
	struct smx_buf text, blob;
	long before, n = 0;
	int r;

	(void)state;
	smx_buf_init(&text, 1 << 20);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	data_read("hashed", &text);
	data_expand("@pinned x y\nbogus\n", &text);
	data_put_blob("ed25519_a", &blob);
	before = smx_mem_alive();
	do {
		smx_mem_fail_after(n++);
		r = use_everything(data_view(&text), data_view(&blob));
		smx_mem_fail_after(-1);
		assert_true(r == 0 || r == SMX_ENOMEM);
		assert_int_equal(smx_mem_alive(), before);
	} while (r != 0);
	assert_true(n > 50);
	smx_buf_release(&text);
	smx_buf_release(&blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(k1_k3_k5_verdict_table),
		cmocka_unit_test(k1_arguments_that_name_no_host),
		cmocka_unit_test(k1_finds_what_ssh_keygen_finds),
		cmocka_unit_test(k1_hashed_file_gives_verdicts),
		cmocka_unit_test(k3_types_of_a_host),
		cmocka_unit_test(k3_known_keys_are_listed),
		cmocka_unit_test(k7_narrowed_to_a_host),
		cmocka_unit_test(k1_several_texts),
		cmocka_unit_test(k4_line_pins_the_key),
		cmocka_unit_test(k4_line_refuses_hosts_that_mean_more),
		cmocka_unit_test(k5_skipped_lines_are_warned_about),
		cmocka_unit_test(k5_warnings_beyond_the_cap_are_dropped),
		cmocka_unit_test(k1_limits),
		cmocka_unit_test(k2_k3_k5_decision_table),
		cmocka_unit_test(k2_k3_k5_decision_invariants),
		cmocka_unit_test(k4_no_pin_no_connection),
		cmocka_unit_test(k1_every_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
