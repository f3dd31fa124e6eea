/* SPDX-License-Identifier: MIT */
/* Lines of the log: their form, and what strangers put into them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"

struct captured {
	char line[SMX_LOG_LINE_SIZE + 1];
	size_t len;
	int n;
	enum smx_log_level level;
};

static struct captured c;

static void capture(void *arg, enum smx_log_level level, const char *line, size_t len)
{
	assert_ptr_equal(arg, &c);
	assert_true(len <= SMX_LOG_LINE_SIZE);
	memcpy(c.line, line, len);
	c.line[len] = '\0';
	c.len = len;
	c.level = level;
	c.n++;
}

static int setup(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	smx_log_set_sink(capture, &c);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	smx_log_set_level(SMX_LOG_INFO);
	smx_log_set_sink(NULL, NULL);
	return 0;
}

static const char *text(void)
{
	return c.line + SMX_LOG_STAMP_SIZE; /* behind the time and a blank */
}

/* D4; and nothing that a remote sends can forge a line or drive a terminal (A7). */
static void D4_lines_are_one_line(void **state)
{
	char huge[3 * SMX_LOG_TEXT_MAX];

	(void)state;
	log_warn("evil: %s", "a\nb\r\x1b[31m\x7f\tc");
	assert_int_equal(c.n, 1);
	assert_int_equal(c.level, SMX_LOG_WARN);
	assert_string_equal(text(), "warn evil: a\\x0ab\\x0d\\x1b[31m\\x7f\\x09c\n");
	/* C1 controls, coded or bare, what is not UTF-8, and what some take for line ends. */
	log_error("%s", "\xc2\x9b"
			"0m \x9b \xff\xfe \xe2\x80\xa8 \xc3\xa9 \xe2\x82\xac \xc3");
	assert_string_equal(text(), "error \\xc2\\x9b0m \\x9b \\xff\\xfe \\xe2\\x80\\xa8 \xc3\xa9 "
				    "\xe2\x82\xac \\xc3\n");
	memset(huge, '\n', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	log_error("%s", huge);
	assert_int_equal(c.n, 3);
	assert_ptr_equal(strchr(c.line, '\n'), c.line + c.len - 1);
	assert_string_equal(c.line + c.len - 5, "a...\n");
}

/* D4: a long line (an RSA key to be copied) is there to its end. */
static void D4_long_text_is_kept(void **state)
{
	char key[3000];

	(void)state;
	memset(key, 'A', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	log_info("%s end", key);
	assert_string_equal(c.line + c.len - 6, "A end\n");
	assert_int_equal(c.len, SMX_LOG_STAMP_SIZE + strlen("info ") + strlen(key) + 5);
}

static void D4_time_is_utc_with_milliseconds(void **state)
{
	static const int64_t times[] = { 0, 951782399, 951782400, 951868799, 951868800, 1078012800,
		1795448313, 4107542399, 4107542400, 32503679999 };
	char stamp[SMX_LOG_STAMP_SIZE], expected[32];
	time_t t;

	(void)state;
	for (size_t i = 0; i < 5000 + sizeof(times) / sizeof(*times); i++) {
		/* Days all over the centuries, at changing times of the day. */
		t = i < 5000 ? (time_t)i * 86399 * 37 : (time_t)times[i - 5000];
		(void)strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", gmtime(&t));
		(void)strcat(expected, ".042Z");
		smx_log_stamp((int64_t)t, 42, stamp);
		assert_string_equal(stamp, expected);
	}
	/* Later than the C library of Windows knows years. */
	smx_log_stamp(253402300799, 42, stamp);
	assert_string_equal(stamp, "9999-12-31T23:59:59.042Z");
	smx_log_stamp(-5, 1007, stamp);
	assert_string_equal(stamp, "1970-01-01T00:00:00.007Z");
	log_info("now");
	t = time(NULL);
	(void)strftime(expected, sizeof(expected), "%Y-%m-%d", gmtime(&t));
	assert_memory_equal(c.line, expected, 8); /* this month, or its last moment */
	assert_int_equal(c.line[10], 'T');
	assert_int_equal(c.line[19], '.');
	assert_string_equal(text() - 2, "Z info now\n");
}

static void D4_levels(void **state)
{
	enum smx_log_level level = SMX_LOG_ERROR;
	int evaluated = 0;

	(void)state;
	log_debug("%d", evaluated = 1);
	assert_int_equal(c.n, 0);
	assert_int_equal(evaluated, 0); /* what is not logged costs nothing */
	assert_int_equal(smx_log_level_parse("debug", &level), 0);
	assert_int_equal(level, SMX_LOG_DEBUG);
	smx_log_set_level(level);
	assert_true(smx_log_enabled(SMX_LOG_DEBUG));
	log_debug("x");
	assert_int_equal(c.n, 1);
	assert_int_equal(smx_log_level_parse("loud", &level), SMX_EINVAL);
	assert_int_equal(level, SMX_LOG_DEBUG);
	assert_int_equal(smx_log_level_parse("error", &level), 0);
	smx_log_set_level(level);
	log_warn("x");
	assert_int_equal(c.n, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(D4_lines_are_one_line),
		TEST(D4_long_text_is_kept),
		TEST(D4_time_is_utc_with_milliseconds),
		TEST(D4_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
