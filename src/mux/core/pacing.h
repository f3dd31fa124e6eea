/* SPDX-License-Identifier: MIT */
/*
 * What waits for its time on a connection whose bytes are given at a rate (pace.h): nothing that
 * comes would wake it, so a timer does, every millisecond while there is something.
 */
#ifndef SMX_MUX_CORE_PACING_H
#define SMX_MUX_CORE_PACING_H

#include "mux/core/link.h"

/* Data waits: the link is asked for more in a moment. */
void pacing_hold(struct link *l);
/* The same of window that a channel is owed, and may not be granted yet (link_owe then). */
void pacing_hold_grant(struct link *l, struct source *s);
/* The link is gone. */
void pacing_release(struct link *l);

#endif
