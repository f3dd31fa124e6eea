/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"

#define LOG_LINE_MAX 2048

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static enum smx_log_level log_level = SMX_LOG_INFO;

static void stderr_sink(void *arg, enum smx_log_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	(void)fwrite(line, 1, len, stderr);
}

static smx_log_sink *log_sink = stderr_sink;
static void *log_sink_arg;

void smx_log_set_level(enum smx_log_level max_level)
{
	log_level = max_level;
}

void smx_log_set_sink(smx_log_sink *sink, void *arg)
{
	log_sink = sink ? sink : stderr_sink;
	log_sink_arg = arg;
}

int smx_log_level_parse(const char *name, enum smx_log_level *ret)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret = (enum smx_log_level)i;
			return 0;
		}
	}
	return SMX_EINVAL;
}

int smx_log_enabled(enum smx_log_level level)
{
	return level <= log_level;
}

void smx_log(enum smx_log_level level, const char *fmt, ...)
{
	char text[LOG_LINE_MAX / 4], line[LOG_LINE_MAX];
	struct tm tm;
	time_t now;
	size_t n;
	va_list ap;

	if (!smx_log_enabled(level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	now = time(NULL);
	tm = *gmtime(&now); /* all logging is on the loop's thread */
	n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ ", &tm);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%-5s ", level_names[level]);
	for (const char *s = text; *s && n < sizeof(line) - 6; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(line + n, sizeof(line) - n, "\\x%02x", c);
		else
			line[n++] = (char)c;
	}
	line[n++] = '\n';
	log_sink(log_sink_arg, level, line, n);
}
