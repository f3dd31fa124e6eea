/* SPDX-License-Identifier: MIT */
/*
 * K6: what a server's list of its host keys (ssh/hostkeys.h) means for known_hosts, under the rules
 * of OpenSSH's UpdateHostKeys: which keys are new, which are no longer the server's, and whether
 * anything may be changed at all. Text in, text out.
 */
#ifndef SMX_TRUST_ROTATION_H
#define SMX_TRUST_ROTATION_H

#include "trust/known_hosts.h"

#define SMX_ROTATION_MAX 64 /* keys listed; and old ones that are removed */

struct smx_rotation_ask {
	const char *host; /* as for smx_known_hosts_check */
	uint16_t port;
	struct smx_view used; /* the key that the connection was made with */
	const struct smx_view
		*listed; /* plain keys or of unknown types; at most SMX_ROTATION_MAX */
	size_t n_listed;
	char *const *own; /* names of the texts that are the user's */
	size_t n_own;
};

struct smx_rotation {
	const char *why_not; /* nothing may be changed: static text; else NULL */
	size_t fresh[SMX_ROTATION_MAX]; /* listed keys that are not known: indices */
	size_t n_fresh;
	struct smx_view old[SMX_ROTATION_MAX]; /* known keys that are not listed; live with kh */
	size_t n_old;
};

/*
 * Nothing may be changed unless a line of the user's own files, for exactly this name and port, has
 * the key that was used; nor if any line that names the host has a marker, can't be read, has
 * wildcards or more than two names (then a person or an authority looks after it); nor if the list
 * lacks the key that was used. An old key that other names have as well stays. kh is not narrowed.
 * 0 or an error of smx_known_hosts_check.
 */
int smx_rotation_plan(const struct smx_known_hosts *kh, const struct smx_rotation_ask *ask,
	struct smx_rotation *ret);

/*
 * A known_hosts text as it should be: without the lines that name exactly this host, and nobody
 * else, for one of the old keys; with a line at its end for each fresh key that it has not got.
 * Everything else stays as it is, byte for byte. hashed: names of new lines. *ret_removed,
 * *ret_added: lines. SMX_ENOMEM, SMX_ELIMIT, SMX_EINVAL (a name that can't be written).
 */
struct smx_rotation_edit {
	const char *host;
	uint16_t port;
	int hashed;
	const struct smx_view *old, *fresh;
	size_t n_old, n_fresh;
};
int smx_rotation_apply(const struct smx_rotation_edit *edit, struct smx_view text,
	struct smx_buf *out, unsigned *ret_removed, unsigned *ret_added);

#endif
