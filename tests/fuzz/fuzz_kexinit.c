/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/kexinit.c
/* Two KEXINITs to a choice of algorithms, for both roles. */
#include "fuzz_ssh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_kex_offer offer = { .is_first = 1 };
	struct smx_view peer, second;
	const char *what;
	struct smx_algs algs;
	struct smx_buf ours;
	uint8_t *copy;

	if (!fuzz_next(&rd, &peer))
		return 0;
	copy = fuzz_copy(peer);
	peer.p = copy;
	for (int role = SMX_CLIENT; role <= SMX_SERVER; role++) {
		struct smx_view self;

		smx_buf_init(&ours, SMX_KEXINIT_MAX);
		fuzz_check(smx_kexinit_build(&ours, (enum smx_role)role, &offer) == 0);
		self = (struct smx_view){ smx_buf_view(&ours), smx_buf_len(&ours) };
		what = NULL;
		if (smx_kexinit_negotiate(role == SMX_CLIENT ? self : peer,
			    role == SMX_CLIENT ? peer : self, (enum smx_role)role, &algs,
			    &what) == 0) {
			/* Complete, or it must not be used. */
			fuzz_check(algs.kex && algs.cipher_c2s && algs.cipher_s2c);
			fuzz_check(algs.cipher_c2s->is_aead == !algs.mac_c2s);
			fuzz_check(algs.cipher_s2c->is_aead == !algs.mac_s2c);
			fuzz_check(memchr(algs.host_key, 0, sizeof(algs.host_key)) != NULL);
			/* The host key algorithm is one of ours. */
			fuzz_check(smx_namelist_has(
				smx_view_of(smx_sigalg_names(0), strlen(smx_sigalg_names(0))),
				algs.host_key));
		} else {
			struct smx_view lack;

			fuzz_check(what != NULL);
			lack = smx_kexinit_peer_offer(role == SMX_CLIENT ? self : peer,
				role == SMX_CLIENT ? peer : self, (enum smx_role)role, what);
			fuzz_check(lack.len <= peer.len);
			fuzz_check(lack.len == 0 ||
				   (lack.p >= peer.p && lack.p + lack.len <= peer.p + peer.len));
		}
		smx_buf_release(&ours);
	}
	if (fuzz_next(&rd, &second))
		(void)smx_kexinit_negotiate(peer, second, SMX_CLIENT, &algs, &what);
	free(copy);
	return 0;
}
