/* SPDX-License-Identifier: MIT */
/* A variable of the environment that a client of the daemon's was started with (A10). */
#ifndef SMX_MUX_ASK_CLIENT_VAR_H
#define SMX_MUX_ASK_CLIENT_VAR_H

#include <stdint.h>

/* Of a process of our own user, whose connection is open. NULL: it has none, the system does not
 * tell, or no memory. */
char *client_var(int64_t pid, const char *name);

#endif
