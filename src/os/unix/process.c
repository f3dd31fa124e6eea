/* SPDX-License-Identifier: MIT */
/* The process itself. */
#include "os/process.h"
#include "os/tcp.h"
#include "os/window.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#elif defined(__APPLE__)
#include <pthread.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#elif defined(__APPLE__)
#include <malloc/malloc.h>
#endif

#include "base/err.h"
#include "os/unix/unix.h"

#define LEAST_NICE 19
#define ARGS_READ  4096 /* at a time */

int64_t smx_os_pid(void)
{
	return (int64_t)getpid();
}

int smx_os_parent_args(struct smx_buf *out)
{
#ifdef __linux__
	char path[48];
	uint8_t *to;
	ssize_t n;
	int fd, r;

	(void)snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)getppid());
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return SMX_ENOTFOUND;
	do {
		if ((r = smx_buf_reserve(out, ARGS_READ, &to)) != 0)
			break;
		if ((n = read(fd, to, ARGS_READ)) > 0)
			smx_buf_commit(out, (size_t)n);
		r = n < 0 ? SMX_ESYS : 0;
	} while (r == 0 && n > 0);
	(void)close(fd);
	return r;
#else
	(void)out;
	return SMX_EUNSUPPORTED;
#endif
}

_Noreturn void smx_os_exit_now(int code)
{
	_exit(code);
}

uint64_t smx_os_monotonic_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* can't fail for this clock */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void smx_os_sleep_ms(unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&ts, NULL); /* a signal may end it sooner */
}

int smx_os_is_terminal(int fd)
{
	return isatty(fd) == 1;
}

int smx_os_reload_signal(void)
{
	return SIGHUP;
}

void smx_os_thread_background(void)
{
#ifdef __linux__
	/* "Process" 0 is the calling thread here, and only here. */
	(void)setpriority(PRIO_PROCESS, 0, LEAST_NICE);
#elif defined(__APPLE__)
	(void)pthread_set_qos_class_self_np(QOS_CLASS_BACKGROUND, 0);
#endif
}

void smx_os_ignore_hangup(void)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	(void)sigaction(SIGHUP, &sa, NULL);
}

void smx_os_ignore_sigpipe(void)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	(void)sigaction(SIGPIPE, &sa, NULL);
}

int smx_os_raise_file_limit(uint64_t *ret_limit)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return SMX_ESYS;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) != 0) {
#ifdef OPEN_MAX
		/* macOS says "unlimited" and then takes no more than this. */
		rl.rlim_cur = OPEN_MAX;
		if (setrlimit(RLIMIT_NOFILE, &rl) != 0)
			return SMX_ESYS;
#else
		return SMX_ESYS;
#endif
	}
	*ret_limit = rl.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)rl.rlim_cur;
	return 0;
}

void smx_os_release_memory(void)
{
#ifdef __GLIBC__
	(void)malloc_trim(0);
#elif defined(__APPLE__)
	(void)malloc_zone_pressure_relief(NULL, 0);
#endif
}

int smx_os_disable_core_dumps(void)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return SMX_ESYS;
#ifdef __linux__
	/* The leak check of the sanitizers attaches to its own process. */
	if (!SMX_HAS_SANITIZER && prctl(PR_SET_DUMPABLE, 0) != 0)
		return SMX_ESYS;
#endif
	return 0;
}

uint64_t smx_os_lock_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_MEMLOCK, &rl) != 0)
		return 0;
	return rl.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)rl.rlim_cur;
}

void smx_os_tcp_ack_now(int64_t socket)
{
#ifdef TCP_QUICKACK
	int on = 1;

	(void)setsockopt((int)socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
#else
	(void)socket;
#endif
}

/* A pinentry of the system's asks here (A6). */
int smx_os_has_window(void)
{
	return 0;
}

int smx_os_window_ask(enum smx_os_window_kind kind, const struct smx_os_window_question *q,
	const atomic_int *stop, char *ret_answer, size_t size)
{
	(void)kind;
	(void)q;
	(void)stop;
	(void)ret_answer;
	(void)size;
	return SMX_EUNSUPPORTED;
}
