/* SPDX-License-Identifier: MIT */
/* W2: SOCKS 4, 4A and 5 as `ssh -D` serves them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/socks.h"

struct run {
	struct smx_socks s;
	uint8_t replies[64];
	size_t n_replies, used;
	int result;
};

/* All of it, at most `step` bytes at a time, until it is decided. */
static struct run feed(const char *bytes, size_t n, size_t step)
{
	struct run run = { .result = SMX_EAGAIN };
	uint8_t reply[SMX_SOCKS_REPLY_MAX];
	size_t len, take;

	smx_socks_init(&run.s);
	while (run.result == SMX_EAGAIN && run.used < n) {
		take = smx_socks_need(&run.s);
		assert_true(take > 0);
		take = take < step ? take : step;
		take = take < n - run.used ? take : n - run.used;
		run.result = smx_socks_take(
			&run.s, (const uint8_t *)bytes + run.used, take, reply, &len);
		run.used += take;
		memcpy(run.replies + run.n_replies, reply, len);
		run.n_replies += len;
	}
	return run;
}

#define BYTES(text) text, sizeof(text) - 1

static void expect(const char *bytes, size_t n, const char *host, unsigned port, size_t n_replies)
{
	for (size_t step = 1; step < 300; step += 37) {
		struct run run = feed(bytes, n, step);

		assert_int_equal(run.result, 0);
		assert_int_equal(run.used, n);
		assert_string_equal(run.s.host, host);
		assert_int_equal(run.s.port, port);
		assert_int_equal(run.n_replies, n_replies);
		assert_int_equal(smx_socks_need(&run.s), 0);
	}
}

static void test_W2_requests(void **state)
{
	(void)state;
	expect(BYTES("\4\1\x1f\x90\x7f\0\0\1user\0"), "127.0.0.1", 8080, 0);
	expect(BYTES("\4\1\0\x50\1\2\3\4\0"), "1.2.3.4", 80, 0);
	expect(BYTES("\4\1\0\x50\0\0\0\7\0web.example\0"), "web.example", 80, 0);
	expect(BYTES("\5\1\0\5\1\0\1\x0a\0\0\xff\x01\xbb"), "10.0.0.255", 443, 2);
	expect(BYTES("\5\2\2\0\5\1\0\3\3web\0\x50"), "web", 80, 2);
	expect(BYTES("\5\1\0\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\x50"), "::1", 80, 2);
	expect(BYTES("\5\1\0\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\x50"),
		"2001:db8:0:0:0:0:0:2", 80, 2);
}

/* What follows a request is the connection's: it is never asked for. */
static void test_W2_no_byte_too_many(void **state)
{
	static const char request[] = "\5\1\0\5\1\0\3\3web\0\x50GET /";
	struct run run = feed(request, sizeof(request) - 1, 1000);

	(void)state;
	assert_int_equal(run.result, 0);
	assert_int_equal(run.used, sizeof(request) - 1 - 5);
}

static void refused(const char *bytes, size_t n, int result, const char *reply, size_t n_reply)
{
	struct run run = feed(bytes, n, 1000);

	assert_int_equal(run.result, result);
	assert_int_equal(smx_socks_need(&run.s), 0);
	assert_true(run.n_replies >= n_reply);
	assert_memory_equal(run.replies + run.n_replies - n_reply, reply, n_reply);
}

#define REFUSED5(code) "\5" code "\0\1\0\0\0\0\0\0", 10
#define REFUSED4       "\0\x5b\0\0\0\0\0\0", 8

/* BIND and UDP, what needs a password, what is no SOCKS: closed, with an answer where it has one.
 */
static void test_W2_what_is_not_served(void **state)
{
	(void)state;
	refused(BYTES("\5\1\0\5\2\0\1\1\2\3\4\0\x50"), SMX_EUNSUPPORTED, REFUSED5("\7"));
	refused(BYTES("\5\1\0\5\3\0\1\1\2\3\4\0\x50"), SMX_EUNSUPPORTED, REFUSED5("\7"));
	refused(BYTES("\5\1\0\5\1\0\2"), SMX_EUNSUPPORTED, REFUSED5("\x08"));
	refused(BYTES("\5\1\0\4\1\0\1"), SMX_EFORMAT, REFUSED5("\1"));
	refused(BYTES("\5\1\0\5\1\0\3\0"), SMX_EFORMAT, REFUSED5("\1"));
	refused(BYTES("\5\1\0\5\1\0\3\3a\0b\0\x50"), SMX_EFORMAT, REFUSED5("\1"));
	refused(BYTES("\5\1\0\5\1\0\3\3a b\0\x50"), SMX_EFORMAT, REFUSED5("\1"));
	refused(BYTES("\5\1\2"), SMX_EUNSUPPORTED, "\5\xff", 2);
	refused(BYTES("\5\0"), SMX_EFORMAT, REFUSED5("\1"));
	refused(BYTES("\4\2\0\x50\1\2\3\4\0"), SMX_EUNSUPPORTED, REFUSED4);
	refused(BYTES("\4\1\0\x50\0\0\0\1\0\0"), SMX_EFORMAT, REFUSED4);
	refused(BYTES("GET / HTTP/1.0"), SMX_EUNSUPPORTED, "", 0);
	refused(BYTES("\0"), SMX_EUNSUPPORTED, "", 0);
}

static void test_W2_texts_are_bounded(void **state)
{
	char bytes[9 + 600] = "\4\1\0\x50\0\0\0\1";
	struct run run;

	(void)state;
	memset(bytes + 8, 'u', 300);
	run = feed(bytes, 8 + 300, 1000);
	assert_int_equal(run.result, SMX_EFORMAT);
	assert_int_equal(run.used, 8 + SMX_SOCKS_USER_MAX + 1);
	bytes[8] = 0;
	memset(bytes + 9, 'h', 300);
	run = feed(bytes, 9 + 300, 1000);
	assert_int_equal(run.result, SMX_EFORMAT);
	bytes[9 + SMX_SOCKS_HOST_MAX] = 0;
	run = feed(bytes, 9 + 300, 1000);
	assert_int_equal(run.result, 0);
	assert_int_equal(strlen(run.s.host), SMX_SOCKS_HOST_MAX);
}

static void test_W2_answers(void **state)
{
	struct run five = feed(BYTES("\5\1\0\5\1\0\3\3web\0\x50"), 100);
	struct run four = feed(BYTES("\4\1\0\x50\1\2\3\4\0"), 100);
	uint8_t reply[SMX_SOCKS_REPLY_MAX];

	(void)state;
	assert_int_equal(smx_socks_answer(&five.s, SMX_SOCKS_GRANTED, reply), 10);
	assert_memory_equal(reply, "\5\0\0\1\0\0\0\0\0\0", 10);
	assert_int_equal(smx_socks_answer(&five.s, SMX_SOCKS_DENIED, reply), 10);
	assert_memory_equal(reply, "\5\2\0\1\0\0\0\0\0\0", 10);
	assert_int_equal(smx_socks_answer(&four.s, SMX_SOCKS_GRANTED, reply), 8);
	assert_memory_equal(reply, "\0\x5a\0\0\0\0\0\0", 8);
	assert_int_equal(smx_socks_answer(&four.s, SMX_SOCKS_UNREACHABLE, reply), 8);
	assert_memory_equal(reply, "\0\x5b\0\0\0\0\0\0", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_W2_requests),
		cmocka_unit_test(test_W2_no_byte_too_many),
		cmocka_unit_test(test_W2_what_is_not_served),
		cmocka_unit_test(test_W2_texts_are_bounded),
		cmocka_unit_test(test_W2_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
