/* SPDX-License-Identifier: MIT */
/* Questions at the console, and by the SSH_ASKPASS of a program's environment (A6). */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/ask.h"
#include "os/process.h"
#include "os/win/console.h"
#include "os/win/dacl.h"
#include "os/win/spawn.h"

#define ANSWER_SIZE    4096
#define KEYS_SIZE      128
#define SAYS_ANSWER    'a'
#define SAYS_CANCELLED 'c'

/* ---- at the console ----------------------------------------------------------------------------
 */

struct smx_os_ask {
	HANDLE in, out, cancel;
};

int smx_os_ask_new(struct smx_os_ask **ret)
{
	const DWORD access = GENERIC_READ | GENERIC_WRITE,
		    share = FILE_SHARE_READ | FILE_SHARE_WRITE;
	struct smx_os_ask *a = smx_calloc(1, sizeof(*a));
	DWORD mode;

	if (!a)
		return SMX_ENOMEM;
	/* The console itself, wherever the standard streams go. */
	a->in = CreateFileW(L"CONIN$", access, share, NULL, OPEN_EXISTING, 0, NULL);
	a->out = CreateFileW(L"CONOUT$", access, share, NULL, OPEN_EXISTING, 0, NULL);
	a->cancel = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (!a->cancel || !GetConsoleMode(a->in, &mode) || !GetConsoleMode(a->out, &mode)) {
		smx_os_ask_free(a);
		return SMX_ENOTFOUND;
	}
	*ret = a;
	return 0;
}

void smx_os_ask_free(struct smx_os_ask *a)
{
	if (!a)
		return;
	if (a->in != INVALID_HANDLE_VALUE)
		(void)CloseHandle(a->in);
	if (a->out != INVALID_HANDLE_VALUE)
		(void)CloseHandle(a->out);
	if (a->cancel)
		(void)CloseHandle(a->cancel);
	smx_free(a);
}

void smx_os_ask_cancel(struct smx_os_ask *a)
{
	(void)SetEvent(a->cancel);
}

/* Takes the last character away. */
static size_t erase(const char *answer, size_t len)
{
	while (len > 0 && ((unsigned char)answer[--len] & 0xc0) == 0x80)
		;
	return len;
}

/* One key. 1: the line is complete; 0: go on. */
static int take_key(struct smx_os_ask *a, char c, int echo, char *answer, size_t *len, size_t size)
{
	switch (c) {
	case '\r':
	case '\n':
		return 1;
	case 3: /* Ctrl-C */
	case 27: /* escape */
		return SMX_ECANCELLED;
	case 4: /* Ctrl-D, and what is used for it here */
	case 26:
		return *len == 0 ? SMX_ECANCELLED : 0;
	case 8:
	case 127:
		if (*len > 0 && echo)
			(void)smx_win_console_write(a->out, "\b \b", 3);
		*len = erase(answer, *len);
		return 0;
	case 21: /* Ctrl-U */
		while (*len > 0) {
			if (echo)
				(void)smx_win_console_write(a->out, "\b \b", 3);
			*len = erase(answer, *len);
		}
		return 0;
	default:
		break;
	}
	if ((unsigned char)c < 0x20)
		return 0;
	if (*len + 1 >= size)
		return SMX_ELIMIT;
	answer[(*len)++] = c;
	return 0;
}

static int read_line(struct smx_os_ask *a, int echo, char *answer, size_t size)
{
	struct smx_win_keys keys = { .in = a->in, .cancel = a->cancel };
	char typed[KEYS_SIZE];
	size_t len = 0, n, from;
	int r = 0;

	while (r == 0) {
		if ((r = smx_win_keys_read(&keys, typed, sizeof(typed), &n)) != 0)
			break;
		for (size_t i = 0; r == 0 && i < n; i++) {
			from = len;
			r = take_key(a, typed[i], echo, answer, &len, size);
			if (echo && len > from && (i + 1 == n || (typed[i + 1] & 0xc0) != 0x80)) {
				/* Whole characters only. */
				size_t start = erase(answer, len);

				(void)smx_win_console_write(a->out, answer + start, len - start);
			}
		}
	}
	smx_wipe(typed, sizeof(typed));
	answer[r == 1 ? len : 0] = '\0';
	return r == 1 ? 0 : r == SMX_EEOF ? SMX_ECANCELLED : r;
}

int smx_os_ask_run(struct smx_os_ask *a, const char *text, int echo, char *ret_answer, size_t size)
{
	char *line;
	DWORD mode;
	int r;

	if (WaitForSingleObject(a->cancel, 0) == WAIT_OBJECT_0)
		return SMX_ECANCELLED;
	if (!GetConsoleMode(a->in, &mode))
		return SMX_ESYS;
	if ((line = smx_calloc(1, ANSWER_SIZE)) == NULL)
		return SMX_ENOMEM;
	(void)smx_win_console_write(a->out, text, strlen(text));
	(void)FlushConsoleInputBuffer(a->in); /* what was typed before it was asked is no answer */
	(void)SetConsoleMode(a->in, 0);
	r = read_line(a, echo, line, size < ANSWER_SIZE ? size : ANSWER_SIZE);
	(void)SetConsoleMode(a->in, mode);
	(void)smx_win_console_write(a->out, "\r\n", 2);
	if (r == 0)
		memcpy(ret_answer, line, strlen(line) + 1);
	smx_wipe(line, ANSWER_SIZE);
	smx_free(line);
	return r;
}

/* ---- by a process or thread of its own ---------------------------------------------------------
 */

struct smx_os_asker {
	HANDLE process, job; /* SSH_ASKPASS and all that it starts, or NULL */
	HANDLE thread, out; /* the console's, and where it writes the answer */
	struct smx_os_ask *ask;
	char *text;
	int fd, echo;
};

static void asker_free(struct smx_os_asker *a)
{
	if (a->fd >= 0)
		(void)_close(a->fd);
	if (a->process)
		(void)CloseHandle(a->process);
	if (a->job)
		(void)CloseHandle(a->job);
	if (a->thread) {
		(void)WaitForSingleObject(a->thread, INFINITE);
		(void)CloseHandle(a->thread);
	}
	if (a->out)
		(void)CloseHandle(a->out);
	smx_os_ask_free(a->ask);
	smx_free(a->text);
	smx_free(a);
}

static DWORD WINAPI ask_in_thread(void *arg)
{
	struct smx_os_asker *a = arg;
	char answer[ANSWER_SIZE] = { SAYS_ANSWER };
	int r = smx_os_ask_run(a->ask, a->text, a->echo, answer + 1, sizeof(answer) - 1);
	DWORD n;

	if (r != 0)
		answer[0] = SAYS_CANCELLED;
	(void)WriteFile(a->out, answer, r == 0 ? 1 + (DWORD)strlen(answer + 1) : 1, &n, NULL);
	smx_wipe(answer, sizeof(answer));
	(void)CloseHandle(a->out); /* the reader is at the end */
	a->out = NULL;
	return 0;
}

/* Trailing dots and blanks are none to the file system. */
static int is_batch_file(const char *path)
{
	size_t n = strlen(path);

	while (n && (path[n - 1] == '.' || path[n - 1] == ' '))
		n--;
	return n > 4 &&
	       (_strnicmp(path + n - 4, ".bat", 4) == 0 || _strnicmp(path + n - 4, ".cmd", 4) == 0);
}

/*
 * cmd.exe, which runs such a file, takes an argument apart by rules of its own, and what a quote, a
 * percent sign or an ampersand of a server's text begins there is a command.
 */
static void make_harmless(char *text)
{
	for (; *text; text++)
		if (*text == '"')
			*text = '\'';
		else if ((unsigned char)*text < 0x20)
			*text = ' ';
		else if (strchr("%!^&|<>", *text))
			*text = '_';
}

static int run_askpass(struct smx_os_asker *a, const char *program, int is_confirm)
{
	const char *args[] = { program, a->text, NULL };
	struct smx_win_streams to = { NULL, a->out, NULL };
	PROCESS_INFORMATION pi;
	char *path;
	int r;

	if ((r = smx_os_find_program(program, &path)) != 0)
		return r;
	/* Its environment is ours, so this is for all that we start; nobody else looks at it. */
	(void)SetEnvironmentVariableW(L"SSH_ASKPASS_PROMPT", is_confirm ? L"confirm" : NULL);
	args[0] = path;
	if (is_batch_file(path))
		make_harmless(a->text);
	r = smx_win_start(path, args, CREATE_NO_WINDOW | CREATE_SUSPENDED, &to, &pi, NULL);
	smx_free(path);
	if (r != 0)
		return r == SMX_EDENIED ? SMX_ENOTFOUND : r;
	/* An editor's is a script around the program that asks: to be taken back with it. */
	a->job = CreateJobObjectW(NULL, NULL);
	if (a->job && !AssignProcessToJobObject(a->job, pi.hProcess)) {
		(void)CloseHandle(a->job);
		a->job = NULL;
	}
	(void)ResumeThread(pi.hThread);
	(void)CloseHandle(pi.hThread);
	a->process = pi.hProcess;
	(void)CloseHandle(a->out);
	a->out = NULL;
	return 0;
}

/* As ssh does: the console (which *ret_ask is then), unless SSH_ASKPASS is to be first or there is
 * none. */
static enum smx_os_asks choose(
	const char *program, const char *require, struct smx_os_ask **ret_ask)
{
	if (program && (strcmp(require, "force") == 0 || strcmp(require, "prefer") == 0))
		return SMX_OS_ASKS_PROGRAM;
	if (strcmp(require, "force") != 0 && smx_os_ask_new(ret_ask) == 0)
		return SMX_OS_ASKS_TERMINAL;
	return program ? SMX_OS_ASKS_PROGRAM : SMX_OS_ASKS_NOWHERE;
}

static int start(struct smx_os_asker *a, const char *program, const char *require, int is_confirm)
{
	switch (choose(program, require, &a->ask)) {
	case SMX_OS_ASKS_PROGRAM:
		return run_askpass(a, program, is_confirm);
	case SMX_OS_ASKS_TERMINAL:
		a->thread = CreateThread(NULL, 0, ask_in_thread, a, 0, NULL);
		return a->thread ? 0 : SMX_ESYS;
	default:
		return SMX_ENOTFOUND;
	}
}

/* The user's settings; *ret_program NULL: none. Both are smx_malloc'd. */
static void get_settings(char **ret_program, char **ret_require)
{
	char *program = NULL, *require = NULL;

	(void)smx_win_getenv("SSH_ASKPASS", &program);
	(void)smx_win_getenv("SSH_ASKPASS_REQUIRE", &require);
	if (program && (!*program || (require && strcmp(require, "never") == 0))) {
		smx_free(program);
		program = NULL;
	}
	*ret_program = program;
	*ret_require = require;
}

enum smx_os_asks smx_os_asker_place(void)
{
	char *program, *require;
	struct smx_os_ask *ask = NULL;
	enum smx_os_asks place;

	get_settings(&program, &require);
	place = choose(program, require ? require : "", &ask);
	smx_os_ask_free(ask);
	smx_free(program);
	smx_free(require);
	return place;
}

int smx_os_asker_start(const char *text, int echo, int is_confirm, struct smx_os_asker **ret)
{
	struct smx_os_asker *a = smx_calloc(1, sizeof(*a));
	char *program = NULL, *require = NULL;
	HANDLE ours = NULL;
	int r;

	if (!a)
		return SMX_ENOMEM;
	a->fd = -1;
	a->echo = echo;
	if ((a->text = smx_strdup(text)) == NULL) {
		smx_free(a);
		return SMX_ENOMEM;
	}
	get_settings(&program, &require);
	if ((r = smx_win_output_pipe(&ours, &a->out)) == 0) {
		a->fd = _open_osfhandle((intptr_t)ours, _O_RDONLY | _O_BINARY | _O_NOINHERIT);
		r = a->fd < 0 ? SMX_ESYS : start(a, program, require ? require : "", is_confirm);
	}
	smx_free(program);
	smx_free(require);
	if (r != 0) {
		asker_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

int smx_os_asker_take_fd(struct smx_os_asker *a)
{
	int fd = a->fd;

	a->fd = -1;
	return fd;
}

int smx_os_asker_result(
	struct smx_os_asker *a, const char *bytes, size_t len, char *ret_answer, size_t size)
{
	int is_askpass = a->process != NULL;
	DWORD code = 1;

	if (is_askpass) {
		(void)WaitForSingleObject(a->process, INFINITE);
		(void)GetExitCodeProcess(a->process, &code);
	}
	asker_free(a);
	if (is_askpass && code != 0)
		return SMX_ECANCELLED;
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
	if (a->process && !(a->job && TerminateJobObject(a->job, 1)))
		(void)TerminateProcess(a->process, 1);
	if (a->ask)
		smx_os_ask_cancel(a->ask);
	asker_free(a);
}
