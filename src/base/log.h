/* SPDX-License-Identifier: MIT */
/*
 * The log. Only mux/ and cli/ write to it; libraries return errors instead.
 * One line an event: time, level, text. Control characters in the text are
 * written as \xNN, so that nothing a remote sends can forge a line. Never put
 * a secret into it.
 */
#ifndef SMX_BASE_LOG_H
#define SMX_BASE_LOG_H

#include <stddef.h>

enum smx_log_level { SMX_LOG_ERROR, SMX_LOG_WARN, SMX_LOG_INFO, SMX_LOG_DEBUG };

/* One formatted line, with its newline. */
typedef void smx_log_sink(void *arg, enum smx_log_level level, const char *line, size_t len);

/* Default: level INFO, sink writes to stderr. */
void smx_log_set_level(enum smx_log_level max_level);
void smx_log_set_sink(smx_log_sink *sink, void *arg);
/* "error" "warn" "info" "debug"; 0 or SMX_EINVAL. */
int smx_log_level_parse(const char *name, enum smx_log_level *ret);

void smx_log(enum smx_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int smx_log_enabled(enum smx_log_level level);

#define log_error(...) smx_log(SMX_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  smx_log(SMX_LOG_WARN, __VA_ARGS__)
#define log_info(...)  smx_log(SMX_LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                       \
	do {                                                 \
		if (smx_log_enabled(SMX_LOG_DEBUG))          \
			smx_log(SMX_LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
