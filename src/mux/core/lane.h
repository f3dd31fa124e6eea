/* SPDX-License-Identifier: MIT */
/*
 * A thread of its own for slow work that clients of the local server cause (U9), one piece at a
 * time: what they ask for never stands before what logins need of libuv's worker threads (names,
 * key files, their own key exchanges). There is one for callers that are known, and one that has
 * only the processor time that nobody else wants, for strangers.
 */
#ifndef SMX_MUX_CORE_LANE_H
#define SMX_MUX_CORE_LANE_H

#include <uv.h>

#include "base/list.h"

struct lane;

struct lane_job {
	struct smx_list node; /* the lane's */
	void (*run)(struct lane_job *job); /* in the thread; touches nothing of the loop's */
	/* In the loop, once for each job that was added: it was run. Owns the job from here on. */
	void (*done)(struct lane_job *job);
	/* As that, for one that was cancelled. It may have been run, or not. */
	void (*dropped)(struct lane_job *job);
	int state; /* the lane's */
};

/* For at most `max` jobs that wait. The thread begins with the first one. SMX_ENOMEM, SMX_ESYS. */
int lane_new(uv_loop_t *loop, size_t max, int is_background, struct lane **ret);
/* SMX_ELIMIT: too many wait; SMX_ESYS: there is no thread. The job is the caller's then. */
int lane_add(struct lane *lane, struct lane_job *job);
/*
 * Nobody waits for it any more. One that waits is dropped before this returns and never run; one
 * that runs is dropped when it has been, and keeps neither the loop nor the process.
 */
void lane_cancel(struct lane *lane, struct lane_job *job);
/*
 * Frees the lane, whose async handle is closed by this: let the loop run once more. 0 if its thread
 * has ended; SMX_EAGAIN: it is at a job that nobody waits for. Then all stays as it is, and the
 * process must end by smx_os_exit_now. NULL works.
 */
int lane_free(struct lane *lane);

#endif
