/* SPDX-License-Identifier: MIT */
/* What passes to an agent that is lent to a remote, and back (B4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/agent.h"
#include "ssh/agent_filter.h"

#define VIEW(text) smx_view_of(text, sizeof(text) - 1)

static const char list[] = "\x0b";
static const char sign[] = "\x0d\0\0\0\4blob\0\0\0\6abcdef\0\0\0\4";
static const char bind[] = "\x1b\0\0\0\x18session-bind@openssh.com\0\0\0\1k\0\0\0\2id\0\0\0\3sig\1";

static int read_kind(struct smx_view message, struct smx_agent_request *req)
{
	return smx_agent_read_request(message, req);
}

static void B4_requests_that_pass(void **state)
{
	struct smx_agent_request req;

	(void)state;
	assert_int_equal(read_kind(VIEW(list), &req), 0);
	assert_int_equal(req.kind, SMX_AGENT_LIST);
	assert_int_equal(read_kind(VIEW(sign), &req), 0);
	assert_int_equal(req.kind, SMX_AGENT_SIGN);
	assert_true(smx_view_eq(req.blob, "blob") && smx_view_eq(req.data, "abcdef"));
	assert_int_equal(read_kind(VIEW(bind), &req), 0);
	assert_int_equal(req.kind, SMX_AGENT_BIND);
}

/* Each type but three, and each extension but one. */
static void B4_requests_that_do_not_pass(void **state)
{
	struct smx_agent_request req;
	uint8_t type[2] = { 0, 0 };

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		type[0] = (uint8_t)i;
		if (i == 11 || i == 13 || i == 27)
			continue;
		assert_int_equal(read_kind((struct smx_view){ type, 2 }, &req), 0);
		assert_int_equal(req.kind, SMX_AGENT_OTHER);
		assert_int_equal(req.type, i);
	}
	assert_int_equal(read_kind(VIEW("\x1b\0\0\0\5query"), &req), 0);
	assert_int_equal(req.kind, SMX_AGENT_OTHER);
	assert_int_equal(read_kind(VIEW("\x1b\0\0\0\x19session-bind@openssh.com\0"), &req), 0);
	assert_int_equal(req.kind, SMX_AGENT_OTHER);
}

/* Cut anywhere, or with a byte more: malformed, and of no kind that passes. */
static void B4_malformed_requests(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} whole[] = { { list, sizeof(list) - 1 }, { sign, sizeof(sign) - 1 },
		{ bind, sizeof(bind) - 1 } };
	struct smx_agent_request req;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(whole); i++) {
		for (size_t n = 0; n < whole[i].len; n++) {
			assert_int_equal(
				read_kind(smx_view_of(whole[i].bytes, n), &req), SMX_EFORMAT);
			assert_int_equal(req.kind, SMX_AGENT_OTHER);
		}
		/* The terminating NUL of the literal. */
		assert_int_equal(read_kind(smx_view_of(whole[i].bytes, whole[i].len + 1), &req),
			SMX_EFORMAT);
		assert_int_equal(req.kind, SMX_AGENT_OTHER);
	}
	assert_int_equal(read_kind(VIEW("\x0d\0\0\0\0\0\0\0\1x\0\0\0\0"), &req), SMX_EFORMAT);
}

static int not_b(void *arg, struct smx_view blob, struct smx_view comment)
{
	int *n = arg;

	++*n;
	assert_int_equal(comment.len, 1);
	return !smx_view_eq(blob, "b");
}

static int answer(struct smx_buf *b, enum smx_agent_kind kind, struct smx_view message)
{
	int n = 0;

	return smx_agent_put_answer(b, kind, message, not_b, &n);
}

static void assert_is(struct smx_buf *b, struct smx_view bytes)
{
	assert_true(smx_view_eq_view(smx_buf_as_view(b), bytes));
	smx_buf_reset(b);
}

static const char keys3[] = "\x0c\0\0\0\3\0\0\0\1a\0\0\0\1x\0\0\0\1b\0\0\0\1y\0\0\0\2cc\0\0\0\1z";

static void B4_lists_have_the_keys_that_are_lent(void **state)
{
	static const char kept[] = "\0\0\0\x1a\x0c\0\0\0\2\0\0\0\1a\0\0\0\1x\0\0\0\2cc\0\0\0\1z";
	static const char failure[] = "\0\0\0\1\5";
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 1000);
	assert_int_equal(answer(&b, SMX_AGENT_LIST, VIEW(keys3)), 0);
	assert_is(&b, VIEW(kept));
	/* All of them, and behind what is there. */
	assert_int_equal(smx_put_u8(&b, 7), 0);
	assert_int_equal(smx_agent_put_answer(&b, SMX_AGENT_LIST, VIEW(keys3), NULL, NULL), 0);
	assert_int_equal(smx_buf_len(&b), 1 + 4 + sizeof(keys3) - 1);
	assert_memory_equal(smx_buf_view(&b) + 5, keys3, sizeof(keys3) - 1);
	smx_buf_reset(&b);
	/* What is no list is none. */
	for (size_t n = 0; n < sizeof(keys3) - 1; n++) {
		assert_int_equal(answer(&b, SMX_AGENT_LIST, smx_view_of(keys3, n)), 0);
		assert_is(&b, VIEW(failure));
	}
	assert_int_equal(answer(&b, SMX_AGENT_LIST, smx_view_of(keys3, sizeof(keys3))), 0);
	assert_is(&b, VIEW(failure));
	assert_int_equal(answer(&b, SMX_AGENT_LIST, VIEW("\x0c\xff\xff\xff\xff")), 0);
	assert_is(&b, VIEW(failure));
	assert_int_equal(answer(&b, SMX_AGENT_LIST, VIEW("\x0e\0\0\0\0")), 0);
	assert_is(&b, VIEW(failure));
	smx_buf_release(&b);
}

static void B4_answers_fit_their_requests(void **state)
{
	static const char signature[] = "\x0e\0\0\0\3sig", success[] = "\6", no[] = "\5";
	static const char failure[] = "\0\0\0\1\5", bound[] = "\0\0\0\1\6";
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 1000);
	assert_int_equal(answer(&b, SMX_AGENT_SIGN, VIEW(signature)), 0);
	assert_is(&b, VIEW("\0\0\0\x8\x0e\0\0\0\3sig"));
	assert_int_equal(answer(&b, SMX_AGENT_BIND, VIEW(success)), 0);
	assert_is(&b, VIEW(bound));
	assert_int_equal(answer(&b, SMX_AGENT_SIGN, VIEW(keys3)), 0);
	assert_is(&b, VIEW(failure));
	assert_int_equal(answer(&b, SMX_AGENT_SIGN, VIEW(no)), 0);
	assert_is(&b, VIEW(failure));
	assert_int_equal(answer(&b, SMX_AGENT_BIND, VIEW("\6x")), 0);
	assert_is(&b, VIEW(failure));
	assert_int_equal(answer(&b, SMX_AGENT_LIST, VIEW(signature)), 0);
	assert_is(&b, VIEW(failure));
	assert_int_equal(answer(&b, SMX_AGENT_OTHER, VIEW(success)), 0);
	assert_is(&b, VIEW(failure));
	smx_buf_release(&b);
}

static void B4_bind_is_read_as_it_is_written(void **state)
{
	struct smx_agent_request req;
	struct smx_view message;
	struct smx_buf b;
	size_t used;

	(void)state;
	smx_buf_init(&b, 1000);
	assert_int_equal(smx_agent_put_bind(&b, VIEW("k"), VIEW("id"), VIEW("sig"), 1), 0);
	assert_int_equal(smx_agent_frame(smx_buf_as_view(&b), &message, &used), 0);
	assert_true(smx_view_eq_view(message, VIEW(bind)));
	assert_int_equal(read_kind(message, &req), 0);
	smx_buf_release(&b);
}

static void B4_purposes(void **state)
{
	static const char login[] =
		"\0\0\0\2id\x32\0\0\0\3git\0\0\0\x0essh-connection\0\0\0\x9publickey\1";
	static const char bound[] = "\0\0\0\2id\x32\0\0\0\3git\0\0\0\x0essh-connection"
				    "\0\0\0\x23"
				    "publickey-hostbound-v00@openssh.com\1";
	struct smx_view name = { NULL, 0 };

	(void)state;
	assert_int_equal(smx_agent_purpose(VIEW(login), &name), SMX_AGENT_FOR_LOGIN);
	assert_true(smx_view_eq(name, "git"));
	assert_int_equal(smx_agent_purpose(VIEW(bound), &name), SMX_AGENT_FOR_LOGIN);
	assert_int_equal(
		smx_agent_purpose(VIEW("SSHSIG\0\0\0\4file\0\0\0\0"), &name), SMX_AGENT_FOR_FILE);
	assert_true(smx_view_eq(name, "file"));
	assert_int_equal(smx_agent_purpose(VIEW("SSHSIG"), &name), SMX_AGENT_FOR_UNKNOWN);
	assert_int_equal(smx_agent_purpose(VIEW(""), &name), SMX_AGENT_FOR_UNKNOWN);
	for (size_t n = 0; n < 45; n++)
		assert_int_equal(
			smx_agent_purpose(smx_view_of(login, n), &name), SMX_AGENT_FOR_UNKNOWN);
}

/* Memory that fails anywhere, and a buffer that is full: an error, nothing leaks. */
static void B4_failures(void **state)
{
	struct smx_buf b;
	long alive;
	int r;

	(void)state;
	alive = smx_mem_alive();
	for (long n = 0;; n++) {
		smx_buf_init(&b, 1000);
		smx_mem_fail_after(n);
		if ((r = smx_agent_put_bind(&b, VIEW("k"), VIEW("id"), VIEW("sig"), 1)) == 0 &&
			(r = answer(&b, SMX_AGENT_LIST, VIEW(keys3))) == 0 &&
			(r = answer(&b, SMX_AGENT_SIGN, VIEW("\x0e\0\0\0\3sig"))) == 0)
			r = smx_agent_put_failure(&b);
		smx_mem_fail_after(-1);
		smx_buf_release(&b);
		assert_int_equal(smx_mem_alive(), alive);
		if (r == 0)
			break;
		assert_int_equal(r, SMX_ENOMEM);
	}
	for (size_t max = 0; max < 30; max++) {
		smx_buf_init(&b, max);
		assert_int_equal(answer(&b, SMX_AGENT_LIST, VIEW(keys3)), SMX_ELIMIT);
		smx_buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B4_requests_that_pass),
		cmocka_unit_test(B4_requests_that_do_not_pass),
		cmocka_unit_test(B4_malformed_requests),
		cmocka_unit_test(B4_lists_have_the_keys_that_are_lent),
		cmocka_unit_test(B4_answers_fit_their_requests),
		cmocka_unit_test(B4_bind_is_read_as_it_is_written),
		cmocka_unit_test(B4_purposes),
		cmocka_unit_test(B4_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
