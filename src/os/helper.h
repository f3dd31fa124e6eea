/* SPDX-License-Identifier: MIT */
/*
 * The helper of the confined daemon (H3): a process of this very program that stays as it was
 * started, and does the few things that the daemon gives up. A part of what differs from system to
 * system, under the rules of os/README.md. On systems where nothing confines us there is none:
 * smx_os_helper_start is SMX_EUNSUPPORTED, and all is done by the daemon itself.
 *
 * One per process. Its calls wait for the answer, for a moment as fork and exec do; they may come
 * from any thread.
 */
#ifndef SMX_OS_HELPER_H
#define SMX_OS_HELPER_H

#include <stdint.h>

#include "control/helper.h"

/* ---- in the daemon -------------------------------------------------------------------------- */

/*
 * Runs this very program as `args` (as smx_os_spawn_daemon, with our standard error), in which
 * smx_os_helper_serve is to be called. Call it before there are threads. SMX_EUNSUPPORTED,
 * SMX_EEXISTS, SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_helper_start(const char *const *args);
/* Whether it was started, and has not been stopped. */
int smx_os_helper_is_there(void);
/* Lets it go: it ends at once, and nothing is told of the programs that it has started. */
void smx_os_helper_stop(void);

/* A stream to be one of a program's: our end, which does not block, and the program's. 0 or an
 * errno. */
int smx_os_helper_stream(int ret_fds[2]);
/*
 * Runs a program: q->op is SMX_HELPER_RUN, and fds[i] descriptor i of the program, -1 for
 * /dev/null (q->fd_mask is made from them). 0 and an id, or an errno: EPERM if it is none that the
 * helper starts.
 */
int smx_os_helper_run(
	struct smx_helper_request *q, const int fds[SMX_HELPER_FDS], uint64_t *ret_id);
/* As smx_os_file_append_line, of a known_hosts, which the confined daemon can't write itself. */
int smx_os_helper_append_line(const char *path, const char *line, struct smx_buf *err);
/* The same for a file of ours that is replaced whole (smx_os_file_write_atomic, mode 0600). */
int smx_os_helper_keep(const char *path, const char *text, struct smx_buf *err);
/*
 * Changes the keys of a host in a known_hosts (mux/pool/known_edit.h), where the helper is there:
 * q->op is SMX_HELPER_ROTATE. Blocks. 0 and how many lines went and came; an error of the edit, or
 * SMX_ESYS, with a line added to err.
 */
int smx_os_helper_rotate(const struct smx_helper_request *q, unsigned *ret_removed,
	unsigned *ret_added, struct smx_buf *err);
/* SIGTERM or SIGKILL to a program, or to its whole session. Nothing if it has ended. */
void smx_os_helper_kill(uint64_t id, int signal, int is_group);
/* To be polled: readable when the next call has something to tell. -1: there is none. */
int smx_os_helper_ends_fd(void);
/* A program that has ended. SMX_EAGAIN: none more. SMX_EEOF: the helper itself has. */
int smx_os_helper_next_end(uint64_t *ret_id, int *ret_status, int *ret_signal);

/* ---- in the helper -------------------------------------------------------------------------- */

/* What is to be run: strings of the decider's, valid until `release`. */
struct smx_os_helper_plan {
	const char *file; /* found by the PATH of env if it has no "/" */
	const char *const *args;
	char *const *env; /* NULL: ours */
	const char *dir; /* NULL: where we are */
	void *owner;
};

struct smx_os_helper_policy {
	/* 0 and a plan, or an errno. q: SMX_HELPER_RUN. */
	int (*decide)(
		void *arg, const struct smx_helper_request *q, struct smx_os_helper_plan *ret);
	void (*release)(void *arg, struct smx_os_helper_plan *plan);
	/* Whether a file may be changed so: 1 or 0. q: APPEND, ROTATE or KEEP. */
	int (*may_edit)(void *arg, const struct smx_helper_request *q);
	/* Does it, in a process of its own. ret->code: 0 or an error, whose text is added to err. */
	void (*edit)(void *arg, const struct smx_helper_request *q, struct smx_helper_result *ret,
		struct smx_buf *err);
	/* Whether a file may be read: 1 or 0. */
	int (*may_read)(void *arg, const char *path);
	const char *log_path; /* of the daemon's; NULL: it has none */
	void *arg;
};

/* Serves until the daemon has gone. SMX_EUNSUPPORTED: it was not started by one. */
int smx_os_helper_serve(const struct smx_os_helper_policy *policy);

#endif
