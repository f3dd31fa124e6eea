/* SPDX-License-Identifier: MIT */
/* The last words of a process (D4). Each crash is one of a child. */
#include "os_box.h"

#include <assert.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "os/log.h"
#include "os/process.h"
#include "os/unix/unix.h"

#define PROGRAM     "ssh-mux 1.2.3"
#define SECRET      "correct horse battery staple"
#define TEXT_SIZE   16384
#define STACK_BYTES (1u << 20)

static char log_text[TEXT_SIZE], err_output[TEXT_SIZE];
static volatile char *nowhere; /* memory that can't be touched */
static volatile int depth;

static void by_access(void)
{
	nowhere[0x123] = 1;
}

static void by_signal_segv(void)
{
	(void)raise(SIGSEGV);
}

static void by_signal_bus(void)
{
	(void)raise(SIGBUS);
}

static void by_signal_ill(void)
{
	(void)raise(SIGILL);
}

static void by_signal_fpe(void)
{
	(void)raise(SIGFPE);
}

static void by_assert(void)
{
	assert(depth == 17);
}

static int fall(int n)
{
	volatile char filler[1024];

	filler[0] = (char)n;
	if (depth < n)
		return n;
	return fall(n + 1) + filler[0];
}

static void by_stack_overflow(void)
{
	depth = INT32_MAX;
	(void)fall(0);
}

static void read_file(const char *path, char *out)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, out, TEXT_SIZE - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	close(fd);
}

/* In the child, from whose memory nothing may get out. */
static void crash(void (*how)(void))
{
	struct rlimit stack = { STACK_BYTES, STACK_BYTES };
	volatile char secret[] = SECRET;
	struct smx_os_log *l;
	int fd = open(at("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || dup2(fd, 2) < 0 || setrlimit(RLIMIT_STACK, &stack) != 0)
		_exit(2);
	(void)smx_os_disable_core_dumps();
	if (smx_os_log_new(at("log"), 1000, 0, &l, NULL) != 0)
		_exit(3);
	smx_unix_crash_install(PROGRAM);
	/* The log was rotated meanwhile. */
	for (int i = 0; i < 100; i++)
		(void)smx_os_log_write(l, "a line of the log\n", 18, NULL);
	how();
	_exit(secret[0] ? 4 : 5);
}

static pid_t die(void (*how)(void), int signal_number)
{
	pid_t pid;
	int status;

	(void)unlink(at("log"));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		crash(how);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* It ends as it would have. */
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), signal_number);
	read_file(at("log"), log_text);
	read_file(at("stderr"), err_output);
	assert_null(strstr(log_text, SECRET));
	assert_null(strstr(err_output, SECRET));
	return pid;
}

static size_t count_frames(const char *text)
{
	size_t n = 0;

	for (const char *s = text; (s = strstr(s, "[0x")) != NULL; s++)
		n++;
	return n;
}

static void check_report(const char *text, const char *name, pid_t pid)
{
	const char *at_line = strstr(text, " error " PROGRAM " crashed: signal ");
	char expected[64];

	assert_non_null(at_line);
	assert_int_equal(at_line[-1], 'Z'); /* a time in front, like any line's */
	assert_non_null(strstr(at_line, name));
	(void)snprintf(
		expected, sizeof(expected), "; process %ld, program loaded at 0x", (long)pid);
	assert_non_null(strstr(at_line, expected));
#ifdef __GLIBC__
	assert_true(count_frames(at_line) >= 3);
#endif
}

/* D4: to the log and to stderr, in the form of its lines, with a trace. */
static void D4_every_signal_is_reported(void **state)
{
	static const struct {
		void (*how)(void);
		int number;
		const char *name;
	} all[] = {
		{ by_access, SIGSEGV, "SIGSEGV" },
		{ by_signal_segv, SIGSEGV, "SIGSEGV" },
		{ by_signal_bus, SIGBUS, "SIGBUS" },
		{ by_signal_ill, SIGILL, "SIGILL" },
		{ by_signal_fpe, SIGFPE, "SIGFPE" },
		{ abort, SIGABRT, "SIGABRT" },
		{ by_stack_overflow, SIGSEGV, "SIGSEGV" },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(all); i++) {
		pid_t pid = die(all[i].how, all[i].number);

		check_report(log_text, all[i].name, pid);
		check_report(err_output, all[i].name, pid);
	}
}

/* D4: the address that was touched, as it is. */
static void D4_address_of_a_bad_access(void **state)
{
	char expected[64];

	(void)state;
	(void)die(by_access, SIGSEGV);
	(void)snprintf(expected, sizeof(expected), " at address 0x%lx;",
		(unsigned long)(uintptr_t)(nowhere + 0x123));
	assert_non_null(strstr(log_text, expected));
}

/* D4: a crash writes its message; that of an assertion says which. */
static void D4_assertion_is_in_the_log(void **state)
{
	(void)state;
#ifdef __GLIBC__
	check_report(log_text, "SIGABRT", die(by_assert, SIGABRT));
	assert_non_null(strstr(log_text, "test_log_crash.c:"));
	assert_non_null(strstr(log_text, ": by_assert: assertion failed: depth == 17\n"));
	assert_non_null(strstr(err_output, ": assertion failed: depth == 17\n"));
#else
	skip();
#endif
}

/* D4: where stderr is the log, once. */
static void crash_as_a_daemon(void)
{
	struct smx_os_log *l;

	if (smx_os_log_new(at("daemon.log"), SMX_OS_LOG_MAX, 1, &l, NULL) != 0)
		_exit(3);
	(void)raise(SIGSEGV);
}

static void D4_reported_once_where_stderr_is_the_log(void **state)
{
	const char *first;

	(void)state;
	(void)die(crash_as_a_daemon, SIGSEGV);
	read_file(at("daemon.log"), log_text);
	first = strstr(log_text, "crashed: signal");
	assert_non_null(first);
	assert_null(strstr(first + 1, "crashed: signal"));
}

/* A sanitizer has its own report, and keeps it. */
static void D4_sanitizers_are_left_alone(void **state)
{
	struct sigaction before, after;

	(void)state;
	assert_int_equal(sigaction(SIGSEGV, NULL, &before), 0);
	if (!SMX_HAS_SANITIZER)
		skip();
	smx_os_crash_install(PROGRAM);
	assert_int_equal(sigaction(SIGSEGV, NULL, &after), 0);
	assert_ptr_equal(before.sa_sigaction, after.sa_sigaction);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(D4_every_signal_is_reported),
		TEST(D4_address_of_a_bad_access),
		TEST(D4_assertion_is_in_the_log),
		TEST(D4_reported_once_where_stderr_is_the_log),
		TEST(D4_sanitizers_are_left_alone),
	};

	nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
