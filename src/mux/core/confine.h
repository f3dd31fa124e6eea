/* SPDX-License-Identifier: MIT */
/* Which files the daemon keeps when it confines itself (H3). */
#ifndef SMX_MUX_CORE_CONFINE_H
#define SMX_MUX_CORE_CONFINE_H

#include "mux/core/mux.h"

/* When the control endpoint is there, and before the first thread and client. What holds is
 * in the log and m->confined. SMX_ESYS: the event loop can't go on. */
int confine(struct mux *m);
void confine_free(struct mux *m);
/* "landlock v7, seccomp", or "no (why)". */
const char *confine_text(const struct mux *m);

#endif
