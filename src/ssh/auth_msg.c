/* SPDX-License-Identifier: MIT */
#include "ssh/auth_msg.h"

#include "base/err.h"

static int put_head(struct smx_buf *b, const char *user, const char *method)
{
	int r;

	if ((r = smx_put_u8(b, SMX_MSG_USERAUTH_REQUEST)) != 0 ||
		(r = smx_put_cstr(b, user)) != 0 || (r = smx_put_cstr(b, "ssh-connection")) != 0 ||
		(r = smx_put_cstr(b, method)) != 0)
		return r;
	return 0;
}

static int put_pubkey(struct smx_buf *b, const struct smx_auth_pubkey *k, int has_signature)
{
	const char *method = k->host_key.len ? "publickey-hostbound-v00@openssh.com" : "publickey";
	int r;

	if ((r = put_head(b, k->user, method)) != 0 || (r = smx_put_bool(b, has_signature)) != 0 ||
		(r = smx_put_view(b, k->alg)) != 0 || (r = smx_put_view(b, k->blob)) != 0)
		return r;
	return k->host_key.len ? smx_put_view(b, k->host_key) : 0;
}

int smx_auth_put_pubkey_request(
	struct smx_buf *b, struct smx_view session_id, const struct smx_auth_pubkey *key)
{
	int r;

	if (session_id.len && (r = smx_put_view(b, session_id)) != 0)
		return r;
	return put_pubkey(b, key, 1);
}

int smx_auth_put_pubkey_probe(struct smx_buf *b, const struct smx_auth_pubkey *key)
{
	return put_pubkey(b, key, 0);
}

int smx_auth_put_none(struct smx_buf *b, const char *user)
{
	return put_head(b, user, "none");
}

int smx_auth_put_password(struct smx_buf *b, const char *user, struct smx_view password)
{
	int r;

	if ((r = put_head(b, user, "password")) != 0 || (r = smx_put_bool(b, 0)) != 0)
		return r;
	return smx_put_view(b, password);
}

int smx_auth_put_kbdint(struct smx_buf *b, const char *user)
{
	int r;

	/* An empty language tag and no hint of submethods: RFC 4256 section 3.1. */
	if ((r = put_head(b, user, "keyboard-interactive")) != 0 || (r = smx_put_cstr(b, "")) != 0)
		return r;
	return smx_put_cstr(b, "");
}

int smx_auth_parse_info_request(struct smx_rd rd, struct smx_auth_info_request *ret)
{
	struct smx_auth_info_request req = { 0 };
	struct smx_view lang;
	uint32_t n;
	int r;

	if ((r = smx_rd_string_max(&rd, SMX_AUTH_TEXT_MAX, &req.name)) != 0 ||
		(r = smx_rd_string_max(&rd, SMX_AUTH_TEXT_MAX, &req.instruction)) != 0 ||
		(r = smx_rd_string_max(&rd, SMX_AUTH_TEXT_MAX, &lang)) != 0 ||
		(r = smx_rd_u32(&rd, &n)) != 0)
		return r;
	if (n > SMX_AUTH_PROMPTS_MAX)
		return SMX_ETOOBIG;
	for (req.n_prompts = 0; req.n_prompts < n; req.n_prompts++) {
		struct smx_auth_prompt *p = &req.prompts[req.n_prompts];

		if ((r = smx_rd_string_max(&rd, SMX_AUTH_TEXT_MAX, &p->text)) != 0 ||
			(r = smx_rd_bool(&rd, &p->echo)) != 0)
			return r;
	}
	if ((r = smx_rd_end(&rd)) != 0)
		return r;
	*ret = req;
	return 0;
}

int smx_auth_put_info_response(struct smx_buf *b, const struct smx_view *answers, size_t n)
{
	int r;

	if ((r = smx_put_u8(b, SMX_MSG_USERAUTH_INFO_RESPONSE)) != 0 ||
		(r = smx_put_u32(b, (uint32_t)n)) != 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if ((r = smx_put_view(b, answers[i])) != 0)
			return r;
	return 0;
}

int smx_auth_parse_failure(struct smx_rd rd, struct smx_view *ret_methods, int *ret_partial)
{
	struct smx_view methods;
	int partial, r;

	if ((r = smx_rd_string(&rd, &methods)) != 0 || (r = smx_rd_bool(&rd, &partial)) != 0 ||
		(r = smx_rd_end(&rd)) != 0)
		return r;
	*ret_methods = methods;
	*ret_partial = partial;
	return 0;
}

int smx_auth_parse_pk_ok(struct smx_rd rd, struct smx_view *ret_alg, struct smx_view *ret_blob)
{
	struct smx_view alg, blob;
	int r;

	if ((r = smx_rd_string(&rd, &alg)) != 0 || (r = smx_rd_string(&rd, &blob)) != 0 ||
		(r = smx_rd_end(&rd)) != 0)
		return r;
	*ret_alg = alg;
	*ret_blob = blob;
	return 0;
}
