/* SPDX-License-Identifier: MIT */
#include "trust/authorized_keys.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/key.h"
#include "crypto/keyfile.h"
#include "trust/text.h"

struct key {
	size_t len;
	uint8_t blob[];
};

struct smx_authorized_keys {
	struct key **keys;
	size_t n_keys, cap_keys;
	size_t n_skipped;
};

int smx_authorized_keys_new(struct smx_authorized_keys **ret)
{
	struct smx_authorized_keys *set = smx_calloc(1, sizeof(*set));

	if (!set)
		return SMX_ENOMEM;
	*ret = set;
	return 0;
}

static void cut_down(struct smx_authorized_keys *set, size_t n_keys)
{
	while (set->n_keys > n_keys)
		smx_free(set->keys[--set->n_keys]);
}

void smx_authorized_keys_free(struct smx_authorized_keys *set)
{
	if (!set)
		return;
	cut_down(set, 0);
	smx_free(set->keys);
	smx_free(set);
}

static int add_key(struct smx_authorized_keys *set, struct smx_view blob)
{
	struct key *k, **bigger;
	size_t cap;

	if (set->n_keys == set->cap_keys) {
		cap = set->cap_keys ? set->cap_keys * 2 : 8;
		bigger = smx_realloc(set->keys, cap * sizeof(struct key *));
		if (!bigger)
			return SMX_ENOMEM;
		set->keys = bigger;
		set->cap_keys = cap;
	}
	k = smx_malloc(sizeof(*k) + blob.len);
	if (!k)
		return SMX_ENOMEM;
	k->len = blob.len;
	memcpy(k->blob, blob.p, blob.len);
	set->keys[set->n_keys++] = k;
	return 0;
}

/*
 * What follows the options at the start of a line: they end at the first blank outside
 * double quotes, inside which \" is a quote (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").
 */
static struct smx_view skip_options(struct smx_view line)
{
	size_t i = 0;
	int quoted = 0;

	for (; i < line.len; i++) {
		uint8_t c = line.p[i];

		if (c == '\\' && i + 1 < line.len && line.p[i + 1] == '"')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ' ' || c == '\t'))
			break;
	}
	line.p += i;
	line.len -= i;
	while (line.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
		line.p++;
		line.len--;
	}
	return line;
}

/*
 * The blob of a line that is nothing but a key we can verify. *ret_fault is why it isn't
 * one. 0 in both cases, or SMX_ENOMEM, SMX_ECRYPTO.
 */
static int parse_key(struct smx_view line, struct smx_buf *blob, const char **ret_fault)
{
	struct smx_view comment;
	struct smx_key *key = NULL;
	int r;

	smx_buf_reset(blob);
	r = smx_pubkey_line_parse(line, blob, &comment);
	if (r == SMX_ENOMEM)
		return r;
	if (r != 0) {
		/* Only to say which of the two it is: with options it is not honoured either way.
		 */
		smx_buf_reset(blob);
		r = smx_pubkey_line_parse(skip_options(line), blob, &comment);
		if (r == SMX_ENOMEM)
			return r;
		*ret_fault = r == 0 ? "skipped: key with options, which are not supported here"
				    : "skipped: not a public key";
		return 0;
	}
	r = smx_key_from_blob(&key, smx_buf_as_view(blob));
	smx_key_free(key);
	if (r == SMX_ENOMEM)
		return r;
	if (r == SMX_EUNSUPPORTED)
		*ret_fault = "skipped: key type not supported (certificates are not)";
	else if (r != 0)
		*ret_fault = "skipped: malformed or too weak public key";
	return 0;
}

static int parse_line(struct smx_authorized_keys *set, struct smx_view line,
	const struct smx_text_at *at, struct smx_buf *blob)
{
	const struct smx_view nothing = { NULL, 0 };
	const char *fault = NULL;
	struct smx_view v;
	int r = 0;

	if (line.len == 0 || line.p[0] == '#')
		return 0;
	if (line.len > SMX_AUTHORIZED_KEYS_LINE_MAX)
		fault = "skipped: line too long";
	else if (memchr(line.p, '\0', line.len))
		fault = "skipped: NUL byte in the line";
	else if ((r = parse_key(line, blob, &fault)) != 0)
		return r;
	if (!fault) {
		v = smx_buf_as_view(blob);
		if (smx_authorized_keys_has(set, v))
			return 0;
		if (set->n_keys < SMX_AUTHORIZED_KEYS_MAX)
			return add_key(set, v);
		fault = "skipped: too many keys";
	}
	set->n_skipped++;
	smx_text_warn(at, fault, nothing);
	return 0;
}

int smx_authorized_keys_add_text(struct smx_authorized_keys *set, const char *source_name,
	struct smx_view text, struct smx_buf *warnings)
{
	struct smx_text_at at = { .source_name = source_name, .warnings = warnings };
	size_t n_keys = set->n_keys, n_skipped = set->n_skipped;
	struct smx_view line;
	struct smx_buf blob;
	int r = 0;

	if (text.len > SMX_AUTHORIZED_KEYS_TEXT_MAX)
		return SMX_ELIMIT;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	text = smx_text_skip_bom(text);
	while (r == 0 && smx_text_line(&text, &line)) {
		at.line++;
		r = parse_line(set, line, &at, &blob);
	}
	smx_buf_release(&blob);
	if (r != 0) {
		cut_down(set, n_keys);
		set->n_skipped = n_skipped;
	}
	return r;
}

int smx_authorized_keys_parse(struct smx_authorized_keys **ret, const char *source_name,
	struct smx_view text, struct smx_buf *warnings)
{
	struct smx_authorized_keys *set;
	int r;

	if ((r = smx_authorized_keys_new(&set)) != 0)
		return r;
	r = smx_authorized_keys_add_text(set, source_name, text, warnings);
	if (r != 0) {
		smx_authorized_keys_free(set);
		return r;
	}
	*ret = set;
	return 0;
}

int smx_authorized_keys_has(const struct smx_authorized_keys *set, struct smx_view blob)
{
	for (size_t i = 0; i < set->n_keys; i++) {
		if (set->keys[i]->len == blob.len &&
			memcmp(set->keys[i]->blob, blob.p, blob.len) == 0)
			return 1;
	}
	return 0;
}

size_t smx_authorized_keys_count(const struct smx_authorized_keys *set)
{
	return set->n_keys;
}

size_t smx_authorized_keys_skipped(const struct smx_authorized_keys *set)
{
	return set->n_skipped;
}
