/* SPDX-License-Identifier: MIT */
/* A question asked by the pinentry of a client's environment (A6), which may use its terminal. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"
#include "pinentry/dialogue.h"

#define END_MS    1000 /* a pinentry has this long to put the terminal back */
#define LABEL_MAX 60 /* longer prompts are no label of a field */

struct child {
	pid_t pid;
	int to, from;
	int tty; /* our terminal, in whose foreground we are; -1: none */
	struct termios modes; /* as they were */
};

/* --- the terminal --- */

/* *name becomes NULL where the terminal is another job's: to draw there would only spoil that. */
static void take_terminal(struct child *c, const char **name)
{
	pid_t owner;

	c->tty = *name ? open(*name, O_RDWR | O_CLOEXEC | O_NOCTTY) : -1;
	if (c->tty < 0)
		return;
	owner = tcgetpgrp(c->tty);
	if (owner == getpgrp() && tcgetattr(c->tty, &c->modes) == 0)
		return;
	if (owner >= 0)
		*name = NULL;
	(void)close(c->tty);
	c->tty = -1;
}

/* As it was, should the program not have done it; unless it is another's by now. */
static void give_terminal_back(struct child *c)
{
	pid_t owner;

	if (c->tty < 0)
		return;
	owner = tcgetpgrp(c->tty);
	if (owner == c->pid || owner == getpgrp()) {
		(void)tcsetattr(c->tty, TCSADRAIN, &c->modes);
		(void)tcsetpgrp(c->tty, getpgrp());
	}
	(void)close(c->tty);
}

/* --- the program --- */

/*
 * It is a job of its own in the terminal's foreground: Ctrl-C ends it, which is an answer, and not
 * the SSH client, behind whose back it could not put the terminal in order any more. It is not to
 * stop, for nobody would wake it.
 */
static void start_program(const struct child *c, const char *program, int in, int out)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
		dup2(null, STDERR_FILENO) < 0)
		return;
	if (c->tty >= 0) {
		(void)setpgid(0, 0);
		(void)tcsetpgrp(c->tty, getpgrp());
	}
	/* As it would have them from a shell, but for those that stop. */
	for (size_t i = 0; i < SMX_ARRAY_LEN(ask_ignored_signals); i++)
		if (ask_ignored_signals[i] != SIGTSTP)
			(void)signal(ask_ignored_signals[i], SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execl(program, program, (char *)NULL);
}

static int start(const char *program, struct child *c)
{
	int to[2], from[2];

	if (pipe(to) != 0)
		return SMX_ESYS;
	if (pipe(from) != 0) {
		(void)close(to[0]);
		(void)close(to[1]);
		return SMX_ESYS;
	}
	for (int i = 0; i < 2; i++) {
		(void)fcntl(to[i], F_SETFD, FD_CLOEXEC);
		(void)fcntl(from[i], F_SETFD, FD_CLOEXEC);
	}
	c->pid = fork();
	if (c->pid == 0) {
		start_program(c, program, to[0], from[1]);
		_exit(127);
	}
	(void)close(to[0]);
	(void)close(from[1]);
	c->to = to[1];
	c->from = from[0];
	if (c->pid > 0)
		return 0;
	(void)close(c->to);
	(void)close(c->from);
	return SMX_ESYS;
}

/* It ends by itself, or is made to. */
static void finish(struct child *c, int at_once)
{
	struct pollfd gone = { c->from, POLLIN, 0 };

	(void)close(c->to);
	if (at_once)
		(void)kill(c->pid, SIGTERM);
	/* The end of what it says is its own, nearly always. */
	if (poll(&gone, 1, END_MS) == 0)
		(void)kill(c->pid, SIGKILL);
	(void)close(c->from);
	for (int left = END_MS / 10; waitpid(c->pid, NULL, WNOHANG) == 0; left--) {
		if (left == 0)
			(void)kill(c->pid, SIGKILL);
		(void)poll(NULL, 0, 10);
	}
}

static int write_all(int fd, struct smx_buf *b)
{
	ssize_t n;

	while (smx_buf_len(b)) {
		n = write(fd, smx_buf_view(b), smx_buf_len(b));
		if (n > 0)
			smx_buf_consume(b, (size_t)n);
		else if (n < 0 && errno != EINTR)
			return SMX_ENOTFOUND;
	}
	return 0;
}

/* Until there is an answer, or `life` is closed: the question is void. */
static int converse(const struct child *c, struct smx_pinentry *talk, int life, int *ret_is_void)
{
	struct pollfd fds[2] = { { life, POLLIN, 0 }, { c->from, POLLIN, 0 } };
	char chunk[1024];
	int r = SMX_EAGAIN;
	ssize_t n;

	while (r == SMX_EAGAIN) {
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return SMX_ESYS;
		}
		if (fds[0].revents) {
			*ret_is_void = 1;
			return SMX_ECANCELLED;
		}
		n = read(c->from, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return smx_pinentry_end(talk);
		r = smx_pinentry_feed(talk, smx_view_of(chunk, (size_t)n));
		smx_wipe(chunk, sizeof(chunk));
		if (r == SMX_EAGAIN && write_all(c->to, &talk->out) != 0)
			return smx_pinentry_end(talk);
	}
	return r;
}

static const char *locale(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *value;

	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		if ((value = getenv(names[i])) && *value)
			return value;
	return NULL;
}

/* The terminal's name: standard error is it where a ProxyCommand is run. */
static const char *terminal(char *name, size_t size)
{
	int fd;

	if (isatty(STDERR_FILENO) && ttyname_r(STDERR_FILENO, name, size) == 0)
		return name;
	fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return NULL;
	(void)close(fd);
	return "/dev/tty";
}

/* The last line is the prompt, the others describe it. */
static int describe(char *text, int is_confirm, struct smx_pinentry_question *ret)
{
	char *last;

	while (*text == '\n')
		text++;
	ret->description = text;
	if (is_confirm)
		return 0;
	last = strrchr(text, '\n');
	ret->prompt = last ? last + 1 : text;
	if (strlen(ret->prompt) > LABEL_MAX)
		ret->prompt = "Answer: ";
	else if (last)
		*last = '\0';
	else
		ret->description = "";
	return 0;
}

int ask_by_pinentry(const char *program, const char *text, int is_confirm, int life,
	char *ret_answer, size_t size)
{
	struct smx_pinentry_question q = { .title = "ssh-mux", .ttytype = getenv("TERM") };
	struct smx_pinentry talk;
	struct child child = { .pid = -1 };
	int is_void = 0;
	const char *answer;
	char *copy, tty[256];
	int r;

	if (!(copy = smx_strdup(text)))
		return SMX_ENOMEM;
	(void)describe(copy, is_confirm, &q);
	q.lc_ctype = locale();
	q.ttyname = terminal(tty, sizeof(tty));
	take_terminal(&child, &q.ttyname);
	if ((r = smx_pinentry_init(&talk, &q)) != 0)
		goto out;
	(void)signal(SIGTTOU, SIG_IGN); /* ours, and the program's: the terminal is put in order */
	if ((r = start(program, &child)) == 0) {
		r = converse(&child, &talk, life, &is_void);
		finish(&child, is_void);
	}
	answer = r == 0 ? smx_pinentry_answer(&talk) : NULL;
	if (r == 0 && !answer)
		r = SMX_ENOMEM;
	if (r == 0 && strlen(answer) >= size)
		r = SMX_ELIMIT;
	if (r == 0)
		memcpy(ret_answer, answer, strlen(answer) + 1);
	smx_pinentry_release(&talk);
out:
	give_terminal_back(&child);
	smx_free(copy);
	return r;
}
