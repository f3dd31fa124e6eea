/* SPDX-License-Identifier: MIT */
/* One question to an SSH agent and its answer, over the agent's socket or pipe. */
#ifndef SMX_MUX_POOL_AGENT_IO_H
#define SMX_MUX_POOL_AGENT_IO_H

#include <uv.h>

#include "base/wire.h"

#define AGENT_LIST_TIMEOUT_MS 5000
#define AGENT_SIGN_TIMEOUT_MS 60000 /* a person may have to touch a token or confirm */

struct agent_io;

/* Called once: r 0 and the answer (without its length), or an SMX_E*. Not after a cancel. */
typedef void agent_cb(void *arg, int r, struct smx_view message);

/*
 * Takes the request's content. path is that of smx_os_agent_path. n_before: messages in the request
 * before the last; their answers are of no interest. NULL: no memory.
 */
struct agent_io *agent_ask(uv_loop_t *loop, const char *path, struct smx_buf *request,
	unsigned n_before, uint64_t timeout_ms, agent_cb *cb, void *arg);
void agent_cancel(struct agent_io *a); /* NULL works */

#endif
