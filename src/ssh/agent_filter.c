/* SPDX-License-Identifier: MIT */
#include "ssh/agent_filter.h"

#include <string.h>

#include "base/err.h"
#include "crypto/key.h"
#include "ssh/agent.h"
#include "ssh/msg.h"

#define SESSION_ID_MAX 128 /* as ssh-agent */
#define PROOF_MAX      (16 * 1024)

enum {
	AGENT_FAILURE = 5,
	AGENT_SUCCESS = 6,
	AGENTC_REQUEST_IDENTITIES = 11,
	AGENT_IDENTITIES_ANSWER = 12,
	AGENTC_SIGN_REQUEST = 13,
	AGENTC_EXTENSION = 27,
};

static const char bind_name[] = "session-bind@openssh.com";

/* --- requests --- */

static int read_sign(struct smx_rd rd, struct smx_agent_request *req)
{
	uint32_t flags;
	int r;

	if ((r = smx_rd_string_max(&rd, SMX_KEY_BLOB_MAX, &req->blob)) != 0 ||
		(r = smx_rd_string(&rd, &req->data)) != 0 || (r = smx_rd_u32(&rd, &flags)) != 0)
		return r;
	return req->blob.len ? smx_rd_end(&rd) : SMX_EFORMAT;
}

static int read_bind(struct smx_rd rd)
{
	struct smx_view host_key, session_id, signature;
	int is_forwarding, r;

	if ((r = smx_rd_string_max(&rd, SMX_KEY_BLOB_MAX, &host_key)) != 0 ||
		(r = smx_rd_string_max(&rd, SESSION_ID_MAX, &session_id)) != 0 ||
		(r = smx_rd_string_max(&rd, PROOF_MAX, &signature)) != 0 ||
		(r = smx_rd_bool(&rd, &is_forwarding)) != 0)
		return r;
	return smx_rd_end(&rd);
}

int smx_agent_read_request(struct smx_view message, struct smx_agent_request *ret)
{
	struct smx_agent_request req = { .kind = SMX_AGENT_OTHER };
	struct smx_rd rd = smx_rd_view(message);
	struct smx_view name;
	int r;

	*ret = req;
	if (smx_rd_u8(&rd, &req.type) != 0)
		return SMX_EFORMAT;
	ret->type = req.type;
	switch (req.type) {
	case AGENTC_REQUEST_IDENTITIES:
		req.kind = SMX_AGENT_LIST;
		r = smx_rd_end(&rd);
		break;
	case AGENTC_SIGN_REQUEST:
		req.kind = SMX_AGENT_SIGN;
		r = read_sign(rd, &req);
		break;
	case AGENTC_EXTENSION:
		if (smx_rd_string(&rd, &name) != 0)
			return SMX_EFORMAT;
		if (!smx_view_eq(name, bind_name))
			return 0;
		req.kind = SMX_AGENT_BIND;
		r = read_bind(rd);
		break;
	default:
		return 0;
	}
	if (r != 0)
		return SMX_EFORMAT;
	*ret = req;
	return 0;
}

/* --- answers --- */

static int put_type(struct smx_buf *b, uint8_t type)
{
	int r;

	if ((r = smx_put_u32(b, 1)) != 0)
		return r;
	return smx_put_u8(b, type);
}

int smx_agent_put_failure(struct smx_buf *b)
{
	return put_type(b, AGENT_FAILURE);
}

/* Appends the keys that may be shown; what was appended before an error is the caller's to cut. */
static int put_keys(struct smx_buf *b, struct smx_rd rd, uint32_t n, smx_agent_keep *keep,
	void *arg, uint32_t *ret_n)
{
	struct smx_view blob, comment;
	int r;

	for (*ret_n = 0; n; n--) {
		if ((r = smx_rd_string(&rd, &blob)) != 0 || (r = smx_rd_string(&rd, &comment)) != 0)
			return r;
		if (keep && !keep(arg, blob, comment))
			continue;
		++*ret_n;
		if ((r = smx_put_view(b, blob)) != 0 || (r = smx_put_view(b, comment)) != 0)
			return r;
	}
	return smx_rd_end(&rd);
}

static int put_list(struct smx_buf *b, struct smx_view message, smx_agent_keep *keep, void *arg)
{
	struct smx_rd rd = smx_rd_view(message);
	size_t before = smx_buf_len(b), mark, at_count;
	uint32_t n, n_kept;
	uint8_t type;
	int r;

	if (smx_rd_u8(&rd, &type) != 0 || type != AGENT_IDENTITIES_ANSWER ||
		smx_rd_u32(&rd, &n) != 0)
		return smx_agent_put_failure(b);
	if ((r = smx_put_string_begin(b, &mark)) != 0 || (r = smx_put_u8(b, type)) != 0)
		return r;
	at_count = smx_buf_len(b);
	if ((r = smx_put_u32(b, 0)) != 0)
		return r;
	r = put_keys(b, rd, n, keep, arg, &n_kept);
	if (r == 0) {
		smx_set_u32(b->data + b->off + at_count, n_kept);
		smx_put_string_end(b, mark);
		return 0;
	}
	if (smx_errclass(r) != SMX_CLASS_PEER)
		return r;
	smx_buf_truncate(b, before);
	return smx_agent_put_failure(b);
}

int smx_agent_put_answer(struct smx_buf *b, enum smx_agent_kind kind, struct smx_view message,
	smx_agent_keep *keep, void *arg)
{
	struct smx_view signature;

	switch (kind) {
	case SMX_AGENT_LIST:
		return put_list(b, message, keep, arg);
	case SMX_AGENT_SIGN:
		if (smx_agent_parse_signature(message, &signature) == 0)
			return smx_put_view(b, message);
		break;
	case SMX_AGENT_BIND:
		if (message.len == 1 && message.p[0] == AGENT_SUCCESS)
			return put_type(b, AGENT_SUCCESS);
		break;
	case SMX_AGENT_OTHER:
		break;
	}
	return smx_agent_put_failure(b);
}

/* --- for people --- */

enum smx_agent_purpose smx_agent_purpose(struct smx_view data, struct smx_view *ret_name)
{
	static const char magic[] = "SSHSIG";
	struct smx_rd rd = smx_rd_view(data);
	struct smx_view session_id, service, method, name;
	size_t n = sizeof(magic) - 1;
	uint8_t type;

	if (data.len > n && memcmp(data.p, magic, n) == 0) {
		rd = smx_rd_from(data.p + n, data.len - n);
		if (smx_rd_string(&rd, &name) != 0)
			return SMX_AGENT_FOR_UNKNOWN;
		*ret_name = name;
		return SMX_AGENT_FOR_FILE;
	}
	if (smx_rd_string_max(&rd, SESSION_ID_MAX, &session_id) != 0 ||
		smx_rd_u8(&rd, &type) != 0 || type != SMX_MSG_USERAUTH_REQUEST ||
		smx_rd_string(&rd, &name) != 0 || smx_rd_string(&rd, &service) != 0 ||
		!smx_view_eq(service, "ssh-connection") || smx_rd_string(&rd, &method) != 0 ||
		!(smx_view_eq(method, "publickey") ||
			smx_view_eq(method, "publickey-hostbound-v00@openssh.com")))
		return SMX_AGENT_FOR_UNKNOWN;
	*ret_name = name;
	return SMX_AGENT_FOR_LOGIN;
}
