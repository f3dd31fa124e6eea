/* SPDX-License-Identifier: MIT */
/*
 * Patterns as in known_hosts (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): `*` matches any
 * run of characters, also none, `?` matches exactly one, everything else itself.
 *
 * Time is at most len(text) * len(pattern), whatever the pattern: there is no recursion and
 * only the last `*` is ever tried again.
 */
#ifndef SMX_TRUST_PATTERN_H
#define SMX_TRUST_PATTERN_H

#include "base/wire.h"

/* 1 if pattern matches the whole of text. ignore_case: A–Z equal a–z (host names). */
int smx_pattern_match(struct smx_view text, struct smx_view pattern, int ignore_case);

/*
 * A comma-separated list of patterns, each of which may be negated by a leading `!`.
 * 1: a pattern matches and no negated one does. -1: a negated one matches, so the list does not,
 * whatever else it holds. 0: nothing matches. Empty items match nothing.
 */
int smx_pattern_list_match(struct smx_view text, struct smx_view list, int ignore_case);

#endif
