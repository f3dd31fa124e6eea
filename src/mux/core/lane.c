/* SPDX-License-Identifier: MIT */
#include "mux/core/lane.h"

#include "base/err.h"
#include "base/mem.h"
#include "os/process.h"

enum { JOB_WAITS, JOB_RUNS, JOB_RUNS_FOR_NOBODY, JOB_IS_DONE, JOB_IS_DONE_FOR_NOBODY };

struct lane {
	uv_async_t async; /* first: freed as a handle */
	uv_thread_t thread;
	int has_thread, is_background;
	size_t max;
	uv_mutex_t mutex; /* of all below */
	uv_cond_t cond;
	struct smx_list waiting, finished;
	size_t n_waiting;
	struct lane_job *running;
	int is_ending;
};

static struct lane_job *job_of(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct lane_job, node);
}

/* The mutex is held. The next job, or NULL. */
static struct lane_job *next_job(struct lane *l)
{
	struct smx_list *node = l->waiting.next;

	if (smx_list_empty(&l->waiting))
		return NULL;
	smx_list_del(node);
	l->n_waiting--;
	return job_of(node);
}

static void run(void *arg)
{
	struct lane *l = arg;
	struct lane_job *job;

	if (l->is_background)
		smx_os_thread_background();
	uv_mutex_lock(&l->mutex);
	while (!l->is_ending) {
		if (!(job = next_job(l))) {
			uv_cond_wait(&l->cond, &l->mutex);
			continue;
		}
		job->state = JOB_RUNS;
		l->running = job;
		uv_mutex_unlock(&l->mutex);
		job->run(job);
		uv_mutex_lock(&l->mutex);
		l->running = NULL;
		job->state = job->state == JOB_RUNS ? JOB_IS_DONE : JOB_IS_DONE_FOR_NOBODY;
		smx_list_add_tail(&l->finished, &job->node);
		(void)uv_async_send(&l->async);
	}
	uv_mutex_unlock(&l->mutex);
}

static void take_finished(struct lane *l)
{
	struct lane_job *job;

	for (;;) {
		uv_mutex_lock(&l->mutex);
		job = smx_list_empty(&l->finished) ? NULL : job_of(l->finished.next);
		if (job)
			smx_list_del(&job->node);
		uv_mutex_unlock(&l->mutex);
		if (!job)
			return;
		if (job->state == JOB_IS_DONE)
			job->done(job);
		else
			job->dropped(job);
	}
}

static void on_async(uv_async_t *async)
{
	take_finished(SMX_CONTAINER(async, struct lane, async));
}

int lane_new(uv_loop_t *loop, size_t max, int is_background, struct lane **ret)
{
	struct lane *l = smx_calloc(1, sizeof(*l));

	if (!l)
		return SMX_ENOMEM;
	l->max = max;
	l->is_background = is_background;
	smx_list_init(&l->waiting);
	smx_list_init(&l->finished);
	if (uv_mutex_init(&l->mutex) != 0)
		goto fail;
	if (uv_cond_init(&l->cond) != 0)
		goto fail_cond;
	if (uv_async_init(loop, &l->async, on_async) != 0)
		goto fail_async;
	/* Whoever waits for a job has a socket open; the lane alone keeps nobody. */
	uv_unref((uv_handle_t *)&l->async);
	*ret = l;
	return 0;
fail_async:
	uv_cond_destroy(&l->cond);
fail_cond:
	uv_mutex_destroy(&l->mutex);
fail:
	smx_free(l);
	return SMX_ESYS;
}

int lane_add(struct lane *l, struct lane_job *job)
{
	int r = 0;

	if (!l->has_thread && uv_thread_create(&l->thread, run, l) != 0)
		return SMX_ESYS;
	l->has_thread = 1;
	smx_list_init(&job->node);
	uv_mutex_lock(&l->mutex);
	if (l->n_waiting >= l->max) {
		r = SMX_ELIMIT;
	} else {
		job->state = JOB_WAITS;
		smx_list_add_tail(&l->waiting, &job->node);
		l->n_waiting++;
		uv_cond_signal(&l->cond);
	}
	uv_mutex_unlock(&l->mutex);
	return r;
}

void lane_cancel(struct lane *l, struct lane_job *job)
{
	int waited = 0;

	uv_mutex_lock(&l->mutex);
	switch (job->state) {
	case JOB_WAITS:
		smx_list_del(&job->node);
		l->n_waiting--;
		waited = 1;
		break;
	case JOB_RUNS:
		job->state = JOB_RUNS_FOR_NOBODY;
		break;
	case JOB_IS_DONE:
		job->state = JOB_IS_DONE_FOR_NOBODY;
		break;
	default:
		break;
	}
	uv_mutex_unlock(&l->mutex);
	if (waited)
		job->dropped(job);
}

static void on_closed(uv_handle_t *handle)
{
	smx_free(SMX_CONTAINER((uv_async_t *)handle, struct lane, async));
}

int lane_free(struct lane *l)
{
	struct lane_job *job;
	int is_busy;

	if (!l)
		return 0;
	uv_mutex_lock(&l->mutex);
	l->is_ending = 1;
	is_busy = l->running != NULL;
	uv_cond_signal(&l->cond);
	uv_mutex_unlock(&l->mutex);
	if (is_busy)
		return SMX_EAGAIN;
	if (l->has_thread)
		(void)uv_thread_join(&l->thread);
	while ((job = next_job(l)) != NULL)
		job->dropped(job);
	take_finished(l);
	uv_cond_destroy(&l->cond);
	uv_mutex_destroy(&l->mutex);
	uv_close((uv_handle_t *)&l->async, on_closed);
	return 0;
}
