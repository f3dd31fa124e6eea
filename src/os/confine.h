/* SPDX-License-Identifier: MIT */
/*
 * What the daemon gives up once it serves (H3, docs/DESIGN.md, section 18): a part of what differs
 * from system to system, under the rules of os/README.md.
 */
#ifndef SMX_OS_CONFINE_H
#define SMX_OS_CONFINE_H

#include <stddef.h>

#include "base/buf.h"

/* What may be done with what lies at a path and below it. What is not there is left out. */
enum smx_os_use {
	SMX_OS_USE_READ,
	SMX_OS_USE_WRITE, /* and read, made and removed */
};

struct smx_os_place {
	const char *path; /* absolute; symlinks are followed */
	enum smx_os_use use;
};

struct smx_os_confined {
	unsigned landlock; /* the version of its ABI; 0: files are as open as before */
	int seccomp; /* 1: only the system calls of a list */
	char text[160]; /* for people: "landlock v7, seccomp", "no (why)" */
};

/*
 * The calling thread, and those it makes from now on, can do no more than serve: call it before
 * there are others, and when all files that are not among the places are open. Of what the system
 * does not have the rest is done, and the text says so; nothing here is undone. The system's own
 * places (libraries, names, time zones, our program) may be read besides. Where the daemon has no
 * helper (os/helper.h) but would need it nothing is done, and the text says so.
 */
void smx_os_confine(const struct smx_os_place *places, size_t n, struct smx_os_confined *ret);

/* The version of landlock's ABI that the running kernel has; 0: none. */
unsigned smx_os_landlock_version(void);

#endif
