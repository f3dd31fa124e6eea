/* SPDX-License-Identifier: MIT */
/* Other programs: where they are, and running one to its end. */
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "base/mem.h"
#include "os/unix/unix.h"

#define FD_MAX     65536 /* where there is no better way to close everything */
#define STATUS_FD  3 /* in the child: says why the program can't be executed */
#define TURN_MS    50 /* how soon a stop is seen */
#define READ_CHUNK 16384
/* What the program left behind may hold its output open; what it has written itself is there. */
#define LEFTOVER_MS 200

void smx_unix_close_from(int first)
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

void smx_unix_reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &dfl, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * A SIGCHLD that is ignored stays so over an exec, and some programs start others like that: our
 * children would go without a word, and be waited for as if they ran.
 */
void smx_unix_keep_children(void)
{
	struct sigaction now, dfl = { .sa_handler = SIG_DFL };

	if (sigaction(SIGCHLD, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
		(void)sigaction(SIGCHLD, &dfl, NULL);
}

/* ---- where -------------------------------------------------------------------------------------
 */

static int is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* 0 or SMX_ESYS. */
static int own_path(char *out, size_t size)
{
#ifdef __linux__
	ssize_t n = readlink("/proc/self/exe", out, size - 1);

	if (n <= 0 || (size_t)n >= size - 1)
		return SMX_ESYS;
	out[n] = '\0';
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

int smx_os_self_path(char **ret_path)
{
	char path[SMX_OS_PATH_MAX];
	char *copy;

	/* A file that was replaced or removed meanwhile has a name that is none any more. */
	if (own_path(path, sizeof(path)) != 0 || !is_program(path))
		return SMX_ESYS;
	if ((copy = smx_strdup(path)) == NULL)
		return SMX_ENOMEM;
	*ret_path = copy;
	return 0;
}

int smx_os_find_program(const char *name, char **ret_path)
{
	const char *dirs = getenv("PATH");
	char *path;

	if (smx_os_path_is_absolute(name)) {
		if (!is_program(name))
			return SMX_ENOTFOUND;
		return (*ret_path = smx_strdup(name)) ? 0 : SMX_ENOMEM;
	}
	if (name[0] == '\0' || strchr(name, '/'))
		return SMX_ENOTFOUND;
	while (dirs && *dirs) {
		size_t n = strcspn(dirs, ":");
		char *dir;
		int r;

		if (dirs[0] == '/') { /* never from where we happen to be */
			if ((dir = smx_strndup(dirs, n)) == NULL)
				return SMX_ENOMEM;
			r = smx_os_path_join(dir, name, &path);
			smx_free(dir);
			if (r == SMX_ENOMEM)
				return r;
			if (r == 0 && is_program(path)) {
				*ret_path = path;
				return 0;
			}
			if (r == 0)
				smx_free(path);
		}
		dirs += n;
		dirs += *dirs == ':';
	}
	return SMX_ENOTFOUND;
}

const char *smx_os_system_ssh_config(void)
{
	return "/etc/ssh/ssh_config";
}

const char *smx_os_system_known_hosts(void)
{
	return "/etc/ssh/ssh_known_hosts";
}

int smx_os_glob(const char *pattern, char ***ret_paths, size_t *ret_count)
{
	glob_t g = { 0 };
	char **paths = NULL;
	size_t count = 0;
	int r = 0, flags = 0;

#ifdef GLOB_TILDE
	flags |= GLOB_TILDE;
#endif
	switch (glob(pattern, flags, NULL, &g)) {
	case 0:
		break;
	case GLOB_NOMATCH:
		goto out;
	case GLOB_NOSPACE:
		r = SMX_ENOMEM;
		goto out;
	default:
		r = SMX_ESYS;
		goto out;
	}
	if (g.gl_pathc > SMX_OS_GLOB_MAX) {
		r = SMX_ELIMIT;
		goto out;
	}
	if ((paths = smx_calloc(g.gl_pathc, sizeof(*paths))) == NULL)
		r = SMX_ENOMEM;
	for (; r == 0 && count < g.gl_pathc; count++) {
		if ((paths[count] = smx_strdup(g.gl_pathv[count])) == NULL)
			r = SMX_ENOMEM;
	}
out:
	globfree(&g);
	if (r != 0) {
		smx_os_names_free(paths, count);
		return r;
	}
	*ret_paths = paths;
	*ret_count = count;
	return 0;
}

/* ---- running -----------------------------------------------------------------------------------
 */

struct stream {
	int fd; /* -1: at its end */
	struct smx_buf *to; /* NULL: dropped */
};

static void close_both(int fds[2])
{
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
		fds[i] = -1;
	}
}

static int make_pipe(int fds[2])
{
	if (pipe(fds) != 0) {
		fds[0] = fds[1] = -1;
		return SMX_ESYS;
	}
	for (int i = 0; i < 2; i++)
		(void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	return 0;
}

/* In the child, beside other threads' locks: only what is allowed between fork and exec. */
static void become(const char *const *argv, int out, int err, int status)
{
	int null, error;

	(void)setpgid(0, 0);
	smx_unix_reset_signals();
	/* Out of the way of the numbers that they are about to get. */
	if ((null = open("/dev/null", O_RDONLY)) < 0 ||
		(out = fcntl(out, F_DUPFD, STATUS_FD + 1)) < 0 ||
		(err = fcntl(err, F_DUPFD, STATUS_FD + 1)) < 0 ||
		(status = fcntl(status, F_DUPFD, STATUS_FD + 1)) < 0 || dup2(null, 0) < 0 ||
		dup2(out, 1) < 0 || dup2(err, 2) < 0 || dup2(status, STATUS_FD) < 0)
		_exit(127);
	smx_unix_close_from(STATUS_FD + 1);
	(void)fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
	(void)execv(argv[0], (char *const *)(uintptr_t)argv);
	error = errno;
	(void)!write(STATUS_FD, &error, sizeof(error));
	_exit(127);
}

/*
 * Takes what there is; what does not fit, with a NUL of smx_buf_cstr behind it, or finds no memory,
 * is dropped. 1: at its end.
 */
static int drain(struct stream *s, int *ret_error)
{
	uint8_t piece[READ_CHUNK];
	ssize_t n = read(s->fd, piece, sizeof(piece));
	size_t room;
	int r;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return 1;
	room = s->to ? s->to->max - smx_buf_len(s->to) : 0;
	room -= room > 0;
	if (room > (size_t)n)
		room = (size_t)n;
	if (room > 0 && (r = smx_buf_put(s->to, piece, room)) == SMX_ENOMEM)
		*ret_error = r;
	return 0;
}

static void drain_ready(struct stream *streams, int wait_ms, int *ret_error)
{
	struct pollfd p[2];

	for (int i = 0; i < 2; i++)
		p[i] = (struct pollfd){ .fd = streams[i].fd, .events = POLLIN };
	if (poll(p, 2, wait_ms) <= 0)
		return;
	for (int i = 0; i < 2; i++) {
		if (streams[i].fd < 0 || !(p[i].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)))
			continue;
		if (drain(&streams[i], ret_error)) {
			(void)close(streams[i].fd);
			streams[i].fd = -1;
		}
	}
}

/* Until the child is gone and its output read. 0 and the status, or an error: it was killed. */
static int attend(pid_t pid, unsigned timeout_ms, const atomic_int *stop, struct stream *streams,
	int *ret_status)
{
	uint64_t end = smx_os_monotonic_ms() + timeout_ms, now, left;
	int status = 0, is_gone = 0, error = 0, turn = 1;

	for (;;) {
		now = smx_os_monotonic_ms();
		if (!is_gone && waitpid(pid, &status, WNOHANG) == pid) {
			is_gone = 1;
			end = now + LEFTOVER_MS;
		}
		if (is_gone && (now >= end || (streams[0].fd < 0 && streams[1].fd < 0)))
			break;
		if (stop && atomic_load(stop) != 0)
			error = SMX_ECANCELLED;
		else if (!is_gone && now >= end)
			error = SMX_ETIMEOUT;
		if (error != 0)
			break;
		left = end > now ? end - now : 0;
		/* Nothing tells of the end of a child that has closed its output: look often. */
		if (streams[0].fd < 0 && streams[1].fd < 0)
			turn = turn < TURN_MS ? turn * 2 : TURN_MS;
		else
			turn = TURN_MS;
		drain_ready(streams, left < (uint64_t)turn ? (int)left : turn, &error);
	}
	if (error != 0) {
		(void)kill(-pid, SIGKILL);
		while (!is_gone && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	*ret_status = status;
	return error;
}

/* Why the program could not be executed; 0 if it could. */
static int exec_error(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int error = 0;
	ssize_t n;

	/* It is closed by the exec, or by the end of the child. */
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	do {
		n = read(fd, &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(error) ? error : 0;
}

static int start(const char *const *argv, int out[2], int err[2], pid_t *ret_pid)
{
	int status[2] = { -1, -1 }, error, ignored;
	sigset_t all, before;
	pid_t pid = -1;

	smx_unix_keep_children();
	/* A handler of ours must not run in the child: it shares our descriptors, the pipes by
	 * which an event loop tells itself of signals among them. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	if (make_pipe(out) == 0 && make_pipe(err) == 0 && make_pipe(status) == 0)
		pid = fork();
	if (pid == 0)
		become(argv, out[1], err[1], status[1]);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		close_both(status);
		return SMX_ESYS;
	}
	(void)setpgid(pid, pid); /* whoever of us two comes first */
	(void)close(out[1]);
	(void)close(err[1]);
	(void)close(status[1]);
	out[1] = err[1] = status[1] = -1;
	error = exec_error(status[0]);
	close_both(status);
	if (error != 0) {
		while (waitpid(pid, &ignored, 0) < 0 && errno == EINTR)
			;
		return error == ENOENT || error == ENOTDIR ? SMX_ENOTFOUND : SMX_ESYS;
	}
	*ret_pid = pid;
	return 0;
}

int smx_os_run_until(const char *const *argv, unsigned timeout_ms, const atomic_int *stop,
	struct smx_buf *out, struct smx_buf *err_out, int *ret_exit)
{
	int out_fds[2] = { -1, -1 }, err_fds[2] = { -1, -1 }, status = 0, r;
	struct stream streams[2];
	pid_t pid;

	if (!smx_os_path_is_absolute(argv[0]))
		return SMX_ENOTFOUND;
	if (stop && atomic_load(stop) != 0)
		return SMX_ECANCELLED;
	if ((r = start(argv, out_fds, err_fds, &pid)) != 0)
		goto out;
	streams[0] = (struct stream){ out_fds[0], out };
	streams[1] = (struct stream){ err_fds[0], err_out };
	r = attend(pid, timeout_ms, stop, streams, &status);
	out_fds[0] = streams[0].fd;
	err_fds[0] = streams[1].fd;
	if (r == 0)
		*ret_exit = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
out:
	close_both(out_fds);
	close_both(err_fds);
	return r;
}
