/* SPDX-License-Identifier: MIT */
/*
 * What a host's certificate is worth (B9, K3, K5): known_hosts names the authorities
 * (@cert-authority) and what is revoked, the certificate the hosts and times it is good for.
 *
 * A certificate that is good for nothing here is judged by the plain key in it, as OpenSSH does:
 * somebody who put that key into known_hosts trusts it without any authority. That does not hold
 * where something is false about the certificate (its signature) or revoked (its key or its
 * authority): those are refused whatever else is known.
 */
#ifndef SMX_TRUST_HOST_CERT_H
#define SMX_TRUST_HOST_CERT_H

#include "crypto/cert.h"
#include "trust/known_hosts.h"

enum smx_host_cert_status {
	SMX_HOST_CERT_OK,
	SMX_HOST_CERT_UNKNOWN_CA, /* no authority of this host has signed it */
	SMX_HOST_CERT_NOT_HOST, /* it is a user's */
	SMX_HOST_CERT_NOT_YET,
	SMX_HOST_CERT_EXPIRED,
	SMX_HOST_CERT_NO_PRINCIPALS, /* it names no host */
	SMX_HOST_CERT_OTHER_HOST, /* it names others only */
	SMX_HOST_CERT_CRITICAL, /* a critical option; none is defined for hosts */
	SMX_HOST_CERT_UNSUPPORTED, /* signed with SHA-1, or by a key of a type we don't have */
	SMX_HOST_CERT_SIGNATURE, /* not signed by the authority it names */
	SMX_HOST_CERT_REVOKED_KEY,
	SMX_HOST_CERT_REVOKED_CA,
};

/* Static text, no capital, no full stop: "the host certificate has expired". */
const char *smx_host_cert_text(enum smx_host_cert_status status);

/*
 * Whether what the certificate says of itself makes it good for host at now_s (seconds since
 * 1970): OK, or one of NOT_HOST to CRITICAL. Who has signed it is not looked at.
 *
 * host: the name known_hosts is asked for (an alias of it included), without a port, in any case.
 * Principals are compared with it in lower case, `*` and `?` in them being wildcards; a
 * certificate without principals is good for no host. That is OpenSSH's reading since 10.3; older
 * ones took such a certificate for any host, and knew no wildcards.
 */
enum smx_host_cert_status smx_cert_check_host(
	const struct smx_cert *cert, const char *host, uint64_t now_s);

struct smx_host_cert_verdict {
	enum smx_host_cert_status status;
	/*
	 * The @cert-authority line of its authority, or the @revoked one; NULL and 0 for UNKNOWN_CA
	 * and SIGNATURE. Lives as long as the known_hosts.
	 */
	const char *source_view;
	unsigned line;
	struct smx_known_verdict plain; /* what is known about the key in it */
};

/*
 * The verdict on cert as the host key of host[:port]. Authorities and revocations count under
 * "[host]:port" and under the plain name. Costs a signature's verification.
 * 0, or an error of smx_known_hosts_check, or SMX_ENOMEM, SMX_ECRYPTO.
 */
int smx_known_hosts_check_cert(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	const struct smx_cert *cert, uint64_t now_s, struct smx_host_cert_verdict *ret);

/* Which certificates should be asked for before plain keys, as host key algorithms of a KEXINIT. */
enum smx_cert_wish {
	SMX_CERT_WISH_NONE, /* none: ask for them last, for hosts that have nothing else */
	SMX_CERT_WISH_KNOWN, /* a key is revoked, maybe an authority's: those of known key types */
	SMX_CERT_WISH_ALL, /* the host has an authority */
};
/* 0, or an error of smx_known_hosts_next. */
int smx_known_hosts_cert_wish(
	const struct smx_known_hosts *kh, const char *host, uint16_t port, enum smx_cert_wish *ret);

/*
 * What follows, as smx_hostkey_decide. A certificate that is not good is no reason to refuse what
 * would be asked about without it: the other side could as well have kept it back. Never
 * ACCEPT_NEW where the host has an authority.
 */
struct smx_hostkey_decision smx_host_cert_decide(const struct smx_host_cert_verdict *verdict,
	enum smx_hostkey_asking asking, int behind_jump);

#endif
