/* SPDX-License-Identifier: MIT */
/*
 * Which known_hosts files decide about a host (K7), as in ssh_config(5): those that the route names
 * (`known_hosts`), else known_hosts and known_hosts2 of the SSH directory; then, in any case, those
 * of the system, ssh_known_hosts and ssh_known_hosts2.
 */
#ifndef SMX_MUX_POOL_KNOWN_FILES_H
#define SMX_MUX_POOL_KNOWN_FILES_H

#include <stddef.h>

#include "config/routes.h"
#include "trust/known_hosts.h"

#define KNOWN_FILES_SYSTEM 2
#define KNOWN_FILES_MAX    (SMX_IDENTITIES_MAX + KNOWN_FILES_SYSTEM)

struct known_files {
	char *paths[KNOWN_FILES_MAX];
	size_t n;
	/* The first so many are the user's: one that is there and can't be read lets no login
	 * happen, since it might revoke a key. The first of all gets the keys that are accepted. */
	size_t n_own;
};

/* hop: NULL for what routes without `known_hosts` have. SMX_ENOMEM, or no home for a "~/". */
int known_files_find(const char *ssh_dir, const struct smx_hop *hop, struct known_files *ret);
/*
 * Reads them into kh, in their order; what is missing is left out. Blocks. What is wrong with one
 * is added to notes, and is the error if it is one of the user's own, or if it was only now that it
 * could not be read.
 */
int known_files_read(
	const struct known_files *f, struct smx_known_hosts *kh, struct smx_buf *notes);
void known_files_release(struct known_files *f);

#endif
