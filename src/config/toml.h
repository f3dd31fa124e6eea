/* SPDX-License-Identifier: MIT */
/*
 * TOML 1.0 text → a tree in C. toml++ does the parsing and is gone when smx_toml_parse
 * returns; no exception leaves it.
 */
#ifndef SMX_CONFIG_TOML_H
#define SMX_CONFIG_TOML_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMX_TOML_TEXT_MAX  (1u << 20)
#define SMX_TOML_DEPTH_MAX 16 /* tables and arrays within each other */

enum smx_toml_type {
	SMX_TOML_TABLE,
	SMX_TOML_ARRAY,
	SMX_TOML_STRING,
	SMX_TOML_INTEGER,
	SMX_TOML_BOOLEAN,
	SMX_TOML_OTHER, /* float, date, time: nothing of ours wants one */
};

/*
 * Lines and columns count from 1, columns in characters. Tables keep their entries in
 * the order of the text.
 */
struct smx_toml {
	enum smx_toml_type type;
	unsigned line, column; /* of the value */
	char *key; /* inside a table; NUL-terminated, key_len bytes (a key may hold NUL) */
	size_t key_len;
	unsigned key_line, key_column;
	char *string; /* STRING: NUL-terminated, string_len bytes (may hold NUL) */
	size_t string_len;
	int64_t integer;
	int boolean;
	struct smx_toml **items; /* TABLE, ARRAY */
	size_t n_items;
};

struct smx_toml_error {
	unsigned line, column; /* 0 if the error has no place */
	char what[256]; /* printable, one line */
};

/*
 * 0; SMX_ESYNTAX with *ret_error filled in (not TOML, nested too deep, too long); SMX_ENOMEM.
 */
int smx_toml_parse(
	const char *text, size_t len, struct smx_toml **ret, struct smx_toml_error *ret_error);
void smx_toml_free(struct smx_toml *t);

/* The entry of a table, or NULL. */
const struct smx_toml *smx_toml_get(const struct smx_toml *table, const char *key);
/* "a string", "an integer", "a table" … */
const char *smx_toml_type_name(enum smx_toml_type type);

#ifdef __cplusplus
}
#endif

#endif
