/* SPDX-License-Identifier: MIT */
/*
 * Memory. All of ssh-mux allocates through these, so that unit tests can make
 * the N-th allocation fail (smx_mem_fail_after) and so that secrets are wiped.
 */
#ifndef SMX_BASE_MEM_H
#define SMX_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed memory, or NULL. n or size may be 0: a valid pointer is returned. */
void *smx_calloc(size_t n, size_t size);
void *smx_malloc(size_t size);
/* As realloc. Never for secrets: a moved secret stays behind. */
void *smx_realloc(void *p, size_t size);
void smx_free(void *p); /* smx_free(NULL) works */
char *smx_strdup(const char *s);
/* Copy of the first n bytes of s, NUL-terminated. */
char *smx_strndup(const char *s, size_t n);

/* Overwrites n bytes in a way that no compiler removes. */
void smx_wipe(void *p, size_t n);
/* Wipes n bytes, then frees. p may be NULL. */
void smx_wipe_free(void *p, size_t n);

/* 1 if the n bytes are equal; the time depends on n only. */
int smx_ct_equal(const void *a, const void *b, size_t n);

/*
 * Tests only: the allocation after `n` further successful ones fails, and all
 * later ones too; n < 0 (the default) never fails.
 */
void smx_mem_fail_after(long n);
/* Number of smx_* blocks alive. */
long smx_mem_alive(void);

#define SMX_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
