/* SPDX-License-Identifier: MIT */
/*
 * The log (D4). Only mux/ and cli/ write to it; libraries return errors instead. One line an event:
 *
 *	2026-11-23T15:38:33.123Z info conn=3 route="web" logged in
 *
 * Time (UTC), level, text. Control characters in the text, and what is not UTF-8, are written as
 * \xNN, so that nothing a remote sends can forge a line or drive a terminal. Never put a secret
 * into it. For the loop's thread only.
 */
#ifndef SMX_BASE_LOG_H
#define SMX_BASE_LOG_H

#include <stddef.h>

#include "base/attr.h"
#include "base/stamp.h"

enum smx_log_level { SMX_LOG_ERROR, SMX_LOG_WARN, SMX_LOG_INFO, SMX_LOG_DEBUG };

#define SMX_LOG_TEXT_MAX  4096 /* of a text; what is longer ends in "..." */
#define SMX_LOG_LINE_SIZE (4 * SMX_LOG_TEXT_MAX + 64)

/* One formatted line, with its newline. */
typedef void smx_log_sink(void *arg, enum smx_log_level level, const char *line, size_t len);

/* Default: level INFO, sink writes to stderr. */
void smx_log_set_level(enum smx_log_level max_level);
void smx_log_set_sink(smx_log_sink *sink, void *arg);
/* "error" "warn" "info" "debug"; 0 or SMX_EINVAL. */
int smx_log_level_parse(const char *name, enum smx_log_level *ret);

void smx_log(enum smx_log_level level, const char *fmt, ...) SMX_PRINTF(2, 3);
int smx_log_enabled(enum smx_log_level level);

/* What a sink would get for this text, now. out: SMX_LOG_LINE_SIZE bytes. Returns its length. */
size_t smx_log_line(enum smx_log_level level, const char *text, char *out);

#define log_error(...) smx_log(SMX_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  smx_log(SMX_LOG_WARN, __VA_ARGS__)
#define log_info(...)  smx_log(SMX_LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                       \
	do {                                                 \
		if (smx_log_enabled(SMX_LOG_DEBUG))          \
			smx_log(SMX_LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
