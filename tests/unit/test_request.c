/* SPDX-License-Identifier: MIT */
/*
 * Channel opens and requests read whole (U1): every message as it is, cut short at every byte, and
 * with a byte after its end; what passes, in which order, and whose names are too long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/request.h"

#define VIEW(text) smx_view_of(text, sizeof(text) - 1)

/* A message of at most 2 KiB, put together field by field. */
struct msg {
	uint8_t bytes[2048];
	size_t len;
};

static void put(struct msg *m, const void *p, size_t n)
{
	assert_true(m->len + n <= sizeof(m->bytes));
	memcpy(m->bytes + m->len, p, n);
	m->len += n;
}

static void put_u32(struct msg *m, uint32_t n)
{
	uint8_t b[4];

	smx_set_u32(b, n);
	put(m, b, 4);
}

static void put_text(struct msg *m, const char *text, size_t len)
{
	put_u32(m, (uint32_t)len);
	put(m, text, len);
}

#define TEXT(m, text) put_text(m, text, sizeof(text) - 1)

static void sizes(struct msg *m)
{
	for (uint32_t i = 0; i < 4; i++)
		put_u32(m, 80 + i);
}

/* In memory of exactly its size: a byte read beyond it is seen. */
static int read_request(const char *name, size_t name_len, const uint8_t *p, size_t len,
	enum smx_request_kind *ret_kind, struct smx_fields *ret)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, p, len);
	r = smx_request_read(
		smx_view_of(name, name_len), (struct smx_view){ copy, len }, ret_kind, ret);
	free(copy);
	return r;
}

static int read_open(const char *name, const uint8_t *p, size_t len, enum smx_chan_kind *ret_kind,
	struct smx_fields *ret)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, p, len);
	r = smx_open_read(
		smx_view_of(name, strlen(name)), (struct smx_view){ copy, len }, ret_kind, ret);
	free(copy);
	return r;
}

static const char *const names[] = { "pty-req", "env", "shell", "exec", "subsystem",
	"window-change", "signal", "break", "xon-xoff", "exit-status", "exit-signal",
	"eow@openssh.com", "auth-agent-req@openssh.com", "auth-agent-req", "agent-req", "x11-req" };

static enum smx_request_kind sample(const char *name, struct msg *m)
{
	m->len = 0;
	if (strcmp(name, "pty-req") == 0) {
		TEXT(m, "xterm-256color");
		sizes(m);
		TEXT(m, "\x35\0\0\0\1\x80\0\0\x25\x80\0");
		return SMX_REQUEST_PTY;
	}
	if (strcmp(name, "env") == 0) {
		TEXT(m, "LANG");
		TEXT(m, "C.UTF-8");
		return SMX_REQUEST_ENV;
	}
	if (strcmp(name, "shell") == 0)
		return SMX_REQUEST_SHELL;
	if (strcmp(name, "exec") == 0 || strcmp(name, "subsystem") == 0) {
		TEXT(m, "sftp");
		return *name == 'e' ? SMX_REQUEST_EXEC : SMX_REQUEST_SUBSYSTEM;
	}
	if (strcmp(name, "window-change") == 0) {
		sizes(m);
		return SMX_REQUEST_WINDOW_CHANGE;
	}
	if (strcmp(name, "signal") == 0) {
		TEXT(m, "TERM");
		return SMX_REQUEST_SIGNAL;
	}
	if (strcmp(name, "break") == 0 || strcmp(name, "exit-status") == 0) {
		put_u32(m, 500);
		return *name == 'b' ? SMX_REQUEST_BREAK : SMX_REQUEST_EXIT_STATUS;
	}
	if (strcmp(name, "xon-xoff") == 0) {
		put(m, "\1", 1);
		return SMX_REQUEST_XON_XOFF;
	}
	if (strcmp(name, "exit-signal") == 0) {
		TEXT(m, "SEGV");
		put(m, "\1", 1);
		TEXT(m, "it fell over");
		TEXT(m, "");
		return SMX_REQUEST_EXIT_SIGNAL;
	}
	if (strcmp(name, "eow@openssh.com") == 0)
		return SMX_REQUEST_EOW;
	if (strcmp(name, "x11-req") == 0) {
		put(m, "\0", 1);
		TEXT(m, "MIT-MAGIC-COOKIE-1");
		TEXT(m, "0123456789abcdef");
		put_u32(m, 0);
		return SMX_REQUEST_X11;
	}
	return SMX_REQUEST_AGENT;
}

static void U1_requests_exactly(void **state)
{
	enum smx_request_kind kind;
	struct smx_fields f;
	struct msg m;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		size_t len = strlen(names[i]);
		enum smx_request_kind want = sample(names[i], &m);

		f.why = "not touched";
		assert_int_equal(read_request(names[i], len, m.bytes, m.len, &kind, &f), 0);
		assert_int_equal(kind, want);
		assert_null(f.why);
		for (size_t n = 0; n < m.len; n++) {
			f.n[0] = 77;
			assert_int_equal(
				read_request(names[i], len, m.bytes, n, &kind, &f), SMX_EFORMAT);
			assert_int_equal(kind, want);
			assert_non_null(f.why);
			assert_int_equal(f.n[0], 77);
		}
		put(&m, "", 1);
		assert_int_equal(
			read_request(names[i], len, m.bytes, m.len, &kind, &f), SMX_EFORMAT);
		assert_int_equal(kind, want);
	}
}

static void U1_fields(void **state)
{
	enum smx_request_kind kind;
	struct smx_fields f;
	struct msg m;
	int r;

	(void)state;
	sample("pty-req", &m);
	r = smx_request_read(VIEW("pty-req"), (struct smx_view){ m.bytes, m.len }, &kind, &f);
	assert_int_equal(r, 0);
	assert_true(smx_view_eq(f.s[0], "xterm-256color"));
	assert_int_equal(f.s[1].len, 11);
	assert_int_equal(f.n[0], 80);
	assert_int_equal(f.n[3], 83);
	assert_int_equal(f.longest, 14);
	sample("exit-signal", &m);
	r = smx_request_read(VIEW("exit-signal"), (struct smx_view){ m.bytes, m.len }, &kind, &f);
	assert_int_equal(r, 0);
	assert_true(smx_view_eq(f.s[0], "SEGV"));
	assert_true(smx_view_eq(f.s[1], "it fell over"));
	assert_int_equal(f.s[2].len, 0);
}

/* At each byte of each string: only at its very end does OpenSSH take one. */
static void U1_nul_bytes(void **state)
{
	static const char *const texts[] = { "pty-req", "env", "exec", "subsystem", "signal",
		"exit-signal", "x11-req" };
	enum smx_request_kind kind;
	struct smx_fields f;
	struct msg m;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(texts); i++) {
		size_t len = strlen(texts[i]), n_texts = 0, n_nul = 0;

		sample(texts[i], &m);
		for (size_t at = 0; at < m.len; at++) {
			uint8_t was = m.bytes[at];
			int is_last = at + 1 == m.len || m.bytes[at + 1] < ' ';
			int is_text = was > ' ' && was < 0x7f && at > 3 &&
				      !(strcmp(texts[i], "pty-req") == 0 && at > 17);

			if (!is_text)
				continue;
			n_texts++;
			m.bytes[at] = '\0';
			if (read_request(texts[i], len, m.bytes, m.len, &kind, &f) == SMX_EFORMAT) {
				assert_string_equal(f.why, "it has a NUL byte in a string");
				n_nul++;
			} else {
				assert_true(is_last);
			}
			m.bytes[at] = was;
		}
		assert_true(n_nul > 2 && n_nul < n_texts);
	}
}

static void U1_terminal_modes(void **state)
{
	static const struct {
		const char *modes;
		size_t len;
		const char *why;
	} cases[] = {
		{ "", 0, NULL },
		{ "\0", 1, NULL },
		{ "\0abc", 4, NULL },
		{ "\1\0\0\0\3\0", 6, NULL },
		{ "\x9f\0\0\0\3\0", 6, NULL },
		{ "\xa0", 1, NULL },
		{ "\1\0\0\0\3\xff", 6, NULL },
		{ "\1\0\0\0\3", 5, "its terminal modes have no end" },
		{ "\1\0\0\0", 4, "its terminal modes are cut short" },
		{ "\1", 1, "its terminal modes are cut short" },
		{ "\x9f\0\0", 3, "its terminal modes are cut short" },
	};
	enum smx_request_kind kind;
	struct smx_fields f;
	struct msg m;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		m.len = 0;
		TEXT(&m, "vt100");
		sizes(&m);
		put_text(&m, cases[i].modes, cases[i].len);
		assert_int_equal(read_request("pty-req", 7, m.bytes, m.len, &kind, &f),
			cases[i].why ? SMX_EFORMAT : 0);
		if (cases[i].why)
			assert_string_equal(f.why, cases[i].why);
	}
}

static void U1_names(void **state)
{
	static char long_name[SMX_REQUEST_NAME_MAX + 1];
	static const struct {
		const char *name;
		size_t len;
		int r;
		enum smx_request_kind kind;
	} cases[] = {
		{ "made-up@example.com", 19, 0, SMX_REQUEST_UNKNOWN },
		{ "shel", 4, 0, SMX_REQUEST_UNKNOWN },
		{ "shells", 6, 0, SMX_REQUEST_UNKNOWN },
		{ "Shell", 5, 0, SMX_REQUEST_UNKNOWN },
		{ "keepalive@openssh.com", 21, 0, SMX_REQUEST_KEEPALIVE },
		{ "auth-agent-req@example.com", 26, 0, SMX_REQUEST_AGENT },
		{ long_name, SMX_REQUEST_NAME_MAX, 0, SMX_REQUEST_UNKNOWN },
		{ long_name, SMX_REQUEST_NAME_MAX + 1, SMX_EUNSUPPORTED, SMX_REQUEST_UNKNOWN },
		{ "", 0, SMX_EUNSUPPORTED, SMX_REQUEST_UNKNOWN },
		{ "a b", 3, SMX_EUNSUPPORTED, SMX_REQUEST_UNKNOWN },
		{ "a\x1b[2J", 5, SMX_EUNSUPPORTED, SMX_REQUEST_UNKNOWN },
		{ "a\x7f", 2, SMX_EUNSUPPORTED, SMX_REQUEST_UNKNOWN },
		{ "a\xc3\xa9", 3, SMX_EUNSUPPORTED, SMX_REQUEST_UNKNOWN },
		{ "env\0", 4, SMX_EFORMAT, SMX_REQUEST_UNKNOWN },
		{ "\0", 1, SMX_EFORMAT, SMX_REQUEST_UNKNOWN },
		{ "a\0b", 3, SMX_EFORMAT, SMX_REQUEST_UNKNOWN },
	};
	enum smx_request_kind kind;
	struct smx_fields f;

	(void)state;
	memset(long_name, 'k', sizeof(long_name));
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		/* What follows is anything: nobody reads it. */
		assert_int_equal(read_request(cases[i].name, cases[i].len,
					 (const uint8_t *)"\0\1\2", 3, &kind, &f),
			cases[i].r);
		assert_int_equal(kind, cases[i].kind);
	}
}

static void U1_long_names(void **state)
{
	static const struct {
		const char *kind;
		size_t max;
	} cases[] = {
		{ "subsystem", SMX_REQUEST_WORD_MAX },
		{ "signal", SMX_REQUEST_NAME_MAX },
		{ "exec", 1500 },
	};
	enum smx_request_kind kind;
	struct smx_fields f;
	char text[1500];
	struct msg m;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].kind), max = cases[i].max;

		m.len = 0;
		put_text(&m, text, max);
		assert_int_equal(read_request(cases[i].kind, len, m.bytes, m.len, &kind, &f), 0);
		assert_int_equal(f.longest, max);
		if (max == sizeof(text))
			continue; /* a command has the bounds of its receiver only */
		m.len = 0;
		put_text(&m, text, max + 1);
		assert_int_equal(
			read_request(cases[i].kind, len, m.bytes, m.len, &kind, &f), SMX_ETOOBIG);
		/* Malformed counts for more. */
		put(&m, "", 1);
		assert_int_equal(
			read_request(cases[i].kind, len, m.bytes, m.len, &kind, &f), SMX_EFORMAT);
	}
}

static void U1_opens_exactly(void **state)
{
	static const struct {
		const char *name;
		enum smx_chan_kind kind;
	} cases[] = {
		{ "session", SMX_CHAN_KIND_SESSION },
		{ "direct-tcpip", SMX_CHAN_KIND_TCPIP },
		{ "direct-streamlocal@openssh.com", SMX_CHAN_KIND_STREAMLOCAL },
	};
	enum smx_chan_kind kind;
	struct smx_fields f;
	struct msg m;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		m.len = 0;
		if (i == 1) {
			TEXT(&m, "127.0.0.1");
			put_u32(&m, 80);
			TEXT(&m, "::1");
			put_u32(&m, 12345);
		} else if (i == 2) {
			TEXT(&m, "/run/socket");
			TEXT(&m, "");
			put_u32(&m, 0);
		}
		assert_int_equal(read_open(cases[i].name, m.bytes, m.len, &kind, &f), 0);
		assert_int_equal(kind, cases[i].kind);
		assert_int_equal(f.n[0], i == 1 ? 80 : 0);
		for (size_t n = 0; n < m.len; n++) {
			assert_int_equal(
				read_open(cases[i].name, m.bytes, n, &kind, &f), SMX_EFORMAT);
			assert_int_equal(kind, cases[i].kind);
		}
		for (size_t at = 4; at + 2 < m.len; at++) {
			uint8_t was = m.bytes[at];

			if (was < '.' || m.bytes[at + 1] < '.')
				continue;
			m.bytes[at] = '\0';
			assert_int_equal(
				read_open(cases[i].name, m.bytes, m.len, &kind, &f), SMX_EFORMAT);
			m.bytes[at] = was;
		}
		put(&m, "", 1);
		assert_int_equal(read_open(cases[i].name, m.bytes, m.len, &kind, &f), SMX_EFORMAT);
	}
}

static void L6_opens_that_are_not_relayed(void **state)
{
	static const char *const foreign[] = { "tun@openssh.com", "x11", "forwarded-tcpip",
		"forwarded-streamlocal@openssh.com", "auth-agent@openssh.com", "agent-connect" };
	struct smx_view nul = VIEW("session\0"), none = { NULL, 0 };
	enum smx_chan_kind kind;
	struct smx_fields f;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(foreign); i++) {
		assert_int_equal(read_open(foreign[i], (const uint8_t *)"x", 1, &kind, &f), 0);
		assert_int_equal(kind, SMX_CHAN_KIND_FOREIGN);
	}
	assert_int_equal(smx_open_read(nul, none, &kind, &f), 0);
	assert_int_equal(kind, SMX_CHAN_KIND_UNKNOWN);
}

/* B4: exactly, as an open is. */
static void u1_b4_remote_forwards_are_read_whole(void **state)
{
	const struct {
		const char *name;
		struct smx_view data;
		int kind, result;
	} cases[] = {
		{ "tcpip-forward", VIEW("\0\0\0\1h\0\0\0\x16"), SMX_GLOBAL_FORWARD, 0 },
		{ "tcpip-forward", VIEW("\0\0\0\0\0\0\0\x16"), SMX_GLOBAL_FORWARD, 0 },
		{ "tcpip-forward", VIEW("\0\0\0\1h\0\0\0"), SMX_GLOBAL_FORWARD, SMX_EFORMAT },
		{ "tcpip-forward", VIEW("\0\0\0\1h\0\0\0\x16x"), SMX_GLOBAL_FORWARD, SMX_EFORMAT },
		{ "tcpip-forward", VIEW("\0\0\0\3h\0h\0\0\0\x16"), SMX_GLOBAL_FORWARD,
			SMX_EFORMAT },
		{ "cancel-tcpip-forward", VIEW("\0\0\0\1h\0\0\0\x16"), SMX_GLOBAL_CANCEL, 0 },
		{ "streamlocal-forward@openssh.com", VIEW("\0\0\0\2/x"), SMX_GLOBAL_FORWARD_PATH,
			0 },
		{ "streamlocal-forward@openssh.com", VIEW("\0\0\0\2/x\0"), SMX_GLOBAL_FORWARD_PATH,
			SMX_EFORMAT },
		{ "cancel-streamlocal-forward@openssh.com", VIEW("\0\0\0\2/x"),
			SMX_GLOBAL_CANCEL_PATH, 0 },
		{ "keepalive@openssh.com", VIEW("any"), SMX_GLOBAL_OTHER, 0 },
		{ "tcpip-forwards", VIEW(""), SMX_GLOBAL_OTHER, 0 },
	};
	struct smx_view opened = VIEW("\0\0\0\1h\0\0\0\x16\0\0\0\1o\0\0\0\5"),
			path = VIEW("\0\0\0\2/x\0\0\0\0"), name;
	enum smx_forwarded_kind forwarded;
	enum smx_global_kind kind;
	struct smx_fields f;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		name = smx_view_of(cases[i].name, strlen(cases[i].name));
		memset(&f, 0, sizeof(f));
		assert_int_equal(smx_global_read(name, cases[i].data, &kind, &f), cases[i].result);
		assert_int_equal(kind, cases[i].kind);
		assert_true((f.why != NULL) == (cases[i].result != 0));
	}
	name = smx_view_of("forwarded-tcpip", 15);
	assert_int_equal(smx_forwarded_read(name, opened, &forwarded, &f), 0);
	assert_int_equal(forwarded, SMX_FORWARDED_TCPIP);
	assert_true(smx_view_eq(f.s[0], "h") && f.n[0] == 22);
	assert_true(smx_view_eq(f.s[1], "o") && f.n[1] == 5);
	assert_int_equal(smx_forwarded_read(name, path, &forwarded, &f), SMX_EFORMAT);
	name = smx_view_of("forwarded-streamlocal@openssh.com", 33);
	assert_int_equal(smx_forwarded_read(name, path, &forwarded, &f), 0);
	assert_int_equal(forwarded, SMX_FORWARDED_STREAMLOCAL);
	assert_true(smx_view_eq(f.s[0], "/x"));
	name = smx_view_of("direct-tcpip", 12);
	assert_int_equal(smx_forwarded_read(name, opened, &forwarded, &f), 0);
	assert_int_equal(forwarded, SMX_FORWARDED_OTHER);
}

static enum smx_verdict ask(struct smx_request_order *order, const char *name)
{
	enum smx_request_kind kind;
	enum smx_verdict v;
	struct smx_fields f;
	struct msg m;

	sample(name, &m);
	v = smx_request_of_client(order, smx_view_of(name, strlen(name)),
		(struct smx_view){ m.bytes, m.len }, &kind, &f);
	if (v == SMX_VERDICT_PASS)
		smx_request_passed(order, kind, 1);
	else
		assert_non_null(f.why);
	return v;
}

static void U1_order_of_a_clients_requests(void **state)
{
	static const char *const commands[] = { "shell", "exec", "subsystem" };
	struct smx_request_order order = { 0 };

	(void)state;
	assert_int_equal(ask(&order, "env"), SMX_VERDICT_PASS);
	assert_int_equal(ask(&order, "pty-req"), SMX_VERDICT_PASS);
	assert_int_equal(ask(&order, "pty-req"), SMX_VERDICT_END);
	/* One that was refused is none. */
	smx_request_answered(&order, SMX_REQUEST_PTY, 0);
	assert_int_equal(ask(&order, "pty-req"), SMX_VERDICT_PASS);
	for (size_t i = 0; i < SMX_ARRAY_LEN(commands); i++) {
		assert_int_equal(ask(&order, commands[i]), SMX_VERDICT_PASS);
		/* Sent before the answer to the first: whether it counts is the server's word. */
		assert_int_equal(ask(&order, "exec"), SMX_VERDICT_PASS);
		assert_int_equal(ask(&order, "pty-req"), SMX_VERDICT_REFUSE);
		smx_request_answered(&order, SMX_REQUEST_EXEC, 0);
		smx_request_answered(&order, SMX_REQUEST_EXEC, 1);
		for (size_t j = 0; j < SMX_ARRAY_LEN(commands); j++)
			assert_int_equal(ask(&order, commands[j]), SMX_VERDICT_REFUSE);
		/* After a command servers refuse a terminal, and so do we. */
		assert_int_equal(ask(&order, "pty-req"), SMX_VERDICT_REFUSE);
		assert_int_equal(ask(&order, "window-change"), SMX_VERDICT_PASS);
		assert_int_equal(ask(&order, "signal"), SMX_VERDICT_PASS);
		smx_request_answered(&order, SMX_REQUEST_ENV, 0);
		assert_int_equal(ask(&order, "exec"), SMX_VERDICT_REFUSE);
		/* Answered though nothing was asked. */
		smx_request_answered(&order, SMX_REQUEST_EXEC, 0);
		assert_int_equal(ask(&order, "exec"), SMX_VERDICT_REFUSE);
		order = (struct smx_request_order){ .has_pty = 1 };
	}
	smx_request_passed(&order, SMX_REQUEST_SHELL, 0); /* no answer wanted: taken, maybe */
	assert_int_equal(ask(&order, "exec"), SMX_VERDICT_REFUSE);
	order = (struct smx_request_order){ 0 };
	assert_int_equal(ask(&order, "exec"), SMX_VERDICT_PASS);
	assert_int_equal(ask(&order, "pty-req"), SMX_VERDICT_PASS); /* the server's answer */
}

static void L6_requests_of_a_client_that_never_pass(void **state)
{
	static const char *const refused[] = { "auth-agent-req", "agent-req",
		"auth-agent-req@example.com", "x11-req", "keepalive@openssh.com" };
	struct smx_request_order order = { 0 };

	(void)state;
	/* B4: for who asks the policy. */
	assert_int_equal(ask(&order, "auth-agent-req@openssh.com"), SMX_VERDICT_PASS);
	for (size_t i = 0; i < SMX_ARRAY_LEN(refused); i++)
		assert_int_equal(ask(&order, refused[i]), SMX_VERDICT_REFUSE);
}

static void U1_what_a_server_asks(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		struct smx_view data;
		enum smx_verdict verdict;
	} cases[] = {
		{ "exit-status", 11, { (const uint8_t *)"\0\0\0\1", 4 }, SMX_VERDICT_PASS },
		{ "exit-status", 11, { (const uint8_t *)"\0\0\0", 3 }, SMX_VERDICT_END },
		{ "exit-status", 11, { (const uint8_t *)"\0\0\0\1x", 5 }, SMX_VERDICT_END },
		{ "eow@openssh.com", 15, { NULL, 0 }, SMX_VERDICT_PASS },
		{ "eow@openssh.com", 15, { (const uint8_t *)"x", 1 }, SMX_VERDICT_END },
		/* OpenSSH's client does not read it: a server of old sends a number. */
		{ "exit-signal", 11, { (const uint8_t *)"\0\0\0\11", 4 }, SMX_VERDICT_REFUSE },
		{ "xon-xoff", 8, { NULL, 0 }, SMX_VERDICT_REFUSE },
		{ "keepalive@openssh.com", 21, { (const uint8_t *)"x", 1 }, SMX_VERDICT_REFUSE },
		{ "made-up", 7, { (const uint8_t *)"x", 1 }, SMX_VERDICT_PASS },
		{ "made\xffup", 7, { (const uint8_t *)"x", 1 }, SMX_VERDICT_REFUSE },
		{ "exit-status\0", 12, { (const uint8_t *)"\0\0\0\1", 4 }, SMX_VERDICT_END },
	};
	enum smx_request_kind kind;
	struct smx_fields f;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		f.why = NULL;
		assert_int_equal(smx_request_of_server(smx_view_of(cases[i].name, cases[i].len),
					 cases[i].data, &kind, &f),
			cases[i].verdict);
		assert_int_equal(f.why == NULL, cases[i].verdict == SMX_VERDICT_PASS);
	}
}

static void L9_what_overtakes(void **state)
{
	(void)state;
	for (int kind = SMX_REQUEST_UNKNOWN; kind <= SMX_REQUEST_X11; kind++) {
		assert_int_equal(smx_request_is_urgent((enum smx_request_kind)kind),
			kind == SMX_REQUEST_SIGNAL || kind == SMX_REQUEST_BREAK ||
				kind == SMX_REQUEST_WINDOW_CHANGE);
		assert_int_equal(smx_request_is_command((enum smx_request_kind)kind),
			kind == SMX_REQUEST_SHELL || kind == SMX_REQUEST_EXEC ||
				kind == SMX_REQUEST_SUBSYSTEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(U1_requests_exactly),
		cmocka_unit_test(U1_fields),
		cmocka_unit_test(U1_nul_bytes),
		cmocka_unit_test(U1_terminal_modes),
		cmocka_unit_test(U1_names),
		cmocka_unit_test(U1_long_names),
		cmocka_unit_test(U1_opens_exactly),
		cmocka_unit_test(L6_opens_that_are_not_relayed),
		cmocka_unit_test(u1_b4_remote_forwards_are_read_whole),
		cmocka_unit_test(U1_order_of_a_clients_requests),
		cmocka_unit_test(L6_requests_of_a_client_that_never_pass),
		cmocka_unit_test(U1_what_a_server_asks),
		cmocka_unit_test(L9_what_overtakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
