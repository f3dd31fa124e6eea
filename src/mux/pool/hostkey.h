/* SPDX-License-Identifier: MIT */
/* The verdict on a remote's host key, and what a person is told of it (K2, K3, K5). */
#ifndef SMX_MUX_POOL_HOSTKEY_H
#define SMX_MUX_POOL_HOSTKEY_H

#include "mux/pool/prepare.h"

/* Host-key algorithms for the KEXINIT: those of keys known for the host first. Appends. */
int hostkey_algs(const struct prepared *p, const struct smx_hop *hop, struct smx_buf *ret);
/* Whether alg may come before all of those: none of them is known better. */
int hostkey_may_be_first(const struct prepared *p, const struct smx_hop *hop, const char *alg);
/* What a person is to be asked about a key. */
struct hostkey_question {
	uint64_t conn; /* for the log; to be set before the check */
	const char *host; /* its name in known_hosts; lives as long as the hop */
	uint16_t port;
	struct smx_buf plain; /* the key to be trusted: its blob; release it */
	char fingerprint[SMX_FINGERPRINT_SIZE];
	char text[2048]; /* the question, fit for a terminal */
	char plain_text[2048]; /* the same in OpenSSH's words (A14) */
	int is_new_accepted; /* nobody is asked: accept-new */
};

/*
 * asking: whether there is somebody to ask. 0: trusted. SMX_EAGAIN: *ret_q is to be asked or, if
 * is_new_accepted, just to be pinned. SMX_EHOSTKEY: refused, and in why one line with the remedy;
 * SMX_ENOMEM: not judged, and why says that.
 */
int hostkey_check(const struct prepared *p, const struct smx_hop *hop, int behind_jump,
	enum smx_hostkey_asking asking, struct smx_view blob, struct hostkey_question *ret_q,
	char *why, size_t why_size);

#endif
