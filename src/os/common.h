/* SPDX-License-Identifier: MIT */
/* Private to src/os: what is the same on every system. */
#ifndef SMX_OS_COMMON_H
#define SMX_OS_COMMON_H

/* Whether a file of that name counts as one of the user's public keys (L5). */
int smx_os_is_public_key_name(const char *name);
/* For qsort of an array of strings: by bytes. */
int smx_os_compare_names(const void *a, const void *b);

#endif
