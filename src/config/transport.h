/* SPDX-License-Identifier: MIT */
/*
 * The words of a `transport` (R7): a program and its arguments, which carry a connection to a host
 * instead of a TCP socket, as ssh_config(5)'s ProxyCommand does, but without a shell. In the
 * arguments %h is the host, %p the port, %r the user, %n the name of the route (without one, the
 * host), %% a percent sign.
 */
#ifndef SMX_CONFIG_TRANSPORT_H
#define SMX_CONFIG_TRANSPORT_H

#include "base/buf.h"
#include "config/routes.h"

/* What is wrong with a word, or NULL. is_first: the program itself. Static text: "must not ...". */
const char *smx_transport_fault(struct smx_view word, int is_first);
/* Appends the word with what the tokens stand for. SMX_ENOMEM, SMX_ELIMIT. */
int smx_transport_expand(const struct smx_hop *hop, const char *word, struct smx_buf *out);
/*
 * Whether a word of a hop may have become `text`, by any user and port, which the client of a route
 * may name (W1): both as config/names.h has them. 1 or 0.
 */
int smx_transport_may_be(const struct smx_hop *hop, const char *word, const char *text);

#endif
