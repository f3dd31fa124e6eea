/* SPDX-License-Identifier: MIT */
/* docs/PROTOCOL.md, sections 7 and 8: frames, questions and answers (S7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/frame.h"
#include "util_data.h"

static const struct smx_view none = { NULL, 0 };

static void test_S7_one_frame_in_every_cut(void **state)
{
	struct smx_buf b;
	struct smx_view payload;
	uint8_t type;
	size_t used;

	(void)state;
	smx_buf_init(&b, 100);
	assert_int_equal(smx_frame_put(&b, SMX_FRAME_DATA, test_str("ab"), test_str("cd")), 0);
	assert_int_equal(smx_frame_put(&b, SMX_FRAME_END, none, none), 0);
	for (size_t n = 0; n < 9; n++)
		assert_int_equal(smx_frame_next((struct smx_view){ smx_buf_view(&b), n }, &type,
					 &payload, &used),
			SMX_EAGAIN);
	assert_int_equal(smx_frame_next(smx_buf_as_view(&b), &type, &payload, &used), 0);
	assert_int_equal(type, SMX_FRAME_DATA);
	assert_int_equal(used, 9);
	assert_true(smx_view_eq(payload, "abcd"));
	smx_buf_consume(&b, used);
	assert_int_equal(smx_frame_next(smx_buf_as_view(&b), &type, &payload, &used), 0);
	assert_int_equal(type, SMX_FRAME_END);
	assert_int_equal(payload.len, 0);
	smx_buf_release(&b);
}

static void test_S7_lengths_are_judged_before_they_are_awaited(void **state)
{
	static const struct {
		uint8_t head[5];
		int r;
	} rows[] = {
		{ { 0, 0, 0, 0, 1 }, SMX_EFORMAT },
		{ { 0, 1, 0, 0, 1 }, SMX_EAGAIN }, /* 65536: the largest */
		{ { 0, 1, 0, 1, 1 }, SMX_ETOOBIG },
		{ { 0xff, 0xff, 0xff, 0xff, 1 }, SMX_ETOOBIG },
	};
	struct smx_view payload;
	uint8_t type;
	size_t used;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++)
		assert_int_equal(smx_frame_next((struct smx_view){ rows[i].head, 5 }, &type,
					 &payload, &used),
			rows[i].r);
}

static void test_S7_the_largest_frame(void **state)
{
	static uint8_t data[SMX_FRAME_DATA_MAX + 1];
	struct smx_view v = { data, SMX_FRAME_DATA_MAX }, payload;
	struct smx_buf b;
	uint8_t type;
	size_t used;

	(void)state;
	smx_buf_init(&b, 2 * SMX_FRAME_MAX);
	assert_int_equal(smx_frame_put(&b, 1, v, none), 0);
	assert_int_equal(smx_frame_next(smx_buf_as_view(&b), &type, &payload, &used), 0);
	assert_int_equal(payload.len, SMX_FRAME_DATA_MAX);
	v.len++;
	assert_int_equal(smx_frame_put(&b, 1, v, none), SMX_ETOOBIG);
	v.len--;
	assert_int_equal(smx_frame_put(&b, 1, v, test_str("x")), SMX_ETOOBIG);
	/* A buffer without room for it is left as it was. */
	assert_int_equal(smx_frame_put(&b, 1, v, none), SMX_ELIMIT);
	assert_int_equal(smx_buf_len(&b), used);
	smx_buf_release(&b);
}

static void test_questions_and_answers(void **state)
{
	struct smx_ask ask = { 7, SMX_ASK_ECHO, test_str("Code: ") }, ask2;
	struct smx_answer answer = { 7, SMX_ANSWER_OK, test_str("123456") }, answer2;
	struct smx_view payload;
	struct smx_buf b;
	uint8_t type;
	uint32_t id;
	size_t used;

	(void)state;
	smx_buf_init(&b, 1000);
	assert_int_equal(smx_ask_put(&b, &ask), 0);
	assert_int_equal(smx_frame_next(smx_buf_as_view(&b), &type, &payload, &used), 0);
	assert_int_equal(type, SMX_FRAME_ASK);
	assert_int_equal(smx_ask_parse(payload, &ask2), 0);
	assert_int_equal(ask2.id, 7);
	assert_int_equal(ask2.flags, SMX_ASK_ECHO);
	assert_true(smx_view_eq(ask2.text, "Code: "));
	for (size_t n = 0; n < 5; n++)
		assert_int_equal(
			smx_ask_parse((struct smx_view){ payload.p, n }, &ask2), SMX_ETRUNCATED);
	smx_buf_reset(&b);

	assert_int_equal(smx_answer_put(&b, &answer), 0);
	assert_int_equal(smx_frame_next(smx_buf_as_view(&b), &type, &payload, &used), 0);
	assert_int_equal(type, SMX_FRAME_ANSWER);
	assert_int_equal(smx_answer_parse(payload, &answer2), 0);
	assert_int_equal(answer2.result, SMX_ANSWER_OK);
	assert_true(smx_view_eq(answer2.text, "123456"));
	smx_buf_reset(&b);

	assert_int_equal(smx_unask_put(&b, 9), 0);
	assert_int_equal(smx_frame_next(smx_buf_as_view(&b), &type, &payload, &used), 0);
	assert_int_equal(type, SMX_FRAME_UNASK);
	assert_int_equal(smx_unask_parse(payload, &id), 0);
	assert_int_equal(id, 9);
	payload.len--;
	assert_int_equal(smx_unask_parse(payload, &id), SMX_ETRUNCATED);
	assert_int_equal(smx_unask_parse(test_str("12345"), &id), SMX_ETRAILING);
	smx_buf_release(&b);
}

static void test_no_memory(void **state)
{
	struct smx_ask ask = { 7, 0, test_str("a question of some length, for a buffer to grow") };
	struct smx_buf b;
	long alive = smx_mem_alive();
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r != 0; n++) {
		smx_buf_init(&b, 1000);
		smx_mem_fail_after(n);
		r = smx_ask_put(&b, &ask);
		smx_mem_fail_after(-1);
		if (r != 0)
			assert_int_equal(smx_buf_len(&b), 0);
		smx_buf_release(&b);
		assert_int_equal(smx_mem_alive(), alive);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_S7_one_frame_in_every_cut),
		cmocka_unit_test(test_S7_lengths_are_judged_before_they_are_awaited),
		cmocka_unit_test(test_S7_the_largest_frame),
		cmocka_unit_test(test_questions_and_answers),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
