/* SPDX-License-Identifier: MIT */
/* Private to confine.c, seccomp.c and their tests. */
#ifndef SMX_OS_UNIX_CONFINE_H
#define SMX_OS_UNIX_CONFINE_H

#include <stdint.h>

#include "os/confine.h"

/* What a ruleset of that version of landlock's ABI handles: its handled_access_fs and scoped. */
void smx_unix_landlock_handled(unsigned version, uint64_t *ret_fs, uint64_t *ret_scoped);
/* As smx_os_confine, with a helper or without. */
void smx_unix_confine(const struct smx_os_place *places, size_t n, struct smx_os_confined *ret);
/* Only the system calls of a list from now on, for all threads. -1: *ret_why says why not. */
int smx_unix_seccomp(const char **ret_why);

#endif
