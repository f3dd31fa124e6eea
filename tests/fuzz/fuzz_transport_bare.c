/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/transport.c
// dictionary: transport
/*
 * W2: any bytes of a client in proxy mode, whose packets have neither padding nor cipher. The first
 * byte of the input is the piece size, as in fuzz_transport.h.
 */
#include "fuzz_transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_transport_config config = {
		.role = SMX_SERVER, .software = "fuzz", .is_bare = 1
	};
	struct fuzz_conn f = { .role = SMX_SERVER };

	if (size == 0)
		return 0;
	config.pool = fuzz_pool();
	fuzz_check(smx_transport_new(&f.t, &config, 0) == 0);
	fuzz_check(smx_transport_tx_len(f.t) == 0); /* the client speaks first */
	/* A server's work, host key and first exchange are no events of it. */
	fuzz_feed(&f, data + 1, size - 1, (size_t)(data[0] >> 4) * 13 + 1);
	fuzz_check(smx_transport_n_kex(f.t) == 1 && !smx_transport_is_waiting(f.t));
	fuzz_check(smx_transport_rekey(f.t) != 0);
	fuzz_check_told(f.t);
	if (f.has_conn)
		smx_conn_release(&f.conn);
	smx_transport_free(f.t);
	fuzz_check_pool();
	return 0;
}
