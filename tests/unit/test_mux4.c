/* SPDX-License-Identifier: MIT */
/* W2: PROTOCOL.mux version 4, as a master reads and writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/mux4.h"
#include "util_data.h"

static struct smx_mux4_request req;

/* A message of numbers and strings: "u" and "s" in what. */
static void put(struct smx_buf *b, const char *what, ...)
{
	va_list ap;
	size_t mark;

	assert_int_equal(smx_put_string_begin(b, &mark), 0);
	va_start(ap, what);
	for (; *what; what++)
		assert_int_equal(*what == 'u' ? smx_put_u32(b, va_arg(ap, uint32_t))
					      : smx_put_cstr(b, va_arg(ap, const char *)),
			0);
	va_end(ap);
	smx_put_string_end(b, mark);
}

static int parse(const struct smx_buf *b)
{
	struct smx_view message;
	size_t used;
	int r = smx_mux4_next(smx_buf_as_view(b), &message, &used);

	if (r != 0)
		return r;
	assert_int_equal(used, smx_buf_len(b));
	return smx_mux4_parse(message, &req);
}

static void put_session(struct smx_buf *b)
{
	put(b, "uusuuuuussss", 0x10000002u, 7u, "reserved", 1u, 0u, 2u, 0u, (uint32_t)'~', "xterm",
		"echo hi", "A=b=c", "LC_ALL=");
}

static void test_W2_a_session(void **state)
{
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 1000);
	put_session(&b);
	assert_int_equal(parse(&b), 0);
	assert_int_equal(req.kind, SMX_MUX4_SESSION);
	assert_int_equal(smx_mux4_descriptors(req.kind), 3);
	assert_int_equal(req.id, 7);
	assert_true(req.wants_tty && !req.wants_x11 && req.wants_agent && !req.is_subsystem);
	assert_int_equal(req.escape, '~');
	assert_true(smx_view_eq(req.term, "xterm"));
	assert_true(smx_view_eq(req.command, "echo hi"));
	assert_int_equal(req.n_env, 2);
	assert_true(smx_view_eq(req.env[0], "A=b=c"));
	assert_true(smx_view_eq(req.env[1], "LC_ALL="));
	smx_buf_release(&b);
}

static void test_W2_every_cut_of_a_message_is_one_that_is_not_complete(void **state)
{
	struct smx_view whole, message;
	struct smx_buf b;
	size_t used;

	(void)state;
	smx_buf_init(&b, 1000);
	put_session(&b);
	whole = smx_buf_as_view(&b);
	for (size_t n = 0; n < whole.len; n++)
		assert_int_equal(smx_mux4_next((struct smx_view){ whole.p, n }, &message, &used),
			SMX_EAGAIN);
	/* And one whose length says so is too short to be read, wherever it ends within a field. */
	for (size_t n = 0; n < 60; n++)
		assert_int_not_equal(smx_mux4_parse((struct smx_view){ whole.p + 4, n }, &req), 0);
	smx_buf_release(&b);
}

static void test_W2_lengths_are_judged_before_they_are_awaited(void **state)
{
	struct smx_view message;
	uint8_t head[4];
	size_t used;

	(void)state;
	smx_set_u32(head, SMX_MUX4_MESSAGE_MAX);
	assert_int_equal(smx_mux4_next((struct smx_view){ head, 4 }, &message, &used), SMX_EAGAIN);
	smx_set_u32(head, SMX_MUX4_MESSAGE_MAX + 1);
	assert_int_equal(smx_mux4_next((struct smx_view){ head, 4 }, &message, &used), SMX_ETOOBIG);
}

static void test_W2_what_is_no_message(void **state)
{
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 100 * 1000);
	put(&b, "uuu", 1u, 4u, 1u); /* hello with half an extension */
	assert_int_equal(parse(&b), SMX_ETRUNCATED);
	smx_buf_reset(&b);
	put(&b, "uuu", 0x10000004u, 1u, 1u); /* alive with a tail */
	assert_int_equal(parse(&b), SMX_ETRAILING);
	smx_buf_reset(&b);
	put(&b, "uusuuuuusss", 0x10000002u, 7u, "", 0u, 0u, 0u, 0u, 0u, "", "c", "=value");
	assert_int_equal(parse(&b), SMX_EFORMAT);
	smx_buf_reset(&b);
	put(&b, "uusuuuuusss", 0x10000002u, 7u, "", 0u, 0u, 0u, 0u, 0u, "", "c", "novalue");
	assert_int_equal(parse(&b), SMX_EFORMAT);
	/* A NUL in what becomes a C string for the server. */
	smx_buf_reset(&b);
	put(&b, "uusuuuuuss", 0x10000002u, 7u, "", 0u, 0u, 0u, 0u, 0u, "", "ab");
	b.data[b.len - 1] = '\0';
	assert_int_equal(parse(&b), SMX_EFORMAT);
	smx_buf_release(&b);
}

static void test_W2_more_variables_than_anybody_needs_are_left_out(void **state)
{
	struct smx_buf b;
	size_t mark;

	(void)state;
	smx_buf_init(&b, 100 * 1000);
	assert_int_equal(smx_put_string_begin(&b, &mark), 0);
	assert_int_equal(smx_put_u32(&b, 0x10000002u), 0);
	assert_int_equal(smx_put_u32(&b, 1), 0);
	assert_int_equal(smx_put_cstr(&b, ""), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(smx_put_u32(&b, 0), 0);
	assert_int_equal(smx_put_cstr(&b, ""), 0);
	assert_int_equal(smx_put_cstr(&b, ""), 0);
	for (int i = 0; i < SMX_MUX4_ENV_MAX + 10; i++)
		assert_int_equal(smx_put_cstr(&b, "A=1"), 0);
	smx_put_string_end(&b, mark);
	assert_int_equal(parse(&b), 0);
	assert_int_equal(req.n_env, SMX_MUX4_ENV_MAX);
	smx_buf_release(&b);
}

static void test_W2_other_requests(void **state)
{
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 1000);
	put(&b, "uuss", 1u, 4u, "info", "0");
	assert_int_equal(parse(&b), 0);
	assert_int_equal(req.kind, SMX_MUX4_HELLO);
	assert_int_equal(req.version, 4);
	smx_buf_reset(&b);
	put(&b, "uususu", 0x10000006u, 3u, "x", 8080u, "host", 80u);
	assert_int_not_equal(parse(&b), 0); /* a string where the number is */
	smx_buf_reset(&b);
	put(&b, "uuususu", 0x10000006u, 3u, (uint32_t)SMX_MUX4_REMOTE, "*", 8080u, "host", 80u);
	assert_int_equal(parse(&b), 0);
	assert_int_equal(req.kind, SMX_MUX4_OPEN_FORWARD);
	assert_int_equal(req.forward, SMX_MUX4_REMOTE);
	assert_true(smx_view_eq(req.listen_host, "*") && smx_view_eq(req.host, "host"));
	assert_int_equal(req.listen_port, 8080);
	assert_int_equal(req.port, 80);
	smx_buf_reset(&b);
	put(&b, "uussu", 0x10000008u, 4u, "", "/run/x", SMX_MUX4_PORT_IS_PATH);
	assert_int_equal(parse(&b), 0);
	assert_int_equal(req.kind, SMX_MUX4_STDIO_FORWARD);
	assert_int_equal(smx_mux4_descriptors(req.kind), 2);
	assert_int_equal(req.port, SMX_MUX4_PORT_IS_PATH);
	/* Of a newer client: its number is known, its body is anything. */
	smx_buf_reset(&b);
	put(&b, "uuu", 0x2000dea1u, 9u, 77u);
	assert_int_equal(parse(&b), 0);
	assert_int_equal(req.kind, SMX_MUX4_UNKNOWN);
	assert_int_equal(req.id, 9);
	assert_int_equal(smx_mux4_descriptors(req.kind), 0);
	smx_buf_release(&b);
}

static void test_W2_info(void **state)
{
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 1000);
	put(&b, "uus", 0x20000001u, 9u, "channels");
	assert_int_equal(parse(&b), 0);
	assert_int_equal(req.kind, SMX_MUX4_INFO);
	assert_int_equal(req.id, 9);
	assert_true(smx_view_eq(req.about, "channels"));
	smx_buf_release(&b);
}

static void test_W2_replies(void **state)
{
	static const uint8_t expected[] = { 0, 0, 0, 21, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 4, 'i',
		'n', 'f', 'o', 0, 0, 0, 1, '0', /* hello */
		0, 0, 0, 18, 0x90, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 'm', 'e', /* info */
		0, 0, 0, 8, 0x80, 0, 0, 1, 0, 0, 0, 9, /* ok */
		0, 0, 0, 12, 0x80, 0, 0, 5, 0, 0, 0, 9, 0, 0, 1, 0, /* alive */
		0, 0, 0, 12, 0x80, 0, 0, 7, 0, 0, 0, 9, 0, 0, 1, 1, /* remote port */
		0, 0, 0, 8, 0x80, 0, 0, 15, 0, 0, 0, 9, /* proxy */
		0, 0, 0, 12, 0x80, 0, 0, 6, 0, 0, 0, 9, 0, 0, 0, 2, /* opened */
		0, 0, 0, 14, 0x80, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 2, 'n', 'o', /* denied */
		0, 0, 0, 14, 0x80, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 2, 'n', 'o', /* failure */
		0, 0, 0, 12, 0x80, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 5, /* exit */
		0, 0, 0, 8, 0x80, 0, 0, 8, 0, 0, 0, 2 }; /* no terminal */
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 1000);
	assert_int_equal(smx_mux4_put_hello(&b), 0);
	assert_int_equal(smx_mux4_put_info(&b, 9, 1, "me"), 0);
	assert_int_equal(smx_mux4_put_ok(&b, 9), 0);
	assert_int_equal(smx_mux4_put_alive(&b, 9, 256), 0);
	assert_int_equal(smx_mux4_put_remote_port(&b, 9, 257), 0);
	assert_int_equal(smx_mux4_put_proxy(&b, 9), 0);
	assert_int_equal(smx_mux4_put_opened(&b, 9, 2), 0);
	assert_int_equal(smx_mux4_put_denied(&b, 9, "no"), 0);
	assert_int_equal(smx_mux4_put_failure(&b, 9, "no"), 0);
	assert_int_equal(smx_mux4_put_exit(&b, 2, 5), 0);
	assert_int_equal(smx_mux4_put_tty_failure(&b, 2), 0);
	assert_int_equal(smx_buf_len(&b), sizeof(expected));
	assert_memory_equal(smx_buf_view(&b), expected, sizeof(expected));
	smx_buf_release(&b);
}

/* A reply is whole or not there, whatever fails. */
static void test_W2_a_reply_that_can_not_be_put(void **state)
{
	struct smx_buf b;

	(void)state;
	for (long n = 0; n < 3; n++) {
		smx_buf_init(&b, 1000);
		smx_mem_fail_after(n);
		if (smx_mux4_put_failure(&b, 1, "text") != 0)
			assert_int_equal(smx_buf_len(&b), 0);
		smx_mem_fail_after(-1);
		smx_buf_release(&b);
	}
	smx_buf_init(&b, 18); /* the head fits, the text does not */
	assert_int_equal(smx_mux4_put_denied(&b, 1, "text"), SMX_ELIMIT);
	assert_int_equal(smx_buf_len(&b), 0);
	smx_buf_release(&b);
}

/* Types text in pieces of n bytes; what was sent, and the escapes as letters. */
static void type(const char *text, size_t n, char *sent, char *escapes)
{
	enum smx_mux4_escape_state st = SMX_MUX4_LINE_START;
	static const char letters[] = "-.B?o";
	const uint8_t *at = (const uint8_t *)text;
	size_t left = strlen(text), piece, used, len;
	uint8_t out[100], key;

	while (left) {
		piece = left < n ? left : n;
		enum smx_mux4_escape e =
			smx_mux4_escape_take(&st, '~', at, piece, &used, out, &len, &key);

		assert_in_range(used, 1, piece);
		assert_in_range(len, 0, used + 1);
		memcpy(sent, out, len);
		sent += len;
		if (e != SMX_MUX4_ESCAPE_NONE)
			*escapes++ = letters[e];
		at += used;
		left -= used;
	}
	*sent = *escapes = '\0';
}

static void test_W2_escapes(void **state)
{
	static const struct {
		const char *typed, *sent, *escapes;
	} rows[] = {
		{ "~.", "", "." }, { "ls\r~.", "ls\r", "." }, { "ls\n~?x", "ls\nx", "?" },
		{ "a~.", "a~.", "" }, { "~~", "~", "" }, { "~~.", "~.", "" }, { "~x", "~x", "" },
		{ "\r~\r~.", "\r~\r", "." }, { "~B~?~\032~C~.", "", "B?oo." },
		{ "~", "", "" }, /* held back until it is known what it is */
	};
	char sent[100], escapes[100];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++)
		for (size_t n = 1; n <= strlen(rows[i].typed); n++) {
			type(rows[i].typed, n, sent, escapes);
			assert_string_equal(sent, rows[i].sent);
			assert_string_equal(escapes, rows[i].escapes);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_W2_a_session),
		cmocka_unit_test(test_W2_every_cut_of_a_message_is_one_that_is_not_complete),
		cmocka_unit_test(test_W2_lengths_are_judged_before_they_are_awaited),
		cmocka_unit_test(test_W2_what_is_no_message),
		cmocka_unit_test(test_W2_more_variables_than_anybody_needs_are_left_out),
		cmocka_unit_test(test_W2_other_requests),
		cmocka_unit_test(test_W2_info),
		cmocka_unit_test(test_W2_replies),
		cmocka_unit_test(test_W2_a_reply_that_can_not_be_put),
		cmocka_unit_test(test_W2_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
