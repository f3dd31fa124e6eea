/* SPDX-License-Identifier: MIT */
#include "ssh/hostkeys.h"

#include "base/err.h"
#include "crypto/key.h"

/* Two lengths, the name of the request, a session id. */
#define SIGNED_MAX (SMX_KEY_BLOB_MAX + 256)

static int is_listed(const struct smx_hostkeys *list, struct smx_view blob)
{
	for (size_t i = 0; i < list->n; i++)
		if (smx_view_eq_view(list->blobs[i], blob))
			return 1;
	return 0;
}

int smx_hostkeys_read(struct smx_view data, struct smx_hostkeys *ret)
{
	struct smx_hostkeys list = { .n = 0 };
	struct smx_rd rd = smx_rd_view(data);
	struct smx_view blob, type;
	int r;

	if (data.len > SMX_HOSTKEYS_BYTES_MAX)
		return SMX_ETOOBIG;
	while (rd.left) {
		if ((r = smx_rd_string_max(&rd, SMX_KEY_BLOB_MAX, &blob)) != 0)
			return r;
		if (list.n == SMX_HOSTKEYS_MAX)
			return SMX_ELIMIT;
		if (smx_blob_type(blob, &type) != 0 || type.len == 0 || is_listed(&list, blob))
			return SMX_EFORMAT;
		list.blobs[list.n++] = blob;
	}
	if (list.n == 0)
		return SMX_EFORMAT;
	*ret = list;
	return 0;
}

int smx_hostkeys_put_prove(const struct smx_view *blobs, size_t n, struct smx_buf *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = smx_put_view(out, blobs[i]);
	return r;
}

static int check_one(struct smx_view sig, struct smx_view session_id, struct smx_view blob)
{
	struct smx_rd rd = smx_rd_view(sig);
	struct smx_key *key = NULL;
	struct smx_view alg;
	struct smx_buf data;
	int r;

	/* Any algorithm of the key's: which one, the server chooses. smx_key_verify knows no SHA-1.
	 */
	if ((r = smx_rd_string(&rd, &alg)) != 0)
		return r;
	smx_buf_init(&data, SIGNED_MAX);
	if ((r = smx_key_from_blob(&key, blob)) == 0 &&
		(r = smx_put_cstr(&data, SMX_HOSTKEYS_PROVE_KIND)) == 0 &&
		(r = smx_put_view(&data, session_id)) == 0 && (r = smx_put_view(&data, blob)) == 0)
		r = smx_key_verify(key, alg, sig, smx_buf_as_view(&data));
	smx_key_free(key);
	smx_buf_release(&data);
	return r;
}

int smx_hostkeys_check_proof(struct smx_view reply, struct smx_view session_id,
	const struct smx_view *blobs, size_t n, size_t *ret_bad)
{
	struct smx_rd rd = smx_rd_view(reply);
	struct smx_view sig;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		*ret_bad = i;
		if ((r = smx_rd_string_max(&rd, SMX_SIG_MAX, &sig)) == 0)
			r = check_one(sig, session_id, blobs[i]);
	}
	return r == 0 ? smx_rd_end(&rd) : r;
}
