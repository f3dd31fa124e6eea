/* SPDX-License-Identifier: MIT */
#include "cli/sshconf/setup.h"
#include "os/file.h"
#include "os/path.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "mux/doors/local_key.h"
#include "trust/authorized_keys.h"
#include "trust/known_hosts.h"

/* ---- who may log in at the local server (W5, L5) ------------------------------------------------
 */

/* The lines of a .pub file, if ssh-mux can use all of them. */
static int add_public_key(const char *ssh_dir, const char *name, struct smx_buf *out,
	struct smx_buf *names, struct smx_buf *err)
{
	struct smx_authorized_keys *set = NULL;
	struct smx_buf text;
	char *path;
	int r;

	if ((r = smx_os_path_join(ssh_dir, name, &path)) != 0)
		return r;
	smx_buf_init(&text, SMX_AUTHORIZED_KEYS_TEXT_MAX);
	r = smx_os_file_read(path, SMX_AUTHORIZED_KEYS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, err);
	if (r != 0) {
		smx_cli_warn("a public key is left out: %s", smx_errtext(r, err));
		smx_buf_reset(err);
		r = r == SMX_ENOMEM ? r : 0;
	} else if ((r = smx_authorized_keys_parse(&set, path, smx_buf_as_view(&text), NULL)) == 0 &&
		   smx_authorized_keys_count(set) > 0 && smx_authorized_keys_skipped(set) == 0) {
		(void)((r = smx_buf_put(out, smx_buf_view(&text), smx_buf_len(&text))) != 0 ||
			(text.data[text.len - 1] != '\n' && (r = smx_buf_put(out, "\n", 1)) != 0));
		(void)smx_buf_printf(names, "%s%s", smx_buf_len(names) ? ", " : "", name);
	}
	smx_authorized_keys_free(set);
	smx_buf_release(&text);
	smx_free(path);
	return r;
}

int smx_setup_public_keys(
	const char *ssh_dir, struct smx_buf *out, struct smx_buf *names, struct smx_buf *err)
{
	char **files = NULL;
	size_t n = 0;
	int r = smx_buf_put_str(out,
		SMX_SETUP_KEYS_TOP "# Made by ssh-mux from the id_*.pub that were here then.\n");

	if (r == 0)
		r = smx_os_list_public_keys(ssh_dir, &files, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_public_key(ssh_dir, files[i], out, names, err);
	smx_os_names_free(files, n);
	return r;
}

/* Whether a line is the key of our own, by its comment. */
static int is_local_key(struct smx_view line, struct smx_buf *ret_blob)
{
	struct smx_view rest;

	while (line.len > 0 && (line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r'))
		line.len--;
	smx_buf_reset(ret_blob);
	return smx_pubkey_line_parse(line, ret_blob, &rest) == 0 &&
	       smx_view_eq(rest, CLIENT_KEY_COMMENT);
}

/* All lines but those of such a key other than this one; *ret_found: that it is there. */
static int put_lines(
	struct smx_view text, struct smx_view blob, struct smx_buf *out, int *ret_found)
{
	struct smx_buf one;
	int r = 0;

	smx_buf_init(&one, SMX_KEY_BLOB_MAX);
	while (r == 0 && text.len > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.len);
		struct smx_view line = { text.p, end ? (size_t)(end - text.p) + 1 : text.len };

		text.p += line.len;
		text.len -= line.len;
		if (is_local_key(line, &one)) {
			if (!smx_view_eq_view(smx_buf_as_view(&one), blob))
				continue;
			*ret_found = 1;
		}
		r = smx_buf_put(out, line.p, line.len);
	}
	smx_buf_release(&one);
	return r;
}

int smx_setup_local_edit(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	struct smx_setup_local *l = arg;
	struct smx_buf names, why;
	int r, found = 0;

	if (is_missing) {
		smx_buf_init(&names, SMX_OS_PATH_MAX);
		smx_buf_init(&why, 2 * SMX_OS_PATH_MAX);
		r = smx_setup_public_keys(l->ssh_dir, out, &names, err ? err : &why);
		smx_buf_release(&names);
		smx_buf_release(&why);
	} else {
		r = put_lines(old, l->blob, out, &found);
	}
	if (r == 0 && !found && l->blob.len > 0) {
		if (smx_buf_len(out) && smx_buf_view(out)[smx_buf_len(out) - 1] != '\n')
			r = smx_buf_put(out, "\n", 1);
		(void)(r != 0 || (r = smx_pubkey_line_write(l->blob, out)) != 0 ||
			(r = smx_buf_put_str(out, " " CLIENT_KEY_COMMENT "\n")) != 0);
	}
	return r != 0 ? r : !is_missing && smx_view_eq_view(old, smx_buf_as_view(out));
}

int smx_setup_local_cut(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	struct smx_authorized_keys *left = NULL;
	size_t n = sizeof(SMX_SETUP_KEYS_TOP) - 1;
	int *ret_is_empty = arg, found = 0, r;

	if (is_missing)
		return 1;
	if ((r = put_lines(old, (struct smx_view){ NULL, 0 }, out, &found)) != 0)
		return r;
	if (smx_view_eq_view(old, smx_buf_as_view(out)))
		return 1;
	if ((r = smx_authorized_keys_parse(&left, "", smx_buf_as_view(out), err)) != 0)
		return r;
	*ret_is_empty = smx_authorized_keys_count(left) == 0 && old.len >= n &&
			memcmp(old.p, SMX_SETUP_KEYS_TOP, n) == 0;
	smx_authorized_keys_free(left);
	return 0;
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
