/* SPDX-License-Identifier: MIT */
/* Who waits for a login, and can be asked and told (A6, A17). */
#include <stdint.h>

#include "base/list.h"
#include "mux/ask/asker.h"
#include "mux/core/mux.h"
#include "mux/pool/pool.h"

#define TOLD_MAX 64 /* of those who wait */

size_t pool_askers(const struct pool_entry *e, struct asker **ret, size_t max)
{
	size_t n = 0;

	for (struct smx_list *it = e->waiting.next; it != &e->waiting && n < max; it = it->next) {
		struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		if (req->asker)
			ret[n++] = req->asker;
		else if (req->for_entry)
			n += pool_askers(req->for_entry, ret + n, max - n);
	}
	return n;
}

void pool_tell(const struct pool_entry *e, const char *text)
{
	struct asker *askers[TOLD_MAX];
	size_t n = pool_askers(e, askers, TOLD_MAX);

	for (size_t i = 0; i < n; i++)
		if (askers[i]->ops->tell)
			askers[i]->ops->tell(askers[i], text);
}

int pool_is_batch(const struct pool_entry *e)
{
	int is_batch = 0;

	for (struct smx_list *it = e->waiting.next; it != &e->waiting; it = it->next) {
		struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		is_batch = req->asker       ? asker_is_batch(req->asker)
			   : req->for_entry ? pool_is_batch(req->for_entry)
					    : 0;
		if (!is_batch)
			return 0;
	}
	return is_batch;
}

int pool_is_wanted_without(const struct pool_entry *e, const struct asker *a)
{
	for (struct smx_list *it = e->waiting.next; it != &e->waiting; it = it->next) {
		struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		if (req->for_entry ? pool_is_wanted_without(req->for_entry, a) : req->asker != a)
			return 1;
	}
	return 0;
}

void pool_dismiss(struct pool_entry *e, const struct asker *a, const char *text)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &e->waiting) {
		struct open_req *req = SMX_CONTAINER(it, struct open_req, node);

		if (req->for_entry) {
			pool_dismiss((struct pool_entry *)(uintptr_t)req->for_entry, a, text);
		} else if (req->asker == a) {
			smx_list_del(&req->node);
			req->dismissal = text;
			smx_list_add_tail(&e->mux->dismissed, &req->node);
		}
	}
}

void pool_refuse_dismissed(struct mux *m)
{
	while (!smx_list_empty(&m->dismissed)) {
		struct open_req *req = SMX_CONTAINER(m->dismissed.next, struct open_req, node);

		smx_list_del(&req->node);
		req->failed(req, SMX_OPEN_CONNECT_FAILED, req->dismissal);
	}
}
