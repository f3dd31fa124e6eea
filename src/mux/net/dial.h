/* SPDX-License-Identifier: MIT */
/* Dialling: a host name and port to a connected TCP socket. */
#ifndef SMX_MUX_NET_DIAL_H
#define SMX_MUX_NET_DIAL_H

#include <uv.h>

#define DIAL_TIMEOUT_MS         30000 /* in all */
#define DIAL_ADDRESS_TIMEOUT_MS 10000 /* for each of several addresses */

struct dial;

/*
 * Called once, from the loop: r 0 and a connected handle (the callee's, smx_free it in its close
 * callback), or an SMX_E* and why. Not called after dial_cancel.
 */
typedef void dial_cb(void *arg, int r, uv_tcp_t *tcp, const char *why);

/* NULL: no memory. */
struct dial *dial_start(uv_loop_t *loop, const char *host, uint16_t port, dial_cb *cb, void *arg);
void dial_cancel(struct dial *d); /* NULL works */

#endif
