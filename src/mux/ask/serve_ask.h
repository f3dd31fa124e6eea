/* SPDX-License-Identifier: MIT */
/* The terminal of a foreground serve (A6): asked at on a worker thread, one question at a time. */
#ifndef SMX_MUX_ASK_SERVE_ASK_H
#define SMX_MUX_ASK_SERVE_ASK_H

#include "mux/ask/asker.h"
#include "mux/core/mux.h"

/* NULL: no memory. */
struct asker *serve_ask_new(struct mux *m);
/* After the loop has run dry. NULL works. */
void serve_ask_free(struct asker *asker);

#endif
