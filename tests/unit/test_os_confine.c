/* SPDX-License-Identifier: MIT */
/* H3: what is asked of a kernel by what it has. Each case in a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "os/confine.h"
#include "os/unix/confine.h"

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LANDLOCK_CREATE 444

/* Makes landlock_create_ruleset(2) fail as on a kernel that lacks it, or has it turned off. */
static void take_landlock_away(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LANDLOCK_CREATE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
		_exit(3);
}

struct result {
	struct smx_os_confined confined;
	int inside, outside, removed; /* errno of what was tried then, 0: it worked */
};

static int try_make(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

/* Leaves one descriptor: landlock's own, and then that of what is tried. seccomp gives none back. */
static void take_descriptors_away(void)
{
	struct rlimit limit;
	int fd = dup(0);

	if (fd < 0 || close(fd) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		_exit(4);
	limit.rlim_cur = (rlim_t)fd + 1;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		_exit(4);
}

/* error: of landlock; EMFILE: of the files that it is told of; 0: as it is. */
static struct result confined(int error)
{
	char dir[] = "/tmp/smx-confine-XXXXXX", in[64], made[64], out[64];
	struct smx_os_place place = { in, SMX_OS_USE_WRITE };
	struct result *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct result got;
	int status;
	pid_t pid;

	assert_true(shared != MAP_FAILED);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(in, sizeof(in), "%s/in", dir);
	(void)snprintf(made, sizeof(made), "%s/in/made", dir);
	(void)snprintf(out, sizeof(out), "%s/out", dir);
	assert_int_equal(mkdir(in, 0700), 0);
	if ((pid = fork()) == 0) {
		if (error == EMFILE)
			take_descriptors_away();
		else if (error)
			take_landlock_away(error);
		smx_unix_confine(&place, 1, &shared->confined);
		shared->inside = try_make(made);
		shared->outside = try_make(out);
		shared->removed = unlink(made) == 0 ? 0 : errno;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	got = *shared;
	(void)munmap(shared, sizeof(*shared));
	(void)unlink(out);
	(void)rmdir(in);
	(void)rmdir(dir);
	return got;
}

static void test_H3_each_version_is_asked_for_what_it_knows(void **state)
{
	static const struct {
		uint64_t fs, scoped;
	} want[] = { { 0, 0 }, { 0x1fff, 0 }, { 0x3fff, 0 }, { 0x7fff, 0 }, { 0x7fff, 0 },
		{ 0xffff, 0 }, { 0xffff, 2 }, { 0xffff, 2 }, { 0xffff, 2 } };
	uint64_t fs, scoped;

	(void)state;
	for (unsigned v = 0; v < sizeof(want) / sizeof(want[0]); v++) {
		smx_unix_landlock_handled(v, &fs, &scoped);
		assert_true(fs == want[v].fs && scoped == want[v].scoped);
	}
}

static void test_H3_only_the_places_can_be_written(void **state)
{
	struct result got;

	(void)state;
	if (smx_os_landlock_version() == 0)
		skip();
	got = confined(0);
	assert_int_equal(got.confined.landlock, smx_os_landlock_version());
	assert_int_equal(got.inside, 0);
	assert_int_equal(got.removed, 0);
	assert_int_equal(got.outside, EACCES);
	assert_non_null(strstr(got.confined.text, "landlock v"));
}

static void test_H3_a_kernel_without_landlock_is_told_of(void **state)
{
	static const int errors[] = { ENOSYS, EOPNOTSUPP };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct result got = confined(errors[i]);

		assert_int_equal(got.confined.landlock, 0);
		assert_int_equal(got.outside, 0);
		assert_non_null(strstr(got.confined.text,
			got.confined.seccomp ? "seccomp (no landlock: the kernel has none)"
					     : "no (landlock: the kernel has none; seccomp: "));
	}
}

/* Shut out of its own files for good, it would not know why. */
static void test_H3_a_place_that_can_not_be_opened_for_now_is_told_of(void **state)
{
	struct result got;

	(void)state;
	if (smx_os_landlock_version() == 0)
		skip();
	got = confined(EMFILE);
	assert_int_equal(got.confined.landlock, 0);
	assert_non_null(strstr(got.confined.text, strerror(EMFILE)));
	assert_int_equal(got.inside, 0);
	assert_int_equal(got.removed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_H3_a_place_that_can_not_be_opened_for_now_is_told_of),
		cmocka_unit_test(test_H3_each_version_is_asked_for_what_it_knows),
		cmocka_unit_test(test_H3_only_the_places_can_be_written),
		cmocka_unit_test(test_H3_a_kernel_without_landlock_is_told_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
	return 0;
}

#endif
