/* SPDX-License-Identifier: MIT */
#include "control/mux4.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define MSG_HELLO 0x00000001u

#define C_NEW_SESSION    0x10000002u
#define C_ALIVE_CHECK    0x10000004u
#define C_TERMINATE      0x10000005u
#define C_OPEN_FWD       0x10000006u
#define C_CLOSE_FWD      0x10000007u
#define C_NEW_STDIO_FWD  0x10000008u
#define C_STOP_LISTENING 0x10000009u
#define C_PROXY          0x1000000fu
#define C_EXT_INFO       0x20000001u

#define S_OK                0x80000001u
#define S_PERMISSION_DENIED 0x80000002u
#define S_FAILURE           0x80000003u
#define S_EXIT_MESSAGE      0x80000004u
#define S_ALIVE             0x80000005u
#define S_SESSION_OPENED    0x80000006u
#define S_REMOTE_PORT       0x80000007u
#define S_TTY_ALLOC_FAIL    0x80000008u
#define S_PROXY             0x8000000fu
#define S_EXT_INFO          0x90000001u

#define EXTENSION_INFO         "info"
#define EXTENSION_INFO_VERSION "0"

#define CTRL(c) ((c) - '@')

static const struct {
	uint32_t type;
	enum smx_mux4_kind kind;
} kinds[] = {
	{ MSG_HELLO, SMX_MUX4_HELLO },
	{ C_NEW_SESSION, SMX_MUX4_SESSION },
	{ C_ALIVE_CHECK, SMX_MUX4_ALIVE },
	{ C_TERMINATE, SMX_MUX4_TERMINATE },
	{ C_OPEN_FWD, SMX_MUX4_OPEN_FORWARD },
	{ C_CLOSE_FWD, SMX_MUX4_CLOSE_FORWARD },
	{ C_NEW_STDIO_FWD, SMX_MUX4_STDIO_FORWARD },
	{ C_STOP_LISTENING, SMX_MUX4_STOP_LISTENING },
	{ C_PROXY, SMX_MUX4_PROXY },
	{ C_EXT_INFO, SMX_MUX4_INFO },
};

unsigned smx_mux4_descriptors(enum smx_mux4_kind kind)
{
	if (kind == SMX_MUX4_SESSION)
		return 3;
	return kind == SMX_MUX4_STDIO_FORWARD ? 2 : 0;
}

int smx_mux4_next(struct smx_view bytes, struct smx_view *ret_message, size_t *ret_used)
{
	uint32_t len;

	if (bytes.len < 4)
		return SMX_EAGAIN;
	len = smx_get_u32(bytes.p);
	if (len > SMX_MUX4_MESSAGE_MAX)
		return SMX_ETOOBIG;
	if (bytes.len - 4 < len)
		return SMX_EAGAIN;
	*ret_message = (struct smx_view){ bytes.p + 4, len };
	*ret_used = 4 + (size_t)len;
	return 0;
}

/* --- reading --- */

static int read_text(struct smx_rd *rd, struct smx_view *ret)
{
	int r = smx_rd_string(rd, ret);

	if (r == 0 && ret->len && memchr(ret->p, 0, ret->len))
		return SMX_EFORMAT;
	return r;
}

/* OpenSSH sends each of its flags as a number. */
static int read_flag(struct smx_rd *rd, int *ret)
{
	uint32_t n;
	int r = smx_rd_u32(rd, &n);

	if (r == 0)
		*ret = n != 0;
	return r;
}

static int read_hello(struct smx_rd *rd, struct smx_mux4_request *ret)
{
	struct smx_view name, value;
	int r = smx_rd_u32(rd, &ret->version);

	/* Extensions: none of a client's changes what a master does. */
	while (r == 0 && rd->left)
		if ((r = read_text(rd, &name)) == 0)
			r = smx_rd_string(rd, &value);
	return r;
}

static int read_env(struct smx_rd *rd, struct smx_mux4_request *ret)
{
	struct smx_view v;
	const uint8_t *eq;
	int r;

	while (rd->left) {
		if ((r = read_text(rd, &v)) != 0)
			return r;
		eq = v.len ? memchr(v.p, '=', v.len) : NULL;
		if (!eq || eq == v.p)
			return SMX_EFORMAT;
		if (ret->n_env < SMX_MUX4_ENV_MAX)
			ret->env[ret->n_env++] = v;
	}
	return 0;
}

static int read_session(struct smx_rd *rd, struct smx_mux4_request *ret)
{
	struct smx_view reserved;
	int r;

	ret->n_env = 0;
	if ((r = smx_rd_string(rd, &reserved)) != 0 || (r = read_flag(rd, &ret->wants_tty)) != 0 ||
		(r = read_flag(rd, &ret->wants_x11)) != 0 ||
		(r = read_flag(rd, &ret->wants_agent)) != 0 ||
		(r = read_flag(rd, &ret->is_subsystem)) != 0 ||
		(r = smx_rd_u32(rd, &ret->escape)) != 0 || (r = read_text(rd, &ret->term)) != 0 ||
		(r = read_text(rd, &ret->command)) != 0)
		return r;
	return read_env(rd, ret);
}

static int read_forward(struct smx_rd *rd, struct smx_mux4_request *ret)
{
	int r;

	if ((r = smx_rd_u32(rd, &ret->forward)) != 0 ||
		(r = read_text(rd, &ret->listen_host)) != 0 ||
		(r = smx_rd_u32(rd, &ret->listen_port)) != 0 ||
		(r = read_text(rd, &ret->host)) != 0)
		return r;
	return smx_rd_u32(rd, &ret->port);
}

static int read_stdio_forward(struct smx_rd *rd, struct smx_mux4_request *ret)
{
	struct smx_view reserved;
	int r;

	if ((r = smx_rd_string(rd, &reserved)) != 0 || (r = read_text(rd, &ret->host)) != 0)
		return r;
	return smx_rd_u32(rd, &ret->port);
}

int smx_mux4_parse(struct smx_view message, struct smx_mux4_request *ret)
{
	struct smx_rd rd = smx_rd_view(message);
	uint32_t type;
	int r;

	if ((r = smx_rd_u32(&rd, &type)) != 0)
		return r;
	ret->kind = SMX_MUX4_UNKNOWN;
	for (size_t i = 0; i < SMX_ARRAY_LEN(kinds); i++)
		if (kinds[i].type == type)
			ret->kind = kinds[i].kind;
	ret->id = 0;
	if (ret->kind != SMX_MUX4_HELLO && (r = smx_rd_u32(&rd, &ret->id)) != 0)
		return r;
	switch (ret->kind) {
	case SMX_MUX4_HELLO:
		r = read_hello(&rd, ret);
		break;
	case SMX_MUX4_SESSION:
		r = read_session(&rd, ret);
		break;
	case SMX_MUX4_OPEN_FORWARD:
	case SMX_MUX4_CLOSE_FORWARD:
		r = read_forward(&rd, ret);
		break;
	case SMX_MUX4_STDIO_FORWARD:
		r = read_stdio_forward(&rd, ret);
		break;
	case SMX_MUX4_INFO:
		r = read_text(&rd, &ret->about);
		break;
	case SMX_MUX4_UNKNOWN:
		return 0; /* whatever its body is */
	default:
		break;
	}
	return r == 0 ? smx_rd_end(&rd) : r;
}

/* --- writing --- */

static int put_numbers(struct smx_buf *out, const uint32_t *numbers, size_t n)
{
	uint8_t msg[4 + 3 * 4];

	smx_set_u32(msg, (uint32_t)(4 * n));
	for (size_t i = 0; i < n; i++)
		smx_set_u32(msg + 4 + 4 * i, numbers[i]);
	return smx_buf_put(out, msg, 4 + 4 * n);
}

/* A message of a head and texts. */
static int put_message(struct smx_buf *out, const uint32_t *numbers, size_t n_numbers,
	const char *const *texts, size_t n_texts)
{
	size_t before = smx_buf_len(out), mark;
	int r = smx_put_string_begin(out, &mark);

	for (size_t i = 0; r == 0 && i < n_numbers; i++)
		r = smx_put_u32(out, numbers[i]);
	for (size_t i = 0; r == 0 && i < n_texts; i++)
		r = smx_put_cstr(out, texts[i]);
	if (r == 0)
		smx_put_string_end(out, mark);
	else
		smx_buf_truncate(out, before);
	return r;
}

int smx_mux4_put_hello(struct smx_buf *out)
{
	return put_message(out, (uint32_t[]){ MSG_HELLO, SMX_MUX4_VERSION }, 2,
		(const char *const[]){ EXTENSION_INFO, EXTENSION_INFO_VERSION }, 2);
}

int smx_mux4_put_info(struct smx_buf *out, uint32_t id, int is_known, const char *text)
{
	return put_message(out, (uint32_t[]){ S_EXT_INFO, id, is_known != 0 }, 3, &text, 1);
}

int smx_mux4_put_ok(struct smx_buf *out, uint32_t id)
{
	return put_numbers(out, (uint32_t[]){ S_OK, id }, 2);
}

int smx_mux4_put_proxy(struct smx_buf *out, uint32_t id)
{
	return put_numbers(out, (uint32_t[]){ S_PROXY, id }, 2);
}

int smx_mux4_put_remote_port(struct smx_buf *out, uint32_t id, uint32_t port)
{
	return put_numbers(out, (uint32_t[]){ S_REMOTE_PORT, id, port }, 3);
}

int smx_mux4_put_alive(struct smx_buf *out, uint32_t id, uint32_t pid)
{
	return put_numbers(out, (uint32_t[]){ S_ALIVE, id, pid }, 3);
}

int smx_mux4_put_opened(struct smx_buf *out, uint32_t id, uint32_t session)
{
	return put_numbers(out, (uint32_t[]){ S_SESSION_OPENED, id, session }, 3);
}

int smx_mux4_put_denied(struct smx_buf *out, uint32_t id, const char *text)
{
	return put_message(out, (uint32_t[]){ S_PERMISSION_DENIED, id }, 2, &text, 1);
}

int smx_mux4_put_failure(struct smx_buf *out, uint32_t id, const char *text)
{
	return put_message(out, (uint32_t[]){ S_FAILURE, id }, 2, &text, 1);
}

int smx_mux4_put_exit(struct smx_buf *out, uint32_t session, uint32_t status)
{
	return put_numbers(out, (uint32_t[]){ S_EXIT_MESSAGE, session, status }, 3);
}

int smx_mux4_put_tty_failure(struct smx_buf *out, uint32_t session)
{
	return put_numbers(out, (uint32_t[]){ S_TTY_ALLOC_FAIL, session }, 2);
}

/* --- escapes --- */

/* What follows the escape character; SMX_MUX4_ESCAPE_NONE: no escape. */
static enum smx_mux4_escape escape_of(uint8_t c)
{
	switch (c) {
	case '.':
		return SMX_MUX4_ESCAPE_END;
	case 'B':
		return SMX_MUX4_ESCAPE_BREAK;
	case '?':
		return SMX_MUX4_ESCAPE_HELP;
	case CTRL('Z'):
	case '&':
	case '#':
	case 'C':
	case 'R':
	case 'V':
	case 'v':
		return SMX_MUX4_ESCAPE_OTHER;
	default:
		return SMX_MUX4_ESCAPE_NONE;
	}
}

enum smx_mux4_escape smx_mux4_escape_take(enum smx_mux4_escape_state *state, uint8_t escape,
	const uint8_t *in, size_t n, size_t *ret_used, uint8_t *out, size_t *ret_len,
	uint8_t *ret_other)
{
	enum smx_mux4_escape found = SMX_MUX4_ESCAPE_NONE;
	size_t len = 0, i = 0;

	while (i < n && found == SMX_MUX4_ESCAPE_NONE) {
		uint8_t c = in[i++];

		if (*state == SMX_MUX4_LINE_START && c == escape) {
			*state = SMX_MUX4_ESCAPED;
			continue;
		}
		if (*state == SMX_MUX4_ESCAPED) {
			*state = SMX_MUX4_IN_LINE;
			if ((found = escape_of(c)) != SMX_MUX4_ESCAPE_NONE) {
				/* The next one may follow at once, as with ssh. */
				*state = SMX_MUX4_LINE_START;
				*ret_other = c;
				continue;
			}
			if (c != escape)
				out[len++] = escape;
		}
		out[len++] = c;
		*state = c == '\r' || c == '\n' ? SMX_MUX4_LINE_START : SMX_MUX4_IN_LINE;
	}
	*ret_used = i;
	*ret_len = len;
	return found;
}
