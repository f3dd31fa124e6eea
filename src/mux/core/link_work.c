/* SPDX-License-Identifier: MIT */
/* A link's slow work on worker threads: libuv's, or for clients of the local server a lane (U9). */
#include "base/err.h"
#include "base/mem.h"
#include "mux/core/core.h"
#include "mux/core/lane.h"
#include "mux/core/link_int.h"

struct work_req {
	uv_work_t req;
	struct lane_job job; /* instead, for clients of the local server */
	struct lane *lane;
	struct link *link;
	struct smx_work *work;
};

static void work_run(uv_work_t *req)
{
	smx_work_run(SMX_CONTAINER(req, struct work_req, req)->work);
}

static void hand_back(struct work_req *w)
{
	struct link *l = w->link;

	if (l->dead || !l->t) {
		smx_work_free(w->work);
	} else {
		smx_transport_work_done(l->t, w->work);
		link_process(l);
	}
	smx_free(w);
}

static void work_done(uv_work_t *req, int status)
{
	struct work_req *w = SMX_CONTAINER(req, struct work_req, req);
	struct link *l = w->link;

	(void)status;
	l->n_work--;
	hand_back(w);
	link_free_if_closed(l);
}

static void lane_run(struct lane_job *job)
{
	smx_work_run(SMX_CONTAINER(job, struct work_req, job)->work);
}

static void lane_done(struct lane_job *job)
{
	struct work_req *w = SMX_CONTAINER(job, struct work_req, job);

	w->link->lane_work = NULL;
	hand_back(w);
}

/* The link is gone. */
static void lane_dropped(struct lane_job *job)
{
	struct work_req *w = SMX_CONTAINER(job, struct work_req, job);

	smx_work_free(w->work);
	smx_free(w);
}

static int queue_work(struct link *l, struct work_req *w)
{
	int r;

	if (l->lane) {
		w->job.run = lane_run;
		w->job.done = lane_done;
		w->job.dropped = lane_dropped;
		w->lane = l->lane;
		r = lane_add(w->lane, &w->job);
		if (r == 0)
			l->lane_work = w;
		return r;
	}
	if (uv_queue_work(l->core->loop, &w->req, work_run, work_done) != 0)
		return SMX_ESYS;
	l->n_work++;
	return 0;
}

int link_start_work(struct link *l, struct smx_work *work)
{
	struct work_req *w = smx_calloc(1, sizeof(*w));
	int r = SMX_ENOMEM;

	if (w) {
		w->link = l;
		w->work = work;
		r = queue_work(l, w);
	}
	if (r != 0) {
		smx_work_free(work);
		smx_free(w);
	}
	return r;
}

void link_cancel_work(struct link *l)
{
	if (l->lane_work)
		lane_cancel(l->lane_work->lane, &l->lane_work->job);
	l->lane_work = NULL;
}
