/* SPDX-License-Identifier: MIT */
/*
 * How a login was begun that worked, for the next one over the same path (B13): which key opened
 * it, what the server has first in its lists, and whether it must be sent one message at a time. A
 * path is what the pool's key says (P1): with other keys, or the same ones in another order, one may
 * be somebody else. Paths and keys are digests here, which is enough to know them again.
 */
#ifndef SMX_MUX_POOL_GREETING_H
#define SMX_MUX_POOL_GREETING_H

#include "base/list.h"
#include "base/wire.h"
#include "config/routes.h"
#include "ssh/kexinit.h"

#define GREETINGS_MAX      128 /* the one not used for longest goes */
#define GREETINGS_TEXT_MAX 65000

/* What the server wanted after the key. */
enum greeting_then {
	GREETING_UNKNOWN, /* no key is known */
	GREETING_ENOUGH, /* nothing */
	GREETING_ASKS, /* keyboard-interactive */
	GREETING_MORE, /* something else */
};

struct greetings {
	struct smx_list list; /* the last used first */
	unsigned n;
	int has_changed; /* since it was set to 0: greetings_write would write something else */
};

void greetings_init(struct greetings *g);
void greetings_release(struct greetings *g);

/* Whether this key opened the last login; that which no key opened was opened by none. */
int greeting_is_key(
	struct greetings *g, const struct smx_hop *hops, size_t n_hops, struct smx_view blob);
enum greeting_then greeting_then(struct greetings *g, const struct smx_hop *hops, size_t n_hops);
int greeting_is_in_turns(struct greetings *g, const struct smx_hop *hops, size_t n_hops);
/* What the server is guessed to choose (smx_transport_config). 0: nothing is known. The names live
 * until the next call. */
int greeting_guess(struct greetings *g, const struct smx_hop *hops, size_t n_hops,
	const char **ret_kex, const char **ret_host_key);
/* A login was opened by this key; empty: by none. Without memory it is not remembered. */
void greeting_note_key(struct greetings *g, const struct smx_hop *hops, size_t n_hops,
	struct smx_view blob, enum greeting_then then);
/* The first key exchange with the server is over. */
void greeting_note_algs(struct greetings *g, const struct smx_hop *hops, size_t n_hops,
	const struct smx_algs *algs);
/* The guess was taken amiss, it seems: none is made until the next exchange has gone well. */
void greeting_forget_algs(struct greetings *g, const struct smx_hop *hops, size_t n_hops);
/* The server ended a connection at messages that came before it had answered the first. */
void greeting_note_in_turns(struct greetings *g, const struct smx_hop *hops, size_t n_hops);

/*
 * All of them as text, for a daemon that comes later; a line each, behind one that says which
 * algorithms we offer. Servers that must be sent one message at a time are left out: that may have
 * been a connection that broke. Appended. SMX_ENOMEM, SMX_ELIMIT, SMX_ECRYPTO.
 */
int greetings_write(const struct greetings *g, struct smx_buf *out);
/*
 * Takes those of such a text, behind what is known already. 1: it is of a program that offers other
 * algorithms; it is not looked at further, for a guess must not keep a better choice away.
 * SMX_ESYNTAX: *ret_line is not as we write it, and none is taken. SMX_ENOMEM, SMX_ECRYPTO.
 */
int greetings_read(struct greetings *g, struct smx_view text, unsigned *ret_line);

#endif
