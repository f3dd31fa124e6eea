/* SPDX-License-Identifier: MIT */
/*
 * The keys that may use the local server (L5): text in, set of public key blobs out.
 *
 * A line with options is never honoured without them: we implement none, so it is skipped with
 * a warning. So are certificates, cert-authority lines, and keys of types we can't verify.
 */
#ifndef SMX_TRUST_AUTHORIZED_KEYS_H
#define SMX_TRUST_AUTHORIZED_KEYS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/wire.h"

#define SMX_AUTHORIZED_KEYS_TEXT_MAX (1u << 20) /* bytes in one text */
#define SMX_AUTHORIZED_KEYS_LINE_MAX 32768u /* bytes in one line; longer ones are skipped */
#define SMX_AUTHORIZED_KEYS_MAX      1024u /* keys in a set; those beyond are skipped */

struct smx_authorized_keys;

/* An empty set. */
int smx_authorized_keys_new(struct smx_authorized_keys **ret);
void smx_authorized_keys_free(struct smx_authorized_keys *set);

/*
 * Adds the keys of a text: an authorized_keys file or the .pub files beside it. warnings (may be
 * NULL) gets lines of the form "name:3: what\n"; those beyond its cap are dropped.
 * 0, SMX_ENOMEM, SMX_ELIMIT (text too long, nothing added).
 */
int smx_authorized_keys_add_text(struct smx_authorized_keys *set, const char *source_name,
	struct smx_view text, struct smx_buf *warnings);

/* new and add_text in one. */
int smx_authorized_keys_parse(struct smx_authorized_keys **ret, const char *source_name,
	struct smx_view text, struct smx_buf *warnings);

/* 1 if exactly this public key blob is in the set; every byte is compared. */
int smx_authorized_keys_has(const struct smx_authorized_keys *set, struct smx_view blob);
size_t smx_authorized_keys_count(const struct smx_authorized_keys *set);
/* Lines that were skipped with a warning. */
size_t smx_authorized_keys_skipped(const struct smx_authorized_keys *set);

#endif
