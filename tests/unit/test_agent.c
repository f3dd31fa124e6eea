/* SPDX-License-Identifier: MIT */
/* Messages of the agent protocol (A1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/agent.h"

#define VIEW(text) smx_view_of(text, sizeof(text) - 1)

static void requests(void **state)
{
	static const char list[] = "\0\0\0\1\x0b";
	static const char sign[] = "\0\0\0\x17\x0d\0\0\0\4blob\0\0\0\6abcdef\0\0\0\4";
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 100);
	assert_int_equal(smx_agent_put_list(&b), 0);
	assert_int_equal(smx_buf_len(&b), sizeof(list) - 1);
	assert_memory_equal(smx_buf_view(&b), list, sizeof(list) - 1);
	smx_buf_reset(&b);
	assert_int_equal(
		smx_agent_put_sign(&b, VIEW("blob"), VIEW("abcdef"), SMX_AGENT_SIGN_RSA_SHA2_512),
		0);
	assert_int_equal(smx_buf_len(&b), sizeof(sign) - 1);
	assert_memory_equal(smx_buf_view(&b), sign, sizeof(sign) - 1);
	smx_buf_release(&b);
}

static void frames(void **state)
{
	static const char two[] = "\0\0\0\2\x0cx\0\0\0\1\5";
	static const char big[] = "\0\4\0\1";
	struct smx_view message = { NULL, 7 };
	size_t used = 7;

	(void)state;
	for (size_t n = 0; n < 6; n++) {
		assert_int_equal(smx_agent_frame(smx_view_of(two, n), &message, &used), SMX_EAGAIN);
		assert_int_equal(used + message.len, 14); /* untouched */
	}
	assert_int_equal(smx_agent_frame(VIEW(two), &message, &used), 0);
	assert_int_equal(used, 6);
	assert_int_equal(message.len, 2);
	assert_int_equal(smx_agent_frame(smx_view_of(two + 6, 5), &message, &used), 0);
	assert_int_equal(message.len, 1);
	/* Bounded before anything is waited for. */
	assert_int_equal(smx_agent_frame(VIEW(big), &message, &used), SMX_ETOOBIG);
	assert_int_equal(
		smx_agent_frame(smx_view_of("\xff\xff\xff\xff", 4), &message, &used), SMX_ETOOBIG);
	assert_int_equal(smx_agent_frame(smx_view_of("\0\0\0\0", 4), &message, &used), SMX_EFORMAT);
}

struct seen {
	int n, stop_at;
	char text[64];
};

static int each(void *arg, struct smx_view blob, struct smx_view comment)
{
	struct seen *seen = arg;

	if (seen->n++ == seen->stop_at)
		return SMX_ECANCELLED;
	(void)strncat(seen->text, (const char *)blob.p, blob.len);
	(void)strcat(seen->text, ":");
	(void)strncat(seen->text, (const char *)comment.p, comment.len);
	(void)strcat(seen->text, ";");
	return 0;
}

static void lists(void **state)
{
	static const char two[] = "\x0c\0\0\0\2\0\0\0\2k1\0\0\0\1a\0\0\0\2k2\0\0\0\0";
	struct seen seen = { .stop_at = -1 };

	(void)state;
	assert_int_equal(smx_agent_parse_list(VIEW(two), each, &seen), 0);
	assert_string_equal(seen.text, "k1:a;k2:;");
	seen = (struct seen){ .stop_at = 1 };
	assert_int_equal(smx_agent_parse_list(VIEW(two), each, &seen), SMX_ECANCELLED);
	assert_int_equal(seen.n, 2);
	seen = (struct seen){ .stop_at = -1 };
	assert_int_equal(smx_agent_parse_list(VIEW("\x0c\0\0\0\0"), each, &seen), 0);
	assert_int_equal(smx_agent_parse_list(VIEW("\5"), each, &seen), SMX_EREFUSED);
	assert_int_equal(smx_agent_parse_list(VIEW("\x0e\0\0\0\0"), each, &seen), SMX_EPROTOCOL);
	assert_int_equal(smx_agent_parse_list(VIEW("\x0c\0\0\1\1"), each, &seen), SMX_ETOOBIG);
	assert_int_equal(
		smx_agent_parse_list(VIEW("\x0c\xff\xff\xff\xff"), each, &seen), SMX_ETOOBIG);
	assert_int_equal(smx_agent_parse_list(VIEW("\x0c\0\0\0\1"), each, &seen), SMX_ETRUNCATED);
	assert_int_equal(smx_agent_parse_list(VIEW("\x0c\0\0\0\0x"), each, &seen), SMX_ETRAILING);
	assert_int_equal(seen.n, 0);
}

static void signatures(void **state)
{
	struct smx_view sig = { NULL, 7 };

	(void)state;
	assert_int_equal(smx_agent_parse_signature(VIEW("\5"), &sig), SMX_EREFUSED);
	assert_int_equal(smx_agent_parse_signature(VIEW("\x0c"), &sig), SMX_EPROTOCOL);
	assert_int_equal(smx_agent_parse_signature(VIEW("\x0e\0\0\0\2x"), &sig), SMX_ETRUNCATED);
	assert_int_equal(smx_agent_parse_signature(VIEW("\x0e\0\0\0\1xy"), &sig), SMX_ETRAILING);
	assert_int_equal(sig.len, 7);
	assert_int_equal(smx_agent_parse_signature(VIEW("\x0e\0\0\0\1x"), &sig), 0);
	assert_int_equal(sig.len, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(frames),
		cmocka_unit_test(lists),
		cmocka_unit_test(signatures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
