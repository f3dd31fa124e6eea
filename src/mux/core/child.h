/* SPDX-License-Identifier: MIT */
/*
 * A program that the daemon has started: in a session of its own, with pipes for its standard
 * streams. Where the daemon is confined (H3) its helper starts it, and is told no more than which
 * kind it is and what belongs to that; else libuv does.
 */
#ifndef SMX_MUX_CORE_CHILD_H
#define SMX_MUX_CORE_CHILD_H

#include "mux/core/mux.h"
#include "os/caller.h"
#include "os/helper.h"

struct child;

/* Called once, from the loop. signal: which ended it, else 0. child is gone when it returns. */
typedef void child_end_cb(void *arg, int64_t status, int signal);

struct child_start {
	enum smx_helper_kind kind;
	const char *file; /* found by the PATH of env if it has no "/" */
	const char *const *args; /* the first is its name; a NULL behind the last */
	char *const *env; /* NULL: ours */
	const char *dir; /* where it runs; NULL: where we do */
	const struct smx_os_caller *caller; /* whose the program is: ASKPASS and SSH_CONFIG */
	enum smx_askpass_hint hint; /* ASKPASS */
	uv_pipe_t *in, *out, *err; /* initialised, to be opened here; NULL: /dev/null */
	int terminal; /* PROMPT: its descriptor 3, borrowed; else -1 */
	unsigned hide; /* Windows: UV_PROCESS_WINDOWS_HIDE or _HIDE_CONSOLE */
};

/*
 * 0 or a libuv error: UV_EPERM also where the helper does not start it. On failure the pipes are as
 * they were, or open with nobody at the other end: close them.
 */
int child_new(struct mux *m, const struct child_start *start, child_end_cb *cb, void *arg,
	struct child **ret);
/* SIGTERM or SIGKILL, before its end was told; is_group: to its whole session, if there is such a
 * thing. */
void child_kill(struct child *c, int signal, int is_group);

/* The helper, before there is anything to lose (H3); and its end, when the loop has run dry. */
void children_open(struct mux *m);
void children_close(struct mux *m);

#endif
