/* SPDX-License-Identifier: MIT */
/*
 * The log file and the last words (D4).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_LOG_H
#define SMX_OS_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SMX_OS_LOG_MAX (5u << 20) /* bytes; then it becomes PATH.old */

/*
 * Opens a log for appending, made if missing; its directory is walked as above and made with mode
 * 0700 if missing. It must be a regular file of ours that has no other name, no symlink; its mode
 * is set to 0600. *ret_size: its length now. Errors as smx_os_file_read.
 */
int smx_os_log_open(const char *path, int *ret_fd, uint64_t *ret_size, struct smx_buf *err);
/*
 * Appends what was written behind `from`, or the end of it that `out` takes with a NUL of
 * smx_buf_cstr behind it; SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_log_read(int fd, uint64_t from, struct smx_buf *out);

/*
 * A log for writing lines to; several processes may have the same one. When it would be larger than
 * max_bytes it is renamed to PATH.old, which is replaced, and begun anew; and it is begun anew when
 * somebody renamed or removed it. Not for several threads.
 */
struct smx_os_log;

/*
 * As smx_os_log_open. takes_stderr: what is written to stderr goes to the log from now on. Where it
 * does so already (a shell's redirection) it goes on so, also when there is a new file.
 */
int smx_os_log_new(const char *path, uint64_t max_bytes, int takes_stderr, struct smx_os_log **ret,
	struct smx_buf *err);
/* 1: stderr is this log, so no line needs to be written to both. */
int smx_os_log_has_stderr(const struct smx_os_log *l);
/*
 * A line with its newline, in one piece. Takes no time but that of a write, and some 20 ms at most
 * where another process was stopped in the middle of its own. 0; 1: written, but the file is full
 * and can't be renamed (text in err); SMX_EUNSAFE, SMX_ENOTFOUND, SMX_ESYS: the line is lost, a
 * later one may not be.
 */
int smx_os_log_write(struct smx_os_log *l, const char *line, size_t len, struct smx_buf *err);
void smx_os_log_free(struct smx_os_log *l); /* NULL works */

/*
 * From now on a crash (a bad memory access, an assertion that failed …) is reported to stderr and
 * to the log of smx_os_log_new, if there is one, before the process ends as it would have: what
 * happened and where, as far as the system can tell without touching what may be broken; nothing
 * that was in memory. program: its name and version, borrowed for good. Does nothing where a
 * sanitizer reports.
 */
void smx_os_crash_install(const char *program);

#endif
