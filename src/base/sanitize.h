/* SPDX-License-Identifier: MIT */
/*
 * Which sanitizer is built in, and what AddressSanitizer is told of memory that we keep ourselves:
 * it knows what malloc and free do, and nothing of a block on a list of free ones.
 */
#ifndef SMX_BASE_SANITIZE_H
#define SMX_BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define SMX_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SMX_HAS_ASAN 1
#endif
#endif
#ifndef SMX_HAS_ASAN
#define SMX_HAS_ASAN 0
#endif

#ifdef __SANITIZE_THREAD__
#define SMX_HAS_SANITIZER 1
#else
#define SMX_HAS_SANITIZER SMX_HAS_ASAN
#endif

/* Nobody reads or writes the n bytes at p (a multiple of 8) until SMX_UNPOISON; else it aborts. */
#if SMX_HAS_ASAN
#include <sanitizer/asan_interface.h>
#define SMX_POISON(p, n)   __asan_poison_memory_region(p, n)
#define SMX_UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define SMX_POISON(p, n)   ((void)(p), (void)(n))
#define SMX_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#endif
