/* SPDX-License-Identifier: MIT */
#include "trust/host_cert.h"

#include <string.h>

#include "base/err.h"
#include "trust/pattern.h"

const char *smx_host_cert_text(enum smx_host_cert_status status)
{
	switch (status) {
	case SMX_HOST_CERT_OK:
		return "the host certificate is valid";
	case SMX_HOST_CERT_UNKNOWN_CA:
		return "the host certificate is not from a known authority";
	case SMX_HOST_CERT_NOT_HOST:
		return "the host certificate is a user's";
	case SMX_HOST_CERT_NOT_YET:
		return "the host certificate is not valid yet";
	case SMX_HOST_CERT_EXPIRED:
		return "the host certificate has expired";
	case SMX_HOST_CERT_NO_PRINCIPALS:
		return "the host certificate names no host";
	case SMX_HOST_CERT_OTHER_HOST:
		return "the host certificate is for other hosts";
	case SMX_HOST_CERT_CRITICAL:
		return "the host certificate has a critical option, and none is known for hosts";
	case SMX_HOST_CERT_UNSUPPORTED:
		return "the host certificate is signed with an algorithm that is not accepted";
	case SMX_HOST_CERT_SIGNATURE:
		return "the signature of the host certificate is wrong";
	case SMX_HOST_CERT_REVOKED_KEY:
		return "the host key is revoked";
	case SMX_HOST_CERT_REVOKED_CA:
		return "the authority of the host certificate is revoked";
	}
	return "the host certificate is not valid";
}

static int names_host(const struct smx_cert *cert, const char *host)
{
	struct smx_view list = cert->principals, principal, text;
	char lower[SMX_KNOWN_NAME_MAX];

	/* The plain name of known_hosts: in lower case, and nothing a pattern could trip over. */
	if (smx_known_hosts_name(host, 22, lower, sizeof(lower)) != 0)
		return 0;
	text = smx_view_of(lower, strlen(lower));
	while (smx_cert_principal(&list, &principal))
		if (smx_pattern_match(text, principal, 0))
			return 1;
	return 0;
}

enum smx_host_cert_status smx_cert_check_host(
	const struct smx_cert *cert, const char *host, uint64_t now_s)
{
	if (cert->kind != SMX_CERT_HOST)
		return SMX_HOST_CERT_NOT_HOST;
	if (now_s < cert->valid_after_s)
		return SMX_HOST_CERT_NOT_YET;
	if (now_s >= cert->valid_before_s)
		return SMX_HOST_CERT_EXPIRED;
	if (cert->n_principals == 0)
		return SMX_HOST_CERT_NO_PRINCIPALS;
	if (!names_host(cert, host))
		return SMX_HOST_CERT_OTHER_HOST;
	if (cert->critical.len != 0)
		return SMX_HOST_CERT_CRITICAL;
	return SMX_HOST_CERT_OK;
}

/* The first line about a certificate's authority, of each kind. */
struct lines {
	struct smx_known_entry ca, revoked;
	int has_ca, has_revoked;
};

static int find_lines(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	struct smx_view ca_blob, struct lines *ret)
{
	struct smx_known_entry e;
	size_t cursor = 0;
	int r;

	while ((r = smx_known_hosts_next(kh, host, port, &cursor, &e)) == 1) {
		if (!smx_view_eq_view(e.blob_view, ca_blob))
			continue;
		if (e.marker == SMX_KNOWN_CA && !ret->has_ca) {
			ret->ca = e;
			ret->has_ca = 1;
		} else if (e.marker == SMX_KNOWN_REVOKED_KEY && !ret->has_revoked) {
			ret->revoked = e;
			ret->has_revoked = 1;
		}
	}
	return r;
}

int smx_known_hosts_check_cert(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	const struct smx_cert *cert, uint64_t now_s, struct smx_host_cert_verdict *ret)
{
	struct smx_host_cert_verdict v = { .status = SMX_HOST_CERT_UNKNOWN_CA };
	struct lines lines = { .has_ca = 0 };
	int signature, r;

	if ((r = smx_known_hosts_check(kh, host, port, cert->plain_blob, &v.plain)) != 0 ||
		(r = find_lines(kh, host, port, cert->ca_blob, &lines)) != 0)
		return r;
	signature = smx_cert_verify_signature(cert);
	if (signature == SMX_ENOMEM || signature == SMX_ECRYPTO)
		return signature;
	if (v.plain.status == SMX_KNOWN_REVOKED) {
		v.status = SMX_HOST_CERT_REVOKED_KEY;
		v.source_view = v.plain.source_view;
		v.line = v.plain.line;
	} else if (lines.has_revoked) {
		v.status = SMX_HOST_CERT_REVOKED_CA;
		v.source_view = lines.revoked.source_view;
		v.line = lines.revoked.line;
	} else if (signature != 0 && signature != SMX_EUNSUPPORTED) {
		v.status = SMX_HOST_CERT_SIGNATURE;
	} else if (lines.has_ca) {
		v.status = signature ? SMX_HOST_CERT_UNSUPPORTED
				     : smx_cert_check_host(cert, host, now_s);
		v.source_view = lines.ca.source_view;
		v.line = lines.ca.line;
	}
	*ret = v;
	return 0;
}

int smx_known_hosts_cert_wish(
	const struct smx_known_hosts *kh, const char *host, uint16_t port, enum smx_cert_wish *ret)
{
	enum smx_cert_wish wish = SMX_CERT_WISH_NONE;
	struct smx_known_entry e;
	size_t cursor = 0;
	int r;

	while ((r = smx_known_hosts_next(kh, host, port, &cursor, &e)) == 1) {
		if (e.marker == SMX_KNOWN_CA)
			wish = SMX_CERT_WISH_ALL;
		else if (e.marker == SMX_KNOWN_REVOKED_KEY && wish == SMX_CERT_WISH_NONE)
			wish = SMX_CERT_WISH_KNOWN;
	}
	if (r == 0)
		*ret = wish;
	return r;
}

struct smx_hostkey_decision smx_host_cert_decide(const struct smx_host_cert_verdict *verdict,
	enum smx_hostkey_asking asking, int behind_jump)
{
	struct smx_hostkey_decision d = { .action = SMX_HOSTKEY_REFUSE };

	switch (verdict->status) {
	case SMX_HOST_CERT_OK:
		d.action = SMX_HOSTKEY_ACCEPT;
		d.reason = SMX_HOSTKEY_OK;
		return d;
	case SMX_HOST_CERT_SIGNATURE:
		d.reason = SMX_HOSTKEY_WHY_CERT;
		return d;
	case SMX_HOST_CERT_REVOKED_KEY:
	case SMX_HOST_CERT_REVOKED_CA:
		d.reason = SMX_HOSTKEY_WHY_REVOKED;
		return d;
	case SMX_HOST_CERT_UNKNOWN_CA:
		return smx_hostkey_decide(&verdict->plain, asking, behind_jump);
	case SMX_HOST_CERT_NOT_HOST:
	case SMX_HOST_CERT_NOT_YET:
	case SMX_HOST_CERT_EXPIRED:
	case SMX_HOST_CERT_NO_PRINCIPALS:
	case SMX_HOST_CERT_OTHER_HOST:
	case SMX_HOST_CERT_CRITICAL:
	case SMX_HOST_CERT_UNSUPPORTED:
		break;
	}
	/* An authority of the host's has signed it, so the host has one: never accepted as new. */
	d = smx_hostkey_decide(&verdict->plain, asking, behind_jump);
	if (d.reason != SMX_HOSTKEY_OK && d.reason != SMX_HOSTKEY_WHY_CHANGED)
		d.reason = SMX_HOSTKEY_WHY_CERT;
	return d;
}
