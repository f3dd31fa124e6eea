/* SPDX-License-Identifier: MIT */
#include "mux/pool/keyload.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "os/file.h"

struct keyload {
	uv_work_t work;
	struct mux *mux;
	keyload_cb *cb; /* NULL: cancelled */
	void *arg;
	char *path;
	struct smx_buf blob;
	char *passphrase; /* of size_passphrase bytes, wiped */
	size_t size_passphrase;
	struct smx_key *key;
	int r;
};

static void keyload_free(struct keyload *k)
{
	smx_free(k->path);
	smx_buf_release(&k->blob);
	smx_wipe_free(k->passphrase, k->size_passphrase);
	smx_key_free(k->key);
	smx_free(k);
}

/* The file may be another one than that whose key the server would take. */
static int is_the_key(struct keyload *k)
{
	struct smx_buf blob;
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	r = smx_key_to_blob(k->key, &blob);
	if (r == 0 && !smx_view_eq_view(smx_buf_as_view(&blob), smx_buf_as_view(&k->blob)))
		r = SMX_EFORMAT;
	smx_buf_release(&blob);
	return r;
}

static void on_work(uv_work_t *work)
{
	struct keyload *k = SMX_CONTAINER(work, struct keyload, work);
	struct smx_buf text;

	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	k->r = smx_os_file_read(k->path, SMX_KEYFILE_MAX, SMX_OS_FILE_USER_KEY, &text, NULL);
	if (k->r == 0)
		k->r = smx_keyfile_parse(smx_buf_as_view(&text), k->passphrase, &k->key, NULL);
	if (k->r == 0)
		k->r = is_the_key(k);
	smx_buf_release(&text);
}

static void on_done(uv_work_t *work, int status)
{
	struct keyload *k = SMX_CONTAINER(work, struct keyload, work);
	int r = status != 0 ? SMX_ESYS : k->r;
	struct smx_key *key;

	if (k->cb) {
		key = r == 0 ? k->key : NULL;
		if (key)
			k->key = NULL;
		k->cb(k->arg, r, key);
	}
	keyload_free(k);
}

struct keyload *keyload_start(struct mux *m, const char *path, struct smx_view blob,
	struct smx_view passphrase, keyload_cb *cb, void *arg)
{
	struct keyload *k = smx_calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->mux = m;
	k->cb = cb;
	k->arg = arg;
	smx_buf_init(&k->blob, SMX_KEY_BLOB_MAX);
	k->size_passphrase = passphrase.len + 1;
	k->path = smx_strdup(path);
	k->passphrase = smx_calloc(1, k->size_passphrase);
	if (!k->path || !k->passphrase || smx_buf_put(&k->blob, blob.p, blob.len) != 0)
		goto fail;
	memcpy(k->passphrase, passphrase.p, passphrase.len);
	if (uv_queue_work(m->core.loop, &k->work, on_work, on_done) == 0)
		return k;
fail:
	keyload_free(k);
	return NULL;
}

void keyload_cancel(struct keyload *k)
{
	if (k)
		k->cb = NULL;
}
