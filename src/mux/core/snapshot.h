/* SPDX-License-Identifier: MIT */
/* The daemon's state as the answer to "status". */
#ifndef SMX_MUX_CORE_SNAPSHOT_H
#define SMX_MUX_CORE_SNAPSHOT_H

#include "control/protocol.h"
#include "control/status.h"
#include "mux/core/mux.h"

struct upstream;

/* The caller releases it. SMX_ENOMEM. */
int snapshot_take(struct mux *m, struct smx_status *ret);

/* Appends the lines of the answer to request id. SMX_ENOMEM, SMX_ELIMIT. */
int snapshot_answer(struct mux *m, int64_t id, struct smx_buf *out);
/* What "login" tells of a connection; is_new is the caller's. */
void snapshot_login(struct mux *m, const struct upstream *up, struct smx_control_login *ret);

#endif
