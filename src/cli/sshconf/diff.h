/* SPDX-License-Identifier: MIT */
/* What a command would write, as a unified diff for people (dry runs). */
#ifndef SMX_CLI_SSHCONF_DIFF_H
#define SMX_CLI_SSHCONF_DIFF_H

#include "base/buf.h"
#include "base/wire.h"

struct smx_diff {
	const char *path; /* for the two lines on top */
	struct smx_view before, after;
	int is_new; /* there is no file yet */
	int colour;
	/* For a terminal: control characters of the texts are shown by a '?' (A7). */
	int sanitize;
};

/* Appends it; nothing if the texts are the same. SMX_ENOMEM, SMX_ELIMIT. */
int smx_cli_diff(const struct smx_diff *d, struct smx_buf *out);

#endif
