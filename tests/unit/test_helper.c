/* SPDX-License-Identifier: MIT */
/* H3: what the confined daemon may ask of its helper, taken for a stranger's bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/helper.h"
#include "crypto/key.h"

static void build(const struct smx_helper_request *q, struct smx_buf *out)
{
	smx_buf_init(out, SMX_HELPER_MESSAGE_MAX);
	assert_int_equal(smx_helper_request_build(out, q), 0);
}

static int parse(const struct smx_helper_request *q, struct smx_helper_request *ret)
{
	struct smx_buf text;
	int r;

	build(q, &text);
	r = smx_helper_request_parse(smx_buf_as_view(&text), ret);
	smx_buf_release(&text);
	return r;
}

static int refused(const struct smx_helper_request *q)
{
	struct smx_helper_request got;
	int r = parse(q, &got);

	if (r == 0)
		smx_helper_request_release(&got);
	return r != 0;
}

static void test_H3_a_request_is_read_as_it_was_written(void **state)
{
	const struct smx_helper_request q = { .op = SMX_HELPER_RUN,
		.kind = SMX_HELPER_ASKPASS,
		.hint = SMX_ASKPASS_NONE,
		.fd_mask = 0x2,
		.pid = 4711,
		.start = 1ull << 40,
		.args = { "/usr/bin/ssh-askpass", "May it?" },
		.n_args = 2 };
	struct smx_helper_request got;

	(void)state;
	assert_int_equal(parse(&q, &got), 0);
	assert_int_equal(got.op, q.op);
	assert_int_equal(got.kind, q.kind);
	assert_int_equal(got.hint, SMX_ASKPASS_NONE);
	assert_int_equal(got.pid, q.pid);
	assert_int_equal(got.start, q.start);
	assert_int_equal(got.n_args, 2);
	assert_string_equal(got.args[0], q.args[0]);
	assert_string_equal(got.args[1], q.args[1]);
	assert_null(got.args[2]);
	assert_int_equal(smx_helper_request_fds(&got), 1);
	smx_helper_request_release(&got);
}

static void test_H3_what_an_operation_does_not_have_is_refused(void **state)
{
	const struct smx_helper_request bad[] = {
		{ .op = (enum smx_helper_op)0 },
		{ .op = SMX_HELPER_OPS },
		{ .op = SMX_HELPER_RUN },
		{ .op = SMX_HELPER_RUN, .kind = SMX_HELPER_KINDS },
		{ .op = SMX_HELPER_RUN, .kind = SMX_HELPER_PROMPT, .hint = SMX_ASKPASS_CONFIRM },
		{ .op = SMX_HELPER_RUN,
			.kind = SMX_HELPER_ASKPASS,
			.pid = 1,
			.hint = SMX_ASKPASS_HINTS,
			.args = { "a", "b" },
			.n_args = 2 },
		{ .op = SMX_HELPER_RUN, .kind = SMX_HELPER_PROMPT, .pid = 1 },
		{ .op = SMX_HELPER_RUN, .kind = SMX_HELPER_ASKPASS },
		{ .op = SMX_HELPER_RUN, .kind = SMX_HELPER_PROMPT, .fd_mask = 1 << SMX_HELPER_FDS },
		{ .op = SMX_HELPER_KILL, .signal = 15 },
		{ .op = SMX_HELPER_KILL, .id = 1, .signal = 19 },
		{ .op = SMX_HELPER_KILL, .id = 1, .signal = 9, .is_group = 2 },
		{ .op = SMX_HELPER_LISTEN },
		{ .op = SMX_HELPER_LISTEN, .backlog = 1u << 20 },
		{ .op = SMX_HELPER_LISTEN, .backlog = 1, .key = 1 },
		{ .op = SMX_HELPER_UNLINK },
		{ .op = SMX_HELPER_UNLINK, .args = { "/a", "/b" }, .n_args = 2 },
		{ .op = SMX_HELPER_CALLER_ENV },
		{ .op = SMX_HELPER_CALLER_ENV, .pid = -1 },
		{ .op = SMX_HELPER_CALLER_ENV, .pid = 1ll << 40 },
		{ .op = SMX_HELPER_CALLER_ENV, .pid = 1, .args = { "x" }, .n_args = 1 },
		{ .op = SMX_HELPER_CALLER_PRESS, .pid = 1, .key = 3 },
		{ .op = SMX_HELPER_REOPEN, .pid = 1 },
		{ .op = SMX_HELPER_LOG_OPEN, .args = { "/x" }, .n_args = 1 },
		{ .op = SMX_HELPER_LOG_RENAME, .key = 1 },
		{ .op = SMX_HELPER_APPEND, .args = { "/x" }, .n_args = 1 },
		{ .op = SMX_HELPER_KEEP, .args = { "/x" }, .n_args = 1 },
		{ .op = SMX_HELPER_OPEN },
		{ .op = SMX_HELPER_OPEN, .args = { "/a", "/b" }, .n_args = 2 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++)
		if (!refused(&bad[i]))
			fail_msg("request %zu is taken", i);
}

/* As test_H3_a_request_is_read..., of keys in known_hosts. */
static void test_H3_a_rotation_is_read_as_it_was_written(void **state)
{
	const struct smx_helper_request q = { .op = SMX_HELPER_ROTATE,
		.port = 2222,
		.is_hashed = 1,
		.fresh = { smx_view_of("new", 3), smx_view_of("n\0w", 3) },
		.n_fresh = 2,
		.old = { smx_view_of("old", 3) },
		.n_old = 1,
		.args = { "/h/.ssh/known_hosts", "h.example" },
		.n_args = 2 };
	struct smx_helper_request got;
	struct smx_buf text;
	size_t len;

	(void)state;
	build(&q, &text);
	len = smx_buf_len(&text);
	assert_int_equal(smx_helper_request_parse(smx_buf_as_view(&text), &got), 0);
	assert_int_equal(smx_helper_request_fds(&got), 1);
	assert_int_equal(got.n_args, 2);
	assert_string_equal(got.args[1], "h.example");
	assert_true(got.port == 2222 && got.is_hashed == 1 && got.n_fresh == 2 && got.n_old == 1);
	assert_true(smx_view_eq(got.fresh[0], "new") && smx_view_eq(got.old[0], "old"));
	assert_memory_equal(got.fresh[1].p, "n\0w", 3);
	smx_helper_request_release(&got);
	for (size_t n = 0; n < len; n++)
		assert_int_not_equal(
			smx_helper_request_parse((struct smx_view){ smx_buf_view(&text), n }, &got),
			0);
	assert_int_equal(smx_put_u8(&text, 0), 0);
	assert_int_not_equal(smx_helper_request_parse(smx_buf_as_view(&text), &got), 0);
	smx_buf_release(&text);
}

static void test_H3_a_rotation_that_is_none_is_refused(void **state)
{
	static const char too_long[SMX_KEY_BLOB_MAX + 1];
	const struct smx_helper_request good = { .op = SMX_HELPER_ROTATE,
		.port = 22,
		.fresh = { smx_view_of("k", 1) },
		.n_fresh = 1,
		.args = { "/k", "h" },
		.n_args = 2 };
	struct smx_helper_request bad;
	struct smx_buf text;

	(void)state;
	assert_false(refused(&good));
	bad = good;
	bad.n_fresh = 0; /* nothing to do */
	assert_true(refused(&bad));
	bad = good;
	bad.port = 0;
	assert_true(refused(&bad));
	bad = good;
	bad.is_hashed = 2;
	assert_true(refused(&bad));
	bad = good;
	bad.n_args = 1;
	assert_true(refused(&bad));
	bad = good;
	bad.pid = 1;
	assert_true(refused(&bad));
	bad = good;
	bad.fresh[0] = smx_view_of("", 0);
	assert_true(refused(&bad));
	bad = good;
	bad.fresh[0] = smx_view_of(too_long, sizeof(too_long));
	assert_true(refused(&bad));
	/* One more key than there is room for. */
	bad = good;
	bad.n_args = 2;
	for (size_t i = 0; i < SMX_ROTATION_MAX; i++)
		bad.fresh[i] = smx_view_of("k", 1);
	bad.n_fresh = SMX_ROTATION_MAX;
	assert_false(refused(&bad));
	build(&bad, &text);
	text.data[text.off + 39 + 4 + 2 + 4 + 1 + 5 + 3]++;
	assert_int_not_equal(smx_helper_request_parse(smx_buf_as_view(&text), &bad), 0);
	smx_buf_release(&text);
}

static void test_H3_a_request_cut_or_with_a_tail_is_refused(void **state)
{
	const struct smx_helper_request q = {
		.op = SMX_HELPER_RUN, .kind = SMX_HELPER_PINENTRY, .args = { "/p" }, .n_args = 1
	};
	struct smx_helper_request got;
	struct smx_buf text;
	size_t len;

	(void)state;
	build(&q, &text);
	len = smx_buf_len(&text);
	for (size_t n = 0; n < len; n++)
		assert_int_not_equal(
			smx_helper_request_parse((struct smx_view){ smx_buf_view(&text), n }, &got),
			0);
	assert_int_equal(smx_put_u8(&text, 0), 0);
	assert_int_not_equal(smx_helper_request_parse(smx_buf_as_view(&text), &got), 0);
	/* A word with a NUL would be two different ones to us and to execve. */
	smx_buf_truncate(&text, len);
	text.data[text.off + len - 1] = '\0';
	assert_int_equal(smx_helper_request_parse(smx_buf_as_view(&text), &got), SMX_EFORMAT);
	smx_buf_release(&text);
}

static void test_H3_answers_and_ends_are_read_whole(void **state)
{
	struct smx_helper_answer a;
	const struct smx_helper_result result = { SMX_EINVAL, 1, 2 };
	struct smx_helper_result read;
	uint32_t status, signal;
	struct smx_buf text;
	uint64_t id;

	(void)state;
	smx_buf_init(&text, 4096);
	assert_int_equal(smx_helper_result_build(&text, &result, "why"), 0);
	assert_int_equal(smx_helper_result_parse(smx_buf_as_view(&text), &read, NULL), 0);
	assert_true(read.code == SMX_EINVAL && read.n_removed == 1 && read.n_added == 2);
	assert_int_equal(smx_put_u8(&text, 0), 0);
	assert_int_not_equal(smx_helper_result_parse(smx_buf_as_view(&text), &read, NULL), 0);
	smx_buf_reset(&text);
	assert_int_equal(smx_helper_answer_build(&text, 2, 7, "/usr/bin/ssh", "/home"), 0);
	assert_int_equal(smx_helper_answer_parse(smx_buf_as_view(&text), &a), 0);
	assert_int_equal(a.error, 2);
	assert_int_equal(a.id, 7);
	assert_string_equal(a.texts[0], "/usr/bin/ssh");
	assert_string_equal(a.texts[1], "/home");
	smx_helper_answer_release(&a);
	assert_int_equal(smx_put_u8(&text, 0), 0);
	assert_int_not_equal(smx_helper_answer_parse(smx_buf_as_view(&text), &a), 0);
	smx_buf_reset(&text);
	assert_int_equal(smx_helper_end_build(&text, 1ull << 33, 3, 9), 0);
	assert_int_equal(smx_buf_len(&text), SMX_HELPER_END_LEN);
	assert_int_equal(smx_helper_end_parse(smx_buf_as_view(&text), &id, &status, &signal), 0);
	assert_true(id == 1ull << 33 && status == 3 && signal == 9);
	assert_int_equal(smx_put_u8(&text, 0), 0);
	assert_int_not_equal(
		smx_helper_end_parse(smx_buf_as_view(&text), &id, &status, &signal), 0);
	smx_buf_release(&text);
}

static void test_H3_no_memory_leaves_nothing(void **state)
{
	const struct smx_helper_request q = { .op = SMX_HELPER_RUN,
		.kind = SMX_HELPER_TRANSPORT,
		.args = { "nc", "h", "22" },
		.n_args = 3 };
	struct smx_helper_request got;
	struct smx_buf text;
	long before;

	(void)state;
	build(&q, &text);
	before = smx_mem_alive();
	for (long n = 0; n < 3; n++) {
		smx_mem_fail_after(n);
		assert_int_equal(
			smx_helper_request_parse(smx_buf_as_view(&text), &got), SMX_ENOMEM);
		smx_mem_fail_after(-1);
		assert_int_equal(smx_mem_alive(), before);
	}
	smx_buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_H3_a_request_is_read_as_it_was_written),
		cmocka_unit_test(test_H3_what_an_operation_does_not_have_is_refused),
		cmocka_unit_test(test_H3_a_rotation_is_read_as_it_was_written),
		cmocka_unit_test(test_H3_a_rotation_that_is_none_is_refused),
		cmocka_unit_test(test_H3_a_request_cut_or_with_a_tail_is_refused),
		cmocka_unit_test(test_H3_answers_and_ends_are_read_whole),
		cmocka_unit_test(test_H3_no_memory_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
