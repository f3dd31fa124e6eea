/* SPDX-License-Identifier: MIT */
/* Landlock (landlock(7)), and what goes with it. Built by any headers: what they lack is here. */
#include "os/confine.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/confine.h"
#include "os/unix/unix.h"

#ifdef __linux__

#include <sys/prctl.h>
#include <sys/syscall.h>

/* The numbers are the same on all architectures, but alpha. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#define CREATE_VERSION    (1u << 0)
#define RULE_PATH_BENEATH 1

/* linux/landlock.h: what a version of the ABI can be told to deny. */
#define FS_EXECUTE     (1ull << 0)
#define FS_WRITE_FILE  (1ull << 1)
#define FS_READ_FILE   (1ull << 2)
#define FS_READ_DIR    (1ull << 3)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR    (1ull << 7)
#define FS_MAKE_REG    (1ull << 8)
#define FS_MAKE_SOCK   (1ull << 9)
#define FS_MAKE_SYM    (1ull << 12)
#define FS_REFER       (1ull << 13) /* from version 2 on */
#define FS_TRUNCATE    (1ull << 14) /* 3 */
#define FS_IOCTL_DEV   (1ull << 15) /* 5 */
#define FS_V1          ((1ull << 13) - 1)
#define SCOPE_SIGNAL   (1ull << 1) /* 6 */

#define ON_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)
#define READS    (FS_READ_FILE | FS_READ_DIR)
#define WRITES                                                                              \
	(READS | FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_FILE | FS_MAKE_REG | FS_MAKE_DIR | \
		FS_MAKE_SYM | FS_MAKE_SOCK)
#define DEVICE (FS_READ_FILE | FS_WRITE_FILE | FS_IOCTL_DEV)

/* A kernel takes a longer one than it knows, if what it does not know is 0. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_attr {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

unsigned smx_os_landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	return version > 0 ? (unsigned)version : 0;
}

/* What is denied but where a rule allows it. */
void smx_unix_landlock_handled(unsigned version, uint64_t *ret_fs, uint64_t *ret_scoped)
{
	*ret_fs = version >= 1 ? FS_V1 : 0;
	*ret_fs |= version >= 2 ? FS_REFER : 0;
	*ret_fs |= version >= 3 ? FS_TRUNCATE : 0;
	*ret_fs |= version >= 5 ? FS_IOCTL_DEV : 0;
	*ret_scoped = version >= 6 ? SCOPE_SIGNAL : 0;
}

/* ---- rules -------------------------------------------------------------------------------------
 */

struct ruleset {
	int fd, error; /* the first errno */
	uint64_t handled;
};

/*
 * What is not there, or not for us, needs no rule. What can't be opened for now does: without it
 * the file would be out of reach for good, and nobody would know why.
 */
static void allow(struct ruleset *s, const char *path, uint64_t access)
{
	struct path_attr rule = { .fd = open(path, O_PATH | O_CLOEXEC) };
	struct stat st;

	if (rule.fd < 0) {
		if (s->error == 0 && smx_os_file_is_no_verdict(SMX_ESYS))
			s->error = errno;
		return;
	}
	rule.access = access & s->handled;
	if (fstat(rule.fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.access &= ON_FILES;
	if (rule.access &&
		syscall(SYS_landlock_add_rule, s->fd, RULE_PATH_BENEATH, &rule, 0) != 0 &&
		s->error == 0)
		s->error = errno;
	(void)close(rule.fd);
}

/* Where resolv.conf really is: it is replaced, so what counts is its directory. */
static void allow_resolver(struct ruleset *s)
{
	char *real = realpath("/etc/resolv.conf", NULL), *end;

	if (real && (end = strrchr(real, '/')) != NULL && end != real) {
		*end = '\0';
		allow(s, real, READS);
	}
	free(real);
}

static const char *const readable[] = { "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/etc",
	"/proc", "/sys/devices/system/cpu", "/nix/store", "/gnu/store", "/run/systemd", "/run/nscd",
	"/run/resolvconf", "/run/NetworkManager", "/run/connman", "/var/lib/sss", "/var/cache/nscd",
	"/proc/self/exe" };

/*
 * Names of hosts and users need more than a list of files: modules of the C library, loaded when
 * they are first asked, their settings, which others replace at any time, and their caches.
 */
static void allow_system(struct ruleset *s)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
		"/dev/urandom", "/dev/tty" };

	for (size_t i = 0; i < SMX_ARRAY_LEN(readable); i++)
		allow(s, readable[i], READS);
	for (size_t i = 0; i < SMX_ARRAY_LEN(devices); i++)
		allow(s, devices[i], DEVICE);
	allow_resolver(s);
	/* W2: a forward's socket may be asked for anywhere; to remove one is the helper's. */
	allow(s, "/", FS_MAKE_SOCK);
}

/* 0 or an errno. */
static int restrict_files(
	unsigned version, const struct smx_os_place *places, size_t n, struct ruleset *s)
{
	struct ruleset_attr attr = { .fs = 0 };

	smx_unix_landlock_handled(version, &attr.fs, &attr.scoped);
	s->handled = attr.fs;
	s->fd = (int)syscall(SYS_landlock_create_ruleset, &attr,
		version >= 6   ? sizeof(attr)
		: version >= 4 ? 2 * sizeof(uint64_t)
			       : sizeof(uint64_t),
		0);
	if (s->fd < 0)
		return errno;
	allow_system(s);
	for (size_t i = 0; i < n; i++)
		allow(s, places[i].path, places[i].use == SMX_OS_USE_WRITE ? WRITES : READS);
	if (s->error == 0 && syscall(SYS_landlock_restrict_self, s->fd, 0) != 0)
		s->error = errno;
	(void)close(s->fd);
	return s->error;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

static void tell(const char *landlock, const char *seccomp, struct smx_os_confined *c)
{
	if (c->landlock && c->seccomp)
		(void)snprintf(c->text, sizeof(c->text), "landlock v%u, seccomp", c->landlock);
	else if (c->landlock)
		(void)snprintf(c->text, sizeof(c->text), "landlock v%u (no seccomp: %s)",
			c->landlock, seccomp);
	else if (c->seccomp)
		(void)snprintf(c->text, sizeof(c->text), "seccomp (no landlock: %s)", landlock);
	else
		(void)snprintf(c->text, sizeof(c->text), "no (landlock: %s; seccomp: %s)", landlock,
			seccomp);
}

void smx_unix_confine(const struct smx_os_place *places, size_t n, struct smx_os_confined *ret)
{
	const char *landlock = "the kernel has none", *seccomp = NULL;
	unsigned version = smx_os_landlock_version();
	struct ruleset s = { .fd = -1 };
	int e;

	*ret = (struct smx_os_confined){ .landlock = 0 };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		tell(strerror(errno), strerror(errno), ret);
		return;
	}
	if (version && (e = restrict_files(version, places, n, &s)) != 0)
		landlock = strerror(e);
	else
		ret->landlock = version;
	ret->seccomp = smx_unix_seccomp(&seccomp) == 0;
	tell(landlock, seccomp, ret);
}

void smx_os_confine(const struct smx_os_place *places, size_t n, struct smx_os_confined *ret)
{
	if (smx_os_helper_is_there())
		smx_unix_confine(places, n, ret);
	else
		*ret = (struct smx_os_confined){ .text = "no (its helper can't be started)" };
}

#else

void smx_os_confine(const struct smx_os_place *places, size_t n, struct smx_os_confined *ret)
{
	(void)places;
	(void)n;
	*ret = (struct smx_os_confined){ .text = "no (not on this system)" };
}

unsigned smx_os_landlock_version(void)
{
	return 0;
}

#endif
