/* SPDX-License-Identifier: MIT */
/*
 * K6: the keys of a host in one of the user's known_hosts files are changed as trust/rotation.h has
 * it. Where the daemon is confined (H3) its helper does it, by known_edit_here.
 */
#ifndef SMX_MUX_POOL_KNOWN_EDIT_H
#define SMX_MUX_POOL_KNOWN_EDIT_H

#include "base/buf.h"
#include "trust/rotation.h"

struct known_edit {
	const char *path;
	struct smx_rotation_edit edit;
	unsigned n_removed, n_added; /* lines; 0 unless it is done */
};

/* Blocks. 0, or an error of smx_os_file_edit, with a line added to err. */
int known_edit(struct known_edit *k, struct smx_buf *err);
/* The same, by this very process. */
int known_edit_here(struct known_edit *k, struct smx_buf *err);

#endif
