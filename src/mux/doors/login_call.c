/* SPDX-License-Identifier: MIT */
#include "mux/doors/login_call.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/protocol.h"
#include "mux/core/say.h"
#include "mux/core/snapshot.h"
#include "mux/doors/attach.h"
#include "mux/pool/pool.h"
#include "mux/pool/upstream.h"

struct login_call {
	struct mux *mux;
	struct attach *attach; /* NULL: the client has left */
	struct open_req req;
	struct smx_routes *routes;
	int64_t id;
	uint64_t last_id; /* connections made before the call have no greater one */
};

static void call_free(struct login_call *call)
{
	open_req_release(&call->req);
	smx_routes_unref(call->routes);
	smx_free(call);
}

static void on_left(void *arg)
{
	struct login_call *call = arg;

	call->attach = NULL;
	call->req.asker = NULL;
	if (call->req.entry)
		pool_cancel(&call->req);
	else
		call_free(call);
}

static void answer(struct login_call *call, struct smx_buf *line)
{
	if (call->attach)
		attach_answer(call->attach, smx_buf_as_view(line));
	smx_buf_release(line);
	call_free(call);
}

static void on_opened(
	struct open_req *req, struct upstream *up, struct smx_chan *chan, struct smx_view specific)
{
	struct login_call *call = SMX_CONTAINER(req, struct login_call, req);
	struct smx_control_login login;
	struct smx_buf line;

	(void)chan;
	(void)specific;
	snapshot_login(call->mux, up, &login);
	login.is_new = up->link->id > call->last_id;
	smx_buf_init(&line, SMX_CONTROL_LINE_MAX);
	(void)smx_control_login_answer_build(&line, call->id, &login);
	answer(call, &line);
}

static void on_failed(struct open_req *req, uint32_t code, const char *text)
{
	struct login_call *call = SMX_CONTAINER(req, struct login_call, req);
	struct smx_buf line;

	smx_buf_init(&line, SMX_CONTROL_LINE_MAX);
	(void)smx_control_error_build(&line, call->id,
		code == SMX_OPEN_ADMINISTRATIVELY_PROHIBITED ? "locked" : "failed", text, NULL);
	answer(call, &line);
}

static void on_released(struct open_req *req)
{
	call_free(SMX_CONTAINER(req, struct login_call, req));
}

struct login_call *login_call_new(struct mux *m, struct control_client *host, const char *agent,
	enum attempt_place place, struct attach **ret_attach)
{
	struct login_call *call = smx_calloc(1, sizeof(*call));
	struct smx_view none = { NULL, 0 };

	if (!call)
		return NULL;
	call->mux = m;
	call->last_id = m->core.next_id;
	/* Of nothing: it has no text that could fail to be copied. */
	(void)open_req_init(&call->req, 0, none, none, 0);
	if (!(call->attach = attach_new_asking(m, host, agent, place, on_left, call))) {
		call_free(call);
		return NULL;
	}
	*ret_attach = call->attach;
	return call;
}

void login_call_start(struct login_call *call, const struct login_call_options *o)
{
	struct open_req *req = &call->req;

	call->id = o->id;
	call->routes = smx_routes_ref(o->routes);
	req->is_login = 1;
	req->renew = o->renew;
	req->asker = attach_asker(call->attach);
	req->opened = on_opened;
	req->failed = on_failed;
	req->released = on_released;
	pool_open(call->mux, call->routes, o->route, o->route->n_hops, req);
}
