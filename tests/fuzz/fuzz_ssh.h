/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets of src/ssh share: an input that is a list of messages (two bytes of
 * length, the payload), and transports of tests/clear_transport.h.
 */
#ifndef SMX_FUZZ_SSH_H
#define SMX_FUZZ_SSH_H

#include <stdlib.h>

#include "../clear_transport.h"
#include "fuzz.h"
#include "base/mem.h"

#define FUZZ_BLOCKS 16

/* Of all runs: blocks are large, and to have them anew each time would take most of it. */
static inline struct smx_pool *fuzz_pool(void)
{
	static struct smx_pool pool;
	void *blocks[FUZZ_BLOCKS];

	if (pool.max_free)
		return &pool;
	smx_pool_init(&pool, FUZZ_BLOCKS);
	for (size_t i = 0; i < FUZZ_BLOCKS; i++)
		if (!(blocks[i] = smx_pool_get(&pool)))
			abort();
	for (size_t i = 0; i < FUZZ_BLOCKS; i++)
		smx_pool_put(&pool, blocks[i]);
	return &pool;
}

/* The next message of the input; 0 at its end. At least one byte, as the transport promises. */
static inline int fuzz_next(struct smx_rd *rd, struct smx_view *ret)
{
	struct smx_view head;
	size_t n;

	if (smx_rd_bytes(rd, 2, &head) != 0)
		return 0;
	n = (size_t)head.p[0] << 8 | head.p[1];
	if (n > rd->left)
		n = rd->left;
	return n > 0 && smx_rd_bytes(rd, n, ret) == 0;
}

/* In memory of exactly its size, so that the sanitizer sees a byte read beyond it. */
static inline uint8_t *fuzz_copy(struct smx_view v)
{
	uint8_t *p = malloc(v.len);

	if (!p)
		abort();
	memcpy(p, v.p, v.len);
	return p;
}

static inline void fuzz_check(int ok)
{
	if (!ok)
		abort();
}

/* At the end of a run. */
static inline void fuzz_check_pool(void)
{
	fuzz_check(fuzz_pool()->n_used == 0 && fuzz_pool()->n_free == FUZZ_BLOCKS);
}

static inline void fuzz_drop_output(struct smx_transport *t)
{
	smx_transport_tx_free(t, smx_transport_tx_take(t));
}

/* What others ask a transport about, whatever it has been through. */
static inline void fuzz_check_told(const struct smx_transport *t)
{
	const char *offer = NULL, *lack = smx_transport_lack(t, &offer);

	fuzz_check(!lack == !offer && (!offer || strlen(offer) < LACK_SIZE));
	fuzz_check(strlen(smx_transport_reason(t)) < REASON_SIZE);
	fuzz_check(strlen(smx_transport_peer_software(t)) < SMX_IDENT_MAX);
	fuzz_check(smx_transport_payload_max(t) <= SMX_PAYLOAD_MAX);
	fuzz_check(smx_transport_string_max(t) <= SMX_PAYLOAD_MAX);
	fuzz_check(strlen(smx_transport_server_sig_algs(t)) < SMX_PAYLOAD_MAX);
	fuzz_check(smx_transport_session_id(t).len <= SMX_SESSION_ID_MAX);
	fuzz_check(smx_transport_session_signature(t).len <= SMX_SIG_MAX);
	fuzz_check(smx_transport_host_key_blob(t).len <= SMX_KEY_BLOB_MAX);
	fuzz_check(smx_transport_held_len(t) <= smx_transport_tx_len(t));
	fuzz_check(smx_transport_n_kex(t) == 0 || t->is_bare || smx_transport_algs(t) != NULL);
	fuzz_check(!smx_transport_takes_hostbound(t) || t->has_ident);
	fuzz_check(!smx_transport_is_strict(t) || t->sent_kexinit || t->n_kex > 0);
}

#endif
