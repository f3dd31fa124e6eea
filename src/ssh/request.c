/* SPDX-License-Identifier: MIT */
#include "ssh/request.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define TTY_OP_END       0
#define TTY_OP_UNDEFINED 160 /* from here on arguments are not defined: readers stop */

/*
 * The shape of a message, a character for each field:
 *	u  uint32
 *	b  boolean, or a byte
 *	s  string for a C program
 *	n  the same, at most SMX_REQUEST_NAME_MAX
 *	w  at most SMX_REQUEST_WORD_MAX
 *	h  at most SMX_REQUEST_HOST_MAX
 *	m  encoded terminal modes
 *	*  whatever follows (last)
 */
/* clang-format off */
#define NAME(text) { (const uint8_t *)(text), sizeof(text) - 1 }
/* clang-format on */

struct shape {
	struct smx_view name;
	int kind;
	const char *fields;
};

static const struct shape opens[] = {
	{ NAME("session"), SMX_CHAN_KIND_SESSION, "" },
	{ NAME("direct-tcpip"), SMX_CHAN_KIND_TCPIP, "huhu" },
	{ NAME("direct-streamlocal@openssh.com"), SMX_CHAN_KIND_STREAMLOCAL, "hhu" },
	{ NAME("forwarded-tcpip"), SMX_CHAN_KIND_FOREIGN, "*" },
	{ NAME("forwarded-streamlocal@openssh.com"), SMX_CHAN_KIND_FOREIGN, "*" },
	{ NAME("x11"), SMX_CHAN_KIND_FOREIGN, "*" },
	{ NAME("auth-agent@openssh.com"), SMX_CHAN_KIND_FOREIGN, "*" },
	{ NAME("agent-connect"), SMX_CHAN_KIND_FOREIGN, "*" },
	{ NAME("tun@openssh.com"), SMX_CHAN_KIND_FOREIGN, "*" },
};

static const struct shape globals[] = {
	{ NAME("tcpip-forward"), SMX_GLOBAL_FORWARD, "hu" },
	{ NAME("cancel-tcpip-forward"), SMX_GLOBAL_CANCEL, "hu" },
	{ NAME("streamlocal-forward@openssh.com"), SMX_GLOBAL_FORWARD_PATH, "h" },
	{ NAME("cancel-streamlocal-forward@openssh.com"), SMX_GLOBAL_CANCEL_PATH, "h" },
};

static const struct shape forwarded[] = {
	{ NAME("forwarded-tcpip"), SMX_FORWARDED_TCPIP, "huhu" },
	{ NAME("forwarded-streamlocal@openssh.com"), SMX_FORWARDED_STREAMLOCAL, "hh" },
};

static const struct shape requests[] = {
	{ NAME("pty-req"), SMX_REQUEST_PTY, "wuuuum" },
	{ NAME("env"), SMX_REQUEST_ENV, "ss" },
	{ NAME("shell"), SMX_REQUEST_SHELL, "" },
	{ NAME("exec"), SMX_REQUEST_EXEC, "s" },
	{ NAME("subsystem"), SMX_REQUEST_SUBSYSTEM, "w" },
	{ NAME("window-change"), SMX_REQUEST_WINDOW_CHANGE, "uuuu" },
	{ NAME("signal"), SMX_REQUEST_SIGNAL, "n" },
	{ NAME("break"), SMX_REQUEST_BREAK, "u" },
	{ NAME("xon-xoff"), SMX_REQUEST_XON_XOFF, "b" },
	{ NAME("exit-status"), SMX_REQUEST_EXIT_STATUS, "u" },
	{ NAME("exit-signal"), SMX_REQUEST_EXIT_SIGNAL, "nbss" },
	{ NAME("eow@openssh.com"), SMX_REQUEST_EOW, "" },
	{ NAME("keepalive@openssh.com"), SMX_REQUEST_KEEPALIVE, "*" },
	{ NAME("auth-agent-req@openssh.com"), SMX_REQUEST_AGENT, "" },
	{ NAME("auth-agent-req"), SMX_REQUEST_AGENT, "" },
	{ NAME("agent-req"), SMX_REQUEST_AGENT, "" },
	{ NAME("x11-req"), SMX_REQUEST_X11, "bssu" },
};

static const struct shape *find(const struct shape *table, size_t n, struct smx_view name)
{
	for (size_t i = 0; i < n; i++)
		if (smx_view_eq_view(name, table[i].name))
			return &table[i];
	return NULL;
}

/* --- fields --- */

static int wrong(struct smx_fields *f, const char *why)
{
	f->why = why;
	return SMX_EFORMAT;
}

/*
 * RFC 4254 section 8: opcodes 1 to 159 have an argument, 0 ends the list. Of a list without an end
 * OpenSSH makes the best, but Dropbear reads on, and dies; empty is fine with both.
 */
static int read_modes(struct smx_view modes, struct smx_fields *f)
{
	struct smx_rd rd = smx_rd_view(modes);
	uint32_t argument;
	uint8_t op;

	while (rd.left) {
		(void)smx_rd_u8(&rd, &op);
		if (op == TTY_OP_END || op >= TTY_OP_UNDEFINED)
			return 0;
		if (smx_rd_u32(&rd, &argument) != 0)
			return wrong(f, "its terminal modes are cut short");
	}
	return modes.len ? wrong(f, "its terminal modes have no end") : 0;
}

static size_t max_len(char type)
{
	switch (type) {
	case 'n':
		return SMX_REQUEST_NAME_MAX;
	case 'w':
		return SMX_REQUEST_WORD_MAX;
	case 'h':
		return SMX_REQUEST_HOST_MAX;
	default:
		return SIZE_MAX;
	}
}

static int read_text(char type, struct smx_view text, struct smx_fields *f)
{
	if (type == 'm')
		return read_modes(text, f);
	/* One at the end is taken by OpenSSH: there are clients that send their terminator. */
	if (text.len && memchr(text.p, '\0', text.len - 1))
		return wrong(f, "it has a NUL byte in a string");
	if (text.len > max_len(type)) {
		f->why = "a name in it is too long";
		return SMX_ETOOBIG;
	}
	return 0;
}

/* Malformed wins over too long: what is refused for its length was read to the end. */
static int read_fields(const char *types, struct smx_view specific, struct smx_fields *f)
{
	static const char is_short[] = "it is too short";
	struct smx_rd rd = smx_rd_view(specific);
	size_t n_strings = 0, n_numbers = 0;
	const char *too_long = NULL;
	uint8_t byte;
	int r;

	for (; *types; types++) {
		struct smx_view *text = &f->s[n_strings];

		if (*types == '*')
			return 0;
		if (*types == 'u') {
			if (smx_rd_u32(&rd, &f->n[n_numbers++]) != 0)
				return wrong(f, is_short);
		} else if (*types == 'b') {
			if (smx_rd_u8(&rd, &byte) != 0)
				return wrong(f, is_short);
		} else {
			if (smx_rd_string(&rd, text) != 0)
				return wrong(f, is_short);
			if ((r = read_text(*types, *text, f)) == SMX_EFORMAT)
				return r;
			if (r == SMX_ETOOBIG)
				too_long = f->why;
			if (text->len > f->longest)
				f->longest = text->len;
			n_strings++;
		}
	}
	if (smx_rd_end(&rd) != 0)
		return wrong(f, "it has bytes after its end");
	f->why = too_long;
	return too_long ? SMX_ETOOBIG : 0;
}

static int read_shape(const struct shape *shape, struct smx_view specific, struct smx_fields *ret)
{
	struct smx_fields f = { .why = NULL };
	int r = read_fields(shape ? shape->fields : "*", specific, &f);

	if (r != 0)
		ret->why = f.why;
	else
		*ret = f;
	return r;
}

int smx_open_read(struct smx_view name, struct smx_view specific, enum smx_chan_kind *ret_kind,
	struct smx_fields *ret)
{
	const struct shape *shape = find(opens, SMX_ARRAY_LEN(opens), name);

	*ret_kind = shape ? (enum smx_chan_kind)shape->kind : SMX_CHAN_KIND_UNKNOWN;
	return read_shape(shape, specific, ret);
}

int smx_global_read(struct smx_view name, struct smx_view specific, enum smx_global_kind *ret_kind,
	struct smx_fields *ret)
{
	const struct shape *shape = find(globals, SMX_ARRAY_LEN(globals), name);

	*ret_kind = shape ? (enum smx_global_kind)shape->kind : SMX_GLOBAL_OTHER;
	return read_shape(shape, specific, ret);
}

int smx_forwarded_read(struct smx_view name, struct smx_view specific,
	enum smx_forwarded_kind *ret_kind, struct smx_fields *ret)
{
	const struct shape *shape = find(forwarded, SMX_ARRAY_LEN(forwarded), name);

	*ret_kind = shape ? (enum smx_forwarded_kind)shape->kind : SMX_FORWARDED_OTHER;
	return read_shape(shape, specific, ret);
}

/* --- requests --- */

/* No NUL at all: a server that ignores one at the end would read a kind that we did not check. */
static int read_name(struct smx_view name, struct smx_fields *f)
{
	if (name.len && memchr(name.p, '\0', name.len))
		return wrong(f, "it has a NUL byte in its name");
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~')
			name.len = 0;
	if (name.len == 0 || name.len > SMX_REQUEST_NAME_MAX) {
		f->why = "its name is none of SSH";
		return SMX_EUNSUPPORTED;
	}
	return 0;
}

/* Whosever they are: an agent is lent out in one way only (L6, B4). */
static int is_agents(struct smx_view name)
{
	static const char prefix[] = "auth-agent-req";

	return name.len >= sizeof(prefix) - 1 && memcmp(name.p, prefix, sizeof(prefix) - 1) == 0;
}

int smx_request_read(struct smx_view name, struct smx_view specific,
	enum smx_request_kind *ret_kind, struct smx_fields *ret)
{
	const struct shape *shape = find(requests, SMX_ARRAY_LEN(requests), name);
	struct smx_fields f = { .why = NULL };
	int r = 0;

	if (shape) {
		*ret_kind = (enum smx_request_kind)shape->kind;
		r = read_fields(shape->fields, specific, &f);
	} else {
		*ret_kind = is_agents(name) ? SMX_REQUEST_AGENT : SMX_REQUEST_UNKNOWN;
		r = read_name(name, &f);
	}
	if (r != 0)
		ret->why = f.why;
	else
		*ret = f;
	return r;
}

static enum smx_verdict verdict_of(int r)
{
	if (r == 0)
		return SMX_VERDICT_PASS;
	return r == SMX_EFORMAT ? SMX_VERDICT_END : SMX_VERDICT_REFUSE;
}

static enum smx_verdict because(struct smx_fields *f, enum smx_verdict v, const char *why)
{
	f->why = why;
	return v;
}

enum smx_verdict smx_request_of_client(const struct smx_request_order *order, struct smx_view name,
	struct smx_view specific, enum smx_request_kind *ret_kind, struct smx_fields *ret)
{
	enum smx_verdict v = verdict_of(smx_request_read(name, specific, ret_kind, ret));

	if (v != SMX_VERDICT_PASS)
		return v;
	switch (*ret_kind) {
	case SMX_REQUEST_AGENT:
		/* B4: this one alone, which servers know; whether it may pass is a policy's to say.
		 */
		if (smx_view_eq(name, "auth-agent-req@openssh.com"))
			return v;
		return because(ret, SMX_VERDICT_REFUSE, "no server knows this way to ask for it");
	case SMX_REQUEST_X11:
		return because(ret, SMX_VERDICT_REFUSE, "nothing is forwarded back to clients");
	case SMX_REQUEST_KEEPALIVE:
		/* Ours to answer: a stopped remote is no concern of the client's. */
		return because(ret, SMX_VERDICT_REFUSE, "it is answered here");
	case SMX_REQUEST_PTY:
		/* Before a command servers end the connection over it, afterwards they refuse it.
		 */
		if (order->has_pty)
			return because(ret,
				order->has_command || order->n_due ? SMX_VERDICT_REFUSE
								   : SMX_VERDICT_END,
				"the channel has a terminal");
		return v;
	case SMX_REQUEST_SHELL:
	case SMX_REQUEST_EXEC:
	case SMX_REQUEST_SUBSYSTEM:
		if (order->has_command)
			return because(ret, SMX_VERDICT_REFUSE, "the channel has a command");
		return v;
	default:
		return v;
	}
}

enum smx_verdict smx_request_of_server(struct smx_view name, struct smx_view specific,
	enum smx_request_kind *ret_kind, struct smx_fields *ret)
{
	enum smx_verdict v = verdict_of(smx_request_read(name, specific, ret_kind, ret));

	if (v == SMX_VERDICT_END && *ret_kind != SMX_REQUEST_UNKNOWN &&
		*ret_kind != SMX_REQUEST_EXIT_STATUS && *ret_kind != SMX_REQUEST_EOW)
		return SMX_VERDICT_REFUSE;
	/* sshd's ClientAlive asks on any open channel; one stopped client must not fail it. */
	if (v == SMX_VERDICT_PASS && *ret_kind == SMX_REQUEST_KEEPALIVE)
		return because(ret, SMX_VERDICT_REFUSE, "it is answered here");
	return v;
}

int smx_request_is_command(enum smx_request_kind kind)
{
	return kind == SMX_REQUEST_SHELL || kind == SMX_REQUEST_EXEC ||
	       kind == SMX_REQUEST_SUBSYSTEM;
}

int smx_request_is_urgent(enum smx_request_kind kind)
{
	return kind == SMX_REQUEST_SIGNAL || kind == SMX_REQUEST_WINDOW_CHANGE ||
	       kind == SMX_REQUEST_BREAK;
}

void smx_request_passed(
	struct smx_request_order *order, enum smx_request_kind kind, int wants_answer)
{
	if (kind == SMX_REQUEST_PTY)
		order->has_pty = 1;
	if (!smx_request_is_command(kind))
		return;
	if (wants_answer)
		order->n_due++;
	else
		order->has_command = 1;
}

void smx_request_answered(struct smx_request_order *order, enum smx_request_kind kind, int success)
{
	if (kind == SMX_REQUEST_PTY && !success)
		order->has_pty = 0;
	if (!smx_request_is_command(kind) || order->n_due == 0)
		return;
	order->n_due--;
	if (success)
		order->has_command = 1;
}
