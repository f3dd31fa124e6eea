/* SPDX-License-Identifier: MIT */
/*
 * The start of the program, and advice for people.
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_START_H
#define SMX_OS_START_H

#include <stddef.h>

/* The arguments of main() as UTF-8, for good. SMX_EINVAL: one can't be. SMX_ESYS, SMX_ENOMEM. */
int smx_os_args(int *argc, char ***argv);
/*
 * Once, at the start: what is written to the standard streams goes out as it is, byte for byte, and
 * a console shows it as UTF-8 and with colours. It is as before when the program ends.
 */
void smx_os_console_setup(void);
/* A variable of the environment in UTF-8, lent for good, as it is when first asked for; or NULL. */
const char *smx_os_getenv(const char *name);
/* A terminal that shows colours by escape sequences. */
int smx_os_terminal_has_colors(int fd);
/* The signals by which a user ends a program that serves: of i = 0, 1 …; 0 behind the last. */
int smx_os_end_signal(unsigned i);

/* The variable that says where our sockets are; NULL: none does. */
const char *smx_os_runtime_variable(void);
/* As one word of a command that is typed into a shell. One that does not fit is cut. */
void smx_os_quote(const char *text, char *out, size_t size);
/* Between two commands, of which the second is run if the first worked: " && ". */
const char *smx_os_then(void);

/* Of paths a and b, which are quoted. */
enum smx_os_advice {
	SMX_OS_ADVICE_MAKE_DIR, /* a, for oneself alone */
	SMX_OS_ADVICE_COPY, /* a to b, which nobody else can read */
	SMX_OS_ADVICE_MOVE, /* a to b */
	SMX_OS_ADVICE_APPEND, /* the content of a to b */
	SMX_OS_ADVICE_APPEND_LINE, /* the same, where b has no newline at its end */
	SMX_OS_ADVICE_ADD_KEY, /* some public key of the reader's to b */
	SMX_OS_ADVICE_APPEND_AGENT, /* the agent's first public key to b */
	SMX_OS_ADVICE_APPEND_AGENT_LINE,
	SMX_OS_ADVICE_MAKE_PRIVATE, /* the file a */
	SMX_OS_ADVICE_REPAIR_DIR, /* whose owner or permissions are wrong */
	SMX_OS_ADVICE_START_AGENT, /* one that is named, but not there */
	SMX_OS_ADVICE_END_PROCESS, /* of a daemon that hangs */
};
/* What to do, in words: mostly "run: …". */
void smx_os_advice(enum smx_os_advice what, const char *a, const char *b, char *out, size_t size);

#endif
