/* SPDX-License-Identifier: MIT */
/* The daemon's state as the answer to "status". */
#ifndef SMX_MUX_SNAPSHOT_H
#define SMX_MUX_SNAPSHOT_H

#include "mux/mux.h"

/* Appends the lines of the answer to request id. SMX_ENOMEM, SMX_ELIMIT. */
int snapshot_answer(struct mux *m, int64_t id, struct smx_buf *out);

#endif
