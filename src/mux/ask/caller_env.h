/* SPDX-License-Identifier: MIT */
/* The environment of a client's process, and the SSH_ASKPASS that it names. */
#ifndef SMX_MUX_ASK_CALLER_ENV_H
#define SMX_MUX_ASK_CALLER_ENV_H

#include "base/buf.h"
#include "control/helper.h"
#include "os/caller.h"

struct caller_env {
	struct smx_buf text; /* strings */
	char **vars; /* in text, without what we set; NULL behind the last, and while not read */
	size_t n;
};

void caller_env_init(struct caller_env *e);
void caller_env_release(struct caller_env *e);
/* SMX_ENOTFOUND, SMX_ENOMEM. */
int caller_env_read(struct caller_env *e, const struct smx_os_caller *c);
/* A value, which is e's; NULL: not set. */
const char *caller_env_get(const struct caller_env *e, const char *name);
/* As readpass.c of OpenSSH. ret_is_first: rather than the terminal. NULL: none is to be used. */
const char *caller_env_askpass(const struct caller_env *e, int *ret_is_first);
/* For a program of the client's: e's, until the next call. hint: what an askpass is told. */
char *const *caller_env_for(struct caller_env *e, enum smx_askpass_hint hint);

#endif
