/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/auth_server.c
// dictionary: auth
/* Messages of a client that is not logged in. It must not get in. */
#include "crypto/random.h"
#include "fuzz_ssh.h"
#include "ssh/auth_server.h"

static int any_key_ok(void *arg, struct smx_view blob)
{
	(void)arg;
	(void)blob;
	return 1; /* the signature alone keeps it out */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smx_key *host_key;
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_auth_server as;
	struct smx_transport *t;
	struct smx_view payload;
	int r = 0;

	if (!host_key)
		fuzz_check(smx_key_generate_ed25519(&host_key) == 0);
	t = clear_transport(fuzz_pool(), SMX_SERVER, SMX_PHASE_TRANSPORT, host_key);
	fuzz_check(t != NULL);
	/* A session id that no input can have a signature over. */
	fuzz_check(smx_random(t->session_id, 32) == 0);
	smx_auth_server_init(&as, t, any_key_ok, NULL);
	while (r == 0 && fuzz_next(&rd, &payload)) {
		uint8_t *copy = fuzz_copy(payload);

		payload.p = copy;
		r = smx_auth_server_handle(&as, payload);
		free(copy);
		fuzz_check(r <= 0 && !as.is_done && t->phase != SMX_PHASE_CONNECTION);
		fuzz_drop_output(t);
	}
	smx_transport_free(t);
	fuzz_check_pool();
	return 0;
}
