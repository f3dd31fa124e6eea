/* SPDX-License-Identifier: MIT */
/*
 * The keys that a login may offer, in the order in which they spare the server's MaxAuthTries and
 * the person: what the route names and an agent holds, key files, the rest of the agent, and last
 * the files for which somebody would have to be asked. A key for which there is a certificate is
 * offered with it first (A9).
 */
#ifndef SMX_MUX_POOL_CANDIDATES_H
#define SMX_MUX_POOL_CANDIDATES_H

#include "config/routes.h"
#include "mux/pool/prepare.h"

struct candidate {
	struct smx_buf blob; /* what is offered: a public key or a certificate */
	struct smx_buf signer; /* the key an agent signs with, if that is not what is offered */
	const struct smx_key *key; /* of a key file; NULL: the agent signs, or it is `locked` */
	const struct prepared_key *locked; /* an encrypted key file */
	int rank, is_listed;
};

struct candidates {
	const struct prepared *prepared; /* outlives them */
	int only_named; /* of the agent's, only what the route names (identities_only) */
	struct candidate *all;
	size_t n;
};

/* 0 or SMX_ENOMEM. */
int candidates_init(
	struct candidates *cs, const struct prepared *prepared, const struct smx_hop *hop);
void candidates_release(struct candidates *cs);

/* One key or certificate of an agent's. 0, also where it is not wanted, or SMX_ENOMEM. */
int candidates_add_agent(struct candidates *cs, struct smx_view blob);
/*
 * The agent has told once more which keys it has, now that it knows for which server (A11): those
 * from place `from` on that it does not list any more, because it would not sign with them there,
 * are dropped. Errors of smx_agent_parse_list, and nothing was dropped. *ret_dropped: how many.
 */
int candidates_keep_agent(
	struct candidates *cs, size_t from, struct smx_view message, size_t *ret_dropped);
/* Whether one from place `from` on is for the agent to sign. */
int candidates_has_agent(const struct candidates *cs, size_t from);
/* The key files, after the agent. */
int candidates_add_files(struct candidates *cs);
/* A8: a key of which the route names the public part and that nobody has, or NULL. */
const char *candidates_absent(const struct candidates *cs);

struct smx_view candidate_blob(const struct candidate *c);
struct smx_view candidate_signer(const struct candidate *c);

#endif
