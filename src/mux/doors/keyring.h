/* SPDX-License-Identifier: MIT */
/* Who may use the local server (L5), re-read whenever the files change. */
#ifndef SMX_MUX_DOORS_KEYRING_H
#define SMX_MUX_DOORS_KEYRING_H

#include "base/wire.h"

#define KEYRING_FILE "ssh-mux-authorized-keys"

struct keyring;

/* ssh_dir is copied. */
int keyring_new(struct keyring **ret, const char *ssh_dir);
void keyring_free(struct keyring *k); /* NULL works */
/*
 * Reads again what has changed; a file that can't be read leaves nobody authorised. Where nothing
 * has, it costs a stat() for the file, and without the file one for the directory and each
 * id_*.pub: cheap enough for each attempt to authenticate.
 */
void keyring_refresh(struct keyring *k);
/* How often they were read. */
uint64_t keyring_reads(const struct keyring *k);
int keyring_has(const struct keyring *k, struct smx_view blob);
/* What `status` must show: the downgrade to id_*.pub, unreadable files, or "". */
const char *keyring_warning(const struct keyring *k);

#endif
