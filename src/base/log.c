/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static enum smx_log_level log_level = SMX_LOG_INFO;

static void stderr_sink(void *arg, enum smx_log_level level, const char *line, size_t len)
{
	(void)arg;
	(void)level;
	(void)fwrite(line, 1, len, stderr);
	(void)fflush(stderr); /* Windows' C library keeps it back where it goes to a file */
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

static int is_plain(uint32_t c)
{
	return c >= 0x20 && (c < 0x7f || c > 0x9f) && c != 0x2028 && c != 0x2029;
}

size_t smx_log_line(enum smx_log_level level, const char *text, char *out)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = (const uint8_t *)text;
	size_t left = strnlen(text, SMX_LOG_TEXT_MAX), n, len;
	struct timespec ts = { 0, 0 };
	uint32_t c;

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* on failure: 1970 */
	smx_log_stamp((int64_t)ts.tv_sec, (unsigned)(ts.tv_nsec / 1000000), out);
	n = SMX_LOG_STAMP_SIZE - 1;
	n += (size_t)snprintf(out + n, SMX_LOG_LINE_SIZE - n, " %s ", level_names[level]);
	for (; left; p += len, left -= len) {
		len = smx_utf8_decode(p, left, &c);
		if (len && is_plain(c)) {
			memcpy(out + n, p, len);
			n += len;
			continue;
		}
		len = len ? len : 1;
		for (size_t i = 0; i < len; i++) {
			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = hex[p[i] >> 4];
			out[n++] = hex[p[i] & 15];
		}
	}
	out[n++] = '\n';
	return n;
}

void smx_log(enum smx_log_level level, const char *fmt, ...)
{
	char text[SMX_LOG_TEXT_MAX], line[SMX_LOG_LINE_SIZE];
	va_list ap;
	int n;

	if (!smx_log_enabled(level))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	log_sink(log_sink_arg, level, line, smx_log_line(level, text, line));
}
