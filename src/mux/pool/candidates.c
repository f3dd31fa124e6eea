/* SPDX-License-Identifier: MIT */
#include "mux/pool/candidates.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cert.h"
#include "ssh/agent.h"

#define CANDIDATES_MAX (SMX_AGENT_KEYS_MAX + SMX_IDENTITIES_MAX + PREPARED_CERTS_MAX)

enum rank { RANK_CERT, RANK_NAMED, RANK_FILE, RANK_AGENT, RANK_LOCKED };

struct smx_view candidate_blob(const struct candidate *c)
{
	return smx_buf_as_view(&c->blob);
}

struct smx_view candidate_signer(const struct candidate *c)
{
	return smx_buf_as_view(smx_buf_len(&c->signer) ? &c->signer : &c->blob);
}

int candidates_init(
	struct candidates *cs, const struct prepared *prepared, const struct smx_hop *hop)
{
	*cs = (struct candidates){ .prepared = prepared, .only_named = hop->identities_only };
	cs->all = smx_calloc(CANDIDATES_MAX, sizeof(*cs->all));
	return cs->all ? 0 : SMX_ENOMEM;
}

static void release(struct candidate *c)
{
	smx_buf_release(&c->blob);
	smx_buf_release(&c->signer);
}

void candidates_release(struct candidates *cs)
{
	for (size_t i = 0; i < cs->n; i++)
		release(&cs->all[i]);
	smx_free(cs->all);
	*cs = (struct candidates){ NULL, 0, NULL, 0 };
}

static const struct candidate *find(const struct candidates *cs, struct smx_view blob)
{
	for (size_t i = 0; i < cs->n; i++) {
		if (smx_view_eq_view(blob, candidate_blob(&cs->all[i])))
			return &cs->all[i];
	}
	return NULL;
}

/* Keeps the list in order of rank, and within a rank in the order of adding. */
static int add(struct candidates *cs, struct smx_view blob, struct smx_view signer,
	const struct prepared_key *file, enum rank rank)
{
	struct candidate c = { .rank = rank };
	struct smx_view type;
	size_t at;
	int r;

	if (cs->n == CANDIDATES_MAX || smx_blob_type(blob, &type) != 0 || find(cs, blob))
		return 0;
	if (file) {
		c.key = file->key;
		c.locked = file->key ? NULL : file;
	}
	smx_buf_init(&c.blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&c.signer, SMX_KEY_BLOB_MAX);
	if ((r = smx_buf_put(&c.blob, blob.p, blob.len)) != 0 ||
		(r = smx_buf_put(&c.signer, signer.p, signer.len)) != 0) {
		release(&c);
		return r == SMX_ELIMIT ? 0 : r;
	}
	for (at = cs->n; at > 0 && cs->all[at - 1].rank > (int)rank; at--)
		cs->all[at] = cs->all[at - 1];
	cs->all[at] = c;
	cs->n++;
	return 0;
}

/* The certificates of files for a key, then the key. */
static int add_key(struct candidates *cs, struct smx_view blob, const struct prepared_key *file,
	enum rank rank)
{
	const struct prepared *p = cs->prepared;
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_certs; i++) {
		if (smx_view_eq_view(smx_buf_as_view(&p->certs[i].plain), blob))
			r = add(cs, smx_buf_as_view(&p->certs[i].blob), blob, file, rank);
	}
	return r == 0 ? add(cs, blob, (struct smx_view){ NULL, 0 }, file, rank) : r;
}

/* --- of an agent --- */

/* A key of a file, or one that a named certificate is for. */
static int is_named_key(const struct prepared *p, struct smx_view blob)
{
	for (size_t i = 0; i < p->n_keys; i++) {
		if (smx_view_eq_view(blob, smx_buf_as_view(&p->keys[i].blob)))
			return 1;
	}
	for (size_t i = 0; i < p->n_certs; i++) {
		if (p->certs[i].is_named &&
			smx_view_eq_view(blob, smx_buf_as_view(&p->certs[i].plain)))
			return 1;
	}
	return 0;
}

static enum rank rank_of_agents(const struct prepared *p, struct smx_view blob)
{
	enum rank rank = is_named_key(p, blob) ? RANK_NAMED : RANK_AGENT;
	struct smx_cert *cert;

	/* A9: a certificate is for a key, and named as that is. */
	if (rank == RANK_AGENT && smx_cert_parse(&cert, blob) == 0) {
		rank = is_named_key(p, cert->plain_blob) ? RANK_CERT : RANK_AGENT;
		smx_cert_free(cert);
	}
	return rank;
}

int candidates_add_agent(struct candidates *cs, struct smx_view blob)
{
	enum rank rank = rank_of_agents(cs->prepared, blob);

	if (rank == RANK_AGENT && cs->only_named)
		return 0;
	return add_key(cs, blob, NULL, rank);
}

static int is_of_agent(const struct candidate *c)
{
	return !c->key && !c->locked;
}

int candidates_has_agent(const struct candidates *cs, size_t from)
{
	for (size_t i = from; i < cs->n; i++) {
		if (is_of_agent(&cs->all[i]))
			return 1;
	}
	return 0;
}

static int mark_listed(void *arg, struct smx_view blob, struct smx_view comment)
{
	struct candidates *cs = arg;

	(void)comment;
	for (size_t i = 0; i < cs->n; i++)
		cs->all[i].is_listed |= smx_view_eq_view(blob, candidate_signer(&cs->all[i]));
	return 0;
}

int candidates_keep_agent(
	struct candidates *cs, size_t from, struct smx_view message, size_t *ret_dropped)
{
	size_t kept = from;
	int r;

	for (size_t i = 0; i < cs->n; i++)
		cs->all[i].is_listed = 0;
	if ((r = smx_agent_parse_list(message, mark_listed, cs)) != 0)
		return r;
	for (size_t i = from; i < cs->n; i++) {
		if (is_of_agent(&cs->all[i]) && !cs->all[i].is_listed)
			release(&cs->all[i]);
		else
			cs->all[kept++] = cs->all[i];
	}
	*ret_dropped = cs->n - kept;
	cs->n = kept;
	return 0;
}

/* --- of files --- */

int candidates_add_files(struct candidates *cs)
{
	const struct prepared *p = cs->prepared;
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_keys; i++) {
		const struct prepared_key *k = &p->keys[i];

		/* Encrypted ones last: nobody is asked for what another key opens. */
		if (k->key || k->is_locked)
			r = add_key(
				cs, smx_buf_as_view(&k->blob), k, k->key ? RANK_FILE : RANK_LOCKED);
	}
	return r;
}

const char *candidates_absent(const struct candidates *cs)
{
	const struct prepared *p = cs->prepared;

	for (size_t i = 0; i < p->n_keys; i++) {
		if (p->keys[i].is_public && !find(cs, smx_buf_as_view(&p->keys[i].blob)))
			return p->keys[i].path;
	}
	return NULL;
}
