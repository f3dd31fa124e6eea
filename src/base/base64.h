/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648 section 4), strict: no white space, canonical padding. */
#ifndef SMX_BASE_BASE64_H
#define SMX_BASE_BASE64_H

#include "base/buf.h"
#include "base/wire.h"

/* Appends; with_padding 0 leaves the '=' away (fingerprints). */
int smx_base64_encode(struct smx_buf *out, const void *p, size_t n, int with_padding);
/* Appends the decoded bytes; SMX_EFORMAT and nothing appended if text is not canonical base64. */
int smx_base64_decode(struct smx_buf *out, struct smx_view text);

#endif
