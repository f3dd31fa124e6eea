/* SPDX-License-Identifier: MIT */
#include "mux/doors/keyring.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "os/path.h"
#include "trust/authorized_keys.h"

#define WARNINGS_MAX 16384
#define ERR_MAX      2048
#define YOUNG_S      2 /* the coarsest time of a file there is */

/* Something whose change means that the keys may be others. */
struct watched {
	char *path;
	int exists;
	struct smx_os_stamp stamp;
};

struct keyring {
	char *ssh_dir, *path;
	struct smx_authorized_keys *set;
	/* `path`; without it, the directory and each id_*.pub, too. */
	struct watched *watched;
	size_t n_watched;
	int has_file; /* the keys are those of `path` */
	int must_read; /* something had just been written when it was read: it may change once more
			  and look the same */
	int is_loaded;
	uint64_t n_reads;
	char warning[512];
};

static void forget(struct watched *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		smx_free(w[i].path);
	smx_free(w);
}

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
	forget(k->watched, k->n_watched);
	smx_free(k->ssh_dir);
	smx_free(k->path);
	smx_free(k);
}

/* --- what is watched --- */

static int is_young(const struct smx_os_stamp *stamp)
{
	int64_t last = stamp->changed_ns > stamp->mtime_ns ? stamp->changed_ns : stamp->mtime_ns;

	return (int64_t)time(NULL) - last / 1000000000 <= YOUNG_S;
}

/* As it is now, before it is read: a change meanwhile shows next time. */
static void watch(struct keyring *k, const char *path)
{
	struct watched w = { smx_strdup(path), 0, { 0 } };
	struct watched *more = smx_realloc(k->watched, (k->n_watched + 1) * sizeof(*more));

	if (more)
		k->watched = more;
	if (!more || !w.path) {
		smx_free(w.path);
		k->must_read = 1;
		return;
	}
	w.exists = smx_os_file_stamp(path, &w.stamp) != SMX_ENOTFOUND;
	k->must_read |= w.exists && is_young(&w.stamp);
	k->watched[k->n_watched++] = w;
}

static int is_unchanged(const struct keyring *k)
{
	for (size_t i = 0; i < k->n_watched; i++) {
		const struct watched *w = &k->watched[i];
		struct smx_os_stamp now = { 0 };
		int exists = smx_os_file_stamp(w->path, &now) != SMX_ENOTFOUND;

		if (exists != w->exists || (exists && !smx_os_stamp_equal(&now, &w->stamp)))
			return 0;
	}
	return k->is_loaded;
}

/* --- reading --- */

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
	/* For want of memory or descriptors it was read as empty: not until it changes (U10). */
	k->must_read |= r != 0 && smx_errclass(r) == SMX_CLASS_SYSTEM;
	if (r != 0 && r != SMX_ENOTFOUND) {
		(void)snprintf(k->warning, sizeof(k->warning), "%.480s", smx_errtext(r, &err));
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

	watch(k, k->ssh_dir);
	if (smx_os_list_public_keys(k->ssh_dir, &names, &n, NULL) != 0) {
		n = 0;
		k->must_read = 1;
	}
	for (size_t i = 0; i < n; i++) {
		if (smx_os_path_join(k->ssh_dir, names[i], &path) != 0) {
			k->must_read = 1;
			continue;
		}
		watch(k, path);
		(void)add_file(k, set, path, is_news);
		smx_free(path);
	}
	smx_os_names_free(names, n);
	(void)snprintf(k->warning, sizeof(k->warning),
		"SECURITY DOWNGRADE: %.300s is missing, so every id_*.pub next to it may log in "
		"(%zu key%s); "
		"write the keys you mean into it",
		k->path, smx_authorized_keys_count(set),
		SMX_PLURAL(smx_authorized_keys_count(set)));
	if (is_news)
		log_warn("%s", k->warning);
}

void keyring_refresh(struct keyring *k)
{
	struct smx_authorized_keys *set;
	int is_same = is_unchanged(k), exists;

	if (is_same && !k->must_read)
		return;
	if (smx_authorized_keys_new(&set) != 0)
		return;
	is_same &= k->has_file;
	forget(k->watched, k->n_watched);
	k->watched = NULL;
	k->n_watched = 0;
	k->must_read = 0;
	k->n_reads++;
	k->warning[0] = '\0';
	watch(k, k->path);
	exists = k->n_watched == 0 || k->watched[0].exists; /* without memory: its reading tells */
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
	k->is_loaded = 1;
}

uint64_t keyring_reads(const struct keyring *k)
{
	return k->n_reads;
}

int keyring_has(const struct keyring *k, struct smx_view blob)
{
	return k->set && smx_authorized_keys_has(k->set, blob);
}

const char *keyring_warning(const struct keyring *k)
{
	return k->warning;
}
