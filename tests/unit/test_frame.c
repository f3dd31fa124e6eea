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

/* What the reader hands out, with its DATA pieces joined: types and payloads in a row. */
static int read_all(
	struct smx_frame_reader *rd, const struct smx_buf *in, size_t step, struct smx_buf *out)
{
	static uint8_t copy[4 * SMX_FRAME_MAX];
	size_t len = smx_buf_len(in), n;
	struct smx_view payload;
	uint8_t type, *p;
	int r = 0;

	memcpy(copy, smx_buf_view(in), len);
	for (size_t at = 0; at < len && (r == 0 || r == SMX_EAGAIN); at += step) {
		p = copy + at;
		n = len - at < step ? len - at : step;
		while ((r = smx_frame_reader_next(rd, &p, &n, &type, &payload)) == 0) {
			if (type == SMX_FRAME_DATA && payload.len)
				assert_true(payload.p >= copy && payload.p < copy + len);
			if (type != SMX_FRAME_DATA && (r = smx_put_u8(out, type)) != 0)
				return r;
			if ((r = smx_buf_put(out, payload.p, payload.len)) != 0)
				return r;
		}
	}
	return r == SMX_EAGAIN ? 0 : r;
}

/* B7: nothing of a stream is copied or kept, however its frames are cut. */
static void test_B7_a_stream_is_handed_out_from_where_it_is(void **state)
{
	static uint8_t data[SMX_FRAME_DATA_MAX];
	struct smx_answer answer = { 7, SMX_ANSWER_OK, test_str("123456") };
	struct smx_frame_reader rd;
	struct smx_buf in, out, want;
	long alive = smx_mem_alive();

	(void)state;
	smx_buf_init(&in, 4 * SMX_FRAME_MAX);
	smx_buf_init(&out, 4 * SMX_FRAME_MAX);
	smx_buf_init(&want, 4 * SMX_FRAME_MAX);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	assert_int_equal(smx_frame_put(&in, 1, (struct smx_view){ data, sizeof(data) }, none), 0);
	assert_int_equal(smx_answer_put(&in, &answer), 0);
	assert_int_equal(smx_frame_put(&in, SMX_FRAME_DATA, none, none), 0);
	assert_int_equal(smx_frame_put(&in, SMX_FRAME_DATA, test_str("abc"), none), 0);
	assert_int_equal(smx_frame_put(&in, SMX_FRAME_END, none, none), 0);
	assert_int_equal(smx_buf_put(&want, data, sizeof(data)), 0);
	assert_int_equal(smx_buf_put(&want, "\x11\0\0\0\7\0", 6), 0);
	assert_int_equal(smx_buf_put_str(&want, "123456abc\2"), 0);
	for (size_t step = 1; step <= smx_buf_len(&in) + 1; step += step < 100 ? 1 : 9973) {
		smx_frame_reader_init(&rd);
		smx_buf_reset(&out);
		assert_int_equal(read_all(&rd, &in, step, &out), 0);
		assert_true(smx_view_eq_view(smx_buf_as_view(&out), smx_buf_as_view(&want)));
		assert_int_equal(rd.n_frames, 5);
		assert_int_equal(smx_frame_reader_is_mid(&rd), 0);
		smx_frame_reader_release(&rd);
	}
	smx_buf_release(&in);
	smx_buf_release(&out);
	smx_buf_release(&want);
	assert_int_equal(smx_mem_alive(), alive);
}

static void test_S7_the_reader_knows_whether_a_frame_has_ended(void **state)
{
	uint8_t bytes[] = { 0, 0, 0, 3, 1, 'a', 'b' }, *p = bytes;
	struct smx_frame_reader rd;
	struct smx_view payload;
	uint8_t type;
	size_t n = 1;

	(void)state;
	smx_frame_reader_init(&rd);
	assert_int_equal(smx_frame_reader_is_mid(&rd), 0);
	for (size_t i = 0; i < 5; i++, n = 1) {
		assert_int_equal(smx_frame_reader_next(&rd, &p, &n, &type, &payload), SMX_EAGAIN);
		assert_int_equal(smx_frame_reader_is_mid(&rd), 1);
	}
	n = 1;
	assert_int_equal(smx_frame_reader_next(&rd, &p, &n, &type, &payload), 0);
	assert_true(smx_view_eq(payload, "a"));
	assert_int_equal(smx_frame_reader_is_mid(&rd), 1);
	assert_int_equal(rd.n_frames, 0);
	n = 1;
	assert_int_equal(smx_frame_reader_next(&rd, &p, &n, &type, &payload), 0);
	assert_true(smx_view_eq(payload, "b"));
	assert_int_equal(smx_frame_reader_is_mid(&rd), 0);
	assert_int_equal(rd.n_frames, 1);
	smx_frame_reader_release(&rd);
}

static void test_S7_the_reader_judges_lengths_as_well(void **state)
{
	static const struct {
		uint8_t head[4];
		int r;
	} rows[] = {
		{ { 0, 0, 0, 0 }, SMX_EFORMAT },
		{ { 0, 1, 0, 0 }, SMX_EAGAIN },
		{ { 0, 1, 0, 1 }, SMX_ETOOBIG },
		{ { 0xff, 0xff, 0xff, 0xff }, SMX_ETOOBIG },
	};
	struct smx_frame_reader rd;
	struct smx_view payload;
	uint8_t head[4], type, *p;
	size_t n;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		memcpy(head, rows[i].head, 4);
		p = head;
		n = 4;
		smx_frame_reader_init(&rd);
		assert_int_equal(smx_frame_reader_next(&rd, &p, &n, &type, &payload), rows[i].r);
		smx_frame_reader_release(&rd);
	}
}

/* A2: of an answer nothing stays where it was read. */
static void test_A2_an_answer_is_wiped_where_it_came_from(void **state)
{
	struct smx_answer answer = { 7, SMX_ANSWER_OK, test_str("123456") };
	struct smx_frame_reader rd;
	struct smx_view payload;
	struct smx_buf b;
	uint8_t type, *p;
	size_t n;

	(void)state;
	smx_buf_init(&b, 100);
	assert_int_equal(smx_answer_put(&b, &answer), 0);
	p = b.data;
	n = smx_buf_len(&b);
	smx_frame_reader_init(&rd);
	assert_int_equal(smx_frame_reader_next(&rd, &p, &n, &type, &payload), 0);
	assert_int_equal(type, SMX_FRAME_ANSWER);
	assert_int_equal(n, 0);
	assert_memory_equal(payload.p + 5, "123456", 6);
	for (uint8_t *q = b.data + SMX_FRAME_HEAD; q < p; q++)
		assert_int_equal(*q, 0);
	smx_frame_reader_release(&rd);
	smx_buf_release(&b);
}

static void test_no_memory_for_the_reader(void **state)
{
	struct smx_answer answer = { 7, SMX_ANSWER_OK, test_str("123456") };
	struct smx_frame_reader rd;
	struct smx_buf in, out;
	int r = SMX_ENOMEM;
	long alive;

	(void)state;
	smx_buf_init(&in, 300);
	assert_int_equal(smx_frame_put(&in, SMX_FRAME_DATA, test_str("abc"), none), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(smx_answer_put(&in, &answer), 0);
	alive = smx_mem_alive();
	for (long n = 0; r != 0; n++) {
		smx_frame_reader_init(&rd);
		smx_buf_init(&out, 300);
		smx_mem_fail_after(n);
		r = read_all(&rd, &in, 3, &out);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || r == SMX_ENOMEM);
		assert_true(n > 0 || r == SMX_ENOMEM);
		smx_frame_reader_release(&rd);
		smx_buf_release(&out);
		assert_int_equal(smx_mem_alive(), alive);
	}
	smx_buf_release(&in);
}

static void test_B7_data_may_be_read_past_the_reader(void **state)
{
	uint8_t bytes[] = { 0, 0, 0, 4, 1, 'a', 0, 0, 0, 3, 0x80, 'x' }, *p = bytes;
	struct smx_frame_reader rd;
	struct smx_view payload;
	uint8_t type;
	size_t n = 5;

	(void)state;
	smx_frame_reader_init(&rd);
	assert_int_equal(smx_frame_reader_data_left(&rd), 0);
	assert_int_equal(smx_frame_reader_next(&rd, &p, &n, &type, &payload), SMX_EAGAIN);
	assert_int_equal(smx_frame_reader_data_left(&rd), 3);
	n = 1;
	assert_int_equal(smx_frame_reader_next(&rd, &p, &n, &type, &payload), 0);
	assert_int_equal(smx_frame_reader_data_left(&rd), 2);
	smx_frame_reader_skip(&rd, 1);
	assert_int_equal(rd.n_frames, 0);
	smx_frame_reader_skip(&rd, 1);
	assert_int_equal(rd.n_frames, 1);
	assert_int_equal(smx_frame_reader_is_mid(&rd), 0);
	/* Of another frame nothing passes it. */
	n = 6;
	assert_int_equal(smx_frame_reader_next(&rd, &p, &n, &type, &payload), SMX_EAGAIN);
	assert_int_equal(smx_frame_reader_is_mid(&rd), 1);
	assert_int_equal(smx_frame_reader_data_left(&rd), 0);
	smx_frame_reader_release(&rd);
}

static void test_B7_frames_are_cut_from_where_the_bytes_are(void **state)
{
	enum { LEN = SMX_FRAME_CUT_MAX * SMX_FRAME_DATA_MAX + 3 };
	uint8_t heads[SMX_FRAME_CUT_MAX][SMX_FRAME_HEAD];
	struct smx_view parts[2 * SMX_FRAME_CUT_MAX], data;
	static uint8_t bytes[LEN];
	size_t used = 0;

	(void)state;
	data = (struct smx_view){ bytes, LEN };
	assert_int_equal(smx_frame_cut(&data, heads, parts), 2 * SMX_FRAME_CUT_MAX);
	for (size_t i = 0; i < 2 * SMX_FRAME_CUT_MAX; i += 2) {
		assert_int_equal(parts[i].len, SMX_FRAME_HEAD);
		assert_int_equal(smx_get_u32(parts[i].p), SMX_FRAME_MAX);
		assert_int_equal(parts[i].p[4], SMX_FRAME_DATA);
		assert_ptr_equal(parts[i + 1].p, bytes + used);
		used += parts[i + 1].len;
	}
	assert_int_equal(data.len, 3);
	assert_int_equal(smx_frame_cut(&data, heads, parts), 2);
	assert_int_equal(smx_get_u32(parts[0].p), 4);
	assert_ptr_equal(parts[1].p, bytes + used);
	assert_int_equal(parts[1].len, 3);
	assert_int_equal(smx_frame_cut(&data, heads, parts), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_S7_one_frame_in_every_cut),
		cmocka_unit_test(test_S7_lengths_are_judged_before_they_are_awaited),
		cmocka_unit_test(test_S7_the_largest_frame),
		cmocka_unit_test(test_questions_and_answers),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_B7_a_stream_is_handed_out_from_where_it_is),
		cmocka_unit_test(test_S7_the_reader_knows_whether_a_frame_has_ended),
		cmocka_unit_test(test_S7_the_reader_judges_lengths_as_well),
		cmocka_unit_test(test_A2_an_answer_is_wiped_where_it_came_from),
		cmocka_unit_test(test_no_memory_for_the_reader),
		cmocka_unit_test(test_B7_data_may_be_read_past_the_reader),
		cmocka_unit_test(test_B7_frames_are_cut_from_where_the_bytes_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
