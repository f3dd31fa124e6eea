/* SPDX-License-Identifier: MIT */
/*
 * Log lines of what happens to connections, channels and clients (D4), with the numbers that status
 * shows, in one order, so that all lines about one of them are found by one word:
 *
 *	conn=3 chan=12 client=7 route="web" channel opened: session
 *
 * Never a secret, nor what would tell something about one (the length of an answer).
 */
#ifndef SMX_MUX_CORE_SAY_H
#define SMX_MUX_CORE_SAY_H

#include <stdint.h>

#include "base/attr.h"
#include "base/log.h"

struct client;
struct upstream;

/* 0 and NULL: there is none, or it is not known. */
struct mux_ids {
	uint64_t conn, chan, client;
	const char *route; /* as a client gave it, maybe */
};

void mux_say(enum smx_log_level level, const struct mux_ids *ids, const char *fmt, ...)
	SMX_PRINTF(3, 4);

#define say_warn(ids, ...) mux_say(SMX_LOG_WARN, (ids), __VA_ARGS__)
#define say_info(ids, ...) mux_say(SMX_LOG_INFO, (ids), __VA_ARGS__)
#define say_debug(ids, ...)                                         \
	do {                                                        \
		if (smx_log_enabled(SMX_LOG_DEBUG))                 \
			mux_say(SMX_LOG_DEBUG, (ids), __VA_ARGS__); \
	} while (0)

/* Borrowed from what they are of. */
struct mux_ids ids_of_upstream(const struct upstream *up);
struct mux_ids ids_of_client(const struct client *c);

#endif
