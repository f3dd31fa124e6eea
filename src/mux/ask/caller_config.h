/* SPDX-License-Identifier: MIT */
/*
 * What the client of a control socket was told by its own configuration (W7): whether it may ask
 * anybody, and how long it would wait for a connection. PROTOCOL.mux has no word for either, so the
 * client's own ssh is asked, `ssh -G` with the client's arguments, environment and directory.
 */
#ifndef SMX_MUX_ASK_CALLER_CONFIG_H
#define SMX_MUX_ASK_CALLER_CONFIG_H

#include "base/wire.h"
#include "mux/core/mux.h"
#include "os/caller.h"

struct caller_config;

struct caller_settings {
	int is_batch;
	uint64_t connect_timeout_ms; /* 0: as long as the system waits */
};

/* From the loop, once, unless cancelled. Where nothing was learned all of it is 0. */
typedef void caller_config_cb(void *arg, const struct caller_settings *s);

/* env: the client's; borrowed until the end. NULL: it can't be asked (it is no ssh), or no memory.
 */
struct caller_config *caller_config_start(struct mux *m, const struct smx_os_caller *caller,
	char *const *env, caller_config_cb *cb, void *arg);
void caller_config_cancel(struct caller_config *c); /* NULL works */

/* What it is run with: the client's arguments, each with its NUL, and -G behind the first. Pointers
 * into text; the caller's to smx_free. NULL: no memory. */
const char **caller_config_args(const struct smx_buf *text);
/* Of what `ssh -G` prints. */
void caller_settings_parse(struct smx_view text, struct caller_settings *ret);

#endif
