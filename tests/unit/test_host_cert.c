/* SPDX-License-Identifier: MIT */
/* B9, K3, K5: what a host's certificate is worth, and what follows from it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "cert_data.h"
#include "trust/host_cert.h"

#define NOW     1800000000u /* in 2027 */
#define Y2020   1577836800u
#define Y2099   4070908800u
#define FEB2020 1580515200u /* the end of expired.cert */
#define Y2098   4039372800u /* the beginning of future.cert */

/* Appends text with "$name" as "type base64": $ca_… of data/certs, others of data/keys. */
static void expand(const char *text, struct smx_buf *out)
{
	while (*text) {
		size_t n = strcspn(text, "$");

		assert_int_equal(smx_buf_put(out, text, n), 0);
		text += n;
		if (*text == '$') {
			char file[100];
			struct smx_buf blob;

			n = strspn(text + 1, "abcdefghijklmnopqrstuvwxyz0123456789_.");
			(void)snprintf(file, sizeof(file), "%s/%.*s%s",
				strncmp(text, "$ca_", 4) == 0 || memchr(text, '.', n + 1) ? "certs"
											  : "keys",
				(int)n, text + 1, memchr(text, '.', n + 1) ? "" : ".pub");
			smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
			cert_data_blob(file, &blob);
			assert_int_equal(smx_pubkey_line_write(test_view(&blob), out), 0);
			smx_buf_release(&blob);
			text += n + 1;
		}
	}
}

static struct smx_known_hosts *load(const char *text)
{
	struct smx_known_hosts *kh = NULL;
	struct smx_buf full;

	smx_buf_init(&full, 1 << 20);
	expand(text, &full);
	assert_int_equal(smx_known_hosts_new(&kh), 0);
	assert_int_equal(smx_known_hosts_add_text(kh, "kh", test_view(&full), NULL), 0);
	smx_buf_release(&full);
	return kh;
}

/* --- the certificate alone ---------------------------------------------------------- */

static const struct {
	const char *cert, *host;
	uint64_t now;
	enum smx_host_cert_status status;
} alone[] = {
	{ "ed25519", "host.example", NOW, SMX_HOST_CERT_OK },
	{ "ed25519", "HOST.Example", NOW, SMX_HOST_CERT_OK },
	{ "ed25519", "10.0.0.7", NOW, SMX_HOST_CERT_OK },
	{ "ed25519", "host.example.", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "x.host.example", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "host.exampl", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "10.0.0.70", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "[host.example]:2222", NOW, SMX_HOST_CERT_OTHER_HOST },
	/* A pattern is the authority's to write, never the host's name. */
	{ "ed25519", "*", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "host.*", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "a b", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "a.wild.example", NOW, SMX_HOST_CERT_OK },
	{ "ed25519", "b.a.wild.example", NOW, SMX_HOST_CERT_OK },
	{ "ed25519", "wild.example", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "a.wild.example.evil", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "ed25519", "host.two.example", NOW, SMX_HOST_CERT_OK },
	{ "ed25519", "hst.two.example", NOW, SMX_HOST_CERT_OTHER_HOST },
	{ "nobody", "host.example", NOW, SMX_HOST_CERT_NO_PRINCIPALS },
	{ "nobody", "", NOW, SMX_HOST_CERT_NO_PRINCIPALS },
	{ "user", "host.example", NOW, SMX_HOST_CERT_NOT_HOST },
	{ "critical", "host.example", NOW, SMX_HOST_CERT_CRITICAL },
	{ "extension", "host.example", NOW, SMX_HOST_CERT_OK },
	/* The window: its beginning is in it, its end is not. */
	{ "ed25519", "host.example", Y2020 - 1, SMX_HOST_CERT_NOT_YET },
	{ "ed25519", "host.example", Y2020, SMX_HOST_CERT_OK },
	{ "ed25519", "host.example", Y2099 - 1, SMX_HOST_CERT_OK },
	{ "ed25519", "host.example", Y2099, SMX_HOST_CERT_EXPIRED },
	{ "ed25519", "host.example", 0, SMX_HOST_CERT_NOT_YET },
	{ "ed25519", "host.example", UINT64_MAX, SMX_HOST_CERT_EXPIRED },
	{ "expired", "host.example", FEB2020 - 1, SMX_HOST_CERT_OK },
	{ "expired", "host.example", FEB2020, SMX_HOST_CERT_EXPIRED },
	{ "expired", "host.example", NOW, SMX_HOST_CERT_EXPIRED },
	{ "future", "host.example", NOW, SMX_HOST_CERT_NOT_YET },
	{ "future", "host.example", Y2098, SMX_HOST_CERT_OK },
	{ "forever", "host.example", 0, SMX_HOST_CERT_OK },
	{ "forever", "host.example", UINT64_MAX - 1, SMX_HOST_CERT_OK },
};

static void B9_what_a_certificate_says_of_itself(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(alone); i++) {
		struct smx_cert *c = cert_data_load(alone[i].cert);
		int status = smx_cert_check_host(c, alone[i].host, alone[i].now);

		if (status != (int)alone[i].status)
			fail_msg("%s for \"%s\": %d", alone[i].cert, alone[i].host, status);
		smx_cert_free(c);
	}
}

/* --- with known_hosts ----------------------------------------------------------------- */

#define OK      SMX_HOST_CERT_OK
#define UNKNOWN SMX_HOST_CERT_UNKNOWN_CA
#define EXPIRED SMX_HOST_CERT_EXPIRED
#define ACCEPT  SMX_HOSTKEY_ACCEPT
#define ASK     SMX_HOSTKEY_ASK
#define REFUSE  SMX_HOSTKEY_REFUSE
#define WHY(x)  SMX_HOSTKEY_WHY_##x

/* action and reason: when somebody can be asked. */
static const struct verdict_case {
	const char *id, *text, *host;
	unsigned port;
	const char *cert;
	enum smx_host_cert_status status;
	unsigned line;
	enum smx_known_status plain;
	enum smx_hostkey_action action;
	enum smx_hostkey_reason reason;
} verdicts[] = {
	{ "authority", "@cert-authority host.example $ca_ed25519\n", "host.example", 22, "ed25519",
		OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "authority in another case", "@cert-authority HOST.example $ca_ed25519\n", "Host.Example",
		22, "ed25519", OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "ECDSA authority", "@cert-authority host.example $ca_ecdsa\n", "host.example", 22,
		"ecdsa_521", OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "RSA authority", "@cert-authority host.example $ca_rsa\n", "host.example", 22, "rsa_2048",
		OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "RSA authority, SHA-256", "@cert-authority host.example $ca_rsa\n", "host.example", 22,
		"rsa_sha256", OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "RSA authority, SHA-1", "@cert-authority host.example $ca_rsa\n", "host.example", 22,
		"rsa_sha1", SMX_HOST_CERT_UNSUPPORTED, 1, SMX_KNOWN_UNKNOWN, ASK, WHY(CERT) },
	{ "SHA-1, plain key known",
		"@cert-authority host.example $ca_rsa\nhost.example $rsa_2048\n", "host.example",
		22, "rsa_sha1", SMX_HOST_CERT_UNSUPPORTED, 1, SMX_KNOWN_MATCH, ACCEPT,
		SMX_HOSTKEY_OK },
	{ "SHA-1, no authority", "host.example $rsa_2048\n", "host.example", 22, "rsa_sha1",
		UNKNOWN, 0, SMX_KNOWN_MATCH, ACCEPT, SMX_HOSTKEY_OK },
	{ "authority by wildcard, second line",
		"@cert-authority * $ca_other\n@cert-authority *.example $ca_ed25519\n",
		"host.example", 22, "ed25519", OK, 2, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "authority by a hashed name",
		/* HMAC-SHA1 of "host.example" under a salt of twenty 'A's */
		"@cert-authority |1|QUFBQUFBQUFBQUFBQUFBQUFBQUE=|6FLSnPZJsgucjM2zhbbmWySCiGQ= "
		"$ca_ed25519\n",
		"host.example", 22, "ed25519", OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "authority for the port", "@cert-authority [host.example]:2222 $ca_ed25519\n",
		"host.example", 2222, "ed25519", OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "authority for another port", "@cert-authority [host.example]:2222 $ca_ed25519\n",
		"host.example", 2223, "ed25519", UNKNOWN, 0, SMX_KNOWN_UNKNOWN, ASK, WHY(UNKNOWN) },
	{ "authority without the port", "@cert-authority host.example $ca_ed25519\n",
		"host.example", 2222, "ed25519", OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "authority with a negation", "@cert-authority *.example,!host.example $ca_ed25519\n",
		"host.example", 22, "ed25519", UNKNOWN, 0, SMX_KNOWN_UNKNOWN, ASK, WHY(UNKNOWN) },
	{ "good certificate beside another known key",
		"host.example $ecdsa_256\n@cert-authority host.example $ca_ed25519\n",
		"host.example", 22, "ed25519", OK, 2, SMX_KNOWN_OTHER_TYPE, ACCEPT,
		SMX_HOSTKEY_OK },
	/* No authority: the plain key decides. */
	{ "nothing known", "", "host.example", 22, "ed25519", UNKNOWN, 0, SMX_KNOWN_UNKNOWN, ASK,
		WHY(UNKNOWN) },
	{ "authority of other hosts", "@cert-authority *.other $ca_ed25519\n", "host.example", 22,
		"ed25519", UNKNOWN, 0, SMX_KNOWN_UNKNOWN, ASK, WHY(UNKNOWN) },
	{ "another authority", "@cert-authority * $ca_other\n", "host.example", 22, "ed25519",
		UNKNOWN, 0, SMX_KNOWN_UNKNOWN, ASK, WHY(CA) },
	{ "the authority's key as an ordinary one", "host.example $ca_ed25519\n", "host.example",
		22, "ed25519", UNKNOWN, 0, SMX_KNOWN_CHANGED, REFUSE, WHY(CHANGED) },
	{ "the host's key as an authority", "@cert-authority * $ed25519\n", "host.example", 22,
		"ed25519", UNKNOWN, 0, SMX_KNOWN_UNKNOWN, ASK, WHY(CA) },
	{ "the certificate as an authority", "@cert-authority * $ed25519.cert\n", "host.example",
		22, "ed25519", UNKNOWN, 0, SMX_KNOWN_UNKNOWN, ASK, WHY(CA) },
	{ "the certificate as an ordinary key", "host.example $ed25519.cert\n", "host.example", 22,
		"ed25519", UNKNOWN, 0, SMX_KNOWN_OTHER_TYPE, ASK, WHY(OTHER_TYPE) },
	{ "plain key known", "host.example $ed25519\n", "host.example", 22, "ed25519", UNKNOWN, 0,
		SMX_KNOWN_MATCH, ACCEPT, SMX_HOSTKEY_OK },
	{ "plain key known, another authority",
		"host.example $ed25519\n@cert-authority * $ca_other\n", "host.example", 22,
		"ed25519", UNKNOWN, 0, SMX_KNOWN_MATCH, ACCEPT, SMX_HOSTKEY_OK },
	{ "a user's certificate, no authority", "host.example $ed25519\n", "host.example", 22,
		"user", UNKNOWN, 0, SMX_KNOWN_MATCH, ACCEPT, SMX_HOSTKEY_OK },
	/* Not good: as without it, and said. */
	{ "expired", "@cert-authority * $ca_ed25519\n", "host.example", 22, "expired", EXPIRED, 1,
		SMX_KNOWN_UNKNOWN, ASK, WHY(CERT) },
	{ "expired, plain key known", "host.example $ed25519\n@cert-authority * $ca_ed25519\n",
		"host.example", 22, "expired", EXPIRED, 2, SMX_KNOWN_MATCH, ACCEPT,
		SMX_HOSTKEY_OK },
	{ "expired, another key of the type known",
		"host.example $ca_other\n@cert-authority * $ca_ed25519\n", "host.example", 22,
		"expired", EXPIRED, 2, SMX_KNOWN_CHANGED, REFUSE, WHY(CHANGED) },
	{ "not yet", "@cert-authority * $ca_ed25519\n", "host.example", 22, "future",
		SMX_HOST_CERT_NOT_YET, 1, SMX_KNOWN_UNKNOWN, ASK, WHY(CERT) },
	{ "other host", "@cert-authority * $ca_ed25519\n", "other.example", 22, "ed25519",
		SMX_HOST_CERT_OTHER_HOST, 1, SMX_KNOWN_UNKNOWN, ASK, WHY(CERT) },
	{ "no principals", "@cert-authority * $ca_ed25519\n", "host.example", 22, "nobody",
		SMX_HOST_CERT_NO_PRINCIPALS, 1, SMX_KNOWN_UNKNOWN, ASK, WHY(CERT) },
	{ "critical", "@cert-authority * $ca_ed25519\n", "host.example", 22, "critical",
		SMX_HOST_CERT_CRITICAL, 1, SMX_KNOWN_UNKNOWN, ASK, WHY(CERT) },
	{ "user's", "@cert-authority * $ca_ed25519\n", "host.example", 22, "user",
		SMX_HOST_CERT_NOT_HOST, 1, SMX_KNOWN_UNKNOWN, ASK, WHY(CERT) },
	/* Revoked is final. */
	{ "revoked authority",
		"@cert-authority * $ca_ed25519\nhost.example $ed25519\n@revoked * $ca_ed25519\n",
		"host.example", 22, "ed25519", SMX_HOST_CERT_REVOKED_CA, 3, SMX_KNOWN_MATCH, REFUSE,
		WHY(REVOKED) },
	{ "revoked authority that is not listed", "@revoked * $ca_ed25519\nhost.example $ed25519\n",
		"host.example", 22, "ed25519", SMX_HOST_CERT_REVOKED_CA, 1, SMX_KNOWN_MATCH, REFUSE,
		WHY(REVOKED) },
	{ "revoked authority, under the plain name",
		"@revoked host.example $ca_ed25519\n@cert-authority [host.example]:2222 "
		"$ca_ed25519\n",
		"host.example", 2222, "ed25519", SMX_HOST_CERT_REVOKED_CA, 1, SMX_KNOWN_UNKNOWN,
		REFUSE, WHY(REVOKED) },
	{ "authority revoked for others",
		"@cert-authority * $ca_ed25519\n@revoked *.other $ca_ed25519\n", "host.example", 22,
		"ed25519", OK, 1, SMX_KNOWN_UNKNOWN, ACCEPT, SMX_HOSTKEY_OK },
	{ "revoked key", "@cert-authority * $ca_ed25519\n@revoked * $ed25519\n", "host.example", 22,
		"ed25519", SMX_HOST_CERT_REVOKED_KEY, 2, SMX_KNOWN_REVOKED, REFUSE, WHY(REVOKED) },
	{ "revoked key, named by a certificate of it",
		"@cert-authority * $ca_ed25519\n@revoked * $forever.cert\n", "host.example", 22,
		"ed25519", SMX_HOST_CERT_REVOKED_KEY, 2, SMX_KNOWN_REVOKED, REFUSE, WHY(REVOKED) },
	{ "revoked key, expired certificate",
		"@revoked * $ed25519\n@cert-authority * $ca_ed25519\n", "host.example", 22,
		"expired", SMX_HOST_CERT_REVOKED_KEY, 1, SMX_KNOWN_REVOKED, REFUSE, WHY(REVOKED) },
	{ "unusable line", "@pinned * $ca_ed25519\n", "host.example", 22, "ed25519", UNKNOWN, 0,
		SMX_KNOWN_UNKNOWN, ASK, WHY(SKIPPED) },
};

static void check_case(const struct verdict_case *c)
{
	struct smx_known_hosts *kh = load(c->text);
	struct smx_cert *cert = cert_data_load(c->cert);
	struct smx_host_cert_verdict v;
	struct smx_hostkey_decision d;

	assert_int_equal(
		smx_known_hosts_check_cert(kh, c->host, (uint16_t)c->port, cert, NOW, &v), 0);
	d = smx_host_cert_decide(&v, SMX_HOSTKEY_CAN_ASK, 0);
	if (v.status != c->status || v.line != c->line || v.plain.status != c->plain ||
		d.action != c->action || d.reason != c->reason)
		fail_msg("%s: status %d line %u plain %d action %d reason %d", c->id, v.status,
			v.line, v.plain.status, d.action, d.reason);
	assert_int_equal(v.line != 0, v.source_view != NULL);
	if (v.source_view)
		assert_string_equal(v.source_view, "kh");
	/* K5: wherever an authority is named, accepting anything else is said to give it up. */
	assert_true(d.action != SMX_HOSTKEY_ASK || d.warn_ca == v.plain.has_ca);
	/* Nobody to ask: what would be asked is refused, and taken as new only if nothing is known.
	 */
	d = smx_host_cert_decide(&v, SMX_HOSTKEY_CANNOT_ASK, 1);
	assert_int_equal(d.action, c->action == ASK ? REFUSE : c->action);
	d = smx_host_cert_decide(&v, SMX_HOSTKEY_NO_CHANNEL, 1);
	if (c->action == ASK)
		assert_int_equal(d.action,
			c->reason == WHY(UNKNOWN) ? SMX_HOSTKEY_ACCEPT_NEW : SMX_HOSTKEY_REFUSE);
	else
		assert_int_equal(d.action, c->action);
	smx_cert_free(cert);
	smx_known_hosts_free(kh);
}

static void B9_K3_K5_verdict_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(verdicts); i++)
		check_case(&verdicts[i]);
}

/* --- false signatures: certificates made here ------------------------------------------- */

static void B9_false_signatures_are_final(void **state)
{
	struct smx_buf blob, text, ca_blob;
	struct smx_key *ca = NULL, *forger = NULL;
	struct smx_known_hosts *kh = NULL;
	struct smx_host_cert_verdict v;
	struct smx_hostkey_decision d;
	struct smx_cert *cert;

	(void)state;
	assert_int_equal(smx_key_generate_ed25519(&ca), 0);
	assert_int_equal(smx_key_generate_ed25519(&forger), 0);
	smx_buf_init(&blob, 65536);
	smx_buf_init(&text, 65536);
	smx_buf_init(&ca_blob, 65536);
	assert_int_equal(smx_key_to_blob(ca, &ca_blob), 0);
	expand("host.example $ed25519\n@cert-authority * ", &text);
	assert_int_equal(smx_pubkey_line_write(test_view(&ca_blob), &text), 0);
	assert_int_equal(smx_known_hosts_new(&kh), 0);
	assert_int_equal(smx_known_hosts_add_text(kh, "kh", test_view(&text), NULL), 0);
	for (int is_forged = 0; is_forged < 2; is_forged++) {
		smx_buf_reset(&blob);
		cert_build(&blob, &(struct cert_fields){ .ca_blob = test_view(&ca_blob) },
			is_forged ? forger : ca);
		cert = NULL;
		assert_int_equal(smx_cert_parse(&cert, test_view(&blob)), 0);
		assert_int_equal(
			smx_known_hosts_check_cert(kh, "host.example", 22, cert, NOW, &v), 0);
		assert_int_equal(v.status, is_forged ? SMX_HOST_CERT_SIGNATURE : OK);
		assert_int_equal(v.plain.status, SMX_KNOWN_MATCH);
		d = smx_host_cert_decide(&v, SMX_HOSTKEY_CAN_ASK, 0);
		assert_int_equal(d.action, is_forged ? REFUSE : ACCEPT);
		assert_int_equal(d.reason, is_forged ? WHY(CERT) : SMX_HOSTKEY_OK);
		assert_int_equal(v.line, is_forged ? 0 : 2);
		smx_cert_free(cert);
	}
	smx_known_hosts_free(kh);
	smx_key_free(ca);
	smx_key_free(forger);
	smx_buf_release(&blob);
	smx_buf_release(&text);
	smx_buf_release(&ca_blob);
}

/* --- other functions ------------------------------------------------------------------------ */

static void B9_wishes(void **state)
{
	static const struct {
		const char *text;
		uint16_t port;
		enum smx_cert_wish wish;
	} cases[] = {
		{ "", 22, SMX_CERT_WISH_NONE },
		{ "h $ed25519\n@pinned h $ed25519\n", 22, SMX_CERT_WISH_NONE },
		{ "@cert-authority x $ca_rsa\n@revoked x $ca_rsa\n", 22, SMX_CERT_WISH_NONE },
		{ "@cert-authority h $ca_rsa\n@revoked h $ca_rsa\n", 22, SMX_CERT_WISH_ALL },
		{ "@revoked h $ca_rsa\n@cert-authority h $ca_rsa\n", 22, SMX_CERT_WISH_ALL },
		{ "h $ed25519\n@revoked h $ca_rsa\n", 22, SMX_CERT_WISH_KNOWN },
		{ "@cert-authority h $ca_rsa\n", 2222, SMX_CERT_WISH_ALL },
		{ "@cert-authority [h]:2222 $ca_rsa\n", 2222, SMX_CERT_WISH_ALL },
		{ "@cert-authority [h]:2222 $ca_rsa\n", 22, SMX_CERT_WISH_NONE },
	};
	enum smx_cert_wish wish = SMX_CERT_WISH_ALL;
	struct smx_known_hosts *kh;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		kh = load(cases[i].text);
		assert_int_equal(smx_known_hosts_cert_wish(kh, "h", cases[i].port, &wish), 0);
		assert_int_equal(wish, cases[i].wish);
		assert_int_equal(smx_known_hosts_cert_wish(kh, "", 22, &wish), SMX_EINVAL);
		assert_int_equal(wish, cases[i].wish);
		smx_known_hosts_free(kh);
	}
}

static void B9_texts(void **state)
{
	(void)state;
	for (int i = SMX_HOST_CERT_OK; i <= SMX_HOST_CERT_REVOKED_CA; i++)
		for (int j = SMX_HOST_CERT_OK; j < i; j++)
			assert_string_not_equal(smx_host_cert_text((enum smx_host_cert_status)i),
				smx_host_cert_text((enum smx_host_cert_status)j));
}

static void B9_arguments(void **state)
{
	struct smx_known_hosts *kh = load("@cert-authority * $ca_ed25519\n");
	struct smx_cert *cert = cert_data_load("ed25519");
	struct smx_host_cert_verdict v = { .line = 77 };

	(void)state;
	assert_int_equal(smx_known_hosts_check_cert(kh, "", 22, cert, NOW, &v), SMX_EINVAL);
	assert_int_equal(smx_known_hosts_check_cert(kh, "h", 0, cert, NOW, &v), SMX_EINVAL);
	assert_int_equal(smx_known_hosts_check_cert(kh, "a b", 22, cert, NOW, &v), SMX_EINVAL);
	assert_int_equal(v.line, 77);
	smx_cert_free(cert);
	smx_known_hosts_free(kh);
}

static int use_everything(struct smx_view text, struct smx_view cert_blob)
{
	struct smx_host_cert_verdict v;
	struct smx_known_hosts *kh = NULL;
	struct smx_cert *cert = NULL;
	enum smx_cert_wish wish;
	int r;

	if ((r = smx_known_hosts_new(&kh)) == 0 &&
		(r = smx_known_hosts_add_text(kh, "kh", text, NULL)) == 0 &&
		(r = smx_cert_parse(&cert, cert_blob)) == 0 &&
		(r = smx_known_hosts_cert_wish(kh, "host.example", 22, &wish)) == 0 &&
		(r = smx_known_hosts_check_cert(kh, "host.example", 22, cert, NOW, &v)) == 0)
		assert_int_equal(v.status, OK);
	smx_cert_free(cert);
	smx_known_hosts_free(kh);
	return r;
}

static void B9_no_memory(void **state)
{
	struct smx_buf text, blob;
	long before, n = 0;
	int r;

	(void)state;
	smx_buf_init(&text, 65536);
	smx_buf_init(&blob, 65536);
	expand("@revoked * $user.cert\nhost.example $ecdsa_256\n@cert-authority * $ca_ecdsa\n",
		&text);
	cert_data_blob("certs/ecdsa_384.cert", &blob);
	before = smx_mem_alive();
	do {
		smx_mem_fail_after(n++);
		r = use_everything(test_view(&text), test_view(&blob));
		smx_mem_fail_after(-1);
		assert_true(r == 0 || r == SMX_ENOMEM);
		assert_int_equal(smx_mem_alive(), before);
	} while (r != 0);
	assert_true(n > 15);
	smx_buf_release(&text);
	smx_buf_release(&blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B9_what_a_certificate_says_of_itself),
		cmocka_unit_test(B9_K3_K5_verdict_table),
		cmocka_unit_test(B9_false_signatures_are_final),
		cmocka_unit_test(B9_wishes),
		cmocka_unit_test(B9_texts),
		cmocka_unit_test(B9_arguments),
		cmocka_unit_test(B9_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
