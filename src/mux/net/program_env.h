/* SPDX-License-Identifier: MIT */
/* What a transport (R7) gets of our environment: what such programs need to find their accounts. */
#ifndef SMX_MUX_NET_PROGRAM_ENV_H
#define SMX_MUX_NET_PROGRAM_ENV_H

/* A list of "NAME=value" with a NULL at its end. NULL: no memory. */
char **program_env_new(void);
void program_env_free(char **words); /* NULL works */

#endif
