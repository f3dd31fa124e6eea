/* SPDX-License-Identifier: MIT */
/* The log of `serve` and of the daemon: ssh-mux.log in the SSH directory, beside stderr (D4). */
#include "cli/run/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"
#include "os/log.h"
#include "os/path.h"

#define LEVEL_VARIABLE "SSH_MUX_LOG"
#define ERR_MAX        (2 * SMX_OS_PATH_MAX)
#define CAUSE_SIZE     512

static struct {
	struct smx_os_log *file; /* NULL: stderr only */
	uint64_t n_lost; /* lines since the last that was written */
	char cause[CAUSE_SIZE]; /* why the first of them was */
	int is_rename_said;
} state;

static const char *text_of(struct smx_buf *err, int r)
{
	return smx_errtext(r, err);
}

static void write_stderr(const char *line, size_t len)
{
	if (state.file && smx_os_log_has_stderr(state.file))
		return;
	(void)fwrite(line, 1, len, stderr);
	(void)fflush(stderr); /* Windows' C library keeps it back where it goes to a file */
}

/* As smx_log, for what is about the log itself. */
static void put_note(struct smx_os_log *file, const char *fmt, ...) SMX_PRINTF(2, 3);

static void put_note(struct smx_os_log *file, const char *fmt, ...)
{
	char text[SMX_LOG_TEXT_MAX], line[SMX_LOG_LINE_SIZE];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	len = smx_log_line(SMX_LOG_WARN, text, line);
	write_stderr(line, len);
	if (file)
		(void)smx_os_log_write(file, line, len, NULL);
}

/* The first line after some that could not be written tells of them. */
static void tell_lost(void)
{
	char text[CAUSE_SIZE + 64], line[SMX_LOG_LINE_SIZE];

	(void)snprintf(text, sizeof(text), "%llu lines of this log are lost: %s",
		(unsigned long long)state.n_lost, state.cause);
	if (smx_os_log_write(state.file, line, smx_log_line(SMX_LOG_WARN, text, line), NULL) >= 0)
		state.n_lost = 0;
}

static void sink(void *arg, enum smx_log_level level, const char *line, size_t len)
{
	struct smx_buf err;
	int r = 0;

	(void)arg;
	(void)level;
	write_stderr(line, len);
	if (state.n_lost)
		tell_lost();
	smx_buf_init(&err, ERR_MAX);
	if (state.n_lost == 0)
		r = smx_os_log_write(state.file, line, len, &err);
	if (r < 0 || state.n_lost) {
		if (state.n_lost++ == 0) {
			(void)snprintf(state.cause, sizeof(state.cause), "%s", text_of(&err, r));
			put_note(NULL, "the log file loses lines: %s", state.cause);
		}
	} else if (r > 0 && !state.is_rename_said) {
		state.is_rename_said = 1;
		put_note(state.file, "the log file is full and stays in use: %s", text_of(&err, r));
	}
	smx_buf_release(&err);
}

const char *smx_cli_log_level(struct smx_serve_options *o)
{
	const char *text = getenv(LEVEL_VARIABLE);

	if (o->log_level_is_set || !text || !*text || smx_log_level_parse(text, &o->log_level) == 0)
		return NULL;
	return text;
}

void smx_cli_log_start(struct smx_serve_options *o, int is_detached)
{
	const char *bad_level = smx_cli_log_level(o);
	struct smx_buf err;
	char *path = NULL;
	int r;

	smx_log_set_level(o->log_level);
	smx_os_crash_install("ssh-mux " SMX_VERSION);
	smx_buf_init(&err, ERR_MAX);
	if ((r = smx_os_path_join(o->ssh_dir, SMX_LOG_FILE, &path)) == 0)
		r = smx_os_log_new(path, SMX_OS_LOG_MAX, is_detached, &state.file, &err);
	if (r == 0)
		smx_log_set_sink(sink, NULL);
	else
		log_warn("no log file, messages appear here only: %s", text_of(&err, r));
	if (bad_level)
		log_warn("the variable " LEVEL_VARIABLE
			 " must be error, warn, info or debug, not %s; it is taken as info",
			bad_level);
	smx_buf_release(&err);
	smx_free(path);
}

void smx_cli_log_stop(void)
{
	struct smx_os_log *file = state.file;

	smx_log_set_sink(NULL, NULL);
	memset(&state, 0, sizeof(state));
	smx_os_log_free(file);
}

void smx_cli_log_failure(const char *ssh_dir, const char *fmt, ...)
{
	char text[SMX_LOG_TEXT_MAX], line[SMX_LOG_LINE_SIZE], *path;
	struct smx_os_log *file;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (smx_os_path_join(ssh_dir, SMX_LOG_FILE, &path) != 0)
		return;
	if (smx_os_log_new(path, SMX_OS_LOG_MAX, 0, &file, NULL) == 0) {
		if (!smx_os_log_has_stderr(file))
			(void)smx_os_log_write(
				file, line, smx_log_line(SMX_LOG_ERROR, text, line), NULL);
		smx_os_log_free(file);
	}
	smx_free(path);
}
