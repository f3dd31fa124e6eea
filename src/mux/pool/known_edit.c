/* SPDX-License-Identifier: MIT */
#include "mux/pool/known_edit.h"

#include <string.h>

#include "base/err.h"
#include "os/file.h"
#include "os/helper.h"

static int on_edit(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	struct known_edit *k = arg;
	int r;

	if (is_missing && !k->edit.n_fresh)
		return 1;
	r = smx_rotation_apply(&k->edit, old, out, &k->n_removed, &k->n_added);
	if (r != 0)
		(void)smx_buf_put_str(err, smx_strerror(r));
	else if (!k->n_removed && !k->n_added)
		r = 1;
	return r;
}

int known_edit_here(struct known_edit *k, struct smx_buf *err)
{
	int r;

	k->n_removed = k->n_added = 0;
	r = smx_os_file_edit(k->path, SMX_OS_APPEND_FILE_MAX, 0600, on_edit, k, NULL, err);
	if (r != 0)
		k->n_removed = k->n_added = 0;
	return r;
}

int known_edit(struct known_edit *k, struct smx_buf *err)
{
	struct smx_helper_request q = { .op = SMX_HELPER_ROTATE,
		.port = k->edit.port,
		.is_hashed = k->edit.hashed != 0,
		.n_fresh = k->edit.n_fresh,
		.n_old = k->edit.n_old,
		.args = { k->path, k->edit.host, NULL },
		.n_args = 2 };

	if (!smx_os_helper_is_there())
		return known_edit_here(k, err);
	k->n_removed = k->n_added = 0;
	if (q.n_fresh > SMX_ROTATION_MAX || q.n_old > SMX_ROTATION_MAX)
		return SMX_EINVAL;
	for (size_t i = 0; i < q.n_fresh; i++)
		q.fresh[i] = k->edit.fresh[i];
	for (size_t i = 0; i < q.n_old; i++)
		q.old[i] = k->edit.old[i];
	return smx_os_helper_rotate(&q, &k->n_removed, &k->n_added, err);
}
