/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/hostkeys.c src/trust/rotation.c
/*
 * K6: a server's list of its host keys, its proof of them, and what becomes of a known_hosts by it.
 * Three messages: the list, the answer, the text.
 */
#include "base/err.h"
#include "fuzz_ssh.h"
#include "ssh/hostkeys.h"
#include "trust/rotation.h"

static const struct smx_view session_id = { (const uint8_t *)"0123456789abcdef0123456789abcdef",
	32 };
static char own_name[] = "own";
static char *own = own_name;

static int is_within(struct smx_view v, struct smx_view message)
{
	return v.p >= message.p && v.len <= message.len &&
	       (size_t)(v.p - message.p) <= message.len - v.len;
}

/* Whatever the text, an edit adds what is new, takes away what is old, and is over then. */
static void apply(
	const struct smx_rotation_ask *ask, const struct smx_rotation *plan, struct smx_view text)
{
	struct smx_view fresh[SMX_ROTATION_MAX];
	struct smx_rotation_edit edit = { .host = ask->host,
		.port = ask->port,
		.old = plan->old,
		.n_old = plan->n_old,
		.fresh = fresh,
		.n_fresh = plan->n_fresh };
	unsigned n_removed, n_added;
	struct smx_buf out, again;

	for (size_t i = 0; i < plan->n_fresh; i++)
		fresh[i] = ask->listed[plan->fresh[i]];
	smx_buf_init(&out, 1 << 20);
	smx_buf_init(&again, 1 << 20);
	fuzz_check(smx_rotation_apply(&edit, text, &out, &n_removed, &n_added) == 0);
	fuzz_check(n_added <= plan->n_fresh);
	fuzz_check(smx_rotation_apply(&edit, smx_buf_as_view(&out), &again, &n_removed, &n_added) ==
		   0);
	fuzz_check(n_removed == 0 && n_added == 0);
	fuzz_check(smx_view_eq_view(smx_buf_as_view(&out), smx_buf_as_view(&again)));
	smx_buf_release(&out);
	smx_buf_release(&again);
}

static void rotate(const struct smx_hostkeys *list, struct smx_view text)
{
	struct smx_rotation_ask ask = { "host.example", 2222, list->blobs[0], list->blobs, list->n,
		&own, 1 };
	struct smx_known_hosts *kh;
	struct smx_rotation plan;

	fuzz_check(smx_known_hosts_new(&kh) == 0);
	if (smx_known_hosts_add_text(kh, own, text, NULL) == 0 &&
		smx_rotation_plan(kh, &ask, &plan) == 0) {
		fuzz_check(!plan.why_not || (plan.n_fresh == 0 && plan.n_old == 0));
		fuzz_check(plan.n_fresh < list->n);
		for (size_t i = 0; i < plan.n_old; i++)
			for (size_t k = 0; k < list->n; k++)
				fuzz_check(!smx_view_eq_view(plan.old[i], list->blobs[k]));
		apply(&ask, &plan, text);
	}
	smx_known_hosts_free(kh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_view message, reply = { NULL, 0 }, text = { NULL, 0 };
	struct smx_hostkeys list = { .n = 0 };
	struct smx_buf prove;
	size_t bad = 0;

	if (!fuzz_next(&rd, &message) || smx_hostkeys_read(message, &list) != 0) {
		fuzz_check(list.n == 0);
		return 0;
	}
	fuzz_check(list.n > 0 && list.n <= SMX_HOSTKEYS_MAX);
	for (size_t i = 0; i < list.n; i++)
		fuzz_check(is_within(list.blobs[i], message));
	/* Read completely: what is asked of all of them is what came. */
	smx_buf_init(&prove, SMX_HOSTKEYS_BYTES_MAX);
	fuzz_check(smx_hostkeys_put_prove(list.blobs, list.n, &prove) == 0 &&
		   smx_view_eq_view(smx_buf_as_view(&prove), message));
	smx_buf_release(&prove);
	if (fuzz_next(&rd, &reply))
		/* Whatever it is worth: a key of small order has signatures that anybody makes. */
		fuzz_check(smx_hostkeys_check_proof(reply, session_id, list.blobs, list.n, &bad) <=
				   0 &&
			   bad < list.n);
	if (fuzz_next(&rd, &text))
		rotate(&list, text);
	return 0;
}
