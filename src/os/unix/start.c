/* SPDX-License-Identifier: MIT */
/* What a program finds when it starts, and what people are advised to run. */
#include "os/path.h"
#include "os/process.h"
#include "os/start.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int smx_os_args(int *argc, char ***argv)
{
	(void)argc;
	(void)argv; /* bytes, and those of the terminal's encoding: UTF-8 */
	return 0;
}

void smx_os_console_setup(void)
{
	/* Streams are bytes, and terminals know colours, or $TERM says otherwise. */
}

const char *smx_os_getenv(const char *name)
{
	return getenv(name);
}

int smx_os_terminal_has_colors(int fd)
{
	const char *term = getenv("TERM");

	return smx_os_is_terminal(fd) && term && term[0] && strcmp(term, "dumb") != 0;
}

int smx_os_end_signal(unsigned i)
{
	static const int signals[] = { SIGINT, SIGTERM };

	return i < sizeof(signals) / sizeof(signals[0]) ? signals[i] : 0;
}

/* ---- for people --------------------------------------------------------------------------------
 */

const char *smx_os_runtime_variable(void)
{
	return "XDG_RUNTIME_DIR";
}

void smx_os_quote(const char *text, char *out, size_t size)
{
	size_t at = 0;

	if (size < 8)
		return;
	if (text[0] && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._+-@:=,") == strlen(text)) {
		(void)snprintf(out, size, "%s", text);
		return;
	}
	out[at++] = '\'';
	for (; *text && at + 6 < size; text++) {
		if (*text == '\'') {
			memcpy(out + at, "'\\''", 4);
			at += 4;
		} else {
			out[at++] = *text;
		}
	}
	out[at++] = '\'';
	out[at] = '\0';
}

const char *smx_os_then(void)
{
	return " && ";
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
		(void)snprintf(out, size, "run: mkdir -m 700 %s", from);
		break;
	case SMX_OS_ADVICE_COPY:
		(void)snprintf(out, size, "run: (umask 077; cp %s %s)", from, to);
		break;
	case SMX_OS_ADVICE_MOVE:
		(void)snprintf(out, size, "run: mv %s %s", from, to);
		break;
	case SMX_OS_ADVICE_APPEND:
		(void)snprintf(out, size, "run: cat %s >> %s", from, to);
		break;
	case SMX_OS_ADVICE_APPEND_LINE:
		(void)snprintf(out, size, "run: (echo; cat %s) >> %s", from, to);
		break;
	case SMX_OS_ADVICE_ADD_KEY:
		(void)snprintf(out, size, "put your public key there, like: cat KEY.pub >> %s", to);
		break;
	case SMX_OS_ADVICE_APPEND_AGENT:
		(void)snprintf(out, size, "run: ssh-add -L | head -n 1 >> %s", to);
		break;
	case SMX_OS_ADVICE_APPEND_AGENT_LINE:
		(void)snprintf(out, size, "run: (echo; ssh-add -L | head -n 1) >> %s", to);
		break;
	case SMX_OS_ADVICE_MAKE_PRIVATE:
		(void)snprintf(out, size, "make it a file of yours with mode 600");
		break;
	case SMX_OS_ADVICE_REPAIR_DIR:
		(void)snprintf(out, size, "have its owner and its mode repaired");
		break;
	case SMX_OS_ADVICE_START_AGENT:
		(void)snprintf(
			out, size, "start an agent and log in again, or remove that setting");
		break;
	case SMX_OS_ADVICE_END_PROCESS:
		(void)snprintf(out, size, "stop its process (a hung one by kill -9)");
		break;
	}
}
