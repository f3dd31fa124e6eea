/* SPDX-License-Identifier: MIT */
/* What a program finds when it starts, and what people are advised to run. */
#include "os/path.h"
#include "os/start.h"
#include "os/win/win.h"

#include <fcntl.h>
#include <io.h>
#include <shellapi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/win/dacl.h"

#define VARIABLES_MAX 64

/* ---- arguments and environment: main() and getenv() have them in a code page -------------------
 */

int smx_os_args(int *argc, char ***argv)
{
	wchar_t **wide;
	char **list;
	int n, r = 0;

	if ((wide = CommandLineToArgvW(GetCommandLineW(), &n)) == NULL)
		return SMX_ESYS;
	if ((list = smx_calloc((size_t)n + 1, sizeof(*list))) == NULL)
		r = SMX_ENOMEM;
	for (int i = 0; r == 0 && i < n; i++)
		r = smx_win_utf8(wide[i], &list[i]);
	(void)LocalFree(wide);
	if (r == 0) {
		*argc = n;
		*argv = list;
		return 0;
	}
	for (int i = 0; list && list[i]; i++)
		smx_free(list[i]);
	smx_free(list);
	return r;
}

/* What was asked for once stays as it was then, so that it can be lent for good. */
static struct {
	SRWLOCK lock;
	size_t count;
	struct {
		char *name, *value;
	} at[VARIABLES_MAX];
} variables = { .lock = SRWLOCK_INIT };

const char *smx_os_getenv(const char *name)
{
	char *value = NULL, *copy;
	size_t i;

	AcquireSRWLockExclusive(&variables.lock);
	for (i = 0; i < variables.count; i++)
		if (strcmp(variables.at[i].name, name) == 0)
			break;
	if (i < variables.count) {
		value = variables.at[i].value;
	} else if (i < VARIABLES_MAX && (copy = smx_strdup(name)) != NULL) {
		if (smx_win_getenv(name, &value) != 0) {
			value = NULL;
			smx_free(copy);
		} else {
			variables.at[i].name = copy;
			variables.at[variables.count++].value = value;
		}
	}
	ReleaseSRWLockExclusive(&variables.lock);
	return value;
}

/* ---- the console -------------------------------------------------------------------------------
 */

static struct {
	HANDLE handle[2]; /* of stdout and stderr; NULL: no console */
	DWORD mode[2];
	UINT code_page; /* 0: left as it is */
} console;

/* The shell that we came from has it so, and goes on in it. */
static void restore(void)
{
	for (size_t i = 0; i < 2; i++)
		if (console.handle[i])
			(void)SetConsoleMode(console.handle[i], console.mode[i]);
	if (console.code_page)
		(void)SetConsoleOutputCP(console.code_page);
}

static BOOL WINAPI on_event(DWORD event)
{
	(void)event;
	restore(); /* what comes next may end us without atexit */
	return FALSE;
}

void smx_os_console_setup(void)
{
	static const DWORD which[] = { STD_OUTPUT_HANDLE, STD_ERROR_HANDLE };
	DWORD mode;

	/* Libraries come from the system, not from beside us: we may lie among downloads. */
	(void)SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32);
	/* Output is for programs too, and passes through pipes: a newline is one byte. */
	for (int fd = 0; fd <= 2; fd++)
		if (_get_osfhandle(fd) >= 0)
			(void)_setmode(fd, _O_BINARY);
	/* With its output elsewhere a program (`proxy`) shares the console with one that minds. */
	if (!GetConsoleMode(GetStdHandle(which[0]), &mode))
		return;
	for (size_t i = 0; i < 2; i++) {
		HANDLE h = GetStdHandle(which[i]);

		/* Colours, on Windows 10 and later. */
		if (GetConsoleMode(h, &console.mode[i]) &&
			SetConsoleMode(h, console.mode[i] | ENABLE_PROCESSED_OUTPUT |
						  ENABLE_VIRTUAL_TERMINAL_PROCESSING))
			console.handle[i] = h;
	}
	console.code_page = GetConsoleOutputCP();
	(void)SetConsoleOutputCP(CP_UTF8);
	(void)atexit(restore);
	(void)SetConsoleCtrlHandler(on_event, TRUE);
}

int smx_os_terminal_has_colors(int fd)
{
	const char *term = smx_os_getenv("TERM"); /* not usual here */
	intptr_t h = _get_osfhandle(fd);
	DWORD mode;

	return h >= 0 && GetConsoleMode((HANDLE)h, &mode) &&
	       (mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING) && !(term && strcmp(term, "dumb") == 0);
}

int smx_os_end_signal(unsigned i)
{
	/*
	 * Ctrl-C and Ctrl-Break; and what libuv makes of a console window that is closed, after
	 * which there are some seconds left.
	 */
	static const int signals[] = { SIGINT, 21 /* SIGBREAK */, 1 /* SIGHUP */ };

	return i < sizeof(signals) / sizeof(signals[0]) ? signals[i] : 0;
}

/* ---- for people, who have cmd.exe or PowerShell ------------------------------------------------
 */

const char *smx_os_runtime_variable(void)
{
	return NULL;
}

void smx_os_quote(const char *text, char *out, size_t size)
{
	/* No file name has a double quote; both shells take it, and leave backslashes alone. */
	int is_plain =
		text[0] && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789/\\._+-:") == strlen(text);

	(void)snprintf(out, size, is_plain ? "%s" : "\"%s\"", text);
}

const char *smx_os_then(void)
{
	return ", then: "; /* && is unknown to the PowerShell that is part of Windows */
}

/* what: "run: ", or a command before it; heirs: "(OI)(CI)" of a directory. */
static void advise_private(
	const char *what, const char *path, const char *heirs, char *out, size_t size)
{
	char *sid;

	if (!path || smx_win_user_sid_text(&sid) != 0) {
		(void)snprintf(out, size, "make it yours, so that nobody else may open it");
		return;
	}
	/* By SID: the name of an account is written otherwise in each shell. */
	(void)snprintf(out, size, "%sicacls %s /inheritance:r /grant:r \"*%s:%sF\"", what, path,
		sid, heirs);
	smx_free(sid);
}

/* What is made in a root, or below one, is everybody's to change by default. */
static void advise_make_dir(const char *path, char *out, size_t size)
{
	char make[SMX_OS_PATH_MAX + 32];

	(void)snprintf(make, sizeof(make), "run: mkdir %s%s", path, smx_os_then());
	advise_private(make, path, "(OI)(CI)", out, size);
}

void smx_os_advice(enum smx_os_advice what, const char *a, const char *b, char *out, size_t size)
{
	char from[SMX_OS_PATH_MAX] = "", to[SMX_OS_PATH_MAX] = "";

	if (a)
		smx_os_quote(a, from, sizeof(from));
	if (b)
		smx_os_quote(b, to, sizeof(to));
	switch (what) {
	case SMX_OS_ADVICE_MAKE_DIR:
		advise_make_dir(from, out, size);
		break;
	case SMX_OS_ADVICE_COPY:
		(void)snprintf(out, size, "run: copy %s %s", from, to);
		break;
	case SMX_OS_ADVICE_MOVE:
		(void)snprintf(out, size, "run: move %s %s", from, to);
		break;
	/* No command: >> writes UTF-16 in PowerShell. */
	case SMX_OS_ADVICE_APPEND:
		(void)snprintf(out, size, "add the line of %s to %s", from, to);
		break;
	case SMX_OS_ADVICE_APPEND_LINE:
		(void)snprintf(out, size, "add the line of %s to %s, on a new line", from, to);
		break;
	case SMX_OS_ADVICE_ADD_KEY:
		(void)snprintf(out, size, "add the line of a .pub file of yours to %s", to);
		break;
	case SMX_OS_ADVICE_APPEND_AGENT:
		(void)snprintf(out, size, "add the first line that ssh-add -L prints to %s", to);
		break;
	case SMX_OS_ADVICE_APPEND_AGENT_LINE:
		(void)snprintf(out, size,
			"add the first line that ssh-add -L prints to %s, on a new line", to);
		break;
	case SMX_OS_ADVICE_MAKE_PRIVATE:
		advise_private("run: ", a ? from : NULL, "", out, size);
		break;
	case SMX_OS_ADVICE_REPAIR_DIR:
		(void)snprintf(out, size, "have its owner and its permissions repaired");
		break;
	case SMX_OS_ADVICE_START_AGENT:
		(void)snprintf(out, size,
			"start it (as an administrator: Set-Service ssh-agent -StartupType Manual; "
			"Start-Service ssh-agent), or take that setting away");
		break;
	case SMX_OS_ADVICE_END_PROCESS:
		(void)snprintf(out, size, "end its process (in the Task Manager)");
		break;
	}
}
