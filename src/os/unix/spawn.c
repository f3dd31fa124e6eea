/* SPDX-License-Identifier: MIT */
/* A daemon of our own: its process and its log (D1). */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <mach-o/dyld.h>
#elif defined(__FreeBSD__)
#include <sys/types.h>
#include <sys/sysctl.h>
#endif

#include "base/err.h"
#include "os/unix/unix.h"

#define FIRST_INHERITED 3
#define FD_MAX          65536 /* where there is no better way to close everything */

/* ---- the log -----------------------------------------------------------------------------------
 */

static int open_log(const struct smx_unix_place *pl, const char *path, int *ret_fd,
	uint64_t *ret_size, struct smx_buf *err)
{
	struct stat st;
	int fd, r;

	fd = openat(pl->dir, pl->name,
		O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (fd < 0) {
		int open_error = errno;

		if (fstatat(pl->dir, pl->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			!S_ISREG(st.st_mode))
			return smx_unix_check_file(&st, SMX_OS_FILE_PLAIN, path, err);
		return smx_unix_fail(err, "cannot open", path, open_error);
	}
	if (fstat(fd, &st) != 0)
		r = smx_unix_fail(err, "cannot examine", path, errno);
	else
		r = smx_unix_check_file(&st, SMX_OS_FILE_PLAIN, path, err);
	if (r == 0 && (st.st_mode & 077) != 0 && fchmod(fd, 0600) != 0)
		r = smx_unix_fail(err, "cannot change the mode of", path, errno);
	if (r != 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int smx_os_log_open(const char *path, int *ret_fd, uint64_t *ret_size, struct smx_buf *err)
{
	struct smx_unix_place pl;
	char dir[SMX_OS_PATH_MAX];
	const char *slash = strrchr(path, '/');
	int r;

	if (!slash || slash == path || (size_t)(slash - path) >= sizeof(dir))
		return SMX_EINVAL;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	if ((r = smx_os_dir_ensure(dir, err)) != 0 || (r = smx_unix_walk(path, &pl, err)) != 0)
		return r;
	r = open_log(&pl, path, ret_fd, ret_size, err);
	smx_unix_place_release(&pl);
	return r;
}

int smx_os_log_read(int fd, uint64_t from, struct smx_buf *out)
{
	uint8_t *to;
	size_t room = out->max - smx_buf_len(out);
	ssize_t n;
	int r;

	if ((r = smx_buf_reserve(out, room, &to)) != 0)
		return r;
	do {
		n = pread(fd, to, room, (off_t)from);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return SMX_ESYS;
	smx_buf_commit(out, (size_t)n);
	return 0;
}

/* ---- the process -------------------------------------------------------------------------------
 */

/* The file of the running program. */
static int own_path(char *out, size_t size)
{
#ifdef __linux__
	static const char self[] = "/proc/self/exe";
	ssize_t n = readlink(self, out, size - 1);

	if (n <= 0 || (size_t)n >= size - 1)
		return SMX_ESYS;
	out[n] = '\0';
	/* Replaced or removed meanwhile: what runs is still there. */
	if (access(out, X_OK) != 0)
		memcpy(out, self, sizeof(self));
	return 0;
#elif defined(__APPLE__)
	uint32_t n = (uint32_t)size;

	return _NSGetExecutablePath(out, &n) == 0 ? 0 : SMX_ESYS;
#elif defined(__FreeBSD__)
	int mib[4] = { CTL_KERN, KERN_PROC, KERN_PROC_PATHNAME, -1 };

	return sysctl(mib, 4, out, &size, NULL, 0) == 0 ? 0 : SMX_ESYS;
#else
	(void)out;
	(void)size;
	return SMX_ESYS;
#endif
}

/* Nothing that is open in whoever calls us may stay open in a daemon: a pipe would never end. */
static void close_from(int first)
{
	long max = sysconf(_SC_OPEN_MAX);

#if defined(__linux__) && defined(SYS_close_range)
	if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
		return;
#endif
	if (max < 0 || max > FD_MAX)
		max = FD_MAX;
	for (int fd = first; fd < max; fd++)
		(void)close(fd);
}

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &dfl, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. Only what is allowed between fork and exec, though nobody has threads here. */
static void become_daemon(const char *path, const char *const *args, int log_fd, int out)
{
	int null;

	/* A session of its own has no terminal; a process that does not lead it can't get one. */
	if (setsid() < 0)
		_exit(127);
	switch (fork()) {
	case -1:
		_exit(127);
	case 0:
		break;
	default:
		_exit(0);
	}
	reset_signals();
	(void)umask(077);
	/* The log is moved out of the way of the numbers that it is about to get. */
	if (chdir("/") != 0 || (null = open("/dev/null", O_RDWR)) < 0 ||
		(log_fd = fcntl(log_fd, F_DUPFD, FIRST_INHERITED)) < 0 ||
		(out = fcntl(out, F_DUPFD, FIRST_INHERITED)) < 0 || dup2(null, 0) < 0 ||
		dup2(out, 1) < 0 || dup2(log_fd, 2) < 0)
		_exit(127);
	close_from(FIRST_INHERITED);
	(void)execv(path, (char *const *)(uintptr_t)args);
	_exit(127);
}

int smx_os_spawn_daemon(const char *const *args, int log_fd, int *ret_fd, struct smx_buf *err)
{
	char path[SMX_OS_PATH_MAX];
	int out[2], status;
	pid_t pid;

	if (own_path(path, sizeof(path)) != 0) {
		smx_unix_say(err, "the system does not tell where this program is");
		return SMX_ESYS;
	}
	if (pipe(out) != 0)
		return smx_unix_fail(err, "cannot make a pipe for", path, errno);
	pid = fork();
	if (pid < 0) {
		int fork_error = errno;

		(void)close(out[0]);
		(void)close(out[1]);
		return smx_unix_fail(err, "cannot start", path, fork_error);
	}
	if (pid == 0)
		become_daemon(path, args, log_fd, out[1]);
	(void)close(out[1]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)fcntl(out[0], F_SETFD, FD_CLOEXEC);
	(void)fcntl(out[0], F_SETFL, O_NONBLOCK);
	*ret_fd = out[0];
	return 0;
}

void smx_os_daemon_report(char what)
{
	(void)!write(STDOUT_FILENO, &what, 1);
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
}
