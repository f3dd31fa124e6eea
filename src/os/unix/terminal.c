/* SPDX-License-Identifier: MIT */
/* The terminal of `ssh-mux connect` (D2) and `ssh-mux top` (B10). */
#include "os/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"

int smx_os_terminal_size(int fd, struct smx_os_terminal_size *ret)
{
	struct winsize ws;

	if (ioctl(fd, TIOCGWINSZ, &ws) != 0)
		return SMX_ENOTFOUND;
	*ret = (struct smx_os_terminal_size){ ws.ws_col, ws.ws_row, ws.ws_xpixel, ws.ws_ypixel };
	return 0;
}

/* ---- modes (RFC 4254 section 8) ----------------------------------------------------------------
 */

#define MODE_END    0
#define MODE_ISPEED 128
#define MODE_OSPEED 129

struct special {
	uint8_t opcode;
	int index; /* in c_cc */
};

static const struct special specials[] = {
	{ 1, VINTR },
	{ 2, VQUIT },
	{ 3, VERASE },
	{ 4, VKILL },
	{ 5, VEOF },
	{ 6, VEOL },
	{ 7, VEOL2 },
	{ 8, VSTART },
	{ 9, VSTOP },
	{ 10, VSUSP },
#ifdef VDSUSP
	{ 11, VDSUSP },
#endif
	{ 12, VREPRINT },
	{ 13, VWERASE },
	{ 14, VLNEXT },
#ifdef VSWTCH
	{ 16, VSWTCH },
#elif defined(VSWTC)
	{ 16, VSWTC },
#endif
#ifdef VSTATUS
	{ 17, VSTATUS },
#endif
	{ 18, VDISCARD },
};

struct flag {
	uint8_t opcode;
	tcflag_t mask;
};

static const struct flag input_flags[] = {
	{ 30, IGNPAR }, { 31, PARMRK }, { 32, INPCK }, { 33, ISTRIP }, { 34, INLCR }, { 35, IGNCR },
	{ 36, ICRNL },
#ifdef IUCLC
	{ 37, IUCLC },
#endif
	{ 38, IXON }, { 39, IXANY }, { 40, IXOFF }, { 41, IMAXBEL },
#ifdef IUTF8
	{ 42, IUTF8 }, /* RFC 8160 */
#endif
};

static const struct flag local_flags[] = {
	{ 50, ISIG },
	{ 51, ICANON },
#ifdef XCASE
	{ 52, XCASE },
#endif
	{ 53, ECHO },
	{ 54, ECHOE },
	{ 55, ECHOK },
	{ 56, ECHONL },
	{ 57, NOFLSH },
	{ 58, TOSTOP },
	{ 59, IEXTEN },
	{ 60, ECHOCTL },
	{ 61, ECHOKE },
	{ 62, PENDIN },
};

static const struct flag output_flags[] = {
	{ 70, OPOST },
#ifdef OLCUC
	{ 71, OLCUC },
#endif
	{ 72, ONLCR },
	{ 73, OCRNL },
	{ 74, ONOCR },
	{ 75, ONLRET },
};

/* The size is a field of two bits, and servers turn each bit on or off by itself: in this order
 * CS8 comes out as it was, which is the one that is used. */
static const struct flag control_flags[] = {
	{ 90, CS7 },
	{ 91, CS8 },
	{ 92, PARENB },
	{ 93, PARODD },
};

static const struct {
	speed_t code;
	uint32_t bits_per_second;
} speeds[] = {
	{ B0, 0 },
	{ B50, 50 },
	{ B75, 75 },
	{ B110, 110 },
	{ B134, 134 },
	{ B150, 150 },
	{ B200, 200 },
	{ B300, 300 },
	{ B600, 600 },
	{ B1200, 1200 },
	{ B1800, 1800 },
	{ B2400, 2400 },
	{ B4800, 4800 },
	{ B9600, 9600 },
	{ B19200, 19200 },
	{ B38400, 38400 },
	{ B57600, 57600 },
	{ B115200, 115200 },
	{ B230400, 230400 },
};

static uint32_t speed_of(speed_t code)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(speeds); i++)
		if (speeds[i].code == code)
			return speeds[i].bits_per_second;
	return 9600; /* as ssh, where a speed has no name */
}

static int put_mode(struct smx_buf *out, uint8_t opcode, uint32_t value)
{
	int r = smx_put_u8(out, opcode);

	return r == 0 ? smx_put_u32(out, value) : r;
}

static int put_flags(struct smx_buf *out, const struct flag *flags, size_t n, tcflag_t field)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = put_mode(out, flags[i].opcode, (field & flags[i].mask) != 0);
	return r;
}

int smx_os_terminal_modes(int fd, struct smx_buf *out)
{
	struct termios t;
	int r;

	if (tcgetattr(fd, &t) != 0)
		return SMX_ENOTFOUND;
	if ((r = put_mode(out, MODE_OSPEED, speed_of(cfgetospeed(&t)))) != 0 ||
		(r = put_mode(out, MODE_ISPEED, speed_of(cfgetispeed(&t)))) != 0)
		return r;
	for (size_t i = 0; i < SMX_ARRAY_LEN(specials); i++) {
		cc_t c = t.c_cc[specials[i].index];

		/* 255 is the wire's "none". */
		if ((r = put_mode(out, specials[i].opcode, c == _POSIX_VDISABLE ? 255 : c)) != 0)
			return r;
	}
	if ((r = put_flags(out, input_flags, SMX_ARRAY_LEN(input_flags), t.c_iflag)) != 0 ||
		(r = put_flags(out, local_flags, SMX_ARRAY_LEN(local_flags), t.c_lflag)) != 0 ||
		(r = put_flags(out, output_flags, SMX_ARRAY_LEN(output_flags), t.c_oflag)) != 0 ||
		(r = put_flags(out, control_flags, SMX_ARRAY_LEN(control_flags), t.c_cflag)) != 0)
		return r;
	return smx_put_u8(out, MODE_END);
}

/* ---- raw ---------------------------------------------------------------------------------------
 */

/* What a signal handler needs; written before the handlers are there. */
static struct termios saved, raw;
static volatile sig_atomic_t raw_fd = -1, screen_fd = -1;

/* The other screen, the cursor, the wrapping of lines; the end of an update that was begun. */
static const char screen_on[] = "\033[?1049h\033[?25l\033[?7l\033[2J\033[H";
static const char screen_off[] = "\033[?2026l\033[0m\033[2J\033[?7h\033[?25h\033[?1049l";

/* Best effort, and fit for a signal handler. */
static void tell_screen(const char *text, size_t len)
{
	if (screen_fd >= 0)
		(void)!write(screen_fd, text, len);
}

/* Signals that end a process and can be caught. */
static const int deadly[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGALRM, SIGPIPE, SIGUSR1,
	SIGUSR2, SIGXCPU, SIGXFSZ, SIGSEGV, SIGBUS, SIGILL, SIGFPE };

/* Only what may be called from a handler: tcsetattr, sigaction and raise are on POSIX's list. */
static void on_deadly(int signum)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	smx_os_terminal_restore();
	(void)sigaction(signum, &dfl, NULL);
	(void)raise(signum); /* delivered when the handler returns */
}

static void on_continue(int signum)
{
	int e = errno;

	(void)signum;
	/* A shell has had the terminal meanwhile. */
	if (raw_fd >= 0)
		(void)tcsetattr(raw_fd, TCSADRAIN, &raw);
	tell_screen(screen_on, sizeof(screen_on) - 1);
	errno = e;
}

/* Leaves alone what is ignored (nohup) or somebody else's (a sanitizer). */
static void set_handler(int signum, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler }, old;

	(void)sigemptyset(&sa.sa_mask);
	if (sigaction(signum, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
		old.sa_handler == SIG_DFL)
		(void)sigaction(signum, &sa, NULL);
}

int smx_os_terminal_raw(int fd)
{
	if (tcgetattr(fd, &saved) != 0)
		return SMX_ENOTFOUND;
	raw = saved;
	raw.c_iflag |= IGNPAR;
	raw.c_iflag &= ~(tcflag_t)(ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXANY | IXOFF);
#ifdef IUCLC
	raw.c_iflag &= ~(tcflag_t)IUCLC;
#endif
	raw.c_lflag &= ~(tcflag_t)(ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
	raw.c_oflag &= ~(tcflag_t)OPOST;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	raw_fd = fd;
	for (size_t i = 0; i < SMX_ARRAY_LEN(deadly); i++)
		set_handler(deadly[i], on_deadly);
	set_handler(SIGCONT, on_continue);
	if (tcsetattr(fd, TCSADRAIN, &raw) == 0)
		return 0;
	raw_fd = -1;
	return SMX_ESYS;
}

void smx_os_terminal_restore(void)
{
	sigset_t ttou, old;
	int fd = raw_fd;

	if (fd < 0)
		return;
	raw_fd = -1;
	/* In the background this would stop us; the terminal matters more. */
	(void)sigemptyset(&ttou);
	(void)sigaddset(&ttou, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &ttou, &old);
	tell_screen(screen_off, sizeof(screen_off) - 1);
	screen_fd = -1;
	(void)tcsetattr(fd, TCSADRAIN, &saved);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
}

int smx_os_terminal_full(int in, int out)
{
	int r;

	if (!isatty(out))
		return SMX_ENOTFOUND;
	if ((r = smx_os_terminal_raw(in)) != 0)
		return r;
	screen_fd = out;
	tell_screen(screen_on, sizeof(screen_on) - 1);
	return 0;
}

int smx_os_terminal_is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *value = NULL;

	/* The first that is set counts. Whether this system has that locale is no matter here. */
	for (size_t i = 0; i < SMX_ARRAY_LEN(names) && (!value || !*value); i++)
		value = getenv(names[i]);
	for (; value && *value; value++)
		if (strncasecmp(value, "utf-8", 5) == 0 || strncasecmp(value, "utf8", 4) == 0)
			return 1;
	return 0;
}
