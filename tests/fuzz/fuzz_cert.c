/* SPDX-License-Identifier: MIT */
// fuzzes: src/crypto/cert.c src/trust/host_cert.c
// dictionary: key_blob
/*
 * Certificates from hosts (B9, L5). Input: string certificate, string signature of a key exchange,
 * then the data that it signs. No authority of anybody's, no trust; nor from a revoked one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "trust/host_cert.h"

#define NOW 1800000000u

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static int is_inside(struct smx_view part, struct smx_view whole)
{
	return part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len);
}

static void check_fields(const struct smx_cert *c)
{
	struct smx_view list = c->principals, name;
	struct smx_buf again;
	size_t n = 0;

	CHECK(is_inside(c->key_id, c->blob) && is_inside(c->principals, c->blob) &&
		is_inside(c->critical, c->blob) && is_inside(c->extensions, c->blob) &&
		is_inside(c->ca_blob, c->blob) && is_inside(c->signature, c->blob));
	CHECK(c->signed_part.p == c->blob.p &&
		c->signed_part.len + 4 + c->signature.len == c->blob.len);
	CHECK(c->kind == SMX_CERT_USER || c->kind == SMX_CERT_HOST);
	while (smx_cert_principal(&list, &name)) {
		CHECK(is_inside(name, c->principals));
		n++;
	}
	CHECK(list.len == 0 && n == c->n_principals && n <= SMX_CERT_PRINCIPALS_MAX);
	/* One key, one blob: else a revoked key could come under another face. */
	smx_buf_init(&again, SMX_KEY_BLOB_MAX);
	CHECK(smx_key_to_blob(c->key, &again) == 0);
	CHECK(smx_view_eq_view(smx_buf_as_view(&again), c->plain_blob));
	smx_buf_release(&again);
}

/* The verdict under a known_hosts of one line with this marker and key. */
static struct smx_host_cert_verdict verdict_for(
	const char *host, const struct smx_cert *c, const char *marker, struct smx_view blob)
{
	struct smx_host_cert_verdict v;
	enum smx_cert_wish wish;
	struct smx_known_hosts *kh;
	struct smx_buf line;

	smx_buf_init(&line, 65536);
	CHECK(smx_known_hosts_new(&kh) == 0 && smx_buf_put_str(&line, marker) == 0);
	if (blob.len && smx_pubkey_line_write(blob, &line) == 0)
		CHECK(smx_known_hosts_add_text(kh, "fuzz", smx_buf_as_view(&line), NULL) == 0);
	CHECK(smx_known_hosts_check_cert(kh, host, 22, c, NOW, &v) == 0);
	CHECK(*smx_host_cert_text(v.status) != '\0');
	CHECK(smx_known_hosts_cert_wish(kh, host, 22, &wish) == 0);
	CHECK(wish == SMX_CERT_WISH_NONE || *marker == '@');
	v.source_view = NULL; /* gone with known_hosts */
	smx_known_hosts_free(kh);
	smx_buf_release(&line);
	return v;
}

static struct smx_host_cert_verdict verdict_with(
	const struct smx_cert *c, const char *marker, struct smx_view blob)
{
	return verdict_for("host.example", c, marker, blob);
}

/* The same authority, for a host whose name no certificate has. */
static void check_other_host(const struct smx_cert *c)
{
	char long_name[400];
	struct smx_host_cert_verdict v =
		verdict_for("no-host.invalid", c, "@cert-authority * ", c->ca_blob);

	CHECK(v.status != SMX_HOST_CERT_OK || c->n_principals > 0);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	CHECK(smx_cert_check_host(c, long_name, NOW) != SMX_HOST_CERT_OK);
}

static void check_trust(const struct smx_cert *c)
{
	int signature = smx_cert_verify_signature(c);
	struct smx_host_cert_verdict v;
	struct smx_hostkey_decision d;

	CHECK(signature == 0 || signature == SMX_EUNSUPPORTED ||
		smx_errclass(signature) == SMX_CLASS_PEER);
	v = verdict_with(c, "", (struct smx_view){ NULL, 0 });
	d = smx_host_cert_decide(&v, SMX_HOSTKEY_NO_CHANNEL, 0);
	CHECK(v.status == SMX_HOST_CERT_UNKNOWN_CA || v.status == SMX_HOST_CERT_SIGNATURE);
	CHECK(d.action == SMX_HOSTKEY_REFUSE);

	v = verdict_with(c, "@cert-authority * ", c->ca_blob);
	d = smx_host_cert_decide(&v, SMX_HOSTKEY_NO_CHANNEL, 1);
	if (v.status == SMX_HOST_CERT_OK)
		CHECK(signature == 0 && c->kind == SMX_CERT_HOST && c->n_principals > 0 &&
			c->critical.len == 0 && c->valid_after_s <= NOW && NOW < c->valid_before_s);
	CHECK((d.action == SMX_HOSTKEY_ACCEPT) == (v.status == SMX_HOST_CERT_OK));

	check_other_host(c);
	v = verdict_with(c, "@revoked * ", c->ca_blob);
	d = smx_host_cert_decide(&v, SMX_HOSTKEY_NO_CHANNEL, 1);
	/* An authority whose type could not stand in a line is not there, and unknown then. */
	CHECK(v.status != SMX_HOST_CERT_OK);
	CHECK(d.action == SMX_HOSTKEY_REFUSE || v.status == SMX_HOST_CERT_UNKNOWN_CA);
	v = verdict_with(c, "@revoked * ", c->plain_blob);
	d = smx_host_cert_decide(&v, SMX_HOSTKEY_NO_CHANNEL, 1);
	CHECK(v.status == SMX_HOST_CERT_REVOKED_KEY && d.action == SMX_HOSTKEY_REFUSE);
	v = verdict_with(c, "host.example ", c->plain_blob);
	d = smx_host_cert_decide(&v, SMX_HOSTKEY_CANNOT_ASK, 0);
	CHECK((d.action == SMX_HOSTKEY_ACCEPT) == (v.status == SMX_HOST_CERT_UNKNOWN_CA));
}

static void check_proof(
	struct smx_view blob, struct smx_view sig, struct smx_view data, int is_cert)
{
	const char *lists[] = { smx_sigalg_names(1), smx_cert_sigalg_names() };
	struct smx_view names, alg;

	for (int i = 0; i < 2; i++) {
		names = smx_view_of(lists[i], strlen(lists[i]));
		while (smx_namelist_next(&names, &alg)) {
			int r = smx_host_key_verify(blob, alg, sig, data);

			CHECK(r == 0 || r == SMX_EUNSUPPORTED || smx_errclass(r) == SMX_CLASS_PEER);
			/* A certificate for a certificate's algorithm, and for no other. */
			CHECK(r != 0 || is_cert == i);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_cert *c = NULL;
	struct smx_view blob, sig;
	long before = smx_mem_alive();
	int r;

	if (smx_rd_string(&rd, &blob) != 0 || smx_rd_string(&rd, &sig) != 0)
		return 0;
	r = smx_cert_parse(&c, blob);
	CHECK((r == 0) == (c != NULL));
	CHECK(r == 0 || r == SMX_EUNSUPPORTED || r == SMX_ECRYPTO ||
		smx_errclass(r) == SMX_CLASS_PEER);
	if (r == 0) {
		CHECK(smx_view_eq_view(blob, c->blob));
		check_fields(c);
		check_trust(c);
	}
	if (r != SMX_ECRYPTO)
		check_proof(blob, sig, (struct smx_view){ rd.p, rd.left }, r == 0);
	smx_cert_free(c);
	CHECK(smx_mem_alive() == before);
	return 0;
}
