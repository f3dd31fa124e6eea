/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/agent_filter.c
// dictionary: agent
/*
 * B4: what a remote sends to an agent that is lent to it, and what the agent answers. The first
 * byte says to which kind of request the rest is taken for an answer.
 */
#include "base/err.h"
#include "fuzz_ssh.h"
#include "ssh/agent.h"
#include "ssh/agent_filter.h"

static int is_within(struct smx_view v, struct smx_view message)
{
	return v.len == 0 || (v.p >= message.p && v.len <= message.len &&
				     (size_t)(v.p - message.p) <= message.len - v.len);
}

static void request(struct smx_view message)
{
	struct smx_agent_request req;
	struct smx_view name = { NULL, 0 };

	if (smx_agent_read_request(message, &req) != 0) {
		fuzz_check(req.kind == SMX_AGENT_OTHER);
		return;
	}
	fuzz_check(is_within(req.blob, message) && is_within(req.data, message));
	switch (req.kind) {
	case SMX_AGENT_OTHER:
		break;
	case SMX_AGENT_LIST:
		fuzz_check(message.len == 1 && message.p[0] == 11);
		break;
	case SMX_AGENT_SIGN:
		fuzz_check(message.p[0] == 13 && req.blob.len > 0 &&
			   message.len == 13 + req.blob.len + req.data.len);
		if (smx_agent_purpose(req.data, &name) != SMX_AGENT_FOR_UNKNOWN)
			fuzz_check(is_within(name, req.data));
		break;
	case SMX_AGENT_BIND:
		fuzz_check(message.p[0] == 27 && message.len > 29 &&
			   memcmp(message.p + 5, "session-bind@openssh.com", 24) == 0);
		break;
	}
}

static int keep(void *arg, struct smx_view blob, struct smx_view comment)
{
	struct smx_view *message = arg;

	fuzz_check(is_within(blob, *message) && is_within(comment, *message));
	return blob.len % 2;
}

static int is_odd(void *arg, struct smx_view blob, struct smx_view comment)
{
	(void)arg;
	(void)comment;
	fuzz_check(blob.len % 2);
	return 0;
}

static void answer(enum smx_agent_kind kind, struct smx_view message)
{
	struct smx_view out;
	struct smx_buf b;
	size_t used;
	int r;

	smx_buf_init(&b, 4 + SMX_AGENT_MSG_MAX);
	r = smx_agent_put_answer(&b, kind, message, keep, &message);
	if (r == 0) {
		fuzz_check(smx_agent_frame(smx_buf_as_view(&b), &out, &used) == 0 &&
			   used == smx_buf_len(&b));
		/* One byte that says no or yes, a signature, or the keys that may be seen. */
		if (out.len > 1 && out.p[0] == 12)
			fuzz_check((r = smx_agent_parse_list(out, is_odd, NULL)) == 0 ||
				   r == SMX_ETOOBIG);
		else if (out.len > 1)
			fuzz_check(kind == SMX_AGENT_SIGN &&
				   smx_agent_parse_signature(out, &message) == 0);
		else
			fuzz_check(out.p[0] == 5 || (kind == SMX_AGENT_BIND && out.p[0] == 6));
	}
	smx_buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view all = { data, size }, message;
	enum smx_agent_kind kind;
	size_t used;

	if (size == 0)
		return 0;
	kind = (enum smx_agent_kind)(data[0] % 4);
	all.p++;
	all.len--;
	while (smx_agent_frame(all, &message, &used) == 0) {
		request(message);
		answer(kind, message);
		all.p += used;
		all.len -= used;
	}
	return 0;
}
