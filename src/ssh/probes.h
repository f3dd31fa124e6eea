/* SPDX-License-Identifier: MIT */
/*
 * What we asked a peer to see whether it lives (ping@openssh.com, keepalive@openssh.com), and under
 * which sequence numbers. A peer that does not know such a message answers UNIMPLEMENTED with the
 * number (RFC 4253 section 11.4), which is a sign of life like any other answer (U4): here it
 * finds its question, so that the answers still due are counted right.
 *
 * Questions without an answer may go on for as long as the connection lives; the numbers of the
 * last SMX_PROBES_KEPT are known.
 */
#ifndef SMX_SSH_PROBES_H
#define SMX_SSH_PROBES_H

#include <stdint.h>

#define SMX_PROBES_KEPT 64 /* more than are under way at once on a path that answers */

struct smx_probes {
	struct {
		uint32_t seq;
		uint8_t type; /* message number of the question */
	} kept[SMX_PROBES_KEPT]; /* oldest first */
	unsigned n;
};

/* A question of this type went out as packet seq. */
void smx_probes_sent(struct smx_probes *p, uint8_t type, uint32_t seq);
/* The oldest question of this type was answered in its own way. */
void smx_probes_answered(struct smx_probes *p, uint8_t type);
/*
 * The peer does not implement packet seq. Returns the type of the question, which is forgotten; 0:
 * it was none of ours. Numbers begin anew with each key exchange (strict kex): of two that are
 * equal the older one is meant.
 */
uint8_t smx_probes_unimplemented(struct smx_probes *p, uint32_t seq);

#endif
