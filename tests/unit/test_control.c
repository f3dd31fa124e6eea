/* SPDX-License-Identifier: MIT */
/* The control protocol's lines and messages (docs/PROTOCOL.md, S7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/protocol.h"
#include "control/text.h"

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

static void expect_text(struct smx_buf *out, const char *text)
{
	assert_string_equal(smx_buf_cstr(out), text);
	smx_buf_reset(out);
}

/* ---- lines --------------------------------------------------------------------------------------
 */

static void lines_in_any_pieces(void **state)
{
	static const char text[] = "one\n\ntwo\r\nthree\nrest";
	static const char *const lines[] = { "one", "", "two\r", "three" };

	(void)state;
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		struct smx_control_reader rd;
		size_t found = 0, at = 0, used, n;
		struct smx_view line;
		int r;

		smx_control_reader_init(&rd);
		while (at < sizeof(text) - 1) {
			n = sizeof(text) - 1 - at < piece ? sizeof(text) - 1 - at : piece;
			used = 0;
			r = smx_control_reader_feed(
				&rd, (const uint8_t *)text + at, n, &used, &line);
			assert_true(r == 0 || r == 1);
			assert_true(used >= 1 && used <= n);
			at += used;
			if (r == 1) {
				assert_true(smx_view_eq(line, lines[found]));
				found++;
				assert_int_equal(
					text[at - 1], '\n'); /* what follows is untouched */
			}
		}
		assert_int_equal(found, 4);
		assert_int_equal(smx_buf_len(&rd.buf), 4); /* "rest" */
		smx_control_reader_release(&rd);
	}
}

static void s7_line_limit(void **state)
{
	static uint8_t text[SMX_CONTROL_LINE_MAX + 1];
	struct smx_control_reader rd;
	struct smx_view line;
	size_t used = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	/* The longest that fits, its newline included, at once and in two pieces. */
	text[SMX_CONTROL_LINE_MAX - 1] = '\n';
	smx_control_reader_init(&rd);
	assert_int_equal(smx_control_reader_feed(&rd, text, SMX_CONTROL_LINE_MAX, &used, &line), 1);
	assert_int_equal(line.len, SMX_CONTROL_LINE_MAX - 1);
	assert_int_equal(
		smx_control_reader_feed(&rd, text, SMX_CONTROL_LINE_MAX - 1, &used, &line), 0);
	assert_int_equal(used, SMX_CONTROL_LINE_MAX - 1);
	assert_int_equal(
		smx_control_reader_feed(&rd, text + SMX_CONTROL_LINE_MAX - 1, 1, &used, &line), 1);
	assert_int_equal(line.len, SMX_CONTROL_LINE_MAX - 1);
	/* One byte more: as soon as it is certain, not when a newline comes at last. */
	text[SMX_CONTROL_LINE_MAX - 1] = 'x';
	assert_int_equal(smx_control_reader_feed(&rd, text, SMX_CONTROL_LINE_MAX, &used, &line),
		SMX_ETOOBIG);
	text[SMX_CONTROL_LINE_MAX] = '\n';
	assert_int_equal(smx_control_reader_feed(&rd, text, SMX_CONTROL_LINE_MAX + 1, &used, &line),
		SMX_ETOOBIG);
	assert_true(rd.buf.cap <= SMX_CONTROL_LINE_MAX);
	smx_control_reader_release(&rd);
}

static void s7_line_limit_of_what_is_read(void **state)
{
	static uint8_t text[SMX_CONTROL_LINE_MAX + 1];
	json_t *root = NULL;

	(void)state;
	memset(text, ' ', sizeof(text));
	text[0] = '{';
	text[1] = '}';
	assert_int_equal(
		smx_control_json_parse((struct smx_view){ text, SMX_CONTROL_LINE_MAX + 1 }, &root),
		SMX_ETOOBIG);
	assert_null(root);
	assert_int_equal(
		smx_control_json_parse((struct smx_view){ text, SMX_CONTROL_LINE_MAX }, &root), 0);
	json_decref(root);
}

/* ---- HELLO --------------------------------------------------------------------------------------
 */

static void hello_there_and_back(void **state)
{
	struct smx_control_hello h = { .version = 1, .pid = 4711, .program = "0.1.0" }, got;
	struct smx_buf out;
	int version = 0;

	(void)state;
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert_int_equal(smx_control_hello_build(&out, &h), 0);
	assert_string_equal(smx_buf_cstr(&out),
		"{\"ssh_mux\":\"hello\",\"version\":1,\"program\":\"0.1.0\",\"pid\":4711}\n");
	assert_int_equal(
		smx_control_hello_parse(
			smx_view_of((const char *)smx_buf_view(&out), smx_buf_len(&out) - 1), &got),
		0);
	assert_int_equal(got.version, 1);
	assert_int_equal(got.min_version, 1);
	assert_int_equal(got.pid, 4711);
	assert_string_equal(got.program, "0.1.0");
	smx_buf_release(&out);
	/* Newer ones than we: the lower version counts, unless they no longer speak it. */
	assert_int_equal(
		smx_control_hello_parse(
			view("{\"ssh_mux\":\"hello\",\"version\":9,\"new\":{\"x\":[1]}}"), &got),
		0);
	assert_int_equal(got.pid, -1);
	assert_int_equal(smx_control_hello_agree(&got, &version), 0);
	assert_int_equal(version, SMX_CONTROL_VERSION);
	assert_int_equal(
		smx_control_hello_parse(
			view("{\"ssh_mux\":\"hello\",\"version\":9,\"min_version\":2}"), &got),
		0);
	assert_int_equal(smx_control_hello_agree(&got, &version), SMX_EUNSUPPORTED);
}

static void hello_malformed(void **state)
{
	static const char *const lines[] = {
		"",
		"hello",
		"SSH-2.0-OpenSSH_9.2",
		"[]",
		"\"hello\"",
		"{}",
		"{\"ssh_mux\":\"hello\"}",
		"{\"version\":1}",
		"{\"ssh_mux\":\"bye\",\"version\":1}",
		"{\"ssh_mux\":1,\"version\":1}",
		"{\"ssh_mux\":\"hello\",\"version\":0}",
		"{\"ssh_mux\":\"hello\",\"version\":-1}",
		"{\"ssh_mux\":\"hello\",\"version\":\"1\"}",
		"{\"ssh_mux\":\"hello\",\"version\":1.0}",
		"{\"ssh_mux\":\"hello\",\"version\":99999999999999999999}",
		"{\"ssh_mux\":\"hello\",\"version\":1,\"version\":1}",
		"{\"ssh_mux\":\"hello\",\"version\":1,\"min_version\":2}",
		"{\"ssh_mux\":\"hello\",\"version\":1,\"program\":7}",
		"{\"ssh_mux\":\"hello\",\"version\":1,\"pid\":true}",
		"{\"ssh_mux\":\"hello\",\"version\":1} x",
		"{\"ssh_mux\":\"hello\",\"version\":1",
		"{\"ssh_mux\":\"he\\u0000llo\",\"version\":1}",
		"{\"ssh_mux\":\"hello\",\"version\":1,\"program\":\"\xff\"}",
	};
	struct smx_control_hello got = { .version = 77 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(lines); i++)
		assert_int_equal(smx_control_hello_parse(view(lines[i]), &got), SMX_EFORMAT);
	assert_int_equal(got.version, 77);
}

/* ---- requests -----------------------------------------------------------------------------------
 */

static void requests_there_and_back(void **state)
{
	static const enum smx_control_cmd cmds[] = { SMX_CONTROL_STATUS, SMX_CONTROL_STOP,
		SMX_CONTROL_LOCK, SMX_CONTROL_UNLOCK };
	struct smx_control_request got;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	for (size_t i = 0; i < SMX_ARRAY_LEN(cmds); i++) {
		assert_int_equal(smx_control_request_build(&out, (int64_t)i, cmds[i]), 0);
		assert_int_equal(
			smx_control_request_parse(smx_view_of((const char *)smx_buf_view(&out),
							  smx_buf_len(&out) - 1),
				&got),
			0);
		assert_int_equal(got.id, i);
		assert_int_equal(got.cmd, cmds[i]);
		assert_string_equal(got.name, smx_control_cmd_name(cmds[i]));
		smx_buf_reset(&out);
	}
	assert_int_equal(smx_control_request_build(&out, 1, SMX_CONTROL_STATUS), 0);
	expect_text(&out, "{\"id\":1,\"cmd\":\"status\"}\n");
	smx_buf_release(&out);
	/* A command of a newer release is no breach; nor is a member. */
	assert_int_equal(smx_control_request_parse(
				 view(" {\"cmd\":\"fly\\u001b[2J\",\"id\":9007199254740991,"
				      "\"x\":[[[[[[1]]]]]]} \r"),
				 &got),
		0);
	assert_int_equal(got.cmd, SMX_CONTROL_UNKNOWN);
	assert_string_equal(got.name, "fly?[2J");
	assert_true(got.id == (int64_t)9007199254740991);
}

static const struct smx_control_target web = { .route = "web" };

static void D2_connect_there_and_back(void **state)
{
	struct smx_control_request got;
	struct smx_buf out;
	char long_name[SMX_CONTROL_ROUTE_MAX + 2], line[2 * SMX_CONTROL_ROUTE_MAX];

	(void)state;
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert_int_equal(smx_control_connect_build(
				 &out, 1, "web", NULL, NULL, 0, NULL, SMX_CONTROL_ASKS_UNKNOWN),
		0);
	expect_text(&out, "{\"id\":1,\"cmd\":\"connect\",\"route\":\"web\"}\n");
	assert_int_equal(smx_control_connect_build(
				 &out, 2, NULL, "u", "h", 2222, NULL, SMX_CONTROL_ASKS_UNKNOWN),
		0);
	expect_text(&out,
		"{\"id\":2,\"cmd\":\"connect\",\"user\":\"u\",\"host\":\"h\",\"port\":2222}\n");
	smx_buf_release(&out);
	assert_int_equal(smx_control_request_parse(
				 view("{\"id\":1,\"cmd\":\"connect\",\"route\":\"web\"}"), &got),
		0);
	assert_int_equal(got.cmd, SMX_CONTROL_CONNECT);
	assert_string_equal(got.route, "web");
	assert_string_equal(got.host, "");
	assert_int_equal(smx_control_request_parse(view("{\"id\":1,\"cmd\":\"connect\",\"user\":"
							"\"u\\n\",\"host\":\"h\"}"),
				 &got),
		0);
	/* As it is, for names.h to refuse: what is cleaned would be another name. */
	assert_string_equal(got.user, "u\n");
	assert_string_equal(got.host, "h");
	assert_string_equal(got.route, "");
	assert_int_equal(got.port, 0); /* not told: 22, or what a route of that name has (W1) */
	/* Nor is anything cut. */
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	(void)snprintf(
		line, sizeof(line), "{\"id\":1,\"cmd\":\"connect\",\"route\":\"%s\"}", long_name);
	assert_int_equal(smx_control_request_parse(view(line), &got), SMX_EFORMAT);
	(void)snprintf(line, sizeof(line), "{\"id\":1,\"cmd\":\"connect\",\"route\":\"%s\"}",
		long_name + 1);
	assert_int_equal(smx_control_request_parse(view(line), &got), 0);
}

static void W1_proxy_carries_the_whole_request(void **state)
{
	static const char *const bad[] = { "\"user\":\"\"", "\"user\":7", "\"host\":[]",
		"\"port\":0", "\"port\":65536", "\"port\":\"22\"", "\"batch\":1" };
	const struct smx_control_target all = { "web", "root", "10.0.0.5", 2222 };
	struct smx_control_answer answer;
	struct smx_control_request got;
	struct smx_buf out;
	char line[128];

	(void)state;
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert_int_equal(
		smx_control_proxy_build(&out, 1, &all, NULL, SMX_CONTROL_ASKS_UNKNOWN, 1), 0);
	expect_text(&out, "{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\",\"user\":\"root\","
			  "\"host\":\"10.0.0.5\",\"port\":2222,\"batch\":true}\n");
	assert_int_equal(
		smx_control_request_parse(view("{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\","
					       "\"user\":\"a+b\",\"host\":\"h\",\"port\":9,"
					       "\"batch\":true}"),
			&got),
		0);
	assert_string_equal(got.user, "a+b");
	assert_string_equal(got.host, "h");
	assert_int_equal(got.port, 9);
	assert_true(got.is_batch);
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		(void)snprintf(line, sizeof(line),
			"{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\",%s}", bad[i]);
		assert_int_equal(smx_control_request_parse(view(line), &got), SMX_EFORMAT);
	}
	/* The older spelling: nothing but the route. */
	assert_int_equal(smx_control_request_parse(
				 view("{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\"}"), &got),
		0);
	assert_string_equal(got.user, "");
	assert_string_equal(got.host, "");
	assert_int_equal(got.port, 0);
	assert_false(got.is_batch);
	/* And a daemon that knows the words says so. */
	smx_buf_reset(&out);
	assert_int_equal(smx_control_upgrade_build(&out, 1, "root@web:2222"), 0);
	expect_text(
		&out, "{\"id\":1,\"ok\":true,\"upgrade\":\"frames\",\"to\":\"root@web:2222\"}\n");
	smx_buf_release(&out);
	assert_int_equal(smx_control_answer_parse(
				 view("{\"id\":1,\"ok\":true,\"upgrade\":\"frames\",\"to\":\"a\"}"),
				 &answer),
		0);
	assert_true(answer.has_to);
	assert_int_equal(smx_control_answer_parse(
				 view("{\"id\":1,\"ok\":true,\"upgrade\":\"frames\"}"), &answer),
		0);
	assert_false(answer.has_to);
}

static void D2_connect_malformed(void **state)
{
	static const char *const members[] = {
		"",
		",\"route\":\"\"",
		",\"route\":7",
		",\"user\":\"u\"",
		",\"host\":\"h\"",
		",\"user\":\"\",\"host\":\"h\"",
		",\"user\":\"u\",\"host\":\"\"",
		",\"user\":\"u\",\"host\":[\"h\"]",
		",\"user\":\"u\",\"host\":\"h\",\"port\":0",
		",\"user\":\"u\",\"host\":\"h\",\"port\":65536",
		",\"user\":\"u\",\"host\":\"h\",\"port\":\"22\"",
		",\"user\":\"u\\u0000\",\"host\":\"h\"",
	};
	struct smx_control_request got = { .id = 77 };
	char line[256];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(members); i++) {
		(void)snprintf(line, sizeof(line), "{\"id\":1,\"cmd\":\"connect\"%s}", members[i]);
		assert_int_equal(smx_control_request_parse(view(line), &got), SMX_EFORMAT);
	}
	assert_int_equal(got.id, 77);
}

/* A1: the client's agent. */
static void A1_agent_of_the_client(void **state)
{
	char path[SMX_CONTROL_AGENT_MAX + 2], line[2 * SMX_CONTROL_AGENT_MAX];
	struct smx_control_request got;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert_int_equal(
		smx_control_proxy_build(&out, 1, &web, "/run/a \"b\"", SMX_CONTROL_ASKS_UNKNOWN, 0),
		0);
	expect_text(&out,
		"{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\",\"agent\":\"/run/a \\\"b\\\"\"}\n");
	assert_int_equal(smx_control_connect_build(&out, 2, "web", NULL, NULL, 0, "\\\\.\\pipe\\a",
				 SMX_CONTROL_ASKS_UNKNOWN),
		0);
	expect_text(&out, "{\"id\":2,\"cmd\":\"connect\",\"route\":\"web\",\"agent\":"
			  "\"\\\\\\\\.\\\\pipe\\\\a\"}\n");
	/* The longest, and back. */
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[SMX_CONTROL_AGENT_MAX] = '\0';
	assert_int_equal(smx_control_connect_build(
				 &out, 3, NULL, "u", "h", 22, path, SMX_CONTROL_ASKS_UNKNOWN),
		0);
	assert_int_equal(
		smx_control_request_parse(
			(struct smx_view){ smx_buf_view(&out), smx_buf_len(&out) - 1 }, &got),
		0);
	assert_string_equal(got.agent, path);
	assert_string_equal(got.host, "h");
	/* Absent: none. Of no meaning to another command, so not looked at. */
	assert_int_equal(smx_control_request_parse(
				 view("{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\"}"), &got),
		0);
	assert_string_equal(got.agent, "");
	assert_int_equal(
		smx_control_request_parse(view("{\"id\":1,\"cmd\":\"status\",\"agent\":7}"), &got),
		0);
	assert_string_equal(got.agent, "");
	/* One byte more: refused, and not sent. */
	path[SMX_CONTROL_AGENT_MAX] = 'x';
	path[SMX_CONTROL_AGENT_MAX + 1] = '\0';
	(void)snprintf(line, sizeof(line),
		"{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\",\"agent\":\"%s\"}", path);
	assert_int_equal(smx_control_request_parse(view(line), &got), SMX_EFORMAT);
	smx_buf_reset(&out);
	assert_int_equal(
		smx_control_proxy_build(&out, 1, &web, path, SMX_CONTROL_ASKS_UNKNOWN, 0), 0);
	expect_text(&out, "{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\"}\n");
	assert_int_equal(
		smx_control_proxy_build(&out, 1, &web, "relative", SMX_CONTROL_ASKS_UNKNOWN, 0), 0);
	expect_text(&out, "{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\"}\n");
	assert_int_equal(
		smx_control_proxy_build(&out, 1, &web, "/\xff", SMX_CONTROL_ASKS_UNKNOWN, 0), 0);
	expect_text(&out, "{\"id\":1,\"cmd\":\"proxy\",\"route\":\"web\"}\n");
	smx_buf_release(&out);
}

/* A1, S7: what is no path of an agent makes the request malformed. */
static void A1_agent_malformed(void **state)
{
	static const char *const values[] = { "\"\"", "7", "null", "[\"/a\"]", "\"a\"", "\"~/a\"",
		"\"./a\"", "\"C:\\\\a\"", "\"/a\\n\"", "\"/a\\u0000\"", "\"/a\\u007f\"",
		"\"/a\\u0085\"", "\"/a\\u202e\"", "\"/a\",\"agent\":\"/a\"" };
	static const char *const requests[] = { "proxy", "connect" };
	struct smx_control_request got = { .id = 77 };
	char line[256];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(values); i++) {
		for (size_t k = 0; k < SMX_ARRAY_LEN(requests); k++) {
			(void)snprintf(line, sizeof(line),
				"{\"id\":1,\"cmd\":\"%s\",\"route\":\"web\",\"agent\":%s}",
				requests[k], values[i]);
			assert_int_equal(smx_control_request_parse(view(line), &got), SMX_EFORMAT);
		}
	}
	assert_int_equal(got.id, 77);
}

static void requests_malformed(void **state)
{
	static const char *const lines[] = {
		"",
		"{}",
		"{\"id\":1}",
		"{\"cmd\":\"stop\"}",
		"{\"id\":-1,\"cmd\":\"stop\"}",
		"{\"id\":9007199254740992,\"cmd\":\"stop\"}",
		"{\"id\":\"1\",\"cmd\":\"stop\"}",
		"{\"id\":null,\"cmd\":\"stop\"}",
		"{\"id\":1,\"cmd\":\"\"}",
		"{\"id\":1,\"cmd\":[\"stop\"]}",
		"{\"id\":1,\"cmd\":\"stop\",\"cmd\":\"status\"}",
		"{\"id\":1,\"id\":1,\"cmd\":\"stop\"}",
		"{\"id\":1,\"cmd\":\"stop\"}{\"id\":2,\"cmd\":\"stop\"}",
		"{\"id\":1,\"cmd\":"
		"\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}",
		"{\"id\":1,\"cmd\":\"stop\",\"x\":[[[[[[[[1]]]]]]]]}",
		"{\"id\":1,\"cmd\":\"stop\",\"x\":{\"a\":1,\"a\":2}}",
	};
	struct smx_control_request got = { .id = 77 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(lines); i++)
		assert_int_equal(smx_control_request_parse(view(lines[i]), &got), SMX_EFORMAT);
	assert_int_equal(got.id, 77);
	/* Brackets in strings are no nesting. */
	assert_int_equal(
		smx_control_request_parse(
			view("{\"id\":1,\"cmd\":\"stop\",\"x\":\"[[[[[[[[[[[[\\\"[[[[\"}"), &got),
		0);
}

static void s7_depth_is_bounded_before_parsing(void **state)
{
	static char deep[SMX_CONTROL_LINE_MAX];
	struct smx_control_request got;

	(void)state;
	memset(deep, '[', sizeof(deep));
	assert_int_equal(
		smx_control_request_parse(smx_view_of(deep, sizeof(deep)), &got), SMX_EFORMAT);
}

/* ---- answers ------------------------------------------------------------------------------------
 */

static void answers_there_and_back(void **state)
{
	struct smx_control_answer got;
	struct smx_buf out;
	char text[4 * SMX_CONTROL_TEXT_MAX];

	(void)state;
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert_int_equal(smx_control_ok_build(&out, 3), 0);
	expect_text(&out, "{\"id\":3,\"ok\":true}\n");
	assert_int_equal(smx_control_error_build(&out, -1, "malformed", "no", NULL), 0);
	expect_text(&out, "{\"id\":-1,\"ok\":false,\"code\":\"malformed\",\"error\":\"no\"}\n");
	/* Any text may be given, and comes out fit for a terminal; the worst still fits a line. */
	memset(text, '"', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(smx_control_error_build(&out, 3, text, text, text), 0);
	assert_true(smx_buf_len(&out) <= SMX_CONTROL_LINE_MAX);
	assert_int_equal(
		smx_control_answer_parse(
			smx_view_of((const char *)smx_buf_view(&out), smx_buf_len(&out) - 1), &got),
		0);
	assert_int_equal(got.id, 3);
	assert_false(got.ok);
	assert_false(got.more);
	assert_int_equal(strlen(got.code), SMX_CONTROL_NAME_MAX);
	assert_int_equal(strlen(got.error), SMX_CONTROL_TEXT_MAX);
	smx_buf_reset(&out);
	assert_int_equal(smx_control_error_build(&out, 1, "failed",
				 "a\x1b]0;x\a\nb\x7f"
				 "c\xc2\x9b"
				 "d\xe2\x80\xae"
				 "e\xff"
				 "f\xed\xa0\x80g \xc3\xa9\xf0\x9f\x98\x80",
				 ""),
		0);
	expect_text(&out,
		"{\"id\":1,\"ok\":false,\"code\":\"failed\",\"error\":\"a?]0;x??b?c?d?e?f???g "
		"\xc3\xa9\xf0\x9f\x98\x80\",\"remedy\":\"\"}\n");
	/* Texts of a peer are made fit too: what it says may come from a remote. */
	assert_int_equal(
		smx_control_answer_parse(
			view("{\"id\":1,\"ok\":false,\"error\":\"\\u001b[2J\\n\\u202e\"}"), &got),
		0);
	assert_string_equal(got.error, "?[2J??");
	assert_string_equal(got.code, "");
	assert_int_equal(
		smx_control_answer_parse(view("{\"id\":1,\"ok\":true,\"more\":true}"), &got), 0);
	assert_true(got.ok && got.more);
	smx_buf_release(&out);
}

static void answers_malformed(void **state)
{
	static const char *const lines[] = {
		"{\"id\":1}",
		"{\"ok\":true}",
		"{\"id\":1,\"ok\":1}",
		"{\"id\":-2,\"ok\":true}",
		"{\"id\":1,\"ok\":false,\"more\":true}",
		"{\"id\":1,\"ok\":true,\"more\":0}",
		"{\"id\":1,\"ok\":false,\"error\":1}",
		"{\"id\":1,\"ok\":true,\"ok\":true}",
	};
	struct smx_control_answer got = { .id = 77 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(lines); i++)
		assert_int_equal(smx_control_answer_parse(view(lines[i]), &got), SMX_EFORMAT);
	assert_int_equal(got.id, 77);
}

/* A multi-byte character is not cut in the middle. */
static void cut_at_a_character(void **state)
{
	char text[SMX_CONTROL_TEXT_MAX + 8];
	struct smx_control_answer got;
	struct smx_buf out;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + SMX_CONTROL_TEXT_MAX - 1, "\xc3\xa9", 3);
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert_int_equal(smx_control_error_build(&out, 1, "failed", text, NULL), 0);
	assert_int_equal(
		smx_control_answer_parse(
			smx_view_of((const char *)smx_buf_view(&out), smx_buf_len(&out) - 1), &got),
		0);
	assert_int_equal(strlen(got.error), SMX_CONTROL_TEXT_MAX - 1);
	smx_buf_release(&out);
}

static void building_leaves_a_full_buffer_as_it_was(void **state)
{
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 20);
	assert_int_equal(smx_buf_put_str(&out, "12345"), 0);
	assert_int_equal(smx_control_ok_build(&out, 3), SMX_ELIMIT);
	expect_text(&out, "12345");
	smx_buf_release(&out);
}

static int try_all(int step)
{
	struct smx_control_hello h = { .version = 1, .program = "0.1.0" };
	struct smx_control_request q;
	struct smx_control_answer a;
	struct smx_buf out;
	int r;

	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	switch (step) {
	case 0:
		r = smx_control_hello_build(&out, &h);
		break;
	case 1:
		r = smx_control_hello_parse(
			view("{\"ssh_mux\":\"hello\",\"version\":1,\"program\":\"x\"}"), &h);
		break;
	case 2:
		r = smx_control_request_build(&out, 1, SMX_CONTROL_LOCK);
		break;
	case 3:
		r = smx_control_request_parse(view("{\"id\":1,\"cmd\":\"x\",\"y\":[{}]}"), &q);
		break;
	case 4:
		r = smx_control_error_build(&out, 1, "failed", "a", "b");
		break;
	case 5:
		r = smx_control_connect_build(
			&out, 1, NULL, "u", "h", 22, "/a", SMX_CONTROL_ASKS_UNKNOWN);
		break;
	case 6:
		r = smx_control_request_parse(
			view("{\"id\":1,\"cmd\":\"connect\",\"user\":\"u\",\"host\":\"h\"}"), &q);
		break;
	case 7:
		r = smx_control_proxy_build(&out, 1, &web, "/a", SMX_CONTROL_ASKS_UNKNOWN, 0);
		break;
	case 8:
		r = smx_control_request_parse(
			view("{\"id\":1,\"cmd\":\"proxy\",\"route\":\"r\",\"agent\":\"/a\"}"), &q);
		break;
	default:
		r = smx_control_answer_parse(
			view("{\"id\":1,\"ok\":false,\"error\":\"x\",\"code\":\"y\"}"), &a);
		break;
	}
	if (r != 0)
		assert_int_equal(smx_buf_len(&out), 0);
	smx_buf_release(&out);
	return r;
}

static void failing_allocations(void **state)
{
	long before = smx_mem_alive(), n;
	int r;

	(void)state;
	for (int step = 0; step < 10; step++) {
		for (n = 0, r = -1; r != 0; n++) {
			smx_mem_fail_after(n);
			r = try_all(step);
			smx_mem_fail_after(-1);
			assert_int_equal(smx_mem_alive(), before);
			assert_true(n < 1000);
			assert_true(r == 0 || r == SMX_ENOMEM);
		}
		assert_true(n > 1);
	}
}

/* U5: where a client can ask; a word of a later release is no reason to refuse it. */
static void U5_where_a_client_asks(void **state)
{
	static const char *const others[] = { "", ",\"asks\":\"none\"", ",\"asks\":\"telepathy\"" };
	struct smx_control_request q;
	struct smx_buf out;
	char line[200];

	(void)state;
	for (int asks = SMX_CONTROL_ASKS_UNKNOWN; asks <= SMX_CONTROL_ASKS_PINENTRY; asks++) {
		smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
		assert_int_equal(smx_control_connect_build(&out, 1, "web", NULL, NULL, 0, NULL,
					 (enum smx_control_asks)asks),
			0);
		assert_int_equal(smx_control_request_parse(smx_buf_as_view(&out), &q), 0);
		assert_int_equal(q.asks, asks);
		smx_buf_reset(&out);
		assert_int_equal(smx_control_proxy_build(
					 &out, 1, &web, NULL, (enum smx_control_asks)asks, 0),
			0);
		assert_int_equal(smx_control_request_parse(smx_buf_as_view(&out), &q), 0);
		assert_int_equal(q.asks, asks);
		smx_buf_release(&out);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		(void)snprintf(line, sizeof(line), "{\"id\":1,\"cmd\":\"proxy\",\"route\":\"a\"%s}",
			others[i]);
		assert_int_equal(smx_control_request_parse(smx_view_of(line, strlen(line)), &q), 0);
		assert_int_equal(q.asks, SMX_CONTROL_ASKS_UNKNOWN);
	}
	(void)snprintf(
		line, sizeof(line), "{\"id\":1,\"cmd\":\"proxy\",\"route\":\"a\",\"asks\":1}");
	assert_int_equal(
		smx_control_request_parse(smx_view_of(line, strlen(line)), &q), SMX_EFORMAT);
}

static void U7_login_there_and_back(void **state)
{
	struct smx_control_login login = {
		.is_new = 1, .key = "u@web:22", .age_s = 3, .lifetime_left_s = -1, .idle_s = 600
	};
	struct smx_control_request q;
	struct smx_control_login got;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	for (int renew = 0; renew < 2; renew++) {
		assert_int_equal(smx_control_login_build(&out, 7, "web", NULL, NULL, 0, NULL,
					 SMX_CONTROL_ASKS_TERMINAL, renew),
			0);
		assert_int_equal(smx_control_request_parse(smx_buf_as_view(&out), &q), 0);
		assert_int_equal(q.cmd, SMX_CONTROL_LOGIN);
		assert_string_equal(q.route, "web");
		assert_int_equal(q.renew, renew);
		assert_int_equal(q.asks, SMX_CONTROL_ASKS_TERMINAL);
		smx_buf_reset(&out);
	}
	assert_int_equal(smx_control_login_answer_build(&out, 7, &login), 0);
	assert_string_equal(smx_buf_cstr(&out),
		"{\"id\":7,\"ok\":true,\"new\":true,\"key\":\"u@web:22\",\"age_s\":3,"
		"\"lifetime_left_s\":-1,\"idle_s\":600}\n");
	assert_int_equal(smx_control_login_answer_parse(smx_buf_as_view(&out), &got), 0);
	assert_true(got.is_new == 1 && got.age_s == 3 && got.lifetime_left_s == -1 &&
		    got.idle_s == 600);
	assert_string_equal(got.key, "u@web:22");
	smx_buf_reset(&out);
	assert_int_equal(smx_control_ok_build(&out, 7), 0);
	assert_int_equal(smx_control_login_answer_parse(smx_buf_as_view(&out), &got), SMX_EFORMAT);
	smx_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_in_any_pieces),
		cmocka_unit_test(s7_line_limit),
		cmocka_unit_test(s7_line_limit_of_what_is_read),
		cmocka_unit_test(hello_there_and_back),
		cmocka_unit_test(hello_malformed),
		cmocka_unit_test(requests_there_and_back),
		cmocka_unit_test(D2_connect_there_and_back),
		cmocka_unit_test(D2_connect_malformed),
		cmocka_unit_test(W1_proxy_carries_the_whole_request),
		cmocka_unit_test(A1_agent_of_the_client),
		cmocka_unit_test(A1_agent_malformed),
		cmocka_unit_test(U5_where_a_client_asks),
		cmocka_unit_test(U7_login_there_and_back),
		cmocka_unit_test(requests_malformed),
		cmocka_unit_test(s7_depth_is_bounded_before_parsing),
		cmocka_unit_test(answers_there_and_back),
		cmocka_unit_test(answers_malformed),
		cmocka_unit_test(cut_at_a_character),
		cmocka_unit_test(building_leaves_a_full_buffer_as_it_was),
		cmocka_unit_test(failing_allocations),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
