/* SPDX-License-Identifier: MIT */
#include "ssh/agent.h"

#include "base/err.h"

enum {
	AGENT_FAILURE = 5,
	AGENTC_REQUEST_IDENTITIES = 11,
	AGENT_IDENTITIES_ANSWER = 12,
	AGENTC_SIGN_REQUEST = 13,
	AGENT_SIGN_RESPONSE = 14,
	AGENTC_EXTENSION = 27,
};

int smx_agent_put_list(struct smx_buf *b)
{
	int r;

	if ((r = smx_put_u32(b, 1)) != 0)
		return r;
	return smx_put_u8(b, AGENTC_REQUEST_IDENTITIES);
}

int smx_agent_put_sign(
	struct smx_buf *b, struct smx_view blob, struct smx_view data, uint32_t flags)
{
	size_t mark;
	int r;

	if ((r = smx_put_string_begin(b, &mark)) != 0 ||
		(r = smx_put_u8(b, AGENTC_SIGN_REQUEST)) != 0 || (r = smx_put_view(b, blob)) != 0 ||
		(r = smx_put_view(b, data)) != 0 || (r = smx_put_u32(b, flags)) != 0)
		return r;
	smx_put_string_end(b, mark);
	return 0;
}

int smx_agent_put_bind(struct smx_buf *b, struct smx_view host_key, struct smx_view session_id,
	struct smx_view signature, int is_forwarding)
{
	size_t mark;
	int r;

	if ((r = smx_put_string_begin(b, &mark)) != 0 ||
		(r = smx_put_u8(b, AGENTC_EXTENSION)) != 0 ||
		(r = smx_put_cstr(b, "session-bind@openssh.com")) != 0 ||
		(r = smx_put_view(b, host_key)) != 0 || (r = smx_put_view(b, session_id)) != 0 ||
		(r = smx_put_view(b, signature)) != 0 || (r = smx_put_bool(b, is_forwarding)) != 0)
		return r;
	smx_put_string_end(b, mark);
	return 0;
}

int smx_agent_frame(struct smx_view bytes, struct smx_view *ret_message, size_t *ret_used)
{
	struct smx_rd rd = smx_rd_view(bytes);
	struct smx_view message;
	int r;

	r = smx_rd_string_max(&rd, SMX_AGENT_MSG_MAX, &message);
	if (r == SMX_ETRUNCATED)
		return SMX_EAGAIN;
	if (r != 0)
		return r;
	if (message.len == 0)
		return SMX_EFORMAT;
	*ret_message = message;
	*ret_used = bytes.len - rd.left;
	return 0;
}

int smx_agent_parse_list(struct smx_view message, smx_agent_each *each, void *arg)
{
	struct smx_rd rd = smx_rd_view(message);
	struct smx_view blob, comment;
	uint32_t n;
	uint8_t type;
	int r;

	if ((r = smx_rd_u8(&rd, &type)) != 0)
		return r;
	if (type == AGENT_FAILURE)
		return SMX_EREFUSED;
	if (type != AGENT_IDENTITIES_ANSWER)
		return SMX_EPROTOCOL;
	if ((r = smx_rd_u32(&rd, &n)) != 0)
		return r;
	if (n > SMX_AGENT_KEYS_MAX)
		return SMX_ETOOBIG;
	while (n--) {
		if ((r = smx_rd_string(&rd, &blob)) != 0 ||
			(r = smx_rd_string(&rd, &comment)) != 0 ||
			(r = each(arg, blob, comment)) != 0)
			return r;
	}
	return smx_rd_end(&rd);
}

int smx_agent_parse_signature(struct smx_view message, struct smx_view *ret_signature)
{
	struct smx_rd rd = smx_rd_view(message);
	struct smx_view signature;
	uint8_t type;
	int r;

	if ((r = smx_rd_u8(&rd, &type)) != 0)
		return r;
	if (type == AGENT_FAILURE)
		return SMX_EREFUSED;
	if (type != AGENT_SIGN_RESPONSE)
		return SMX_EPROTOCOL;
	if ((r = smx_rd_string(&rd, &signature)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	*ret_signature = signature;
	return 0;
}
