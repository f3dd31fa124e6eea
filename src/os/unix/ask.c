/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/ask.h"
#include "os/caller.h"
#include "os/unix/unix.h"

#define CTRL_C    0x03
#define CTRL_D    0x04
#define CTRL_U    0x15
#define BACKSPACE 0x08
#define DELETE    0x7f

struct smx_os_ask {
	int tty;
	int cancel[2]; /* a byte in it: give up */
	int is_foreign; /* not our own: its keys are told, not ours to act on */
	int key; /* enum smx_os_key that cancelled, or -1 */
	struct termios saved, raw;
};

int smx_os_ask_new(struct smx_os_ask **ret)
{
	struct smx_os_ask *a = smx_calloc(1, sizeof(*a));

	if (!a)
		return SMX_ENOMEM;
	a->tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (a->tty < 0) {
		smx_free(a);
		return SMX_ENOTFOUND;
	}
	if (pipe(a->cancel) != 0) {
		(void)close(a->tty);
		smx_free(a);
		return SMX_ESYS;
	}
	for (int i = 0; i < 2; i++)
		(void)fcntl(a->cancel[i], F_SETFD, FD_CLOEXEC);
	a->key = -1;
	*ret = a;
	return 0;
}

int smx_os_ask_new_at(int tty, int life, struct smx_os_ask **ret)
{
	struct smx_os_ask *a = isatty(tty) ? smx_calloc(1, sizeof(*a)) : NULL;

	if (!a) {
		int r = isatty(tty) ? SMX_ENOMEM : SMX_ENOTFOUND;

		(void)close(tty);
		(void)close(life);
		return r;
	}
	a->tty = tty;
	a->cancel[0] = life;
	a->cancel[1] = -1;
	a->is_foreign = 1;
	a->key = -1;
	*ret = a;
	return 0;
}

int smx_os_ask_was_key(const struct smx_os_ask *a, enum smx_os_key *ret)
{
	if (a->key < 0)
		return 0;
	*ret = (enum smx_os_key)a->key;
	return 1;
}

void smx_os_ask_free(struct smx_os_ask *a)
{
	if (!a)
		return;
	(void)close(a->tty);
	(void)close(a->cancel[0]);
	if (a->cancel[1] >= 0)
		(void)close(a->cancel[1]);
	smx_free(a);
}

int ask_end_with_parent(struct smx_os_ask *a)
{
	/* The parent holds the other end: when it closes it, or dies, the question is over. */
	return close(a->cancel[1]);
}

int ask_keep_life_only(struct smx_os_ask *a)
{
	int life = a->cancel[1];

	(void)close(a->tty);
	(void)close(a->cancel[0]);
	smx_free(a);
	return life;
}

void smx_os_ask_cancel(struct smx_os_ask *a)
{
	/* One byte, never read: a run to come sees it too. */
	(void)!write(a->cancel[1], "c", 1);
}

static void show(struct smx_os_ask *a, const char *s, size_t n)
{
	ssize_t w;

	while (n) {
		w = write(a->tty, s, n);
		if (w < 0 && errno != EINTR)
			return;
		if (w > 0) {
			s += w;
			n -= (size_t)w;
		}
	}
}

/* One byte from the terminal. */
static int read_byte(struct smx_os_ask *a, unsigned char *ret)
{
	struct pollfd fds[2] = { { a->cancel[0], POLLIN, 0 }, { a->tty, POLLIN, 0 } };
	ssize_t n;

	for (;;) {
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return SMX_ESYS;
		}
		if (fds[0].revents)
			return SMX_ECANCELLED;
		if ((n = read(a->tty, ret, 1)) == 1)
			return 0;
		if (n == 0 || (errno != EINTR && errno != EAGAIN))
			return SMX_ECANCELLED; /* the terminal is gone */
	}
}

static int is_key(const struct smx_os_ask *a, int index, unsigned char c)
{
	cc_t key = a->saved.c_cc[index];

	return (a->saved.c_lflag & ISIG) && key != _POSIX_VDISABLE && c == key;
}

/* Of a terminal that is not ours, the keys that its own job would be sent. */
static int take_key(struct smx_os_ask *a, unsigned char c)
{
	if (!a->is_foreign)
		return 0;
	if (is_key(a, VINTR, c) || c == CTRL_C)
		a->key = SMX_OS_KEY_INTERRUPT;
	else if (is_key(a, VQUIT, c))
		a->key = SMX_OS_KEY_QUIT;
	else if (is_key(a, VSUSP, c))
		a->key = SMX_OS_KEY_SUSPEND;
	return a->key >= 0;
}

/* Edits a line by hand, for the terminal passes every key on. */
static int read_line(struct smx_os_ask *a, int echo, char *out, size_t size)
{
	unsigned char c;
	size_t n = 0;
	int r;

	for (;;) {
		if ((r = read_byte(a, &c)) != 0)
			return r;
		if (c == '\n' || c == '\r')
			break;
		if (c == CTRL_D && n == 0 && a->is_foreign)
			break; /* no answer, as to ssh itself */
		if (take_key(a, c) || c == CTRL_C || (c == CTRL_D && n == 0))
			return SMX_ECANCELLED;
		if (c == BACKSPACE || c == DELETE || c == CTRL_U) {
			for (size_t drop = c == CTRL_U ? n : (n ? 1 : 0); drop; drop--) {
				out[--n] = '\0';
				if (echo)
					show(a, "\b \b", 3);
			}
			continue;
		}
		if (c < 0x20)
			continue;
		if (n + 1 >= size)
			return SMX_ELIMIT;
		out[n++] = (char)c;
		if (echo)
			show(a, (const char *)&c, 1);
	}
	out[n] = '\0';
	return 0;
}

/*
 * Whether the modes are still those that were set. A shell whose job was killed puts its own in
 * their place, and what was there before would spoil them.
 */
static int is_ours(const struct smx_os_ask *a)
{
	struct termios now;

	return !a->is_foreign ||
	       (tcgetattr(a->tty, &now) == 0 && now.c_iflag == a->raw.c_iflag &&
		       now.c_oflag == a->raw.c_oflag && now.c_cflag == a->raw.c_cflag &&
		       now.c_lflag == a->raw.c_lflag &&
		       memcmp(now.c_cc, a->raw.c_cc, sizeof(now.c_cc)) == 0);
}

int smx_os_ask_run(struct smx_os_ask *a, const char *text, int echo, char *ret_answer, size_t size)
{
	int r;

	if (tcgetattr(a->tty, &a->saved) != 0)
		return SMX_ESYS;
	a->raw = a->saved;
	/* Keys as they come, signals among them; output is cooked for "\n" (A14). */
	a->raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHOE | ECHOK | ECHONL | ISIG | IEXTEN);
	a->raw.c_oflag |= OPOST | ONLCR;
	a->raw.c_cc[VMIN] = 1;
	a->raw.c_cc[VTIME] = 0;
	if (tcsetattr(a->tty, TCSAFLUSH, &a->raw) != 0 || tcgetattr(a->tty, &a->raw) != 0)
		return SMX_ESYS;
	show(a, text, strlen(text));
	r = read_line(a, echo, ret_answer, size);
	if (is_ours(a)) {
		show(a, "\n", 1);
		(void)tcsetattr(a->tty, TCSAFLUSH, &a->saved);
	}
	if (r != 0)
		smx_wipe(ret_answer, size);
	return r;
}
