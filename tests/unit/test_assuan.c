/* SPDX-License-Identifier: MIT */
/* The Assuan protocol and a pinentry's dialogue (A6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "pinentry/dialogue.h"

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

/* --- lines --- */

static void A6_everything_that_could_inject_is_escaped(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain text", "SETDESC plain text\n" },
		{ "", "SETDESC\n" },
		{ " leads", "SETDESC %20leads\n" },
		{ "a\nGETPIN\n", "SETDESC a%0AGETPIN%0A\n" },
		{ "a\rb", "SETDESC a%0Db\n" },
		{ "100%0A", "SETDESC 100%250A\n" },
		{ "ends\\", "SETDESC ends%5C\n" },
		{ "\x1b[31m\x07\x7f\t", "SETDESC %1B[31m%07%7F%09\n" },
		{ "K\xc3\xb6ln", "SETDESC K\xc3\xb6ln\n" },
	};
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 4096);
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		assert_int_equal(smx_assuan_put(&out, "SETDESC", view(rows[i].in)), 0);
		assert_string_equal(smx_buf_cstr(&out), rows[i].out);
		smx_buf_reset(&out);
	}
	/* A NUL too, and every byte comes back as it was. */
	for (unsigned c = 0; c < 256; c++) {
		uint8_t byte[2] = { (uint8_t)c, 'x' };
		struct smx_view got;
		struct smx_buf back;

		smx_buf_init(&back, 16);
		assert_int_equal(smx_assuan_put(&out, "D", (struct smx_view){ byte, 2 }), 0);
		got = smx_buf_as_view(&out);
		for (size_t i = 0; i + 1 < got.len; i++)
			assert_true(got.p[i] >= 0x20 && got.p[i] != 0x7f);
		got.p += 2;
		got.len -= 3;
		assert_int_equal(smx_assuan_decode(got, &back), 0);
		assert_int_equal(smx_buf_len(&back), 2);
		assert_memory_equal(smx_buf_view(&back), byte, 2);
		smx_buf_release(&back);
		smx_buf_reset(&out);
	}
	smx_buf_release(&out);
}

static void a_line_has_a_limit(void **state)
{
	char text[2000];
	struct smx_buf out;
	size_t n;

	(void)state;
	smx_buf_init(&out, 4096);
	memset(text, 'x', sizeof(text));
	n = SMX_ASSUAN_LINE_MAX - strlen("SETDESC ") - 1;
	assert_int_equal(smx_assuan_put(&out, "SETDESC", smx_view_of(text, n)), 0);
	assert_int_equal(smx_buf_len(&out), SMX_ASSUAN_LINE_MAX);
	smx_buf_reset(&out);
	assert_int_equal(smx_assuan_put(&out, "SETDESC", smx_view_of(text, n + 1)), SMX_ETOOBIG);
	assert_int_equal(smx_buf_len(&out), 0);
	/* Text is cut, never within a character or an escape. */
	for (size_t at = n - 8; at <= n + 1; at++) {
		memset(text, 'x', sizeof(text));
		memcpy(text + at, "\xf0\x9f\x94\x91%", 5);
		assert_int_equal(
			smx_assuan_put_cut(&out, "SETDESC", smx_view_of(text, sizeof(text))), 0);
		assert_true(smx_buf_len(&out) <= SMX_ASSUAN_LINE_MAX);
		assert_int_equal(smx_buf_view(&out)[smx_buf_len(&out) - 1], '\n');
		/* What is there of it is whole. */
		if (at + 4 <= n)
			assert_non_null(strstr(smx_buf_cstr(&out), "\xf0\x9f\x94\x91"));
		else
			assert_null(strchr(smx_buf_cstr(&out), '\xf0'));
		if (strchr(smx_buf_cstr(&out), '%'))
			assert_non_null(strstr(smx_buf_cstr(&out), "%25"));
		smx_buf_reset(&out);
	}
	smx_buf_release(&out);
}

static void S7_lines_are_parsed_and_bounded(void **state)
{
	static const struct {
		const char *in;
		int r;
		enum smx_assuan_type type;
		uint32_t code;
		const char *rest;
	} rows[] = {
		{ "OK\n", 0, SMX_ASSUAN_OK, 0, "" },
		{ "OK Pleased to meet you\r\n", 0, SMX_ASSUAN_OK, 0, "Pleased to meet you" },
		{ "ERR 83886179 Operation cancelled\n", 0, SMX_ASSUAN_ERR, 83886179,
			"83886179 Operation cancelled" },
		{ "ERR 1\n", 0, SMX_ASSUAN_ERR, 1, "1" },
		{ "ERR\n", SMX_EFORMAT, 0, 0, "" },
		{ "ERR x\n", SMX_EFORMAT, 0, 0, "" },
		{ "ERR 12x\n", SMX_EFORMAT, 0, 0, "" },
		{ "ERR 4294967296\n", SMX_EFORMAT, 0, 0, "" },
		{ "D 123%0A\n", 0, SMX_ASSUAN_DATA, 0, "123%0A" },
		{ "D \n", 0, SMX_ASSUAN_DATA, 0, "" },
		{ "S PIN_REPEATED\n", 0, SMX_ASSUAN_STATUS, 0, "PIN_REPEATED" },
		{ "# a comment\n", 0, SMX_ASSUAN_COMMENT, 0, "" },
		{ "\n", 0, SMX_ASSUAN_COMMENT, 0, "" },
		{ "INQUIRE QUALITY x\n", 0, SMX_ASSUAN_INQUIRE, 0, "QUALITY x" },
		{ "OKAY\n", SMX_EFORMAT, 0, 0, "" },
		{ "ok\n", SMX_EFORMAT, 0, 0, "" },
		{ "DATA\n", SMX_EFORMAT, 0, 0, "" },
		{ "\x1b[31m\n", SMX_EFORMAT, 0, 0, "" },
		{ "OK", SMX_EAGAIN, 0, 0, "" },
		{ "", SMX_EAGAIN, 0, 0, "" },
	};
	char long_line[SMX_ASSUAN_LINE_MAX + 1];
	struct smx_assuan_line line;
	size_t used;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		used = 12345;
		assert_int_equal(smx_assuan_next(view(rows[i].in), &line, &used), rows[i].r);
		if (rows[i].r != 0) {
			assert_int_equal(used, 12345);
			continue;
		}
		assert_int_equal(used, strlen(rows[i].in));
		assert_int_equal(line.type, rows[i].type);
		assert_int_equal(line.code, rows[i].code);
		assert_true(smx_view_eq(line.rest, rows[i].rest));
	}
	memset(long_line, '#', sizeof(long_line));
	assert_int_equal(
		smx_assuan_next(smx_view_of(long_line, SMX_ASSUAN_LINE_MAX - 1), &line, &used),
		SMX_EAGAIN);
	assert_int_equal(smx_assuan_next(smx_view_of(long_line, SMX_ASSUAN_LINE_MAX), &line, &used),
		SMX_ETOOBIG);
	long_line[SMX_ASSUAN_LINE_MAX - 1] = '\n';
	assert_int_equal(
		smx_assuan_next(smx_view_of(long_line, SMX_ASSUAN_LINE_MAX), &line, &used), 0);
}

static void bad_escapes_are_refused(void **state)
{
	static const char *const bad[] = { "%", "a%", "%0", "%0g", "%g0", "% 1", "ok%4" };
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 8);
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		assert_int_equal(smx_assuan_decode(view(bad[i]), &out), SMX_EFORMAT);
		assert_int_equal(smx_buf_len(&out), 0);
	}
	smx_buf_release(&out);
	smx_buf_init_secret(&out, 8); /* one that has no memory yet */
	assert_int_equal(smx_assuan_decode(view("%zz"), &out), SMX_EFORMAT);
	assert_int_equal(smx_assuan_decode(view("123456789"), &out), SMX_ELIMIT);
	assert_int_equal(smx_buf_len(&out), 0);
	smx_buf_release(&out);
}

/* --- the dialogue --- */

static const struct smx_pinentry_question pin = { .title = "ssh-mux",
	.description = "login to a\nb",
	.prompt = "Code: ",
	.ttyname = "/dev/pts/7",
	.ttytype = "xterm" };
static const struct smx_pinentry_question yes_no = { .description = "sure?" };

/* Feeds what a pinentry says after each command; "..." of the commands is compared. */
static int converse(struct smx_pinentry *p, const char *const *says, const char *const *commands)
{
	int r = SMX_EAGAIN;

	for (; *says && r == SMX_EAGAIN; says++) {
		r = smx_pinentry_feed(p, view(*says));
		if (commands && r == SMX_EAGAIN && smx_buf_len(&p->out)) {
			assert_non_null(*commands);
			assert_string_equal(smx_buf_cstr(&p->out), *commands);
			commands++;
		}
		smx_buf_reset(&p->out);
	}
	if (commands)
		assert_null(*commands);
	return r;
}

static void A6_a_pin_is_asked(void **state)
{
	static const char *const says[] = { "OK hello\n", "OK\n", "OK\n", "ERR 83886340 no\n",
		"OK\n", "OK\n", "OK\n", "S PIN\n", "# so\n", "D 12", "3%25\nD 4\n", "OK\n", NULL };
	static const char *const commands[] = { "OPTION no-grab\n", "OPTION ttyname=/dev/pts/7\n",
		"OPTION ttytype=xterm\n", "SETTITLE ssh-mux\n", "SETDESC login to a%0Ab\n",
		"SETPROMPT Code: \n", "GETPIN\n", NULL };
	struct smx_pinentry p;

	(void)state;
	assert_int_equal(smx_pinentry_init(&p, &pin), 0);
	assert_int_equal(converse(&p, says, commands), 0);
	assert_string_equal(smx_pinentry_answer(&p), "123%4");
	smx_pinentry_release(&p);
}

static void A6_a_key_is_confirmed(void **state)
{
	static const char *const commands[] = { "OPTION no-grab\n", "SETDESC sure?\n",
		"SETOK Yes\n", "SETCANCEL No\n", "CONFIRM\n", NULL };
	static const struct {
		const char *last;
		int r;
		const char *answer;
	} rows[] = {
		{ "OK\n", 0, "yes" },
		{ "ERR 83886194 Not confirmed\n", 0, "no" },
		{ "ERR 83886179 Operation cancelled\n", SMX_ECANCELLED, NULL },
		{ "D yes\n", SMX_EFORMAT, NULL },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		const char *says[] = { "OK\n", "OK\n", "OK\n", "OK\n", "OK\n", rows[i].last, NULL };
		struct smx_pinentry p;

		assert_int_equal(smx_pinentry_init(&p, &yes_no), 0);
		assert_int_equal(converse(&p, says, commands), rows[i].r);
		if (rows[i].answer)
			assert_string_equal(smx_pinentry_answer(&p), rows[i].answer);
		smx_pinentry_release(&p);
	}
}

static void A6_every_other_end(void **state)
{
	/* How a dialogue ends that goes on normally for `good` replies. */
	static const struct {
		unsigned good;
		const char *then;
		int r;
	} rows[] = {
		{ 0, "ERR 1 go away\n", SMX_ENOTFOUND }, { 0, "who?\n", SMX_EFORMAT },
		{ 0, "D early\n", SMX_EFORMAT },
		{ 5, "ERR 1 no descriptions\n",
			SMX_ENOTFOUND }, /* the question would not be seen */
		{ 7, "ERR 83886179 Operation cancelled\n", SMX_ECANCELLED },
		{ 7, "ERR 83886278 Fully\n", SMX_ECANCELLED },
		{ 7, "ERR 83886142 Timeout\n", SMX_ECANCELLED },
		{ 7, "ERR 83886194 Not confirmed\n", SMX_ECANCELLED },
		{ 7, "ERR 83886166 No pinentry\n", SMX_EUNSUPPORTED },
		{ 5, "ERR 83886166 No pinentry\n", SMX_ENOTFOUND },
		{ 7, "ERR 83918950 Inappropriate ioctl for device\n", SMX_ENOTFOUND },
		{ 7, "INQUIRE QUALITY x\n", SMX_EFORMAT }, { 7, "D a%00b\nOK\n", SMX_EFORMAT },
		{ 7, "D a%zz\n", SMX_EFORMAT }, { 7, "OK\n", 0 }, /* the empty answer is one */
	};
	struct smx_pinentry p;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		assert_int_equal(smx_pinentry_init(&p, &pin), 0);
		for (unsigned n = 0; n < rows[i].good; n++)
			assert_int_equal(smx_pinentry_feed(&p, view("OK\n")), SMX_EAGAIN);
		/* Its end without a word: only where it had begun to ask, somebody ended it. */
		assert_int_equal(
			smx_pinentry_end(&p), rows[i].good == 7 ? SMX_ECANCELLED : SMX_ENOTFOUND);
		assert_int_equal(smx_pinentry_feed(&p, view(rows[i].then)), rows[i].r);
		smx_pinentry_release(&p);
	}
}

static void S7_answers_are_bounded(void **state)
{
	char line[SMX_ASSUAN_LINE_MAX];
	struct smx_pinentry p;
	int r = SMX_EAGAIN;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "D ", 2);
	line[sizeof(line) - 1] = '\n';
	for (size_t n = SMX_PINENTRY_ANSWER_MAX; n <= SMX_PINENTRY_ANSWER_MAX + 1; n++) {
		size_t rest = n - (sizeof(line) - 3);

		assert_int_equal(smx_pinentry_init(&p, &pin), 0);
		for (unsigned i = 0; i < 7; i++)
			assert_int_equal(smx_pinentry_feed(&p, view("OK\n")), SMX_EAGAIN);
		assert_int_equal(
			smx_pinentry_feed(&p, smx_view_of(line, sizeof(line))), SMX_EAGAIN);
		(void)smx_pinentry_feed(&p, smx_view_of(line, 2 + rest));
		r = smx_pinentry_feed(&p, view("\nOK\n"));
		assert_int_equal(r, n > SMX_PINENTRY_ANSWER_MAX ? SMX_ETOOBIG : 0);
		if (r == 0)
			assert_int_equal(strlen(smx_pinentry_answer(&p)), n);
		smx_pinentry_release(&p);
	}
	/* And without any end. */
	assert_int_equal(smx_pinentry_init(&p, &pin), 0);
	memset(line, '#', sizeof(line));
	assert_int_equal(smx_pinentry_feed(&p, smx_view_of(line, sizeof(line))), SMX_ETOOBIG);
	smx_pinentry_release(&p);
}

/* A host key is not to be accepted by somebody who saw half of the question. */
static void A6_a_question_of_yes_or_no_is_never_cut(void **state)
{
	static char text[3000];
	struct smx_pinentry_question q = { .description = text };
	struct smx_pinentry p;

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	assert_int_equal(smx_pinentry_init(&p, &q), SMX_ETOOBIG);
	q.prompt = "Code: ";
	assert_int_equal(smx_pinentry_init(&p, &q), 0);
	smx_pinentry_release(&p);
}

static void failing_memory(void **state)
{
	static const char *const says[] = { "OK\n", "OK\n", "OK\n", "OK\n", "OK\n", "OK\n", "OK\n",
		"D 1\nOK\n", NULL };
	long before = smx_mem_alive();
	struct smx_pinentry p;
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r != 0; n++) {
		smx_mem_fail_after(n);
		r = smx_pinentry_init(&p, &pin);
		if (r == 0) {
			r = converse(&p, says, NULL);
			if (r == 0 && !smx_pinentry_answer(&p))
				r = SMX_ENOMEM;
			smx_pinentry_release(&p);
		}
		smx_mem_fail_after(-1);
		assert_true(r == 0 || r == SMX_ENOMEM);
		assert_int_equal(smx_mem_alive(), before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A6_everything_that_could_inject_is_escaped),
		cmocka_unit_test(a_line_has_a_limit),
		cmocka_unit_test(S7_lines_are_parsed_and_bounded),
		cmocka_unit_test(bad_escapes_are_refused),
		cmocka_unit_test(A6_a_pin_is_asked),
		cmocka_unit_test(A6_a_key_is_confirmed),
		cmocka_unit_test(A6_every_other_end),
		cmocka_unit_test(S7_answers_are_bounded),
		cmocka_unit_test(A6_a_question_of_yes_or_no_is_never_cut),
		cmocka_unit_test(failing_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
