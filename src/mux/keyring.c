/* SPDX-License-Identifier: MIT */
#include "mux/keyring.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/os.h"
#include "trust/authorized_keys.h"

#define WARNINGS_MAX 16384
#define ERR_MAX      2048
#define YOUNG_S      2 /* the coarsest time of a file there is */

struct keyring {
	char *ssh_dir, *path;
	struct smx_authorized_keys *set;
	struct smx_os_stamp stamp;
	int has_file; /* `stamp` is that of `path` */
	int was_young; /* it had just been written when it was read: it may change once more and
			  look the same */
	int is_loaded;
	char warning[512];
};

int keyring_new(struct keyring **ret, const char *ssh_dir)
{
	struct keyring *k = smx_calloc(1, sizeof(*k));
	int r = SMX_ENOMEM;

	if (!k || !(k->ssh_dir = smx_strdup(ssh_dir)) ||
		(r = smx_os_path_join(ssh_dir, KEYRING_FILE, &k->path)) != 0) {
		keyring_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	smx_authorized_keys_free(k->set);
	smx_free(k->ssh_dir);
	smx_free(k->path);
	smx_free(k);
}

static void log_lines(struct smx_buf *lines)
{
	char *s, *line, *end;

	if (!smx_buf_cstr(lines) || !(s = smx_strdup(smx_buf_cstr(lines))))
		return;
	for (line = s; *line; line = end + 1) {
		if (!(end = strchr(line, '\n')))
			end = line + strlen(line) - 1;
		else
			*end = '\0';
		log_warn("authorised keys: %s", line);
	}
	smx_free(s);
}

/* is_news: what is wrong with it was not logged before. */
static int add_file(
	struct keyring *k, struct smx_authorized_keys *set, const char *path, int is_news)
{
	struct smx_buf text, warnings, err;
	int r;

	smx_buf_init(&text, SMX_AUTHORIZED_KEYS_TEXT_MAX);
	smx_buf_init(&warnings, WARNINGS_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_file_read(path, SMX_AUTHORIZED_KEYS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == 0)
		r = smx_authorized_keys_add_text(set, path, smx_buf_as_view(&text), &warnings);
	if (is_news)
		log_lines(&warnings);
	if (r != 0 && r != SMX_ENOTFOUND) {
		(void)snprintf(k->warning, sizeof(k->warning), "%.480s",
			smx_buf_len(&err) && smx_buf_cstr(&err) ? smx_buf_cstr(&err)
								: smx_strerror(r));
		if (is_news)
			log_error("authorised keys: %s", k->warning);
	}
	smx_buf_release(&text);
	smx_buf_release(&warnings);
	smx_buf_release(&err);
	return r;
}

/* L5: without a list of its own, the public keys beside it; said loudly, for deleting the list
 * must not widen it in silence. */
static void add_public_keys(struct keyring *k, struct smx_authorized_keys *set)
{
	int is_news = !k->is_loaded || k->has_file;
	char **names = NULL, *path;
	size_t n = 0;

	if (smx_os_list_public_keys(k->ssh_dir, &names, &n, NULL) != 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		if (smx_os_path_join(k->ssh_dir, names[i], &path) != 0)
			continue;
		(void)add_file(k, set, path, is_news);
		smx_free(path);
	}
	smx_os_names_free(names, n);
	(void)snprintf(k->warning, sizeof(k->warning),
		"SECURITY DOWNGRADE: %.300s is missing, so every id_*.pub beside it may log in "
		"(%zu keys); "
		"write the keys you mean into it",
		k->path, smx_authorized_keys_count(set));
	if (is_news)
		log_warn("%s", k->warning);
}

static int is_young(const struct smx_os_stamp *stamp)
{
	int64_t last = stamp->changed_ns > stamp->mtime_ns ? stamp->changed_ns : stamp->mtime_ns;

	return (int64_t)time(NULL) - last / 1000000000 <= YOUNG_S;
}

void keyring_refresh(struct keyring *k)
{
	struct smx_authorized_keys *set;
	struct smx_os_stamp stamp = { 0 };
	int exists = smx_os_file_stamp(k->path, &stamp) != SMX_ENOTFOUND;
	int is_same =
		exists && k->is_loaded && k->has_file && smx_os_stamp_equal(&stamp, &k->stamp);

	if (is_same && !k->was_young)
		return;
	if (smx_authorized_keys_new(&set) != 0)
		return;
	k->was_young = is_young(&stamp);
	k->warning[0] = '\0';
	if (!exists || add_file(k, set, k->path, !is_same) == SMX_ENOTFOUND) {
		add_public_keys(k, set);
		exists = 0;
	} else if (!is_same) {
		log_info("%zu authorised keys %sfrom %s", smx_authorized_keys_count(set),
			k->is_loaded ? "re-read " : "", k->path);
	}
	smx_authorized_keys_free(k->set);
	k->set = set;
	k->has_file = exists;
	k->stamp = stamp;
	k->is_loaded = 1;
}

int keyring_has(const struct keyring *k, struct smx_view blob)
{
	return k->set && smx_authorized_keys_has(k->set, blob);
}

const char *keyring_warning(const struct keyring *k)
{
	return k->warning;
}
