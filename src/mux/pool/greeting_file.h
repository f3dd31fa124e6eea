/* SPDX-License-Identifier: MIT */
/*
 * The greetings outlive the daemon, so that the first login of the morning takes as few round trips
 * as the second (B13): they are kept in a file of the SSH directory. Where the daemon is confined
 * (H3) its helper writes it, by greeting_file_may_be.
 */
#ifndef SMX_MUX_POOL_GREETING_FILE_H
#define SMX_MUX_POOL_GREETING_FILE_H

#include "mux/core/mux.h"

#define GREETINGS_FILE "ssh-mux-greetings"

/* At the start. A file that can't be used is told of, and is no error: logins begin without it. */
void greeting_file_read(struct mux *m);
/* Each second: writes what has changed, on a worker thread. */
void greeting_file_tick(struct mux *m);
/* Whether that file of this SSH directory may have this content: 1 or 0. */
int greeting_file_may_be(const char *ssh_dir, const char *path, struct smx_view text);

#endif
