/* SPDX-License-Identifier: MIT */
/*
 * The routes file, read at the start and again whenever it changes (B10).
 *
 * A change is noticed by watching the file's directory, by a look at the file every few seconds
 * (not every file system reports changes), and by SIGHUP. What is read counts only once it has
 * stopped changing: editors empty a file before they fill it, or move it away for a moment. A file
 * that is then broken, unsafe, empty or gone leaves the routes as they are, which the log says
 * once and `status` for as long as it lasts.
 *
 * New routes hold for new channels, also those of clients that are connected already.
 */
#ifndef SMX_MUX_CORE_RELOAD_H
#define SMX_MUX_CORE_RELOAD_H

#include "mux/core/mux.h"

/*
 * Reads the routes for the first time into m->routes, and begins to watch. A log line says what is
 * wrong. Errors as smx_daemon_run.
 */
int reload_open(struct mux *m);
/* Frees it, when the loop has closed its handles. */
void reload_close(struct mux *m);
/* Why the file as it is now is not in use, with the time since when; or "". */
const char *reload_warning(const struct mux *m);

#endif
