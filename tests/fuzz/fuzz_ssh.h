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

static inline void fuzz_drop_output(struct smx_transport *t)
{
	smx_transport_tx_free(t, smx_transport_tx_take(t));
}

#endif
