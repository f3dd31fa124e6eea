/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/agent.c
/* Whatever an agent answers; and the keys that it lists go into our requests as they are. */
#include "base/mem.h"
#include "fuzz_ssh.h"
#include "ssh/agent.h"

/* A request is one message, whatever the key in it is. */
static void check_request(struct smx_buf *b, uint8_t type)
{
	struct smx_view message;
	size_t used;

	fuzz_check(smx_agent_frame(smx_buf_as_view(b), &message, &used) == 0);
	fuzz_check(used == smx_buf_len(b) && message.p[0] == type);
	smx_buf_release(b);
}

static void ask(struct smx_view blob, struct smx_view comment)
{
	struct smx_buf b;

	smx_buf_init(&b, 4 * SMX_AGENT_MSG_MAX);
	fuzz_check(smx_agent_put_list(&b) == 0);
	check_request(&b, 11);
	if (blob.len + comment.len > SMX_AGENT_MSG_MAX / 4)
		return;
	smx_buf_init(&b, 4 * SMX_AGENT_MSG_MAX);
	fuzz_check(smx_agent_put_sign(&b, blob, comment, 4) == 0);
	check_request(&b, 13);
	smx_buf_init(&b, 4 * SMX_AGENT_MSG_MAX);
	fuzz_check(smx_agent_put_bind(&b, blob, comment, blob, 0) == 0);
	check_request(&b, 27);
}

static int each(void *arg, struct smx_view blob, struct smx_view comment)
{
	uint64_t *sum = arg;

	ask(blob, comment);
	for (size_t i = 0; i < blob.len; i++)
		*sum += blob.p[i];
	for (size_t i = 0; i < comment.len; i++)
		*sum += comment.p[i];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view all = { data, size }, message, sig;
	long before = smx_mem_alive();
	volatile uint64_t keep;
	uint64_t sum = 0;
	size_t used;

	while (smx_agent_frame(all, &message, &used) == 0) {
		fuzz_check(used <= all.len && message.len > 0);
		(void)smx_agent_parse_list(message, each, &sum);
		if (smx_agent_parse_signature(message, &sig) == 0)
			(void)each(&sum, sig, (struct smx_view){ NULL, 0 });
		all.p += used;
		all.len -= used;
	}
	fuzz_check(smx_mem_alive() == before);
	keep = sum;
	(void)keep;
	return 0;
}
