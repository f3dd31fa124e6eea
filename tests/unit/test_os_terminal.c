/* SPDX-License-Identifier: MIT */
/* Terminals, standard streams and the daemon's log and process (D1, D2). */
#include "os_box.h"

#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/mem.h"
#include "base/wire.h"
#include "os/log.h"
#include "os/process.h"
#include "os/terminal.h"

/* A terminal of ours: the other side, and the terminal itself. */
static void open_terminal(int *ret_master, int *ret_slave)
{
	*ret_master = posix_openpt(O_RDWR | O_NOCTTY);
	assert_true(*ret_master >= 0);
	assert_int_equal(grantpt(*ret_master), 0);
	assert_int_equal(unlockpt(*ret_master), 0);
	*ret_slave = open(ptsname(*ret_master), O_RDWR | O_NOCTTY);
	assert_true(*ret_slave >= 0);
}

/* The value of an opcode, or -1. */
static int64_t mode_of(struct smx_buf *modes, uint8_t wanted)
{
	struct smx_rd rd = smx_rd_view(smx_buf_as_view(modes));
	uint8_t opcode;
	uint32_t value;

	for (;;) {
		assert_int_equal(smx_rd_u8(&rd, &opcode), 0);
		if (opcode == 0) {
			assert_int_equal(smx_rd_end(&rd), 0);
			return -1;
		}
		assert_int_equal(smx_rd_u32(&rd, &value), 0);
		if (opcode == wanted)
			return value;
	}
}

/* RFC 4254 section 8. */
static void D2_modes_as_on_the_wire(void **state)
{
	struct termios t;
	int master, slave;

	(void)state;
	open_terminal(&master, &slave);
	assert_int_equal(tcgetattr(slave, &t), 0);
	t.c_cc[VINTR] = 7;
	t.c_cc[VSUSP] = _POSIX_VDISABLE;
	t.c_lflag &= ~(tcflag_t)ECHO;
	t.c_lflag |= ICANON;
	t.c_iflag |= IXANY;
	t.c_oflag &= ~(tcflag_t)ONLCR;
	assert_int_equal(cfsetospeed(&t, B9600), 0);
	assert_int_equal(cfsetispeed(&t, B9600), 0);
	assert_int_equal(tcsetattr(slave, TCSANOW, &t), 0);
	assert_int_equal(smx_os_terminal_modes(slave, &box.out), 0);
	assert_int_equal(mode_of(&box.out, 1), 7); /* VINTR */
	assert_int_equal(mode_of(&box.out, 10), 255); /* VSUSP */
	assert_int_equal(mode_of(&box.out, 39), 1); /* IXANY */
	assert_int_equal(mode_of(&box.out, 51), 1); /* ICANON */
	assert_int_equal(mode_of(&box.out, 53), 0); /* ECHO */
	assert_int_equal(mode_of(&box.out, 72), 0); /* ONLCR */
	assert_int_equal(mode_of(&box.out, 91), 1); /* CS8 */
	assert_int_equal(mode_of(&box.out, 128), 9600);
	assert_int_equal(mode_of(&box.out, 129), 9600);
	assert_int_equal(mode_of(&box.out, 200), -1);
	close(master);
	close(slave);
}

static void D2_size(void **state)
{
	struct winsize ws = { .ws_col = 121, .ws_row = 33, .ws_xpixel = 640, .ws_ypixel = 480 };
	struct smx_os_terminal_size size;
	int master, slave;

	(void)state;
	open_terminal(&master, &slave);
	assert_int_equal(ioctl(master, TIOCSWINSZ, &ws), 0);
	assert_int_equal(smx_os_terminal_size(slave, &size), 0);
	assert_int_equal(size.columns, 121);
	assert_int_equal(size.rows, 33);
	assert_int_equal(size.width, 640);
	assert_int_equal(size.height, 480);
	close(master);
	close(slave);
}

static void D2_no_terminal(void **state)
{
	struct smx_os_terminal_size size = { 1, 2, 3, 4 };
	int fd = open("/dev/null", O_RDWR);

	(void)state;
	assert_int_equal(smx_os_terminal_size(fd, &size), SMX_ENOTFOUND);
	assert_int_equal(size.rows, 2);
	assert_int_equal(smx_os_terminal_modes(fd, &box.out), SMX_ENOTFOUND);
	assert_int_equal(smx_buf_len(&box.out), 0);
	assert_int_equal(smx_os_terminal_raw(fd), SMX_ENOTFOUND);
	smx_os_terminal_restore();
	close(fd);
}

static void expect_modes(int slave, const struct termios *t)
{
	struct termios now;

	assert_int_equal(tcgetattr(slave, &now), 0);
	assert_int_equal(now.c_iflag, t->c_iflag);
	assert_int_equal(now.c_oflag, t->c_oflag);
	assert_int_equal(now.c_lflag, t->c_lflag);
	assert_memory_equal(now.c_cc, t->c_cc, sizeof(t->c_cc));
}

/* In a child, which a signal ends, or which ends by itself (0). */
static void die_raw(int slave, int signum)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct termios now;

		for (int i = 1; i < NSIG; i++)
			(void)signal(i, SIG_DFL); /* also those of a sanitizer */
		if (smx_os_terminal_raw(slave) != 0 || tcgetattr(slave, &now) != 0 ||
			(now.c_lflag & (ICANON | ECHO | ISIG)) || (now.c_oflag & OPOST))
			_exit(1);
		if (signum)
			(void)raise(signum);
		smx_os_terminal_restore();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (signum) {
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signum);
	} else {
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

static void D2_put_back_however_it_ends(void **state)
{
	static const int signals[] = { 0, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV,
		SIGUSR1, SIGPIPE };
	struct termios before;
	int master, slave;

	(void)state;
	open_terminal(&master, &slave);
	assert_int_equal(tcgetattr(slave, &before), 0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(signals); i++) {
		die_raw(slave, signals[i]);
		expect_modes(slave, &before);
	}
	close(master);
	close(slave);
}

/* ---- streams ------------------------------------------------------------------------------------
 */

static void D2_input_of_any_kind(void **state)
{
	struct smx_os_input *in;
	char got[16];
	size_t n = 99;
	int fds[2], fd;

	(void)state;
	put_file(at("f"), "text", 0600);
	fd = open(at("f"), O_RDONLY);
	assert_int_equal(smx_os_input_new(fd, &in), 0);
	assert_int_equal(smx_os_input_read(in, got, sizeof(got), &n), 0);
	assert_int_equal(n, 4);
	assert_int_equal(smx_os_input_read(in, got, sizeof(got), &n), SMX_EEOF);
	smx_os_input_free(in);
	close(fd);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(smx_os_input_new(fds[0], &in), 0);
	assert_int_equal(write(fds[1], "ab", 2), 2);
	assert_int_equal(smx_os_input_read(in, got, sizeof(got), &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0); /* not ours to change */
	close(fds[1]);
	assert_int_equal(smx_os_input_read(in, got, sizeof(got), &n), SMX_EEOF);
	smx_os_input_cancel(in);
	assert_int_equal(smx_os_input_read(in, got, sizeof(got), &n), SMX_ECANCELLED);
	smx_os_input_free(in);
	close(fds[0]);
	smx_os_input_free(NULL);
}

static void *read_in_thread(void *arg)
{
	char got[16];
	size_t n;

	return (void *)(intptr_t)smx_os_input_read(arg, got, sizeof(got), &n);
}

static void D2_input_is_cancelled_from_another_thread(void **state)
{
	struct smx_os_input *in;
	pthread_t thread;
	void *result;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(smx_os_input_new(fds[0], &in), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_in_thread, in), 0);
	usleep(50000);
	smx_os_input_cancel(in);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, SMX_ECANCELLED);
	smx_os_input_free(in);
	close(fds[0]);
	close(fds[1]);
}

static void *drain_in_thread(void *arg)
{
	char got[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = read(*(int *)arg, got, sizeof(got))) > 0)
		total += (size_t)n;
	return (void *)(uintptr_t)total;
}

static void D2_output_is_whole_also_where_others_made_it_non_blocking(void **state)
{
	static char big[300000];
	pthread_t thread;
	void *total;
	int fds[2];

	(void)state;
	smx_os_ignore_sigpipe();
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(pthread_create(&thread, NULL, drain_in_thread, &fds[0]), 0);
	assert_int_equal(smx_os_output_write(fds[1], big, sizeof(big)), 0);
	close(fds[1]);
	assert_int_equal(pthread_join(thread, &total), 0);
	assert_int_equal((uintptr_t)total, sizeof(big));
	close(fds[0]);
	/* Nobody reads it any more; and what can't be written at all. */
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	assert_int_equal(smx_os_output_write(fds[1], "x", 1), SMX_EEOF);
	close(fds[1]);
	fds[0] = open("/dev/full", O_WRONLY);
	if (fds[0] >= 0)
		assert_int_equal(smx_os_output_write(fds[0], "x", 1), SMX_ESYS);
	close(fds[0]);
}

/* ---- the daemon's log ---------------------------------------------------------------------------
 */

static void D1_log_is_appended_and_ours_alone(void **state)
{
	uint64_t size = 99;
	struct smx_buf few;
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(smx_os_log_open(at("log"), &fd, &size, &box.err), 0);
	assert_int_equal(size, 0);
	assert_int_equal(write(fd, "one\n", 4), 4);
	close(fd);
	assert_int_equal(chmod(at("log"), 0644), 0);
	assert_int_equal(smx_os_log_open(at("log"), &fd, &size, &box.err), 0);
	assert_int_equal(size, 4);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(write(fd, "two\n", 4), 4);
	assert_int_equal(smx_os_log_read(fd, size, &box.out), 0);
	assert_string_equal(smx_buf_cstr(&box.out), "two\n");
	/* Of more than there is room for the end, where the reason is; it is a string still. */
	smx_buf_init(&few, 6);
	assert_int_equal(smx_os_log_read(fd, 0, &few), 0);
	assert_string_equal(smx_buf_cstr(&few), "\ntwo\n");
	smx_buf_release(&few);
	close(fd);
	expect_content(at("log"), "one\ntwo\n");
	/* The directory is made, but not those above it. */
	assert_int_equal(smx_os_log_open(at("new/log"), &fd, &size, &box.err), 0);
	close(fd);
	assert_int_equal(stat(at("new"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(smx_os_log_open(at("none/new/log"), &fd, &size, &box.err), SMX_ENOTFOUND);
}

static void S1_log_that_is_no_file(void **state)
{
	uint64_t size;
	int fd = -7;

	(void)state;
	put_file(at("real"), "old", 0600);
	assert_int_equal(symlink("real", at("link")), 0);
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	make_dir(at("dir"), 0700);
	put_file(at("open"), "", 0666);
	make_dir(at("shared"), 0777);
	assert_int_equal(smx_os_log_open(at("link"), &fd, &size, &box.err), SMX_EUNSAFE);
	assert_int_equal(smx_os_log_open(at("dangling"), &fd, &size, &box.err), SMX_EUNSAFE);
	assert_int_equal(smx_os_log_open(at("fifo"), &fd, &size, &box.err), SMX_EUNSAFE);
	assert_int_equal(smx_os_log_open(at("dir"), &fd, &size, &box.err), SMX_EUNSAFE);
	assert_int_equal(smx_os_log_open(at("open"), &fd, &size, &box.err), SMX_EUNSAFE);
	assert_int_equal(smx_os_log_open(at("shared/log"), &fd, &size, &box.err), SMX_EUNSAFE);
	assert_int_equal(smx_os_log_open("log", &fd, &size, &box.err), SMX_EINVAL);
	assert_int_equal(fd, -7);
	assert_int_equal(access(at("nowhere"), F_OK), -1);
	expect_content(at("real"), "old");
}

static void S1_log_of_somebody_else(void **state)
{
	uint64_t size;
	int fd;

	(void)state;
	need_root();
	put_file(at("log"), "", 0600);
	assert_int_equal(chown(at("log"), FOREIGN_UID, FOREIGN_UID), 0);
	assert_int_equal(smx_os_log_open(at("log"), &fd, &size, &box.err), SMX_EUNSAFE);
}

/* The view that fills a terminal (B10): an empty screen of its own, and back. */
static void B10_full_and_back(void **state)
{
	struct termios t;
	int master, slave, null = open("/dev/null", O_RDWR);
	char text[256];
	ssize_t n;

	(void)state;
	open_terminal(&master, &slave);
	assert_int_equal(tcgetattr(slave, &t), 0);
	assert_int_equal(smx_os_terminal_full(slave, null), SMX_ENOTFOUND);
	assert_int_equal(smx_os_terminal_full(null, slave), SMX_ENOTFOUND);
	expect_modes(slave, &t);
	assert_int_equal(smx_os_terminal_full(slave, slave), 0);
	n = read(master, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "\033[?1049h"));
	smx_os_terminal_restore();
	n = read(master, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "\033[?25h"));
	assert_non_null(strstr(text, "\033[?1049l"));
	expect_modes(slave, &t);
	smx_os_terminal_restore(); /* once */
	assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(read(master, text, sizeof(text)), -1);
	close(null);
	close(master);
	close(slave);
}

static void B10_encoding_of_the_terminal(void **state)
{
	static const struct {
		const char *all, *ctype, *lang;
		int is_utf8;
	} cases[] = {
		{ "", "", "", 0 },
		{ "", "", "en_US.UTF-8", 1 },
		{ "", "", "de_DE.utf8@euro", 1 },
		{ "C", "", "en_US.UTF-8", 0 },
		{ "", "C", "en_US.UTF-8", 0 },
		{ "C.UTF-8", "C", "C", 1 },
		{ "", "", "de_DE.ISO-8859-1", 0 },
		{ "", "", "utf", 0 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(setenv("LC_ALL", cases[i].all, 1), 0);
		assert_int_equal(setenv("LC_CTYPE", cases[i].ctype, 1), 0);
		assert_int_equal(setenv("LANG", cases[i].lang, 1), 0);
		assert_int_equal(smx_os_terminal_is_utf8(), cases[i].is_utf8);
	}
}

#ifdef F_SETPIPE_SZ

/* What somebody has made larger stays so, and what is no pipe is left alone. */
static void B7_pipe_is_widened(void **state)
{
	const struct {
		int before, after;
	} cases[] = { { 4096, 256 * 1024 }, { 64 * 1024, 256 * 1024 }, { 256 * 1024, 256 * 1024 },
		{ 512 * 1024, 512 * 1024 } };
	int p[2];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(pipe(p), 0);
		assert_int_equal(fcntl(p[0], F_SETPIPE_SZ, cases[i].before), cases[i].before);
		smx_os_pipe_widen(p[i % 2]);
		assert_int_equal(fcntl(p[0], F_GETPIPE_SZ), cases[i].after);
		close(p[0]);
		close(p[1]);
	}
	smx_os_pipe_widen(p[0]);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B10_full_and_back),
		cmocka_unit_test(B10_encoding_of_the_terminal),
		TEST(D2_modes_as_on_the_wire),
		TEST(D2_size),
		TEST(D2_no_terminal),
		TEST(D2_put_back_however_it_ends),
		TEST(D2_input_of_any_kind),
		TEST(D2_input_is_cancelled_from_another_thread),
		TEST(D2_output_is_whole_also_where_others_made_it_non_blocking),
#ifdef F_SETPIPE_SZ
		TEST(B7_pipe_is_widened),
#endif
		TEST(D1_log_is_appended_and_ours_alone),
		TEST(S1_log_that_is_no_file),
		TEST(S1_log_of_somebody_else),
	};

	return cmocka_run_group_tests_name("os_terminal", tests, NULL, NULL);
}
