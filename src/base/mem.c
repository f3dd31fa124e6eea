/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Atomic because key files are decrypted on worker threads. */
static atomic_long fail_after = -1;
static atomic_long alive;

static int injected_failure(void)
{
	if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
		return 0;
	/* Once at zero it stays there: everything fails from then on. */
	if (atomic_load(&fail_after) == 0)
		return 1;
	atomic_fetch_sub(&fail_after, 1);
	return 0;
}

static void *counted(void *p)
{
	if (p)
		atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
	return p;
}

void *smx_calloc(size_t n, size_t size)
{
	if (injected_failure())
		return NULL;
	if (n == 0 || size == 0)
		n = size = 1;
	return counted(calloc(n, size)); /* calloc checks n * size for overflow */
}

void *smx_malloc(size_t size)
{
	if (injected_failure())
		return NULL;
	return counted(malloc(size ? size : 1));
}

void *smx_realloc(void *p, size_t size)
{
	void *q;

	if (injected_failure())
		return NULL;
	q = realloc(p, size ? size : 1);
	if (q && !p)
		counted(q);
	return q;
}

void smx_free(void *p)
{
	if (p)
		atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
	free(p);
}

char *smx_strndup(const char *s, size_t n)
{
	char *p = smx_malloc(n + 1);

	if (p) {
		memcpy(p, s, n);
		p[n] = '\0';
	}
	return p;
}

char *smx_strdup(const char *s)
{
	return smx_strndup(s, strlen(s));
}

void smx_wipe(void *p, size_t n)
{
	/* A call through a volatile pointer can't be proven dead. */
	static void *(*const volatile wipe)(void *, int, size_t) = memset;

	if (n)
		wipe(p, 0, n);
}

void smx_wipe_free(void *p, size_t n)
{
	if (p)
		smx_wipe(p, n);
	smx_free(p);
}

int smx_ct_equal(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}

void smx_mem_fail_after(long n)
{
	atomic_store(&fail_after, n);
}

long smx_mem_alive(void)
{
	return atomic_load(&alive);
}
