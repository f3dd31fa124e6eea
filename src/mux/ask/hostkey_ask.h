/* SPDX-License-Identifier: MIT */
/*
 * An unknown host key and a person: the question (K2), and the key written to known_hosts before
 * the connection goes on (K4).
 */
#ifndef SMX_MUX_ASK_HOSTKEY_ASK_H
#define SMX_MUX_ASK_HOSTKEY_ASK_H

#include "mux/pool/hostkey.h"
#include "mux/pool/pool.h"

struct hostkey_ask;

/* Called once, from the loop, unless cancelled: 0, the key is trusted and written down; else why
 * not. */
typedef void hostkey_ask_cb(void *arg, int r, const char *why);

/*
 * Asks, unless q says that nobody need be (accept-new); then pins. Everything is copied. NULL: no
 * memory, or nobody to ask.
 */
struct hostkey_ask *hostkey_ask_start(struct pool_entry *e, const struct prepared *p,
	const struct hostkey_question *q, hostkey_ask_cb *cb, void *arg);
void hostkey_ask_cancel(struct hostkey_ask *a); /* NULL works */
/* Whether the login's time limit should stand still: a person is being asked. */
int hostkey_ask_is_waiting(const struct hostkey_ask *a);

#endif
