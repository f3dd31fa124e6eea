/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/auth_client.c src/ssh/auth_msg.c
// dictionary: auth
/* Messages of a server to a client that logs in; the client uses every method in turn. */
#include "fuzz_ssh.h"
#include "ssh/auth_client.h"

static int choose(struct smx_auth_client *a, unsigned *turn)
{
	switch ((*turn)++ % 3) {
	case 0:
		return smx_auth_client_probe_key(
			a, smx_view_of("ssh-ed25519", 11), smx_view_of("blob", 4));
	case 1:
		return smx_auth_client_kbdint(a);
	default:
		return smx_auth_client_password(a, smx_view_of("secret", 6));
	}
}

static int answer(struct smx_auth_client *a, const struct smx_auth_event *ev)
{
	struct smx_view answers[SMX_AUTH_PROMPTS_MAX];

	fuzz_check(ev->ask.n_prompts <= SMX_AUTH_PROMPTS_MAX);
	for (size_t i = 0; i < ev->ask.n_prompts; i++)
		answers[i] = ev->ask.prompts[i].text; /* reads what the views point to */
	return smx_auth_client_send_answers(a, answers, ev->ask.n_prompts);
}

static int handle(struct smx_auth_client *a, struct smx_view payload, unsigned *turn)
{
	struct smx_auth_event ev;
	int r;

	if ((r = smx_auth_client_handle(a, payload, &ev)) != 0)
		return r;
	switch (ev.type) {
	case SMX_AUTH_EV_CHOOSE:
		(void)smx_auth_client_can(a, "publickey");
		return choose(a, turn);
	case SMX_AUTH_EV_SIGN:
		if (*turn % 2) {
			smx_auth_client_skip_key(a);
			return choose(a, turn);
		}
		if ((r = smx_auth_client_send_signature(a, smx_view_of("signature", 9))) == 0)
			r = smx_auth_client_kbdint_ahead(a);
		return r;
	case SMX_AUTH_EV_ASK:
		return answer(a, &ev);
	case SMX_AUTH_EV_EXPIRED:
		fuzz_check(ev.text.len <= SMX_AUTH_TEXT_MAX);
		return choose(a, turn);
	case SMX_AUTH_EV_BANNER:
		fuzz_check(ev.text.len <= SMX_AUTH_TEXT_MAX);
		return 0;
	case SMX_AUTH_EV_DONE:
		fuzz_check(payload.len == 1 && payload.p[0] == SMX_MSG_USERAUTH_SUCCESS);
		return SMX_EAGAIN;
	case SMX_AUTH_EV_NONE:
		return 0;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_auth_client a;
	struct smx_transport *t;
	struct smx_view payload;
	unsigned turn = 0;
	int r;

	t = clear_transport(fuzz_pool(), SMX_CLIENT, SMX_PHASE_TRANSPORT, NULL);
	fuzz_check(t != NULL);
	fuzz_check(smx_auth_client_init(&a, t, "user") == 0);
	r = smx_auth_client_begin(&a);
	while (r == 0 && fuzz_next(&rd, &payload)) {
		uint8_t *copy = fuzz_copy(payload);

		payload.p = copy;
		r = handle(&a, payload, &turn);
		free(copy);
		fuzz_drop_output(t);
	}
	smx_auth_client_release(&a);
	smx_transport_free(t);
	fuzz_check_pool();
	return 0;
}
