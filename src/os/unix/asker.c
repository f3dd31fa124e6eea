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
#include "os/os.h"
#include "os/unix/unix.h"

#define ANSWER_SIZE 4096
/* First byte of what the terminal's process says. */
#define SAYS_ANSWER    'a'
#define SAYS_CANCELLED 'c'

struct smx_os_asker {
	pid_t pid;
	int fd, life; /* -1: none */
	int is_askpass;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* --- the processes that ask --- */

static void ask_at_terminal(struct smx_os_ask *ask, const char *text, int echo, int out)
{
	char answer[ANSWER_SIZE] = { SAYS_ANSWER };
	size_t n;
	int r;

	/* A signal of the terminal's must not leave it without echo; the parent ends us. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	(void)signal(SIGTSTP, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)ask_end_with_parent(ask);
	r = smx_os_ask_run(ask, text, echo, answer + 1, sizeof(answer) - 1);
	if (r != 0)
		answer[0] = SAYS_CANCELLED;
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

/* Which of the two; ask is set for the terminal. */
static int choose(const char **ret_askpass, struct smx_os_ask **ret_ask)
{
	const char *program = getenv("SSH_ASKPASS"), *require = getenv("SSH_ASKPASS_REQUIRE");

	*ret_askpass = NULL;
	*ret_ask = NULL;
	if (!require)
		require = "";
	if (strcmp(require, "never") == 0 || (program && !*program))
		program = NULL;
	if (program && (strcmp(require, "force") == 0 || strcmp(require, "prefer") == 0)) {
		*ret_askpass = program;
		return 0;
	}
	if (strcmp(require, "force") != 0 && smx_os_ask_new(ret_ask) == 0)
		return 0;
	*ret_askpass = program;
	return program ? 0 : SMX_ENOTFOUND;
}

int smx_os_asker_start(const char *text, int echo, int is_confirm, struct smx_os_asker **ret)
{
	struct smx_os_asker *a = smx_calloc(1, sizeof(*a));
	struct smx_os_ask *ask = NULL;
	const char *askpass;
	int out[2], r;

	if (!a)
		return SMX_ENOMEM;
	a->fd = a->life = -1;
	if ((r = choose(&askpass, &ask)) != 0)
		goto fail;
	r = SMX_ESYS;
	if (pipe(out) != 0)
		goto fail;
	a->is_askpass = askpass != NULL;
	a->pid = fork();
	if (a->pid < 0) {
		(void)close(out[0]);
		(void)close(out[1]);
		goto fail;
	}
	if (a->pid == 0) {
		(void)close(out[0]);
		if (askpass)
			exec_askpass(askpass, text, is_confirm, out[1]);
		else
			ask_at_terminal(ask, text, echo, out[1]);
		_exit(askpass ? 127 : 0);
	}
	(void)close(out[1]);
	a->fd = out[0];
	(void)fcntl(a->fd, F_SETFD, FD_CLOEXEC);
	(void)fcntl(a->fd, F_SETFL, O_NONBLOCK);
	if (ask)
		a->life = ask_keep_life_only(ask);
	*ret = a;
	return 0;
fail:
	smx_os_ask_free(ask);
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
			return SMX_ECANCELLED;
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
