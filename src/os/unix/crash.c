/* SPDX-License-Identifier: MIT */
/*
 * The last words of a process that crashes (D4), to stderr and the log.
 *
 * What runs in the handler may have been interrupted anywhere, with a lock of the C library held or
 * the heap broken. So it makes system calls, and computes on its own stack: no memory is allocated,
 * nothing of stdio, no time zone. The exceptions are backtrace() and backtrace_symbols_fd(), which
 * POSIX does not know. Those of glibc allocate nothing once the unwinder is loaded (which
 * smx_os_crash_install sees to); they read tables that are mapped for good, and may take the
 * loader's lock, which is recursive: another thread that has it lets it go. If all the same they
 * hang, the alarm ends the process; if they crash, the signal, blocked now, ends it at once. By
 * then what matters is written.
 *
 * A stack overflow is reported for the main thread only: the others have no second stack.
 */
#include "os/log.h"

#include <assert.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#if defined(__GLIBC__) || defined(__APPLE__)
#include <execinfo.h>
#define HAS_BACKTRACE 1
#else
#define HAS_BACKTRACE 0
#endif
#if defined(__linux__) || defined(__FreeBSD__)
#include <link.h>
#define HAS_PHDR 1
#else
#define HAS_PHDR 0
#endif

#include "base/mem.h"
#include "base/stamp.h"
#include "os/unix/unix.h"

#define FRAMES_MAX   64
#define STACK_LEN    (64 * 1024)
#define TIME_LIMIT_S 5
#define WORDS_SIZE   512

static const struct {
	int number;
	const char *name;
} signals[] = {
	{ SIGSEGV, "SIGSEGV, bad memory access" },
	{ SIGBUS, "SIGBUS, bad memory access" },
	{ SIGILL, "SIGILL, illegal instruction" },
	{ SIGFPE, "SIGFPE, arithmetic error" },
	{ SIGABRT, "SIGABRT, aborted" },
};

static const char *program_name = "";
static uintptr_t module_base;
static volatile sig_atomic_t log_fd = -1;
static int is_crashing;

/* ---- text without the C library ----------------------------------------------------------------
 */

struct words {
	char text[WORDS_SIZE];
	size_t len;
};

static void put(struct words *w, const char *s)
{
	while (*s && w->len < sizeof(w->text))
		w->text[w->len++] = *s++;
}

static void put_number(struct words *w, uint64_t n, unsigned base)
{
	char digits[24], *p = digits + sizeof(digits) - 1;

	*p = '\0';
	do {
		*--p = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	if (base == 16) {
		*--p = 'x';
		*--p = '0';
	}
	put(w, p);
}

static void begin(struct words *w)
{
	struct timespec ts = { 0, 0 };
	char stamp[SMX_LOG_STAMP_SIZE];

	w->len = 0;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	smx_log_stamp((int64_t)ts.tv_sec, (unsigned)(ts.tv_nsec / 1000000), stamp);
	put(w, stamp);
	put(w, " error ");
}

static void say(const struct words *w)
{
	if (log_fd >= 0)
		(void)!write(log_fd, w->text, w->len);
	(void)!write(STDERR_FILENO, w->text, w->len);
}

/* ---- the handler -------------------------------------------------------------------------------
 */

static void say_trace(void)
{
#if HAS_BACKTRACE
	void *frames[FRAMES_MAX];
	int n = backtrace(frames, FRAMES_MAX);

	if (log_fd >= 0)
		backtrace_symbols_fd(frames, n, log_fd);
	backtrace_symbols_fd(frames, n, STDERR_FILENO);
#endif
}

static void say_crash(int number, const siginfo_t *info)
{
	struct words w;

	begin(&w);
	put(&w, program_name);
	put(&w, " crashed: signal ");
	put_number(&w, (uint64_t)number, 10);
	for (size_t i = 0; i < SMX_ARRAY_LEN(signals); i++) {
		if (signals[i].number != number)
			continue;
		put(&w, " (");
		put(&w, signals[i].name);
		put(&w, ")");
	}
	if (info->si_code > 0 && number != SIGABRT) {
		put(&w, " at address ");
		put_number(&w, (uintptr_t)info->si_addr, 16);
	} else {
		/* SI_USER and its like: there is no address, somebody sent it. */
		put(&w, " sent by process ");
		put_number(&w, (uint64_t)info->si_pid, 10);
	}
	put(&w, "; process ");
	put_number(&w, (uint64_t)getpid(), 10);
	put(&w, ", program loaded at ");
	put_number(&w, module_base, 16);
	put(&w, HAS_BACKTRACE ? "; called from:\n" : "\n");
	say(&w);
}

static void set_default(int number)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t one;

	(void)sigaction(number, &dfl, NULL);
	(void)sigemptyset(&one);
	(void)sigaddset(&one, number);
	if (number == SIGALRM)
		(void)sigprocmask(SIG_UNBLOCK, &one, NULL);
}

static void on_crash(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (__atomic_exchange_n(&is_crashing, 1, __ATOMIC_SEQ_CST)) {
		/* Another thread's turn: it ends us all. */
		for (;;)
			(void)pause();
	}
	set_default(SIGALRM);
	(void)alarm(TIME_LIMIT_S);
	say_crash(number, info);
	say_trace();
	(void)alarm(0);
	/* It is blocked until we return: then it ends the process, and tells who waits for it. */
	set_default(number);
	(void)raise(number);
}

/* ---- an assertion that failed ------------------------------------------------------------------
 */

#if defined(__GLIBC__) && !defined(NDEBUG)
/*
 * What assert() calls here; that of the C library would write to stderr only, and use stdio. The
 * abort() says the rest.
 */
void __assert_fail(const char *assertion, const char *file, unsigned int line, const char *function)
{
	struct words w;

	begin(&w);
	put(&w, file);
	put(&w, ":");
	put_number(&w, line, 10);
	put(&w, ": ");
	put(&w, function ? function : "?");
	put(&w, ": assertion failed: ");
	put(&w, assertion);
	put(&w, "\n");
	w.text[sizeof(w.text) - 1] = '\n';
	say(&w);
	abort();
}
#endif

/* ---- setting up --------------------------------------------------------------------------------
 */

#if HAS_PHDR
static int on_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(uintptr_t *)arg = (uintptr_t)info->dlpi_addr;
	return 1; /* the first is the program */
}
#endif

void smx_unix_crash_log(int fd)
{
	log_fd = fd;
}

void smx_unix_crash_install(const char *program)
{
	struct sigaction sa = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	void *stack = mmap(NULL, STACK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
	stack_t second = { .ss_sp = stack, .ss_size = STACK_LEN };

	program_name = program;
#if HAS_PHDR
	(void)dl_iterate_phdr(on_module, &module_base);
#endif
#if HAS_BACKTRACE
	void *frame[1];

	(void)backtrace(frame, 1); /* loads what it needs */
#endif
	if (stack != MAP_FAILED)
		(void)sigaltstack(&second, NULL);
	/* One at a time: a crash in the handler is the end. */
	(void)sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < SMX_ARRAY_LEN(signals); i++)
		(void)sigaddset(&sa.sa_mask, signals[i].number);
	for (size_t i = 0; i < SMX_ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i].number, &sa, NULL);
}

void smx_os_crash_install(const char *program)
{
	if (!SMX_HAS_SANITIZER)
		smx_unix_crash_install(program);
}
