/* SPDX-License-Identifier: MIT */
#include "mux/pool/known_files.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/pool/prepare.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"

static int add(struct known_files *f, char *path)
{
	if (!path)
		return SMX_ENOMEM;
	f->paths[f->n++] = path;
	return 0;
}

static int add_named(struct known_files *f, const struct smx_hop *hop)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < hop->n_known_hosts && i < SMX_IDENTITIES_MAX; i++)
		r = add(f, prepare_expand(hop->known_hosts[i]));
	return r;
}

static int add_default(struct known_files *f, const char *ssh_dir)
{
	static const char *const names[] = { "known_hosts", "known_hosts2" };
	char *path;
	int r = 0;

	for (size_t i = 0; r == 0 && i < SMX_ARRAY_LEN(names); i++) {
		if ((r = smx_os_path_join(ssh_dir, names[i], &path)) == 0)
			r = add(f, path);
	}
	return r;
}

static int add_system(struct known_files *f)
{
	char second[SMX_OS_PATH_MAX + 2];
	int r;

	(void)snprintf(second, sizeof(second), "%s2", smx_os_system_known_hosts());
	if ((r = add(f, smx_strdup(smx_os_system_known_hosts()))) != 0)
		return r;
	return add(f, smx_strdup(second));
}

int known_files_find(const char *ssh_dir, const struct smx_hop *hop, struct known_files *ret)
{
	int r;

	*ret = (struct known_files){ .n = 0 };
	r = hop && hop->n_known_hosts ? add_named(ret, hop) : add_default(ret, ssh_dir);
	ret->n_own = ret->n;
	if (r == 0)
		r = add_system(ret);
	if (r != 0)
		known_files_release(ret);
	return r;
}

static void note(struct smx_buf *notes, struct smx_buf *text)
{
	if (!smx_buf_len(text))
		return;
	if (smx_buf_len(notes))
		(void)smx_buf_put_str(notes, "; ");
	/* What exceeds the cap is left out. */
	(void)smx_buf_put(notes, smx_buf_view(text), smx_buf_len(text));
}

static int read_one(struct smx_known_hosts *kh, const char *path, int is_own, struct smx_buf *notes)
{
	struct smx_buf text, err;
	int r, is_needed;

	smx_buf_init(&text, SMX_KNOWN_HOSTS_TEXT_MAX);
	smx_buf_init(&err, PREPARED_NOTES_MAX);
	r = smx_os_file_read(path, SMX_KNOWN_HOSTS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	/* K3: what is good enough to be read the next time may revoke a key now. */
	is_needed = is_own || smx_os_file_is_no_verdict(r);
	if (r == SMX_ENOTFOUND)
		r = 0;
	else if (r == 0)
		r = smx_known_hosts_add_text(kh, path, smx_buf_as_view(&text), NULL);
	if (r != 0)
		note(notes, &err);
	smx_buf_release(&text);
	smx_buf_release(&err);
	return is_needed || r == SMX_ENOMEM ? r : 0;
}

int known_files_read(const struct known_files *f, struct smx_known_hosts *kh, struct smx_buf *notes)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->n; i++)
		r = read_one(kh, f->paths[i], i < f->n_own, notes);
	return r;
}

void known_files_release(struct known_files *f)
{
	while (f->n)
		smx_free(f->paths[--f->n]);
	f->n_own = 0;
}
