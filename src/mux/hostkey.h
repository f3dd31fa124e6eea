/* SPDX-License-Identifier: MIT */
/* The verdict on a remote's host key, and what a person is told of it (K2, K3, K5). */
#ifndef SMX_MUX_HOSTKEY_H
#define SMX_MUX_HOSTKEY_H

#include "mux/prepare.h"

/* Host-key algorithms for the KEXINIT: those of keys known for the host first. Appends. */
int hostkey_algs(const struct prepared *p, const struct smx_hop *hop, struct smx_buf *ret);
/* 0: trusted. Else SMX_EHOSTKEY, and in why one line with the remedy. */
int hostkey_check(const struct prepared *p, const struct smx_hop *hop, int behind_jump,
	struct smx_view blob, char *why, size_t why_size);

#endif
