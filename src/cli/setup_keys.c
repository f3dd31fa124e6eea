/* SPDX-License-Identifier: MIT */
#include "cli/setup.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "mux/keyring.h"
#include "trust/authorized_keys.h"
#include "trust/known_hosts.h"

/* ---- which keys log in locally -----------------------------------------------------------------
 */

struct search {
	const char *ssh_dir;
	struct smx_authorized_keys *list; /* of ssh-mux-authorized-keys */
	struct smx_authorized_keys *files; /* of the id_*.pub that are in it */
	int has_list;
	struct smx_setup_identity *ret;
};

/* 0, SMX_ENOTFOUND without a complaint, or an error with one. */
static int read_file(const char *dir, const char *name, char **ret_path, struct smx_buf *out,
	struct smx_buf *err)
{
	size_t before = smx_buf_len(err);
	int r = smx_os_path_join(dir, name, ret_path);

	if (r == 0)
		r = smx_os_file_read(
			*ret_path, SMX_AUTHORIZED_KEYS_TEXT_MAX, SMX_OS_FILE_PLAIN, out, err);
	if (r == SMX_ENOTFOUND)
		smx_buf_truncate(err, before);
	return r;
}

static int load_list(struct search *s, struct smx_buf *text, struct smx_buf *err)
{
	char *path = NULL;
	int r = read_file(s->ssh_dir, KEYRING_FILE, &path, text, err);

	/* One that can't be read authorises nobody, as in the daemon. */
	s->has_list = r != SMX_ENOTFOUND;
	if (r == 0)
		r = smx_authorized_keys_add_text(s->list, path, smx_buf_as_view(text), NULL);
	smx_free(path);
	return r == SMX_ENOMEM ? r : 0;
}

/* The blob of a .pub file's first line; what has no good one is not ours to judge. */
static int first_blob(struct smx_view text, struct smx_buf *ret_blob)
{
	const uint8_t *end = text.len ? memchr(text.p, '\n', text.len) : NULL;
	struct smx_view rest;

	if (end)
		text.len = (size_t)(end - text.p);
	return smx_pubkey_line_parse(text, ret_blob, &rest);
}

static int add_identity(struct search *s, const char *path, struct smx_view text)
{
	struct smx_setup_identity *id = s->ret;
	size_t n = strlen(path) - strlen(".pub");
	int r;

	if (id->n == SMX_SETUP_IDENTITIES_MAX)
		return 0;
	if ((r = smx_authorized_keys_add_text(s->files, path, text, NULL)) != 0)
		return r;
	if ((id->path[id->n] = smx_strndup(path, n)) == NULL)
		return SMX_ENOMEM;
	id->n++;
	return 0;
}

static int look_at(struct search *s, const char *name, struct smx_buf *err)
{
	struct smx_authorized_keys *alone = NULL;
	struct smx_buf text, blob;
	char *path = NULL;
	int r;

	smx_buf_init(&text, SMX_AUTHORIZED_KEYS_TEXT_MAX);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	if ((r = read_file(s->ssh_dir, name, &path, &text, err)) != 0 ||
		(r = first_blob(smx_buf_as_view(&text), &blob)) != 0 ||
		(r = smx_authorized_keys_parse(&alone, path, smx_buf_as_view(&text), NULL)) != 0)
		goto out;
	/* Certificates and keys we can't verify are no way in. */
	if (smx_authorized_keys_has(s->has_list ? s->list : alone, smx_buf_as_view(&blob)))
		r = add_identity(s, path, smx_buf_as_view(&text));
out:
	smx_authorized_keys_free(alone);
	smx_free(path);
	smx_buf_release(&text);
	smx_buf_release(&blob);
	return r == SMX_ENOMEM ? r : 0;
}

/* Whether every key of the list has its file among those found. */
static int covers_list(const struct search *s, struct smx_view text)
{
	struct smx_buf blob;
	struct smx_view rest;
	int all = 1;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	while (all && text.len > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.len);
		struct smx_view line = { text.p, end ? (size_t)(end - text.p) : text.len };

		text.p += line.len + (end != NULL);
		text.len -= line.len + (end != NULL);
		smx_buf_reset(&blob);
		if (smx_pubkey_line_parse(line, &blob, &rest) == 0 &&
			smx_authorized_keys_has(s->list, smx_buf_as_view(&blob)))
			all = smx_authorized_keys_has(s->files, smx_buf_as_view(&blob));
	}
	smx_buf_release(&blob);
	return all;
}

int smx_setup_identity_find(
	const char *ssh_dir, struct smx_setup_identity *ret, struct smx_buf *err)
{
	struct search s = { .ssh_dir = ssh_dir, .ret = ret };
	struct smx_buf text;
	char **names = NULL;
	size_t count = 0;
	int r;

	*ret = (struct smx_setup_identity){ .n = 0 };
	smx_buf_init(&text, SMX_AUTHORIZED_KEYS_TEXT_MAX);
	if ((r = smx_authorized_keys_new(&s.list)) != 0 ||
		(r = smx_authorized_keys_new(&s.files)) != 0 ||
		(r = load_list(&s, &text, err)) != 0)
		goto out;
	if ((r = smx_os_list_public_keys(ssh_dir, &names, &count, NULL)) == SMX_ENOMEM)
		goto out;
	r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = look_at(&s, names[i], err);
	ret->n_authorized = smx_authorized_keys_count(s.has_list ? s.list : s.files);
	ret->is_all = ret->n > 0 && covers_list(&s, smx_buf_as_view(&text)) &&
		      (s.has_list || ret->n < SMX_SETUP_IDENTITIES_MAX);
out:
	smx_os_names_free(names, count);
	smx_authorized_keys_free(s.list);
	smx_authorized_keys_free(s.files);
	smx_buf_release(&text);
	if (r != 0)
		smx_setup_identity_release(ret);
	return r;
}

void smx_setup_identity_release(struct smx_setup_identity *id)
{
	for (size_t i = 0; i < id->n; i++)
		smx_free(id->path[i]);
	*id = (struct smx_setup_identity){ .n = 0 };
}

/* ---- the local server's key --------------------------------------------------------------------
 */

static int check(const struct smx_setup_known *k, struct smx_view text,
	struct smx_known_verdict *ret_verdict)
{
	struct smx_known_hosts *kh = NULL;
	int r;

	if ((r = smx_known_hosts_new(&kh)) == 0 &&
		(r = smx_known_hosts_add_text(kh, k->path, text, NULL)) == 0)
		r = smx_known_hosts_check(kh, k->alias, 22, k->blob, ret_verdict);
	smx_known_hosts_free(kh);
	ret_verdict->source_view = NULL;
	return r;
}

/* Whether a line is about the alias alone, by name or by what ssh has hashed it to. */
static int is_alone(const struct smx_setup_known *k, struct smx_view line)
{
	size_t n = 0;

	while (n < line.len && line.p[n] != ' ' && line.p[n] != '\t')
		n++;
	return (n >= 3 && memcmp(line.p, "|1|", 3) == 0) ||
	       smx_view_eq((struct smx_view){ line.p, n }, k->alias);
}

/* All lines but those that give the alias another key. */
static int put_others(
	struct smx_setup_known *k, struct smx_view text, struct smx_buf *out, struct smx_buf *err)
{
	struct smx_known_verdict verdict;
	unsigned number = 0;
	int r = 0;

	while (r == 0 && text.len > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.len);
		struct smx_view line = { text.p, end ? (size_t)(end - text.p) + 1 : text.len };

		text.p += line.len;
		text.len -= line.len;
		number++;
		if ((r = check(k, line, &verdict)) != 0)
			break;
		if (verdict.status != SMX_KNOWN_CHANGED) {
			r = smx_buf_put(out, line.p, line.len);
		} else if (!is_alone(k, line)) {
			if (err)
				(void)smx_buf_printf(err,
					"%s:%u gives \"%s\" another key than the local server's, "
					"and not to it alone; remove the name from that line",
					k->path, number, k->alias);
			r = SMX_ESYNTAX;
		}
	}
	return r;
}

int smx_setup_known_edit(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	struct smx_setup_known *k = arg;
	struct smx_known_verdict verdict = { .status = SMX_KNOWN_UNKNOWN };
	int r;

	k->is_replaced = 0;
	if (!is_missing && (r = check(k, old, &verdict)) != 0)
		return r;
	switch (verdict.status) {
	case SMX_KNOWN_MATCH:
		return 1;
	case SMX_KNOWN_REVOKED:
		if (err)
			(void)smx_buf_printf(err,
				"%s:%u revokes the key of the local server; remove that line, or "
				"the server's key for a new one to be made",
				k->path, verdict.line);
		return SMX_ESYNTAX;
	case SMX_KNOWN_CHANGED:
		k->is_replaced = 1;
		r = put_others(k, old, out, err);
		break;
	default:
		r = old.len ? smx_buf_put(out, old.p, old.len) : 0;
		break;
	}
	if (r == 0 && smx_buf_len(out) && smx_buf_view(out)[smx_buf_len(out) - 1] != '\n')
		r = smx_buf_put(out, "\n", 1);
	return r != 0 ? r : smx_known_hosts_line(k->alias, 22, k->blob, 0, out);
}
