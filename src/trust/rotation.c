/* SPDX-License-Identifier: MIT */
#include "trust/rotation.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/key.h"
#include "trust/text.h"

static int has_key(const struct smx_view *keys, size_t n, struct smx_view blob)
{
	for (size_t i = 0; i < n; i++)
		if (smx_view_eq_view(keys[i], blob))
			return 1;
	return 0;
}

static int is_usable(struct smx_view blob)
{
	struct smx_key *key;

	if (smx_key_from_blob(&key, blob) != 0)
		return 0;
	smx_key_free(key);
	return 1;
}

/* Patterns, or a list that somebody has put together; "name,address" is what ssh once wrote. */
static int is_complex(struct smx_view hosts)
{
	size_t n_commas = 0;

	for (size_t i = 0; i < hosts.len; i++) {
		if (hosts.p[i] == '*' || hosts.p[i] == '?' || hosts.p[i] == '!')
			return 1;
		n_commas += hosts.p[i] == ',';
	}
	return n_commas > 1;
}

static int is_own(const struct smx_rotation_ask *ask, const char *source)
{
	for (size_t i = 0; i < ask->n_own; i++)
		if (strcmp(ask->own[i], source) == 0)
			return 1;
	return 0;
}

/* Lines for other ports have the name of this host, and say nothing about it. */
static int note_entry(const struct smx_known_hosts *kh, const struct smx_rotation_ask *ask,
	const struct smx_known_entry *e, int *known, int *ret_has_used, struct smx_rotation *ret)
{
	int r;

	if (e->marker != SMX_KNOWN_PLAIN) {
		ret->why_not = "known_hosts has a marker or an unusable line for it";
		return 0;
	}
	if (e->without_port)
		return 0;
	if (is_complex(e->hosts_view)) {
		ret->why_not = "known_hosts names it by a pattern or in a list";
		return 0;
	}
	for (size_t i = 0; i < ask->n_listed; i++)
		known[i] |= smx_view_eq_view(ask->listed[i], e->blob_view);
	if (smx_view_eq_view(e->blob_view, ask->used))
		*ret_has_used |= is_own(ask, e->source_view);
	if (has_key(ask->listed, ask->n_listed, e->blob_view) || !is_own(ask, e->source_view) ||
		has_key(ret->old, ret->n_old, e->blob_view) || ret->n_old == SMX_ROTATION_MAX ||
		!is_usable(e->blob_view))
		return 0;
	if ((r = smx_known_hosts_elsewhere(kh, ask->host, ask->port, e->blob_view)) < 0)
		return r;
	if (r == 0)
		ret->old[ret->n_old++] = e->blob_view;
	return 0;
}

int smx_rotation_plan(const struct smx_known_hosts *kh, const struct smx_rotation_ask *ask,
	struct smx_rotation *ret)
{
	struct smx_rotation plan = { .n_fresh = 0 };
	int known[SMX_ROTATION_MAX] = { 0 }, has_used = 0, r;
	struct smx_known_entry e;
	size_t cursor = 0;

	if (ask->n_listed > SMX_ROTATION_MAX)
		return SMX_EINVAL;
	while ((r = smx_known_hosts_next(kh, ask->host, ask->port, &cursor, &e)) == 1) {
		if ((r = note_entry(kh, ask, &e, known, &has_used, &plan)) != 0)
			return r;
		if (plan.why_not)
			break;
	}
	if (r < 0)
		return r;
	if (!plan.why_not && !has_used)
		plan.why_not = "its key is not in a known_hosts file of yours under this very name";
	if (!plan.why_not && !has_key(ask->listed, ask->n_listed, ask->used))
		plan.why_not = "its list lacks the key that it has just used";
	for (size_t i = 0; i < ask->n_listed; i++)
		if (!known[i] && is_usable(ask->listed[i]))
			plan.fresh[plan.n_fresh++] = i;
	if (plan.why_not)
		plan.n_fresh = plan.n_old = 0;
	*ret = plan;
	return 0;
}

/* --- the text --- */

/* Numbers of lines, in their order. */
struct lines {
	unsigned *v;
	size_t n;
};

static int add_line(struct lines *l, unsigned line)
{
	unsigned *more = smx_realloc(l->v, (l->n + 1) * sizeof(*more));

	if (!more)
		return SMX_ENOMEM;
	l->v = more;
	l->v[l->n++] = line;
	return 0;
}

static int find_old(
	const struct smx_known_hosts *kh, const struct smx_rotation_edit *edit, struct lines *ret)
{
	struct smx_known_entry e;
	size_t cursor = 0;
	int r;

	while ((r = smx_known_hosts_next(kh, edit->host, edit->port, &cursor, &e)) == 1) {
		if (e.marker != SMX_KNOWN_PLAIN || e.without_port || is_complex(e.hosts_view) ||
			(e.hosts_view.len && memchr(e.hosts_view.p, ',', e.hosts_view.len)) ||
			!has_key(edit->old, edit->n_old, e.blob_view))
			continue;
		if ((r = add_line(ret, e.line)) != 0)
			return r;
	}
	return r;
}

/* All of the text but those lines; a byte order mark is no line. */
static int copy_rest(struct smx_view text, const struct lines *drop, struct smx_buf *out)
{
	struct smx_view rest = smx_text_skip_bom(text), line;
	const uint8_t *from = rest.p;
	size_t next = 0;
	int r = smx_buf_put(out, text.p, (size_t)(rest.p - text.p));

	for (unsigned number = 1; r == 0 && smx_text_line(&rest, &line); number++) {
		if (next < drop->n && drop->v[next] == number)
			next++;
		else
			r = smx_buf_put(out, from, (size_t)(rest.p - from));
		from = rest.p;
	}
	return r;
}

static int add_fresh(const struct smx_known_hosts *kh, const struct smx_rotation_edit *edit,
	struct smx_buf *out, unsigned *ret_added)
{
	size_t n = smx_buf_len(out);
	struct smx_known_verdict v;
	int r;

	if (edit->n_fresh && n && smx_buf_view(out)[n - 1] != '\n' &&
		(r = smx_buf_put(out, "\n", 1)) != 0)
		return r;
	for (size_t i = 0; i < edit->n_fresh; i++) {
		if ((r = smx_known_hosts_check(kh, edit->host, edit->port, edit->fresh[i], &v)) !=
			0)
			return r;
		if (v.status == SMX_KNOWN_REVOKED ||
			(v.status == SMX_KNOWN_MATCH && !v.without_port))
			continue; /* since we looked */
		if ((r = smx_known_hosts_line(
			     edit->host, edit->port, edit->fresh[i], edit->hashed, out)) != 0)
			return r;
		(*ret_added)++;
	}
	return 0;
}

int smx_rotation_apply(const struct smx_rotation_edit *edit, struct smx_view text,
	struct smx_buf *out, unsigned *ret_removed, unsigned *ret_added)
{
	struct smx_known_hosts *kh = NULL;
	struct lines old = { NULL, 0 };
	unsigned added = 0;
	int r;

	if ((r = smx_known_hosts_new(&kh)) == 0 &&
		(r = smx_known_hosts_add_text(kh, "", text, NULL)) == 0 &&
		(r = find_old(kh, edit, &old)) == 0 && (r = copy_rest(text, &old, out)) == 0 &&
		(r = add_fresh(kh, edit, out, &added)) == 0) {
		*ret_removed = (unsigned)old.n;
		*ret_added = added;
	}
	smx_known_hosts_free(kh);
	smx_free(old.v);
	return r;
}
