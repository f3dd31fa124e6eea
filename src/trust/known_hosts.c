/* SPDX-License-Identifier: MIT */
#include "trust/known_hosts.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/cert.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/keyfile.h"
#include "crypto/random.h"
#include "trust/pattern.h"
#include "trust/text.h"

#define HASH_LEN     20 /* of HMAC-SHA1; OpenSSH's salts are as long */
#define DEFAULT_PORT 22
#define SOURCES_MAX  64

struct entry {
	enum smx_known_marker marker;
	unsigned source; /* index in sources */
	unsigned line;
	int is_hashed;
	uint8_t salt[HASH_LEN], hash[HASH_LEN]; /* if is_hashed */
	struct smx_view hosts; /* pattern list, if not; behind the struct */
	struct smx_view blob, type; /* behind the struct; empty for SKIPPED */
	int how; /* it names the host that the list was narrowed to: NAMES_* */
};

/* The names under which a host is looked up. */
struct names {
	char exact[SMX_KNOWN_NAME_MAX];
	char plain[SMX_KNOWN_NAME_MAX];
	int has_plain; /* plain differs from exact */
};

struct smx_known_hosts {
	struct entry **entries;
	size_t n_entries, cap_entries;
	char *sources[SOURCES_MAX];
	unsigned n_sources;
	int is_narrow, had_hashed;
	struct names narrow;
};

int smx_known_hosts_new(struct smx_known_hosts **ret)
{
	struct smx_known_hosts *kh = smx_calloc(1, sizeof(*kh));

	if (!kh)
		return SMX_ENOMEM;
	*ret = kh;
	return 0;
}

/* Drops the entries and sources beyond these numbers. */
static void cut_down(struct smx_known_hosts *kh, size_t n_entries, unsigned n_sources)
{
	while (kh->n_entries > n_entries)
		smx_free(kh->entries[--kh->n_entries]);
	while (kh->n_sources > n_sources)
		smx_free(kh->sources[--kh->n_sources]);
}

void smx_known_hosts_free(struct smx_known_hosts *kh)
{
	if (!kh)
		return;
	cut_down(kh, 0, 0);
	smx_free(kh->entries);
	smx_free(kh);
}

/* --- parsing ---------------------------------------------------------------------- */

/* Base64 of exactly HASH_LEN bytes. 0, SMX_EFORMAT, SMX_ENOMEM. */
static int decode_hash(struct smx_view text, uint8_t out[HASH_LEN])
{
	struct smx_buf buf;
	int r;

	smx_buf_init(&buf, HASH_LEN + 4);
	r = smx_base64_decode(&buf, text);
	if (r == 0 && smx_buf_len(&buf) == HASH_LEN)
		memcpy(out, smx_buf_view(&buf), HASH_LEN);
	else if (r != SMX_ENOMEM)
		r = SMX_EFORMAT;
	smx_buf_release(&buf);
	return r;
}

/* "|1|salt|hash". 0, SMX_EFORMAT, SMX_ENOMEM. */
static int parse_hashed(struct smx_view field, struct entry *e)
{
	struct smx_view salt, hash;
	const uint8_t *bar;
	int r;

	if (field.len < 3 || memcmp(field.p, "|1|", 3) != 0)
		return SMX_EFORMAT;
	salt = (struct smx_view){ field.p + 3, field.len - 3 };
	bar = memchr(salt.p, '|', salt.len);
	if (!bar)
		return SMX_EFORMAT;
	hash.p = bar + 1;
	hash.len = salt.len - (size_t)(bar + 1 - salt.p);
	salt.len = (size_t)(bar - salt.p);
	if ((r = decode_hash(salt, e->salt)) != 0 || (r = decode_hash(hash, e->hash)) != 0)
		return r;
	e->is_hashed = 1;
	return 0;
}

/* Copies e with its hosts and blob into one block and appends it. */
static int append_entry(struct smx_known_hosts *kh, const struct entry *e)
{
	struct entry *copy, **bigger;
	size_t cap;
	uint8_t *tail;

	if (kh->n_entries >= SMX_KNOWN_HOSTS_ENTRIES_MAX)
		return SMX_ELIMIT;
	if (kh->n_entries == kh->cap_entries) {
		cap = kh->cap_entries ? kh->cap_entries * 2 : 16;
		bigger = smx_realloc(kh->entries, cap * sizeof(struct entry *));
		if (!bigger)
			return SMX_ENOMEM;
		kh->entries = bigger;
		kh->cap_entries = cap;
	}
	copy = smx_malloc(sizeof(*copy) + e->hosts.len + e->blob.len);
	if (!copy)
		return SMX_ENOMEM;
	*copy = *e;
	tail = (uint8_t *)(copy + 1);
	copy->hosts.p = tail;
	if (e->hosts.len)
		memcpy(tail, e->hosts.p, e->hosts.len);
	tail += e->hosts.len;
	copy->blob.p = tail;
	if (e->blob.len)
		memcpy(tail, e->blob.p, e->blob.len);
	copy->type = (struct smx_view){ NULL, 0 };
	if (e->blob.len && smx_blob_type(copy->blob, &copy->type) != 0)
		copy->type = (struct smx_view){ NULL, 0 };
	kh->entries[kh->n_entries++] = copy;
	return 0;
}

/* Takes a leading @marker off *rest; *ret_fault is set if it makes the line unusable. */
static enum smx_known_marker parse_marker(
	struct smx_view *rest, const char **ret_fault, struct smx_view *ret_about)
{
	struct smx_view word;

	if (rest->len == 0 || rest->p[0] != '@')
		return SMX_KNOWN_PLAIN;
	word = smx_text_field(rest);
	if (smx_view_eq(word, "@cert-authority"))
		return SMX_KNOWN_CA;
	if (smx_view_eq(word, "@revoked"))
		return SMX_KNOWN_REVOKED_KEY;
	*ret_fault = "skipped: unsupported marker";
	*ret_about = word;
	return SMX_KNOWN_SKIPPED;
}

/*
 * A certificate's blob to that of the key in it, as far as it can be read. SMX_ENOMEM, SMX_ECRYPTO.
 */
static int uncertify(struct smx_buf *blob)
{
	struct smx_cert *cert = NULL;
	int r = smx_cert_parse(&cert, smx_buf_as_view(blob));

	if (r == 0) {
		smx_buf_reset(blob);
		r = smx_buf_put(blob, cert->plain_blob.p, cert->plain_blob.len);
		smx_cert_free(cert);
		return r;
	}
	return r == SMX_ENOMEM || r == SMX_ECRYPTO ? r : 0;
}

static int parse_line(struct smx_known_hosts *kh, struct smx_view line,
	const struct smx_text_at *at, struct smx_buf *blob)
{
	struct entry e = { .line = at->line, .source = kh->n_sources - 1 };
	struct smx_view rest = line, field, comment, about = { NULL, 0 };
	const char *fault = NULL;
	int r;

	if (line.len == 0 || line.p[0] == '#')
		return 0;
	e.marker = parse_marker(&rest, &fault, &about);
	field = smx_text_field(&rest);
	if (field.len == 0) {
		smx_text_warn(at, fault ? fault : "skipped: no host names", about);
		return 0;
	}
	if (field.p[0] == '|') {
		r = parse_hashed(field, &e);
		if (r == SMX_ENOMEM)
			return r;
		if (r != 0) {
			smx_text_warn(at, "skipped: malformed hashed host name", about);
			return 0;
		}
	} else if (field.p[0] == '@') {
		/* "@revoked @cert-authority host": which of them was meant is a guess. */
		smx_text_warn(at, "skipped: more than one marker", about);
		e.marker = SMX_KNOWN_SKIPPED;
		field = smx_text_field(&rest);
		e.hosts = field;
		return append_entry(kh, &e);
	} else {
		e.hosts = field;
	}

	if (!fault && line.len > SMX_KNOWN_HOSTS_LINE_MAX)
		fault = "skipped: line too long";
	if (!fault) {
		smx_buf_reset(blob);
		r = smx_pubkey_line_parse(rest, blob, &comment);
		if (r == SMX_ENOMEM)
			return r;
		if (r != 0)
			fault = "skipped: not a public key";
		else if (e.marker == SMX_KNOWN_REVOKED_KEY && (r = uncertify(blob)) != 0)
			return r;
	}
	if (fault) {
		smx_text_warn(at, fault, about);
		e.marker = SMX_KNOWN_SKIPPED;
	} else {
		e.blob = smx_buf_as_view(blob);
	}
	return append_entry(kh, &e);
}

int smx_known_hosts_add_text(struct smx_known_hosts *kh, const char *source_name,
	struct smx_view text, struct smx_buf *warnings)
{
	struct smx_text_at at = { .source_name = source_name, .warnings = warnings };
	size_t n_entries = kh->n_entries;
	unsigned n_sources = kh->n_sources;
	struct smx_view line;
	struct smx_buf blob;
	int r = 0;

	if (kh->is_narrow)
		return SMX_EINVAL; /* a part of it would count for some hosts only */
	if (text.len > SMX_KNOWN_HOSTS_TEXT_MAX || n_sources >= SOURCES_MAX)
		return SMX_ELIMIT;
	kh->sources[n_sources] = smx_strdup(source_name);
	if (!kh->sources[n_sources])
		return SMX_ENOMEM;
	kh->n_sources++;
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	text = smx_text_skip_bom(text);
	while (r == 0 && smx_text_line(&text, &line)) {
		at.line++;
		r = parse_line(kh, line, &at, &blob);
	}
	smx_buf_release(&blob);
	if (r != 0)
		cut_down(kh, n_entries, n_sources);
	return r;
}

int smx_known_hosts_has_hashed(const struct smx_known_hosts *kh)
{
	for (size_t i = 0; i < kh->n_entries; i++) {
		if (kh->entries[i]->is_hashed)
			return 1;
	}
	return kh->had_hashed;
}

/* --- looking up ------------------------------------------------------------------- */

int smx_known_hosts_name(const char *host, uint16_t port, char *ret_name, size_t ret_name_size)
{
	size_t n = strlen(host);
	int wanted;

	if (n == 0 || port == 0)
		return SMX_EINVAL;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)host[i];

		if (c <= ' ' || c == 0x7f)
			return SMX_EINVAL;
	}
	/* Room for "[]:65535" and the NUL, so that nothing is written when it does not fit. */
	if (n > SMX_KNOWN_NAME_MAX - 9 || ret_name_size < n + 9)
		return SMX_EINVAL;
	if (port == DEFAULT_PORT)
		wanted = snprintf(ret_name, ret_name_size, "%s", host);
	else
		wanted = snprintf(ret_name, ret_name_size, "[%s]:%u", host, (unsigned)port);
	if (wanted < 0)
		return SMX_EINVAL;
	for (char *p = ret_name; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + ('a' - 'A'));
	}
	return 0;
}

static int names_of(const char *host, uint16_t port, struct names *ret)
{
	int r;

	ret->has_plain = port != DEFAULT_PORT;
	if ((r = smx_known_hosts_name(host, port, ret->exact, sizeof(ret->exact))) != 0)
		return r;
	return smx_known_hosts_name(host, DEFAULT_PORT, ret->plain, sizeof(ret->plain));
}

/* 1, 0, or SMX_ECRYPTO. */
static int entry_names(const struct entry *e, const char *name)
{
	uint8_t mac[HASH_LEN];
	int r;

	if (!e->is_hashed)
		return smx_pattern_list_match(smx_view_of(name, strlen(name)), e->hosts, 1) == 1;
	r = smx_hmac_sha1(e->salt, HASH_LEN, name, strlen(name), mac);
	if (r != 0)
		return r;
	return memcmp(mac, e->hash, HASH_LEN) == 0;
}

enum { NAMES_NOT, NAMES_EXACT, NAMES_PLAIN };

/* NAMES_*, or SMX_ECRYPTO. */
static int search_entry(const struct entry *e, const struct names *names)
{
	int r = entry_names(e, names->exact);

	if (r != 0)
		return r < 0 ? r : NAMES_EXACT;
	if (!names->has_plain)
		return NAMES_NOT;
	r = entry_names(e, names->plain);
	return r <= 0 ? r : NAMES_PLAIN;
}

/* The same, without the search where it was done before. */
static int entry_matches(
	const struct smx_known_hosts *kh, const struct entry *e, const struct names *names)
{
	if (kh->is_narrow && strcmp(kh->narrow.exact, names->exact) == 0)
		return e->how;
	return search_entry(e, names);
}

int smx_known_hosts_narrow(struct smx_known_hosts *kh, const char *host, uint16_t port)
{
	struct names names;
	size_t kept = 0;
	int r;

	if ((r = names_of(host, port, &names)) != 0)
		return r;
	for (size_t i = 0; i < kh->n_entries; i++) {
		if ((r = entry_matches(kh, kh->entries[i], &names)) < 0)
			return r;
		kh->entries[i]->how = r;
	}
	for (size_t i = 0; i < kh->n_entries; i++) {
		struct entry *e = kh->entries[i];

		kh->had_hashed |= e->is_hashed;
		if (e->how == NAMES_NOT)
			smx_free(e);
		else
			kh->entries[kept++] = e;
	}
	kh->n_entries = kept;
	kh->is_narrow = 1;
	kh->narrow = names;
	return 0;
}

/* What one pass over the entries found; the first of each kind. */
struct findings {
	const struct entry *revoked, *match, *match_plain, *same_type, *other_type;
	int revoked_plain;
	int has_ca, has_skipped;
};

static void note_key(struct findings *f, const struct entry *e, int how, struct smx_view key_blob,
	struct smx_view key_type)
{
	const struct entry **slot;

	if (smx_view_eq_view(e->blob, key_blob))
		slot = how == NAMES_EXACT ? &f->match : &f->match_plain;
	else if (how != NAMES_EXACT)
		return; /* another server: it may have another key */
	else if (smx_view_eq_view(e->type, key_type))
		slot = &f->same_type;
	else
		slot = &f->other_type;
	if (!*slot)
		*slot = e;
}

static int find_all(const struct smx_known_hosts *kh, const struct names *names,
	struct smx_view key_blob, struct smx_view key_type, struct findings *ret)
{
	for (size_t i = 0; i < kh->n_entries; i++) {
		const struct entry *e = kh->entries[i];
		int how = entry_matches(kh, e, names);

		if (how < 0)
			return how;
		if (how == NAMES_NOT)
			continue;
		switch (e->marker) {
		case SMX_KNOWN_PLAIN:
			note_key(ret, e, how, key_blob, key_type);
			break;
		case SMX_KNOWN_CA:
			ret->has_ca = 1;
			break;
		case SMX_KNOWN_REVOKED_KEY:
			if (!ret->revoked && smx_view_eq_view(e->blob, key_blob)) {
				ret->revoked = e;
				ret->revoked_plain = how == NAMES_PLAIN;
			}
			break;
		case SMX_KNOWN_SKIPPED:
			ret->has_skipped = 1;
			break;
		}
	}
	return 0;
}

int smx_known_hosts_check(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	struct smx_view key_blob, struct smx_known_verdict *ret)
{
	struct findings f = { 0 };
	struct smx_known_verdict v = { .status = SMX_KNOWN_UNKNOWN };
	const struct entry *by = NULL;
	struct names names;
	struct smx_view type;
	int r;

	if (smx_blob_type(key_blob, &type) != 0)
		return SMX_EINVAL;
	if ((r = names_of(host, port, &names)) != 0 ||
		(r = find_all(kh, &names, key_blob, type, &f)) != 0)
		return r;

	v.has_ca = f.has_ca;
	v.has_skipped = f.has_skipped;
	if (f.revoked) {
		v.status = SMX_KNOWN_REVOKED;
		v.without_port = f.revoked_plain;
		by = f.revoked;
	} else if (f.match) {
		v.status = SMX_KNOWN_MATCH;
		by = f.match;
	} else if (f.same_type) {
		v.status = SMX_KNOWN_CHANGED;
		by = f.same_type;
	} else if (f.other_type) {
		v.status = SMX_KNOWN_OTHER_TYPE;
		by = f.other_type;
	} else if (f.match_plain) {
		v.status = SMX_KNOWN_MATCH;
		v.without_port = 1;
		by = f.match_plain;
	}
	if (by) {
		v.source_view = kh->sources[by->source];
		v.line = by->line;
	}
	*ret = v;
	return 0;
}

int smx_known_hosts_next(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	size_t *cursor, struct smx_known_entry *ret)
{
	struct names names;
	int r;

	if ((r = names_of(host, port, &names)) != 0)
		return r;
	for (size_t i = *cursor; i < kh->n_entries; i++) {
		const struct entry *e = kh->entries[i];
		int how = entry_matches(kh, e, &names);

		if (how < 0)
			return how;
		if (how == NAMES_NOT)
			continue;
		*cursor = i + 1;
		*ret = (struct smx_known_entry){
			.marker = e->marker,
			.type_view = e->type,
			.blob_view = e->blob,
			.hosts_view = e->hosts,
			.without_port = how == NAMES_PLAIN,
			.source_view = kh->sources[e->source],
			.line = e->line,
		};
		return 1;
	}
	*cursor = kh->n_entries;
	return 0;
}

int smx_known_hosts_elsewhere(
	const struct smx_known_hosts *kh, const char *host, uint16_t port, struct smx_view key_blob)
{
	struct names names;
	int r;

	if ((r = names_of(host, port, &names)) != 0)
		return r;
	for (size_t i = 0; i < kh->n_entries; i++) {
		const struct entry *e = kh->entries[i];

		if (e->marker != SMX_KNOWN_PLAIN || !smx_view_eq_view(e->blob, key_blob))
			continue;
		if ((r = entry_matches(kh, e, &names)) < 0)
			return r;
		if (r != NAMES_EXACT)
			return 1;
	}
	return 0;
}

/* Appends the types of the plain entries that name the host in the way asked for. */
static int add_types(
	const struct smx_known_hosts *kh, const struct names *names, int how, struct smx_buf *list)
{
	int r;

	for (size_t i = 0; i < kh->n_entries; i++) {
		const struct entry *e = kh->entries[i];
		struct smx_view so_far, name;
		int seen = 0;

		if (e->marker != SMX_KNOWN_PLAIN)
			continue;
		if ((r = entry_matches(kh, e, names)) < 0)
			return r;
		if (r != how)
			continue;
		so_far = smx_buf_as_view(list);
		while (!seen && smx_namelist_next(&so_far, &name))
			seen = smx_view_eq_view(name, e->type);
		/* A comma in a type name would be two names to whoever reads the list. */
		if (seen || e->type.len == 0 || memchr(e->type.p, ',', e->type.len))
			continue;
		if ((smx_buf_len(list) && (r = smx_buf_put(list, ",", 1)) != 0) ||
			(r = smx_buf_put(list, e->type.p, e->type.len)) != 0)
			return r;
	}
	return 0;
}

int smx_known_hosts_types(
	const struct smx_known_hosts *kh, const char *host, uint16_t port, struct smx_buf *ret_list)
{
	struct smx_buf list;
	struct names names;
	int r;

	smx_buf_init(&list, ret_list->max);
	if ((r = names_of(host, port, &names)) != 0 ||
		(r = add_types(kh, &names, NAMES_EXACT, &list)) != 0)
		goto out;
	if (smx_buf_len(&list) == 0 && (r = add_types(kh, &names, NAMES_PLAIN, &list)) != 0)
		goto out;
	r = smx_buf_put(ret_list, smx_buf_view(&list), smx_buf_len(&list));
out:
	smx_buf_release(&list);
	return r;
}

/* --- writing ---------------------------------------------------------------------- */

static int put_hashed_name(const char *name, struct smx_buf *out)
{
	uint8_t salt[HASH_LEN], mac[HASH_LEN];
	int r;

	if ((r = smx_random(salt, sizeof(salt))) != 0 ||
		(r = smx_hmac_sha1(salt, sizeof(salt), name, strlen(name), mac)) != 0 ||
		(r = smx_buf_put_str(out, "|1|")) != 0 ||
		(r = smx_base64_encode(out, salt, sizeof(salt), 1)) != 0 ||
		(r = smx_buf_put_str(out, "|")) != 0 ||
		(r = smx_base64_encode(out, mac, sizeof(mac), 1)) != 0)
		return r;
	return 0;
}

int smx_known_hosts_line(
	const char *host, uint16_t port, struct smx_view blob, int hashed, struct smx_buf *ret_line)
{
	char name[SMX_KNOWN_NAME_MAX];
	struct smx_buf line;
	int r;

	if (strpbrk(host, ",*?!|@#[]\"\\"))
		return SMX_EINVAL;
	for (const char *c = host; *c; c++) {
		if (*c & 0x80)
			return SMX_EINVAL; /* names are ASCII; a byte order mark would vanish */
	}
	if ((r = smx_known_hosts_name(host, port, name, sizeof(name))) != 0)
		return r;
	smx_buf_init(&line, SMX_KNOWN_HOSTS_LINE_MAX);
	if ((r = hashed ? put_hashed_name(name, &line) : smx_buf_put_str(&line, name)) != 0 ||
		(r = smx_buf_put(&line, " ", 1)) != 0 ||
		(r = smx_pubkey_line_write(blob, &line)) != 0 ||
		(r = smx_buf_put(&line, "\n", 1)) != 0)
		goto out;
	r = smx_buf_put(ret_line, smx_buf_view(&line), smx_buf_len(&line));
out:
	smx_buf_release(&line);
	return r;
}
