/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/ask.h"
#include "os/unix/unix.h"

#define ANSWER_SIZE 4096
/* First byte of what a process of ours says. */
#define SAYS_ANSWER    'a'
#define SAYS_CANCELLED 'c'
#define SAYS_NOBODY    'n'

struct smx_os_asker {
	pid_t pid;
	int fd, life; /* -1: none */
	int is_askpass;
};

/* Who asks: one of the three. */
struct way {
	const char *pinentry, *askpass;
	struct smx_os_ask *ask; /* the terminal */
};

const int ask_ignored_signals[5] = { SIGINT, SIGQUIT, SIGTSTP, SIGHUP, SIGTERM };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* --- the processes that ask --- */

/* life: for a pinentry. */
static void ask_ourselves(
	const struct way *way, const char *text, int echo, int is_confirm, int life, int out)
{
	char answer[ANSWER_SIZE] = { SAYS_ANSWER };
	size_t n;
	int r;

	/* A signal of the terminal's must not leave it without echo; the parent ends us. */
	for (size_t i = 0; i < SMX_ARRAY_LEN(ask_ignored_signals); i++)
		(void)signal(ask_ignored_signals[i], SIG_IGN);
	if (way->pinentry) {
		r = ask_by_pinentry(
			way->pinentry, text, is_confirm, life, answer + 1, sizeof(answer) - 1);
	} else {
		(void)ask_end_with_parent(way->ask);
		r = smx_os_ask_run(way->ask, text, echo, answer + 1, sizeof(answer) - 1);
	}
	if (r != 0)
		answer[0] = way->pinentry && r != SMX_ECANCELLED ? SAYS_NOBODY : SAYS_CANCELLED;
	n = r == 0 ? 1 + strlen(answer + 1) : 1;
	(void)!write(out, answer, n);
	smx_wipe(answer, sizeof(answer));
}

static void exec_askpass(const char *program, const char *text, int is_confirm, int out)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		return;
	if (is_confirm)
		(void)setenv("SSH_ASKPASS_PROMPT", "confirm", 1);
	else
		(void)unsetenv("SSH_ASKPASS_PROMPT");
	(void)execlp(program, program, text, (char *)NULL);
}

/* --- the program's side --- */

static int choose(struct way *ret)
{
	const char *program = getenv("SSH_ASKPASS"), *require = getenv("SSH_ASKPASS_REQUIRE");
	const char *pinentry = getenv("SSH_MUX_PINENTRY");

	*ret = (struct way){ NULL, NULL, NULL };
	if (pinentry && *pinentry) {
		/* Never one that PATH finds. */
		ret->pinentry = pinentry;
		return *pinentry == '/' ? 0 : SMX_ENOTFOUND;
	}
	if (!require)
		require = "";
	if (strcmp(require, "never") == 0 || (program && !*program))
		program = NULL;
	if (program && (strcmp(require, "force") == 0 || strcmp(require, "prefer") == 0)) {
		ret->askpass = program;
		return 0;
	}
	if (strcmp(require, "force") != 0 && smx_os_ask_new(&ret->ask) == 0)
		return 0;
	ret->askpass = program;
	return program ? 0 : SMX_ENOTFOUND;
}

enum smx_os_asks smx_os_asker_place(void)
{
	struct way way;

	if (choose(&way) != 0)
		return SMX_OS_ASKS_NOWHERE;
	if (!way.ask)
		return way.pinentry ? SMX_OS_ASKS_PINENTRY : SMX_OS_ASKS_PROGRAM;
	smx_os_ask_free(way.ask);
	return SMX_OS_ASKS_TERMINAL;
}

/* A pipe that no program we start inherits. */
static int make_pipe(int fds[2])
{
	if (pipe(fds) != 0)
		return SMX_ESYS;
	(void)fcntl(fds[0], F_SETFD, FD_CLOEXEC);
	(void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
	return 0;
}

/* The process that asks. life[1] is the parent's. */
static void be_the_asker(
	const struct way *way, const char *text, int echo, int is_confirm, int life[2], int out[2])
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	/* Who is asked at a terminal that is closed has gone (smx_os_ignore_hangup). */
	(void)sigaction(SIGHUP, &dfl, NULL);
	close_fd(&life[1]);
	(void)close(out[0]);
	if (way->askpass)
		exec_askpass(way->askpass, text, is_confirm, out[1]);
	else
		ask_ourselves(way, text, echo, is_confirm, life[0], out[1]);
	_exit(way->askpass ? 127 : 0);
}

int smx_os_asker_start(const char *text, int echo, int is_confirm, struct smx_os_asker **ret)
{
	struct smx_os_asker *a = smx_calloc(1, sizeof(*a));
	int out[2] = { -1, -1 }, life[2] = { -1, -1 };
	struct way way = { NULL, NULL, NULL };
	int r;

	if (!a)
		return SMX_ENOMEM;
	if ((r = choose(&way)) != 0 || (r = make_pipe(out)) != 0 ||
		(way.pinentry && (r = make_pipe(life)) != 0))
		goto fail;
	a->is_askpass = way.askpass != NULL;
	smx_unix_keep_children();
	a->pid = fork();
	if (a->pid == 0)
		be_the_asker(&way, text, echo, is_confirm, life, out);
	r = SMX_ESYS;
	if (a->pid < 0)
		goto fail;
	close_fd(&out[1]);
	close_fd(&life[0]);
	a->fd = out[0];
	(void)fcntl(a->fd, F_SETFL, O_NONBLOCK);
	a->life = way.ask ? ask_keep_life_only(way.ask) : life[1];
	*ret = a;
	return 0;
fail:
	for (int i = 0; i < 2; i++) {
		close_fd(&out[i]);
		close_fd(&life[i]);
	}
	smx_os_ask_free(way.ask);
	smx_free(a);
	return r;
}

int smx_os_asker_take_fd(struct smx_os_asker *a)
{
	int fd = a->fd;

	a->fd = -1;
	return fd;
}

/* Waits for the process, which has ended or is about to. */
static int reap(struct smx_os_asker *a)
{
	int status;

	close_fd(&a->fd);
	close_fd(&a->life);
	while (waitpid(a->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int smx_os_asker_result(
	struct smx_os_asker *a, const char *bytes, size_t len, char *ret_answer, size_t size)
{
	int code = reap(a), is_askpass = a->is_askpass;

	smx_free(a);
	if (is_askpass && code != 0)
		return code == 127 ? SMX_ENOTFOUND : SMX_ECANCELLED;
	if (!is_askpass) {
		if (len == 0 || bytes[0] != SAYS_ANSWER)
			return len && bytes[0] == SAYS_NOBODY ? SMX_ENOTFOUND : SMX_ECANCELLED;
		bytes++;
		len--;
	}
	while (is_askpass && len && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
		len--;
	if (len >= size || memchr(bytes, 0, len))
		return SMX_ELIMIT;
	memcpy(ret_answer, bytes, len);
	ret_answer[len] = '\0';
	return 0;
}

void smx_os_asker_cancel(struct smx_os_asker *a)
{
	if (a->is_askpass)
		(void)kill(a->pid, SIGTERM);
	(void)reap(a);
	smx_free(a);
}
