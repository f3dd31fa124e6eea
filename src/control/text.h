/* SPDX-License-Identifier: MIT */
/* Private to src/control: jansson in bounds, and texts fit for a terminal. */
#ifndef SMX_CONTROL_TEXT_H
#define SMX_CONTROL_TEXT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/wire.h"

/* The largest integer that every JSON implementation keeps exact. */
#define SMX_CONTROL_INT_MAX (((int64_t)1 << 53) - 1)

/*
 * Copies text (n bytes) to out, NUL-terminated: control characters (C0, DEL, C1), bidirectional
 * overrides, line separators and bytes that are not UTF-8 become '?'; cut to max_len bytes at a
 * character's end. out has room for max_len + 1. No character of the result takes more than two
 * bytes for one in JSON.
 */
void smx_control_clean_text(const char *text, size_t n, char *out, size_t max_len);

/*
 * Parses a line into *ret_root (json_decref), an object. SMX_EFORMAT, SMX_ETOOBIG (longer than
 * SMX_CONTROL_LINE_MAX), SMX_ENOMEM.
 */
int smx_control_json_parse(struct smx_view line, json_t **ret_root);
/* Appends a JSON value, compact, without a newline. Bounded by out's max only. */
int smx_control_json_dump(struct smx_buf *out, const json_t *value);
/* Appends a line; SMX_ELIMIT if it were longer than SMX_CONTROL_LINE_MAX. Nothing on failure. */
int smx_control_line_dump(struct smx_buf *out, const json_t *value);

/*
 * Members of an object. Absent: SMX_ENOTFOUND and *ret untouched. SMX_EFORMAT: another type, or
 * out of min … max. A string is the object's own (borrowed).
 */
int smx_control_get_int(
	const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret);
int smx_control_get_bool(const json_t *object, const char *key, int *ret);
int smx_control_get_string(const json_t *object, const char *key, const char **ret_view);

/* Turns "absent" into success: the member is optional. */
int smx_control_optional(int r);

/* Sets a member, cleaned; NULL counts as "". SMX_ENOMEM. */
int smx_control_set_text(json_t *object, const char *key, const char *text, size_t max_len);
int smx_control_set_int(json_t *object, const char *key, int64_t value);
int smx_control_set_bool(json_t *object, const char *key, int value);

/* jansson allocates through base/mem. Call before anything is made. */
void smx_control_use_mem(void);

#endif
