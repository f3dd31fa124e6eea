/* SPDX-License-Identifier: MIT */
/*
 * A16: the key `algorithms` of the routes file. Old algorithms are offered to a server only where a
 * route names them: algorithms = "+hmac-sha1", names after a "+", with commas between them.
 *
 * What libcrypto has not, nobody can name: ML-KEM before 3.5. What lets somebody pose as the
 * server, neither: signatures with SHA-1, RSA below 2048 bits.
 */
#ifndef SMX_CONFIG_ALGORITHMS_H
#define SMX_CONFIG_ALGORITHMS_H

#include "base/buf.h"
#include "base/wire.h"

#define SMX_ALGORITHMS_MAX        256 /* bytes in the text */
#define SMX_ALGORITHMS_ADVICE_MAX 512 /* good cap for advice */

/* 0 if `text` can be a value of the key ("" is: nothing is added); else SMX_EINVAL with what is
 * wrong and what would be right in why. */
int smx_algorithms_check(struct smx_view text, struct smx_buf *why);
/* Appends the MACs to offer: ours and, behind them, those that are named. text: a good one or NULL.
 */
int smx_algorithms_macs(const char *text, struct smx_buf *out);
/*
 * Of names that somebody needs, appends those that can be added: "hmac-sha1,...". *ret_n: how many.
 * SMX_ENOMEM, SMX_ELIMIT.
 */
int smx_algorithms_addable(struct smx_view names, struct smx_buf *out, unsigned *ret_n);
/*
 * Appends what to do about a server with which there is no common algorithm: "add to the route:
 * algorithms = ...", or why nothing can be added. what: of smx_kexinit_negotiate; offer: its list.
 */
int smx_algorithms_advise(const char *what, struct smx_view offer, struct smx_buf *out);

#endif
