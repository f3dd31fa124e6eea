/* SPDX-License-Identifier: MIT */
/* A daemon of our own: its process (D1). */
#include "os/process.h"
#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define FIRST_INHERITED 3

/* ---- the process -------------------------------------------------------------------------------
 */

int smx_unix_own_path(char **ret_path)
{
	int r = smx_os_self_path(ret_path);

#ifdef __linux__
	/* Replaced or removed meanwhile: what runs is still there. */
	if (r == SMX_ESYS)
		r = (*ret_path = smx_strdup("/proc/self/exe")) ? 0 : SMX_ENOMEM;
#endif
	return r;
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
	smx_unix_reset_signals();
	(void)umask(077);
	/* The log is moved out of the way of the numbers that it is about to get. */
	if (chdir("/") != 0 || (null = open("/dev/null", O_RDWR)) < 0 ||
		(log_fd = fcntl(log_fd < 0 ? null : log_fd, F_DUPFD, FIRST_INHERITED)) < 0 ||
		(out = fcntl(out, F_DUPFD, FIRST_INHERITED)) < 0 || dup2(null, 0) < 0 ||
		dup2(out, 1) < 0 || dup2(log_fd, 2) < 0)
		_exit(127);
	smx_unix_close_from(FIRST_INHERITED);
	(void)execv(path, (char *const *)(uintptr_t)args);
	_exit(127);
}

int smx_os_spawn_daemon(const char *const *args, int log_fd, int *ret_fd, struct smx_buf *err)
{
	int out[2], status, r;
	char *path;
	pid_t pid;

	if ((r = smx_unix_own_path(&path)) != 0) {
		smx_unix_say(err, "the system does not tell where this program is");
		return r;
	}
	if (pipe(out) != 0) {
		r = smx_unix_fail(err, "cannot make a pipe for", path, errno);
		goto out;
	}
	pid = fork();
	if (pid < 0) {
		r = smx_unix_fail(err, "cannot start", path, errno);
		(void)close(out[0]);
		(void)close(out[1]);
		goto out;
	}
	if (pid == 0)
		become_daemon(path, args, log_fd, out[1]);
	(void)close(out[1]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)fcntl(out[0], F_SETFD, FD_CLOEXEC);
	(void)fcntl(out[0], F_SETFL, O_NONBLOCK);
	*ret_fd = out[0];
	r = 0;
out:
	smx_free(path);
	return r;
}

void smx_os_daemon_report(char what)
{
	(void)!write(STDOUT_FILENO, &what, 1);
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
}
