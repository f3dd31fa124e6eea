/* SPDX-License-Identifier: MIT */
/*
 * For tests and fuzz targets of the layers above the transport: a transport that has its
 * first key exchange behind it but no cipher, so that its messages can be read and made by
 * hand.
 */
#ifndef SMX_TESTS_CLEAR_TRANSPORT_H
#define SMX_TESTS_CLEAR_TRANSPORT_H

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/transport_int.h"

static inline struct smx_transport *clear_transport(struct smx_pool *pool, enum smx_role role,
	enum smx_phase phase, const struct smx_key *host_key)
{
	struct smx_transport_config config = {
		.role = role,
		.pool = pool,
		.software = "test",
		.host_key = host_key,
	};
	struct smx_transport *t = NULL;

	if (smx_transport_new(&t, &config, 1000) != 0)
		return NULL;
	/* The identification and KEXINIT are nobody's business here. */
	smx_transport_tx_free(t, smx_transport_tx_take(t));
	t->has_ident = 1;
	smx_free(t->ident_peer);
	t->ident_peer = smx_strdup("SSH-2.0-peer");
	t->n_kex = 1;
	t->step = KEX_IDLE;
	t->sent_kexinit = 0;
	memset(t->session_id, 0x5a, 32);
	t->session_id_len = 32;
	t->phase = phase;
	return t;
}

/* One clear packet around a payload. */
static inline size_t clear_packet(struct smx_view payload, uint8_t *out, size_t out_size)
{
	size_t pad = 8 - (5 + payload.len) % 8;

	if (pad < 4)
		pad += 8;
	assert(out_size >= 5 + payload.len + pad);
	smx_set_u32(out, (uint32_t)(1 + payload.len + pad));
	out[4] = (uint8_t)pad;
	if (payload.len)
		memcpy(out + 5, payload.p, payload.len);
	memset(out + 5 + payload.len, 0, pad);
	return 5 + payload.len + pad;
}

/* The payload of the packet at *off of what the transport wants written; 0 at the end. */
static inline int clear_next(const struct smx_tx_block *b, size_t *off, struct smx_view *ret)
{
	uint32_t len;

	if (!b || *off >= b->len)
		return 0;
	len = smx_get_u32(b->data + *off);
	assert(*off + 4 + len <= b->len);
	*ret = (struct smx_view){ b->data + *off + 5, len - 1 - b->data[*off + 4] };
	*off += 4 + len;
	return 1;
}

#endif
