/* SPDX-License-Identifier: MIT */
#include "control/socks.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define CONNECT 1

#define METHOD_NONE 0x00
#define NO_METHOD   0xff

#define ADDRESS_4    1
#define ADDRESS_NAME 3
#define ADDRESS_6    4

/* RFC 1928 section 6 */
#define REPLY_OK                  0
#define REPLY_FAILURE             1
#define REPLY_NOT_ALLOWED         2
#define REPLY_HOST_UNREACHABLE    4
#define REPLY_COMMAND_UNSUPPORTED 7
#define REPLY_ADDRESS_UNSUPPORTED 8

#define REPLY_4_OK       90
#define REPLY_4_REJECTED 91

static void enter(struct smx_socks *s, enum smx_socks_step step, size_t need)
{
	s->step = step;
	s->have = 0;
	s->need = need;
}

void smx_socks_init(struct smx_socks *s)
{
	memset(s, 0, sizeof(*s));
	enter(s, SMX_SOCKS_VERSION, 1);
}

size_t smx_socks_need(const struct smx_socks *s)
{
	if (s->step == SMX_SOCKS_DONE || s->step == SMX_SOCKS_FAILED)
		return 0;
	/* Text that ends with a NUL byte, wherever it is. */
	if (s->step == SMX_SOCKS_4_USER || s->step == SMX_SOCKS_4_NAME)
		return 1;
	return s->need - s->have;
}

/* --- replies --- */

static size_t put_reply(const struct smx_socks *s, uint8_t code, uint8_t *reply)
{
	memset(reply, 0, SMX_SOCKS_REPLY_MAX);
	if (s->version == 4) {
		reply[1] = code == REPLY_OK ? REPLY_4_OK : REPLY_4_REJECTED;
		return 8;
	}
	reply[0] = 5;
	reply[1] = code;
	reply[3] = ADDRESS_4; /* 0.0.0.0:0: where the remote connects from is not known */
	return 10;
}

size_t smx_socks_answer(
	const struct smx_socks *s, enum smx_socks_answer answer, uint8_t reply[SMX_SOCKS_REPLY_MAX])
{
	return put_reply(s,
		answer == SMX_SOCKS_GRANTED  ? REPLY_OK
		: answer == SMX_SOCKS_DENIED ? REPLY_NOT_ALLOWED
					     : REPLY_HOST_UNREACHABLE,
		reply);
}

static int fail(struct smx_socks *s, int error, uint8_t code, uint8_t *reply, size_t *ret_len)
{
	*ret_len = put_reply(s, code, reply);
	enter(s, SMX_SOCKS_FAILED, 0);
	return error;
}

/* --- steps --- */

static int take_version(struct smx_socks *s)
{
	s->version = s->bytes[0];
	if (s->version == 4)
		enter(s, SMX_SOCKS_4_HEAD, 7);
	else if (s->version == 5)
		enter(s, SMX_SOCKS_5_COUNT, 1);
	else
		return SMX_EUNSUPPORTED; /* no SOCKS: there is nothing to answer */
	return SMX_EAGAIN;
}

/* A name is sent to the server's resolver: it must be one string, and something. */
static int is_name(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] == 0x7f)
			return 0;
	return 1;
}

static void set_ipv4(struct smx_socks *s, const uint8_t *p)
{
	(void)snprintf(s->host, sizeof(s->host), "%u.%u.%u.%u", p[0], p[1], p[2], p[3]);
}

static int take_4_head(struct smx_socks *s, uint8_t *reply, size_t *ret_len)
{
	const uint8_t *p = s->bytes;

	if (p[0] != CONNECT)
		return fail(s, SMX_EUNSUPPORTED, REPLY_COMMAND_UNSUPPORTED, reply, ret_len);
	s->port = (uint16_t)(p[1] << 8 | p[2]);
	set_ipv4(s, p + 3);
	/* 4A: 0.0.0.x, and the name follows. */
	s->address_type =
		p[3] == 0 && p[4] == 0 && p[5] == 0 && p[6] != 0 ? ADDRESS_NAME : ADDRESS_4;
	enter(s, SMX_SOCKS_4_USER, SMX_SOCKS_USER_MAX + 1);
	return SMX_EAGAIN;
}

static int take_4_user(struct smx_socks *s)
{
	if (s->address_type == ADDRESS_NAME) {
		enter(s, SMX_SOCKS_4_NAME, SMX_SOCKS_HOST_MAX + 1);
		return SMX_EAGAIN;
	}
	enter(s, SMX_SOCKS_DONE, 0);
	return 0;
}

static int take_name(struct smx_socks *s, size_t len, uint8_t *reply, size_t *ret_len)
{
	if (!is_name(s->bytes, len))
		return fail(s, SMX_EFORMAT, REPLY_FAILURE, reply, ret_len);
	memcpy(s->host, s->bytes, len);
	s->host[len] = '\0';
	return 0;
}

static int take_methods(struct smx_socks *s, uint8_t *reply, size_t *ret_len)
{
	int has_none = memchr(s->bytes, METHOD_NONE, s->need) != NULL;

	reply[0] = 5;
	reply[1] = has_none ? METHOD_NONE : NO_METHOD;
	*ret_len = 2;
	enter(s, has_none ? SMX_SOCKS_5_HEAD : SMX_SOCKS_FAILED, has_none ? 4 : 0);
	return has_none ? SMX_EAGAIN : SMX_EUNSUPPORTED;
}

static int take_5_head(struct smx_socks *s, uint8_t *reply, size_t *ret_len)
{
	if (s->bytes[0] != 5)
		return fail(s, SMX_EFORMAT, REPLY_FAILURE, reply, ret_len);
	if (s->bytes[1] != CONNECT)
		return fail(s, SMX_EUNSUPPORTED, REPLY_COMMAND_UNSUPPORTED, reply, ret_len);
	s->address_type = s->bytes[3];
	switch (s->address_type) {
	case ADDRESS_4:
		enter(s, SMX_SOCKS_5_ADDRESS, 4 + 2);
		return SMX_EAGAIN;
	case ADDRESS_6:
		enter(s, SMX_SOCKS_5_ADDRESS, 16 + 2);
		return SMX_EAGAIN;
	case ADDRESS_NAME:
		enter(s, SMX_SOCKS_5_NAME_LEN, 1);
		return SMX_EAGAIN;
	default:
		return fail(s, SMX_EUNSUPPORTED, REPLY_ADDRESS_UNSUPPORTED, reply, ret_len);
	}
}

/* As RFC 5952 has it, but for the longest run of zeros: what reads it takes any. */
static void set_ipv6(struct smx_socks *s, const uint8_t *p)
{
	static const uint8_t one[16] = { [15] = 1 };
	size_t at = 0;

	if (memcmp(p, one, sizeof(one)) == 0) {
		(void)snprintf(s->host, sizeof(s->host), "::1");
		return;
	}
	for (size_t i = 0; i < 16; i += 2)
		at += (size_t)snprintf(s->host + at, sizeof(s->host) - at, "%s%x", i ? ":" : "",
			p[i] << 8 | p[i + 1]);
}

static int take_5_address(struct smx_socks *s, uint8_t *reply, size_t *ret_len)
{
	size_t len = s->need - 2;
	int r = 0;

	s->port = (uint16_t)(s->bytes[len] << 8 | s->bytes[len + 1]);
	if (s->address_type == ADDRESS_4)
		set_ipv4(s, s->bytes);
	else if (s->address_type == ADDRESS_6)
		set_ipv6(s, s->bytes);
	else
		r = take_name(s, len, reply, ret_len);
	if (r == 0)
		enter(s, SMX_SOCKS_DONE, 0);
	return r;
}

/* The bytes of this step are there. */
static int take_step(struct smx_socks *s, uint8_t *reply, size_t *ret_len)
{
	int r;

	switch (s->step) {
	case SMX_SOCKS_VERSION:
		if ((r = take_version(s)) != SMX_EAGAIN)
			enter(s, SMX_SOCKS_FAILED, 0);
		return r;
	case SMX_SOCKS_4_HEAD:
		return take_4_head(s, reply, ret_len);
	case SMX_SOCKS_5_COUNT:
		if (s->bytes[0] == 0)
			return fail(s, SMX_EFORMAT, REPLY_FAILURE, reply, ret_len);
		enter(s, SMX_SOCKS_5_METHODS, s->bytes[0]);
		return SMX_EAGAIN;
	case SMX_SOCKS_5_METHODS:
		return take_methods(s, reply, ret_len);
	case SMX_SOCKS_5_HEAD:
		return take_5_head(s, reply, ret_len);
	case SMX_SOCKS_5_NAME_LEN:
		if (s->bytes[0] == 0)
			return fail(s, SMX_EFORMAT, REPLY_FAILURE, reply, ret_len);
		enter(s, SMX_SOCKS_5_ADDRESS, (size_t)s->bytes[0] + 2);
		return SMX_EAGAIN;
	case SMX_SOCKS_5_ADDRESS:
		return take_5_address(s, reply, ret_len);
	default:
		return SMX_EFORMAT;
	}
}

/* Of a text that a NUL byte ends. */
static int take_text(struct smx_socks *s, uint8_t *reply, size_t *ret_len)
{
	int r;

	if (s->bytes[s->have - 1] != 0)
		return s->have < s->need ? SMX_EAGAIN
					 : fail(s, SMX_EFORMAT, REPLY_FAILURE, reply, ret_len);
	if (s->step == SMX_SOCKS_4_USER)
		return take_4_user(s);
	if ((r = take_name(s, s->have - 1, reply, ret_len)) == 0)
		enter(s, SMX_SOCKS_DONE, 0);
	return r;
}

int smx_socks_take(struct smx_socks *s, const uint8_t *bytes, size_t n,
	uint8_t reply[SMX_SOCKS_REPLY_MAX], size_t *ret_reply_len)
{
	*ret_reply_len = 0;
	if (n == 0)
		return s->step == SMX_SOCKS_FAILED ? SMX_EFORMAT : SMX_EAGAIN;
	if (n > smx_socks_need(s))
		return SMX_EFORMAT;
	memcpy(s->bytes + s->have, bytes, n);
	s->have += n;
	if (s->step == SMX_SOCKS_4_USER || s->step == SMX_SOCKS_4_NAME)
		return take_text(s, reply, ret_reply_len);
	return s->have < s->need ? SMX_EAGAIN : take_step(s, reply, ret_reply_len);
}
