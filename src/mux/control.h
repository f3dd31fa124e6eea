/* SPDX-License-Identifier: MIT */
/* The daemon's side of the control protocol (docs/PROTOCOL.md). */
#ifndef SMX_MUX_CONTROL_H
#define SMX_MUX_CONTROL_H

#include "mux/mux.h"

/* Opens the endpoint. Writes the log line when it can't; SMX_EEXISTS: a daemon runs. */
int control_open(struct mux *m);
/* No more connections; those that are there are closed once their answers are written. */
void control_close(struct mux *m);

#endif
