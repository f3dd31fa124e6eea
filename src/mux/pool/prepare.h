/* SPDX-License-Identifier: MIT */
/*
 * What a login needs from the disk, read on a worker thread: known_hosts and the key files
 * of the hop. known_hosts is read anew for each login, so an edit counts at once.
 */
#ifndef SMX_MUX_POOL_PREPARE_H
#define SMX_MUX_POOL_PREPARE_H

#include "config/routes.h"
#include "crypto/key.h"
#include "mux/core/mux.h"
#include "trust/known_hosts.h"

#define PREPARED_NOTES_MAX 4096
/* One beside each key file, and those that the route names. */
#define PREPARED_CERTS_MAX (2 * SMX_IDENTITIES_MAX)

struct prepared_key {
	char *path;
	struct smx_key *key; /* NULL: encrypted, or only the public part is there */
	struct smx_buf blob; /* public; empty if it is not known */
	int is_locked; /* encrypted, of a type we can use, and its public part is known */
	int is_public; /* A8: there is no private key, an agent should have it */
};

/* A9: a certificate of a file. */
struct prepared_cert {
	struct smx_buf blob, plain; /* and the key that it is for */
	int is_named; /* by the route, not only beside a key */
};

struct prepared {
	struct smx_known_hosts *known_hosts; /* what names the hop, and nothing else (K7) */
	char *known_hosts_path;
	struct prepared_key keys[SMX_IDENTITIES_MAX];
	size_t n_keys;
	struct prepared_cert certs[PREPARED_CERTS_MAX];
	size_t n_certs;
	struct smx_buf
		notes; /* why a key file could not be used; for the error of a failed login */
	int r; /* what makes a login impossible; text in notes */
	uint64_t inputs; /* stamp of the files (their names, times and sizes) before they were read
			  */
};

struct prepare;
/* Called once, from the loop, unless cancelled. The result is the callee's. */
typedef void prepare_cb(void *arg, struct prepared *result);

/* hop and ssh_dir are only read now. NULL: no memory. */
struct prepare *prepare_start(struct mux *m, const struct smx_hop *hop, prepare_cb *cb, void *arg);
/* As that, but looks only whether the files are still the same: of the result only `inputs` counts.
 */
struct prepare *prepare_look(struct mux *m, const struct smx_hop *hop, prepare_cb *cb, void *arg);
void prepare_cancel(struct prepare *p); /* NULL works */
void prepared_free(struct prepared *p); /* NULL works */
/* Of one that was not allocated: what it holds. */
void prepared_clear(struct prepared *p);

/*
 * Puts the home in the place of "~/" in the identities and agents of a table that nobody else has
 * yet, so that two spellings of one file are one login (P1). Without a home they stay as they are,
 * and the login says so. SMX_ENOMEM.
 */
int prepare_expand_routes(struct smx_routes *routes);

/* "~/x" to a path below the home; else a copy. NULL: no memory or no home. */
char *prepare_expand(const char *path);

#endif
