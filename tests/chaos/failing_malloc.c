/* SPDX-License-Identifier: MIT */
/*
 * A preloaded library that makes one allocation in N fail, for a while, in the program itself.
 *
 * The file that CHAOS_ALLOC names is mapped and holds five u32: one in how many fails (0: none),
 * calls that could have failed, calls that did, a seed; and how many calls there are to be until
 * one fails, that one included (0: it is not counted). Only calls by the executable and by the
 * libraries that CHAOS_ALLOC_ALSO names (parts of their names, separated by colons) count: libuv
 * aborts where its own table of watchers can't grow, which is no mistake of its user.
 *
 * It may stand before AddressSanitizer's allocator (verify_asan_link_order=0): what it passes on
 * goes there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANGES_MAX 16
#define EARLY_SIZE 65536

struct control {
	_Atomic uint32_t one_in, asked, failed, seed, until;
};

static struct control *control;
static struct {
	uintptr_t from, to;
} ranges[RANGES_MAX];
static unsigned n_ranges;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);

/* Until the real ones are known: dlsym itself allocates. Never given back. */
static _Alignas(16) char early[EARLY_SIZE];
static size_t early_used;

static void *early_alloc(size_t n)
{
	void *p = early + early_used;

	n = (n + 15) & ~(size_t)15;
	if (n > sizeof(early) - early_used)
		_exit(70);
	early_used += n;
	return p;
}

static int is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

static int is_wanted(const char *name)
{
	const char *also = getenv("CHAOS_ALLOC_ALSO"), *end;
	char part[64];
	size_t n;

	if (!name || !*name)
		return 1; /* the executable */
	for (; also && *also; also = *end ? end + 1 : end) {
		end = strchrnul(also, ':');
		n = (size_t)(end - also);
		if (n == 0 || n >= sizeof(part))
			continue;
		memcpy(part, also, n);
		part[n] = '\0';
		if (strstr(name, part))
			return 1;
	}
	return 0;
}

static int note_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	if (!is_wanted(info->dlpi_name))
		return 0;
	for (int i = 0; i < info->dlpi_phnum && n_ranges < RANGES_MAX; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		ranges[n_ranges].from = info->dlpi_addr + ph->p_vaddr;
		ranges[n_ranges].to = ranges[n_ranges].from + ph->p_memsz;
		n_ranges++;
	}
	return 0;
}

static void find_next(void)
{
	static int is_finding;

	if (next_free || is_finding)
		return;
	is_finding = 1;
	next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	is_finding = 0;
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("CHAOS_ALLOC");
	void *p;
	int fd;

	find_next();
	if (!path || (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		return;
	p = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return;
	dl_iterate_phdr(note_object, NULL);
	control = p;
}

static int fails(void)
{
	atomic_fetch_add(&control->failed, 1);
	errno = ENOMEM;
	return 1;
}

/* Whether it is the one that was counted down to. */
static int is_the_one(void)
{
	uint32_t left = atomic_load(&control->until);

	while (left && !atomic_compare_exchange_weak(&control->until, &left, left - 1))
		;
	return left == 1;
}

static int is_due(const void *caller)
{
	uint32_t one_in, x;
	unsigned i;

	if (!control)
		return 0;
	one_in = atomic_load_explicit(&control->one_in, memory_order_relaxed);
	if (one_in == 0 && atomic_load_explicit(&control->until, memory_order_relaxed) == 0)
		return 0;
	for (i = 0; i < n_ranges; i++)
		if ((uintptr_t)caller >= ranges[i].from && (uintptr_t)caller < ranges[i].to)
			break;
	if (i == n_ranges)
		return 0;
	if (is_the_one())
		return fails();
	if (one_in == 0)
		return 0;
	/* A counter, mixed: no state that threads could spoil. */
	x = atomic_fetch_add(&control->asked, 1) + control->seed;
	x = (x ^ (x >> 16)) * 0x7feb352du;
	x = (x ^ (x >> 15)) * 0x846ca68bu;
	x ^= x >> 16;
	return x % one_in == 0 && fails();
}

void *malloc(size_t n)
{
	find_next();
	if (!next_malloc)
		return early_alloc(n);
	return is_due(__builtin_return_address(0)) ? NULL : next_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	find_next();
	if (!next_calloc)
		return early_alloc(n * size); /* it is zero */
	return is_due(__builtin_return_address(0)) ? NULL : next_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	void *q;

	find_next();
	if (!next_realloc || is_early(p)) {
		q = next_malloc ? next_malloc(n) : early_alloc(n);
		/* What is behind it is early memory too, or the end of it. */
		if (q && p)
			memcpy(q, p,
				(size_t)(early + sizeof(early) - (char *)p) < n
					? (size_t)(early + sizeof(early) - (char *)p)
					: n);
		return q;
	}
	return is_due(__builtin_return_address(0)) ? NULL : next_realloc(p, n);
}

void free(void *p)
{
	if (!p || is_early(p))
		return;
	find_next();
	if (next_free)
		next_free(p);
}
