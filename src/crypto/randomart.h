/* SPDX-License-Identifier: MIT */
/* The "drunken bishop" picture of a key, as ssh-keygen -lv draws it. */
#ifndef SMX_CRYPTO_RANDOMART_H
#define SMX_CRYPTO_RANDOMART_H

#include "base/buf.h"
#include "base/wire.h"

/*
 * Appends eleven lines, each with its newline, of the SHA-256 of a plain key blob. SMX_EFORMAT and
 * the like if it is none of ours; SMX_ECRYPTO, SMX_ENOMEM.
 */
int smx_blob_randomart(struct smx_view blob, struct smx_buf *out);

#endif
