/* SPDX-License-Identifier: MIT */
#include "mux/doors/local_key.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "os/file.h"
#include "os/path.h"

struct kind {
	const char *file, *pub_file, *comment, *name;
};

static const struct kind kinds[] = {
	[LOCAL_KEY_HOST] = { HOST_KEY_FILE, HOST_KEY_PUB_FILE, "ssh-mux host key", "the host key" },
	[LOCAL_KEY_CLIENT] = { CLIENT_KEY_FILE, CLIENT_KEY_PUB_FILE, CLIENT_KEY_COMMENT,
		"the key for the local server" },
};

/* It is written only where it would change: a second run of anything leaves every file alone. */
static int write_public(const char *ssh_dir, const struct kind *kind, const struct smx_key *key,
	struct smx_buf *err)
{
	struct smx_buf blob, line, old;
	char *path = NULL;
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&line, SMX_KEY_BLOB_MAX);
	smx_buf_init(&old, SMX_KEY_BLOB_MAX);
	if ((r = smx_os_path_join(ssh_dir, kind->pub_file, &path)) != 0 ||
		(r = smx_key_to_blob(key, &blob)) != 0 ||
		(r = smx_pubkey_line_write(smx_buf_as_view(&blob), &line)) != 0 ||
		(r = smx_buf_printf(&line, " %s\n", kind->comment)) != 0)
		goto out;
	if (smx_os_file_read(path, SMX_KEY_BLOB_MAX, SMX_OS_FILE_PLAIN, &old, NULL) == 0 &&
		smx_view_eq_view(smx_buf_as_view(&old), smx_buf_as_view(&line)))
		goto out;
	r = smx_os_file_write_atomic(path, smx_buf_view(&line), smx_buf_len(&line), 0644, err);
out:
	smx_free(path);
	smx_buf_release(&blob);
	smx_buf_release(&line);
	smx_buf_release(&old);
	return r;
}

static int read_key(
	const char *path, const struct kind *kind, struct smx_key **ret, struct smx_buf *err)
{
	struct smx_buf text;
	int r;

	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	r = smx_os_file_read(path, SMX_KEYFILE_MAX, SMX_OS_FILE_HOST_KEY, &text, err);
	if (r == 0 && (r = smx_keyfile_parse(smx_buf_as_view(&text), NULL, ret, NULL)) != 0 && err)
		(void)smx_buf_printf(err,
			"%s %s can't be used: %s; move it away, and a new one is made", kind->name,
			path, smx_strerror(r));
	smx_buf_release(&text);
	return r;
}

static int make_key(const char *ssh_dir, const char *path, const struct kind *kind,
	struct smx_key **ret, struct smx_buf *err)
{
	struct smx_key *key = NULL;
	struct smx_buf text;
	int r;

	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	if ((r = smx_os_dir_ensure(ssh_dir, err)) == 0 &&
		(r = smx_key_generate_ed25519(&key)) == 0 &&
		(r = smx_keyfile_write(key, kind->comment, &text)) == 0)
		r = smx_os_file_create(path, smx_buf_view(&text), smx_buf_len(&text), 0600, err);
	smx_buf_release(&text);
	if (r == 0)
		*ret = key;
	else
		smx_key_free(key);
	return r;
}

/* A reader's complaint about a file that is missing is none. */
static int read_if_there(
	const char *path, const struct kind *kind, struct smx_key **ret, struct smx_buf *err)
{
	size_t before = err ? smx_buf_len(err) : 0;
	int r = read_key(path, kind, ret, err);

	if (r == SMX_ENOTFOUND && err)
		smx_buf_truncate(err, before);
	return r;
}

int local_key_load(const char *ssh_dir, enum local_key which, struct smx_key **ret, int *ret_made,
	struct smx_buf *err)
{
	const struct kind *kind = &kinds[which];
	struct smx_key *key = NULL;
	char *path = NULL;
	int r, made = 0;

	if ((r = smx_os_path_join(ssh_dir, kinds[which].file, &path)) != 0)
		return r;
	if ((r = read_if_there(path, kind, &key, err)) == SMX_ENOTFOUND) {
		size_t before = err ? smx_buf_len(err) : 0;

		r = make_key(ssh_dir, path, kind, &key, err);
		made = r == 0;
		if (r == SMX_EEXISTS) { /* somebody else was faster */
			if (err)
				smx_buf_truncate(err, before);
			r = read_key(path, kind, &key, err);
		}
	}
	if (r == 0)
		r = write_public(ssh_dir, kind, key, err);
	smx_free(path);
	if (r != 0) {
		smx_key_free(key);
		return r;
	}
	*ret = key;
	if (ret_made)
		*ret_made = made;
	return 0;
}

int local_key_peek(
	const char *ssh_dir, enum local_key which, struct smx_key **ret, struct smx_buf *err)
{
	char *path = NULL;
	int r = smx_os_path_join(ssh_dir, kinds[which].file, &path);

	if (r == 0)
		r = read_if_there(path, &kinds[which], ret, err);
	smx_free(path);
	return r;
}
