/* SPDX-License-Identifier: MIT */
/* Messages of user authentication, to the byte (RFC 4252, 4256; A2, A3, S7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/auth_msg.h"

#define VIEW(text) smx_view_of(text, sizeof(text) - 1)
#define RD(text)   smx_rd_from(text, sizeof(text) - 1)
#define HEAD       "\x32\0\0\0\3joe\0\0\0\x0essh-connection"

static void assert_bytes(struct smx_buf *b, const char *want, size_t len)
{
	assert_int_equal(smx_buf_len(b), len);
	assert_memory_equal(smx_buf_view(b), want, len);
	smx_buf_reset(b);
}

static void requests(void **state)
{
	static const char none[] = HEAD "\0\0\0\4none";
	static const char password[] = HEAD "\0\0\0\x08password\0\0\0\0\6secret";
	static const char kbdint[] = HEAD "\0\0\0\x14keyboard-interactive\0\0\0\0\0\0\0\0";
	static const char probe[] = HEAD "\0\0\0\x09publickey\0\0\0\0\3alg\0\0\0\4blob";
	static const char request[] = HEAD "\0\0\0\x09publickey\1\0\0\0\3alg\0\0\0\4blob";
	static const char to_sign[] =
		"\0\0\0\2id" HEAD "\0\0\0\x09publickey\1\0\0\0\3alg\0\0\0\4blob";
	static const char bound[] =
		"\0\0\0\2id" HEAD "\0\0\0\x23publickey-hostbound-v00@openssh.com\1\0\0\0\3alg"
		"\0\0\0\4blob\0\0\0\4host";
	struct smx_auth_pubkey key = { .user = "joe", .alg = VIEW("alg"), .blob = VIEW("blob") };
	static const char response[] = "\x3d\0\0\0\2\0\0\0\6"
				       "123456\0\0\0\0";
	struct smx_view answers[2] = { VIEW("123456"), { NULL, 0 } };
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 1000);
	assert_int_equal(smx_auth_put_none(&b, "joe"), 0);
	assert_bytes(&b, none, sizeof(none) - 1);
	assert_int_equal(smx_auth_put_password(&b, "joe", VIEW("secret")), 0);
	assert_bytes(&b, password, sizeof(password) - 1);
	assert_int_equal(smx_auth_put_kbdint(&b, "joe"), 0);
	assert_bytes(&b, kbdint, sizeof(kbdint) - 1);
	assert_int_equal(smx_auth_put_pubkey_probe(&b, &key), 0);
	assert_bytes(&b, probe, sizeof(probe) - 1);
	assert_int_equal(smx_auth_put_pubkey_request(&b, (struct smx_view){ NULL, 0 }, &key), 0);
	assert_bytes(&b, request, sizeof(request) - 1);
	assert_int_equal(smx_auth_put_pubkey_request(&b, VIEW("id"), &key), 0);
	assert_bytes(&b, to_sign, sizeof(to_sign) - 1);
	/* A11 */
	key.host_key = VIEW("host");
	assert_int_equal(smx_auth_put_pubkey_request(&b, VIEW("id"), &key), 0);
	assert_bytes(&b, bound, sizeof(bound) - 1);
	assert_int_equal(smx_auth_put_info_response(&b, answers, 2), 0);
	assert_bytes(&b, response, sizeof(response) - 1);
	smx_buf_release(&b);
}

static void info_requests(void **state)
{
	static const char two[] = "\0\0\0\1n\0\0\0\2in\0\0\0\0\0\0\0\2\0\0\0\3OTP\0\0\0\0\0\1";
	static const char none[] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	struct smx_auth_info_request req;

	(void)state;
	assert_int_equal(smx_auth_parse_info_request(RD(two), &req), 0);
	assert_true(smx_view_eq(req.name, "n") && smx_view_eq(req.instruction, "in"));
	assert_int_equal(req.n_prompts, 2);
	assert_true(smx_view_eq(req.prompts[0].text, "OTP"));
	assert_false(req.prompts[0].echo);
	assert_int_equal(req.prompts[1].text.len, 0);
	assert_true(req.prompts[1].echo);
	assert_int_equal(smx_auth_parse_info_request(RD(none), &req), 0);
	assert_int_equal(req.n_prompts, 0);
	/* Cut anywhere, or with a byte too many: refused, the output untouched. */
	req.n_prompts = 77;
	for (size_t n = 0; n < sizeof(two) - 1; n++)
		assert_int_equal(
			smx_auth_parse_info_request(smx_rd_from(two, n), &req), SMX_ETRUNCATED);
	assert_int_equal(
		smx_auth_parse_info_request(smx_rd_from(none, sizeof(none)), &req), SMX_ETRAILING);
	assert_int_equal(req.n_prompts, 77);
}

/* A hostile server's numbers and sizes end before memory is spent on them. */
static void caps(void **state)
{
	static const uint32_t counts[] = { SMX_AUTH_PROMPTS_MAX + 1, 1000, 0xffffffff };
	struct smx_auth_info_request req;
	struct smx_buf b;
	uint8_t *text;

	(void)state;
	smx_buf_init(&b, SMX_AUTH_TEXT_MAX + 1000);
	for (size_t i = 0; i < SMX_ARRAY_LEN(counts); i++) {
		for (int k = 0; k < 3; k++)
			assert_int_equal(smx_put_cstr(&b, ""), 0);
		assert_int_equal(smx_put_u32(&b, counts[i]), 0);
		for (int k = 0; k < SMX_AUTH_PROMPTS_MAX + 1; k++) {
			assert_int_equal(smx_put_cstr(&b, ""), 0);
			assert_int_equal(smx_put_bool(&b, 0), 0);
		}
		assert_int_equal(smx_auth_parse_info_request(
					 smx_rd_from(smx_buf_view(&b), smx_buf_len(&b)), &req),
			SMX_ETOOBIG);
		smx_buf_reset(&b);
	}
	/* Each text in turn: as long as allowed, and one byte longer. */
	for (int which = 0; which < 4; which++) {
		for (size_t over = 0; over < 2; over++) {
			for (int k = 0; k < 4; k++) {
				size_t n = k == which ? SMX_AUTH_TEXT_MAX + over : 0;

				if (k == 3)
					assert_int_equal(smx_put_u32(&b, 1), 0);
				assert_int_equal(smx_put_u32(&b, (uint32_t)n), 0);
				assert_int_equal(smx_buf_reserve(&b, n, &text), 0);
				memset(text, 'x', n);
				smx_buf_commit(&b, n);
			}
			assert_int_equal(smx_put_bool(&b, 0), 0);
			assert_int_equal(
				smx_auth_parse_info_request(
					smx_rd_from(smx_buf_view(&b), smx_buf_len(&b)), &req),
				over ? SMX_ETOOBIG : 0);
			smx_buf_reset(&b);
		}
	}
	smx_buf_release(&b);
}

static void failure_and_pk_ok(void **state)
{
	struct smx_view methods = { NULL, 7 }, blob = { NULL, 7 };
	int partial = 7;

	(void)state;
	assert_int_equal(smx_auth_parse_failure(RD("\0\0\0\3a,b\1"), &methods, &partial), 0);
	assert_true(smx_view_eq(methods, "a,b"));
	assert_int_equal(partial, 1);
	assert_int_equal(smx_auth_parse_failure(RD("\0\0\0\0\0"), &methods, &partial), 0);
	assert_int_equal(methods.len + (size_t)partial, 0);
	partial = 7;
	assert_int_equal(
		smx_auth_parse_failure(RD("\0\0\0\0"), &methods, &partial), SMX_ETRUNCATED);
	assert_int_equal(
		smx_auth_parse_failure(RD("\0\0\0\0\0\0"), &methods, &partial), SMX_ETRAILING);
	assert_int_equal(partial, 7);
	assert_int_equal(smx_auth_parse_pk_ok(RD("\0\0\0\1a\0\0\0\1b"), &methods, &blob), 0);
	assert_true(smx_view_eq(methods, "a") && smx_view_eq(blob, "b"));
	assert_int_equal(
		smx_auth_parse_pk_ok(RD("\0\0\0\1a\0\0\0\2b"), &methods, &blob), SMX_ETRUNCATED);
	assert_int_equal(
		smx_auth_parse_pk_ok(RD("\0\0\0\1a\0\0\0\1bc"), &methods, &blob), SMX_ETRAILING);
}

static void no_memory(void **state)
{
	struct smx_buf b;
	int r;

	(void)state;
	for (long n = 0;; n++) {
		smx_buf_init_secret(&b, 1000);
		smx_mem_fail_after(n);
		r = smx_auth_put_password(&b, "joe",
			VIEW("a password that makes it grow and grow"
			     " and grow once more, beyond its 128 bytes"));
		smx_mem_fail_after(-1);
		smx_buf_release(&b);
		assert_int_equal(smx_mem_alive(), 0);
		if (r == 0)
			break;
		assert_int_equal(r, SMX_ENOMEM);
		assert_in_range(n, 0, 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(info_requests),
		cmocka_unit_test(caps),
		cmocka_unit_test(failure_and_pk_ok),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
