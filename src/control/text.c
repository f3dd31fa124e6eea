/* SPDX-License-Identifier: MIT */
#include "control/text.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/limits.h"

/* ---- texts -------------------------------------------------------------------------------------
 */

/* Length of the UTF-8 sequence at s (RFC 3629: shortest form, no surrogates), 0 if there is none.
 */
static size_t utf8_decode(const uint8_t *s, size_t n, uint32_t *ret)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len;
	uint32_t c;

	if (s[0] < 0x80) {
		*ret = s[0];
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	c = s[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

/* What could move the cursor, hide or reorder what stands beside it (A7). */
static int is_unfit(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

void smx_control_clean_text(const char *text, size_t n, char *out, size_t max_len)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t at = 0, len;
	uint32_t c = 0;

	for (size_t i = 0; i < n; i += len) {
		len = utf8_decode(s + i, n - i, &c);
		if (len == 0 || is_unfit(c)) {
			len = len ? len : 1;
			if (at + 1 > max_len)
				break;
			out[at++] = '?';
			continue;
		}
		if (at + len > max_len)
			break;
		memcpy(out + at, s + i, len);
		at += len;
	}
	out[at] = '\0';
}

/* ---- JSON in bounds ----------------------------------------------------------------------------
 */

/* jansson's parser reports some failed allocations as syntax errors: tell them apart. */
static _Thread_local int out_of_memory;

static void *counted_malloc(size_t n)
{
	void *p = smx_malloc(n);

	if (!p)
		out_of_memory = 1;
	return p;
}

void smx_control_use_mem(void)
{
	json_set_alloc_funcs(counted_malloc, smx_free);
	out_of_memory = 0;
}

/* jansson recurses: look at the depth before it does. */
static int check_depth(struct smx_view line)
{
	int depth = 0, in_string = 0;

	for (size_t i = 0; i < line.len; i++) {
		uint8_t c = line.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = 0;
		} else if (c == '"') {
			in_string = 1;
		} else if (c == '{' || c == '[') {
			if (++depth > SMX_CONTROL_DEPTH_MAX)
				return SMX_EFORMAT;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return 0;
}

int smx_control_json_parse(struct smx_view line, json_t **ret_root)
{
	json_t *root;
	int r;

	if (line.len > SMX_CONTROL_LINE_MAX)
		return SMX_ETOOBIG;
	if (line.len == 0)
		return SMX_EFORMAT;
	if ((r = check_depth(line)) != 0)
		return r;
	smx_control_use_mem();
	root = json_loadb((const char *)line.p, line.len, JSON_REJECT_DUPLICATES, NULL);
	if (!root)
		return out_of_memory ? SMX_ENOMEM : SMX_EFORMAT;
	if (!json_is_object(root)) {
		json_decref(root);
		return SMX_EFORMAT;
	}
	*ret_root = root;
	return 0;
}

struct dump {
	struct smx_buf *out;
	int r;
};

static int dump_piece(const char *p, size_t n, void *arg)
{
	struct dump *d = arg;

	d->r = smx_buf_put(d->out, p, n);
	return d->r == 0 ? 0 : -1;
}

int smx_control_json_dump(struct smx_buf *out, const json_t *value)
{
	struct dump d = { .out = out };
	size_t before = smx_buf_len(out);

	if (json_dump_callback(value, dump_piece, &d, JSON_COMPACT) == 0)
		return 0;
	smx_buf_truncate(out, before);
	return d.r != 0 ? d.r : SMX_ENOMEM; /* our texts are clean, so nothing else is left */
}

int smx_control_line_dump(struct smx_buf *out, const json_t *value)
{
	size_t before = smx_buf_len(out);
	int r;

	if ((r = smx_control_json_dump(out, value)) == 0 &&
		smx_buf_len(out) - before >= SMX_CONTROL_LINE_MAX)
		r = SMX_ELIMIT;
	if (r == 0)
		r = smx_buf_put(out, "\n", 1);
	if (r != 0)
		smx_buf_truncate(out, before);
	return r;
}

int smx_control_get_int(
	const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	const json_t *v = json_object_get(object, key);

	if (!v)
		return SMX_ENOTFOUND;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return SMX_EFORMAT;
	*ret = (int64_t)json_integer_value(v);
	return 0;
}

int smx_control_get_bool(const json_t *object, const char *key, int *ret)
{
	const json_t *v = json_object_get(object, key);

	if (!v)
		return SMX_ENOTFOUND;
	if (!json_is_boolean(v))
		return SMX_EFORMAT;
	*ret = json_is_true(v);
	return 0;
}

int smx_control_get_string(const json_t *object, const char *key, const char **ret_view)
{
	const json_t *v = json_object_get(object, key);

	if (!v)
		return SMX_ENOTFOUND;
	if (!json_is_string(v))
		return SMX_EFORMAT;
	*ret_view = json_string_value(v);
	return 0;
}

int smx_control_optional(int r)
{
	return r == SMX_ENOTFOUND ? 0 : r;
}

static int set(json_t *object, const char *key, json_t *value)
{
	return value && json_object_set_new(object, key, value) == 0 ? 0 : SMX_ENOMEM;
}

int smx_control_set_text(json_t *object, const char *key, const char *text, size_t max_len)
{
	char clean[SMX_CONTROL_TEXT_MAX + 1];

	if (max_len > SMX_CONTROL_TEXT_MAX)
		return SMX_EINVAL;
	smx_control_clean_text(text ? text : "", text ? strlen(text) : 0, clean, max_len);
	return set(object, key, json_string(clean));
}

int smx_control_set_int(json_t *object, const char *key, int64_t value)
{
	return set(object, key, json_integer(value));
}

int smx_control_set_bool(json_t *object, const char *key, int value)
{
	return set(object, key, json_boolean(value));
}
