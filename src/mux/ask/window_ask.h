/* SPDX-License-Identifier: MIT */
/*
 * A window on the daemon's desktop (A4, A6): that of a pinentry (pinentry.h), one question at a
 * time.
 */
#ifndef SMX_MUX_ASK_WINDOW_ASK_H
#define SMX_MUX_ASK_WINDOW_ASK_H

#include "mux/ask/asker.h"
#include "mux/core/mux.h"

/* NULL: no memory. */
struct asker *window_ask_new(struct mux *m);
void window_ask_free(struct asker *asker); /* NULL works */

#endif
