/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/agent.c
/* Whatever an agent answers. */
#include "fuzz_ssh.h"
#include "ssh/agent.h"

static int each(void *arg, struct smx_view blob, struct smx_view comment)
{
	uint64_t *sum = arg;

	for (size_t i = 0; i < blob.len; i++)
		*sum += blob.p[i];
	for (size_t i = 0; i < comment.len; i++)
		*sum += comment.p[i];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view all = { data, size }, message, sig;
	volatile uint64_t keep;
	uint64_t sum = 0;
	size_t used;

	while (smx_agent_frame(all, &message, &used) == 0) {
		fuzz_check(used <= all.len && message.len > 0);
		(void)smx_agent_parse_list(message, each, &sum);
		if (smx_agent_parse_signature(message, &sig) == 0)
			(void)each(&sum, sig, sig);
		all.p += used;
		all.len -= used;
	}
	keep = sum;
	(void)keep;
	return 0;
}
