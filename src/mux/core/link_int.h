/* SPDX-License-Identifier: MIT */
/* What the parts of a link share. Private to src/mux/core/link*.c. */
#ifndef SMX_MUX_CORE_LINK_INT_H
#define SMX_MUX_CORE_LINK_INT_H

#include "mux/core/link.h"

/* When all its handles are closed and no work of it is out. */
void link_free_if_closed(struct link *l);

/* ---- link_work.c ------------------------------------------------------------------------------
 */

/* Has slow work done on a thread, and goes on with its result. Takes the work over. Errors: the
 * thread's queue has no room, SMX_ENOMEM, SMX_ESYS. */
int link_start_work(struct link *l, struct smx_work *work);
/* For a link that goes: what waits for the thread is dropped. */
void link_cancel_work(struct link *l);

#endif
